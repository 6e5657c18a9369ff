"""Made-up but realistic things to report on: cutouts, a map and its scan, predictions, a history."""

import numpy as np
from astropy.table import Table
from astropy.wcs import WCS
from scipy import ndimage

from clusterjax.evaluation.calibration import METHODS, fit_calibration
from clusterjax.evaluation.headline import INFRARED_HARD_MOCK, Observer, binary_headline, multiclass_headline
from clusterjax.evaluation.prior_shift import sky_fractions
from clusterjax.evaluation.reliability import calibration_figures
from clusterjax.report.contents import (
    ActivationMaps,
    Explanations,
    LrRange,
    Predictions,
    Report,
    Saliency,
    Survey,
)
from clusterjax.report.galleries import choose_examples, make_gallery
from clusterjax.search.detect import find_detections
from clusterjax.search.match import completeness_curve, completeness_in_bins, match_detections, summarise
from clusterjax.sky.skymap import ProbabilityMap, SkyMap

TYPES = ("cluster", "random", "galaxy", "star", "agn", "group", "pair", "bright_star")
FRACTIONS = (0.5, 0.225, 0.06, 0.06, 0.05, 0.045, 0.03, 0.03)
CLASSES = ("bent", "compact", "fri", "frii")


def sky(shape, rng, clusters=(), field_density=0.006):
    """(y, x, 2) nMgy: faint sources everywhere, ``clusters`` of (y, x, members), a Gaussian PSF, noise."""
    image = np.zeros((*shape, 2))
    num = rng.poisson(field_density * shape[0] * shape[1])
    y, x = rng.uniform(0, shape[0], num), rng.uniform(0, shape[1], num)
    flux = 60 * rng.pareto(1.4, num) + 20
    colour = rng.normal(0.8, 0.15, num)
    for centre_y, centre_x, members in clusters:
        radius, angle = 9 * rng.rayleigh(0.6, members), rng.uniform(0, 2 * np.pi, members)
        y, x = np.append(y, centre_y + radius * np.sin(angle)), np.append(x, centre_x + radius * np.cos(angle))
        flux, colour = np.append(flux, 150 * rng.gamma(1.2, 1, members)), np.append(colour, np.full(members, 1.25))
    inside = (y >= 0) & (y < shape[0]) & (x >= 0) & (x < shape[1])
    pixels = y[inside].astype(int), x[inside].astype(int)
    np.add.at(image[..., 0], pixels, flux[inside])
    np.add.at(image[..., 1], pixels, (flux * colour)[inside])
    image = ndimage.gaussian_filter(image, (1.1, 1.1, 0)) + rng.normal(size=image.shape) * [3.5, 8.5]
    return image.astype(np.float32)


def predictions(num=1500, seed=0) -> Predictions:
    rng = np.random.default_rng(seed)
    kind = rng.choice(TYPES, num, p=FRACTIONS)
    label = (kind == "cluster").astype(int)
    redshift = np.where(label, rng.uniform(0.1, 1.6, num), np.where(kind == "group", rng.uniform(0.1, 1, num), np.nan))
    mass = np.where(label, 1.5e14 + 1.2e14 * rng.pareto(2.5, num), np.where(kind == "group", 7e13, np.nan))
    strength = np.where(label, 2.6 + np.log2(np.nan_to_num(mass, nan=1) / 1.5e14) - 1.5 * (redshift > 1.1), -2.8)
    strength = strength + 2.6 * (kind == "group")
    shared = rng.normal(size=num)
    score = 1 / (1 + np.exp(-1.6 * (strength + 1.3 * shared + 0.9 * rng.normal(size=num))))
    table = Table(
        {
            "object_id": np.arange(num),
            "ra_deg": rng.uniform(0, 360, num),
            "dec_deg": rng.uniform(-60, 60, num),
            "label": label,
            "object_type": kind,
            "redshift": redshift.astype(np.float32),
            "m500c_msun": mass.astype(np.float32),
            "snr": 2.2 + 1.3 * strength + shared,
            "score": score.astype(np.float32),
            "aperture_count": 8 + 1.2 * strength + 2.2 * shared + 1.6 * rng.normal(size=num),
        }
    )
    scores = np.stack([1 - score, score], axis=1)
    fitted = {method: fit_calibration(method, label, scores) for method in METHODS}
    table["probability"] = fitted["platt"].positive(score).astype(np.float32)
    calibrations = [{"calibration": "none", **calibration_figures(label, scores), "used": False}]
    calibrations += [
        {"calibration": name, **calibration_figures(label, fit(scores)), "used": name == "platt"}
        for name, fit in fitted.items()
    ]
    sky = sky_fractions({"cluster": 1.0, "star": 300.0}, dict(zip(TYPES, FRACTIONS, strict=True)), radius_arcmin=1.5)
    prior = Table({"object_type": TYPES, "fraction_of_data_set": FRACTIONS, "fraction_of_windows": list(sky.values())})
    return Predictions(
        table, ("other", "cluster"), network_name="AlexNetVGG", classical_threshold=8.0, ceiling=INFRARED_HARD_MOCK,
        calibration=Table(calibrations), prior=prior, plane=("redshift", "m500c_msun"),
    )  # fmt: skip


