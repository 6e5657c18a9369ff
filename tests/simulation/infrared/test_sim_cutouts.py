import numpy as np
import pytest

from clusterjax.errors import InputError
from clusterjax.simulation.infrared import cutouts
from clusterjax.simulation.infrared.cutouts import simulate_cutout
from clusterjax.simulation.infrared.field import sample_field
from clusterjax.simulation.knobs import OBJECT_TYPES, InfraredSky

HALOES = ("cluster", "group")


def robust_rms(images):
    median = np.median(images, axis=(1, 2), keepdims=True)
    return np.median(1.4826 * np.median(np.abs(images - median), axis=(1, 2)), axis=0)


def draw(object_type, number, sky=None, **kwargs):
    return [
        simulate_cutout(sky or InfraredSky(), object_type, np.random.default_rng([7, i]), **kwargs)
        for i in range(number)
    ]


@pytest.mark.parametrize("object_type", OBJECT_TYPES)
@pytest.mark.parametrize("groups", [True, False])
def test_every_type(object_type, groups):
    for cutout in draw(object_type, 3, InfraredSky(groups=groups)):
        assert cutout.image.shape == (64, 64, 2)
        assert cutout.image.dtype == np.float32
        assert np.isfinite(cutout.image).all()
        assert cutout.label == (object_type == "cluster")
        assert cutout.object_type == object_type
        assert np.isfinite(cutout.m500c_msun) == (object_type in HALOES)
        assert np.isfinite(cutout.redshift) == (object_type in (*HALOES, "galaxy", "pair"))


def test_same_seed_same_cutout_whatever_was_drawn_before():
    first = draw("cluster", 1)[0]
    draw("random", 3, InfraredSky(groups=False))
    np.testing.assert_array_equal(first.image, draw("cluster", 1)[0].image)
    assert not np.array_equal(first.image, draw("cluster", 2)[1].image)


def test_confusion_noise_of_empty_sky():
    """The robust rms of an un-clustered empty field exceeds the pixel noise by faint sources: 4.65 and 9.97 nMgy."""
    images = np.array([cutout.image for cutout in draw("random", 250, InfraredSky(groups=False))])
    np.testing.assert_allclose(robust_rms(images), [4.65, 9.97], rtol=0.025)


def test_the_median_is_subtracted():
    images = np.array([cutout.image for cutout in draw("random", 100, InfraredSky(noise_scale=0.01))])
    assert np.abs(np.median(images, axis=(1, 2))).max() < 0.1


def test_background_gradient_is_in_units_of_the_noise():
    sky = InfraredSky(groups=False)
    tilted = InfraredSky(groups=False, background_gradient=3.0)
    flat, steep = (np.array([cutout.image for cutout in draw("random", 60, knobs)]) for knobs in (sky, tilted))
    # Smoothed over 16 pixels, only the tilt is left of these medians
    blocks = [np.median(images.reshape(60, 4, 16, 4, 16, 2), axis=(2, 4)) for images in (flat, steep)]
    ranges = [np.median(np.ptp(block.reshape(60, 16, 2), axis=1), axis=0) for block in blocks]
    assert (ranges[1] > [5, 12]).all()  # 3 sigma times the 3/4 between the outer blocks' centres, in any direction
    assert (ranges[1] < [11, 26]).all()
    assert (ranges[0] < [4.9, 8]).all()


@pytest.mark.parametrize("object_type", HALOES)
def test_haloes_are_miscentred_by_a_rayleigh_distance(object_type):
    offset = [(c.centre_y_pixels - 31.5, c.centre_x_pixels - 31.5) for c in draw(object_type, 400)]
    distance = np.hypot(*np.transpose(offset))
    assert distance.mean() == pytest.approx(6.5 * np.sqrt(np.pi / 2), rel=0.08)
    centred = draw("cluster", 3, InfraredSky(centre_sigma_pixels=0.0))
    assert all(c.centre_y_pixels == 31.5 for c in centred)


def test_masses_and_redshifts_of_the_central_haloes():
    clusters, groups = draw("cluster", 300), draw("group", 300)
    assert min(c.m500c_msun for c in clusters) >= 1.5e14
    assert min(c.redshift for c in clusters) >= 0.1
    assert max(c.redshift for c in clusters) <= 1.6
    assert min(c.m500c_msun for c in groups) >= 3e13
    assert max(c.m500c_msun for c in groups) <= 1.2e14


