"""The messages and close codes of both sockets. Pure."""
