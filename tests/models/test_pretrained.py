"""Published weights: files of every kind are read, nothing in them is executed, and what does not fit is named."""

import collections
import io
import os
import pickle
import struct
import sys
import types
import zipfile

import numpy as np
import pytest
from flax import nnx

from clusterjax.errors import InputError
from clusterjax.models import create_model
from clusterjax.models.pretrained import __main__ as command
from clusterjax.models.pretrained import adapt_bands, convert, flatten_names, read_weights, start_from
from clusterjax.models.pretrained.read import _MAGIC
from clusterjax.models.registry import model_entry

RNG = np.random.default_rng(0)
WEIGHTS = {
    "features.weight": RNG.normal(size=(3, 4)).astype(np.float32),
    "half": RNG.normal(size=(5,)).astype(np.float16),
    "counts": np.arange(3),
}


class FakeTensor:
    """Pickled as PyTorch pickles a tensor: a call of torch._utils._rebuild_tensor_v2 on a storage kept elsewhere."""

    def __init__(self, key, array, offset=0, stride=None):
        self.key, self.array = key, array
        self.offset = offset
        self.stride = stride or tuple(step // array.itemsize for step in array.strides)

    @property
    def storage_name(self):
        return {"float32": "FloatStorage", "float16": "HalfStorage", "int64": "LongStorage"}[str(self.array.dtype)]

    def __reduce__(self):
        torch_utils = sys.modules["torch._utils"]
        arguments = (self, self.offset, self.array.shape, self.stride, False, collections.OrderedDict())
        return torch_utils._rebuild_tensor_v2, (StorageOf(self), *arguments[1:])


class StorageOf:
    def __init__(self, tensor):
        self.tensor = tensor


@pytest.fixture
def fake_torch(monkeypatch):
    """The names under which PyTorch pickles, so that files like its own can be written without it."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    def rebuild(*_):
        raise AssertionError("only the name is used")

    rebuild.__module__, rebuild.__qualname__, rebuild.__name__ = (
        "torch._utils",
        "_rebuild_tensor_v2",
        "_rebuild_tensor_v2",
    )
    utils._rebuild_tensor_v2 = rebuild
    for name in ("FloatStorage", "HalfStorage", "LongStorage"):
        kind = type(name, (), {"__module__": "torch"})
        setattr(torch, name, kind)
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    return torch


def dump(torch, values, *, legacy=False) -> bytes:
    file = io.BytesIO()

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj):
            if not isinstance(obj, StorageOf):
                return None
            tensor = obj.tensor
            saved = ("storage", getattr(torch, tensor.storage_name), tensor.key, "cpu", tensor.array.size)
            return (*saved, None) if legacy else saved

    Pickler(file, protocol=2).dump(values)
    return file.getvalue()


def write_zipped(path, torch, values, storages):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("name/data.pkl", dump(torch, values))
        for key, array in storages.items():
            archive.writestr(f"name/data/{key}", array.tobytes())


def write_legacy(path, torch, values, storages):
    with path.open("wb") as file:
        for header in (_MAGIC, 1001, {"little_endian": True}):
            pickle.dump(header, file, protocol=2)
        file.write(dump(torch, values, legacy=True))
        pickle.dump(list(storages), file, protocol=2)
        for array in storages.values():
            file.write(struct.pack("<q", array.size) + array.tobytes())


def as_tensors(weights):
    tensors = {name: FakeTensor(str(i), array) for i, (name, array) in enumerate(weights.items())}
    return collections.OrderedDict(tensors), {tensor.key: tensor.array for tensor in tensors.values()}


def assert_weights(found):
    assert list(found) == list(WEIGHTS)
    np.testing.assert_array_equal(found["features.weight"], WEIGHTS["features.weight"])
    np.testing.assert_array_equal(found["half"], WEIGHTS["half"].astype(np.float32))
    np.testing.assert_array_equal(found["counts"], WEIGHTS["counts"])
    assert {str(value.dtype) for value in found.values()} == {"float32", "int64"}


@pytest.mark.parametrize("write", [write_zipped, write_legacy])
def test_pytorch_files(tmp_path, fake_torch, write):
    values, storages = as_tensors(WEIGHTS)
    write(tmp_path / "weights.pth", fake_torch, values, storages)
    assert_weights(read_weights(tmp_path / "weights.pth"))
    write(tmp_path / "wrapped.pth", fake_torch, {"epoch": 3, "state_dict": values}, storages)
    assert_weights(read_weights(tmp_path / "wrapped.pth"))
    parallel = {f"module.{name}": value for name, value in values.items()}
    write(tmp_path / "parallel.pth", fake_torch, parallel, storages)
    assert_weights(read_weights(tmp_path / "parallel.pth"))


def test_views_of_one_storage(tmp_path, fake_torch):
    whole = np.arange(12, dtype=np.float32)
    views = {
        "transposed": FakeTensor("0", whole.reshape(3, 4).T),
        "later": FakeTensor("0", whole[4:8], offset=4),
    }
    write_zipped(tmp_path / "weights.pt", fake_torch, views, {"0": whole})
    found = read_weights(tmp_path / "weights.pt")
    np.testing.assert_array_equal(found["transposed"], whole.reshape(3, 4).T)
    np.testing.assert_array_equal(found["later"], whole[4:8])
    beyond = {"beyond": FakeTensor("0", whole, offset=1)}
    write_zipped(tmp_path / "beyond.pt", fake_torch, beyond, {"0": whole})
    with pytest.raises(InputError, match="reaches beyond its numbers"):
        read_weights(tmp_path / "beyond.pt")


def test_safetensors(tmp_path):
    numpy = pytest.importorskip("safetensors.numpy")
    numpy.save_file(WEIGHTS, tmp_path / "weights.safetensors")
    found = read_weights(tmp_path / "weights.safetensors")
    assert_weights({name: found[name] for name in WEIGHTS})  # it sorts


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def test_nothing_is_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("weights.pth", "w") as archive:
        archive.writestr("name/data.pkl", pickle.dumps({"weight": Malicious()}))
    with pytest.raises(InputError, match=r"pickled posix.mkdir, which is not a weight; it was not executed"):
        read_weights("weights.pth")
    assert not (tmp_path / "executed").exists()


def test_unreadable_weights(tmp_path, fake_torch):
    with pytest.raises(InputError, match="do not exist"):
        read_weights(tmp_path / "none.pth")
    (tmp_path / "weights.h5").write_bytes(b"x")
    with pytest.raises(InputError, match="of no known kind"):
        read_weights(tmp_path / "weights.h5")
    for name in ("weights.pth", "weights.safetensors"):
        (tmp_path / name).write_bytes(b"not weights at all")
        with pytest.raises(InputError, match="cannot be read"):
            read_weights(tmp_path / name)
    values, storages = as_tensors(WEIGHTS)
    write_legacy(tmp_path / "short.pth", fake_torch, values, storages)
    (tmp_path / "short.pth").write_bytes((tmp_path / "short.pth").read_bytes()[:-5])
    with pytest.raises(InputError, match="it ends too early"):
        read_weights(tmp_path / "short.pth")
    write_zipped(tmp_path / "epoch.pth", fake_torch, {"epoch": 3}, {})
    with pytest.raises(InputError, match="no arrays: epoch"):
        read_weights(tmp_path / "epoch.pth")


def test_hub_names(tmp_path, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    numpy = pytest.importorskip("safetensors.numpy")
    numpy.save_file(WEIGHTS, tmp_path / "weights.safetensors")
    asked = []

    def download(repository, filename):
        asked.append((repository, filename))
        if "absent" in repository:
            raise OSError("no network")
        return str(tmp_path / "weights.safetensors")

    monkeypatch.setattr(hub, "hf_hub_download", download)
    assert set(read_weights("hf:timm/resnet18.a1_in1k")) == set(WEIGHTS)
    read_weights("hf:owner/name/folder/other.safetensors")
    assert asked == [("timm/resnet18.a1_in1k", "model.safetensors"), ("owner/name", "folder/other.safetensors")]
    with pytest.raises(InputError, match=r"cannot be fetched \(no network\); fetch the file by hand"):
        read_weights("hf:owner/absent")
    with pytest.raises(InputError, match="is no hub name"):
        read_weights("hf:owner")


@pytest.fixture(scope="module")
def vit_weights():
    """A small vision transformer as timm names it: 2 blocks of width 12, 3 bands, 7 classes."""
    width, rng = 12, np.random.default_rng(0)
    shapes = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 5, width),
        "patch_embed.proj.weight": (width, 3, 16, 16),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
        "head.weight": (7, width),
        "head.bias": (7,),
    }
    for i in range(2):
        for name, shape in {
            "norm1": (width,), "norm2": (width,), "attn.qkv": (3 * width, width), "attn.proj": (width, width),
            "mlp.fc1": (4 * width, width), "mlp.fc2": (width, 4 * width),
        }.items():  # fmt: skip
            shapes[f"blocks.{i}.{name}.weight"], shapes[f"blocks.{i}.{name}.bias"] = shape, shape[:1]
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


SMALL_VIT = {"depth": 2, "width": 12, "num_heads": 3, "image_size": 32}


def expected_shapes(num_bands=2, num_classes=2, **kwargs):
    model = nnx.eval_shape(
        lambda: create_model(
            "vit_tiny",
            num_bands=num_bands,
            num_classes=num_classes,
            dtype="float32",
            rngs=nnx.Rngs(0),
            **{**SMALL_VIT, **kwargs},
        )
    )
    return {name: leaf.shape for name, leaf in flatten_names(nnx.to_pure_dict(nnx.state(model))).items()}


def test_what_does_not_fit_is_named(vit_weights):
    def refused(message, changes=None, without=(), **kwargs):
        weights = {name: value for name, value in {**vit_weights, **(changes or {})}.items() if name not in without}
        with pytest.raises(InputError, match=message):
            convert(weights, "vit_tiny", **{**SMALL_VIT, **kwargs})

    assert len(convert(vit_weights, "vit_tiny", **SMALL_VIT)) == len(vit_weights)
    refused(r"1 of 33 names are unknown, such as blocks.0.gamma", {"blocks.0.gamma": np.ones(12)})
    refused(r"nothing for backbone.norm.bias", without=["norm.bias"])
    refused(
        r"blocks.0.norm1.weight has shape \(13,\).*backbone.blocks.0.norm1.scale \(12,\)",
        {"blocks.0.norm1.weight": np.ones(13)},
    )
    refused(r"blocks.1.\S+ has no place", depth=1)
    refused(r"norm.running_mean has no place", {"norm.running_mean": np.ones(12)})
    with pytest.raises(InputError, match="has no published weights"):
        convert(vit_weights, "baseline")


def test_start_fits_bands_head_and_image_size(vit_weights):
    entry = model_entry("vit_tiny")
    weights = convert(vit_weights, "vit_tiny", **SMALL_VIT)
    fitted = start_from(weights, expected_shapes(num_bands=2, image_size=64), entry)
    assert not any(name.startswith("head.") for name in fitted)
    assert fitted["backbone.patches.kernel"].shape == (16, 16, 2, 12)
    assert fitted["backbone.position"].shape == (1, 17, 12)
    np.testing.assert_array_equal(fitted["backbone.position"][:, 0], weights["backbone.position"][:, 0])
    kept = start_from(weights, expected_shapes(num_bands=3, num_classes=7), entry, keep_head=True)
    assert set(kept) == set(weights)
    with pytest.raises(InputError, match=r"head.linear.bias has shape \(7,\).*pretrained_head=False"):
        start_from(weights, expected_shapes(num_bands=3, num_classes=2), entry, keep_head=True)
    with pytest.raises(InputError, match=r"hold backbone.blocks.1.\S+, for which"):
        start_from(weights, expected_shapes(depth=1), entry)
    with pytest.raises(InputError, match=r"have no backbone.blocks.2.\S+, which"):
        start_from(weights, expected_shapes(depth=3), entry)


@pytest.mark.parametrize("num_bands", [1, 2, 3, 5])
def test_mean_rule_keeps_the_response_to_grey_images(num_bands):
    rng = np.random.default_rng(0)
    kernel, image = rng.normal(size=(3, 3, 3, 4)), rng.normal(size=(3, 3))
    before = np.einsum("yxbf,yx->f", kernel, image)
    adapted = adapt_bands(kernel, num_bands)
    assert adapted.shape == (3, 3, num_bands, 4)
    np.testing.assert_allclose(np.einsum("yxbf,yx->f", adapted, image), before)


def test_first_rule_takes_bands_in_turn():
    kernel = np.random.default_rng(0).normal(size=(3, 3, 3, 4))
    np.testing.assert_array_equal(adapt_bands(kernel, 2, "first"), kernel[:, :, :2])
    np.testing.assert_array_equal(adapt_bands(kernel, 4, "first"), kernel[:, :, [0, 1, 2, 0]])
    with pytest.raises(InputError, match="pretrained_bands='median' is unknown; use one of mean, first"):
        adapt_bands(kernel, 2, "median")


def test_command_line_refuses(tmp_path, fake_torch):
    path, output = tmp_path / "weights.pth", tmp_path / "converted"
    values, storages = as_tensors({"strange.weight": np.ones((2, 2), np.float32)})
    write_zipped(path, fake_torch, values, storages)
    with pytest.raises(InputError, match="1 of 1 names are unknown"):
        command.main(["alexnet_vgg", str(path), str(output)])
    assert not output.exists()
    output.mkdir()
    with pytest.raises(InputError, match="is there already"):
        command.main(["alexnet_vgg", str(path), str(output)])
