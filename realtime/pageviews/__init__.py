"""Page views as they are tracked."""
