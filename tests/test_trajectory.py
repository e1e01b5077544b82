"""Runs on surfaces: what is recorded, and many runs that equal the single ones."""

import numpy as np
import pytest

import npoptim as npo

RULES = list(npo.optimizers().values())
every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda c: c.__name__)


def equal(a, b):
    assert a.states.keys() == b.states.keys()
    for part in "xfg":
        assert getattr(a, part).tobytes() == getattr(b, part).tobytes()
    for slot, values in a.states.items():
        assert values.tobytes() == b.states[slot].tobytes()


@every_rule
def test_a_run_is_its_steps(rule):
    surface = npo.surfaces.get("beale")
    opt = rule()
    traj = npo.run(surface, opt, steps=20)
    assert opt.t == 0
    x, worker = np.array(surface.start, dtype=float), rule()
    for t in range(20):
        g = surface.grad(x)
        assert traj.x[t].tolist() == x.tolist()
        assert traj.g[t].tolist() == g.tolist()
        assert traj.f[t] == surface.f(x)
        worker.step(x, g)
        for slot, values in traj.states.items():
            assert values[t].tolist() == worker.state["p"][slot].tolist()
    assert traj.x[20].tolist() == x.tolist()
    assert (traj.x.shape, traj.f.shape, traj.g.shape, traj.steps) == ((21, 2), (21,), (20, 2), 20)
    assert traj.diverged == 0
    assert traj.distance[-1] == surface.distance(x)


@every_rule
@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_many_starts_equal_single_runs_bit_for_bit(rule, noise):
    surface = npo.surfaces.noisy(npo.surfaces.get("rosenbrock"), noise, seed=3)
    starts = np.random.default_rng(0).uniform(-2, 2, size=(9, 2))
    many = npo.run(surface, rule(), starts, steps=40)
    assert many.x.shape == (41, 9, 2)
    for i, start in enumerate(starts):
        equal(many[i], npo.run(surface, rule(), start, steps=40))


@every_rule
@pytest.mark.parametrize("surface", ["rosenbrock", "factorisation"])
def test_many_rates_equal_single_runs_even_where_they_diverge(rule, surface):
    rules = [rule(lr=lr) for lr in 10.0 ** np.arange(-3, 4)]
    many = npo.run(surface, rules, steps=60)
    for i, one in enumerate(rules):
        equal(many[i], npo.run(surface, one, steps=60))


def test_many_betas_and_schedules_equal_single_runs():
    lr = npo.schedules.cosine(0.1, total=50)
    rules = [npo.AdamW(lr=lr, betas=(b, 0.99), weight_decay=b) for b in (0.0, 0.5, 0.9)]
    many = npo.run("himmelblau", rules, steps=60)
    for i, one in enumerate(rules):
        equal(many[i], npo.run("himmelblau", one, steps=60))


def test_a_run_that_diverges_is_nan_from_there():
    traj = npo.run("rosenbrock", npo.SGD(lr=1.0), steps=30)
    t = traj.diverged
    assert 0 < t < 30
    assert np.isfinite(traj.x[:t]).all()
    assert np.isfinite(traj.g[: t - 1]).all()
    for values in (traj.x[t:], traj.f[t:], traj.g[t - 1 :]):
        assert np.isnan(values).all()


def test_groups_and_matrices_run():
    traj = npo.run("factorisation", npo.Groups({"*": npo.CAME(lr=1e-3)}), steps=5)
    assert traj.x.shape == (6, 2, 3)
    assert {k: v.shape for k, v in traj.states.items()} == {
        "m": (5, 2, 3), "r": (5, 2), "c": (5, 3), "R": (5, 2), "C": (5, 3),
    }  # fmt: skip
    many = npo.run("factorisation", npo.Adam(), np.ones((4, 2, 3)), steps=5)
    equal(many[1], npo.run("factorisation", npo.Adam(), np.ones((2, 3)), steps=5))


def test_no_steps_is_the_start():
    traj = npo.run("booth", npo.Adam(), [1.0, 3.0], steps=0)
    assert traj.x.tolist() == [[1, 3]]
    assert traj.f.tolist() == [0]


def test_the_repr_says_what_ran():
    one = npo.run("booth", npo.SGD(lr=0.05), steps=3)
    assert repr(one).startswith("<Trajectory: 3 steps of SGD(lr=0.05) on booth, f ")
    many = npo.run("booth", [npo.SGD(lr=0.05), npo.SGD(lr=0.1)], steps=3)
    assert repr(many) == "<Trajectory: 2 runs of 3 steps of SGD(lr=0.05) on booth>"
    with pytest.raises(TypeError, match="one run"):
        one[0]


BAD = [
    (("rosenbrok", npo.SGD()), {}, ValueError, "rosenbrock"),
    (("booth", "sgd"), {}, TypeError, "optimizer"),
    (("booth", npo.SGD), {}, TypeError, "optimizer"),
    (("booth", []), {}, ValueError, "at least one"),
    (("booth", [npo.SGD(), npo.Adam()]), {}, ValueError, "one class"),
    (("booth", [npo.SGD()]), {"start": np.ones((2, 2))}, ValueError, "as many starts"),
    (("booth", npo.SGD(), [1.0, 2.0, 3.0]), {}, ValueError, "start must have shape"),
    (("booth", npo.SGD(), [1.0, np.nan]), {}, ValueError, "finite"),
    (("booth", npo.SGD()), {"steps": -1}, ValueError, "steps must be an int"),
    (("booth", npo.SGD()), {"steps": 1.5}, TypeError, "steps must be an int"),
    (("booth", npo.SGD()), {"steps": True}, TypeError, "steps must be an int"),
]


@pytest.mark.parametrize(("args", "kwargs", "error", "words"), BAD)
def test_bad_runs_are_refused(args, kwargs, error, words):
    with pytest.raises(error, match=words):
        npo.run(*args, **kwargs)


def test_a_run_that_diverged_says_so():
    assert repr(npo.run("rosenbrock", npo.SGD(lr=0.1))).endswith(", diverged at step 6>")
