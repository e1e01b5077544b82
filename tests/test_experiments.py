"""The papers' claims at toy scale: the machinery, the exact facts, and the robust directions."""

import json
import math

import numpy as np
import pytest

from npoptim import Adafactor, Adam, AdamW, data, experiments, models
from npoptim.experiments import (
    base,
    batch,
    biases,
    clipping,
    decay,
    figures,
    idle,
    lion,
    memory,
    report,
    rescaling,
)

NAMES = experiments.names()
ROW = {"optimizer": "Adam", "lr": 0.1, "loss": 0.5}
PART = base.Part("the loss is at most 1", True, "0.5")


def result(**changes):
    fields = {
        "rows": [ROW], "parts": [PART], "conditions": ["digits", "seed 0"], "name": "lion",
        "title": "A title", "claim": "A claim.", "quick": False, "seconds": 1.0, "draw": None,
    }  # fmt: skip
    return base.Result(**{**fields, **changes})


def sweep(losses):
    """Runs of an lr -> its losses, one a seed."""
    return [{"lr": lr, "seed": s, "loss": x} for lr, xs in losses.items() for s, x in enumerate(xs)]


@pytest.fixture(scope="module")
def quick():
    """Every experiment in its short form, run once."""
    found = {}

    def get(name):
        if name not in found:
            found[name] = experiments.run(name, quick=True, progress=False)
        return found[name]

    return get


# ---------------------------------------------------------------- every experiment


def test_names_are_the_eight_files():
    assert NAMES == [
        "batch", "biases", "clipping", "decay", "idle", "lion", "memory", "rescaling",
    ]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_quick_run_has_a_table_a_verdict_and_a_picture(name, quick, tmp_path):
    found = quick(name)
    assert found.quick
    assert found.verdict in ("reproduced", "partly", "not reproduced at this scale")
    assert all(list(row) == found.columns for row in found.rows)
    assert all(part.statement and part.numbers for part in found.parts)
    json.dumps(found.summary(), allow_nan=False)
    assert "too short" in str(found)
    for theme in ("light", "dark"):
        found.plot(theme).savefig(tmp_path / f"{theme}.png")
    assert (tmp_path / "light.png").read_bytes() != (tmp_path / "dark.png").read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_a_claim_is_one_sentence_with_its_source(name):
    claim = experiments.claims()[name]
    assert claim.endswith(".")
    assert ". " not in claim.replace("et al. ", "")
    assert any(str(year) in claim for year in range(2015, 2026))


@pytest.mark.parametrize("name", NAMES)
def test_the_picture_says_lr_or_grid_steps_and_seed(name, quick):
    words = " ".join(text.get_text() for text in quick(name).plot().texts)
    assert "step" in words or "epochs" in words
    assert "seed" in words
    assert quick(name).verdict in words


def test_the_same_seed_gives_the_same_numbers_and_another_does_not():
    one, again, other = (
        experiments.run("clipping", quick=True, seed=seed, progress=False).rows
        for seed in (0, 0, 1)
    )
    assert one == again
    assert one != other


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(ValueError, match=r"unknown experiment 'lions'\. Did you mean 'lion'"):
        experiments.run("lions")


@pytest.mark.parametrize("seed", [-1, 1.0, True, None])
def test_a_seed_that_is_none_is_refused(seed):
    with pytest.raises(ValueError, match=r"seed must be an int in the range \[0, inf\)"):
        experiments.run("idle", quick=True, seed=seed)


# ---------------------------------------------------------------- exact facts


def test_rescaling_by_a_power_of_two_is_exact_for_rates_relative_to_a_layer(quick):
    rows = {row["optimizer"]: row for row in quick("rescaling").rows}
    for name in rescaling.INVARIANT:
        assert rows[name]["difference, × 8"] == 0.0
        assert rows[name]["difference, × 10"] < 1e-12
    for name in ("SGD", "Momentum", "Adam", "AdamW", "Lion", "CAME"):
        assert rows[name]["difference, × 8"] > 0.1
    assert quick("rescaling").verdict == "reproduced"


