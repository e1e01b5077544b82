"""How a call to a library's optimizer is described, and made from npoptim's hyper-parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from npoptim.optimizers.adafactor import relative_step
from npoptim.optimizers.base import Optimizer
from npoptim.optimizers.checks import has_schedule


@dataclass(frozen=True)
class eps_hat:
    """The schedule of ε that makes the box of Adam the ε̂ form: t -> ε̂ / √(1 − β₂ᵗ).

    Keras adds its `epsilon` to √v, before the bias is corrected. With this ε
    npoptim's Adam and AdamW do the same:

    >>> from npoptim import Adam
    >>> Adam(eps=eps_hat(1e-7, beta2=0.999)).at(1).eps
    3.162277660168378e-06

    Kingma & Ba, Adam: A Method for Stochastic Optimization, ICLR 2015, the
    text before section 2.1, https://arxiv.org/abs/1412.6980.
    """

    eps: float
    beta2: float

    def __call__(self, t: int) -> float:
        return self.eps / (1 - self.beta2**t) ** 0.5  # type: ignore[no-any-return]


class Code(str):
    """An argument that is an expression and not a value."""

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True)
class Condition:
    """Hyper-parameters at which a departure does not show."""

    text: str
    holds: Callable[[Any], bool] = field(repr=False)


@dataclass(frozen=True)
class Departure:
    """A line of the box that a library computes otherwise.

    Nothing mends it, unless `fixed` are arguments that do, or `unless` says at
    which hyper-parameters it does not show. `only` says which parameters alone
    it concerns; `rounding`, that it is the rounding of float32.
    """

    line: int
    what: str
    fixed: Mapping[str, Any] = field(default_factory=dict)
    unless: Condition | None = None
    only: str = ""
    rounding: bool = False

    def __str__(self) -> str:
        unless = f", unless {self.unless.text}" if self.unless else ""
        return f"line {self.line}: {self.what}{unless}"

    @property
    def remark(self) -> str:
        """What is to be known of a call that is equal all the same; nothing where it is mended."""
        if self.rounding:
            return f"equal up to the rounding of float32: {self.what} (line {self.line})"
        if self.only:
            return f"except for {self.only}: {self.what} (line {self.line})"
        if self.unless and not self.fixed:
            return f"while {self.unless.text}: {self.what} (line {self.line})"
        return ""

    def prevents(self, rule: Optimizer) -> bool:
        """Whether no argument makes the library equal to `rule`, not even up to rounding."""
        if self.fixed or self.only or self.rounding:
            return False
        return self.unless is None or not self.unless.holds(rule)

    def shows(self, rule: Optimizer) -> bool:
        """Whether it is there for `rule` at the library's defaults."""
        return self.unless is None or not self.unless.holds(rule)


@dataclass(frozen=True)
class Call:
    """An optimizer of a library, and its arguments in terms of a rule's fields.

    `arguments` maps each argument to a field: "lr", "betas[0]", "-decay",
    "eps.eps" (of `eps_hat`). `choose` are those that pick the rule, "nesterov".
    It is meant for rules of which `when` is true.
    """

    rule: str
    path: str
    arguments: Mapping[str, str]
    choose: Mapping[str, Any] = field(default_factory=dict)
    departures: tuple[Departure, ...] = ()
    when: Callable[[Any], bool] = field(default=lambda rule: True, repr=False)

    @property
    def library(self) -> str:
        """The module that has it: "torch", "optax"."""
        return self.path.partition(".")[0]

    @property
    def takes_params(self) -> bool:
        """Whether the parameters are its first argument."""
        return self.library not in ("keras", "optax")

    def mapped(self, rule: Optimizer) -> dict[str, Any]:
        """The arguments that hold the hyper-parameters, the rate first, and those that pick it."""
        values = {name: _look(rule, place) for name, place in self.arguments.items()}
        values |= self.choose
        rate = {name: values.pop(name) for name in ("lr", "learning_rate") if name in values}
        return rate | values

    def mends(self) -> dict[str, Any]:
        """The arguments that end departures."""
        return {name: value for d in self.departures for name, value in d.fixed.items()}

    def recipe(self, rule: Optimizer) -> dict[str, Any]:
        """All arguments that make it equal to `rule`, in the order of a call."""
        return self.mapped(rule) | self.mends()

    def scheduled(self, rule: Optimizer) -> dict[str, str]:
        """Argument -> field, of those that follow a schedule."""
        follow = {k: v for k, v in self.arguments.items() if has_schedule(_look(rule, v))}
        return {name: _parts(place)[0] for name, place in follow.items()}


def _parts(place: str) -> tuple[str, str, str]:
    """Field, index and attribute of a place: "betas", "0" and "" of "betas[0]"."""
    name, _, index = place.removeprefix("-").rstrip("]").partition("[")
    name, _, attribute = name.partition(".")
    return name, index, attribute


def _look(rule: Optimizer, place: str) -> Any:
    """What stands at a place of a rule: its "lr", "-decay", "betas[0]", "eps.eps"."""
    name, index, attribute = _parts(place)
    value = getattr(rule, name)
    if index:
        value = value[int(index)]
    if attribute:
        value = getattr(value, attribute, value)
    return -value if place.startswith("-") and not callable(value) else value


def spelled(arguments: Mapping[str, Any]) -> str:
    """Arguments as they stand in a call.

    >>> spelled({"lr": 0.1, "nesterov": True})
    'lr=0.1, nesterov=True'
    """
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())


def _relative(rule: Any) -> bool:
    return isinstance(rule.lr, relative_step)


def _given(rule: Any) -> bool:
    return not _relative(rule)


RELATIVE: dict[str, Any] = {"when": _relative}
GIVEN: dict[str, Any] = {"when": _given}
CONSTANT = Condition("lr is constant", lambda rule: not callable(rule.lr))
NO_DECAY = Condition("weight_decay is 0", lambda rule: rule.weight_decay == 0)
SOME_DECAY = Condition("weight_decay is not 0", lambda rule: rule.weight_decay != 0)
TINY_EPS = Condition("ε₁ is 1e-30 or less", lambda rule: rule.eps[0] <= 1e-30)
USUAL_FLOOR = Condition("ε₂ is 0.001", lambda rule: rule.eps[1] == 1e-3)
LOOSE_CLIP = Condition("clip is 1 or more", lambda rule: rule.clip >= 1)
HAT = Condition(
    "eps is npo.libraries.eps_hat(epsilon, β₂), or 0",
    lambda rule: (
        rule.eps == 0 or (isinstance(rule.eps, eps_hat) and rule.eps.beta2 == rule.betas[1])
    ),
)
