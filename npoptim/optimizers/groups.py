"""Groups: a rule for every pattern of parameter names."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Self

from npoptim.optimizers.base import Optimizer
from npoptim.optimizers.driver import Driver


class Groups(Driver):
    """Parameters by name pattern, each with its own rule; the first match wins.

    An optimizer itself: one step, one t, one state. `*` stands for any
    characters, `?` for one, as in file names. The rules keep their
    hyper-parameters, which may be changed between steps; the memory is the
    group's.

    >>> import numpy as np
    >>> from npoptim import LAMB, SGD
    >>> opt = Groups({"*.b": SGD(lr=0.1), "*": LAMB(lr=0.1, weight_decay=0)})
    >>> params = {"0.W": np.ones((1, 1)), "0.b": np.ones(1)}
    >>> opt.step(params, {"0.W": np.full((1, 1), 7.0), "0.b": np.full(1, 7.0)})
    >>> params["0.W"].round(6), params["0.b"].round(6)
    (array([[0.9]]), array([0.3]))

    Raises TypeError or ValueError when the patterns are not strings, the
    rules not optimizers, or one optimizer stands twice; at the step,
    ValueError when a parameter matches no pattern or a pattern no parameter.
    """

    def __init__(self, rules: Mapping[str, Driver]) -> None:
        if not isinstance(rules, Mapping) or not rules:
            raise TypeError(
                f"Groups takes a dict pattern -> optimizer. Got {type(rules).__name__} instead."
                if not isinstance(rules, Mapping)
                else "Groups needs at least one pattern. Got an empty dict."
            )
        for pattern, rule in rules.items():
            if not isinstance(pattern, str):
                raise TypeError(f"a pattern must be a string. Got {pattern!r} instead.")
            if not isinstance(rule, Driver):
                raise TypeError(
                    f"the rule of {pattern!r} must be an optimizer. Got {rule!r} instead."
                )
            if rule.t:
                raise ValueError(
                    f"the rule of {pattern!r} has taken {rule.t} steps already; "
                    f"give Groups its .fresh() copy."
                )
        if len({id(rule) for rule in rules.values()}) < len(rules):
            raise ValueError("one optimizer stands under two patterns; give each its own.")
        self.rules = dict(rules)

    def __repr__(self) -> str:
        lines = "".join(f"    {k!r}: {rule!r},\n" for k, rule in self.rules.items())
        return f"Groups({{\n{lines}}})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Groups) and list(self.rules.items()) == list(other.rules.items())

    __hash__ = None  # type: ignore[assignment]  # like the rules, it changes

    def pattern(self, name: str) -> str:
        """The first pattern that `name` matches."""
        for pattern in self.rules:
            if fnmatchcase(name, pattern):
                return pattern
        raise ValueError(
            f"parameter {name!r} matches none of the patterns {list(self.rules)}; "
            f"end with '*' to take the rest."
        )

    def fresh(self) -> Self:
        """The same patterns and rules before their first step."""
        return type(self)({k: rule.fresh() for k, rule in self.rules.items()})  # type: ignore[attr-defined]

    def _rule(self, name: str) -> Optimizer:
        return self.rules[self.pattern(name)]._rule(name)

    def _check(self, params: dict[str, Any], grads: dict[str, Any]) -> None:
        super()._check(params, grads)
        if not self._memory.layout:
            used = {self.pattern(name) for name in params}
            idle = [p for p in self.rules if p not in used and p != "*"]
            if idle:
                raise ValueError(f"patterns {idle} match no parameter of {list(params)}.")

    def _kind(self) -> str:
        return f"Groups({', '.join(f'{k}: {rule._kind()}' for k, rule in self.rules.items())})"
