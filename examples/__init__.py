"""Small front ends that use FocusUp as a stranger would: over its sockets alone."""
