"""Focus sessions: the stored document, its timeline, queries and edits."""
