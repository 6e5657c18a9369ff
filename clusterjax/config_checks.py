"""Which values the fields of :mod:`clusterjax.config` may have."""

import dataclasses
import re
import types
import typing

from clusterjax.config import ExperimentConfig, InjectionConfig, SearchConfig, field_types
from clusterjax.errors import InputError

OUTPUTS = ("healpix", "hips", "moc")
OPTIMIZERS = ("adam", "adamw", "nadam", "radam", "sgd", "rmsprop", "adadelta", "rprop", "lion")

_CHOICES = {
    "data.stretch": ("linear", "asinh", "log"),
    "data.augment_on": ("device", "host"),
    "data.block_nside": (4, 8, 16, 32, 64, 128, 256),
    "data.labels": ("experts", "volunteers", "volunteers_unweighted", "volunteers_dawid_skene"),
    "model.dtype": ("float32", "bfloat16"),
    "model.pretrained_bands": ("mean", "first"),
    "evaluation.calibration": ("none", "temperature", "platt", "isotonic"),
    "training.batch_norm": ("global", "device"),
    "optim.name": OPTIMIZERS,
    "optim.schedule": ("constant", "exponential", "step", "cosine"),
    "optim.plateau_metric": ("loss", "accuracy"),
    "explain.baseline": ("average", "empty"),
    "search.method": ("auto", "dense", "windows"),
    "vetting.saliency": ("integrated_gradients", "grad_cam"),
    "vetting.method": ("weighted", "dawid_skene"),
    "microwave.survey": ("act_dr5", "act_dr6", "planck"),
    "microwave.profile": ("arnaud", "battaglia"),
}
# Above 0, or None where the type allows it.
_POSITIVE = (
    "data.num_train", "data.num_validation", "data.num_test", "data.simulated_size", "data.num_processes",
    "data.crop_pixels", "data.image_size", "data.centre_pixels", "data.input_size", "data.softening",
    "data.num_read_threads", "data.exclusion_arcmin", "data.random_per_object",
    "data.survey.merge_radius_arcmin", "data.survey.max_objects", "data.survey.per_host", "data.survey.attempts",
    "data.survey.timeout_s",
    "augment.scale", "optim.learning_rate", "optim.decay_per_epoch", "optim.grad_clip_norm", "optim.backbone_rate",
    "optim.step_epochs", "optim.step_factor", "optim.plateau_patience",
    "lr_range.lr_min", "lr_range.lr_max", "lr_range.num_steps", "lr_range.smoothing_dex", "lr_range.multiplier",
    "training.num_members", "training.num_epochs", "training.global_batch_size", "training.eval_batch_size",
    "training.accumulate_steps", "training.early_stop_patience", "training.checkpoint_every_steps",
    "training.log_every_steps",
    "explain.num_cutouts", "explain.num_filters", "explain.num_steps", "explain.batch_size",
    "search.stride", "search.batch_size", "search.map_size", "search.min_separation_arcmin",
    "search.smoothing_pixels", "search.match_radius_arcmin", "search.cluster_boost", "search.truth_mass_msun",
    "search.flag_radius_arcmin", "vetting.cutout_pixels", "vetting.min_votes",
    "inject.per_cell", "inject.min_distance_arcmin", "inject.max_rounds", "inject.num_thresholds",
    "inject.matched_filter_snr", "inject.complete_above_msun",
    "simulation.noise_scale", "simulation.mass_floor_msun", "simulation.redshift_max",
    "microwave.noise_scale", "microwave.mass_floor_msun", "microwave.redshift_max", "microwave.mass_ratio",
    "joint.mass_floor_msun", "joint.redshift_max", "joint.centre_sigma_arcmin",
    "xray_optical.exposure_ks", "xray_optical.flux_min_cgs", "xray_optical.flux_max_cgs",
    "xray_optical.core_radius_min_arcsec", "xray_optical.core_radius_max_arcsec", "xray_optical.psf_scale",
)  # fmt: skip
_NOT_NEGATIVE = (
    "optim.decay_per_step", "optim.plateau_min_rate", "optim.weight_decay", "lr_range.validation_batches",
    "training.shard_above", "evaluation.dropout_samples", "inject.control_maps",
    "vetting.num_candidates", "vetting.num_saliency",
    "xray_optical.background_scale", "xray_optical.agn_density_scale", "xray_optical.plate_noise_scale",
)  # fmt: skip
_NOT_NEGATIVE_EACH = ("training.class_weights", "evaluation.sky_density_per_deg2")  # of a dict's values
_WITHIN = {
    "data.validation_fraction": (0.0, 0.9),
    "data.test_fraction": (0.0, 0.9),
    "data.min_valid_fraction": (0.0, 1.0),
    "data.survey.negatives_per_object": (0.0, 100.0),
    "simulation.label_noise": (0.0, 0.5),
    "microwave.label_noise": (0.0, 0.5),
    "joint.label_noise": (0.0, 0.5),
    "joint.scatter_correlation": (-1.0, 1.0),
    "microwave.radio_in_clusters": (0.0, 1.0),
    "microwave.tsz_cib_correlation": (0.0, 1.0),
    "microwave.cirrus_scatter": (0.0, 2.0),
    "xray_optical.label_noise": (0.0, 0.5),
    "xray_optical.agn_in_clusters": (0.0, 1.0),
    "xray_optical.irregular": (0.0, 1.0),
    "xray_optical.blended": (0.0, 1.0),
    "xray_optical.low_redshift_below": (0.05, 1.0),
    "xray_optical.redshift_max": (0.1, 3.0),
    "xray_optical.off_axis_max_arcmin": (0.0, 15.0),
    "augment.rotation_deg": (0.0, 180.0),
    "augment.shift_fraction": (0.0, 0.5),
    "augment.background": (0.0, 100.0),
    "training.label_smoothing": (0.0, 0.99),
    "training.label_noise": (0.0, 0.99),
    "training.num_folds": (3, 1000),
    "optim.plateau_factor": (0.01, 0.99),
    "search.threshold": (0.0, 1.0),
    "vetting.confident": (0.5, 1.0),
    "search.min_valid_fraction": (0.0, 1.0),
    "search.map_dec_deg": (-90.0, 90.0),
    "inject.lowest_threshold": (0.0, 1.0),
}


