"""The figures of the admin dashboard."""
