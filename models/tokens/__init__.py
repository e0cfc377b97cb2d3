"""Access tokens: issued, read, and revoked."""
