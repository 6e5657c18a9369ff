"""The vetting page in a real browser, by keys and clicks. Skipped where none is installed."""

import csv
import itertools
import json
import shutil
import time

import numpy as np
import pytest
from made_up_vetting import HOSTILE, made_up_page, made_up_table
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from clusterjax.data.votes.verdicts import read_verdicts, table_hash
from clusterjax.report.vetting import write_vetting_page

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
           "--disable-background-networking", "--disable-component-update", "--no-first-run")  # fmt: skip
TABLE = made_up_table()


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    binary = next(filter(None, map(shutil.which, BROWSERS)), None)
    chromedriver = shutil.which("chromedriver")
    if binary is None or chromedriver is None:
        pytest.skip("no browser: install one, as by `apt-get install chromium chromium-driver`")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for option in OPTIONS:
        options.add_argument(option)
    downloads = tmp_path_factory.mktemp("downloads")
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))
    driver.downloads = downloads
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "index.html"
    write_vetting_page(path, made_up_page())
    return path.as_uri()


@pytest.fixture
def page(driver, address):
    """Opened anew, with nothing kept, at a desktop's width; what went wrong in it fails the test."""
    driver.set_window_size(1280, 900)
    open_page(driver, address, forget=True)
    driver.get_log("browser")
    yield driver
    assert driver.get_log("browser") == []
    assert driver.execute_script("return window.hacked") is None


def open_page(driver, address, *, forget=False):
    driver.get(address)
    if forget:
        driver.execute_script("localStorage.clear()")
        driver.get(address)


def press(driver, *keys):
    for key in keys:
        driver.switch_to.active_element.send_keys(key)


def find(driver, name):
    return driver.find_element(By.ID, name)


def listed(driver):
    """detection_ids, in order; a row of the list is a row of the table."""
    rows = driver.execute_script("return [...document.querySelectorAll('#list li')].map(item => item.dataset.row)")
    return [int(row) + 1 for row in rows]


def judged(driver):
    return dict(driver.execute_script("return [...verdicts.entries].map(([id, entry]) => [id, entry.verdict])"))


def export(driver, voter="Anna"):
    """The path of what the page has the browser save."""
    before = set(driver.downloads.glob("*.csv"))
    if voter is not None:
        find(driver, "voter").clear()
        find(driver, "voter").send_keys(voter)
    find(driver, "export").click()
    for _ in range(100):
        new = set(driver.downloads.glob("*.csv")) - before
        if new:
            return new.pop()
        time.sleep(0.05)
    raise AssertionError("nothing was saved")


def test_keys_give_verdicts_and_move_on(page):
    assert find(page, "name").text == HOSTILE[0]
    press(page, "y", "n", "u", "j", "1")
    assert judged(page) == {1: "cluster", 2: "not", 3: "unsure", 5: "cluster"}
    assert find(page, "counts").text == "4 of 24 judged: 2 cluster, 1 not, 1 unsure"
    press(page, "k", "k", Keys.ARROW_UP)
    assert find(page, "name").get_attribute("textContent") == HOSTILE[2]
    pressed = page.find_elements(By.CSS_SELECTOR, ".words [aria-pressed=true]")
    assert [button.get_attribute("data-verdict") for button in pressed] == ["unsure"]
    press(page, "x")
    assert find(page, "name").text == HOSTILE[3]
    press(page, Keys.END)
    assert find(page, "name").text == "CJX J0023"
    press(page, Keys.HOME, "y")  # again: taken back
    assert find(page, "counts").text == "3 of 24 judged: 1 cluster, 1 not, 1 unsure"


def test_buttons_do_the_same(page):
    page.find_element(By.CSS_SELECTOR, "[data-verdict=not]").click()
    find(page, "next").click()
    page.find_element(By.CSS_SELECTOR, "[data-verdict=cluster]").click()
    find(page, "previous").click()
    page.find_elements(By.CSS_SELECTOR, "#list li")[6].click()
    find(page, "advance").click()
    page.find_element(By.CSS_SELECTOR, "[data-verdict=unsure]").click()
    assert sorted(judged(page).values()) == ["cluster", "not", "unsure"]
    assert find(page, "name").get_attribute("textContent") == HOSTILE[6]


def test_undo_goes_back_step_by_step(page):
    assert not find(page, "undo").is_enabled()
    press(page, "y", "y", "n", "c", "odd = 1", Keys.ESCAPE)
    assert len(judged(page)) == 4
    press(page, "z")
    assert find(page, "comment").get_attribute("value") == ""
    assert find(page, "name").text == HOSTILE[3]
    press(page, "z")
    assert sorted(judged(page).values()) == ["cluster", "cluster"]
    find(page, "undo").click()
    page.find_element(By.TAG_NAME, "body").send_keys(Keys.CONTROL, "z")
    assert judged(page) == {}
    press(page, "z")
    assert find(page, "message").text == "There is nothing to undo."


