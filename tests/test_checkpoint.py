"""A checkpoint: what comes back, bit for bit; what is refused; and a file that is always whole."""

import errno
import functools
import json
import math
import os
import pickle
import re
import stat
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low

import numpy as np
import pytest

import npoptim as npo
from npoptim import schedules
from npoptim.checkpoint import Checkpoint, CheckpointError, archive, load, save
from npoptim.checkpoint.values import decode, encode
from npoptim.optimizers import driver

RULES = list(npo.optimizers().values())


def same(a, b):
    """Whether two values are of the same types, bits and memory order all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, (np.ndarray, np.generic)):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes("A") == b.tobytes("A")
    if isinstance(a, np.random.Generator):
        return same(a.bit_generator.state, b.bit_generator.state) and same(
            a.bit_generator.seed_seq.state, b.bit_generator.seed_seq.state
        )
    return a == b or a != a


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def saved(tmp_path, opt=None, steps=2, **extra):
    """A small checkpoint and what is in it."""
    params, opt = {"W": np.array([[1.0, 2.0]]), "b": np.ones(1)}, opt or npo.Adam(lr=0.1)
    for _ in range(steps):
        opt.step(params, {"W": np.array([[0.5, -0.5]]), "b": np.ones(1)})
    save(tmp_path / "run.npz", params, opt, **extra)
    return tmp_path / "run.npz", params, opt


def forge(path, change=None, rename=None, **zip_options):
    """Rewrite a checkpoint with other metadata, every checksum in order."""
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    if change is not None:
        meta = json.loads(members["meta.npy"][128:])
        meta = change(meta) or meta
        text = json.dumps(meta).encode()
        members["meta.npy"] = archive._header("|u1", (len(text),)) + text
    with zipfile.ZipFile(path, "w", **zip_options) as file:
        for name, content in (rename(members) if rename else members).items():
            file.writestr(name, content)


# ---------------------------------------------------------------- what comes back


def ragged(rng):
    """Parameters of every dtype and memory layout that a step takes."""
    base = rng.normal(size=(20, 22))
    return {
        "plain": rng.normal(size=(7, 5)),
        "fortran": np.asfortranarray(rng.normal(size=(37, 41))),
        "strided": base[::2, 1::3],
        "reversed": base[19, ::-1],
        "turned": rng.normal(size=(3, 2, 5, 4)).transpose(2, 0, 3, 1),
        "single": np.asfortranarray(rng.normal(size=(9, 11)).astype("f4")),
        "half": rng.normal(size=(4, 3)).astype("f2"),
        "foreign": rng.normal(size=4).astype(">f8"),
        "scalar": np.array(0.5),
        "none": np.zeros((0, 3)),
    }


def groups():
    decay = schedules.step(0.3, every=2, warmup=1)
    last = schedules.join((schedules.constant(0.1), schedules.cosine(0.2, total=9)), until=(3,))
    inner = npo.Groups({"s*": npo.CAME(lr=last), "*": npo.Adafactor()})
    return npo.Groups(
        {"fortran": npo.CAME(lr=0.01), "pl?in": npo.Lion(lr=last, weight_decay=decay), "*": inner}
    )


OPTIMIZERS = [pytest.param(cls, id=cls.__name__) for cls in RULES] + [
    pytest.param(groups, id="Groups"),
    pytest.param(lambda: npo.AdamW(lr=schedules.one_cycle(0.1, total=8, warmup=3), betas=(schedules.linear(0.9, total=5), 0.5)), id="schedules"),
    pytest.param(lambda: npo.Adafactor(clip=math.inf), id="infinite clip"),
]  # fmt: skip


@pytest.mark.parametrize("make", OPTIMIZERS)
@pytest.mark.parametrize("steps", [0, 3])
def test_a_resumed_run_is_one_that_never_stopped(make, steps, tmp_path):
    params, opt = ragged(np.random.default_rng(0)), make()
    rng = np.random.default_rng(1)

    def go_on(params, opt, rng):
        for _ in range(3):
            opt.step(params, {k: np.asarray(rng.normal(size=p.shape)) for k, p in params.items()})

    for _ in range(steps // 3):
        go_on(params, opt, rng)
    save(tmp_path / "run", params, opt, rng=rng)
    run = load(tmp_path / "run")
    assert same({k: p.tobytes() for k, p in params.items()}, {k: p.tobytes() for k, p in run.params.items()})  # fmt: skip
    assert run.opt == opt
    assert type(run.opt) is type(opt)
    assert run.opt.t == opt.t == steps
    assert same(run.opt.state, opt.state)
    go_on(params, opt, rng)
    go_on(*run, run.extra["rng"])
    assert same({k: p.tobytes() for k, p in params.items()}, {k: p.tobytes() for k, p in run.params.items()})  # fmt: skip
    assert same(run.opt.state, opt.state)
    assert run.opt._memory.layout == opt._memory.layout


def test_the_order_of_axes_in_memory_is_kept(tmp_path):
    params = ragged(np.random.default_rng(0))
    save(tmp_path / "run", params, npo.SGD())
    back, _ = load(tmp_path / "run")
    for name, p in params.items():
        assert np.argsort(back[name].strides).tolist() == np.argsort(np.abs(p.strides)).tolist()
        assert back[name].flags.writeable
        assert back[name].flags.owndata
    assert back["fortran"].flags.f_contiguous


SCHEDULES = [
    schedules.constant(1), schedules.constant(np.float64(0.1)), schedules.linear(0.1, total=10, warmup=2, end=0.05), schedules.polynomial(0.1, 10, power=1.5), schedules.cosine(1e-3, 100, 10, 1e-5),
    schedules.step(0.1, every=3), schedules.inverse_sqrt(0.1, 4), schedules.wsd(0.1, total=10, decay=3), schedules.one_cycle(0.1, total=10), schedules.relative_step(),
    schedules.join((schedules.relative_step(), schedules.join((schedules.constant(0.1), schedules.constant(0.2)), (2,))), until=(5,)),
]  # fmt: skip


def test_every_schedule_comes_back(tmp_path):
    assert {type(s).__name__ for s in SCHEDULES} == set(schedules.__all__)
    for schedule in SCHEDULES:
        path, _, _ = saved(tmp_path, npo.SGD(lr=schedule), steps=0)
        back = load(path).opt.lr
        assert back == schedule
        assert repr(back) == repr(schedule)


def test_one_array_comes_back_as_one_array(tmp_path):
    p, opt = np.array([1.0, 2.0]), npo.Momentum()
    opt.step(p, p.copy())
    save(str(tmp_path / "run"), p, opt)
    back, again = load(str(tmp_path / "run"))
    assert same(back, p)
    again.step(back, back.copy())
    assert again.t == 2


def test_parameters_may_be_any_mapping_and_a_path_bytes(tmp_path):
    params, path = types.MappingProxyType({"W": np.ones(2)}), os.fsencode(tmp_path / "run")
    save(path, params, npo.SGD())
    assert same(load(path).params, {"W": np.ones(2)})
    (tmp_path / "run").write_bytes(b"")
    with pytest.raises(CheckpointError, match=f"^{re.escape(str(tmp_path / 'run'))} cannot be"):
        load(path)


def test_any_name_will_do(tmp_path):
    names = ["meta", "array_0", "a/b", "../x", "W.npy", "", "é", "\0", "\ud800", "\ud83d\ude00", "dict"]  # fmt: skip
    names.remove("")
    params = {name: np.full(2, i) * 1.0 for i, name in enumerate(names)}
    opt = npo.Momentum()
    opt.step(params, params)
    save(tmp_path / "run", params, opt, tricky={"tuple": [1], "": {"array": 0}})
    back = load(tmp_path / "run")
    assert same(back.params, params)
    assert same(back.opt.state, opt.state)
    assert same(back.extra, {"tricky": {"tuple": [1], "": {"array": 0}}})


def test_numpy_alone_can_read_the_file(tmp_path):
    path, params, opt = saved(tmp_path)
    with np.load(path, allow_pickle=False) as file:
        arrays = [file[name] for name in file.files if name != "meta"]
        meta = json.loads(file["meta"].tobytes())
    with zipfile.ZipFile(path) as file:
        heads = [file.read(name).index(b"\n") + 1 for name in file.namelist()]
    assert {n % 64 for n in heads} == {0}  # the format's alignment
    wanted = [*params.values(), *(x for slots in opt.state.values() for x in slots.values())]
    assert same(arrays, wanted)
    assert (meta["format"], meta["version"]) == ("npoptim checkpoint", 1)
    assert meta["npoptim"] == npo.__version__


def test_a_memmap_is_saved_as_an_array(tmp_path):
    p = np.memmap(tmp_path / "p", "f8", "w+", shape=(2,))
    p[:] = [1, 2]
    save(tmp_path / "run", p, npo.SGD(), also=p)
    back = load(tmp_path / "run")
    assert same(back.params, np.array([1.0, 2.0]))
    assert same(back.extra["also"], np.array([1.0, 2.0]))


def last_word():
    bits = np.random.MT19937(0)
    while bits.state["state"]["pos"] < 624:
        bits.random_raw()
    return np.random.Generator(bits)


EXTRA = {
    "none": None, "yes": True, "no": False, "int": -3, "huge": 7**9999, "edge": [2**53 - 1, 2**53, -(2**53)],
    "float": 0.1, "tiny": 5e-324, "-0.0": -0.0, "nan": math.nan, "inf": [math.inf, -math.inf], "whole": 1.0,
    "str": "θ\n\0\ud800", "pair": "\ud83d\ude00", "empty": [[], (), {}, ""], "nested": {"a": [1, (2.0, {"b": None}), [True]]},
    "order": {"z": 1, "a": 2}, "array": np.arange(6).reshape(2, 3).T, "bool": np.array([True, False]), "complex": np.array([1 + 2j], "c8"),
    "text": np.array(["ab", "θ"]), "bytes": np.array([b"x"]), "dates": np.array(["2020-01-01", "NaT"], "M8[D]"), "span": np.array([3], ">m8[25us]"),
    "0-d": np.array(7, "u1"), "no items": np.zeros((2, 0, 3), "i2"), "spread": np.broadcast_to(np.arange(3.0), (2, 3)).copy(), "long": np.ones(2, np.longdouble),
    "scalars": (np.float32(0.1), np.float64(math.nan), np.int8(-1), np.bool_(True), np.complex128(1j), np.str_("x"), np.str_(""), np.bytes_(b"y"), np.datetime64("2020-01-01T00:00")),
    "widest seed": np.random.Generator(np.random.PCG64(np.random.SeedSequence((1 << 4096) - 1, pool_size=64))), "end of the buffer": last_word(),
    "deep": functools.reduce(lambda x, _: [x], range(99), 1),
}  # fmt: skip


@pytest.mark.parametrize("name", EXTRA)
def test_extra_comes_back_exactly(name, tmp_path):
    path, _, _ = saved(tmp_path, **{name: EXTRA[name]})
    back = load(path).extra
    assert same(back, {name: EXTRA[name]})
    assert same(math.copysign(1, back.get("-0.0", 1)), -1.0 if name == "-0.0" else 1.0)


@pytest.mark.parametrize("bits", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
@pytest.mark.parametrize("seed", [None, 3, [1, 2**100], (5, np.int64(6)), np.arange(3)])
def test_random_generators_go_on_where_they_were(bits, seed, tmp_path):
    rng = np.random.Generator(
        getattr(np.random, bits)(np.random.SeedSequence(seed, spawn_key=(4,)))
    )
    rng.integers(9, size=3, dtype=np.uint32)  # leaves half a draw behind
    rng.standard_normal(625)
    rng.spawn(2)
    path, _, _ = saved(tmp_path, rng=[rng])
    [back] = load(path).extra["rng"]
    assert same(back, rng)
    for draw in (lambda r: r.integers(9, size=5, dtype=np.uint32), lambda r: r.standard_normal(9)):
        assert same(draw(back), draw(rng))
        assert same(draw(back.spawn(1)[0]), draw(rng.spawn(1)[0]))


@pytest.mark.parametrize(
    ("n", "plain"), [(0, True), (-7, True), (2**53 - 1, True), (1 - 2**53, True), (2**53, False), (-(2**53), False)]
)  # fmt: skip
def test_ints_that_every_reader_of_json_knows_stand_for_themselves(n, plain):
    assert encode(n, "x", []) == (n if plain else {"int": hex(n)})
    assert decode(encode(n, "x", []), {}) == n


WRAPS = {
    "lists": (lambda x: [x], lambda node: [node]),
    "tuples": (lambda x: (x,), lambda node: {"tuple": [node]}),
    "dicts": (lambda x: {"a": x}, lambda node: {"dict": {"a": node}}),
}


@pytest.mark.parametrize("wraps", WRAPS.values(), ids=WRAPS)
@pytest.mark.parametrize(
    ("inside", "deepest"), [(lambda: 1, 100), (lambda: np.random.default_rng(3), 96)], ids=["1", "generator"]
)  # fmt: skip
def test_how_deep_a_value_may_be(wraps, inside, deepest):
    value, node, arrays = inside(), encode(inside(), "x", []), []
    for n in range(1, deepest + 2):
        value, node = wraps[0](value), wraps[1](node)
        if n == deepest:
            assert encode(value, "x", arrays) == node
            assert same(decode(node, {}), value)
    with pytest.raises(TypeError, match=r"^x.* is nested more than 100 deep\.$"):
        encode(value, "x", [])
    with pytest.raises(CheckpointError, match=r"^it holds a value nested more than 100 deep$"):
        decode(node, {})


def test_what_is_said_of_a_generator_that_cannot_be_held():
    bits = np.random.RandomState(0)._bit_generator
    with pytest.raises(TypeError) as error:
        encode([np.random.Generator(bits)], "x", [])
    assert str(error.value) == (
        f"x[0] draws from MT19937 seeded by {type(bits.seed_seq).__name__}; a checkpoint holds "
        "PCG64, PCG64DXSM, MT19937, Philox, SFC64 seeded by SeedSequence."
    )
    with pytest.raises(TypeError, match=r"^x draws from Own seeded by SeedSequence; "):
        encode(np.random.Generator(type("Own", (np.random.PCG64,), {})(0)), "x", [])


def test_a_checkpoint_is_a_pair_with_names():
    run = Checkpoint(np.ones(1), npo.SGD(), {"epoch": 3})
    params, opt = run
    assert params is run.params
    assert opt is run.opt
    assert repr(run) == "Checkpoint(params=array([1.]), opt=SGD(lr=0.01), extra={'epoch': 3})"
    again = pickle.loads(pickle.dumps(run))
    assert (again.opt, again.extra, len(again)) == (npo.SGD(), {"epoch": 3}, 2)


def test_beyond_the_size_of_plain_zip(tmp_path, monkeypatch):
    plain, _, _ = saved(tmp_path)
    before = plain.stat().st_size
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 150)
    path, params, _ = saved(tmp_path)
    assert path.stat().st_size > before
    assert same(load(path).params, params)


# ---------------------------------------------------------------- what save refuses


class Weird:
    pass


@dataclass
class Own(npo.Optimizer):
    lr: float = 0.1

    def init(self, p):
        return {"m": np.zeros_like(p)}

    def update(self, p, g, t, m):
        return p - self.lr * (g + m), {"m": g}


def endless():
    x = []
    x.append(x)
    return x


NOT_HELD = {
    "a set": {1}, "an object": Weird(), "a class": Weird, "a function": len, "bytes": b"x", "complex": 1j, "a path": Path("x"),
    "objects": np.array([None]), "fields": np.zeros(2, "f4, f4"), "masked": np.ma.array([1.0]), "void": np.void(b"x"),
    "endless": endless(), "too deep": functools.reduce(lambda x, _: [x], range(101), 1), "dicts too deep": functools.reduce(lambda x, _: {"a": x}, range(101), 1), "number as key": {1: 2}, "no plain dict": OrderedDict(a=1), "a namedtuple": os.times(),
    "RandomState": np.random.RandomState(0), "an old seed": np.random.Generator(np.random.RandomState(0)._bit_generator),
    "own bits": np.random.Generator(type("Own", (np.random.PCG64,), {})(0)),
    "a long seed": np.random.default_rng(1 << 4096), "a wide seed": np.random.Generator(np.random.PCG64(np.random.SeedSequence(0, pool_size=65))), "an optimizer": npo.SGD(),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_HELD)
@pytest.mark.parametrize("where", ["top", "inside"])
def test_what_cannot_be_held_is_named_before_a_file_is_touched(name, where, tmp_path):
    value = NOT_HELD[name] if where == "top" else [{"k": (NOT_HELD[name],)}]
    with pytest.raises(
        TypeError, match=r"extra\['thing'\]" + (r"\[0\]\['k'\]\[0\]" if where == "inside" else "")
    ):
        save(tmp_path / "run.npz", np.ones(2), npo.SGD(), thing=value)
    assert list(tmp_path.iterdir()) == []


BAD = {
    "no optimizer": ({"a": np.ones(1)}, {"lr": 0.1}, TypeError, "opt must be an optimizer"),
    "a class": ({"a": np.ones(1)}, npo.SGD, TypeError, "opt must be an optimizer"),
    "a list": ([np.ones(1)], npo.SGD(), TypeError, "^params must be a dict name -> array, or one array. Got list"),
    "a number": ({"a": 1.0}, npo.SGD(), TypeError, "^parameter 'a' must be a numpy.ndarray. Got float"),
    "integers": ({"a": np.arange(3)}, npo.SGD(), TypeError, "'a' must be of a floating dtype"),
    "no name": ({"": np.ones(1)}, npo.SGD(), TypeError, "non-empty strings"),
    "name 1": ({1: np.ones(1)}, npo.SGD(), TypeError, "non-empty strings"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_save_checks_what_it_is_given(case, tmp_path):
    params, opt, error, words = BAD[case]
    with pytest.raises(error, match=words):
        save(tmp_path / "run.npz", params, opt)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("params", "words"),
    [({"x": np.ones(2)}, "missing"), (np.ones(3), r"\[3\]"), (np.ones(2, "f4"), "float32")],
)
def test_save_refuses_parameters_that_the_optimizer_has_not_stepped(params, words, tmp_path):
    opt = npo.SGD()
    opt.step(np.ones(2), np.ones(2))
    with pytest.raises(ValueError, match=words):
        save(tmp_path / "run.npz", params, opt)
    assert list(tmp_path.iterdir()) == []


def test_half_a_step_is_not_saved(tmp_path, monkeypatch):
    path, params, opt = saved(tmp_path, npo.SGD(lr=1e300))
    whole = path.read_bytes()
    monkeypatch.setattr(driver, "ATOMIC", 0)
    with pytest.raises(npo.NonFiniteError):
        opt.step(params, {"W": np.ones((1, 2)), "b": np.full(1, 1e300)})
    with pytest.raises(RuntimeError, match=r"'W'.* at step 3"):
        save(path, params, opt)
    assert path.read_bytes() == whole


# ---------------------------------------------------------------- what a file cannot hold


def halving(t):
    return 0.5**t


calls = []


def counting(t):
    calls.append(t)
    return 0.1


borrowed, renamed = median_low, halving


def nested():
    def inner(t):
        return 0.1

    return inner


def test_a_function_is_found_by_name_and_not_called(tmp_path):
    opt = npo.Groups({"W": npo.AdamW(lr=counting, betas=(0.9, counting)), "*": npo.SGD(lr=schedules.join((counting, halving), (5,)))})  # fmt: skip
    path, params, _ = saved(tmp_path, opt)
    calls.clear()
    run = load(path)
    assert calls == []
    assert run.opt == opt
    assert run.opt.rules["W"].lr is counting
    run.opt.step(run.params, params)
    assert 3 in calls


def test_no_module_is_imported_for_a_file(tmp_path, monkeypatch):
    path, _, _ = saved(tmp_path, npo.SGD(lr=halving))
    (tmp_path / "wanted.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)

    def point(module, name="halving"):
        def change(meta):
            lr = meta["content"]["optimizer"]["dict"]["hyper"]["dict"]["lr"]["dict"]
            lr["function"] = [module, name]

        forge(path, change)

    point("wanted")
    before = set(sys.modules)
    with pytest.raises(CheckpointError, match=r"wanted.halving, which is not imported here: import wanted first, or pass opt="):  # fmt: skip
        load(path)
    lazy = types.ModuleType("lazy")
    lazy.__getattr__ = lambda name: pytest.fail("an attribute was computed")
    lazy.halving, lazy.Weird, lazy.number, lazy.print = halving, Weird, 1, print
    monkeypatch.setitem(sys.modules, "lazy", lazy)
    monkeypatch.setitem(sys.modules, "odd", Weird())
    targets = [("lazy", n) for n in ("halving", "Weird", "number", "print", "absent")]
    targets += [("shutil", "rmtree"), ("json.decoder", "py_scanstring"), ("builtins", "print"), ("odd", "halving"), (__name__, "halving.__call__"), (__name__, "nested.<locals>.inner"), (__name__, "median_low"), (__name__, "borrowed"), (__name__, "renamed")]  # fmt: skip
    for module, name in targets:
        point(module, name)
        with pytest.raises(CheckpointError, match="pass opt="):
            load(path)
    assert set(sys.modules) - before == {"lazy", "odd"}
    point(__name__)
    assert load(path).opt.lr is halving


@dataclass(frozen=True)
class Mine:
    top: float = 0.1

    def __call__(self, t):
        return self.top / t


class Sub(npo.Groups):
    pass


Namesake = dataclass(type("SGD", (npo.SGD,), {"__annotations__": {"lr": float}}))
namesake = dataclass(type("constant", (Mine,), {"top": 0.2}), frozen=True)


def extended():
    opt = npo.SGD()
    opt.scope = "element"
    return opt


OUTSIDE = {
    "a lambda": (lambda: npo.SGD(lr=lambda t: 0.1), "lr of SGD is the function .*<lambda>"),
    "an inner function": (lambda: npo.SGD(lr=nested()), "lr of SGD is the function .*nested.<locals>.inner"),
    "of the standard library": (lambda: npo.SGD(lr=median_low), "lr of SGD is the function statistics.median_low"),
    "built in": (lambda: npo.Adam(betas=(0.9, math.exp)), "betas of Adam is the builtins.builtin_function"),
    "partial": (lambda: npo.SGD(lr=functools.partial(halving)), "functools.partial object"),
    "an own schedule": (lambda: npo.LAMB(lr=Mine()), "lr of LAMB is the .*Mine object"),
    "in a join": (lambda: npo.SGD(lr=schedules.join((Mine(), halving), (3,))), "lr of SGD, schedules is the .*Mine"),
    "an own rule": (Own, r"optimizer Own is the class .*Own, which"),
    "in groups": (lambda: npo.Groups({"W": npo.SGD(), "*": Own()}), "optimizer Own is"),
    "own groups": (lambda: Sub({"*": npo.SGD()}), "optimizer Sub is"),
    "a namesake": (Namesake, "optimizer SGD is the class"),
    "a schedule's namesake": (lambda: npo.SGD(lr=namesake()), "lr of SGD is the .*constant object"),
    "own attributes": (extended, "optimizer SGD is"),
}  # fmt: skip


@pytest.mark.parametrize("case", OUTSIDE)
def test_what_a_file_cannot_hold_is_named(case, tmp_path):
    make, words = OUTSIDE[case]
    path, params, opt = saved(tmp_path, make(), steps=0)
    with pytest.raises(CheckpointError, match=f"run.npz cannot be loaded: .*{words}.* pass opt="):
        load(path)
    back, again = load(path, opt=opt)
    assert again is opt
    assert same(back, params)


GIVEN = {
    "a lambda": (lambda: npo.LAMB(lr=lambda t: 0.1), lambda: npo.LAMB(lr=lambda t: 0.1)),
    "an own rule": (Own, Own),
    "groups": (lambda: npo.Groups({"W": npo.CAME(), "*": Own()}),) * 2,
    "own groups": (lambda: Sub({"W": npo.CAME(), "*": Own()}),) * 2,
    "no need": (lambda: npo.Adam(lr=0.1), lambda: npo.Adam(lr=0.1)),
    "an absent function": (lambda: npo.Adam(lr=halving), lambda: npo.Adam(lr=lambda t: 0.5**t)),
}


@pytest.mark.parametrize("case", GIVEN)
@pytest.mark.parametrize("used", [0, 5])
def test_what_a_file_cannot_hold_is_given(case, used, tmp_path):
    make, again = GIVEN[case]
    path, params, opt = saved(tmp_path, make())
    _, _, given = saved(tmp_path / "..", again(), steps=used) if used else (0, 0, again())
    run = load(path, opt=given)
    assert run.opt is given
    assert same(given.state, opt.state)
    for _ in range(3):
        opt.step(params, params)
        given.step(run.params, run.params)
    assert same(run.params, params)
    assert given.t == opt.t == 5


def test_the_hyper_parameters_of_the_given_optimizer_win(tmp_path):
    path, _, _ = saved(tmp_path, npo.Adam(lr=0.1))
    given = npo.Adam(lr=0.5)
    assert load(path, opt=given).opt.lr == 0.5


def stepped(opt, params):
    opt.step(params, params)
    return opt


MISFITS = {
    "another rule": (npo.SGD, "it holds Adam, opt is SGD"),
    "groups": (lambda: npo.Groups({"*": npo.Adam()}), r"it holds Adam, opt is \[\('\*', 'Adam'\)\]"),
    "other names": (lambda: stepped(npo.Adam(), {"V": np.ones((1, 2)), "b": np.ones(1)}), "missing.*'V'.*unexpected.*'W'"),
    "fewer": (lambda: stepped(npo.Adam(), {"b": np.ones(1)}), "unexpected.*'W'"),
    "another shape": (lambda: stepped(npo.Adam(), {"W": np.ones((2, 1)), "b": np.ones(1)}), r"'W' was float64\[2, 1\]"),
    "another dtype": (lambda: stepped(npo.Adam(), {"W": np.ones((1, 2), "f4"), "b": np.ones(1)}), "'W' was float32"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISFITS)
def test_a_given_optimizer_that_does_not_fit_stays_as_it_was(case, tmp_path):
    make, words = MISFITS[case]
    path, _, _ = saved(tmp_path)
    given = make()
    before, memory = given.state_dict(), given._memory
    with pytest.raises(CheckpointError, match=words):
        load(path, opt=given)
    assert given._memory is memory
    assert same(given.state_dict(), before)


@pytest.mark.parametrize(
    "given",
    [{"W": npo.SGD(), "*": npo.Adam()}, {"*": npo.Adam(), "W": npo.SGD()}, {"V": npo.Adam(), "*": npo.SGD()}],
    ids=["classes", "order", "patterns"],
)  # fmt: skip
def test_given_groups_have_the_patterns_and_classes_of_the_file(given, tmp_path):
    path, _, _ = saved(tmp_path, npo.Groups({"W": npo.Adam(), "*": npo.SGD()}))
    with pytest.raises(CheckpointError, match=r"it holds \[\('W', 'Adam'\), .*\], opt is \["):
        load(path, opt=npo.Groups(given))


def test_patterns_are_compared_and_not_their_print(tmp_path):
    one = npo.Groups({"W: SGD, *": npo.SGD(), "*": npo.SGD()})
    two = npo.Groups({"W": npo.SGD(), "*, *": npo.SGD(), "*": npo.SGD()})
    three = npo.Groups({"W": npo.SGD(), "*": npo.SGD(), "*: SGD, *": npo.SGD()})
    path, _, _ = saved(tmp_path, one, steps=0)
    for other in (two, three):
        with pytest.raises(CheckpointError):
            load(path, opt=other)


def test_only_an_optimizer_can_be_given(tmp_path):
    path, _, _ = saved(tmp_path)
    for given in (npo.Adam, "adam", {}):
        with pytest.raises(TypeError, match="opt must be an optimizer"):
            load(path, opt=given)


# ---------------------------------------------------------------- what load refuses


def test_a_missing_file_is_not_found(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"run\.npz"):
        load(tmp_path / "run.npz")


def text(path):
    path.write_text("not a zip")


def plain(path):
    np.savez(path, W=np.ones(3))


def compressed(path):
    forge(path, compression=zipfile.ZIP_DEFLATED)


def bomb(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("meta.npy", b"0" * 10**7)


def cut(path):
    path.write_bytes(path.read_bytes()[:-30])


def flipped(path):
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"array_0.npy") + len("array_0.npy") + 128] ^= 1
    path.write_bytes(raw)


def directory(at, values):
    """Other bytes in the directory's entry of meta.npy."""

    def change(path):
        raw = bytearray(path.read_bytes())
        start = raw.index(b"PK\1\2") + at
        raw[start : start + len(values)] = values
        path.write_bytes(raw)

    return change


