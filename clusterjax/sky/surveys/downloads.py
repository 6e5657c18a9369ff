"""One downloader for all services: parallel, patient, and never asking twice for what it has."""

import concurrent.futures
import contextlib
import dataclasses
import itertools
import os
import pathlib
import random
import threading
import time
import urllib.parse
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping

from clusterjax.errors import InputError
from clusterjax.limits import limits
from clusterjax.sky.surveys.cache import Cache
from clusterjax.sky.surveys.contents import fault
from clusterjax.sky.surveys.transfer import Refused, Stopped, TryAgain, transfer

Check = Callable[[pathlib.Path], str | None]
_MAX_WORKERS = 16


def _no_fault(_: pathlib.Path) -> None:
    return None


class ResourceMissing(InputError):
    """The server answers, and has no such thing."""


@dataclasses.dataclass(frozen=True)
class DownloadSettings:
    """How to fetch. A wait before attempt n + 1 is ``backoff_s`` * 2^(n - 1), times 0.5 to 1.5 at random."""

    cache_dir: str | os.PathLike
    offline: bool = False  # only what the cache has
    per_host: int = 4  # requests to one host at a time
    attempts: int = 5
    timeout_s: float = 60.0  # without a byte
    backoff_s: float = 1.0
    max_wait_s: float = 300.0  # a server that asks for more is left alone
    max_bytes: int = dataclasses.field(default_factory=lambda: limits().download_bytes)  # of one body
    seed: int = 0  # of the random part of the waits
    # Beginnings of URLs -> what is asked instead; cache and manifest keep the original's name.
    mirrors: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def address(self, url: str) -> str:
        """Where ``url`` is asked for."""
        for beginning, other in self.mirrors.items():
            if url.startswith(beginning):
                return other + url[len(beginning) :]
        return url


class _Host:
    """Few requests at a time, and none before the server's time."""

    def __init__(self, limit: int):
        self.slots = threading.BoundedSemaphore(limit)
        self.ready_at = 0.0  # of time.monotonic()


