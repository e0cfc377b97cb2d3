"""Long computations that must not hold the event loop."""
