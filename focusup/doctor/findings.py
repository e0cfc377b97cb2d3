"""Represent what a check has found, as a line for people and as JSON for programs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from focusup.logs import redact
from focusup.operator_errors import OperatorError

Status = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check has found; `advice` says what to do, and is None where all is well."""

    check: str
    status: Status
    found: str
    advice: str | None = None

    @property
    def line(self) -> str:
        """The finding as a line for people, without secrets."""
        advice = "" if self.advice is None else f"; {self.advice}"
        line: str = redact(f"{self.check:<17} {self.found}{advice}")
        return line

    @property
    def wire(self) -> dict[str, str | None]:
        """The finding as JSON, without secrets."""
        wire: dict[str, str | None] = redact(asdict(self))
        return wire


def ok(check: str, found: str) -> Finding:
    """Return the finding of a check that passed."""
    return Finding(check, "ok", found)


def warning(check: str, found: str, advice: str) -> Finding:
    """Return the finding of a check that passed with a warning."""
    return Finding(check, "warning", found, advice)


def failed(check: str, found: str, advice: str) -> Finding:
    """Return the finding of a check that failed."""
    return Finding(check, "failed", found, advice)


def failed_by(check: str, error: OperatorError) -> Finding:
    """Return the finding of a check that failed with an error for the operator."""
    return Finding(check, "failed", error.problem, error.advice)


def all_well(findings: Sequence[Finding]) -> bool:
    """Return whether no check failed; warnings are no failure."""
    return all(finding.status != "failed" for finding in findings)


def summary(findings: Sequence[Finding]) -> str:
    """Return how many checks failed, and how many have a warning."""
    failures = sum(finding.status == "failed" for finding in findings)
    warnings = sum(finding.status == "warning" for finding in findings)
    return f"{len(findings)} checks: {failures} failed, {warnings} to look at"


def report(findings: Sequence[Finding], version: str) -> dict[str, Any]:
    """Return all findings for `--json`."""
    return {
        "version": version,
        "ok": all_well(findings),
        "checks": [finding.wire for finding in findings],
    }
