"""Dense evaluation: a network at every window of a map at once, sharing the convolutions between windows.

A network without padding sees nothing but the pixels of its window, so a feature map of a whole map holds those of all
windows, provided that each strided layer is evaluated at every phase that some window begins on. A strided layer first
splits its input into shifted copies, side by side in the batch (shift-and-stitch: Sermanet et al. 2014,
arXiv:1312.6229; Long et al. 2015, arXiv:1411.4038), as few as the stride of the scan leaves; all layers then work as
they are. Where the network pools its last feature map to a fixed size, the map falls apart into windows, and the head
sees a batch of them. Any stride of the scan works; one that divides, or is a multiple of, the strides of the network
wastes nothing.

The layers of :mod:`clusterjax.models.layers` take part by themselves. A network adds two things: residual branches go
through :func:`in_parallel`, and a backbone says that it is without padding by ``padding = "VALID"``.
"""

import contextlib
import contextvars
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from clusterjax.errors import InputError
from clusterjax.models import kernels
from clusterjax.models.lattice import DensePlan, Lattice


class _Measuring:
    """A pass over one window: the strides that are met, what is pooled in the end, and what it costs."""

    def __init__(self, scan_stride: int):
        self.lattice = Lattice(scan_stride)
        self.last_size = 0
        self.values_per_pixel = 0.0
        self.of_one_window = self.of_one_of_many = 0.0

    def before_layer(self, x, stride, padding):
        _refuse_padding(padding)
        self._note(x.shape[-1], self.lattice.spacing)
        self.lattice, _, _ = self.lattice.after(stride)
        return x

    def count(self, kernel, output):
        """Multiplications of a convolution, for a window by itself and for one of a map's."""
        self.of_one_window += kernel.size * math.prod(output.shape[1:3])
        self.of_one_of_many += kernel.size * (self.lattice.scan_stride / self.lattice.spacing) ** 2

    def _note(self, num_values, spacing):
        self.values_per_pixel = max(self.values_per_pixel, num_values / spacing**2)

    def pool(self, x, along_y, along_x):
        self._note(x.shape[-1], self.lattice.spacing)
        self._note(x.shape[-1] * len(along_y) * len(along_x), self.lattice.scan_stride)
        self.last_size = x.shape[1]
        return jnp.einsum("iy,byxf,jx->bijf", along_y, x, along_x)


class _Sharing:
    """A pass over a map (batch, y, x, feature): phases stand behind each other in the batch, its first axis slowest."""

    def __init__(self, plan: DensePlan, batch_size: int):
        self.plan = plan
        self.batch_size = batch_size
        self.lattice = Lattice(plan.lattice.scan_stride)
        self.is_stitched = False

    def before_layer(self, x, stride, padding):
        _refuse_padding(padding)
        self.lattice, number, step = self.lattice.after(stride)
        if number == 1:
            return x
        ny, nx = (length - (number - 1) * step for length in x.shape[1:3])
        copies = [
            x[:, i * step : i * step + ny, j * step : j * step + nx] for i in range(number) for j in range(number)
        ]
        return jnp.stack(copies, axis=1).reshape(-1, ny, nx, x.shape[-1])

    def pool(self, x, along_y, along_x):
        if self.lattice != self.plan.lattice:
            raise ValueError(f"the map's lattice {self.lattice} is not the window's, {self.plan.lattice}")
        num_y, num_x = (length - self.plan.last_size + 1 for length in x.shape[1:3])
        rows = [_weighted_sum(x, weights, 1, num_y) for weights in along_y]
        pooled = jnp.stack([_weighted_sum(row, weights, 2, num_x) for row in rows for weights in along_x], axis=3)
        skip = self.lattice.scan_stride // self.lattice.spacing
        if skip > 1:
            pooled = self.stitch(pooled)[:, ::skip, ::skip]
            self.is_stitched = True
        self.num_windows = pooled.shape[1:3]
        return pooled.reshape(-1, len(along_y), len(along_x), x.shape[-1])

    def stitch(self, values):
        """(batch phase, y, x, ...) -> (batch, all y, all x, ...)."""
        shifts, (num_y, num_x), rest = self.lattice.shifts, values.shape[1:3], values.shape[3:]
        phases = [number for number in shifts for _ in range(2)]
        values = values.reshape(self.batch_size, *phases, num_y, num_x, *rest)
        # A window's place is its place in the last phase, then in the phases before, the first phase fastest.
        last = 1 + 2 * len(shifts)
        along_y, along_x = (tuple(range(last + axis, 0, -2)) for axis in range(2))
        values = values.transpose(0, *along_y, *along_x, *range(last + 2, values.ndim))
        number = math.prod(shifts)
        return values.reshape(self.batch_size, number * num_y, number * num_x, *rest)

    def to_map(self, outputs: Float[Array, "window output"]) -> Float[Array, "batch y x output"]:
        values = outputs.reshape(-1, *self.num_windows, outputs.shape[-1])
        return values if self.is_stitched else self.stitch(values)


