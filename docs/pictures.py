"""The README's picture: a page of `npoptim explore`, as a browser shows it.

    pip install -e '.[dev]'
    python docs/pictures.py

needs Chromium; the PNG is committed, so that the README has it everywhere.
"""

import shutil
import tempfile
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

import npoptim as npo

FOLDER = Path(__file__).parent / "pictures"
STEP = 24


def main():
    options = webdriver.ChromeOptions()
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(flag)
    browser = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
    screen = {"width": 1280, "height": 792, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    with tempfile.TemporaryDirectory() as folder:
        page = npo.explore("rosenbrock", npo.Adam(lr=0.3), steps=200).save(f"{folder}/page.html")
        browser.get(Path(page).as_uri())
        browser.execute_script(
            "const slider = document.querySelector('input[type=range]');"
            "slider.value = arguments[0]; slider.dispatchEvent(new Event('input'));",
            STEP,
        )
        browser.implicitly_wait(1)
        FOLDER.mkdir(exist_ok=True)
        browser.save_screenshot(str(FOLDER / "explore.png"))
    browser.quit()


if __name__ == "__main__":
    main()
