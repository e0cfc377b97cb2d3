"""Compute scores, timelines and statistics: pure arithmetic, without I/O or clocks."""
