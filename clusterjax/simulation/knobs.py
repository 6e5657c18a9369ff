"""The hardness knobs of the simulated skies: every number that makes the task easier or harder."""

import dataclasses
from typing import ClassVar

# What an infrared cutout can hold at its centre. Only the first is label 1.
OBJECT_TYPES = ("cluster", "random", "galaxy", "star", "agn", "group", "pair", "bright_star")


@dataclasses.dataclass
class InfraredSky:
    """Knobs of the simulated unWISE sky. The defaults are the hard mock on which published figures are quoted."""

    object_types: ClassVar[tuple[str, ...]] = OBJECT_TYPES
    noise_scale: float = 1.0  # multiplies the per-pixel noise of 3.5 (W1) and 8.5 (W2) nMgy
    centre_sigma_pixels: float = 6.5  # Rayleigh scale of a cluster's offset from its catalogue position
    groups: bool = True  # clustered field: explicit group haloes in place of a part of the Poisson field
    group_boost: float = 1.0  # multiplies the number of group haloes
    mass_floor_msun: float = 1.5e14  # lowest M500c of a training cluster
    redshift_max: float = 1.6  # highest redshift of a training cluster
    colour_scatter: float = 0.07  # W1-W2 scatter of cluster members, mag
    label_noise: float = 0.0  # fraction of training labels that are flipped
    psf_error: float = 0.0  # fractional error of the PSF width, one draw a cutout (a map: one draw)
    seeing_jitter: float = 0.0  # further fractional scatter of the PSF width, one draw a cutout and band
    background_gradient: float = 0.0  # peak-to-peak tilt of the background over a cutout, in units of the pixel noise
    galactic_latitude_deg: float = 60.0  # sets the density of stars
    ecliptic_latitude_deg: float = 0.0  # sets the depth: more exposures towards the poles


# What a microwave cutout can hold. Only the first is label 1; a near miss is a cluster too far off to count.
MICROWAVE_OBJECT_TYPES = ("cluster", "random", "agn", "radio", "dusty", "group", "cmb_extremum", "near_miss")


@dataclasses.dataclass
class MicrowaveSky:
    """Knobs of the simulated microwave sky: ACT DR5's, by default.

    The ceilings published for it hold for ``one_over_f=False``, ``radio_in_clusters=0``, clusters against random sky.
    """

    object_types: ClassVar[tuple[str, ...]] = MICROWAVE_OBJECT_TYPES
    survey: str = "act_dr5"  # act_dr5, act_dr6 or planck: beams and noise
    noise_scale: float = 1.0  # multiplies the noise, in µK
    one_over_f: bool = True  # atmospheric noise at low ell, joined with Planck's maps; else white noise alone
    mass_ratio: float = 0.63  # (1 - b): the mass that enters the pressure profile over the true M500c
    profile: str = "arnaud"  # arnaud (2010, universal) or battaglia (2012; of true masses: mass_ratio=1)
    scatter_ln: float = 0.2  # of the SZ signal at fixed mass
    mass_floor_msun: float = 2.4e14  # lowest true M500c of a training cluster: 1.5e14 in the pressure profile
    redshift_max: float = 1.6  # highest redshift of a training cluster
    centre_offset_arcmin: float = 0.7  # a training cluster's centre is uniform within +- this of the catalogue position
    radio_n10: float = 1.0  # radio galaxies above 10 mJy at 150 GHz, per deg2; 0.7 to 1.2 are measured
    radio_in_clusters: float = 0.09  # fraction of clusters with a radio galaxy that fills the decrement
    dust_scale: float = 1.0  # multiplies the power of Galactic dust
    tsz_cib_correlation: float = 0.0  # of unseen haloes' SZ effect and infrared galaxies; 0.064 in ACT DR6
    beam_error: float = 0.0  # fractional scatter of the width of objects' beams, one draw a cutout (a map: one draw)
    label_noise: float = 0.0  # fraction of training labels that are flipped
    # Of ln I100 over the sky: Galactic dust's power goes as (I100 / mean)^2, one draw a cutout (a map: one draw)
    cirrus_scatter: float = 0.0


# What a joint infrared and microwave cutout can hold at its centre. Only the first is label 1.
JOINT_OBJECT_TYPES = (
    "cluster", "random", "galaxy", "star", "agn", "group", "pair", "bright_star", "radio", "dusty", "cmb_extremum",
    "near_miss",
)  # fmt: skip


