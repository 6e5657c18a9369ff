"""What every example of a data set cut from a sky holds, simulated or real."""

from collections.abc import Sequence

import numpy as np
import tensorflow_datasets as tfds

REDSHIFT_KINDS = ("unknown", "spec", "phot")


def sky_features(
    size: int,
    num_bands: int,
    *,
    classes: Sequence[str],
    object_types: Sequence[str],
    measurements: Sequence[str] = (),
    dtype: type = np.float32,
    redshift_kinds: bool = False,
) -> tfds.features.FeaturesDict:
    """``image`` (size, size, num_bands); ICRS degrees; redshift, M500c (Msun), ``measurements``, NaN where unknown;
    with ``redshift_kinds`` how the redshift was measured."""
    return tfds.features.FeaturesDict(
        {
            # Float noise does not compress: plain bytes are half the time to read of zlib.
            "image": tfds.features.Tensor(shape=(size, size, num_bands), dtype=dtype, encoding="bytes"),
            "label": tfds.features.ClassLabel(names=list(classes)),
            "object_type": tfds.features.ClassLabel(names=list(object_types)),
            # Scalar(float64) would be stored as float32: 0.1 arcsec lost.
            "ra_deg": tfds.features.Tensor(shape=(), dtype=np.float64, encoding="bytes"),
            "dec_deg": tfds.features.Tensor(shape=(), dtype=np.float64, encoding="bytes"),
            "redshift": np.float32,
            "m500c_msun": np.float32,
            **({"redshift_kind": tfds.features.ClassLabel(names=list(REDSHIFT_KINDS))} if redshift_kinds else {}),
            **dict.fromkeys(measurements, np.float32),
            "object_id": np.int64,
            "sky_block": np.int64,
        }
    )
