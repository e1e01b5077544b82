"""The recipes of other libraries: what `equivalent` says, and that it is true."""

import ast
import json
import re
import sys
import warnings
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import npoptim as npo
from npoptim.libraries import LIBRARIES, REEXPORTED, Recipe, calls_of, eps_hat, equivalent
from npoptim.libraries.known import CALLS

sys.path.insert(0, str(Path(__file__).parent / "golden"))
import differ
import make
from problem import Rate
from references import REFERENCES, USUAL, called, made
from runners import LIBRARIES as RUNNERS
from runners import constructor, run_npoptim

sys.path.pop(0)

GOLDEN = Path(make.__file__).parent
RULES = list(USUAL)
PAIRS = [(rule, library) for rule in RULES for library in LIBRARIES]
every_pair = pytest.mark.parametrize(("rule", "library"), PAIRS)


def comments(recipe):
    return "\n".join(recipe.remarks)


@every_pair
def test_it_prints_python(rule, library):
    recipe = equivalent(rule, library)
    tree = ast.parse(str(recipe))
    assert len(tree.body) == bool(recipe)
    assert repr(recipe) == str(recipe)
    assert all(line.startswith("# ") for line in str(recipe).splitlines()[bool(recipe) :])
    assert recipe or recipe.remarks


@every_pair
def test_every_hyper_parameter_is_in_the_call(rule, library):
    recipe = equivalent(rule, library)
    if not recipe:
        return
    call = next(c for c in CALLS if c.path == recipe.code.partition("(")[0] and c.rule == rule)
    call = next(c for c in calls_of(rule, call.library) if c.when(recipe.rule))
    fields = {re.match(r"-?(\w+)", place)[1] for place in call.arguments.values()}
    assert recipe.rule.hyper().keys() - fields <= {"lr"}
    for name in call.arguments:
        assert f"{name}=" in recipe.code


@pytest.mark.parametrize(
    ("rule", "library", "hyper", "expected"),
    [
        ("adamw", "torch", {"lr": 0.1}, "torch.optim.AdamW(params, lr=0.1, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.01)"),
        ("adam", "optax", {"betas": (0.8, 0.9)}, "optax.adam(learning_rate=0.001, b1=0.8, b2=0.9, eps=1e-08)"),
        ("nesterov", "keras", {}, "keras.optimizers.SGD(learning_rate=0.01, momentum=0.9, nesterov=True)"),
        ("adafactor", "transformers", {"lr": 0.1, "decay": 0.7}, "transformers.Adafactor(params, lr=0.1, decay_rate=-0.7, eps=(1e-30, 0.001), clip_threshold=1.0, relative_step=False)"),
        ("adamw", "timm", {}, "torch.optim.AdamW(params, lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.01)"),
        ("adam", "keras", {"eps": eps_hat(1e-7, 0.999)}, "keras.optimizers.Adam(learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-07)"),
    ],
)  # fmt: skip
def test_a_call(rule, library, hyper, expected):
    assert equivalent(rule, library, **hyper).code == expected


@pytest.mark.parametrize(
    ("rule", "library", "hyper", "line", "words"),
    [
        ("adam", "keras", {}, 9, "ε̂ form"),
        ("adam", "keras", {"eps": eps_hat(1e-7, 0.99)}, 9, "eps_hat"),
        ("lamb", "keras", {}, 10, "u ← r + λ θ"),
        ("lamb", "torch_optimizer", {}, 7, "third version"),
        ("lamb", "pytorch_optimizer", {}, 7, "‖θ‖ is cut off at 10"),
        ("lars", "optax", {}, 4, "one norm"),
        ("lars", "torch_optimizer", {"weight_decay": 0}, 4, "plain momentum"),
        ("lars", "timm", {"lr": npo.schedules.linear(1.0, 10)}, 5, "lr is constant"),
        ("momentum", "keras", {"lr": npo.schedules.linear(1.0, 10)}, 4, "v ← μ v + g"),
        ("adafactor", "timm", {"lr": 0.1}, 4, "left out"),
        ("adafactor", "torch", {"clip": 0.9}, 11, "refused"),
        ("adafactor", "optax", {"eps": (1e-30, 0.1)}, 4, "no argument"),
        ("came", "torch", {}, None, "PyTorch has no CAME"),
        ("adam", "optax", {"eps": eps_hat(1e-7, 0.999)}, None, "eps follows a schedule"),
        ("adafactor", "transformers", {"decay": lambda t: 0.8}, None, "decay follows a schedule"),
        ("adam", "torch", {"betas": (lambda t: 0.9, 0.99)}, None, "betas follows a schedule"),
    ],
)
def test_where_there_is_none(rule, library, hyper, line, words):
    recipe = equivalent(rule, library, **hyper)
    assert not recipe
    assert recipe.code == ""
    assert recipe.line == line
    assert words in comments(recipe)


