"""The second step of the same small arrays takes a shorter way: to the same numbers and errors."""

import functools
import gc
import weakref
from dataclasses import dataclass

import numpy as np
import pytest

import npoptim as npo
from npoptim.optimizers import again, driver
from npoptim.optimizers.base import Optimizer

RULES = list(npo.optimizers().values())
every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda c: c.__name__)


@pytest.fixture
def ways(monkeypatch):
    """Whether each step since has gone the short way."""
    taken = []

    def watched(*given):
        taken.append(again.again(*given))
        return taken[-1]

    monkeypatch.setattr(driver, "again", watched)
    return taken


def run(opt, dtype=np.float64, steps=5):
    rng = np.random.default_rng(0)
    params = {"b": rng.normal(size=3), "W": rng.normal(size=(4, 5)), "K": rng.normal(size=(2, 3, 2, 2))}  # fmt: skip
    params = {name: p.astype(dtype) for name, p in params.items()}
    for _ in range(steps):
        opt.step(params, {name: rng.normal(size=p.shape).astype(dtype) for name, p in params.items()})  # fmt: skip
    arrays = [*params.values(), *(x for slots in opt.state.values() for x in slots.values())]
    return opt.t, [x.tobytes() for x in arrays]


@every_rule
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_both_ways_give_the_same_bits(rule, dtype, ways, monkeypatch):
    lr = npo.schedules.linear(0.1, total=5)
    groups = npo.Groups({"b": npo.SGD(lr=0.1), "*": rule()})
    made = [rule(), rule(lr=lr), groups]
    short = [run(opt, dtype) for opt in made]
    assert ways == [True] * 12
    monkeypatch.setattr(driver, "again", lambda *given: False)
    assert [run(opt.fresh(), dtype) for opt in made] == short


@every_rule
def test_what_goes_wrong_later_is_found_and_changes_nothing(rule, ways):
    p, opt = np.array([1.0, -2.0]), rule()
    good = np.array([0.1, 0.2])
    for _ in range(2):
        opt.step(p, good)
    bad = [
        (p, np.array([np.nan, 0.0]), "gradient of 'p' is nan at index"),
        (p, np.array([np.inf, 0.0]), "gradient of 'p' is inf at index"),
        (p, np.array([0.1]), "shape"),
        (p, [0.1, 0.2], "name"),
        ({"p": p, "q": p.copy()}, {"p": good, "q": good}, "fixed at the first step"),
        ({"q": p}, {"q": good}, "fixed at the first step"),
        ({"p": p}, {"q": good}, "missing"),
        (np.ones(3), np.ones(3), "at the first step"),
        (p.astype(np.float32), good, "at the first step"),
    ]
    before = p.tobytes(), opt.state_dict()
    for params, grads, message in bad:
        with pytest.raises((TypeError, ValueError), match=message):
            opt.step(params, grads)
        assert p.tobytes() == before[0]
        np.testing.assert_equal(opt.state_dict(), before[1])
    opt.step(p, good)
    assert ways == [True] + [False] * (len(bad) - 1) + [True]  # the list does not come so far


def test_a_parameter_made_read_only_or_reshaped_is_noticed(ways):
    p, opt = np.ones((2, 2)), npo.SGD(lr=0.1)
    opt.step(p, np.ones((2, 2)))
    p.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        opt.step(p, np.ones((2, 2)))
    p.flags.writeable = True
    p.resize(4)
    with pytest.raises(ValueError, match="at the first step"):
        opt.step(p, np.ones(4))
    assert ways == [False, False]


def test_a_result_that_overflows_is_named(ways):
    p, opt = np.array([1.0, 1e300]), npo.SGD(lr=1e10)
    opt.step(p, np.zeros(2))
    with pytest.raises(npo.NonFiniteError, match="'p' after the step is -inf at index"):
        opt.step(p, np.array([0.0, 1e300]))
    assert p.tolist() == [1.0, 1e300]
    assert ways == [False]


