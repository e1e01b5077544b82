"""The derivations hold: differences agree, notes and code agree, a wrong line is seen."""

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import npoptim
from npoptim import check_gradients, models

SOURCE = Path(npoptim.__file__).parent / "models"
NOTES = Path(__file__).parents[2] / "docs" / "derivations"
MODULES = ["layers", "linear", "logistic", "softmax", "mlp", "factorization", "conv", "transformer"]


def test_gradients_agree_with_differences(case):
    model, params, x, y = case
    errors = check_gradients(model, params, x, y)
    assert errors.keys() == params.keys()
    assert max(errors.values()) <= 1e-7, errors


# ---------------------------------------------------------------- a wrong line is seen

# an input on which every line of each module acts, square where a transpose must not show by shape
SQUARE = {
    "linear": models.Ridge(4, penalty=0.3),
    "logistic": models.LogisticRegression(4),
    "softmax": models.SoftmaxRegression(4, 4),
    "mlp": models.MLP([4, 4, 4, 4], "tanh", layer_norm=True),
    "factorization": models.MatrixFactorization(4, 4, 2),
    "conv": models.ConvNet(4, (4, 4), 4, "tanh"),
    "transformer": models.Transformer(4, 5, 4, 2, 4, tied=True),
}
# where the lines of layers.py act: equation -> model
USED_BY = {
    **dict.fromkeys((1, 2, 18), models.MLP([4, 4, 4])),
    3: SQUARE["factorization"],
    4: models.MLP([4, 4, 4], "relu"),
    5: models.MLP([4, 4, 4], "tanh"),
    **dict.fromkeys((6, 7), models.MLP([4, 4, 4], "gelu")),
    **dict.fromkeys((10, 11, 12, 13), SQUARE["mlp"]),
    15: SQUARE["transformer"],
    20: SQUARE["logistic"],
    22: SQUARE["linear"],
    25: SQUARE["conv"],
}


def batch(model):
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((4, 4)), np.array([3, 0, 2, 2])
    if model.task == "regression":
        return x, rng.standard_normal(4)
    if model.task == "rating":
        return np.array([[0, 1], [0, 2], [3, 1], [3, 1]]), rng.standard_normal(4)
    if model.task == "language":
        return rng.integers(0, 4, (3, 5)), rng.integers(0, 4, (3, 5))
    if type(model).__name__ == "ConvNet":
        return rng.standard_normal((4, 16)), y
    return x, y % 2 if type(model).__name__ == "LogisticRegression" else y


def largest_error(model):
    x, y = batch(model)
    rng = np.random.default_rng(0)
    params = {k: p + 0.3 * rng.standard_normal(p.shape) for k, p in model.init(rng).items()}
    try:
        errors = check_gradients(model, params, x, y, directions=2, coordinates=4)
    except ValueError as error:  # the gradient has another shape
        assert "shape" in str(error)  # noqa: PT017  # either way it is seen
        return np.inf
    return max(errors.values())


def rebuilt(monkeypatch, module, line, wrong, model):
    """`model` from sources in which `line` of `module` reads `wrong`."""
    home = type(model).__module__.rpartition(".")[2]
    for name in dict.fromkeys((module, home)):
        text = (SOURCE / f"{name}.py").read_text(encoding="utf-8")
        if name == module:
            assert text.count(line) == 1
            text = text.replace(line, wrong)
        path = f"npoptim.models.{name}"
        fresh = importlib.util.module_from_spec(importlib.util.spec_from_loader(path, None))
        monkeypatch.setitem(sys.modules, path, fresh)
        monkeypatch.setattr(models, name, fresh, raising=False)
        exec(compile(text, f"<{name} with a mistake>", "exec"), vars(fresh))
    fields = {k: getattr(model, k) for k in model.__dataclass_fields__}
    return getattr(fresh, type(model).__name__)(**fields)


def backward_lines():
    """(module, equation, line, what it assigns, the value) of each tagged line of a backward pass."""
    for module in MODULES:
        for line in (SOURCE / f"{module}.py").read_text(encoding="utf-8").splitlines():
            tagged = re.fullmatch(r"(\s*(?:d|grads|slope).*) = (.*?)  # .*\((\d+)\)", line)
            if tagged:
                yield module, int(tagged[3]), line, tagged[1], tagged[2]


def seeded(operator):
    """Each of these lines with `operator` before its value, or before the gradient it starts from."""
    for module, equation, line, left, right in backward_lines():
        if ", " in left:
            wrong, changes = re.subn(r"\((d\w+)", rf"({operator}\1", right, count=1)
            assert changes
        else:
            wrong = f"{operator}({right})"
        yield pytest.param(module, equation, line, f"{left} = {wrong}", id=f"{module}-{equation}")


def check_seen(monkeypatch, module, equation, line, wrong):
    model = USED_BY[equation] if module == "layers" else SQUARE[module]
    assert largest_error(rebuilt(monkeypatch, module, line, wrong, model)) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(("module", "equation", "line", "wrong"), [*seeded("-")])
def test_a_wrong_sign_is_seen(monkeypatch, module, equation, line, wrong):
    check_seen(monkeypatch, module, equation, line, wrong)


