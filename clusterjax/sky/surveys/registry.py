"""Published catalogues of clusters and of what is taken for them: where they are, and which columns say what.

Every one becomes a table of the same columns (:data:`COLUMNS`). Of the names given for a column the first that a table
has is taken: VizieR, LAMBDA and collections such as clusterdb name them differently.
"""

import dataclasses
import pathlib
from collections.abc import Mapping

import numpy as np
from astropy import units as u
from astropy.table import Column, Table

from clusterjax.errors import InputError
from clusterjax.sky.catalogues import KIND_NAMES, find_column, read_table, redshift_kinds, with_positions
from clusterjax.sky.fits import read_fits_table
from clusterjax.sky.surveys.downloads import Downloader
from clusterjax.sky.surveys.vizier import read_votable, refusal, vizier_url

COLUMNS = ("catalogue", "name", "object_type", "ra_deg", "dec_deg", "redshift", "redshift_kind", "m500c_msun", "snr")
CLUSTER = "cluster"
_ANY_NAME = ("name", "id", "object", "designation")
_ANY_REDSHIFT = ("redshift", "z", "best_z")


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """``vizier`` is a table there, ``url`` a FITS file elsewhere; ``only`` are constraints, for tables of millions.

    ``spec`` and ``phot`` are columns that hold redshifts of that kind alone; ``redshift`` holds whatever there is, of
    the kind that ``kind`` says, or of ``kind`` itself if no column has that name. Masses are M500c in ``mass_msun``.
    """

    object_type: str = CLUSTER
    vizier: str = ""
    url: str = ""
    name: tuple[str, ...] = _ANY_NAME
    redshift: tuple[str, ...] = _ANY_REDSHIFT
    kind: tuple[str, ...] = KIND_NAMES
    redshift_is: str = ""
    spec: tuple[str, ...] = ()
    phot: tuple[str, ...] = ()
    mass: tuple[str, ...] = ()
    mass_msun: float = 1e14
    snr: tuple[str, ...] = ("snr",)
    columns: tuple[str, ...] = ()  # all that is asked for; none: all there are
    only: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def source(self) -> str:
        """The URL of the whole catalogue."""
        return self.url or vizier_url(self.vizier, columns=self.columns, constraints=self.only)


_SPT_NAME = ("spt-cl", "spt_id", "name")
_ACT_DR6 = "https://extragalactic.phys.wits.ac.za/act-dr6-clusters/v1.0/DR6_cluster-catalog_v1.0.fits"
_ERASS1 = "https://cdsarc.cds.unistra.fr/ftp/J/A+A/685/A106/fits/erass1cl_main_v3.2.fits"
_SGA = "https://portal.nersc.gov/project/cosmo/data/sga/2020/SGA-2020.fits"

