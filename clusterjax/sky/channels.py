"""X-ray and optical images as the channels of one picture of 8 bits, as XAmin draws them (Kosiba et al. 2020, sect. 2).

Each image becomes grey between two cuts, dark where it is bright; a grey image may be drawn in XAmin's colours, from
white by yellow and red to black. Which channel a picture has where is a tuple of names.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Num, UInt8

from clusterjax.errors import InputError

IMAGES = ("xray", "optical")
_COLOURS = ("red", "green", "blue")
EIGHT_BIT = ("zero", *IMAGES, *(f"{image}_{colour}" for image in IMAGES for colour in _COLOURS))
RAW = ("counts", "plate")  # X-ray counts and the plate's numbers as they are
# Arrangements of the paper: as published, and the six channels of both images in colour
PUBLISHED = ("zero", "xray", "optical")
SIX = EIGHT_BIT[3:]


def xamin_grey(data: Num[np.ndarray, "*shape"], min_cut: float, max_cut: float) -> Float[np.ndarray, "*shape"]:
    """255 up to ``min_cut``, 0 from ``max_cut`` on, linear between. Raises :class:`InputError` for cuts in no order."""
    if not min_cut < max_cut:
        raise InputError(f"XAmin's min cut must be below its max cut, not {min_cut:g} and {max_cut:g}")
    return 255 * (1 - np.clip((data - min_cut) / (max_cut - min_cut), 0, 1))


def xamin_colours(grey: Num[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape 3"]:
    """Red, green and blue (0 to 255) of grey values from 0 to 255."""
    red = np.where(grey < 176, grey * (255 / 176), 255.0)
    green = np.where(grey > 120, (grey - 120.0) * (255 / 135), 0.0)
    blue = np.where(grey > 190, (grey - 190.0) * (255 / 65), 0.0)
    return np.stack([red, green, blue], axis=-1)


def check_channels(channels: Sequence[str], available: Sequence[str]) -> None:
    """Raise :class:`InputError` for no channel, one twice, and one that is not ``available``."""
    if not channels or len(set(channels)) < len(channels):
        raise InputError(f"channels={tuple(channels)} must be some, each once, of {', '.join(available)}")
    for name in channels:
        if name not in available:
            raise InputError(f"channel {name!r} is unknown or not to be had here; use some of {', '.join(available)}")


def arrange(grey: Mapping[str, UInt8[np.ndarray, "y x"]], channels: Sequence[str]) -> UInt8[np.ndarray, "y x channel"]:
    """The picture whose channels are ``channels``, from the grey images ``xray`` and ``optical``."""
    check_channels(channels, EIGHT_BIT)
    shape = next(iter(grey.values())).shape
    picture = np.zeros((*shape, len(channels)), np.uint8)
    for place, name in enumerate(channels):
        image, _, colour = name.partition("_")
        if colour:
            picture[..., place] = _COLOUR_TABLE[grey[image], _COLOURS.index(colour)]
        elif name != "zero":
            picture[..., place] = grey[name]
    return picture


_COLOUR_TABLE = np.rint(xamin_colours(np.arange(256))).astype(np.uint8)
