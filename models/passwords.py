"""Password hashes, made and compared off the event loop.

What must always hold: no hash is computed on the event loop, which counts seconds; at
most `workers` run at once, 64 MiB each; and a comparison takes the same time whether or
not there was a hash to compare with.
"""

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from models.errors import Busy

_T = TypeVar("_T")

MIN_PASSWORD_CHARS = 8
# Long passphrases are welcome. Argon2's cost hardly depends on the length, so the limit
# only keeps a body of junk from being hashed.
MAX_PASSWORD_CHARS = 1024
MAX_WAITING = 32  # at 0.15 s each by two workers: no one waits longer than about 3 s


def default_hasher() -> PasswordHasher:
    """Argon2id with 64 MiB and 3 passes (RFC 9106, section 4), on one lane: more lanes do
    the same work on more cores at once, and one of them counts seconds."""
    return PasswordHasher(parallelism=1)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a password fits, and its new hash if the stored one has old parameters."""

    matches: bool
    rehashed: str | None = None


class PasswordHashes:
    """Hashes passwords in threads of its own; raises Busy when too many wait."""

    def __init__(
        self,
        hasher: PasswordHasher | None = None,
        *,
        workers: int = 2,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._hasher = hasher or default_hasher()
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="passwords")
        self._max_waiting = max_waiting
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """The argon2 hash of `password`, with its salt and parameters."""
        return await self._in_thread(lambda: self._hasher.hash(_normalised(password)))

    async def verify(self, password: str, stored: str | None) -> Verdict:
        """Compare; without a stored hash spend the same time and say no."""
        return await self._in_thread(lambda: self._verify(_normalised(password), stored))

    def close(self) -> None:
        """Drop what waits, and let the threads end."""
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

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        if self._waiting >= self._max_waiting:
            raise Busy("busy", "Too many people are signing in; try again shortly.")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def _normalised(password: str) -> str:
    # Keyboards differ in how they compose "é"; the password is the same (RFC 8265, 4.2).
    return unicodedata.normalize("NFC", password)
