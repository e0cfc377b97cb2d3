"""The study: pure arithmetic, no I/O and no clocks."""
