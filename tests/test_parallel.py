"""Data parallelism: threads stand in for ranks in the quick tests, real ranks run in the slow ones."""

import os
import re
import shlex
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import npoptim as npo
from npoptim.parallel import DataParallel, aborting, world
from npoptim.standin import DeviceArray
from npoptim.training import Accumulated

ROOT = Path(__file__).parent.parent
RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 6))
Y = (X @ RNG.normal(size=(6, 3))).argmax(axis=1)
MODEL = npo.models.MLP([6, 8, 3])


class Ranks:
    """What DataParallel asks of a communicator, for as many threads."""

    def __init__(self, size):
        self.size, self.rank = size, threading.local()
        self.barrier = threading.Barrier(size, timeout=30)
        self.slots = [None] * size
        self.reductions = []

    def Get_rank(self):
        return self.rank.number

    def Get_size(self):
        return self.size

    def allgather(self, value):
        self.slots[self.Get_rank()] = value
        self.barrier.wait()
        everyone = list(self.slots)
        self.barrier.wait()
        return everyone

    def Allreduce(self, sent, received):
        everyone = self.allgather(sent)
        received[...] = sum(everyone[1:], everyone[0])
        if self.Get_rank() == 0:
            self.reductions.append(sent.copy())

    def run(self, fn):
        """`fn(rank)` on every rank: the results, or the errors."""
        results = [None] * self.size

        def work(rank):
            self.rank.number = rank
            try:
                results[rank] = fn(rank)
            except Exception as error:
                results[rank] = error

        threads = [threading.Thread(target=work, args=(rank,)) for rank in range(self.size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results


def train(model, ranks, data=(X, Y), **options):
    """The history of every rank."""
    comm = Ranks(ranks)
    settings = {"steps": 60, "batch_size": 32, "seed": 3} | options
    return comm.run(
        lambda rank: npo.train(DataParallel(model, comm), data, npo.LAMB(lr=0.05), **settings)
    )


def distance(a, b):
    return max(float(np.abs(a.params[k] - b.params[k]).max()) for k in a.params)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_process_that_is_alone_is_the_model_itself_bit_for_bit(dtype):
    options = {"steps": 60, "batch_size": 32, "seed": 3, "dtype": dtype}
    plain, alone = (
        npo.train(model, (X, Y), npo.LAMB(lr=0.05), **options)
        for model in (MODEL, DataParallel(MODEL))
    )
    assert distance(alone, plain) == 0
    assert (alone.loss == plain.loss).all()


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 40])
def test_any_number_of_ranks_agrees_with_the_model(ranks):
    """Batches of 32 and, at the end of an epoch, 26: uneven shares, and with 40 ranks empty ones."""
    plain = npo.train(MODEL, (X, Y), npo.LAMB(lr=0.05), steps=60, batch_size=32, seed=3)
    histories = train(MODEL, ranks)
    for history in histories:
        assert distance(history, histories[0]) == 0
        assert distance(history, plain) < 1e-12
        np.testing.assert_allclose(history.loss, plain.loss, rtol=1e-12)


@pytest.mark.parametrize("size", [32, 7, 3])
@pytest.mark.parametrize("same", [(1, 2, 4), (3, 6)])
def test_the_same_pieces_give_the_same_bits(same, size):
    """The last batch of an epoch has 26 rows, 6 or, with fewer rows than pieces, 3."""
    options = {"dtype": np.float32, "batch_size": size}
    first, *others = [history for ranks in same for history in train(MODEL, ranks, **options)]
    assert len(others) == sum(same) - 1
    for history in others:
        assert distance(history, first) == 0
        assert (history.loss == first.loss).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_dtypes_and_one_message_a_step(dtype):
    """Rounded to the parameters' type once, at the end."""
    comm = Ranks(2)
    params = MODEL.init(np.random.default_rng(0), dtype)
    results = comm.run(lambda rank: DataParallel(MODEL, comm).loss_and_grads(params, X, Y))
    loss, grads = MODEL.loss_and_grads(params, X, Y)
    pieces = [slice(0, 22), slice(22, 45), slice(45, 67), slice(67, 90)]
    weighed = [
        (rows.stop - rows.start, MODEL.loss_and_grads(params, X[rows], Y[rows])[1])
        for rows in pieces
    ]
    eps = float(np.finfo(dtype).eps)
    for found, means in results:
        assert type(found) is float
        assert found == pytest.approx(loss, rel=8 * eps)
        assert {k: g.dtype for k, g in means.items()} == {k: p.dtype for k, p in params.items()}
        assert {k: g.shape for k, g in means.items()} == {k: p.shape for k, p in params.items()}
        for name, g in means.items():
            np.testing.assert_allclose(g, grads[name], rtol=0, atol=8 * eps)
            mean = sum(n * piece[name].astype(np.float64) for n, piece in weighed) / 90
            np.testing.assert_allclose(g, mean.astype(dtype), rtol=1e-15, atol=1e-17)
    (message,) = comm.reductions
    assert message.dtype == np.float64
    assert message.size == sum(p.size for p in params.values()) + 1


