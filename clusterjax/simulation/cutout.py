"""What every simulation of a cutout gives back."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Real

POSITIVE_TYPE = "cluster"  # the type of object that is label 1


@dataclass(frozen=True)
class Cutout:
    """A simulated cutout: ``image`` in the sky's units, and its central object; NaN for what that has not."""

    image: Real[np.ndarray, "y x band"]
    label: int  # 1: cluster
    object_type: str
    redshift: float
    m500c_msun: float  # the true mass
    centre_y_pixels: float  # of the object, or of the image for random sky
    centre_x_pixels: float
    own_sources: int = 0  # microwave: point sources that belong to the object, painted or not
    measurements: Mapping[str, float] = field(default_factory=dict)  # what else is known of it
    # Of the sky that it was put into, without itself: median level of each band, and depth where it varies. NaN where
    # a piece of sky is the object.
    levels: Mapping[str, float] = field(default_factory=dict)
