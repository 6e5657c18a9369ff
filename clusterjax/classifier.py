"""A trained network for use in Python: NumPy arrays in, NumPy arrays and tables out."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any, Literal, overload

import jax
import numpy as np
from astropy.table import Table
from jaxtyping import Float

from clusterjax.config import SearchConfig
from clusterjax.config_checks import validate
from clusterjax.errors import InputError
from clusterjax.experiment import Network, load_network
from clusterjax.jobs.candidates import describe_candidates, read_catalogues
from clusterjax.jobs.map_checks import as_trained, check_one_scale
from clusterjax.jobs.scanning import search_map
from clusterjax.parallel import make_mesh, replicated, split_along_batch
from clusterjax.search.detect import find_detections
from clusterjax.sky.open_map import open_map
from clusterjax.sky.reader import MapReader
from clusterjax.sky.skymap import ProbabilityMap, SkyMap
from clusterjax.training.ensemble import mean_and_spread

Scores = Float[np.ndarray, "..."]  # (image,) of two classes, else (image, class)
MapLike = SkyMap | MapReader | str | os.PathLike | Sequence[str | os.PathLike]


class Classifier:
    """A trained network, or an ensemble, with the normalisation that it was trained with.

    >>> import numpy as np
    >>> from clusterjax import Classifier
    >>> classifier = Classifier.load("runs/alexnet_ir")
    >>> classifier.class_names, classifier.bands, classifier.image_size
    (('other', 'cluster'), ('W1', 'W2'), 64)
    >>> cutouts = np.random.default_rng(0).normal(size=(3, 64, 64, 2))
    >>> classifier.predict(cutouts).shape
    (3,)
    >>> score_map = classifier.scan("runs/alexnet_ir/scan/simulated_map.fits")
    >>> candidates = classifier.find(score_map, threshold=0.9)
    >>> candidates.colnames[:4]
    ['name', 'detection_id', 'ra_deg', 'dec_deg']

    It works on all devices there are. Images go to them ``batch_size`` at a time (rounded up to a multiple of the
    number of devices), the last batch filled up, so that one program is compiled and memory is bounded.

    With ``dropout_samples`` (None: the config's ``evaluation.dropout_samples``) scores are the mean of so many passes
    of each network with other units dropped, and have a spread; which units, depends on an image's place in the batch.
    """

    def __init__(self, network: Network, *, batch_size: int = 64, dropout_samples: int | None = None):
        if batch_size < 1:
            raise InputError(f"batch_size={batch_size} must be 1 or more")
        own = network.config.evaluation.dropout_samples
        self._dropout_samples = own if dropout_samples is None else dropout_samples
        if self._dropout_samples < 0:
            raise InputError(f"dropout_samples={dropout_samples} must be 0 or above")
        self.network = network
        self._mesh = make_mesh()
        self._batch_size = self._share(batch_size)
        self._member_scores = None

    @classmethod
    def load(
        cls, checkpoint: str | os.PathLike, *, batch_size: int = 64, dropout_samples: int | None = None
    ) -> "Classifier":
        """Of a workdir, its ``checkpoints`` folder or one step's folder; the workdir of an ensemble gives all members.

        Nothing but the checkpoint is read. Raises :class:`~clusterjax.errors.InputError` where there is none, or it
        cannot be read.
        """
        network = load_network(checkpoint, make_mesh())
        return cls(network, batch_size=batch_size, dropout_samples=dropout_samples)

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the order of the scores; of two, the second is the positive one."""
        return self.network.facts.class_names

    @property
    def bands(self) -> tuple[str, ...]:
        """Of the images that :meth:`predict` and :meth:`scan` take, in their order."""
        return self.network.facts.preprocess.statistics.bands

    @property
    def units(self) -> str:
        """Of the pixels; empty if the data set did not say."""
        return self.network.facts.units

    @property
    def image_size(self) -> int:
        """Pixels a side of the images, and of a scan's windows."""
        return self.network.facts.image_size

    @property
    def pixel_scale_arcsec(self) -> float | None:
        """None for images that are not of the sky."""
        return self.network.facts.pixel_scale_arcsec

    @property
    def num_members(self) -> int:
        """Networks whose mean is the score."""
        return self.network.num_members or 1

    def __repr__(self) -> str:
        facts = f"{self.network.config.model.name}, {'/'.join(self.class_names)}, bands {', '.join(self.bands)}"
        members = f", {self.num_members} members" if self.num_members > 1 else ""
        return f"<Classifier {facts}, {self.image_size} px{members}: {self.network.source}>"

    @overload
    def predict(
        self, images: np.ndarray, *, return_spread: Literal[False] = False, nan_is_missing: bool = False
    ) -> Scores: ...

    @overload
    def predict(
        self, images: np.ndarray, *, return_spread: Literal[True], nan_is_missing: bool = False
    ) -> tuple[Scores, Scores]: ...

    def predict(self, images: np.ndarray, *, return_spread: bool = False, nan_is_missing: bool = False) -> Any:
        """Scores in [0, 1] (float32, uncalibrated) of raw ``images`` (image, y, x, band) in the data set's units.

        Of two classes (image,): the score of ``class_names[1]``; of more (image, class). An ensemble's are the mean of
        its members'; with ``return_spread``, (scores, their standard deviation over members and dropout). With
        ``nan_is_missing``, pixels that are not finite count as not measured: the network sees an average pixel there,
        as at the holes of a map.

        Raises :class:`~clusterjax.errors.InputError` for no images, another number of bands or pixels, pixels that are
        not finite, and a spread of one network.
        """
        images = np.asarray(images)
        self._check(images, nan_is_missing)
        if return_spread and self.num_members == 1 and not self._dropout_samples:
            raise InputError(
                f"return_spread=True needs an ensemble; {self.network.source or 'this'} is one network (train with "
                "config.training.num_members=5, or give dropout_samples=20)"
            )
        parts = [self._score_batch(images[begin : begin + self._batch_size]) for begin in self._begins(images)]
        mean, spread = (np.concatenate(planes) for planes in zip(*parts, strict=True))
        if len(self.class_names) == 2:
            mean, spread = mean[:, 1], spread[:, 1]
        return (mean, spread) if return_spread else mean

    def scan(
        self,
        sky: MapLike,
        *,
        stride: int | None = None,
        method: str | None = None,
        positive_class: str | None = None,
        min_valid_fraction: float | None = None,
    ) -> ProbabilityMap:
        """The score of the window about each ``stride``-th pixel of a map: a :class:`~clusterjax.sky.skymap.SkyMap`, a
        path with all bands, or one path a band (FITS, HEALPix, HiPS, a folder of tiles; read by window).

        ``method`` is auto, dense (a network without padding scores pieces of the map whole) or windows.
        ``positive_class`` is the class whose score is mapped. Windows with less than ``min_valid_fraction`` of measured
        pixels are NaN. What is None is as in the network's own config. The spread of an ensemble is in the map too.

        Raises :class:`~clusterjax.errors.InputError` for a map that cannot be read or has other bands, and for values
        that cannot work. Its units are converted to the network's where both are known; differences that remain are
        warned of.
        """
        search = self._search(
            stride=stride, method=method, positive_class=positive_class, min_valid_fraction=min_valid_fraction
        )
        search.batch_size = self._share(search.batch_size)
        check_one_scale(self.network)
        if not isinstance(sky, SkyMap | MapReader):
            paths = [sky] if isinstance(sky, str | os.PathLike) else list(sky)
            sky = open_map(paths, bands=self.bands, pixel_scale_arcsec=self.pixel_scale_arcsec)
        elif tuple(sky.bands) != self.bands:
            raise InputError(f"the map has the bands {', '.join(sky.bands)}; the network needs {', '.join(self.bands)}")
        sky = as_trained(sky, self.network)
        return search_map(self.network, sky, search, self._mesh, dropout_samples=self._dropout_samples)

    def find(
        self,
        probability_map: ProbabilityMap,
        *,
        threshold: float | None = None,
        min_separation_arcmin: float | None = None,
        smoothing_pixels: float | None = None,
        catalogue: Sequence[str] = (),
    ) -> Table:
        """The candidates of :meth:`scan`'s map, highest score first, possibly none: names, positions, scores,
        significance, errors, extent, flags, as the job ``scan`` writes them (each column says what it is).

        ``threshold`` applies to the smoothed score; ``smoothing_pixels`` of the map are the sigma of that smoothing.
        What is None is as in the network's own config. ``catalogue``: tables of known objects to match with, each FILE
        or NAME=FILE. Raises :class:`~clusterjax.errors.InputError` for values that cannot work.
        """
        search = self._search(
            threshold=threshold, min_separation_arcmin=min_separation_arcmin, smoothing_pixels=smoothing_pixels
        )
        search.catalogue = tuple(catalogue)
        detections = find_detections(
            probability_map,
            threshold=search.threshold,
            min_separation_arcmin=search.min_separation_arcmin,
            smoothing_pixels=search.smoothing_pixels,
        )
        return describe_candidates(search, detections, probability_map, read_catalogues(search))[0]

    def _search(self, **values) -> SearchConfig:
        """The network's own settings, without its files, with ``values`` that are not None. Raises InputError."""
        given = {name: value for name, value in values.items() if value is not None}
        own = self.network.config.search
        search = dataclasses.replace(own, images=(), catalogue=(), flag_catalogues=(), footprints=(), **given)
        validate(dataclasses.replace(self.network.config, search=search))
        return search

    def _share(self, batch_size: int) -> int:
        """At least ``batch_size``, and as many for each device."""
        return -(-batch_size // self._mesh.size) * self._mesh.size

    def _begins(self, images: np.ndarray) -> range:
        return range(0, len(images), self._batch_size)

    def _check(self, images: np.ndarray, nan_is_missing: bool) -> None:
        size, bands = self.image_size, self.bands
        wanted = f"(image, {size}, {size}, {len(bands)}): bands {', '.join(bands)}"
        if images.ndim == 4 and images.shape[-1] != len(bands):
            raise InputError(f"the images have {images.shape[-1]} bands, of shape {images.shape}; give {wanted}")
        if images.ndim != 4 or images.shape[1:3] != (size, size):
            raise InputError(f"the images are of shape {images.shape}; give {wanted}")
        if not len(images):
            raise InputError(f"there are no images: an array of shape {images.shape}; give one or more")
        if images.dtype.kind not in "fiu":
            raise InputError(f"the images are of type {images.dtype}; give numbers")
        for begin in () if nan_is_missing else self._begins(images):
            finite = np.isfinite(images[begin : begin + self._batch_size]).all(axis=(1, 2, 3))
            if not finite.all():
                raise InputError(
                    f"image {begin + int(np.argmin(finite))} has pixels that are not finite; with nan_is_missing=True "
                    "they count as not measured"
                )

    def _score_batch(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(mean, spread) over the members, each (image, class)."""
        if self._member_scores is None:
            everywhere = replicated(self._mesh)
            self._member_scores = jax.jit(
                self.network.member_scores(dropout_samples=self._dropout_samples),
                in_shardings=(everywhere, everywhere, split_along_batch(self._mesh)),
                out_shardings=everywhere,
            )
        number = len(batch)
        padded = np.zeros((self._batch_size, *batch.shape[1:]), np.float32)
        padded[:number] = batch
        state = self.network.state
        scores = np.asarray(self._member_scores(state.params, state.model_state, padded))
        return mean_and_spread(scores[:, :number])
