"""`python -m tests.support.coverage`: what the tests run with COVERAGE=1 have covered, by package.

Lists the lines that no test ran, and exits with 1 where a package falls short of what it must
have.
"""

import json
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from coverage import Coverage

from tests.support.paths import ROOT

LEAST_LINES = 95.0
"""Percent of the lines of each package."""
COUNTED = ("num_statements", "covered_lines", "num_branches", "covered_branches")


def measured() -> dict[str, Any]:
    """The report of all runs since the last one was combined, by file."""
    coverage = Coverage(config_file=str(ROOT / "pyproject.toml"))
    folder = ROOT / "artifacts" / "coverage"
    coverage.combine([str(path) for path in folder.glob("data.*")])
    coverage.save()
    report = folder / "report.json"
    coverage.json_report(outfile=str(report))
    found: dict[str, Any] = json.loads(report.read_text())["files"]
    return found


def ranges(numbers: list[int]) -> str:
    """Consecutive numbers as `3-5`."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else f"{part[0]}" for part in parts)


def percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 100.0


def main() -> None:
    totals: defaultdict[str, Counter[str]] = defaultdict(Counter)
    print("Lines that no test ran:")
    for name, file in sorted(measured().items()):
        package = Path(name).parts[0]
        totals[package].update({key: file["summary"][key] for key in COUNTED})
        if file["missing_lines"]:
            print(f"  {name}: {ranges(file['missing_lines'])}")
    print(f"\n{'package':<10} {'lines':>7} {'covered':>8} {'branches':>9} {'covered':>8}")
    short = []
    for package, total in sorted(totals.items()):
        lines = percent(total["covered_lines"], total["num_statements"])
        branches = percent(total["covered_branches"], total["num_branches"])
        print(
            f"{package:<10} {total['num_statements']:>7} {lines:>7.1f}% "
            f"{total['num_branches']:>9} {branches:>7.1f}%"
        )
        if lines < LEAST_LINES:
            short.append(package)
    if short:
        sys.exit(f"less than {LEAST_LINES:g} % of the lines are covered in: {', '.join(short)}")


if __name__ == "__main__":
    main()
