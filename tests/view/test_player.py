"""The page of `explore`: its data, its size, and in a browser everything it does."""

import json
import re
import string
import subprocess
import sys
import unicodedata
from dataclasses import dataclass

import numpy as np
import pytest

import npoptim as npo
from npoptim import surfaces
from npoptim.explore import explore
from npoptim.optimizers.base import Optimizer
from npoptim.optimizers.box import DRIVER_LINES, boxes
from npoptim.trace.lines import is_start
from npoptim.view import formulas, pages, style

NAMES = list(npo.optimizers())
BOTH = ["rosenbrock", "factorisation"]
HOSTILE = "</script><script>document.title = 'taken'</script><img src=x onerror=alert(1)>"


@dataclass(repr=False)
class Hostile(Optimizer):
    """A rule with a repr that would like to be a page."""

    lr: float = 0.1

    def update(self, p, g, t):
        return p - self.lr * g, {}

    def __repr__(self):
        return HOSTILE


class Trap(surfaces.Surface):
    """A surface with a name that would like to be a page."""

    name = formula = HOSTILE
    minima = surfaces.constant([[0, 0]])
    start = surfaces.constant([2, 1])
    bounds = (-3, 3), (-2, 2)

    def height(self, x, y):
        return x**2 + 3 * y**2

    def slope(self, x, y):
        return 2 * x, 6 * y


def data_of(found):
    return json.loads(re.search(r'id="data">(.*?)</script>', found.html, re.DOTALL)[1])


LETTERS = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"


def unpacked(text):
    digits = np.array([LETTERS.index(letter) for letter in text], dtype=np.uint32).reshape(-1, 5)
    bits = digits @ np.array([64**k for k in (4, 3, 2, 1, 0)], dtype=np.uint32) << np.uint32(2)
    return bits.astype(np.uint32).view(np.float32).astype(float)


# ---------------------------------------------------------------- numbers and formulas


def test_packed_numbers_have_six_digits():
    x = np.concatenate([np.geomspace(1e-37, 1e37, 999), -np.geomspace(1e-37, 1e37, 999), [0.0]])
    np.testing.assert_allclose(unpacked(pages.packed([x])), x, rtol=3.5e-7)


def test_what_float32_cannot_say_is_the_nearest_it_can():
    x = np.array([1e-300, -1e-300, 1e300, -1e300, np.inf, -np.inf, np.nan, 0.0])
    tiny, huge = 1.18e-38, 3.4e38
    expected = [tiny, -tiny, huge, -huge, np.inf, -np.inf, np.nan, 0.0]
    np.testing.assert_allclose(unpacked(pages.packed([x])), expected, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_a_line_with_its_letters_back_in_the_holes_is_the_line(name):
    for text in (t for box in boxes(npo.optimizers()[name]) for t in box.values()):
        parts = formulas.holes(text)
        if text in DRIVER_LINES or is_start(text) or text.startswith("given"):
            assert parts == []
            continue
        line = "".join(part if isinstance(part, str) else part[1] for part in parts)
        right = unicodedata.normalize("NFC", text.partition("← ")[2])
        line = unicodedata.normalize("NFC", line)
        assert line.replace(" · ", " ") == right
        assert not re.search(r"[\w)‖]\] \[|\) \[", str(parts))  # factors have a dot between them


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("m ← β₁ m + (1 − β₁) g", "β₁ · m + (1 − β₁) · g"),
        ("γ ← η ‖θ‖ / (‖g‖ + λ ‖θ‖)", "η · ‖θ‖ / (‖g‖ + λ · ‖θ‖)"),
        ("θ ← θ − lr ‖θ‖ / ‖u‖ u", "θ − lr · ‖θ‖ / ‖u‖ · u"),
        ("β̂₂ ← 1 − t^−decay", "1 − t^−decay"),
        ("v ← μ v + ∇f(θ)", "μ · v + ∇f(θ)"),
    ],
)
def test_products_get_dots(text, shown):
    parts = formulas.holes(text)
    assert "".join(part if isinstance(part, str) else part[1] for part in parts) == shown


