"""The scanned map in the sphere's own formats: HEALPix, HiPS and the MOC of its footprint."""

import pathlib
import shutil

import numpy as np
from jaxtyping import Float

from clusterjax.config import SearchConfig
from clusterjax.jobs.session import say
from clusterjax.sky.cells import footprint_moc, natural_order, sample_map
from clusterjax.sky.fits.healpix_writing import write_partial_healpix
from clusterjax.sky.hips_writing import write_hips
from clusterjax.sky.moc import write_moc
from clusterjax.sky.skymap import ProbabilityMap

_MOC_ENDINGS = ("fits", "json", "txt")
_MEANING = {
    "SCORE": "output of the network, in [0, 1]",
    "PROBABILITY": "calibrated score",
    "SPREAD": "standard deviation of the networks' scores",
    "VALID_FRACTION": "fraction of valid pixels of the window",
}


def write_sky_outputs(
    folder: pathlib.Path,
    search: SearchConfig,
    probability_map: ProbabilityMap,
    probability: Float[np.ndarray, "ny nx"] | None,
    provenance: dict,
) -> None:
    """Write what ``search.outputs`` asks for: healpix.fits, hips/score, hips/probability and hips/spread, footprint.*.

    What an earlier scan left of them is removed.
    """
    for stale in ("healpix.fits", *(f"footprint.{ending}" for ending in _MOC_ENDINGS)):
        (folder / stale).unlink(missing_ok=True)
    shutil.rmtree(folder / "hips", ignore_errors=True)
    order = search.healpix_order
    if order is None:
        order = natural_order(probability_map.pixel_scale_arcsec)
    planes = {"SCORE": probability_map.score, "PROBABILITY": probability, "SPREAD": probability_map.spread}
    planes = {name: plane for name, plane in planes.items() if plane is not None}
    if "moc" in search.outputs:
        moc = footprint_moc(probability_map, np.isfinite(probability_map.score), order)
        for ending in _MOC_ENDINGS:
            write_moc(folder / f"footprint.{ending}", moc, software=provenance["software"])
    if "healpix" in search.outputs:
        columns = {**planes, "VALID_FRACTION": probability_map.valid_fraction}
        number = write_partial_healpix(
            folder / "healpix.fits",
            sample_map(probability_map, list(columns.values()), order),
            nside=2**order,
            columns={name: _MEANING[name] for name in columns},
            provenance=provenance,
        )
        say(f"HEALPix map of order {order}, {number} cells: {folder / 'healpix.fits'}")
    if "hips" in search.outputs:
        for name, plane in planes.items():
            deepest = write_hips(
                folder / "hips" / name.lower(),
                probability_map,
                np.asarray(plane, np.float32),
                title=f"clusterjax {name.lower()} of {provenance['model']}",
                cell_order=order,
                software=provenance["software"],
                date=provenance["date"],
                provenance=provenance,
            )
            say(f"HiPS of order {deepest}: {folder / 'hips' / name.lower()}")
