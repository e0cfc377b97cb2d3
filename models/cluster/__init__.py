"""The server processes that share one database."""