def test_no_halo_above_1e14_lies_in_the_field_of_a_negative(monkeypatch):
    fields = []

    def spy(*args, **kwargs):
        fields.append(sample_field(*args, **kwargs))
        return fields[-1]

    monkeypatch.setattr(cutouts, "sample_field", spy)
    boosted = InfraredSky(group_boost=30.0)
    greatest = {}
    for object_type in ("cluster", "random", "group"):
        fields.clear()
        draw(object_type, 8, boosted)
        greatest[object_type] = max(field.groups.haloes.m500c_msun.max() for field in fields)
    assert greatest["random"] <= 1e14
    assert greatest["group"] <= 1e14
    assert greatest["cluster"] > 1e14


def test_clusters_are_red_overdensities_around_their_centre():
    """Light within 1 arcmin of the centre above that of random sky, most in massive clusters."""
    rows, columns = np.mgrid[:64, :64]

    def light(object_type, sky):
        inside = []
        for cutout in draw(object_type, 150, sky):
            near = np.hypot(rows - cutout.centre_y_pixels, columns - cutout.centre_x_pixels) < 60 / 2.75
            inside.append(np.clip(cutout.image[near], 0, 300).mean())
        return np.mean(inside)

    random, cluster = light("random", InfraredSky()), light("cluster", InfraredSky())
    massive = light("cluster", InfraredSky(mass_floor_msun=4e14))
    assert random * 1.15 < cluster < massive


@pytest.mark.parametrize(
    ("object_type", "bright", "faint"), [("galaxy", 11, 15), ("star", 8, 13), ("bright_star", 4, 8)]
)
def test_single_objects_have_their_brightness(object_type, bright, faint):
    """Aperture photometry of 3.5 pixels' radius, which holds 0.89 to 0.97 of the PSF."""
    rows, columns = np.mgrid[:64, :64]
    magnitudes = []
    for cutout in draw(object_type, 60):
        near = np.hypot(rows - cutout.centre_y_pixels, columns - cutout.centre_x_pixels) < 3.5
        magnitudes.append(22.5 - 2.5 * np.log10(cutout.image[near, 0].sum()))
    assert np.percentile(magnitudes, 10) > bright - 0.1
    assert np.percentile(magnitudes, 90) < faint + 0.15
    assert np.ptp(magnitudes) > 0.6 * (faint - bright)


def test_pairs_are_two_sources_and_agn_are_red():
    colours = []
    for cutout in draw("agn", 60):
        y, x = round(cutout.centre_y_pixels), round(cutout.centre_x_pixels)
        w1, w2 = cutout.image[y - 1 : y + 2, x - 1 : x + 2].sum(axis=(0, 1))
        colours.append(2.5 * np.log10(w2 / w1))
    assert np.median(colours) == pytest.approx(1.05, abs=0.15)


def test_bright_stars_have_spikes_far_out():
    rows, columns = np.mgrid[:64, :64]
    ring = np.abs(np.hypot(rows - 31.5, columns - 31.5) - 22) < 3

    def typical(object_type):
        """Percentiles of the light 22 pixels out: between the spikes, and on them."""
        return np.median([np.percentile(c.image[ring, 0], [30, 97]) for c in draw(object_type, 30)], axis=0)

    between, on_spikes = typical("bright_star")
    assert on_spikes > 2 * typical("star")[1]
    assert on_spikes > 2 * between


@pytest.mark.parametrize("size", [21, 32, 100, 224])
def test_other_sizes(size):
    assert draw("cluster", 1, size=size)[0].image.shape == (size, size, 2)


def test_psf_knobs_change_the_images():
    sharp = draw("star", 20)
    blurred = draw("star", 20, InfraredSky(psf_error=0.3, seeing_jitter=0.1))
    peaks = [
        np.array([c.image[26:38, 26:38, 0].max() / c.image[26:38, 26:38, 0].sum() for c in k]) for k in (sharp, blurred)
    ]
    assert peaks[1].std() > 2 * peaks[0].std()


def test_unknown_type():
    with pytest.raises(InputError, match=r"object_type='clusterr' is unknown; use one of cluster, random"):
        simulate_cutout(InfraredSky(), "clusterr", np.random.default_rng(0))
