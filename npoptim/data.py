"""Small real data sets that come with installed packages, and generated ones; never a download."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from npoptim.extras import need
from npoptim.models.checks import number, size

Array = NDArray[Any]
PARTS = ("x_train", "y_train", "x_test", "y_test")


@dataclass(frozen=True)
class Tokenizer:
    """Characters as whole numbers from 1; 0 is the end, and the start, of a text.

    >>> tokens = Tokenizer("abc").encode("cab")
    >>> tokens, Tokenizer("abc").decode(tokens)
    (array([3, 1, 2, 0]), 'cab')
    """

    characters: str

    @property
    def vocabulary(self) -> int:
        """How many tokens there are, the end included."""
        return len(self.characters) + 1

    def encode(self, text: str) -> Array:
        """The tokens of `text` and the end. Raises ValueError for a character not known."""
        unknown = sorted(set(text) - set(self.characters))
        if unknown:
            raise ValueError(
                f"text must consist of the characters {self.characters!r}. Got {unknown} instead."
            )
        return np.array([self.characters.index(c) + 1 for c in text] + [0])

    def decode(self, tokens: Array) -> str:
        """The text up to its end, the first token that is 0 or below."""
        letters = []
        for token in tokens:
            if token <= 0:
                break
            letters.append(self.characters[token - 1])
        return "".join(letters)


@dataclass(frozen=True, repr=False, eq=False)
class Data:
    """Arrays to train on and arrays held out, with where they come from.

    x and y are what the models take; `task` is "classification",
    "regression", "rating" or "language". The arrays are read-only.
    """

    name: str
    task: str
    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array
    source: str = "given"  #: the package that holds the numbers, and who collected them
    licence: str = ""
    classes: tuple[str, ...] = ()  #: what each class index means
    y_mean: float = 0.0  #: what standardizing took from the targets of a regression …
    y_std: float = 1.0  #: … and what it divided them by
    tokenizer: Tokenizer | None = None  #: of a language

    def __post_init__(self) -> None:
        for part in PARTS:
            a = getattr(self, part)
            if isinstance(a, np.ndarray):
                a = a.view()  # the caller's own stays writable
                a.setflags(write=False)
                object.__setattr__(self, part, a)

    def __repr__(self) -> str:
        arrays = {part: getattr(self, part) for part in PARTS}
        lines = [f"  {part:<8}{a.shape} {a.dtype}" for part, a in arrays.items()]
        return "\n".join([f"Data {self.name!r}, {self.task}", *lines, f"  {self.source}"])


def names() -> list[str]:
    """What `load` knows.

    >>> names()[:3]
    ['breast_cancer', 'diabetes', 'digits']
    """
    return sorted([*TABLES, *GENERATED, "names"])


def load(
    name: str, test_fraction: float = 0.2, seed: int = 0, standardize: bool | None = None
) -> Data:
    """A data set by name, split at random into a training and a test part.

    Tables of measurements are standardized unless `standardize` is False:
    each feature (in pictures: all pixels together) and the targets of a
    regression get mean 0 and variance 1 in the training part, and the test
    part is treated alike; a constant becomes 0. Text and generated data are
    not, and `standardize=True` is refused there.

    >>> load("digits")
    Data 'digits', classification
      x_train (1438, 64) float64
      y_train (1438,) int64
      x_test  (359, 64) float64
      y_test  (359,) int64
      scikit-learn load_digits; Alpaydin & Kaynak, UCI 1998

    Raises ValueError for an unknown name or an empty part, and
    ModuleNotFoundError, naming the extra, where a package is missing.
    """
    if name not in names():
        near = difflib.get_close_matches(str(name), names(), n=2)
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise ValueError(f"name must be one of {', '.join(names())}. Got {name!r} instead.{hint}")
    if name in TABLES:
        return _table(name, test_fraction, seed, standardize is not False)
    if standardize:
        raise ValueError(f"standardize must be None or False: {name} is no table of measurements.")
    if name == "names":
        return _names(test_fraction, seed)
    return GENERATED[name](test_fraction=test_fraction, seed=seed)


# ---------------------------------------------------------------- tables


class Table(NamedTuple):
    """A table in scikit-learn."""

    task: str
    collected: str
    licence: str


TABLES = {
    "breast_cancer": Table(
        "classification", "Wolberg, Mangasarian, Street & Street, UCI 1993", "CC BY 4.0"
    ),
    "diabetes": Table(
        "regression",
        "Efron, Hastie, Johnstone & Tibshirani, Least Angle Regression, 2004",
        "BSD-3-Clause, as part of scikit-learn",
    ),
    "digits": Table("classification", "Alpaydin & Kaynak, UCI 1998", "CC BY 4.0"),
    "iris": Table("classification", "Fisher 1936, UCI 1988", "CC BY 4.0"),
    "wine": Table("classification", "Aeberhard & Forina, UCI 1991", "CC BY 4.0"),
}


def _table(name: str, test_fraction: float, seed: int, standardize: bool) -> Data:
    task, collected, licence = TABLES[name]
    datasets = need("sklearn.datasets", extra="data")
    raw = datasets.load_diabetes(scaled=False) if name == "diabetes" else None
    bunch = raw or getattr(datasets, f"load_{name}")()
    x, y, mean, std = bunch.data, bunch.target, 0.0, 1.0
    if name == "digits":
        x = x / 16  # ink from 0 to 1
    train, test = _split(len(x), test_fraction, seed)
    if standardize:
        # one scale for all pixels: a picture is one quantity, and some pixels never change
        x, _, _ = _standardized(x, train, axis=None if name == "digits" else 0)
        if task == "regression":
            y, mean, std = _standardized(y, train)
    return Data(
        name,
        task,
        *(x[train], y[train], x[test], y[test]),
        source=f"scikit-learn load_{name}; {collected}",
        licence=licence,
        classes=tuple(map(str, bunch.get("target_names", ()))),
        y_mean=float(mean),
        y_std=float(std),
    )


def _standardized(x: Array, train: Array, axis: int | None = 0) -> tuple[Array, Any, Any]:
    """x less its mean over its standard deviation, both of the rows `train`; and these."""
    mean, std = x[train].mean(axis=axis), x[train].std(axis=axis)
    std = np.where(std <= 1e-12 * np.abs(mean), 1.0, std)  # a constant's deviation is rounding
    return (x - mean) / std, mean, std


def _split(n: int, test_fraction: float, seed: int) -> tuple[Array, Array]:
    """The rows of the training and of the test part, at random."""
    number("test_fraction", test_fraction, most=1)
    held_out = round(n * test_fraction)
    if not 0 < held_out < n:
        raise ValueError(
            f"test_fraction must be a float in the range (0, 1) that leaves rows in both parts. "
            f"Got {test_fraction!r} of {n} rows instead."
        )
    order = _rng(seed).permutation(n)
    return order[held_out:], order[:held_out]


def _rng(seed: int) -> np.random.Generator:
    size("seed", seed, least=0)  # None would be another seed each time
    return np.random.default_rng(seed)


# ---------------------------------------------------------------- text


def _names(test_fraction: float, seed: int) -> Data:
    """x are the names behind a start token, y the same with the end token, −1 behind it."""
    folder = resources.files(need("names", extra="data"))
    lines = (folder / "dist.all.last").read_text("ascii").splitlines()
    texts = np.array(sorted({line.split()[0].lower() for line in lines}), dtype=bytes)
    letters = texts.view(np.uint8).reshape(len(texts), -1).astype(np.int64)
    tokenizer = Tokenizer("abcdefghijklmnopqrstuvwxyz")
    tokens = np.where(letters > 0, letters - ord("a") + 1, 0)
    x, y = np.pad(tokens, ((0, 0), (1, 0))), np.pad(tokens, ((0, 0), (0, 1)))
    y[:, 1:][x[:, 1:] == 0] = -1
    train, test = _split(len(texts), test_fraction, seed)
    return Data(
        "names",
        "language",
        *(x[train], y[train], x[test], y[test]),
        source="names 0.3; 88,799 surnames, US Census 1990",
        licence="MIT; the census is in the public domain",
        tokenizer=tokenizer,
    )


# ---------------------------------------------------------------- generated


def spirals(
    n: int = 600,
    classes: int = 3,
    noise: float = 0.05,
    *,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> Data:
    """Points on `classes` spirals in the plane that no straight line can part.

    Each spiral turns once from the origin to radius 1; `noise` is the
    standard deviation of both coordinates.

    >>> spirals(n=100).x_train.shape
    (80, 2)
    """
    size("classes", classes, least=2)
    size("n", n, least=classes)
    number("noise", noise)
    rng = _rng(seed)
    y = np.arange(n) % classes
    radius = np.sqrt(rng.uniform(0.01, 1, n))
    angle = 2 * np.pi * (radius + y / classes)
    x = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    x += noise * rng.standard_normal(x.shape)
    train, test = _split(n, test_fraction, seed)
    return Data(
        "spirals",
        "classification",
        *(x[train], y[train], x[test], y[test]),
        source=f"generated: spirals({n}, {classes}, {noise}, seed={seed})",
        licence="none needed",
        classes=tuple(f"arm {i}" for i in range(classes)),
    )


def ill_conditioned(
    n: int = 250,
    inputs: int = 10,
    condition: float = 1e3,
    noise: float = 0.1,
    *,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> Data:
    """A linear regression whose Hessian has a given condition number.

    The features have mean 0 and xᵀx/n of the training part has eigenvalues
    from 1 down to 1 / `condition`, evenly spaced in the logarithm: the steps
    that the steepest direction allows are too short for the flattest.

    >>> x = ill_conditioned(condition=1e4).x_train
    >>> float(np.linalg.cond(x.T @ x).round())
    10000.0
    """
    size("n", n)
    size("inputs", inputs)
    number("condition", condition, least=1)
    number("noise", noise)
    rng = _rng(seed)
    train, test = _split(n, test_fraction, seed)
    if len(train) <= inputs:
        raise ValueError(
            f"n must leave more than inputs = {inputs} rows to train. Got {n} instead."
        )
    z = rng.standard_normal((n, inputs))
    # orthogonal columns, each orthogonal to the constant: the bias keeps out of it
    q, _ = np.linalg.qr(np.column_stack([np.ones(len(train)), z[train]]))
    z[train] = q[:, 1:] * np.sqrt(len(train))
    turn, _ = np.linalg.qr(rng.standard_normal((inputs, inputs)))
    x = z * np.geomspace(1, condition**-0.5, inputs) @ turn.T
    y = x @ turn @ rng.standard_normal(inputs) + noise * rng.standard_normal(n)
    return Data(
        "ill_conditioned",
        "regression",
        *(x[train], y[train], x[test], y[test]),
        source=f"generated: ill_conditioned({n}, {inputs}, {condition:g}, {noise}, seed={seed})",
        licence="none needed",
    )


def low_rank(
    rows: int = 60,
    columns: int = 40,
    rank: int = 3,
    seen: float = 0.3,
    noise: float = 0.1,
    *,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> Data:
    """Ratings: a fraction `seen` of the entries of a matrix of given rank, plus noise.

    x holds (row, column), y the entry, of variance about 1.

    >>> data = low_rank(rows=10, columns=10, seen=0.5)
    >>> data.x_train.shape, data.y_train.shape
    ((40, 2), (40,))
    """
    for name, value in (("rows", rows), ("columns", columns), ("rank", rank)):
        size(name, value)
    number("seen", seen, most=1)
    number("noise", noise)
    rng = _rng(seed)
    full = rng.standard_normal((rows, rank)) @ rng.standard_normal((rank, columns)) / rank**0.5
    chosen = rng.permutation(rows * columns)[: round(seen * rows * columns)]
    x = np.stack([chosen // columns, chosen % columns], axis=1)
    y = full[x[:, 0], x[:, 1]] + noise * rng.standard_normal(len(x))
    train, test = _split(len(x), test_fraction, seed)
    return Data(
        "low_rank",
        "rating",
        *(x[train], y[train], x[test], y[test]),
        source=f"generated: low_rank({rows}, {columns}, {rank}, {seen}, {noise}, seed={seed})",
        licence="none needed",
    )


GENERATED: dict[str, Callable[..., Data]] = {
    "ill_conditioned": ill_conditioned,
    "low_rank": low_rank,
    "spirals": spirals,
}
