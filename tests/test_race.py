"""The race: the same chances for all, the best lr of a grid, and what state costs."""

import json
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest

import npoptim as npo
from npoptim import surfaces
from npoptim.optimizers.base import Optimizer
from npoptim.race import GRID, _settled, memory, race, racers
from npoptim.view import tables

NAMES = list(npo.optimizers())
FEW = ["sgd", "adam", "lion"]


@dataclass
class Fixed(Optimizer):
    """A rule without an lr: down by a thousandth of the gradient."""

    scope = "element"

    def update(self, p, g, t):
        return p - 1e-3 * g, {}


@pytest.fixture(scope="module")
def everyone():
    return race("rosenbrock", steps=60)


def test_everyone_is_raced_with_the_same_budget(everyone):
    assert {entry.name for entry in everyone.entries} == set(NAMES)
    assert {len(entry.tried) for entry in everyone.entries} == {len(GRID)}


def test_entries_come_in_the_order_of_arrival(everyone):
    arrivals = [(np.inf if e.steps is None else e.steps, e.f) for e in everyone.entries]
    assert arrivals == sorted(arrivals)
    assert arrivals[0][0] < np.inf


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_is_the_run_at_its_lr(everyone, name):
    entry = next(e for e in everyone.entries if e.name == name)
    again = npo.run("rosenbrock", entry.optimizer, steps=60)
    np.testing.assert_array_equal(entry.trajectory.x, again.x[: len(entry.trajectory.x)])
    assert entry.optimizer.lr == entry.lr
    assert entry.optimizer.t == 0
    assert entry.tried[GRID.index(entry.lr)] == entry.f


@pytest.mark.parametrize("name", NAMES)
def test_state_bytes_are_those_of_a_step(everyone, name):
    opt, x = npo.get_optimizer(name), np.ones(2)
    opt.step(x, np.ones(2))
    entry = next(e for e in everyone.entries if e.name == name)
    assert entry.state_nbytes == opt.state_nbytes
    assert 0.1 < entry.us_per_step < 1e5


@pytest.mark.parametrize("condition", [4, 10, 30])
def test_sgd_finds_the_best_fixed_step_of_a_quadratic(condition):
    """It is 2 / (1 + κ): Nocedal & Wright 2006, section 3.3."""
    best = 2 / (1 + condition)
    result = race(surfaces.get("quadratic", condition=condition), ["sgd"])
    nearest = sorted(GRID, key=lambda lr: abs(np.log(lr / best)))[:2]
    assert result.entries[0].lr in nearest


def test_of_the_lr_that_arrive_the_fastest_is_best():
    result = race("quadratic", ["sgd"], grid=[0.001, 0.02, 0.1])
    arrived = result.entries[0].tried < result.target
    assert arrived.tolist() == [False, True, True]
    assert result.entries[0].lr == 0.1
    # not the last digits of f, but the steps
    digits = race("booth", ["nesterov"], grid=[0.018, 0.032])
    assert np.argmin(digits.entries[0].tried) == 1
    assert digits.entries[0].lr == 0.018


def test_where_none_arrives_the_lowest_last_f_is_best():
    entry = race("rosenbrock", ["sgd"], steps=50, grid=[1e-5, 1e-4, 1e-3]).entries[0]
    assert entry.steps is None
    assert entry.lr == 1e-3
    assert entry.f == entry.tried.min()


@pytest.mark.parametrize(
    ("f", "steps"),
    [
        ([5, 1, 3, 0.5, 0.4], 3),  # the dip at 1 does not last
        ([0, 0, 0, 0, 0], 0),
        ([5, 4, 3, 2, 1], 4),
        ([5, 0, 0, 0, 2], 5),  # never for good
        ([5, 0, np.nan, np.nan, np.nan], 5),
    ],
)
def test_settled_is_for_good(f, steps):
    assert _settled(np.array(f, dtype=float)[:, None], 1.0).tolist() == [steps]


@pytest.mark.parametrize(
    ("grid", "edge"), [([1e-3, 1e-2], True), ([0.18, 1.0], True), ([1e-3, 0.18, 1.0], False)]
)
def test_a_best_lr_at_the_edge_is_marked(grid, edge):
    assert race("quadratic", ["sgd"], steps=50, grid=grid).entries[0].edge is edge


