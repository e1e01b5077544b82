"""Checkpoints under fire: every byte, every cut, forged metadata, and kill -9 while saving."""

import json
import os
import pickle
import struct
import subprocess
import sys
import tempfile
import threading
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import npoptim as npo
from npoptim import schedules
from npoptim.checkpoint import CheckpointError, archive, load, save

pytestmark = pytest.mark.slow
relaxed = settings(max_examples=2_000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip


def optimizer(lr=0.1):
    return npo.Groups({"b": npo.SGD(), "*": npo.Momentum(lr=schedules.linear(lr, total=9))})


def write_small(path):
    params, opt = {"W": np.array([[1.5, 2.5]], "f4"), "b": np.array(0.5)}, optimizer()
    opt.step(params, {k: np.ones_like(p) for k, p in params.items()})
    save(path, params, opt, rng=np.random.default_rng(0), log=[(1, 0.5), None, "x"])
    return path


with tempfile.TemporaryDirectory() as folder:
    WHOLE = write_small(Path(folder) / "run.npz").read_bytes()  # a few thousand bytes


@pytest.fixture
def small(tmp_path):
    return write_small(tmp_path / "run.npz")


def contents(run):
    """All that a checkpoint holds, as bytes; hyper-parameters aside where they are given."""
    arrays = [(name, p.dtype.str, p.shape, p.tobytes()) for name, p in run.params.items()]
    rest = {**run.extra, "rng": run.extra["rng"].bit_generator.state}
    state = {k: {s: x.tobytes() for s, x in v.items()} for k, v in run.opt.state.items()}
    return pickle.dumps((arrays, rest, run.opt.t, state, type(run.opt)))


def attempt(path, raw, wanted):
    """Whether `raw` still loads as what it was; the alternative is CheckpointError."""
    path.write_bytes(raw)
    own = optimizer(lr=0.5)
    memory = own._memory
    try:
        run = load(path)
    except CheckpointError:
        with pytest.raises(CheckpointError):
            load(path, opt=own)
        assert own == optimizer(lr=0.5)
        assert own._memory is memory
        assert (own.t, own.state, memory.layout) == (0, {}, {})
        return False
    assert contents(run) == wanted
    assert run.opt == optimizer()
    return True


def test_every_byte_flipped(small):
    raw, wanted = small.read_bytes(), contents(load(small))
    assert attempt(small, raw, wanted)
    tried = harmless = 0
    for i, byte in enumerate(raw):
        for value in {byte ^ 1 << k for k in range(8)} | {0, 255, byte ^ 255} - {byte}:
            harmless += attempt(small, raw[:i] + bytes([value]) + raw[i + 1 :], wanted)
            tried += 1
    assert tried > 9 * len(raw)
    assert 0 < harmless < tried / 4  # zip headers have slack: dates, versions, attributes


def test_every_cut_and_every_byte_too_many_or_too_few(small):
    raw, wanted = small.read_bytes(), contents(load(small))
    for i in range(len(raw)):
        assert not attempt(small, raw[:i], wanted)
        assert not attempt(small, raw[i + 1 :], wanted) or i == 0
        attempt(small, raw[:i] + raw[i + 1 :], wanted)
        attempt(small, raw[:i] + b"\0" + raw[i:], wanted)
        attempt(small, raw[:i] + raw[i : i + 64] + raw[i:], wanted)


@relaxed
@given(garbage=st.binary(max_size=300))
def test_garbage(small, garbage):
    for raw in (garbage, b"PK\3\4" + garbage, b"\x93NUMPY\1\0" + garbage, b"\x80\4" + garbage):
        small.write_bytes(raw)
        with pytest.raises(CheckpointError):
            load(small)


@relaxed
@given(data=st.data())
def test_patches(small, data):
    raw = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 4))):
        i = data.draw(st.integers(0, len(raw) - 1))
        patch = data.draw(st.sampled_from([b"PK\1\2", b"PK\3\4", b"PK\5\6", b"\xff" * 4, b"\0" * 8]) | st.binary(max_size=9))  # fmt: skip
        raw[i : i + data.draw(st.integers(0, 12))] = patch
    small.write_bytes(WHOLE)
    attempt(small, bytes(raw), contents(load(small)))


