"""How the program ends: every way out has one line, an exit status, and takes the other hosts along."""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from clusterjax.errors import InputError

USAGE_ERROR = 2
_GOES_ON = "interrupted; the same command goes on from the last finished part"


class _Terminated(BaseException):
    """SIGTERM outside of training, which has a handler of its own."""


def fail(message: str) -> NoReturn:
    """End with ``message`` on one line of stderr."""
    # A name in a file may hold what a terminal obeys.
    plain = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in " ".join(message.split()))
    print(f"error: {plain}", file=sys.stderr)
    sys.exit(USAGE_ERROR)


def run_to_the_end(work: Callable[[], None], *, several_hosts: bool, sigterm_status: int | None) -> None:
    """Do ``work``; what a user can mend is one line, what stops it says that it goes on, anything else is raised.

    ``sigterm_status`` is the exit status after SIGTERM; None: that of $CLUSTERJAX_SIGTERM_STATUS, else 0. With
    ``several_hosts`` (which have met by then, or not) this one ends the others, or waits for them.
    """
    from clusterjax.training.interruption import Interrupted

    def terminate(*_) -> None:
        raise _Terminated

    after_sigterm = _status_of_environment() if sigterm_status is None else sigterm_status
    signal.signal(signal.SIGTERM, terminate)
    try:
        work()
        _wait_for_hosts(several_hosts)
    except InputError as error:
        _leave_hosts(several_hosts, USAGE_ERROR, str(error))
        fail(str(error))
    except Interrupted as stopped:  # on all hosts at the same step
        print(f"\ninterrupted: {stopped}", file=sys.stderr)
        _wait_for_hosts(several_hosts)
        sys.exit(after_sigterm if stopped.signum == signal.SIGTERM else 128 + stopped.signum)
    except (KeyboardInterrupt, _Terminated) as stopped:
        status = after_sigterm if isinstance(stopped, _Terminated) else 128 + signal.SIGINT
        _leave_hosts(several_hosts, status, _GOES_ON)
        print(f"\n{_GOES_ON}", file=sys.stderr)
        sys.exit(status)
    except Exception as error:
        if several_hosts:
            _leave_after(error)
        raise


def _status_of_environment() -> int:
    given = os.environ.get("CLUSTERJAX_SIGTERM_STATUS", "")
    return int(given) if given.isdigit() else 0


def _wait_for_hosts(several_hosts: bool) -> None:
    if several_hosts:
        from clusterjax import watching

        watching.finish()


def _leave_hosts(several_hosts: bool, status: int, message: str) -> None:
    """On several hosts, end this one and the others. On one, return."""
    if several_hosts:
        from clusterjax import watching

        watching.leave(status, message)


def _leave_after(error: Exception) -> None:
    """The same after an error that is no user's: of a device that waited for those of a host that is gone, or a bug."""
    import jax

    from clusterjax import hosts, watching

    if isinstance(error, jax.errors.JaxRuntimeError | hosts.HostsLost):
        reason = (str(error).strip().splitlines() or [""])[0][:200]
        watching.leave(watching.LOST, f"the other hosts were lost ({reason}); {watching.AGAIN}")
    traceback.print_exception(error)
    watching.leave(watching.LOST, f"{type(error).__name__}: {error}")
