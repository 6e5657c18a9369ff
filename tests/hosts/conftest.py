"""The experiment of the tests on several hosts."""

import pathlib

import pytest

CONFIG = '''
"""A network so small that all jobs take seconds."""
from clusterjax.config import *

def get_config(variant=""):
    config = ExperimentConfig(
        name="hosts",
        data=DataConfig(num_train=64, num_validation=32, num_test=32, simulated_size=32, data_dir=DATA_DIR),
        model=ModelConfig("baseline", {"widths": (4, 8), "head_kwargs": {"dropout": 0.0}}),
        optim=OptimConfig("sgd", learning_rate=3e-2),
        lr_range=LrRangeConfig(lr_min=1e-5, lr_max=1e-1, num_steps=12),
        training=TrainingConfig(num_epochs=2, global_batch_size=16, eval_batch_size=16, log_every_steps=1),
        explain=ExplainConfig(num_cutouts=1, num_steps=4),
        search=SearchConfig(map_size=128, stride=8, batch_size=16, threshold=0.5),
    )
    if variant == "long":
        config.training.num_epochs = 60
        config.training.early_stop_patience = None
    return config
'''


@pytest.fixture(scope="session")
def hosts_config(tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("hosts")
    path = folder / "hosts.py"
    path.write_text(f"DATA_DIR = {str(folder / 'datasets')!r}\n" + CONFIG)
    return path
