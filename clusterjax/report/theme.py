"""One look for every figure: two themes, colour-blind safe colours by role, and nothing of pyplot's global state."""

import dataclasses
import functools
import io
from collections.abc import Callable

import matplotlib
from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True)
class Theme:
    """Colours by what they stand for (Okabe & Ito 2008, which hold for every common colour blindness)."""

    name: str
    background: str
    text: str
    muted: str  # ceilings, diagonals, what is published
    grid: str
    network: str
    classical: str
    positive: str
    negative: str
    good: str
    bad: str
    cycle: tuple[str, ...]  # classes, where there are many

    @property
    def rc(self) -> dict:
        """matplotlib's settings for this theme."""
        return {
            "font.family": "DejaVu Sans",  # comes with matplotlib: the same page everywhere
            "font.size": 9,
            "text.parse_math": False,  # names come from files: a dollar in one is a dollar
            "axes.titlesize": 9.5,
            "axes.titlelocation": "left",
            "axes.titleweight": "bold",
            "axes.labelsize": 9,
            "legend.fontsize": 8,
            "xtick.labelsize": 8,
            "ytick.labelsize": 8,
            "figure.facecolor": self.background,
            "axes.facecolor": self.background,
            "savefig.facecolor": self.background,
            "text.color": self.text,
            "axes.labelcolor": self.text,
            "axes.titlecolor": self.text,
            "axes.edgecolor": self.muted,
            "xtick.color": self.muted,
            "ytick.color": self.muted,
            "xtick.labelcolor": self.text,
            "ytick.labelcolor": self.text,
            "axes.linewidth": 0.7,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": self.grid,
            "grid.linewidth": 0.6,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "lines.linewidth": 1.8,
            "lines.markersize": 5,
            "legend.facecolor": self.background,
            "legend.edgecolor": "none",
            "legend.framealpha": 0.85,
            "axes.prop_cycle": matplotlib.cycler(color=self.cycle),
            "figure.dpi": 100,
            "image.interpolation": "nearest",
        }


LIGHT = Theme(
    name="light",
    background="#ffffff",
    text="#1f2430",
    muted="#7a8194",
    grid="#e6e8ee",
    network="#0072b2",
    classical="#d55e00",
    positive="#0072b2",
    negative="#e69f00",
    good="#009e73",
    bad="#d55e00",
    cycle=("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"),
)
DARK = Theme(
    name="dark",
    background="#171b24",
    text="#e3e6ee",
    muted="#8d95a8",
    grid="#2b3140",
    network="#56b4e9",
    classical="#ee7f2d",
    positive="#56b4e9",
    negative="#e6b34a",
    good="#2bbf93",
    bad="#ee7f2d",
    cycle=("#56b4e9", "#ee7f2d", "#2bbf93", "#d68fb8", "#e6b34a", "#3f8fd0", "#ffffff"),
)
THEMES = (LIGHT, DARK)


def themed(plot: Callable[..., Figure]) -> Callable[..., Figure]:
    """Make ``plot(..., theme=LIGHT)`` draw under its theme's settings, which are put back afterwards."""

    @functools.wraps(plot)
    def draw(*args, theme: Theme = LIGHT, **kwargs) -> Figure:
        with matplotlib.rc_context(theme.rc):
            return plot(*args, theme=theme, **kwargs)

    return draw


def plain_log_ticks(axes, which: str = "x") -> None:
    """Numbers such as 0.02 on a logarithmic axis, in place of powers; in a narrow range also between decades."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axis.get_view_interval()
    shown = "1" if high / low > 300 else "125" if high / low > 15 else "1235"

    def text(value, _):
        return f"{value:g}" if f"{value:e}"[0] in shown else ""

    axis.set_major_formatter(text)
    axis.set_minor_formatter(text)


def to_png(figure: Figure, *, dpi: int = 200) -> bytes:
    """The figure as the bytes of a PNG file, on its own background."""
    buffer = io.BytesIO()
    # Without metadata the same figure is the same bytes.
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def to_pdf(figure: Figure) -> bytes:
    """The figure as the bytes of a PDF file, in vectors; the same figure is the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="pdf", metadata={"CreationDate": None, "Producer": None, "Creator": None})
    return buffer.getvalue()