def test_verdicts_stay_in_the_browser_by_the_tables_hash(page, address, tmp_path):
    press(page, "y", "c", "a bright one", Keys.ESCAPE, "n")
    find(page, "voter").send_keys("Anna")
    press(page, Keys.TAB)
    open_page(page, address)
    assert find(page, "counts").text == "2 of 24 judged: 1 cluster, 1 not, 0 unsure"
    assert find(page, "voter").get_attribute("value") == "Anna"
    page.find_elements(By.CSS_SELECTOR, "#list li")[1].click()
    assert find(page, "comment").get_attribute("value") == "a bright one"
    key = "clusterjax-vetting:" + table_hash(TABLE["detection_id"], TABLE["ra_deg"], TABLE["dec_deg"])
    assert key in page.execute_script("return Object.keys(localStorage)")
    write_vetting_page(tmp_path / "other.html", made_up_page(23))
    open_page(page, (tmp_path / "other.html").as_uri())
    assert find(page, "counts").text.startswith("0 of 23")


@pytest.mark.parametrize("stored", ["no json", "{}", '[[1,{"verdict":"<b>","comment":"","time":""}]]', "[[1]]", "7"])
def test_what_was_kept_may_be_spoilt(page, address, stored):
    key = "clusterjax-vetting:" + table_hash(TABLE["detection_id"], TABLE["ra_deg"], TABLE["dec_deg"])
    page.execute_script("localStorage.setItem(arguments[0], arguments[1])", key, stored)
    open_page(page, address)
    press(page, "y")
    assert find(page, "counts").text == "1 of 24 judged: 1 cluster, 0 not, 0 unsure"


def test_export_is_what_the_job_reads(page):
    """Every candidate judged; names and comments that a spreadsheet would take for formulas are none there."""
    words = list(itertools.islice(itertools.cycle(["y", "n", "u"]), len(TABLE)))
    press(page, *words)
    press(page, Keys.HOME, "c")
    find(page, "comment").send_keys('=1+1, "so"')
    press(page, Keys.ESCAPE, "z", "c")
    find(page, "comment").send_keys("=SUM(A1); \N{HEBREW LETTER ALEF}, 'x'\n@second")
    path = export(page, "@Zoë =1")
    assert path.name.startswith("verdicts_Zoe_1_")
    with path.open(newline="", encoding="utf-8") as stream:
        for field in itertools.chain.from_iterable(csv.reader(stream)):
            assert not field.startswith(("=", "+", "@", "\t", "\r"))
            assert not field.startswith("-") or float(field) < 0
    digest = table_hash(TABLE["detection_id"], TABLE["ra_deg"], TABLE["dec_deg"])
    read = read_verdicts(path, table=digest, candidates=TABLE["detection_id"].tolist())
    assert read.voter == "@Zoë =1"
    meaning = {"y": "cluster", "n": "not", "u": "unsure"}
    assert read.verdicts == {i + 1: meaning[word] for i, word in enumerate(words)}
    assert read.comments == {1: "=SUM(A1); \N{HEBREW LETTER ALEF}, 'x'\n@second"}
    with path.open(newline="", encoding="utf-8") as stream:
        records = list(csv.DictReader(stream))
    np.testing.assert_allclose([float(r["dec_deg"]) for r in records], TABLE["dec_deg"], atol=1e-7)


def test_import_brings_them_back(page, address):
    press(page, "y", "n", "c", "-5 sigma", Keys.ESCAPE, "u")
    path = export(page)
    before = page.execute_script("return JSON.stringify([...verdicts.entries])")
    open_page(page, address, forget=True)
    assert judged(page) == {}
    find(page, "import").send_keys(str(path))
    wait_for(page, "3 verdicts imported.")
    assert page.execute_script("return JSON.stringify([...verdicts.entries])") == before
    assert find(page, "voter").get_attribute("value") == "Anna"
    press(page, "z")  # one step
    assert judged(page) == {}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("sha256:", "sha256:f", "Row 2 is of another table of candidates."),
        (",1,", ",99,", "Row 2: there is no candidate 99."),
        ('"cluster"', '"maybe"', "Row 2: “maybe” is none of cluster, not, unsure."),
        ('"Anna"', '"<b>Ben"', "Row 2 is by <b>Ben, not Anna: clusterjax vet joins several people's."),
        ("verdict", "word", "This is no file of verdicts: it has no column verdict."),
    ],
)
def test_import_says_what_is_wrong(page, tmp_path, old, new, message):
    press(page, "y")
    text = export(page).read_text("utf-8").replace(old, new)
    (tmp_path / "wrong.csv").write_text(text, "utf-8")
    find(page, "import").send_keys(str(tmp_path / "wrong.csv"))
    wait_for(page, message)
    assert list(judged(page).values()) == ["cluster"]


