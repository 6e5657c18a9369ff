"""Builder config ``survey``: cutouts of the sky itself, from image services, around published catalogues' objects."""

import contextlib
import dataclasses
import functools
import itertools
import json
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from absl import logging
from astropy.table import Table
from tqdm import tqdm

from clusterjax.config import DataConfig, SurveyConfig, survey_from_json
from clusterjax.errors import InputError
from clusterjax.sky.open_map import file_stamps
from clusterjax.sky.surveys.downloads import Downloader, DownloadSettings, ResourceMissing
from clusterjax.sky.surveys.images import SERVICES, ImageService, image_service, read_cutout, wrong_size
from clusterjax.writing import replacing
from tfds_builders.border_levels import border_levels
from tfds_builders.generation import absl_errors_only
from tfds_builders.pixel_sample import PixelSample
from tfds_builders.placed_cutouts import Cut, PlacedConfig, PlacedCutouts, content_hash
from tfds_builders.planning import Selection, types_and_classes
from tfds_builders.survey_plan import plan_survey

LOCAL_MAPS = "local_maps"  # the service that is none: maps on disk
_MOST_LEFT_OUT = 0.5  # of a split; more, and something is wrong with the service
_PATIENCE = 200  # cutouts before that is said


@dataclasses.dataclass
class SurveyData(PlacedConfig):
    """The cutouts of one data set; made by :func:`make_survey_builder`, named by a hash of all that it depends on."""

    survey: SurveyConfig = dataclasses.field(default_factory=SurveyConfig)

    def about(self) -> dict[str, Any]:
        survey = self.survey
        return {
            "service": survey.service,
            "catalogues": list(survey.catalogues),
            "negatives": list(survey.negatives),
            "held_out": list(survey.held_out),
        }


def cut_cached(survey: SurveyConfig, size: int, rows: list[dict]) -> Iterator[Cut]:
    """Cutouts of which all is in the download cache; what cannot be had of it is NaN, with a valid fraction of -1."""
    service = SERVICES[survey.service]
    with open_downloader(dataclasses.replace(survey, offline=True)) as downloader:
        for row in rows:
            place = row["ra_deg"], row["dec_deg"]
            try:
                parts = [downloader.fetch(url) for url in service.urls(*place, size)]
                image, valid = _read(service, parts, place, size)
            except InputError:  # said when it was fetched, or counted as left out
                image, valid = _nothing(service, size)
            yield image, valid, border_levels(image[None])[0]


def _nothing(service: ImageService, size: int) -> tuple[np.ndarray, float]:
    return np.full((size, size, len(service.bands)), np.nan, np.float32), -1.0


class SurveyCutouts(PlacedCutouts):
    """Mix-in before ``tfds.core.GeneratorBasedBuilder``: cutouts that a service sends, kept in the download cache.

    Beside the examples lies ``objects.ecsv``: a row an ``object_id``, with all names that the object has.
    """

    def _cut(self, chosen: np.ndarray, split: str) -> Iterator[Cut]:
        config, rows = self.builder_config, self.builder_config.rows
        service = SERVICES[config.survey.service]
        places = [(float(rows["ra_deg"][row]), float(rows["dec_deg"][row])) for row in chosen]
        urls = [service.urls(*place, config.size) for place in places]
        problems: list[str] = []
        check = functools.partial(wrong_size, service, config.size)
        with (
            open_downloader(config.survey) as downloader,
            contextlib.closing(
                downloader.fetch_many(itertools.chain.from_iterable(urls), service.kind, check)
            ) as bodies,
            tqdm(total=len(chosen), desc=f"Cutting {split}", unit=" cutouts", dynamic_ncols=True) as bar,
        ):
            for done, (place, own) in enumerate(zip(places, urls, strict=True), start=1):
                parts = list(itertools.islice(bodies, len(own)))
                try:
                    image, valid = _read(service, parts, place, config.size)
                except InputError as error:
                    problems.append(str(error))
                    image, valid = _nothing(service, config.size)
                yield image, valid, border_levels(image[None])[0]
                bar.update()
                if done > _PATIENCE or done == len(chosen):
                    _check_enough(problems, done, config.survey.service)
        if problems:
            logging.warning("%d of %d cutouts are left out; the first: %s", len(problems), len(chosen), problems[0])

    def _beam_cut(self) -> Callable[[list[dict]], Iterable[Cut]]:
        """Fetches everything first: only one program may ask the servers, or limits would hold for each worker."""
        config = self.builder_config
        service = SERVICES[config.survey.service]
        urls = [service.urls(row["ra_deg"], row["dec_deg"], config.size) for row in config.rows]
        check = functools.partial(wrong_size, service, config.size)
        with open_downloader(config.survey) as downloader:
            bodies = downloader.fetch_many(itertools.chain.from_iterable(urls), service.kind, check)
            total = sum(map(len, urls))
            for _ in tqdm(bodies, total=total, desc="Fetching", unit=" images", dynamic_ncols=True):
                pass
        return functools.partial(cut_cached, config.survey, config.size)

    def _note_end(self, split: str, sample: PixelSample) -> None:
        super()._note_end(split, sample)
        planned = int(np.sum(np.asarray(self.builder_config.rows["split"]) == split))
        left_out = planned - len(self._levels[split])
        self.info.metadata.setdefault("left_out", {})[split] = left_out
        if split == self.split_names[0]:
            _write_objects(pathlib.Path(self.data_dir), self.builder_config.rows)


