"""PyTorch's side of ``models.py``: builds a network once asked, then times it whenever told to. Not run by hand.

Reads one JSON command a line: {"build": ...} or {"time": "forward" or "train", "repeats": n}; answers with one.
"""

import contextlib
import json
import sys
import time

import torch

for op in ("nms", "qnms"):  # of torchvision's compiled operations, which are not needed; declared twice, it refuses
    with contextlib.suppress(RuntimeError):
        torch.library.define(f"torchvision::{op}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
import timm  # noqa: E402
import torchvision  # noqa: E402

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


class Timed:
    """A network, a batch and an optimizer on the best device there is."""

    def __init__(self, name: str, size: int, batch_size: int, *, compile: bool, bfloat16: bool, num_threads: int):
        torch.set_num_threads(num_threads)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        library, theirs = NETWORKS[name]
        if library == "timm":
            extra = {"img_size": size} if theirs.startswith("vit") else {}
            model = timm.create_model(theirs, num_classes=2, **extra)
        else:
            extra = {"aux_logits": False, "init_weights": False} if theirs == "inception_v3" else {}
            model = torchvision.models.get_model(theirs, num_classes=2, **extra)
        self.model = model.to(self.device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-4)
        self.call = torch.compile(self.model) if compile else self.model
        self.images = torch.randn(batch_size, 3, size, size, device=self.device).to(memory_format=torch.channels_last)
        self.labels = torch.randint(0, 2, (batch_size,), device=self.device)
        self.autocast = torch.autocast(self.device, torch.bfloat16, enabled=bfloat16)

    def forward(self):
        with torch.inference_mode(), self.autocast:
            self.call(self.images)

    def train(self):
        with self.autocast:
            loss = torch.nn.functional.cross_entropy(self.call(self.images), self.labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def time(self, what: str, repeats: int) -> list[float]:
        self.model.train(what == "train")
        seconds = []
        for _ in range(repeats):
            started = time.perf_counter()
            getattr(self, what)()
            if self.device == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - started)
        return seconds


if __name__ == "__main__":
    for line in sys.stdin:
        command = json.loads(line)
        if "build" in command:
            timed = Timed(**command["build"])
            answer: object = torch.__version__
        else:
            answer = timed.time(command["time"], command["repeats"])
        print(json.dumps(answer), flush=True)