@pytest.mark.parametrize("rule", ["lars", "lamb", "momentum"])
def test_a_condition_that_holds_gives_a_recipe(rule):
    library, hyper = {
        "lars": ("optax", {"weight_decay": 0}),
        "lamb": ("keras", {"weight_decay": 0}),
        "momentum": ("keras", {"lr": 0.3}),
    }[rule]
    assert equivalent(rule, library, **hyper)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_schedule_is_explained(library):
    schedule = npo.schedules.linear(1.0, total=4)
    rule = next((r for r in ("sgd", "lion", "came", "adafactor") if calls_of(r, library)), None)
    recipe = equivalent(rule, library, lr=schedule)
    assert "=0.75" in recipe.code  # its first value
    assert repr(schedule) in comments(recipe)
    assert "(t)" in comments(recipe)


def test_a_parameter_group_takes_any_schedule():
    recipe = equivalent("adam", "torch", eps=eps_hat(1e-7, 0.999))
    assert "eps=3.16" in recipe.code
    assert '["eps"] = eps(t)' in comments(recipe)


def test_remarks_say_which_parameters_are_left_out():
    assert "all zeros" in comments(equivalent("lars", "tinygrad"))
    assert "more than two axes" in comments(equivalent("adafactor", "timm"))
    rounded = equivalent("adam", "tinygrad")
    assert "float32" in comments(rounded)
    assert (rounded.within, equivalent("adam", "torch").within) == (1e-4, 1e-12)


def test_an_optimizer_stands_for_its_name():
    recipe = equivalent(npo.SGD(lr=0.5), "torch")
    assert isinstance(recipe, Recipe)
    assert recipe.code == equivalent("SGD", "PyTorch-Optimizer", lr=0.5).code
    with pytest.raises(TypeError, match=r"SGD\(lr=0.5\) has its own. Got lr=1 as well"):
        equivalent(npo.SGD(lr=0.5), "torch", lr=1)


class Mine(npo.Adam):
    """A student's."""


@pytest.mark.parametrize(
    ("rule", "library", "hyper", "error", "words"),
    [
        ("adma", "torch", {}, ValueError, "unknown optimizer 'adma'. Did you mean 'adam'"),
        ("adam", "pytorch", {}, ValueError, "unknown library 'pytorch'. Did you mean 'torch'"),
        ("adam", "opteax", {}, ValueError, "Did you mean 'optax'.*Known: torch, optax, keras"),
        ("adam", 3, {}, TypeError, "name of a library must be a string. Got 3"),
        (3, "torch", {}, TypeError, "name of an optimizer must be a string. Got 3"),
        ("adam", "torch", {"wd": 0}, TypeError, "Adam has no hyper-parameter 'wd'"),
        ("adam", "torch", {"lr": -1}, ValueError, "lr must be"),
        (Mine(), "torch", {}, ValueError, "nothing is known of 'mine'.*Known: sgd, momentum"),
    ],
)
def test_errors(rule, library, hyper, error, words):
    with pytest.raises(error, match=words):
        equivalent(rule, library, **hyper)