@pytest.mark.parametrize("ranks", [1, 3])
def test_masked_targets_weigh_nothing(ranks):
    """Pieces without a single target, others with most of them."""
    model = npo.models.Transformer(vocabulary=5, context=4, width=8, heads=2)
    params = model.init(np.random.default_rng(1))
    x = np.random.default_rng(2).integers(0, 5, (6, 4))
    y = np.where(np.arange(6)[:, None] < 3, -1, x)
    y[3, 1:] = -1
    loss, grads = model.loss_and_grads(params, x, y)
    comm = Ranks(ranks)
    for found, means in comm.run(
        lambda rank: DataParallel(model, comm).loss_and_grads(params, x, y)
    ):
        assert found == pytest.approx(loss, rel=1e-12)
        for name, g in means.items():
            np.testing.assert_allclose(g, grads[name], atol=1e-14)


def test_a_batch_without_targets_is_the_models_error_on_every_rank():
    model = npo.models.Transformer(vocabulary=5, context=4, width=8, heads=2)
    params = model.init(np.random.default_rng(1))
    x = np.zeros((6, 4), int)
    with pytest.raises(ValueError) as told:
        model.loss_and_grads(params, x, x - 1)
    comm = Ranks(3)
    results = comm.run(lambda rank: DataParallel(model, comm).loss_and_grads(params, x, x - 1))
    assert [str(error) for error in results] == [str(told.value)] * 3


def test_it_composes_with_accumulation_and_clipping():
    plain = npo.train(MODEL, (X, Y), npo.LAMB(lr=0.05), steps=30, batch_size=32, seed=3, clip=0.1)
    for history in train(Accumulated(MODEL, 3), 2, steps=30, clip=0.1):
        assert distance(history, plain) < 1e-12
        np.testing.assert_allclose(history.grad_norm, plain.grad_norm, rtol=1e-10)


def test_rank_0_alone_writes_and_a_run_goes_on_on_other_ranks(tmp_path, capsys):
    options = {"steps": 9, "batch_size": 32, "seed": 3}

    def go(ranks, path, **more):
        comm = Ranks(ranks)
        return comm.run(
            lambda rank: npo.train(
                DataParallel(MODEL, comm), (X, Y), npo.LAMB(lr=0.05),
                checkpoint=str(path).format(rank), **options | more,
            )
        )  # fmt: skip

    go(3, tmp_path / "run{}.npz", steps=4, checkpoint_every=2, progress=True)
    assert [path.name for path in tmp_path.iterdir()] == ["run0.npz"]
    assert capsys.readouterr().err.count("0/4") == 1
    resumed = go(2, tmp_path / "run0.npz", resume=True)
    plain = npo.train(MODEL, (X, Y), npo.LAMB(lr=0.05), **options)
    for history in resumed:
        assert history.steps == 9
        assert distance(history, plain) < 1e-12


def test_the_rest_is_the_models():
    model = DataParallel(MODEL)
    params = model.init(np.random.default_rng(0))
    assert (model.predict(params, X) == MODEL.predict(params, X)).all()
    assert model.sizes == (6, 8, 3)
    assert (model.root, model.ranks) == (True, 1)
    with pytest.raises(AttributeError, match="no attribute 'size_'"):
        model.size_


# ---------------------------------------------------------------- ranks that differ


def errors(results):
    assert all(isinstance(result, RuntimeError) for result in results), results
    assert len({str(result) for result in results}) == 1
    return str(results[0])


