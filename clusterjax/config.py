"""The schema of an experiment: what a file in ``configs/`` returns, and what ``--config.x.y=`` overrides.

Typed dataclasses; :func:`clusterjax.config_checks.validate` says which values they may have.
"""

import dataclasses
import functools
import hashlib
import json
import types
import typing
from collections.abc import Callable
from typing import Any

from clusterjax.errors import InputError
from clusterjax.simulation.knobs import InfraredSky, JointSky, MicrowaveSky, SharedHaloes, XrayOpticalSky

# Half clusters, the rest random sky and objects that could be taken for a cluster.
INFRARED_FRACTIONS = {
    "cluster": 0.5,
    "random": 0.225,
    "galaxy": 0.06,
    "star": 0.06,
    "agn": 0.05,
    "group": 0.045,
    "pair": 0.03,
    "bright_star": 0.03,
}
MICROWAVE_FRACTIONS = {
    "cluster": 0.5,
    "random": 0.3,
    "agn": 0.03,
    "radio": 0.03,
    "dusty": 0.02,
    "group": 0.05,
    "cmb_extremum": 0.02,
    "near_miss": 0.05,
}
# Of both: what is taken for a cluster in the one looks otherwise in the other.
JOINT_FRACTIONS = {
    "cluster": 0.5,
    "random": 0.22,
    "galaxy": 0.03,
    "star": 0.03,
    "agn": 0.04,
    "group": 0.06,
    "pair": 0.02,
    "bright_star": 0.02,
    "radio": 0.02,
    "dusty": 0.01,
    "cmb_extremum": 0.02,
    "near_miss": 0.03,
}
XRAY_FRACTIONS = {
    "low_z_cluster": 0.25,
    "high_z_cluster": 0.25,
    "nearby_galaxy": 0.1,
    "point_source": 0.12,
    "star_agn": 0.08,
    "double": 0.08,
    "artefact": 0.07,
    "edge": 0.05,
}


@dataclasses.dataclass
class SurveyConfig:
    """A data set of the sky itself, for the builders of cutouts; without a ``service`` theirs is simulated."""

    # Of images: hips_unwise, unwise_me, legacy_unwise; hips_act, hips_planck; kosiba2020; local_maps: data.maps
    service: str = ""
    # Names of clusterjax/sky/surveys/registry.py, NAME=FILE for a copy, or tables of one's own; the first has priority
    catalogues: tuple[str, ...] = ("act_dr5",)
    negatives: tuple[str, ...] = ()  # likewise; TYPE=FILE for a table of one's own
    held_out: tuple[str, ...] = ()  # clusters that are not trained on: test splits of their own
    merge_radius_arcmin: float = 3.0  # entries of two catalogues as close as this are one object
    negatives_per_object: float = 0.5  # of all types together, for each cluster
    max_objects: int | None = None  # clusters, drawn at random; None: all
    cache_dir: str = "runs/downloads"
    offline: bool = False  # only what cache_dir has
    per_host: int = 4  # requests to one server at a time
    attempts: int = 5
    timeout_s: float = 60.0  # without a byte
    mirrors: tuple[str, ...] = ()  # "https://one.org=https://other.org": the other is asked instead


