"""The job inject: from a trained network to a selection function, its report, and on after it was stopped."""

import contextlib
import dataclasses
import io
import json

import numpy as np
import pytest
from astropy.table import Table
from scipy import stats
from untrained import untrained_networks

from clusterjax import SelectionFunction
from clusterjax.config import ExperimentConfig, InjectionConfig, SearchConfig
from clusterjax.errors import InputError
from clusterjax.jobs.finders import filter_finder, knobs_of
from clusterjax.jobs.injecting import _control_maps, _injector, inject
from clusterjax.jobs.reporting import report
from clusterjax.jobs.session import Session
from clusterjax.parallel import make_mesh
from clusterjax.search.completeness import fit_completeness
from clusterjax.search.inject import Injections, inject_and_find, make_targets
from clusterjax.search.match import match_detections, match_radii
from clusterjax.simulation.cosmology import theta500_arcmin
from clusterjax.simulation.knobs import InfraredSky, MicrowaveSky
from clusterjax.simulation.microwave.filters import matched_filter
from clusterjax.simulation.skies import simulation_of
from clusterjax.sky.geometry import make_wcs
from clusterjax.sky.skymap import ProbabilityMap, SkyMap


@pytest.fixture(scope="module")
def injected(tmp_path_factory):
    """(session, what was said) of the job on a small simulated map, done in two parts as after a kill."""
    search = SearchConfig(map_size=256, stride=8, threshold=0.5, batch_size=64, outputs=())
    inject_config = InjectionConfig(
        masses_msun=(3e14, 1e15), redshifts=(0.4, 0.8), per_cell=2, min_distance_arcmin=4.0, control_maps=1,
        num_thresholds=3, avoid_candidates=False,
    )  # fmt: skip
    config = ExperimentConfig(search=search, inject=inject_config)
    config.evaluation.calibration = "none"
    network = dataclasses.replace(untrained_networks(1)[0], config=config)
    session = Session(config, tmp_path_factory.mktemp("inject"), make_mesh(), network)
    inject(session)
    folder = session.workdir / "inject"
    (folder / "summary.json").unlink()  # as if it had been killed before the end
    (folder / "rounds" / "round_0001_network.fits").unlink()
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        inject(session)
        inject(session)
    return session, said.getvalue()


def test_a_selection_function_is_written(injected):
    session, said = injected
    folder = session.workdir / "inject"
    assert "going on with injections that were stopped" in said
    assert f"is done: {folder}" in said
    selection = SelectionFunction.read(folder / "selection.fits")
    assert len(selection.tables["INJECTIONS"]) == 8
    assert set(selection.tables) == {
        "INJECTIONS", "COMPLETENESS", "MASS_LIMITS", "POSITIONS", "CONTAMINATION", "PURITY"
    }  # fmt: skip
    assert selection.provenance["map"] == "simulated"
    assert selection.facts["contamination_from"] == "simulated sky without clusters"
    chance = selection(np.array([2e14, 1e15]), 0.5, 30.0, 5.0)  # the middle of the map
    assert 0 <= chance[0] <= chance[1] <= 1
    assert selection(1e15, 0.5, 31.0, 5.0) == 0  # a degree beyond
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["network"]["num_injected"] == 8


def test_the_report_has_its_section(injected):
    session, _ = injected
    report(session)
    assert 'id="selection"' in (session.workdir / "report" / "index.html").read_text()
    for name in ("completeness_over_mass_network", "mass_limits", "purity_completeness", "position_offsets"):
        assert (session.workdir / "report" / "figures" / f"{name}.png").stat().st_size > 5000


def sky_map(bands, scale_arcsec, units, shape=(128, 128)):
    data = np.random.default_rng(0).normal(size=(*shape, len(bands))).astype(np.float32)
    wcs = make_wcs(shape, ra_deg=30.0, dec_deg=5.0, pixel_scale_arcsec=scale_arcsec)
    return SkyMap(data, wcs, np.ones(shape, bool), bands, units)


def test_whose_clusters_go_into_which_map():
    config = ExperimentConfig()
    config.microwave.survey = "planck"
    assert isinstance(knobs_of(config, sky_map(("W1", "W2"), 2.75, "nMgy")), InfraredSky)
    assert knobs_of(config, sky_map(("143",), 60.0, "K_CMB")).survey == "planck"
    with pytest.raises(InputError, match="no simulated cluster can be put into a map with the bands f150: they must"):
        knobs_of(config, sky_map(("f150",), 30.0, "uK_CMB"))