@pytest.mark.slow
@pytest.mark.parametrize(("module", "equation", "line", "wrong"), [*seeded("0.5 * ")])
def test_a_missing_factor_is_seen(monkeypatch, module, equation, line, wrong):
    check_seen(monkeypatch, module, equation, line, wrong)


@pytest.mark.parametrize(
    ("module", "equation", "right", "wrong"),
    [
        ("layers", 1, "x.T @ dz", "dz.T @ x"),
        (
            "layers",
            3,
            "outer(e.astype(dout.dtype), dout)",
            "outer(dout, e.astype(dout.dtype)).T[::-1]",
        ),
        ("linear", 4, "dz @ x", "x @ dz"),
        ("logistic", 4, "dz @ x", "x @ dz"),
        ("softmax", 4, "x.T @ dz", "dz.T @ x"),
        ("mlp", 7, "outer(h, dz)", "outer(dz, h)"),
        ("mlp", 8, '.W"].T', '.W"]'),
        ("mlp", 12, "outer(h, du)", "outer(du, h)"),
        ("factorization", 9, "gathered(column,", "gathered(row,"),
        ("factorization", 10, "gathered(row,", "gathered(column,"),
        ("conv", 8, '.W"].T', '.W"]'),
        ("conv", 13, "flip(W)", "W[::-1, ::-1]"),
        ("conv", 13, "flip(W)", "W.swapaxes(2, 3)"),
        ("transformer", 18, "outer(g, dz)", "outer(dz, g)"),
        ("transformer", 19, "self._head(p).T", "self._head(p)"),
        ("transformer", 23, '.W"].T', '.W"]'),
        ("transformer", 27, '.W"].T', '.W"]'),
        ("transformer", 32, '.Wo"].T', '.Wo"]'),
        ("transformer", 33, "w.swapaxes(-1, -2)", "w"),
        ("transformer", 36, "ds.swapaxes(-1, -2)", "ds"),
        ("transformer", 37, "ds @ k", "ds.swapaxes(-1, -2) @ k"),
        ("transformer", 41, '.Wq"].T', '.Wq"]'),
        ("transformer", 41, '.Wk"].T', '.Wk"]'),
        ("transformer", 41, '.Wv"].T', '.Wv"]'),
        ("transformer", 46, "dW.T", "dW"),
    ],
)
def test_a_transpose_is_seen(monkeypatch, module, equation, right, wrong):
    (line,) = [line for m, n, line, *_ in backward_lines() if (m, n) == (module, equation)]
    assert right in line
    check_seen(monkeypatch, module, equation, line, line.replace(right, wrong))


@pytest.mark.parametrize("module", MODULES)
def test_the_same_source_without_a_mistake_is_right(monkeypatch, module):
    _, equation, line, *_ = next(found for found in backward_lines() if found[0] == module)
    model = USED_BY[equation] if module == "layers" else SQUARE[module]
    assert largest_error(rebuilt(monkeypatch, module, line, line, model)) < 1e-7


def test_every_line_that_speaks_of_a_gradient_was_tried():
    tried = {(p.values[0], p.values[1]) for p in seeded("-")}
    spoken = {(m, n) for m in MODULES for n, said in tags(m) if said.startswith("∂")}
    # the gradients of a criterion are those of layers.py, called by name
    criteria = {("linear", 2), ("logistic", 2), ("softmax", 2), ("mlp", 5), ("factorization", 5)}
    assert spoken - tried == criteria | {("conv", 5), ("transformer", 16)}


# ---------------------------------------------------------------- notes and code agree

LETTERS = {"0": "₀", "1": "₁", "q": "q", "k": "k", "v": "v", "o": "o"}


def tags(module):
    text = (SOURCE / f"{module}.py").read_text(encoding="utf-8")
    return [(int(n), said.strip()) for said, n in re.findall(r"  # (.*)\((\d+)\)$", text, re.M)]


def equations(module):
    text = (NOTES / f"{module}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^\$\$\n(.*?)\n\$\$$", text, re.M | re.S)
    found = [re.fullmatch(r"(.*) \\tag\{(\d+)\}", block) for block in blocks]
    return [(int(m[2]), m[1]) for m in found if m]


def plain(latex):
    """The left side of an equation as the comments write it."""
    left = latex.split(" = ")[0]
    left = re.sub(r"\\frac\{\\partial (\w+)\}\{\\partial (.*?)\}$", r"∂\1/∂\2", left)
    left = re.sub(r"\\text\{(.*?)\}", r"\1", left).replace("\\log", "log")
    return re.sub(r"_(\w)", lambda m: LETTERS[m[1]], left)


@pytest.mark.parametrize("module", MODULES)
def test_every_tag_has_its_equation_and_every_equation_its_line(module):
    numbers = [n for n, _ in tags(module)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert [n for n, _ in equations(module)] == numbers


@pytest.mark.parametrize("module", MODULES)
def test_tag_and_equation_speak_of_the_same_thing(module):
    note = dict(equations(module))
    compared = 0
    for number, said in tags(module):
        if " = " in said:
            assert said.split(" = ")[0] == plain(note[number]), number
            compared += 1
    assert compared >= len(note) / 2
