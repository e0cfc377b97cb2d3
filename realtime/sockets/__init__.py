"""Open WebSocket connections and their delivery of messages."""
