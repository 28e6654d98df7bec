"""Notebooks read as lessons: the idea in sight, the proof a fold away, no answer before its time.

A notebook that has been rewritten so is named in LESSONS, and every rule here then holds for it.
"""

import ast
import re
import statistics
from urllib.parse import unquote

import nbformat
import pytest

from ftkit import answers
from ftkit.tools import notebooks, outputs, stamp

FOLDER = notebooks.CHECKOUT / "notebooks"
# The rewritten ones, by what stands before the first underscore of their names.
LESSONS: set[str] = {
    "ten",
    "00",
    "01",
    "01b",
    "03",
    "09",
    "09b",
    "02",
    "02b",
    "04",
    "04b",
    "13",
    "14",
    "05",
    "06",
    "07",
    "07b",
    "08",
    "10",
    "11",
    "12",
    "12b",
    "15",
    "16",
    "17",
    "18",
}
CELLS, MEDIAN, LONGEST, COLUMNS = 35, 8, 15, 110
# What `lessons` is asked by id, and where that id is looked up.
ASKED = {
    "predict": answers.all_predictions,
    "reveal": answers.all_predictions,
    "check": answers.all_exercises,
    "hint": answers.all_exercises,
    "solution": answers.all_exercises,
}
# What has to end its cell, and why.
LAST = {
    "claims": "nobody sees how many were checked",
    "reveal": "what comes after it tells the answer",
}
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
# a price up to the next one, where Jupyter sets in italics what stands between their signs
PRICES = re.compile(r"(?<!\\)\$\d[^$\n\\_^=]*\$")
MACHINERY = re.compile(r"#.*(\bpocket\b|\bnbval|\bfmt:|\bnoqa\b|\btype: ignore\b)", re.IGNORECASE)


def number_of(path):
    """What a notebook's ids begin with: "ten" of ten_lora_in_ten_minutes.ipynb."""
    return path.stem.split("_")[0]


def lines_of(cell):
    """The lines of a cell that are not blank, setup lines left out."""
    return [line for line in stamp.without_setup(cell.source).splitlines() if line.strip()]


def nodes_of(cell):
    """A cell's syntax, node by node; none where it is no plain Python."""
    try:
        return list(ast.walk(ast.parse(cell.source)))
    except SyntaxError:
        return []


def calls_of(cell):
    """(function's name, first argument) of each call that names a constant first, from the top."""
    calls = [node for node in nodes_of(cell) if isinstance(node, ast.Call) and node.args]
    for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
        if isinstance(call.args[0], ast.Constant):
            yield ast.unparse(call.func), call.args[0].value


def called(cell, name):
    """Whether a cell calls a function by this name."""
    nodes = nodes_of(cell)
    return any(isinstance(n, ast.Call) and ast.unparse(n.func) == name for n in nodes)


def ends_in(cell, name):
    """Whether the last line of a cell is a call by this name, and thus shown."""
    last = ast.parse(cell.source).body[-1]
    call = last.value if isinstance(last, ast.Expr) else None
    return isinstance(call, ast.Call) and ast.unparse(call.func) == name


def seen(output):
    """What a reader sees of an output: its HTML with what is drawn in it, else its text."""
    data = output.get("data", {})
    drawn = unquote(data.get("image/svg+xml", "") + data.get("text/html", ""))
    picture = any(kind in data for kind in outputs.PICTURES)
    return drawn or ("" if picture else output.get("text", "") + data.get("text/plain", ""))


def is_bare(output):
    """Whether an output is a Python literal and nothing richer."""
    data = output.get("data", {})
    if output.output_type != "execute_result" or set(data) != {"text/plain"}:
        return False
    return data["text/plain"].lstrip()[:1] in ("{", "[", "(", "'", '"')


def has_no_words(output):
    """Whether an output holds a picture that says nothing to those who do not see it."""
    data = output.get("data", {})
    images = re.findall(r"<img\b[^>]*>", data.get("text/html", ""))
    if any(not re.search(r'\balt="[^"]*\w[^"]*"', image) for image in images):
        return True
    return not images and any(kind in data for kind in outputs.PICTURES)


def cell_faults(cell):
    """What is wrong with one code cell."""
    folded, lines = outputs.is_folded(cell), lines_of(cell)
    if not folded and len(lines) > LONGEST:
        yield f"{len(lines)} lines in sight, more than {LONGEST}: fold it, or move it"
    if long := [line for line in lines if len(line) > COLUMNS]:
        yield f"a line of {len(long[0])} characters, more than {COLUMNS}"
    if any(isinstance(node, ast.Assert) for node in nodes_of(cell)):
        yield "an assert: say it in claims({sentence: truth})"
    if found := MACHINERY.search(cell.source):
        yield f"a comment for the machinery: {found.group()}"
    if called(cell, "claims") and not folded:
        yield "claims in sight: fold the cell"
    for name in LAST:
        if called(cell, name) and not ends_in(cell, name):
            yield f"{name} is not the last line: {LAST[name]}"
    yield from output_faults(cell)


