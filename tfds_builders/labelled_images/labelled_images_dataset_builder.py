"""TFDS builder of anybody's own labelled images, written and read without TensorFlow."""

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from clusterjax.config import DataConfig
from clusterjax.errors import InputError
from tfds_builders.generation import CarefulBuild, generate_in_parallel, ordered_key
from tfds_builders.labelled_images.listing import Entry, class_names, list_images
from tfds_builders.labelled_images.reading import HOW_TO_GO_ON, Unreadable, read_square, read_task
from tfds_builders.labelled_images.splitting import assign_splits, shared_positions
from tfds_builders.pixel_sample import PixelSample

_FEW_IMAGES = 1000  # read here rather than in processes, which take seconds to start


@dataclasses.dataclass
class LabelledConfig(tfds.core.BuilderConfig):
    """The images of one data set; made by :func:`make_builder`, named by a hash of all that its content depends on."""

    name: str = ""
    images: str = ""
    image_size: int = 0
    crop_pixels: int | None = None
    bands: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    skip_unreadable: bool = False
    entries: tuple[Entry, ...] = dataclasses.field(default=(), repr=False)  # each with its split


class Builder(CarefulBuild, tfds.core.GeneratorBasedBuilder):
    """Labelled images of one size from a folder or table. Made by :func:`make_builder`; there is no default config."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}  # noqa: RUF012  (TFDS's interface)
    num_processes: int | None = None  # that read images; None: one a core

    def _info(self) -> tfds.core.DatasetInfo:
        config = self.builder_config
        shape = (config.image_size, config.image_size, len(config.bands))
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Tensor(shape=shape, dtype=np.float32, encoding="bytes"),
                    "label": tfds.features.ClassLabel(names=list(config.classes)),
                    # Scalar(float64) would be stored as float32: 0.1 arcsec lost.
                    "ra_deg": tfds.features.Tensor(shape=(), dtype=np.float64, encoding="bytes"),
                    "dec_deg": tfds.features.Tensor(shape=(), dtype=np.float64, encoding="bytes"),
                    "object_id": np.int64,
                    "file": tfds.features.Text(),
                }
            ),
            supervised_keys=("image", "label"),
            disable_shuffling=True,  # Grain shuffles
            metadata=tfds.core.MetadataDict(
                {
                    "bands": list(config.bands),
                    "pixel_scale_arcsec": None,
                    "positive_class": "cluster" if "cluster" in config.classes else None,
                    "units": "",
                    "input_kind": "images",
                    "images": config.images,
                    "unreadable": [],
                }
            ),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        del dl_manager  # nothing to download
        present = {entry.split for entry in self.builder_config.entries}
        return {split: self._generate_examples(split) for split in ("train", "validation", "test") if split in present}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict]]:
        config = self.builder_config
        chosen = [(index, entry) for index, entry in enumerate(config.entries) if entry.split == split]
        images = generate_in_parallel(
            functools.partial(
                read_task,
                size=config.image_size,
                crop=config.crop_pixels,
                num_bands=len(config.bands),
                skip_unreadable=config.skip_unreadable,
            ),
            [str(entry.path) for _, entry in chosen],
            num_processes=1 if len(chosen) < _FEW_IMAGES else self.num_processes,
            description=f"Reading {split}",
            unit="image",
        )
        sample = PixelSample(len(chosen), config.image_size)
        read_labels, unreadable = set(), []
        for (index, entry), image in zip(chosen, images, strict=True):
            if isinstance(image, Unreadable):
                unreadable.append(image)
                continue
            read_labels.add(entry.label)
            if split == "train":
                sample.add(image)
            yield (
                ordered_key(index, len(config.entries)),
                {
                    "image": image,
                    "label": entry.label,
                    "ra_deg": entry.ra_deg,
                    "dec_deg": entry.dec_deg,
                    "object_id": index,
                    "file": _relative(entry.path, config.images),
                },
            )
        self._report(split, unreadable, {entry.label for _, entry in chosen} - read_labels, bool(read_labels))
        if split == "train":
            self.info.metadata.update(sample.statistics(config.bands))

    def _report(self, split: str, unreadable: list[Unreadable], missing: set[str], any_read: bool) -> None:
        for image in unreadable:
            logging.warning("left out: %s", image.reason)
        if unreadable:
            logging.warning("%d images of the %s split could not be read and are left out", len(unreadable), split)
        self.info.metadata["unreadable"] += [image.path for image in unreadable]
        if not any_read:
            raise InputError(f"no image of the {split} split can be read; the first: {unreadable[0].reason}")
        if split == "train" and missing:
            raise InputError(f"class {min(missing)!r} has no training images: none of its files can be read")

    def estimated_bytes(self) -> int:
        config = self.builder_config
        return len(config.entries) * (config.image_size**2 * len(config.bands) * 4 + 1000)


def _relative(path: pathlib.Path, images: str) -> str:
    root = pathlib.Path(images)
    return os.path.relpath(path, root if root.is_dir() else root.parent)


def _first_readable(entries: list[Entry], config: DataConfig) -> tuple[int, tuple[str, ...]]:
    """(pixels a side, bands) of the first image that can be read."""
    for entry in entries:
        try:
            pixels, bands = read_square(entry.path, config.image_size, config.crop_pixels)
        except InputError as error:
            if config.skip_unreadable:
                continue
            raise InputError(f"{error}; {HOW_TO_GO_ON}") from error
        return pixels.shape[0], bands
    raise InputError(f"none of the {len(entries)} images of {config.images} can be read")


def _content_hash(labelled: LabelledConfig) -> str:
    """Of the listing with the files' sizes and times, so that other images make another data set."""
    digest = hashlib.sha256()
    digest.update(
        json.dumps(
            [labelled.image_size, labelled.crop_pixels, labelled.bands, labelled.classes, labelled.skip_unreadable]
        ).encode()
    )
    for entry in labelled.entries:
        stat = entry.path.stat() if entry.path.is_file() else None
        file = (str(entry.path), stat and stat.st_size, stat and stat.st_mtime_ns)
        digest.update(repr((*file, entry.label, entry.split, entry.ra_deg, entry.dec_deg)).encode())
    return digest.hexdigest()[:8]


def make_builder(config: DataConfig, sky=None) -> Builder:
    """The builder for ``config.images``; ``download_and_prepare()`` then reads them all.

    Lists the files and reads the first image. ``sky`` is not used: all builders are made by the same call. Raises
    :class:`InputError` for whatever is wrong with the folder or table (see README.md).
    """
    del sky
    entries = assign_splits(
        list_images(config.images),
        validation_fraction=config.validation_fraction,
        test_fraction=config.test_fraction,
        seed=config.seed,
    )
    classes = class_names(entries)
    if len(classes) < 2:
        raise InputError(f"{config.images} has one class, {classes[0]!r}; there must be two or more")
    shared = shared_positions(entries)
    if shared:
        logging.warning("%d positions lie in more than one split: scores on them flatter the network", shared)
    image_size, bands = _first_readable(entries, config)
    labelled = LabelledConfig(
        images=str(pathlib.Path(config.images).expanduser().resolve()),
        image_size=image_size,
        crop_pixels=config.crop_pixels,
        bands=bands,
        classes=classes,
        skip_unreadable=config.skip_unreadable,
        entries=tuple(dataclasses.replace(entry, path=entry.path.expanduser().resolve()) for entry in entries),
    )
    labelled.name = f"images-{_content_hash(labelled)}"
    builder = Builder(config=labelled, data_dir=config.data_dir)
    builder.num_processes = config.num_processes
    return builder