@dataclasses.dataclass
class DataConfig:
    """The data set and how it reaches the network."""

    builder: str = "ir_cutouts"  # or microwave_, joint_, xray_optical_, map_cutouts, labelled_images
    data_dir: str = "runs/datasets"
    num_train: int = 12_000  # cutouts to simulate, per split
    num_validation: int = 2_000
    num_test: int = 4_000
    simulated_size: int = 64  # pixels a side of the cutouts that are simulated or cut from maps
    object_fractions: dict[str, float] = dataclasses.field(default_factory=lambda: dict(INFRARED_FRACTIONS))
    seed: int = 0  # of the simulated data set; the experiment's own seed does not change the data
    num_processes: int | None = None  # that simulate or cut; None: one a core
    # Pipeline options of Apache Beam, "--runner=FlinkRunner --flink_master=...": builds on it; empty: on this machine
    beam: str = ""
    beam_folder: str = ""  # of Beam's workers, gs://... for one; empty: beside data_dir
    binary: bool = True  # cluster or other; False: a class for each type of object (of map_cutouts too)
    # xray_optical_cutouts only
    # or volunteers (their weighted votes), volunteers_unweighted, volunteers_dawid_skene: in training and validation
    labels: str = "experts"
    # Of kosiba2020's PNGs, zero, xray and optical in their order; empty: told from the pictures. What the network sees
    # are xray_optical.channels
    archive_channels: tuple[str, ...] = ()
    # labelled_images only; of kosiba2020, the archive itself
    images: str = ""  # a folder with a subfolder per class, or a CSV, ECSV or FITS table with file and label
    crop_pixels: int | None = None  # of each image's middle that are kept, a side, before any resampling; None: all
    # Pixels a side that images are resampled to, of xray_optical_cutouts too; None: as the first image is
    image_size: int | None = None
    validation_fraction: float = 0.2  # where the images come without splits
    test_fraction: float = 0.2
    # Go on past what cannot be read, naming it: images of labelled_images; damaged records of any built data set
    skip_unreadable: bool = False
    # map_cutouts, and with a survey the last four
    # FITS or HEALPix files, HiPS folders, folders of tiles (* and ? for several); those of one map's bands joined by +
    maps: tuple[str, ...] = ()
    catalogue: str = (
        ""  # the known objects: a table with ra, dec; object_type (or label), redshift, m500c_msun if known
    )
    exclusion_arcmin: float = 10.0  # empty positions keep so far from every known object
    random_per_object: float = 1.0  # empty positions for each object
    min_valid_fraction: float = 0.9  # of a cutout's pixels; others are left out
    block_nside: int = 16  # HEALPix blocks that belong to one split each: 13 deg2; a power of 2, larger for small maps
    survey: SurveyConfig = dataclasses.field(default_factory=SurveyConfig)
    # All
    bands: tuple[str, ...] | None = None  # None: all bands of the data set
    centre_pixels: int | None = None  # of each cutout's middle that the network sees, a side; None: all
    input_size: int | None = None  # the network's input, pixels a side; None: as many as it sees
    stretch: str = "asinh"  # linear, asinh or log
    softening: float = 1.0  # the stretch turns from linear to logarithmic at this many robust sigma
    band_softening: dict[str, float] = dataclasses.field(default_factory=dict)  # of these bands, in place of it
    subtract_median: bool = True  # of each cutout and band, as unWISE and the simulation do
    # Instead of it, the mean of so many pixels a side (odd) about each pixel; cutouts lose a border of half as many.
    background_pixels: int | None = None
    # Microwave: S/N of the matched filter for clusters of these theta500, each a channel beside the bands
    matched_filter_arcmin: tuple[float, ...] = ()
    augment_on: str = "device"  # device (inside the jitted step) or host (Grain)
    num_workers: int = 0  # Grain worker processes; 0 reads with threads
    num_read_threads: int = 4


@dataclasses.dataclass
class AugmentConfig:
    """Random changes of training cutouts; never applied to validation, test or scan.

    With ``rotation_deg=0`` and ``scale=1`` no pixel is interpolated: shifts are whole pixels, and the noise keeps its
    variance. That matters where noise is a large part of a cutout at native resolution: interpolation smooths it, and
    a network with batch normalisation that has only seen smoothed noise fails on cutouts as they are.
    """

    rotation_deg: float = 15.0  # uniform in +- this; 180 is any angle
    quarter_turns: bool = False  # a further turn by 0, 90, 180 or 270 deg
    flip: bool = True  # left-right, and up-down too when rotation_deg is 180
    shift_fraction: float = 20 / 224  # uniform in +- this fraction of the size, reflect-padded
    scale: float = 1.0  # log-uniform in [1/scale, scale]
    # Standard deviation of a constant that is added to each cutout and band, in the band's robust scale: for maps whose
    # background no window subtracts for itself (data.subtract_median=False), and so is not quite zero.
    background: float = 0.0


