"""Focus sessions as they are tracked."""
