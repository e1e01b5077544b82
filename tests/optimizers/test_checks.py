"""What is demanded of a class, of numbers and of arrays, in whole sentences."""

import inspect
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pytest

import npoptim as npo
from npoptim.optimizers import checks
from npoptim.standin import DeviceArray


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("wieght_decay", ["lr", "weight_decay"], " Did you mean 'weight_decay'?"),
        ("bet", ["beta", "bets", "best", "lr"], " Did you mean 'bets' or 'beta'?"),
        ("mu", ["momentum", "mut"], " Did you mean 'momentum'?"),  # as others call it, before what is near
        ("mu", ["mut", "lr"], " Did you mean 'mut'?"),
        ("x", ["lr"], ""),
    ],
)  # fmt: skip
def test_the_nearest_names(name, known, hint):
    assert checks.nearest(name, iter(known)) == hint


def test_help_shows_the_hyper_parameters():
    assert str(inspect.signature(npo.SGD)) == "(lr: Any = 0.01) -> None"


@dataclass(init=False)
class Free(npo.SGD):
    def __init__(self, **others):
        self.lr = others.pop("rate", 0.5)


def test_a_class_may_take_any_keyword():
    assert Free(rate=2).lr == 2.0
    with pytest.raises(TypeError, match="SGD has no hyper-parameter 'rate'"):
        npo.SGD(rate=2)


@dataclass
class Odd(npo.SGD):
    """Hyper-parameters that npoptim knows nothing of."""

    name: object = "odd"
    pair: tuple = (1.0, 2.0)


@dataclass
class Bare(npo.Optimizer):
    """As many betas as there are."""

    betas: tuple

    def update(self, p, g, t):
        return p, {}


def test_hyper_parameters_of_your_own():
    assert Odd(name=None).name is None
    assert Odd(name=3).name == 3.0
    assert Odd(name=True).name is True
    assert Bare((0.5,)).betas == (0.5,)
    assert Bare([0, 0.5, 0.25]).betas == (0.0, 0.5, 0.25)
    assert Odd(pair=(-1, 5)).pair == (-1.0, 5.0)
    rate = npo.schedules.constant(0.25)
    assert Odd(pair=[rate, -3]).at(1).pair == (0.25, -3.0)
    for value, words in (
        ({"name": float("nan")}, r"name must be a float in the range \(-inf, inf\). Got nan"),
        ({"pair": (1, float("inf"))}, r"pair\[1\] must be a float in the range \(-inf, inf\)"),
        ({"pair": (1, 2, 3)}, r"pair must be a tuple of 2 floats. Got \(1, 2, 3\) instead."),
    ):
        with pytest.raises(ValueError, match=words):
            Odd(**value)
    with pytest.raises(ValueError, match=r"betas\[1\] must be a float in the range \[0, 1\)"):
        Bare((0.5, 1))
    with pytest.raises(TypeError, match=r"betas must be a float in the range \[0, 1\). Got None"):
        Bare(None)
    assert Bare((lambda t: 0.5, 0.9)).at(1).betas == (0.5, 0.9)


def test_attributes_that_are_no_hyper_parameters():
    opt = npo.SGD()
    opt._note = ["anything"]
    assert opt._note == ["anything"]

    class Plain(npo.Optimizer):
        """No dataclass."""

        def __init__(self, lr=0.1):
            self.lr = lr

        def update(self, p, g, t):
            return p - self.lr * g, {}

    assert Plain(lr=1).lr == 1.0
    with pytest.raises(ValueError, match="lr must be"):
        Plain(lr=-1)


@pytest.mark.parametrize("step", [1, 7])
def test_a_schedule_inside_a_tuple_is_checked_at_its_step(step):
    opt = npo.Adam(betas=(0.9, lambda t: 0.5 * t))
    if step == 1:
        assert opt.at(1).betas == (0.9, 0.5)
        return
    with pytest.raises(ValueError, match=r"^betas at step 7\[1\] must be .* Got 3.5 instead\.$"):
        opt.at(7)