def pointing(path):
    """A directory in which every array is the largest: small on disk, large in memory."""
    raw, entries = bytearray(path.read_bytes()), []
    at = raw.index(b"PK\1\2")
    while raw[at : at + 4] == b"PK\1\2":
        entries.append(at)
        at += 46 + sum(struct.unpack("<3H", raw[at + 28 : at + 34]))
    largest = max(entries, key=lambda at: raw[at + 20 : at + 24][::-1])
    for at in entries[1:]:
        raw[at + 16 : at + 28] = raw[largest + 16 : largest + 28]
        raw[at + 42 : at + 46] = raw[largest + 42 : largest + 46]
    path.write_bytes(raw)


def objects(path):
    def rename(members):
        content = pickle.dumps(Weird)
        head = b"{'descr': '|O', 'fortran_order': False, 'shape': (1, 2), }".ljust(117) + b"\n"
        members["array_0.npy"] = b"\x93NUMPY\1\0" + len(head).to_bytes(2, "little") + head + content
        return members

    forge(path, lambda meta: meta["arrays"][0].__setitem__(0, "|O"), rename)


def deepest(members):
    text = b"[" * 100_000
    return members | {"meta.npy": archive._header("|u1", (len(text),)) + text}


def infinite(members):
    text = members["meta.npy"][128:].replace(b"0.1", b"1e999")
    return members | {"meta.npy": archive._header("|u1", (len(text),)) + text}


