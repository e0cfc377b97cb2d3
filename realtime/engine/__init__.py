"""Count tracked seconds and book them."""
