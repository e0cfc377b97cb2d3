"""Export and delete personal data."""