def forged(path, meta, **members):
    """A file with this metadata and every checksum in order."""
    with zipfile.ZipFile(path) as file:
        old = {name: file.read(name) for name in file.namelist()}
    text = json.dumps(meta).encode("utf-8", "surrogatepass")
    old["meta.npy"] = archive._header("|u1", (len(text),)) + text
    with zipfile.ZipFile(path, "w") as file:
        for name, content in (old | members).items():
            file.writestr(name, content)


LEAVES = st.sampled_from([None, True, 0, 1, 2, -1, 1e308, 0.5, float("nan"), float("inf"), "", "W", "b", "SGD", "linear", "os", "PCG64", "MT19937", "Philox", "<f8", "|O", "O", "<f2", 10**18, 2**64, 2**200])  # fmt: skip
TAGS = st.sampled_from(["int", "float", "tuple", "dict", "array", "scalar", "generator", "rule", "hyper", "groups", "schedule", "fields", "function", "outside", "t", "layout", "state", "W", "b", "pos", "seed"])  # fmt: skip
NODES = st.recursive(LEAVES, lambda n: st.lists(n, max_size=3) | st.dictionaries(TAGS, n, max_size=2), max_leaves=6)  # fmt: skip


def places(node):
    """Every (container, key) in a tree of JSON."""
    for key in list(node) if isinstance(node, dict) else range(len(node)):
        yield node, key
        if isinstance(node[key], (dict, list)):
            yield from places(node[key])


@relaxed
@given(data=st.data())
def test_forged_metadata(small, data):
    small.write_bytes(WHOLE)
    with zipfile.ZipFile(small) as file:
        meta = json.loads(file.read("meta.npy")[128:])
    for _ in range(data.draw(st.integers(1, 3))):
        every = list(places(meta))
        node, key = every[data.draw(st.integers(0, len(every) - 1))]
        match data.draw(st.sampled_from(["replace", "delete", "copy"])):
            case "replace":
                node[key] = data.draw(NODES)
            case "delete":
                del node[key]
            case "copy":
                other, at = every[data.draw(st.integers(0, len(every) - 1))]
                if at in other if isinstance(other, dict) else at < len(other):
                    node[key] = json.loads(json.dumps(other[at]))
        if not meta:
            break
    forged(small, meta)
    modules = set(sys.modules)
    own = optimizer(lr=0.5)
    memory = own._memory
    for opt in (None, own):
        try:
            run = load(small, opt=opt)
        except CheckpointError:
            assert own == optimizer(lr=0.5)
            assert opt is None or own._memory is memory
        else:  # something else, and whole
            assert all(p.dtype.kind == "f" for p in run.params.values())
            assert isinstance(run.opt.t, int)
            if isinstance(run.extra.get("rng"), np.random.Generator):
                run.extra["rng"].standard_normal(700)
    assert set(sys.modules) == modules


