"""Recorded lines, block by block on several threads, give what the plain lines give."""

import copy
import gc
import threading
import time
import tracemalloc
import warnings
import weakref
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
import pytest

import npoptim as npo
from npoptim.optimizers import driver, fused
from npoptim.optimizers.advance import Check, _fused
from npoptim.optimizers.base import Optimizer, norm, rms
from npoptim.optimizers.lazy import Lazy, Tape, needed
from npoptim.optimizers.threads import buffers, cores, kept, pool, share, squares
from npoptim.standin import DeviceArray

RULES = list(npo.optimizers().values())
every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda c: c.__name__)


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 2 KiB, from 1 KiB on, so that small arrays have many, the last one shorter."""
    monkeypatch.setattr(fused, "LARGE", 1024)
    monkeypatch.setattr(fused, "BLOCK", 2048)


def passes(results, first):
    assert results is not None


def advance(rule, p, g, t, state, check=passes, in_place=False):
    with np.errstate(all="ignore"):
        return fused.advance(rule.form(p), p, g, t, state, check, in_place)


def run(rule, shape, dtype, how, steps=3):
    """Parameter and state after some steps: with the plain lines, in new arrays or in place."""
    rng = np.random.default_rng(0)
    p = np.asarray(rng.normal(size=shape), dtype)
    state = rule.form(p)[0](p)
    for t in range(1, steps + 1):
        g, now = np.asarray(rng.normal(size=shape), dtype), rule.at(t)
        if how == "plain":
            p, state = now.form(p)[1](p, g, t, **state)
        else:
            p, state = advance(now, p, g, t, state, in_place=how == "in place")
    return p, state


def assert_same(got, wanted, exact, dtype):
    (p, state), (q, other) = got, wanted
    assert state.keys() == other.keys()
    for x, y in ((p, q), *((state[k], other[k]) for k in state)):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        if exact:
            assert x.tobytes() == y.tobytes()
        else:
            eps = np.finfo(dtype).eps
            np.testing.assert_allclose(x, y, rtol=300 * eps, atol=10 * eps)


SHAPES = [(5000,), (301, 17), (64, 64), (3000, 1), (40, 9, 5), (30, 5, 3, 3)]


@every_rule
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("how", ["in new arrays", "in place"])
def test_the_same_as_the_plain_lines(rule, dtype, shape, how, small_blocks):
    got = run(rule(), shape, dtype, how)
    assert_same(got, run(rule(), shape, dtype, "plain"), rule.scope == "element", dtype)


@dataclass
class RMSProp(Optimizer):
    """Centred, with momentum."""

    lr: float = 1e-2
    scope = "element"

    def init(self, p):
        return {"v": np.zeros_like(p), "a": np.zeros_like(p), "b": np.zeros_like(p)}

    def update(self, p, g, t, v, a, b):
        v = 0.99 * v + 0.01 * g**2
        a = 0.99 * a + 0.01 * g
        b = 0.9 * b + g / (np.sqrt(v - a**2) + 1e-8)
        return p - self.lr * b, {"v": v, "a": a, "b": b}


@dataclass
class AMSGrad(Optimizer):
    """Adam whose second moment never falls."""

    lr: float = 1e-3
    scope = "element"

    def init(self, p):
        return {k: np.zeros_like(p) for k in ("m", "v", "top")}

    def update(self, p, g, t, m, v, top):
        m = 0.9 * m + (1 - 0.9) * g
        v = 0.999 * v + (1 - 0.999) * np.square(g)
        top = np.maximum(top, v)
        return p - self.lr * m / (top**0.5 + 1e-8), {"m": m, "v": v, "top": top}


@dataclass
class Swaps(Optimizer):
    """Keeps the last two gradients; its slots change places, and one is a comparison's."""

    scope = "element"

    def init(self, p):
        return {"new": np.zeros_like(p), "old": np.zeros_like(p), "same": np.zeros_like(p)}

    def update(self, p, g, t, new, old, same):
        agree = np.sign(g) * np.sign(new) > 0
        p = p - 0.1 * agree * abs(g - old) + (-g) ** 3 % 0.1
        return p, {"new": g, "old": new, "same": same}


