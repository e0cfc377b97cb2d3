"""Serve HTTP: the REST API, the handshakes of sockets, the API documents and the metrics."""