def test_what_a_schedule_returns_must_be_what_is_wanted():
    for value, words in (
        (lambda t: (0.9, 0.9, 0.9), r"betas at step 1 must be a tuple of 2 floats. Got \(0.9, 0.9, 0.9\)"),
        (lambda t: 0.5, "betas at step 1 must be a tuple of 2 floats. Got 0.5 instead."),
        (lambda t: (lambda t: 0.5, 0.9), r"betas at step 1\[0\] must be a float in the range \[0, 1\)"),
    ):  # fmt: skip
        with pytest.raises((TypeError, ValueError), match=words):
            npo.Adam(betas=value).at(1)


def test_parameters_by_name():
    x = np.ones(2)
    tree = {"a": x}
    assert checks.named(tree, "params") is tree
    assert checks.named(MappingProxyType(tree), "params") == tree
    assert checks.named(x, "params") == {"p": x}


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (np.float64(2), "an array that can change in place. Got the number np.float64(2.0); use np.array(2.0)."),
        (3, "an array that can change in place. Got the number 3; use np.array(3)."),
        (np.ma.array([1.0]), "a plain numpy.ndarray. Got MaskedArray; use np.asarray(…)."),
        ([1.0], "a dict name -> array, or one array. Got list instead: name the parameters in a dict."),
        (None, "a dict name -> array, or one array. Got NoneType instead: name the parameters in a dict."),
    ],
)  # fmt: skip
def test_what_are_no_parameters(arrays, words):
    with pytest.raises(TypeError) as error:
        checks.named(arrays, "params")
    assert str(error.value) == f"params must be {words}"


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"b": np.ones(2)}, "the names of the parameters are fixed at the first step: missing ['a'], unexpected ['b']."),
        ({"a": np.ones((2, 1))}, "parameter 'a' was float64[2] at the first step. Got float64[2, 1] instead."),
        ({"a": np.ones(2, "f4")}, "parameter 'a' was float64[2] at the first step. Got float32[2] instead."),
    ],
)  # fmt: skip
def test_what_is_fixed_at_the_first_step(params, words):
    with pytest.raises(ValueError) as error:
        checks.layout(params, {"a": ((2,), np.dtype(float))})
    assert str(error.value) == words


class Elsewhere:
    """An array of another library."""

    __array_ufunc__ = None


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.ma.array([1.0]), "a MaskedArray; use np.asarray(…)"),
        (np.float64(2), "the number np.float64(2.0), which cannot change in place; use np.array(2.0)"),
        (None, "None"),
        (Elsewhere(), f"an array of {__name__}; see npoptim.use_backend"),
        (DeviceArray(np.ones(1)), "an array of npoptim.standin; see npoptim.use_backend"),
        ([1.0], "list; use np.array(…)"),
    ],
)  # fmt: skip
def test_what_is_no_array(x, words):
    with pytest.raises(TypeError) as error:
        checks.array(x, "x")
    assert str(error.value) == f"x must be a numpy.ndarray. Got {words}."


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("ab", None),
        ("a", "names: missing ['b']."),
        ("abdc", "names: unexpected ['c', 'd']."),
        ("ca", "names: missing ['b'], unexpected ['c']."),
        (["b", "a", 1], "names: unexpected ['1']."),
    ],
)
def test_names_missing_and_too_many(given, words):
    if words is None:
        checks.same_names(given, "ba", "names")
        return
    with pytest.raises(ValueError) as error:
        checks.same_names(given, "ba", "names")
    assert str(error.value) == words


def strided(x, shape, strides):
    return np.lib.stride_tricks.as_strided(x, shape, strides)


def test_a_question_too_hard_to_answer_counts_as_shared():
    x = np.zeros(192163377, np.int8)  # never touched, so no memory is taken
    a = strided(x, (1049, 1049, 1049), (36674, 61119, 85569))
    b = strided(x[64023025:], (1049, 1049, 1), (12223, 12224, 1))
    with pytest.raises(np.exceptions.TooHardError):
        np.shares_memory(a, b, max_work=10_000)
    assert checks._share(a, b)


