"""What every experiment is made of: runs over a grid, the best of them, and a verdict."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Self, TypeAlias

import numpy as np

from npoptim.extras import need
from npoptim.models.base import Arrays, Model
from npoptim.optimizers.checks import NonFiniteError
from npoptim.optimizers.driver import Driver

Row: TypeAlias = dict[str, Any]
Bar: TypeAlias = Callable[[list[Row]], Iterable[Row]]


@dataclass(frozen=True)
class Part:
    """One checkable statement of a claim: what would have to hold, and what was found."""

    statement: str  #: with its criterion
    holds: bool
    numbers: str  #: what was measured, in words


@dataclass(frozen=True, eq=False, kw_only=True)
class Findings:
    """What an experiment measures: a table, the runs behind it, and what they say."""

    rows: list[Row]  #: the table; a row's keys are the headings
    parts: list[Part]  #: the claim, statement by statement
    conditions: list[str]  #: data, model, steps and seeds, in a few words each
    runs: list[Row] = field(default_factory=list)  #: every single run
    grids: Mapping[str, Sequence[float]] = field(default_factory=dict)  #: what was tried
    notes: list[str] = field(default_factory=list)  #: how variants outside the package are made


@dataclass(frozen=True, eq=False, kw_only=True)
class Result(Findings):
    """The outcome of an experiment: the claim, what was measured, and a verdict."""

    name: str
    title: str
    claim: str  #: one sentence, with its source
    quick: bool  #: too short to say anything that is not exact
    seconds: float  #: of machine time
    draw: Callable[[Any, str], Any] = field(repr=False)

    @property
    def columns(self) -> list[str]:
        """The headings of the table."""
        return list(dict.fromkeys(key for row in self.rows for key in row))

    @property
    def verdict(self) -> str:
        """ "reproduced" if all parts of the claim hold, "partly" if some do."""
        held = [part.holds for part in self.parts]
        if all(held):
            return "reproduced"
        return "partly" if any(held) else "not reproduced at this scale"

    def plot(self, theme: str = "light") -> Any:
        """The picture, a matplotlib Figure; `theme` is "light" or "dark"."""
        return self.draw(self, theme)

    def summary(self) -> dict[str, Any]:
        """Everything in plain numbers, lists and strings; None where a run diverged."""
        whole = {k: v for k, v in vars(self).items() if k != "draw"}
        whole["parts"] = [vars(part) for part in self.parts]
        return {**_plain(whole), "columns": self.columns, "verdict": self.verdict}

    def __str__(self) -> str:
        from npoptim.experiments.report import text

        return text(self)

    @classmethod
    def of(cls, name: str, quick: bool, seed: int, progress: bool) -> Self:
        """Run the experiment in the file `name`."""
        module = import_module(f"npoptim.experiments.{name}")
        threads = need("threadpoolctl", extra="data")
        begin = time.process_time()
        # one thread: the matrices are small, and the last digits depend on the number of threads
        with threads.threadpool_limits(1), np.errstate(all="ignore"):
            found: Findings = module.run(quick, seed, _bar(module.TITLE, progress))
        seconds = time.process_time() - begin
        about = {"name": name, "title": module.TITLE, "claim": module.CLAIM, "draw": module.draw}
        return cls(**vars(found), **about, quick=quick, seconds=round(seconds, 1))


def _bar(title: str, progress: bool) -> Bar:
    if not progress:
        return iter
    tqdm = need("tqdm.auto", extra="plot").tqdm
    return lambda cells: tqdm(cells, desc=title, unit=" runs", leave=False, disable=None)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


# ---------------------------------------------------------------- runs


def decades(low: float, high: float, per: int = 2) -> tuple[float, ...]:
    """A grid from 10^low to 10^high, `per` to a decade, rounded to two digits.

    >>> decades(-2, 0)
    (0.01, 0.032, 0.1, 0.32, 1.0)
    """
    exponents = np.linspace(low, high, round((high - low) * per) + 1)
    return tuple(float(f"{10.0**k:.2g}") for k in exponents)


def fit(
    model: Model,
    data: Any,
    opt: Driver,
    *,
    steps: int,
    batch: int,
    seed: int,
    params: Arrays | None = None,
) -> Row:
    """Losses after a training run in float32, inf where it diverged.

    The training loss is that of the first 2000 rows.
    """
    from npoptim.training import train

    try:
        history = train(
            model, data, opt, steps=steps, batch_size=batch, seed=seed, params=params,
            dtype=np.float32, evaluate_every=steps,
        )  # fmt: skip
    except NonFiniteError:
        return {"training loss": math.inf, "held-out loss": math.inf, "accuracy": 0.0}
    training = model.loss(history.params, data.x_train[:2000], data.y_train[:2000])
    return {
        "training loss": training if math.isfinite(training) else math.inf,
        "held-out loss": float(np.nan_to_num(history.test_loss[-1], nan=math.inf)),
        "accuracy": float(history.accuracy[-1]),
    }


def where(runs: list[Row], **values: Any) -> list[Row]:
    """The runs with these values."""
    return [run for run in runs if all(run[k] == v for k, v in values.items())]


def distinct(runs: list[Row], key: str) -> list[Any]:
    """The values of `key`, in the order in which they first come.

    >>> distinct([{"lr": 2}, {"lr": 1}, {"lr": 2}], "lr")
    [2, 1]
    """
    return list(dict.fromkeys(run[key] for run in runs))


def curve(runs: list[Row], over: str, loss: str) -> np.ndarray[Any, Any]:
    """Mean, least and greatest loss over the seeds for every value of `over`: (n, 4) with it."""
    points = []
    for x in distinct(runs, over):
        losses = [run[loss] for run in where(runs, **{over: x})]
        points.append((x, np.mean(losses), min(losses), max(losses)))
    return np.array(points, dtype=float)


def best(runs: list[Row], over: str, loss: str) -> Row:
    """The value of `over` with the lowest mean loss over the seeds, and that loss.

    "edge" says where the best is the end of the grid: one beyond it may be better.
    """
    points = curve(runs, over, loss)
    i = int(np.argmin(points[:, 1]))
    edge = "low" if i == 0 else "high" if i == len(points) - 1 else ""
    x, mean, least, most = points[i].tolist()
    return {over: x, "edge": edge, loss: mean, "least": least, "most": most}


def per_seed(runs: list[Row], over: str, loss: str) -> np.ndarray[Any, Any]:
    """The losses at the best value of `over`, seed by seed."""
    won = best(runs, over, loss)[over]
    return np.array([run[loss] for run in sorted(where(runs, **{over: won}), key=_seed)])


def _seed(run: Row) -> int:
    return int(run["seed"])


def vertex(runs: list[Row], over: str, loss: str) -> float:
    """The best value between the grid's: of a parabola through the best three, log to log.

    At an edge, or beside a run that diverged, it is the grid's own.

    >>> runs = [{"lr": 10.0**k, "loss": 10.0 ** ((k + 1.2) ** 2)} for k in (-3, -2, -1, 0)]
    >>> round(math.log10(vertex(runs, "lr", "loss")), 6)
    -1.2
    """
    points = curve(runs, over, loss)
    i = int(np.argmin(points[:, 1]))
    near = points[i - 1 : i + 2, :2] if i else points[:0]
    if len(near) < 3 or not np.isfinite(near).all():
        return float(points[i, 0])
    (x0, y0), (x1, y1), (x2, y2) = np.log(near)
    a, b = (x1 - x0) * (y1 - y2), (x1 - x2) * (y1 - y0)
    shift = ((x1 - x0) * a - (x1 - x2) * b) / (2 * (a - b)) if a != b else 0.0
    return math.exp(x1 - shift)


def exponent(x: Sequence[float], y: Sequence[float]) -> float:
    """k of the law y ∝ xᵏ that fits best.

    >>> round(exponent([1, 10, 100], [5, 50, 500]), 6)
    1.0
    """
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def seeds(first: int, count: int) -> list[int]:
    """`count` seeds from `first` on."""
    return list(range(first, first + count))


def averaged(first: int, count: int) -> str:
    """What was averaged over, in words.

    >>> averaged(0, 3), averaged(5, 1)
    ('means of seeds 0, 1, 2', 'seed 5')
    """
    if count == 1:
        return f"seed {first}"
    return f"means of seeds {', '.join(map(str, seeds(first, count)))}"
