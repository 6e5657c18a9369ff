"""The classical observer of X-ray candidates: XAmin's selection by extent and extension likelihood."""

import numpy as np
from jaxtyping import Float

LEAST_EXTENT_ARCSEC = 5.0
C2_LIKELIHOOD = 15.0  # XAmin's class C2 begins here, the purer C1 at 33 (Pacaud et al. 2006)


def extension_score(
    extent_arcsec: Float[np.ndarray, " n"], extension_likelihood: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """In [0, 1): 0 for extents below 5 arcsec, otherwise rising with the likelihood; 1/2 where class C2 begins."""
    score = extension_likelihood / (extension_likelihood + C2_LIKELIHOOD)
    return np.where(extent_arcsec >= LEAST_EXTENT_ARCSEC, score, 0.0)
