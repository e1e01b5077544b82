"""Optimizers at settings where every mistake shows, and classes made from text."""

import inspect
import itertools
import linecache
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from npoptim import trace

HYPER = {
    "lr": 0.05,
    "eps": 1e-2,
    "weight_decay": 0.1,
    "betas": (0.8, 0.9, 0.95),
    "momentum": 0.7,
    "trust_coefficient": 0.3,
    "decay": 0.6,
    "clip": 0.5,
}


def telling(cls):
    """The rule with hyper-parameters that hide nothing."""
    hyper = {}
    for name, value in cls().hyper().items():
        hyper[name] = HYPER[name]
        if isinstance(value, tuple):
            hyper[name] = (1e-2, 2e-2) if name == "eps" else HYPER[name][: len(value)]
    return cls(**hyper)


def steps(opt, shape=(3, 4), sizes=(1, -2), dtype=float):
    """Steps against gradients of different signs; of a failure, the trace up to there."""
    rng = np.random.default_rng(3)
    p = rng.normal(size=shape).astype(dtype)
    gradients = [(rng.normal(size=shape) * size).astype(dtype) for size in sizes]
    try:
        return trace(opt, p, gradients)
    except Exception as error:
        return error.trace


_numbers = itertools.count()


def build(text, name=None):
    """The class (the last, or the one of this name) that a piece of source defines."""
    file = f"<text {next(_numbers)}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    names = {"__name__": "written_in_a_test"}
    exec(compile(text, file, "exec"), names)
    classes = [
        x
        for x in names.values()
        if isinstance(x, type) and x.__module__ == "written_in_a_test" and hasattr(x, "update")
    ]
    return next(c for c in reversed(classes) if name in (None, c.__name__))


def source(cls):
    """The text of the file that a rule stands in."""
    return inspect.getsource(sys.modules[cls.__module__])


def edited(cls, *edits, tagged=True):
    """The rule with pieces of its source replaced, and without the numbers of the box if wanted."""
    text = source(cls)
    for old, new in edits:
        assert old in text, f"{old!r} is not in {cls.__name__}"
        text = text.replace(old, new)
    return build(text if tagged else untagged(text), cls.__name__)


def untagged(text):
    """A source without the numbers of the box."""
    return re.sub(r"  # lines? [\d, ]+$", "", text, flags=re.MULTILINE)


@pytest.fixture(scope="session")
def make():
    """The functions above."""
    functions = (telling, steps, build, source, edited, untagged)
    return SimpleNamespace(**{function.__name__: function for function in functions})
