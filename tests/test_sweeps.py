"""Sweeps: one result on every executor, failures recorded, nothing computed twice, nothing lost."""

import json
import math
import os
import pickle
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

import npoptim as npo
from npoptim.cli import main
from npoptim.sweeps import origin, sweep

ROOT = Path(__file__).parent.parent
GRID = {"lr": [0.01, 0.1, 0.5, 1e9], "momentum": [0.0, 0.9]}


def final(lr, momentum):
    """f of Momentum on booth; the largest lr diverges, 0.5 without momentum raises."""
    if lr == 0.5 and not momentum:
        raise ZeroDivisionError("on purpose")
    path = npo.run("booth", npo.Momentum(lr=lr, momentum=momentum), steps=50)
    return {"f": path.f[-1], "diverged": bool(path.diverged)}


def same(a, b):
    """Equal to the last bit, NaNs too."""
    return json.dumps(a.rows) == json.dumps(b.rows)


def test_rows_arrays_and_the_best():
    result = sweep(final, GRID)
    assert [(row["lr"], row["momentum"]) for row in result.rows] == [
        (lr, m) for lr in GRID["lr"] for m in GRID["momentum"]
    ]
    f = result.array("f")
    assert f.shape == (4, 2)
    assert f[1, 1] == npo.run("booth", npo.Momentum(lr=0.1), steps=50).f[-1]
    assert np.isnan(f[[2, 3, 3], [0, 0, 1]]).all()  # failed, diverged
    assert result.array("diverged").tolist()[3] == [True, True]
    assert result.best()["f"] == np.nanmin(f)
    assert result.best("f", largest=True)["f"] == np.nanmax(f)
    assert [row["f"] for row in result.ranked()] == sorted(f[np.isfinite(f)])
    assert result.axes == GRID


def test_a_failed_point_is_recorded_and_the_others_go_on():
    result = sweep(final, GRID)
    assert [row["error"] for row in result.failed] == ["ZeroDivisionError: on purpose"]
    assert result.failed[0]["lr"] == 0.5
    assert len(result.rows) == 8
    assert "ZeroDivisionError: on purpose" in result.table()
    assert "1 failed" in repr(result)


def test_a_list_of_points():
    points = [{"a": 1}, {"a": 2, "b": 5}, {"a": 0, "b": 1}]
    result = sweep(lambda a, b=10: a * b, points)
    assert result.array().tolist() == [10, 10, 0]
    assert result.best() == {"a": 0, "b": 1, "value": 0}
    assert "–" in result.table().splitlines()[2]  # the first point has no b


def test_words_and_numpy_scalars():
    def fn(a):
        assert type(a) is float  # np.float64 would turn float32 arrays into float64 ones
        return {"word": "x" * int(a), "size": np.float32(a), "zero": np.zeros(())}

    result = sweep(fn, {"a": np.array([1.0, 2.0])})
    assert result.array("word").tolist() == ["x", "xx"]
    assert [type(v) for v in result.rows[0].values()] == [float, str, float, float]


def test_several_axes_keep_their_order():
    grid = {"a": [1, 2], "b": [10, 20, 30], "c": [100]}
    array = sweep(lambda a, b, c: a + b + c, grid).array()
    assert array.tolist() == [[[111], [121], [131]], [[112], [122], [132]]]


# ---------------------------------------------------------------- executors


def slow_first(i):
    """The first points take the longest: they come in last."""
    time.sleep(0.05 * (3 - i))
    return i


def test_the_order_is_the_grids_whoever_comes_first():
    with ThreadPoolExecutor(4) as pool:
        assert sweep(slow_first, {"i": [0, 1, 2, 3]}, pool).array().tolist() == [0, 1, 2, 3]


def test_threads_and_processes_agree_with_none():
    here = sweep(final, GRID)
    with ThreadPoolExecutor(2) as threads:
        assert same(sweep(final, GRID, threads), here)
    with ProcessPoolExecutor(2, get_context("spawn")) as processes:
        assert same(sweep(final, GRID, processes), here)


def killing(i):
    if i == 1:
        os._exit(3)
    return i


