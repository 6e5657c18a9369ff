"""A page of candidates for the tests of vetting, some with names that nobody wishes for."""

import numpy as np
from astropy import units as u
from astropy.table import Column, Table

from clusterjax.report.vetting import Pictures, VettingPage
from clusterjax.search.flags import BASE_FLAGS

HOSTILE = (
    "</script><script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 2'>",
    "\u202eevil \u05d0\u05d1\u05d2 'quoted' \"twice\"",
    '=HYPERLINK("http://evil.example","win")',
    "+1+cmd|' /C calc'!A0",
    "-- & &lt;b&gt; \u2028 \U0001f600",
    "'=already guarded",
    "a, b; c\nsecond line",
)


def made_up_table(number: int = 24) -> Table:
    """Scores fall; every third candidate is known; flags go round."""
    rng = np.random.default_rng(3)
    row = np.arange(number)
    table = Table()
    names = [HOSTILE[i] if i < len(HOSTILE) else f"CJX J{i:04d}" for i in row]
    table["name"] = Column(names, description="by <b>position</b>")
    table["detection_id"] = row + 1
    table["ra_deg"] = Column(rng.uniform(0, 360, number), unit=u.deg)
    table["dec_deg"] = Column(rng.uniform(-80, 80, number), unit=u.deg)
    table["score"] = np.linspace(1, 0.5, number).astype(np.float32)
    table["significance"] = np.where(row % 5 == 4, np.nan, rng.normal(size=number)).astype(np.float32)
    table["flags"] = (row % 4).astype(np.int32)
    known = row % 3 == 0
    table["psz2_status"] = np.where(known, "known", "new")
    table["psz2_name"] = np.where(known, [f"PSZ2 <i>{i}</i>" for i in row], "")
    table["psz2_separation_arcmin"] = Column(np.where(known, 0.5, np.nan), unit=u.arcmin)
    table["psz2_chance"] = np.where(known, 0.01, np.nan)
    table["psz2_redshift"] = np.where(known, 0.1 + 0.01 * row, np.nan)
    table["status"] = table["psz2_status"]
    return table


def made_up_page(number: int = 24, *, side: int = 8, num_shown: int | None = None) -> VettingPage:
    table = made_up_table(number)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (number, side, side, 3), dtype=np.uint8)
    flat = np.full((number, side, side, 3), 200, np.uint8)
    return VettingPage(
        "A <b>bold</b> run",
        "map & more",
        table,
        number if num_shown is None else num_shown,
        (Pictures("colour", images), Pictures("W1", images), Pictures("score", flat, exact=True),
         Pictures("saliency", images[:3], "red <speaks>")),
        flags=BASE_FLAGS,
        statuses=table["status"].tolist(),
    )  # fmt: skip