def test_a_line_that_is_not_in_the_notation_has_no_holes():
    assert formulas.holes("θ ← prox(θ − lr g)") == []
    assert formulas.letters(["θ ← prox(θ)"]) == {}


@pytest.mark.parametrize("text", ["v ← R C / Σⱼ C", "v ← R C", "v ← R / Σᵢ R", "v ← prox(R)"])
def test_what_is_no_product_of_rows_and_columns(text):
    assert formulas.outer_product(text) is None


# ---------------------------------------------------------------- the page


@pytest.mark.slow
@pytest.mark.parametrize("surface", ["styblinski_tang", "factorisation"])
@pytest.mark.parametrize("name", NAMES)
def test_the_page_holds_what_was_recorded(surface, name):
    """Decoded as the page decodes it: path, loss, arrows, then every value that changes."""
    found = explore(surface, npo.get_optimizer(name, lr=1e-3), steps=4)
    watched, surface = found.watched[0], found.surface
    [rule] = data_of(found)["rules"]
    bottom = surface.f(surface.minima[0])
    for k, (run, stored) in enumerate(zip(watched.runs, rule["runs"], strict=True)):
        numbers = iter(unpacked(stored["numbers"]).tolist())

        def same(x, numbers=numbers):
            took = [next(numbers) for _ in range(x.size)]
            np.testing.assert_allclose(took, x.ravel(), rtol=3.5e-7)

        for part in (surface.project(run.x), run.f - bottom, run.gradient, run.momentum):
            same(part)
        shown = 0
        for line in rule["lines"]:
            rows = [
                r for r in watched.rows if (r.number, r.pseudocode) == (line["number"], line["box"])
            ]
            recorded = {key: x[k] for row in rows for key, x in row.values.items()}
            assert {value["name"] for value in line["values"]} == set(recorded)
            for value in line["values"]:
                x = recorded[value["name"]]
                assert value["shape"] == list(x.shape[1:])
                if "counts" in value:
                    np.testing.assert_array_equal(x, [1, 2, 3, 4])
                elif "same" in value:
                    assert (x[0].ravel() == value["same"]).all()
                    assert line["once"] or (x == x[0]).all()
                else:
                    same(x)
                shown += 1
        assert shown == len({(r.number, key) for r in watched.rows for key in r.values})
        assert list(numbers) == []


def test_it_loads_nothing():
    html = explore("booth", [npo.Adam(), npo.SGD()], steps=3).html
    without = html.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|//\w+\.|@import|url\((?!#)|src=|<link|fetch\(|import\(", without)


def test_what_is_hostile_is_text():
    found = explore(Trap(), [Hostile(), npo.SGD()], steps=2)
    assert found.html.count("<script") == found.html.count("</script>") == 2
    assert "<img" not in found.html
    frame = found._repr_html_()
    assert frame.count("<script") == 1
    assert "<img" not in frame


@pytest.mark.parametrize("name", NAMES)
def test_colours_are_the_pictures_own(name):
    html = explore("booth", npo.get_optimizer(name), start=[[0.0, 0.0]], steps=1).html
    look = style.of(name)
    assert f"--rule0:{look.light}" in html
    assert f"--rule0:{look.dark}" in html
    assert f"--paper:{style.DARK.paper}" in html


def test_two_of_one_class_have_two_colours():
    html = explore("booth", [npo.Adam(lr=0.1), npo.Adam(lr=0.2)], [[0.0, 0.0]], steps=1).html
    [colours] = set(re.findall(r"--rule0:(#\w+);--rule1:(#\w+);", html)) - {
        (style.nth(0).dark, style.nth(1).dark)
    }
    assert colours == (style.nth(0).light, style.nth(1).light)


def test_factored_moments_have_heat_maps():
    def maps(rule, surface):
        [found] = data_of(explore(surface, rule, steps=2))["rules"]
        return [(m["product"], m["rows"], m["columns"]) for m in found["maps"]]

    adafactor, came = npo.Adafactor(), npo.CAME()
    assert maps(adafactor, "factorisation") == [(["v", "v", [2, 3]], ["R", "R"], ["C", "C"])]
    assert maps(came, "factorisation") == [
        (["v", "v", [2, 3]], ["r", "r"], ["c", "c"]),
        (["S", "S", [2, 3]], ["R", "R"], ["C", "C"]),
    ]
    assert maps(adafactor, "booth") == maps(npo.Adam(), "factorisation") == []


