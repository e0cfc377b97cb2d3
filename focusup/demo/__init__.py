"""A learner who never was, with a year behind them, and some days of a site with visitors.

What must always hold: what is made is told by a seed and an instant alone (`habits`, `year`,
`site`: pure); each document is one that the server could have written; and each is marked as
one of a demonstration, so that `filling` can remove it without touching anybody's data.
"""
