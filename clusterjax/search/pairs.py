"""Windows of two maps of one sky with pixels of different scales: what a joint network sees about each position."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from clusterjax.errors import InputError
from clusterjax.search.windows import WindowGrid
from clusterjax.sky.skymap import ProbabilityMap, SkyMap

_PART = 1024  # windows at a time


@dataclasses.dataclass(frozen=True, eq=False)
class PairedMaps:
    """``fine`` and ``coarse`` maps of the same sky; windows of ``size`` pixels of either about the same positions.

    Positions are the centres of the coarse map's windows, every ``stride`` of its pixels. The fine map's window lies
    within half a fine pixel of it; where it would leave that map there is no position.
    """

    fine: SkyMap
    coarse: SkyMap
    size: int = 64
    stride: int = 1

    def __post_init__(self):
        if self.fine.pixel_scale_arcsec >= self.coarse.pixel_scale_arcsec:
            raise InputError(
                f"the first map has pixels of {self.fine.pixel_scale_arcsec} arcsec, the second of "
                f"{self.coarse.pixel_scale_arcsec}; give that of the smaller pixels first"
            )

    @property
    def grid(self) -> WindowGrid:
        """Of the coarse map."""
        return WindowGrid(self.coarse.shape, self.size, self.stride)

    def starts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(grid places, first coarse pixel, first fine pixel), each (window, 2), of positions that both maps show."""
        places = np.argwhere(np.ones(self.grid.shape, bool))
        coarse = places * self.stride
        middle = (self.size - 1) / 2
        sky = self.coarse.pixel_to_sky(*(coarse + middle).T)
        fine = np.round(np.stack(self.fine.sky_to_pixel(*sky), axis=1) - middle).astype(int)
        inside = ((coarse >= 0) & (coarse <= np.array(self.coarse.shape) - self.size)).all(axis=1)
        inside &= ((fine >= 0) & (fine <= np.array(self.fine.shape) - self.size)).all(axis=1)
        return places[inside], coarse[inside], fine[inside]

    def score(
        self,
        observe: Callable[[Float[np.ndarray, "n y x band"]], Mapping[str, np.ndarray]],
        *,
        show_progress: bool = True,
    ) -> dict[str, ProbabilityMap]:
        """The scores (n,) that ``observe`` gives the windows (fine bands first) by the observers' names, as maps on the
        coarse map's grid."""
        places, coarse, fine = self.starts()
        if not len(places):
            raise InputError("the two maps have no window in common; they must show the same sky")
        scores: dict[str, np.ndarray] = {}
        begins = range(0, len(places), _PART)
        for begin in tqdm(begins, desc="scoring pairs of windows", unit="part", disable=not show_progress):
            part = slice(begin, begin + _PART)
            windows = np.stack(
                [np.concatenate([_cut(self.fine, f, self.size), _cut(self.coarse, c, self.size)], axis=-1)
                 for f, c in zip(fine[part].tolist(), coarse[part].tolist(), strict=True)]
            )  # fmt: skip
            for name, values in observe(windows).items():
                scores.setdefault(name, np.full(self.grid.shape, np.nan))[tuple(places[part].T)] = values
        wcs = self.grid.wcs(self.coarse.wcs)
        return {
            name: ProbabilityMap(
                values, np.isfinite(values).astype(np.float32), wcs, window_pixels=self.size, stride_pixels=self.stride
            )
            for name, values in scores.items()
        }


def _cut(sky: SkyMap, start: list[int], size: int) -> np.ndarray:
    y, x = start
    return sky.data[y : y + size, x : x + size]
