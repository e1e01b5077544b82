"""Every rule against the numbers of other implementations, kept in tests/golden/."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

import npoptim as npo
from npoptim.libraries import eps_hat
from npoptim.libraries.calls import spelled

sys.path.insert(0, str(Path(__file__).parent / "golden"))
import make
from problem import KEPT, SHAPES, STEPS, Rate, difference, fingerprint
from references import REFERENCES, USUAL
from runners import run_npoptim

sys.path.pop(0)

RULES = list(USUAL)
FAR = 1e-5  # what a mistake must differ by at least: ten million times the tolerance

GOLDEN = {(rule, g.about["recipe"]): g for rule in RULES for g in make.read(rule)}
EXACT = {(r.rule, r.recipe): r for r in REFERENCES if r.exact}


def short(value):
    """A recipe without its arguments, for the names of tests."""
    return value.partition("(")[0]


def ours(rule, recipe):
    return make.ours(rule, EXACT[rule, recipe])


def distance(golden, trajectory):
    return max(difference(trajectory[name], theirs) for name, theirs in golden.arrays.items())


@pytest.mark.parametrize(
    ("rule", "recipe", "name"),
    [(*key, name) for key, golden in GOLDEN.items() for name in golden.arrays],
    ids=short,
)
def test_every_kept_step_agrees(rule, recipe, name):
    mine, theirs = ours(rule, recipe)[name], GOLDEN[rule, recipe].arrays[name]
    for t, a, b in zip(KEPT, mine, theirs, strict=True):
        error = np.max(np.abs(a - b)) / np.max(np.abs(b))
        assert error <= make.TOLERANCE, f"{name} after step {t} is {error:.1e} off {recipe}"


@pytest.mark.parametrize("rule", RULES)
def test_two_libraries_at_least_stand_behind_a_rule(rule):
    assert len({EXACT[key].library for key in GOLDEN if key[0] == rule}) >= 2


def test_no_numbers_are_missing_or_left_over():
    assert GOLDEN.keys() == EXACT.keys()
    for key, golden in GOLDEN.items():
        shapes = {name: (len(KEPT), *SHAPES[name]) for name in EXACT[key].tensors}
        assert {name: array.shape for name, array in golden.arrays.items()} == shapes
        assert {array.dtype for array in golden.arrays.values()} == {np.dtype("f8")}


@pytest.mark.parametrize(("rule", "recipe"), GOLDEN, ids=short)
def test_numbers_say_where_they_come_from(rule, recipe):
    about, reference = GOLDEN[rule, recipe].about, EXACT[rule, recipe]
    assert about["problem"] == fingerprint(), "the problem has changed: run tests/golden/make.py"
    assert about["ours"] == spelled(reference.ours), "run tests/golden/make.py"
    assert {"numpy", "python"} < about["versions"].keys()
    assert all(version[0].isdigit() for version in about["versions"].values())


def test_the_problem_covers_what_can_go_wrong():
    assert STEPS >= 50
    assert {1, 2, STEPS} <= set(KEPT)
    assert sorted(len(shape) for shape in SHAPES.values()) == [1, 2, 4]
    rates = [Rate(1.0)(t) for t in range(1, STEPS + 1)]
    assert len(set(rates)) == STEPS


def hyper_parameters():
    """Every number that any reference of a rule sets: (rule, field, place in it or None)."""
    places = {}
    for reference in EXACT.values():
        for field, value in reference.ours.items():
            indices = range(len(value)) if isinstance(value, tuple) else [None]
            places |= {(reference.rule, field, i): None for i in indices}
    return list(places)


def nudged(value):
    """Another number, one per cent away."""
    if isinstance(value, Rate):
        return Rate(1.01 * value.peak)
    return value if callable(value) else 1.01 * value


@pytest.mark.parametrize(("rule", "field", "index"), hyper_parameters())
def test_one_per_cent_of_any_hyper_parameter_shows(rule, field, index):
    seen = 0.0
    for key, golden in GOLDEN.items():
        hyper = dict(EXACT[key].ours)
        if key[0] != rule or field not in hyper:
            continue
        if index is None:
            hyper[field] = nudged(hyper[field])
        else:
            hyper[field] = tuple(nudged(v) if i == index else v for i, v in enumerate(hyper[field]))
        trajectory = run_npoptim(npo.optimizers()[rule], hyper, golden.arrays)
        seen = max(seen, distance(golden, trajectory))
    assert seen > FAR


def decayed(weight_decay):
    """Weight decay in the gradient, where the moments and the norms get to see it."""
    return lambda params, grads, t: {k: g + weight_decay * params[k] for k, g in grads.items()}


def scaled(params, grads, t):
    """Gradients times the learning rate: with lr = 1, the rate is inside the buffer."""
    return {name: USUAL["momentum"]["lr"](t) * g for name, g in grads.items()}


def clipped(params, grads, t):
    return npo.clip_by_global_norm(grads, 1.0)[0]


def early(t):
    return USUAL["sgd"]["lr"](min(t + 1, STEPS))


def uncorrected(t):
    """With ε̂ in place of ε, the rate at which Adam does not correct its moments."""
    return USUAL["adam"]["lr"](t) * (1 - 0.8**t) / math.sqrt(1 - 0.9**t)


def undecayed(t):
    """The weight decay that lr makes .01 again."""
    return 0.01 / USUAL["adamw"]["lr"](t)


def forgetful(t):
    """The exponent that makes Adafactor's β̂₂ .9 from the second step on."""
    return math.log(10) / math.log(t) if t > 1 else 0.8


