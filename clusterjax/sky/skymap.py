"""The sky as data: an image of several bands with its WCS, and the map of scores that a scan makes of it."""

import dataclasses

import numpy as np
from astropy.wcs import WCS
from jaxtyping import Bool, Float

from clusterjax.sky.geometry import bounding_cap, pixel_scales_arcsec, pixel_to_sky, sky_area_deg2, sky_to_pixel


class Grid:
    """Pixels on the sky: what has a ``wcs`` and a ``shape`` (ny, nx)."""

    wcs: WCS
    shape: tuple[int, int]

    def pixel_to_sky(self, y, x) -> tuple[np.ndarray, np.ndarray]:
        """ICRS (ra_deg, dec_deg) of 0-based pixels."""
        return pixel_to_sky(self.wcs, y, x)

    def sky_to_pixel(self, ra_deg, dec_deg) -> tuple[np.ndarray, np.ndarray]:
        """0-based (y, x) of ICRS positions in degrees."""
        return sky_to_pixel(self.wcs, ra_deg, dec_deg)

    def nearest_pixel(self, ra_deg, dec_deg) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(on the map, y, x): of each ICRS position the pixel it lies on; (0, 0) for one that is off the map."""
        y, x = self.sky_to_pixel(np.asarray(ra_deg, float), np.asarray(dec_deg, float))
        with np.errstate(invalid="ignore"):
            inside = (y >= -0.5) & (y < self.shape[0] - 0.5) & (x >= -0.5) & (x < self.shape[1] - 0.5)
        rows, columns = (np.rint(np.where(inside, pixels, 0)).astype(int) for pixels in (y, x))
        return inside, np.clip(rows, 0, self.shape[0] - 1), np.clip(columns, 0, self.shape[1] - 1)

    def central_pixel_scale_arcsec(self) -> float:
        """The square root of the area of the central pixel."""
        return float(np.sqrt(np.prod(pixel_scales_arcsec(self.wcs, self.shape))))

    def bounding_cap(self) -> tuple[np.ndarray, float]:
        """Unit vector to the middle of the map, and the angle (rad) to its farthest border."""
        return bounding_cap(self.wcs, self.shape)


class PixelGrid(Grid):
    """A grid with values in ``bands``; of a map of the whole turn, ``turn`` columns on it goes on at its first."""

    bands: tuple[str, ...]
    turn: int | None = None

    def pixels(self, y0: int, x0: int, ny: int, nx: int) -> Float[np.ndarray, "ny nx band"]:
        """The window that begins at pixel (y0, x0), as native float32; NaN where there is no measurement or no map."""
        raise NotImplementedError

    def windows_around(self, ra_deg, dec_deg, size: int) -> Float[np.ndarray, "position size size band"]:
        """Windows of ``size`` pixels a side, whole pixels of the map, about ICRS positions; see ``extract_cutouts``."""
        y, x = self.sky_to_pixel(ra_deg, dec_deg)
        images = np.full((y.size, size, size, len(self.bands)), np.nan, np.float32)
        ny, nx = self.shape
        for index in np.flatnonzero(np.isfinite(y) & np.isfinite(x)):
            # Clipped so that positions far off do not overflow; a window that begins at -size or ny is off the map.
            y0 = int(np.clip(np.rint(y[index] - (size - 1) / 2), -size, ny))
            x0 = int(np.clip(np.rint(x[index] - (size - 1) / 2), -size, nx))
            images[index] = self.pixels(y0, x0, size, size)
        return images


@dataclasses.dataclass(frozen=True, eq=False)
class SkyMap(PixelGrid):
    """An image of the sky.

    ``data`` is (y, x, band) native float32, NaN where there is no measurement; ``valid`` (y, x) is True where all
    bands have one. ``wcs`` is two-dimensional and celestial. ``units`` is the bands' unit as text (one for all, or
    one a band separated by commas; empty if unknown). ``pixel_scale_arcsec`` is the square root of the area of the
    central pixel; it is measured from ``wcs`` when not given.
    """

    data: Float[np.ndarray, "y x band"]
    wcs: WCS
    valid: Bool[np.ndarray, "y x"]
    bands: tuple[str, ...]
    units: str = ""
    pixel_scale_arcsec: float | int | None = None

    def __post_init__(self):
        if self.data.ndim != 3 or self.data.shape[:2] != self.valid.shape:
            raise ValueError(f"data {self.data.shape} and valid {self.valid.shape} are not (y, x, band) and (y, x)")
        if self.data.shape[2] != len(self.bands):
            raise ValueError(f"{self.data.shape[2]} bands in the data, {len(self.bands)} names: {self.bands}")
        if self.pixel_scale_arcsec is None:
            object.__setattr__(self, "pixel_scale_arcsec", self.central_pixel_scale_arcsec())

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        return self.valid.shape

    @property
    def area_deg2(self) -> float:
        """The solid angle of the valid pixels."""
        return sky_area_deg2(self.wcs, self.valid)

    def contains(self, ra_deg, dec_deg) -> np.ndarray:
        """True for ICRS positions on a valid pixel."""
        inside, rows, columns = self.nearest_pixel(ra_deg, dec_deg)
        return inside & self.valid[rows, columns]

    def pixels(self, y0: int, x0: int, ny: int, nx: int) -> Float[np.ndarray, "ny nx band"]:
        window = np.full((ny, nx, len(self.bands)), np.nan, np.float32)
        rows, columns = (slice(max(start, 0), max(start + length, 0)) for start, length in ((y0, ny), (x0, nx)))
        part = self.data[rows, columns]
        top, left = rows.start - y0, columns.start - x0
        window[top : top + part.shape[0], left : left + part.shape[1]] = part
        return window


@dataclasses.dataclass(frozen=True, eq=False)
class ProbabilityMap(Grid):
    """Scores of a grid of windows over a :class:`SkyMap`.

    ``score`` (ny, nx) in [0, 1], NaN where the window was not scored; ``valid_fraction`` (ny, nx) float32 of
    each window; ``spread`` (ny, nx), where several networks scored each window, the standard deviation of what they
    say. Pixel (i, j) lies at the centre of its window: on pixel ``stride_pixels * (i, j) + centre_pixels``
    of the map; ``wcs`` is that of this grid. ``provenance`` says what made it (model, checkpoint, versions, date).
    """

    score: Float[np.ndarray, "ny nx"]
    valid_fraction: Float[np.ndarray, "ny nx"]
    wcs: WCS
    window_pixels: int
    stride_pixels: int
    provenance: dict = dataclasses.field(default_factory=dict)
    spread: Float[np.ndarray, "ny nx"] | None = None

    def __post_init__(self):
        if self.score.shape != self.valid_fraction.shape:
            raise ValueError(f"score {self.score.shape} and valid_fraction {self.valid_fraction.shape} differ")
        if self.spread is not None and self.spread.shape != self.score.shape:
            raise ValueError(f"score {self.score.shape} and spread {self.spread.shape} differ")

    @classmethod
    def from_log_odds(cls, log_odds: Float[np.ndarray, "ny nx"], sky: SkyMap) -> "ProbabilityMap":
        """A score for every pixel of ``sky``, from its log-odds or from any statistic that is to stand for them.

        NaN, and what is not valid on the map, is not scored.
        """
        score = 1 / (1 + np.exp(-np.clip(np.asarray(log_odds, np.float64), -30, 30)))
        score[~sky.valid] = np.nan
        return cls(score, np.isfinite(score).astype(np.float32), sky.wcs, window_pixels=1, stride_pixels=1)

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx) of the score grid."""
        return self.score.shape

    @property
    def centre_pixels(self) -> float:
        """Where the centre of the first window lies on the map, 0-based, in each axis."""
        return (self.window_pixels - 1) / 2

    @property
    def area_deg2(self) -> float:
        """The solid angle that was searched: one grid pixel for each scored window."""
        return sky_area_deg2(self.wcs, np.isfinite(self.score))

    @property
    def pixel_scale_arcsec(self) -> float:
        """Of the score grid: the square root of the area of its central pixel."""
        return self.central_pixel_scale_arcsec()

    def map_pixels(self, grid_y, grid_x) -> tuple[np.ndarray, np.ndarray]:
        """0-based (y, x) on the scanned map of positions on the score grid."""
        return tuple(np.asarray(grid) * self.stride_pixels + self.centre_pixels for grid in (grid_y, grid_x))

    def sky_positions(self) -> tuple[np.ndarray, np.ndarray]:
        """ICRS (ra_deg, dec_deg), each (ny, nx), of the windows' centres."""
        return pixel_to_sky(self.wcs, *np.indices(self.shape))

    def contains(self, ra_deg, dec_deg) -> np.ndarray:
        """True where a position lies on a scored pixel of the grid: where a source could have been found."""
        inside, rows, columns = self.nearest_pixel(ra_deg, dec_deg)
        return inside & np.isfinite(self.score[rows, columns])
