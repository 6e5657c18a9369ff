"""A trace of a few steps of training: what the device and the host do when, for xprof and Perfetto."""

import logging
import pathlib

import jax

FIRST_STEP, NUM_STEPS = 5, 5  # counted from where the program begins: the first ones compile


class Profile:
    """Traces the steps FIRST_STEP to FIRST_STEP + NUM_STEPS - 1 into ``folder``; to be entered around the training."""

    def __init__(self, folder: pathlib.Path):
        self.folder = pathlib.Path(folder)
        self._steps = 0
        self._under_way = False

    def before_step(self, state) -> None:
        """Of the training loop, before each step, with what the one before gave."""
        if self._steps == FIRST_STEP:
            jax.block_until_ready(state)
            jax.profiler.start_trace(str(self.folder), create_perfetto_trace=True)
            self._under_way = True
        elif self._steps == FIRST_STEP + NUM_STEPS:
            jax.block_until_ready(state)
            self._stop()
        self._steps += 1

    def _stop(self) -> None:
        if self._under_way:
            jax.profiler.stop_trace()
            self._under_way = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stop()
        if self._steps <= FIRST_STEP:
            logging.warning("no trace: training took %d steps, a trace begins after %d", self._steps, FIRST_STEP)
