"""Fetch the public keys of another issuer from its JWKS address.

Invariants:

- Whatever tokens name, at most one fetch is under way, and one is begun every `AGAIN_AFTER_S`.
- No caller waits longer than `FETCH_WITHIN_S`. Neither the event loop nor the end of the process
  ever waits, even where a name server hangs.
- An address that fails removes no known key.
- No redirect is followed, and no more than `MAX_BYTES` are read.
"""

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import Context
from typing import Any

import httpx
import structlog

from models.tokens.jwks import KeySet, PublicKey, read_key_set

FETCH_WITHIN_S = 5.0
LEAD = 0.1
"""The part of it by which a fetch gives up earlier, so that those who wait hear of it."""
AGAIN_AFTER_S = 10.0
REFRESH_EVERY_S = 600.0
"""A key that its issuer has withdrawn is trusted for so long at most, while it answers."""
RETRY_EVERY_S = 30.0
MAX_BYTES = 256 * 1024

log = structlog.get_logger(__name__)


class KeysUnavailable(Exception):  # noqa: N818 - as in `models.base.errors`
    """The address gave no key set; the message is for the log."""


class RemoteKeys:
    """The keys at an address, as they were when it answered last."""

    def __init__(self, url: str, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._monotonic_s = monotonic_s
        self._keys = KeySet()
        self._not_before_s = self._waited_until_s = float("-inf")
        self._fetching: asyncio.Task[bool] | None = None

    def find(self, kid: str | None, algorithm: str) -> PublicKey | None:
        """Return the key that a token names, if it is known and has this algorithm."""
        return self._keys.find(kid, algorithm)

    async def learn(self, kid: str | None, algorithm: str) -> None:
        """Fetch the keys again, unless that was done just now."""
        if self.find(kid, algorithm) is None:
            await self._refresh()

    async def run(self) -> None:
        """Keep the keys fresh for as long as the task lives."""
        while True:
            is_fresh = await self._refresh()
            await asyncio.sleep(REFRESH_EVERY_S if is_fresh else RETRY_EVERY_S)

    async def _refresh(self) -> bool:
        """Fetch the keys, shared by all callers; return whether they were fetched."""
        now_s = self._monotonic_s()
        if self._fetching is None:
            if now_s < self._not_before_s:
                return False
            self._not_before_s = now_s + AGAIN_AFTER_S
            self._waited_until_s = now_s + FETCH_WITHIN_S
            self._fetching = asyncio.create_task(self._fetch(), context=Context())
            self._fetching.add_done_callback(self._done)
        # The waiting is limited, not the fetch: looking a name up can't be interrupted.
        left_s = max(0, self._waited_until_s - now_s)
        done, _ = await asyncio.wait({self._fetching}, timeout=left_s)
        return any(task.result() for task in done)

    async def _fetch(self) -> bool:
        try:
            # In a thread: loading certificates and keys takes longer than a tick may wait.
            self._keys = await asyncio.wrap_future(_begin(fetch_keys, self._url))
        except KeysUnavailable as error:
            log.warning("jwks_fetch_failed", reason=str(error))
            return False
        except Exception:
            log.exception("jwks_fetch_failed")
            return False
        return True

    def _done(self, _task: "asyncio.Task[bool]") -> None:
        self._fetching = None


def _begin(fetch: Callable[[str], KeySet], url: str) -> "Future[KeySet]":
    """Do it in a thread that nobody has to wait for, as they would for one of an executor."""
    found: Future[KeySet] = Future()
    found.set_running_or_notify_cancel()

    def run() -> None:
        try:
            found.set_result(fetch(url))
        except Exception as error:
            found.set_exception(error)

    threading.Thread(target=run, name="jwks", daemon=True).start()
    return found


class _LoopOfOneFetch(asyncio.SelectorEventLoop):
    """An event loop that looks names up in its own thread.

    It has no other work in the meantime, and a thread of an executor that hangs would keep the
    process from ending.
    """

    async def getaddrinfo(self, host: Any, port: Any, **hints: int) -> Any:
        return socket.getaddrinfo(host, port, **hints)


def fetch_keys(url: str) -> KeySet:
    """Return the keys at an address; raise KeysUnavailable.

    For a thread without an event loop: only a loop of its own lets everything but the look-up of
    the name be limited in time.
    """
    try:
        with asyncio.Runner(loop_factory=_LoopOfOneFetch) as runner:
            return read_key_set(runner.run(_within_limits(url)))
    except httpx.HTTPError as error:
        raise KeysUnavailable(type(error).__name__) from None  # its message has the address
    except TimeoutError:
        raise KeysUnavailable(f"no answer within {FETCH_WITHIN_S:g} s") from None
    except ValueError as error:
        raise KeysUnavailable(str(error)) from None


async def _within_limits(url: str) -> bytes:
    async with asyncio.timeout(FETCH_WITHIN_S * (1 - LEAD)):
        return await _get(url)


async def _get(url: str) -> bytes:
    # Compression would let a small answer inflate; a proxy of the environment could pretend
    # to be our loopback interface.
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    is_secure = url.startswith("https:")
    async with (
        httpx.AsyncClient(headers=headers, trust_env=is_secure, verify=is_secure) as client,
        client.stream("GET", url, follow_redirects=False) as response,
    ):
        if response.status_code != 200:
            raise KeysUnavailable(f"status {response.status_code}")
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MAX_BYTES:
                raise KeysUnavailable(f"more than {MAX_BYTES} bytes")
        return bytes(body)