@dataclass
class Chain(Optimizer):
    """Sums of sums: along axes, kept or not, of what was just normed, and of the result."""

    scope = "matrix"

    def init(self, p):
        row = np.zeros_like(np.sum(p, axis=-1, keepdims=True))
        return {"row": row, "n": np.zeros_like(np.sum(p, keepdims=True)), "v": np.zeros_like(p)}

    def update(self, p, g, t, row, n, v):
        row = 0.5 * row + np.sum(abs(g), axis=-1, keepdims=True)
        u = g / np.sqrt(row**2 + np.sum(g**2, axis=-1)[..., None])
        v = 0.9 * v + u / norm(u)
        column = np.sum(v - np.sum(v) / v.size, -2)
        w = v + 1e-3 * column[..., None, :] + 1e-3 * row * column[..., None, :]
        p = p - np.minimum(1.0, 1 / rms(w)) * w
        return p, {"row": row, "n": np.sum(p**2, keepdims=True), "v": v}


@dataclass
class Late(Optimizer):
    """Needs the old state once more when the new one has been normed."""

    def init(self, p):
        return {"v": np.zeros_like(p), "w": np.zeros_like(p)}

    def update(self, p, g, t, v, w):
        new = 0.9 * v + g
        w = w + new
        p = p - 0.1 * (new - v) / norm(new) - 0.1 * w / norm(w)
        return p, {"v": new, "w": w}


@dataclass
class Deep(Optimizer):
    """Its second sum needs the first one, and the memory from before."""

    def init(self, p):
        return {"v": np.zeros_like(p)}

    def update(self, p, g, t, v):
        new = 0.5 * v + g
        first = np.sum(new * new)
        second = np.sum(v * np.sqrt(abs(g / first)), axis=tuple(range(g.ndim)))
        return p - second * g - 1e-3 * new, {"v": new}


@dataclass
class Twice(Optimizer):
    """Keeps one line in two slots, and as the parameter."""

    def init(self, p):
        return {"v": np.zeros_like(p), "w": np.ones_like(p)}

    def update(self, p, g, t, v, w):
        new = 0.5 * v + w * g
        return new, {"v": new, "w": new}


@pytest.mark.parametrize("rule", [RMSProp, AMSGrad, Swaps, Chain, Late, Deep, Twice])
@pytest.mark.parametrize("shape", [(301, 17), (40, 9, 5)], ids=str)
@pytest.mark.parametrize("how", ["in new arrays", "in place"])
def test_a_rule_never_seen(rule, shape, how, small_blocks):
    got = run(rule(), shape, "f8", how)
    assert_same(got, run(rule(), shape, "f8", "plain"), rule.scope == "element", "f8")


OPERATIONS = [
    lambda a, b, c: a + b, lambda a, b, c: a - c, lambda a, b, c: c * b,
    lambda a, b, c: a / (1 + abs(b)), lambda a, b, c: np.sqrt(abs(a)), lambda a, b, c: np.sign(a),
    lambda a, b, c: np.maximum(a, b), lambda a, b, c: a**2 % 1.5, lambda a, b, c: (a > b) * a,
    lambda a, b, c: -np.minimum(b, c), lambda a, b, c: np.hypot(a, b), lambda a, b, c: np.copysign(a, b),
]  # fmt: skip


@pytest.mark.parametrize("seed", range(40))
def test_random_lines(seed, small_blocks):
    """Any straight-line program of known operations equals itself run plainly, bit for bit."""

    class Random(Optimizer):
        def init(self, p):
            return {"m": np.ones_like(p)}

        def update(self, p, g, t, m):
            rng, values = np.random.default_rng(seed), [p, g, m]
            for _ in range(25):
                a, b = (values[-i] for i in rng.integers(1, min(len(values), 8) + 1, 2))
                b = values[rng.integers(3)] if rng.random() < 0.2 else b  # read once more, late
                values.append(rng.choice(OPERATIONS)(a, b, float(rng.normal())))
            return values[-1], {"m": np.minimum(values[-2], 1)}

    got = run(Random(), (999, 7), "f4", "in place" if seed % 2 else "in new arrays")
    assert_same(got, run(Random(), (999, 7), "f4", "plain"), True, "f4")


def rule_of(lines):
    """A rule whose update is `lines(p, g, m) -> p`."""

    class Lines(Optimizer):
        def init(self, p):
            return {"m": np.zeros_like(p)}

        def update(self, p, g, t, m):
            return lines(p, g, m), {"m": m}

    return Lines()


def writes(p, g, m):
    m *= 0.9
    m += g
    return p - m


def branches(p, g, m):
    return p - g if norm(g) > 1 else p


def square(row):
    return row[:, None] * row[None, :]


