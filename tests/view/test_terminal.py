"""A trace in the terminal: 80 columns, aligned where accents take none, colour on request."""

import io
import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import npoptim as npo
from npoptim import trace
from npoptim.view.terminal import columns, table, wants_colour, wrapped

ADAM = """\
Adam(lr=0.1, betas=(0.9, 0.999), eps=1e-08)
── step 1 · p (2,) ─────────────────────────────────────────
  1  given lr, β₁, β₂, ε       lr = 0.1   eps = 1e-08
     lr, eps = self.lr, self.eps
     beta1, beta2 = self.betas
                               beta1 = 0.9   beta2 = 0.999
  2  t ← 0, m ← 0, v ← 0       m = [0 0]
                               v = [0 0]
     return {"m": np.zeros_like(p), "v": np.zeros_like(p)}
  3  t ← t + 1                 t = 1
  4  g ← ∇f(θ)                 g = [2 -0.5]
  5  m ← β₁ m + (1 − β₁) g     m = [0.2 -0.05]
     m = beta1 * m + (1 - beta1) * g
       = 0.9 * [0 0] + 0.1 * [2 -0.5]
  6  v ← β₂ v + (1 − β₂) g²    v = [0.004 0.00025]
     v = beta2 * v + (1 - beta2) * g**2
       = 0.999 * [0 0] + 0.001 * [2 -0.5]**2
  7  m̂ ← m / (1 − β₁ᵗ)         m_hat = [2 -0.5]
     m_hat = m / (1 - beta1**t)
           = [0.2 -0.05] / 0.1
  8  v̂ ← v / (1 − β₂ᵗ)         v_hat = [4 0.25]
     v_hat = v / (1 - beta2**t)
           = [0.004 0.00025] / 0.001
  9  θ ← θ − lr m̂ / (√v̂ + ε)   p = [0.9 1.1]
     p = p - lr * m_hat / (np.sqrt(v_hat) + eps)
       = [1 1] - 0.1 * [2 -0.5] / (np.sqrt([4 0.25]) +
       1e-08)"""


def test_adam_in_full():
    tr = trace(npo.Adam(lr=0.1), np.ones(2), np.array([2.0, -0.5]))
    assert table(tr, width=60) == ADAM
    assert str(tr) == table(tr)


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("shape", [(), (3,), (3, 4), (50, 60)])
@pytest.mark.parametrize("cls", npo.optimizers().values())
def test_no_row_is_too_wide_and_values_stand_in_one_column(cls, shape, width):
    p = np.array(np.random.default_rng(0).normal(size=shape))
    text = table(trace(cls(), p, np.array(-1.2345678 * p)), width)
    rows = text.splitlines()
    assert max(map(columns, rows)) <= width
    starts = {
        columns(row[: match.start()]) + 3
        for row in rows
        if (match := re.search(r"   (?=[A-Za-z_0-9]+ = \S)", row)) and "←" in row
    }
    assert len(starts) <= 1


def test_groups():
    opt = npo.Groups({"*.b": npo.SGD(lr=0.5), "*": npo.Momentum()})
    params = {"0.W": np.ones((2, 2)), "0.b": np.ones(2)}
    tr = trace(opt, params, {k: p.copy() for k, p in params.items()}, steps=3)
    titles = [row for row in str(tr).splitlines() if row.startswith("──")]
    assert [re.sub(" ─+$", "", t) for t in titles] == [
        f"── step {t} · {name} {shape}"
        for t in (1, 2, 3)
        for name, shape in (("0.W", "(2, 2)"), ("0.b", "(2,)"))
    ]
    assert str(tr).startswith("Groups({\n    '*.b': SGD(lr=0.5),\n    '*': Momentum(")


def test_colour_only_where_asked_for():
    tr = trace(npo.Adam(), np.ones(2), np.ones(2))
    plain, coloured = table(tr), table(tr, colour=True)
    assert "\033" not in plain
    assert "\033[1m" in coloured
    assert re.sub(r"\033\[\d*m", "", coloured) == plain


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "environment", "wanted"),
    [
        (Terminal(), {}, True),
        (io.StringIO(), {}, False),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
    ],
)
def test_colour_is_for_terminals(stream, environment, wanted, monkeypatch):
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert wants_colour(stream) is wanted


@pytest.mark.parametrize(
    ("text", "width"), [("", 0), ("m̂", 1), ("β̂₂", 2), ("θ ← θ − v", 9), ("数", 2), ("e\u0301", 1)]
)
def test_columns(text, width):
    assert columns(text) == width


LETTERS = st.lists(st.sampled_from(["a", "b", " ", "m̂", "β̂₂", "数", "[", "]"]), max_size=60)


@given(LETTERS, st.integers(2, 20))
def test_wrapping_loses_nothing_but_spaces(letters, width):
    text = "".join(letters)
    rows = wrapped(text, width)
    assert max(map(columns, rows)) <= width
    assert "".join(rows).replace(" ", "") == text.replace(" ", "")
    assert not any(unicodedata.combining(row[0]) for row in rows[1:] if row)