def output_faults(cell):
    """What is wrong with what one code cell shows."""
    for output in cell.outputs:
        if is_bare(output):
            yield f"a bare literal is shown: {output.data['text/plain'][:40]}"
        if "≈" in seen(output):
            yield "≈ in sight: show it as HTML, by a Table or another result"
        if has_no_words(output):
            yield "a picture without words for those who do not see it: .describe(title, alt)"
        if outputs.WIDGET in output.get("data", {}):
            yield "a widget without a still before it: show.still_and_live"


def asking_faults(number, cells):
    """What is wrong with the predictions and exercises that a notebook asks for."""
    met = {name: [] for name in ASKED}
    for cell in cells:
        for name, given in calls_of(cell):
            if name not in ASKED:
                continue
            met[name].append(given)
            if given not in ASKED[name]():
                yield f"{name}({given!r}) asks for what is not in answers"
            if str(given).split(".")[0] != number:
                yield f"{name}({given!r}) is another notebook's"
            if name == "reveal" and given not in met["predict"]:
                yield f"{given} is revealed before it is predicted"
    if unanswered := [given for given in met["predict"] if given not in met["reveal"]]:
        yield f"predicted and never revealed: {', '.join(unanswered)}"
    if not met["predict"] or not met["check"]:
        yield "it asks for no prediction, or has no exercise"
    if not cells or not any(dict(calls_of(cell)).get("score_card") == number for cell in cells):
        yield f'no score_card("{number}")'


def prose_faults(texts, folder):
    """What is wrong with the text of a notebook, given by its cells."""
    head, whole = "\n".join(texts[:3]), "\n".join(texts)
    # minutes: in the table of the head, with a number below or beside the word
    if not re.search(r"minutes[\s\S]{0,200}?\d|\d[^\n]{0,40}minutes", head):
        yield "the head states no minutes"
    links = LINK.findall(whole)
    near = [link for link in links if not re.match(r"[a-z]+:|#", link)]
    for link in near:
        if not (folder / link.partition("#")[0]).exists():
            yield f"a link to what is not there: {link}"
    if not any(link.endswith(".ipynb") for link in near):
        yield "no link to the notebook before or after it"
    _, _, rest = whole.partition("## References")
    items = re.findall(r"^\s*(?:[-*]|\d+\.)\s+(.+)$", rest.partition("\n## ")[0], re.MULTILINE)
    if not items:
        yield "no list under '## References'"
    if bare := [item for item in items if "](https://" not in item and "<https://" not in item]:
        yield f"a reference without a link: {bare[0][:60]}"
    if price := PRICES.search(whole):
        yield f"two prices that read as a formula: write \\$ in {price[0][:40]}"
    if re.search(r"≈\s*[-+−]?\d", whole):
        yield "≈ in the text: write 'about', and claim what must hold"


def faults(path):
    """What is wrong with a notebook as a lesson."""
    nb = nbformat.read(path, as_version=4)
    cells = outputs.code_cells(nb)
    open_cells = [cell for cell in cells if not outputs.is_folded(cell)]
    found = [f"cell {i}: {fault}" for i, cell in enumerate(cells, 1) for fault in cell_faults(cell)]
    if len(open_cells) > CELLS:
        found.append(f"{len(open_cells)} code cells in sight, more than {CELLS}")
    middle = statistics.median([len(lines_of(cell)) for cell in open_cells] or [0])
    if middle > MEDIAN:
        found.append(f"half of the cells in sight have more than {MEDIAN} lines: {middle:g}")
    texts = [cell.source for cell in nb.cells if cell.cell_type == "markdown"]
    return [*found, *asking_faults(number_of(path), cells), *prose_faults(texts, path.parent)]


@pytest.mark.parametrize("number", sorted(LESSONS))
def test_it_reads_as_a_lesson(number):
    (path,) = FOLDER.glob(f"{number}_*.ipynb")
    assert faults(path) == []


FOLD = {"jupyter": {"source_hidden": True}, "cellView": "form", "tags": ["hide-input"]}
HEAD = "# A claim\n\n| minutes | needs |\n|---|---|\n| about 20 | nothing |"
NEXT = "[Next: one](01_next.ipynb)"
REFERENCES = "## References\n\n- Hu et al. 2021, [LoRA](https://arxiv.org/abs/2106.09685)\n\n## End"
IMAGE = '<img alt="what it shows" src="data:image/png;base64,AA">'


def result(**data):
    """What a cell ends in, by kind: text, html, png, svg, widget."""
    kinds = {
        "text": "text/plain",
        "html": "text/html",
        "png": "image/png",
        "svg": "image/svg+xml",
        "widget": outputs.WIDGET,
    }
    return nbformat.v4.new_output("execute_result", {kinds[k]: data[k] for k in data})


def code(source, *shown, **metadata):
    return nbformat.v4.new_code_cell(source, outputs=list(shown), metadata=metadata)


def text(source):
    return nbformat.v4.new_markdown_cell(source)


