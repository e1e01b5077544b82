"""What `explore` records: the run that `run` makes, and every line's numbers on the way."""

from dataclasses import dataclass

import numpy as np
import pytest

import npoptim as npo
from npoptim import surfaces
from npoptim.explore import explore
from npoptim.optimizers.base import Optimizer

NAMES = list(npo.optimizers())
BOTH = ["rosenbrock", "factorisation"]


@dataclass
class Branches(Optimizer):
    """A student's rule without a box, with names of its own and a branch."""

    lr: float = 0.1

    def init(self, p):
        return {"buffer": np.zeros_like(p)}

    def update(self, theta, grad, step, buffer):
        if step % 2:
            pushed = buffer - grad
        else:
            half = 0.5 * buffer
            pushed = half - grad
        return theta + self.lr * pushed, {"buffer": pushed}


def row(watched, start):
    """The row whose pseudocode or code starts like this."""
    return next(r for r in watched.rows if (r.pseudocode or r.code).startswith(start))


@pytest.mark.parametrize("surface", BOTH)
@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_run_is_the_run(surface, name):
    opt = npo.get_optimizer(name, lr=1e-3)
    found = explore(surface, opt, steps=6)
    for start, watched_run in zip(found.starts, found.watched[0].runs, strict=True):
        path = npo.run(surface, opt, start, steps=6)
        np.testing.assert_array_equal(watched_run.x, path.x)
        np.testing.assert_array_equal(watched_run.f, path.f)
        flat = path.g.reshape(6, -1) @ found.surface.plane[1].reshape(2, -1).T
        np.testing.assert_array_equal(watched_run.gradient, flat)
        assert watched_run.note == ""


@pytest.mark.parametrize("surface", BOTH)
@pytest.mark.parametrize("name", NAMES)
def test_the_last_value_of_every_slot_is_the_state(surface, name):
    opt = npo.get_optimizer(name, lr=1e-3)
    found = explore(surface, opt, steps=6)
    path = npo.run(surface, opt, steps=6)
    for slot, values in {**path.states, "p": path.x[1:]}.items():
        last = [r for r in found.watched[0].rows if slot in r.values][-1]
        np.testing.assert_array_equal(last.values[slot][0], values)


def test_the_optimizer_given_is_left_alone():
    opt = npo.Adam()
    explore("booth", opt, steps=2)
    assert opt.t == 0
    assert opt.state == {}


@pytest.mark.parametrize(
    ("name", "momentum"),
    [
        *(("sgd", ""), ("momentum", "-v"), ("nesterov", "-v"), ("adam", "-m"), ("adamw", "-m")),
        *(("lars", "-v"), ("lamb", "-m"), ("lion", "-m"), ("adafactor", ""), ("came", "-m")),
    ],
)
@pytest.mark.parametrize("surface", BOTH)
def test_the_momentum_is_found_and_no_second_moment_is_taken_for_it(surface, name, momentum):
    watched = explore(surface, npo.get_optimizer(name, lr=1e-3), steps=2).watched[0]
    assert watched.momentum == momentum
    assert watched.runs[0].momentum.shape == ((2, 2) if momentum else (0, 2))


def test_a_momentum_that_points_downhill_keeps_its_sign():
    """Velocities hold −g in some codes; the arrow leads downhill all the same."""
    watched = explore("quadratic", Branches(), steps=1).watched[0]
    assert watched.momentum == "buffer"
    run = watched.runs[0]
    np.testing.assert_array_equal(run.momentum[0], -run.gradient[0])


# ---------------------------------------------------------------- starts


@pytest.mark.parametrize("name", surfaces.names())
def test_starts_lie_in_the_picture_and_apart(name):
    found = explore(name, npo.SGD(lr=1e-9), steps=1)
    surface = found.surface
    low, high = np.array(surface.bounds).T
    u = surface.project(found.starts)
    np.testing.assert_array_equal(found.starts[0], surface.start)
    assert 4 <= len(u) <= 5
    assert ((u[1:] > low) & (u[1:] < high)).all()
    others = [*u[1:], *(surface.project(surface.minima) if len(surface.minima) else [])]
    for i, a in enumerate(u[1:]):
        for b in [u[0], *others[:i], *others[i + 1 :]]:
            assert np.hypot(*((a - b) / (high - low))) > 0.12


def test_a_start_given_comes_first():
    found = explore("booth", npo.SGD(), start=[1.0, 2.5], steps=1)
    assert found.starts[0].tolist() == [1.0, 2.5]
    assert len(found.starts) > 1