def test_a_process_that_dies_is_recorded_and_resumed(tmp_path):
    path = tmp_path / "sweep.jsonl"
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        result = sweep(killing, {"i": [0, 1, 2, 3]}, pool, path=path)
    assert "BrokenProcessPool" in result.rows[1]["error"]
    assert result.rows[0] == {"i": 0, "value": 0}
    done = {row["i"] for row in result.rows if "error" not in row}
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        points = [{"i": i} for i in (0, 2, 3)]
        assert sweep(killing, points, pool, path=path).array().tolist() == [0, 2, 3]
    assert done < {0, 2, 3}


def test_other_processes_need_a_function_with_a_name():
    with (
        ProcessPoolExecutor(1, get_context("spawn")) as pool,
        pytest.raises(TypeError, match=r"top level of a module.*<lambda>"),
    ):
        sweep(lambda a: a, {"a": [1]}, pool)


def test_what_is_not_begun_is_cancelled_after_an_interrupt():
    begun = []

    def fn(i):
        begun.append(i)
        if i == 1:
            raise KeyboardInterrupt
        time.sleep(0.02)

    with ThreadPoolExecutor(1) as pool, pytest.raises(KeyboardInterrupt):
        sweep(fn, {"i": list(range(50))}, pool)
    assert len(begun) < 10


def test_what_is_not_begun_is_cancelled_when_the_file_cannot_be_written(tmp_path, monkeypatch):
    begun = []

    def fn(i):
        begun.append(i)
        time.sleep(0.02)

    def full(self, entry):
        raise OSError("no space left")

    monkeypatch.setattr("npoptim.sweeps._File.append", full)
    with pytest.raises(OSError, match="no space left"), ThreadPoolExecutor(1) as pool:
        sweep(fn, {"i": list(range(50))}, pool, path=tmp_path / "sweep.jsonl")
    assert len(begun) < 10


class Breaking(ThreadPoolExecutor):
    """An executor that breaks when it is handed the third point."""

    def submit(self, fn, *args):
        if args[1]["i"] == 2:
            raise BrokenExecutor("gone")
        return super().submit(fn, *args)


def test_points_that_a_broken_executor_does_not_take_are_recorded():
    with Breaking(1) as pool:
        result = sweep(slow_first, {"i": [0, 1, 2, 3]}, pool)
    assert [row["error"] for row in result.failed] == ["BrokenExecutor: gone"]
    assert result.rows[2]["i"] == 2
    assert np.nansum(result.array()) == 4


class Elsewhere(ThreadPoolExecutor):
    """An executor whose workers say that they import another npoptim."""

    where = ("0.0.9 (source 00000000)", "far:/opt/npoptim")

    def submit(self, fn, *args):
        return super().submit(lambda: (self.where, fn(*args)[1]))


def test_a_worker_with_another_npoptim_is_refused():
    with Elsewhere(1) as pool, pytest.raises(OSError, match=r"far:/opt/npoptim is npoptim 0\.0\.9"):
        sweep(slow_first, {"i": [3]}, pool)


def test_origin_tells_sources_apart(tmp_path):
    copy = tmp_path / "npoptim"
    shutil.copytree(ROOT / "npoptim", copy, ignore=shutil.ignore_patterns("__pycache__"))
    code = "from npoptim.sweeps import origin; print(*origin(), sep='\\n')"

    def there():
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return done.stdout.splitlines()

    source, where = there()
    assert where.endswith(str(copy))
    for file in copy.rglob("*.py"):  # line endings are no difference
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert there()[0] == source
    with open(copy / "race.py", "ab") as file:
        file.write(b"# changed\n")
    assert there()[0] != source
    assert origin()[0].startswith(npo.__version__)


# ---------------------------------------------------------------- resuming


def counting(a, b, log):
    with open(log, "a", encoding="utf-8") as file:
        file.write(f"{a} {b}\n")
    if a == 2:
        raise RuntimeError("not today")
    return {"sum": a + b, "nan": math.nan}


