"""The section of a report about the selection function: what is found of the clusters that there are."""

import functools
from collections.abc import Mapping

from clusterjax.report import plots_selection as plots
from clusterjax.report.blocks import FigureBlock, Section, TableBlock
from clusterjax.search.selection import SelectionFunction

_HEIGHT = {"matched filter": "S/N"}  # what the log-odds of a finder are, if anything else


def selection_section(selections: Mapping[str, SelectionFunction], *, excluded_fraction: float) -> Section:
    """``selections`` by their finders' names, the network's first."""
    blocks: list = []
    for name, selection in selections.items():
        stem = name.replace(" ", "_")
        blocks.append(
            FigureBlock(
                f"completeness_over_mass_{stem}",
                functools.partial(plots.plot_completeness, selection),
                f"Fraction of injected clusters that the {name} finds, over mass at several redshifts.",
                f"What the {name} finds of injected clusters over their mass: points with 68 % Wilson intervals, and "
                f"the fitted model with its error. {_fit_text(selection)}",
            )
        )
    blocks.append(
        FigureBlock(
            "mass_limits",
            functools.partial(plots.plot_mass_limits, selections),
            "Masses of which 50, 80 and 90 percent are found, over redshift.",
            "The masses of which 50, 80 and 90 % are found, at the median noise of the map, over redshift.",
        )
    )
    with_controls = {name: one for name, one in selections.items() if "CONTAMINATION" in one.tables}
    for name, selection in with_controls.items():
        blocks.append(
            FigureBlock(
                f"contamination_{name.replace(' ', '_')}",
                functools.partial(plots.plot_contamination, selection, what=_HEIGHT.get(name, "log-odds of the score")),
                f"False candidates per square degree of the {name} against the threshold.",
                f"False candidates of the {name} above a threshold, from: {selection.facts['contamination_from']}.",
            )
        )
    if with_controls:
        above = next(iter(with_controls.values())).tables["PURITY"]["completeness"].description or ""
        blocks.append(
            FigureBlock(
                "purity_completeness",
                functools.partial(plots.plot_purity, with_controls),
                "Purity against completeness over all thresholds.",
                f"Purity against completeness {above} as the threshold changes, for the number of clusters that the "
                "true mass function has at 0.1 < z < 1.8; squares: the candidates' own thresholds.",
            )
        )
    blocks.append(
        FigureBlock(
            "position_offsets",
            functools.partial(plots.plot_offsets, selections),
            "Histogram of the distances of detections from the injected clusters' true places.",
            "How far from the truth injected clusters are found. Dotted: what Gaussian errors along both axes would "
            "make of the same mean square.",
        )
    )
    for name, selection in selections.items():
        blocks += _tables(name, selection)
    return Section("selection", "What is found of the clusters there are", _lead(selections, excluded_fraction), blocks)


def _lead(selections: Mapping[str, SelectionFunction], excluded_fraction: float) -> str:
    first = next(iter(selections.values()))
    number = first.facts["num_injected"]
    lead = f"{number:,} simulated clusters were put into the scanned map, a few at a time, and it was searched again. "
    if excluded_fraction:
        lead += (
            f"They keep away from known clusters and from the map's own candidates, {excluded_fraction:.1%} of the "
            "footprint. "
        )
    return lead + "clusterjax.SelectionFunction.read reads the file selection.fits, which gives these probabilities."


def _fit_text(selection: SelectionFunction) -> str:
    facts = selection.facts
    return (
        f"Goodness of fit: deviance {facts['deviance']:.1f} of {facts['num_cells']} cells, p = {facts['p_value']:.2f}; "
        f"at most {facts['ceiling']:.1%} are found."
    )


def _tables(name: str, selection: SelectionFunction) -> list[TableBlock]:
    stem = name.replace(" ", "_")
    captions = {
        "MASS_LIMITS": (f"mass_limits_{stem}", f"Mass limits of the {name}.", False),
        "POSITIONS": (f"positions_{stem}", f"Distances from the truth, of the {name}.", False),
        "COMPLETENESS": (f"completeness_{stem}", f"What the {name} found in each cell.", True),
        "CONTAMINATION": (f"false_{stem}", f"False candidates of the {name}.", True),
        "PURITY": (f"purity_{stem}", f"Purity and completeness of the {name}.", True),
    }
    return [
        TableBlock(file, selection.tables[table], caption, folded=folded)
        for table, (file, caption, folded) in captions.items()
        if table in selection.tables
    ]
