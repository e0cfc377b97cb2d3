"""Serve the REST routes and the handshakes of both sockets."""
