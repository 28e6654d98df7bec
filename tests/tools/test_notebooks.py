"""The committed notebooks are executed in order and clean; and the engine that makes them so does
what it promises.
"""

import json
import os
import re
import shutil
import sys
from pathlib import Path

import nbformat
import pytest

from ftkit.tools import notebooks, outputs, stamp

ROOT = notebooks.CHECKOUT
COMMITTED = sorted((ROOT / "notebooks").glob("*.ipynb"))
MACHINE_PATH = re.compile(
    r"(?<![\w.])/(?:root|home|work|tmp|usr/lib|content|Users)/[\w.@-]+|[A-Z]:\\\\?Users\\"
)
IGNORE = outputs.IGNORED
LINES, COLUMNS, KILOBYTES, SHOWN, IGNORED = 20, 110, 320, 0.8, 0.05


def cell_findings(cell):
    """What is wrong with one code cell."""
    lines = stamp.without_setup(cell.source).splitlines()
    tags = cell.metadata.get("tags", [])
    # proofs and plots lie a fold away (see test_lessons)
    if len(lines) > LINES and not outputs.is_folded(cell):
        yield f"{len(lines)} lines, more than {LINES}: move a function to the package"
    if long := [line for line in lines if len(line) > COLUMNS]:
        yield f"a line of {len(long[0])} characters, more than {COLUMNS}"
    if cell.source.rstrip().endswith(";"):
        yield "a trailing ';' hides what the cell shows"
    if outputs.is_ignored(cell) and not any("#" in line for line in lines):
        yield f"{IGNORE} without a reason in a comment"
    for output in cell.outputs:
        if output.output_type == "error" and "raises-exception" not in tags:
            yield f"an error is committed: {output.ename}"
        if output.get("name") == "stderr":
            yield "stderr is committed"
        if found := MACHINE_PATH.search(json.dumps(output, ensure_ascii=False)):
            yield f"a machine's path in an output: {found.group()}"


def findings(path):
    """What is wrong with one notebook."""
    nb = nbformat.read(path, as_version=4)
    cells = outputs.code_cells(nb)
    counts = [cell.execution_count for cell in cells]
    found = [
        f"cell {i}: {finding}" for i, cell in enumerate(cells, 1) for finding in cell_findings(cell)
    ]
    if counts != list(range(1, len(cells) + 1)):
        cure = f"python -m ftkit notebooks {path.stem}"
        found.append(f"execution counts are {counts}, not 1..{len(cells)}: {cure}")
    if "widgets" in nb.metadata:
        found.append("metadata.widgets is committed, which breaks previews")
    # the first cell may be folded: it fetches the kit on Colab, and imports
    if not any("setup(" in cell.source for cell in cells[:2]):
        found.append("neither of the first two code cells calls setup()")
    in_sight = [cell for cell in cells if not outputs.is_folded(cell)]
    if sum(bool(cell.outputs) for cell in in_sight) < SHOWN * len(in_sight):
        found.append(f"fewer than {SHOWN:.0%} of the cells in sight end in a shown output")
    if path.stat().st_size > KILOBYTES * 1000:
        found.append(f"{path.stat().st_size // 1000} kB, more than {KILOBYTES}")
    return found


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_committed(path):
    assert findings(path) == []


def test_committed_outputs_are_compared():
    cells = [
        cell for path in COMMITTED for cell in outputs.code_cells(nbformat.read(path, as_version=4))
    ]
    assert sum(map(outputs.is_ignored, cells)) <= IGNORED * len(cells), (
        f"more than {IGNORED:.0%} of the cells are tagged {IGNORE}"
    )


