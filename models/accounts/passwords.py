"""Hash and compare passwords off the event loop, and refuse common passwords.

Invariants:

- No hash is computed on the event loop, which counts seconds. At most `workers` run at once, with
  64 MiB each.
- Addresses take turns, so an address that asks for many hashes only delays itself. When the queue
  is full, the newest request of the address with the most requests is dropped.
- A comparison takes the same time with and without a stored hash.
"""

import asyncio
import time
import unicodedata
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files
from typing import Any, TypeVar, cast

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from models.base.errors import Busy, Invalid

_T = TypeVar("_T")

MIN_PASSWORD_CHARS = 8
# Long passphrases are welcome. Argon2's cost hardly depends on the length, so the limit
# only keeps a body of junk from being hashed.
MAX_PASSWORD_CHARS = 1024
MIN_DIFFERENT_CHARS = 3
WORKERS = 2
MAX_WAITING = 32
LONGEST_WAIT_S = 4.0
"""Well within the time of a request: who would wait longer is told so at once."""
FIRST_GUESS_S = 0.15
"""How long a hash takes, until one was measured."""


def default_hasher() -> PasswordHasher:
    """Return argon2id with 64 MiB and 3 passes (RFC 9106, section 4), on one lane.

    More lanes would do the same work on more cores at once, and one of the cores counts seconds.
    """
    return PasswordHasher(parallelism=1)


def refuse_common(password: str, email: str | None, field: str) -> None:
    """Refuse a common password, one of few different characters, and the e-mail address.

    Raises:
        Invalid: `password_too_common`, at `field`.
    """
    plain = _normalised(password).strip().casefold()
    if (
        len(set(plain)) < MIN_DIFFERENT_CHARS
        or plain in common_passwords()
        or (email is not None and plain in (email, email.partition("@")[0]))
    ):
        message = "This password is too easy to guess; choose another one."
        raise Invalid(
            "password_too_common", message, [{"field": field, "message": "is too easy to guess"}]
        )


@cache
def common_passwords() -> frozenset[str]:
    """Return the commonest passwords that are long enough, in lower case."""
    text = files("models.accounts").joinpath("common_passwords.txt").read_text("utf-8")
    return frozenset(line.casefold() for line in text.splitlines() if not line.startswith("# "))


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a password is right, and its new hash if the stored one has old parameters."""

    matches: bool
    rehashed: str | None = None


@dataclass(eq=False, slots=True)
class _Job:
    work: Callable[[], Any]
    done: "asyncio.Future[Any]"


class PasswordHashes:
    """The hashing threads; raises Busy `busy` when too many requests wait.

    `caller` is the address that asks.
    """

    def __init__(
        self,
        hasher: PasswordHasher | None = None,
        *,
        workers: int = WORKERS,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._hasher = hasher or default_hasher()
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="passwords")
        self._workers = workers
        self._max_waiting = max_waiting
        self._running = 0
        self._waiting = 0
        self._queues: dict[str, deque[_Job]] = {}
        """By caller, in the order of their turns; none is empty."""
        self._took_s = FIRST_GUESS_S

    async def hash(self, password: str, caller: str = "") -> str:
        """Return the argon2 hash of a password, with its salt and parameters."""
        return await self._in_thread(lambda: self._hasher.hash(_normalised(password)), caller)

    async def verify(self, password: str, stored: str | None, caller: str = "") -> Verdict:
        """Compare a password; without a stored hash, take the same time and return False."""
        return await self._in_thread(lambda: self._verify(_normalised(password), stored), caller)

    def close(self) -> None:
        """Drop waiting requests, and end the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _verify(self, password: str, stored: str | None) -> Verdict:
        if stored is None:
            self._hasher.hash(password)  # costs what a comparison costs
            return Verdict(matches=False)
        try:
            self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return Verdict(matches=False)
        if self._hasher.check_needs_rehash(stored):
            return Verdict(matches=True, rehashed=self._hasher.hash(password))
        return Verdict(matches=True)

    async def _in_thread(self, work: Callable[[], _T], caller: str) -> _T:
        job = _Job(work, asyncio.get_running_loop().create_future())
        self._enqueue(job, caller)
        self._run_next()
        try:
            return cast(_T, await job.done)
        finally:
            self._drop(job, caller)  # where the request was cancelled

    def _enqueue(self, job: _Job, caller: str) -> None:
        if self._waiting + self._running >= self._most():
            largest = max(self._queues, key=lambda each: len(self._queues[each]), default=caller)
            if len(self._queues.get(largest, ())) <= len(self._queues.get(caller, ())) + 1:
                raise _busy()
            given_up = self._queues[largest][-1]
            self._drop(given_up, largest)
            given_up.done.set_exception(_busy())
        self._queues.setdefault(caller, deque()).append(job)
        self._waiting += 1

    def _most(self) -> int:
        """Return how many requests can wait without a wait that is too long on this machine."""
        in_time = int(LONGEST_WAIT_S * self._workers / self._took_s)
        return max(min(self._max_waiting, in_time), 1)

    def _run_next(self) -> None:
        while self._running < self._workers and self._queues:
            caller = next(iter(self._queues))
            queue = self._queues.pop(caller)
            job = queue.popleft()
            if queue:
                self._queues[caller] = queue  # behind all others
            self._waiting -= 1
            self._running += 1
            began_s = time.monotonic()
            run = asyncio.get_running_loop().run_in_executor(self._threads, job.work)
            run.add_done_callback(partial(self._finish, job=job, began_s=began_s))

    def _finish(self, run: "asyncio.Future[Any]", job: _Job, began_s: float) -> None:
        self._running -= 1
        self._took_s += (max(time.monotonic() - began_s, 0.001) - self._took_s) / 8
        if not job.done.done():
            if run.cancelled():
                job.done.cancel()
            elif (error := run.exception()) is not None:
                job.done.set_exception(error)
            else:
                job.done.set_result(run.result())
        elif not run.cancelled():
            run.exception()  # nobody waits for it any more
        self._run_next()

    def _drop(self, job: _Job, caller: str) -> None:
        queue = self._queues.get(caller)
        if queue is None or job not in queue:
            return
        queue.remove(job)
        self._waiting -= 1
        if not queue:
            del self._queues[caller]


def _busy() -> Busy:
    return Busy("busy", "Too many people are signing in; try again shortly.", retry_after_s=5)


def _normalised(password: str) -> str:
    # Keyboards differ in how they compose "é"; the password is the same (RFC 8265, 4.2).
    return unicodedata.normalize("NFC", password)