def test_every_recipe_stands_on_golden_numbers():
    """A call that can be equal to 1e-12 has a reference whose numbers test_conformance compares."""
    exact = {(r.rule, r.path, called(r.rule, r.ours, r.library).when) for r in REFERENCES
             if r.exact and not r.build and calls_of(r.rule, r.library)}  # fmt: skip
    for call in CALLS:
        mended = all(d.fixed or d.only or d.unless for d in call.departures)
        assert ((call.rule, call.path, call.when) in exact) == mended, call.path


def test_the_arguments_of_the_references_are_those_of_the_recipes():
    for reference in REFERENCES:
        if reference.exact and calls_of(reference.rule, reference.library):
            call = called(reference.rule, reference.ours, reference.library)
            if reference.path == call.path:
                assert reference.arguments == call.recipe(made(reference.rule, reference.ours))


def test_every_departure_has_been_seen():
    """Each line at which a library is said to part stands behind a reference that differs."""
    seen = "; ".join(r.why for r in REFERENCES if not r.exact)
    for call in CALLS:
        for departure in call.departures:
            at_zero = "all zeros" in departure.only  # in differ.json
            capped = "lr is above" in departure.only  # the rates of the problem fall faster
            refused = "refused" in departure.what  # an error of the library, in the slow tests
            broken = "raises an error" in departure.what
            if not (at_zero or capped or refused or broken):
                assert departure.what in seen, (call.path, departure.what)


def test_lines_are_of_the_box():
    for call in CALLS:
        box = npo.pseudocode(npo.optimizers()[call.rule])
        for departure in call.departures:
            assert departure.line in box
            assert departure.line > 2


def test_eps_hat():
    assert eps_hat(1e-2, beta2=0.9)(1) == pytest.approx(1e-2 / 0.1**0.5)
    p, q, m, v = np.ones(1), 1.0, 0.0, 0.0
    adam = npo.Adam(lr=0.1, betas=(0.8, 0.9), eps=eps_hat(1e-2, beta2=0.9))
    for t, g in enumerate([0.3, -0.2, 0.1], start=1):
        adam.step(p, np.array([g]))
        m, v = 0.8 * m + 0.2 * g, 0.9 * v + 0.1 * g * g
        q -= 0.1 * (1 - 0.9**t) ** 0.5 / (1 - 0.8**t) * m / (v**0.5 + 1e-2)
    assert p[0] == pytest.approx(q, rel=1e-12)


def importable(path):
    """The constructor, or a skip where its library is not here."""
    library = path.partition(".")[0]
    if missing := RUNNERS[library].missing(library):
        pytest.skip(missing)
    return constructor(path)


def settings(call):
    """Hyper-parameters at which the call is a recipe, all numbers, and its parameters."""
    ours = {k: v.peak / 2 if isinstance(v, Rate) else v for k, v in USUAL[call.rule].items()}
    texts = {d.unless.text.partition(" ")[0] for d in call.departures if d.unless and not d.fixed}
    if "weight_decay" in texts and call.library != "torch_optimizer":
        ours["weight_decay"] = 0
    if call.rule in ("adam", "adamw") and call.library == "keras":
        ours["eps"] = eps_hat(1e-2, beta2=0.9)
    if call.rule == "adafactor":
        if call.when(npo.Adafactor()):
            del ours["lr"]
        if call.library == "torch":
            ours |= {"eps": (1e-30, 0.3), "clip": 1.0}
        if call.library == "optax":
            ours["eps"] = (1e-2, 1e-3)
    left_out = " ".join(d.only for d in call.departures)
    many, few = "more than two axes" in left_out, "fewer than two axes" in left_out
    return ours, ("W", "b") if many else ("W", "K") if few else ("W", "b", "K")


RUNNABLE = [c for c in CALLS if equivalent(made(c.rule, settings(c)[0]), c.library)]


def test_nearly_every_call_has_a_recipe():
    without = {(c.rule, c.path) for c in CALLS if c not in RUNNABLE}
    assert without == {
        ("lamb", "torch_optimizer.Lamb"),
        ("lamb", "pytorch_optimizer.Lamb"),
        ("adafactor", "timm.optim.Adafactor"),  # with lr given
    }


