"""Data sets on disk: read in any format, found by name, split.

    load(name, tokenizer)   train, validation and test as a datasets.DatasetDict
    test_rows(name)         the rows to judge a model on
    read(path)              the rows of a JSONL file, every bad line named

What a row has to look like stands in `chat.py`; how the kit's own tasks were drawn in
`world/tasks.py`. The second line of most notebooks, from 00 on.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import UserError, nearest
from ..core.files import data_path
from .chat import EXTRA_COLUMNS, FORMATS, count_answer_tokens, to_messages

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict
    from transformers import PreTrainedTokenizerBase

TASKS = ("tickets", "general", "facts")
NAMED = 3  # bad lines that an error names; the others it counts


def read(path: str | Path) -> list[dict]:
    """The rows of a JSONL file: their `messages` and the columns split, skill and wording.

    Raises UserError for a file that is not there or empty; one error names all bad lines.
    """
    path = Path(path)
    if not path.is_file():
        folder = path.parent if path.parent.is_dir() else Path()
        near = nearest(path.name, [file.name for file in folder.glob("*.jsonl")])
        raise UserError(f"there is no file {str(path)!r}.{near}")

    # every line, so that one error names all that is wrong; splitlines() would break a row at
    # each of Unicode's other line ends, which JSON allows inside its strings
    rows: list[dict] = []
    bad: list[str] = []
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            rows.append(read_row(line))
        except ValueError as error:
            bad.append(f"line {number}: {error}")

    if bad:
        count = f"{len(bad)} bad row{'s' if len(bad) > 1 else ''}"
        named = bad[:NAMED] + (["…"] if len(bad) > NAMED else [])
        raise UserError(f"{path} has {count}: {'; '.join(named)}. Mend or remove them.")
    if not rows:
        raise UserError(f"{path} is empty; a data set needs one JSON object per line ({FORMATS}).")
    return rows


def read_row(line: str) -> dict:
    """One line of a JSONL file as a row; raises ValueError with the reason."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg} at column {error.colno})") from error
    messages = to_messages(row)
    return {**{name: row[name] for name in EXTRA_COLUMNS if name in row}, "messages": messages}


def find_file(name: str | Path) -> Path:
    """The file of a task of the kit ("tickets", "general", "facts"), or the JSONL file itself."""
    if str(name) in TASKS:
        return data_path("tasks", f"{name}.jsonl")
    path = Path(name)
    if path.suffix != ".jsonl" and not path.exists():
        raise UserError(
            f"there is no data set {str(name)!r}; give one of {', '.join(TASKS)} or a .jsonl file."
            f"{nearest(str(name), TASKS)}"
        )
    return path


def load(
    name: str | Path, tokenizer: "PreTrainedTokenizerBase | None" = None, seed: int = 0
) -> "DatasetDict":
    """A `datasets.DatasetDict` of chat examples with the splits train, validation and test.

    name: a task of the kit or a JSONL file (see `find_file`). Rows that state their `split` keep
    it; else 80/10/10 by `seed`.
    tokenizer: where given, every row is rendered once, so that a template that refuses a row does
    so here. Raises UserError for what `read` refuses and for fewer than three rows to split.
    """
    from datasets import Dataset, DatasetDict

    path = find_file(name)
    rows = read(path)
    if tokenizer is not None:
        for number, row in enumerate(rows, 1):
            count_answer_tokens(row["messages"], tokenizer, where=f"{path.name} row {number}")

    # the splits that the rows state
    if all("split" in row for row in rows):
        names = dict.fromkeys(row["split"] for row in rows)
        return DatasetDict({s: Dataset.from_list(rows_of_split(rows, s)) for s in names})

    # or a tenth for test, a tenth for validation, the rest for training
    if len(rows) < 3:
        raise UserError(
            f"{path} has {len(rows)} row{'s' if len(rows) > 1 else ''}; "
            "train, validation and test need three at least."
        )
    shuffled = Dataset.from_list(rows).shuffle(seed=seed)
    tenth = max(1, len(rows) // 10)
    places = {
        "train": range(2 * tenth, len(rows)),
        "validation": range(tenth, 2 * tenth),
        "test": range(tenth),
    }
    return DatasetDict({split: shuffled.select(part) for split, part in places.items()})


def rows_of_split(rows: list[dict], split: str) -> list[dict]:
    """The rows of one split, without the column that states it."""
    chosen = [row for row in rows if row["split"] == split]
    return [{name: v for name, v in row.items() if name != "split"} for row in chosen]


def test_rows(name: str | Path) -> "Dataset":
    """The rows to judge a model on: the test split, or every row of a file that states no splits.

    Raises UserError for a file whose splits have no test rows.
    """
    from datasets import Dataset

    # all rows, or those that are marked
    rows = read(find_file(name))
    if all("split" in row for row in rows):
        rows = rows_of_split(rows, "test")

    if not rows:
        raise UserError(
            f'{name} states splits and has no test rows; mark some with "split": "test", '
            "or state no splits at all."
        )
    return Dataset.from_list(rows)