def test_every_finder_gets_the_same_maps_without_clusters():
    config = ExperimentConfig(search=SearchConfig(map_size=64), inject=InjectionConfig(control_maps=2))
    (control,) = _control_maps(config, MicrowaveSky(), sky_map(("f090", "f150", "f220"), 30.0, "uK_CMB"))
    first, again = ([make().data for make in control.makers] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], first[1])
    config.search.images = ("map.fits",)
    real = sky_map(("143",), 60.0, "K_CMB")
    (control,) = _control_maps(config, MicrowaveSky(survey="planck"), real)
    np.testing.assert_array_equal(control.makers[0]().data, -real.data)


def searched(knobs, config, sky):
    """(the matched filter, its map of the sky as it is)."""
    whole = ProbabilityMap.from_log_odds(np.zeros(sky.shape), sky)
    finder = filter_finder(knobs, config, sky, whole, tsz_painted=True)
    return finder, finder.score(sky)


def injected_table(knobs, config, sky, masses, redshifts, per_cell):
    finder, base = searched(knobs, config, sky)
    targets = make_targets(masses, redshifts, per_cell, seed=1)
    targets["theta500_arcmin"] = theta500_arcmin(np.array(targets["m500c_msun"]), np.array(targets["redshift"]))
    own = finder.detect(base, threshold=finder.threshold)
    injections = Injections(
        targets,
        base,
        12.0,
        config.search.match_radius_arcmin,
        [(np.array(own["ra_deg"]), np.array(own["dec_deg"]), 5.0)],
    )
    table = inject_and_find(sky, injections, _injector(knobs), [finder], {finder.name: base}, progress=False)
    return table[finder.name], own, base


def microwave_config():
    search = SearchConfig(min_separation_arcmin=4.0, match_radius_arcmin=2.5)
    return ExperimentConfig(search=search, inject=InjectionConfig(matched_filter_snr=5.0))


def predicted_snr(knobs, mass, redshift):
    """Of a cluster of another size through the finder's filter: sigma times the integral of t_own C^-1 t."""
    find, own = (
        matched_filter(knobs, tsz_painted=True),
        matched_filter(knobs, m500c_msun=mass, redshift=redshift, tsz_painted=True),
    )
    density = np.sum(own.template * find.snr_weight, axis=-1)
    return np.trapezoid(find.ell * density, find.ell) / (2 * np.pi)


def closed_form(snr, *, scatter, cut=5.0, extra=0.0):
    """P(S/N > cut) of N(q, 1) with log-normal scatter of q; ``extra`` is what the highest nearby adds to q^2."""
    steps, weight = np.polynomial.hermite_e.hermegauss(41)
    seen = np.sqrt((snr * np.exp(scatter * steps)) ** 2 + extra)
    return float(weight @ stats.norm.sf(cut - seen) / weight.sum())


def check_against_closed_form(knobs, table, masses, redshifts):
    """Each cell between the S/N at the place and that of the highest nearby."""
    for redshift in redshifts:
        for mass in masses:
            cell = table[(np.asarray(table["m500c_msun"]) == mass) & (np.asarray(table["redshift"]) == redshift)]
            snr = predicted_snr(knobs, mass, redshift)
            low, high = (closed_form(snr, scatter=knobs.scatter_ln, extra=extra) for extra in (0.0, 3.0))
            found, number = np.mean(cell["found"]), len(cell)
            assert found > low - 3 * np.sqrt(low * (1 - low) / number) - 1.5 / number, (mass, redshift)
            assert found < high + 3 * np.sqrt(high * (1 - high) / number) + 1.5 / number, (mass, redshift)


def test_the_matched_filter_finds_what_its_noise_says():
    """ACT DR5, white noise, masses as they enter the profile: S/N 5.18 for 3e14 at z = 0.5 if the filter is its own."""
    knobs = MicrowaveSky(one_over_f=False, radio_in_clusters=0.0, mass_ratio=1.0)
    # The haloes below 1.25e14 of a map are noise too strong for this: without any, the noise is the filter's own.
    sky, _ = simulation_of(knobs).simulate_map(
        knobs, seed=3, shape=(420, 420), ra_deg=30.0, dec_deg=5.0, cluster_boost=0.0
    )
    masses = (1.5e14, 2.5e14, 3e14, 3.5e14, 5e14)
    table, _, _ = injected_table(knobs, microwave_config(), sky, masses, (0.5,), 60)
    table = table[np.asarray(table["searched"])]
    assert predicted_snr(knobs, 3e14, 0.5) == pytest.approx(5.18, rel=0.05)
    check_against_closed_form(knobs, table, masses, (0.5,))


