"""Kernels made of recorded lines give what the lines give; there is no GPU, so others run their text."""

import ctypes
import hashlib
import re
import shutil
import subprocess

import numpy as np
import pytest

import npoptim as npo
from npoptim.optimizers import checks, driver, fused, kernels
from npoptim.optimizers.base import Optimizer, norm, rms
from npoptim.standin import DeviceArray

every_rule = pytest.mark.parametrize(
    "rule", npo.optimizers().values(), ids=lambda rule: rule.__name__
)


class Kernel:
    """What `cupy.ElementwiseKernel` is given."""

    def __init__(self, given, taken, text, name, preamble, options):
        assert options == ("--fmad=false",)
        self.given = [param.split() for param in given.split(", ")]
        self.taken = [param.split() for param in taken.split(", ")]
        self.text, self.preamble = text, preamble


class AsPython(Kernel):
    """Kernels whose text is read as Python, which it is but for `auto` and semicolons."""

    def __call__(self, *args):
        assert len(args) == len(self.given) + len(self.taken)
        known = {"float": np.float32, "double": np.float64, "bool": np.bool_, "fabs": np.abs}
        known |= {"pow": np.power, "sign_of": np.sign, "larger": np.maximum}
        known |= {"smaller": np.minimum} | {
            f: getattr(np, f) for f in ("sqrt", "exp", "log", "tanh")
        }
        for (dtype, name), x in zip(self.given, args, strict=False):
            value = x._value if isinstance(x, DeviceArray) else x
            assert np.asarray(value).dtype == dtype
            known[name] = value
        with np.errstate(all="ignore"):
            exec(re.sub(r"auto |;", "", self.text), known)
        for (dtype, name), y in zip(self.taken, args[len(self.given) :], strict=True):
            assert y.dtype == dtype
            y.set(np.broadcast_to(known[name], y.shape))


class AsCpp(Kernel):
    """Kernels whose text is compiled by this machine's C++ compiler."""

    def __init__(self, *params, **options):
        super().__init__(*params, **options)
        c = {"float32": "float", "float64": "double", "bool": "bool", "int64": "long long"}
        params = [f"const {c[t]}* p_{n}" for t, n in self.given]
        params += [f"{c[t]}* p_{n}" for t, n in self.taken]
        refs = [f"const {c[t]} &{n} = p_{n}[i];" for t, n in self.given]
        refs += [f"{c[t]} &{n} = p_{n}[i];" for t, n in self.taken]
        source = "#include <cmath>\nusing namespace std;\n#define __device__\n" + self.preamble
        source += f'extern "C" void run(long n, {", ".join(params)}) {{\n'
        source += "for (long i = 0; i < n; i++) {\n" + "\n".join([*refs, self.text]) + "\n}}\n"
        self.run = compiled(source).run

    def __call__(self, *args):
        shape = np.broadcast_shapes(*[np.shape(getattr(x, "_value", x)) for x in args])
        n = len(self.given)
        ins = [
            np.ascontiguousarray(np.broadcast_to(getattr(x, "_value", x), shape), dtype)
            for (dtype, _), x in zip(self.given, args, strict=False)
        ]
        outs = [np.empty(shape, dtype) for dtype, _ in self.taken]
        pointers = [ctypes.c_void_p(x.ctypes.data) for x in (*ins, *outs)]
        self.run(ctypes.c_long(outs[0].size), *pointers)
        for x, y in zip(outs, args[n:], strict=True):
            y.set(x)


LIBRARIES = {}


def compiled(source):
    key = hashlib.sha256(source.encode()).hexdigest()[:16]
    if key not in LIBRARIES:
        folder = LIBRARIES["folder"]
        (folder / f"{key}.cpp").write_text(source)
        command = ["g++", "-O1", "-ffp-contract=off", "-Wall", "-Werror", "-shared", "-fPIC"]
        subprocess.run([*command, f"{key}.cpp", "-o", f"{key}.so"], cwd=folder, check=True)
        LIBRARIES[key] = ctypes.CDLL(str(folder / f"{key}.so"))
    return LIBRARIES[key]


no_compiler = pytest.mark.skipif(not shutil.which("g++"), reason="needs g++")


@pytest.fixture(params=[AsPython, pytest.param(AsCpp, marks=no_compiler)])
def kernel(request, monkeypatch, tmp_path_factory):
    """Kernels for stand-ins of every size."""
    LIBRARIES.setdefault("folder", tmp_path_factory.mktemp("kernels"))
    launches = []

    class Counted(request.param):
        def __call__(self, *args):
            launches.append(self)
            super().__call__(*args)

    monkeypatch.setitem(kernels.MAKERS, DeviceArray, Counted)
    monkeypatch.setattr(checks, "ARRAY_TYPES", checks.ARRAY_TYPES | {DeviceArray})
    monkeypatch.setattr(fused, "LARGE", 64)
    monkeypatch.setattr(kernels, "LARGE", 64)
    answer = DeviceArray.__array_ufunc__

    def answered(self, ufunc, *args, **options):
        assert ufunc is not np.vecdot  # CuPy answers np.vdot
        return answer(self, ufunc, *args, **options)

    monkeypatch.setattr(DeviceArray, "__array_ufunc__", answered)
    yield launches
    kernels._kernel.cache_clear()