def test_points_already_done_are_skipped_and_failed_ones_tried_again(tmp_path):
    path, log = tmp_path / "new" / "sweep.jsonl", tmp_path / "log"
    fn = partial(counting, log=str(log))
    first = sweep(fn, {"a": [1, 2], "b": [0.1, 0.2]}, path=path)
    assert len(log.read_text().splitlines()) == 4
    assert len(first.failed) == 2
    log.unlink()
    again = sweep(fn, {"a": [1, 2, 3], "b": [0.1, 0.2]}, path=path)
    assert log.read_text().splitlines() == ["2 0.1", "2 0.2", "3 0.1", "3 0.2"]
    assert json.dumps(again.rows[:4]) == json.dumps(first.rows)
    log.unlink()
    points = [{"b": 0.2, "a": 3}, {"b": 0.2, "a": 1}]  # in another order, as a list
    assert sweep(fn, points, path=path).array("sum").tolist() == [3.2, 1.2]
    assert not log.exists()


@pytest.mark.parametrize("cut", [1, 20, 200, 390, 440])
def test_a_file_cut_off_anywhere_goes_on(tmp_path, cut):
    path, log = tmp_path / "sweep.jsonl", tmp_path / "log"
    fn, grid = partial(counting, log=str(log)), {"a": [1, 3], "b": [1, 2, 3]}
    whole = sweep(fn, grid, path=path)
    text = path.read_bytes()
    path.write_bytes(text[:-cut])
    kept = max(text[:-cut].count(b"\n") - 1, 0)
    log.unlink()
    assert same(sweep(fn, grid, path=path), whole)
    assert len(log.read_text().splitlines()) == 6 - kept
    assert sorted(path.read_bytes().splitlines()) == sorted(text.splitlines())


def test_an_interrupted_sweep_keeps_what_it_has(tmp_path):
    path = tmp_path / "sweep.jsonl"
    calls = []

    def fn(i):
        calls.append(i)
        if i == 3 and len(calls) == 4:
            raise KeyboardInterrupt
        return i

    with pytest.raises(KeyboardInterrupt):
        sweep(fn, {"i": [0, 1, 2, 3, 4]}, path=path)
    assert sweep(fn, {"i": [0, 1, 2, 3, 4]}, path=path).array().tolist() == [0, 1, 2, 3, 4]
    assert calls == [0, 1, 2, 3, 3, 4]


def other(a, b=0):
    return a + b


@pytest.mark.parametrize("text", ["my notes", "my notes\n", "[1]\n", '{"sweep": "x"}\n{"a": 1}\n'])
def test_a_file_that_is_no_sweeps_stays_as_it_is(tmp_path, text):
    path = tmp_path / "file"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="is not the file of a sweep"):
        sweep(other, {"a": [1]}, path=path)
    assert path.read_text(encoding="utf-8") == text


def test_the_file_of_another_function_is_refused(tmp_path):
    path = tmp_path / "sweep.jsonl"
    sweep(other, {"a": [1]}, path=path)
    for fn in (partial(other, b=2), partial(counting, b=1, log="log"), lambda a: a):
        with pytest.raises(ValueError, match=r"holds a sweep of .*other, this is one of"):
            sweep(fn, {"a": [1]}, path=path)


# ---------------------------------------------------------------- what is refused

BAD = [
    ({"fn": 3}, TypeError, "fn must be a function"),
    ({"fn": other, "grid": {"b": [1]}}, TypeError, "fn must take the names of the grid.* b"),
    ({"fn": final, "grid": {"lr": [1]}}, TypeError, "missing a required argument: 'momentum'"),
    ({"grid": {}}, ValueError, "at least one name"),
    ({"grid": []}, ValueError, "at least one name"),
    ({"grid": {"a": []}}, ValueError, "each name a value"),
    ({"grid": {"a": 1}}, TypeError, r"grid\['a'\] must be a list"),
    ({"grid": {"a": "12"}}, TypeError, r"grid\['a'\] must be a list"),
    ({"grid": 3}, TypeError, "a dict, or a list of dicts"),
    ({"grid": ["a"]}, TypeError, "a dict, or a list of dicts"),
    ({"grid": {"error": [1]}}, ValueError, "other than 'error'"),
    ({"grid": {1: [1]}}, ValueError, "must have words"),
    ({"grid": {"a": [1, 2, 1]}}, ValueError, r"once. Got \{'a': 1\} twice"),
    ({"executor": "process"}, TypeError, "executor must be a concurrent.futures.Executor"),
    ({"grid": {"a": [npo.SGD()]}, "path": "x"}, TypeError, "path needs points of numbers"),
]


