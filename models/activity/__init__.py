"""Store visits, presence and events that a study app reports."""
