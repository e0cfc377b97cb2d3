"""The doors: REST routes."""
