"""The vetting page in a real browser for every reader: by keys, on a phone, in the dark, on paper."""

import json

import numpy as np
import pytest
from browsing import choose, find, judged, listed, press
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys


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
