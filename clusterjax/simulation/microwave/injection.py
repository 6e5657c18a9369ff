"""Real maps with simulated clusters in them, and the catalogue of what was put where, to train on real sky.

    python -m clusterjax.simulation.microwave.injection MAP.fits --output FOLDER --survey planck --bands 143

Writes FOLDER/MAP_000.fits, ... and catalogue.ecsv, which the data set ``map_cutouts`` takes as they are.
"""

import argparse
import pathlib
import sys

import numpy as np
from astropy.table import Table, vstack
from tqdm import tqdm

from clusterjax.errors import InputError
from clusterjax.simulation.haloes import sample_training_clusters
from clusterjax.simulation.knobs import MicrowaveSky
from clusterjax.simulation.microwave.painting import inject_clusters
from clusterjax.sky.catalogues import read_table, with_positions
from clusterjax.sky.fits import read_sky_map, write_sky_map
from clusterjax.sky.selection import draw_apart
from clusterjax.sky.skymap import SkyMap
from clusterjax.writing import replacing


def inject_realisation(
    rng: np.random.Generator,
    sky: MicrowaveSky,
    sky_map: SkyMap,
    count: int,
    *,
    separation_arcmin: float | int,
    known: tuple[np.ndarray, np.ndarray],
    redshift_min: float | int = 0.1,
) -> tuple[SkyMap, Table]:
    """(the map with ``count`` clusters of the training mixture of ``sky``, its catalogue).

    Positions are uniform over the map's valid pixels, ``separation_arcmin`` from the ``known`` objects (ra_deg,
    dec_deg) and from each other.
    """
    ra, dec = draw_apart(rng, sky_map, count, separation_arcmin=separation_arcmin, known=known)
    haloes = sample_training_clusters(
        rng, count, mass_floor_msun=sky.mass_floor_msun, redshift_max=sky.redshift_max, redshift_min=redshift_min
    )
    y, x = sky_map.sky_to_pixel(ra, dec)
    injected = inject_clusters(rng, sky, sky_map, haloes, y, x)
    catalogue = Table({"ra_deg": ra, "dec_deg": dec, "redshift": haloes.redshift, "m500c_msun": haloes.m500c_msun})
    return injected, catalogue


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("maps", nargs="+", help="FITS maps in K or µK of the CMB; the files of one's bands joined by +")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="a folder")
    parser.add_argument("--survey", default="planck", help="whose beams: act_dr5, act_dr6 or planck")
    parser.add_argument("--bands", nargs="+", required=True, help="the maps' bands, as the survey names them")
    parser.add_argument("--clusters", type=int, default=12, help="in each realisation")
    parser.add_argument("--realisations", type=int, default=30, help="of each map")
    parser.add_argument("--mass_floor_msun", type=float, default=6e14)
    parser.add_argument("--redshift_min", type=float, default=0.1)
    parser.add_argument("--redshift_max", type=float, default=0.6)
    parser.add_argument("--separation_arcmin", type=float, default=30.0)
    parser.add_argument("--known", help="a table of real clusters to keep away from")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    sky = MicrowaveSky(survey=args.survey, mass_floor_msun=args.mass_floor_msun, redshift_max=args.redshift_max)
    known = np.zeros(0), np.zeros(0)
    if args.known:
        table = with_positions(read_table(args.known))
        known = np.asarray(table["ra_deg"], float), np.asarray(table["dec_deg"], float)
    args.output.mkdir(parents=True, exist_ok=True)
    catalogues = []
    for place, name in enumerate(args.maps):
        sky_map = read_sky_map(name.split("+"), bands=args.bands)
        stem = pathlib.Path(name.split("+")[0]).name.split(".fits")[0]
        for number in tqdm(range(args.realisations), desc=stem, unit=" maps"):
            rng = np.random.default_rng([args.seed, place, number])
            injected, catalogue = inject_realisation(
                rng,
                sky,
                sky_map,
                args.clusters,
                separation_arcmin=args.separation_arcmin,
                known=known,
                redshift_min=args.redshift_min,
            )
            file = args.output / f"{stem}_{number:03d}.fits"
            write_sky_map(file, injected)
            catalogue["object_type"] = np.full(len(catalogue), "cluster")
            catalogue["map"] = np.full(len(catalogue), file.name)
            catalogues.append(catalogue)
    path = args.output / "catalogue.ecsv"
    with replacing(path) as partial:
        vstack(catalogues, metadata_conflicts="silent").write(partial, format="ascii.ecsv", overwrite=True)
    print(f"{len(catalogues)} maps with {args.clusters} clusters each, and {path}")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
