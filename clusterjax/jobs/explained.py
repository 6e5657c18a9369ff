"""What the job explain left, for the report."""

import dataclasses
import pathlib

import numpy as np
from astropy.table import Table

from clusterjax.jobs.session import read_json, say
from clusterjax.report.contents import ActivationMaps, Explanations, Predictions, Saliency
from clusterjax.report.galleries import caption
from clusterjax.sky.catalogues import read_table


@dataclasses.dataclass(frozen=True)
class Explained:
    """``table`` has a row an explained cutout, ``arrays`` are those of maps.npz, with the same rows."""

    table: Table
    arrays: dict[str, np.ndarray]
    summary: dict

    @property
    def groups(self) -> dict[str, np.ndarray]:
        """Places in the split of each group's cutouts, in the order in which they are shown."""
        groups = np.asarray(self.table["group"]).astype(str)
        index = np.asarray(self.table["index"])
        return {name: index[groups == name] for name in dict.fromkeys(groups.tolist())}

    def saliency(self, group: str) -> Saliency:
        rows = np.asarray(self.table["group"]).astype(str) == group
        return Saliency(self.arrays["grad_cam"][rows], self.arrays["attribution"][rows])

    def for_report(self, predictions: Predictions) -> Explanations:
        layers = self.summary["layers"]
        images = self.arrays["activation_images"]
        first = [int(index[0]) for index in self.groups.values()][: len(images)]
        place = {int(index): row for row, index in enumerate(predictions.table["index"]) if int(index) in first}
        activations = [
            ActivationMaps(
                caption=caption(predictions, place[index]).replace("\n", ", "),
                image=images[i],
                maps={name: self.arrays[f"activation_{name}"][i] for name in layers},
                filters={name: about["filters"] for name, about in layers.items()},
            )
            for i, index in enumerate(first)
        ]
        return Explanations(self.table, activations, self._description())

    def _description(self) -> str:
        config = self.summary["made_from"]["config"]
        targets = sorted(set(np.asarray(self.table["target"]).astype(str).tolist()))
        target = f"“{targets[0]}”" if len(targets) == 1 else "the class that was called"
        baseline = {"average": "an image of average pixels", "empty": "a cutout without any flux"}[config["baseline"]]
        worst = float(np.max(np.abs(self.table["completeness_error"])))
        return (
            f"Grad-CAM (Selvaraju et al. 2017) shows where layer {self.summary['grad_cam_layer']} finds what speaks "
            f"for {target}: bright is much; each map has its own scale, and is black where nothing does. The "
            f"attribution is each pixel's part of the log-odds of {target} (integrated gradients, Sundararajan et al. "
            f"2017), from {baseline} in {config['num_steps']} steps: red speaks for it, blue against it. The parts add "
            f"up to the log-odds within {worst:.2g}."
        )


def read_explained(workdir: pathlib.Path, metrics: dict) -> Explained | None:
    """None where nothing was explained, or another evaluation than that of ``metrics``."""
    folder = workdir / "explain"
    if not (folder / "summary.json").exists():
        return None
    summary = read_json(folder / "summary.json")
    if summary["made_from"]["evaluation"] != metrics["made_from"]:
        say("the explanations are of another evaluation and are left out: run --job=explain")
        return None
    with np.load(folder / "maps.npz", allow_pickle=False) as file:
        return Explained(read_table(folder / "explanations.fits"), dict(file), summary)
