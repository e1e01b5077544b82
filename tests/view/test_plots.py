"""Pictures: what stands on them, that nothing hides, and that nothing global changes."""

import subprocess
import sys
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import npoptim as npo
from npoptim import surfaces
from npoptim.race import memory, race
from npoptim.view import files, ground, labels, lines, plots, style

NAMES = list(npo.optimizers())
THEMES = ("light", "dark")
PICTURED = ["rosenbrock", "himmelblau", "saddle", "ravine"]


@pytest.fixture(scope="module")
def races():
    return {name: race(name, steps=120) for name in PICTURED}


def texts(figure):
    return [text for ax in figure.axes for text in ax.texts]


def line_labels(figure):
    """The labels at lines: texts in front of everything but the target's."""
    return [text for text in texts(figure) if text.get_zorder() == 8]


def boxes(figure, what):
    renderer = figure.canvas.get_renderer()
    return [text.get_window_extent(renderer) for text in what]


def overlap(a, b):
    return min(a.x1, b.x1) > max(a.x0, b.x0) and min(a.y1, b.y1) > max(a.y0, b.y0)


@pytest.mark.parametrize("draw", [plots.race, plots.loss])
@pytest.mark.parametrize("surface", PICTURED)
def test_every_optimizer_is_labelled_and_no_label_hides_another(races, surface, draw):
    result = races[surface]
    figure = draw(result)
    found = line_labels(figure)
    words = " ".join(text.get_text() for text in found).replace(",", " ").split()
    for entry in result.entries:
        assert entry.label in words
        assert f"{entry.lr:g}" in words
    spaces = boxes(figure, found)
    for (i, a), (j, b) in combinations(enumerate(spaces), 2):
        assert not overlap(a, b), (found[i].get_text(), found[j].get_text())
    page = figure.bbox
    for text, box in zip(found, spaces, strict=True):
        assert page.x0 <= box.x0 <= box.x1 <= page.x1, text.get_text()
        assert page.y0 <= box.y0 <= box.y1 <= page.y1, text.get_text()


@pytest.mark.parametrize("surface", PICTURED)
def test_labels_do_not_hide_start_or_minimum(races, surface):
    figure = plots.race(races[surface])
    ax = figure.axes[0]
    marks = [line for line in ax.lines if line.get_zorder() == ground.MARKS]
    assert len(marks) == 1 + len(races[surface].surface.minima)
    for mark in marks:
        x, y = ax.transData.transform(mark.get_xydata()[0])
        for text, box in zip(line_labels(figure), boxes(figure, line_labels(figure)), strict=True):
            assert not (box.x0 < x < box.x1 and box.y0 < y < box.y1), text.get_text()


def test_the_picture_says_what_was_done(races):
    figure = plots.race(races["rosenbrock"])
    said = " ".join(text.get_text() for text in figure.texts).replace("\n", " ")
    for words in (
        "Rosenbrock", "(1 − x)² + 100 (y − x²)²", "120 steps from (−1.2, 1)", "33 tried",
        "weight decay 0", "nothing random",
    ):  # fmt: skip
        assert words in said
    noisy = surfaces.noisy(surfaces.get("booth"), seed=5)
    said = " ".join(text.get_text() for text in plots.loss(race(noisy, ["sgd"], steps=3)).texts)
    assert "seed 5" in said


def test_equal_paths_share_a_label(races):
    found = [text.get_text() for text in line_labels(plots.race(races["rosenbrock"]))]
    assert any(text.startswith("Adam, AdamW  lr ") for text in found)
    assert len(found) == len(NAMES) - 1


def test_a_path_is_drawn_where_it_went(races):
    result = races["ravine"]
    entry = result.entries[0]
    drawn = [line.get_xydata() for line in plots.race(result).axes[0].lines]
    assert any(
        xy.shape == entry.trajectory.x.shape and (xy == entry.trajectory.x).all() for xy in drawn
    )


def test_loss_is_the_height_over_the_minimum():
    result = race("styblinski_tang", ["sgd"], steps=30)
    f = result.entries[0].trajectory.f - surfaces.get("styblinski_tang").f([-2.903534027771177] * 2)
    ax = plots.loss(result).axes[0]
    assert ax.get_yscale() == "log"
    drawn = max((line.get_ydata() for line in ax.lines), key=len)
    np.testing.assert_allclose(drawn[:5], f[:5])
    assert plots.loss(race("saddle", ["sgd"])).axes[0].get_yscale() == "linear"


