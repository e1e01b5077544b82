"""The backend: what happens without a GPU, and a whole training on the strict stand-in."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import npoptim as npo
from npoptim import backend
from npoptim.optimizers import checks, kernels
from npoptim.standin import DeviceArray


@pytest.fixture
def device(monkeypatch, kind=DeviceArray):
    """The stand-in in CuPy's place: it refuses every round trip to the host."""
    fake = SimpleNamespace(
        ndarray=kind, asarray=lambda x: kind(x.copy()), is_available=lambda: True
    )
    monkeypatch.setitem(sys.modules, "cupy", fake)
    monkeypatch.setattr(backend, "_chosen", None)
    monkeypatch.setattr(checks, "ARRAY_TYPES", set(checks.ARRAY_TYPES))
    npo.use_backend("cupy")
    return fake


@pytest.mark.parametrize("rule", npo.optimizers().values(), ids=lambda c: c.__name__)
def test_a_step_never_leaves_the_device(rule, device):
    rng = np.random.default_rng(0)
    params = {
        "W": rng.normal(size=(7, 5)),
        "b": rng.normal(size=5),
        "K": rng.normal(size=(2, 3, 4)),
    }
    params["h"] = params["b"].astype(np.float16)
    grads = {k: rng.normal(size=v.shape) for k, v in params.items()}
    there, opt, plain = npo.to_device(params), rule(), rule()
    for _ in range(3):
        opt.step(there, npo.to_device(grads))
        plain.step(params, grads)
    for name, p in npo.to_host(there).items():
        assert p.tobytes() == params[name].tobytes(), name
    state = npo.to_host(opt.state)
    for name, slots in plain.state.items():
        for slot, x in slots.items():
            assert state[name][slot].tobytes() == x.tobytes()
    assert opt.state_nbytes == plain.state_nbytes
    loaded = rule()
    loaded.load_state_dict(opt.state_dict())
    loaded.step(there, npo.to_device(grads))
    plain.step(params, grads)
    for name, p in npo.to_host(there).items():
        assert p.tobytes() == params[name].tobytes(), name


def test_large_arrays_are_given_to_kernels(device, monkeypatch):
    monkeypatch.setattr(kernels, "MAKERS", {})
    asked, launched = [], []
    device.ElementwiseKernel = lambda *params, **options: (
        asked.append(params) or (lambda *arrays: launched.append(arrays))
    )
    npo.use_backend("cupy")
    p = npo.to_device(np.ones((2048, 2048), np.float32))  # 16 MiB
    npo.SGD(lr=0.5).step(p, npo.to_device(np.ones((2048, 2048), np.float32)))
    assert [params[:2] for params in asked] == [
        ("float64 a0, float32 a1, float32 a2", "float32 y0")
    ]
    assert len(launched) == 1
    npo.SGD(lr=0.5).step(p[:-1], npo.to_device(np.ones((2047, 2048), np.float32)))
    assert len(launched) == 1


def test_arrays_of_two_devices_do_not_mix(device):
    p, g = np.ones(3), np.ones(3)
    here, there = "numpy array", "npoptim.standin array"
    words = "gradient of 'p' is a {}, the parameter a {}: move both to one device with npoptim"
    with pytest.raises(TypeError, match=words.format(here, there)):
        npo.SGD().step(npo.to_device(p), g)
    with pytest.raises(TypeError, match=words.format(there, here)):
        npo.SGD().step(p, npo.to_device(g))
    opt = npo.Adam()
    opt.step(p, g)
    opt.step(npo.to_device(p), npo.to_device(g))  # the state follows, as after loading
    words = "parameter 'p' is on the host, its state on a npoptim.standin device: .*to_device"
    with pytest.raises(TypeError, match=words):
        opt.step(p, g)
    assert opt.t == 2


def test_trees_go_there_and_back(device):
    tree = {"a": [np.ones(2), (np.zeros(1), 3)], "b": "text"}
    there = npo.to_device(tree)
    assert isinstance(there["a"][1][0], DeviceArray)
    assert there["b"] == "text"
    back = npo.to_host(there)
    assert back["a"][0].tolist() == [1, 1]
    assert back["a"][1] == (np.zeros(1), 3)


