"""The maths checks the code: every box, computed, gives what its code gave."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

import npoptim as npo
from npoptim import trace
from npoptim.optimizers.box import boxes
from npoptim.trace.agreement import BoxError, apart, check_box
from npoptim.trace.notation import NotationError

SHAPES = [(), (5,), (3, 4), (4, 3), (2, 3, 3, 2), (1, 1), (0,)]
RULES = list(npo.optimizers().values())


def shipped(name):
    """A rule that lies with the tests."""
    path = Path(__file__).parents[1] / "rules" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return next(x for x in vars(module).values() if getattr(x, "__module__", "") == name)


def any_hyper(opt, rng):
    """Hyper-parameters drawn from all that is sensible."""
    for name, value in opt.hyper().items():
        high = {"lr": 0.2, "eps": 0.1, "betas": 0.99, "momentum": 0.99}.get(name, 1.0)
        drawn = rng.uniform(0.01, high, size=len(value) if isinstance(value, tuple) else None)
        setattr(opt, name, tuple(drawn) if isinstance(value, tuple) else float(drawn))
    return opt


def check(cls, shape, dtype, seeds):
    for seed in seeds:
        rng = np.random.default_rng(seed)
        size = 10.0 ** rng.uniform(-3, 3)
        p = np.array(rng.normal(size=shape) * size, dtype=dtype)
        gradients = [np.array(rng.normal(size=shape) * 3, dtype=dtype) for _ in range(3)]
        check_box(trace(any_hyper(cls(), rng), p, gradients))


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("cls", RULES)
def test_every_line_gives_what_the_box_says(cls, dtype):
    for shape in SHAPES:
        check(cls, shape, dtype, range(2 if dtype == "float64" else 1))


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("cls", RULES)
def test_every_line_gives_what_the_box_says_in_many_states(cls, shape):
    check(cls, shape, "float64", range(40))


@pytest.mark.parametrize("name", ["rmsprop", "amsgrad"])
def test_boxes_never_seen_evaluate(name):
    for shape in SHAPES:
        check(shipped(name), shape, "float64", range(3))


@pytest.mark.parametrize("cls", RULES)
def test_zeros(cls, make):
    """A norm of 0 makes its quotient 1."""
    for p, g in (
        (np.zeros((2, 3)), np.ones((2, 3))),
        (np.ones(4), np.zeros(4)),
        (np.zeros(3),) * 2,
    ):
        check_box(trace(make.telling(cls), p.copy(), g, steps=2))


# ---------------------------------------------------------------- boxes that are wrong

SPOILED = {
    " + ": " − ",
    " − ": " + ",
    " / ": " ",
    "√": "",
    "²": "",
    "ᵗ": "",
    "^−": "^",
    "^": " ",
    "sign(": "(",
    "max(": "min(",
    "RMS(": "(",
    "Σⱼ": "Σᵢ",
    "Σᵢ": "Σⱼ",
    "Σⱼ ": "",
    "Σᵢ ": "",
}
PRODUCT = re.compile(r"(?<=[^\s←+−/,(]) (?=[^\s←+−/,])")
NORM = re.compile(r"‖([^‖]*)‖")


def spoils(text):
    """A line of a box with one operator changed, for each of them."""
    head, arrow, formula = text.partition("← ")
    for old, new in SPOILED.items():
        for match in re.finditer(re.escape(old), formula):
            yield head + arrow + formula[: match.start()] + new + formula[match.end() :]
    for match in PRODUCT.finditer(formula):
        yield head + arrow + formula[: match.start()] + " + " + formula[match.end() :]
    for match in NORM.finditer(formula):
        yield head + arrow + formula[: match.start()] + f"RMS({match[1]})" + formula[match.end() :]


@pytest.mark.parametrize(
    ("cls", "which"), [(cls, i) for cls in RULES for i in range(len(boxes(cls)))]
)
def test_every_operator_spoiled_is_noticed(cls, which, make):
    shape, count = [(3, 4), (5,)][which], 0
    for text in list(boxes(cls)[which].values())[1:]:
        for spoiled in spoils(text):
            parts = cls.__doc__.split("for vectors::")
            parts[which] = parts[which].replace(text, spoiled)
            wrong = type(cls.__name__, (cls,), {"__doc__": "for vectors::".join(parts)})
            assert spoiled in boxes(wrong)[which].values()
            with pytest.raises((BoxError, NotationError)):
                check_box(make.steps(make.telling(wrong), shape))
            count += 1
    assert count >= 2 * (len(boxes(cls)[which]) - 3)


def test_what_is_said_of_a_wrong_line(make):
    doc = npo.Adam.__doc__.replace("m / (1 − β₁ᵗ)", "m / (1 + β₁ᵗ)")
    wrong = type("Adam", (npo.Adam,), {"__doc__": doc})
    with pytest.raises(BoxError) as error:
        check_box(trace(wrong(), np.ones(1), np.full(1, 2.0)))
    assert str(error.value) == (
        "step 1, p, line 7: m̂ ← m / (1 + β₁ᵗ) gives [0.1053], "
        "but m_hat = m / (1 - beta1**t) gives [2]."
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("        m_hat = m / (1 - beta1**t)  # line 7\n", "", "line 7 of the box, .* has no code"),
        ("  # line 8", "", "code that no line of the box has: v_hat = v"),
        ("  # line 8", "  # line 12", "code that no line of the box has: v_hat = v"),
        ("lr, eps = self.lr, self.eps", "lr = self.lr", "but the code gives lr, beta1, beta2"),
        ("v_hat = v / (1", "v = v / (1", "but the code assigns v"),
    ],
)
def test_lines_without_code_and_code_without_lines(old, new, message, make):
    with pytest.raises(BoxError, match=message):
        check_box(make.steps(make.telling(make.edited(npo.Adam, (old, new)))))


def swapped(cls, i, j, make):
    """The rule with two lines of the box, and the numbers in its code, in each other's place."""
    box = boxes(cls)[0]
    return make.edited(
        cls,
        *[(f" {n}  {box[n]}\n", f" {n}  {box[m]}\n") for n, m in ((i, j), (j, i))],
        (f"# line {i}\n", "# line I\n"),
        (f"# line {j}\n", f"# line {i}\n"),
        ("# line I\n", f"# line {j}\n"),
    )


