"""The matched filter is the classical observer of real microwave maps too, whatever their unit and bands."""

from types import SimpleNamespace

import numpy as np
from sklearn.metrics import roc_auc_score

from clusterjax.evaluation.matched_filter import MatchedFilterObserver
from clusterjax.jobs.scoring import fit_classical
from clusterjax.simulation.knobs import MicrowaveSky
from clusterjax.simulation.microwave.bands import microwave_sky_of
from clusterjax.simulation.microwave.maps import simulate_map
from clusterjax.sky.cutouts import extract_cutouts


def test_real_maps_are_filtered_as_their_bands_and_unit_say():
    """Clusters so massive that Planck's middle band alone shows them, in kelvin."""
    sky_map, truth = simulate_map(
        MicrowaveSky(survey="planck", mass_ratio=2.0), seed=3, shape=(480, 480), ra_deg=30.0, dec_deg=5.0,
        cluster_boost=12.0,
    )  # fmt: skip
    clusters = truth[truth["m500c_msun"] > 3e14]
    y, x = np.random.default_rng(0).uniform(30, 450, (2, len(clusters)))
    ra, dec = sky_map.pixel_to_sky(y, x)
    ra, dec = np.append(clusters["ra_deg"], ra), np.append(clusters["dec_deg"], dec)
    images, valid = extract_cutouts(sky_map, ra, dec, 48)
    label = np.repeat([1, 0], len(clusters))[valid == 1]
    images = images[valid == 1, ..., 1:2] * np.float32(1e-6)
    builder = SimpleNamespace(
        info=SimpleNamespace(
            metadata={"input_kind": "sky", "bands": ["143"], "units": "K_CMB", "pixel_scale_arcsec": 30.0},
            features={"label": SimpleNamespace(num_classes=2, names=["other", "cluster"])},
            splits={"train": SimpleNamespace(filepaths=[], shard_lengths=[])},
        ),
        builder_config=SimpleNamespace(),
        as_data_source=lambda split: [
            {"image": image, "label": kind} for image, kind in zip(images, label, strict=True)
        ],
    )
    column, observer = fit_classical(builder)
    assert column == "matched_filter"
    assert isinstance(observer, MatchedFilterObserver)
    snr = observer.snr(images)
    assert roc_auc_score(label, snr) > 0.75
    assert 0.6 < np.std(snr[label == 0]) < 1.7  # in units of the noise; other clusters are among it
    builder.info.metadata["units"] = "Jy"
    assert fit_classical(builder) is None


def test_which_sky_bands_are_of():
    assert microwave_sky_of(("f150", "f090")).survey == "act_dr5"
    assert microwave_sky_of(("143",)).survey == "planck"
    assert microwave_sky_of(("W1", "W2")) is None
    assert microwave_sky_of(("143", "f150")) is None