@pytest.fixture
def lesson(tmp_path):
    """The cells of a lesson without a fault, and how to say what is wrong with it."""
    share, first = answers.predictions("00")[0].id, answers.exercises("00")[0].id
    cells = [
        text(HEAD),
        text(NEXT),
        code("from ftkit import setup", **FOLD),
        code(f'predict("{share}")'),
        code(f'found = 1\nreveal("{share}", found)', result(html=IMAGE, text="words")),
        code('claims({"one is one": 1 == 1})', **FOLD),
        code(f'check("{first}", ...)'),
        code('score_card("00")', result(text="✓ ≈3", html='<span class="ft-near">3</span>')),
        text(REFERENCES),
    ]
    tmp_path.joinpath("01_next.ipynb").touch()

    def found(cells=cells):
        path = tmp_path / "00_start.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
        return faults(path)

    return cells, found


def test_a_lesson_without_a_fault_has_none(lesson):
    assert lesson[1]() == []


@pytest.mark.parametrize(
    ("place", "cell", "fault"),
    [
        (6, code("x = 1\n" * 16), "16 lines in sight"),
        (6, code("x = '" + "y" * 106 + "'"), "a line of 112 characters"),
        (6, code("assert 1 < 2"), "an assert"),
        (6, code("assert 1 < 2", **FOLD), "an assert"),
        (6, code("x = 1  # pocket"), "a comment for the machinery"),
        (6, code("# nbval-ignore-output\n1"), "a comment for the machinery"),
        (6, code("# fmt: skip\n1"), "a comment for the machinery"),
        (6, code('claims({"a": 1 < 2})'), "claims in sight"),
        (6, code('claims({"a": 1 < 2})\nx = 1', **FOLD), "claims is not the last line"),
        (4, code('reveal("00.share", 1)\n2'), "reveal is not the last line"),
        (6, code("1", result(text="{'a': 1}")), "a bare literal is shown"),
        (6, code("1", result(text="'words'")), "a bare literal is shown"),
        (6, code("1", result(text="≈3", html="<b>≈3</b>")), "≈ in sight"),
        (6, code("1", result(text="a table ≈3")), "≈ in sight"),
        (6, code("1", result(html=IMAGE.replace("what", "%E2%89%88"))), "≈ in sight"),
        (6, code("1", result(png="AA", text="<Picture>")), "a picture without words"),
        (6, code("1", result(svg="<svg/>", text="x")), "a picture without words"),
        (6, code("1", result(html=IMAGE.replace("what it shows", ""))), "a picture without words"),
        (6, code("1", result(widget={"model_id": "1"})), "a widget without a still"),
        (6, code('check("00.99", ...)'), "check('00.99') asks for what is not"),
        (3, code('predict("00.nothing")'), "predict('00.nothing') asks for what is"),
        (3, code("1"), "is revealed before it is predicted"),
        (4, code("1"), "predicted and never revealed"),
        (6, code("1"), "has no exercise"),
        (7, code("1"), 'no score_card("00")'),
        (7, code('score_card("01")'), 'no score_card("00")'),
        (0, text("# A claim"), "the head states no minutes"),
        (1, text("words"), "no link to the notebook before or after it"),
        (1, text("[Next](99_none.ipynb)"), "a link to what is not there: 99_none.ipynb"),
        (8, text("The end"), "no list under '## References'"),
        (8, text("## References\n\n- Hu et al. 2021"), "a reference without a link: Hu et al."),
        (8, text(REFERENCES + "\n≈ 3 %"), "≈ in the text"),
        (8, text(REFERENCES + "\n$4, not $48"), "two prices that read as a formula"),
    ],
)
def test_each_fault_is_found(lesson, place, cell, fault):
    cells, found = lesson
    cells[place] = cell
    assert any(fault in line for line in found()), found()


def test_another_notebooks_questions_are_found(lesson):
    cells, found = lesson
    other = next(name for name in answers.all_exercises() if not name.startswith("00."))
    cells[6] = code(f'check("{other}", ...)')
    assert f"check('{other}') is another notebook's" in found()


@pytest.mark.parametrize(
    ("cell", "fault"),
    [
        (code("x = 1"), "36 code cells in sight"),
        (code("x = 1\n" * 9), "have more than 8 lines: 9"),
    ],
)
def test_a_lesson_is_short(lesson, cell, fault):
    cells, found = lesson
    in_sight = sum(c.cell_type == "code" and not outputs.is_folded(c) for c in cells)
    cells[7:7] = [code(cell.source) for _ in range(CELLS + 1 - in_sight)]
    assert any(fault in line for line in found()), found()


def test_what_is_folded_may_be_long_and_counts_for_nothing(lesson):
    cells, found = lesson
    cells[7:7] = [code("x = 1\n" * 30, **FOLD) for _ in range(40)]
    assert found() == []


def test_every_lesson_is_there():
    assert {number_of(path) for path in FOLDER.glob("*.ipynb")} >= LESSONS
