"""State dicts of PyTorch: .safetensors, .pth without executing what is pickled in it, Hugging Face hub names."""

import collections
import io
import math
import pathlib
import pickle
import struct
import zipfile

import ml_dtypes
import numpy as np

from clusterjax.errors import InputError
from clusterjax.limits import check_limit

HUB_PREFIX = "hf:"
_MAGIC = 0x1950A86A20F9469CFC6C  # begins PyTorch's format from before 1.6
_STORAGES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


def read_weights(source: str | pathlib.Path) -> dict[str, np.ndarray]:
    """Name -> array, as PyTorch's ``state_dict``; half precision comes as float32.

    ``source`` is a .safetensors, .pth, .pt or .bin file, or ``hf:OWNER/NAME`` with an optional ``/FILE`` (default
    model.safetensors), which is fetched once and cached by huggingface_hub. Raises InputError for what is missing,
    unreadable, or holds anything but arrays and plain containers.
    """
    path = _fetch(str(source)) if str(source).startswith(HUB_PREFIX) else pathlib.Path(source)
    if not path.is_file():
        raise InputError(f"weights {source} do not exist; give a .safetensors or .pth file, or hf:OWNER/NAME")
    if path.suffix not in (".safetensors", ".pth", ".pt", ".bin"):
        raise InputError(f"weights {source} are of no known kind; use .safetensors, .pth, .pt or .bin")
    try:
        values = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickled(path)
    except InputError:
        raise
    except Exception as error:  # a damaged file fails anywhere within zip, pickle or struct
        raise InputError(f"weights {source} cannot be read ({type(error).__name__}: {error})") from error
    for wrapper in ("state_dict", "model_state_dict", "model"):
        if isinstance(values, dict) and isinstance(values.get(wrapper), dict):
            values = values[wrapper]
    if not isinstance(values, dict) or not values:
        raise InputError(f"weights {source} hold no state dict")
    others = [name for name, value in values.items() if not isinstance(value, np.ndarray)]
    if others:
        raise InputError(f"weights {source} hold entries that are no arrays: {', '.join(map(str, others[:5]))}")
    if all(name.startswith("module.") for name in values):  # saved from within torch.nn.DataParallel
        values = {name.removeprefix("module."): value for name, value in values.items()}
    return {name: _as_float32(value) for name, value in values.items()}


def _as_float32(value: np.ndarray) -> np.ndarray:
    return value.astype(np.float32) if value.dtype in (np.float16, np.float64, ml_dtypes.bfloat16) else value


def _fetch(source: str) -> pathlib.Path:
    parts = source.removeprefix(HUB_PREFIX).split("/")
    if len(parts) < 2 or not all(parts):
        raise InputError(f"{source} is no hub name; write hf:OWNER/NAME or hf:OWNER/NAME/FILE")
    try:
        import huggingface_hub
    except ImportError as error:
        raise InputError(f"{source} needs the extra 'pretrained': pip install clusterjax[pretrained]") from error
    try:
        filename = "/".join(parts[2:]) or "model.safetensors"
        return pathlib.Path(huggingface_hub.hf_hub_download("/".join(parts[:2]), filename))
    except Exception as error:  # no network, no such repository, no such file: each library's own kind
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"{source} cannot be fetched ({first_line}); fetch the file by hand and give its path"
        ) from error


def _read_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise InputError(f"{path} needs the extra 'pretrained': pip install clusterjax[pretrained]") from error
    return safetensors.numpy.load_file(path)


class _Storage:
    """Numbers whose bytes may come later in the file."""

    def __init__(self, dtype):
        self.dtype = np.dtype(dtype)
        self.data: np.ndarray | None = None

    def fill(self, raw: bytes) -> None:
        self.data = np.frombuffer(raw, self.dtype.newbyteorder("<")).astype(self.dtype, copy=False)


