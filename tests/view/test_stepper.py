"""A trace as HTML: a table that says everything, and the stepper that a script makes of it."""

import html as escapes
import re
from dataclasses import dataclass

import numpy as np
import pytest

import npoptim as npo
from npoptim.optimizers.base import Optimizer
from npoptim.trace.values import summary
from npoptim.view import stepper

NAMES = list(npo.optimizers())
HOSTILE = "<script>document.title = 'taken'</script>"


@dataclass(repr=False)
class Hostile(Optimizer):
    """A rule that would like to be a page.

    1  given lr
    3  g ← ∇f(θ)
    4  θ ← θ − lr g <script>document.title = 'taken'</script>
    """

    lr: float = 0.1

    def update(self, p, g, t):
        text = "<img src=x onerror=\"document.title = 'taken'\"></script>"  # line 1
        odd = {"<img src=x>": self.lr * len(text)}  # line 1
        p = p - odd["<img src=x>"] * g  # line 4
        return p, {}

    def __repr__(self):
        return f"Hostile({HOSTILE})"


def traced(name, shape=(2, 3), steps=2, **hyper):
    rng = np.random.default_rng(0)
    gradients = [rng.normal(size=shape) for _ in range(steps)]
    return npo.trace(npo.get_optimizer(name, **hyper), rng.normal(size=shape), gradients)


def texts(html):
    """What can be read where neither style nor script is."""
    bare = re.sub(r"<(style|script)>.*?</\1>", "", html, flags=re.DOTALL)
    return escapes.unescape(re.sub(r"<[^>]*>", "\n", bare))


@pytest.mark.parametrize("shape", [(3,), (2, 3), (40, 50)])
@pytest.mark.parametrize("name", NAMES)
def test_the_plain_table_says_everything(name, shape):
    trace = traced(name, shape)
    text = texts(stepper.html(trace))
    for line in trace:
        assert line.pseudocode in text
        assert line.code in text
        for key, value in line.values.items():
            assert f"{key} = {summary(value)}" in text
            if key in line.before:
                assert f"{key} = {summary(line.before[key])}" in text


@pytest.mark.parametrize("shape", [(3,), (2, 3), (300, 200)])
@pytest.mark.parametrize("name", NAMES)
def test_a_step_takes_no_more_than_20_kb(name, shape):
    assert len(stepper.html(traced(name, shape, steps=1)).encode()) <= 20_000
    assert len(stepper.html(traced(name, shape, steps=5)).encode()) <= 5 * 20_000


def test_it_loads_nothing():
    page = stepper.page(traced("came"))
    assert not re.search(r"https?:|//\w|@import|url\(|src=|<link", page)


def test_a_trace_shows_itself_as_this():
    trace = traced("sgd")
    ids = re.compile(r"npo-[0-9a-f]{8}")
    assert ids.sub("", trace._repr_html_()) == ids.sub("", stepper.html(trace))


def test_every_output_has_a_name_of_its_own():
    trace = traced("sgd")
    assert stepper.html(trace) != stepper.html(trace)


def test_code_that_carries_two_lines_stands_at_the_second():
    html = stepper.html(traced("adafactor", steps=1))
    assert html.count("u = over_root(g, R, C)") == 1
    nine, ten = (html.index(f">{number}</th>") for number in (9, 10))
    assert nine < ten < html.index("u = over_root(g, R, C)")


def test_a_line_that_failed_says_so():
    opt = npo.SGD(lr=1e300)
    with pytest.raises(npo.NonFiniteError) as caught:
        npo.trace(opt, np.array([1.0]), np.array([1e300]))
    assert "θ ← θ − lr g" in texts(stepper.html(caught.value.trace))

    @dataclass
    class Broken(Optimizer):
        lr: float = 0.1

        def update(self, p, g, t):
            return p - self.lr * g[9], {}

    with pytest.raises(IndexError) as broken:
        npo.trace(Broken(), np.ones(2), np.ones(2))
    assert "failed here" in texts(stepper.html(broken.value.trace))


def test_what_is_hostile_is_text():
    name = f"{HOSTILE}'\"&"
    trace = npo.trace(Hostile(), {name: np.ones(2)}, {name: np.ones(2)})
    html = stepper.html(trace)
    assert html.count("<script>") == html.count("</script>") == 1
    assert "<img" not in html
    assert name in texts(html)
    assert f"Hostile({HOSTILE})" in texts(html)
    assert stepper.page(trace).count("</title>") == 1


# ---------------------------------------------------------------- in a browser


@pytest.fixture
def opened(browser, tmp_path):
    def open_page(html, **how):
        file = tmp_path / "page.html"
        head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        file.write_text(f"<!doctype html>{head}<body>{html}", encoding="utf-8")
        browser.open(file, **how)
        return browser

    return open_page