def test_nothing_global_changes_and_no_display_is_needed(tmp_path):
    """In a process of its own: here an earlier test would have made the change."""
    code = (
        "import os, sys, matplotlib\n"
        "os.environ.pop('DISPLAY', None)\n"
        "rc = matplotlib.rcParams\n"
        "settings = lambda: {k: rc[k] for k in rc if k != 'backend'}  # asked for, that is chosen\n"
        "before = settings()\n"
        "import npoptim as npo\n"
        "from npoptim.cli import main\n"
        f"assert main(['race', 'booth', '--steps', '5', '--out', {str(tmp_path)!r}]) == 0\n"
        f"assert main(['memory', '--theme', 'dark', '--out', {str(tmp_path)!r}]) == 0\n"
        "npo.run('booth', npo.SGD()).plot(theme='dark')\n"
        "assert settings() == before\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_jupyter_shows_a_figure():
    figure = plots.memory(memory((8, 8)))
    assert figure._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", NAMES)
def test_a_trajectory_is_drawn_in_the_colours_of_its_optimizer(name):
    figure = npo.run("booth", npo.get_optimizer(name), steps=30).plot()
    colours = {line.get_color() for line in figure.axes[0].lines}
    assert style.of(name).light in colours
    assert figure.texts[0].get_text().startswith(tables_label(name))


def tables_label(name):
    return type(npo.get_optimizer(name)).__name__


def test_runs_are_told_apart_by_what_differs():
    rates = npo.run("booth", [npo.SGD(lr=lr) for lr in (0.01, 0.05)], steps=30)
    assert [t.get_text() for t in line_labels(rates.plot())][:2] == ["lr 0.01", "lr 0.05"]
    starts = npo.run("booth", npo.SGD(), start=[[1, 2], [3, 4.5]], steps=30)
    assert [t.get_text() for t in line_labels(starts.plot())][:2] == ["(1, 2)", "(3, 4.5)"]


def test_the_ring_is_where_the_run_began():
    rings = []
    for start in ([3.0, 4.0], [[3.0, 4.0], [1.0, 2.0]], None):
        ax = npo.run("booth", npo.SGD(), start=start, steps=3).plot().axes[0]
        marks = [line for line in ax.lines if line.get_zorder() == ground.MARKS]
        rings.append([m.get_xydata()[0].tolist() for m in marks if m.get_marker() == "o"])
    own = surfaces.get("booth").start.tolist()
    assert rings == [[[3, 4]], [[1, 2], [3, 4]], [own]]


def test_many_runs_are_drawn_without_labels():
    starts = np.random.default_rng(0).uniform(-5, 5, (40, 2))
    figure = npo.run("himmelblau", npo.SGD(lr=0.01), start=starts, steps=20).plot()
    assert len(figure.axes[0].lines) >= 40
    assert line_labels(figure) == []


def test_a_diverged_run_is_drawn_as_far_as_it_went(tmp_path):
    figure = npo.run("rosenbrock", npo.SGD(lr=1.0), steps=50).plot()
    assert files.save_figure(figure, tmp_path / "lost.png").stat().st_size > 1000
    assert figure.axes[1].get_ylim()[1] < 1e7


def test_the_matrix_surface_is_seen_in_its_plane():
    traj = npo.run("factorisation", npo.Adam(lr=0.1), steps=40)
    figure = traj.plot()
    drawn = [line.get_xydata() for line in figure.axes[0].lines]
    u = traj.surface.project(traj.x)
    assert any(xy.shape == u.shape and np.allclose(xy, u) for xy in drawn)
    assert figure.axes[0].get_xlabel() == "u"


def history(loss, accuracy, test_loss):
    eval_step = np.arange(1, len(accuracy) + 1) * 10
    return SimpleNamespace(
        loss=np.array(loss), accuracy=np.array(accuracy), test_loss=np.array(test_loss),
        eval_step=eval_step,
    )  # fmt: skip


def test_curves_show_loss_and_accuracy():
    run = history([2.0, 1.0, 0.5], [0.5, 0.75], [1.5, 1.0])
    figure = plots.curves({"adam": run, "Lion, lr 0.1": run}, title="a title")
    assert [ax.get_ylabel() for ax in figure.axes] == [
        "loss of the batch",
        "accuracy on the test part",
    ]
    assert [t.get_text() for t in line_labels(figure)] == ["Adam", "Lion, lr 0.1"] * 2
    loss, accuracy = ([line.get_xydata().tolist() for line in ax.lines] for ax in figure.axes)
    assert [[1, 2.0], [2, 1.0], [3, 0.5]] in loss
    assert [[10, 0.5], [20, 0.75]] in accuracy
    colours = {line.get_color() for line in figure.axes[0].lines}
    assert {style.of("adam").light, style.of("lion").light} <= colours


@pytest.mark.parametrize(
    ("accuracy", "test_loss", "panels"),
    [([np.nan], [0.5], 2), ([], [], 1), ([0.9], [0.5], 2), ([np.nan], [np.nan], 1)],
)
def test_curves_show_what_there_is(accuracy, test_loss, panels):
    figure = plots.curves({"sgd": history([1.0, 0.5], accuracy, test_loss)})
    assert len(figure.axes) == panels


def test_curves_of_a_run_that_was_lost_at_once():
    figure = plots.curves({"sgd": history([np.nan, np.nan], [np.nan], [np.nan])})
    assert [ax.get_ylabel() for ax in figure.axes] == ["loss of the batch"]
    assert line_labels(figure) == []


def test_a_jagged_curve_is_drawn_pale_under_its_median():
    t = np.arange(400.0)
    smooth = np.stack([t, np.exp(-t / 100)], axis=-1)
    noisy = smooth * (1, 1) + np.stack([0 * t, 0.05 * (-1) ** t], axis=-1)
    assert not lines.jagged(smooth)
    assert lines.jagged(noisy)
    median = lines.running_median(noisy)
    assert np.ptp(median[200:300, 1] - smooth[200:300, 1]) < 0.12
    np.testing.assert_array_equal(median[[0, -1]], noisy[[0, -1]])
    cycle = np.stack([t, 1.0 + t % 2], axis=-1)
    np.testing.assert_allclose(lines.running_median(cycle)[10:-10, 1], 1.5)
    steady = np.stack([t, np.arange(400.0)], axis=-1)
    np.testing.assert_array_equal(lines.running_median(steady), steady)
    long = np.stack([np.arange(1e5), np.arange(1e5)], axis=-1)
    assert 1900 < len(lines.running_median(long)) < 2200


def test_memory_bars_are_as_long_as_the_state():
    result = memory((64, 32))
    ax = plots.memory(result).axes[0]
    ends = [bar.get_x() + bar.get_width() for bar in ax.patches]
    wanted = [n for n in result.nbytes.values() if n]
    np.testing.assert_allclose(sorted(end for end in ends if end > min(wanted) / 2), wanted)
    assert ax.get_xscale() == "log"
    assert next(tick.get_text() for tick in ax.get_yticklabels()) == "SGD"


@pytest.mark.parametrize("draw", [plots.race, plots.loss])
def test_a_theme_must_be_known(draw, races):
    with pytest.raises(ValueError, match=r"theme must be 'light' or 'dark'\. Got 'pink' instead"):
        draw(races["saddle"], "pink")


# --- style


def linear(colour):
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def contrast(a, b):
    """WCAG 2.1, relative luminance."""
    light, dark = sorted((linear(c) @ [0.2126, 0.7152, 0.0722] for c in (a, b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


# Machado, Oliveira & Fernandes 2009, severity 1
VISIONS = {
    "normal": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
               [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
               [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
               [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


def oklab(rgb):
    """Ottosson 2020, https://bottosson.github.io/posts/oklab/."""
    lms = np.cbrt(
        [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
         [0.0883024619, 0.2817188376, 0.6299787005]] @ rgb
    )  # fmt: skip
    return [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050,
            0.4505937099], [0.0259040371, 0.7827717662, -0.8086757660]] @ lms  # fmt: skip


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("theme", THEMES)
def test_colours_differ_for_every_eye(theme, vision):
    seen = [
        oklab(np.clip(VISIONS[vision] @ linear(style.of(name).colour(style.theme(theme))), 0, 1))
        for name in NAMES
    ]
    gap, pair = min(
        (np.linalg.norm(np.subtract(a, b)), (x, y))
        for (a, x), (b, y) in combinations(zip(seen, NAMES, strict=True), 2)
    )
    assert gap > 0.05, pair


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", [*NAMES, "rmsprop", "amsgrad", "mine", "yours", "prodigy", "muon"])
def test_colours_stand_out_from_the_paper(name, theme):
    look = style.theme(theme)
    assert contrast(style.of(name).colour(look), look.paper) >= 3
    assert contrast(look.ink, look.paper) >= 7
    assert contrast(look.quiet, look.paper) >= 4.5


def test_greyscale_leaves_markers_and_dashes():
    looks = [style.of(name) for name in NAMES]
    assert len({look.marker for look in looks}) == len(NAMES)
    assert len({(look.marker, look.dashes) for look in looks}) == len(NAMES)


def test_a_new_rule_has_a_style_of_its_own_that_it_keeps():
    looks = [style.of(name) for name in ("rmsprop", "amsgrad", "muon")]
    assert len(set(looks)) == 3
    known = [style.of(name) for name in NAMES]
    for look in looks:
        assert look.marker not in {k.marker for k in known}
        assert look.light not in {k.light for k in known}
    code = "from npoptim.view import style; print(style.of('RMSProp'))"
    elsewhere = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert elsewhere.stdout.strip() == repr(looks[0])


# --- where labels go


@given(
    st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20),
    st.floats(0.1, 50),
)
def test_spread_keeps_order_and_distance(wanted, gap):
    low, high = -600.0, 600.0
    placed = labels.spread(wanted, gap, low, high)
    apart = min(gap, (high - low) / max(len(wanted) - 1, 1))
    assert (np.diff(placed[np.argsort(wanted, kind="stable")]) >= apart - 1e-6).all()
    assert low - 1e-6 <= placed.min()
    assert placed.max() <= high + 1e-6


def test_spread_moves_nothing_that_has_room():
    np.testing.assert_allclose(labels.spread([3.0, 1.0, 2.0], 0.9, 0, 10), [3, 1, 2])


def test_labels_keep_off_lines_taken_places_and_the_frame():
    frame = (0.0, 0.0, 600.0, 400.0)
    straight = [np.array([[10.0, y], [590.0, y]]) for y in (100.0, 130.0, 160.0)]
    taken = [(0.0, 170.0, 600.0, 400.0)]
    spots = labels.place(straight, [(80.0, 16.0)] * 3, frame, taken)
    placed = [(x - 40, y - 8, x + 40, y + 8) for _, (x, y) in spots]
    for (anchor, _), path, box in zip(spots, straight, placed, strict=True):
        assert anchor[1] == path[0, 1]
        assert 0 <= box[0] <= box[2] <= 600
        assert 0 <= box[1] <= box[3] <= 170
        for line in straight:
            assert not box[1] < line[0, 1] < box[3]
    for a, b in combinations(placed, 2):
        assert a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]


def test_a_label_passes_over_a_near_line():
    frame, size = (0.0, 0.0, 600.0, 200.0), (80.0, 16.0)
    low, near = np.array([[10.0, 10.0], [590.0, 10.0]]), np.array([[10.0, 28.0], [590.0, 28.0]])
    for paths, more in (([low, near], ()), ([low], [near])):
        _, centre = labels.place(paths, [size] * len(paths), frame, more=more)[0]
        assert not centre[1] - 8 < 28 < centre[1] + 8


def test_a_label_gives_way_to_a_taken_place():
    frame, path = (0.0, 0.0, 600.0, 200.0), np.array([[10.0, 100.0], [590.0, 100.0]])
    ((_, (x, y)),) = labels.place([path], [(80.0, 16.0)], frame)
    taken = (x - 60, y - 10, x + 60, 91.0)  # off the line itself
    ((_, (u, v)),) = labels.place([path], [(80.0, 16.0)], frame, [taken])
    assert abs(u - x) > 100 or v > 99


def test_late_labels_are_near_the_end():
    path = np.array([[10.0, 100.0], [590.0, 100.0]])
    ((anchor, _),) = labels.place([path], [(40.0, 10.0)], (0, 0, 600, 200), late=True)
    assert anchor[0] > 450


# --- files


def test_a_failed_picture_leaves_the_old_one(tmp_path):
    target = tmp_path / "picture.png"
    target.write_bytes(b"old")

    def half(file, **options):
        file.write(b"new, but only ha")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        files.save_figure(SimpleNamespace(savefig=half), target)
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]


@pytest.mark.parametrize(
    ("ending", "head"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_the_ending_is_the_format(ending, head, tmp_path):
    path = files.save_figure(plots.memory(memory((4, 4))), tmp_path / f"new/folder/m.{ending}")
    assert path.read_bytes().startswith(head)


def test_writable_makes_nothing(tmp_path):
    assert files.writable(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert list(tmp_path.iterdir()) == []
