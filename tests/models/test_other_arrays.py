"""The models' lines run on arrays of another library, and float32 stays float32.

`Device` stands in for a GPU array: it knows NumPy's two protocols, meets no
NumPy array, is never converted behind one's back, and refuses a result in
float64.
"""

import numpy as np
import pytest


class Device:
    """An array in float32 (or of integers) that only other such arrays and numbers may meet."""

    def __init__(self, x):
        x = np.asarray(x)
        assert x.dtype != np.float64, "float32 became float64"
        self.x = x

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        assert method == "__call__"
        return wrapped(ufunc(*map(bare, inputs), **kwargs))

    def __array_function__(self, function, types, args, kwargs):
        return wrapped(function(*bare(args), **bare(kwargs)))

    def __array__(self, *args, **kwargs):
        raise TypeError("implicit conversion to NumPy")

    def __bool__(self):
        raise TypeError("a branch on an array waits for the device")

    def __float__(self):
        return float(self.x)

    def __int__(self):
        return int(self.x)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, key):
        return wrapped(self.x[bare(key)])

    def __setitem__(self, key, value):
        self.x[bare(key)] = bare(value)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)  # __array_interface__ would let NumPy in
        value = getattr(self.x, name)
        if not callable(value):
            return wrapped(value)
        return lambda *args, **kwargs: wrapped(value(*bare(args), **bare(kwargs)))


def operator(name):
    def method(self, *others):
        return wrapped(getattr(np.asarray(self.x), name)(*map(bare, others)))

    return method


for name in ["add", "sub", "mul", "truediv", "matmul", "pow"]:
    for side in ("", "r"):
        setattr(Device, f"__{side}{name}__", operator(f"__{side}{name}__"))
for name in ["neg", "eq", "ne", "lt", "le", "gt", "ge", "and", "or"]:
    setattr(Device, f"__{name}__", operator(f"__{name}__"))


def wrapped(x):
    if isinstance(x, (np.ndarray, np.generic)):
        return Device(x)
    return tuple(map(wrapped, x)) if isinstance(x, tuple) and type(x) is tuple else x


def bare(x):
    if isinstance(x, Device):
        return x.x
    if isinstance(x, (list, tuple)):
        return type(x)(map(bare, x))
    if isinstance(x, dict):
        return {k: bare(v) for k, v in x.items()}
    assert not isinstance(x, np.ndarray), "an array of NumPy's meets one of the device"
    assert not isinstance(x, np.float64), "a float64 scalar meets a float32 array"
    return x


def test_models_run_on_arrays_of_another_library_in_float32(case):
    model, params, x, y = case
    loss, grads = model.loss_and_grads(params, x, y)
    there = {name: Device(p.astype(np.float32)) for name, p in params.items()}
    x, y = (Device(a.astype(np.float32) if a.dtype == np.float64 else a) for a in (x, y))
    loss_there, grads_there = model.loss_and_grads(there, x, y)
    assert loss_there == pytest.approx(loss, rel=1e-5)
    for name, g in grads_there.items():
        assert type(g) is Device
        assert g.x.dtype == np.float32
        np.testing.assert_allclose(g.x, grads[name], rtol=1e-2, atol=1e-5)
    assert type(model.predict(there, x)) is Device


def test_float32_parameters_meet_float64_data_and_stay_float32(case):
    model, params, x, y = case
    params = {name: p.astype(np.float32) for name, p in params.items()}
    _, grads = model.loss_and_grads(params, x, y)
    assert {g.dtype for g in grads.values()} == {np.dtype(np.float32)}


def test_integers_are_features_too(case):
    model, params, x, y = case
    if x.dtype == np.float64:
        x = np.round(x)
        assert model.loss(params, x.astype(int), y) == model.loss(params, x, y)


def test_the_stand_in_is_strict():
    d = Device(np.ones(2, np.float32))
    for leak in (lambda: d * np.ones(2), lambda: d * np.float64(2), lambda: d * Device(np.ones(2))):
        with pytest.raises(AssertionError):
            leak()
    with pytest.raises(TypeError):
        np.asarray(d)
    with pytest.raises(TypeError):
        bool(d)