def test_the_network_without_biases_is_that_with_biases_at_zero():
    rng = np.random.default_rng(0)
    free, full = rescaling.BiasFree((5, 4, 3)), models.MLP((5, 4, 3))
    params, x, y = free.init(rng), rng.standard_normal((7, 5)), rng.integers(0, 3, 7)
    zeros = {"0.b": np.zeros(4), "1.b": np.zeros(3)}
    loss, grads = free.loss_and_grads(params, x, y)
    expected, all_grads = full.loss_and_grads({**params, **zeros}, x, y)
    assert list(grads) == ["0.W", "1.W"]
    assert loss == expected
    assert all((grads[k] == all_grads[k]).all() for k in grads)


def test_a_zero_bias_steps_a_thousand_times_further_with_gamma_one(quick):
    part = quick("biases").parts[0]
    assert part.holds
    assert part.numbers == "1000 to 1000 times"


def test_both_starts_of_the_biases_are_one_function():
    found, model = data.load("digits"), models.MLP(biases.SIZES)
    even, uneven = (
        model.loss(biases._params(model, factors, seed=3), found.x_test, found.y_test)
        for factors in biases.STARTS.values()
    )
    assert uneven == pytest.approx(even, rel=1e-4)


def test_library_lars_differs_only_where_a_norm_is_zero():
    p, g, v = np.ones(3), np.full(3, 2.0), np.zeros(3)
    ours, theirs = biases.LARS(), biases.LibraryLARS()
    np.testing.assert_array_equal(ours.update(p, g, 1, v)[0], theirs.update(p, g, 1, v)[0])
    np.testing.assert_allclose(theirs.update(0 * p, g, 1, v)[0], -2.0, rtol=1e-12)


def test_lion_walks_on_and_the_others_stay(quick):
    rows = {row["optimizer"]: row for row in quick("idle").rows}
    assert rows["Lion"]["moved by t = 1000"] == pytest.approx(1000, rel=1e-4)
    assert rows["Adam"]["moved by t = 1000"] == pytest.approx(5.9, abs=0.1)
    assert rows["SGD"]["moved by t = 1000"] == pytest.approx(1e-6, rel=1e-4)
    assert rows[idle.DECAYED]["moved by t = 1000"] == pytest.approx(
        1000 * (1 - 0.999**1000), rel=1e-3
    )
    assert quick("idle").verdict == "reproduced"


def test_lions_memory_halts_above_zero_in_float32():
    m = np.float32(1e-8)
    for _ in range(20_000):
        m = np.float32(0.99) * m
    assert m == pytest.approx(7e-44, rel=0.02)
    assert np.float32(0.9) * m > 0


# ---------------------------------------------------------------- variants


def test_the_decay_that_is_adams_constant_beta2():
    schedule = clipping.bias_corrected(0.999)
    for t in (2, 10, 1000):
        hat = 0.999 * (1 - 0.999 ** (t - 1)) / (1 - 0.999**t)  # Shazeer & Stern, section 7.1
        assert 1 - t ** -schedule(t) == pytest.approx(hat, rel=1e-12)
    vector = Adafactor(decay=schedule, clip=math.inf)
    p, v = np.ones(2), np.zeros(2)
    g = np.array([3.0, -0.5])
    _, after = vector.at(1).update_vector(p, g, 1, v)
    np.testing.assert_allclose(after["v"], g**2)


def test_adam_with_l2_puts_the_decay_into_the_gradient():
    p, g, zero = np.array([2.0, -3.0]), np.array([0.1, 0.2]), np.zeros(2)
    coupled = decay.AdamL2(weight_decay=0.5).update(p, g, 1, zero, zero)
    plain = Adam().update(p, g + 0.5 * p, 1, zero, zero)
    np.testing.assert_array_equal(coupled[0], plain[0])
    assert not np.array_equal(coupled[0], AdamW(weight_decay=0.5).update(p, g, 1, zero, zero)[0])


# ---------------------------------------------------------------- machinery


@pytest.mark.parametrize(
    ("holds", "verdict"),
    [
        ([True, True], "reproduced"),
        ([True, False], "partly"),
        ([False], "not reproduced at this scale"),
    ],
)
def test_the_verdict_counts_the_parts(holds, verdict):
    assert result(parts=[base.Part("", h, "") for h in holds]).verdict == verdict