def train(rule, shape, dtype, steps=3):
    """Parameter and memory after some steps, on the host."""
    rng = np.random.default_rng(0)
    p, opt = DeviceArray(rng.normal(size=shape).astype(dtype)), rule()
    for _ in range(steps):
        opt.step(p, DeviceArray(rng.normal(size=shape).astype(dtype)))
    return npo.to_host({"p": p, **opt.state["p"]})


def plainly(*args):
    with fused.plain_lines():
        return train(*args)


def assert_same(got, wanted, exact):
    assert got.keys() == wanted.keys()
    for k, x in got.items():
        assert (x.shape, x.dtype) == (wanted[k].shape, wanted[k].dtype)
        if exact:
            np.testing.assert_array_equal(x, wanted[k])
        else:  # sums of arrays, and roots of these
            rtol = 1e-12 if x.dtype == "f8" else 1e-4
            np.testing.assert_allclose(x, wanted[k], rtol=rtol, atol=rtol / 100)


#: of a matrix, one for an element rule: what sums need, what needs these and is summed, and the rest
LAUNCHES = {"LARS": 1, "LAMB": 2, "Adafactor": 3, "CAME": 4}


@every_rule
@pytest.mark.parametrize("dtype", ["f4", "f8", "f2"])
@pytest.mark.parametrize("shape", [(60, 50), (500,), (4, 5, 6, 7)], ids=str)
@pytest.mark.parametrize("atomic", [2**25, 0])
def test_kernels_give_what_the_lines_give(rule, dtype, shape, atomic, kernel, monkeypatch):
    monkeypatch.setattr(driver, "ATOMIC", atomic)
    got = train(rule, shape, dtype)
    launched = len(kernel)
    assert_same(got, plainly(rule, shape, dtype), rule.scope == "element")
    assert launched == len(kernel)  # none by the plain lines
    if rule.scope == "element":
        assert launched == 3
    elif len(shape) > 1 and rule.__name__ in LAUNCHES:
        assert launched == 3 * LAUNCHES[rule.__name__]


@every_rule
def test_a_kernel_is_compiled_once(rule, kernel):
    p, opt = DeviceArray(np.ones((60, 50))), rule()
    for _ in range(3):
        opt.step(p, DeviceArray(np.full((60, 50), 0.5)))
    compiled = kernels._kernel.cache_info().misses
    for _ in range(5):
        opt.step(p, DeviceArray(np.full((60, 50), 0.5)))
    assert kernels._kernel.cache_info().misses == compiled


def rule_of(lines, **slots):
    """A rule whose update is `lines(p, g, **slots) -> p, dict`."""

    class Lines(Optimizer):
        def init(self, p):
            return {k: make(p) for k, make in slots.items()}

        def update(self, p, g, t, **slots):
            return lines(p, g, **slots)

    return Lines


def chain(p, g, row, n, v):
    """Sums of sums: along axes, kept or not, of what was just normed, and of the result."""
    row = 0.5 * row + np.sum(abs(g), axis=-1, keepdims=True)
    v = v + g / norm(g / row)
    w = v - 0.1 * np.sum(v / rms(v), axis=-2)[..., None, :]
    p = p - 1e-2 * w / norm(w)
    return p, {"row": row, "n": np.sum(p**2, keepdims=True), "v": v}


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("atomic", [2**25, 0])
def test_sums_of_sums(dtype, atomic, kernel, monkeypatch):
    monkeypatch.setattr(driver, "ATOMIC", atomic)
    rule = rule_of(
        chain,
        row=lambda p: np.zeros_like(np.sum(p, axis=-1, keepdims=True)),
        n=lambda p: np.zeros_like(np.sum(p, keepdims=True)),
        v=np.zeros_like,
    )
    got = train(rule, (30, 20), dtype)
    assert kernel
    assert_same(got, plainly(rule, (30, 20), dtype), False)


