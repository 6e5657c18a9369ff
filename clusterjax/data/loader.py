"""Batches by Grain: shuffled, sharded by host, padded for evaluation, resumable to the very record."""

import dataclasses
from typing import Any

import grain
import numpy as np
from absl import flags

from clusterjax.config import AugmentConfig, DataConfig
from clusterjax.data.kept import Kept, find_kept, keep_if_small
from clusterjax.data.preprocess import Preprocess
from clusterjax.data.sampling import LabelNoise, draw_balanced, shuffle_batches, shuffle_records
from clusterjax.data.transforms import RandomAffine, TrainTransform
from clusterjax.errors import InputError
from clusterjax.hosts import host_index, num_hosts

_BATCHES_AHEAD = 4  # per reading thread or process: the step never waits, and the memory stays small


@dataclasses.dataclass(frozen=True)
class _ReadRecord(grain.transforms.Map):
    """Index -> record as arrays that stack: numbers only, ``label`` int32, ``valid``, and its ``index``.

    Indices past the end give padding: the first record again with ``valid`` False and ``index`` -1.
    """

    source: Any
    all_features: bool
    label_noise: LabelNoise | None = None

    def map(self, element: int) -> dict[str, np.ndarray]:
        valid = element < len(self.source)
        record = self.source[int(element) if valid else 0]
        index = int(element) if valid else -1
        batchable = {
            "image": np.asarray(record["image"], np.float32),
            "label": np.int32(record["label"]),
            "valid": np.bool_(valid),
            "index": np.int64(index),
            "object_id": np.int64(record.get("object_id", index)),
        }
        if self.label_noise is not None:
            batchable["label"] = self.label_noise(batchable["label"], index)
        if self.all_features:
            others = {name: np.asarray(value) for name, value in record.items() if name not in batchable}
            # Texts (file names) cannot go to a device; Source.columns gives them.
            batchable |= {name: value for name, value in others.items() if value.dtype.kind in "biuf"}
        return batchable


@dataclasses.dataclass(frozen=True)
class _ReadBatch(grain.transforms.Map):
    """Indices (batch,) -> their records, stacked. Cheaper than Grain's own batching of records by half."""

    read: _ReadRecord

    def map(self, element: np.ndarray) -> dict[str, np.ndarray]:
        records = [self.read.map(index) for index in element.tolist()]
        return {name: np.stack([record[name] for record in records]) for name in records[0]}


@dataclasses.dataclass(frozen=True)
class _ReadKept(grain.transforms.Map):
    """As :class:`_ReadBatch` for training, from records in memory; ``rows`` are the places of the source's there."""

    kept: Kept
    rows: np.ndarray | None
    label_noise: LabelNoise | None = None

    def map(self, element: np.ndarray) -> dict[str, np.ndarray]:
        batch = self.kept.batch(element if self.rows is None else self.rows[element])
        if self.label_noise is not None:
            pairs = zip(batch["label"], element.tolist(), strict=True)
            batch["label"] = np.array([self.label_noise(label, index) for label, index in pairs], np.int32)
        return batch | {"valid": np.ones(len(element), bool), "index": element.astype(np.int64)}