@dataclasses.dataclass
class ModelConfig:
    name: str = "alexnet_vgg"
    kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)  # the backbone's own; head_kwargs: the head's
    head: str | None = None  # linear, mlp, spinal or vgg; None: the model's own
    dtype: str = "float32"  # of activations: float32 or bfloat16
    # Weights to begin with: a PyTorch file, hf:OWNER/NAME, or a checkpoint of clusterjax; see models/pretrained.
    pretrained: str | None = None
    pretrained_bands: str = "mean"  # how the first layer is fitted to the bands: mean or first
    pretrained_head: bool = False  # keep its head too: the classes must be the same


@dataclasses.dataclass
class OptimConfig:
    name: str = "adam"  # adam, adamw, nadam, radam, sgd, rmsprop, adadelta, rprop or lion
    kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)  # its own, as Optax names them; sgd: momentum
    learning_rate: float | None = None  # None: what the LR range test suggests
    schedule: str = "exponential"  # constant, exponential, step or cosine
    decay_per_epoch: float = 0.8  # exponential: factor an epoch
    step_epochs: float = 10.0  # step: so many epochs at one rate
    step_factor: float = 0.1
    decay_per_step: float = 0.0  # of any schedule: divided by 1 + this times the step
    warmup_epochs: float = 0.0
    # Of any schedule: times plateau_factor when the validation metric has not gained for so many epochs; None: never.
    plateau_patience: int | None = None
    plateau_factor: float = 0.5
    plateau_metric: str = "loss"  # or accuracy
    plateau_min_rate: float = 0.0  # never below this through plateaus
    weight_decay: float = 0.0  # decoupled (Loshchilov & Hutter 2019), of any but adam: that is adamw
    grad_clip_norm: float | None = None
    frozen_epochs: float = 0.0  # at first, only the head learns
    backbone_rate: float = 1.0  # the backbone's learning rate, in those of the head


@dataclasses.dataclass
class LrRangeConfig:
    """LR range test (Smith 2017): one batch at each of geometrically spaced rates; steepest descent of the loss.

    The steepest descent is a rate for a schedule that hardly decays, as the reference's. One that falls to zero may
    begin higher: ``multiplier`` is what training takes of it.
    """

    lr_min: float = 1e-6
    lr_max: float = 1e-2
    num_steps: int = 70
    smoothing_dex: float = 0.5  # standard deviation of the Gaussian, in log10 of the rate
    multiplier: float = 1.0  # the suggestion is this many times the rate of steepest descent
    validation_batches: int = 0  # the loss is of so many fixed batches of validation after each step; 0: of training
    divergence_factor: float = 4.0  # stop when the smoothed loss exceeds this multiple of its least value


@dataclasses.dataclass
class TrainingConfig:
    # An ensemble: so many networks, with the seeds seed, seed + 1, ...; scores are then their mean, with a spread.
    num_members: int = 1
    num_folds: int = 10  # of --job=cross_validate
    num_epochs: int = 10
    global_batch_size: int = 64
    eval_batch_size: int = 256
    label_smoothing: float = 0.0
    label_noise: float = 0.0  # this fraction of the training labels is wrong, always the same ones
    class_weights: dict[str, float] = dataclasses.field(default_factory=dict)  # in the loss; 1 for others
    balanced_batches: bool = False  # equally many of each class in a batch, drawn with replacement
    # So many parts of a batch one after the other, in a part of the memory; batch normalisation is then that of a part
    accumulate_steps: int = 1
    batch_norm: str = "global"  # over the whole batch, or device: over each device's part of it
    shard_parameters: bool = (
        False  # split parameters and the optimizer's state over the devices (FSDP), for large networks
    )
    shard_above: int = 65_536  # elements of an array; smaller ones stay whole on every device
    early_stop_patience: int | None = 4  # epochs without a better validation loss; None: never
    checkpoint_every_steps: int | None = None  # besides the end of each epoch
    log_every_steps: int = 10


