"""A learner's days: summaries, statistics, streaks and goals."""
