"""The guides' code runs, every optimizer's page has every section, every public name a page."""

import doctest
import json
import re
import shlex
import sys
import warnings
from pathlib import Path

import pytest

import npoptim as npo
from npoptim import cli, experiments

DOCS = Path(__file__).parents[1] / "docs"
GUIDES = [
    path
    for path in sorted(DOCS.glob("*.md"))
    if "```python" in path.read_text(encoding="utf-8")
    and path.name not in ("index.md", "cluster.md")  # a line of a class; what needs machines
]
SECTIONS = [
    "The box and the code",
    "Step by step",
    "On a surface",
    "What it remembers",
    "Defaults",
    "How to choose",
    "When it helps, and when not",
    "Where libraries differ",
    "What users get wrong",
    "Exercises",
    "The class",
]
#: Not to be run here: it opens JupyterLab, or needs what only a reader has.
APART = ("learn", "check", "homework")

every_rule = pytest.mark.parametrize("name", list(npo.optimizers()))


def blocks(path, language):
    """The code of a page in one language, block by block."""
    text = path.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def commands():
    """Every `npoptim …` of the guides, once."""
    pages = [path for path in sorted(DOCS.glob("*.md")) if path.name != "cluster.md"]
    lines = [
        line for path in pages for block in blocks(path, "bash") for line in block.splitlines()
    ]
    found = dict.fromkeys(line.partition("#")[0].strip() for line in lines)
    return [x for x in found if x.startswith("npoptim ") and x.split()[1] not in APART]


@pytest.mark.parametrize("path", [*GUIDES, DOCS.parent / "README.md"], ids=lambda path: path.stem)
def test_the_code_of_a_guide_runs(path, tmp_path, monkeypatch):
    """Block after block in one namespace; those with `>>>` must print what they say."""
    monkeypatch.chdir(tmp_path)
    space = {"__name__": "__main__"}
    exec("import numpy as np, npoptim as npo", space)  # groups.md has no imports of its own
    parser = doctest.DocTestParser()
    for i, code in enumerate(blocks(path, "python")):
        if code.startswith(">>>"):
            test = parser.get_doctest(code, space, f"{path.stem}, block {i + 1}", str(path), 0)
            test.globs = space  # not a copy: what a block defines, the next ones use
            said = []
            runner = doctest.DocTestRunner(verbose=False)
            runner.run(test, out=said.append, clear_globs=False)
            assert not runner.failures, "".join(said)
        else:
            file = tmp_path / f"block{i + 1}.py"  # so that Python finds the source of a class
            file.write_text(code, encoding="utf-8")
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "FigureCanvasAgg is non-interactive")
                exec(compile(code, str(file), "exec"), space)