OPERATIONS = [
    lambda a, b, c: a + b, lambda a, b, c: a - c, lambda a, b, c: c * b, lambda a, b, c: -a,
    lambda a, b, c: a / (1 + abs(b)), lambda a, b, c: np.sqrt(a), lambda a, b, c: np.sign(a),
    lambda a, b, c: np.maximum(a, b), lambda a, b, c: a**2, lambda a, b, c: (a > b) * a,
    lambda a, b, c: np.minimum(b, c), lambda a, b, c: (a <= c) * b - (b < a) * (a >= 0),
    lambda a, b, c: +a, lambda a, b, c: (a > 0) * (b > c) + b, lambda a, b, c: a / b,
]  # fmt: skip


@pytest.mark.parametrize("seed", range(12))
def test_random_lines(seed, kernel, monkeypatch):
    """NaNs and infinities, too: roots of negative numbers and quotients by 0 make them."""
    monkeypatch.setattr(driver, "ATOMIC", seed % 2 * 2**25)

    def lines(p, g, m):
        rng, values = np.random.default_rng(seed), [p, g, m]
        for _ in range(25):
            a, b = (values[-i] for i in rng.integers(1, min(len(values), 8) + 1, 2))
            values.append(rng.choice(OPERATIONS)(a, b, float(rng.normal())))
        return values[-1] + p, {"m": np.minimum(values[-2], p)}

    rule = rule_of(lines, m=np.ones_like)
    with np.errstate(all="ignore"):
        got, wanted = train(rule, (40, 7), "f4"), plainly(rule, (40, 7), "f4")
    assert kernel
    assert_same(got, wanted, True)


@pytest.mark.parametrize("f", [np.exp, np.log, np.tanh, lambda x: abs(x) ** 1.5])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_functions_of_one_number(f, dtype, kernel):
    rule = rule_of(lambda p, g: (p - 0.1 * f(abs(g) + 0.5), {}))
    got = train(rule, (40, 7), dtype)
    assert kernel
    assert_same(got, plainly(rule, (40, 7), dtype), False)


@pytest.mark.parametrize(
    "lines",
    [
        lambda p, g: (p - np.floor(g), {}),
        lambda p, g: (p - np.where(g > 0, g, 0), {}),
        lambda p, g: (p - g[::-1], {}),
        lambda p, g: (p - g.reshape(g.shape), {}),
        lambda p, g: (p - g * np.int32(2), {}),
    ],
)
def test_what_kernels_cannot_do_is_left_to_the_plain_lines(lines, kernel):
    rule = rule_of(lines)
    assert_same(train(rule, (40, 7), "f8"), plainly(rule, (40, 7), "f8"), True)
    assert not kernel


@pytest.mark.parametrize("atomic", [2**25, 0])
def test_a_kernel_that_cannot_be_made_is_told_and_the_plain_lines_go_on(
    atomic, kernel, monkeypatch
):
    def broken(*args, **options):
        raise RuntimeError("nvrtc: error: libdevice not found")

    monkeypatch.setattr(driver, "ATOMIC", atomic)
    monkeypatch.setitem(kernels.MAKERS, DeviceArray, broken)
    with pytest.warns(RuntimeWarning, match=r"no kernel \(RuntimeError: .* found\); the lines"):
        got = train(npo.Adam, (60, 50), "f8")
    assert_same(got, plainly(npo.Adam, (60, 50), "f8"), True)


def test_the_parameter_is_written_in_place(kernel, monkeypatch):
    monkeypatch.setattr(driver, "ATOMIC", 0)
    monkeypatch.setattr(DeviceArray, "__setitem__", lambda *args: pytest.fail("copied"))
    p = DeviceArray(np.ones((60, 50)))
    npo.SGD(lr=0.5).step(p, p)  # even against itself
    assert (p.get() == 0.5).all()
    assert len(kernel) == 1


def test_before_all_parameters_are_ready_none_is_written(kernel):
    p, g, rule = np.ones((60, 50)), np.full((60, 50), 0.5), npo.SGD(lr=1.0)
    device, form = DeviceArray(p.copy()), rule.form(p)
    new, state = kernels.advance(form, device, DeviceArray(g), 1, {}, in_place=False)
    assert (new.get() == 0.5).all()
    assert (device.get() == 1).all()
    assert kernels.advance(form, device, DeviceArray(g), 1, {}, in_place=True) == (device, state)
    assert (device.get() == 0.5).all()


def test_what_is_summed_may_have_another_dtype(kernel):
    rule = rule_of(lambda p, g: (p - np.sum(g > 0) / p.size * g, {}))
    got = train(rule, (40, 7), "f8")
    assert len(kernel) == 6
    assert_same(got, plainly(rule, (40, 7), "f8"), True)


def test_small_arrays_go_by_the_plain_lines(kernel, monkeypatch):
    monkeypatch.setattr(kernels, "LARGE", 8 * 60 * 50)
    train(npo.Adam, (60, 49), "f8")
    assert not kernel
    train(npo.Adam, (60, 50), "f8")
    assert len(kernel) == 3
