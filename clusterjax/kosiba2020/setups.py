"""What Kosiba et al. (2020) trained, and what they published of it: mean and standard deviation of 10 seeds."""

import dataclasses

from clusterjax.config import ExperimentConfig, ModelConfig
from clusterjax.recipes_xray_optical import XRAY_OPTICAL_VARIANTS, xray_optical

SCALES = ("published", "small", "smoke")
LAYERS = ("backbone.layers.1", "backbone.layers.3", "backbone.layers.5")  # convolutions 2, 4, 6 of the custom network
_NETWORKS = {"CN": "kosiba_cn", "MobileNet": "mobilenet_v1"}
FIGURES = ("accuracy", "precision", "recall", "auc")
_NAN = float("nan")


@dataclasses.dataclass(frozen=True)
class Setup:
    """``variant`` is one of the configs'; ``published`` holds (mean, standard deviation or NaN) by figure."""

    network: str
    variant: str
    published: dict[str, tuple[float, float]] = dataclasses.field(hash=False)

    @property
    def name(self) -> str:
        return f"{self.network}, {self.variant.replace('_', ' ')}"

    @property
    def model(self) -> str:
        return _NETWORKS[self.network]

    @property
    def folder(self) -> str:
        return f"{self.network.lower()}_{self.variant}"

    def config(self, scale: str, *, num_seeds: int, data_dir: str) -> ExperimentConfig:
        """Of one of ``SCALES``: with their settings, in minutes a seed on two cores, or in seconds for nothing."""
        config = xray_optical(self.folder, ModelConfig(self.model))
        if self.network == "MobileNet":
            config.data.input_size = 224
        XRAY_OPTICAL_VARIANTS[self.variant](config)
        if scale != "published":
            XRAY_OPTICAL_VARIANTS[scale](config)
        if scale == "smoke":
            config.training.num_folds = 3
            config.explain.num_cutouts, config.explain.num_steps = 4, 4
        config.training.num_members = num_seeds
        config.data.data_dir = data_dir
        config.explain.layers = LAYERS
        return config


def _binary(network: str, variant: str, *numbers: tuple[float, float]) -> Setup:
    numbers = numbers or ((_NAN, _NAN),) * len(FIGURES)
    return Setup(network, variant, dict(zip(FIGURES, numbers, strict=True)))


EXPERTS = _binary("CN", "experts", (0.90, 0.03), (0.89, 0.05), (0.91, 0.03), (0.96, 0.01))
X_RAY = _binary("CN", "xray", (0.81, 0.01), (0.78, 0.03), (0.86, 0.04), (0.89, 0.01))
OPTICAL = _binary("CN", "optical", (0.68, 0.02), (0.64, 0.02), (0.85, 0.04), (0.77, 0.02))
VOLUNTEERS = _binary("CN", "volunteers", (0.82, 0.01), (0.96, 0.01), (0.67, 0.02), (0.91, 0.01))
BINARY = (
    EXPERTS,
    _binary("MobileNet", "experts", (0.88, 0.02), (0.87, 0.03), (0.91, 0.03), (0.94, 0.01)),
    OPTICAL,
    X_RAY,
    VOLUNTEERS,
    _binary("CN", "volunteers_unweighted"),  # theirs are weighted
    _binary("MobileNet", "volunteers", (0.79, 0.02), (0.96, 0.03), (0.62, 0.03), (0.86, 0.02)),
    _binary("CN", "no_augmentation", (0.75, 0.02), (0.70, 0.02), (0.87, 0.03), (0.87, 0.01)),
    _binary("MobileNet", "no_augmentation", (0.81, 0.01), (0.75, 0.02), (0.91, 0.01), (0.90, 0.02)),
)
# Accuracy and AUC of one class against the rest, means over the classes
FIVE_CLASSES = (
    Setup("MobileNet", "five_class", {"accuracy": (0.86, _NAN), "auc": (0.91, _NAN)}),
    Setup("CN", "five_class", {"accuracy": (0.85, _NAN), "auc": (0.88, _NAN)}),
)
# Accuracy, precision and recall of the volunteers themselves, on 404 objects
PUBLISHED_VOTES = {"unweighted": (0.542, _NAN, _NAN), "weighted": (0.621, 0.990, 0.401)}
PUBLISHED_FOLDS = "0.87 to 0.92"  # accuracy of the ten
# Objects by sample and split: clusters, others
PUBLISHED_SAMPLES = {
    ("experts", "train"): (845, 388),
    ("experts", "validation"): (200, 104),
    ("volunteers", "train"): (320, 880),
    ("volunteers", "validation"): (130, 100),
    ("experts", "test"): (85, 85),
}
