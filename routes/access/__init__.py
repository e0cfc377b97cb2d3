"""Authenticate requests, limit their rate, and recognise repeated ones."""
