"""Schedules: their values at the corners, their errors, their copies."""

import copy
import inspect
import math
import pickle

import pytest

import npoptim as npo
from npoptim import schedules as s

ALL = [
    s.constant(0.1, warmup=3),
    s.linear(1.0, total=10, warmup=2, end=0.1),
    s.polynomial(1.0, total=10, warmup=2, power=2.0),
    s.cosine(1e-3, total=1000, warmup=100),
    s.step(1.0, every=3, factor=0.5, warmup=2),
    s.inverse_sqrt(1.0, warmup=4),
    s.wsd(1.0, total=20, decay=5, warmup=5, end=0.01),
    s.one_cycle(1.0, total=30, warmup=10),
    s.join((s.constant(1.0), s.cosine(1.0, total=5)), until=(7,)),
    s.relative_step(),
]
every = pytest.mark.parametrize("schedule", ALL, ids=lambda x: type(x).__name__)


@every
def test_values_are_finite_and_not_negative_for_ever(schedule):
    for t in (*range(1, 1200), 10**9):
        value = schedule(t)
        assert type(value) is float
        assert 0 <= value < math.inf


@every
def test_a_schedule_is_its_repr_and_can_be_copied(schedule):
    assert eval(repr(schedule), vars(s)) == schedule
    assert pickle.loads(pickle.dumps(schedule)) == copy.deepcopy(schedule) == schedule
    with pytest.raises(AttributeError):
        schedule.peak = 3


@every
def test_a_schedule_drives_a_rule(schedule):
    opt = npo.SGD(lr=schedule)
    assert opt.at(7).lr == schedule(7)


def test_the_list_of_schedules_is_complete():
    assert {type(x).__name__ for x in ALL} == set(s.__all__)


CORNERS = [
    (s.cosine(1e-3, total=1000, warmup=100), {1: 1e-5, 50: 5e-4, 100: 1e-3, 550: 5e-4, 1000: 0.0, 5000: 0.0}),
    (s.cosine(1.0, total=4, end=0.5), {2: 0.75, 4: 0.5, 9: 0.5}),
    (s.linear(1.0, total=10, warmup=2, end=0.2), {1: 0.5, 2: 1.0, 6: 0.6, 10: 0.2, 11: 0.2}),
    (s.polynomial(1.0, total=10, power=2.0), {5: 0.25, 10: 0.0}),
    (s.step(1.0, every=3, factor=0.5, warmup=2), {1: 0.5, 2: 1.0, 3: 1.0, 5: 1.0, 6: 0.5, 9: 0.25}),
    (s.inverse_sqrt(1.0, warmup=4), {1: 0.25, 4: 1.0, 16: 0.5}),
    (s.wsd(1.0, total=20, decay=5, warmup=5), {1: 0.2, 5: 1.0, 15: 1.0, 16: 0.8, 20: 0.0, 99: 0.0}),
    (s.one_cycle(1.0, total=30, warmup=10), {10: 1.0, 20: 0.50005, 30: 1e-4}),
    (s.constant(0.3), {1: 0.3, 10**6: 0.3}),
    (s.linear(1.0, total=5, warmup=5), {4: 0.8, 5: 0.0}),
    (s.join((s.constant(1.0), s.constant(2.0), s.linear(4.0, total=4)), until=(2, 5)), {2: 1.0, 3: 2.0, 5: 2.0, 6: 3.0, 9: 0.0}),
    (s.join((s.linear(4.0, total=4), s.constant(2.0)), until=(1,)), {1: 3.0, 2: 2.0}),
    (s.polynomial(1.0, total=10, warmup=2, power=3, end=0.2), {1: 0.5, 2: 1.0, 6: 0.3, 10: 0.2, 11: 0.2}),
    (s.step(1.0, every=1, factor=0.5), {1: 1.0, 2: 0.5, 3: 0.25}),
    (s.inverse_sqrt(3.0), {1: 3.0, 9: 1.0}),
    (s.wsd(1.0, total=20, decay=5, end=0.5), {15: 1.0, 16: 0.9, 20: 0.5}),
    (s.wsd(1.0, total=9, decay=4, warmup=5), {4: 0.8, 5: 1.0, 7: 0.5, 9: 0.0}),
    (s.one_cycle(1.0, total=30, warmup=10, start_factor=2, end_factor=4), {5: 0.75, 10: 1.0, 20: 0.625, 30: 0.25, 31: 0.25}),
    (s.one_cycle(1.0, total=9, warmup=4, start_factor=1, end_factor=1), {1: 1.0, 4: 1.0, 9: 1.0}),
    (s.one_cycle(1.0, total=3, warmup=3), {3: 1e-4}),
]  # fmt: skip


