"""The hardness knobs of the simulated infrared sky: every number that makes the task easier or harder."""

import dataclasses

# What a cutout can hold at its centre. Only the first is label 1.
OBJECT_TYPES = ("cluster", "random", "galaxy", "star", "agn", "group", "pair", "bright_star")


@dataclasses.dataclass
class InfraredSky:
    """Knobs of the simulated unWISE sky. The defaults are the hard mock on which published figures are quoted."""

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
