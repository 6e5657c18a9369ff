"""How the hosts of one program end together: one that fails or falls silent ends the others.

A thread on each host says each second that the host is alive, and looks whether the others are. (jax would end the
program too, later, with a stack of C++.) Hosts that end well wait for each other, in :func:`leave`.
"""

import contextlib
import os
import sys
import threading
import time

from clusterjax import hosts

SILENT_S = 30.0  # a host that has said nothing for so long is taken for dead
_BEAT_S = 1.0
_LAST_WORD_S = 5.0  # how long host 0, with the store, waits for the others to hear of its end
LOST = 1  # exit status where another host was lost; not 2, which says that starting again would not help
_ALIVE, _ENDED = "clusterjax/alive", "clusterjax/ended"


class Watch(threading.Thread):
    """Looks after the other hosts from :meth:`start` until :meth:`stop`."""

    def __init__(self):
        super().__init__(name="watch of the other hosts", daemon=True)
        self._stopped = threading.Event()

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        beat, heard = 0, {}
        while not self._stopped.wait(_BEAT_S):
            beat += 1
            try:
                hosts.set_key(f"{_ALIVE}/{hosts.host_index()}", beat, overwrite=True)
                ended, alive = hosts.keys_under(_ENDED), hosts.keys_under(_ALIVE)
            except hosts.HostsLost as error:
                if not self._stopped.is_set():
                    end_now(LOST, f"host 0 does not answer ({error}); {AGAIN}")
                return
            if ended and not self._stopped.is_set():
                host, end = min(ended.items())
                end_now(end["status"], f"host {host} has ended: {end['message']}")
            now = time.monotonic()
            for host, theirs in alive.items():
                if heard.get(host, (None,))[0] != theirs:
                    heard[host] = theirs, now
            silent = sorted(int(host) for host, (_, when) in heard.items() if now - when > SILENT_S)
            if silent and not self._stopped.is_set():
                names = "hosts " + ", ".join(map(str, silent)) if len(silent) > 1 else f"host {silent[0]}"
                end_now(LOST, f"nothing was heard of {names} for {SILENT_S:.0f} s; {AGAIN}")


AGAIN = "start the same command again on all hosts, and it goes on from the last checkpoint"
_watch: Watch | None = None


def start() -> None:
    """Watch over the other hosts from now on, if there are any."""
    global _watch
    if hosts.num_hosts() > 1:
        _watch = Watch()
        _watch.start()


def tell(status: int, message: str) -> None:
    """All other hosts end with this status, once they hear of it."""
    with contextlib.suppress(hosts.HostsLost):
        hosts.set_key(f"{_ENDED}/{hosts.host_index()}", {"status": status, "message": message}, overwrite=True)
        if hosts.is_first_host():  # the store ends with this process
            time.sleep(_LAST_WORD_S)


def end_now(status: int, message: str) -> None:
    """Say it and end the process, whatever its other threads wait for: most likely for a host that does not come."""
    print(f"\nerror: {message}" if status else f"\n{message}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(status)


def leave(status: int, message: str) -> None:
    """The end of a program on several hosts that has failed on this one: the others end too."""
    if _watch is not None:
        _watch.stop()
        tell(status, message)
        end_now(status, message)


def finish() -> None:
    """Wait until all hosts have come to their end, and look after them no longer."""
    if _watch is not None:
        hosts.wait_for_all()
        _watch.stop()