def test_matplotlib_is_not_needed():
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import npoptim as npo; from npoptim.explore import explore\n"
        "print(len(explore('booth', npo.Adam(), steps=2).html))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
    )
    assert int(done.stdout or 0) > 10_000, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "surface"),
    [  # the longest boxes, the most numbers, the most contours, and the one that everybody takes
        ("lamb", "rastrigin"),
        ("lamb", "factorisation"),
        ("adafactor", "factorisation"),
        ("came", "factorisation"),
        ("adamw", "rosenbrock"),
    ],
)
def test_500_steps_of_a_rule_take_no_more_than_400_kb(name, surface):
    found = explore(surface, npo.get_optimizer(name, lr=1e-3), steps=500)
    assert 200_000 < len(found.html.encode()) <= 400_000
    assert len(found.starts) > 1


# ---------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def adamw(tmp_path_factory):
    found = explore("rosenbrock", npo.AdamW(lr=0.05), steps=120)
    return found, found.save(tmp_path_factory.mktemp("page") / "adamw.html")


@pytest.fixture
def page(browser, tmp_path):
    def open_page(found, **how):
        browser.open(found.save(tmp_path / "page.html"), **how)
        return browser

    return open_page


def step(browser):
    return int(browser.js("document.getElementById('step').value"))


def values(browser, line):
    """The numbers in a line of the first box, as they are written."""
    rows = browser.all(".box:not([hidden]) .line")
    row = next(r for r in rows if r.text.split()[0] == str(line))
    return row.find_element("css selector", ".values").text.replace("\n", " ")


def written(x):
    short = [
        f"{v:.4g}".replace("-", "−").replace("e−0", "e−").replace("e+0", "e") for v in np.ravel(x)
    ]
    return f"[{' '.join(short)}]"


LEFT, RIGHT, HOME, END, SPACE = "\ue012", "\ue014", "\ue011", "\ue010", " "


@pytest.mark.slow
def test_it_is_there_within_a_second_without_a_network(browser, adamw):
    browser.open(adamw[1])
    ready = "performance.getEntriesByType('navigation')[0].loadEventEnd"
    assert 0 < browser.js(ready) < 1000
    assert browser.js("performance.getEntriesByType('resource').length") == 0
    assert browser.errors == []


@pytest.mark.slow
def test_keys_step(browser, adamw):
    browser.open(adamw[1])
    assert step(browser) == 1
    for keys, there in [(RIGHT, 2), (RIGHT, 3), (LEFT, 2), (HOME, 0), (LEFT, 0), (END, 120)]:
        browser.press(keys)
        assert step(browser) == there
    browser.press(RIGHT)
    assert step(browser) == 120
    browser.press("\ue008" + LEFT)  # with shift
    assert step(browser) == 110
    assert browser.text("#where") == "step 110 of 120"


@pytest.mark.slow
def test_buttons_step(browser, adamw):
    browser.open(adamw[1])
    for button, there in [("forward", 2), ("last", 120), ("back", 119), ("first", 0)]:
        browser.one(f"#{button}").click()
        assert step(browser) == there


@pytest.mark.slow
def test_it_plays_and_pauses(browser, adamw):
    browser.open(adamw[1])
    browser.press(SPACE)
    assert browser.one("#play").get_attribute("aria-label") == "pause"
    browser.driver.implicitly_wait(0)
    browser.driver.set_script_timeout(10)
    moved = (
        "new Promise(done => setTimeout(() => done(document.getElementById('step').value), 600))"
    )
    assert int(browser.js(moved)) > 5
    browser.press(SPACE)
    now = step(browser)
    assert int(browser.js(moved)) == now
    assert browser.one("#play").get_attribute("aria-label") == "play"
    browser.one("#play").click()
    assert int(browser.js(moved)) > now
    assert browser.errors == []


