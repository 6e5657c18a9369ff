"""SIGINT and SIGTERM end the training loop after the step in progress, with a checkpoint."""

import signal


class Interrupted(Exception):
    """Training stopped on a signal, and its state is saved. ``signum`` is the signal."""

    def __init__(self, signum: int, step: int):
        super().__init__(f"{signal.Signals(signum).name} at step {step}; the same command goes on from there")
        self.signum = signum
        self.step = step


class CatchSignals:
    """While entered, the first signal is only noted in ``received``; a second one acts at once."""

    def __init__(self, signals=(signal.SIGINT, signal.SIGTERM)):
        self._signals = signals
        self._previous = {}
        self.received: int | None = None

    def __enter__(self):
        for signum in self._signals:
            self._previous[signum] = signal.signal(signum, self._note)
        return self

    def _note(self, signum, _frame):
        self.received = signum
        self._restore()

    def _restore(self):
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)
        self._previous = {}

    def __exit__(self, *_):
        self._restore()
