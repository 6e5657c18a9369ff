"""Where features lie on a map whose windows share their convolutions; see :mod:`clusterjax.models.sliding`."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Lattice:
    """Where the features of a layer lie on the map.

    Neighbours in one phase are ``layer_stride`` pixels apart, neighbours over all phases ``spacing`` pixels. ``shifts``
    are the numbers of phases that each split made, along one axis, the first split first.
    """

    scan_stride: int
    layer_stride: int = 1
    spacing: int = 1
    shifts: tuple[int, ...] = ()

    def after(self, stride: int) -> tuple["Lattice", int, int]:
        """(the lattice after a layer of ``stride``, shifted copies that it needs, pixels of the layer between them)."""
        # Windows begin at multiples of scan_stride. Once there are phases, all of them are kept.
        is_whole = self.spacing == self.layer_stride
        spacing = math.gcd(self.scan_stride, self.layer_stride * stride) if is_whole else self.spacing
        step = spacing // self.layer_stride if is_whole else 1
        number = stride // step
        shifts = (*self.shifts, number) if number > 1 else self.shifts
        return Lattice(self.scan_stride, self.layer_stride * stride, spacing, shifts), number, step


@dataclasses.dataclass(frozen=True)
class DensePlan:
    """What a dense evaluation of one network needs to know.

    ``window`` is its input, pixels a side; ``last_size`` the size of the feature map that is pooled for the head.
    ``saving`` is the number of multiplications of the convolutions of one window by itself, in those of one window of
    many; ``values_per_pixel`` the largest array on the way, in numbers a pixel of the map.
    """

    window: int
    lattice: Lattice
    last_size: int
    saving: float
    values_per_pixel: float

    @property
    def extent_step(self) -> int:
        """The windows of one evaluation begin within an extent, in y and in x, of a multiple of so many pixels."""
        return math.lcm(self.lattice.scan_stride, self.lattice.layer_stride)

    @property
    def halo(self) -> int:
        """Pixels of the input beyond the extent."""
        return self.window - self.lattice.spacing

    def largest_extent(self, num_bytes: int) -> int:
        """Pixels a side that take about so many bytes: a layer's input and output, and one to spare, in float32."""
        return math.isqrt(int(num_bytes / (3 * 4 * self.values_per_pixel)))