def member(**changes):
    """Members by other names, left out (None) or added."""

    def rename(members):
        members = {changes.get(k[:-4], k): v for k, v in members.items()}
        members.update({k: b"" for k in changes if k == "more"})
        return {k: v for k, v in members.items() if k is not None}

    return lambda path: forge(path, rename=rename)


def change(keys, do):
    """The metadata with something done to the value at a place."""

    def walk(meta):
        do(functools.reduce(lambda node, key: node[key], keys[:-1], meta), keys[-1])

    return lambda path: forge(path, walk)


def at(*keys, value):
    return change(keys, lambda node, key: node.__setitem__(key, value))


def lacking(*keys):
    return change(keys, lambda node, key: node.__delitem__(key))


def boxed(*keys):
    return change(keys, lambda node, key: node.__setitem__(key, [node[key]]))


OPT = ("content", "optimizer", "dict")
HYPER = (*OPT, "hyper", "dict")
MEMORY = ("content", "memory", "dict")
RNG = ("content", "extra", "dict", "rng", "generator", "dict")
NESTED = functools.reduce(lambda x, _: [x], range(900), 1)
BIG = {"int": hex(1 << 5000)}

DAMAGE = {
    "empty": (lambda path: path.write_bytes(b""), "not a zip file"),
    "text": (text, "not a zip file"),
    "a pickle": (lambda path: path.write_bytes(pickle.dumps(Weird)), "not a zip file"),
    "cut off": (cut, "not a zip file"),
    "without members": (lambda path: zipfile.ZipFile(path, "w").close(), "no checkpoint of npoptim"),
    "another npz": (plain, "no checkpoint of npoptim: it does not begin with meta.npy"),
    "one bit": (flipped, "Bad CRC-32"),
    "compressed": (compressed, "meta.npy is compressed"),
    "a bomb": (bomb, "meta.npy is compressed"),
    "called encrypted": (directory(8, b"\1"), "encrypted"),
    "called compressed": (directory(10, b"\10"), "meta.npy is compressed"),
    "called longer": (directory(24, b"\xff\xff"), "meta.npy is compressed or larger"),
    "called huge": (directory(20, b"\xff\xff\xff\x7f" * 2), "meta.npy is compressed or larger"),
    "bytes behind an array": (lambda path: forge(path, rename=lambda m: m | {"array_0.npy": m["array_0.npy"] + b"\0"}), "an array is not"),
    "overlapping members": (pointing, "its arrays are larger than the file"),
    "an array of objects": (objects, r"dtype \|O"),
    "a member more": (member(more=1), "its arrays are not those of its list"),
    "a member less": (member(array_1=None), "its arrays are not those of its list"),
    "a member renamed": (member(array_1="array_x.npy"), "its arrays are not those of its list"),
    "members swapped": (member(array_0="array_1.npy", array_1="array_0.npy"), "its arrays are not those of its list"),
    "meta is no array": (lambda path: forge(path, rename=lambda m: m | {"meta.npy": m["meta.npy"][1:]}), "meta.npy is not an array"),
    "meta is no dict": (lambda path: forge(path, lambda meta: [meta]), "no checkpoint of npoptim"),
    "another format": (at("format", value="x"), "no checkpoint of npoptim"),
    "a newer version": (at("version", value=2), f"made by a newer npoptim \\({npo.__version__}\\): its format is 2"),
    "version 0": (at("version", value=0), "its format is 0"),
    "version true": (at("version", value=True), "its format is True"),
    "no version": (lacking("version"), "its format is None"),
    "no content": (lacking("content"), "KeyError"),
    "no list": (at("arrays", value=None), "TypeError"),
    "another shape": (at("arrays", 0, 1, value=[2, 1]), "an array is not <f8"),
    "a larger shape": (at("arrays", 0, 1, value=[10**9, 10**9]), "an array is not <f8"),
    "a negative shape": (at("arrays", 0, 1, value=[-1, -2]), "shape"),
    "a real shape": (at("arrays", 0, 1, value=[1.0, 2]), "shape"),
    "another dtype": (at("arrays", 0, 0, value="<i8"), "an array is not <i8"),
    "no dtype": (at("arrays", 0, 0, value="<f3"), "TypeError"),
    "no plain dtype": (at("arrays", 0, 0, value="f8,f8"), "dtype f8,f8"),
    "no canonical dtype": (at("arrays", 0, 0, value="|f8"), r"dtype \|f8"),
    "no size": (at("arrays", 0, 0, value="<U0"), "dtype <U0"),
    "other axes": (at("arrays", 0, 2, value=[0, 0]), "ValueError"),
    "turned axes": (at("arrays", 0, 2, value=[1, 0]), "parameters are not those"),
    "NaN": (at(*HYPER, "lr", value=math.nan), "hold NaN in the place of a number"),
    "infinity": (at(*HYPER, "lr", value=-math.inf), "hold -Infinity in the place"),
    "beyond all floats": (lambda path: forge(path, rename=infinite), "hold 1e999 in the place of a number"),
    "lr NaN": (at(*HYPER, "lr", value={"float": "nan"}), "lr must be a float in the range"),
    "lr text": (at(*HYPER, "lr", value="0.1"), "lr must be a float in the range"),
    "a beta of 1": (at(*HYPER, "betas", value={"tuple": [0.9, 1.0]}), "betas"),
    "t NaN": (at(*MEMORY, "t", value={"float": "nan"}), "t in the state must be an int"),
    "t negative": (at(*MEMORY, "t", value=-1), "t in the state must be an int"),
    "t real": (at(*MEMORY, "t", value=2.0), "t in the state must be an int"),
    "a float of no kind": (at("content", "extra", "dict", "x", value={"float": "1e5"}), "unknown kind 'float'"),
    "an int of no kind": (at("content", "extra", "dict", "x", value={"int": "zz"}), "ValueError"),
    "an unknown kind": (at("content", "extra", "dict", "x", value={"pickle": "x"}), "unknown kind 'pickle'"),
    "two kinds": (at("content", "extra", "dict", "x", value={"tuple": [], "list": []}), "ValueError"),
    "without end": (at("content", "extra", "dict", "x", value=NESTED), "nested more than 100 deep"),
    "without any end": (lambda path: forge(path, rename=deepest), "RecursionError"),
    "extra without names": (boxed("content", "extra"), "extra values have no names"),
    "an array twice": (at("content", "params", "dict", "b", value={"array": 0}), "KeyError"),
    "an array never": (at("content", "extra", "dict", "rng", value=None), "."),
    "renamed": (lambda path: forge(path, lambda m: json.loads(json.dumps(m).replace('"params": {"dict": {"W"', '"params": {"dict": {"V"'))), "parameters are not those"),
    "parameters no dict": (at("content", "params", value=[{"array": 0}, {"array": 1}]), "TypeError: params must be a dict"),
    "integers": (at("content", "params", value={"dict": {"W": 1}}), "."),
    "state without m": (lacking(*MEMORY, "state", "dict", "W", "dict", "m"), "."),
    "state of another": (at(*MEMORY, "optimizer", value="SGD"), "the state is of SGD, this optimizer is Adam"),
    "no layout": (at(*MEMORY, "layout", value={"dict": {}}), "the state must have the names"),
    "layout larger": (at(*MEMORY, "layout", "dict", "W", value={"tuple": [{"tuple": [10**9, 10**9]}, "<f8"]}), "parameters are not those"),
    "memory no dict": (boxed("content", "memory"), "TypeError"),
    "another rule": (at(*OPT, "rule", value="SGD"), "SGD is not made of"),
    "no rule": (at(*OPT, "rule", value="os"), "npoptim has no optimizer 'os'"),
    "a base": (at(*OPT, "rule", value="base"), "npoptim has no optimizer 'base'"),
    "a rule in small letters": (at(*OPT, "rule", value="adam"), "npoptim has no optimizer 'adam'"),
    "a rule of 3": (at(*OPT, "rule", value=3), "no known kind"),
    "optimizer no dict": (at("content", "optimizer", value=3), "no known kind"),
    "a field less": (lacking(*HYPER, "eps"), "Adam is not made of"),
    "a field more": (at(*HYPER, "scope", value=1), "Adam is not made of"),
    "no schedule": (at(*HYPER, "lr", value={"dict": {"schedule": "annotations", "fields": {"dict": {}}}}), "no schedule 'annotations'"),
    "a bad schedule": (at(*HYPER, "lr", value={"dict": {"schedule": "linear", "fields": {"dict": {"peak": 1.0, "total": 1, "warmup": 2, "end": 0.0}}}}), "warmup must be at most"),
    "a schedule's field less": (at(*HYPER, "lr", value={"dict": {"schedule": "linear", "fields": {"dict": {"peak": 1.0, "total": 9}}}}), "linear is not made of"),
    "a schedule out of range": (at(*HYPER, "lr", value={"dict": {"schedule": "step", "fields": {"dict": {"peak": 10.0, "every": 1, "factor": 1e308, "warmup": 0}}}}), "lr at step 2 must be"),
    "a pattern twice": (at("content", "optimizer", value={"dict": {"groups": [{"tuple": ["*", {"dict": {"rule": "SGD", "hyper": {"dict": {"lr": 0.1}}}}]}] * 2}}), "a pattern of its groups stands twice"),
    "bits of no kind": (at(*RNG, "state", "dict", "bit_generator", value="default_rng"), "random generator of unknown kind"),
    "bits of another kind": (at(*RNG, "state", "dict", "bit_generator", value="PCG64"), "."),
    "bits outside": (at(*RNG, "state", "dict", "state", "dict", "pos", value=625), "outside its buffer"),
    "bits before": (at(*RNG, "state", "dict", "state", "dict", "pos", value=-1), "outside its buffer"),
    "bits outside, Philox": (at(*RNG, "state", "dict", "buffer_pos", value=5), "outside its buffer"),
    "bits without state": (lacking(*RNG, "state", "dict", "state", "dict", "key"), "."),
    "a long seed": (at(*RNG, "seed", "dict", "entropy", value=BIG), "random generator of unknown kind"),
    "a long seed inside": (at(*RNG, "seed", "dict", "entropy", value=[1, BIG]), "random generator of unknown kind"),
    "a long seed deep inside": (at(*RNG, "seed", "dict", "entropy", value=[[BIG]]), "random generator of unknown kind"),
    "a long key": (at(*RNG, "seed", "dict", "spawn_key", value={"tuple": [BIG]}), "random generator of unknown kind"),
    "a large pool": (at(*RNG, "seed", "dict", "pool_size", value=10**9), "random generator of unknown kind"),
    "a small pool": (at(*RNG, "seed", "dict", "pool_size", value=1), "ValueError"),
    "no seed": (lacking(*RNG, "seed", "dict", "pool_size"), "KeyError"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
@pytest.mark.parametrize("give", [False, True], ids=["alone", "given"])
def test_damage_is_an_error_and_changes_nothing(case, give, tmp_path):
    damage, words = DAMAGE[case]
    path, _, _ = saved(tmp_path, rng=np.random.Generator(np.random.MT19937(0)))
    forge(path, lambda meta: None)
    assert load(path).opt == npo.Adam(lr=0.1)
    damage(path)
    given = npo.Adam(lr=0.5)
    memory = given._memory
    if give and case in INVISIBLE:
        assert load(path, opt=given).opt.t == 2
        return
    words = "." if give else words
    with pytest.raises(CheckpointError, match=f"(?s)run.npz cannot be loaded: .*{words}"):
        load(path, opt=given if give else None)
    assert given == npo.Adam(lr=0.5)
    assert given._memory is memory
    assert (given.t, given.state) == (0, {})


SENTENCES = {
    "an array never": "it holds arrays that nothing refers to.",
    "turned axes": "its parameters are not those of its optimizer.",
    "extra without names": "its extra values have no names.",
    "another npz": "it is no checkpoint of npoptim: it does not begin with meta.npy.",
    "without members": "it is no checkpoint of npoptim: it does not begin with meta.npy.",
    "a member more": "its arrays are not those of its list.",
    "overlapping members": "its arrays are larger than the file.",
    "compressed": "meta.npy is compressed or larger than the file.",
    "meta is no array": "meta.npy is not an array of bytes.",
    "another format": "it is no checkpoint of npoptim.",
    "meta is no dict": "it is no checkpoint of npoptim.",
    "a newer version": f"it was made by a newer npoptim ({npo.__version__}): its format is 2, npoptim {npo.__version__} reads 1.",
    "version 0": "its format is 0, npoptim reads 1.",
    "infinity": "its metadata hold -Infinity in the place of a number.",
    "another dtype": "an array is not <i8[1, 2] as its list says.",
    "a negative shape": "it holds an array of shape [-1, -2].",
    "no plain dtype": "it holds an array of dtype f8,f8.",
    "a pattern twice": "a pattern of its groups stands twice.",
    "no rule": "npoptim has no optimizer 'os'.",
    "optimizer no dict": "its optimizer is of no known kind.",
    "no schedule": "npoptim has no schedule 'annotations'.",
    "a field less": "Adam is not made of ['lr', 'betas'].",
    "an unknown kind": "it holds a value of unknown kind 'pickle'.",
    "without end": "it holds a value nested more than 100 deep.",
    "bits of no kind": "it holds a random generator of unknown kind 'default_rng'.",
    "bits outside": "it holds a random generator that points outside its buffer.",
    "no content": "KeyError: 'content'",
    "memory no dict": "TypeError: list indices must be integers or slices, not str",
}  # fmt: skip


@pytest.mark.parametrize("case", SENTENCES)
def test_what_is_said_of_damage(case, tmp_path):
    path, _, _ = saved(tmp_path, rng=np.random.Generator(np.random.MT19937(0)))
    DAMAGE[case][0](path)
    with pytest.raises(CheckpointError) as error:
        load(path)
    assert str(error.value) == f"{path} cannot be loaded: {SENTENCES[case]}"


# hyper-parameters of the file do not matter when an optimizer is given
INVISIBLE = {
    "lr NaN", "lr text", "a beta of 1", "a field less", "a field more", "no schedule", "a bad schedule", "a schedule's field less", "a schedule out of range",
}  # fmt: skip


# ---------------------------------------------------------------- a file that is always whole


class Broken(Exception):
    pass


def failing(*args, **kwargs):
    raise Broken


def full(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


def interrupted(*args, **kwargs):
    raise KeyboardInterrupt


@pytest.mark.parametrize("where", ["archive.write", "os.fsync", "os.replace", "shutil.copymode"])
@pytest.mark.parametrize(
    ("how", "error"), [(failing, Broken), (full, OSError), (interrupted, KeyboardInterrupt)]
)
def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(
    where, how, error, tmp_path, monkeypatch
):
    path, params, _ = saved(tmp_path)
    whole = path.read_bytes()
    monkeypatch.setattr(f"npoptim.checkpoint.{where}", how)
    with pytest.raises(error):
        save(path, params, npo.SGD())
    assert path.read_bytes() == whole
    assert list(tmp_path.iterdir()) == [path]


def test_the_draft_lies_beside_the_file(tmp_path, monkeypatch):
    moved, real = [], os.replace
    monkeypatch.setattr(os, "replace", lambda *names: (moved.append(names), real(*names)))
    path, _, _ = saved(tmp_path)
    [(draft, target)] = moved
    assert target == str(path)
    assert os.path.dirname(draft) == str(tmp_path)
    assert re.fullmatch(r"\.npoptim-[0-9a-f]{16}\.tmp", os.path.basename(draft))


def test_a_full_disk_in_the_middle_of_an_array(tmp_path, monkeypatch):
    class Full(archive.zipfile.ZipFile):
        def close(self):
            if self.fp and self.fp.tell() > 500:
                self.fp = None
                full()
            super().close()

    path, params, _ = saved(tmp_path)
    whole = path.read_bytes()
    monkeypatch.setattr(archive.zipfile, "ZipFile", Full)
    with pytest.raises(OSError, match=r"cannot be written: No space left on device: '.*run.npz'$"):
        save(path, params, npo.SGD())
    assert path.read_bytes() == whole
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there(tmp_path):
    path = str(tmp_path / "none" / "run.npz")
    with pytest.raises(FileNotFoundError) as caught:
        save(path, np.ones(1), npo.SGD())
    assert caught.value.filename == path
    assert ".tmp" not in str(caught.value)


def test_a_folder_that_may_not_be_written(tmp_path, monkeypatch):
    def denied(*args):
        raise PermissionError(errno.EACCES, "Permission denied", args[0])

    monkeypatch.setattr("builtins.open", denied)
    with pytest.raises(PermissionError) as caught:
        save(tmp_path / "run.npz", np.ones(1), npo.SGD())
    wanted = f"the checkpoint cannot be written: Permission denied: '{tmp_path / 'run.npz'}'"
    assert str(caught.value) == f"[Errno {errno.EACCES}] {wanted}"


def test_an_error_without_a_number_keeps_its_words(tmp_path, monkeypatch):
    def odd(*args):
        raise OSError("odd")

    monkeypatch.setattr("npoptim.checkpoint.archive.write", odd)
    with pytest.raises(OSError, match="the checkpoint cannot be written: odd: "):
        save(tmp_path / "run.npz", np.ones(1), npo.SGD())


def test_a_folder_is_not_replaced(tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(FileExistsError, match=r"a folder or a device is in its place: '.*run'"):
        save(tmp_path / "run", np.ones(1), npo.SGD())
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


@pytest.mark.skipif(os.name == "nt", reason="links and modes are those of POSIX")
def test_links_and_modes_stay(tmp_path):
    (tmp_path / "real").mkdir()
    real, link = tmp_path / "real" / "run", tmp_path / "link"
    real.write_bytes(b"old")
    real.chmod(0o640)
    link.symlink_to(real)
    save(link, np.ones(1), npo.SGD())
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert same(load(link).params, np.ones(1))
    (tmp_path / "other").write_bytes(b"")
    save(tmp_path / "new", np.ones(1), npo.SGD())
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("system", ["without folder sync", "refusing it"])
def test_systems_without_folder_sync(system, tmp_path, monkeypatch):
    if system == "refusing it":
        monkeypatch.setattr("npoptim.checkpoint._sync", full)
    else:
        monkeypatch.delattr(os, "O_DIRECTORY", raising=False)
        monkeypatch.setattr("npoptim.checkpoint._sync", failing)
    path, params, _ = saved(tmp_path)
    assert same(load(path).params, params)


def test_data_reach_the_disk_before_the_name(tmp_path, monkeypatch):
    done, real = [], os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: done.append(os.fstat(handle)))
    monkeypatch.setattr(os, "replace", lambda *names: (done.append("replace"), real(*names)))
    path, _, _ = saved(tmp_path)
    content, name, *folder = done
    assert content.st_size == path.stat().st_size
    assert name == "replace"
    assert [stat.S_ISDIR(f.st_mode) for f in folder] == [True] * hasattr(os, "O_DIRECTORY")
