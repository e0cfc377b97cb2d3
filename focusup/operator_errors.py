"""Errors that the operator of the server can mend."""


class OperatorError(Exception):
    """A problem for the operator: what is wrong, and what to do about it.

    Both are lines for people. Neither holds a secret or a credential of an address.
    """

    def __init__(self, problem: str, advice: str | None = None) -> None:
        super().__init__(problem if advice is None else f"{problem}; {advice}")
        self.problem = problem
        self.advice = advice