UNKNOWN = {
    "another function": lambda p, g, m: p - np.cumsum(g).reshape(g.shape),
    "a norm of NumPy's": lambda p, g, m: p - g / np.linalg.norm(g),
    "an array of its own": lambda p, g, m: p - g * np.ones(p.shape),
    "a choice by element": lambda p, g, m: p - np.where(g > 0, g, 0 * g),
    "a branch": branches,
    "the larger of two": lambda p, g, m: p - g / max(1.0, norm(g)),
    "a Python number": lambda p, g, m: p - g * float(norm(g)),
    "an element": lambda p, g, m: p - g[0, 0],
    "a part": lambda p, g, m: p - 0.1 * g[:, :1],
    "writing in place": writes,
    "an output given": lambda p, g, m: np.subtract(p, g, out=np.empty_like(p)),
    "a reduction of another kind": lambda p, g, m: p - g / np.maximum.reduce(g, axis=None),
    "a product of matrices": lambda p, g, m: p - 1e-3 * (g @ np.eye(g.shape[1])),
    "a product with sums": lambda p, g, m: p - 1e-3 * (g @ square(np.sum(g, axis=0))),
    "an inner product": lambda p, g, m: p - g * np.vdot(p, g),
    "a method": lambda p, g, m: p - g.clip(-1, 1),
    "a conversion": lambda p, g, m: p - np.asarray(g),
    "another dtype": lambda p, g, m: p - g.astype("f8").astype(p.dtype),
    "part of a sum": lambda p, g, m: p - g * rms(np.sum(g, axis=-1)[:2]),
    "a loop over rows": lambda p, g, m: p - sum(row[0] for row in g),
}


@pytest.mark.parametrize("lines", UNKNOWN.values(), ids=UNKNOWN)
def test_what_blocks_cannot_do_is_left_to_the_plain_lines(lines, small_blocks):
    rng = np.random.default_rng(1)
    p, g, m = rng.normal(size=(3, 90, 11))
    before = p.copy(), g.copy(), m.copy()
    assert advance(rule_of(lines), p, g, 1, {"m": m}, in_place=True) is None
    assert all(map(np.array_equal, (p, g, m), before))
    opt = rule_of(lines)
    opt.step(p, g)
    wanted = lines(before[0], g, np.zeros_like(p))
    np.testing.assert_array_equal(p, wanted)


KNOWN = {
    "the length of a row": lambda p, g, m: p - g / norm(np.sum(g, axis=-1)),
    "a choice by a sum": lambda p, g, m: p - g * np.where(norm(g) > 1, 0.5, 2.0),
    "another axis": lambda p, g, m: p - g / np.sum(abs(g), axis=0)[None],
}


@pytest.mark.parametrize("lines", KNOWN.values(), ids=KNOWN)
def test_what_is_done_to_sums_is_known(lines, small_blocks):
    p, g = np.random.default_rng(7).normal(size=(2, 90, 11))
    new, _ = advance(rule_of(lines), p, g, 1, {"m": p})
    np.testing.assert_allclose(new, lines(p, g, p), rtol=1e-12)


def test_memory_that_meets_no_element_keeps_its_shape(small_blocks):
    class Counts(Optimizer):
        def init(self, p):
            return {"n": np.zeros_like(np.sum(p, keepdims=True))}

        def update(self, p, g, t, n):
            return p - g, {"n": n + 1}

    p = np.ones((90, 11))
    _, state = advance(Counts(), p, p, 1, Counts().init(p))
    assert state["n"].tolist() == [[1.0]]


def test_a_row_of_one_is_an_element(small_blocks):
    class Rows(Optimizer):
        def init(self, p):
            return {"row": np.zeros_like(np.sum(p, axis=-1, keepdims=True))}

        def update(self, p, g, t, row):
            row = row + g
            return p - row, {"row": row}

    assert_same(run(Rows(), (3000, 1), "f8", "in place"), run(Rows(), (3000, 1), "f8", "plain"), True, "f8")  # fmt: skip


def test_numpy_numbers_count_for_the_dtype(small_blocks):
    """As in the plain lines, where float32 to a power of float64 is float64."""
    p = np.ones(2000, np.float32)
    assert advance(rule_of(lambda p, g, m: p - g**2.0), p, p, 1, {"m": p}) is not None
    assert advance(rule_of(lambda p, g, m: p - g ** np.float64(2)), p, p, 1, {"m": p}) is None


def test_equal_lines_are_noted_once():
    tape = Tape((30, 20))
    x = Lazy(tape, np.ones(tape.tiny))
    assert 0.5 * x is 0.5 * x
    assert np.sqrt(0.5 * x) is np.sqrt(0.5 * x)
    assert len(tape.lines) == 3


