"""Basin and sensitivity maps: the runs behind them, what they call an end, and the pictures."""

import numpy as np
import pytest
from matplotlib.text import Text

import npoptim as npo
from npoptim import landscapes, surfaces
from npoptim.landscapes import DIVERGED, UNDER_WAY, basins, numbers, sensitivity
from npoptim.race import race
from npoptim.surfaces.local import local_minima
from npoptim.view import style

SYMMETRIC = [npo.SGD(lr=0.05), npo.Momentum(lr=0.02), npo.Adam(lr=0.1), npo.Lion(lr=0.02)]
ONE_OF_EACH = [npo.Momentum(lr=0.005), npo.AdamW(lr=0.3), npo.LAMB(lr=0.05), npo.CAME(lr=0.1)]


def words(figure):
    return " ".join(text.get_text() for text in figure.findobj(Text))


def painted(result, theme="light"):
    """The colours of the map."""
    image = result.plot(theme).axes[0].images[0].get_array()
    return np.unique(np.asarray(image).reshape(-1, 3), axis=0)


def by_name(rule):
    return type(rule).__name__


@pytest.mark.parametrize("rule", SYMMETRIC, ids=by_name)
@pytest.mark.parametrize("surface", ["quadratic", "rotated_quadratic", "booth"])
def test_a_convex_surface_has_one_end_and_one_colour(surface, rule):
    found = basins(surface, rule, columns=9, steps=1600)
    assert (found.outcome == 0).all()
    assert list(found.shares.values()) == [1.0]
    if surface == "booth":
        assert len(painted(found)) == 1


@pytest.mark.parametrize("rule", SYMMETRIC, ids=by_name)
def test_a_symmetric_rule_has_a_symmetric_map(rule):
    turned = basins("three_hump_camel", rule, columns=24, steps=200).outcome
    swapped = np.array([0, 2, 1, DIVERGED, UNDER_WAY])[turned[::-1, ::-1]]
    assert {1, 2} <= set(turned.ravel())
    np.testing.assert_array_equal(turned, swapped)
    mirrored = basins("saddle", rule, columns=24, steps=200).outcome
    swapped = np.array([1, 0, 3, 2, DIVERGED, UNDER_WAY])[mirrored[::-1, ::-1]]
    assert {2, 3} <= set(mirrored.ravel())
    np.testing.assert_array_equal(mirrored, swapped)


