"""Which rows may a run be judged on? Those that it has not seen: what was trained on is known.

    keep_unseen(rows, folder)    an `Unseen`: those rows alone, and what has to be said of them

A run folder lists what its training and validation rows say (`train.trained_rows`); of an older one
they are read again from its data. The verb `evaluate` asks here. Notebook 09.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .. import data, train
from ..core.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

UNKNOWN = (
    "What the run was trained on is not known: its folder has no rows.json, and its data are gone "
    "or changed. Rows that it was trained on would flatter it."
)


@dataclass(frozen=True)
class Unseen:
    """The rows that a run has not seen, and what has to be said of them."""

    rows: "Dataset"
    notes: list[str]  # in sentences
    left_out: int = 0
    near: int | None = None  # rows left that are nearly the same as a training row; None: unknown


def keep_unseen(rows: "Dataset", folder: str | Path, option: str = "--all") -> Unseen:
    """The rows that the run in a folder has not seen, by what they say (`data.row_hash`).

    option: what the caller has to score all of them after all; "" where it has nothing.

    Neither its training rows nor those that it was validated with; of the file that it was trained
    on, its own test split. Raises UserError if none is left.
    """
    splits = load_again(folder)
    trained, validated = (hashes_of(folder, split, splits) for split in ("train", "validation"))
    if trained is None or validated is None:
        return Unseen(rows, [UNKNOWN])

    # which are left, and what the others are
    said = [data.row_hash(messages) for messages in rows["messages"]]
    test = own_test(said, trained, splits)
    left = [
        place
        for place, row in enumerate(said)
        if row not in trained | validated and (test is None or row in test)
    ]
    others = explain(said, trained, validated, len(left))
    if not left:
        instead = f", or {option} to score these" if option else ""
        raise UserError(f"{others}, so no row is new to {folder}; give other rows{instead}.")
    instead = f", {option} scores them" if option else ""
    notes = [f"{others}: they are left out{instead}."] if others else []
    if test is not None:
        notes.insert(0, f"Scored: the {len(left)} rows of the run's own test split.")

    # what is nearly the same stays, and is said
    kept = rows.select(left)
    near = None if splits is None else len(data.near_copies(kept, splits["train"]))
    if near:
        notes.append(f"{near} of the {len(left)} rows scored nearly repeat a training row.")
    return Unseen(kept, notes, len(said) - len(left), near)


def own_test(
    said: Sequence[str], trained: Set[str], splits: "DatasetDict | None"
) -> set[str] | None:
    """What the run's own test rows say, if the rows are those that it was split from; else None."""
    if splits is None or "test" not in splits or trained.isdisjoint(said):
        return None
    test = {data.row_hash(messages) for messages in splits["test"]["messages"]}
    return test if test <= set(said) else None


def explain(said: Sequence[str], trained: Set[str], validated: Set[str], left: int) -> str:
    """How many rows are not left, and why; "" where all are."""
    if left == len(said):
        return ""
    of_training = sum(row in trained for row in said)
    of_validation = sum(row in validated - trained for row in said)
    parts = [f"{of_training} of {len(said)} rows were trained on"]
    if of_validation:
        parts.append(f"{of_validation} validated it")
    if others := len(said) - left - of_training - of_validation:
        parts.append(f"{others} are not of its test split")
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]


def load_again(folder: str | Path) -> "DatasetDict | None":
    """The data of a run, read again; None where they are gone or no longer those of the run."""
    record = train.read_record(folder)
    try:
        splits = train.Experiment.from_dict(record["experiment"]).load_splits()
    except UserError:
        return None
    return splits if train.hash_rows(splits["train"]) == record["hashes"]["train"] else None


def hashes_of(folder: str | Path, split: str, splits: "DatasetDict | None") -> set[str] | None:
    """What the rows of a run's split said: by its own list, or read again; None if unknown."""
    if Path(folder, "rows.json").is_file():
        return train.trained_rows(folder, split)
    if splits is None:
        return None
    rows = splits[split]["messages"] if split in splits else []
    return {data.row_hash(messages) for messages in rows}
