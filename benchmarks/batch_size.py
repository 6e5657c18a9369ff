"""Which learning rate a larger batch needs: AUC and loss after as many epochs, for three rules.

    python benchmarks/batch_size.py [--batches 32 128 512] [--rate 1e-3] [--epochs 8] [--train 2048] [--seeds 2]

Adam on simulated infrared cutouts of 32 px, with a small network. The rate is the same for all batches, grows with the
square root of the batch (Malladi et al. 2022, arXiv:2205.10287), or with the batch (Goyal et al. 2017,
arXiv:1706.02677), from that of the first batch. --warmup epochs of rising rate come first.
"""

import argparse
import pathlib
import tempfile

import jax
import numpy as np

from clusterjax.config import DataConfig, ExperimentConfig, ModelConfig, OptimConfig, TrainingConfig
from clusterjax.evaluation.curves import auc
from clusterjax.jobs.learning import evaluation_batches, make_run, set_up
from clusterjax.jobs.session import Session
from clusterjax.parallel import make_mesh
from clusterjax.training.checkpoint import Checkpoints
from clusterjax.training.evaluate import evaluate
from clusterjax.training.loop import train

RULES = {"the same": 0.0, "square root": 0.5, "linear": 1.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 128, 512])
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--warmup", type=float, default=1.0)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--train", type=int, default=2048)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--data", default="runs/datasets")
    options = parser.parse_args()
    # Of a batch size, all runs are the same programs
    jax.config.update(
        "jax_compilation_cache_dir", str(pathlib.Path(options.data).resolve().parent / "compilation_cache")
    )
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    print(f"{'batch':>6} {'rule':>12} {'rate':>8} {'validation loss':>18} {'AUC':>16}")
    for batch in options.batches:
        rules = RULES if batch != options.batches[0] else {"the same": 0.0}
        for rule, power in rules.items():
            rate = options.rate * (batch / options.batches[0]) ** power
            figures = np.array([measure(options, batch, rate, seed) for seed in range(options.seeds)])
            (loss, area), (loss_std, area_std) = figures.mean(0), figures.std(0, ddof=1)
            print(
                f"{batch:6d} {rule:>12} {rate:8.2g} {loss:10.4f} ± {loss_std:.4f} {area:8.4f} ± {area_std:.4f}",
                flush=True,
            )


def measure(options, batch: int, rate: float, seed: int) -> tuple[float, float]:
    """(loss, AUC) of the validation split at the end."""
    config = ExperimentConfig(
        seed=seed,
        data=DataConfig(
            num_train=options.train, num_validation=1024, num_test=64, simulated_size=32, data_dir=options.data
        ),
        model=ModelConfig("baseline", {"widths": (8, 16)}),
        optim=OptimConfig(learning_rate=rate, schedule="cosine", warmup_epochs=options.warmup),
        training=TrainingConfig(num_epochs=options.epochs, global_batch_size=batch, early_stop_patience=None),
    )
    with tempfile.TemporaryDirectory() as folder:
        session = Session(config, pathlib.Path(folder), make_mesh(jax.devices()[:1]))
        learning = set_up(session)
        with Checkpoints(session.workdir / "checkpoints") as checkpoints:
            run = make_run(session, learning, learning.network, rate, checkpoints)
            train(run, session.workdir, show_progress=False)
        batches = evaluation_batches(config, learning.validation)
        metrics, columns = evaluate(learning.eval_step, run.state, batches, session.mesh)
    return metrics["loss"], auc(columns["label"], columns["scores"][:, 1].astype(float))


if __name__ == "__main__":
    main()