def test_the_best_has_the_lowest_mean_over_the_seeds_and_knows_the_edge():
    runs = sweep({0.1: [3.0, 5.0], 1.0: [1.0, 2.0], 10.0: [0.0, math.inf]})
    won = base.best(runs, "lr", "loss")
    assert won == {"lr": 1.0, "edge": "", "loss": 1.5, "least": 1.0, "most": 2.0}
    assert base.best(runs[2:], "lr", "loss")["edge"] == "low"
    assert base.best(runs[:4], "lr", "loss")["edge"] == "high"
    assert base.per_seed(runs, "lr", "loss").tolist() == [1.0, 2.0]


def test_the_vertex_is_the_grids_own_at_an_edge_or_beside_a_divergence():
    runs = sweep({0.1: [3.0], 1.0: [1.0], 10.0: [2.0], 100.0: [math.inf]})
    assert 1.0 < base.vertex(runs, "lr", "loss") < 10**0.5
    assert base.vertex(runs[1:], "lr", "loss") == 1.0
    assert base.vertex(sweep({0.1: [3.0], 1.0: [1.0], 10.0: [math.inf]}), "lr", "loss") == 1.0
    assert base.vertex(sweep({0.1: [1.0], 1.0: [1.0], 10.0: [1.0]}), "lr", "loss") == 0.1


def test_a_run_that_diverges_has_infinite_losses():
    found, model = data.load("iris"), models.SoftmaxRegression(4, 3)
    with np.errstate(all="ignore"):
        losses = base.fit(model, found, Adam(lr=1e300), steps=5, batch=50, seed=0)
    assert losses["training loss"] == losses["held-out loss"] == math.inf


def test_a_run_is_not_seen_by_the_caller_of_its_start():
    found, model = data.load("iris"), models.SoftmaxRegression(4, 3)
    params = model.init(np.random.default_rng(0), np.float32)
    before = {k: p.copy() for k, p in params.items()}
    base.fit(model, found, Adam(), steps=2, batch=50, seed=0, params=params)
    assert all((params[k] == before[k]).all() for k in before)


@pytest.mark.parametrize("lamb", [0.5, 1.0])
def test_the_verdict_of_batch_follows_the_numbers(lamb):
    batches = (16, 64, 256)
    rows = [
        {"optimizer": name, "batch": b, "between": b ** (lamb if name == "LAMB" else 0.1)}
        for name in batch.GRIDS
        for b in batches
    ]
    part = batch._root(rows)
    assert part.holds == (lamb == 0.5)
    assert f"LAMB {lamb:.2f}" in part.numbers


def test_infinity_reads_diverged_and_is_null_in_json():
    found = result(rows=[{**ROW, "loss": math.inf}])
    assert "diverged" in str(found)
    assert found.summary()["rows"][0]["loss"] is None


def test_the_edge_of_a_grid_is_explained_where_it_occurs():
    inside, low = {**ROW, "edge": ""}, {**ROW, "edge": "low"}
    assert "beyond may be better" not in str(result(rows=[inside, inside]))
    assert "beyond may be better" in str(result(rows=[inside, low]))


def test_markdown_holds_the_table_the_verdict_and_the_picture():
    text = report.markdown(result(), "pictures/lion.png")
    assert "| Adam | 0.1 | 0.5 |" in text
    assert "**Verdict: reproduced.**" in text
    assert "![A title](pictures/lion.png)" in text
    assert "![" not in report.markdown(result())


def test_a_curve_that_leaves_the_picture_does_not_stretch_it():
    lines = [figures.Series([1, 2, 3], [1.0, 1e9, math.inf], "Adam")]
    fig, (ax,), look = figures.page(result(), "light", lines)
    figures.draw(ax, look, lines, "x", "y", top=10)
    assert ax.get_ylim()[1] < 10
    fig.canvas.draw()


# ---------------------------------------------------------------- the command


def run(capsys, *arguments):
    from npoptim.cli import main

    status = main(["experiment", *map(str, arguments)])
    return status, *capsys.readouterr()


