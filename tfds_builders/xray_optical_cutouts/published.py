"""Builder config ``kosiba2020``: the images that Kosiba et al. (2020) trained and tested on, as they published them."""

import dataclasses
import functools
import hashlib
import json
import logging
import pathlib
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from clusterjax.config import DataConfig
from clusterjax.data.resize import resize_picture
from clusterjax.errors import InputError
from clusterjax.simulation.cutout import POSITIVE_TYPE
from clusterjax.simulation.knobs import XRAY_CLASSES, XrayOpticalSky
from clusterjax.simulation.xray_optical.objects import PIXEL_ARCSEC
from clusterjax.sky.channels import EIGHT_BIT, IMAGES, arrange, check_channels
from clusterjax.sky.surveys.contents import checksum_fault
from clusterjax.sky.surveys.downloads import Downloader
from tfds_builders.generation import CarefulBuild, absl_errors_only, ordered_key
from tfds_builders.labelled_images.listing import Entry
from tfds_builders.labelled_images.splitting import assign_splits
from tfds_builders.pixel_sample import PixelSample
from tfds_builders.simulated import LABELS
from tfds_builders.survey_cutouts import open_downloader
from tfds_builders.xray_optical_cutouts.archive import FILE, RECORD, SIZE, URL, KosibaArchive
from tfds_builders.xray_optical_cutouts.channel_order import find_channels

SERVICE = "kosiba2020"
_CLUSTERS = XRAY_CLASSES[:2]
_DEFAULT_ORDER = ("zero", "optical", "xray")  # where the pictures do not say
_PICTURES_ASKED = 100


@dataclasses.dataclass
class PublishedConfig(tfds.core.BuilderConfig):
    """The images of one data set; made by :func:`make_published_builder`, named by a hash of all that it depends on."""

    name: str = ""
    archive: str = ""
    archive_channels: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    image_size: int = SIZE
    binary: bool = True
    entries: tuple[Entry, ...] = dataclasses.field(default=(), repr=False)

    @property
    def classes(self) -> tuple[str, ...]:
        return LABELS if self.binary else XRAY_CLASSES


class PublishedCutouts(CarefulBuild):
    """Mix-in before ``tfds.core.GeneratorBasedBuilder``."""

    def _info(self) -> tfds.core.DatasetInfo:
        config = self.builder_config
        shape = (config.image_size, config.image_size, len(config.channels))
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Tensor(shape=shape, dtype=np.uint8, encoding="bytes"),
                    "label": tfds.features.ClassLabel(names=list(config.classes)),
                    "object_type": tfds.features.ClassLabel(names=list(XRAY_CLASSES)),
                    # The archive does not say where its images lie on the sky.
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
                    "bands": list(config.channels),
                    "pixel_scale_arcsec": PIXEL_ARCSEC * SIZE / config.image_size,
                    "positive_class": POSITIVE_TYPE if config.binary else None,
                    "units": "",
                    "input_kind": "images",
                    "images": config.archive,
                }
            ),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        del dl_manager  # it is of another kind of download
        return {split: self._generate_examples(split) for split in ("train", "validation", "test")}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict]]:
        config = self.builder_config
        chosen = [(index, entry) for index, entry in enumerate(config.entries) if entry.split == split]
        sample = PixelSample(len(chosen), config.image_size)
        with KosibaArchive(config.archive) as archive:
            for index, entry in tqdm(chosen, desc=f"Reading {split}", unit=" images", dynamic_ncols=True):
                member = entry.path.as_posix()
                image = _rearrange(archive.image(member), config, member)
                if config.image_size != SIZE:
                    image = resize_picture(image, config.image_size)
                if split == "train":
                    sample.add(image.astype(np.float32))
                label = POSITIVE_TYPE if entry.label in _CLUSTERS else LABELS[0]
                example = {
                    "image": image,
                    "label": label if config.binary else entry.label,
                    "object_type": entry.label,
                    "ra_deg": np.nan,
                    "dec_deg": np.nan,
                    "object_id": index,
                    "file": member,
                }
                yield ordered_key(index, len(config.entries)), example
        if split == "train":
            self.info.metadata.update(sample.statistics(config.channels))

    def estimated_bytes(self) -> int:
        config = self.builder_config
        return len(config.entries) * (config.image_size**2 * len(config.channels) + 1000)


