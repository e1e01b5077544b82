"""The training loop: batches, records, policies, callbacks, and resuming bit for bit."""

import math

import numpy as np
import pytest

import npoptim as npo
from npoptim.training import Accumulated, EarlyStop

MODEL = npo.models.LinearRegression(3)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 3))
Y = X @ [1.0, -2.0, 0.5] + 0.1 * RNG.normal(size=50)


class Split:
    x_train, y_train, x_test, y_test = X[:40], Y[:40], X[40:], Y[40:]


def same(a, b):
    assert a.params.keys() == b.params.keys()
    assert all(a.params[k].tobytes() == b.params[k].tobytes() for k in a.params)
    assert repr(a.lr) == repr(b.lr)
    for part in ("loss", "grad_norm", "update_norm", "eval_step", "test_loss", "accuracy"):
        np.testing.assert_array_equal(getattr(a, part), getattr(b, part), err_msg=part)
    for name, values in a.trust_ratio.items():
        np.testing.assert_array_equal(values, b.trust_ratio[name])
    assert a.optimizer.t == b.optimizer.t


def test_training_is_the_loop_of_a_lecture():
    """The loop written out gives the same parameters and the same records."""
    history = npo.train(MODEL, (X, Y), npo.Momentum(lr=0.01), epochs=2, batch_size=16, seed=5)
    rng = np.random.default_rng(5)
    params, opt = MODEL.init(rng), npo.Momentum(lr=0.01)
    losses = []
    for _ in range(2):
        order = rng.permutation(50)
        for i in range(0, 50, 16):
            rows = order[i : i + 16]
            loss, grads = MODEL.loss_and_grads(params, X[rows], Y[rows])
            opt.step(params, grads)
            losses.append(loss)
    assert history.loss.tolist() == losses
    assert all(history.params[k].tobytes() == params[k].tobytes() for k in params)
    assert history.optimizer.t == 8


def test_what_is_recorded():
    opt = npo.SGD(lr=npo.schedules.linear(0.1, total=100))
    history = npo.train(MODEL, Split, opt, steps=6, batch_size=10)
    assert history.steps == 6
    assert history.lr.tolist() == [opt.lr(t) for t in range(1, 7)]
    np.testing.assert_allclose(history.update_norm, history.lr * history.grad_norm, rtol=1e-12)
    assert history.eval_step.tolist() == [4, 6]
    assert history.test_loss[-1] == pytest.approx(MODEL.loss(history.params, X[40:], Y[40:]))
    assert np.isnan(history.accuracy).all()
    assert set(history.trust_ratio) == {"0.W", "0.b"}
    assert math.isnan(history.trust_ratio["0.b"][0])  # the bias began at 0
    assert history.trust_ratio["0.b"][1] > 0


def test_groups_record_an_lr_a_pattern():
    opt = npo.Groups({"*.b": npo.SGD(lr=0.5), "*": npo.LAMB(lr=0.1)})
    history = npo.train(MODEL, (X, Y), opt, steps=3)
    assert {k: v.tolist() for k, v in history.lr.items()} == {"*.b": [0.5] * 3, "*": [0.1] * 3}


def test_the_callers_parameters_stay():
    params = MODEL.init(np.random.default_rng(1))
    before = {k: v.copy() for k, v in params.items()}
    history = npo.train(MODEL, (X, Y), npo.SGD(lr=0.1), params=params, steps=3)
    assert all((params[k] == before[k]).all() for k in params)
    assert not np.allclose(history.params["0.W"], params["0.W"])


