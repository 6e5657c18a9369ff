"""Regions for image viewers: DS9's own format, and CASA's (CRTF), which CARTA reads."""

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from clusterjax.writing import write_text


@dataclasses.dataclass(frozen=True)
class Ellipses:
    """Ellipses in ICRS. ``axes_arcmin`` are (major, minor) half axes, ``angle_deg`` the position angle of the major
    one, from north to east."""

    ra_deg: Float[np.ndarray, " n"]
    dec_deg: Float[np.ndarray, " n"]
    axes_arcmin: Float[np.ndarray, "n 2"]
    angle_deg: Float[np.ndarray, " n"]
    labels: Sequence[str]
    colours: Sequence[str]

    def rows(self) -> Iterator[tuple]:
        """(ra, dec, major, minor, angle, label, colour) of each, the half axes in arcsec."""
        major, minor = 60 * self.axes_arcmin.T
        return zip(self.ra_deg, self.dec_deg, major, minor, self.angle_deg, self.labels, self.colours, strict=True)


def write_ds9_regions(path: str | os.PathLike, ellipses: Ellipses, *, provenance: Mapping) -> None:
    """Raises InputError where it cannot be written."""
    lines = ["# Region file format: DS9 version 4.1", *_comments(provenance), "global width=1", "icrs"]
    for ra, dec, major, minor, angle, label, colour in ellipses.rows():
        # DS9's first axis lies east to west before the ellipse is turned.
        lines.append(
            f'ellipse({ra:.6f},{dec:.6f},{minor:.3f}",{major:.3f}",{angle:.2f}) # color={colour} text={{{label}}}'
        )
    _write(path, lines)


def write_crtf_regions(path: str | os.PathLike, ellipses: Ellipses, *, provenance: Mapping) -> None:
    """In CASA's region text format, version 0. Raises InputError where it cannot be written."""
    lines = ["#CRTFv0 CASA Region Text Format version 0", *_comments(provenance), "global coord=ICRS"]
    for ra, dec, major, minor, angle, label, colour in ellipses.rows():
        lines.append(
            f"ellipse[[{ra:.6f}deg, {dec:.6f}deg], [{major:.3f}arcsec, {minor:.3f}arcsec], {angle:.2f}deg] "
            f'coord=ICRS, color={colour}, label="{label}"'
        )
    _write(path, lines)


def _comments(provenance: Mapping) -> list[str]:
    return [f"# {name}: {' '.join(str(value).split())}" for name, value in provenance.items()]


def _write(path: str | os.PathLike, lines: Sequence[str]) -> None:
    write_text(path, "\n".join(lines) + "\n")
