"""One step, line by line: the box, the code, the numbers; two of them compared."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from npoptim.extras import callable_module
from npoptim.optimizers import checks
from npoptim.optimizers.base import Optimizer
from npoptim.optimizers.box import pseudocode
from npoptim.optimizers.driver import Driver
from npoptim.optimizers.fused import plain_lines
from npoptim.optimizers.groups import Groups
from npoptim.trace.blocks import runs
from npoptim.trace.difference import Difference, first_difference
from npoptim.trace.lines import Line, Part, Trace, lines_of
from npoptim.trace.recorder import Recorder, recording
from npoptim.trace.source import source_of
from npoptim.trace.values import keep

__all__ = ["Difference", "Line", "Trace", "first_difference", "trace"]

_METHODS = ("init", "update", "init_vector", "update_vector")


def trace(opt: Driver, p: Any, g: Any, steps: int | None = None) -> Trace:
    """Take steps with an optimizer and record every line of them with its values.

    `p` is an array or a dict name -> array, `g` its gradient: one for all
    steps, a list with one for each, or a function p -> g. `steps` is 1, or
    the length of the list, unless given. `opt` and `p` end exactly as after
    `opt.step`, which is what runs.

    A method that `update` calls is stepped into if its lines carry numbers
    of the box (`# line 5`), and shown as the line that calls it otherwise.
    Code without any such number is numbered by the names it assigns. Every
    value is kept: about as many copies of the parameters as the box has lines.

    >>> import numpy as np
    >>> from npoptim import SGD
    >>> tr = trace(SGD(lr=0.5), np.array([1.0]), np.array([0.25]))
    >>> for line in tr:
    ...     print(line.number, line.pseudocode, "|", line.substituted, "|", line.values)
    1 given lr | 0.5 | {'lr': 0.5}
    3 g ← ∇f(θ) |  | {'g': array([0.25])}
    4 θ ← θ − lr g | [1] - 0.5 * [0.25] | {'p': array([0.875])}

    Raises what `opt.step` raises, with the lines up to there as `error.trace`;
    TypeError for anything but an optimizer and OSError for one whose source
    Python has not kept.
    """
    if not isinstance(opt, Driver):
        raise TypeError(f"trace takes an optimizer. Got {opt!r} instead.")
    gradients = _gradients(g, steps)
    sources = [source_of(f) for rule in _rules(opt) for f in _functions(type(rule))]
    parts: list[Part] = []
    for gradient in gradients:
        done, t = set(opt.state), opt.t + 1
        recorder = Recorder(())
        try:
            now = gradient(p)
            with recording(sources) as recorder, plain_lines():
                opt.step(p, now)
        except BaseException as error:
            if recorder.calls:
                parts += _parts(opt, p, t, done, recorder)
            error.trace = Trace(repr(opt), parts, _kept(p))  # type: ignore[attr-defined]
            raise
        parts += _parts(opt, p, t, done, recorder)
    return Trace(repr(opt), parts, _kept(p))


def _kept(p: Any) -> dict[str, Any]:
    """Copies of the parameters; none of what a step does not take."""
    try:
        return keep(checks.named(p, "params")) or {}
    except TypeError:
        return {}


def _gradients(g: Any, steps: int | None) -> list[Callable[[Any], Any]]:
    """For every step the function that gives its gradient."""

    def always(gradient: Any) -> Callable[[Any], Any]:
        return gradient if callable(gradient) else lambda p: gradient

    if isinstance(g, (list, tuple)):
        if steps not in (None, len(g)):
            raise ValueError(f"steps must be {len(g)}, the number of gradients. Got {steps}.")
        return [always(gradient) for gradient in g]
    steps = 1 if steps is None else steps
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
        raise ValueError(f"steps must be an int in the range [1, inf). Got {steps!r} instead.")
    return [always(g)] * steps


def _rules(opt: Driver) -> Iterator[Driver]:
    """The rules that an optimizer is made of."""
    if isinstance(opt, Groups):
        for rule in opt.rules.values():
            yield from _rules(rule)
    else:
        yield opt


def _functions(cls: type) -> Iterator[Callable[..., Any]]:
    """The functions of a class to step into: init, update, and those with numbers of the box."""
    own = [base for base in cls.__mro__ if base not in Optimizer.__mro__]
    found = {_plain(getattr(cls, name, None)) for name in _METHODS}
    yield from (f for f in found if f is not None and f is not Optimizer.init)
    for name, member in ((k, v) for base in own for k, v in vars(base).items()):
        function = _plain(member)
        if function and function not in found and not name.startswith("__"):
            with suppress(OSError):
                if source_of(function).tagged:
                    yield function


def _plain(member: Any) -> Any:
    """The function behind a method and its decorators; None for anything else."""
    function = inspect.unwrap(getattr(member, "__func__", member)) if callable(member) else None
    return function if inspect.isfunction(function) else None


def _parts(opt: Driver, p: Any, t: int, done: set[str], recorder: Recorder) -> Iterator[Part]:
    """The lines of one step, parameter by parameter."""
    params = checks.named(p, "params")
    forms = {name: opt._rule(name).form(x) for name, x in params.items()}
    fresh = {
        name: name not in done and id(getattr(_plain(init), "__code__", None)) in recorder.sources
        for name, (init, _) in forms.items()
    }
    for name, run in runs(recorder.calls, params, fresh):
        try:
            box = pseudocode(opt._rule(name), params[name])
        except ValueError:
            box = {}
        result = run.result if isinstance(run.result, tuple) and len(run.result) == 2 else None
        outcome = {"p": result[0], **result[1]} if result else {}
        lines = lines_of(t, name, box, run.events, run.given)
        yield Part(t, name, box, lines, outcome)


callable_module(__name__, trace)
