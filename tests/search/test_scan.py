import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from jax.sharding import AxisType
from synthetic_sky import central_flux, fill, make_map

from clusterjax.errors import InputError
from clusterjax.search.detect import find_detections
from clusterjax.search.scan import make_score_windows, scan_map

SCAN = {"size": 16, "stride": 4, "batch_size": 16, "transform": fill, "progress": False}


def _noise_map(shape=(60, 71)):
    sky = make_map(shape)
    return dataclasses.replace(sky, data=np.random.default_rng(2).normal(size=sky.data.shape).astype(np.float32))


def _mean_of_corner(images):
    """Not symmetric: it shows a window that is shifted, flipped or transposed."""
    weight = jnp.arange(images.shape[1])[:, None] * 3.0 + jnp.arange(images.shape[2])
    return jax.nn.sigmoid((images[..., 0] * weight).mean((1, 2)) / 20 + images[..., 1].mean((1, 2)))


def test_scores_are_those_of_each_window_alone():
    sky = _noise_map()
    scores = scan_map(_mean_of_corner, sky, **SCAN)
    assert scores.shape == (12, 15)
    padded = np.zeros((60, 72, 2), np.float32)
    padded[:, :71] = sky.data
    for i, j in np.ndindex(scores.shape):
        window = padded[4 * i : 4 * i + 16, 4 * j : 4 * j + 16]
        assert scores.score[i, j] == pytest.approx(float(_mean_of_corner(window[None])[0]), abs=1e-6)


@pytest.mark.parametrize("projection", ["TAN", "CAR"])
@pytest.mark.parametrize("dec_deg", [0.0, 60.0, 85.0])
@pytest.mark.parametrize("ra_deg", [0.0, 30.0])
def test_a_source_at_an_odd_pixel_comes_back_within_half_a_stride(projection, dec_deg, ra_deg):
    sources = np.array([(101, 77), (171, 139), (33, 201)])
    sky = make_map((301, 277), sources, ra_deg=ra_deg, dec_deg=dec_deg, projection=projection)
    scores = scan_map(central_flux, sky, **{**SCAN, "size": 64, "stride": 8, "batch_size": 64})
    found = find_detections(scores, threshold=0.5, min_separation_arcmin=1.0)
    assert len(found) == 3
    true = SkyCoord(*sky.pixel_to_sky(*sources.T), unit="deg")
    nearest, separation, _ = true.match_to_catalog_sky(SkyCoord(found["ra_deg"], found["dec_deg"]))
    assert separation.arcsec.max() < 4 * 2.75
    pixels = np.transpose([found["y_pixels"], found["x_pixels"]])[nearest]
    assert np.abs(pixels - sources).max() < 4
    # By the WCS of the score map alone, as another program would do it, the highest pixel is a stride away at most.
    y, x = np.unravel_index(np.nanargmax(scores.score), scores.shape)
    peak = SkyCoord(*scores.wcs.all_pix2world(x, y, 0), unit="deg")
    assert peak.separation(true).arcsec.min() < np.hypot(4, 4) * 2.75


def test_a_source_in_the_last_rows_and_columns_is_seen():
    """Where the last window that fits ends short of the edge, one more overhangs it."""
    sky = make_map((301, 277), [(300 - 31, 276 - 30)])
    scores = scan_map(central_flux, sky, **{**SCAN, "size": 64, "stride": 8, "batch_size": 64})
    assert scores.shape == (31, 28)
    found = find_detections(scores, threshold=0.5, min_separation_arcmin=1.0)
    assert np.hypot(found["y_pixels"][0] - 269, found["x_pixels"][0] - 246) < 4
    assert scores.valid_fraction[-1, -1] < 1


def test_nan_reaches_the_transform_and_empty_windows_are_not_scored():
    sky = _noise_map()
    data = sky.data.copy()
    data[:30, :40] = np.nan
    valid = np.isfinite(data).all(2)
    sky = dataclasses.replace(sky, data=data, valid=valid)

    def fraction_finite(windows):
        return jnp.isfinite(windows).mean((1, 2, 3))

    scores = scan_map(lambda x: x, sky, **{**SCAN, "transform": fraction_finite}, min_valid_fraction=0.6)
    scored = scores.valid_fraction >= 0.6
    assert np.array_equal(np.isfinite(scores.score), scored)
    assert np.allclose(scores.score[scored], scores.valid_fraction[scored], atol=1e-6)
    assert 0 < scored.sum() < scored.size
    assert scores.area_deg2 == pytest.approx(scored.sum() * (4 * 2.75 / 3600) ** 2, rel=1e-4)
    ra, dec = scores.sky_positions()
    assert np.array_equal(scores.contains(ra, dec), scored)
    assert not scores.contains(ra + 90, dec).any()
    with pytest.raises(InputError, match=r"none of the 180 windows .* search\.min_valid_fraction=0\.5"):
        scan_map(central_flux, dataclasses.replace(sky, valid=np.zeros_like(valid)), **SCAN)