def test_as_few_buffers_as_will_do():
    """A line is computed onto its operand, np.sign, which is slow there, onto another."""
    tape = Tape((30, 20))
    x = Lazy(tape, np.ones(tape.tiny))
    x.value = np.ones((30, 20))
    for y, count in (np.sqrt(abs(-x)), 1), (np.sign(-x), 2), (abs(-x + 2 * x) + 3 * x, 2):
        _, dtypes = fused.assigned(needed([y], {}), [y], {})
        assert len(dtypes) == count


def test_where_a_result_belongs_others_may_stand_before():
    """From the line on that is the last to read what it replaces, np.sign from the next on."""
    tape = Tape((30, 20))
    x = Lazy(tape, np.ones(tape.tiny))
    x.value = np.ones((30, 20))
    for f, last, stands in (
        (np.sqrt, -1, True), (np.sqrt, 0, True), (np.sqrt, 1, False),
        (np.sign, -1, True), (np.sign, 0, False),
    ):  # fmt: skip
        y = f(x)
        z = 2 * y
        places, dtypes = fused.assigned(needed([z], {}), [z], {z: last})
        assert places[z] is z
        assert (places[y] is z) == stands
        assert len(dtypes) == 2 - stands


#: buffers of the passes of a step in place, in which a result's own array serves as one, and, with
#: arrays that are read no more, of a step in new ones
BUFFERS = {
    "SGD": ([1], [0]), "Momentum": ([1], [0]), "Nesterov": ([1], [0]), "Adam": ([2], [1]),
    "AdamW": ([2], [1]), "Lion": ([2], [1]), "LARS": ([0, 1], [0, 0]), "LAMB": ([2, 2], [2, 1]),
    "Adafactor": ([1, 1, 1], [1, 1, 0]), "CAME": ([1, 1, 2, 1], [1, 1, 2, 1]),
}  # fmt: skip


@pytest.mark.parametrize("name", BUFFERS)
@pytest.mark.parametrize("in_place", [True, False])
def test_few_arrays_pass_through_the_cache(name, in_place, small_blocks, monkeypatch):
    counts, run = [], fused.Pass.run

    def counted(self, *args):
        counts.append(sum(isinstance(place, int) for place in self.dtypes))
        run(self, *args)

    monkeypatch.setattr(fused.Pass, "run", counted)
    p, now = np.ones((90, 11)), getattr(npo, name)().at(1)
    advance(now, p, p.copy(), 1, now.form(p)[0](p), in_place=in_place)
    assert counts == BUFFERS[name][not in_place]


def test_an_array_of_its_own_may_have_any_shape(small_blocks):
    p = np.ones(2000)
    for own in np.array([1.0, 2.0]), np.array([1.0]), np.array(1.0):
        assert advance(rule_of(lambda p, g, m, own=own: p - g * own), p, p, 1, {"m": p}) is None


def test_wrong_shapes_dtypes_and_slots_are_left_to_the_driver(small_blocks):
    p = g = np.ones((90, 11))
    for lines in (
        lambda p, g, m: np.sum(p),
        lambda p, g, m: 0.5,
        lambda p, g, m: p > g,
        lambda p, g, m: p[..., None],
        lambda p, g, m: np.sum(p, axis=-1)[..., None, None] + p,
    ):
        assert advance(rule_of(lines), p, g, 1, {"m": p.copy()}) is None

    class Scalar(Optimizer):
        def init(self, p):
            return {"n": np.zeros(())}

        def update(self, p, g, t, n):
            return p - g, {"n": np.sum(g)}

    assert advance(Scalar(), p, g, 1, Scalar().init(p)) is None

    class More(npo.Momentum):
        def update(self, p, g, t, v):
            return p - g, {"v": v, "w": v + g, "n": np.sum(v)}

    assert advance(More(), p, g, 1, More().init(p)) is None
    assert advance(rule_of(lambda p, g, m: p - g), p, g, 1, {"m": p, "n": p}) is None
    assert advance(rule_of(lambda p, g, m: p - g), p, g, 1, {"m": p.astype("f4")}) is None
    with pytest.raises(TypeError, match="must stay"):
        rule_of(lambda p, g, m: p > g).step(p.copy(), g)


GAPS = {
    "gaps": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "reversed": lambda x: x[::-1].copy()[::-1],
}