class _Tensor:
    """A view of a storage, made into an array once the storage is filled."""

    def __init__(self, storage: _Storage, offset: int, size: tuple, stride: tuple):
        self.storage, self.offset, self.size, self.stride = storage, offset, tuple(size), tuple(stride)

    def array(self) -> np.ndarray:
        data = self.storage.data
        # Strides of zero show the same number again and again: a few bytes would become any size.
        check_limit("weights_bytes", math.prod(self.size) * self.storage.dtype.itemsize, "a tensor")
        last = self.offset + sum((n - 1) * step for n, step in zip(self.size, self.stride, strict=True))
        if data is None or self.offset < 0 or min(self.stride, default=0) < 0:
            raise ValueError("a tensor without its numbers")
        if 0 not in self.size and last >= len(data):
            raise ValueError("a tensor that reaches beyond its numbers")
        strides = [step * data.itemsize for step in self.stride]
        return np.lib.stride_tricks.as_strided(data[self.offset :], self.size, strides, writeable=False).copy()


class _Unpickler(pickle.Unpickler):
    """Builds tensors, dicts and lists; refuses every other name, so nothing of the file is ever executed."""

    def __init__(self, file, load_storage):
        super().__init__(file, encoding="utf-8")
        self._load_storage = load_storage

    def find_class(self, module, name):
        known = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): lambda storage, offset, size, stride, *_: _Tensor(
                storage, offset, size, stride
            ),
            ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
        }
        if module in ("torch", "torch.storage") and name in _STORAGES:
            return _STORAGES[name]
        if (module, name) not in known:
            raise InputError(f"it holds a pickled {module}.{name}, which is not a weight; it was not executed")
        return known[module, name]

    def persistent_load(self, saved_id):
        return self._load_storage(saved_id)


def _read_pickled(path: pathlib.Path):
    try:
        loaded = _read_zipped(path) if zipfile.is_zipfile(path) else _read_legacy(path)
    except InputError as error:
        raise InputError(f"weights {path} are refused: {error}") from error
    return _to_arrays(loaded)


def _to_arrays(value, depth: int = 0):
    """With arrays for tensors in a dict and the dicts in it; what lies deeper is no state dict, and may have no end."""
    if isinstance(value, _Tensor):
        return value.array()
    if isinstance(value, dict) and depth < 2:
        return {key: _to_arrays(item, depth + 1) for key, item in value.items()}
    return value


def _read_zipped(path: pathlib.Path):
    with zipfile.ZipFile(path) as archive:
        check_limit("weights_bytes", sum(info.file_size for info in archive.infolist()), path)
        pickled = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        folder = pickled.removesuffix("data.pkl")
        storages: dict[str, _Storage] = {}

        def load_storage(saved_id):
            _, dtype, key, *_ = saved_id
            if key not in storages:
                storages[key] = _Storage(dtype)
                storages[key].fill(archive.read(f"{folder}data/{key}"))
            return storages[key]

        return _Unpickler(io.BytesIO(archive.read(pickled)), load_storage).load()


def _read_legacy(path: pathlib.Path):
    with path.open("rb") as file:
        storages: dict[str, _Storage] = {}

        def load_storage(saved_id):
            _, dtype, key, _, _, *view = saved_id
            if any(view):
                raise ValueError("a storage that is part of another")
            return storages.setdefault(key, _Storage(dtype))

        def load():
            return _Unpickler(file, load_storage).load()

        if load() != _MAGIC:
            raise ValueError("not a file of PyTorch")
        load(), load()  # the protocol's version, the machine that wrote it
        values = load()
        for key in load():
            (number,) = struct.unpack("<q", file.read(8))
            size = number * storages[key].dtype.itemsize
            if not 0 <= size <= path.stat().st_size:  # before anything as large is made room for
                raise ValueError("it ends too early")
            raw = file.read(size)
            if len(raw) != size:
                raise ValueError("it ends too early")
            storages[key].fill(raw)
        return values