@pytest.mark.slow
def test_playing_ends_at_the_end_and_begins_anew(browser, adamw):
    browser.open(adamw[1])
    browser.js("(document.getElementById('speed').value = 100)")
    browser.js("(document.getElementById('step').value = 110)")
    browser.js("document.getElementById('step').dispatchEvent(new Event('input'))")
    browser.one("#play").click()
    later = (
        "new Promise(done => setTimeout(() => done(document.getElementById('step').value), 700))"
    )
    assert int(browser.js(later)) == 120
    assert browser.one("#play").get_attribute("aria-label") == "play"
    browser.one("#play").click()
    assert 0 < int(browser.js(later)) < 120


@pytest.mark.slow
def test_the_slider_scrubs(browser, adamw):
    browser.open(adamw[1])
    slider = browser.one("#step")
    slider.click()  # in its middle
    assert step(browser) == pytest.approx(60, abs=3)
    browser.mouse.click_and_hold(slider).move_by_offset(120, 0).release().perform()
    assert 75 < step(browser) < 95
    assert f"step {step(browser)} of 120, f = " in slider.get_attribute("aria-valuetext")


@pytest.mark.slow
def test_the_curve_scrubs(browser, adamw):
    browser.open(adamw[1])
    curve = browser.one("#curve svg")
    browser.mouse.move_to_element(curve).click().perform()
    assert step(browser) == pytest.approx(56, abs=4)
    browser.mouse.click_and_hold(curve).move_by_offset(100, 0).release().perform()
    assert 70 < step(browser) < 95


@pytest.mark.slow
@pytest.mark.parametrize("t", [1, 2, 120])
def test_the_box_has_the_numbers_of_the_step(browser, adamw, t):
    found, file = adamw
    browser.open(file)
    browser.press(HOME, *[RIGHT] * t) if t < 100 else browser.press(END)
    rows = {row.number: row for row in found.watched[0].rows}
    letters = {5: ("m", "m"), 6: ("v", "v"), 7: ("m_hat", "m̂"), 8: ("v_hat", "v̂"), 9: ("p", "θ")}
    for number, (name, letter) in letters.items():
        value = rows[number].values[name][0][t - 1]
        expected = unicodedata.normalize("NFC", f"{letter} = {written(value)}")
        assert values(browser, number) == expected
    m, g = (rows[k].values[name][0] for k, name in ((5, "m"), (4, "g")))
    before = m[t - 2] if t > 1 else np.zeros(2)
    put = browser.all(".line .put")[4].text
    assert put == f"= 0.9 · {written(before)} + (1 − 0.9) · {written(g[t - 1])}"
    theta = found.watched[0].runs[0].x[t - 1]
    assert browser.all(".line .put")[8].text.startswith(f"= {written(theta)} − 0.05 · ")


@pytest.mark.slow
def test_before_the_first_step_there_is_only_what_is_given(browser, adamw):
    browser.open(adamw[1])
    browser.press(HOME)
    assert values(browser, 2) == "m = [0 0] v = [0 0]"
    assert values(browser, 9) == "θ = –"
    assert "lr = 0.05" in values(browser, 1)
    assert not any(a.is_displayed() for a in browser.all("#picture .arrow"))


@pytest.mark.slow
def test_a_click_on_the_picture_chooses_the_nearest_start(browser, adamw):
    found, file = adamw
    browser.open(file)
    for k in (2, 0, 3):
        ring = browser.all("#picture .start")[k]
        browser.mouse.move_to_element_with_offset(ring, 4, 3).click().perform()
        assert browser.one("#start").get_attribute("value") == str(k)
        browser.press(END)
        last = found.watched[0].runs[k].x[-1]
        assert values(browser, 9) == f"θ = {written(last)}"
    choices = browser.all("#start option")
    choices[1].click()
    browser.press(END)
    assert values(browser, 9) == f"θ = {written(found.watched[0].runs[1].x[-1])}"


