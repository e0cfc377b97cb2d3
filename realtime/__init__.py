"""The engine room: counting tracked time and booking it."""