def test_bombs_cost_no_memory(small):
    with zipfile.ZipFile(small) as file:
        meta = json.loads(file.read("meta.npy")[128:])
    bombs = []
    with zipfile.ZipFile(small, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("meta.npy", bytes(10**8))
    bombs.append(small.read_bytes())
    with zipfile.ZipFile(small, "w", zipfile.ZIP_LZMA) as file:
        file.writestr("meta.npy", bytes(10**8))
    bombs.append(small.read_bytes())
    small.write_bytes(WHOLE)
    for claim in ([10**12], [2**40, 2**40], [2**63], [0, 2**62], [1] * 200):
        for entry in meta["arrays"]:
            entry[1], entry[2] = claim, list(range(len(claim)))
        forged(small, meta)
        bombs.append(small.read_bytes())
    for size in (2**31, 2**32 - 2):  # the directory claims that every member is that large
        raw = bytearray(WHOLE)
        at = raw.index(b"PK\1\2")
        while (at := raw.find(b"PK\1\2", at)) >= 0:
            raw[at + 20 : at + 28] = struct.pack("<2I", size, size)
            at += 46
        bombs.append(bytes(raw))
    for bomb in bombs:
        small.write_bytes(bomb)
        tracemalloc.start()
        with pytest.raises(CheckpointError):
            load(small)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2_000_000


def test_many_members_of_the_same_bytes(tmp_path):
    """Members that overlap in the file are worth many times its size."""
    path, n, size = tmp_path / "run.npz", 1000, 100_000
    params = {f"{i}": np.zeros(size if i == 0 else 1) for i in range(n)}
    save(path, params, npo.SGD())
    raw = bytearray(path.read_bytes())
    entries, at = [], raw.index(b"PK\1\2")
    while raw[at : at + 4] == b"PK\1\2":
        entries.append(at)
        at += 46 + sum(struct.unpack("<3H", raw[at + 28 : at + 34]))
    for at in entries[2:]:
        raw[at + 16 : at + 28] = raw[entries[1] + 16 : entries[1] + 28]
        raw[at + 42 : at + 46] = raw[entries[1] + 42 : entries[1] + 46]
    path.write_bytes(raw)
    tracemalloc.start()
    with pytest.raises(CheckpointError, match="its arrays are larger than the file"):
        load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * len(raw)


def test_writers_and_readers_at_once(tmp_path):
    path, stop, errors = tmp_path / "run.npz", threading.Event(), []

    def content(i):
        return np.full(20_000, float(i))

    def write(i):
        while not stop.is_set():
            save(path, content(i), npo.SGD(), i=i)

    def read():
        try:
            for _ in range(100):
                run = load(path)
                assert (run.params == run.extra["i"]).all()
        except BaseException as error:
            errors.append(error)
        finally:
            stop.set()

    save(path, content(0), npo.SGD(), i=0)
    threads = [threading.Thread(target=write, args=(i,)) for i in (1, 2)]
    threads.append(threading.Thread(target=read))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert os.listdir(tmp_path) == ["run.npz"]


KILLED = """
import json, os, random, signal, sys, time
import numpy as np
import npoptim as npo
from npoptim.checkpoint import load, save

path, folder, kills = sys.argv[1], sys.argv[2], int(sys.argv[3])

def start():
    rng = np.random.default_rng(0)
    params = {"W": rng.normal(size=(300, 300)), "b": rng.normal(size=300).astype("f4")}
    lr = npo.schedules.cosine(0.1, total=100_000, warmup=50)
    return params, npo.Groups({"b": npo.CAME(lr=lr), "*": npo.LAMB(lr=lr)}), rng

def step(params, opt, rng):
    opt.step(params, {k: rng.normal(size=p.shape) for k, p in params.items()})

params, opt, rng = start()
save(path, params, opt, rng=rng)
moments, t, drafts = random.Random(0), 0, 0
for _ in range(kills):
    child = os.fork()
    if not child:
        run = load(path)
        while True:
            step(*run, run.extra["rng"])
            save(path, *run, rng=run.extra["rng"])
    time.sleep(moments.uniform(0, 0.08))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    run = load(path)
    assert run.opt.t >= t, "an older file has come back"
    t = run.opt.t
    for name in os.listdir(folder):
        if name != os.path.basename(path):
            assert name.endswith(".tmp"), name
            os.remove(os.path.join(folder, name))
            drafts += 1
for _ in range(t):
    step(params, opt, rng)
same = all(run.params[k].tobytes() == p.tobytes() for k, p in params.items()) and all(
    run.opt.state[k][s].tobytes() == x.tobytes() for k, v in opt.state.items() for s, x in v.items()
)
print(json.dumps({"t": t, "drafts": drafts, "same": same}))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="SIGKILL and fork are POSIX")
def test_killed_at_a_hundred_moments_a_run_ends_as_if_it_were_not(tmp_path):
    path = tmp_path / "run.npz"
    done = subprocess.run([sys.executable, "-c", KILLED, path, tmp_path, "100"], capture_output=True, text=True, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["same"]
    assert result["t"] > 10  # saves that were finished
    assert result["drafts"] > 5  # and saves that were not
