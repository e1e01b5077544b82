"""NumPy's warnings are off inside and as before outside, whatever way NumPy keeps its settings."""

import contextvars

import numpy as np
import pytest

from npoptim.optimizers import quiet

OFF = {"divide": "ignore", "over": "ignore", "under": "ignore", "invalid": "ignore"}


@pytest.mark.parametrize("known", [True, False])
def test_warnings_are_off_inside(known):
    context = quiet._context(quiet.VARIABLE if known else None)
    assert type(quiet.quiet()) is type(quiet._context(quiet.VARIABLE)())
    assert isinstance(context(), np.errstate) is not (known and quiet.VARIABLE is not None)
    with np.errstate(all="raise"):
        with context():
            assert np.geterr() == OFF
            assert np.isinf(np.ones(2) / np.zeros(2)).all()
        assert set(np.geterr().values()) == {"raise"}


@pytest.mark.skipif(quiet.VARIABLE is None, reason="this NumPy keeps its settings elsewhere")
@pytest.mark.parametrize("before", ["ignore", "raise", None])
def test_the_variable_is_found(before):
    def found():
        """In a context that knows it, or has never heard of it."""
        if before is None:
            return quiet._found()
        with np.errstate(all=before):
            return quiet._found()

    variable, value = contextvars.Context().run(found)
    assert variable is quiet.VARIABLE
    with np.errstate(all="raise"):
        token = variable.set(value)
        try:
            assert np.geterr() == OFF
        finally:
            variable.reset(token)


@pytest.mark.parametrize("changes", [0, 2])
def test_settings_that_lie_elsewhere_are_left_alone(changes, monkeypatch):
    one, two = contextvars.ContextVar("one"), contextvars.ContextVar("two")
    contexts = [{one: 1, two: 2}, {one: 1, two: 2} if not changes else {one: 3, two: 4}]
    monkeypatch.setattr(contextvars, "copy_context", lambda: contexts.pop(0))
    assert quiet._found() == (None, None)