def test_export_needs_a_name(page):
    press(page, "y")
    find(page, "export").click()
    assert "your name" in find(page, "message").text
    assert page.switch_to.active_element.get_attribute("id") == "voter"


def wait_for(driver, text, name="message"):
    for _ in range(200):
        if find(driver, name).text == text:
            return
        time.sleep(0.03)
    assert find(driver, name).text == text


def choose(driver, name, value):
    Select(find(driver, name)).select_by_value(value)


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


def test_help(page):
    press(page, "?")
    dialog = find(page, "help")
    assert dialog.is_displayed()
    assert page.execute_script("return arguments[0].contains(document.activeElement)", dialog)
    press(page, "y")  # not behind its back
    assert judged(page) == {}
    press(page, Keys.ESCAPE)
    assert not dialog.is_displayed()
    keys = page.execute_script("return Object.keys(KEYS)")
    shown = page.execute_script("return [...document.querySelectorAll('#help dt kbd')].map(key => key.textContent)")
    arrows = {"↓": "ArrowDown", "→": "ArrowRight", "↑": "ArrowUp", "←": "ArrowLeft"}
    assert {arrows.get(key, key) for key in shown} == set(keys)


def test_typing_is_no_verdict(page):
    press(page, "c")
    find(page, "comment").send_keys("any nuisance, zoom x2?")
    find(page, "voter").send_keys("yuri n")
    assert set(judged(page).values()) <= {""}


def test_everything_that_takes_the_focus_has_a_name(page):
    press(page, "/")
    find(page, "add-range").click()
    nodes = page.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    focusable = [
        node for node in nodes
        if any(p["name"] == "focusable" and p["value"].get("value") for p in node.get("properties", []))
        and not node.get("ignored") and node["role"]["value"] != "RootWebArea"
    ]  # fmt: skip
    assert len(focusable) > 30
    assert [node["role"]["value"] for node in focusable if not node.get("name", {}).get("value", "").strip()] == []
    chosen = page.execute_script("return document.querySelectorAll('#list [aria-selected=true]').length")
    assert chosen == 1
    active = find(page, "list").get_attribute("aria-activedescendant")
    assert page.find_element(By.ID, active).get_attribute("aria-selected") == "true"


def luminance(colour):
    """Relative luminance (WCAG 2.2) of 'rgb(r, g, b)'."""
    rgb = np.array(json.loads("[" + colour[colour.index("(") + 1 : -1] + "]")[:3]) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_contrast_and_width(page, theme, width):
    """Text stands out by 4.5 (WCAG AA) in both themes; nothing is wider than a phone; a thumb finds the buttons."""
    emulate(page, width, theme)
    press(page, "y", "n", "u", "k")
    colours = page.execute_script(
        """const solid = element => { const colour = getComputedStyle(element).backgroundColor;
             return colour !== "rgba(0, 0, 0, 0)" || !element.parentElement ? colour : solid(element.parentElement); };
           return [...document.querySelectorAll("body *")].filter(element => element.offsetParent
             && [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim()))
             .map(element => [getComputedStyle(element).color, solid(element), element.textContent.slice(0, 30)])"""
    )
    assert len(colours) > 50
    for text, behind, what in colours:
        bright, faint = sorted([luminance(text), luminance(behind)], reverse=True)
        assert (bright + 0.05) / (faint + 0.05) >= 4.5, (what, text, behind)
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    for button in page.find_elements(By.CSS_SELECTOR, ".words button"):
        box = page.execute_script("return arguments[0].getBoundingClientRect().toJSON()", button)
        assert box["height"] >= 44
        assert box["width"] >= 44
        if width < 500:
            assert 844 - 80 < box["top"] < box["bottom"] <= 844
            assert box["right"] <= width
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def emulate(driver, width, theme):
    metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    feature = {"name": "prefers-color-scheme", "value": theme}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


def test_theme_can_be_changed(page):
    emulate(page, 1280, "light")
    background = "return getComputedStyle(document.body).backgroundColor"
    before = page.execute_script(background)
    find(page, "theme").click()
    assert luminance(page.execute_script(background)) < 0.1 < luminance(before)
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_on_paper(page):
    """All that are listed, with pictures and verdicts; the controls are not printed."""
    press(page, "y", "/")
    choose(page, "status", "known")
    page.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    sections = page.find_elements(By.CSS_SELECTOR, "#paper section")
    assert len(sections) == len(listed(page)) == 8
    assert sections[0].is_displayed()
    assert sections[0].find_element(By.TAG_NAME, "h2").text.endswith("– cluster")
    assert len(sections[1].find_elements(By.TAG_NAME, "img")) == 3
    assert not find(page, "export").is_displayed()
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    page.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert not page.find_elements(By.CSS_SELECTOR, "#paper section")


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
