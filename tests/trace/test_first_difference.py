"""Two traces compared: each mistake is named at its line, and right code passes."""

import numpy as np
import pytest

import npoptim as npo
from npoptim import first_difference, trace

# rule, what is wrong, the line of the box (where the code has numbers, and where it has none),
# and the edits of the rule's source that make it so
_V8 = "        p = p - lr * m - lr * wd * p"  # CAME's last line for vectors
_M = "        p = p - m - lr * wd * p"
IN_MATRICES = [
    ("sgd", "uphill", 4, [("p - lr * g", "p + lr * g")]),
    ("sgd", "lr twice", 4, [("p - lr * g", "p - lr * lr * g")]),
    ("momentum", "an average instead of a sum", 4, [("mu * v + g", "mu * v + (1 - mu) * g")]),
    ("momentum", "the old buffer in the step", 5, [("p - lr * v", "p - lr * g")]),
    ("momentum", "lr inside the buffer", 4, [("v + g", "v + lr * g"), ("p - lr * v", "p - v")]),
    ("nesterov", "the gradient forgotten", 5, [("lr * (g + mu * v)", "lr * mu * v")]),
    ("nesterov", "no look ahead", 5, [("lr * (g + mu * v)", "lr * v")]),
    ("adam", "ε inside the root", 9, [("np.sqrt(v_hat) + eps", "np.sqrt(v_hat + eps)")]),
    (
        "adam",
        "ε before the bias correction",
        9,
        [
            ("        m_hat = m / (1 - beta1**t)  # line 7\n", ""),
            ("        v_hat = v / (1 - beta2**t)  # line 8\n", ""),
            (
                "lr * m_hat / (np.sqrt(v_hat) + eps)",
                "lr * np.sqrt(1 - beta2**t) / (1 - beta1**t) * m / (np.sqrt(v) + eps)",
            ),
        ],
    ),
    (
        "adam",
        "no bias correction",
        7,
        [
            ("        m_hat = m / (1 - beta1**t)  # line 7\n", ""),
            ("        v_hat = v / (1 - beta2**t)  # line 8\n", ""),
            ("lr * m_hat / (np.sqrt(v_hat) + eps)", "lr * m / (np.sqrt(v) + eps)"),
        ],
    ),
    ("adam", "bias correction multiplied", 7, [("m / (1 - beta1**t)", "m * (1 - beta1**t)")]),
    ("adam", "t off by one", 8, [("(1 - beta2**t)", "(1 - beta2 ** (t + 1))")]),
    ("adam", "t counted twice", 3, [("        m = beta1", "        t = t + 1\n        m = beta1")]),
    ("adam", "β₁ in both corrections", 8, [("(1 - beta2**t)", "(1 - beta1**t)")]),
    ("adam", "β₁ and β₂ exchanged", 1, [("beta1, beta2 = self", "beta2, beta1 = self")]),
    ("adam", "g for g²", 6, [("g**2", "g")]),
    ("adam", "corrected m stored", 7, [('{"m": m, "v": v}', '{"m": m_hat, "v": v}')]),
    (
        "adam",
        "the old m stored",
        5,
        [("m = beta1 * m", "new = beta1 * m"), ("m_hat = m /", "m_hat = new /")],
    ),
    (
        "adamw",
        "decay on the updated θ",
        9,
        [
            (
                " + eps) - lr * wd * p  # line 9",
                " + eps)  # line 9\n        p = p - lr * wd * p  # line 9",
            )
        ],
    ),
    (
        "adamw",
        "L2 instead of decoupled",
        4,
        [
            (" - lr * wd * p", ""),
            ("        m = beta1", "        g = g + wd * p\n        m = beta1"),
        ],
    ),
    ("adamw", "decay without lr", 9, [("- lr * wd * p", "- wd * p")]),
    ("lars", "joint norm", 4, [("norm(g) + wd * norm(p))", "norm(g + wd * p))")]),
    ("lars", "η forgotten", 4, [("eta * ratio", "ratio")]),
    (
        "lars",
        "lr outside the buffer",
        5,
        [("mu * v + lr * gamma", "mu * v + gamma"), ("p - v  # line 6", "p - lr * v  # line 6")],
    ),
    (
        "lars",
        "a rate for every weight",
        4,
        [("ratio(norm(p), norm(g) + wd * norm(p))", "np.abs(p) / (np.abs(g) + wd * np.abs(p))")],
    ),
    (
        "lamb",
        "decay outside the ratio",
        10,
        [("u = r + wd * p", "u = r"), ("norm(u)) * u", "norm(u)) * u - lr * wd * p")],
    ),
    (
        "lamb",
        "decay in another line",
        11,
        [
            ("        u = r + wd * p  # line 10\n", ""),
            ("norm(u)) * u", "norm(r)) * r - lr * wd * p"),
        ],
    ),
    ("lamb", "the ratio upside down", 11, [("ratio(norm(p), norm(u))", "ratio(norm(u), norm(p))")]),
    ("lamb", "no ratio", 11, [("lr * ratio(norm(p), norm(u)) * u", "lr * u")]),
    ("lamb", "ε inside the root", 9, [("np.sqrt(v_hat) + eps", "np.sqrt(v_hat + eps)")]),
    (
        "lion",
        "β₁ for β₂ in the memory",
        6,
        [("m = beta2 * m + (1 - beta2)", "m = beta1 * m + (1 - beta1)")],
    ),
    (
        "lion",
        "β₂ for β₁ in the step",
        4,
        [("c = beta1 * m + (1 - beta1)", "c = beta2 * m + (1 - beta2)")],
    ),
    (
        "lion",
        "m updated before the step",
        4,
        [
            ("        m = beta2 * m + (1 - beta2) * g  # line 6\n", ""),
            (
                "        c = beta1",
                "        m = beta2 * m + (1 - beta2) * g  # line 6\n        c = beta1",
            ),
        ],
    ),
    ("lion", "decay inside the sign", 5, [("np.sign(c) + wd * p", "np.sign(c + wd * p)")]),
    (
        "adafactor",
        "no clipping",
        11,
        [
            ("        u_hat = u / np.maximum(1.0, rms(u) / d)  # line 11\n", ""),
            ("p = p - alpha * u_hat  # line 12", "p = p - alpha * u  # line 12"),
        ],
    ),
    (
        "adafactor",
        "the sum over the wrong axis",
        7,
        [("eps1, axis=-1)  # line 7", "eps1, axis=-2)  # line 7")],
    ),
    (
        "adafactor",
        "ε₁ outside the sum",
        8,
        [("np.sum(g**2 + eps1, axis=-2)", "(np.sum(g**2, axis=-2) + eps1)")],
    ),
    ("adafactor", "R by another name", 7, [("        R = beta2", "        alpha = beta2")]),
    ("adafactor", "means for sums", 7, [("np.sum(g", "np.mean(g")]),
    ("adafactor", "the exponent's sign", 6, [("t**-decay", "t**decay")]),
    ("adafactor", "not relative to θ", 4, [("np.maximum(eps2, rms(p)) * rho", "rho")]),
    (
        "adafactor",
        "√v forgotten",
        10,
        [
            (
                "        u = over_root(g, R, C)  # lines 9, 10\n",
                "        v = R[:, None] * C / R.sum()  # line 9\n        u = g / v  # line 10\n",
            )
        ],
    ),
    (
        "adafactor",
        "divided by the sum of C",
        9,
        [
            (
                "        u = over_root(g, R, C)  # lines 9, 10\n",
                "        v = R[:, None] * C / C.mean()  # line 9\n"
                "        u = g / np.sqrt(v)  # line 10\n",
            )
        ],
    ),
    ("came", "instability of u for û", 10, [("(u_hat - m) ** 2", "(u - m) ** 2")]),
    ("came", "the square forgotten", 10, [("(u_hat - m) ** 2", "(u_hat - m)")]),
    ("came", "momentum of u for û", 9, [("(1 - beta1) * u_hat", "(1 - beta1) * u")]),
    ("came", "confidence dropped", (14, 13), [("over_root(m, R, C)", "m")]),
    ("came", "β₂ in the confidence", 11, [("beta3 * R + (1 - beta3)", "beta2 * R + (1 - beta2)")]),
]