def test_starts_given_as_an_array_are_the_only_ones():
    points = [[0.0, 0.0], [1.0, 1.0]]
    assert explore("booth", npo.SGD(), start=points, steps=1).starts.tolist() == points
    matrices = np.ones((3, 2, 3))
    assert explore("factorisation", npo.CAME(), start=matrices, steps=1).starts.shape == (3, 2, 3)


def test_fewer_starts_where_a_page_has_no_room(monkeypatch):
    one = explore("booth", npo.Adam(), steps=30)
    assert len(one.starts) == 5
    per_start = 30 * (7 + 12)  # path, f, arrows; g, m, v, m̂, v̂, θ
    monkeypatch.setattr("npoptim.explore._NUMBERS", 3 * per_start)
    assert len(explore("booth", npo.Adam(), steps=30).starts) == 3
    monkeypatch.setattr("npoptim.explore._NUMBERS", 1)
    assert len(explore("booth", npo.Adam(), steps=30).starts) == 1
    assert len(explore("booth", npo.Adam(), start=one.starts, steps=30).starts) == 5


# ---------------------------------------------------------------- several, strange and broken ones


def test_several_optimizers_share_the_starts_and_have_labels():
    opts = [npo.Adam(lr=0.1), npo.Adam(lr=0.2), npo.SGD()]
    found = explore("booth", opts, steps=2)
    assert [w.label for w in found.watched] == ["Adam lr 0.1", "Adam lr 0.2", "SGD"]
    assert {len(w.runs) for w in found.watched} == {len(found.starts)}
    assert repr(found) == (
        "<Exploration: Adam lr 0.1, Adam lr 0.2, SGD on booth, 2 steps from 5 starts>"
    )


def test_a_run_that_diverges_ends_with_a_note():
    found = explore("rosenbrock", npo.SGD(lr=1.0), steps=50)
    run = found.watched[0].runs[0]
    assert 0 < run.steps < 50
    assert run.note.startswith(f"Diverged at step {run.steps + 1}: gradient of 'p' is ")
    assert np.isfinite(run.x).all()
    assert len(run.gradient) == run.steps
    assert len(row(found.watched[0], "θ ←").values["p"][0]) == run.steps


def test_a_step_that_fails_half_way_is_not_among_them():
    run = explore("quadratic", npo.SGD(lr=1e200), steps=5).watched[0].runs[0]
    assert run.steps == 1  # the second overflows in the line of θ, not in the gradient
    assert "after the step" in run.note
    assert len(run.gradient) == 1
    assert np.isfinite(run.x).all()


def test_a_run_may_diverge_at_its_first_step():
    found = explore("rosenbrock", npo.SGD(), start=[[1e200, 1e200]], steps=5)
    run = found.watched[0].runs[0]
    assert run.steps == 0
    assert run.note.startswith("Diverged at step 1: ")
    assert "Diverged at step 1" in found.html


def test_a_line_that_is_skipped_has_no_value_there():
    watched = explore("quadratic", Branches(), steps=4).watched[0]
    odd, even = (row(watched, f"pushed = {x}").values["buffer"][0] for x in ("buffer", "half"))
    assert np.isnan(odd[:, 0]).tolist() == [False, True, False, True]
    assert np.isnan(even[:, 0]).tolist() == [True, False, True, False]
    assert [r.code.partition(" ")[0] for r in watched.rows] == (
        ["return", "if", "pushed", "half", "pushed", "return"]
    )
    assert [r.number for r in watched.rows] == [None] * len(watched.rows)


def test_groups_and_noise_and_schedules_are_watched_too():
    opt = npo.Groups({"*": npo.Momentum(lr=npo.schedules.linear(0.1, total=4))})
    surface = surfaces.noisy(surfaces.get("ravine"), 0.1)
    found = explore(surface, opt, steps=4)
    assert found.watched[0].name == "Momentum"
    np.testing.assert_array_equal(found.watched[0].runs[0].x, npo.run(surface, opt, steps=4).x)
    lr = row(found.watched[0], "given").values["lr"][0]
    assert lr[0] > lr[1] > lr[2]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("rosenbroc", npo.SGD()), ValueError, "rosenbrock"),
        (("booth", "adam"), TypeError, "optimizer"),
        (("booth", []), ValueError, "at least one"),
        (("booth", [npo.SGD(), 3]), TypeError, "optimizer"),
        (("booth", npo.SGD(), [1.0, 2.0, 3.0]), ValueError, "start must have shape"),
        (("booth", npo.SGD(), None, 0), ValueError, "steps must be an int in the range"),
        (("booth", npo.SGD(), None, 2.5), ValueError, "steps must be an int in the range"),
    ],
)
def test_bad_input_is_named(arguments, error, words):
    with pytest.raises(error, match=words):
        explore(*arguments)
