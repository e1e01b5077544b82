"""Gradients between model and optimizer: checked, clipped, accumulated; and weights averaged."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from npoptim.optimizers import checks

Array = NDArray[Any]
Arrays = dict[str, Array]
Grads = TypeVar("Grads", Arrays, Array)

EPS = float(np.finfo(np.float64).eps)
CLIP = checks.Range("[0, inf]", lambda x: x >= 0)


class HasGradients(Protocol):
    """What can be checked and accumulated: a loss, and the gradient it claims."""

    def loss(self, params: Arrays, x: Any, y: Any) -> float: ...

    def loss_and_grads(self, params: Arrays, x: Any, y: Any) -> tuple[float, Arrays]: ...

    def count(self, y: Any) -> int: ...


# ---------------------------------------------------------------- the check


def check_gradients(
    model: HasGradients,
    params: Arrays,
    x: Any,
    y: Any,
    *,
    coordinates: int = 16,
    directions: int = 4,
    rng: np.random.Generator | None = None,
) -> dict[str, float]:
    """Compare hand-derived gradients with differences of the loss, parameter by parameter.

    Each parameter is moved along `directions` random directions, in which
    every mistake shows, and along up to `coordinates` of its axes, chosen at
    random, in which a mistake in few elements cannot drown. Returns the
    largest error of each parameter, relative to the size of its gradient; a
    right derivation stays below 1e-7. All is computed in float64, whatever the
    dtype of the parameters, which are not changed. `rng` chooses; by default
    the choice is the same every time.

    The differences are central, at steps from 1e-2 of the parameter's size
    down, extrapolated to step 0 (Ridders, Accurate computation of F′(x), 1982,
    https://doi.org/10.1016/S0141-1195(82)80057-0); the estimate kept is the
    one that agrees best with its neighbour, which a kink of ReLU near the
    point does not disturb.

    >>> from npoptim.models import SoftmaxRegression
    >>> model, rng = SoftmaxRegression(inputs=4, classes=3), np.random.default_rng(0)
    >>> x, y = rng.standard_normal((5, 4)), np.array([0, 1, 2, 1, 0])
    >>> errors = check_gradients(model, model.init(rng), x, y)
    >>> {name: error < 1e-7 for name, error in errors.items()}
    {'0.W': True, '0.b': True}

    Raises ValueError where the gradients lack a parameter or have another
    shape.
    """
    rng = rng or np.random.default_rng(0)
    point = {name: p.astype(np.float64) for name, p in params.items()}
    loss, grads = model.loss_and_grads(point, x, y)
    checks.same_names(grads, point, "grads must have the names of params")
    errors = {}
    for name, p in point.items():
        g = grads[name]
        checks.gradient(name, g, p)
        step = 1e-2 * (math.sqrt(np.mean(p * p)) or 1.0)
        along = [rng.standard_normal(p.shape) for _ in range(directions)]
        for i in rng.permutation(p.size)[:coordinates]:
            axis = np.zeros(p.shape)
            axis.flat[i] = 1
            along.append(axis)
        error = 0.0
        for u in along:

            def moved(h: float, name: str = name, u: Array = u) -> float:
                return model.loss({**point, name: point[name] + h * u}, x, y)

            slope, claimed = _slope(moved, step), float(np.sum(g * u))
            # an axis is measured against a mean element of g, a direction against all of g;
            # what lies far below the loss itself no difference of losses can resolve
            typical = float(np.linalg.norm(g) * np.linalg.norm(u)) / math.sqrt(p.size)
            least = 1e-4 * max(abs(loss), abs(moved(step) - loss) / step)
            scale = max(abs(slope), abs(claimed), typical, least)
            error = float(np.maximum(error, abs(slope - claimed) / scale if scale else 0.0))
        errors[name] = error
    return errors


def _slope(f: Callable[[float], float], step: float) -> float:
    """f′(0) by central differences at ever smaller steps, extrapolated to 0."""
    best, error = math.nan, math.inf
    plain = refined = math.nan
    for k in range(11):
        h = step / 4**k
        up, down = f(h), f(-h)
        coarse, plain = plain, (up - down) / (2 * h)
        # the error of a smooth f is even in h, so its first term, c h², cancels;
        # beside a kink the plain differences are the first to agree
        last, refined = refined, (16 * plain - coarse) / 15
        rounding = EPS * max(abs(up), abs(down)) / h
        for new, old in ((refined, last), (plain, coarse)):
            if abs(new - old) + rounding < error:
                best, error = new, abs(new - old) + rounding
        if error <= 1e-9 * abs(best):
            break
    return best


# ---------------------------------------------------------------- clipping


def clip_by_global_norm(
    grads: Grads, max_norm: float, error_if_nonfinite: bool = True
) -> tuple[Grads, float]:
    """Shorten all gradients by one factor so that their common length is at most `max_norm`.

    `grads` is a dict name -> array, or one array; it is never changed.
    Returns gradients of the same form (the same arrays where nothing had to be
    shortened) and the norm before: the root of the sum of all squares, scaled
    so that no square overflows or vanishes.

    With `error_if_nonfinite=False` gradients that hold a NaN or an infinity
    come back as they are, with the norm nan or inf.

    Pascanu, Mikolov & Bengio, On the difficulty of training recurrent neural
    networks, ICML 2013, https://arxiv.org/abs/1211.5063.

    >>> clip_by_global_norm({"W": np.array([3.0]), "b": np.array([4.0])}, max_norm=1.0)
    ({'W': array([0.6]), 'b': array([0.8])}, 5.0)

    Raises ValueError for a `max_norm` that is negative or NaN and
    NonFiniteError (a ValueError) for a gradient with a NaN or an infinity.
    """
    limit = checks.number(max_norm, "max_norm", CLIP)
    named = _gradients(grads)
    broken = [name for name, g in named.items() if not bool(np.isfinite(g).all())]
    if broken:
        nan = any(bool(np.isnan(named[name]).any()) for name in broken)
        if error_if_nonfinite:
            raise checks.NonFiniteError(
                f"gradient of {broken[0]!r} holds a NaN or an infinity: it has no length to clip."
            )
        return grads, math.nan if nan else math.inf
    largest = max(
        (max(float(g.max()), -float(g.min())) for g in named.values() if g.size), default=0.0
    )
    if largest == 0:
        return grads, 0.0
    length = math.sqrt(
        sum(float(np.sum((g / largest) ** 2, dtype=np.float64)) for g in named.values())
    )
    norm = largest * length  # inf where the length of finite gradients exceeds every float
    if norm <= limit:
        return grads, norm
    short = {k: g / largest * (limit / length) for k, g in named.items()}
    return cast(Grads, _same_form(grads, short)), norm


def clip_by_value(grads: Grads, limit: float) -> Grads:
    """Bring every element of the gradients into [−limit, limit].

    `grads` is a dict name -> array, or one array; it is never changed. A NaN
    stays, for the step to refuse; an infinity becomes the limit.

    >>> clip_by_value(np.array([-3.0, 0.5, 7.0]), limit=1.0)
    array([-1. ,  0.5,  1. ])

    Raises ValueError for a `limit` that is negative or NaN.
    """
    limit = checks.number(limit, "limit", CLIP)
    clipped = {k: np.clip(g, -limit, limit) for k, g in _gradients(grads).items()}
    return cast(Grads, _same_form(grads, clipped))


def _gradients(grads: Any) -> Arrays:
    named = checks.named(grads, "grads")
    for name, g in named.items():
        checks.array(g, f"gradient of {name!r}")
        if g.dtype.kind not in "fiu":
            raise TypeError(f"gradient of {name!r} must be of a real dtype. Got {g.dtype} instead.")
    return named


def _same_form(like: Any, named: Arrays) -> Any:
    named = {name: _array(g) for name, g in named.items()}
    return named if isinstance(like, Mapping) else named["p"]


def _array(x: Any) -> Array:
    # arithmetic turns arrays without axes into scalars
    return np.asarray(x) if isinstance(x, np.generic) else x


# ---------------------------------------------------------------- accumulation


def accumulate(
    model: HasGradients, params: Arrays, batches: Iterable[tuple[Any, Any]]
) -> tuple[float, Arrays]:
    """Loss and gradients of a batch that comes in pieces too large to hold together.

    `batches` yields (x, y). Each piece weighs as many terms as its mean has
    (`model.count(y)`), so that the result is that of one call with all pieces
    joined, up to rounding, whatever their sizes.

    >>> from npoptim.models import LinearRegression
    >>> model, params = LinearRegression(1), {"0.W": np.ones(1), "0.b": np.zeros(1)}
    >>> x, y = np.array([[1.0], [2.0], [6.0]]), np.zeros(3)
    >>> accumulate(model, params, [(x[:1], y[:1]), (x[1:], y[1:])])[1]["0.b"]
    array([3.])
    >>> model.loss_and_grads(params, x, y)[1]["0.b"]
    array([3.])

    Raises ValueError where there is no batch.
    """
    terms, total = 0, 0.0
    sums: Arrays = {}
    for x, y in batches:
        n = model.count(y)
        if n == 0:
            continue
        loss, grads = model.loss_and_grads(params, x, y)
        terms, total = terms + n, total + n * loss
        sums = {k: sums[k] + n * g if sums else n * g for k, g in grads.items()}
    if not terms:
        raise ValueError("batches must hold at least one target. Got none.")
    return total / terms, {name: _array(s / terms) for name, s in sums.items()}


# ---------------------------------------------------------------- averaging


class EMA:
    """An exponential moving average of the weights: a ← decay a + (1 − decay) p.

    It starts as a copy of the first parameters it is shown, and so needs no
    correction. float16 parameters are averaged in float32.

    Polyak & Juditsky, Acceleration of Stochastic Approximation by Averaging,
    1992, https://doi.org/10.1137/0330046, with the weights fading.

    >>> ema = EMA(decay=0.9)
    >>> for p in (0.0, 1.0, 1.0):
    ...     ema.update({"W": np.array([p])})
    >>> ema.params
    {'W': array([0.19])}
    """

    def __init__(self, decay: float = 0.999) -> None:
        self.decay: float = checks.number(decay, "decay", checks.UNIT)
        self.t = 0  #: updates seen
        self._average: Arrays = {}

    def __repr__(self) -> str:
        return f"EMA(decay={self.decay})"

    @property
    def params(self) -> Arrays:
        """A copy of the averages, by name: empty before the first update."""
        return {name: a.copy() for name, a in self._average.items()}

    def update(self, params: Arrays) -> None:
        """Take in `params`, which are not changed.

        Raises TypeError or ValueError where they have other names or shapes
        than the first, and NonFiniteError where they hold a NaN or an
        infinity; the averages are then as before.
        """
        for name, p in params.items():
            checks.array(p, f"parameter {name!r}")
            checks.all_finite(p, f"parameter {name!r}")
        if not self.t:
            new = {k: p.astype(np.result_type(p.dtype, np.float32)) for k, p in params.items()}
        else:
            self._check(params, self._average)
            rest = 1 - self.decay
            new = {k: _array(a + rest * (params[k] - a)) for k, a in self._average.items()}
        self._average, self.t = new, self.t + 1

    def state_dict(self) -> dict[str, Any]:
        """A copy of everything: decay, t and the averages."""
        return {"decay": self.decay, "t": self.t, "params": self.params}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Take over a copy of `saved`, checked whole before anything changes.

        Raises ValueError where it is not the state of an average with this
        decay, over such parameters.
        """
        checks.same_names(saved, ("decay", "t", "params"), "the state of an EMA")
        if saved["decay"] != self.decay:
            raise ValueError(f"the state has decay {saved['decay']}, the EMA {self.decay}.")
        t, params = saved["t"], checks.named(saved["params"], "params")
        if not isinstance(t, int) or isinstance(t, bool) or t < 0 or bool(t) != bool(params):
            raise ValueError(f"t must be the number of updates behind the averages. Got {t!r}.")
        for name, p in params.items():
            checks.array(p, f"average {name!r}")
        if self.t and t:
            self._check(params, self._average)
        self._average, self.t = {name: p.copy() for name, p in params.items()}, t

    @staticmethod
    def _check(params: Arrays, like: Arrays) -> None:
        checks.same_names(params, like, "params must have the names of the first update")
        for name, a in like.items():
            if params[name].shape != a.shape:
                raise ValueError(
                    f"parameter {name!r} must have the shape of the first update, {a.shape}. "
                    f"Got {params[name].shape} instead."
                )
