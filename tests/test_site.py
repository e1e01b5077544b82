"""The site: built with warnings as errors; links, pictures, weights; looked at in a browser.

Generated pages, players and pictures are kept in docs/_generated and made again where the source changed.
"""

import importlib.util
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[1]
WEIGHT = 1_500_000  # bytes of a page with its own pictures
REQUESTED = {"stylesheet", "icon", "shortcut", "preload", "modulepreload", "prefetch", "preconnect"}

#: A page of every kind.
KINDS = [
    "index.html",
    "install.html",
    "stepping.html",
    "mistakes.html",
    "cluster.html",
    "_generated/optimizers/index.html",
    "_generated/optimizers/adam.html",
    "_generated/optimizers/came.html",
    "_generated/libraries.html",
    "_generated/gallery.html",
    "_generated/notation.html",
    "_generated/faults.html",
    "_generated/api.html",
    "_generated/api/runs.html",
    "derivations/transformer.html",
    "answers/03.html",
    "players/adam_rosenbrock.html",
]

#: What sticks out of the article to the right, unless a box of its own scrolls or cuts it.
STICKING_OUT = """
[...document.querySelectorAll(".bd-article *")].filter((node) => {
  if (node.getBoundingClientRect().right <= innerWidth + 1) return false;
  for (let box = node; !box.matches(".bd-article"); box = box.parentElement)
    if (getComputedStyle(box).overflowX !== "visible") return false;
  return true;
}).map((node) => node.outerHTML.slice(0, 200))
"""

pytestmark = pytest.mark.slow


def fixture_of(file, name):
    """A fixture of another folder's conftest."""
    spec = importlib.util.spec_from_file_location(f"_{name}", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


browser = fixture_of(ROOT / "tests" / "view" / "conftest.py", "browser")


class Page(HTMLParser):
    """What a page links to, shows and asks for."""

    def __init__(self, file):
        super().__init__()
        self.file, self.ids = file, set()
        self.links, self.shown, self.asked, self.images = [], [], [], []
        self.feed(file.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids |= {found[key] for key in ("id", "name") if found.get(key)}
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if tag in ("img", "source", "video", "audio", "script", "iframe", "embed"):
            if found.get("src"):
                (self.shown if tag == "img" else self.asked).append(found["src"])
            self.asked += [
                x.split()[0] for x in (found.get("srcset") or "").split(",") if x.strip()
            ]
        if tag == "img":
            self.images.append((found.get("src"), found.get("alt")))
        if tag == "link" and REQUESTED & set((found.get("rel") or "").split()):
            self.asked.append(found["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder with the built site."""
    pytest.importorskip("sphinx", reason="sphinx is not installed: pip install '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html",
         "-d", str(folder / "doctrees"), str(ROOT / "docs"), str(folder / "html")],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return folder / "html"


@pytest.fixture(scope="module")
def pages(site):
    """Every page of it, parsed."""
    files = (file for file in sorted(site.rglob("*.html")) if "_static" not in file.parts)
    found = {file: Page(file) for file in files}
    assert len(found) > 60
    return found


def local(page, address):
    """The file that an address of a page means; None for other sites."""
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return None
    return (page.file.parent / unquote(parts.path)).resolve() if parts.path else page.file


def test_every_link_and_picture_is_there(pages):
    missing = []
    for page in pages.values():
        for address in (*page.links, *page.shown, *page.asked):
            file = local(page, address)
            if file is None:
                continue
            fragment = unquote(urlsplit(address).fragment)
            target = pages.get(file)
            # a player reads its fragment itself: the optimizer to show first
            named = target is None or "players" in file.parts or fragment in target.ids | {""}
            if not file.is_file() or not named:
                missing.append(f"{page.file.name}: {address}")
    assert not missing


def test_every_picture_says_what_it_shows(pages):
    silent = [
        f"{page.file.name}: {src}"
        for page in pages.values()
        for src, alt in page.images
        if not (alt or "").strip()
    ]
    assert not silent


def test_no_page_asks_the_network_for_anything(site, pages):
    asked = [
        f"{page.file.name}: {address}"
        for page in pages.values()
        for address in (*page.shown, *page.asked)
        if urlsplit(address).scheme not in ("", "data") or urlsplit(address).netloc
    ]
    assert not asked
    for file in site.rglob("*.css"):
        found = re.findall(
            r"(?:url\(|@import)\s*['\"]?(?:https?:)?//[^)'\"]+", file.read_text("utf-8")
        )
        assert not found, file.name


def test_no_page_is_heavy(pages):
    """Its HTML and its own pictures; the theme and MathJax are loaded once for all."""
    for page in pages.values():
        files = {local(page, x) for x in page.shown} - {None}
        weight = page.file.stat().st_size + sum(file.stat().st_size for file in files)
        assert weight < WEIGHT, f"{page.file.name}: {weight:,} bytes"


def test_there_is_a_page_of_every_kind(site, pages):
    assert [kind for kind in KINDS if site / kind not in pages] == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("kind", KINDS)
def test_a_page_opens_without_errors_and_fits(site, browser, kind, width, dark):
    browser.open(site / kind, width=width, dark=dark)
    assert [error for error in browser.errors if "[PST]:" not in error] == []  # the theme's remarks
    assert browser.js("document.documentElement.scrollWidth") <= width
    assert browser.js("document.body.scrollWidth") <= width
    assert browser.js(STICKING_OUT.strip()) == []
    if "players" not in kind:
        assert browser.js("document.documentElement.dataset.theme") == ("dark" if dark else "light")


def test_an_optimizers_page_reads_without_scripts(site, browser):
    browser.open(site / "_generated/optimizers/adam.html", scripts=False)
    source = browser.driver.page_source
    assert "m_hat = m / (1 - beta1**t)" in source
    rows = browser.driver.find_elements("css selector", ".npo-trace tr.line")
    assert len(rows) > 15
    assert all(row.is_displayed() for row in rows)
    assert browser.driver.find_element("css selector", "p.player a").get_attribute("href")


def test_a_player_in_a_frame_takes_the_sites_theme(site, browser):
    browser.open(site / "_generated/optimizers/adam.html", dark=True)
    browser.js("document.querySelector('iframe.player').scrollIntoView()")
    browser.driver.switch_to.frame(browser.one("iframe.player"))
    try:
        theme = "document.documentElement.dataset.theme"
        browser.wait(lambda: browser.js(theme) == "dark")
    finally:
        browser.driver.switch_to.default_content()
    assert browser.js("document.querySelector('iframe.player').offsetHeight") <= 900