HAT = eps_hat(1e-2, beta2=0.9)

# Well-known mistakes, each made of a shipped rule with other arguments or gradients than it is
# compared at: (rule, what is wrong) -> (what is run instead, its arguments, what is done to grads).
MISTAKES = {
    ("sgd", "the rate of the next step"): (npo.SGD, {"lr": early}, None),
    ("momentum", "lr inside the buffer"): (npo.Momentum, {"lr": 1.0}, scaled),
    ("momentum", "Nesterov's step"): (npo.Nesterov, {}, None),
    ("nesterov", "lr inside the buffer"): (npo.Nesterov, {"lr": 1.0}, scaled),
    ("nesterov", "the ball's step"): (npo.Momentum, {}, None),
    ("adam", "epsilon hat"): (npo.Adam, {"eps": HAT}, None),
    ("adam", "no bias correction"): (npo.Adam, {"lr": uncorrected, "eps": HAT}, None),
    ("adamw", "decay in the gradient"): (npo.AdamW, {"weight_decay": 0}, decayed(0.1)),
    ("adamw", "decay without lr"): (npo.AdamW, {"weight_decay": undecayed}, None),
    ("lars", "one norm of g + λθ"): (npo.LARS, {"weight_decay": 0}, decayed(0.1)),
    ("lamb", "decay in the gradient"): (npo.LAMB, {"weight_decay": 0}, decayed(0.1)),
    ("lamb", "gradients clipped"): (npo.LAMB, {}, clipped),
    ("lamb", "no trust ratio"): (npo.AdamW, {}, None),
    ("lion", "decay in the gradient"): (npo.Lion, {"weight_decay": 0}, decayed(0.5)),
    ("lion", "betas swapped"): (npo.Lion, {"betas": (0.9, 0.7)}, None),
    ("adafactor", "a fixed memory"): (npo.Adafactor, {"decay": forgetful}, None),
    ("adafactor", "never clipped"): (npo.Adafactor, {"clip": 1e9}, None),
    ("came", "decay in the gradient"): (npo.CAME, {"weight_decay": 0}, decayed(0.1)),
    ("came", "never clipped"): (npo.CAME, {"clip": 1e9}, None),
}


@pytest.mark.parametrize(("rule", "wrong"), MISTAKES)
def test_a_mistake_is_far_from_every_reference(rule, wrong):
    build, arguments, change = MISTAKES[rule, wrong]
    trajectory = run_npoptim(build, USUAL[rule] | arguments, SHAPES, change)
    references = [key for key in GOLDEN if key[0] == rule and EXACT[key].ours == USUAL[rule]]
    assert references
    for key in references:
        assert distance(GOLDEN[key], trajectory) > FAR


def test_the_ten_rules_are_covered():
    assert len(RULES) == 10
    assert set(RULES) <= npo.optimizers().keys()
    assert {rule for rule, _ in MISTAKES} == set(RULES)


def test_difference_is_relative_to_each_step():
    theirs = np.array([[1e-6, 0.0], [1e6, 1.0]])
    assert difference(theirs, theirs) == 0
    assert difference(theirs + np.diag([2e-18, 0]), theirs) == pytest.approx(2e-12, rel=1e-3)
    assert difference(theirs + np.diag([0, 1e-7]), theirs) == pytest.approx(1e-13, rel=1e-3)
    assert not difference(theirs * [[1, 1], [1, math.nan]], theirs) <= 1


def test_numbers_survive_the_file(tmp_path):
    golden = make.Golden({"recipe": "λ"}, {"W": np.array([0.1, np.pi])})
    make.write("sgd", [golden, golden], tmp_path)
    first, second = make.read("sgd", tmp_path)
    assert golden.same(first)
    assert golden.same(second)
    assert not golden.same(make.Golden(golden.about, {"W": np.array([0.1, 3.14])}))


def test_the_readme_names_every_reference():
    text = Path(make.__file__).with_name("README.md").read_text(encoding="utf-8")
    assert [r.recipe for r in REFERENCES if f"`{r.recipe}`" not in text] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "reference", REFERENCES, ids=lambda reference: f"{reference.rule}-{reference.path}"
)
def test_live(reference):
    if reference.missing:
        pytest.skip(reference.missing)
    row = make.compare(reference)
    assert not row.unexpected, make.show(row)
