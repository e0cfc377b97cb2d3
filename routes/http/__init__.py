"""Handle bodies, errors, headers and origins of HTTP requests."""