@pytest.mark.parametrize(("schedule", "values"), CORNERS, ids=lambda x: type(x).__name__)
def test_corners(schedule, values):
    assert {t: schedule(t) for t in values} == pytest.approx(values, rel=1e-12)


DEFAULTS = {
    "constant": "peak, warmup=0",
    "linear": "peak, total, warmup=0, end=0.0",
    "polynomial": "peak, total, warmup=0, power=2.0, end=0.0",
    "cosine": "peak, total, warmup=0, end=0.0",
    "step": "peak, every, factor=0.1, warmup=0",
    "inverse_sqrt": "peak, warmup=0",
    "wsd": "peak, total, decay, warmup=0, end=0.0",
    "one_cycle": "peak, total, warmup=1, start_factor=25.0, end_factor=10000.0",
    "join": "schedules, until=()",
    "relative_step": "",
}


@pytest.mark.parametrize("name", s.__all__)
def test_signatures_and_defaults(name):
    parameters = inspect.signature(getattr(s, name)).parameters.values()
    plain = [p.replace(annotation=p.empty) for p in parameters]
    assert ", ".join(map(str, plain)) == DEFAULTS[name]


def test_the_ends_of_the_ranges_are_taken():
    assert s.linear(1.0, total=5, warmup=5)(5) == 0
    assert s.wsd(1.0, total=9, decay=4, warmup=5)(5) == 1
    assert s.one_cycle(1.0, total=9, start_factor=1, end_factor=1.5)(9) == 1 / 1.5
    assert s.one_cycle(1.0, total=9, start_factor=1.5, end_factor=1)(9) == 1
    assert s.constant(0)(1) == 0


def test_the_parts_of_a_join_may_come_in_lists():
    schedule = s.join([s.constant(1.0), s.constant(2.0)], until=[3])
    assert schedule == s.join((s.constant(1.0), s.constant(2.0)), until=(3,))
    assert hash(schedule) == hash(copy.deepcopy(schedule))
    assert s.join([s.constant(1.0)])(5) == 1.0


BAD = [
    (lambda: s.cosine(1.0, total=0), ValueError, "total must be an int"),
    (lambda: s.cosine(1.0, total=10.0), TypeError, "total must be an int"),
    (lambda: s.cosine(1.0, total=True), TypeError, "total must be an int"),
    (lambda: s.cosine(1.0, total=10, warmup=11), ValueError, "warmup must be at most total = 10"),
    (lambda: s.cosine(1.0, total=10, warmup=-1), ValueError, "warmup must be an int"),
    (lambda: s.cosine(-1.0, total=10), ValueError, "peak must be a float"),
    (lambda: s.cosine("a", total=10), TypeError, "peak must be a float"),
    (lambda: s.cosine(math.nan, total=10), ValueError, "peak must be a float"),
    (lambda: s.linear(1.0, total=10, end=math.inf), ValueError, "end must be a float"),
    (lambda: s.step(1.0, every=0), ValueError, "every must be an int"),
    (lambda: s.wsd(1.0, total=10, decay=6, warmup=5), ValueError, "warmup \\+ decay"),
    (lambda: s.wsd(1.0, total=10, decay=0), ValueError, "decay must be an int"),
    (lambda: s.one_cycle(1.0, total=10, start_factor=0.5), ValueError, "start_factor"),
    (lambda: s.join((s.constant(1.0),), until=(3,)), ValueError, "until must hold 0"),
    (lambda: s.join((s.constant(1.0),) * 3, until=(3, 3)), ValueError, "rising"),
    (lambda: s.join((s.constant(1.0), 3.0), until=(3,)), TypeError, "schedules\\[1\\]"),
    (
        lambda: s.join((s.constant(1.0),) * 2, until=(0,)),
        ValueError,
        "until\\[0\\] must be an int in the range \\[1, inf\\)",
    ),
    (
        lambda: s.one_cycle(1.0, total=10, end_factor=0.99),
        ValueError,
        "^end_factor must be at least 1. Got 0.99 instead.$",
    ),
    (
        lambda: s.constant(math.inf),
        ValueError,
        "^peak must be a float in the range \\[0, inf\\). Got inf instead.$",
    ),
    (
        lambda: s.constant(True),
        TypeError,
        "^peak must be a float in the range \\[0, inf\\). Got True instead.$",
    ),
    (
        lambda: s.wsd(1.0, total=0, decay=1),
        ValueError,
        "^total must be an int in the range \\[1, inf\\). Got 0 instead.$",
    ),
    (
        lambda: s.constant(1.0, warmup=-1),
        ValueError,
        "^warmup must be an int in the range \\[0, inf\\). Got -1 instead.$",
    ),
]


@pytest.mark.parametrize(("make", "error", "words"), BAD)
def test_bad_schedules_are_refused(make, error, words):
    with pytest.raises(error, match=words):
        make()