def write(folder, *cells, name="00_sample"):
    """A notebook of code cells, never run; a cell is its source, or (source, tags)."""
    nb = nbformat.v4.new_notebook()
    for cell in cells:
        source, tags = cell if isinstance(cell, tuple) else (cell, [])
        nb.cells.append(nbformat.v4.new_code_cell(source, metadata={"tags": tags} if tags else {}))
    path = folder / f"{name}.ipynb"
    nbformat.write(nb, path)
    return path


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    path = write(
        tmp_path_factory.mktemp("good"),
        "def setup():\n    return 'ready'\n\n\nsetup()",
        "print('one')\nprint('two')",
        "6 * 7",
    )
    report = notebooks.run_notebooks(folder=path.parent)
    assert report.failed == [], report
    return path


@pytest.fixture
def good(executed, tmp_path):
    """A copy of a notebook that has been run, alone in its folder."""
    return Path(shutil.copy(executed, tmp_path))


def change(path, edit):
    nb = nbformat.read(path, as_version=4)
    edit(nb)
    nbformat.write(nb, path)


def test_a_good_notebook_has_no_findings(good):
    assert findings(good) == []


def set_source(text):
    return lambda nb: nb.cells[2].update(source=text)


def set_outputs(*outputs):
    return lambda nb: nb.cells[2].update(outputs=list(outputs))


@pytest.mark.parametrize(
    ("edit", "finding"),
    [
        (lambda nb: nb.cells[2].update(execution_count=None), "not 1..3"),
        (lambda nb: nb.cells[2].update(execution_count=7), "not 1..3"),
        (lambda nb: nb.metadata.update(widgets={}), "metadata.widgets"),
        (lambda nb: nb.cells[2].metadata.update(tags=[IGNORE]), "without a reason"),
        (lambda nb: nb.cells[0].update(source="1"), "two code cells calls setup()"),
        (lambda nb: nb.cells.clear(), "two code cells calls setup()"),
        (set_source("6 * 7;"), "trailing ';'"),
        (set_source("1\n" * 21), "21 lines"),
        (set_source("x = " + "1" * 110), "a line of 114 characters"),
        (set_outputs(), "in sight end in a shown output"),
        (set_outputs(nbformat.v4.new_output("stream", name="stderr", text="oh")), "stderr"),
        (
            set_outputs(nbformat.v4.new_output("stream", text="see /home/someone/x")),
            "a machine's path",
        ),
        (set_outputs(nbformat.v4.new_output("stream", text="x" * 320_000)), "more than 320"),
        (
            set_outputs(nbformat.v4.new_output("error", ename="ValueError", evalue="")),
            "an error is committed: ValueError",
        ),
    ],
)
def test_each_finding_is_found(good, edit, finding):
    change(good, edit)
    assert any(finding in found for found in findings(good))


def test_a_reason_makes_an_ignored_output_fine(good):
    change(
        good,
        lambda nb: (nb.cells[2].metadata.update(tags=[IGNORE]), set_source("6 * 7  # a clock")(nb)),
    )
    assert findings(good) == []


def test_what_is_written_is_tidy(good):
    nb = nbformat.read(good, as_version=4)
    assert [cell.id for cell in nb.cells] == ["c00", "c01", "c02"]
    assert [cell.execution_count for cell in nb.cells] == [1, 2, 3]
    assert [cell.metadata for cell in nb.cells] == [{}, {}, {}]
    assert nb.cells[1].outputs == [
        {"output_type": "stream", "name": "stdout", "text": "one\ntwo\n"}
    ]
    assert nb.cells[2].outputs[0].data == {"text/plain": "42"}
    assert nb.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert [p.name for p in good.parent.iterdir()] == ["00_sample.ipynb"]


def test_two_runs_give_the_same_bytes(tmp_path):
    path = write(
        tmp_path,
        "import time\nf'≈{time.perf_counter_ns() % 1000} ns'",
        "import ipywidgets\nwith ipywidgets.Output() as out:\n    print('inside')\nout",
        "ipywidgets.IntSlider(3)",
        "import matplotlib.pyplot as plt\nfig, ax = plt.subplots(figsize=(1, 1))\nfig",
    )
    runs = []
    for _ in range(2):
        assert notebooks.run_notebooks(["00"], folder=path.parent).failed == []
        runs.append(path.read_bytes())
    assert runs[0] == runs[1]
    nb = nbformat.read(path, as_version=4)
    assert "widgets" not in nb.metadata
    assert nb.cells[2].outputs[0].data[outputs.WIDGET]["model_id"] == f"{2:016x}{0:016x}"
    assert any("image/png" in output.data for output in nb.cells[3].outputs)