def make_train_loader(
    source,
    config: DataConfig,
    *,
    seed: int,
    batch_size: int,
    augment: AugmentConfig | None = None,
    preprocess: Preprocess | None = None,
    balanced: bool = False,
    label_noise: float = 0.0,
    num_classes: int = 2,
) -> grain.IterDataset:
    """Endless batches for training, shuffled anew each epoch; each host reads its own share of every batch.

    ``source`` is any object with ``__len__`` and ``__getitem__`` that gives dicts with ``image`` (y, x, band) and
    ``label``; ``batch_size`` is that of one host. A batch is a dict of NumPy arrays: ``image`` (batch, y, x, band)
    float32, ``label`` int32, ``valid`` bool (all True), ``index`` int64 (the record's place in the source) and
    ``object_id`` int64 (the index where the source has none). With ``config.augment_on == "device"`` the images are
    raw, for the train step to prepare; with ``"host"`` they are normalised, augmented and resized here, with a random
    generator of each record's own: they depend on ``seed`` and the place in the order alone, not on threads or workers.

    ``balanced``: the classes take turns, and of each a record is drawn at random, with replacement. ``label_noise`` is
    the fraction of records with a label that is wrong, of ``num_classes``; the same ones, and the same way, each epoch.

    The records that do not fill a batch of all hosts at the end of an epoch begin the next one. ``iter(loader)`` has
    ``get_state()`` and ``set_state()``: an iterator with the state set goes on with the very next batch. Raises
    :class:`InputError` when the source is empty or holds fewer records than there are hosts.
    """
    if len(source) < num_hosts():
        raise InputError(f"the training split has {len(source)} images; at least {num_hosts()} (one a host) are needed")
    source = keep_if_small(source, config)
    noise = LabelNoise(label_noise, num_classes, seed) if label_noise else None
    read = _ReadRecord(source, all_features=False, label_noise=noise)
    if balanced:
        labels = [np.int32(source[i]["label"]) for i in range(len(source))]
        labels = labels if noise is None else [noise(label, i) for i, label in enumerate(labels)]
        dataset = draw_balanced(np.array(labels), num_classes, seed=seed)
    else:
        dataset = shuffle_records(len(source), seed=seed)
    if config.augment_on == "host":
        if preprocess is None:
            raise ValueError("augment_on='host' needs the preprocess")
        affine = RandomAffine() if augment is None else RandomAffine.from_config(augment)
        background = 0.0 if augment is None else augment.background
        dataset = dataset.map(read).random_map(TrainTransform(preprocess, affine, background))
        return _read_ahead(_of_this_host(_batch(dataset, batch_size)), config)
    batches = _batch(dataset, batch_size) if balanced else shuffle_batches(len(source), batch_size, seed=seed)
    kept = find_kept(source)
    read_batch = _ReadBatch(read) if kept is None else _ReadKept(*kept, noise)
    return _read_ahead(_of_this_host(batches).map(read_batch), config)


def make_eval_loader(source, config: DataConfig, *, batch_size: int) -> grain.IterDataset:
    """Batches of all records once, in order; the last is padded to ``batch_size`` with ``valid`` False.

    As :func:`make_train_loader` with raw images, and with all other numeric features of the source. Padding repeats the
    first image and has ``index`` -1. With several hosts, host h gets the batches h, h + num_hosts, ..., and all hosts
    the same number of them. Raises :class:`InputError` when the source is empty.
    """
    if len(source) == 0:
        raise InputError("the split to evaluate has no images")
    global_batch_size = batch_size * num_hosts()
    padded = -(-len(source) // global_batch_size) * global_batch_size
    read = _ReadBatch(_ReadRecord(source, all_features=True))
    return _read_ahead(_of_this_host(_batch(grain.MapDataset.range(padded), batch_size)).map(read), config)


def _batch(dataset: grain.MapDataset, batch_size: int) -> grain.MapDataset:
    return dataset.batch(batch_size, drop_remainder=True)


def _of_this_host(batches: grain.MapDataset) -> grain.MapDataset:
    """Those of all hosts, in their order, are what one host alone would get: the same training on any number of hosts,
    and a run goes on with another number."""
    return batches[host_index() :: num_hosts()]


def _read_ahead(dataset: grain.MapDataset, config: DataConfig) -> grain.IterDataset:
    """Batches made ahead by threads; with ``num_workers`` in processes, which pay off from some four cores up."""
    threads = grain.ReadOptions(
        num_threads=config.num_read_threads, prefetch_buffer_size=_BATCHES_AHEAD * config.num_read_threads
    )
    if config.num_workers == 0:
        return dataset.to_iter_dataset(threads)
    if not flags.FLAGS.is_parsed():  # Grain reads its debug flags; a notebook or a test has no command line
        flags.FLAGS.mark_as_parsed()
    workers = grain.multiprocessing.MultiprocessingOptions(
        num_workers=config.num_workers, per_worker_buffer_size=_BATCHES_AHEAD
    )
    return dataset.to_iter_dataset(threads).mp_prefetch(workers)
