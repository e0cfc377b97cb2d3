"""Sum up page views by day, month and visitor."""