def test_another_seed_on_one_rank_is_found_at_once():
    comm = Ranks(3)
    told = errors(
        comm.run(
            lambda rank: npo.train(
                DataParallel(MODEL, comm), (X, Y), npo.SGD(), steps=5, seed=int(rank == 2)
            )
        )
    )
    assert "after 0 batches rank 2 differs from rank 0 in weights '0.W', weights '1.W', the" in told
    assert not comm.reductions


def test_other_data_on_one_rank_are_found_at_once():
    comm = Ranks(2)
    params = MODEL.init(np.random.default_rng(0))
    other = X + 1e-15
    told = errors(
        comm.run(
            lambda rank: npo.train(
                DataParallel(MODEL, comm), (other if rank else X, Y), npo.SGD(), params=params
            )
        )
    )
    assert "rank 1 differs from rank 0 in the batch." in told


@pytest.mark.parametrize("every", [1, 7, 10])
def test_weights_that_part_by_a_bit_are_found_at_the_next_check(every):
    """One element of one rank moves by its last bit, which rounding may undo, from batch 12 on."""
    comm = Ranks(2)

    class Loose(npo.SGD):
        def step(self, params, grads):
            super().step(params, grads)
            if self.t >= 12 and comm.Get_rank() == 1:
                b = params["1.b"]
                b[0] = np.nextafter(b[0], 1)

    told = errors(
        comm.run(
            lambda rank: npo.train(
                DataParallel(MODEL, comm, check_every=every), (X, Y), Loose(lr=0.1), steps=40
            )
        )
    )
    found = int(
        re.match(r"after (\d+) batches rank 1 differs from rank 0 in weights '1.b'", told)[1]
    )
    assert found == -(-12 // every) * every


def test_check_by_hand():
    comm = Ranks(2)
    params = [MODEL.init(np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert comm.run(lambda rank: DataParallel(MODEL, comm).check(params[rank])) == [None, None]
    told = errors(comm.run(lambda rank: DataParallel(MODEL, comm).check(params[2 * rank])))
    assert "weights '0.W'" in told
    assert "'0.b'" not in told


# ---------------------------------------------------------------- what is refused, and being alone


@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (1.0, TypeError), (True, TypeError)])
def test_check_every_is_a_count(value, error):
    with pytest.raises(error, match=r"check_every must be an int in the range \[1, inf\)"):
        DataParallel(MODEL, check_every=value)


def test_arrays_of_another_library_are_refused():
    comm = Ranks(1)
    model = npo.models.LinearRegression(1)
    params = {"0.W": DeviceArray(np.zeros(1)), "0.b": np.zeros(1)}
    (error,) = comm.run(
        lambda rank: DataParallel(model, comm, 10).loss_and_grads(params, X[:, :1], Y * 1.0)
    )
    assert isinstance(error, TypeError)
    assert "sends NumPy arrays only. Got DeviceArray for '0.W'" in str(error)


def python(*words, **env):
    env = {**os.environ, **env}
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, env=env)


WORLD = "from npoptim.parallel import world; import sys; print(world(), 'mpi4py' in sys.modules)"
SIZE = "from npoptim.parallel import world; print(world().Get_size())"


def test_a_process_that_is_alone_does_not_import_mpi4py():
    assert python("-c", WORLD).stdout == "None False\n"
    assert python("-c", WORLD, PMI_SIZE="1").stdout == "None False\n"


@pytest.mark.parametrize("name", ["PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS"])
def test_under_mpiexec_without_mpi4py_the_extra_is_named(name):
    done = python("-c", f"import sys; sys.modules['mpi4py'] = None; {WORLD}", **{name: "4"})
    assert "mpi4py is missing; pip install 'npoptim[mpi]' brings it." in done.stderr


def test_mpiexec_of_another_make_is_an_error():
    pytest.importorskip("mpi4py")
    done = python("-c", f"import warnings; warnings.simplefilter('ignore'); {WORLD}", PMI_SIZE="4")
    assert "OSError: mpiexec started 4 processes, but mpi4py sees one" in done.stderr
    done = python("-c", WORLD, PMI_SIZE="4", MPI4PY_LIBMPI="/nonexistent/libmpi.so")
    assert (
        "OSError: mpi4py says: cannot load MPI library; pip install 'npoptim[mpi]'" in done.stderr
    )