CATALOGUES: dict[str, Catalogue] = {
    # Hilton et al. (2021); masses with the richness calibration first
    "act_dr5": Catalogue(vizier="J/ApJS/253/3/clusters", mass=("M500cCal", "M500c"), snr=("SNR", "S/N", "fixed_SNR")),
    # Klein, Mohr & Davies (2024)
    "act_dr5_mcmf": Catalogue(vizier="J/A+A/690/A322/catalog", spec=("zsp1",), phot=("z1C", "z2C"), redshift=()),
    "act_dr6": Catalogue(url=_ACT_DR6, mass=("M500cCal", "M500c")),
    # Bleem et al. (2015), Bocquet et al. (2019), Bleem et al. (2020), Huang et al. (2020)
    "spt_sz": Catalogue(vizier="J/ApJS/216/27/table4", name=_SPT_NAME, mass=("M500", "M500c"), snr=("xi", "snr")),
    "spt_2500d": Catalogue(vizier="J/ApJ/878/55/table5", name=_SPT_NAME, mass=("M500", "M500c"), snr=("xi", "snr")),
    "spt_ecs": Catalogue(vizier="J/ApJS/247/25/table10", name=_SPT_NAME, mass=("M500", "M500c"), snr=("xi", "snr")),
    "spt_pol100d": Catalogue(vizier="J/AJ/159/110", name=_SPT_NAME, mass=("M500", "M500c"), snr=("xi", "snr")),
    # Planck Collaboration XXVII (2016); M_SZ
    "psz2": Catalogue(vizier="J/A+A/594/A27/psz2", name=("PSZ2", "name"), mass=("MSZ",), snr=("SNR", "S/N")),
    # Gonzalez et al. (2019); Thongkham et al. (2024)
    "madcows": Catalogue(vizier="J/ApJS/240/33/table3", spec=("Specz",), phot=("Photz",), redshift=(), snr=("S/N",)),
    "madcows_supercosmos": Catalogue(
        vizier="J/ApJS/240/33/table4", spec=("Specz",), phot=("Photz",), redshift=(), snr=("S/N",)
    ),
    "madcows2": Catalogue(vizier="J/ApJ/967/123", spec=("zspec",), phot=("zphot",), redshift=(), snr=("S/N_P",)),
    # Sadibekova et al. (2024); Piffaretti et al. (2011)
    "mcxc2": Catalogue(vizier="J/A+A/688/A187", name=("MCXC", "name"), redshift_is="spec", mass=("M500",)),
    "mcxc": Catalogue(vizier="J/A+A/534/A109", name=("MCXC", "name"), redshift_is="spec", mass=("M500",)),
    # Bulbul et al. (2024)
    "erass1": Catalogue(url=_ERASS1, mass=("M500",), mass_msun=1e13, snr=("EXT_LIKE",)),
    # Rykoff et al. (2014, 2016)
    "redmapper": Catalogue(vizier="J/ApJS/224/1/cat_dr8", spec=("zspec",), phot=("zlambda", "redshift"), redshift=()),
    "redmapper_sva1": Catalogue(vizier="J/ApJS/224/1/cat_sva1", spec=("zspec",), phot=("zlambda",), redshift=()),
    # Bahk & Hwang (2024); Melin et al. (2021); Tarrio et al. (2019); Voskresenskaia et al. (2024)
    "upcluster_sz": Catalogue(vizier="J/ApJS/272/7/table2", name=("PSZ2", "name"), mass=("MSZ", "M500")),
    "pszspt": Catalogue(vizier="J/A+A/647/A106", mass=("M500", "Msz")),
    "comprass": Catalogue(vizier="J/A+A/626/A7/comprass", mass=("M500",)),
    "compact": Catalogue(vizier="J/MNRAS/531/1998", snr=()),
    # What is taken for clusters: bright ones, for of faint ones every cutout has some
    "sga2020": Catalogue("galaxy", url=_SGA, name=("GALAXY",), redshift=("Z_LEDA",), redshift_is="spec", snr=()),
    "2masx": Catalogue(
        "galaxy", vizier="VII/233/xsc", name=("2MASX",), columns=("2MASX", "K.ext"), only={"K.ext": "<12"}, snr=()
    ),
    "glade_plus": Catalogue(
        "galaxy", vizier="VII/291/gladep", name=("GLADE+",), redshift=("zhelio",), kind=("f_zcmb",), snr=(),
        columns=("GLADE+", "zhelio", "Bmag"), only={"Bmag": "<14"},
    ),
    "tycho2": Catalogue(
        "star", vizier="I/259/tyc2", name=("TYC",), redshift=(), columns=("TYC1", "TYC2", "TYC3", "VTmag"),
        only={"VTmag": "<8"}, snr=(),
    ),
    "gaia": Catalogue(
        "star", vizier="I/355/gaiadr3", name=("Source",), redshift=(), columns=("Source", "Gmag"), only={"Gmag": "<8"},
        snr=(),
    ),
    "milliquas": Catalogue(
        "agn", vizier="VII/294/catalog", columns=("Name", "z", "Rmag"), only={"Rmag": "<18"}, snr=()
    ),
    "allwise_agn": Catalogue(
        "agn", vizier="J/ApJS/234/23/r90cat", name=("WISEA",), redshift=(), columns=("WISEA", "W1mag"),
        only={"W1mag": "<14"}, snr=(),
    ),
}  # fmt: skip