def test_the_table_says_what_is_doubtful():
    said = tables.race(race("quadratic", ["sgd"], steps=50, grid=[1e-3, 1e-2]))
    assert "0.01*" in said
    assert "*: at the edge" in said
    said = tables.race(race("quadratic", ["sgd"], steps=50, grid=[0.1, 10.0, 100.0]))
    assert "0.1*" in said
    said = tables.race(race("quadratic", ["sgd"], steps=50, grid=[10.0, 100.0, 1000.0]))
    assert "5.67†" in said
    assert "†: ended where it left" in said
    said = tables.race(race("quadratic", ["sgd"], steps=50))
    assert "*" not in said
    assert "†" not in said
    assert "†" not in tables.race(race("saddle", ["sgd"], steps=50))


@pytest.mark.parametrize("surface", surfaces.names())
def test_every_surface_is_raced_within_its_picture(surface):
    result = race(surface, FEW, steps=40)
    low, high = np.array(result.surface.bounds).T
    for entry in result.entries:
        u = result.surface.project(entry.trajectory.x)
        assert ((u >= low) & (u <= high)).all()
        assert np.isfinite(entry.trajectory.x).all()
        assert len(entry.trajectory.f) == len(entry.trajectory.g) + 1
        assert entry.f <= result.surface.f(result.surface.start)
        assert np.isnan(entry.distance) == (len(result.surface.minima) == 0)


def test_leaving_the_picture_wins_nothing():
    """At lr 1 Adam lands lower, at the end of a way around through the outside."""
    entry = race("rosenbrock", ["adam"], grid=[0.56, 1.0]).entries[0]
    outside = npo.run("rosenbrock", npo.Adam(lr=1.0))
    assert outside.f[-1] < entry.f
    assert entry.lr == 0.56
    assert entry.tried[1] > 1


def test_a_run_without_minimum_ends_at_the_edge():
    entry = race("saddle", ["sgd"]).entries[0]
    after = npo.run("saddle", entry.optimizer, steps=500)
    assert entry.steps == entry.trajectory.steps < 20
    assert abs(after.x[entry.steps + 1, 1]) > 2


def test_named_optimizers_have_no_weight_decay_and_given_ones_keep_theirs():
    assert all(rule.hyper().get("weight_decay", 0) == 0 for _, rule in racers())
    assert dict(racers(["lamb"]))["lamb"].betas == npo.LAMB().betas
    own = npo.AdamW(weight_decay=0.5)
    assert dict(racers([own]))["adamw"] == own
    assert own is not dict(racers([own]))["adamw"]


def test_without_decay_adam_and_adamw_are_alike(everyone):
    groups = [[entry.name for entry in group] for group in everyone.alike]
    assert sorted(name for group in groups for name in group) == sorted(NAMES)
    assert ["adam", "adamw"] in [sorted(group) for group in groups]
    assert ["momentum"] in groups


def test_a_rule_without_lr_is_raced_as_it_is():
    entry = race("quadratic", [Fixed()], steps=5).entries[0]
    assert entry.lr is None
    assert len(entry.tried) == 1
    assert not entry.edge
    np.testing.assert_allclose(entry.trajectory.x[5, 0], -1.8 * 0.999**5)


def test_noise_is_the_same_for_everyone_and_comes_from_its_seed():
    def ends(seed):
        surface = surfaces.noisy(surfaces.get("booth"), scale=2.0, seed=seed)
        return [e.f for e in race(surface, FEW, steps=30).entries]

    assert ends(1) == ends(1) != ends(2)
    surface = surfaces.noisy(surfaces.get("booth"), seed=7)
    first, again = (race(surface, ["sgd", "adam", "adamw"], steps=50) for _ in range(2))
    assert [e.f for e in first.entries] == [e.f for e in again.entries]
    assert ["adam", "adamw"] in [sorted(e.name for e in group) for group in first.alike]
    assert first.seed == 7
    assert race("booth", FEW, steps=5).seed is None


@pytest.mark.parametrize("surface", ["rosenbrock", "saddle"])
def test_the_summary_is_plain_json(surface):
    result = race(surface, FEW, steps=30)
    summary = json.loads(json.dumps(result.summary(), allow_nan=False))
    assert [row["name"] for row in summary["optimizers"]] == [e.name for e in result.entries]
    assert summary["grid"] == list(GRID)
    assert (summary["optimizers"][0]["distance"] is None) == (surface == "saddle")


