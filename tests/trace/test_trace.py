"""One step, line by line: what is recorded, and that nothing else changes."""

import json
import pickle
from dataclasses import dataclass

import numpy as np
import pytest

import npoptim as npo
from npoptim import trace
from npoptim.optimizers import checks
from npoptim.optimizers.blocks import BLOCK
from npoptim.standin import DeviceArray
from npoptim.trace.agreement import check_box

RULES = list(npo.optimizers().values())


def state_of(opt):
    return {
        f"{name}.{slot}": x.tobytes() + str(x.dtype).encode() + str(x.shape).encode()
        for name, slots in opt.state.items()
        for slot, x in slots.items()
    }


# ---------------------------------------------------------------- nothing else changes


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", ">f8"])
@pytest.mark.parametrize("shape", [(), (3,), (3, 4), (2, 3, 2, 2), (0, 3)])
@pytest.mark.parametrize("cls", RULES)
def test_all_ends_as_after_a_step_to_the_bit(cls, shape, dtype, make):
    rng = np.random.default_rng(0)
    p = np.array(rng.normal(size=shape), dtype=dtype)
    gradients = [np.array(rng.normal(size=shape), dtype=dtype) for _ in range(3)]
    stepped, traced = make.telling(cls), make.telling(cls)
    q = p.copy()
    for g in gradients:
        stepped.step(p, g)
    tr = trace(traced, q, gradients)
    assert q.tobytes() == p.tobytes()
    assert traced.t == stepped.t == 3
    assert state_of(traced) == state_of(stepped)
    assert tr.params["p"].tobytes() == p.tobytes()
    assert not np.shares_memory(tr.params["p"], q)


@pytest.mark.parametrize("order", ["C", "F", "strided", "float16"])
@pytest.mark.parametrize("cls", [npo.AdamW, npo.Lion, npo.SGD])
def test_blocks_are_put_together_again(cls, order, make):
    """An element rule runs block by block on large arrays; the trace shows the whole."""
    rng = np.random.default_rng(0)
    shape = (300, 70)
    p = np.array(rng.normal(size=shape), order="F" if order == "F" else "C")
    if order == "strided":
        p = np.repeat(p, 2, axis=1)[:, ::2]
    if order == "float16":
        p = np.array(np.asfortranarray(rng.normal(size=(400, 120))), dtype="f2", order="F")
    assert p.nbytes > BLOCK
    gradients = [rng.normal(size=p.shape).astype(p.dtype) for _ in range(2)]
    q, stepped, traced = p.copy(order="K"), make.telling(cls), make.telling(cls)
    tr = trace(traced, p, gradients)
    check_box(tr)
    last = [line for line in tr if "p" in line.values][-1]
    assert np.array_equal(last.values["p"].astype(p.dtype), p)
    assert last.values["p"].shape == p.shape
    assert [len(part.lines) for part in tr.parts] == [
        len(part.lines) for part in make.steps(make.telling(cls)).parts
    ]
    for g in gradients:
        stepped.step(q, g)
    assert q.tobytes() == p.tobytes()
    assert state_of(traced) == state_of(stepped)


@pytest.mark.slow
def test_above_32_mib_the_step_goes_one_parameter_at_a_time():
    params = {"a": np.ones(2_200_000), "b": np.ones((1500, 1500)), "c": np.ones(3)}
    others = {k: p.copy() for k, p in params.items()}
    g = {k: np.full_like(p, 2.0) for k, p in params.items()}
    opt, other = npo.Momentum(lr=0.5), npo.Momentum(lr=0.5)
    tr = trace(opt, params, g)
    other.step(others, g)
    assert all(np.array_equal(params[k], others[k]) for k in params)
    assert list(tr.boxes) == ["a", "b", "c"]
    check_box(tr)


