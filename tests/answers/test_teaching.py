"""What notebooks/TEACHING.md says of the exercises is what they say themselves.

`python tests/answers/test_teaching.py` writes the list anew.
"""

import json
import re
from pathlib import Path

from ftkit import answers
from ftkit.core.files import write_whole

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
PAGE = NOTEBOOKS / "TEACHING.md"
BEGIN, END = "<!-- misconceptions -->\n", "<!-- end -->"


def spelled(wrong):
    """A wrong answer as a reader gives it."""
    if isinstance(wrong, list | tuple):
        return "[" + ", ".join(map(spelled, wrong)) + "]"
    return f"{wrong:.6g}" if isinstance(wrong, float) else f"{wrong}"


def notebook_order(path):
    """As the tests sort them, but for the one that is first of all."""
    return path.stem[0].isdigit(), path.stem


def misconceptions():
    """A line per exercise, and below it one for each mistake that it names."""
    lines, notebook = [], ""
    paths = sorted(NOTEBOOKS.glob("*.ipynb"), key=notebook_order)
    order = [path.stem.split("_")[0] for path in paths]
    exercises = answers.all_exercises().items()
    for name, asked in sorted(exercises, key=lambda one: order.index(one[0].split(".")[0])):
        if (number := name.split(".")[0]) != notebook:
            notebook = number
            lines += ["", f"### {notebook}", ""]
        lines.append(f"- **{name} {asked.title}**")
        for mistake in asked.mistakes:
            # what is measured has no number here
            said = "another" if callable(mistake.wrong) else f"`{spelled(mistake.wrong)}`"
            lines.append(f"  - {said} · {mistake.why}")
    return "\n".join(lines).lstrip("\n") + "\n"


def with_list(page):
    """The page with the list as the exercises give it."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{misconceptions()}\n{END}{rest.partition(END)[2]}"


def test_the_mistakes_are_those_of_the_exercises():
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_list(page), "run: python tests/answers/test_teaching.py"


def test_the_list_has_every_exercise_and_what_it_names():
    listed = misconceptions()
    for name, asked in answers.all_exercises().items():
        assert f"**{name} {asked.title}**" in listed
        assert all(mistake.why in listed for mistake in asked.mistakes)


def test_what_the_plans_ask_for_is_there():
    page = PAGE.read_text(encoding="utf-8").partition(BEGIN)[0]
    asked = answers.all_exercises().keys() | answers.all_predictions().keys()
    named = set(re.findall(r"\b((?:ten|\d\db?)\.(?!ipynb)\w+)\b", page))
    assert named and named <= asked
    linked = re.findall(r"\]\((\w+\.ipynb)\)", page)
    assert all((NOTEBOOKS / name).exists() for name in linked)
    assert {path.name for path in NOTEBOOKS.glob("*.ipynb")} == set(linked)


def test_the_minutes_are_those_of_the_heads_and_add_up():
    page = PAGE.read_text(encoding="utf-8").partition(BEGIN)[0]
    stated = dict(re.findall(r"^\| \[\w+\]\((\w+\.ipynb)\).*\| (\d+) \|$", page, re.MULTILINE))
    for path in NOTEBOOKS.glob("*.ipynb"):
        head = re.search(r'"\| (?:about )?(\d+): ([^|]*) \|', path.read_text(encoding="utf-8"))
        parts = sum(map(int, re.findall(r"(?<!\S)\d+", head[2])))
        assert (stated[path.name], parts) == (head[1], int(head[1])), path.name


def test_the_plans_name_sections_that_there_are():
    page = PAGE.read_text(encoding="utf-8")
    for number, last in (("ten", 7), ("00", 7), ("02", 5)):
        (path,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
        heads = {int(n) for n in re.findall(r"^## (\d+) ·", text, re.MULTILINE)}
        assert heads >= set(range(1, last + 1)), number
    assert "Section 7, prediction `ten.cost`" in page


if __name__ == "__main__":
    write_whole(PAGE, with_list(PAGE.read_text(encoding="utf-8")))