@pytest.mark.slow
def test_injected_and_own_clusters_of_a_simulated_sky_are_found_alike():
    """The acceptance of the selection function: own clusters, of which it was told nothing, by mass, and M90."""
    knobs = MicrowaveSky()  # 1/f noise, and radio galaxies in clusters
    sky, truth = simulation_of(knobs).simulate_map(
        knobs, seed=11, shape=(1500, 1500), ra_deg=30.0, dec_deg=5.0, cluster_boost=4.0
    )
    masses, redshifts = (1.5e14, 2e14, 2.5e14, 3e14, 3.5e14, 4e14, 5e14, 7e14, 1e15), (0.15, 0.25, 0.4, 0.6, 0.9, 1.3)
    table, candidates, base = injected_table(knobs, microwave_config(), sky, masses, redshifts, 60)
    table = table[np.asarray(table["searched"])]
    truth_of = tuple(np.asarray(table[name], float) for name in ("m500c_msun", "redshift"))
    model = fit_completeness(np.asarray(table["found"]), *truth_of, np.ones(len(table)))
    own = truth[np.nan_to_num(np.asarray(truth["m500c_msun"], float)) > 2e14]
    matching = match_detections(candidates, own, radius_arcmin=match_radii(own, 2.5), probability_map=base)
    seen = np.asarray(matching.sources["searched"], bool)
    mass, redshift = (np.asarray(matching.sources[name], float)[seen] for name in ("m500c_msun", "redshift"))
    found = matching.source_is_found[seen]
    chance = model.probability(mass, redshift)
    for low, high in ((2e14, 3e14), (3e14, 4e14), (4e14, 5e14), (5e14, 2e15), (2e14, 2e15)):
        chosen = (mass >= low) & (mass < high)
        spread = np.sqrt(np.sum((chance * (1 - chance))[chosen]) + 0.5)
        assert chosen.sum() > 20
        assert abs(found[chosen].sum() - chance[chosen].sum()) < 3 * spread, (low, high)


@pytest.mark.slow
def test_infrared_clusters_of_the_map_itself_are_found_as_the_injected_ones(tmp_path, run_program):
    """By the network that comes along; crowded places, which look noisier, are not taken for deep or shallow ones."""
    result = run_program(
        "--config=configs/search_ir.py:small", "--job=inject", "--network=infrared", f"--workdir={tmp_path}",
        "--config.search.map_seed=11", "--config.inject.min_distance_arcmin=6", "--config.inject.per_cell=12",
        num_devices=1,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    selection = SelectionFunction.read(tmp_path / "inject" / "selection.fits")
    own = Table.read(tmp_path / "scan" / "sources.fits")
    own = own[np.asarray(own["searched"], bool) & (np.asarray(own["m500c_msun"]) >= 1e14)]
    mass = np.asarray(own["m500c_msun"], float)
    found = np.asarray(own["detection_index"]) >= 0
    truth = mass, *(np.asarray(own[name], float) for name in ("redshift", "ra_deg", "dec_deg"))
    chance = selection(*truth)
    for low, high in ((1e14, 1.5e14), (1.5e14, 2.5e14), (2.5e14, 2e15), (1e14, 2e15)):
        chosen = (mass >= low) & (mass < high)
        spread = np.sqrt(np.sum((chance * (1 - chance))[chosen]) + 0.5)
        assert chosen.sum() > 10
        assert abs(found[chosen].sum() - chance[chosen].sum()) < 3 * spread, (low, high)


@pytest.mark.slow
def test_the_mass_limit_is_the_published_one():
    """M90 for S/N > 5 at z = 0.5, ACT DR5's depth, in the mass that enters the profile: 3.8e14, by the filter's own
    noise 4.0e14; the highest S/N nearby makes it a little less."""
    knobs = MicrowaveSky(one_over_f=False, radio_in_clusters=0.0, mass_ratio=1.0)
    sky, _ = simulation_of(knobs).simulate_map(
        knobs, seed=5, shape=(1200, 1200), ra_deg=30.0, dec_deg=5.0, cluster_boost=0.0
    )
    masses = (1.5e14, 2e14, 2.5e14, 3e14, 3.5e14, 4e14, 5e14, 6e14)
    table, _, _ = injected_table(knobs, microwave_config(), sky, masses, (0.5,), 250)
    table = table[np.asarray(table["searched"])]
    check_against_closed_form(knobs, table, masses, (0.5,))
    redshift = np.asarray(table["redshift"], float)
    model = fit_completeness(
        np.asarray(table["found"]), np.asarray(table["m500c_msun"], float), redshift, np.ones(len(table))
    )
    mass, error = model.mass_limit(0.9, 0.5)
    assert error < 0.1e14
    assert 3.6e14 < mass < 4.0e14