def test_one_compile_for_all_batches_and_for_further_maps(caplog):
    sky = _noise_map()
    traced = []

    def predict(images):
        traced.append(images.shape)
        return _mean_of_corner(images)

    with jax.log_compiles():
        score_windows = make_score_windows(predict, fill, 16)
        first = scan_map(predict, sky, **SCAN, score_windows=score_windows)  # 180 windows: 12 batches, the last short
        again = scan_map(predict, sky, **SCAN, score_windows=score_windows)
    assert traced == [(16, 16, 16, 2)]
    assert sum("Finished XLA compilation of jit(program)" in line for line in caplog.messages) == 1
    assert np.array_equal(first.score, again.score)


@pytest.mark.parametrize("devices", [1, 8])
def test_parameters_may_lie_anywhere(devices):
    """On the host, on the first device, or on another than the mesh's: they are arguments of the program."""
    weights = jnp.asarray(np.random.default_rng(0).normal(size=(16 * 16 * 2, 300)).astype(np.float32))
    weights = jax.device_put(weights, jax.devices()[0])
    host_weights = np.linspace(-1, 1, 300, dtype=np.float32)

    def predict(images):
        return jax.nn.sigmoid(jnp.tanh(images.reshape(len(images), -1) @ weights) @ host_weights)

    mesh = None if devices == 1 else jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    sky = _noise_map()
    scores = scan_map(predict, sky, **SCAN, mesh=mesh)
    assert scores.score[1, 2] == pytest.approx(float(predict(sky.data[None, 4:20, 8:24])[0]), abs=1e-5)


def test_eight_devices_and_one_agree():
    sky = _noise_map()
    weights = jnp.linspace(-1, 1, 16 * 16 * 2)

    def predict(images):
        return jax.nn.sigmoid(images.reshape(len(images), -1) @ weights)

    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    one, eight = (scan_map(predict, sky, **SCAN, mesh=each) for each in (None, mesh))
    assert np.allclose(one.score, eight.score, atol=1e-6)
    starts = jnp.zeros((16, 2), jnp.int32)
    scores = make_score_windows(predict, fill, 16, mesh)(jnp.asarray(sky.data), starts)
    assert len(scores.sharding.device_set) == 8
    assert {shard.data.shape for shard in scores.addressable_shards} == {(2,)}
    with pytest.raises(InputError, match=r"search\.batch_size=20 is not divisible by 8 devices; use 16 or 24"):
        scan_map(predict, sky, **{**SCAN, "batch_size": 20}, mesh=mesh)


def test_a_map_smaller_than_the_window():
    with pytest.raises(InputError, match="smaller than the window"):
        scan_map(central_flux, _noise_map((15, 40)), **SCAN)


def test_a_predict_of_the_wrong_shape():
    with pytest.raises(ValueError, match="one score each"):
        scan_map(lambda images: images[:, 0], _noise_map(), **SCAN)


def test_scores_that_are_nan_are_reported_and_left_out(caplog):
    scores = scan_map(lambda images: jnp.log(images.mean((1, 2, 3))), _noise_map(), **SCAN)
    assert 0 < np.isnan(scores.score).sum() < scores.score.size
    assert "predict returned NaN for" in caplog.text


def test_progress_counts_windows(capsys):
    scan_map(central_flux, _noise_map(), **{**SCAN, "progress": True})
    assert "180/180" in capsys.readouterr().err


@pytest.mark.parametrize("survey", ["allwise", "unwise"])
def test_real_images(shared_data, survey):
    """M74 in AllWISE and a genuine unWISE coadd: the brightest source is the highest peak."""
    from clusterjax.sky.fits import read_sky_map

    if survey == "allwise":
        files, size, stride = [shared_data / f"wise/m74_wise_w{band}.fits" for band in (1, 2)], 64, 8
    else:
        folder = shared_data / "unwise/testcase4/images/unwise/186/1866p257"
        files, size, stride = [folder / f"unwise-1866p257-w{band}-img-m.fits" for band in (1, 2)], 9, 2
    sky = read_sky_map(files, bands=["W1", "W2"])
    background = np.nanmedian(sky.data, axis=(0, 1))
    spread = 1.4826 * np.nanmedian(np.abs(sky.data - background), axis=(0, 1))

    def transform(windows):
        return jnp.nan_to_num(jnp.arcsinh((windows - background) / spread))

    def predict(images):
        return jax.nn.sigmoid(
            2 * images[:, size // 2 - 1 : size // 2 + 2, size // 2 - 1 : size // 2 + 2, 0].mean((1, 2)) - 6
        )

    scan = {"size": size, "stride": stride, "batch_size": 64, "transform": transform, "progress": False}
    scores = scan_map(predict, sky, **scan)
    found = find_detections(scores, threshold=0.5, min_separation_arcmin=2 * stride * sky.pixel_scale_arcsec / 60)
    assert len(found) >= 1
    if survey == "allwise":
        nucleus = SkyCoord("01h36m41.75s +15d47m01.1s")
        nearest = nucleus.separation(SkyCoord(found["ra_deg"], found["dec_deg"])).arcsec.min()
        assert nearest < stride * sky.pixel_scale_arcsec
    else:
        half = (size - 1) // 2
        inner = sky.data[half:-half, half:-half, 0]
        brightest = np.array(np.unravel_index(inner.argmax(), inner.shape)) + half
        peak = np.array([found["y_pixels"][0], found["x_pixels"][0]])
        assert np.abs(peak - brightest).max() <= stride