def validate(config: ExperimentConfig) -> None:
    """Raise :class:`InputError` at the first field with a value that cannot work."""
    if not isinstance(config, ExperimentConfig):
        raise InputError(
            f"get_config() returned {type(config).__name__}; it must return clusterjax.config.ExperimentConfig"
        )
    _check_types(config, "config")
    for path, allowed in _CHOICES.items():
        if (value := _get(config, path)) not in allowed:
            raise InputError(f"config.{path}={value!r} is unknown; use one of {', '.join(map(repr, allowed))}")
    # A comparison with NaN is false: hence "not above" and not "at or below".
    for path in _POSITIVE:
        if (value := _get(config, path)) is not None and not value > 0:
            raise InputError(f"config.{path}={value!r} must be above 0")
    for path in _NOT_NEGATIVE:
        if not (value := _get(config, path)) >= 0:
            raise InputError(f"config.{path}={value!r} must be 0 or above")
    for path in _NOT_NEGATIVE_EACH:
        for name, value in _get(config, path).items():
            if not value >= 0:
                raise InputError(f"config.{path}[{name!r}]={value!r} must be 0 or above")
    for path, (low, high) in _WITHIN.items():
        if not low <= (value := _get(config, path)) <= high:
            raise InputError(f"config.{path}={value!r} must lie within [{low}, {high}]")
    _check_together(config)


def _check_types(config, path: str) -> None:
    hints = field_types(type(config))
    for field in dataclasses.fields(config):
        value, hint = getattr(config, field.name), hints[field.name]
        where = f"{path}.{field.name}"
        if dataclasses.is_dataclass(hint):
            _check_types(value, where)
            continue
        allowed = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        kinds = tuple(typing.get_origin(kind) or kind for kind in allowed)
        if float in kinds and isinstance(value, int) and not isinstance(value, bool):
            continue
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            names = " or ".join(getattr(kind, "__name__", str(kind)) for kind in kinds)
            raise InputError(f"{where}={value!r} is of type {type(value).__name__}; use {names}")
        _check_elements(value, allowed, where)
        if hint == dict[str, float]:
            for key, number in value.items():
                if not isinstance(key, str) or not isinstance(number, int | float):
                    raise InputError(f"{where}[{key!r}]={number!r} must be a name and its number")


def _check_elements(value, allowed, where: str) -> None:
    """Of a tuple, each; float takes int."""
    for kind in allowed:
        if typing.get_origin(kind) is not tuple or not isinstance(value, tuple):
            continue
        element = typing.get_args(kind)[0]
        for one in value:
            if not isinstance(one, (int, float) if element is float else element) or isinstance(one, bool):
                raise InputError(f"{where}={value!r} has {one!r} of type {type(one).__name__}; use {element.__name__}")