DIFFER = json.loads((GOLDEN / "differ.json").read_text(encoding="utf-8"))
ROWS = {(row["rule"], row["path"]): row for row in DIFFER["rows"]}


def test_the_page_has_every_call_and_its_versions():
    assert ROWS.keys() == {(c.rule, c.path) for c in CALLS}
    assert list(ROWS) == sorted(ROWS)
    for row in ROWS.values():
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", row["date"])
        assert RUNNERS[row["path"].partition(".")[0]].distribution in row["versions"]
        assert {"numpy", "python"} < row["versions"].keys()


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: f"{row['rule']}-{row['path']}")
def test_what_was_measured_is_what_is_said(row):
    """A library that parts nowhere is equal at its defaults; one that parts is not."""
    rule = npo.get_optimizer(row["rule"], **differ.hyper(row["rule"], strong=True))
    call = next(c for c in CALLS if (c.rule, c.path) == (row["rule"], row["path"]) and c.when(rule))
    anywhere = any(d.shows(rule) and not d.only for d in call.departures)
    some = any("axes" in d.only for d in call.departures)
    numbers = row["strong"].values()
    assert (None in numbers or max(numbers) > 1e-12) == (anywhere or some)
    for name, value in row["strong"].items():
        if not anywhere and some and len(differ.SHAPES[name]) == 2:
            assert value < 1e-12
    if any("all zeros" in d.only for d in call.departures):
        assert row["zeros"]["b"] > 0.9


def test_the_page_says_all_of_it(monkeypatch):
    monkeypatch.syspath_prepend(str(GOLDEN.parents[1] / "docs"))
    import departures

    page = departures.page()
    for row in ROWS.values():
        library = row["path"].partition(".")[0]
        assert f"(libraries-{row['rule']}-{library})=" in page
        assert f"](#libraries-{row['rule']}-{library})" in page
        assert f"`{row['path']}`" in page
    for call in CALLS:
        for departure in call.departures:
            assert departure.what in page
    for name, rule in npo.optimizers().items():
        if name in RULES:
            section = departures.section(rule)
            assert all(f"`{c.path}`" in section for c in CALLS if c.rule == name)
            assert departures.mistakes(rule).count("\n- ") >= 2
    assert departures.section(Mine) == ""


@pytest.mark.slow
@pytest.mark.parametrize("call", RUNNABLE, ids=lambda call: f"{call.rule}-{call.path}")
def test_the_printed_line_is_equal(call):
    importable(call.path)
    ours, tensors = settings(call)
    recipe = equivalent(made(call.rule, ours), call.library)
    names = {call.library: import_module(call.library)}
    import_module(call.path.rpartition(".")[0])
    if "jnp." in recipe.code:
        names["jnp"] = import_module("jax.numpy")

    def build(params=None):
        return eval(recipe.code, {"params": params, **names})

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other libraries' are theirs
        theirs = RUNNERS[call.library].run(build, {}, tensors)
    mine = run_npoptim(npo.optimizers()[call.rule], ours, tensors)
    assert max(make.difference(mine[k], a) for k, a in theirs.items()) <= recipe.within


@pytest.mark.slow
@pytest.mark.parametrize(("library", "rule"), REEXPORTED)
def test_a_reexported_class_is_the_same_object(library, rule):
    path = equivalent(rule, library).code.partition("(")[0]
    assert importable(REEXPORTED[library, rule]) is importable(path)


@pytest.mark.slow
def test_what_is_said_to_be_refused_is():
    torch = pytest.importorskip("torch")
    with pytest.raises(ValueError, match="Clipping threshold"):
        torch.optim.Adafactor([torch.zeros(2)], d=0.9)
    jettify = importable("torch_optimizer.Adafactor")
    p = torch.nn.Parameter(torch.ones(4, 3, 2, 2))
    p.grad = torch.ones_like(p)
    with pytest.raises(RuntimeError, match="must match"):
        jettify([p]).step()