def read_catalogue(entry: str, downloader: Downloader | None = None) -> Table:
    """The standard table of ``entry``: a NAME of :data:`CATALOGUES`, NAME=FILE for a copy of it, or TYPE=FILE or FILE
    for a table of one's own (a column ``object_type`` names what each row is; without one all are TYPE, or clusters).

    Raises :class:`InputError` for an unknown name, and for whatever is wrong with the file or its download.
    """
    name, _, file = entry.rpartition("=")
    if not name and entry in CATALOGUES:
        if downloader is None:
            raise InputError(f"catalogue {entry} must be fetched; give a copy of it: {entry}=FILE")
        catalogue = CATALOGUES[entry]
        if catalogue.url:
            table = read_fits_table(downloader.fetch(catalogue.source(), "fits"))
        else:
            table = read_votable(downloader.fetch(catalogue.source(), "votable", refusal))
        return standardise(table, catalogue, entry)
    path = pathlib.Path(file)
    if not name and not path.suffix and not path.exists():
        raise InputError(f"catalogue {entry!r} is unknown; use a file, or one of {', '.join(CATALOGUES)}")
    catalogue = CATALOGUES.get(name) or Catalogue(name or CLUSTER, mass=("m500c_msun",), mass_msun=1.0)
    return standardise(read_table(path), catalogue, name or path.stem)


def standardise(table: Table, catalogue: Catalogue, label: str) -> Table:
    """``table`` with :data:`COLUMNS` alone; ``label`` names where the rows are from. Unknown numbers are NaN.

    Rows without a position are left out. A redshift or mass of 0 or below stands for none.
    """
    table = with_positions(table)
    result = Table({"catalogue": np.full(len(table), label)})
    result["name"] = _text(table, catalogue.name)
    types = find_column(table, ("object_type", "label", "class")) if not (catalogue.vizier or catalogue.url) else None
    result["object_type"] = np.full(len(table), catalogue.object_type) if types is None else _text(table, (types,))
    result["ra_deg"], result["dec_deg"] = table["ra_deg"], table["dec_deg"]
    result["redshift"], result["redshift_kind"] = _redshifts(table, catalogue)
    mass = _above_zero(_numbers(table, catalogue.mass)) * catalogue.mass_msun
    result["m500c_msun"] = Column(mass, unit=u.Msun)
    result["snr"] = _numbers(table, catalogue.snr)
    return result


def _text(table: Table, names: tuple[str, ...]) -> np.ndarray:
    column = find_column(table, names)
    if column is None:
        return np.full(len(table), "")
    return np.array(
        [str(value).strip() for value in np.ma.filled(np.ma.asarray(table[column]).astype(object), "")], str
    )


def _numbers(table: Table, names: tuple[str, ...]) -> np.ndarray:
    """The first column of ``names`` that has a number, row by row; NaN where none has."""
    values = np.full(len(table), np.nan)
    for name in names:
        column = find_column(table, (name,))
        if column is None or table[column].dtype.kind not in "iuf":
            continue
        own = np.asarray(np.ma.filled(np.ma.asarray(table[column], dtype=np.float64), np.nan))
        values = np.where(np.isfinite(values), values, own)
    return values


def _above_zero(values: np.ndarray) -> np.ndarray:
    return np.where(values > 0, values, np.nan)


def _redshifts(table: Table, catalogue: Catalogue) -> tuple[np.ndarray, np.ndarray]:
    """(redshift, 'spec', 'phot' or ''): spectroscopic where there is one."""
    spec, phot, other = (
        _above_zero(_numbers(table, names)) for names in (catalogue.spec, catalogue.phot, catalogue.redshift)
    )
    kind = redshift_kinds(table, catalogue.kind)
    kind = np.full(len(table), catalogue.redshift_is) if kind is None else kind
    redshift = other
    for values, name in ((phot, "phot"), (spec, "spec")):
        known = np.isfinite(values)
        redshift, kind = np.where(known, values, redshift), np.where(known, name, kind)
    return redshift, np.where(np.isfinite(redshift), kind, "")