def history(num_epochs=8, steps=40, seed=0) -> list[dict]:
    rng = np.random.default_rng(seed)
    rows = []
    for epoch in range(num_epochs):
        for step in range(0, steps, 4):
            t = epoch + step / steps
            loss = 0.2 + 0.5 * np.exp(-t / 1.5) + 0.03 * rng.normal()
            rows.append(
                {"step": epoch * steps + step, "epoch": t, "split": "train", "loss": loss,
                 "accuracy": 1 - loss / 2.2, "learning_rate": 3e-4 * 0.8**epoch}
            )  # fmt: skip
        loss = 0.24 + 0.45 * np.exp(-(epoch + 1) / 1.3) + 0.012 * max(epoch - 4, 0)
        rows.append(
            {"step": (epoch + 1) * steps, "epoch": float(epoch + 1), "split": "validation", "loss": loss,
             "accuracy": 1 - loss / 2.4}
        )  # fmt: skip
    return rows


def lr_range() -> LrRange:
    rng = np.random.default_rng(1)
    rates = np.geomspace(1e-6, 1e-2, 70)
    x = np.log10(rates)
    smoothed = 0.69 - 0.3 / (1 + np.exp(-(x + 4) * 3)) + np.exp((x + 2.2) * 4)
    return LrRange(
        rates.tolist(), (smoothed + 0.04 * rng.normal(size=70)).tolist(), smoothed.tolist(), 1.1e-4,
        "The loss falls most steeply at 1.1e-04.",
    )  # fmt: skip


