"""What the page is made of: figures, tables, galleries and candidates, in sections."""

import dataclasses
from collections.abc import Callable, Sequence

from astropy.table import Table
from matplotlib.figure import Figure

from clusterjax.report.theme import Theme


@dataclasses.dataclass(frozen=True)
class FigureBlock:
    """``plot(theme=...)`` draws it; ``name`` is its file's; ``alt`` says what it shows to who cannot see it.

    ``layout`` is half (of the page's width), beside (its caption beside it) or full. ``photographic`` ones hold a
    picture of the sky: on the page they are JPEG, a tenth of the size.
    """

    name: str
    plot: Callable[..., Figure]
    alt: str
    caption: str
    layout: str = "half"
    photographic: bool = False
    kind: str = "figure"

    def draw(self, theme: Theme) -> Figure:
        return self.plot(theme=theme)


@dataclasses.dataclass(frozen=True)
class TableBlock:
    """A table on the page (``columns`` of it, all if None) and, whole, as a file ``name``."""

    name: str
    table: Table
    caption: str
    columns: Sequence[str] | None = None
    folded: bool = False
    kind: str = "table"


@dataclasses.dataclass(frozen=True)
class Thumbnail:
    png: bytes
    lines: Sequence[str]
    alt: str


@dataclasses.dataclass(frozen=True)
class GalleryBlock:
    title: str
    description: str
    thumbnails: Sequence[Thumbnail]
    kind: str = "gallery"


@dataclasses.dataclass(frozen=True)
class Strip:
    """One cutout: ``pictures`` of it side by side, each (name, PNG)."""

    pictures: Sequence[tuple[str, bytes]]
    lines: Sequence[str]
    alt: str


@dataclasses.dataclass(frozen=True)
class StripsBlock:
    title: str
    description: str
    strips: Sequence[Strip]
    kind: str = "strips"


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One row of the list of candidates: ``facts`` are (name, value) pairs; ``verdict`` is a word or empty."""

    number: int
    png: bytes | None
    position: str
    degrees: str
    score: str
    verdict: str
    good: bool
    facts: Sequence[tuple[str, str]]


@dataclasses.dataclass(frozen=True)
class CandidatesBlock:
    candidates: Sequence[Candidate]
    caption: str
    kind: str = "candidates"


@dataclasses.dataclass(frozen=True)
class Section:
    """``anchor`` is its name in links; sections without blocks are left out."""

    anchor: str
    title: str
    lead: str
    blocks: Sequence[FigureBlock | TableBlock | GalleryBlock | StripsBlock | CandidatesBlock]