def test_the_kernel_is_this_interpreter_in_the_folder_of_the_notebook(tmp_path):
    names = "FTKIT_PROGRESS", "FTKIT_JOURNAL", "OMP_NUM_THREADS"
    asked = ", ".join(f"os.environ[{name!r}]" for name in names)
    path = write(tmp_path, f"import os, sys\nprint(sys.executable, os.getcwd(), {asked})")
    notebooks.run_notebooks(folder=path.parent)
    said = nbformat.read(path, as_version=4).cells[0].outputs[0].text
    stated = ["0", "0", os.environ["OMP_NUM_THREADS"]]
    assert said.split() == [sys.executable, str(path.parent), *stated]


def test_a_failing_cell_leaves_the_file_alone(tmp_path):
    path = write(tmp_path, "1", "raise ValueError('r must be in 1..8\\nand more')", "2")
    before = path.read_bytes()
    report = notebooks.run_notebooks(folder=path.parent)
    assert path.read_bytes() == before
    assert (report.ran, report.failed) == (["00_sample"], ["00_sample"])
    assert report.reasons == {"00_sample": "00_sample, cell 2: ValueError: r must be in 1..8"}
    assert list(report.seconds) == ["00_sample"]
    assert "cell 2: ValueError" in str(report)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("import sys\nprint('careful', file=sys.stderr)", "cell 1: it wrote to stderr: careful"),
        ("assert False", "cell 1: AssertionError"),
        ("import os\nos._exit(1)", "cell 1: Kernel died"),
        (("1", ["raises-exception"]), "cell 1: it is tagged raises-exception and raised nothing"),
    ],
)
def test_other_failures_say_what_happened(tmp_path, cell, reason):
    path = write(tmp_path, cell)
    before = path.read_bytes()
    assert notebooks.run_notebooks(folder=path.parent).reasons == {
        "00_sample": f"00_sample, {reason}"
    }
    assert path.read_bytes() == before


def test_a_cell_that_takes_too_long_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(notebooks, "CELL_SECONDS", 1)
    path = write(tmp_path, "import time\ntime.sleep(60)")
    assert (
        "cell 1: A cell timed out"
        in notebooks.run_notebooks(folder=path.parent).reasons["00_sample"]
    )


def test_a_promised_exception_is_kept(tmp_path):
    path = write(tmp_path, ("1 / 0", ["raises-exception"]))
    assert notebooks.run_notebooks(folder=path.parent).failed == []
    assert notebooks.run_notebooks(check=True, folder=path.parent).failed == []
    assert nbformat.read(path, as_version=4).cells[0].outputs[0].ename == "ZeroDivisionError"


def test_check_passes_and_writes_nothing(good):
    before = good.read_bytes(), good.stat().st_mtime_ns
    assert notebooks.run_notebooks(check=True, folder=good.parent).failed == []
    assert (good.read_bytes(), good.stat().st_mtime_ns) == before


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (
            lambda nb: nb.cells[2].outputs[0].data.update({"text/plain": "41"}),
            "cell 3: text/plain was '41' and is now '42'",
        ),
        (
            lambda nb: nb.cells[1].outputs[0].update(text="one\n"),
            r"cell 2: stdout was 'one\n' and is now 'one\ntwo\n'",
        ),
        (
            lambda nb: nb.cells[1].update(outputs=[]),
            "cell 2: 0 outputs are committed and it now gives 1",
        ),
    ],
)
def test_check_notices_a_changed_output(good, edit, reason):
    change(good, edit)
    before = good.read_bytes()
    assert notebooks.run_notebooks(check=True, folder=good.parent).reasons == {
        "00_sample": f"00_sample, {reason}"
    }
    assert good.read_bytes() == before