@pytest.mark.parametrize("rule", ONE_OF_EACH, ids=by_name)
@pytest.mark.parametrize("surface", ["himmelblau", "factorisation"])
def test_the_map_is_that_of_single_runs_bit_for_bit(surface, rule):
    surface = surfaces.get(surface)
    found = basins(surface, rule, columns=6, steps=80)
    reach = 0.02 * np.hypot(*np.diff(surface.bounds).ravel())
    rows = len(found.y)
    for i, j in [(0, 0), (1, 4), (rows // 2, 2), (rows - 1, 5)]:
        path = npo.run(surface, rule, surface.lift([found.x[j], found.y[i]]), steps=80)
        np.testing.assert_array_equal(found.end[i, j], path.x[-1])
        k = found.outcome[i, j]
        near = surface.distance(path.x[-1]) <= reach
        assert near == (k >= 0)
        if near:
            gaps = np.linalg.norm((surface.minima - path.x[-1]).reshape(4, -1), axis=-1)
            assert k == gaps.argmin()


def test_the_maps_do_not_depend_on_how_many_runs_go_at_once(monkeypatch):
    whole = basins("himmelblau", npo.Adam(lr=0.5), columns=10, steps=50)
    monkeypatch.setattr(landscapes, "_AT_ONCE", 51 * 7)
    seen = []
    parts = basins(
        "himmelblau", npo.Adam(lr=0.5), columns=10, steps=50, progress=lambda p: seen.extend(p) or p
    )
    assert [len(part) for part in seen] == [7] * 14 + [2]
    np.testing.assert_array_equal(parts.end, whole.end)
    np.testing.assert_array_equal(parts.outcome, whole.outcome)


def test_all_starts_meet_the_same_noise():
    noisy = surfaces.noisy(surfaces.get("booth"), 0.5, seed=7)
    found = basins(noisy, npo.SGD(lr=0.05), columns=3, steps=20)
    path = npo.run(noisy, npo.SGD(lr=0.05), [found.x[2], found.y[0]], steps=20)
    np.testing.assert_array_equal(found.end[0, 2], path.x[-1])
    assert "seed 7" in words(found.plot())


@pytest.mark.parametrize("steps", [40, 3000])
def test_diverging_starts_are_marked(steps):
    """Also before their numbers overflow."""
    found = basins("quadratic", npo.SGD(lr=0.3), columns=9, steps=steps)
    assert (found.outcome == DIVERGED).all()
    assert found.shares == {"diverged": 1.0}
    assert "diverged" in words(found.plot())
    assert len(painted(found)) == 2  # paper and crosses


def test_a_quartic_diverges_from_afar_only():
    found = basins("himmelblau", npo.SGD(lr=0.025), columns=24, steps=100)
    lost = found.outcome == DIVERGED
    assert lost[[0, -1]].any()
    assert not lost[9:15, 9:15].any()
    assert np.isnan(found.end[lost]).all() or (np.abs(found.end[lost]) > 5).any(axis=-1).all()


def test_a_run_that_has_not_arrived_is_under_way():
    found = basins("rosenbrock", npo.SGD(lr=1e-4), columns=8, steps=5)
    assert (found.outcome == UNDER_WAY).mean() > 0.9
    assert "still under way" in words(found.plot())
    wide = basins("rosenbrock", npo.SGD(lr=1e-4), columns=8, steps=5, tolerance=0.99)
    assert (wide.outcome == 0).all()


def test_without_minimum_runs_leave_by_the_way_down():
    found = basins("monkey_saddle", npo.SGD(lr=0.05), columns=20, steps=300)
    x, y = np.meshgrid(found.x, found.y)
    angle = np.degrees(np.arctan2(y, x))
    sure = np.hypot(x, y) > 0.7
    for side, way in ((0, 180), (2, -60), (3, 60)):
        near = sure & (np.abs((angle - way + 180) % 360 - 180) < 25)
        assert (found.outcome[near] == side).all()
    assert found.minima.shape == (0, 2)
    figure = words(found.plot())
    assert "leaves at the top" in figure
    assert "minimum" not in figure


def test_who_stays_in_the_picture_of_a_saddle_is_under_way():
    found = basins("saddle", npo.SGD(lr=0.05), columns=8, steps=4)
    near, far = np.abs(found.y) < 1, np.abs(found.y) > 1.6
    assert (found.outcome[near] == UNDER_WAY).all()
    assert set(found.outcome[far].ravel()) == {2, 3}


def test_the_map_is_the_right_way_up():
    found = basins("monkey_saddle", npo.SGD(lr=0.05), columns=20, steps=300)
    image = found.plot().axes[0].images[0]
    assert image.get_extent() == [-1.5, 1.5, -1.5, 1.5]
    pixels = np.asarray(image.get_array())
    corners = [pixels[0, -1], pixels[-1, -1], pixels[len(pixels) // 2, 0]]  # top, bottom, left
    grey = [corner @ [0.2126, 0.7152, 0.0722] for corner in corners]
    assert grey[2] < grey[1] < grey[0]  # ends in the order left, bottom, top


def test_any_minimum_of_the_matrix_surface_counts_for_the_nearest_mark():
    plane, beside = (
        basins("factorisation", rule, columns=12, steps=300)
        for rule in (npo.SGD(lr=0.03), npo.Adam(lr=0.1))
    )
    x, y = np.meshgrid(plane.x, plane.y)
    quadrant = (x < 0).astype(int) + 2 * (y < 0)
    assert (plane.outcome == quadrant).mean() > 0.9
    assert set(beside.outcome.ravel()) == {0, 1, 2, 3}
    marks = beside.surface.minima[beside.outcome]
    assert np.linalg.norm(beside.end - marks, axis=(-2, -1)).max() > 0.3
    assert beside.surface.distance(beside.end).max() < 0.01


@pytest.mark.parametrize(
    ("name", "n"),
    [("rosenbrock", 0), ("plateau", 0), ("ravine", 0), ("himmelblau", 0), ("factorisation", 0),
     ("three_hump_camel", 2), ("styblinski_tang", 3), ("rastrigin", 120)],
)  # fmt: skip
def test_local_minima_are_found(name, n):
    surface = surfaces.get(name)
    found = local_minima(surface)
    assert found.shape == (n, 2)
    noisy = local_minima(surfaces.noisy(surface, 5.0))
    np.testing.assert_array_equal(noisy, found)
    np.testing.assert_allclose(surface.grad(found.reshape(-1, 2)), 0, atol=1e-6) if n else None
    turn = np.linspace(0, 2 * np.pi, 12)
    for point in found:
        ring = point + 0.05 * np.stack([np.cos(turn), np.sin(turn)], axis=-1)
        assert (surface.f(ring) > surface.f(point)).all()
        assert surface.f(point) > surface.f(surface.minima[0]) + 1e-3


def test_local_minima_are_ends_of_their_own():
    found = basins("styblinski_tang", npo.SGD(lr=0.01), columns=10, steps=200)
    assert found.ends[0] == "(−2.9, −2.9)"
    assert all(end.endswith(" local") for end in found.ends[1:])
    assert found.heights.argmin() == 0
    assert (np.diff(found.heights[1:]) >= -1e-9).all()
    assert found.outcome[1, 1] == 0
    assert found.ends[found.outcome[-2, -2]] == "(2.75, 2.75) local"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_colours_can_be_told_apart_in_grey(theme):
    found = basins("himmelblau", npo.SGD(lr=0.01), columns=12, steps=200)
    grey = np.sort(painted(found, theme) @ [0.2126, 0.7152, 0.0722])
    assert len(grey) == 4
    assert np.diff(grey).min() > 0.12


def test_the_map_says_what_was_done():
    found = basins("himmelblau", npo.Momentum(lr=0.001), columns=12, steps=150)
    figure = found.plot()
    said = words(figure).replace("\n", " ")
    for what in (
        "Where Momentum ends on Himmelblau", "lr=0.001", "150 steps", "12 × 12 starts",
        "nothing random", "2 % of the diagonal", "1  (3, 2)", "★ minimum",
    ):  # fmt: skip
        assert what in said
    stars = [line for line in figure.axes[0].lines if line.get_marker() == "*"]
    np.testing.assert_array_equal([s.get_xydata()[0] for s in stars], found.surface.minima)
    many = words(basins("rastrigin", npo.SGD(lr=0.001), columns=12, steps=50).plot())
    assert "local, low to high" in many
    assert "seen in the plane" in words(basins("factorisation", npo.SGD(), columns=4).plot())


def test_the_words_of_the_key_do_not_overlap():
    for name in ("himmelblau", "monkey_saddle", "styblinski_tang"):
        figure = basins(name, npo.Momentum(lr=0.001), columns=8, steps=100).plot()
        renderer = figure.canvas.get_renderer()
        boxes = [text.get_window_extent(renderer) for text in figure.texts]
        for i, a in enumerate(boxes):
            assert a.x1 <= figure.bbox.x1
            for b in boxes[:i]:
                apart = a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 or b.y1 <= a.y0
                assert apart, (name, figure.texts[i].get_text())


@pytest.mark.parametrize("rule", [npo.Momentum(), npo.LARS()], ids=by_name)
def test_sensitivity_is_f_of_single_runs(rule):
    lrs = [0.001, 0.01, 1.0, 1000.0]
    found = sensitivity("rosenbrock", rule, "momentum", [0.0, 0.9], lrs=lrs, steps=40)
    surface = surfaces.get("rosenbrock")
    (x0, x1), (y0, y1) = surface.bounds
    for i, momentum in enumerate(found.values):
        for j, lr in enumerate(lrs):
            path = npo.run(surface, rule.replace(lr=lr, momentum=momentum), steps=40)
            x, y = path.x.T
            inside = ((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)).all()
            np.testing.assert_array_equal(found.f[i, j], path.f[-1] if inside else np.nan)
    assert np.isnan(found.f).any()
    assert found.f[found.best] == np.nanmin(found.f)


def test_over_steps_the_rows_are_moments_of_one_run():
    found = sensitivity("booth", npo.SGD(), lrs=[0.01, 0.05], steps=64)
    assert found.over == "steps"
    assert found.values[0] == 1
    assert found.values[-1] == 64
    f = npo.run("booth", npo.SGD(lr=0.05), steps=64).f
    np.testing.assert_array_equal(found.f[:, 1], f[list(found.values)])


def test_without_minimum_f_is_that_of_the_last_point_in_the_picture():
    found = sensitivity("saddle", npo.SGD(), "steps", [500], lrs=[1e-5, 0.1, 100])
    slow, path = (npo.run("saddle", npo.SGD(lr=lr), steps=500) for lr in (1e-5, 0.1))
    last = np.flatnonzero(np.abs(path.x).max(axis=-1) <= 2)[-1]
    assert found.f[0].tolist() == [slow.f[-1], path.f[last], found.start]
    assert np.isfinite(found.f).all()
    assert "left the picture" not in words(found.plot())


def test_several_optimizers_are_rows_and_curves_as_in_a_race():
    found = sensitivity("booth", ["sgd", "adamw", "lamb"], lrs=[0.01, 0.1, 1.0], steps=60)
    tried = {e.name: e.tried for e in race("booth", list(found.values), steps=60).entries}
    for name, f in zip(found.values, found.f, strict=True):
        from_race = tried[name][[12, 16, 20]]
        inside = np.isfinite(f)
        np.testing.assert_array_equal(f[inside], from_race[inside])
    assert all(rule.hyper().get("weight_decay", 0.0) == 0 for rule in found.optimizer)
    assert sensitivity("booth", "all", lrs=[0.1], steps=2).values == tuple(npo.optimizers())


@pytest.mark.parametrize("name", list(npo.optimizers()))
def test_the_second_number_is_a_memory_if_there_is_one(name):
    rule = npo.get_optimizer(name)
    found = sensitivity("booth", rule, lrs=[0.01, 0.1], steps=3)
    memories = {"momentum", "beta1"} & set(numbers(rule))
    assert found.over in (memories or {"decay", "steps"})
    assert len(found.values) > 2
    assert found.f.shape == (len(found.values), 2)


def test_every_number_of_a_rule_has_likely_values():
    for name in ("beta2", "eps", "weight_decay"):
        found = sensitivity("booth", npo.AdamW(), name, lrs=[0.1], steps=2)
        assert len(set(found.values)) >= 8
    assert sensitivity("booth", npo.CAME(), "beta3", [0.5], lrs=[0.1], steps=2).values == (0.5,)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_heat_map_says_what_was_done(theme):
    found = sensitivity("rosenbrock", npo.Adam(), steps=30)
    figure = found.plot(theme)
    said = words(figure).replace("\n", " ")
    for what in (
        "Adam on Rosenbrock: lr × β1", "f after 30 steps", "from (−1.2, 1)", "nothing random",
        "crossed out: left the picture", "logarithmic colours",
    ):  # fmt: skip
        assert what in said
    assert figure.axes[0].get_xlabel() == "lr"
    assert figure.axes[0].get_ylabel() == "β1"
    (x, y), (row, column) = figure.axes[0].patches[-1].get_xy(), found.best
    assert (y, x) == (row, column)


def test_curves_have_the_colours_of_their_optimizers():
    figure = sensitivity("booth", ["sgd", "lion"], steps=40).plot()
    colours = {line.get_color() for line in figure.axes[0].lines}
    assert {style.of("sgd").light, style.of("lion").light} <= colours
    said = words(figure)
    assert "How much the lr matters on Booth" in said
    assert "SGD" in said
    assert "Lion" in said


@pytest.mark.parametrize("what", [basins, sensitivity])
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"surface": "both"}, ValueError, "unknown surface"),
        ({"surface": 3}, TypeError, "surface must be"),
        ({"opt": npo.SGD}, TypeError, "opt must be an optimizer"),
        ({"steps": 0}, ValueError, "steps must be"),
        ({"steps": 2.5}, TypeError, "steps must be"),
    ],
)
def test_what_is_wrong_with_both_is_said(what, options, error, message):
    with pytest.raises(error, match=message):
        what(**{"surface": "booth", "opt": npo.SGD(), **options})


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"columns": 0}, ValueError, r"columns must be an int in the range \[1, inf\)"),
        ({"columns": True}, TypeError, "columns must be"),
        ({"tolerance": 0}, ValueError, "tolerance must be"),
        ({"tolerance": "wide"}, TypeError, "tolerance must be"),
        ({"opt": [npo.SGD(), npo.SGD()]}, TypeError, "opt must be one optimizer"),
    ],
)
def test_what_is_wrong_with_basins_is_said(options, error, message):
    with pytest.raises(error, match=message):
        basins(**{"surface": "booth", "opt": npo.SGD(), **options})


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"over": "beta1"}, ValueError, "over must be momentum, steps. Got 'beta1'"),
        ({"over": "momentum", "values": [1.5]}, ValueError, "momentum must be"),
        ({"over": "momentum", "values": []}, ValueError, "values must hold"),
        ({"over": "steps", "values": [0]}, ValueError, "values must be"),
        ({"lrs": []}, ValueError, "lrs must hold"),
        ({"lrs": [-1]}, ValueError, "lrs must hold"),
        ({"opt": ["sgd"], "over": "steps"}, ValueError, "for one optimizer"),
        ({"opt": npo.Groups({"*": npo.SGD()})}, ValueError, "lr to vary"),
    ],
)
def test_what_is_wrong_with_sensitivity_is_said(options, error, message):
    with pytest.raises(error, match=message):
        sensitivity(**{"surface": "booth", "opt": npo.Momentum(), **options})