VECTORS = [
    ("adafactor", "√v forgotten", 8, [("u = g / np.sqrt(v)", "u = g / v")]),
    ("adafactor", "not clipped", 9, [("np.maximum(1.0, rms(u) / d)  # line 9", "1  # line 9")]),
    ("came", "m multiplied in place", 8, [(_V8, f"        m *= lr  # line 8\n{_M}")]),
    ("came", "m multiplied in place, unsaid", 7, [(_V8, f"        m *= lr\n{_M}")]),
]


def check(rule, number, edits, tagged, shape, make):
    cls = npo.optimizers()[rule]
    right = make.steps(make.telling(cls), shape)
    wrong = make.steps(make.telling(make.edited(cls, *edits, tagged=tagged)), shape)
    found = first_difference(right, wrong)
    assert found is not None
    number = number if isinstance(number, int) else number[not tagged]
    assert found.number == number, str(found)
    assert f"line {number}, {right.boxes['p'][number]}" in str(found)


def names(bank):
    return [f"{rule}, {what}" for rule, what, _, _ in bank]


@pytest.mark.parametrize("tagged", [True, False], ids=["numbers", "names"])
@pytest.mark.parametrize(("rule", "what", "number", "edits"), IN_MATRICES, ids=names(IN_MATRICES))
def test_a_mistake_is_named_at_its_line(rule, what, number, edits, tagged, make):
    # square, so that a sum over the wrong axis is no error
    check(rule, number, edits, tagged, (3, 3), make)


