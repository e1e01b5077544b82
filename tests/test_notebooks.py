"""The tutorials in notebooks/: their frame, their answers, and that they run.

The frame, which these tests hold every notebook to:

- The file is `NN_name.ipynb`, its cells have the ids NN-00, NN-01, …; no outputs, no execution counts, kernel
  `python3`. A code cell has 25 lines at most.
- The first cell is the title, `# NN · …`, and three paragraphs: **You will do**, **You will need**, **You will
  learn**. The second holds all imports but that of ipywidgets.
- Then, in this order: `## The story` (who, when, why); `## The box` (`npo.pseudocode`); `## Two steps by hand`
  (`npo.trace`, the last expression of its cell, two steps); `## The picture` (a figure, the last expression of its
  cell); `## The experiment: …` (a question that numbers decide, ending in a cell that prints `Verdict:` and computes
  it); `## Exercises`, numbered, 3 to 5, each beginning with a bold name, `1. **Name.** …`. Other sections may stand
  between these.
- docs/answers/NN.md has `## 1. Name` and below it a `{dropdown}` for each exercise. Its `python` blocks run one after
  the other and assert what the answer says.
- A cell with sliders imports ipywidgets itself, says what is missing where it is not there, follows a cell that makes
  the same picture without it, and has the tag `remove-output`, since pages without a kernel cannot show it. It names
  its widgets `knobs`, lr among them, and puts PNGs into an Image, `picture`: nbclient waits in vain where `interact`
  captures output.
- Whatever is claimed is shown or computed: no numbers in the prose that other machines may not reproduce. Nothing is
  defined that the package has or should have.
"""

import json
import re
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
SECTIONS = [
    "The story",
    "The box",
    "Two steps by hand",
    "The picture",
    "The experiment",
    "Exercises",
]
SECONDS = 45

MOVE_A_SLIDER = """
before = picture.value
knobs["lr"].value /= 2
assert picture.value[:4] == b"\\x89PNG"
assert picture.value != before
"""

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path, kind=None):
    """The sources of the cells of a notebook, or of one kind of them."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [
        "".join(cell["source"])
        for cell in notebook["cells"]
        if kind is None or cell["cell_type"] == kind
    ]


def section(path, title):
    """The code of the section whose heading begins with `title`."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    code, inside = [], False
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "code":
            code += [text] * inside
            continue
        for heading in re.findall(r"^## (.*)$", text, re.M):
            known = heading.partition(":")[0] in SECTIONS
            inside = heading.startswith(title) or (inside and not known)
    return "\n".join(code)


def answers(path):
    return (ROOT / "docs" / "answers" / f"{path.stem[:2]}.md").read_text(encoding="utf-8")


def exercises(path):
    """The names of the exercises, in order, with their numbers."""
    text = "\n".join(cells(path, "markdown")).partition("## Exercises")[2]
    return re.findall(r"^(\d+)\. \*\*(.+?)\.?\*\*", text, re.M), text


def test_the_numbers_follow_each_other():
    assert [path.stem[:2] for path in NOTEBOOKS] == [f"{i:02}" for i in range(len(NOTEBOOKS))]
    assert len(NOTEBOOKS) >= 7