def _refuse_padding(padding) -> None:
    if isinstance(padding, str) or any(map(any, padding)):
        raise InputError("one of the network's layers pads the window")


def _weighted_sum(x, weights: np.ndarray, axis: int, number: int):
    """Of ``number`` neighbouring windows along ``axis``, each its pixels weighted."""
    used = np.flatnonzero(weights)
    parts = [jax.lax.slice_in_dim(x, k, k + number, axis=axis) for k in used]
    if len({float(weights[k]) for k in used}) == 1:
        return sum(parts[1:], parts[0]) * weights[used[0]] if weights[used[0]] != 1 else parts[0]
    return sum(part * weights[k] for part, k in zip(parts, used, strict=True))


_current: contextvars.ContextVar[_Measuring | _Sharing | None] = contextvars.ContextVar("dense_pass", default=None)


@contextlib.contextmanager
def _running(a_pass):
    token = _current.set(a_pass)
    try:
        yield a_pass
    finally:
        _current.reset(token)


def is_running() -> bool:
    """True within a dense evaluation."""
    return _current.get() is not None


def before_layer(x, stride: int, padding: str | Sequence[tuple[int, int]]):
    """The input of a convolution or pooling; outside a dense evaluation as it is."""
    a_pass = _current.get()
    return x if a_pass is None else a_pass.before_layer(x, stride, padding)


def convolve(image, kernel, strides, padding, **kwargs):
    """:func:`clusterjax.models.kernels.convolve`, taking part in a dense evaluation."""
    a_pass = _current.get()
    if a_pass is not None:
        if isinstance(padding, str):
            padding = jax.lax.padtype_to_pads(image.shape[1:3], kernel.shape[:2], strides, padding)
        image = a_pass.before_layer(image, strides[0], padding)
    output = kernels.convolve(image, kernel, strides, padding, **kwargs)
    if isinstance(a_pass, _Measuring):
        a_pass.count(kernel, output)
    return output


def pool_windows(x, along_y: Callable[[int], np.ndarray], along_x: Callable[[int], np.ndarray]):
    """In a dense evaluation, the weighted means (window, m, m, feature) of each window's last feature map; else None.

    ``along_y`` and ``along_x`` give the weights (m, size) for a window of that size.
    """
    a_pass = _current.get()
    if a_pass is None:
        return None
    sizes = x.shape[1:3] if isinstance(a_pass, _Measuring) else (a_pass.plan.last_size,) * 2
    return a_pass.pool(x, along_y(sizes[0]), along_x(sizes[1]))


def in_parallel(x, *branches: Callable) -> list:
    """What each branch makes of ``x``. All begin with the same phases and must end with the same."""
    a_pass = _current.get()
    if a_pass is None:
        return [branch(x) for branch in branches]
    before, outputs, ends = a_pass.lattice, [], set()
    for branch in branches:
        a_pass.lattice = before
        outputs.append(branch(x))
        ends.add(a_pass.lattice)
    if len(ends) > 1:
        raise ValueError(f"branches of different strides: {ends}")
    return outputs


def plan_dense(model: nnx.Module, *, window: int, stride: int, num_bands: int) -> DensePlan:
    """The plan for windows of ``window`` pixels, every ``stride`` pixels of a map of ``num_bands``.

    ``model`` is a classifier with a ``backbone``; its arrays may be shapes alone. Raises InputError, with the reason,
    for a network that has no dense way.
    """
    if getattr(model.backbone, "padding", None) != "VALID":
        raise InputError(
            "the network pads its feature maps with zeros, so that each window's scores depend on where its edge lies; "
            "only networks with config.model.kwargs padding='VALID' can share convolutions between windows"
        )
    graphdef, state = nnx.split(model)

    def measure(state, image):
        merged = nnx.merge(graphdef, state)
        merged.eval()
        return merged.backbone(image)

    with _running(_Measuring(stride)) as a_pass:
        jax.eval_shape(measure, state, jax.ShapeDtypeStruct((1, window, window, num_bands), jnp.float32))
    saving = a_pass.of_one_window / a_pass.of_one_of_many if a_pass.of_one_of_many else 1.0
    return DensePlan(window, a_pass.lattice, a_pass.last_size, saving, a_pass.values_per_pixel)


def evaluate_dense(
    network: Callable[[Array], Array], plan: DensePlan, pixels: Float[Array, "batch y x band"]
) -> Float[Array, "batch num_y num_x output"]:
    """``network(windows) -> (window, output)`` of all windows of ``pixels`` that begin at multiples of the stride.

    ``pixels`` is an extent of multiples of ``plan.extent_step``, and ``plan.halo`` pixels more, in y and in x; windows
    begin within the extent. To be traced inside one program: it changes how the layers are traced.
    """
    for length in pixels.shape[1:3]:
        if (length - plan.halo) % plan.extent_step or length <= plan.halo:
            raise ValueError(f"{length} pixels are not {plan.halo} and a multiple of {plan.extent_step}")
    with _running(_Sharing(plan, pixels.shape[0])) as a_pass:
        return a_pass.to_map(network(pixels))