@pytest.mark.parametrize(("rule", "what", "number", "edits"), VECTORS, ids=names(VECTORS))
def test_a_mistake_in_a_vector_box_is_named_at_its_line(rule, what, number, edits, make):
    check(rule, number, edits, True, (4,), make)


# ---------------------------------------------------------------- what is said


def difference(right, wrong, shape=(2,), make=None):
    return first_difference(make.steps(make.telling(right), shape), make.steps(wrong, shape))


SENTENCES = [
    (
        [("np.sqrt(v_hat) + eps", "np.sqrt(v_hat + eps)")],
        "step 1, p, line 9, θ ← θ − lr m̂ / (√v̂ + ε): p should be [1.992 -2.507], but "
        "`p = p - lr * m_hat / (np.sqrt(v_hat + eps))` gives [1.992 -2.506]. "
        "At [0]: 1.992087, not 1.992291.",
    ),
    (
        [("        m_hat = m / (1 - beta1**t)  # line 7\n", ""), ("lr * m_hat", "lr * m")],
        "step 1, p, line 7, m̂ ← m / (1 − β₁ᵗ): m_hat should be [0.4181 -0.5678], "
        "but nothing gives it.",
    ),
    (
        [('{"m": m,', '{"m": m_hat,')],
        "step 1, p, line 7, m̂ ← m / (1 − β₁ᵗ): m should be returned as [0.08362 -0.1136], "
        "but is returned as [0.4181 -0.5678]. At [1]: -0.1136, not -0.5678.",
    ),
    (
        [("        m = beta1", "        g = 2 * g\n        m = beta1")],
        "step 1, p, line 4, g ← ∇f(θ): g should stay [0.4181 -0.5678], but `g = 2 * g` "
        "makes it [0.8362 -1.136]. At [1]: -0.5678, not -1.136.",
    ),
    (
        [("v_hat = v /", "v_hat = v @ m @ m /")],
        "step 1, p, line 8, v̂ ← v / (1 − β₂ᵗ): v_hat should be [0.1748 0.3224], but "
        "`v_hat = v @ m @ m / (1 - beta2**t)` fails.",
    ),
]


@pytest.mark.parametrize(("edits", "sentence"), SENTENCES)
def test_the_sentence(edits, sentence, make):
    found = difference(npo.Adam, make.telling(make.edited(npo.Adam, *edits)), make=make)
    assert str(found) == sentence


def test_the_fields(make):
    wrong = make.telling(make.edited(npo.Adam, ("m / (1 - beta1**t)", "m")))
    found = difference(npo.Adam, wrong, (2, 2), make)
    assert (found.number, found.step, found.param, found.name) == (7, 1, "p", "m_hat")
    assert found.pseudocode == "m̂ ← m / (1 − β₁ᵗ)"
    assert found.expected == pytest.approx(found.got / (1 - 0.8))
    assert found.line.code == "m_hat = m"
    assert found.line.lineno == make.source(npo.Adam).split("m_hat = m /")[0].count("\n") + 1


