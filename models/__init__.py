"""The cellar: what is stored, and the queries on it."""
