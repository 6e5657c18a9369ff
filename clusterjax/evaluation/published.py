"""Accuracies that were published for networks that are here too. Their data are not ours: to look at, not a bar."""

_MODELS = (
    "vit_l16", "spinalnet_vgg", "spinalnet_resnet", "resnet18", "spinalnet_efficientnet", "spinalnet_densenet",
    "cnn_mlp", "alexnet_vgg", "baseline",
)  # fmt: skip
# Fomicheva (2025): real cutouts of catalogued clusters, stars, galaxies and random fields.
_INFRARED = (0.882, 0.857, 0.542, 0.568, 0.398, 0.681, 0.807, 0.905, 0.668)
_MICROWAVE = (0.727, 0.915, 0.994, 0.892, 0.765, 0.899, 0.836, 0.937, 0.648)

# (data set's builder, model) -> accuracy
PUBLISHED_ACCURACY = {
    **{("ir_cutouts", model): accuracy for model, accuracy in zip(_MODELS, _INFRARED, strict=True)},
    **{("microwave_cutouts", model): accuracy for model, accuracy in zip(_MODELS, _MICROWAVE, strict=True)},
    # Kosiba et al. (2020), table 5: experts' labels, both images, 170 real candidates
    ("xray_optical_cutouts", "kosiba_cn"): 0.90,
    ("xray_optical_cutouts", "mobilenet_v1"): 0.88,
}
WARNING = (
    "The published accuracies are of other data. Infrared and microwave (Fomicheva 2025): real cutouts, with clusters "
    "of overlapping catalogues in training and test, and negatives whose place on the sky gives them away. X-ray and "
    "optical (Kosiba et al. 2020): 170 real candidates. They are no bar for networks trained on the data sets here, "
    "nor these for them."
)