def test_check_leaves_ignored_outputs_alone(good):
    change(
        good,
        lambda nb: (nb.cells[2].metadata.update(tags=[IGNORE]), nb.cells[2].update(outputs=[])),
    )
    assert notebooks.run_notebooks(check=True, folder=good.parent).failed == []


CLAIMING = (
    "from ftkit import setup\nenv = setup()\nenv",
    "from ftkit.lessons import claims\n"
    "claims({}, pocket={'one below two': 1 < 2, 'one above two': 1 > 2})",
)


def test_another_model_gives_a_report_of_claims_and_leaves_the_file_alone(tmp_path, monkeypatch):
    path = write(tmp_path, *CLAIMING)
    before = path.read_bytes()
    assert notebooks.run_notebooks(folder=tmp_path).reasons == {
        "00_sample": "00_sample, cell 2: ClaimError: 1 of 2 claims does not hold: one above two"
    }
    monkeypatch.setenv("FTKIT_MODEL", "owner/name")
    report = notebooks.run_notebooks(folder=tmp_path)
    assert (report.failed, list(report.claims["00_sample"].values())) == ([], [1, 1, 0])
    assert "1 ✓, 1 ✗, 0 –" in str(report)
    assert path.read_bytes() == before
    with pytest.raises(ValueError, match="unset FTKIT_MODEL"):
        notebooks.run_notebooks(check=True, folder=tmp_path)


def test_executed_notebooks_go_where_they_are_asked_to(tmp_path, monkeypatch):
    path, out = write(tmp_path, *CLAIMING), tmp_path / "new" / "out"
    before = path.read_bytes()
    monkeypatch.setenv("FTKIT_MODEL", "owner/name")
    notebooks.run_notebooks(folder=tmp_path, out=out)
    cell = nbformat.read(out / path.name, as_version=4).cells[1]
    told = cell.outputs[0].data["text/plain"]
    assert "✓ as with the pocket model: one below two" in told
    assert "✗ unlike the pocket model: one above two" in told
    monkeypatch.delenv("FTKIT_MODEL")
    assert notebooks.run_notebooks(folder=tmp_path, out=out).failed == ["00_sample"]
    assert (
        nbformat.read(out / path.name, as_version=4).cells[1].outputs[0].output_type == "error"
    ), "a failed one too, to look at"
    assert path.read_bytes() == before


def test_names(tmp_path, monkeypatch):
    for name in ("00_start", "03_four_bits"):
        path = write(tmp_path, "1", name=name)
    folder = path.parent
    for names in (["03"], ["03_four_bits"], ["03_four_bits.ipynb", "03"]):
        assert [p.stem for p in notebooks.find_notebooks(names, folder)] == ["03_four_bits"]
    assert [p.stem for p in notebooks.find_notebooks([], folder)] == ["00_start", "03_four_bits"]
    with pytest.raises(
        ValueError, match=r"no notebook '03_for_bits' in .* Did you mean '03_four_bits'\?"
    ):
        notebooks.run_notebooks(["03_for_bits"], folder=folder)
    with pytest.raises(ValueError, match=r"There are 00_start, 03_four_bits\."):
        notebooks.run_notebooks(["zzz"], folder=folder)
    with pytest.raises(ValueError, match="there are no notebooks in"):
        notebooks.run_notebooks(folder=folder / "none")


def test_without_jupyter_one_sentence_says_what_to_install(good, monkeypatch):
    monkeypatch.setitem(sys.modules, "nbclient", None)
    with pytest.raises(ValueError, match=r'pip install "ftkit\[lab\]"'):
        notebooks.run_notebooks(folder=good.parent)


def test_the_bar_can_be_had_and_goes_to_stderr(good, monkeypatch, capsys):
    monkeypatch.setenv("FTKIT_PROGRESS", "1")
    notebooks.run_notebooks(check=True, folder=good.parent)
    out, err = capsys.readouterr()
    assert out == ""
    assert "00_sample: 100%" in err
