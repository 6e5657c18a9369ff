"""Verdicts by keys and clicks in a real browser: given, undone, kept, exported and imported."""

import csv
import itertools

import numpy as np
import pytest
from browsing import TABLE, export, find, judged, open_page, press, wait_for
from made_up_vetting import HOSTILE, made_up_page
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from clusterjax.data.votes.verdicts import read_verdicts, table_hash
from clusterjax.report.vetting import write_vetting_page


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


def test_typing_is_no_verdict(page):
    press(page, "c")
    find(page, "comment").send_keys("any nuisance, zoom x2?")
    find(page, "voter").send_keys("yuri n")
    assert set(judged(page).values()) <= {""}