@pytest.mark.parametrize(
    ("cls", "i", "j"),
    [
        (npo.Momentum, 4, 5),
        (npo.Nesterov, 4, 5),
        (npo.Adam, 5, 7),
        (npo.AdamW, 6, 8),
        (npo.Lion, 4, 6),  # c would be computed from the new m
        (npo.LAMB, 10, 11),
    ],
)
def test_lines_of_the_box_in_another_order_than_the_code(cls, i, j, make):
    with pytest.raises(BoxError, match=f"the code runs line {j}, .*, before line {i}, "):
        check_box(make.steps(make.telling(swapped(cls, i, j, make))))


def test_lines_that_do_not_need_each_other_come_in_any_order(make):
    check_box(make.steps(make.telling(swapped(npo.Adam, 5, 6, make))))
    check_box(make.steps(make.telling(swapped(npo.LAMB, 7, 8, make))))


def test_a_value_of_another_shape_is_another_value(make):
    wrong = make.edited(
        npo.LARS, ("+ wd * norm(p))  # line 4", "+ wd * norm(p)) + 0 * p  # line 4")
    )
    with pytest.raises(BoxError, match=r"line 4: γ ← .* gives 0\.5"):
        check_box(make.steps(make.telling(wrong)))


# ---------------------------------------------------------------- agreement of numbers


@pytest.mark.parametrize(
    ("a", "b", "at"),
    [
        (1.0, 1.0 + 1e-13, None),
        (1.0, 1.0 + 1e-11, ()),
        (np.array([1.0, 1e-9]), np.array([1.0, 1.1e-9]), (1,)),
        (np.array([[1, np.nan]]), np.array([[1, np.nan]]), None),
        (np.array([[1, np.nan]]), np.array([[1, 2.0]]), (0, 1)),
        (np.array([np.inf]), np.array([np.inf]), None),
        (np.array([np.inf]), np.array([-np.inf]), (0,)),
        (np.float32([1, 1e-9]), np.float32([1, 2e-9]), None),
        (np.float32([1, 1e-9]), np.float32([1.001, 1e-9]), (0,)),
        (np.zeros((0, 3)), np.zeros((0, 3)), None),
        (3, 3, None),
        (3, 4, ()),
    ],
)
def test_apart(a, b, at):
    assert apart(a, b, 1e-12) == at


def test_what_is_left_of_larger_numbers_counts_by_them():
    assert apart(1e-8, 1.00001e-8, 1e-12) == ()
    assert apart(1e-8, 1.00001e-8, 1e-12, beside=1.0) is None
