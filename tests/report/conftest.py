"""A real browser with the vetting page in it; tests that need one are skipped where none is installed."""

import shutil

import pytest
from selenium import webdriver

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
           "--disable-background-networking", "--disable-component-update", "--no-first-run")  # fmt: skip


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def address(tmp_path_factory):
    from made_up_vetting import made_up_page  # not before the annotations are checked

    from clusterjax.report.vetting import write_vetting_page

    path = tmp_path_factory.mktemp("page") / "index.html"
    write_vetting_page(path, made_up_page())
    return path.as_uri()


@pytest.fixture
def page(driver, address):
    """Opened anew, with nothing kept, at a desktop's width; what went wrong in it fails the test."""
    from browsing import open_page

    driver.set_window_size(1280, 900)
    open_page(driver, address, forget=True)
    driver.get_log("browser")
    yield driver
    assert driver.get_log("browser") == []
    assert driver.execute_script("return window.hacked") is None