# ---------------------------------------------------------------- traces of every kind


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2"])
@pytest.mark.parametrize("cls", npo.optimizers().values())
def test_a_trace_does_not_differ_from_itself(cls, dtype, make):
    for shape in [(), (3,), (3, 4), (2, 2, 3)]:
        tr = make.steps(make.telling(cls), shape, dtype=dtype)
        assert first_difference(tr, make.steps(make.telling(cls), shape, dtype=dtype)) is None


@pytest.mark.parametrize(("change", "number"), [(1e-10, None), (1e-8, 1)])
def test_values_agree_within_a_billionth(change, number, make):
    other = make.telling(npo.Lion)
    other.lr *= 1 + change
    found = difference(npo.Lion, other, make=make)
    assert (found and found.number) == number


def test_less_precision_has_more_tolerance(make):
    single = make.steps(make.telling(npo.LAMB), dtype="f4")
    assert first_difference(single, make.steps(make.telling(npo.LAMB), dtype="f4")) is None
    plain = (np.random.default_rng(0).normal(size=5).astype("f4") for _ in range(2))
    p, g = plain
    a, b = (
        trace(cls(lr=0.1), p.copy(), g)
        for cls in (npo.SGD, make.edited(npo.SGD, ("p - lr * g", "p - g * (2 * lr) / 2")))
    )
    assert first_difference(a, b) is None


def test_a_step_that_one_trace_lacks(make):
    two = make.steps(make.telling(npo.Adam))
    three = make.steps(make.telling(npo.Adam), sizes=(1, -2, 3))
    found = first_difference(three, two)
    assert (found.step, found.number, found.got) == (3, 1, None)
    assert str(found).endswith("lr should be 0.05, but the trace gives nothing.")
    found = first_difference(two, three)
    assert (found.step, found.expected) == (3, None)


def test_another_parameter_in_groups(make):
    def traced(second):
        opt = npo.Groups({"a": npo.SGD(lr=0.1), "b": second})
        params = {"a": np.ones(2), "b": np.ones(2)}
        return trace(opt, params, lambda params: {k: p.copy() for k, p in params.items()}, 2)

    assert first_difference(traced(npo.Momentum()), traced(npo.Momentum())) is None
    found = first_difference(traced(npo.Momentum()), traced(npo.Nesterov()))
    assert (found.step, found.param, found.number) == (1, "b", 5)


def test_other_gradients_are_a_difference(make):
    a, b = (trace(npo.Adam(), np.ones(2), np.full(2, x)) for x in (1.0, 1.5))
    found = first_difference(a, b)
    assert (found.number, found.name) == (4, "g")


def test_two_rules(make):
    found = difference(npo.Adam, make.telling(npo.AdamW), make=make)
    assert (found.number, found.name) == (9, "p")
    found = difference(npo.Momentum, make.telling(npo.Nesterov), make=make)
    assert found.number == 5


def test_without_a_box_lines_go_by_their_names():
    class Plain(npo.Optimizer):
        """No box."""

        def update(self, p, g, t):
            half = 0.5 * g
            p = p - half
            return p, {}

    class Other(npo.Optimizer):
        """No box either."""

        def update(self, p, g, t):
            half = 0.25 * g
            p = p - half
            return p, {}

    a, b = (trace(cls(), np.ones(1), np.ones(1)) for cls in (Plain, Other))
    assert first_difference(a, a) is None
    found = first_difference(a, b)
    assert (found.number, found.name, found.expected, found.got) == (None, "half", 0.5, 0.25)
    assert str(found).startswith("step 1, p: half should be [0.5], but `half = 0.25 * g` gives")


def test_of_a_failing_init(make):
    wrong = make.edited(npo.Adam, ('{"m": np.zeros_like(p)', '{"m": np.zeros_like(p) @ p @ p'))
    found = difference(npo.Adam, make.telling(wrong), make=make)
    assert found.number == 2


def test_a_memory_that_starts_elsewhere(make):
    wrong = make.edited(npo.Adam, ('"v": np.zeros_like(p)', '"v": np.ones_like(p)'))
    found = difference(npo.Adam, make.telling(wrong), make=make)
    assert (found.step, found.number, found.name) == (1, 2, "v")