class Downloader:
    """Fetches URLs into a :class:`Cache`. Use it in a ``with``: it locks the cache while it downloads.

    ``sleep`` is called with seconds; ``num_requests`` counts what was asked of servers.
    """

    def __init__(self, settings: DownloadSettings, *, sleep: Callable[[float], object] | None = None):
        self.settings = settings
        self.cache = Cache(settings.cache_dir)
        self.num_requests = 0
        self._stop = threading.Event()
        self._sleep = sleep or self._stop.wait
        self._hosts: dict[str, _Host] = {}
        self._lock = threading.Lock()
        self._held = contextlib.ExitStack()
        self._holds_lock = False

    def __enter__(self) -> "Downloader":
        return self

    def __exit__(self, *_) -> None:
        self._held.close()
        self._holds_lock = False

    def fetch(self, url: str, kind: str = "any", check: Check = _no_fault) -> pathlib.Path:
        """The body of ``url`` as a file, which must be of ``kind`` (see ``contents.fault``).

        ``check(body)`` says what else is wrong with it, or None. What is wrong is not kept, and asked for again.

        Raises :class:`ResourceMissing` where the server has no such thing, :class:`InputError` where it cannot be
        reached or never sends it whole, where it is too large, and offline for what the cache does not have.
        """
        path = self._cached(url)
        return path if path is not None else self._download(url, kind, check)

    def fetch_many(
        self, urls: Iterable[str], kind: str = "any", check: Check = _no_fault
    ) -> Iterator[pathlib.Path | ResourceMissing]:
        """The bodies of ``urls`` in order, fetched in parallel a little ahead of who reads them.

        What a server does not have comes as the exception; any other failure ends all. What was fetched stays.
        """
        self._stop.clear()
        executor = concurrent.futures.ThreadPoolExecutor(_MAX_WORKERS, thread_name_prefix="download")
        waiting: deque[tuple[str, concurrent.futures.Future]] = deque()
        remaining = iter(urls)

        def submit(count: int) -> None:
            for url in itertools.islice(remaining, count):
                # Twice the same at once would write one file from two threads.
                same = next((future for other, future in waiting if other == url), None)
                waiting.append((url, same or executor.submit(self._fetch_or_missing, url, kind, check)))

        try:
            submit(4 * self.settings.per_host)
            while waiting:
                result = waiting.popleft()[1].result()
                submit(1)
                yield result
        finally:
            self._stop.set()
            executor.shutdown(wait=True, cancel_futures=True)
            self._stop.clear()

    def _fetch_or_missing(self, url: str, kind: str, check: Check) -> pathlib.Path | ResourceMissing:
        try:
            return self.fetch(url, kind, check)
        except ResourceMissing as error:
            return error

    def _cached(self, url: str) -> pathlib.Path | None:
        path = self.cache.find(url)
        if path is not None or not self.settings.offline:
            return path
        entry = self.cache.entry(url)
        if entry is not None and entry.sha256 is None:
            raise ResourceMissing(f"{url} was answered with status {entry.status} when it was last asked for")
        raise InputError(
            f"{url} is not in the cache {self.cache.folder}, and no server is asked with "
            "config.data.survey.offline=True; fetch it first without, or copy the cache of a machine that has it"
        )

    def _download(self, url: str, kind: str, check: Check) -> pathlib.Path:
        host = self._host(url)
        path = self.cache.find(url)
        if path is not None:  # fetched by another process while this one waited for the cache's lock
            return path
        # Of the URL, so that waits do not depend on which thread comes first.
        rng = random.Random(f"{self.settings.seed} {url}")
        reason = ""
        for attempt in range(self.settings.attempts):
            if self._stop.is_set():
                raise Stopped
            with host.slots:
                self._sleep_until(host.ready_at)
                try:
                    path = self._try(url, kind, check)
                except TryAgain as problem:
                    reason = str(problem)
                    wait = self.settings.backoff_s * 2**attempt * (0.5 + rng.random())
                    if problem.after_s is not None:
                        wait = max(wait, problem.after_s)
                        # The server's wish is for all who ask it.
                        host.ready_at = max(host.ready_at, time.monotonic() + problem.after_s)
                    path = None
            if path is not None:
                return path
            if wait > self.settings.max_wait_s:
                raise InputError(f"{url}: {reason}, and the server asks to be left alone for {wait:.0f} s; try later")
            if attempt + 1 < self.settings.attempts:
                self._sleep(wait)
        raise InputError(
            f"{url} cannot be fetched: {reason} ({self.settings.attempts} attempts); what was fetched is kept, the "
            "same command goes on from there"
        )

    def _sleep_until(self, moment: float) -> None:
        wait = moment - time.monotonic()
        if wait > 0:
            self._sleep(wait)

    def _host(self, url: str) -> _Host:
        parts = urllib.parse.urlsplit(self.settings.address(url))
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise InputError(f"{url!r} is no address that can be fetched; use http:// or https://")
        with self._lock:
            if not self._holds_lock:
                self._held.enter_context(self.cache.locked())
                self._holds_lock = True
            return self._hosts.setdefault(parts.netloc, _Host(self.settings.per_host))

    def _try(self, url: str, kind: str, check: Check) -> pathlib.Path:
        """One request, and a look at what came."""
        partial = self.cache.partial(url)
        with self._lock:
            self.num_requests += 1
        try:
            status = transfer(
                self.settings.address(url),
                partial,
                timeout_s=self.settings.timeout_s,
                max_bytes=self.settings.max_bytes,
                stop=self._stop,
                show=kind == "votable",
            )
        except Refused as error:
            with self._lock:
                self.cache.record_missing(url, error.status)
            raise ResourceMissing(f"{url} is refused with {error}") from error
        problem = fault(partial, kind) or check(partial)
        if problem is not None:
            partial.unlink()
            raise TryAgain(f"the server sent {problem}")
        with self._lock:
            return self.cache.store(partial, url, status)
