"""Build the parts of the application, one module per subject."""