def test_progress_wraps_the_list_of_optimizers():
    seen = []

    def bar(field):
        for item in field:
            seen.append(item[0])
            yield item

    race("booth", FEW, steps=3, progress=bar)
    assert seen == FEW


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"surface": "rosenbrok"}, "Did you mean 'rosenbrock'"),
        ({"optimizers": ["adm"]}, "Did you mean 'adam'"),
        ({"optimizers": ["adam", npo.Adam()]}, "Got 'adam' twice"),
        ({"optimizers": []}, "at least one"),
        ({"steps": 0}, r"steps must be an int in the range \[1, inf\). Got 0"),
        ({"grid": []}, "grid must hold rising lr"),
        ({"grid": [1.0, 0.1]}, "grid must hold rising lr"),
        ({"grid": [0.1, 1.0, 0.5, 2.0]}, "grid must hold rising lr"),
        ({"grid": [0.1, 0.1]}, "grid must hold rising lr"),
        ({"grid": [0.1, float("nan"), 1.0]}, "grid must hold rising lr"),
        ({"grid": [0.1, float("inf")]}, "grid must hold rising lr"),
        ({"steps": True}, "Got True instead"),
        ({"steps": 2.0}, "Got 2.0 instead"),
        ({"grid": [0.0, 0.1]}, "grid must hold rising lr"),
        ({"grid": [0.1, float("nan")]}, "grid must hold rising lr"),
        ({"tolerance": 0}, r"tolerance must be in the range \(0, 1\)"),
    ],
)
def test_bad_input_is_named(arguments, message):
    given = {"surface": "booth", "optimizers": FEW, **arguments}
    with pytest.raises(ValueError, match=message):
        race(**given)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"surface": 3}, r"surface must be a Surface or its name\. Got 3"),
        ({"optimizers": "adam"}, r"optimizers must be a list, of names too\. Got 'adam'"),
        ({"optimizers": [npo.Groups({"*": npo.SGD()})]}, "the name of an optimizer"),
    ],
)
def test_input_of_another_kind_is_named(arguments, message):
    with pytest.raises(TypeError, match=message):
        race(**{"surface": "booth", "optimizers": FEW, **arguments})


def test_a_rule_dropped_into_the_folder_is_raced(tmp_path):
    rule = """
from dataclasses import dataclass
from npoptim.optimizers.base import Optimizer

@dataclass
class HalfStep(Optimizer):
    lr: float = 0.1
    scope = "element"

    def update(self, p, g, t):
        return p - self.lr * g / 2, {}
"""
    (tmp_path / "halfstep.py").write_text(rule)
    code = f"""
import npoptim.optimizers
npoptim.optimizers.__path__.append({str(tmp_path)!r})
from npoptim.race import memory, race
from npoptim.view import plots, style, tables
result = race("quadratic", steps=20)
assert "halfstep" in [entry.name for entry in result.entries]
assert "HalfStep" in tables.race(result)
labels = [text.get_text() for text in plots.race(result).axes[0].texts]
assert any(label.startswith("HalfStep") for label in labels), labels
assert memory((3, 2)).nbytes["halfstep"] == 0
plots.memory(memory((3, 2)))
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(6, 4), (5,), (2, 3, 4)])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_memory_is_that_of_a_step(name, shape, dtype):
    opt, p = npo.get_optimizer(name), np.ones(shape, dtype)
    opt.step(p, np.ones(shape, dtype))
    result = memory(shape, dtype)
    assert result.nbytes[name] == opt.state_nbytes
    assert result.parameter_nbytes == p.nbytes


def test_memory_of_a_matrix_is_that_of_the_formulas():
    m, n = 1024, 768
    found = memory((m, n)).nbytes
    assert found["sgd"] == 0
    assert found["adam"] == found["adamw"] == found["lamb"] == 8 * m * n
    assert found["momentum"] == found["nesterov"] == found["lion"] == found["lars"] == 4 * m * n
    assert found["adafactor"] == 4 * (m + n) == 7168
    assert found["came"] == 4 * m * n + 8 * (m + n) == 3_160_064
    assert memory((m, n)).against()["momentum"] == 0.5


def test_memory_takes_none_itself():
    """Ten terabytes of parameters: no machine for a course holds their state."""
    assert memory((1_600_000, 1_600_000)).nbytes["adam"] == 8 * 1_600_000**2


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((), "float32", r"Got \(\) instead"),
        ((3, 0), "float32", r"Got \(3, 0\) instead"),
        ((3, -1), "float32", "range"),
        ((3,), "int32", "Got 'int32'"),
    ],
)
def test_bad_shapes_are_named(shape, dtype, message):
    with pytest.raises(ValueError, match=message):
        memory(shape, dtype)