@pytest.mark.parametrize(
    ("shape", "strides", "itself"),
    [
        ((3, 4), (32, 8), False),
        ((3, 4), (40, 8), False),
        ((3, 4), (24, 8), True),
        ((3, 4), (31, 8), True),
        ((4, 3), (8, 32), False),
        ((3, 4), (-32, 8), False),
        ((1, 4), (0, 8), False),
        ((3, 4), (32, 4), True),
        ((2, 2, 2), (32, 16, 8), False),
        ((2, 2, 2), (24, 16, 8), True),
    ],
)
def test_elements_that_share_memory(shape, strides, itself):
    start = np.zeros(64)[32:]
    assert checks._overlaps_itself(strided(start, shape, strides)) == itself


def test_memory_is_compared_to_the_end_of_each_parameter():
    x = np.zeros(30)
    for a, b, shared in (
        (x[:10], x[10:20], False),
        (x[:11], x[10:20], True),
        (x[::2], x[1::2], False),
        (x[:20:2], x[2:8:2], True),
        (x[:30:3], x[1:5:3], False),
    ):
        for params in ({"a": a, "b": b}, {"b": b, "empty": x[:0], "other": np.ones(3), "a": a}):
            if not shared:
                checks.no_overlap(params)
                continue
            with pytest.raises(ValueError, match=r"parameters '[ab]' and '[ab]' share memory"):
                checks.no_overlap(params)
    with pytest.raises(ValueError, match="parameters 'b' and 'c' share memory"):
        checks.no_overlap({"a": x[:5], "b": x[10:20], "c": x[15:25]})
    with pytest.raises(ValueError, match="parameters 'all' and 'last' share memory"):
        checks.no_overlap({"all": x, "first": x[:0], "last": x[29:]})


@pytest.mark.parametrize("size", [1, 8, 9, 100, 4095, 4096, 5000])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "g"])
def test_finite(size, value, dtype):
    x = np.full(size, 6e4, dtype)  # the sum of float16 overflows, the elements do not
    with np.errstate(over="ignore"):
        assert checks.finite(x)
        x[size // 2] = value
        assert not checks.finite(x)
        assert not checks.finite(np.repeat(x, 2)[::2])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("order", ["C", "F"])
def test_finite_in_pieces(value, order):
    x = np.ones((1031, 1021), order=order)  # 8 MiB, in pieces of two lengths
    assert checks.finite(x)
    for i in (*range(0, x.size, 50_000), x.size - 1):
        x.ravel(order="K")[i] = value
        assert not checks.finite(x)
        x.ravel(order="K")[i] = 1


def test_the_first_that_is_not_finite_is_named():
    x = np.ones((3, 4))
    x[1, 2], x[2, 0] = -np.inf, np.nan
    for given, words in (
        ((x, "x"), "x is -inf at index (1, 2); nothing was changed."),
        ((x, "x", ": why"), "x is -inf at index (1, 2): why; nothing was changed."),
        ((x[1:], "x", "", 8, (4, 4)), "x is -inf at index (2, 2); nothing was changed."),
    ):
        with pytest.raises(npo.NonFiniteError) as error:
            checks.not_finite(*given)
        assert str(error.value) == words


@pytest.mark.parametrize(("value", "shown"), [(10**400, "inf"), (-(10**400), "-inf")])
def test_a_number_beyond_all_floats(value, shown):
    with pytest.raises(
        ValueError, match=rf"^lr must be a float in the range \[0, inf\). Got {shown} "
    ):
        npo.SGD(lr=value)
    assert npo.Adafactor(clip=10**400).clip == float("inf")


@pytest.mark.parametrize(("n", "dtype"), [(100, "f2"), (5000, "f4")])
def test_a_large_sum_of_finite_numbers_is_no_warning(n, dtype):
    assert checks.finite(np.full(n, np.finfo(dtype).max))