def test_float32_stays():
    data = npo.train(MODEL, (X, Y), npo.Adam(lr=0.1), steps=3, dtype=np.float32)
    assert {p.dtype for p in data.params.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("clip", [0.5, lambda grads: npo.clip_by_global_norm(grads, 0.5)[0]])
def test_clipping(clip):
    history = npo.train(MODEL, (X, Y), npo.SGD(lr=1.0), clip=clip, steps=2)
    assert (history.grad_norm > 0.5).all()
    np.testing.assert_allclose(history.update_norm, 0.5, rtol=1e-12)


class Spoiled:
    """A model whose gradient is NaN at the third call."""

    task = "regression"

    def __init__(self):
        self.calls = 0

    def __getattr__(self, name):
        return getattr(MODEL, name)

    def loss_and_grads(self, params, x, y):
        self.calls += 1
        loss, grads = MODEL.loss_and_grads(params, x, y)
        if self.calls == 3:
            grads["0.b"] = grads["0.b"] * np.nan
        return loss, grads


def test_nan_policy_raise():
    opt = npo.SGD(lr=0.1)
    with pytest.raises(npo.NonFiniteError, match=r"0\.b"):
        npo.train(Spoiled(), (X, Y), opt, steps=5)
    assert opt.t == 2


def test_nan_policy_skip():
    history = npo.train(Spoiled(), (X, Y), npo.SGD(lr=0.1), steps=5, nan_policy="skip")
    assert (history.steps, history.skipped, history.optimizer.t) == (5, 1, 4)
    assert np.isnan([history.loss[2], history.lr[2], history.update_norm[2]]).all()
    assert np.isfinite(np.delete(history.loss, 2)).all()


def test_nan_policy_propagate():
    history = npo.train(Spoiled(), Split, npo.SGD(lr=0.1), steps=5, nan_policy="propagate")
    assert (history.steps, history.optimizer.t) == (3, 2)
    assert math.isnan(history.loss[-1])
    assert history.eval_step.tolist() == [1, 2, 3]


def test_the_callback_gets_copies_and_may_stop():
    seen = []

    def callback(event):
        for array in (*event.params.values(), *event.grads.values()):
            array[...] = np.nan
        seen.append((event.step, event.epoch, event.test_loss is None))
        return event.step == 5

    history = npo.train(MODEL, Split, npo.SGD(lr=0.1), batch_size=20, callback=callback)
    plain = npo.train(MODEL, Split, npo.SGD(lr=0.1), batch_size=20, steps=5)
    assert seen == [(1, 1, True), (2, 1, False), (3, 2, True), (4, 2, False), (5, 3, True)]
    assert all(history.params[k].tobytes() == plain.params[k].tobytes() for k in plain.params)


def test_pieces_compose_with_the_loop():
    whole = npo.train(MODEL, (X, Y), npo.Adam(lr=0.1), batch_size=50, epochs=3)
    parts = npo.train(Accumulated(MODEL, 4), (X, Y), npo.Adam(lr=0.1), batch_size=50, epochs=3)
    np.testing.assert_allclose(parts.params["0.W"], whole.params["0.W"], rtol=1e-12)
    ema = npo.gradients.EMA(decay=0.5)
    history = npo.train(
        MODEL, (X, Y), npo.SGD(lr=0.1), steps=4, callback=lambda e: ema.update(e.params)
    )
    assert ema.t == 4
    assert not np.allclose(ema.params["0.W"], history.params["0.W"])


def test_early_stop_keeps_the_best():
    stop = EarlyStop(patience=3)
    history = npo.train(MODEL, Split, npo.SGD(lr=1.05), epochs=500, batch_size=40, callback=stop)
    assert history.steps < 500
    assert stop.best == history.test_loss.min()
    assert MODEL.loss(stop.params, X[40:], Y[40:]) == stop.best


def setups():
    lr = npo.schedules.cosine(0.1, total=20, warmup=3)
    yield from (cls(lr=lr) for cls in npo.optimizers().values())
    yield npo.Groups({"*.b": npo.SGD(lr=lr), "*": npo.CAME(lr=lr)})


@pytest.mark.parametrize("opt", list(setups()), ids=lambda o: type(o).__name__)
@pytest.mark.parametrize("cut", [1, 4, 5, 7])
def test_a_run_cut_off_goes_on_bit_for_bit(opt, cut, tmp_path):
    class Cut(Exception):
        pass

    def callback(event):
        if event.step == cut:
            raise Cut

    options = {"steps": 12, "batch_size": 9, "checkpoint_every": 2, "seed": 3}
    whole = npo.train(MODEL, Split, opt.fresh(), **options)
    path = tmp_path / "run.npz"
    with pytest.raises(Cut):
        npo.train(MODEL, Split, opt.fresh(), checkpoint=path, callback=callback, **options)
    resumed = npo.train(MODEL, Split, opt.fresh(), checkpoint=path, resume=True, **options)
    same(resumed, whole)
    again = npo.train(MODEL, Split, opt.fresh(), checkpoint=path, resume=True, **options)
    same(again, whole)
    longer = npo.train(
        MODEL, Split, opt.fresh(), checkpoint=path, resume=True, **options | {"steps": 14}
    )
    assert longer.steps == 14


def test_a_checkpoint_is_not_overwritten_or_mixed_up(tmp_path):
    path = tmp_path / "run.npz"
    npo.train(MODEL, Split, npo.SGD(), steps=2, checkpoint=path)
    with pytest.raises(FileExistsError, match="resume=True"):
        npo.train(MODEL, Split, npo.SGD(), steps=2, checkpoint=path)
    for change in ({"batch_size": 7}, {"seed": 1}):
        opt = npo.SGD()
        with pytest.raises(npo.CheckpointError, match="another run"):
            npo.train(MODEL, Split, opt, steps=2, checkpoint=path, resume=True, **change)
        assert opt.t == 0
    with pytest.raises(npo.CheckpointError):
        npo.train(MODEL, Split, npo.Adam(), steps=2, checkpoint=path, resume=True)


BAD = [
    ({"opt": "sgd"}, TypeError, "opt must be an optimizer"),
    ({"data": X}, TypeError, "data must be a pair"),
    ({"data": (X, Y[:3])}, ValueError, "one length"),
    ({"data": (X[:0], Y[:0])}, ValueError, "at least 1"),
    ({"epochs": -1}, ValueError, "epochs must be an int"),
    ({"epochs": 1.5}, TypeError, "epochs must be an int"),
    ({"batch_size": 0}, ValueError, "batch_size must be an int"),
    ({"steps": -1}, ValueError, "steps must be an int"),
    ({"seed": -1}, ValueError, "seed must be an int"),
    ({"seed": None}, TypeError, "seed must be an int"),
    ({"evaluate_every": 0}, ValueError, "evaluate_every"),
    ({"clip": -1.0}, ValueError, "max_norm"),
    ({"clip": "a"}, TypeError, "max_norm"),
    ({"nan_policy": "ignore"}, ValueError, "raise, skip, propagate"),
    ({"callback": 3}, TypeError, "callback"),
    ({"resume": True}, ValueError, "resume needs checkpoint"),
]


@pytest.mark.parametrize(("change", "error", "words"), BAD)
def test_bad_arguments_are_refused(change, error, words):
    arguments = {"model": MODEL, "data": (X, Y), "opt": npo.SGD()} | change
    with pytest.raises(error, match=words):
        npo.train(**arguments)


def test_no_steps_leave_the_start():
    history = npo.train(MODEL, (X, Y), npo.SGD(), epochs=0)
    start = MODEL.init(np.random.default_rng(0))
    assert all((history.params[k] == start[k]).all() for k in start)
    assert repr(history) == "<History: 0 steps>"