def _check_enough(problems: list[str], done: int, service: str) -> None:
    if len(problems) > _MOST_LEFT_OUT * done:
        raise InputError(f"{len(problems)} of {done} cutouts cannot be had from {service}; the first: {problems[0]}")


def _read(service: ImageService, parts: list, place: tuple[float, float], size: int) -> tuple[np.ndarray, float]:
    for part in parts:
        if isinstance(part, ResourceMissing):
            raise part
    return read_cutout(service, parts, *place, size)


def _write_objects(folder: pathlib.Path, rows: Table) -> None:
    table = Table(rows, copy=True)
    table.add_column(np.arange(len(table)), name="object_id", index=0)
    with replacing(folder / "objects.ecsv") as partial:
        table.write(partial, format="ascii.ecsv")


def open_downloader(config: SurveyConfig) -> Downloader:
    return Downloader(
        DownloadSettings(
            config.cache_dir,
            offline=config.offline,
            per_host=config.per_host,
            attempts=config.attempts,
            timeout_s=float(config.timeout_s),
            mirrors=dict(mirror.split("=", 1) for mirror in config.mirrors),
        )
    )


def make_survey_builder(builder_class: type, config: DataConfig, services: tuple[str, ...]):
    """A ``builder_class`` of the data set that ``config.survey`` describes; one of ``services`` sends its images.

    Fetches the catalogues, once: they are kept in the download cache. Raises :class:`InputError` for an unknown
    service or catalogue, and for whatever hinders fetching it.
    """
    survey = config.survey
    service = image_service(survey.service, (*services, LOCAL_MAPS))
    if config.simulated_size > service.max_size:
        raise InputError(
            f"config.data.simulated_size={config.simulated_size} is more than the {service.max_size} pixels that "
            f"{survey.service} sends"
        )
    entries = (*survey.catalogues, *survey.negatives, *survey.held_out)
    stamps = file_stamps(tuple(entry.rpartition("=")[2] for entry in entries))
    rows = _planned(json.dumps(dataclasses.asdict(survey)), Selection.of(config), service.pixel_scale_arcsec, stamps)
    object_types, classes = types_and_classes(rows, binary=config.binary, objects=", ".join(survey.catalogues))
    data = SurveyData(
        bands=service.bands,
        units=service.units,
        pixel_scale_arcsec=service.pixel_scale_arcsec,
        size=config.simulated_size,
        classes=classes,
        object_types=object_types,
        min_valid_fraction=config.min_valid_fraction,
        rows=rows,
        survey=survey,
    )
    data.name = f"survey-{content_hash(data, survey.service)}"
    with absl_errors_only():
        return builder_class(config=data, data_dir=config.data_dir)


@functools.lru_cache(maxsize=2)
def _planned(survey: str, selection: Selection, pixel_scale_arcsec: float, stamps: tuple) -> Table:
    """The rows: every job of a run asks, and catalogues may be large. ``stamps`` are the key."""
    del stamps
    config = survey_from_json(survey)
    with open_downloader(config) as downloader:
        return plan_survey(config, selection, pixel_scale_arcsec, downloader)
