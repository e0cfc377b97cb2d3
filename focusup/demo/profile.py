"""What the learner of the demonstration studies, and how the year went. Pure."""

from typing import NamedTuple

from models.sessions.idle_modes import IdleMode
from scoring.streaks import NO_GOALS, Goals

NAME = "Demo learner"
ZONE = "Europe/Berlin"
YEAR_DAYS = 365
STREAK_DAYS = 23
"""So many days up to today meet the goals; on the one before there was no study."""
NOTES = (
    "Went well. Next time: start with the exercises.",
    "Too late in the evening, could not keep my mind on it.",
    "Open question: ask in the tutorial on Thursday.",
    "Finally understood it, after the third example.",
    "Only repeated the summary; the proofs are still to do.",
)


class Subject(NamedTuple):
    """A subject that the learner of the demonstration studies."""

    content_id: str
    tags: tuple[str, ...]
    idle_mode: IdleMode
    targets: tuple[int, ...]
    """Minutes."""
    stretch_s: float
    """How long they go on without a break, on average."""
    silence_s: float
    """How long they do nothing then."""
    tab_switches: float
    """For each stretch, on average."""
    topics: tuple[str, ...]


SUBJECTS = (
    Subject(
        "calculus", ("maths", "exam"), "interactive", (25, 45, 50), 300, 35, 0.15,
        ("Limits", "Derivatives", "Mean value theorem", "Integration by parts",
         "Taylor series", "Differential equations", "Problem sheets"),
    ),
    Subject(
        "physics-lectures", ("physics", "lecture"), "video", (45, 90), 900, 60, 0.3,
        ("Kinematics", "Conservation of energy", "Oscillations", "Thermodynamics",
         "Electric fields", "Induction", "Optics"),
    ),
    Subject(
        "modern-history", ("history", "reading"), "reading", (30, 40, 60), 500, 80, 0.1,
        ("The long nineteenth century", "Industrialisation", "The Weimar years",
         "Reconstruction", "The Cold War", "1989", "Essay"),
    ),
    Subject(
        "spanish", ("language",), "interactive", (15, 20), 240, 25, 0.2,
        ("Greetings", "Past tenses", "Subjunctive", "Vocabulary", "Listening", "Dialogues"),
    ),
    Subject(
        "term-paper", ("writing", "exam"), 120.0, (25, 50), 600, 90, 0.8,
        ("Outline", "Sources", "First draft", "Argument", "Revision", "Footnotes"),
    ),
)  # fmt: skip


class Phase(NamedTuple):
    """A part of the year, up to the next one."""

    days_ago: int
    """Of its first day."""
    sessions: float
    """A day, on average."""
    longer: float
    """Than usual, by this factor."""
    weights: tuple[int, ...] = (3, 3, 3, 3, 2)
    """How often each subject."""
    goals: Goals = NO_GOALS
    """Those set on the first day; none leaves them as they are."""


PHASES = (
    Phase(YEAR_DAYS - 1, 0.9, 0.9, (2, 2, 2, 6, 0), Goals(20)),
    Phase(300, 0, 1),  # a holiday
    Phase(286, 1.7, 1, goals=Goals(30, 150)),
    Phase(190, 3, 1.3, (6, 4, 2, 1, 5), Goals(60, 400, 2)),  # exams
    Phase(168, 0, 1),
    Phase(146, 1, 0.9, (1, 1, 4, 6, 1), Goals(20, 120)),
    Phase(70, 0, 1),
    Phase(58, 1.7, 1.05, goals=Goals(30, 180)),
    Phase(STREAK_DAYS, 0, 1),
    Phase(STREAK_DAYS - 1, 2, 1.15, goals=Goals(45, 300, 1)),
)
