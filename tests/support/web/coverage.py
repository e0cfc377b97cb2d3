"""Which lines of the JavaScript were run, in Node and in Chromium.

With `JS_COVERAGE=DIR` the tests of `tests/web` leave there what V8 counted; then

    python -m tests.support.web.coverage DIR --least 90

merges that, prints the lines of each file that were run and the numbers of those that were
not, and fails below the least share. A line counts if it holds code, and was run if any of it
was.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from playwright.async_api import BrowserContext, CDPSession, Error, Page

from tests.support.paths import ROOT

STATIC = ROOT / "focusup" / "web" / "static"
DIRECTORY = "JS_COVERAGE"
EVERY_S = 0.25
"""How often a page is asked: what it ran after that is lost when it is left."""
Script = Mapping[str, Any]
Run = dict[str, bytes]
"""By file, one byte for each UTF-16 unit: 1 if it was run."""


def node_environment() -> dict[str, str]:
    """Return what makes Node write its coverage, if that is wanted."""
    wanted = os.environ.get(DIRECTORY)
    return {} if wanted is None else {"NODE_V8_COVERAGE": str(Path(wanted).resolve() / "node")}


@asynccontextmanager
async def covered(context: BrowserContext) -> AsyncIterator[None]:
    """Keep what the pages of this context run, if that is wanted."""
    wanted = os.environ.get(DIRECTORY)
    if wanted is None:
        yield
        return
    watch = _Watch(Path(wanted))
    context.on("page", watch.page)
    for page in context.pages:
        watch.page(page)
    try:
        yield
    finally:
        context.remove_listener("page", watch.page)
        await watch.finish()


class _Watch:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._tasks: set[asyncio.Task[None]] = set()
        self._last = asyncio.Event()

    def page(self, page: Page) -> None:
        self._tasks.add(asyncio.create_task(self._follow(page)))

    async def finish(self) -> None:
        self._last.set()
        await asyncio.gather(*self._tasks)
        _write(self._directory / f"chromium-{os.getpid()}.json", _in_this_process)

    async def _follow(self, page: Page) -> None:
        with suppress(Error):  # the page is gone
            session = await page.context.new_cdp_session(page)
            await session.send("Profiler.enable")
            await session.send(
                "Profiler.startPreciseCoverage", {"callCount": True, "detailed": True}
            )
            while not self._last.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._last.wait(), EVERY_S)
                await _take(session)


async def _take(session: CDPSession) -> None:
    found = await session.send("Profiler.takePreciseCoverage")
    merge(_in_this_process, found["result"])


_in_this_process: Run = {}


def merge(run: Run, scripts: Iterable[Script]) -> None:
    """Add what V8 says of some scripts: functions, with nested ranges of which the inner counts."""
    for script in scripts:
        folder, _, name = script["url"].rpartition("/")
        within = f"{folder.rpartition('/')[2]}/{name}"
        name = within if (STATIC / within).is_file() else name
        size = _size(name)
        if size is None:
            continue
        counted = bytearray(size)
        ranges = [each for function in script["functions"] for each in function["ranges"]]
        for each in sorted(ranges, key=lambda each: (each["startOffset"], -each["endOffset"])):
            start, end = each["startOffset"], min(each["endOffset"], size)
            counted[start:end] = bytes([each["count"] > 0]) * (end - start)
        _add(run, name, bytes(counted))


def _add(run: Run, name: str, counted: bytes) -> None:
    before = run.get(name, bytes(len(counted)))
    if len(before) != len(counted):
        sys.exit(f"{name} was another file when some of this was measured: empty the directory")
    both = int.from_bytes(before, "big") | int.from_bytes(counted, "big")
    run[name] = both.to_bytes(len(counted), "big")


def _size(name: str) -> int | None:
    path = STATIC / name
    return len(_text(path)) if path.suffix == ".js" and path.is_file() else None


def _text(path: Path) -> str:
    """Return the text of a file with as many characters as JavaScript counts."""
    return "".join(each if ord(each) < 0x10000 else "xx" for each in path.read_text())


def _write(path: Path, run: Run) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({name: counted.hex() for name, counted in run.items()}))


def read(directory: Path) -> Run:
    """Merge all that the tests left in a directory."""
    run: Run = {}
    for path in directory.glob("chromium-*.json"):
        for name, counted in json.loads(path.read_text()).items():
            _add(run, name, bytes.fromhex(counted))
    for path in directory.glob("node/*.json"):
        found = json.loads(path.read_text())["result"]
        merge(run, [each for each in found if "/focusup/web/static/" in each["url"]])
    return run


def lines(text: str, counted: bytes) -> Iterator[tuple[int, bool]]:
    """Yield the number of each line that holds code, and whether any of it was run."""
    at = 0
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        code = line.strip()
        if code and not code.startswith("//"):
            begin = at + line.index(code)
            yield number, any(counted[begin : begin + len(code)])
        at += len(line)


def spans(numbers: Iterable[int]) -> str:
    """Return numbers as in 3, 7-9."""
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(f"{first}-{last}" if first < last else f"{first}" for first, last in found)


def report(run: Run) -> tuple[str, float]:
    """Return the table by file, and the share of all lines that were run, in percent."""
    rows, all_lines, all_run = [], 0, 0
    for path in sorted(STATIC.rglob("*.js")):
        text = _text(path)
        name = path.relative_to(STATIC).as_posix()
        found = list(lines(text, run.get(name, bytes(len(text)))))
        missed = [number for number, was_run in found if not was_run]
        done = len(found) - len(missed)
        share = 100 * done / len(found)
        rows.append(f"{name:18} {done:4}/{len(found):<4} {share:5.1f} %  {spans(missed)}")
        all_lines, all_run = all_lines + len(found), all_run + done
    share = 100 * all_run / all_lines
    return "\n".join([*rows, f"{'all':18} {all_run:4}/{all_lines:<4} {share:5.1f} %"]), share


def main() -> None:
    parser = argparse.ArgumentParser(description="Print which lines of the JavaScript were run.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--least", type=float, default=0, help="fail below so many percent")
    given = parser.parse_args()
    table, share = report(read(given.directory))
    print(table)
    if share < given.least:
        sys.exit(f"{share:.1f} % of the lines were run; {given.least:g} % is the least")


if __name__ == "__main__":
    main()
