"""PyTorch's side of ``train.py``: a whole training loop, as one would write it there. Not run by hand.

Reads one JSON command a line: {"build": ...}, {"parameters": true} or {"steps": n, "warm": m}, which takes n steps and
answers with the images a second and the CPU seconds an image of those after the first m; answers with one.
"""

import json
import math
import sys
import time

import numpy as np
import torch
from models_torch import ANSWERS, Timed
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, Sampler

_LOG_EVERY = 10


class Cutouts(Dataset):
    """Of a folder's images.npy (number, y, x, band), mapped into memory, and labels.npy; a batch at once."""

    def __init__(self, folder: str):
        self.folder, self.images = folder, None
        self.labels = np.load(f"{folder}/labels.npy")

    def __getitems__(self, indices):
        if self.images is None:  # each worker maps for itself
            self.images = np.load(f"{self.folder}/images.npy", mmap_mode="r")
        return self.images[indices], self.labels[indices]


class Endless(Sampler):
    """All indices in a new order, again and again: no pause between epochs."""

    def __init__(self, number: int):
        self.number = number

    def __iter__(self):
        while True:
            yield from torch.randperm(self.number).tolist()


def to_tensors(batch):
    return tuple(map(torch.from_numpy, batch))


class Prepare(torch.nn.Module):
    """What clusterjax does to a batch: median, asinh, standardisation, enlarging, then one affine resample."""

    def __init__(
        self, location, inverse_scale, mean, inverse_std, size: int, rotation_deg: float, shift_fraction: float
    ):
        super().__init__()
        constants = {"location": location, "inverse_scale": inverse_scale, "mean": mean, "inverse_std": inverse_std}
        for name, value in constants.items():
            self.register_buffer(name, torch.tensor(value, dtype=torch.float32))
        self.size, self.limit, self.shift = size, math.radians(rotation_deg), shift_fraction

    def forward(self, images):
        """(batch, y, x, band) raw -> (batch, band, y, x), channels last in memory."""
        images = self.normalise(images).permute(0, 3, 1, 2)
        if images.shape[-1] != self.size:
            images = functional.interpolate(images, self.size, mode="bilinear", align_corners=False, antialias=False)
        grid = functional.affine_grid(self.theta(len(images), images.device), images.shape, align_corners=True)
        # Reflection about the centres of the edge pixels, as clusterjax mirrors.
        return functional.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=True)

    def normalise(self, images):
        images = torch.where(torch.isfinite(images), images, math.nan) - self.location
        # The lower of the two middle pixels; clusterjax takes their mean.
        median = torch.nanmedian(images.flatten(1, 2), dim=1).values
        images = torch.asinh((images - median[:, None, None, :]) * self.inverse_scale)
        return torch.nan_to_num((images - self.mean) * self.inverse_std)

    def theta(self, number: int, device):
        """Output to input coordinates (x, y) from -1 to 1: turned, flipped left-right, shifted at random."""
        angle = (2 * torch.rand(number, device=device) - 1) * self.limit
        flip = torch.where(torch.rand(number, device=device) < 0.5, 1.0, -1.0)
        shift = (2 * torch.rand(number, 2, device=device) - 1) * self.shift * self.size
        return affine_theta(angle, flip, shift, self.size)


def affine_theta(angle, flip, shift_pixels, size: int):
    """``clusterjax.data.affine``'s matrix and offset in PyTorch's coordinates; ``shift_pixels`` (batch, 2): (y, x)."""
    cos, sin = torch.cos(angle), torch.sin(angle)
    matrix = torch.stack([torch.stack([cos * flip, sin * flip], -1), torch.stack([-sin, cos], -1)], 1)  # rows x, y
    moved = shift_pixels.flip(-1) * (2 / (size - 1))
    return torch.cat([matrix, -(matrix @ moved[:, :, None])], 2)


class Loop:
    """A network, its data and its optimizer."""

    def __init__(
        self, *, name, size, batch_size, bfloat16, compile, num_threads, num_workers, optimizer, rate, augment, folder,
        normalise,
    ):  # fmt: skip
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")  # TF32, as JAX has by default
        self.timed = Timed(name, size, batch_size, compile=False, bfloat16=bfloat16, num_threads=num_threads)
        self.device = self.timed.device
        on_gpu = self.device == "cuda"
        model = self.timed.model.train()
        kinds = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}
        kwargs = {"momentum": 0.9, "nesterov": True} if optimizer == "sgd" else {}
        self.optimizer = kinds[optimizer](model.parameters(), lr=rate, fused=True, **kwargs)
        self.prepare = Prepare(**normalise, size=size, **augment).to(self.device)
        self.call = model
        if compile != "no":
            self.call = torch.compile(model, mode=compile)
            self.prepare = torch.compile(self.prepare)
        self.cudagraphs = compile in ("reduce-overhead", "max-autotune")
        cutouts = Cutouts(folder)
        self.batch_size = batch_size
        workers = {"num_workers": num_workers}
        if num_workers:
            workers |= {"persistent_workers": True, "prefetch_factor": 2}
        self.batches = iter(
            DataLoader(
                cutouts, batch_size=batch_size, sampler=Endless(len(cutouts.labels)), drop_last=True,
                collate_fn=to_tensors, pin_memory=on_gpu, **workers,
            )
        )  # fmt: skip

    def step(self):
        """One step; loss and accuracy, on the device."""
        images, labels = (part.to(self.device, non_blocking=True) for part in next(self.batches))
        with torch.no_grad():
            images = self.prepare(images)
        if self.cudagraphs:
            torch.compiler.cudagraph_mark_step_begin()
        with self.timed.autocast:
            logits = self.call(images)
            loss = functional.cross_entropy(logits.float(), labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        accuracy = (logits.argmax(1) == labels).float().mean()
        return torch.stack((loss.detach(), accuracy))

    def wait(self):
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def run(self, steps: int, warm: int) -> tuple[float, float]:
        """(images a second, CPU seconds an image). Metrics are fetched every tenth step, ten steps late."""
        waiting, history = None, []
        started, cpu = self.wait(), time.process_time()
        for number in range(steps):
            if number == warm:
                started, cpu = self.wait(), time.process_time()
            scalars = self.step()
            if (number + 1) % _LOG_EVERY == 0:
                if waiting is not None:
                    history.append(self.read(*waiting))
                waiting = self.send(scalars)
        ended, cpu_ended = self.wait(), time.process_time()
        if waiting is not None:
            history.append(self.read(*waiting))
        if not all(math.isfinite(loss) for loss, _ in history):
            raise SystemExit(f"PyTorch's loss is not finite: {history}")
        images = (steps - warm) * self.batch_size
        return images / (ended - started), (cpu_ended - cpu) / images

    def send(self, scalars):
        if self.device == "cpu":
            return scalars, None
        event = torch.cuda.Event()
        copy = torch.empty(scalars.shape, pin_memory=True).copy_(scalars, non_blocking=True)
        event.record()
        return copy, event

    def read(self, scalars, event):
        if event is not None:
            event.synchronize()
        return scalars.tolist()


if __name__ == "__main__":
    for line in sys.stdin:
        command = json.loads(line)
        if "build" in command:
            loop = Loop(**command["build"])
            answer: object = torch.__version__
        elif "parameters" in command:
            answer = sum(parameter.numel() for parameter in loop.timed.model.parameters())
        else:
            answer = loop.run(command["steps"], command["warm"])
        print(json.dumps(answer), file=ANSWERS, flush=True)
