"""How a network is taken over a map: dense or window by window, and that both give the same scores."""

import jax
import numpy as np
import pytest
from flax import nnx

from clusterjax.config import DataConfig, ExperimentConfig, ModelConfig, SearchConfig
from clusterjax.data.preprocess import Preprocess
from clusterjax.data.statistics import fit_band_statistics
from clusterjax.errors import InputError
from clusterjax.experiment import DatasetFacts, Network
from clusterjax.jobs.scanning import choose_dense, search_map
from clusterjax.models import create_model
from clusterjax.parallel import make_mesh, replicated
from clusterjax.sky.geometry import make_wcs
from clusterjax.sky.skymap import SkyMap
from clusterjax.training.state import TrainState, split_model

BANDS = ("W1", "W2")


def make_sky(shape=(118, 131)):
    """Noise that grows, on a background that varies, with a hole."""
    rng = np.random.default_rng(0)
    data = rng.normal(size=(*shape, 2)) * (3, 8) * np.linspace(1, 9, shape[0])[:, None, None]
    data = (data + np.linspace(0, 50, shape[1])[:, None]).astype(np.float32)
    data[30:40, 30:90] = np.nan
    wcs = make_wcs(shape, ra_deg=30.0, dec_deg=5.0, pixel_scale_arcsec=2.75)
    return SkyMap(data, wcs, np.isfinite(data).all(2), BANDS)


def make_network(*, image_size=64, kwargs=None, **data):
    """A network of random weights; each window's logits are its own."""
    statistics = fit_band_statistics(np.random.default_rng(1).normal(size=(4000, 2)) * (3, 8), BANDS)
    metadata = {"band_statistics": statistics.to_dict()}
    preprocess = Preprocess.from_metadata(DataConfig(**{"subtract_median": False, **data}), metadata)
    facts = DatasetFacts(("other", "cluster"), BANDS, image_size, preprocess)
    kwargs = {"widths": (4, 8), "padding": "VALID", **(kwargs or {})}
    model = nnx.eval_shape(
        lambda: create_model("baseline", num_bands=2, num_classes=2, dtype="float32", rngs=nnx.Rngs(0), **kwargs)
    )
    graphdef, *trees = split_model(model)
    rng = np.random.default_rng(2)
    params, model_state = jax.tree.map(lambda leaf: rng.uniform(-0.3, 0.3, leaf.shape).astype(np.float32), trees)
    kernel = params["head"]["linear"]["kernel"]
    kernel -= kernel.mean(axis=0)
    kernel *= 10  # scores over much of [0, 1], not about one half
    model_state = jax.tree.map(lambda leaf: 0.5 + np.abs(leaf), model_state)  # variances
    params, model_state = jax.device_put((params, model_state), replicated(make_mesh()))
    state = TrainState(step=0, params=params, model_state=model_state, opt_state=())
    return Network(graphdef, state, facts, ExperimentConfig(model=ModelConfig("baseline", kwargs)))


@pytest.mark.parametrize(
    ("data", "size"), [({}, 64), ({"background_pixels": 9, "centre_pixels": 33}, 64), ({"input_size": 40}, 40)]
)
def test_both_methods_give_the_same_scores(data, size, capsys):
    network, sky, mesh = make_network(image_size=size, **data), make_sky(), make_mesh()
    options = {"stride": 8, "batch_size": 64, "min_valid_fraction": 0.3}
    dense, windows = (
        search_map(network, sky, SearchConfig(method=method, **options), mesh) for method in ("auto", "windows")
    )
    np.testing.assert_allclose(dense.score, windows.score, atol=1e-5)
    assert np.nanstd(dense.score) > 0.01
    np.testing.assert_array_equal(dense.valid_fraction, windows.valid_fraction)
    said = capsys.readouterr().err
    assert "scanning by dense evaluation: shared between windows" in said
    assert "scanning by windows: config.search.method='windows'" in said


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kwargs": {"padding": None}}, "pads its feature maps"),
        ({"subtract_median": True}, r"config\.data\.subtract_median=True subtracts each window's own median"),
        ({"input_size": 48}, r"config\.data\.input_size=48 resamples each window"),
        ({"centre_pixels": 8}, "needs 10 px or more; got 8"),
    ],
)
def test_what_cannot_be_dense_says_why(change, reason):
    network = make_network(**change)
    with pytest.raises(InputError, match=rf"config\.search\.method='dense' is not possible: .*{reason}"):
        choose_dense(network, SearchConfig(method="dense"))
    dense, why = choose_dense(network, SearchConfig())
    assert dense is None
    with pytest.raises(InputError, match=reason):
        raise InputError(why)


def test_auto_counts_the_operations():
    """At a stride that shares no factor with the network's, every pixel needs all layers."""
    network = make_network(image_size=10, kwargs={"widths": (4, 8)})
    dense, why = choose_dense(network, SearchConfig(stride=9))
    assert dense is None
    assert why.startswith("at stride 9 the shared convolutions take")
    assert choose_dense(network, SearchConfig(stride=9, method="dense"))[0] is not None
    assert choose_dense(network, SearchConfig(stride=4))[0] is not None


def test_pieces_are_bounded_by_memory():
    """Twice the features, half the pixels at a time."""
    small, large = (
        choose_dense(make_network(kwargs={"widths": widths}), SearchConfig(stride=4))[0].max_extent
        for widths in ((32, 64), (128, 256))
    )
    assert small == pytest.approx(2 * large, rel=0.01)
    assert 500 < small < 2000


def test_the_model_is_left_as_it_was():
    network = make_network()
    before = jax.tree.map(np.asarray, (network.state.params, network.state.model_state))
    choose_dense(network, SearchConfig())
    jax.tree.map(np.testing.assert_array_equal, before, (network.state.params, network.state.model_state))
    assert isinstance(network.graphdef, nnx.GraphDef)
