"""Compute the figures of the admin dashboard."""
