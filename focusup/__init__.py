"""A focus-session tracker whose server does the counting: the hall (wiring, settings, serving)."""