def test_finite_numbers_whose_sum_is_not_go_on():
    p, opt = np.array([1e308, 1e308]), npo.SGD(lr=0.1)
    for _ in range(2):
        opt.step(p, np.ones(2))
    assert opt.t == 2


def test_hyper_parameters_set_behind_its_back_are_noticed(ways):
    p, opt = np.ones(2), npo.SGD(lr=0.1)
    opt.step(p, np.ones(2))
    vars(opt)["lr"] = -1.0
    with pytest.raises(ValueError, match="lr must be a float in the range"):
        opt.step(p, np.ones(2))
    opt.lr = 0.2
    opt.step(p, np.ones(2))
    np.testing.assert_allclose(p, 0.7)


def test_settings_of_numpy_are_neither_heeded_nor_changed(ways):
    p, opt = np.ones(2), npo.LARS()
    opt.step(p, np.zeros(2))
    with np.errstate(all="raise"):
        opt.step(p, np.full(2, 1e-200))
        with pytest.raises(npo.NonFiniteError):
            opt.step(p, np.full(2, 1e200))
        assert set(np.geterr().values()) == {"raise"}
    assert ways == [True, False]


@dataclass
class Backward(Optimizer):
    """Returns as memory what it has been given."""

    def init(self, p):
        return {"last": np.zeros_like(p), "row": np.zeros_like(p), "slope": np.zeros_like(p)}

    def update(self, p, g, t, last, row, slope):
        return p - g, {"last": p, "row": p.reshape(p.shape), "slope": g}


def test_memory_is_never_the_parameter_or_the_gradient():
    p, g, opt = np.array([3.0, 4.0]), np.ones(2), Backward()
    for n in range(3):
        opt.step(p, g)
        g[:] = 1.0
        assert opt.state["p"]["last"].tolist() == [3.0 - n, 4.0 - n]
        assert opt.state["p"]["row"].tolist() == [3.0 - n, 4.0 - n]
        g[:] = 5.0
        assert opt.state["p"]["slope"].tolist() == [1.0, 1.0]
        g[:] = 1.0


@dataclass
class Fickle(Optimizer):
    """Keeps its word at the first step only."""

    what: float = 0.0

    def init(self, p):
        return {"m": np.zeros_like(p)}

    def update(self, p, g, t, m):
        if t == 1:
            return p - g, {"m": m + g}
        new = [p[:1], (p - g).astype(np.float32), None, p - g][min(int(self.what), 3)]
        return new, [{"m": m}, {"m": m}, {"m": m}, {}, {"n": m}, {"m": m[:1]}, {"m": m.astype("f4")}][int(self.what)]  # fmt: skip


@pytest.mark.parametrize("what", range(7))
def test_a_rule_that_changes_its_ways_is_found_out(what):
    p, opt = np.ones(2), Fickle(what=what)
    opt.step(p, np.ones(2))
    with pytest.raises((TypeError, ValueError), match="update"):
        opt.step(p, np.ones(2))
    assert (opt.t, p.tolist(), opt.state["p"]["m"].tolist()) == (1, [0.0, 0.0], [1.0, 1.0])


def test_parameters_are_not_kept_alive():
    p, opt = np.ones(2), npo.Adam()
    opt.step(p, np.ones(2))
    gone = weakref.ref(p)
    del p
    gc.collect()
    assert gone() is None
    opt.step(np.ones(2), np.ones(2))  # others of the same name and shape are taken


@dataclass
class Unwritten(Optimizer):
    """A student's first try."""

    stage: int = 0

    def init(self, p):
        return None if self.stage < 1 else {}

    def update(self, p, g, t):
        return {1: None, 2: p - g, 3: (p - g, None)}.get(int(self.stage))


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (0, "Unwritten.init must return a dict slot -> array. Got None instead"),
        (1, "Unwritten.update must return p and a dict of the state. Got None instead"),
        (2, "Got ndarray instead"),
        (3, "Got tuple instead"),
    ],
)
def test_methods_that_return_nothing_are_named(stage, message):
    with pytest.raises(TypeError, match=message):
        Unwritten(stage=stage).step(np.ones(2), np.ones(2))
    with pytest.raises(TypeError, match=message):
        npo.run("rosenbrock", Unwritten(stage=stage))


