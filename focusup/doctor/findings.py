"""What a check has found, as a line for people and as JSON for programs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from focusup.logs import redact

Status = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`advice` is what to do; None where all is well."""

    check: str
    status: Status
    found: str
    advice: str | None = None

    @property
    def line(self) -> str:
        advice = "" if self.advice is None else f"; {self.advice}"
        line: str = redact(f"{self.check:<17} {self.found}{advice}")
        return line

    @property
    def wire(self) -> dict[str, str | None]:
        wire: dict[str, str | None] = redact(asdict(self))
        return wire


def ok(check: str, found: str) -> Finding:
    return Finding(check, "ok", found)


def warning(check: str, found: str, advice: str) -> Finding:
    return Finding(check, "warning", found, advice)


def failed(check: str, found: str, advice: str) -> Finding:
    return Finding(check, "failed", found, advice)


def failed_as_told(check: str, message: str) -> Finding:
    """Of a message for people: what is wrong; what to do."""
    found, _, advice = message.partition("; ")
    return Finding(check, "failed", found, advice or None)


def all_well(findings: Sequence[Finding]) -> bool:
    """Whether nothing failed; warnings are well."""
    return all(finding.status != "failed" for finding in findings)


def summary(findings: Sequence[Finding]) -> str:
    failures = sum(finding.status == "failed" for finding in findings)
    warnings = sum(finding.status == "warning" for finding in findings)
    return f"{len(findings)} checks: {failures} failed, {warnings} to look at"


def report(findings: Sequence[Finding], version: str) -> dict[str, Any]:
    """The whole of it for `--json`."""
    return {
        "version": version,
        "ok": all_well(findings),
        "checks": [finding.wire for finding in findings],
    }
