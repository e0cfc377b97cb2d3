"""The parts that reach into Hypercorn and Quart."""
