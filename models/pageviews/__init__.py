"""Page views and visitors as they are stored."""