@pytest.mark.parametrize(("change", "error", "words"), BAD)
def test_bad_arguments_are_refused(change, error, words, tmp_path):
    arguments = {"fn": other, "grid": {"a": [1]}} | change
    if "path" in arguments:
        arguments["path"] = tmp_path / "x"
    with pytest.raises(error, match=words):
        sweep(**arguments)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([1, 2], "TypeError: fn must return a number"),
        ({"x": np.zeros(2)}, "TypeError: fn must return a number"),
        ({"a": 1}, "ValueError: fn must return names that the grid does not have"),
        ({"error": 1}, "ValueError: fn must return names that the grid does not have"),
    ],
)
def test_a_result_of_another_kind_is_the_points_failure(value, words):
    result = sweep(lambda a: value if a else 1.0, {"a": [0, 1]})
    assert result.rows[0] == {"a": 0, "value": 1.0}
    assert words in result.rows[1]["error"]


def test_asking_for_what_is_not_there():
    result = sweep(lambda a: math.nan, {"a": [1]})
    with pytest.raises(ValueError, match="finite 'value'"):
        result.best()
    with pytest.raises(ValueError, match="key must be one of value"):
        result.array("x")
    with pytest.raises(ValueError, match="every point failed, the first with ZeroDivisionError"):
        sweep(lambda a: 1 / a, {"a": [0]}).best()
    with pytest.raises(ValueError, match="no axes to draw"):
        sweep(lambda a: a, [{"a": 1}]).plot()


def test_objects_may_be_values_where_nothing_is_stored():
    rules = [npo.SGD(lr=0.1), npo.Adam(lr=0.1)]
    result = sweep(lambda opt: npo.run("booth", opt, steps=9).f[-1], {"opt": rules})
    assert result.rows[1]["opt"] is rules[1]


def test_a_result_pickles():
    result = sweep(final, GRID)
    assert pickle.loads(pickle.dumps(result)).rows[0] == result.rows[0]


def test_the_bar_begins_with_what_is_done(tmp_path, capsys):
    path = tmp_path / "sweep.jsonl"
    sweep(other, {"a": [1, 2, 3]}, path=path, progress=True)
    sweep(other, {"a": [1, 2, 3, 4, 5]}, path=path, progress=True)
    bars = capsys.readouterr().err
    assert "0/3" in bars
    assert "3/5" in bars


# ---------------------------------------------------------------- pictures


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_the_heat_map_shows_every_number_and_frames_the_best():
    fig = sweep(final, GRID).plot("f", title="Momentum", caption="50 steps")
    (ax,) = fig.axes
    f = sweep(final, GRID).array("f")
    assert sorted(texts(ax)) == sorted(f"{v:.3g}" for v in f[np.isfinite(f)])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("lr", "momentum")
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0.01", "0.1", "0.5", "1e+09"]
    frame = ax.patches[-1].get_xy()
    i, j = np.unravel_index(np.nanargmin(f), f.shape)
    assert frame == (i, j)
    assert len(ax.lines) == 2 * int(np.isnan(f).sum())
    words = " ".join(text.get_text() for text in fig.texts)
    assert "Momentum" in words
    assert "crossed out" in words


def test_other_axes_and_the_best_over_the_rest():
    grid = {"a": [1.0, 2.0], "b": [1.0, 2.0, 3.0], "c": [1.0, 0.5], "d": [7]}
    result = sweep(lambda a, b, c, d: a * b * c, grid)
    (ax,) = result.plot(x="b", y="a").axes
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("b", "a")
    assert sorted(texts(ax)) == sorted(f"{a * b * 0.5:.3g}" for a in (1, 2) for b in (1, 2, 3))
    fig = result.plot(x="b", y="a", largest=True)
    assert sorted(texts(fig.axes[0])) == sorted(f"{a * b:.3g}" for a in (1, 2) for b in (1, 2, 3))
    assert fig.axes[0].patches[-1].get_xy() == (2, 1)
    words = " ".join(text.get_text() for text in fig.texts)
    assert "the largest over c" in words
    assert "d 7" in words
    with pytest.raises(ValueError, match="x and y must be axes: a, b, c, d"):
        result.plot(x="e")