def test_an_update_that_is_no_method_is_told_too():
    class Static(Optimizer):
        @staticmethod
        def update(p, g, t):
            return p - g

    with pytest.raises(TypeError, match=r"^Static\.update must return p and a dict"):
        Static().step(np.ones(2), np.ones(2))

    class Partial(Optimizer):
        update = functools.partial(lambda a, p, g, t: p - g, 1)  # has no name

    with pytest.raises(TypeError, match=r"^update must return p and a dict"):
        Partial().step(np.ones(2), np.ones(2))


@pytest.mark.parametrize(("n", "short"), [(2**11, True), (2**11 + 1, False)])
def test_only_small_parameters_take_the_shorter_way(n, short, ways):
    p, opt = np.ones(n), npo.SGD()
    for _ in range(2):
        opt.step(p, np.ones(n))
    assert ways == [True] * short


def test_a_parameter_of_another_shape_than_its_gradient_is_noticed(ways):
    p, opt = np.ones((2, 2)), npo.SGD()
    opt.step(p, np.ones((2, 2)))
    p.resize(4)
    with pytest.raises(ValueError, match="at the first step"):
        opt.step(p, np.ones((2, 2)))
    assert ways == [False]


@dataclass
class Spoils(Optimizer):
    """Does not look at the gradient; at step 2 something of the parameter that begins with 1 is NaN."""

    what: object = None
    axes: int = 1

    def init(self, p):
        return {"m": np.zeros_like(p), "row": np.zeros((1, 3)[-int(self.axes) :], p.dtype)}

    def update(self, p, g, t, m, row):
        bad = np.where(t == 2 and p.flat[0] == 1, np.nan, 0.0)
        p = p + (bad if self.what == "p" else 0)
        m, row = (x + (bad if self.what == name else 0) for x, name in ((m, "m"), (row, "row")))
        return p, {"m": m, "row": row}


@pytest.mark.parametrize("what", ["g", "p", "m", "row", None])
@pytest.mark.parametrize("shape", [(2,), (8,), (9,), (2, 2)])
@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("first", ["a", "b"])
def test_whatever_is_not_finite_is_found(what, shape, axes, first, ways):
    params = {k: np.full(shape, 1.0 if k == first else 2.0) for k in "ab"}
    grads, opt = {k: np.ones(shape) for k in "ab"}, Spoils(what, axes)
    opt.step(params, grads)
    if what == "g":
        grads[first].flat[-1] = np.nan
    if what is None:
        opt.step(params, grads)
        assert ways == [True]
        return
    with pytest.raises(npo.NonFiniteError, match=f"'{first}'.* is nan at index"):
        opt.step(params, grads)
    assert ways == [False]
    assert opt.t == 1


@dataclass
class Keeps(Optimizer):
    """Returns as memory the parameter, the gradient, or a view of one."""

    what: str = "p"

    def init(self, p):
        return {"m": np.zeros_like(p)}

    def update(self, p, g, t, m):
        return p - g, {"m": {"p": p, "g": g, "view": p[:]}[self.what]}


@pytest.mark.parametrize("what", ["p", "g", "view"])
def test_memory_that_is_not_its_own_takes_the_longer_way(what, ways):
    p, g, opt = np.array([3.0, 4.0]), np.ones(2), Keeps(what)
    for _ in range(3):
        opt.step(p, g)
        assert opt.state["p"]["m"] is not p
        assert not np.shares_memory(opt.state["p"]["m"], p)
        assert not np.shares_memory(opt.state["p"]["m"], g)
    assert ways == [False, False]
