"""The data card: what a data set holds, as a page, beside the run that uses it."""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from astropy.table import Table

from clusterjax.config import AugmentConfig, ExperimentConfig
from clusterjax.data.device_augment import augment
from clusterjax.data.preprocess import Preprocess
from clusterjax.data.sources import Source, open_source
from clusterjax.jobs.provenance import describe_hardware, describe_software, fingerprint
from clusterjax.jobs.session import Session, say
from clusterjax.report.contents import DatasetCard, Gallery, Report
from clusterjax.report.dataset import count_types
from clusterjax.report.html import write_report

_MOST_READ = 2000  # examples of a split that are read; evenly spaced ones of larger splits
_PER_TYPE = 6
_PIXELS = 200_000  # of a band, for the histograms


def write_data_card(session: Session, builder) -> pathlib.Path:
    """``workdir``/data_card/index.html of the data set that ``builder`` has built; with its seed, its fingerprint, and
    the versions that it is read with."""
    card = make_data_card(session.config, builder)
    report = Report(
        title=builder.info.name,
        subtitle=builder.info.full_name,
        provenance={
            "data": {"fingerprint": fingerprint(builder.data_dir), **dataclasses.asdict(session.config.data)},
            "metadata": {k: v for k, v in builder.info.metadata.items() if not k.startswith("band_statistics")},
            "software": describe_software(),
            "hardware": describe_hardware(),
        },
        dataset=card,
    )
    index = write_report(session.workdir / "data_card", report)
    say(f"data card: {index}")
    return index


def make_data_card(config: ExperimentConfig, builder) -> DatasetCard:
    """Of up to 2000 examples of each split, evenly spaced; its description says so where a split has more."""
    sources = {split: open_source(builder, split) for split in builder.info.splits}
    features, metadata = builder.info.features, builder.info.metadata
    kind = "object_type" if "object_type" in features else "label"
    names = np.asarray(features[kind].names)
    chosen = {split: _spread(source) for split, source in sources.items()}
    rows = {split: [sources[split][int(i)] for i in index] for split, index in chosen.items()}
    types = {split: names[[row[kind] for row in split_rows]] for split, split_rows in rows.items()}
    positions = _positions(rows) if "ra_deg" in features else Table()
    train = rows["train"]
    preprocess = Preprocess.from_metadata(config.data, metadata)
    sample = np.stack([row["image"] for row in train[:: max(len(train) // 200, 1)]])
    read = {split: len(index) for split, index in chosen.items()}
    part = "" if all(len(sources[split]) == read[split] for split in sources) else (
        " Counts are of evenly spaced examples: " + ", ".join(f"{read[s]:,} of {len(sources[s]):,} {s}" for s in read)
    )  # fmt: skip
    leak = metadata.get("leak_check")
    return DatasetCard(
        description=_about(builder) + part,
        counts=count_types(types),
        positions=positions,
        units=metadata.get("units", ""),
        pixels=_pixels(sample, preprocess),
        leak=None if leak is None else (float(leak["auc"]), float(leak["error"])),
        leak_features=(leak or {}).get("features", ""),
        examples=_examples(train, types["train"]),
        augmented=_augmented(train[0]["image"], config.augment),
        natural_colour=metadata.get("input_kind") == "images",
    )


def _about(builder) -> str:
    """Of the builder's description the first paragraph, and that of its config; the rest is how to build it."""
    first, *others = builder.info.description.strip().split("\n\n")
    kind = getattr(builder.builder_config, "name", "").partition("-")[0].capitalize()
    own = next((text for text in others if kind and text.startswith(f"{kind}:")), "")
    return f"{first} {own}".strip().replace("`", "")


def _spread(source: Source) -> np.ndarray:
    return np.unique(np.linspace(0, len(source) - 1, min(len(source), _MOST_READ)).round().astype(int))


def _positions(rows: dict[str, list]) -> Table:
    parts = [(row["ra_deg"], row["dec_deg"], split) for split, split_rows in rows.items() for row in split_rows]
    table = Table(rows=parts, names=["ra_deg", "dec_deg", "split"], dtype=[float, float, str])
    return table[np.isfinite(table["ra_deg"]) & np.isfinite(table["dec_deg"])]


def _pixels(images: np.ndarray, preprocess: Preprocess) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    normalised = preprocess.normalise(images)
    step = max(images[..., 0].size // _PIXELS, 1)
    return {
        band: (images[..., index].ravel()[::step], normalised[..., place].ravel()[::step])
        for place, (band, index) in enumerate(zip(preprocess.bands, preprocess.band_indices, strict=True))
    }


def _examples(rows: list, types: np.ndarray) -> list[Gallery]:
    galleries = []
    for name in np.unique(types):
        images = np.stack([row["image"] for row, kind in zip(rows, types, strict=True) if kind == name][:_PER_TYPE])
        galleries.append(Gallery(str(name).replace("_", " "), images, [""] * len(images)))
    return galleries


def _augmented(image: np.ndarray, config: AugmentConfig) -> list[Gallery]:
    """One cutout as it is, under each augmentation alone, and under all together."""
    none = AugmentConfig(rotation_deg=0.0, quarter_turns=False, flip=False, shift_fraction=0.0, scale=1.0)
    changes = [
        field.name
        for field in dataclasses.fields(AugmentConfig)
        # A constant would show nothing: each picture is stretched by itself.
        if field.name != "background" and getattr(config, field.name) != getattr(none, field.name)
    ]
    if not changes:
        return []
    shown = [("as it is", none)]
    shown += [(name.replace("_", " "), dataclasses.replace(none, **{name: getattr(config, name)})) for name in changes]
    shown += [("all together", config)] * 3

    @jax.jit  # all in one program: by themselves, their operations would each be compiled
    def augmented(image):
        return [augment(image, jax.random.key(seed), settings)[0] for seed, (_, settings) in enumerate(shown)]

    images = augmented(jnp.asarray(image[None], jnp.float32))
    captions = [caption for caption, _ in shown]
    return [Gallery("One cutout, augmented", np.stack(images), captions, "What training changes at random.")]
