"""What a class is handed: nothing that answers for it, and everything else."""

import nbformat
import pytest

from ftkit import UserError
from ftkit.tools import edition

BADGE = "[![Open in Colab](https://a/b.svg)](https://c)"


def write(folder, *cells, name="00_sample"):
    """A notebook that was run; a cell is (kind, source, tags)."""
    nb = nbformat.v4.new_notebook(metadata={"widgets": {}})
    for kind, source, *tags in cells:
        metadata = {"tags": tags} if tags else {}
        if kind == "code":
            shown = [nbformat.v4.new_output("stream", text="42")]
            new = nbformat.v4.new_code_cell(source, outputs=shown, execution_count=1)
        else:
            new = nbformat.v4.new_markdown_cell(source)
        new.metadata.update(metadata)
        nb.cells.append(new)
    nbformat.write(nb, folder / f"{name}.ipynb")
    return folder / f"{name}.ipynb"


def student(*cells):
    """The cells of a notebook as they are handed out."""
    nb = nbformat.v4.new_notebook()
    for kind, source, *tags in cells:
        make = {"code": nbformat.v4.new_code_cell, "text": nbformat.v4.new_markdown_cell}[kind]
        nb.cells.append(make(source, metadata={"tags": tags} if tags else {}))
    edition.student_edition(nb)
    return [cell.source for cell in nb.cells]


def test_nothing_that_was_run_is_handed_out(tmp_path):
    path = write(tmp_path, ("text", f"# T\n\n{BADGE}\n\nwords"), ("code", "6 * 7"), ("code", ""))
    before = path.read_bytes()
    report = edition.write_editions(["00"], tmp_path / "new" / "out", folder=tmp_path)
    assert report.kept_back == {"00_sample": 0}
    assert path.read_bytes() == before
    nb = nbformat.read(tmp_path / "new" / "out" / path.name, as_version=4)
    nbformat.validate(nb)
    assert [cell.source for cell in nb.cells] == ["# T\n\nwords", "6 * 7", ""]
    assert [(c.outputs, c.execution_count) for c in nb.cells[1:]] == [([], None)] * 2
    assert "widgets" not in nb.metadata


@pytest.mark.parametrize(
    "cell",
    [
        ("code", "answer = 3", "solution"),
        ("code", "answer = 3", "hide-input", "solution"),
        ("text", "Ask them first.", "teacher"),
        ("code", 'from ftkit.lessons import solution\nsolution("00.1")'),
        ("code", 'lessons.solution("00.1")'),
        ("text", "<details><summary>Solution</summary>\n\nThree.\n</details>"),
        ("text", "<details>\n<summary><b>For teachers</b></summary>\nAsk.\n</details>\n"),
        ("text", "<details><summary>Teacher's note: time</summary>Ask.</details>"),
        ("text", "<details open><summary>Answers</summary>1, 2</details>"),
    ],
)
def test_what_answers_for_the_class_is_kept_back(cell):
    assert student(("text", "before"), cell, ("text", "after")) == ["before", "after"]


@pytest.mark.parametrize(
    "cell",
    [
        ("code", 'claims({"a solution": True})', "hide-input"),
        ("code", 'check("00.1", ...)'),
        ("code", 'print("solution(1)")'),
        ("code", "%%time\nsolution of"),
        ("text", "<details><summary>A hint</summary>Look up.</details>"),
        ("text", "<details><summary>What a solution costs</summary>Much.</details>"),
        ("text", "A solution and a teacher."),
    ],
)
def test_everything_else_is_handed_out(cell):
    assert student(cell) == [cell[1]]


def test_a_note_goes_and_the_words_around_it_stay():
    fold = "<details><summary>Solution</summary>3</details>"
    other = "<details><summary>More</summary>4</details>"
    assert student(("text", f"# One\n\n{fold}\n\n{other}\n\n{fold}\nend")) == [
        f"# One\n\n{other}\n\nend"
    ]


@pytest.mark.parametrize(
    ("source", "asked"),
    [
        ('predict("00.share", "a twentieth")', 'predict("00.share")'),
        ('predict("00.share")', 'predict("00.share")'),
        ('x = 1\npredict("00.a", guess="é"); y = 2', 'x = 1\npredict("00.a"); y = 2'),
        (
            '"é"; lessons.predict(\n    "00.share",\n    3,\n)\nz',
            '"é"; lessons.predict("00.share")\nz',
        ),
        ('predict("00.a", 1)\npredict("00.b", 2)', 'predict("00.a")\npredict("00.b")'),
        ("predict(", "predict("),
        ('predict("llama-3.1-8b", batch=4)', 'predict("llama-3.1-8b", batch=4)'),
        ("memory.predict(**asked, batch=4)", "memory.predict(**asked, batch=4)"),
    ],
)
def test_guesses_that_are_written_in_are_taken_out(source, asked):
    assert student(("code", source)) == [asked]


def test_the_notebooks_themselves_are_not_written_over(tmp_path):
    path = write(tmp_path, ("code", "1"))
    before = path.read_bytes()
    with pytest.raises(UserError, match="where the notebooks themselves are; give another folder"):
        edition.write_editions([], tmp_path, folder=tmp_path)
    with pytest.raises(UserError, match="no notebook '99'"):
        edition.write_editions(["99"], tmp_path / "out", folder=tmp_path)
    assert path.read_bytes() == before
    assert not (tmp_path / "out").exists()


def test_the_committed_notebooks_can_be_handed_out(tmp_path):
    report = edition.write_editions([], tmp_path)
    written = sorted(tmp_path.glob("*.ipynb"))
    assert [path.stem for path in written] == list(report.kept_back)
    for path in written:
        nb = nbformat.read(path, as_version=4)
        nbformat.validate(nb)
        assert not any(cell.get("outputs") for cell in nb.cells)
        assert "colab-badge" not in nb.cells[0].source


ANSWERED = ("code", 'reveal("00.share", found)')
FOLD = "<details><summary><b>When you have answered</b></summary>\n\n{}\n\n</details>"


@pytest.mark.parametrize(
    ("text", "handed_out"),
    [
        ("It is half.", FOLD.format("It is half.")),
        ("Half.\n\nAll told.", FOLD.format("Half.\n\nAll told.")),
        ("Half.\n\n## 2 · Next\n\nOpen.", f"{FOLD.format('Half.')}\n\n## 2 · Next\n\nOpen."),
        (
            "Half.\n\nAnd now. **Predict:** why?",
            FOLD.format("Half.") + "\n\nAnd now. **Predict:** why?",
        ),
        ("Half.\n\n<details>More</details>", FOLD.format("Half.") + "\n\n<details>More</details>"),
        ("## 2 · Next\n\nOpen.", "## 2 · Next\n\nOpen."),
    ],
)
def test_what_is_said_behind_an_answer_is_folded(text, handed_out):
    assert student(ANSWERED, ("text", text))[1] == handed_out
    # a folded proof may stand between the two
    assert student(ANSWERED, ("code", 'claims({"a": 1})'), ("text", text))[2] == handed_out


def test_what_stands_behind_no_answer_is_not_folded():
    texts = ("text", "One."), ("code", "1 + 1"), ("text", "Two.")
    assert student(*texts) == ["One.", "1 + 1", "Two."]
    assert student(ANSWERED, ("text", "It is half."), ("text", "Then."))[2] == "Then."
