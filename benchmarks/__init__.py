"""Measurements: ours beside the naive design in the same run, printed as ratios."""