def test_the_line_on_the_first_page_is_adams():
    [line] = blocks(DOCS / "index.md", "python")
    source = Path(sys.modules[npo.Adam.__module__].__file__).read_text(encoding="utf-8")
    assert line.strip() in source
    assert npo.pseudocode(npo.Adam)[9] in (DOCS / "index.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_guides_runs(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    assert cli.main(shlex.split(command)[1:]) == 0
    assert capsys.readouterr().out


def test_the_guides_name_commands_and_files_that_are_there():
    for path in [*DOCS.glob("*.md"), *DOCS.glob("rules/*.md")]:
        text = re.sub(r"\s+", " ", path.read_text(encoding="utf-8"))
        for name in re.findall(r"`npoptim experiment (\w+)`", text):
            assert name in experiments.names(), path.name
    reading = (DOCS / "reading.md").read_text(encoding="utf-8")
    found = re.findall(r"`([a-z_/]+(?:\.py|/))`", reading)
    assert len(found) > 20
    for name in found:
        top = DOCS.parent if name.startswith("tests") else DOCS.parent / "npoptim"
        assert (top / name).exists() or list(top.rglob(name)), name


# ---------------------------------------------------------------- what is generated


@pytest.fixture(scope="module")
def site():
    """The modules of docs/ that make pages."""
    pytest.importorskip("matplotlib")
    sys.path.insert(0, str(DOCS))
    try:
        import generate
        import letters
        import pages
        import reference

        yield {m.__name__: m for m in (generate, letters, pages, reference)}
    finally:
        sys.path.remove(str(DOCS))


@every_rule
def test_a_rules_page_has_every_section(name, site, monkeypatch):
    monkeypatch.setattr(site["pages"], "player", lambda rule, surface: f"players/{surface}.html")
    text = site["generate"].optimizer(npo.optimizers()[name])
    outside = re.sub(r"`{5}.*?`{5}", "", text, flags=re.S)
    assert re.findall(r"^## (.*)$", outside, re.M) == SECTIONS
    for section in re.split(r"^## ", outside, flags=re.M)[1:]:
        assert len(section.partition("\n")[2].strip()) > 20, section
    assert text.count("<iframe") == 2
    assert 'class="npo-trace' in text


@every_rule
def test_a_rules_stepper_is_the_same_at_every_build_and_shows_both_steps(name, site):
    rule = npo.optimizers()[name]
    html = site["pages"].live(rule)
    assert html == site["pages"].live(rule)
    assert "step 1 · p" in html
    assert "step 2 · p" in html
    for text in npo.pseudocode(rule).values():
        assert text.replace("<", "&lt;") in html


def test_a_player_is_drawn_once(site, tmp_path, monkeypatch):
    pages = site["pages"]
    monkeypatch.setattr(pages, "EXTRA", tmp_path)
    monkeypatch.setattr(pages, "STEPS", 5)
    path = tmp_path / pages.player(npo.SGD, "booth")
    first = path.stat().st_mtime_ns
    pages.player(npo.SGD, "booth")
    assert path.stat().st_mtime_ns == first
    monkeypatch.setattr(pages, "_source", lambda: "another")
    pages.player(npo.SGD, "booth")
    assert path.read_text(encoding="utf-8").endswith("<!-- another -->")


def test_every_public_name_has_a_page_of_the_reference(site):
    pages = site["reference"].pages()
    for name in npo.__all__:
        assert f"`{name}`" in pages["api.md"]
    listed = {name for _, names in site["reference"].PAGES.values() for name in names}
    assert not {*listed, *site["reference"].MODULES} - set(npo.__all__)
    for module in site["reference"].MODULES:
        for name in site["reference"].members(module):
            assert f"npoptim.{module}.{name}" in pages[f"api/{module}.md"]


def test_a_public_name_without_a_page_fails_the_build(site, monkeypatch):
    monkeypatch.setattr(npo, "__all__", [*npo.__all__, "contract"])
    with pytest.raises(site["reference"].MissingPage, match=r"npoptim\.contract is public"):
        site["reference"].pages()


def test_a_public_name_without_a_docstring_fails_the_build(site, monkeypatch):
    monkeypatch.setattr(npo.run, "__doc__", None)
    with pytest.raises(site["reference"].MissingPage, match=r"npoptim\.run .* no docstring"):
        site["reference"].pages()


@every_rule
def test_the_notation_has_every_letter_of_a_rule(name, site):
    letters, rule = site["letters"], npo.optimizers()[name]
    fields = letters._fields(rule)
    given = npo.pseudocode(rule)[1].removeprefix("given ").split(", ")
    assert set(given) <= set(fields)
    own = rule().hyper()
    for place in fields.values():
        word, _, index = place.rstrip("]").partition("[")
        assert word in own, place
        assert not index or int(index) < len(own[word])
    slots = set(letters._slots(rule).values())
    assert set(rule().init(__import__("numpy").ones((2, 3)))) <= slots
    for names in letters.STATE.get(name, {}).values():
        assert set(names) <= slots


def test_the_notation_takes_arguments_from_what_is_known_of_libraries(site):
    page = site["letters"].page()
    assert "| β₁ | β₁ | `betas[0]` | `betas[0]` | `b1` | `beta_1` |" in page
    assert '| m | m | `state["m"]` | `exp_avg` | `mu` | `momentum` |' in page
    assert "−`beta2_decay`" in page


def test_exercises_come_from_the_tutorial(site):
    text = site["pages"].exercises(npo.Adam)
    assert "answers/03.md" in text
    notebook = next((DOCS.parent / "notebooks").glob("03_*.ipynb")).read_text(encoding="utf-8")
    listed = re.findall(r"^\d\. \*\*(.*?)\*\*", text, re.M)
    assert len(listed) >= 3
    assert all(json.dumps(name)[1:-1] in notebook or name in notebook for name in listed)
