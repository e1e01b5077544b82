"""`npoptim train`: the table, the picture, the recipes, bad input."""

import json

import pytest

import npoptim as npo
from npoptim import recipes
from npoptim.cli import main

RULES = list(npo.optimizers())


def trained(capsys, *args):
    assert main(["train", *args, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", recipes.RATES["softmax"])
def test_softmax_reads_digits_with_each_of_the_ten(optimizer, capsys, tmp_path):
    result = trained(
        capsys, "softmax", "--data", "digits", "--optimizer", optimizer, "--out", str(tmp_path)
    )
    assert float(result["rows"][0]["test accuracy"].rstrip("%")) >= 94
    (picture,) = result["files"]
    assert (tmp_path / f"train_softmax_digits_{optimizer}.png").samefile(picture)


def test_the_mlp_reads_97_per_cent(capsys, tmp_path):
    result = trained(capsys, "mlp", "--data", "digits", "--out", str(tmp_path))
    assert float(result["rows"][0]["test accuracy"].rstrip("%")) >= 97


@pytest.mark.parametrize("model", recipes.RATES)
def test_a_recipe_has_a_rate_for_every_rule(model):
    assert sorted(recipes.RATES[model]) == sorted(RULES)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", recipes.RATES["conv"])
def test_the_conv_net_reads_digits_with_each_of_the_ten(optimizer, capsys, tmp_path):
    result = trained(capsys, "conv", "--optimizer", optimizer, "--out", str(tmp_path))
    assert float(result["rows"][0]["test accuracy"].rstrip("%")) >= 97


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", recipes.RATES["transformer"])
def test_the_transformer_learns_with_each_of_the_ten(optimizer, capsys, tmp_path):
    args = ("--optimizer", optimizer, "--steps", "300", "--out", str(tmp_path))
    assert trained(capsys, "transformer", *args)["rows"][0]["test loss"] < 2.43


def test_all_optimizers_make_a_table(capsys, tmp_path):
    args = ["train", "softmax", "--data", "iris", "--epochs", "2", "--optimizer", "all"]
    assert main([*args, "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in RULES)
    assert "at the default lr" in out
    assert "scikit-learn load_iris" in out


def test_the_transformer_is_measured_against_trigrams(capsys, tmp_path):
    result = trained(
        capsys, "transformer", "--steps", "2", "--optimizer", "came", "--out", str(tmp_path)
    )
    assert result["rows"][0]["lr"].startswith("cosine(peak=0.0003, total=2")
    assert "nats" in result["held-out loss of a counted trigram model"]
    assert len(result["samples"].split(", ")) == 10


@pytest.mark.slow
def test_the_transformer_beats_trigrams(capsys, tmp_path):
    args = ("--data", "names", "--optimizer", "came", "--steps", "2000", "--batch-size", "32")
    result = trained(capsys, "transformer", *args, "--out", str(tmp_path))
    trigram = float(result["held-out loss of a counted trigram model"].split()[0])
    assert result["rows"][0]["test loss"] < trigram - 0.05


def test_a_run_is_resumed(capsys, tmp_path):
    args = ["softmax", "--epochs", "2", "--out", str(tmp_path)]
    whole = trained(capsys, *args)
    half = [*args[:2], "1", *args[3:], "--checkpoint", str(tmp_path / "run.npz")]
    trained(capsys, *half)
    resumed = trained(capsys, *args, "--checkpoint", str(tmp_path / "run.npz"), "--resume")
    assert resumed["rows"] == whole["rows"]


def test_rates_are_the_recipes_or_what_was_asked(capsys, tmp_path):
    for lr, shown in (
        ([], "0.03"),
        (["--lr", "default"], "0.01 (default)"),
        (["--lr", "0.5"], "0.5"),
    ):
        args = ["softmax", "--optimizer", "momentum", "--epochs", "1", "--out", str(tmp_path), *lr]
        assert trained(capsys, *args)["rows"][0]["lr"] == shown


BAD = [
    (["softmaks"], "softmax"),
    (["softmax", "--data", "digit"], "digits"),
    (["softmax", "--data", "diabetes"], "diabetes"),
    (["softmax", "--optimizer", "adan"], "adam"),
    (["softmax", "--epochs", "-1"], "epochs"),
    (["softmax", "--batch-size", "0"], "batch-size"),
    (["softmax", "--lr", "fast"], "default"),
    (["softmax", "--lr", "-1"], "lr must be"),
    (["softmax", "--clip", "-1"], "max_norm"),
    (["softmax", "--resume"], "checkpoint"),
    (["softmax", "--optimizer", "all", "--checkpoint", "x"], "one run"),
    (["softmax", "--out", "/dev/null/x"], "cannot write"),
]


@pytest.mark.parametrize(
    ("args", "words"), BAD, ids=lambda x: " ".join(x) if isinstance(x, list) else ""
)
def test_bad_input_is_one_line_and_status_2(args, words, capsys):
    assert main(["train", *args]) == 2
    error = capsys.readouterr().err
    assert error.startswith("npoptim: ")
    assert error.count("\n") == 1
    assert words in error