@pytest.mark.parametrize(
    "words", [("-m", "mpi4py", "-c", SIZE), ("-c", f"import mpi4py.MPI; {SIZE}")]
)
def test_one_rank_is_a_communicator_where_mpi4py_is_at_hand(words):
    pytest.importorskip("mpi4py")
    assert python(*words).stdout == "1\n"


@pytest.mark.parametrize("comm", [None, Ranks(1)])
def test_aborting_lets_errors_out_where_there_is_one_process(comm):
    assert world() is None
    with pytest.raises(ZeroDivisionError), aborting(comm):
        1 / 0


def test_aborting_ends_all_ranks_with_the_traceback(capsys):
    comm = Ranks(2)
    comm.rank.number = 1
    ended = []
    comm.Abort = ended.append
    with pytest.raises(ZeroDivisionError), aborting(comm):
        raise ZeroDivisionError("in the fields")
    assert ended == [1]
    told = capsys.readouterr().err
    assert told.startswith("rank 1 of 2 failed:\nTraceback")
    assert "ZeroDivisionError: in the fields" in told


# ---------------------------------------------------------------- real ranks


def mpiexec(words, folder, limit=120):
    """Run words under mpiexec; on the loopback device alone."""
    pytest.importorskip("mpi4py")
    bin_folder = Path(sys.executable).parent
    if not (bin_folder / "mpiexec").exists():
        pytest.skip("mpich is not installed in this environment")
    env = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
    env |= {"HYDRA_IFACE": "lo", "UCX_NET_DEVICES": "lo", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(words, capture_output=True, text=True, cwd=folder, env=env, timeout=limit)


def on_ranks(ranks, script, folder, *arguments, launcher=("-m", "mpi4py")):
    (folder / "script.py").write_text(script, encoding="utf-8")
    return mpiexec(
        ["mpiexec", "-n", str(ranks), "python", *launcher, "script.py", *arguments], folder
    )


TRAIN = """
import sys
import numpy as np
import npoptim as npo
from npoptim.parallel import DataParallel

data = npo.data.load("digits")
model = DataParallel(npo.models.for_data("mlp", data), check_every=10)
opt = npo.LAMB(lr=npo.schedules.cosine(0.01, total=200, warmup=10))
history = npo.train(model, data, opt, steps=200, batch_size=1024, dtype=sys.argv[1])
model.check(history.params)
if model.root:
    np.savez("weights.npz", **history.params)
    print(model.ranks, "ranks")
"""


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "close"), [("float64", 1e-12), ("float32", 0)])
def test_1_2_and_4_ranks_agree_after_200_steps(tmp_path, dtype, close):
    pytest.importorskip("sklearn")
    weights = {}
    for ranks in (1, 2, 4):
        done = on_ranks(ranks, TRAIN, tmp_path, dtype)
        assert (done.returncode, done.stdout) == (0, f"{ranks} ranks\n"), done.stderr
        with np.load(tmp_path / "weights.npz") as file:
            weights[ranks] = dict(file)
    for ranks in (2, 4):
        for name, p in weights[1].items():
            np.testing.assert_allclose(weights[ranks][name], p, rtol=0, atol=close)
            assert p.dtype == dtype