@every_rule
@pytest.mark.parametrize("gaps", GAPS.values(), ids=GAPS)
@pytest.mark.parametrize("atomic", [2**25, 0])
def test_gaps_do_not_change_a_bit(rule, gaps, atomic, small_blocks, monkeypatch):
    """So that a run goes on the same from a checkpoint, where nothing has gaps."""
    monkeypatch.setattr(driver, "ATOMIC", atomic)
    p, g = np.random.default_rng(6).normal(size=(2, 301, 17))
    q, h, one, two = gaps(p), gaps(g), rule(), rule()
    assert advance(two.at(1), q, h, 1, two.form(q)[0](q)) is not None
    for _ in range(2):
        one.step(p, g)
        two.step(q, h)
    assert_same((p, one.state["p"]), (q, two.state["p"]), True, "f8")


@every_rule
def test_axes_in_another_order_are_left_to_the_plain_lines(rule, small_blocks):
    C, F = np.ones((60, 40)), np.ones((60, 40), order="F")
    for p, g in (F, F), (C, F), (F, C), (F[::2], F[::2]):
        assert advance(rule(lr=0.1), p, g, 1, rule().form(p)[0](p)) is None


def test_small_arrays_and_those_of_other_libraries_are_left_to_the_plain_lines():
    p = np.ones(fused.LARGE // 8 - 1)
    assert advance(npo.SGD(), p, p, 1, {}) is None
    p = np.ones(fused.LARGE // 8)
    assert advance(npo.SGD(), p, p, 1, {}) is not None
    assert advance(npo.SGD(), p, DeviceArray(p), 1, {}) is None
    assert advance(npo.Momentum(), p, p, 1, {"v": DeviceArray(p)}) is None


def test_rows_longer_than_a_block_are_left_to_the_plain_lines(small_blocks):
    for n, fits in (90, True), (128, True), (129, False), (300, False):
        p = np.ones((20, n))
        for rule, always in (npo.Adafactor(lr=0.1), False), (npo.LAMB(), True):
            assert (advance(rule, p, p, 1, rule.init(p)) is not None) == (fits or always)


def test_new_arrays_are_plain_ones_and_the_old_are_kept(small_blocks, tmp_path):
    p = np.memmap(tmp_path / "p", np.float64, "w+", shape=(2000,))
    form, g = npo.SGD(lr=1.0).form(p), np.ones(2000)
    new, state = fused.advance(form, p, g, 1, {}, passes)
    assert type(new) is np.ndarray
    assert (new == -1).all()
    assert (p == 0).all()
    assert state == {}


def test_the_gradient_may_be_the_parameter(small_blocks):
    p = np.linspace(1, 2, 3000)
    wanted = p - 0.01 * p
    assert advance(npo.SGD(), p, p, 1, {}, in_place=True) is None
    npo.SGD().step(p, p)
    np.testing.assert_array_equal(p, wanted)


def test_sums_of_float32_are_added_up_in_float64(small_blocks):
    p, g = np.zeros(51200, np.float32), np.full(51200, 2**-10, np.float32)
    g[0] = 2**24  # a block adds 1/2 to it, which is less than float32 can see
    new, _ = advance(rule_of(lambda p, g, m: p - np.sum(g)), p, g, 1, {"m": p})
    assert new[0] == -(2**24 + 50)


def test_the_sum_of_a_single_block_is_numpys(small_blocks):
    p, g = np.random.default_rng(8).normal(size=(2, 400)).astype(np.float32)
    new, _ = advance(rule_of(lambda p, g, m: p * np.sum(g)), p, g, 1, {"m": p})
    assert new.tobytes() == (p * np.sum(g)).tobytes()
    assert np.sum(g) != np.sum(g, dtype=float).astype(np.float32)


def test_powers_of_a_sum_are_those_of_the_plain_lines(small_blocks):
    """A NumPy scalar's ** is not an array's, in the last digit."""
    x = np.random.default_rng(4).uniform(1, 2, 1000)
    sums = [s for s in x if s**3 != np.power(s, 3)]
    for s in sums[:3]:
        p, g = np.ones(2000), np.zeros(2000)
        g[-1] = s
        lines = rule_of(lambda p, g, m: p * np.sum(g) ** 3)
        assert advance(lines, p, g, 1, {"m": g})[0][0] == s**3


@every_rule
def test_any_number_of_threads_gives_the_same_bits(rule, small_blocks, monkeypatch):
    results = []
    for n in "1", "2", "7":
        monkeypatch.setenv("NPOPTIM_THREADS", n)
        results += [run(rule(), (301, 17), "f4", "in place")]
    for other in results[1:]:
        assert_same(other, results[0], True, "f4")


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", ""])
def test_the_number_of_threads_is_checked(text, monkeypatch):
    monkeypatch.setenv("NPOPTIM_THREADS", text)
    with pytest.raises(ValueError, match=f"NPOPTIM_THREADS must be .* Got {text!r} instead"):
        cores()


@pytest.mark.parametrize("n", [1, 3])
def test_all_is_done_up_to_the_first_failure(n):
    done, together = [], threading.Barrier(n)

    def do(i):
        if i >= 20:
            together.wait(10)
            raise ValueError(f"piece {i}")
        done.append(i)

    with pytest.raises(ValueError, match="piece 20"):
        share(1000, lambda: nullcontext(do), n)
    assert sorted(done) == list(range(20))


def test_no_inner_product_is_long_enough_for_threads_of_blas(monkeypatch):
    lengths, real = [], np.vecdot
    monkeypatch.setattr(np, "vecdot", lambda x, y: lengths.append(x.shape[-1]) or real(x, y))
    assert squares(np.ones(2 * 4096 + 1)) == 2 * 4096 + 1
    assert max(lengths) == 4096


@every_rule
def test_memory_of_a_step_in_place(rule):
    p = np.full((1500, 2000), 0.5, np.float32)
    g = np.linspace(-1, 1, p.size, dtype=np.float32).reshape(p.shape)
    now = rule().at(1)
    state = now.form(p)[0](p)
    kept.clear()
    tracemalloc.start()
    try:
        assert advance(now, p, g, 1, state, in_place=True) is not None
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20 < p.nbytes
    finally:
        tracemalloc.stop()


def test_buffers_limit_the_threads(monkeypatch):
    monkeypatch.setenv("NPOPTIM_THREADS", "64")
    p = np.ones(4 * 2**20)
    kept.clear()
    tracemalloc.start()
    try:
        advance(AMSGrad(), p, p.copy(), 1, AMSGrad().init(p), in_place=True)
        peak = tracemalloc.get_traced_memory()[1] - 4 * p.nbytes
    finally:
        tracemalloc.stop()
    assert peak < 1.2 * fused.SPACE


def test_buffers_are_kept_for_the_next_step():
    kept.clear()
    shapes = [((5, 3), np.dtype("f4")), ((7,), np.dtype(bool)), ((2, 2), np.dtype("f8"))]
    with buffers(shapes) as first, buffers(shapes) as other:
        assert [(x.shape, x.dtype) for x in first] == shapes
        spread = [first[0], other[0], *first[1:], *other[1:]]
        for i, x in enumerate(spread):
            x[...] = i % 2 if x.dtype == bool else i
        assert all((x == (i % 2 if x.dtype == bool else i)).all() for i, x in enumerate(spread))
    with buffers(shapes[:1]) as again:
        assert any(np.may_share_memory(again[0], x) for x in (first[0], other[0]))
        assert len(kept) == 1
    with buffers([((1000,), np.dtype("f8"))]) as longer:
        assert longer[0].shape == (1000,)
    with buffers([]) as none:
        assert none == []
    kept.clear()
    large = [((3 * 2**20,), np.dtype(bool))]
    with buffers(large), buffers(large), buffers(large):
        pass
    assert sum(map(len, kept)) == 6 * 2**20  # the third goes back to the system
    kept.clear()
    with buffers([((2**23,), np.dtype(bool))]):
        pass
    assert len(kept) == 1


@every_rule
def test_a_step_keeps_its_buffers(rule, monkeypatch):
    monkeypatch.setenv("NPOPTIM_THREADS", "1")
    p, kept[:] = np.full(2**21 + 1, 0.5), []
    now, seen = rule().at(1), []
    for _ in range(2):
        assert advance(now, p, p.copy(), 1, now.form(p)[0](p), in_place=True) is not None
        seen.append([id(memory) for memory in kept])
    assert len(seen[0]) == 1
    assert seen[0] == seen[1]


def test_a_fork_has_threads_of_its_own(monkeypatch):
    monkeypatch.setenv("NPOPTIM_THREADS", "2")
    _step_in_a_fork()  # starts a thread here
    with warnings.catch_warnings(), ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        warnings.simplefilter("ignore")  # newer Pythons warn of threads and forks
        assert pool.submit(_step_in_a_fork).result(timeout=60) < 1


def _step_in_a_fork():
    p = np.ones(2**20)
    npo.Adam().step(p, p.copy())
    return p.max()


def test_many_steps_at_once(monkeypatch):
    monkeypatch.setenv("NPOPTIM_THREADS", "4")
    g = np.random.default_rng(0).normal(size=2**20)

    def train(rule):
        p = np.ones_like(g)
        for _ in range(3):
            rule.step(p, g)
        return p.tobytes()

    rules = [npo.Adam, npo.LAMB, npo.Lion] * 4
    with ThreadPoolExecutor(len(rules)) as pool:
        together = list(pool.map(train, [rule() for rule in rules]))
    assert together == [train(rule()) for rule in rules]


@every_rule
def test_nothing_keeps_the_arrays_alive(rule, small_blocks):
    gc.collect()
    gc.disable()
    try:
        p, state = run(rule(), (301, 17), "f4", "in new arrays", steps=1)
        seen = [weakref.ref(x) for x in (p, *state.values()) if x.ndim]
        del p, state
        assert all(ref() is None for ref in seen)
    finally:
        gc.enable()


def test_the_check_sees_everything_and_the_first_blocks_before_they_are_written(
    small_blocks, monkeypatch
):
    monkeypatch.setenv("NPOPTIM_THREADS", "1")
    rng = np.random.default_rng(2)
    p, g = rng.normal(size=(2, 301, 17))
    rule, seen = npo.CAME(), []
    state = rule.init(p)
    arrays = {None: p, **state}
    before = copy.deepcopy(arrays)

    def check(results, first):
        for k, x in results.items():
            rows = slice(None) if first is None else slice(first // 17, first // 17 + len(x))
            if not first:
                assert np.array_equal(arrays[k][rows], before[k][rows])
            else:
                assert np.shares_memory(arrays[k][rows], x)
            seen.append((k, rows.start, rows.stop))

    new, memory = advance(rule, p, g, 1, state, check, in_place=True)
    assert new is p
    assert memory["m"] is state["m"]
    assert not np.array_equal(p, before[None])
    assert {k for k, start, _ in seen if start is None} == {"r", "c", "R", "C"}
    for k in None, "m":
        rows = sorted((start, stop) for key, start, stop in seen if key == k and stop)
        assert [start for start, _ in rows] == [0, *(stop for _, stop in rows[:-1])]
        assert rows[-1][1] == 301


# ---------------------------------------------------------------- through the driver


@pytest.fixture(params=["whole", "in place"])
def above(request, monkeypatch, small_blocks):
    """Steps that happen whole, and steps above the limit up to which they do."""
    if request.param == "in place":
        monkeypatch.setattr(driver, "ATOMIC", 0)
    return request.param


@every_rule
def test_a_step_uses_it(rule, above, monkeypatch):
    rng = np.random.default_rng(3)
    p, g = rng.normal(size=(2, 301, 17))
    q, one, two = p.copy(), rule(), rule()
    taken = []
    real = fused.advance
    monkeypatch.setattr(fused, "advance", lambda *a: taken.append(real(*a)) or taken[-1])
    one.step(p, g)
    one.step(p, -g)
    assert len(taken) == 2
    assert None not in taken
    monkeypatch.setattr(fused, "LARGE", 10**9)
    two.step(q, g)
    two.step(q, -g)
    assert len(taken) == 2
    assert_same((p, one.state["p"]), (q, two.state["p"]), rule.scope == "element", "f8")


def test_a_step_uses_it_from_the_limit_on(small_blocks, monkeypatch):
    taken = []
    monkeypatch.setattr(fused, "advance", lambda *a: taken.append(a[1].nbytes))
    for n in 127, 128:
        npo.SGD().step(np.ones(n), np.ones(n))
    assert taken == [1024]


@every_rule
@pytest.mark.parametrize(("dtype", "ulps"), [("f2", 2), (">f8", 300)])
def test_dtypes_that_are_computed_in_another(rule, dtype, ulps, above, monkeypatch):
    rng = np.random.default_rng(5)
    p, g = (rng.normal(size=(301, 17)).astype(dtype) for _ in range(2))
    q = p.copy()
    rule().step(p, g)
    monkeypatch.setattr(fused, "LARGE", 10**9)
    rule().step(q, g)
    assert p.dtype == q.dtype == dtype
    np.testing.assert_allclose(p, q, rtol=ulps * np.finfo(p.dtype).eps)


def test_a_result_that_is_not_finite(above, monkeypatch):
    monkeypatch.setenv("NPOPTIM_THREADS", "1")
    p, opt = np.zeros((301, 17)), npo.Momentum(lr=1.0, momentum=0.5)
    g = np.ones(p.shape)
    g[200, 3] = 1.5e308
    opt.step(p, g)
    before = p.copy()
    with pytest.raises(
        npo.NonFiniteError,
        match=r"^'p' after the step is -inf at index \(200, 3\): the gradient or lr is too large",
    ) as e:
        opt.step(p, g)
    assert opt.t == 1
    if above == "whole":
        assert np.array_equal(p, before)
        assert "nothing was changed" in str(e.value)
        opt.step(p, -g)
    else:
        assert (p[:150] == -2.5).all()
        assert p[200, 3] == -np.inf  # once a block has passed, others are computed in place
        assert np.array_equal(p[250:], before[250:])
        assert "nothing was changed" not in str(e.value)
        assert "'p' may be half-written" in e.value.__notes__[0]
        with pytest.raises(RuntimeError, match="Load parameters and a state"):
            opt.step(p, g)


def test_rows_that_are_not_finite_are_found_before_anything_is_written(above):
    p, g, opt = np.ones((301, 17)), np.ones((301, 17)), npo.Adafactor()
    g[200, 3] = 1e200
    with pytest.raises(npo.NonFiniteError, match=r"state 'R' of 'p' .* is inf at index \(200,\)"):
        opt.step(p, g)
    assert (p == 1).all()
    opt.step(p, np.ones((301, 17)))
    assert opt.t == 1


def test_a_norm_that_is_not_finite(above):
    """LAMB's state is made on the way to the norm, and so in place it is already written."""
    p, g, opt = np.ones((301, 17)), np.ones((301, 17)), npo.LAMB()
    p[200, 3] = 1e200
    before = p.copy()
    with pytest.raises(npo.NonFiniteError, match=r"'p' after the step is nan at index \(0, 0\)"):
        opt.step(p, g)
    assert np.array_equal(p, before)
    assert opt.t == 0
    if above == "whole":
        opt.step(np.ones((301, 17)), g)
    else:
        with pytest.raises(RuntimeError, match="Load parameters and a state"):
            opt.step(np.ones((301, 17)), g)


def test_an_interrupted_thread_stops_the_others(above, monkeypatch):
    p, g, opt = np.ones((301, 17)), np.ones((301, 17)), npo.SGD()
    opt.step(p, g)
    before = p.copy()

    def block(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(Check, "block", block)
    with pytest.raises(KeyboardInterrupt):
        opt.step(p, g)
    assert opt.t == 1
    assert np.array_equal(p, before)


def test_threads_know_no_warnings():
    together = threading.Barrier(3)

    def do(i):
        together.wait(10)  # each piece has a thread of its own
        assert np.isinf(np.ones(600) / np.zeros(600)).all()

    share(3, lambda: nullcontext(do), 3)


def test_a_thread_that_cannot_begin_stops_the_others():
    main, done = threading.get_ident(), []

    def worker():
        if threading.get_ident() == main:
            raise MemoryError
        return nullcontext(lambda i: done.append(time.sleep(0.01)))

    with pytest.raises(MemoryError):
        share(10**9, worker, 2)
    pool().submit(int).result(timeout=10)  # it has nothing else to do
    assert len(done) < 100


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_one_element_of_many_that_is_not_finite(value, order, size):
    g = np.full((50, 200), size, np.float32, order)
    npo.SGD(lr=0).step(np.zeros_like(g), g)  # squares overflow, elements do not
    g[33, 101] = value
    words = rf"gradient of 'p' is {value} at index \(33, 101\)"
    with pytest.raises(npo.NonFiniteError, match=words):
        npo.SGD(lr=0).step(np.zeros_like(g), g)


def test_plain_lines_may_be_asked_for(small_blocks):
    p, g, rule = np.ones(5000), np.ones(5000), npo.LAMB()
    with fused.plain_lines():
        assert _fused(rule, p, g, 1, {}, None) is None
    assert not fused.PLAIN.get()
    state = rule.init(p)
    assert _fused(rule, p, g, 1, state, Check(rule, "p")) is not None


@pytest.mark.parametrize(("own", "count"), [(1, 1), (3, 3), (4, 4), (9, 4)])
def test_a_thread_for_each_core_of_this_process_up_to_four(own, count, monkeypatch):
    monkeypatch.delenv("NPOPTIM_THREADS", raising=False)
    asked = []

    def affinity(process):
        asked.append(process)
        return set(range(own))

    monkeypatch.setattr("os.sched_getaffinity", affinity, raising=False)
    assert cores() == count
    assert asked == [0]


@pytest.mark.parametrize(("known", "count"), [(None, 1), (2, 2), (64, 4)])
def test_where_a_process_cannot_ask_for_its_cores(known, count, monkeypatch):
    monkeypatch.delenv("NPOPTIM_THREADS", raising=False)
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: known)
    assert cores() == count


@pytest.mark.parametrize("text", ["1", "2", "17"])
def test_the_environment_says_how_many_threads(text, monkeypatch):
    monkeypatch.setenv("NPOPTIM_THREADS", text)
    assert cores() == int(text)