@pytest.mark.slow
def test_arrows_point_along_the_gradient_the_momentum_and_the_step(browser, adamw):
    found, file = adamw
    browser.open(file)
    browser.press(*[RIGHT] * 29)
    run, surface = found.watched[0].runs[0], found.surface
    (x0, x1), (y0, y1) = surface.bounds
    frame = browser.js("document.querySelector('#inside rect').getBBox()")
    scale = np.array([frame["width"] / (x1 - x0), -frame["height"] / (y1 - y0)])
    vectors = {
        "gradient": -run.gradient[29],
        "momentum": run.momentum[29],
        "step": run.x[30] - run.x[29],
    }
    for kind, vector in vectors.items():
        path = browser.one(f"#picture .arrow.{kind} path:not(.halo)").get_attribute("d")
        a, b = np.array(re.findall(r"-?[\d.]+", path), dtype=float).reshape(2, 2)
        along = vector * scale / np.hypot(*(vector * scale))
        np.testing.assert_allclose((b - a) / np.hypot(*(b - a)), along, atol=0.02)
        assert browser.text(f"#size-{kind}") == written(np.hypot(*vector))[1:-1]


@pytest.mark.slow
def test_arrows_can_be_taken_away(browser, adamw):
    browser.open(adamw[1])
    for kind, button in zip(
        ["gradient", "momentum", "step"], browser.all("#arrows button"), strict=True
    ):
        arrow = browser.one(f"#picture .arrow.{kind}")
        assert arrow.is_displayed()
        button.click()
        assert button.get_attribute("aria-pressed") == "false"
        assert not arrow.is_displayed()
        button.click()
        assert arrow.is_displayed()


@pytest.mark.slow
def test_code_and_numbers_can_be_shown_and_hidden(browser, adamw):
    browser.open(adamw[1])
    numbers, code = browser.all(".views button")
    assert browser.all(".put")[4].is_displayed()
    assert not browser.all(".code")[4].is_displayed()
    numbers.click()
    code.click()
    assert not browser.all(".put")[4].is_displayed()
    assert browser.all(".line .code")[4].text == "m = beta1 * m + (1 - beta1) * g"


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_it_fits_in_either_theme(browser, adamw, width, dark):
    browser.open(adamw[1], width=width, height=844, dark=dark)
    assert browser.js("document.documentElement.scrollWidth") <= width
    paper = browser.js("getComputedStyle(document.documentElement).backgroundColor")
    assert paper == ("rgb(20, 23, 28)" if dark else "rgb(255, 255, 255)")
    browser.one("#theme").click()
    other = browser.js("getComputedStyle(document.documentElement).backgroundColor")
    assert other == ("rgb(255, 255, 255)" if dark else "rgb(20, 23, 28)")
    assert browser.errors == []


@pytest.mark.slow
def test_everything_can_be_reached_and_has_a_name(browser, adamw):
    browser.open(adamw[1])
    for node in browser.all("button, input, select, [role=img]"):
        assert node.accessible_name, node.get_attribute("outerHTML")
    reached = []
    for _ in range(25):
        browser.driver.switch_to.active_element.send_keys("\ue004")  # Tab
        reached.append(
            browser.js("document.activeElement.id || document.activeElement.textContent")
        )
    wanted = ["step", "first", "back", "play", "forward", "last", "start", "speed", "theme"]
    assert set(wanted) <= set(reached)
    inside = [name for name in reached if name in wanted[:-1]]
    assert inside[: len(wanted) - 1] == wanted[:-1]
    said = "new Promise(done => setTimeout(() => done(document.getElementById('said').textContent), 500))"
    browser.press(HOME, on="#step")
    assert browser.js(said).startswith("Step 0 of 120. f = 24.2")


@pytest.mark.slow
def test_with_reduced_motion_it_plays_slowly(browser, adamw):
    browser.open(adamw[1], still=True)
    assert browser.one("#speed").get_attribute("value") == "2"


@pytest.mark.slow
def test_two_optimizers_stand_side_by_side(page):
    found = explore("himmelblau", [npo.Momentum(lr=0.01), npo.Adam(lr=0.3)], steps=20)
    browser = page(found)
    browser.press(END)
    one, two = browser.all(".box")
    assert one.is_displayed()
    assert two.is_displayed()
    assert one.location["y"] == two.location["y"]
    for box, watched in zip((one, two), found.watched, strict=True):
        last = box.find_elements("css selector", ".line .values")[-1].text
        assert last == f"θ = {written(watched.runs[0].x[-1])}"
    assert "Momentum: f = " in browser.text("#loss")