def here(browser, which=0):
    """Number of the current line, and what the screen reader is told."""
    rows = browser.all(".npo-trace")[which].find_elements("css selector", ".npo-here")
    assert len(rows) == 1
    said = browser.all(".npo-said")[which].get_attribute("textContent")
    return rows[0].find_element("css selector", "th").text, said


@pytest.mark.slow
def test_buttons_keys_slider_and_rows_step(opened):
    browser = opened(stepper.html(traced("adamw", (2,))))
    assert here(browser)[0] == "1"
    first, back, forward, last, every = browser.all(".npo-bar button")
    for _ in range(5):
        forward.click()
    number, said = here(browser)
    assert number == "5"
    assert "line 5: m ← β₁ m + (1 − β₁) g" in said
    assert "Before: m = [0 0]." in said
    back.click()
    assert here(browser)[0] == "4"
    forward.send_keys("\ue014")  # arrow right
    forward.send_keys("\ue014")
    assert here(browser)[0] == "6"
    forward.send_keys("\ue012")
    assert here(browser)[0] == "5"
    forward.send_keys("\ue010")  # End
    number, said = here(browser)
    assert number == "9"
    assert said.startswith("step 2")
    forward.send_keys("\ue011")  # Home
    assert here(browser)[0] == "1"
    last.click()
    assert here(browser)[1].startswith("step 2")
    first.click()
    browser.all("tr.line")[6].click()
    assert here(browser)[0] == "6"
    slider = browser.one(".npo-bar input")
    slider.send_keys("\ue014")
    assert here(browser)[0] == "7"
    slider.click()  # in its middle, which is the second step's first lines
    assert here(browser)[1].startswith("step")
    assert slider.get_attribute("aria-valuetext").startswith("step ")
    every.click()
    assert every.get_attribute("aria-pressed") == "true"
    assert all(row.is_displayed() for row in browser.all("tr.line"))
    assert browser.errors == []


@pytest.mark.slow
def test_one_step_is_shown_and_what_lies_ahead_is_not(opened):
    browser = opened(stepper.html(traced("adam", (2,))))
    browser.all("tr.line")[4].click()
    one, two = browser.all("tbody")
    assert one.is_displayed()
    assert not two.is_displayed()
    done, ahead = browser.all("tr.line")[3], browser.all("tr.line")[7]
    assert done.find_elements("css selector", "td")[2].is_displayed()
    assert not ahead.find_elements("css selector", "td")[2].is_displayed()
    assert ahead.find_elements("css selector", "td")[0].is_displayed()


@pytest.mark.slow
def test_several_on_one_page_and_a_copy_of_one(opened):
    one = stepper.html(traced("sgd", (2,)))
    browser = opened(one + stepper.html(traced("lion", (2,))) + one)
    assert len(browser.all(".npo-bar")) == 3
    browser.all(".npo-bar")[1].find_elements("css selector", "button")[3].click()
    assert [here(browser, k)[0] for k in range(3)] == ["1", "6", "1"]


@pytest.mark.slow
def test_without_scripts_the_table_is_all_there(opened):
    trace = traced("lamb", (2,))
    browser = opened(stepper.html(trace), scripts=False)
    rows = browser.all("tr.line")
    assert len(rows) == len(trace)
    assert all(row.is_displayed() for row in rows)
    assert not browser.all(".npo-bar")


@pytest.mark.slow
def test_hostile_names_and_code_do_nothing(opened):
    name = f"{HOSTILE}'\"&"
    browser = opened(stepper.html(npo.trace(Hostile(), {name: np.ones(2)}, {name: np.ones(2)})))
    assert browser.driver.title == ""
    assert HOSTILE in browser.text("tbody th")
    assert browser.errors == []


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1000])
def test_it_fits_and_can_be_read(opened, width, dark):
    browser = opened(stepper.html(traced("came")), width=width, dark=dark)
    assert browser.js("document.documentElement.scrollWidth") <= width
    code = browser.one("tr.line code")
    assert contrast(browser, code, browser.one(".npo-trace")) > 4.5


def contrast(browser, text, paper):
    """WCAG's contrast of a text's colour on a background."""
    colours = browser.js(
        "[getComputedStyle(arguments[0]).color, getComputedStyle(arguments[1]).backgroundColor]",
        text,
        paper,
    )
    light = []
    for colour in colours:
        rgb = np.array([float(x) for x in re.findall(r"[\d.]+", colour)[:3]]) / 255
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        light.append(float(linear @ [0.2126, 0.7152, 0.0722]))
    return (max(light) + 0.05) / (min(light) + 0.05)