@dataclasses.dataclass
class EvaluationConfig:
    """From scores to probabilities, fitted on the validation split; and what can be reached at all."""

    calibration: str = "platt"  # or temperature, isotonic; none: scores alone
    # Of object types, as in {"cluster": 0.5}: probabilities in maps and of candidates are then those of a window of
    # such a sky, within search.match_radius_arcmin of the object; other types share the rest. Empty: the data set's.
    sky_density_per_deg2: dict[str, float] = dataclasses.field(default_factory=dict)
    # Monte Carlo dropout: scores are the mean of so many passes with other units dropped, with a spread; 0: no unit is
    dropout_samples: int = 0
    # Simulated microwave cutouts: the Bayes likelihood ratio of clusters against random sky, half a minute
    ceilings: bool = True


@dataclasses.dataclass
class ExplainConfig:
    """What the network looks at, in cutouts of the test split: galleries, saliency, activation maps."""

    num_cutouts: int = 8  # of each group: right, wrong, most uncertain
    layers: tuple[str, ...] = ()  # whose activation maps are shown, as in backbone.conv2; none: three, evenly spaced
    filters: tuple[int, ...] = ()  # of each of these layers, counted from 0; none: those that vary most
    num_filters: int = 8  # if they are not given
    grad_cam_layer: str | None = None  # None: the last with maps of 7 pixels a side or more
    num_steps: int = 32  # of integrated gradients, along the path from the baseline to the cutout
    baseline: str = "average"  # average: each pixel that of the training split; empty: a cutout without any flux
    batch_size: int = 16
    # Two columns of the predictions, as in ("extent", "extent_likelihood"): the plane of who finds what. None given:
    # redshift and m500c_msun, where they are known.
    plane_columns: tuple[str, ...] = ()


@dataclasses.dataclass
class SearchConfig:
    """Scan and candidates. ``images`` empty: scan a fresh simulated map."""

    images: tuple[str, ...] = ()  # a map as in data.maps: one path with all bands, or one a band
    catalogue: tuple[str, ...] = ()  # known objects to match with: tables with ra, dec, each as FILE or NAME=FILE
    footprints: tuple[str, ...] = ()  # where those catalogues looked, as NAME=FILE: a MOC or a HEALPix map
    flag_catalogues: tuple[str, ...] = ()  # as NAME=FILE (star=...): candidates near their objects get a flag
    flag_radius_arcmin: float = 2.0  # or an object's own, of a column radius_arcmin
    acronym: str = "CJX"  # of the candidates' names
    outputs: tuple[str, ...] = ("moc",)  # besides FITS images: any of healpix, hips, moc
    healpix_order: int | None = None  # of their cells; None: the coarsest that hardly loses a pixel
    positive_class: str = "cluster"
    stride: int = 8  # pixels
    # auto, dense (a network without padding scores pieces of the map whole) or windows (each window by itself)
    method: str = "auto"
    batch_size: int = 64  # windows, of the method windows; small batches stay in cache
    min_valid_fraction: float = 0.5  # windows with less are not scored
    threshold: float = 0.9  # score of a candidate
    min_separation_arcmin: float = 1.5
    smoothing_pixels: float | None = None  # sigma of the Gaussian over the log-odds; None: a sixteenth of the window
    # Further sigmas, at which larger or smaller objects stand out more; the threshold is that of the same significance
    further_smoothings_pixels: tuple[float, ...] = ()
    match_radius_arcmin: float = 1.5  # or half of theta500 where it is known and larger, to twice this
    # The simulated map
    map_size: int = 2048  # pixels a side: 2.75" each in the infrared, 0.5' in the microwave
    map_ra_deg: float = 30.0
    map_dec_deg: float = 5.0
    map_seed: int = 1
    cluster_boost: float = (
        8.0  # multiplies the density of haloes above 1.2e14 Msun, so that completeness can be measured
    )
    truth_mass_msun: float = 1e14  # a candidate on a halo above this M500c is true


