"""The version of the stored documents, and migrations between versions."""
