"""The section of a report about what the network looks at: activation maps, and how much each band gives."""

import functools

import numpy as np
from astropy.table import Table

from clusterjax.report.blocks import FigureBlock, Section, TableBlock
from clusterjax.report.contents import Explanations
from clusterjax.report.images import false_colour, fit_stretch
from clusterjax.report.plots_explain import plot_activation_maps

_ATTRIBUTION = "attribution_"


def explanations_section(explanations: Explanations, *, natural: bool) -> Section:
    """A figure of activation maps for each of the chosen cutouts; the bands' attributions; all numbers as a file."""
    blocks: list = []
    for i, one in enumerate(explanations.activations):
        picture = false_colour(one.image[None], fit_stretch(one.image[None]), natural=natural)[0]
        layers = ", ".join(one.maps)
        blocks.append(
            FigureBlock(
                f"activations_{i}",
                functools.partial(plot_activation_maps, picture, one.maps, one.filters),
                f"Activation maps of {layers} for {one.caption}.",
                f"{one.caption}: what chosen filters of some layers make of it. Each map has its own scale from "
                "its least value, black, to its largest."
                if i == 0
                else one.caption,
                layout="full",
            )
        )
    by_band = attribution_by_band(explanations.table)
    shown = [name for name in by_band.colnames if not name.endswith("_std")]
    blocks += [
        TableBlock(
            "attribution_by_band",
            by_band,
            "Mean log-odds of the cutouts of each gallery, and the part that each band gives (standard deviations are "
            "in the table's file); "
            "with those of the baseline, the parts make the whole.",
            shown,
        ),
        TableBlock("explanations", explanations.table, "Every explained cutout.", folded=True),
    ]
    return Section("activations", "What its layers make of them", "", blocks)


def attribution_by_band(table: Table) -> Table:
    """A row a group: means over its cutouts, with standard deviations (``_std``)."""
    names = ["log_odds", "baseline_log_odds", *(name for name in table.colnames if name.startswith(_ATTRIBUTION))]
    groups = np.asarray(table["group"]).astype(str)
    rows = []
    for group in dict.fromkeys(groups.tolist()):
        row = {"group": group.replace("_", " "), "num": int(np.sum(groups == group))}
        for name in names:
            values = np.asarray(table[name], float)[groups == group]
            row |= {name: values.mean(), f"{name}_std": values.std()}
        rows.append(row)
    return Table(rows)