def test_one_axis_gives_a_curve():
    fig = sweep(final, {"lr": GRID["lr"], "momentum": [0.9]}).plot(theme="dark")
    (ax,) = fig.axes
    best = npo.run("booth", npo.Momentum(lr=0.1), steps=50).f[-1]
    assert texts(ax) == [f"{best:.3g}"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("lr", "f")
    assert "no finite number" in " ".join(text.get_text() for text in fig.texts)


def test_many_cells_lose_their_numbers_not_their_colours():
    grid = {"a": list(range(40)), "b": list(range(30))}
    (ax,) = sweep(lambda a, b: a - b, grid).plot().axes
    assert not texts(ax)
    assert ax.collections[0].get_array().size == 1200
    assert len(ax.get_xticklabels()) < 41


# ---------------------------------------------------------------- the command


SMALL = ["booth", "--optimizer", "adamw", "--grid", "lr=0.01,0.1,1", "--grid", "beta1=0,0.9"]


def test_the_command_tunes_on_a_surface(tmp_path, capsys):
    assert main(["sweep", *SMALL, "--out", str(tmp_path), "--workers", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    expected = sweep(
        lambda lr, b: npo.run("booth", npo.AdamW(lr=lr, betas=(b, 0.999), weight_decay=0)).f[-1],
        {"lr": [0.01, 0.1, 1.0], "b": [0.0, 0.9]},
    )
    assert [row["final f"] for row in found["rows"]] == expected.array().ravel().tolist()
    assert found["best"]["final f"] == expected.best()["value"]
    assert [Path(file).name for file in found["files"]] == [
        "sweep_booth_adamw.jsonl",
        "sweep_booth_adamw.png",
    ]
    assert all(Path(file).stat().st_size > 100 for file in found["files"])
    assert len(list(tmp_path.iterdir())) == 2


def test_the_command_tunes_a_model(tmp_path, capsys):
    """In float32; a run that diverges has no result, though it was finite before."""
    pytest.importorskip("sklearn")
    arguments = ["sweep", "softmax", "--optimizer", "sgd", "--steps", "20", "--workers", "1"]
    arguments += ["--grid", "lr=0.5,1e39", "--grid", "batch_size=32,64", "--out", str(tmp_path)]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    data = npo.data.load("digits")
    history = npo.train(
        npo.models.for_data("softmax", data), data, npo.SGD(lr=0.5), steps=20, batch_size=32,
        dtype=np.float32,
    )  # fmt: skip
    row = {"lr": 0.5, "batch_size": 32, "test loss": history.test_loss[-1]}
    row |= {"train loss": history.loss[-1], "accuracy": history.accuracy[-1]}
    assert found["rows"][0] == row
    assert [row["test loss"] for row in found["rows"][2:]] == [None, None]
    assert main([*arguments, "--resume"]) == 0
    text = capsys.readouterr().out
    assert "sgd on softmax: 20 steps · digits · seed 0\n" in text
    assert "best: lr 0.5" in text


def test_a_cut_off_sweep_is_kept_and_resumed(tmp_path, capsys):
    arguments = ["sweep", *SMALL, "--out", str(tmp_path), "--workers", "1"]
    assert main(arguments) == 0
    done, part = tmp_path / "sweep_booth_adamw.jsonl", tmp_path / "sweep_booth_adamw.part.jsonl"
    whole = done.read_bytes().splitlines(keepends=True)
    done.unlink()
    part.write_bytes(b"".join(whole[:4]))
    assert main(arguments) == 2
    assert "--resume goes on with it" in capsys.readouterr().err
    assert part.read_bytes() == b"".join(whole[:4])
    assert main([*arguments, "--resume"]) == 0
    assert done.read_bytes().splitlines(keepends=True)[:4] == whole[:4]
    assert sorted(done.read_bytes().splitlines(keepends=True)) == sorted(whole)
    assert not part.exists()
    stamp = done.read_bytes()
    assert main([*arguments, "--resume"]) == 0  # nothing is left to do
    assert done.read_bytes() == stamp
    assert main([*arguments, "--resume", "--steps", "7"]) == 2
    assert "holds a sweep of Trial" in capsys.readouterr().err


def test_no_finite_result_is_status_1(tmp_path, capsys):
    arguments = ["booth", "--optimizer", "sgd", "--grid", "lr=-1,-2", "--workers", "1"]
    assert main(["sweep", *arguments, "--out", str(tmp_path)]) == 1
    assert "the first with ValueError: lr must be" in capsys.readouterr().out


def test_the_edge_of_the_grid_is_told(tmp_path, capsys):
    arguments = ["booth", "--optimizer", "sgd", "--grid", "lr=1e-4,2e-4,3e-4", "--workers", "1"]
    assert main(["sweep", *arguments, "--out", str(tmp_path)]) == 0
    assert "at the edge of the grid in lr" in capsys.readouterr().out


REFUSED = [
    (["bouth", "--optimizer", "sgd"], "Did you mean 'booth'"),
    (["booth", "--optimizer", "sdg"], "Did you mean 'sgd'"),
    (["booth", "--optimizer", "sgd", "--grid", "rl=1"], "has no 'rl'"),
    (["booth", "--optimizer", "sgd", "--grid", "lr"], "must be NAME=A,B"),
    (["booth", "--optimizer", "sgd", "--grid", "lr=1", "--grid", "lr=2"], "'lr' once"),
    (["booth", "--optimizer", "sgd", "--seed", "1"], "--seed is for models"),
    (["booth", "--optimizer", "sgd", "--grid", "seed=1"], "has no 'seed'"),
    (["booth", "--optimizer", "sgd", "--scheduler", "x"], "add --executor dask"),
    (["booth", "--optimizer", "sgd", "--executor", "mpi"], "mpiexec -n 4 python -m mpi4py"),
]


@pytest.mark.parametrize(("arguments", "words"), REFUSED)
def test_what_the_command_refuses(arguments, words, tmp_path, capsys):
    assert main(["sweep", *arguments, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------- Dask for real


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return str(s.getsockname()[1])


def documented(marker, port):
    """The command under `marker` in the guide, as words, with another port."""
    text = (ROOT / "docs/cluster.md").read_text(encoding="utf-8")
    (line,) = re.findall(rf"<!-- {marker} -->\n```bash\n(.+)\n```", text)
    assert "8786" in line
    assert "127.0.0.1" in line
    return shlex.split(line.replace("8786", port))


class Cluster:
    """A scheduler and two workers, each a process on 127.0.0.1, by the guide's own commands."""

    def __init__(self, folder, scheduler="", worker=""):
        self.distributed = pytest.importorskip("distributed")
        port = free_port()
        self.address = f"tcp://127.0.0.1:{port}"
        self.log = open(folder / "dask.log", "wb")  # noqa: SIM115  # closed at the end
        words = [*documented("dask worker", port), "--local-directory", str(folder)]
        self.processes = [
            self.started(documented("dask scheduler", port), scheduler),
            *(self.started(words, worker) for _ in range(2)),
        ]

    def started(self, words, path):
        """A process, in a group of its own so that its children can be ended with it."""
        folders = {"PATH": Path(sys.executable).parent, "PYTHONPATH": path}
        env = {**os.environ}
        for name, folder in folders.items():
            env[name] = os.pathsep.join(filter(None, [str(folder), env.get(name, "")]))
        return subprocess.Popen(
            words, stdout=self.log, stderr=self.log, env=env, start_new_session=True
        )

    def __enter__(self):
        try:
            self.client = self.distributed.Client(self.address, timeout=60)
            self.client.wait_for_workers(2, timeout=60)
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *error):
        self.client.close()
        self.end()

    def end(self):
        for process in reversed(self.processes):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        self.log.close()


@pytest.mark.slow
def test_a_dask_cluster_agrees_with_processes_exactly(tmp_path, capsys):
    with Cluster(tmp_path) as cluster:
        there = sweep(final, GRID, cluster.client.get_executor())
        command = ["sweep", "mlp", "--optimizer", "lamb", "--grid", "lr=1e-3,1e-2,1e39"]
        command += ["--steps", "30", "--json", "--out", str(tmp_path / "out")]
        dask = ["--executor", "dask", "--scheduler", cluster.address]
        assert main([*command, *dask]) == 0
        by_dask = capsys.readouterr().out
    with ProcessPoolExecutor(2, get_context("spawn")) as processes:
        assert same(there, sweep(final, GRID, processes))
    assert main([*command, "--workers", "2"]) == 0
    assert capsys.readouterr().out == by_dask


def noting(i, folder):
    """Leaves a mark when it begins, and takes its time."""
    Path(folder, f"{i} {os.getpid()} {time.time_ns()}").touch()
    time.sleep(0.4)
    return i * i


@pytest.mark.slow
def test_a_dask_worker_killed_in_the_middle_loses_nothing(tmp_path):
    marks = tmp_path / "marks"
    marks.mkdir()
    fn = partial(noting, folder=str(marks))
    with Cluster(tmp_path) as cluster, ThreadPoolExecutor(1) as aside:
        executor = cluster.client.get_executor()
        running = aside.submit(sweep, fn, {"i": list(range(16))}, executor)
        end = time.monotonic() + 60
        while len(list(marks.iterdir())) < 5 and time.monotonic() < end:
            time.sleep(0.02)
        os.killpg(cluster.processes[1].pid, signal.SIGKILL)
        result = running.result(timeout=60)
        left = len(cluster.client.scheduler_info()["workers"])
    assert left == 1
    assert result.array().tolist() == [i * i for i in range(16)]
    assert not result.failed
    begun = [int(mark.name.split()[0]) for mark in marks.iterdir()]
    assert len(begun) > 16, "the worker was killed, but no point had to be run again"


def other_npoptim(folder, how):
    """A folder from which another npoptim is imported, or none."""
    package = folder / "elsewhere" / "npoptim"
    if how == "missing":
        package.mkdir(parents=True)
        text = "raise ModuleNotFoundError(\"No module named 'npoptim'\", name='npoptim')\n"
    else:
        shutil.copytree(ROOT / "npoptim", package)
        text = (package / "__init__.py").read_text(encoding="utf-8") + "# older\n"
    (package / "__init__.py").write_text(text, encoding="utf-8")
    return package.parent


@pytest.mark.slow
@pytest.mark.parametrize("who", ["scheduler", "worker"])
@pytest.mark.parametrize("how", ["missing", "changed"])
def test_a_cluster_with_another_npoptim_is_refused(tmp_path, who, how):
    words = {"missing": "cannot import npoptim", "changed": r"elsewhere.npoptim is npoptim"}
    with Cluster(tmp_path, **{who: other_npoptim(tmp_path, how)}) as cluster:
        executor = cluster.client.get_executor()
        begin = time.monotonic()
        with pytest.raises(OSError, match=f"{words[how]}.* must import the same npoptim"):
            sweep(final, GRID, executor)
        assert time.monotonic() - begin < 30


@pytest.mark.slow
def test_a_command_killed_in_the_middle_is_resumed(tmp_path, capsys):
    command = ["sweep", "ackley", "--optimizer", "came", "--steps", "4000", "--workers", "1"]
    command += ["--grid", "lr=1e-3,2e-3,3e-3,4e-3,5e-3,6e-3", "--out", str(tmp_path), "--json"]
    part = tmp_path / "sweep_ackley_came.part.jsonl"
    process = subprocess.Popen([sys.executable, "-m", "npoptim", *command], start_new_session=True)
    end = time.monotonic() + 60
    while time.monotonic() < end and not (part.exists() and part.read_bytes().count(b"\n") > 2):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = part.read_bytes().splitlines()
    assert 2 < len(kept) < 7
    assert main([*command, "--resume"]) == 0
    resumed = capsys.readouterr().out
    assert (tmp_path / "sweep_ackley_came.jsonl").read_bytes().splitlines()[: len(kept)] == kept
    assert main(command) == 0
    assert capsys.readouterr().out == resumed
