"""Two optimizers at once, traced or not; and one that goes on in a copy or in another process."""

import copy
import multiprocessing
import pickle
import sys
import threading
import warnings

import numpy as np
import pytest

import npoptim as npo
from npoptim.optimizers import fused

RULES = list(npo.optimizers().values())
every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda c: c.__name__)
STEPS = 300


@pytest.fixture(params=["small", "large"])
def sizes(request, monkeypatch):
    """Arrays as they are, or all of them run the way of large ones, by threads of their own."""
    if request.param == "large":
        monkeypatch.setattr(fused, "LARGE", 1)
        monkeypatch.setattr(fused, "BLOCK", 2**12)


@pytest.fixture(autouse=True)
def switching_all_the_time():
    """Threads take turns as often as Python lets them."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def optimizer(rule):
    """A rule with a schedule, so that numbers change between steps."""
    return rule(lr=npo.schedules.cosine(0.1, total=STEPS, warmup=5))


def start(seed=0):
    rng = np.random.default_rng(seed)
    return {"W": rng.normal(size=(4, 3)), "b": rng.normal(size=3), "large": rng.normal(size=9_000)}


GRADIENTS = [
    {k: np.cos(t + np.arange(p.size)).reshape(p.shape) for k, p in start().items()}
    for t in range(10)
]


def bits(opt, params):
    """All that a run leaves behind, to the last bit."""
    state = {k: {s: x.tobytes() for s, x in v.items()} for k, v in opt.state.items()}
    return {k: p.tobytes() for k, p in params.items()}, state, opt.t


def steps(opt, params, n=STEPS):
    for t in range(n):
        opt.step(params, GRADIENTS[t % 10])
    return bits(opt, params)


def traced(rule):
    """Three traces of a rule as text, values and all."""
    g = [np.array([1.0, -2.0]), np.array([-0.5, 1.0])]
    return [npo.trace(rule(), np.ones(2), g).to_json() for _ in range(3)]


def at_once(*works):
    """What functions return that are called at the same moment, a thread each."""
    results = [None] * len(works)
    ready = threading.Barrier(len(works), timeout=30)

    def run(i):
        ready.wait()
        try:
            results[i] = works[i]()
        except BaseException as error:
            results[i] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@every_rule
def test_two_optimizers_do_not_disturb_each_other(rule, sizes):
    wanted = [steps(optimizer(rule), start(seed), 40) for seed in (0, 1)]
    got = at_once(*(lambda s=seed: steps(optimizer(rule), start(s), 40) for seed in (0, 1)))
    assert got == wanted


def test_all_rules_at_once(sizes):
    wanted = [steps(optimizer(rule), start(), 20) for rule in RULES]
    assert at_once(*(lambda r=rule: steps(optimizer(r), start(), 20) for rule in RULES)) == wanted


@pytest.mark.slow
@every_rule
def test_tracing_in_one_thread_does_not_disturb_a_step_in_another(rule, sizes):
    wanted = steps(optimizer(rule), start(), 50), traced(rule)
    got = at_once(lambda: steps(optimizer(rule), start(), 50), lambda: traced(rule))
    assert tuple(got) == wanted


@every_rule
def test_two_traces_at_once(rule):
    other = npo.Adam if rule is not npo.Adam else npo.LAMB
    wanted = [traced(rule), traced(rule), traced(other)]
    assert at_once(lambda: traced(rule), lambda: traced(rule), lambda: traced(other)) == wanted


def test_an_error_in_one_thread_is_no_other_threads():
    def fails():
        opt, params = npo.Adam(), start()
        for _ in range(50):
            with pytest.raises(npo.NonFiniteError):
                opt.step(params, {k: np.full_like(p, 1e200) for k, p in params.items()})
        return opt.t

    wanted = steps(optimizer(npo.Adam), start(), 100)
    assert at_once(fails, lambda: steps(optimizer(npo.Adam), start(), 100)) == [0, wanted]


def test_numpys_warnings_are_the_threads_own():
    """A step ignores overflows of its own and nobody else's."""

    def warned():
        times = 0
        for _ in range(300):
            with warnings.catch_warnings(), np.errstate(over="raise"):
                try:
                    np.float32(1e30) * np.full(3, 1e30, np.float32)
                except FloatingPointError:
                    times += 1
        return times

    before = np.geterr()
    got = at_once(lambda: steps(optimizer(npo.LAMB), start(), 100) and 1, warned)
    steps(optimizer(npo.LAMB), start(), 5)
    assert got == [1, 300]
    assert np.geterr() == before


# ---------------------------------------------------------------- copies


def ways():
    """Every rule, and groups of two."""
    lr = npo.schedules.linear(0.1, total=40)
    groups = npo.Groups({"b": npo.SGD(lr=lr), "*": npo.CAME(lr=lr)})
    return [optimizer(rule) for rule in RULES] + [groups]


@pytest.mark.parametrize("way", range(len(RULES) + 1))
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"]
)
def test_copies_go_on_bit_for_bit(way, copied):
    opt, params = ways()[way], start()
    steps(opt, params, 7)
    twin, others = copied((opt, params))
    assert twin == opt
    wanted = steps(opt, params, 7)
    assert steps(twin, others, 7) == wanted


def go_on(opt, params):
    """The next steps, in whatever process."""
    return steps(opt, params, 7)


@pytest.mark.slow
def test_spawned_processes_go_on_bit_for_bit():
    wanted, jobs = [], []
    for opt in ways():
        params = start()
        steps(opt, params, 7)
        jobs.append(copy.deepcopy((opt, params)))
        wanted.append(steps(opt, params, 7))
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        assert pool.starmap(go_on, jobs) == wanted