@dataclasses.dataclass
class SharedHaloes:
    """Knobs of the haloes that the infrared and the microwave sky have in common."""

    mass_floor_msun: float = 2e14  # lowest M500c of a training cluster
    redshift_max: float = 1.6  # highest redshift of a training cluster
    centre_sigma_arcmin: float = 0.3  # Rayleigh scale of a halo's offset from its catalogue position, in both
    # Of the scatters of richness and of the SZ signal at fixed mass. Little is measured of it; at 0 the two surveys are
    # independent for a given mass and redshift.
    scatter_correlation: float = 0.0
    label_noise: float = 0.0  # fraction of training labels that are flipped


@dataclasses.dataclass
class JointSky:
    """One sky that both surveys see. Of ``infrared`` and ``microwave``, the knobs of training clusters (mass floor,
    redshift, centre, label noise) and ``group_boost`` are not used: ``haloes`` has those of both."""

    object_types: ClassVar[tuple[str, ...]] = JOINT_OBJECT_TYPES
    infrared: InfraredSky = dataclasses.field(default_factory=InfraredSky)
    microwave: MicrowaveSky = dataclasses.field(default_factory=MicrowaveSky)
    haloes: SharedHaloes = dataclasses.field(default_factory=SharedHaloes)

    @property
    def label_noise(self) -> float:
        return self.haloes.label_noise


# What an X-ray + optical cutout can hold at its centre: the experts' classes of Kosiba et al. (2020).
XRAY_OBJECT_TYPES = (
    "low_z_cluster", "high_z_cluster", "nearby_galaxy", "point_source", "star_agn", "double", "artefact", "edge",
)  # fmt: skip
XRAY_CLUSTERS = XRAY_OBJECT_TYPES[:2]
# The five classes of Kosiba et al. (2020), named as in their public archive; which is whose is our choice for doubles
XRAY_CLASSES = ("low-z", "hi-z", "galaxy", "point", "other")
XRAY_CLASS_OF = dict(
    zip(XRAY_OBJECT_TYPES, ("low-z", "hi-z", "galaxy", "point", "point", "point", "other", "other"), strict=True)
)


@dataclasses.dataclass
class XrayOpticalSky:
    """Knobs of the simulated X-ray + optical sky: XMM-Newton's archive (X-CLASS) beside DSS2 plates.

    [~]: from memory of the literature; without a source: our choice.
    """

    object_types: ClassVar[tuple[str, ...]] = XRAY_OBJECT_TYPES
    # What the channels of an image hold: see clusterjax/sky/channels.py. The default is the published arrangement.
    channels: tuple[str, ...] = ("zero", "xray", "optical")
    exposure_ks: float = 10.0  # of each camera: X-CLASS cuts the archive to 10 ks and 20 ks (Clerc et al. 2012)
    background_scale: float = 1.0  # multiplies the X-ray background, of the sky and of particles
    flux_min_cgs: float = 1.2e-14  # 0.5-2 keV, faintest object: near the limit of 10 ks (Pacaud et al. 2006) [~]
    flux_max_cgs: float = 1e-12  # brightest; between them N(>S) falls as 1/S
    core_radius_min_arcsec: float = 5.0  # XAmin calls a source extended from 5" on (Pacaud et al. 2006)
    core_radius_max_arcsec: float = 60.0  # few X-CLASS clusters have more [~]
    low_redshift_below: float = 0.3  # the plates show galaxies of clusters so far (Kosiba et al. 2020)
    redshift_max: float = 1.2  # the farthest of X-CLASS [~]
    off_axis_max_arcmin: float = 13.0  # X-CLASS detects within this of the optical axis (Clerc et al. 2012)
    agn_in_clusters: float = 0.1  # fraction of clusters with a point source near the centre
    irregular: float = 0.15  # fraction of clusters with a second clump
    blended: float = 0.8  # fraction of point sources with fainter ones close by, for which they look extended
    agn_density_scale: float = 1.0  # multiplies the field's point sources
    psf_scale: float = 1.0  # multiplies the width of XMM's point spread function
    plate_noise_scale: float = 1.0  # multiplies the grain of the plates
    label_noise: float = 0.0  # fraction of training labels that are flipped
