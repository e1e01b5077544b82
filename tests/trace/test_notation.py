"""The notation of the boxes: what it means, and what is said where it ends."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import npoptim as npo
from npoptim.optimizers.box import boxes
from npoptim.trace.maths import evaluate
from npoptim.trace.notation import NotationError, code_name, parse, reads, targets

NUMBERS = {
    "a": 2.0,
    "b": 3.0,
    "d": 5.0,
    "lr": 0.5,
    "t": 3,
    "beta1": 0.5,
    "x_hat": 7.0,
    "decay": 2.0,
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2 + 3 − 4", 1),
        ("2 - 3 - 4", -5),
        ("−a + b", 1),
        ("a b d", 30),
        ("a·b", 6),
        ("a / b d", 10 / 3),  # from left to right
        ("a / (b d)", 2 / 15),
        ("1 − β₁ᵗ", 1 - 0.125),
        ("a²", 4),
        ("a³ b", 24),
        ("a b²", 18),
        ("(a b)²", 36),
        ("a⁻¹", 0.5),
        ("t^−decay", 1 / 9),
        ("t^a", 9),
        ("t^(a + 1)", 27),
        ("√(a + 2) b", 6),
        ("√a²", 2),
        ("a √a² / √b²", 4 / 3),
        ("sign(a − b)", -1),
        ("max(a, b)", 3),
        ("min(a, b) + 1", 3),
        ("exp(log(a))", 2),
        ("lr x̂", 3.5),
        ("2.5e-1 a", 0.5),
        ("1e−2", 0.01),
    ],
)
def test_arithmetic(text, value):
    name, got = evaluate(f"y ← {text}", NUMBERS)
    assert name == "y"
    assert got == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_composed_and_combined_letters_are_one(form):
    text = unicodedata.normalize(form, "û ← û / max(1, RMS(û) / d) β̂₂")
    env = {"u_hat": np.array([3.0, 4.0]), "d": 1.0, "beta2_hat": 2.0}
    name, value = evaluate(text, env)
    assert name == "u_hat"
    assert value == pytest.approx(np.array([3.0, 4.0]) / np.sqrt(12.5) * 2)


@pytest.mark.parametrize(
    ("letter", "name"),
    [
        ("θ", "p"),
        ("λ", "wd"),
        ("ε₁", "eps1"),
        ("ϵ", "eps"),
        ("μ", "mu"),
        ("µ", "mu"),  # the micro sign, on many keyboards
        ("η", "eta"),
        ("ρ", "rho"),
        ("β₁₂", "beta12"),
        ("β̂₂", "beta2_hat"),
        ("ṽ", "v_tilde"),
        ("m̄", "m_bar"),
        ("decay", "decay"),
        ("U", "U"),
    ],
)
def test_letters_have_names_in_code(letter, name):
    assert code_name(letter) == name


def test_what_a_line_gives_and_reads():
    assert targets("given lr, β₁, ε") == ("lr", "beta1", "eps")
    assert targets("t ← 0, m ← 0") == ("t", "m")
    assert targets("anything else") == ()
    assert reads("û ← u / max(1, RMS(u) / d)") == {"u", "d"}
    assert reads("given lr") == frozenset()


# ---------------------------------------------------------------- indices

P = np.arange(1.0, 7.0).reshape(2, 3)


def test_rows_and_columns_carry_their_index():
    env = {"p": P, "R": np.array([1.0, 2.0]), "C": np.array([3.0, 4.0, 5.0])}
    assert np.array_equal(evaluate("v ← R C", env)[1], np.outer(env["R"], env["C"]))
    assert np.array_equal(evaluate("v ← C R", env)[1], np.outer(env["R"], env["C"]))
    assert np.array_equal(evaluate("R ← R + Σⱼ θ", env)[1], env["R"] + P.sum(1))
    assert np.array_equal(evaluate("C ← C Σᵢ θ", env)[1], env["C"] * P.sum(0))
    assert evaluate("s ← Σᵢ R", env)[1] == 3
    assert evaluate("s ← Σⱼ C Σᵢ R", env)[1] == 36
    assert evaluate("s ← Σᵢ Σⱼ θ", env)[1] == P.sum()


def test_a_square_matrix_tells_rows_from_columns_by_the_letter():
    env = {"p": np.ones((2, 2)), "r": np.array([1.0, 2.0]), "c": np.array([3.0, 4.0])}
    assert np.array_equal(evaluate("v ← r c / Σᵢ r", env)[1], np.outer([1, 2], [3, 4]) / 3)


def test_a_letter_of_full_shape_carries_both_whatever_it_is_called():
    env = {"p": P, "r": P, "c": 2 * P}
    assert np.array_equal(evaluate("u ← r + c", env)[1], 3 * P)


def test_leading_axes_are_a_batch():
    rng = np.random.default_rng(0)
    p, R, C = rng.random((4, 2, 3)), rng.random((4, 2)), rng.random((4, 3))
    v = evaluate("v ← R C / Σᵢ R", {"p": p, "R": R, "C": C})[1]
    for i in range(4):
        assert v[i] == pytest.approx(np.outer(R[i], C[i]) / R[i].sum())
    assert evaluate("C ← Σᵢ θ", {"p": p})[1] == pytest.approx(p.sum(-2))
    assert evaluate("s ← Σᵢ R", {"p": p, "R": R})[1] == pytest.approx(R.sum(-1))
    assert evaluate("v ← R C / s", {"p": p, "R": R, "C": C, "s": R.sum(-1)})[1] == pytest.approx(v)


def test_norms_and_rms_run_over_the_whole():
    p = np.array([[[3.0, 0.0]], [[0.0, 4.0]]])
    assert evaluate("n ← ‖θ‖", {"p": p})[1] == 5
    assert evaluate("n ← RMS(θ)", {"p": p})[1] == 2.5
    assert evaluate("n ← ‖θ − θ‖ + ‖2 θ‖ ‖θ‖", {"p": p})[1] == 50


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a ‖θ‖ / ‖g‖ g", 6.0),  # 3 · 1 · 2
        ("a ‖θ‖ / (‖g‖ + d ‖θ‖)", 3.0),
        ("‖g‖ / ‖θ‖", 1.0),
        ("‖g‖ / (a ‖θ‖)", 1.0),
    ],
)
def test_a_quotient_of_norms_is_1_where_either_is_0(text, value):
    env = {"p": np.zeros(1), "g": np.full(1, 2.0), "a": 3.0, "d": 0.0}
    if "/ (‖g‖" in text:
        env["g"] = np.zeros(1)
    assert np.all(evaluate(f"y ← {text}", env)[1] == value)


def test_other_quotients_by_0_are_not():
    assert evaluate("y ← ‖θ‖ / a", {"p": np.ones(1), "a": 0.0})[1] == np.inf
    assert evaluate("y ← a / ‖θ‖", {"p": np.zeros(1), "a": 2.0})[1] == np.inf


def test_single_precision_is_computed_in_double():
    x = np.float32(0.1)
    value = evaluate("y ← θ²", {"p": np.full(2, x)})[1]
    assert value.dtype == np.float64
    assert value[0] == float(x) ** 2


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("text", "message", "caret"),
    [
        ("m ← β₁ m + (1 − β₁ g", "')' is expected here", 20),
        ("m ←", "a number, a letter or '(' is expected here", 3),
        ("← 3", "a letter is expected here", 0),
        ("m + 3", "'←' is expected here", 2),
        ("m̂ ← m / (1 − β₁ᵗ))", "the line should end here", 17),  # m̂ is one column
        ("m ← 3 $ 4", "'$' is no part of the notation", 6),
        ("m ← foo(3)", "the functions are sign, exp, log, RMS, max, min", 4),
        ("m ← max(1)", "',' is expected here", 9),
        ("m ← Σₖ g", "the index of a sum is ᵢ or ⱼ", 5),
        ("m ← Σ g", "an index, ᵢ or ⱼ, is expected here", 6),
        ("m ← ‖g", "'‖' is expected here", 6),
        ("m ← g q", "q (q) is not known here, only p, g, C", 6),
        ("v ← g − Σᵢ C", "nothing here carries the index i", 8),
        ("m ← 1, v ← 2", "2 assignments where one is expected", 0),
        ("given lr", "0 assignments where one is expected", 0),
    ],
)
def test_errors_say_what_and_where(text, message, caret):
    env = {"p": np.ones((2, 2)), "g": np.ones((2, 2)), "C": np.ones(2)}
    with pytest.raises(NotationError) as error:
        evaluate(text, env)
    first, line, mark = str(error.value).splitlines()
    assert first == f"{message}."
    assert unicodedata.normalize("NFC", line) == unicodedata.normalize("NFC", f"    {text}")
    assert mark == " " * (4 + caret) + "^"


def test_shapes_that_do_not_go_together():
    with pytest.raises(NotationError, match=r"R of shape \(5,\) does not fit \(2, 3\)"):
        evaluate("y ← R", {"p": P, "R": np.ones(5)})
    with pytest.raises(NotationError, match="broadcast"):
        evaluate("y ← θ + g", {"p": P, "g": np.ones((3, 2))})


PIECES = [
    "θ",
    "m̂",
    "β₁",
    "lr",
    "2",
    "+",
    "−",
    "/",
    "√",
    "²",
    "ᵗ",
    "(",
    ")",
    "‖",
    "Σᵢ",
    "Σⱼ",
    "max(",
    ",",
]


@given(st.lists(st.sampled_from([*PIECES, "^", "←", "given", "RMS(", " "]), max_size=12))
def test_whatever_is_written_gives_a_value_or_a_notation_error(pieces):
    env = {"p": P, "m_hat": P, "beta1": 0.5, "lr": 0.1, "t": 2}
    try:
        value = evaluate("y ← " + " ".join(pieces), env)[1]
    except NotationError:
        return
    assert np.shape(value) in [(), (2,), (3,), (2, 3)]


def test_every_line_of_every_box_is_in_the_notation():
    for cls in npo.optimizers().values():
        for box in boxes(cls):
            for text in box.values():
                assert targets(text)
                assert bool(parse(text)) != text.startswith("given")