@dataclasses.dataclass
class InjectionConfig:
    """The selection function: simulated clusters put into the map of the scan, which is then scanned again."""

    masses_msun: tuple[float, ...] = (1e14, 1.5e14, 2e14, 2.5e14, 3e14, 4e14, 5.5e14, 8e14)  # true M500c
    redshifts: tuple[float, ...] = (0.15, 0.3, 0.5, 0.7, 0.9, 1.2)
    per_cell: int = 25  # clusters of each mass at each redshift
    # From each other and from known clusters: so that no window, nor its smoothing, sees two
    min_distance_arcmin: float = 12.0
    # From the map's own candidates, two match radii: or they would be taken for the injected cluster. False: anywhere,
    # and what is found by chance counts.
    avoid_candidates: bool = True
    max_rounds: int | None = None  # stop after so many scans of the map; None: as many as the clusters need
    lowest_threshold: float = 0.05  # score down to which other thresholds are looked at
    num_thresholds: int = 12
    matched_filter_snr: float = 5.0  # the classical finder's threshold, in the microwave
    # Maps without clusters, for false candidates: so many simulated ones of the scan's size; a real microwave map is
    # also searched upside down
    control_maps: int = 3
    complete_above_msun: float = 3e14  # what the completeness of the purity curve is of
    seed: int = 0


@dataclasses.dataclass
class VettingConfig:
    """The page on which people judge a scan's candidates, and what --job=vet makes of their verdicts."""

    num_candidates: int = 1000  # on the page, by descending score; 0: no page
    cutout_pixels: int | None = None  # a side; None: the network's window
    num_saliency: int = 60  # candidates whose saliency is shown
    saliency: str = "integrated_gradients"  # or grad_cam; as explain says
    # Whose probability decides: the share of votes, each weighed by how often its voter agrees with the majority
    # (weighted), or that of truth and voters' errors fitted together (dawid_skene)
    method: str = "weighted"
    # A candidate is a training example with a probability of this or more (a cluster), or of 1 minus this or less
    # (none), and so many votes.
    confident: float = 0.8
    min_votes: int = 1


