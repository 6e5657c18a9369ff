"""A small network and data that it can learn, shared by the tests of training."""

import numpy as np
import pytest

from clusterjax.config import OptimConfig
from clusterjax.models import create_model
from clusterjax.parallel import make_mesh
from clusterjax.training.optim import make_optimizer
from clusterjax.training.state import create_state
from clusterjax.training.step import make_eval_step, make_train_step


class Batches:
    """Batch i is drawn from seed i: label 1 is a little brighter. Resumable like a Grain iterator."""

    def __init__(self, batch_size=32, size=16):
        self.batch_size, self.size, self.next = batch_size, size, 0

    def __iter__(self):
        return self

    def __next__(self):
        rng = np.random.default_rng(self.next)
        self.next += 1
        label = rng.integers(0, 2, self.batch_size).astype(np.int32)
        image = rng.normal(size=(self.batch_size, self.size, self.size, 2)).astype(np.float32)
        image += 0.3 * label[:, None, None, None]
        return {"image": image, "label": label, "valid": np.ones(self.batch_size, bool)}

    def take(self, num):
        return [next(self) for _ in range(num)]

    def get_state(self):
        return {"next": self.next}

    def set_state(self, state):
        self.next = state["next"]


class Setup:
    """graphdef, a fresh state and the compiled steps, on ``devices``."""

    def __init__(self, devices=None, *, optim=None, dropout=0.5, dtype="float32", seed=0):
        self.mesh = make_mesh(devices)
        self.tx = make_optimizer(optim or OptimConfig())
        self.graphdef, self.state = create_state(
            lambda rngs: create_model(
                "baseline",
                num_bands=2,
                num_classes=2,
                dtype=dtype,
                rngs=rngs,
                widths=(4, 8),
                head_kwargs={"dropout": dropout},
            ),
            self.tx,
            self.mesh,
            seed=seed,
        )
        self.train_step = make_train_step(self.graphdef, self.tx, self.mesh, seed=seed)
        self.eval_step = make_eval_step(self.graphdef, self.mesh)


@pytest.fixture
def make_setup():
    return Setup


@pytest.fixture
def make_batches():
    return Batches
