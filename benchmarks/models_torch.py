"""PyTorch's side of ``models.py`` and ``scan.py``: builds a network once asked, then times it whenever told to. Not run
by hand.

Reads one JSON command a line: {"build": ...}, {"map": ...} (for a scan), {"parameters": true}, {"processor": true},
{"peak_bytes": true} (of a GPU's memory since it was asked last) or {"time": "forward", "train" or "scan", "steps": n};
answers with one.
"""

import contextlib
import json
import os
import sys
import time

# Answers go out here; what libraries print, at import or later, goes to the user.
ANSWERS = os.fdopen(os.dup(sys.stdout.fileno()), "w")
os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

import torch  # noqa: E402

try:
    import torchvision
except RuntimeError:  # not built for this torch: its compiled operations, which are not needed, are to be declared
    for op in ("nms", "qnms"):
        with contextlib.suppress(RuntimeError):
            torch.library.define(f"torchvision::{op}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    for name in [name for name in sys.modules if name.startswith("torchvision")]:
        del sys.modules[name]
    import torchvision
import timm  # noqa: E402

# Our name -> (library, its name).
NETWORKS = {
    "alexnet_vgg": ("torchvision", "alexnet"),
    "vgg19_bn": ("torchvision", "vgg19_bn"),
    "resnet18": ("torchvision", "resnet18"),
    "resnet50": ("torchvision", "resnet50"),
    "wide_resnet101_2": ("torchvision", "wide_resnet101_2"),
    "densenet121": ("torchvision", "densenet121"),
    "efficientnet_b0": ("torchvision", "efficientnet_b0"),
    "mobilenet_v1": ("timm", "mobilenetv1_100"),
    "inception_v3": ("torchvision", "inception_v3"),
    "vit_tiny": ("timm", "vit_tiny_patch16_224"),
    "vit_b16": ("timm", "vit_base_patch16_224"),
    "vit_l16": ("timm", "vit_large_patch16_224"),
}


# Fomicheva (2025), as clusterjax has them: widths, parts a side that the last map is pooled to, hidden layers.
PLAIN = {"baseline": ((32, 64, 128, 256), 1, ()), "cnn_mlp": ((32, 64, 128), 4, (512, 128))}


def plain_network(name: str, num_bands: int, padding: int, pool: int | None, hidden: list | None) -> torch.nn.Module:
    """Baseline or CNN+MLP, of two classes."""
    widths, own_pool, own_hidden = PLAIN[name]
    pool, hidden = pool or own_pool, own_hidden if hidden is None else hidden
    layers, num_in = [], num_bands
    for width in widths:
        layers += [torch.nn.Conv2d(num_in, width, 3, padding=padding), torch.nn.BatchNorm2d(width)]
        layers += [torch.nn.ReLU(inplace=True), torch.nn.MaxPool2d(2)]
        num_in = width
    layers += [torch.nn.AdaptiveAvgPool2d(pool), torch.nn.Flatten()]
    num_in *= pool**2
    for width in hidden:
        layers += [torch.nn.Linear(num_in, width), torch.nn.ReLU(inplace=True)]
        num_in = width
    return torch.nn.Sequential(*layers, torch.nn.Linear(num_in, 2))


def kosiba_cn(num_bands: int) -> torch.nn.Module:
    """The custom network of Kosiba et al. (2020) as Keras lays it out: pooling with padding SAME, dropout 0.65. As in
    clusterjax, the last maps become 6x6 at any size."""
    layers, num_in = [], num_bands
    for width in (64, 32, 32, 32, 32, 32):
        layers += [torch.nn.Conv2d(num_in, width, 3, padding=1), torch.nn.ReLU(inplace=True)]
        layers.append(torch.nn.MaxPool2d(2, ceil_mode=True))
        num_in = width
    layers += [torch.nn.AdaptiveAvgPool2d(6), torch.nn.Flatten(), torch.nn.Linear(36 * num_in, 256)]
    return torch.nn.Sequential(*layers, torch.nn.ReLU(inplace=True), torch.nn.Dropout(0.65), torch.nn.Linear(256, 2))


class Timed:
    """A network, a batch and an optimizer on the best device there is."""

    def __init__(
        self,
        name: str,
        size: int,
        batch_size: int,
        *,
        compile: str | None,
        bfloat16: bool,
        num_threads: int,
        num_bands: int = 3,
        padding: str = "SAME",
        pool: int | None = None,
        hidden: list[int] | None = None,
    ):
        torch.set_num_threads(num_threads)
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")  # as XLA's own choice on a GPU
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.size, self.batch_size = size, batch_size
        library, theirs = NETWORKS.get(name, ("plain", name))
        if name == "kosiba_cn":
            model = kosiba_cn(num_bands)
        elif library == "plain":
            model = plain_network(name, num_bands, 1 if padding == "SAME" else 0, pool, hidden)
        elif library == "timm":
            extra = {"img_size": size} if theirs.startswith("vit") else {}
            model = timm.create_model(theirs, num_classes=2, **extra)
        else:
            extra = {"aux_logits": False, "init_weights": False} if theirs == "inception_v3" else {}
            model = torchvision.models.get_model(theirs, num_classes=2, **extra)
        self.model = model.to(self.device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-4)
        self.call = torch.compile(self.model, mode=compile) if compile else self.model
        self.images = torch.randn(batch_size, num_bands, size, size, device=self.device).to(
            memory_format=torch.channels_last
        )
        self.labels = torch.randint(0, 2, (batch_size,), device=self.device)
        self.autocast = torch.autocast(self.device, torch.bfloat16, enabled=bfloat16)

    def forward(self):
        with torch.inference_mode(), self.autocast:
            self.call(self.images)

    def make_map(self, num_windows: int, stride: int, noise: list[float]):
        """A map of noise with so many windows, row by row of a square."""
        side = int(num_windows**0.5)
        length = side * stride + self.size
        self.starts = [(stride * (i // side), stride * (i % side)) for i in range(num_windows)]
        self.noise = torch.tensor(noise, device=self.device)[:, None, None]
        self.map = self.noise * torch.randn(len(noise), 2 * length, length, device=self.device)

    def scan(self):
        """The usual loop: cut windows out, normalise, score."""
        scores = []
        with torch.inference_mode(), self.autocast:
            for begin in range(0, len(self.starts), self.batch_size):
                batch = self.starts[begin : begin + self.batch_size]
                windows = torch.stack([self.map[:, y : y + self.size, x : x + self.size] for y, x in batch])
                windows = torch.nan_to_num(torch.arcsinh(windows / self.noise))
                logits = self.call(windows.to(memory_format=torch.channels_last))
                scores.append(torch.softmax(logits, 1)[:, 1].cpu())
        return torch.cat(scores)

    def train(self):
        with self.autocast:
            loss = torch.nn.functional.cross_entropy(self.call(self.images), self.labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def time(self, what: str, steps: int) -> float:
        """Seconds a step, in a row."""
        self.model.train(what == "train")
        started = time.perf_counter()
        for _ in range(steps):
            getattr(self, what)()
        if self.device == "cuda":
            torch.cuda.synchronize()
        seconds = (time.perf_counter() - started) / steps
        torch.cuda.empty_cache()  # the other sides use the same memory
        return seconds

    def peak_bytes(self) -> int:
        if self.device != "cuda":
            return 0
        peak = torch.cuda.max_memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        return peak


if __name__ == "__main__":
    for line in sys.stdin:
        command = json.loads(line)
        if "build" in command:
            timed = Timed(**command["build"])
            answer: object = torch.__version__
        elif "map" in command:
            answer = timed.make_map(**command["map"])
        elif "processor" in command:  # seconds of all its cores so far
            answer = time.process_time()
        elif "parameters" in command:
            answer = sum(parameter.numel() for parameter in timed.model.parameters())
        elif "peak_bytes" in command:
            answer = timed.peak_bytes()
        else:
            answer = timed.time(command["time"], command["steps"])
        print(json.dumps(answer), file=ANSWERS, flush=True)
