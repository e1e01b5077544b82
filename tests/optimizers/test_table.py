"""Defaults, ranges, scopes, signatures and boxes, in literal values: no test of a trajectory sees them all."""

import inspect
from typing import NamedTuple

import numpy as np
import pytest

import npoptim as npo
from npoptim.optimizers import checks, driver


class Row(NamedTuple):
    """A rule as it is documented: fields in order, scope, and slots and lines by form of array."""

    defaults: dict
    scope: str
    slots: str
    lines: int
    vector: tuple = ()  # slots and lines of the second box


TABLE = {
    "SGD": Row({"lr": 1e-2}, "element", "", 4),
    "Momentum": Row({"lr": 1e-2, "momentum": 0.9}, "element", "v", 5),
    "Nesterov": Row({"lr": 1e-2, "momentum": 0.9}, "element", "v", 5),
    "Adam": Row({"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8}, "element", "m v", 9),
    "AdamW": Row({"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 1e-2}, "element", "m v", 9),
    "LARS": Row({"lr": 1.0, "trust_coefficient": 1e-3, "momentum": 0.9, "weight_decay": 5e-4}, "tensor", "v", 6),
    "LAMB": Row({"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-6, "weight_decay": 1e-2}, "tensor", "m v", 11),
    "Lion": Row({"lr": 1e-4, "betas": (0.9, 0.99), "weight_decay": 0.0}, "element", "m", 6),
    "Adafactor": Row({"lr": npo.schedules.relative_step(), "decay": 0.8, "eps": (1e-30, 1e-3), "clip": 1.0}, "matrix", "R C", 12, ("v", 10)),
    "CAME": Row({"lr": 2e-4, "betas": (0.9, 0.999, 0.9999), "eps": (1e-30, 1e-16), "clip": 1.0, "weight_decay": 0.0}, "matrix", "m r c R C", 14, ("m v", 8)),
}  # fmt: skip
each = pytest.mark.parametrize("name", TABLE)


def test_the_table_is_complete():
    assert {cls.__name__ for cls in npo.optimizers().values()} == set(TABLE)


@each
def test_hyper_parameters_and_their_defaults(name):
    cls, row = getattr(npo, name), TABLE[name]
    assert list(inspect.signature(cls).parameters) == list(row.defaults)
    assert cls().hyper() == row.defaults
    assert cls(*row.defaults.values()) == cls()
    assert repr(cls()).startswith(f"{name}(lr=")


def test_adafactors_schedule():
    rho = npo.Adafactor().lr
    assert [rho(t) for t in (1, 10_000, 40_000, 10**8)] == [1e-2, 1e-2, 5e-3, 1e-4]


@each
def test_scope(name):
    assert getattr(npo, name).scope == TABLE[name].scope
    assert npo.Optimizer.scope == "tensor"  # of a rule that says nothing


@each
def test_signatures_slots_and_boxes(name):
    cls, row = getattr(npo, name), TABLE[name]
    forms = [("", row.slots, row.lines, np.ones((2, 3)))]
    if row.vector:
        forms += [("_vector", *row.vector, np.ones(3)), ("_vector", *row.vector, np.array(1.0))]
    assert hasattr(cls, "update_vector") == hasattr(cls, "init_vector") == bool(row.vector)
    for form, slots, lines, p in forms:
        init, update = (getattr(cls, what + form) for what in ("init", "update"))
        assert list(inspect.signature(init).parameters) == ["self", "p"]
        assert list(inspect.signature(update).parameters) == ["self", "p", "g", "t", *slots.split()]
        assert list(init(cls(), p)) == slots.split()
        assert max(npo.pseudocode(cls, p)) == lines


# the least and the largest that are taken, and the nearest outside
INF, NAN, LITTLE = float("inf"), float("nan"), 5e-324
NON_NEGATIVE = ("[0, inf)", (0.0, 1.7e308), (-LITTLE, INF, -INF, NAN))
UNIT = ("[0, 1)", (0.0, 1 - 2**-53), (-LITTLE, 1.0, INF, NAN))
RANGES = {
    "lr": NON_NEGATIVE,
    "betas": UNIT,
    "momentum": UNIT,
    "eps": NON_NEGATIVE,
    "weight_decay": NON_NEGATIVE,
    "trust_coefficient": NON_NEGATIVE,
    "decay": NON_NEGATIVE,
    "clip": ("(0, inf]", (LITTLE, INF), (0.0, -LITTLE, NAN)),
}


@pytest.mark.parametrize(("name", "field"), [(n, f) for n, row in TABLE.items() for f in row.defaults])  # fmt: skip
def test_ranges(name, field):
    cls, default = getattr(npo, name), TABLE[name].defaults[field]
    text, taken, refused = RANGES[field]
    several = isinstance(default, tuple)
    for place in range(len(default)) if several else [0]:

        def put(x, place=place):
            return tuple(x if i == place else v for i, v in enumerate(default)) if several else x

        for x in taken:
            assert getattr(cls(**{field: put(x)}), field) == put(x)
        for x in refused:
            with pytest.raises(ValueError) as error:
                cls(**{field: put(x)})
            what = f"{field}[{place}]" if several else field
            assert str(error.value) == f"{what} must be a float in the range {text}. Got {x} instead."  # fmt: skip


def test_the_ranges_are_complete():
    assert checks.RANGES.keys() == RANGES.keys()


SYNONYMS = {
    "lr": ["learning_rate", "step_size", "alpha", "rho"],
    "betas": ["beta", "beta1", "beta2", "b1", "b2"],
    "momentum": ["mu", "mass"],
    "eps": ["epsilon"],
    "weight_decay": ["wd", "l2"],
    "trust_coefficient": ["trust_coeff", "eta"],
    "clip": ["clip_threshold", "clipping_threshold"],
    "decay": ["decay_rate"],
}


@pytest.mark.parametrize(("other", "name"), [(o, n) for n, others in SYNONYMS.items() for o in others])  # fmt: skip
def test_other_names(other, name):
    cls = next(getattr(npo, n) for n, row in TABLE.items() if name in row.defaults)
    with pytest.raises(TypeError, match=f"has no hyper-parameter '{other}'. Did you mean '{name}'"):
        cls(**{other: 0.5})


def test_a_step_is_atomic_up_to_32_mib():
    assert driver.ATOMIC == 32 * 2**20