def test_blocks_that_branch_apart_come_one_after_the_other():
    @dataclass
    class Branching(npo.SGD):
        def update(self, p, g, t):
            if g[0] > 0:
                p = p - self.lr * g
            return p, {}

    g = np.ones(2 * BLOCK // 8)
    g[BLOCK // 8 :] = -1
    tr = trace(Branching(lr=0.5), np.zeros_like(g), g)
    assert [line.code for line in tr if line.code] == [
        "if g[0] > 0:",
        "p = p - self.lr * g",
        "if g[0] > 0:",
    ]


def test_a_failure_in_a_later_block_shows_that_block():
    @dataclass
    class Failing(npo.SGD):
        def update(self, p, g, t):
            least = g[0] - 1
            if least == 0:
                raise ArithmeticError("the second block")
            return p - self.lr * g, {}

    g = np.zeros(2 * BLOCK // 8)
    g[BLOCK // 8 :] = 1
    with pytest.raises(ArithmeticError) as error:
        trace(Failing(), np.zeros_like(g), g)
    assert error.value.trace[-1].failed
    assert error.value.trace[-3].values["least"] == 0


# ---------------------------------------------------------------- what is recorded


def numbers(tr, step=1):
    return [line.number for line in tr if line.step == step]


@pytest.mark.parametrize("cls", RULES)
@pytest.mark.parametrize("shape", [(3,), (3, 4)])
def test_the_lines_are_those_of_the_box_in_order(cls, shape, make):
    tr = make.steps(make.telling(cls), shape)
    box = tr.boxes["p"]
    assert list(dict.fromkeys(numbers(tr))) == list(box)
    start = [number for number, text in box.items() if text.endswith("← 0")]
    assert list(dict.fromkeys(numbers(tr, 2))) == [n for n in box if n not in start]
    for line in tr:
        assert line.pseudocode == box[line.number]
        assert line.values
        by_driver = line.pseudocode in ("t ← t + 1", "g ← ∇f(θ)")
        assert bool(line.code) != by_driver
        assert bool(line.substituted) != by_driver


def test_a_step_of_adam_in_full():
    tr = trace(npo.Adam(lr=0.1, betas=(0.5, 0.75)), np.array([1.0, -2.0]), np.array([4.0, 0.0]))
    shown = [
        (x.number, x.code, x.substituted, {k: np.asarray(v).tolist() for k, v in x.values.items()})
        for x in tr
    ]
    assert shown == [
        (1, "lr, eps = self.lr, self.eps", "0.1, 1e-08", {"lr": 0.1, "eps": 1e-8}),
        (1, "beta1, beta2 = self.betas", "(0.5, 0.75)", {"beta1": 0.5, "beta2": 0.75}),
        (
            2,
            'return {"m": np.zeros_like(p), "v": np.zeros_like(p)}',
            "np.zeros_like([1 -2]); np.zeros_like([1 -2])",
            {"m": [0, 0], "v": [0, 0]},
        ),
        (3, "", "", {"t": 1}),
        (4, "", "", {"g": [4, 0]}),
        (5, "m = beta1 * m + (1 - beta1) * g", "0.5 * [0 0] + 0.5 * [4 0]", {"m": [2, 0]}),
        (6, "v = beta2 * v + (1 - beta2) * g**2", "0.75 * [0 0] + 0.25 * [4 0]**2", {"v": [4, 0]}),
        (7, "m_hat = m / (1 - beta1**t)", "[2 0] / 0.5", {"m_hat": [4, 0]}),
        (8, "v_hat = v / (1 - beta2**t)", "[4 0] / 0.25", {"v_hat": [16, 0]}),
        (
            9,
            "p = p - lr * m_hat / (np.sqrt(v_hat) + eps)",
            "[1 -2] - 0.1 * [4 0] / (np.sqrt([16 0]) + 1e-08)",
            {"p": [1 - 0.1 * 4 / (4 + 1e-8), -2]},
        ),
    ]  # fmt: skip


def test_values_are_copies_and_before_is_what_was_there():
    p = np.array([1.0])
    tr = trace(npo.Momentum(lr=0.5), p, [np.array([2.0]), np.array([4.0])])
    v1, v2 = (line.values["v"][0] for line in tr if line.number == 4)
    assert (v1, v2) == (2, 0.9 * 2 + 4)
    before = [line.before["p"][0] for line in tr if line.number == 5]
    assert before == [1, 0]
    assert p[0] == -0.5 * v2
    p[:] = 9
    assert tr.params["p"][0] != 9


def test_a_line_for_what_one_code_line_never_forms():
    """R C / Σ R is never formed; the trace shows it all the same."""
    tr = trace(npo.Adafactor(), np.ones((2, 2)), np.array([[1.0, 2.0], [3.0, 4.0]]))
    nine, ten = (next(x for x in tr if x.number == n) for n in (9, 10))
    assert nine.code == ten.code == "u = over_root(g, R, C)"
    assert nine.values["v"] == pytest.approx(np.outer([5, 25], [10, 20]) / 30)
    assert list(ten.values) == ["u"]
    assert ten.values["u"] == pytest.approx(np.array([[1, 2], [3, 4]]) / np.sqrt(nine.values["v"]))


def test_groups_have_the_box_of_each_rule():
    opt = npo.Groups({"*.b": npo.Groups({"*": npo.SGD(lr=0.5)}), "*": npo.CAME()})
    params = {"0.W": np.ones((2, 3)), "0.b": np.ones(3), "1.W": np.ones((3, 2))}
    g = {k: np.full_like(p, 0.5) for k, p in params.items()}
    tr = trace(opt, params, g, steps=2)
    assert [(part.step, part.param) for part in tr.parts] == [
        (t, name) for t in (1, 2) for name in params
    ]
    assert tr.boxes["0.b"] == npo.pseudocode(npo.SGD)
    assert tr.boxes["1.W"] == npo.pseudocode(npo.CAME)
    check_box(tr)
    assert params["0.b"].tolist() == [0.5] * 3


def test_arrays_of_a_device_come_to_the_host(monkeypatch, make):
    monkeypatch.setattr(checks, "ARRAY_TYPES", {*checks.ARRAY_TYPES, DeviceArray})
    p, g = np.random.default_rng(0).normal(size=(2, 3, 4))
    here, there = make.telling(npo.CAME), make.telling(npo.CAME)
    tr = trace(there, DeviceArray(p.copy()), DeviceArray(g), steps=2)
    assert tr.to_json() == trace(here, p, g, steps=2).to_json()
    check_box(tr)


def test_schedules_are_numbers_in_the_trace():
    opt = npo.SGD(lr=npo.schedules.linear(1.0, total=4))
    tr = trace(opt, np.ones(1), np.ones(1), steps=3)
    assert [line.values["lr"] for line in tr if line.number == 1] == [opt.lr(t) for t in (1, 2, 3)]


def test_the_steps_go_on_where_the_optimizer_was():
    opt, p = npo.Adam(), np.ones(2)
    opt.step(p, p.copy())
    tr = trace(opt, p, np.ones(2), steps=2)
    assert {line.step for line in tr} == {2, 3}
    assert 2 not in numbers(tr, 2)  # nothing starts from 0 here
    assert opt.t == 3


@pytest.mark.parametrize(
    ("g", "steps", "taken"),
    [
        (np.ones(1), None, 1),
        (np.ones(1), 3, 3),
        ([np.ones(1)] * 2, None, 2),
        ([np.ones(1)] * 2, 2, 2),
        ((np.ones(1), lambda p: p), None, 2),
        (lambda p: 2 * p, 4, 4),
        ([], None, 0),
    ],
)
def test_gradients_in_every_form(g, steps, taken):
    opt = npo.SGD(lr=0.25)
    tr = trace(opt, np.ones(1), g, steps)
    assert opt.t == taken
    assert len(tr) == 3 * taken


def test_a_gradient_function_sees_the_parameters_of_its_step():
    p = np.array([1.0])
    trace(npo.SGD(lr=0.25), p, lambda p: 2 * p, steps=3)
    assert p[0] == 1 / 8
    params = {"a": np.array([1.0])}
    trace(npo.SGD(lr=0.25), params, lambda params: {"a": 2 * params["a"]}, steps=3)
    assert params["a"][0] == 1 / 8


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("p", "g"),
    [
        (np.ones(2), np.ones(3)),
        (np.ones(2), np.array([1.0, np.nan])),
        (np.ones(2, int), np.ones(2)),
        ([1.0], [np.ones(1)]),
        ({}, {}),
        ({"a": np.ones(1)}, {"b": np.ones(1)}),
        (np.float64(1), np.ones(())),
        (np.ones(2), None),
    ],
)
def test_errors_are_those_of_the_step(p, g):
    with pytest.raises(Exception) as stepped:  # whatever step raises
        npo.Adam().step(p, g[0] if isinstance(g, list) else g)
    opt = npo.Adam()
    with pytest.raises(type(stepped.value)) as traced:
        trace(opt, p, g)
    assert str(traced.value) == str(stepped.value)
    assert len(traced.value.trace) == 0
    assert opt.t == 0


def test_of_a_failing_step_the_trace_comes_with_the_error():
    @dataclass
    class Failing(npo.Adam):
        def update(self, p, g, t, m, v):
            beta1, _ = self.betas
            m = beta1 * m + (1 - beta1) * g
            if t == 2:
                v = v / "two"
            return p - m, {"m": m, "v": v}

    p = np.ones(1)
    with pytest.raises(TypeError, match="ufunc") as error:
        trace(Failing(), p, np.full(1, 10.0), steps=3)
    tr = error.value.trace
    assert p[0] == pytest.approx(0, abs=1e-15)  # one step was taken
    assert {line.step for line in tr} == {1, 2}
    assert tr[-1].code == 'v = v / "two"'
    assert tr[-1].failed
    assert tr[-1].values == {}
    assert not any(line.failed for line in tr[:-1])
    assert tr[-3].values["m"][0] == pytest.approx(0.9 * 1 + 0.1 * 10)
    assert "failed here" in str(tr)


def test_a_failing_init_and_a_failing_gradient():
    @dataclass
    class Failing(npo.SGD):
        def init(self, p):
            size = p.size
            return {"m": [0] * size + p.nothing}

    with pytest.raises(AttributeError) as error:
        trace(Failing(), np.ones(2), np.ones(2))
    assert [(x.code, x.failed) for x in error.value.trace] == [
        ("size = p.size", False),
        ('return {"m": [0] * size + p.nothing}', True),
    ]

    def gradient(p):
        if p[0] < 1:
            raise ZeroDivisionError
        return np.ones(1)

    with pytest.raises(ZeroDivisionError) as error:
        trace(npo.SGD(), np.ones(1), gradient, steps=3)
    assert {line.step for line in error.value.trace} == {1}


def test_of_a_result_that_is_not_finite_all_lines_are_there():
    with pytest.raises(npo.NonFiniteError) as error:
        trace(npo.Adam(eps=0), np.ones(1), np.zeros(1))
    assert numbers(error.value.trace)[-1] == 9
    assert np.isnan(error.value.trace[-1].values["p"][0])
    json.loads(error.value.trace.to_json())


@pytest.mark.parametrize(
    ("opt", "g", "steps", "message"),
    [
        (npo.Adam, np.ones(1), 1, "trace takes an optimizer. Got <class"),
        (None, np.ones(1), 1, "trace takes an optimizer. Got None instead."),
        (npo.SGD(), np.ones(1), 0, r"steps must be an int in the range \[1, inf\). Got 0 instead."),
        (npo.SGD(), np.ones(1), 1.5, "Got 1.5 instead"),
        (npo.SGD(), np.ones(1), True, "Got True instead"),
        (npo.SGD(), [np.ones(1)], 2, "steps must be 1, the number of gradients. Got 2."),
    ],
)
def test_bad_arguments(opt, g, steps, message):
    with pytest.raises((TypeError, ValueError), match=message):
        trace(opt, np.ones(1), g, steps)


# ---------------------------------------------------------------- a trace as an object


def test_a_trace_is_a_sequence_of_lines():
    tr = trace(npo.SGD(lr=0.5), np.ones(2), np.ones(2))
    assert len(tr) == len(tr.lines) == 3
    assert list(tr) == tr.lines
    assert tr[-1] is tr.lines[2]
    assert tr[1:] == tr.lines[1:]
    assert repr(tr) == "<Trace of SGD(lr=0.5): 1 step, 3 lines>"
    assert "θ ← θ − lr g" in str(tr)
    again = pickle.loads(pickle.dumps(tr))
    assert str(again) == str(tr)


@pytest.mark.parametrize("cls", RULES)
def test_json(cls, make):
    content = json.loads(make.steps(make.telling(cls), (50, 60)).to_json())
    assert content["optimizer"].startswith(f"{cls.__name__}(")
    assert [tuple(x) for x in content["boxes"]["p"]] == list(npo.pseudocode(cls).items())
    assert set(content["params"]["p"]) == {"shape", "dtype", "norm", "min", "max", "head"}
    last = [x for x in content["lines"] if "p" in x["values"]][-1]
    assert last["values"]["p"] == content["params"]["p"]
    assert last["before"]["p"]["shape"] == [50, 60]
    assert {"step", "param", "number", "pseudocode", "code", "substituted"} < set(last)


@pytest.mark.parametrize("shape", [(3,), (4, 4), (500, 400)])
@pytest.mark.parametrize("cls", RULES)
def test_json_is_small(cls, shape, make):
    tr = make.steps(make.telling(cls), shape)
    assert len(tr.to_json().encode()) / len(tr.parts) < 20_000


def test_json_of_what_is_not_finite():
    tr = trace(npo.SGD(), np.ones(2), np.ones(2))
    tr.lines[-1].values["p"] = np.array([np.inf, np.nan])
    assert json.loads(tr.to_json())["lines"][-1]["values"]["p"]["data"] == ["inf", "nan"]
