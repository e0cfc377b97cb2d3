"""Who may make a request, how often, and whether it is a repeat."""