def _rearrange(pixels: np.ndarray, config: PublishedConfig, member: str) -> np.ndarray:
    """From the archive's channels to those asked for."""
    grey = {name: pixels[..., place] for place, name in enumerate(config.archive_channels)}
    if grey.pop("zero").any():
        raise InputError(
            f"{member} of {config.archive}: the channel that config.data.archive_channels={config.archive_channels} "
            "calls 'zero' is not zero; name the channels as they are"
        )
    return arrange(grey, config.channels)


def make_published_builder(builder_class: type, config: DataConfig, sky: XrayOpticalSky):
    """A ``builder_class`` of the archive ``config.images``, or else fetched, once, into the download cache.

    Its train images become train and validation, by class and ``config.validation_fraction``; test stays. ``sky`` names
    the channels. Raises :class:`InputError` for whatever is wrong with archive, channels or download.
    """
    channels = tuple(sky.channels)
    check_channels(channels, EIGHT_BIT)
    named = tuple(config.archive_channels)
    if named and sorted(named) != sorted(("zero", *IMAGES)):
        raise InputError(f"config.data.archive_channels={named} must be zero, xray, optical in some order, or empty")
    path = _find_archive(config).resolve()
    stat = path.stat()
    stamp = (stat.st_size, stat.st_mtime_ns)
    entries = _entries(str(path), stamp, config.validation_fraction, config.seed)
    archive_channels = _channel_order(str(path), stamp, named)
    published = PublishedConfig(
        archive=str(path),
        archive_channels=archive_channels,
        channels=channels,
        image_size=config.image_size or SIZE,
        binary=config.binary,
        entries=entries,
        description="X-ray + optical images of X-CLASS candidates, classified by experts (Kosiba et al. 2020)",
    )
    listing = [(e.path.as_posix(), e.label, e.split) for e in entries]
    content = [archive_channels, channels, config.binary, listing, *stamp]
    if config.image_size is not None:
        content.append(config.image_size)
    published.name = f"{SERVICE}-{hashlib.sha256(json.dumps(content).encode()).hexdigest()[:8]}"
    with absl_errors_only():
        return builder_class(config=published, data_dir=config.data_dir)


@functools.lru_cache(maxsize=2)
def _channel_order(path: str, stamp: tuple, named: tuple[str, ...]) -> tuple[str, ...]:
    """``named``, or what the pictures say; a warning where they say otherwise, or nothing."""
    del stamp
    with KosibaArchive(path) as archive:
        members = [entry.member for entry in archive.entries()]
        found = find_channels(archive.image(member) for member in members[:: -(-len(members) // _PICTURES_ASKED)])
    if named and found not in (None, named):
        logging.warning(
            "config.data.archive_channels=%s, but in the pictures of %s the source at the centre says %s",
            ",".join(named), path, ",".join(found),
        )  # fmt: skip
    if not named and found is None:
        logging.warning(
            "the pictures of %s do not say which channel is the X-ray image; taken as %s: else give "
            "config.data.archive_channels", path, ",".join(_DEFAULT_ORDER),
        )  # fmt: skip
    return named or found or _DEFAULT_ORDER


def _find_archive(config: DataConfig) -> pathlib.Path:
    if config.images:
        path = pathlib.Path(config.images).expanduser()
        if not path.is_file():
            raise InputError(f"config.data.images={config.images!r} is no file; give Kosiba2020.zip")
        return path
    downloader: Downloader = open_downloader(config.survey)
    with downloader:
        checksum = _published_checksum(downloader)
        return downloader.fetch(URL, "zip", lambda body: checksum_fault(body, checksum) if checksum else None)


def _published_checksum(downloader: Downloader) -> str | None:
    """As Zenodo's record has it, 'md5:...'; None where the record cannot be had."""
    try:
        record = json.loads(downloader.fetch(RECORD).read_text())
        return str(record["files"]["entries"][FILE]["checksum"])
    except (InputError, ValueError, KeyError, TypeError):
        return None


@functools.lru_cache(maxsize=2)
def _entries(path: str, stamp: tuple, validation_fraction: float, seed: int) -> tuple[Entry, ...]:
    """With a split each; every job of a run asks. ``stamp`` is part of the key."""
    del stamp
    with KosibaArchive(path) as archive:
        listed = [Entry(pathlib.Path(e.member), e.object_class, e.split) for e in archive.entries()]
    return tuple(assign_splits(listed, validation_fraction=validation_fraction, test_fraction=0.0, seed=seed))
