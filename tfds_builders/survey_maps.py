"""Builder config ``survey`` with maps on disk in place of an image service: published catalogues, no cutout fetched."""

import dataclasses
import functools
import json
from typing import Any

import numpy as np
from astropy.table import Table

from clusterjax.config import DataConfig, survey_from_json
from clusterjax.errors import InputError
from clusterjax.sky.open_map import file_stamps
from clusterjax.sky.reader import MapReader
from tfds_builders.generation import absl_errors_only
from tfds_builders.map_cutouts.plan import expand, map_of, open_alike
from tfds_builders.placed_cutouts import content_hash
from tfds_builders.planning import Selection, types_and_classes
from tfds_builders.survey_cutouts import SurveyData, open_downloader
from tfds_builders.survey_plan import plan_survey


@dataclasses.dataclass
class SurveyMapsData(SurveyData):
    """The same, cut from maps on disk."""

    maps: tuple[str, ...] = ()
    num_processes: int | None = None  # that cut; None: one a core

    def about(self) -> dict[str, Any]:
        return {**super().about(), "maps": list(self.maps)}


def make_survey_maps_builder(builder_class: type, config: DataConfig):
    """A ``builder_class`` of the catalogues of ``config.survey`` on ``config.maps``; no server sends its images.

    Raises :class:`InputError` as :func:`make_survey_builder` does, and for maps that cannot be read.
    """
    survey, files = config.survey, expand(config.maps)
    if not files:
        raise InputError("config.data.survey.service='local_maps' needs config.data.maps, the maps to cut from")
    entries = (*survey.catalogues, *survey.negatives, *survey.held_out)
    stamps = file_stamps(
        [*(file for name in files for file in name.split("+")), *(entry.rpartition("=")[2] for entry in entries)]
    )
    rows, first = _planned_on_maps(json.dumps(dataclasses.asdict(survey)), Selection.of(config), files, stamps)
    object_types, classes = types_and_classes(rows, binary=config.binary, objects=", ".join(survey.catalogues))
    data = SurveyMapsData(
        bands=first.bands,
        units=first.units,
        pixel_scale_arcsec=float(first.pixel_scale_arcsec),
        size=config.simulated_size,
        classes=classes,
        object_types=object_types,
        min_valid_fraction=config.min_valid_fraction,
        rows=rows,
        survey=survey,
        maps=files,
        num_processes=config.num_processes,
    )
    data.name = f"survey-{content_hash(data, stamps)}"
    with absl_errors_only():
        return builder_class(config=data, data_dir=config.data_dir)


@functools.lru_cache(maxsize=2)
def _planned_on_maps(
    survey: str, selection: Selection, files: tuple[str, ...], stamps: tuple
) -> tuple[Table, MapReader]:
    """(rows, the first map)."""
    del stamps
    config = survey_from_json(survey)
    maps = open_alike(files)
    with open_downloader(config) as downloader:
        rows = plan_survey(
            config,
            selection,
            float(maps[0].pixel_scale_arcsec),
            downloader,
            covered=lambda ra_deg, dec_deg: map_of(maps, ra_deg, dec_deg) >= 0,
        )
    rows["map"] = map_of(maps, np.asarray(rows["ra_deg"], float), np.asarray(rows["dec_deg"], float))
    return rows, maps[0]