def test_numpy_is_the_default_and_moves_nothing(monkeypatch):
    monkeypatch.setattr(backend, "_chosen", None)
    monkeypatch.delenv(backend.VARIABLE, raising=False)
    tree = {"a": np.ones(2)}
    assert backend.backend() == "numpy"
    assert npo.to_device(tree) is tree
    assert npo.to_host(tree) is tree


def test_cupy_without_a_gpu(monkeypatch):
    monkeypatch.setattr(backend, "_chosen", "numpy")
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(is_available=lambda: False))
    with pytest.raises(npo.BackendUnavailable, match="nvidia-smi"):
        npo.use_backend("cupy")
    assert backend.backend() == "numpy"


def test_cupy_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(npo.BackendUnavailable, match=r"npoptim\[gpu\]"):
        npo.use_backend("cupy")


def test_the_environment_chooses():
    code = "import npoptim as npo; npo.to_device({})"
    env = {**os.environ, backend.VARIABLE: "numpi"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert "backend must be one of numpy, cupy. Got 'numpi'" in done.stderr
    assert "Did you mean 'numpy'" in done.stderr


@pytest.mark.parametrize("name", ["torch", None, 3])
def test_an_unknown_backend(name):
    with pytest.raises(ValueError, match="numpy, cupy"):
        npo.use_backend(name)


@pytest.mark.parametrize("name", npo.surfaces.names())
def test_surfaces_never_leave_the_device(name, device):
    surface = npo.surfaces.get(name)
    for x in (np.array(surface.start), np.stack([surface.start, surface.start + 0.5])):
        there = npo.to_device(x)
        for f in (surface.f, surface.grad):
            value = f(there)
            assert isinstance(value, DeviceArray)
            assert value.get().tobytes() == np.asarray(f(x)).tobytes()


class Patient(DeviceArray):
    """One that waits for the device when asked for a number, as CuPy's arrays do."""

    def __float__(self):
        return float(self.get())

    def __int__(self):
        return int(self.get())

    def __bool__(self):
        return bool(self.get())

    def __len__(self):
        return len(self.get())


MODELS = {
    "logistic": npo.models.LogisticRegression(16),
    "linear": npo.models.LinearRegression(16),
    "softmax": npo.models.SoftmaxRegression(16, 3),
    "mlp": npo.models.MLP([16, 5, 3]),
    "conv": npo.models.ConvNet(side=4, channels=(2,), classes=3),
    "transformer": npo.models.Transformer(vocabulary=5, context=6, width=4, heads=2, hidden=8),
}


def examples(name, n):
    rng = np.random.default_rng(n)
    if name == "transformer":
        return rng.integers(5, size=(n, 6)), rng.integers(-1, 5, size=(n, 6))
    x = rng.normal(size=(n, 16))
    return x, x[:, 0] if name == "linear" else rng.integers(2 if name == "logistic" else 3, size=n)


@pytest.mark.parametrize("name", MODELS)
def test_a_training_is_the_same_there(name, device, monkeypatch, tmp_path):
    monkeypatch.setattr(device, "ndarray", Patient)
    monkeypatch.setattr(device, "asarray", lambda x: Patient(x.copy()))
    (a, b), (c, d) = examples(name, 50), examples(name, 20)
    data = SimpleNamespace(x_train=a, y_train=b, x_test=c, y_test=d)
    runs = []
    for where in ("cupy", "numpy"):
        npo.use_backend(where)
        options = {"epochs": 2, "batch_size": 8, "clip": 1.0, "checkpoint": tmp_path / where}
        npo.train(MODELS[name], data, npo.LAMB(), **options | {"epochs": 1})
        runs.append(npo.train(MODELS[name], data, npo.LAMB(), **options, resume=True))
    there, here = runs
    assert {type(p) for p in there.params.values()} == {Patient}
    assert there.loss.tolist() == here.loss.tolist()
    assert there.test_loss.tolist() == here.test_loss.tolist()
    for k, p in npo.to_host(there.params).items():
        assert p.tobytes() == here.params[k].tobytes()
