"""Keys that sign and verify access tokens."""
