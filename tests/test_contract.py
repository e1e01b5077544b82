"""The contract holds for every rule, and every check of it fails on a seeded mistake."""

from dataclasses import dataclass, field

import numpy as np
import pytest

import npoptim as npo
from npoptim import contract

RULES = list(npo.optimizers().values())


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("rule", RULES, ids=lambda c: c.__name__)
def test_every_rule_passes(rule, check):
    check(rule())


class NoCodeForLine5(npo.Optimizer):
    """A box with a line that the code does not have.

    1  given lr
    5  θ ← θ − lr g
    """

    def update(self, p, g, t):
        lr = 0.1  # line 1
        return p - lr * g, {}


class CodeForNoLine(npo.Optimizer):
    """A box without line 7.

    1  given lr
    4  θ ← θ − lr g
    """

    def update(self, p, g, t):
        q = p  # line 1
        p = q - 0.1 * g  # line 4
        return p, {}  # line 7


@dataclass
class Branches(npo.SGD):
    def update(self, p, g, t):
        if t > 1:
            g = g * 1.0
        return p - self.lr * g, {}


@dataclass
class WritesInPlace(npo.SGD):
    def update(self, p, g, t):
        np.multiply(g, 1.0, out=g)
        return p - self.lr * g, {}


@dataclass
class Forgets(npo.Momentum):
    def update(self, p, g, t, v):
        return p - self.lr * g, {}


@dataclass
class KeepsTheGradient(npo.Momentum):
    def update(self, p, g, t, v):
        return p - self.lr * g, {"v": g}


@dataclass
class Random(npo.SGD):
    rng: object = field(default_factory=lambda: np.random.default_rng(0))

    def update(self, p, g, t):
        return p - self.lr * g * (1 + self.rng.random()), {}


@dataclass
class WrongScope(npo.LAMB):
    scope = "element"


@dataclass
class ShapeInATensorRule(npo.LAMB):
    def update(self, p, g, t, m, v):
        p, state = super().update(p, g, t, m, v)
        return p + 0 * m - g.ndim * g, state


@dataclass
class FirstRowAlone(npo.Adafactor):
    def update(self, p, g, t, R, C):
        weight = np.ones_like(p)
        weight = np.where(np.cumsum(weight, axis=-2) > 1, 1.0, 0.5)
        return p - self.lr * weight * g, {"R": R, "C": C}


@dataclass
class Float64State(npo.Momentum):
    def update(self, p, g, t, v):
        v = np.float64(self.momentum) * v + g
        return p - self.lr * v, {"v": v}


@dataclass
class ZeroOverZero(npo.Adam):
    eps: float = 0.0


@dataclass
class Uphill(npo.SGD):
    def update(self, p, g, t):
        return p + self.lr * g, {}


@dataclass
class HiddenMemory(npo.SGD):
    def update(self, p, g, t):
        seen = self.__dict__.setdefault("_seen", [0])
        seen[0] += 1
        return p - self.lr * g / seen[0], {}


@dataclass
class HostState(npo.Momentum):
    def init(self, p):
        return {"v": np.zeros(p.shape, p.dtype)}


@dataclass
class HalfLamb(npo.LAMB):
    def update(self, p, g, t, m, v):
        q, state = super().update(p, g, t, m, v)
        return p + 0.5 * (q - p), state


MISTAKES = [
    (contract.box_covered, NoCodeForLine5, "line 5"),
    (contract.box_covered, CodeForNoLine, "line 7"),
    (contract.straight_line, Branches, "an if"),
    (contract.straight_line, HiddenMemory, "in-place"),
    (contract.declared_state, Forgets, "slots"),
    (contract.pure, WritesInPlace, "writes into"),
    (contract.pure, KeepsTheGradient, "memory that it was given"),
    (contract.pure, Random, "second time"),
    (contract.scope_kept, WrongScope, "element"),
    (contract.scope_kept, ShapeInATensorRule, "tensor"),
    (contract.scope_kept, FirstRowAlone, "rows"),
    (contract.dtype_kept, Float64State, "float64"),
    (contract.zero_gradient, ZeroOverZero, "zero gradient"),
    (contract.descends, Uphill, "sign"),
    (contract.resumes, HiddenMemory, "bit for bit"),
    (contract.device, HostState, "device"),
    (contract.first_step, HalfLamb, "fact of its paper"),
]


@pytest.mark.parametrize(
    ("check", "rule", "words"), MISTAKES, ids=lambda x: getattr(x, "__name__", x)
)
def test_a_seeded_mistake_is_found(check, rule, words):
    with pytest.raises(contract.ContractError, match=words):
        check(rule())
    with pytest.raises(contract.ContractError):
        npo.check_optimizer(rule)


def test_a_schedule_that_acts_late_is_found():
    @dataclass
    class Late(npo.SGD):
        def at(self, t):
            return super().at(t).replace(lr=0.5 * super().at(t).lr) if callable(self.lr) else self

    with pytest.raises(contract.ContractError, match="schedule for lr"):
        contract.takes_schedules(Late())


def test_every_check_has_a_seeded_mistake():
    seeded = {check for check, _, _ in MISTAKES} | {contract.takes_schedules}
    assert seeded == set(contract.CHECKS)


def test_a_students_class_without_box_or_numbers_passes():
    @dataclass
    class MyMomentum(npo.Optimizer):
        lr: float = 0.1

        def init(self, p):
            return {"v": np.zeros_like(p)}

        def update(self, p, g, t, v):
            v = 0.9 * v + g
            return p - self.lr * v, {"v": v}

    npo.check_optimizer(MyMomentum)
    npo.check_optimizer(MyMomentum(lr=0.5))


@pytest.mark.parametrize("thing", [None, int, "adamw", 3])
def test_only_optimizers_are_checked(thing):
    with pytest.raises(TypeError, match="check_optimizer takes"):
        npo.check_optimizer(thing)
