"""Read any data format into chat examples, split them, mix them, and see which tokens carry the
loss.
"""

import json
from pathlib import Path

from ..core.errors import UserError, nearest
from ..core.files import data_path
from .chat import FORMATS, KEPT, answer_tokens, to_messages

TASKS = ("tickets", "general", "facts")


def read(path: str | Path) -> list[dict]:
    """The rows of a JSONL file, with their `messages` and the columns split, skill and wording; one
    error names the bad lines.
    """
    path = Path(path)
    if not path.is_file():
        folder = path.parent if path.parent.is_dir() else Path()
        raise UserError(
            f"there is no file {str(path)!r}.{nearest(path.name, [p.name for p in folder.glob('*.jsonl')])}"
        )
    rows, bad = [], []
    for number, line in enumerate(
        path.read_text(encoding="utf-8", errors="replace").splitlines(), 1
    ):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            messages = to_messages(row)
            rows.append({**{k: row[k] for k in KEPT if k in row}, "messages": messages})
        except json.JSONDecodeError as error:
            bad.append(f"line {number}: not JSON ({error.msg} at column {error.colno})")
        except ValueError as error:
            bad.append(f"line {number}: {error}")
    if bad:
        raise UserError(
            f"{path} has {len(bad)} bad row{'s' * (len(bad) > 1)}: {'; '.join(bad[:3])}{'; …' * (len(bad) > 3)}. Mend or remove them."
        )
    if not rows:
        raise UserError(f"{path} is empty; a data set needs one JSON object a line ({FORMATS}).")
    return rows


def find(name: str | Path) -> Path:
    """The file of a task of the kit ("tickets", "general", "facts"), or the JSONL file that `name`
    is.
    """
    if str(name) in TASKS:
        return data_path("tasks", f"{name}.jsonl")
    path = Path(name)
    if path.suffix != ".jsonl" and not path.exists():
        raise UserError(
            f"there is no data set {str(name)!r}; give one of {', '.join(TASKS)} or a .jsonl file.{nearest(str(name), TASKS)}"
        )
    return path


def load(name: str | Path, tokenizer=None, seed: int = 0):
    """A `datasets.DatasetDict` of chat examples with the splits train, validation and test.

    name: a task of the kit or a JSONL file (see `find`). Rows that say their `split` keep it; else
    80/10/10 by `seed`.
    tokenizer: where given, every row is rendered once, so that a template that refuses a row does
    so here.
    """
    from datasets import Dataset, DatasetDict

    path = find(name)
    rows = read(path)
    if tokenizer is not None:
        for number, row in enumerate(rows, 1):
            answer_tokens(row["messages"], tokenizer, where=f"{path.name} row {number}")
    if all("split" in row for row in rows):
        names = dict.fromkeys(row.get("split") for row in rows)
        return DatasetDict({s: Dataset.from_list(of_split(rows, s)) for s in names})
    if len(rows) < 3:
        raise UserError(
            f"{path} has {len(rows)} row{'s' * (len(rows) > 1)}; train, validation and test need three at least."
        )
    whole = Dataset.from_list(rows).shuffle(seed=seed)
    tenth = max(1, len(rows) // 10)
    parts = {"train": (2 * tenth, len(rows)), "validation": (tenth, 2 * tenth), "test": (0, tenth)}
    return DatasetDict({s: whole.select(range(a, b)) for s, (a, b) in parts.items()})


def of_split(rows: list[dict], split: str) -> list[dict]:
    """The rows of one split, without the column that says so."""
    return [{k: v for k, v in row.items() if k != "split"} for row in rows if row["split"] == split]


def test_rows(name: str | Path):
    """The rows to judge a model on: the test split, or every row of a file that states no splits."""
    from datasets import Dataset

    rows = read(find(name))
    if not all("split" in row for row in rows):
        return Dataset.from_list(rows)
    if not (chosen := of_split(rows, "test")):
        raise UserError(
            f'{name} states splits and has no test rows; mark some with "split": "test", or state no splits at all.'
        )
    return Dataset.from_list(chosen)
