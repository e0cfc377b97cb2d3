"""Migrate stored documents from older schema versions."""