@every_notebook
def test_the_file_is_stripped_and_stable(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    ids = [cell["id"] for cell in notebook["cells"]]
    assert ids == [f"{path.stem[:2]}-{i:02}" for i in range(len(ids))]
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


@every_notebook
def test_the_frame_is_kept(path):
    title, imports = cells(path)[:2]
    assert title.startswith(f"# {path.stem[:2]} · ")
    assert re.findall(r"^\*\*You will (\w+)\*\*", title, re.M) == ["do", "need", "learn"]
    assert "import npoptim as npo" in imports
    headings = [
        re.sub(r":.*", "", h)
        for h in re.findall(r"^## (.*)$", "\n".join(cells(path, "markdown")), re.M)
    ]
    assert [h for h in headings if h in SECTIONS] == SECTIONS
    assert "npo.pseudocode(" in section(path, "The box")
    assert re.search(r"^npo\.trace\(.*\bsteps=2\)$", section(path, "Two steps"), re.M | re.S)
    assert re.search(r"^(fig|.*\.plot\(.*\)|plots\.\w+\(.*\))$", section(path, "The picture"), re.M)
    assert re.search(r"print\(f?\"\W*Verdict", section(path, "The experiment"))


@every_notebook
def test_cells_are_short_and_import_at_the_top(path):
    for i, code in enumerate(cells(path, "code")):
        assert len(code.splitlines()) <= 25, code
        assert all(len(line) <= 100 for line in code.splitlines()), code
        imported = set(re.findall(r"^\s*(?:from|import) (\w+)", code, re.M))
        assert imported <= {"ipywidgets"} or i == 0, code


@every_notebook
def test_nothing_names_a_machine(path):
    text = "\n".join(cells(path)) + answers(path)
    assert not re.findall(r"(?<![\w.:/])/(?:home|Users|tmp|work|root|opt)\b|\b[A-Z]:\\", text)


@every_notebook
def test_every_exercise_has_a_hidden_answer(path):
    found, text = exercises(path)
    assert 3 <= len(found) <= 5
    assert len(found) == len(re.findall(r"^\d+\. ", text, re.M))
    assert f"docs/answers/{path.stem[:2]}.md" in text
    heads, hidden = re.subn(r"^(`{3,})\{dropdown\}.*?^\1$", "", answers(path), flags=re.M | re.S)
    assert re.findall(r"^## (\d+)\. (.+)$", heads, re.M) == found
    assert hidden == len(found)
    visible = [line for line in heads.splitlines() if line and not line.startswith("#")]
    assert visible == []


@every_notebook
def test_sliders_have_a_picture_without_them(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    live = [i for i, cell in enumerate(code) if "ipywidgets" in "".join(cell["source"])]
    assert live or path.stem[:2] not in ("02", "03")
    for i in live:
        source = "".join(code[i]["source"])
        shown = re.search(r"picture = ui.Image\(value=(\w+)\(\)", source)[1]
        assert re.search(rf"^{shown}\(\)$", "".join(code[i - 1]["source"]), re.M)
        assert "except ModuleNotFoundError" in source
        assert code[i]["metadata"]["tags"] == ["remove-output"]


@pytest.mark.slow
@every_notebook
def test_the_answers_are_true(path):
    code = re.findall(r"^```python\n(.*?)^```$", answers(path), re.M | re.S)
    assert code
    exec(compile("\n".join(code), answers.__name__, "exec"), {"__name__": "answers"})


@pytest.mark.slow
@every_notebook
def test_it_runs_without_a_warning(path, tmp_path, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of the tools are their own affair
        import nbclient
        import nbformat

        monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
        notebook = nbformat.read(path, as_version=4)
        strict = nbformat.v4.new_code_cell("import warnings; warnings.simplefilter('error')")
        lenient = nbformat.v4.new_code_cell(
            "import time; warnings.simplefilter('ignore'); time.process_time()"
        )
        live = any("ipywidgets" in cell.source for cell in notebook.cells)
        moved = nbformat.v4.new_code_cell(MOVE_A_SLIDER * live)
        notebook.cells = [strict, *notebook.cells, moved, lenient]
        client = nbclient.NotebookClient(
            notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
        )
        client.execute()
    seconds = float(
        lenient.outputs[0].data["text/plain"]
    )  # of the processor: others may use it too
    outputs = [o for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs]
    said = [o.text for o in outputs if o.output_type == "stream"]
    assert [o.text for o in outputs if o.output_type == "stream" and o.name == "stderr"] == []
    assert [o for o in outputs if o.output_type == "error"] == []
    assert any("Verdict:" in text for text in said)
    shown = [key for o in outputs if o.output_type == "execute_result" for key in o.data]
    assert "image/png" in shown
    assert "text/html" in shown
    assert list(tmp_path.iterdir()) == []
    assert seconds < SECONDS
