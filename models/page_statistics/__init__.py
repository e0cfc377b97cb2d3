"""Statistics of page views by day, month and visitor."""
