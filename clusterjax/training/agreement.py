"""All hosts stop at the same step when one of them gets a signal: a step that only some take never ends."""

import itertools
import time

from clusterjax import hosts

_BETWEEN_S = 1.0  # what the hosts ask each other about as often as this
_KEYS = "clusterjax/stop"
_runs = itertools.count()  # of training, of which all hosts begin the same ones in the same order


class Stops:
    """Whether to stop after a step; the same answer on all hosts, which must ask after each step, in order.

    Host 0 decides at steps about a second apart, and says at each which is the next; no other step costs a question.
    ``most_steps``: never further apart. The loop must not let a host run ahead of another by more than that.
    """

    def __init__(self, first_step: int, most_steps: int):
        self._keys = f"{_KEYS}/{next(_runs)}"
        self._next = first_step + 1
        self._most_steps = most_steps
        self._last = first_step, time.monotonic()
        self._published: list[int] = []
        self._asked = False

    def signal_after(self, step: int, received: int | None, *, ask: bool = False) -> int | None:
        """The signal that one of the hosts has received, or None. ``received``: this one's. ``ask``: at any rate."""
        if hosts.num_hosts() == 1:
            return received
        if received is not None and not self._asked:
            hosts.set_key(f"{_KEYS}/wanted/{hosts.host_index()}", received)
            self._asked = True
        if step < self._next and not ask:
            return None
        key = f"{self._keys}/{step}"
        if hosts.is_first_host():
            wanted = hosts.keys_under(f"{_KEYS}/wanted")
            answer = {"signal": min(wanted.values(), default=None), "next": step + self._distance(step)}
            hosts.set_key(key, answer)
            self._forget(step)
        else:
            answer = hosts.wait_for_key(key)
        self._next = answer["next"]
        return answer["signal"]

    def _distance(self, step: int) -> int:
        (before, then), now = self._last, time.monotonic()
        self._last = step, now
        rate = (step - before) / max(now - then, 1e-6)
        return max(1, min(int(rate * _BETWEEN_S), self._most_steps))

    def _forget(self, step: int) -> None:
        """Answers that all hosts have read."""
        self._published.append(step)
        while self._published[0] < step - 3 * self._most_steps:
            hosts.delete_key(f"{self._keys}/{self._published.pop(0)}")
