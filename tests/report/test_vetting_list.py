"""The list of the vetting page in a real browser: sorted, filtered, safe and quick; and what it shows."""

import numpy as np
from browsing import TABLE, choose, find, listed, open_page, press, wait_for
from made_up_vetting import HOSTILE, made_up_page
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from clusterjax.report.vetting import write_vetting_page


def test_sorting(page):
    press(page, "/", Keys.ESCAPE)
    assert listed(page) == list(range(1, 25))
    numeric = [name for name in TABLE.colnames if TABLE[name].dtype.kind in "iuf"]
    options = [option.get_attribute("value") for option in Select(find(page, "sort")).options]
    assert options == [*numeric, "name", "verdict"]
    for column in ("dec_deg", "significance", "flags"):
        choose(page, "sort", column)
        values = np.asarray(TABLE[column], float)
        for largest_first in (True, False):
            if find(page, "descending").is_selected() != largest_first:
                find(page, "descending").click()
            order = np.argsort(-values if largest_first else values, kind="stable") + 1
            assert listed(page) == order.tolist(), column  # NaN last, either way


def test_filters(page):
    press(page, "y", "n", "c", "looks like a ring", Keys.ESCAPE)
    press(page, "/")
    row = np.arange(len(TABLE))
    for name, value, expected in (
        ("status", "known", row % 3 == 0),
        ("flag", "none", row % 4 == 0),
        ("flag", "any", row % 4 > 0),
        ("flag", "2", (row % 4) // 2 == 1),
        ("judged", "cluster", row == 0),
        ("judged", "none", row > 1),
    ):
        choose(page, name, value)
        assert listed(page) == (row[expected] + 1).tolist(), (name, value)
        choose(page, name, "")
    for words, expected in (("psz2 <i>9", [10]), ("ring", [3]), ("HYPERLINK", [4]), ("J0020", [21]), ("zzz", [])):
        find(page, "search").clear()
        find(page, "search").send_keys(words)
        assert listed(page) == expected, words
    assert find(page, "nothing").is_displayed()
    assert not find(page, "candidate").is_displayed()
    press(page, Keys.ESCAPE, "y", "j", "z")  # nothing to judge; the last change is undone
    find(page, "search").send_keys(Keys.BACKSPACE * 3)
    assert len(listed(page)) == 24


def test_ranges_of_numbers(page):
    press(page, "/")
    find(page, "add-range").click()
    find(page, "add-range").click()
    first, second = page.find_elements(By.CSS_SELECTOR, ".range")
    for line, column, low, high in ((first, "significance", "-0.5", "1.0"), (second, "dec_deg", "", "10")):
        Select(line.find_element(By.TAG_NAME, "select")).select_by_value(column)
        for field, value in zip(line.find_elements(By.TAG_NAME, "input"), (low, high), strict=True):
            field.send_keys(value)
    significance, dec = (np.asarray(TABLE[name], float) for name in ("significance", "dec_deg"))
    one = (significance >= -0.5) & (significance <= 1.0)
    assert 0 < (one & (dec <= 10)).sum() < one.sum()
    assert listed(page) == (np.flatnonzero(one & (dec <= 10)) + 1).tolist()
    second.find_element(By.TAG_NAME, "button").click()
    assert listed(page) == (np.flatnonzero(one) + 1).tolist()
    assert page.switch_to.active_element.get_attribute("id") == "add-range"


def test_what_is_shown_of_a_candidate(page):
    """Pictures with words for who cannot see them, matches, all columns, links by position."""
    press(page, "j", "j", "j")
    row = TABLE[3]
    figures = page.find_elements(By.CSS_SELECTOR, "#pictures figure")
    assert [figure.text for figure in figures] == ["colour", "W1", "score"]  # saliency is of the first three
    for figure in figures:
        image = figure.find_element(By.TAG_NAME, "img")
        assert image.get_attribute("alt").endswith(f"of {HOSTILE[3]}")
        assert page.execute_script("return arguments[0].naturalWidth", image) == 8
    cells = [cell.text for cell in page.find_elements(By.CSS_SELECTOR, "#matches tbody tr > *")]
    assert cells == ["psz2", "known", "PSZ2 <i>3</i>", "0.5", "0.01", "0.13"]
    names = [name.get_attribute("textContent") for name in page.find_elements(By.CSS_SELECTOR, "#columns dt")]
    assert [name.partition(" [")[0] for name in names] == TABLE.colnames
    assert find(page, "flags").text == "edge: " + made_up_page().flags["edge"].meaning + "; masked: " + (
        made_up_page().flags["masked"].meaning
    )
    links = {link.text: link.get_attribute("href") for link in page.find_elements(By.CSS_SELECTOR, "#links a")}
    assert list(links) == ["Aladin Lite", "Legacy Survey viewer", "NED", "SIMBAD", "ESASky"]
    ra, dec = f"{row['ra_deg']:.7f}".rstrip("0"), f"{row['dec_deg']:.7f}".rstrip("0")
    sign = "" if row["dec_deg"] < 0 else "%2B"
    assert links["Legacy Survey viewer"].startswith(f"https://www.legacysurvey.org/viewer?ra={ra}&dec={dec}&")
    for name in ("Aladin Lite", "SIMBAD", "ESASky"):
        assert f"{ra}%20{sign}{dec}&" in links[name]
    assert f"&ra={ra}d&dec={dec}d&radius=2" in links["NED"]
    for link in page.find_elements(By.CSS_SELECTOR, "#links a"):
        assert "noopener" in link.get_attribute("rel")


def test_no_name_is_a_program(page):
    """Every hostile name is shown as it is, in the list and above the pictures; nothing else came of it."""
    for index, name in enumerate(HOSTILE):
        assert find(page, "name").get_attribute("textContent") == name
        item = page.find_element(By.CSS_SELECTOR, f"#row-{index} bdi")
        assert item.get_attribute("textContent") == name
        press(page, "j")
    assert page.execute_script("return document.querySelectorAll('script').length") == 2
    assert page.execute_script("return document.querySelectorAll('b, i').length") == 0


def test_another_tab_is_followed(page, address):
    first = page.current_window_handle
    page.switch_to.new_window("tab")
    open_page(page, address)
    press(page, "y", "n")
    page.close()
    page.switch_to.window(first)
    wait_for(page, "2 of 24 judged: 1 cluster, 1 not, 0 unsure", "counts")


def test_a_thousand_candidates_stay_fluid(page, tmp_path):
    """What a key costs, and what sorting all does: processor time, so that a busy machine does not fail it."""
    write_vetting_page(tmp_path / "big.html", made_up_page(1000))
    open_page(page, (tmp_path / "big.html").as_uri())
    body = page.find_element(By.TAG_NAME, "body")
    body.send_keys("j")
    page.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
    keys = "yjnukyzjyn"
    began = task_seconds(page)
    for key in keys:
        body.send_keys(key)
    assert (task_seconds(page) - began) / len(keys) < 0.1
    began = task_seconds(page)
    press(page, "/")
    choose(page, "sort", "significance")
    assert task_seconds(page) - began < 1
    page.execute_cdp_cmd("Performance.disable", {})
    assert find(page, "counts").text == "5 of 1000 judged: 2 cluster, 2 not, 1 unsure"
    loaded = page.execute_script("return document.querySelectorAll('#list img[src]').length")
    assert 0 < loaded < 100  # pictures far from the view are not decoded


def task_seconds(driver):
    """Of the page's main thread: script, style, layout and paint."""
    metrics = driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration")