def _check_together(config: ExperimentConfig) -> None:
    """Values that depend on each other."""
    if config.augment.scale < 1:
        raise InputError(f"config.augment.scale={config.augment.scale!r} must be 1 (none) or above")
    if config.lr_range.lr_max <= config.lr_range.lr_min:
        raise InputError(
            f"config.lr_range.lr_max={config.lr_range.lr_max!r} must be above lr_min={config.lr_range.lr_min!r}"
        )
    _check_search(config.search)
    for band, softening in config.data.band_softening.items():
        if not softening > 0:
            raise InputError(f"config.data.band_softening[{band!r}]={softening!r} must be above 0")
    _check_injection(config.inject)
    if not all(isinstance(size, int | float) and size > 0 for size in config.data.matched_filter_arcmin):
        raise InputError(
            f"config.data.matched_filter_arcmin={config.data.matched_filter_arcmin!r} must be theta500 in arcmin, each "
            "above 0"
        )
    if any(number < 0 for number in config.explain.filters):
        raise InputError(f"config.explain.filters={config.explain.filters!r} must be 0 or above")
    if len(config.explain.plane_columns) not in (0, 2):
        raise InputError(
            f"config.explain.plane_columns={config.explain.plane_columns!r} must be two columns of the predictions, or "
            "none"
        )
    survey = config.data.survey
    for mirror in survey.mirrors:
        if not all(part.startswith("http") for part in mirror.partition("=")[::2]):
            raise InputError(f"config.data.survey.mirrors has {mirror!r}; write https://ONE.ORG=https://OTHER.ORG")
    # A config is kept in each run's folder and shown in its report.
    for address in (*survey.mirrors, config.data.images, *config.data.maps, *config.search.images):
        if re.search(r"://[^/=]*@|[?&](token|key|secret|signature|password)[^=]*=", address, re.IGNORECASE):
            raise InputError(f"{_hidden(address)} holds a password or a token; leave it out of the config")
    if survey.service and config.data.builder not in ("ir_cutouts", "microwave_cutouts", "xray_optical_cutouts"):
        raise InputError(
            f"config.data.survey.service={survey.service!r} goes with config.data.builder='ir_cutouts' or "
            f"'microwave_cutouts' (kosiba2020: 'xray_optical_cutouts'), not {config.data.builder!r}"
        )
    if config.data.labels != "experts" and (config.data.builder != "xray_optical_cutouts" or survey.service):
        raise InputError(
            f"config.data.labels={config.data.labels!r} goes with the simulated data of "
            "config.data.builder='xray_optical_cutouts'; use 'experts'"
        )
    if config.data.image_size is not None and config.data.builder not in ("labelled_images", "xray_optical_cutouts"):
        raise InputError(
            f"config.data.image_size={config.data.image_size!r} goes with config.data.builder='labelled_images' or "
            "'xray_optical_cutouts'; use config.data.simulated_size, or input_size"
        )
    _check_ranges(config.xray_optical)
    if config.sky is not None:
        _check_fractions(config.data.object_fractions, config.sky.object_types)
        if config.sky.label_noise and not config.data.binary:
            raise InputError("label_noise flips two classes; set it to 0, or config.data.binary=True")


def _hidden(address: str) -> str:
    """What may be shown of it."""
    return re.sub(r"//[^/=]*@", "//...@", address.partition("?")[0])


def _check_search(search: SearchConfig) -> None:
    for smoothing in search.further_smoothings_pixels:
        if not smoothing >= 0:
            raise InputError(f"config.search.further_smoothings_pixels has {smoothing!r}; each must be 0 or above")
    for name in search.outputs:
        if name not in OUTPUTS:
            raise InputError(f"config.search.outputs has {name!r}; use any of {', '.join(map(repr, OUTPUTS))}")
    if search.healpix_order is not None and not 0 <= search.healpix_order <= 29:
        raise InputError(f"config.search.healpix_order={search.healpix_order!r} must lie within [0, 29]")
    for field in ("flag_catalogues", "footprints"):
        for entry in getattr(search, field):
            if not all(entry.partition("=")):
                raise InputError(f"config.search.{field} has {entry!r}; write NAME=FILE")
    if not search.acronym or search.acronym != "".join(search.acronym.split()):
        raise InputError(f"config.search.acronym={search.acronym!r} must be one word, such as 'CJX'")


def _check_injection(inject: InjectionConfig) -> None:
    for field, low, high in (("masses_msun", 1e12, 1e16), ("redshifts", 0.01, 3.0)):
        values = getattr(inject, field)
        if not values or not all(isinstance(value, int | float) and low <= value <= high for value in values):
            raise InputError(f"config.inject.{field}={values!r} must be one or more numbers within [{low:g}, {high:g}]")


def _check_ranges(xray) -> None:
    """Lower ends below upper ones."""
    for low, high in (
        ("flux_min_cgs", "flux_max_cgs"),
        ("core_radius_min_arcsec", "core_radius_max_arcsec"),
        ("low_redshift_below", "redshift_max"),
    ):
        if not getattr(xray, low) < getattr(xray, high):
            raise InputError(
                f"config.xray_optical.{low}={getattr(xray, low)!r} must be below {high}={getattr(xray, high)!r}"
            )


def _check_fractions(fractions: dict[str, float], object_types: tuple[str, ...]) -> None:
    unknown = sorted(set(fractions) - set(object_types))
    if unknown:
        raise InputError(f"config.data.object_fractions has unknown types {unknown}; use {list(object_types)}")
    if any(value < 0 for value in fractions.values()) or abs(sum(fractions.values()) - 1) > 1e-6:
        raise InputError(
            f"config.data.object_fractions sums to {sum(fractions.values()):.6g}; use fractions >= 0 that sum to 1"
        )


def _get(config, path: str):
    for name in path.split("."):
        config = getattr(config, name)
    return config
