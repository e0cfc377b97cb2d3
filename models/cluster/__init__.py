"""Register the server processes that share one database, and pass notices between them."""
