"""The section of a report about a data set: its data card."""

import functools

import numpy as np
from astropy.table import Table

from clusterjax.report import plots_dataset
from clusterjax.report.blocks import FigureBlock, Section, TableBlock
from clusterjax.report.contents import DatasetCard
from clusterjax.report.galleries import gallery_blocks


def dataset_section(card: DatasetCard) -> Section:
    """Counts, sky coverage, pixels before and after normalisation, examples of each type and of each augmentation."""
    blocks: list = [TableBlock("dataset_counts", card.counts, "Examples of each type in each split.")]
    if len(card.positions):
        blocks.append(
            FigureBlock(
                "sky_coverage",
                functools.partial(plots_dataset.plot_sky_coverage, card.positions),
                "Positions of the examples on the sky, by split.",
                "Where the examples lie, by split. Splits that were made here share no block of sky.",
                layout="full",
            )
        )
    if card.pixels:
        blocks.append(
            FigureBlock(
                "pixel_distribution",
                functools.partial(plots_dataset.plot_pixels, card.pixels, units=card.units),
                "Histograms of pixel values of each band, as stored and as the network sees them.",
                "Pixels as they are stored and as the network sees them: a heavy tail becomes a distribution of mean 0 "
                "and variance 1 in which the noise still has room.",
                layout="full",
            )
        )
    blocks += gallery_blocks([*card.examples, *card.augmented], natural=card.natural_colour)
    lead = card.description
    if card.leak is not None:
        value, error = card.leak
        lead += (
            f" Alone, {card.leak_features or 'position, depth and level'} tell the label with "
            f"an AUC of {value:.3f} ± {error:.3f}; 0.5 is nothing."
        )
    return Section("data", "The data set", lead, blocks)


def count_types(types: dict[str, np.ndarray]) -> Table:
    """Rows of types, columns of splits and their sum; from the type of every example of each split."""
    names = sorted(set().union(*(np.unique(values).tolist() for values in types.values())))
    table = Table({"type": names}, dtype=[str])
    for split, values in types.items():
        table[split] = [int(np.sum(values == name)) for name in names]
    table["all"] = np.sum([table[split] for split in types], axis=0)
    return table
