"""The REST routes and the handshakes of both sockets."""
