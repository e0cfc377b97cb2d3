"""Visits, presence and events that a study app reports."""
