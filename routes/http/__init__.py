"""Bodies, errors, headers and origins of HTTP requests."""
