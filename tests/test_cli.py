"""The command line: what it prints, which files it leaves, and how it fails."""

import json
import os
import subprocess
import sys

import pytest

import npoptim
from npoptim import cli
from npoptim import race as races
from npoptim.commands import race as race_command

RACE = ["race", "booth", "--optimizers", "sgd,adam", "--steps", "30"]


def command(*arguments, **options):
    """`npoptim` as a process of its own."""
    line = [sys.executable, "-m", "npoptim", *arguments]
    return subprocess.run(line, capture_output=True, text=True, encoding="utf-8", **options)


def one_line(capsys):
    """What an error printed: one line on stderr, nothing on stdout."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("npoptim: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    return err


def files(folder):
    return sorted(path.name for path in folder.rglob("*"))


def test_race_prints_a_table_and_names_its_pictures(capsys, tmp_path):
    assert cli.main([*RACE, "--out", str(tmp_path / "new")]) == 0
    out, err = capsys.readouterr()
    assert err == ""  # a progress bar is for terminals
    pictures = ["race_booth_loss.png", "race_booth_paths.png"]
    assert files(tmp_path / "new") == ["race_booth.html", *pictures]
    for name in files(tmp_path / "new"):
        assert str(tmp_path / "new" / name) in out
    for name in pictures:
        assert (tmp_path / "new" / name).read_bytes().startswith(b"\x89PNG")
    player = (tmp_path / "new" / "race_booth.html").read_text(encoding="utf-8")
    assert "SGD" in player
    assert "Adam" in player
    rows = [line.split()[0] for line in out.splitlines() if line.startswith(("SGD", "Adam"))]
    assert sorted(rows) == ["Adam", "SGD"]
    printed = out.replace("\n", " ")
    assert " ".join(f"{lr:g}" for lr in races.GRID) in printed
    assert "weight decay 0" in printed
    assert "33 tried" in printed


def test_race_as_json(capsys, tmp_path):
    assert cli.main([*RACE, "--json", "--out", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["name"] for row in found["optimizers"]} == {"sgd", "adam"}
    assert [os.path.exists(file) for file in found["files"]] == [True] * 3
    assert found["steps"] == 30
    assert found["seed"] is None


def test_race_without_minimum_has_no_distance(capsys, tmp_path):
    assert cli.main(["race", "saddle", "--optimizers", "SGD", "--out", str(tmp_path)]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("SGD"))
    assert row.split()[3] == "–"


def test_race_with_noise_says_its_seed(capsys, tmp_path):
    ends = {}
    for seed in ("3", "4", "3"):
        noise = ["--noise", "0.5", "--seed", seed, "--out", str(tmp_path)]
        assert cli.main([*RACE, *noise]) == 0
        out = capsys.readouterr().out
        assert f"seed {seed}" in out
        row = next(line for line in out.splitlines() if line.startswith("SGD"))
        assert ends.setdefault(seed, row.split()[2]) == row.split()[2]
    assert ends["3"] != ends["4"]


def test_race_theme(tmp_path):
    for theme in ("light", "dark"):
        assert cli.main([*RACE, "--theme", theme, "--out", str(tmp_path / theme)]) == 0
    light, dark = ((tmp_path / t / "race_booth_loss.png").read_bytes() for t in ("light", "dark"))
    assert light != dark


def test_memory_prints_exact_bytes(capsys, tmp_path):
    assert cli.main(["memory", "--shape", "1024,768", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert next(line for line in out.splitlines() if line.startswith("CAME")).split()[1] == (
        "3,160,064"
    )
    assert files(tmp_path) == ["memory_1024x768_float32.png"]
    assert files(tmp_path)[0] in out


def test_memory_as_json(capsys, tmp_path):
    arguments = ["memory", "--shape", "10", "--dtype", "float64", "--json", "--out", str(tmp_path)]
    assert cli.main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["nbytes"]["adam"] == 160
    assert found["against_adam"]["sgd"] == 0
    assert found["shape"] == [10]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("race rosenbrok", "Did you mean 'rosenbrock'?"),
        ("race nowhere", "Known: quadratic,"),
        ("race booth --optimizers adm", "Did you mean 'adam'"),
        ("race booth --optimizers sgd,,adam", "unknown optimizer ''"),
        ("race booth --optimizers sgd,sgd", "Got 'sgd' twice"),
        ("race booth --steps -1", "--steps: must be an int in the range [1, inf). Got -1 instead."),
        ("race booth --steps 0", "Got 0 instead."),
        ("race booth --steps ten", "Got ten instead."),
        ("race booth --steps 1.5", "Got 1.5 instead."),
        ("race booth --seed 3", "Add --noise SD."),
        ("race booth --noise 1 --seed -3", "--seed: must be an int in the range [0, inf)."),
        ("race booth --noise -1", "scale must be a float in the range [0, inf). Got -1"),
        ("race booth --noise nan", "Got nan instead."),
        ("race booth --theme pink", "'pink'"),
        ("race booth --step 3", "unrecognized arguments: --step 3"),
        ("race", "SURFACE"),
        ("memory --shape 0x", "--shape: must be ints in the range [1, inf)"),
        ("memory --shape 0,3", "Got '0,3' instead."),
        ("memory --shape 3,-1", "Got '3,-1' instead."),
        ("memory --shape ,", "Got ',' instead."),
        ("memory --dtype int8", "'int8'"),
        ("rac", "unknown command 'rac'. Did you mean 'race'"),
        ("", "COMMAND"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments.split()) == 2
    assert words in one_line(capsys)
    assert files(tmp_path) == []


@pytest.mark.parametrize("arguments", [RACE, ["memory"]])
def test_an_unwritable_folder_is_found_before_the_work(arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(races, "race", None)
    monkeypatch.setattr(races, "memory", None)
    (tmp_path / "file").write_text("not a folder")
    assert cli.main([*arguments, "--out", str(tmp_path / "file" / "pictures")]) == 2
    assert f"{tmp_path / 'file'} is not a folder" in one_line(capsys)


def test_a_folder_that_takes_no_files(capsys, tmp_path, monkeypatch):
    def denied(**options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("npoptim.view.files.tempfile.TemporaryFile", denied)
    assert cli.main(["memory", "--out", str(tmp_path)]) == 2
    assert f"cannot write to {tmp_path}: Permission denied." in one_line(capsys)


@pytest.mark.parametrize("arguments", [RACE, ["memory"]])
def test_without_matplotlib_the_extra_is_named(arguments, capsys, tmp_path, monkeypatch):
    for module in [m for m in sys.modules if m.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(races, "race", None)  # the work is not begun
    monkeypatch.setattr(races, "memory", None)
    assert cli.main([*arguments, "--out", str(tmp_path)]) == 2
    assert "matplotlib is missing; pip install 'npoptim[plot]' brings it." in one_line(capsys)
    assert files(tmp_path) == []


def test_faults_of_the_program_are_no_usage_errors(monkeypatch):
    def faulty(args):
        raise ModuleNotFoundError("No module named 'nmpy'")

    monkeypatch.setattr(race_command, "run", faulty)
    with pytest.raises(ModuleNotFoundError, match="nmpy"):
        cli.main(RACE)


def test_the_traceback_is_there_for_who_asks(monkeypatch):
    monkeypatch.setenv("NPOPTIM_DEBUG", "1")
    with pytest.raises(ValueError, match="rosenbrok"):
        cli.main(["race", "rosenbrok"])


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "not enough memory."),
        (MemoryError("Unable to allocate 9 TiB"), "Unable to allocate 9 TiB"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (ValueError("two\nlines"), "two lines"),
    ],
)
def test_what_goes_wrong_is_one_line(error, words, capsys, monkeypatch):
    def run(args):
        raise error

    monkeypatch.setattr(race_command, "run", run)
    assert cli.main(RACE) == 2
    assert words in one_line(capsys)


def test_an_interrupt_is_status_130(capsys, monkeypatch, tmp_path):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(races, "race", interrupted)
    assert cli.main([*RACE, "--out", str(tmp_path)]) == 130
    assert one_line(capsys) == "npoptim: interrupted.\n"
    assert files(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="Windows interrupts process groups")
def test_ctrl_c_ends_a_race(tmp_path):
    """A real SIGINT, sent by the process to itself once it races."""
    code = (
        "import os, signal, sys, threading\n"
        "from npoptim import race\n"
        "from npoptim.cli import main\n"
        "def interrupted(*args, **kwargs):\n"
        "    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "    return plain(*args, **kwargs)\n"
        "plain, race.race = race.race, interrupted\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    line = [sys.executable, "-c", code, "race", "booth", "--steps", "20000", "--out", str(tmp_path)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120)
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.endswith("npoptim: interrupted.\n")
    assert done.stdout == ""
    assert files(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGPIPE")
def test_a_reader_that_leaves_is_no_error(tmp_path):
    buffered = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    process = subprocess.Popen(
        [sys.executable, "-m", "npoptim", "memory", "--out", str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=buffered,
    )  # fmt: skip
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=30) == 141


def test_a_console_without_the_letters_gets_others(tmp_path):
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = command(*RACE, "--out", str(tmp_path), env=env)
    assert done.returncode == 0, done.stderr
    assert "?s/step" in done.stdout


def test_the_command_is_installed_and_quick():
    """Nothing heavy is imported before a command needs it."""
    code = (
        "import sys\nfrom npoptim.cli import main\nmain(['--help'])\n"
        "print(sorted({'numpy', 'matplotlib', 'sklearn', 'tqdm'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr
    assert command("--version").stdout == f"npoptim {npoptim.__version__}\n"


@pytest.mark.parametrize("name", list(cli._commands()))
def test_every_command_explains_itself(name, capsys):
    module = cli._commands()[name]
    assert cli.main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"npoptim {name}" in out
    assert module.HELP[1:] in " ".join(out.split())
    assert len(module.HELP) < 100


def test_optimizers_are_named_in_any_case():
    assert cli.chosen_optimizers("AdamW, LAMB") == ["adamw", "lamb"]