def test_without_a_name_the_command_lists_the_claims(capsys):
    status, out, _ = run(capsys)
    assert status == 0
    assert [line for line in out.splitlines() if not line.startswith(" ")] == NAMES
    claims = json.loads(run(capsys, "--json")[1])
    assert claims == experiments.claims()


def test_the_command_prints_the_table_and_draws_the_picture(capsys, tmp_path):
    status, out, _ = run(capsys, "idle", "--quick", "--out", tmp_path / "new")
    assert status == 0
    assert "Verdict: reproduced." in out
    assert (tmp_path / "new" / "experiment_idle.png").stat().st_size > 10_000


def test_the_command_as_json(capsys, tmp_path):
    _, out, _ = run(capsys, "idle", "--quick", "--seed", 3, "--json", "--out", tmp_path)
    found = json.loads(out)
    assert found["verdict"] == "reproduced"
    assert "seed 3" in found["conditions"]
    assert found["files"] == [(tmp_path / "experiment_idle.png").as_posix()]


def test_markdown_draws_only_where_it_is_told_to(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, out, _ = run(capsys, "idle", "--quick", "--markdown")
    assert out.startswith("## ")
    assert list(tmp_path.iterdir()) == []
    _, out, _ = run(capsys, "idle", "--quick", "--markdown", "--out", "pictures")
    assert "](pictures/experiment_idle.png)" in out


def test_all_is_a_page_with_a_section_for_each(capsys, monkeypatch, quick):
    monkeypatch.setattr(experiments, "run", lambda name, **_: quick(name))
    status, out, _ = run(capsys, "all", "--quick", "--markdown")
    assert status == 0
    assert out.startswith("# ")
    assert out.count("\n## ") == len(NAMES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lions"], "unknown experiment 'lions'. Did you mean 'lion'"),
        (["idle", "--seed", "-1"], r"--seed: must be an int in the range"),
        (["idle", "--json", "--markdown"], "not allowed with"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_status_two(arguments, message, capsys):
    status, out, err = run(capsys, *arguments)
    assert status == 2
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_a_folder_that_cannot_be_written_is_said_before_the_run(capsys, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(experiments, "run", None)
    status, _, err = run(capsys, "idle", "--out", tmp_path / "file" / "below")
    assert status == 2
    assert "is not a folder" in err


# ---------------------------------------------------------------- directions at full size


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rescaling", "idle"])
def test_exact_claims_reproduce(name):
    assert experiments.run(name, seed=10, progress=False).verdict == "reproduced"


def one_seed(first, count):
    """The full runs, of three seeds, are docs/experiments.md."""
    return [first]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "holds"),
    [
        (biases, {0: True, 1: True, 2: True}),  # 1/η, and 8 and 5,000 times the loss; 2 are asked
        (lion, {1: True, 2: False}),  # the gain grows with the batch in training, not held out
        (clipping, {0: True}),  # clipping does what warm-up does in part of the grid
        (decay, {0: False, 1: True}),  # the paper's decay follows lr, PyTorch's does not
    ],
    ids=lambda x: getattr(x, "__name__", "").rpartition(".")[-1] or "parts",
)
def test_directions_hold_with_one_seed(module, holds, monkeypatch):
    monkeypatch.setattr(module, "seeds", one_seed)
    parts = experiments.run(module.__name__.rpartition(".")[-1], seed=10, progress=False).parts
    assert {i: parts[i].holds for i in holds} == holds


@pytest.mark.slow
def test_adafactor_is_near_adam_with_a_twentieth_of_the_state(monkeypatch):
    best = {"SGD": 1.0, "Adam": 0.01, "Adafactor": 0.032, "CAME": 0.001}  # of docs/experiments.md
    monkeypatch.setattr(memory, "seeds", one_seed)
    monkeypatch.setattr(memory, "GRIDS", {name: [lr] for name, lr in best.items()})
    found = experiments.run("memory", seed=10, progress=False)
    rows = {row["optimizer"]: row for row in found.rows}
    assert rows["Adafactor"]["state bytes"] < rows["Adam"]["state bytes"] / 20
    assert found.parts[0].holds
