"""Cutouts of maps on disk as a builder's."""

import functools
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from tfds_builders.generation import generate_in_parallel
from tfds_builders.map_cutouts.cutting import cut, cut_rows
from tfds_builders.placed_cutouts import Cut

_CHUNK = 128  # cutouts cut at a time


class FromMaps:
    """Mix-in before ``PlacedCutouts``, whose config has ``maps`` and ``num_processes``, and a column ``map``."""

    def _cut(self, chosen: np.ndarray, split: str) -> Iterator[Cut]:
        config, rows = self.builder_config, self.builder_config.rows
        yield from generate_in_parallel(
            functools.partial(cut, config.maps, config.bands, config.units, config.size, config.name),
            np.stack([np.asarray(rows[name], float)[chosen] for name in ("map", "ra_deg", "dec_deg")], axis=1),
            num_processes=config.num_processes,
            description=f"Cutting {split}",
            unit="cutout",
            chunk_size=_CHUNK,
            by_chunk=True,
        )

    def _beam_cut(self) -> Callable[[list[dict]], Iterable[Cut]]:
        config = self.builder_config
        return functools.partial(cut_rows, config.maps, config.bands, config.units, config.size, config.name)