def survey(side=700, seed=3, num_clusters=14) -> Survey:
    rng = np.random.default_rng(seed)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval = 30.0, 5.0
    wcs.wcs.crpix = (side + 1) / 2, (side + 1) / 2
    wcs.wcs.cdelt = -2.75 / 3600, 2.75 / 3600
    y, x = rng.uniform(20, side - 20, (2, num_clusters))
    mass = 1e14 + 1.5e14 * rng.pareto(2, num_clusters)
    data = sky((side, side), rng, [(a, b, int(12 + m / 1e13)) for a, b, m in zip(y, x, mass, strict=True)])
    data[: side // 12, side // 2 : side // 2 + 60] = np.nan
    sky_map = SkyMap(data, wcs, np.isfinite(data).all(axis=2), ("W1", "W2"), "nMgy")

    window, stride = 64, 8
    grid = (side - window) // stride + 1
    grid_y, grid_x = np.indices((grid, grid)) * stride + (window - 1) / 2
    odds = -4.5 + 0.8 * ndimage.gaussian_filter(rng.normal(size=(grid, grid)), 1.5) / 0.19
    bumps = [*zip(y, x, 4 + 2.5 * np.log(mass / 1e14), strict=True), (0.78 * side, 0.6 * side, 7.5)]
    for centre_y, centre_x, height in bumps:
        odds = odds + height * np.exp(-((np.hypot(grid_y - centre_y, grid_x - centre_x) / 17) ** 4))
    score = (1 / (1 + np.exp(-1.6 * odds))).astype(np.float32)
    valid_fraction = np.ones_like(score)
    score[:2, grid // 2 : grid // 2 + 4] = np.nan
    score_wcs = wcs.deepcopy()
    score_wcs.wcs.crpix = (wcs.wcs.crpix - 1 - (window - 1) / 2) / stride + 1
    score_wcs.wcs.cdelt = wcs.wcs.cdelt * stride
    scan = ProbabilityMap(score, valid_fraction, score_wcs, window, stride)

    ra_deg, dec_deg = sky_map.pixel_to_sky(y, x)
    truth = Table({"ra_deg": ra_deg, "dec_deg": dec_deg, "m500c_msun": mass})
    truth["redshift"] = rng.uniform(0.15, 1.5, num_clusters)
    truth["object_type"] = "cluster"
    match = {"radius_arcmin": 1.5, "probability_map": scan}
    found = find_detections(scan, threshold=0.05, min_separation_arcmin=1.5)
    kept = found[np.asarray(found["score"]) >= 0.8]
    matching = match_detections(kept, truth, **match)
    return Survey(
        scan,
        matching.detections,
        sky_map=sky_map,
        sources=matching.sources,
        summary=summarise(matching, scan),
        completeness_curve=completeness_curve(found, truth, **match),
        completeness_by_mass=completeness_in_bins(matching, "m500c_msun", [1e14, 1.5e14, 2e14, 3e14, 5e14, 1e15]),
        threshold=0.8,
        complete_for="M500c ≥ 10¹⁴ M☉",
        target=(1.0, 0.8),
        description="A fresh simulated map.",
    )


def explanations(galleries) -> Explanations:
    """Of two cutouts a gallery, and activation maps of two layers for the first."""
    rng = np.random.default_rng(6)
    groups = np.repeat([gallery.title for gallery in galleries], 2)
    table = Table({"index": np.arange(len(groups)), "group": groups, "log_odds": rng.normal(size=len(groups))})
    table["baseline_log_odds"] = -2.0
    table["attribution_W1"] = 0.25 * (table["log_odds"] + 2)
    table["attribution_W2"] = 0.75 * (table["log_odds"] + 2)
    maps = {"backbone.conv2": rng.random((16, 16, 3)), "backbone.conv5": rng.random((4, 4, 2))}
    filters = {"backbone.conv2": [5, 0, 7], "backbone.conv5": [11, 2]}
    shown = ActivationMaps(galleries[0].captions[0], galleries[0].images[0], maps, filters)
    return Explanations(table, [shown], "Bright is much; red speaks for it.")


def infrared_report() -> Report:
    """All there can be: two classes, redshifts, a classical observer, a map."""
    made = predictions()
    rng = np.random.default_rng(5)
    galleries = []
    for group, rows in choose_examples(made, num=12).items():
        images = np.stack(
            [sky((64, 64), rng, [(32, 32, 25)] if made.table["object_type"][row] == "cluster" else []) for row in rows]
        )
        coarse = rng.normal(size=(len(rows), 16, 16)).repeat(4, axis=1).repeat(4, axis=2)
        saliency = Saliency(np.abs(coarse), coarse)
        galleries.append(make_gallery(made, group, rows, images, band_names=("W1", "W2"), saliency=saliency))
    score = np.asarray(made.table["score"])
    observers = [
        Observer("AlexNetVGG", score),
        Observer("aperture count", np.asarray(made.table["aperture_count"]), made.classical_threshold),
    ]
    redshift = np.asarray(made.table["redshift"])
    return Report(
        title="AlexNetVGG on the simulated infrared sky",
        subtitle="12 000 training cutouts of 64 × 64 pixels in W1 and W2; hard mock",
        provenance={
            "command": "python -m clusterjax.main --config=configs/alexnet_ir.py",
            "commit": "0123abc",
            "seed": 0,
            "devices": "2 × cpu",
            "wall time": "11 min 20 s",
            "config": {"model": {"name": "alexnet_vgg"}, "optim": {"name": "adam", "decay_per_epoch": 0.8}},
        },
        headline=binary_headline(made.label, observers, redshift=redshift, ceiling=INFRARED_HARD_MOCK),
        metrics={"accuracy": 0.921, "auc": 0.974},
        history=history(),
        lr_range=lr_range(),
        predictions=made,
        galleries=galleries,
        explanations=explanations(galleries),
        survey=survey(),
        warnings=["One seed only: figures of other seeds differ by about 0.005."],
    )


def images_report() -> Report:
    """Four classes of pictures with three colours; no redshift, no classical observer, no map."""
    rng = np.random.default_rng(2)
    label = rng.choice(4, 300, p=[0.15, 0.2, 0.25, 0.4])
    logits = rng.normal(size=(300, 4)) + 2.2 * np.eye(4)[label]
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    table = Table({"label": label, "ra_deg": np.full(300, np.nan)})
    for i, name in enumerate(CLASSES):
        table[f"score_{name}"] = scores[:, i].astype(np.float32)
    made = Predictions(table, CLASSES, network_name="AlexNetVGG")
    galleries = [
        make_gallery(made, group, rows, rng.integers(0, 255, (len(rows), 30, 30, 3)))
        for group, rows in choose_examples(made, num=6).items()
    ]
    return Report(
        title="Radio galaxies",
        headline=multiclass_headline("AlexNetVGG", label, made.probabilities, CLASSES),
        history=history(3),
        predictions=made,
        galleries=galleries,
        natural_colour=True,
    )
