"""One request to a server: send it, receive the body, go on where an earlier one broke off."""

import base64
import email.utils
import http.client
import json
import pathlib
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

from tqdm import tqdm

from clusterjax import __version__
from clusterjax.errors import InputError
from clusterjax.sky.surveys.cache import writing_to
from clusterjax.sky.surveys.contents import checksum_fault
from clusterjax.writing import write_text

_CHUNK = 1 << 16
_TRY_AGAIN = (408, 425, 429, 500, 502, 503, 504)
_SHOWN_BYTES = 20_000_000  # larger bodies, and tables of unknown size, have a progress bar


class TryAgain(Exception):
    """What went wrong this time; ``after_s`` is what the server asks to be waited."""

    def __init__(self, reason: str, after_s: float | None = None):
        super().__init__(reason)
        self.after_s = after_s


class Refused(Exception):
    """The server answers, and has no such thing."""

    def __init__(self, status: int, reason: str):
        super().__init__(f"status {status} {reason}")
        self.status = status


class Stopped(Exception):
    """Another download failed for good, or the user interrupted."""


def transfer(
    url: str, partial: pathlib.Path, *, timeout_s: float, max_bytes: int, stop: threading.Event, show: bool
) -> int:
    """Receive the body of ``url`` into ``partial``; returns the HTTP status.

    What an earlier transfer left in ``partial`` is kept if the server goes on from there (Range with If-Range; RFC
    9110 section 14). Raises :class:`TryAgain` for whatever may pass, :class:`Refused` for a server that says no,
    :class:`InputError` for a body of more than ``max_bytes``.
    """
    note = partial.with_suffix(".json")  # what tells whether the server's file is still the same
    headers = {"User-Agent": f"clusterjax/{__version__}", "Accept-Encoding": "identity"}
    begun = partial.stat().st_size if partial.is_file() and note.is_file() else 0
    if begun:
        headers |= {"Range": f"bytes={begun}-", "If-Range": json.loads(note.read_text())["validator"]}
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as response:
            _receive(response, partial, note, begun, url, max_bytes, stop, show)
            status, published = response.status, _published_checksum(response)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416:  # what is here is no beginning of what the server has
                partial.unlink(missing_ok=True)
                note.unlink(missing_ok=True)
                raise TryAgain("the server cannot go on from where the body broke off") from error
            if error.code in _TRY_AGAIN:
                wait = _retry_after(error.headers.get("Retry-After"), error.headers.get("Date"))
                raise TryAgain(f"status {error.code} {error.reason}", wait) from error
            raise Refused(error.code, error.reason) from error
    except (OSError, http.client.HTTPException) as error:
        raise TryAgain(_network_reason(error, timeout_s)) from error
    note.unlink(missing_ok=True)
    if published is not None and (problem := checksum_fault(partial, published)):
        partial.unlink()
        raise TryAgain(f"the server sent {problem}")
    return 200 if status == 206 else status


def _receive(response, partial, note, begun: int, url: str, max_bytes: int, stop: threading.Event, show: bool) -> None:
    """Write the body to ``partial``, after what is there if the server goes on from it."""
    resumed = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {begun}-")
    length = response.headers.get("Content-Length", "")
    start = begun if resumed else 0
    expected = start + int(length) if length.isdigit() else None
    _check_size(expected or 0, max_bytes, url)
    validator = response.headers.get("ETag") or response.headers.get("Last-Modified")
    resumable = resumed or response.headers.get("Accept-Ranges", "").lower() == "bytes"
    with writing_to(partial.parent):
        stream = partial.open("ab" if resumed else "wb")
        if validator and resumable and not validator.startswith("W/"):  # a weak one may be of other bytes
            write_text(note, json.dumps({"url": url, "validator": validator}))
        else:
            note.unlink(missing_ok=True)
    name = urllib.parse.unquote(url.rsplit("/", 1)[-1])[:40]
    hidden = not show and (expected or 0) < _SHOWN_BYTES
    with stream, tqdm(total=expected, initial=start, desc=name, unit="B", unit_scale=True,
                      delay=1, leave=False, disable=hidden) as bar:  # fmt: skip
        received = start
        while chunk := response.read(_CHUNK):
            if stop.is_set():
                raise Stopped
            received += len(chunk)
            _check_size(received, max_bytes, url)
            with writing_to(partial.parent):
                stream.write(chunk)
            bar.update(len(chunk))
    if expected is not None and received != expected:
        raise TryAgain(f"the body broke off after {received} of {expected} bytes")


def _published_checksum(response) -> str | None:
    """Of the whole body, by its headers: Repr-Digest (RFC 9530), Digest (RFC 3230), Content-MD5 (RFC 1864)."""
    for name, pattern in (
        ("Repr-Digest", r"sha-256=:([^:]+):"),
        ("Digest", r"sha-256=([^,\s]+)"),
        ("Content-MD5", r"(\S+)"),
    ):
        match = re.search(pattern, response.headers.get(name, ""), re.IGNORECASE)
        if match is None or (name == "Content-MD5" and response.status != 200):  # of the part that came
            continue
        try:
            digest = base64.b64decode(match[1], validate=True).hex()
        except ValueError:
            continue
        return f"{'md5' if name == 'Content-MD5' else 'sha-256'}:{digest}"
    return None


def _check_size(size: int, max_bytes: int, url: str) -> None:
    if size > max_bytes:
        raise InputError(f"{url} has {size} bytes or more; the limit is {max_bytes}")


def _retry_after(value: str | None, date: str | None) -> float | None:
    """Seconds, or a date: RFC 9110 10.2.3. ``date`` is the server's own: this machine's clock may be wrong."""
    if not value:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        now = email.utils.parsedate_to_datetime(date).timestamp() if date else time.time()
        return max(email.utils.parsedate_to_datetime(value).timestamp() - now, 0.0)
    except ValueError:
        return None


def _network_reason(error: Exception, timeout_s: float) -> str:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return f"no answer within {timeout_s:g} s"
    if isinstance(cause, http.client.IncompleteRead):
        return "the body broke off"
    text = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return f"no connection ({text}); is there a network?" if isinstance(error, urllib.error.URLError) else text
