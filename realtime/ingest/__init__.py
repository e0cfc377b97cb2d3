"""Visits, presence and events, stored in batches."""
