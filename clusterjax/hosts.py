"""Several hosts as one program: they agree, one of them writes, and they end together. One host alone needs none of it.

All hosts run the same jobs. Where they must not differ, host 0 decides (:func:`from_first_host`); what needs no other
host's devices is done by host 0 while the others wait (:func:`on_first_host`). They talk through the key-value store of
jax's coordination service, which lives on host 0, and not through the devices, whose collectives give up after minutes.
:mod:`clusterjax.joining` is how they meet, :mod:`clusterjax.watching` how they end.
"""

import contextlib
import itertools
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax

from clusterjax.errors import InputError

_KEYS = "clusterjax"
_WAIT_MS = 1000  # of one question to the store: signals are handled in between
_turns = itertools.count()  # of the agreements, of which all hosts make the same ones in the same order
_alone = False


class HostsLost(Exception):
    """The other hosts cannot be reached."""


def num_hosts() -> int:
    """How many work together; 1 within :func:`alone`."""
    return 1 if _alone else jax.process_count()


def host_index() -> int:
    return 0 if _alone else jax.process_index()


def is_first_host() -> bool:
    return host_index() == 0


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """What runs within is this host's own: no other host is asked or waited for."""
    global _alone
    before, _alone = _alone, True
    try:
        yield
    finally:
        _alone = before


def is_alone() -> bool:
    """True within :func:`alone` on one of several hosts."""
    return _alone and jax.process_count() > 1


def from_first_host(make: Callable[[], Any]) -> Any:
    """``make()`` of host 0, which must be JSON-able, on all hosts. An InputError there is raised on all."""
    if num_hosts() == 1:
        return make()
    key = f"{_KEYS}/turn/{next(_turns)}"
    if is_first_host():
        try:
            with alone():
                answer = {"value": make()}
        except InputError as error:
            answer = {"error": str(error)}
        set_key(key, answer)
        answer = json.loads(json.dumps(answer))
    else:
        answer = wait_for_key(key)
    if "error" in answer:
        raise InputError(answer["error"])
    return answer["value"]


def on_first_host(work: Callable[[], Any]) -> None:
    """Do ``work`` on host 0, while the others wait. An InputError there is raised on all."""

    def make() -> None:
        work()

    from_first_host(make)


def wait_for_all() -> None:
    """Until all hosts are here."""
    if num_hosts() == 1:
        return
    key = f"{_KEYS}/here/{next(_turns)}"
    set_key(f"{key}/{host_index()}", True)
    for host in range(num_hosts()):
        wait_for_key(f"{key}/{host}")


def store():
    """The key-value store of all hosts; jax has no public name for it. None before they met."""
    from jax._src import distributed

    return distributed.global_state.client


def set_key(key: str, value: Any, *, overwrite: bool = False) -> None:
    with _lost_hosts():
        store().key_value_set(key, json.dumps(value), allow_overwrite=overwrite)


def wait_for_key(key: str) -> Any:
    """Its value, once a host has set it."""
    while True:
        try:
            return json.loads(store().blocking_key_value_get(key, _WAIT_MS))
        except jax.errors.JaxRuntimeError as error:
            if "DEADLINE_EXCEEDED" not in str(error):
                raise HostsLost(_first_line(error)) from error
            time.sleep(0.01)


def keys_under(folder: str) -> dict[str, Any]:
    """The keys that begin with ``folder``/, and their values."""
    with _lost_hosts():
        return {name.rpartition("/")[2]: json.loads(text) for name, text in store().key_value_dir_get(f"{folder}/")}


def delete_key(key: str) -> None:
    with _lost_hosts():
        store().key_value_delete(key)


@contextlib.contextmanager
def _lost_hosts() -> Iterator[None]:
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        raise HostsLost(_first_line(error)) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
