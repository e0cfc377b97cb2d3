"""Build a demonstration: a learner with a year of sessions, and a site with visitors.

Invariants:

- The data follow from a seed and an instant alone (`profile`, `year`, `site`: pure).
- The server could have written each document.
- Each document is marked, so that `storage` can remove it without touching other data.
"""
