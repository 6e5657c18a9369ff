"""Candidates against published catalogues: what is known, what is new, and how often it matches by chance."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from astropy import units as u
from astropy.table import Column, Table
from jaxtyping import Float

from clusterjax.sky.catalogues import crossmatch, positions
from clusterjax.sky.offset_skies import offset_separations

Contains = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (ra_deg, dec_deg) -> inside

STATUS_MEANING = (
    "known: matched; new: not matched where the catalogue looked; outside: where it did not look; "
    "unknown: not matched, and where it looked is not given"
)


@dataclasses.dataclass(frozen=True, eq=False)
class KnownObjects:
    """A catalogue's ``table`` (name, ra_deg, dec_deg, redshift, redshift_kind) and the sky that it ``covers``, if
    that is known. ``label`` begins the names of its columns. ``radii_arcmin`` are the objects' own match radii."""

    label: str
    table: Table
    covers: Contains | None = None
    radii_arcmin: Float[np.ndarray, " object"] | None = None


def mark_known(
    candidates: Table,
    catalogues: Sequence[KnownObjects],
    *,
    radius_arcmin: float | int,
    inside: Contains | None = None,
) -> tuple[Table, list[dict]]:
    """(``candidates`` with what each catalogue knows of them, a summary of each catalogue).

    Matches are one to one, nearest first, within ``radius_arcmin`` or the object's own radius. For each catalogue come
    the columns LABEL_status (:data:`STATUS_MEANING`), LABEL_name, LABEL_separation_arcmin, LABEL_chance and
    LABEL_redshift; of all together status (known in any; else new in any that looked there; else unknown), known_as,
    redshift, redshift_kind and redshift_source: the first catalogue's with a spectroscopic redshift, else the first's
    with any.

    LABEL_chance is the probability that an object lies as near by chance: the fraction of offset positions (the
    candidates moved in many directions by 10 to 40 radii, as far as they remain ``inside`` the searched sky and where
    the catalogue looked) with one at most so far, counting the candidate itself, (k + 1) / (n + 1), so that it is never
    0. It is the mean over the map. NaN without a match, and where no offset position is left.
    """
    result = candidates.copy()
    summaries, matches = [], []
    for catalogue in catalogues:
        match = _Match.of(result, catalogue, radius_arcmin, inside)
        _add_columns(result, catalogue.label, match)
        matches.append((catalogue, match))
        summaries.append(match.summary(catalogue))
    status = np.stack([match.status for _, match in matches], axis=1)
    overall = np.where((status == "known").any(1), "known", np.where((status == "new").any(1), "new", "unknown"))
    result["status"] = Column(overall, description="known in any catalogue; else new in one that looked there; unknown")
    names = [
        "; ".join(f"{catalogue.label} {match.names[row]}".strip() for catalogue, match in matches if match.found[row])
        for row in range(len(result))
    ]
    result["known_as"] = Column(np.array(names, str), description="the catalogues that have it, and its names there")
    _add_redshift(result, matches)
    return result, summaries


@dataclasses.dataclass(frozen=True, eq=False)
class _Match:
    """A catalogue's answers, one for each candidate."""

    found: np.ndarray
    separation_arcmin: np.ndarray
    chance: np.ndarray
    chance_in_radius: float
    names: np.ndarray
    redshift: np.ndarray
    redshift_kind: np.ndarray
    status: np.ndarray

    @classmethod
    def of(cls, candidates: Table, catalogue: KnownObjects, radius_arcmin, inside: Contains | None) -> "_Match":
        number, table = len(candidates), catalogue.table
        radii = radius_arcmin if catalogue.radii_arcmin is None else catalogue.radii_arcmin
        pairs = crossmatch(candidates, table, radii)
        own, other = np.asarray(pairs["index_a"], int), np.asarray(pairs["index_b"], int)
        separation, redshift = np.full(number, np.nan), np.full(number, np.nan)
        names, kind = np.full(number, "", object), np.full(number, "", object)
        separation[own] = pairs["separation_arcmin"]
        redshift[own] = np.asarray(table["redshift"], float)[other]
        names[own], kind[own] = np.asarray(table["name"], str)[other], np.asarray(table["redshift_kind"], str)[other]
        found = np.isfinite(separation)
        offsets = offset_separations(
            candidates,
            table,
            radius_arcmin=float(np.max(radii, initial=radius_arcmin)),
            inside=_both(inside, catalogue.covers),
        )
        chance = np.where(found, chance_probability(separation, offsets), np.nan)
        in_radius = float(np.mean(offsets <= radius_arcmin)) if len(offsets) else float("nan")
        status = np.full(number, "unknown", "U7")
        if catalogue.covers is not None:
            status[:] = np.where(catalogue.covers(*positions(candidates)), "new", "outside") if number else "new"
        status[found] = "known"
        return cls(found, separation, chance, in_radius, names.astype(str), redshift, kind.astype(str), status)

    def summary(self, catalogue: KnownObjects) -> dict:
        return {
            "catalogue": catalogue.label,
            "num_objects": len(catalogue.table),
            "footprint_known": catalogue.covers is not None,
            "num_known": int(self.found.sum()),
            "num_new": int((self.status == "new").sum()),
            "chance_match_rate": self.chance_in_radius,
            "num_known_by_chance": self.chance_in_radius * len(self.found),
        }


def chance_probability(
    separation_arcmin: Float[np.ndarray, " n"], offsets_arcmin: Float[np.ndarray, " m"]
) -> Float[np.ndarray, " n"]:
    """(k + 1) / (m + 1) with k the offset separations that are at most as large (Davison & Hinkley 1997, eq. 4.11);
    NaN where there are none."""
    if not len(offsets_arcmin):
        return np.full(len(separation_arcmin), np.nan)
    nearer = np.searchsorted(np.sort(offsets_arcmin), separation_arcmin, side="right")
    return (nearer + 1) / (len(offsets_arcmin) + 1)


def _both(first: Contains | None, second: Contains | None) -> Contains | None:
    if first is None or second is None:
        return first or second
    return lambda ra, dec: first(ra, dec) & second(ra, dec)


def _add_columns(table: Table, label: str, match: _Match) -> None:
    columns = {
        "status": (match.status, None, STATUS_MEANING),
        "name": (match.names, None, f"of the match in {label}"),
        "separation_arcmin": (match.separation_arcmin, u.arcmin, f"distance to the match in {label}"),
        "chance": (
            match.chance,
            None,
            f"chance that an object of {label} lies as near to a single candidate",
        ),
        "redshift": (match.redshift, None, f"of the match in {label}"),
    }
    for name, (values, unit, text) in columns.items():
        table[f"{label}_{name}"] = Column(values, unit=unit, description=text)


def _add_redshift(table: Table, matches: Sequence[tuple[KnownObjects, _Match]]) -> None:
    redshift = np.full(len(table), np.nan)
    kind, source = (np.full(len(table), "", object) for _ in range(2))
    for wanted in (("spec",), ("spec", "phot", "")):
        for catalogue, match in matches:
            take = ~np.isfinite(redshift) & np.isfinite(match.redshift) & np.isin(match.redshift_kind, wanted)
            redshift[take], kind[take], source[take] = match.redshift[take], match.redshift_kind[take], catalogue.label
    table["redshift"] = Column(redshift, description="of the known object")
    table["redshift_kind"] = Column(kind.astype(str), description="spec, phot, or empty where the catalogue is silent")
    table["redshift_source"] = Column(source.astype(str), description="the catalogue that the redshift is from")
