"""HiPS trees on disk (Fernique et al. 2015, IVOA HiPS 1.0): FITS tiles of HEALPix cells."""

import functools
import pathlib

import numpy as np
from jaxtyping import Float, Int

from clusterjax.errors import InputError
from clusterjax.sky.fits import read_tile
from clusterjax.sky.sphere import SphereReader, cell_scale_arcsec

_FRAMES = {"galactic": "galactic", "equatorial": "icrs", "ecliptic": "ecliptic"}
_TILES_HELD = 32  # of 512 x 512: 32 MB a band
_WIDEST = 2**13  # cells a side of a tile
_FINEST_ORDER = 29  # of the cells


def is_hips(path: pathlib.Path) -> bool:
    """True for a folder with HiPS's ``properties``."""
    return (path / "properties").is_file()


class HipsReader(SphereReader):
    """A HiPS with FITS tiles, one folder a band, of one width and frame.

    Tiles are read as they are needed, of the coarsest order that is as fine as ``pixel_scale_arcsec`` (None: of the
    finest there is). Raises :class:`InputError` for a folder without ``properties`` or without FITS tiles, and for
    bands of different frames, widths or tiles.
    """

    def __init__(
        self,
        folders: list[pathlib.Path],
        *,
        bands: tuple[str, ...] | None = None,
        pixel_scale_arcsec: float | int | None = None,
        interpolation: str = "nearest",
    ):
        trees = [_Tree(folder, pixel_scale_arcsec) for folder in folders]
        for tree in trees[1:]:
            if (tree.frame, tree.order, tree.width) != (trees[0].frame, trees[0].order, trees[0].width):
                raise InputError(
                    f"{trees[0].where} and {tree.where} differ in frame, order or tile width; all bands must be alike"
                )
        if bands is not None and len(bands) != len(trees):
            raise InputError(f"{len(trees)} HiPS folders were given; one a band is needed: {', '.join(bands)}")
        self._trees = trees
        self._width = trees[0].width
        self._bits = self._width.bit_length() - 1
        units = [tree.units for tree in trees]
        super().__init__(
            nside=self._width * 2 ** trees[0].order,
            frame=trees[0].frame,
            order="nested",
            bands=tuple(bands or (tree.folder.name for tree in trees)),
            units=units[0] if len(set(units)) == 1 else ", ".join(units),
            where=", ".join(tree.where for tree in trees),
            cells=(2 ** trees[0].order, trees[0].tiles),
            pixel_scale_arcsec=pixel_scale_arcsec,
            interpolation=interpolation,
        )

    def cell_values(self, cells: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n band"]:
        cells = np.asarray(cells, np.int64)
        found = np.full((len(cells), len(self._trees)), np.nan, np.float32)
        tile, inside = cells >> (2 * self._bits), cells & (4**self._bits - 1)
        row, column = tile_pixels(inside, self._width)
        for number in np.unique(tile):
            here = tile == number
            for band, tree in enumerate(self._trees):
                pixels = tree.read(int(number))
                if pixels is not None:
                    found[here, band] = pixels[row[here], column[here]]
        return found


class _Tree:
    """One HiPS folder at the order that is read."""

    def __init__(self, folder: pathlib.Path, pixel_scale_arcsec: float | int | None):
        self.folder, self.where = folder, str(folder)
        properties = _properties(folder)
        frame = properties.get("hips_frame", "equatorial")
        if frame not in _FRAMES:
            raise InputError(f"{folder}/properties has hips_frame={frame!r}; one of {', '.join(_FRAMES)} is needed")
        self.frame = _FRAMES[frame]
        width = properties.get("hips_tile_width", "512")
        self.width = int(width) if width.isdecimal() and len(width) < 6 else 0
        if self.width & (self.width - 1) or not 1 < self.width <= _WIDEST:
            raise InputError(f"{folder}/properties has hips_tile_width={width}; a power of 2 up to {_WIDEST} is needed")
        orders = {
            order: path
            for path in folder.glob("Norder*")
            if (order := _number(path.name.removeprefix("Norder"))) is not None and _tile_numbers(path)
        }
        if not orders:
            raise InputError(f"{folder} holds no FITS tiles (NorderK/DirD/NpixN.fits); HiPS of pictures cannot be used")
        fine = [
            order
            for order in orders
            if pixel_scale_arcsec and cell_scale_arcsec(self.width * 2**order) <= 1.01 * pixel_scale_arcsec
        ]
        self.order = min(fine) if fine else max(orders)
        self.tiles = np.sort(_tile_numbers(orders[self.order]))
        if self.order + self.width.bit_length() > _FINEST_ORDER + 1 or self.tiles[-1] >= 12 * 4**self.order:
            raise InputError(
                f"{orders[self.order]} has tiles that are none of order {self.order}, at most {_FINEST_ORDER}"
            )
        self._known = set(self.tiles.tolist())
        self._read = functools.lru_cache(maxsize=_TILES_HELD)(self._read_tile)
        self.units = read_tile(self._path(int(self.tiles[0])))[1]

    def _path(self, number: int) -> pathlib.Path:
        return self.folder / f"Norder{self.order}" / f"Dir{number // 10000 * 10000}" / f"Npix{number}.fits"

    def read(self, number: int) -> np.ndarray | None:
        return self._read(number) if number in self._known else None

    def _read_tile(self, number: int) -> np.ndarray:
        path = self._path(number)
        pixels = read_tile(path)[0]
        if pixels.shape != (self.width, self.width):
            raise InputError(f"{path} has {pixels.shape} pixels; hips_tile_width says {self.width} a side")
        return pixels


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 19 else None


def _tile_numbers(folder: pathlib.Path) -> list[int]:
    """Of the FITS tiles of one order."""
    names = (path.name.removeprefix("Npix").removesuffix(".fits") for path in folder.glob("Dir*/Npix*.fits"))
    return [number for number in map(_number, names) if number is not None]


def _properties(folder: pathlib.Path) -> dict[str, str]:
    try:
        text = (folder / "properties").read_text(errors="replace")
    except OSError as error:
        raise InputError(f"{folder}/properties cannot be read: {error.strerror}") from error
    lines = (line.partition("=") for line in text.splitlines() if not line.lstrip().startswith("#"))
    return {key.strip(): value.strip() for key, _, value in lines}


def tile_pixels(inside: Int[np.ndarray, " n"], width: int) -> tuple[np.ndarray, np.ndarray]:
    """(row, column) in a FITS tile of the nested cells ``inside`` it, which count from 0 to width^2 - 1."""
    # Rows count down the first of the two interleaved coordinates, columns count up the second.
    return width - 1 - _even_bits(inside), _even_bits(inside >> 1)


def _even_bits(numbers: np.ndarray) -> np.ndarray:
    """Bits 0, 2, 4 ... packed together."""
    numbers = numbers & 0x5555555555555555
    for shift, mask in (
        (1, 0x3333333333333333), (2, 0x0F0F0F0F0F0F0F0F), (4, 0x00FF00FF00FF00FF),
        (8, 0x0000FFFF0000FFFF), (16, 0x00000000FFFFFFFF),
    ):  # fmt: skip
        numbers = (numbers | numbers >> shift) & mask
    return numbers
