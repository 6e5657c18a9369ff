"""A simulated microwave map and the truth of what it holds, as files.

    python -m clusterjax.simulation.microwave.write_map FOLDER --survey act_dr6 --projection CAR --dec_deg -55

Writes FOLDER/map.fits, an image of each band, and truth.ecsv: a row a halo and a bright source.
"""

import argparse
import pathlib
import sys

from clusterjax.errors import InputError
from clusterjax.simulation.knobs import MicrowaveSky
from clusterjax.simulation.microwave.maps import simulate_map
from clusterjax.sky.fits import write_sky_map
from clusterjax.writing import replacing


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--survey", default="act_dr5", help="act_dr5, act_dr6 or planck: beams and noise")
    parser.add_argument("--projection", default="TAN", help="TAN, or CAR: pixels along RA and Dec, as ACT's maps have")
    parser.add_argument("--ra_deg", type=float, default=0.0)
    parser.add_argument("--dec_deg", type=float, default=0.0)
    parser.add_argument("--shape", type=int, nargs=2, default=(1200, 1200), help="pixels of 0.5', high and wide")
    parser.add_argument("--cluster_boost", type=float, default=1.0, help="times the true density of clusters")
    parser.add_argument("--cirrus_scatter", type=float, default=0.0, help="of ln of the dust's brightness")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    sky_map, truth = simulate_map(
        MicrowaveSky(survey=args.survey, cirrus_scatter=args.cirrus_scatter),
        seed=args.seed,
        shape=tuple(args.shape),
        ra_deg=args.ra_deg,
        dec_deg=args.dec_deg,
        cluster_boost=args.cluster_boost,
        projection=args.projection,
    )
    args.folder.mkdir(parents=True, exist_ok=True)
    write_sky_map(args.folder / "map.fits", sky_map)
    with replacing(args.folder / "truth.ecsv") as partial:
        truth.write(partial, format="ascii.ecsv", overwrite=True)
    print(f"{args.folder}/map.fits, {sky_map.area_deg2:.1f} deg2, and {len(truth)} objects in truth.ecsv")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