@dataclasses.dataclass
class ExperimentConfig:
    name: str = "experiment"
    seed: int = 0
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    simulation: InfraredSky = dataclasses.field(default_factory=InfraredSky)  # of ir_cutouts
    microwave: MicrowaveSky = dataclasses.field(default_factory=MicrowaveSky)  # of microwave_cutouts
    xray_optical: XrayOpticalSky = dataclasses.field(default_factory=XrayOpticalSky)  # of xray_optical_cutouts
    joint: SharedHaloes = dataclasses.field(default_factory=SharedHaloes)  # of joint_cutouts, with both skies' knobs
    augment: AugmentConfig = dataclasses.field(default_factory=AugmentConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    optim: OptimConfig = dataclasses.field(default_factory=OptimConfig)
    lr_range: LrRangeConfig = dataclasses.field(default_factory=LrRangeConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = dataclasses.field(default_factory=EvaluationConfig)
    explain: ExplainConfig = dataclasses.field(default_factory=ExplainConfig)
    search: SearchConfig = dataclasses.field(default_factory=SearchConfig)
    inject: InjectionConfig = dataclasses.field(default_factory=InjectionConfig)
    vetting: VettingConfig = dataclasses.field(default_factory=VettingConfig)

    @property
    def sky(self) -> InfraredSky | MicrowaveSky | XrayOpticalSky | JointSky | None:
        """The simulated sky that the data set is drawn from; None for a data set that is not simulated."""
        if self.data.survey.service:
            return None
        skies = {
            "ir_cutouts": self.simulation,
            "microwave_cutouts": self.microwave,
            "xray_optical_cutouts": self.xray_optical,
            "joint_cutouts": JointSky(self.simulation, self.microwave, self.joint),
        }
        return skies.get(self.data.builder)


@dataclasses.dataclass
class SweepConfig:
    """Several experiments, each in a folder of its own, then compared: what a file in ``configs/sweeps/`` returns."""

    name: str
    experiments: dict[str, ExperimentConfig]
    common: dict[str, Any] = dataclasses.field(default_factory=dict)  # in all of them: {"training.num_members": 3}
    fused: tuple[str, ...] = ()  # experiments on the same cutouts, whose scores are fused before all are compared

    def resolve(self) -> dict[str, ExperimentConfig]:
        """The experiments with what they have in common. Raises InputError for a field that they do not have."""
        resolved = {}
        for name, experiment in self.experiments.items():
            values = dataclasses.asdict(experiment)
            for path, value in self.common.items():
                _set_field(values, path, value)
            resolved[name] = _from_dict(ExperimentConfig, values, "config")
        return resolved


def _set_field(values: dict, path: str, value: Any) -> None:
    *folders, name = path.split(".")
    for folder in folders:
        values = values.get(folder)
        if not isinstance(values, dict):
            break
    if not isinstance(values, dict) or name not in values:
        raise InputError(f"config.common has {path!r}, which is no field of an experiment; see clusterjax/config.py")
    values[name] = value


def to_json(config: ExperimentConfig) -> str:
    return json.dumps(dataclasses.asdict(config), indent=2)


def fingerprint(config: ExperimentConfig) -> str:
    """SHA-256 of all settings: two results with the same one were made by the same config."""
    return hashlib.sha256(to_json(config).encode()).hexdigest()


def from_json(text: str) -> ExperimentConfig:
    """The inverse of :func:`to_json`. Unknown fields and wrong types are an :class:`InputError`."""
    return _from_dict(ExperimentConfig, _parse_json(text), "config")


def survey_from_json(text: str) -> SurveyConfig:
    """Of ``json.dumps(dataclasses.asdict(config.data.survey))``."""
    return _from_dict(SurveyConfig, _parse_json(text), "config.data.survey")


def _parse_json(text: str):
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the config is no JSON: {' '.join(str(error).split())[:100]}") from error


def _from_dict(cls, values: object, path: str):
    if not isinstance(values, dict):
        raise InputError(f"{path}={str(values)[:50]!r} must be a dict with {', '.join(field_types(cls))}")
    fields = field_types(cls)
    for name in values:
        if name not in fields:
            raise InputError(f"{path}.{' '.join(name.split())[:50]} is not a field; {path} has {', '.join(fields)}")
    built = {}
    for name, value in values.items():
        hint = fields[name]
        if dataclasses.is_dataclass(hint):
            built[name] = _from_dict(hint, value, f"{path}.{name}")
        elif typing.get_origin(_not_none(hint)) is tuple and value is not None:
            # Of several names there was once one, as text, empty for none. Anything else the check of types names.
            built[name] = (value,) * bool(value) if isinstance(value, str) else _as_tuple(value)
        else:
            built[name] = value
    return cls(**built)


@functools.cache
def field_types(cls: type) -> dict[str, Any]:
    """Name -> type of a dataclass's fields."""
    return typing.get_type_hints(cls)


def _as_tuple(value):
    return tuple(value) if isinstance(value, list | tuple) else value


def _not_none(hint):
    """``int | None`` -> ``int``; anything else as it is."""
    if isinstance(hint, types.UnionType):
        return next(part for part in typing.get_args(hint) if part is not types.NoneType)
    return hint


def apply_variant(
    config: ExperimentConfig, variant: str, variants: dict[str, Callable[[ExperimentConfig], None]]
) -> ExperimentConfig:
    """``config``, changed in place by ``variants[variant]`` and named after it; as it is for ''."""
    if not variant:
        return config
    if variant not in variants:
        raise InputError(f"config {config.name} has no variant {variant!r}; use {', '.join(variants)} or none")
    variants[variant](config)
    config.name += f"_{variant}"
    return config
