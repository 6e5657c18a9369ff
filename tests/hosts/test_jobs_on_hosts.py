"""All jobs on two hosts of four devices, against one host."""

import json

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from tests.hosts.programs import Programs, losses


def range_test(workdir):
    return json.loads((workdir / "lr_range" / "lr_range.json").read_text())


def run(number, config, workdir, *, num_devices):
    with Programs(number, [f"--config={config}", f"--workdir={workdir}"], num_devices=num_devices) as programs:
        outputs = programs.outputs()
    assert programs.statuses == [0] * number, outputs
    return outputs


@pytest.mark.slow
def test_build_sweep_train_evaluate_scan_and_report(hosts_config, tmp_path):
    config = tmp_path / "all.py"
    text = hosts_config.read_text().replace("learning_rate=3e-2", "learning_rate=None")
    text = text.replace("num_train=64", "num_train=256").replace('widths": (4, 8)', 'widths": (8, 16)')
    # So easy a sky, and so many steps, that the range test has an answer.
    text = text.replace("lr_min=1e-5, lr_max=1e-1, num_steps=12", "lr_min=1e-3, lr_max=1e1, num_steps=240")
    text = text.replace(
        "        model=", "        simulation=InfraredSky(mass_floor_msun=1e15, groups=False),\n        model="
    )
    workdirs = {}
    for number, devices in ((1, 4), (2, 4), (1, 8)):
        name = f"{number}x{devices}"
        folder = str(tmp_path / f"data_{number}")
        config.write_text(text.replace(text.splitlines()[0], f"DATA_DIR = {folder!r}"))
        workdirs[name] = tmp_path / name
        if name == "1x8":  # at the rate that the two found: rounding may lead its own range test to another
            found = range_test(workdirs["2x4"])["suggestion"]
            config.write_text(config.read_text().replace("learning_rate=None", f"learning_rate={found}"))
        outputs = run(number, config, workdirs[name], num_devices=devices)
        assert "report" in outputs[0]
    assert not outputs[1:]
    one, two, eight = (workdirs[name] for name in ("1x4", "2x4", "1x8"))
    # Training on eight devices, whoever they belong to, and the range test on as many hosts as there are.
    assert [row[:2] for row in losses(two)] == [row[:2] for row in losses(eight)]
    np.testing.assert_allclose([row[2] for row in losses(two)], [row[2] for row in losses(eight)], rtol=1e-5)
    rates = [range_test(folder) for folder in (two, one)]
    assert rates[0]["suggestion"] is not None
    calm = np.array(rates[0]["learning_rates"]) < 0.1  # from then on, rounding grows
    ours, theirs = (np.array(rate["losses"])[: calm.sum()] for rate in rates)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    assert rates[0]["suggestion"] == pytest.approx(rates[1]["suggestion"], rel=0.1)
    for split in ("validation", "test"):
        ours, theirs = (Table.read(folder / "evaluation" / f"predictions_{split}.fits") for folder in (two, eight))
        for name in ("object_id", "index", "label", "ra_deg", "dec_deg"):  # 64 bits and the order
            np.testing.assert_array_equal(ours[name], theirs[name])
        np.testing.assert_allclose(ours["score"], theirs["score"], atol=1e-5)
    # A scan with one network, by hosts of four devices.
    again = tmp_path / "scan_of_one", tmp_path / "scan_of_two"
    for number, workdir in enumerate(again, start=1):
        arguments = [f"--checkpoint={two}", "--job=scan", f"--workdir={workdir}", "--config.search.map_size=1300"]
        with Programs(number, [f"--config={config}", *arguments]) as programs:
            outputs = programs.outputs()
        assert programs.statuses == [0] * number, outputs
    paths = [workdir / "scan" / "score.fits" for workdir in again]
    with fits.open(paths[0], memmap=False) as ours, fits.open(paths[1], memmap=False) as theirs:
        for mine, other in zip(ours, theirs, strict=True):
            if other.data is not None:
                np.testing.assert_array_equal(mine.data, other.data)