@pytest.mark.slow
def test_of_many_optimizers_one_is_in_the_box(page):
    found = explore("booth", [npo.get_optimizer(n, lr=0.01) for n in NAMES], steps=5)
    browser = page(found)
    chips = browser.all("#chips button")
    assert [chip.text for chip in chips] == [w.label for w in found.watched]
    chips[4].click()
    [box] = [b for b in browser.all(".box") if b.is_displayed()]
    assert box.accessible_name == found.watched[4].label
    assert [chip.get_attribute("aria-pressed") for chip in chips].count("true") == 1
    assert browser.errors == []


@pytest.mark.slow
def test_a_run_that_diverges_says_so_at_its_end(page):
    found = explore("rosenbrock", npo.SGD(lr=0.01), steps=50)
    browser = page(found)
    assert browser.text(".note") == ""
    browser.press(END)
    run = found.watched[0].runs[0]
    assert browser.text("#where") == f"step {run.steps} of {run.steps}"
    assert browser.text(".note") == run.note
    assert ">3e38" in values(browser, 4)
    assert browser.errors == []


@pytest.mark.slow
def test_runs_of_different_lengths_wait_for_the_longest(page):
    opts = [npo.SGD(lr=0.01), npo.Adam(lr=0.01)]
    browser = page(explore("rosenbrock", opts, steps=30))
    browser.press(END)
    assert browser.text("#where") == "step 30 of 30"
    assert browser.text(".note").startswith("Diverged at step")
    assert browser.errors == []


@pytest.mark.slow
def test_the_matrix_surface_has_its_heat_maps(page):
    found = explore("factorisation", npo.Adafactor(lr=0.05), steps=8)
    browser = page(found)
    browser.press(END)
    assert browser.text("figcaption") == "v is computed from R and C; only these are kept"
    rows = {name: x[0][-1] for row in found.watched[0].rows for name, x in row.values.items()}
    cells = [td.text for td in browser.all(".map td")]
    expected = [rows["C"], rows["R"][:1], rows["v"][0], rows["R"][1:], rows["v"][1]]
    assert cells == [written(x)[1:-1] for part in expected for x in part]
    assert browser.errors == []


@pytest.mark.slow
def test_hostile_names_do_nothing(page):
    browser = page(explore(Trap(), Hostile(), steps=3))
    browser.press(END)
    assert browser.driver.title == f"Hostile on {HOSTILE.capitalize()}"
    assert browser.text(".repr") == HOSTILE
    assert browser.errors == []


@pytest.mark.slow
def test_in_a_frame_it_asks_for_its_height_and_takes_the_notebook_s_theme(browser, tmp_path):
    found = explore("booth", npo.Adam(lr=0.1), steps=5)
    file = tmp_path / "notebook.html"
    head = '<!doctype html><meta charset="utf-8"><body data-jp-theme-light="false">'
    file.write_text(head + found._repr_html_() + found._repr_html_(), encoding="utf-8")
    browser.open(file)
    for frame in browser.all("iframe"):  # one that is out of sight waits
        browser.js("arguments[0].scrollIntoView()", frame)
        later = "new Promise(done => setTimeout(() => done(arguments[0].offsetHeight), 900))"
        height = browser.js(later, frame)
        assert 600 < height < 2000
        assert height != 900
    browser.driver.switch_to.frame(0)
    assert browser.js("document.documentElement.dataset.theme") == "dark"
    assert browser.js("document.documentElement.scrollHeight <= innerHeight + 1")
    browser.driver.switch_to.default_content()
    assert not browser.all("p")
    assert browser.errors == []


@pytest.mark.slow
@pytest.mark.parametrize(("end", "shown"), [("#lion", "Lion"), ("#none", "SGD"), ("", "SGD")])
def test_the_address_may_name_the_optimizer_in_the_box(browser, tmp_path, end, shown):
    rules = [npo.SGD(lr=0.05), npo.Adam(lr=0.1), npo.Lion(lr=0.1)]
    file = explore("booth", rules, steps=5).save(tmp_path / "page.html")
    browser.open(file)
    browser.driver.get("about:blank")
    browser.driver.get(file.as_uri() + end)
    assert browser.text("#chips [aria-pressed=true]") == shown
