"""What a reader of the vetting page does and sees, by Selenium."""

import time

from made_up_vetting import made_up_table
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

TABLE = made_up_table()


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


def wait_for(driver, text, name="message"):
    for _ in range(200):
        if find(driver, name).text == text:
            return
        time.sleep(0.03)
    assert find(driver, name).text == text


def choose(driver, name, value):
    Select(find(driver, name)).select_by_value(value)