@pytest.mark.slow
def test_the_documented_command(tmp_path):
    """Rank 0 alone prints and writes; a checkpoint of 4 ranks goes on on 2 as it would on 1."""
    pytest.importorskip("sklearn")
    text = (ROOT / "docs/cluster.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"<!-- mpi train -->\n```bash\n(.+)\n```", text)
    words = [*shlex.split(line), "--lr", "0.01", "--checkpoint", "run.npz", "--steps"]
    done = mpiexec([*words, "6"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("MLP") == 1
    assert "4 ranks" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"npoptim-out", "run.npz"}
    words[words.index("4")] = "2"
    done = mpiexec([*words, "12", "--resume"], tmp_path)
    assert done.returncode == 0, done.stderr
    resumed = (tmp_path / "run.npz").read_bytes()
    (tmp_path / "run.npz").unlink()
    words[words.index("2")] = "1"
    done = mpiexec([*words, "12"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1 rank\n" in done.stdout
    assert (tmp_path / "run.npz").read_bytes() == resumed
    assert npo.load(tmp_path / "run.npz").opt.t == 12


FAILING = """
import os, signal, sys
import numpy as np
import npoptim as npo
from npoptim.parallel import DataParallel, aborting, world

x = np.random.default_rng(0).normal(size=(64, 3))
model = DataParallel(npo.models.LinearRegression(3))

def callback(event):
    if event.step == 5 and model.rank == 1:
        if sys.argv[1] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if sys.argv[1] == "exit":
            sys.exit(7)
        raise LookupError("on rank 1")

def go():
    npo.train(model, (x, x[:, 0]), npo.SGD(), steps=10**9, callback=callback)

if sys.argv[1] == "aborting":
    with aborting():
        go()
go()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "launcher", "words"),
    [
        ("raise", ("-m", "mpi4py"), "LookupError: on rank 1"),
        ("exit", ("-m", "mpi4py"), ""),
        ("kill", ("-m", "mpi4py"), ""),
        ("aborting", (), "rank 1 of 3 failed:\nTraceback"),
    ],
)
def test_a_rank_that_dies_ends_the_run_within_seconds(tmp_path, how, launcher, words):
    begin = time.monotonic()
    done = on_ranks(3, FAILING, tmp_path, how, launcher=launcher)
    assert done.returncode != 0
    assert words in done.stderr
    assert words == "" or "callback" in done.stderr  # a traceback, not only a message
    assert time.monotonic() - begin < 30


@pytest.mark.slow
def test_a_command_whose_rank_fails_ends_with_the_traceback(tmp_path):
    """`npoptim train` without `-m mpi4py`: a rank that alone finds no memory, say."""
    pytest.importorskip("sklearn")
    script = """
import sys
from npoptim import cli, parallel

def broken(self, *batch):
    if self.rank == 1:
        raise ValueError("only here")
    return whole(self, *batch)

whole = parallel.DataParallel.loss_and_grads
parallel.DataParallel.loss_and_grads = broken
sys.exit(cli.main(["train", "softmax", "--steps", "100000"]))
"""
    done = on_ranks(2, script, tmp_path, launcher=())
    assert done.returncode != 0
    assert "rank 1 of 2 failed:\nTraceback" in done.stderr
    assert "ValueError: only here" in done.stderr
    assert done.stdout.count("MLP") == 0


@pytest.mark.slow
def test_ranks_with_other_seeds_end_with_the_error(tmp_path):
    script = """
import numpy as np
import npoptim as npo
from npoptim.parallel import DataParallel

x = np.random.default_rng(0).normal(size=(64, 3))
model = DataParallel(npo.models.LinearRegression(3))
npo.train(model, (x, x[:, 0]), npo.SGD(), seed=model.rank)
"""
    done = on_ranks(2, script, tmp_path)
    assert done.returncode != 0
    assert "after 0 batches rank 1 differs from rank 0 in weights '0.W', the batch" in done.stderr


@pytest.mark.slow
def test_a_sweep_on_ranks_agrees_with_processes(tmp_path):
    words = ["npoptim", "sweep", "booth", "--optimizer", "lion", "--grid", "lr=0.01,0.1,1"]
    words += ["--grid", "beta1=0,0.9", "--json"]
    ranks = mpiexec(
        ["mpiexec", "-n", "3", "python", "-m", "mpi4py", "-m", *words, "--executor", "mpi"],
        tmp_path,
    )
    assert ranks.returncode == 0, ranks.stderr
    assert ranks.stdout == mpiexec(["python", "-m", *words, "--workers", "2"], tmp_path).stdout
    alone = mpiexec(["python", "-m", "mpi4py", "-m", *words, "--executor", "mpi"], tmp_path)
    assert (alone.returncode, alone.stdout) == (2, "")
    assert "--executor mpi needs several ranks" in alone.stderr
    wrong = ["mpiexec", "-n", "3", "python", "-m", "mpi4py", "-m", *words, "--executor", "mpi"]
    done = mpiexec([*wrong, "--grid", "rl=1"], tmp_path)
    assert done.returncode != 0
    assert done.stderr.count("has no 'rl'") == 1


@pytest.mark.slow
def test_the_benchmark_prints_its_tables(tmp_path):
    pytest.importorskip("sklearn")
    words = ["mpiexec", "-n", "2", "python", "-m", "mpi4py"]
    done = mpiexec([*words, str(ROOT / "tests/bench/allreduce.py"), "--rounds", "10"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Fitted: α = " in done.stdout
    assert done.stdout.count("\n\n| ") == 3
