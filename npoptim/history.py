"""What a training run leaves behind: arrays over its steps and evaluations."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from npoptim.optimizers.base import Optimizer
from npoptim.optimizers.base import norm as length
from npoptim.optimizers.driver import Driver
from npoptim.optimizers.groups import Groups
from npoptim.optimizers.quiet import quiet

Array = NDArray[Any]
Arrays = dict[str, Array]


@dataclass(eq=False, repr=False)
class History:
    """What a training run leaves behind: arrays over its T steps and E evaluations.

    A step that `nan_policy` skipped or ended in holds NaN.
    """

    params: Arrays  #: the parameters at the end
    optimizer: Any  #: the optimizer, advanced
    loss: Array = field(default_factory=lambda: np.empty(0))  #: of each batch, before its step
    lr: Any = field(default_factory=lambda: np.empty(0))  #: (T,), or pattern -> (T,) for Groups
    grad_norm: Array = field(default_factory=lambda: np.empty(0))  #: global, before clipping
    update_norm: Array = field(default_factory=lambda: np.empty(0))  #: length of the whole step
    trust_ratio: dict[str, Array] = field(default_factory=dict)  #: name -> ‖step‖ / ‖parameter‖
    eval_step: Array = field(default_factory=lambda: np.empty(0, int))  #: steps done, (E,)
    test_loss: Array = field(default_factory=lambda: np.empty(0))  #: mean over the test part, (E,)
    accuracy: Array = field(default_factory=lambda: np.empty(0))  #: of the test part, or NaN, (E,)
    skipped: int = 0  #: steps without an update because a number was not finite

    @property
    def steps(self) -> int:
        """T, batches seen."""
        return len(self.loss)

    def __repr__(self) -> str:
        parts = [f"{self.steps} steps"]
        parts += [f"loss {self.loss[0]:.3g} -> {self.loss[-1]:.3g}"] if self.steps else []
        parts += [f"test loss {self.test_loss[-1]:.3g}"] if len(self.test_loss) else []
        known = len(self.accuracy) and not math.isnan(self.accuracy[-1])
        parts += [f"accuracy {self.accuracy[-1]:.1%}"] if known else []
        parts += [f"{self.skipped} skipped"] if self.skipped else []
        return f"<History: {', '.join(parts)}>"

    def plot(self, **options: Any) -> Any:
        """Loss and accuracy over the steps; see `npoptim.view.plots.curves`."""
        from npoptim.view import plots

        return plots.curves({type(self.optimizer).__name__: self}, **options)


class Record:
    """The numbers of a run as they come in."""

    def __init__(self) -> None:
        # the order of a step's and of an evaluation's values
        self.rows: dict[str, list[float]] = {"loss": [], "grad_norm": [], "update_norm": []}
        self.lr: dict[str, list[float]] = {}
        self.trust: dict[str, list[float]] = {}
        self.tests: dict[str, list[float]] = {"eval_step": [], "test_loss": [], "accuracy": []}
        self.skipped = 0

    @property
    def done(self) -> int:
        """Batches seen."""
        return len(self.rows["loss"])

    def _step(self, values: tuple[float, float, float]) -> None:
        for row, value in zip(self.rows.values(), values, strict=True):
            row.append(value)

    def step(
        self, loss: float, norm: float, rates: dict[str, float], before: Arrays, params: Arrays
    ) -> None:
        """A step was taken, with this loss, gradient norm and rates."""
        with quiet():
            moved = {k: float(length(params[k] - before[k])) for k in params}
            sizes = {k: float(length(before[k])) for k in params}
        for name, size in sizes.items():
            self._push(self.trust, name, moved[name] / size if size else math.nan)
        for pattern, lr in rates.items():
            self._push(self.lr, pattern, lr)
        self._step((loss, norm, math.hypot(*moved.values())))

    def nothing(self, params: Arrays) -> None:
        """A batch went by without a step."""
        self.skipped += 1
        for name in params:
            self._push(self.trust, name, math.nan)
        for pattern in self.lr or [""]:
            self._push(self.lr, pattern, math.nan)
        self._step((math.nan,) * 3)

    def _push(self, rows: dict[str, list[float]], name: str, value: float) -> None:
        rows.setdefault(name, [math.nan] * self.done).append(value)

    def evaluation(self, step: int, loss: float, accuracy: float) -> tuple[float, float]:
        """The test part was evaluated."""
        for row, value in zip(self.tests.values(), (step, loss, accuracy), strict=True):
            row.append(value)
        return loss, accuracy

    def history(self, params: Arrays, opt: Driver) -> History:
        """Everything as arrays."""
        arrays = {k: np.array(v, dtype=float) for k, v in {**self.rows, **self.tests}.items()}
        arrays["eval_step"] = arrays["eval_step"].astype(int)
        lr = {k: np.array(v) for k, v in self.lr.items()}
        trust = {k: np.array(v) for k, v in self.trust.items()}
        return History(
            params, opt, **arrays, lr=lr.get("", np.empty(0)) if set(lr) <= {""} else lr,
            trust_ratio=trust, skipped=self.skipped,
        )  # fmt: skip

    @classmethod
    def of(cls, saved: dict[str, Any]) -> Self:
        """A record from its saved attributes."""
        record = cls()
        vars(record).update(saved)
        return record


def rates(opt: Driver) -> dict[str, float]:
    """The lr that the last step used, by pattern for Groups."""
    rules = opt.rules if isinstance(opt, Groups) else {"": opt}
    return {
        pattern: rule.at(opt.t).hyper().get("lr", math.nan)
        for pattern, rule in rules.items()
        if isinstance(rule, Optimizer)
    }
