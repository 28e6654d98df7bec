"""Rows put together: the first ones, other answers to them, and general rows mixed in (replay).

    first(rows, n)                  the first n rows
    mix(train, general, share)      general rows added, so that they make up a share
    replace_answers(rows, replies)  the same prompts with other answers

Which share keeps a skill is measured in `lab` (notebook 10); whose answers the replayed rows have,
`train.Experiment` decides.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..core.errors import UserError, is_number, is_whole
from ..core.session import LAST_SEED
from .sets import to_dataset

if TYPE_CHECKING:
    from datasets import Dataset

LEARNED = ("messages", "tools")  # the columns that training reads; a mixture has no others


def first(rows: "Dataset", n: int) -> "Dataset":
    """The first `n` rows; raises UserError unless 1 ≤ n ≤ the rows there are."""
    if not is_whole(n) or not 1 <= n <= len(rows):
        raise UserError(
            f"rows is {n!r}; give a whole number from 1 to {len(rows)}, the rows there are."
        )
    return rows.select(range(n))


def replace_answers(rows: "Dataset", replies: Sequence[str]) -> "Dataset":
    """The rows with other answers, such as a model's own replies; rows with an empty one go."""
    answered = []
    for row, reply in zip(rows.to_list(), replies, strict=True):
        if reply:
            answer = {"role": "assistant", "content": reply}
            row["messages"] = [*row["messages"][:-1], answer]
            answered.append({name: row[name] for name in LEARNED if row.get(name) is not None})
    return to_dataset(answered)


def mix(train: "Dataset", general: "Dataset", share: float, seed: int = 0) -> "Dataset":
    """`train` with rows of `general` added, so that they make up `share` of the result, shuffled.

    Replay against forgetting (Scialom et al. 2022). Raises UserError unless 0 ≤ share < 1 and
    there are rows enough.
    """
    from datasets import concatenate_datasets

    if not is_number(share) or not 0 <= share < 1:
        raise UserError(
            f"the share of replayed rows is {share!r}; give 0 ≤ share < 1, such as 0.2."
        )
    if not is_whole(seed) or not 0 <= seed <= LAST_SEED:
        raise UserError(f"seed is {seed!r}; give a whole number from 0 to {LAST_SEED:,}.")
    # n / (len(train) + n) = share
    n = round(len(train) * share / (1 - share))
    if n > len(general):
        raise UserError(
            f"a share of {share} needs {n} general rows and there are {len(general)}; "
            "take a smaller share or more rows."
        )
    replayed = general.shuffle(seed=seed).select(range(n))
    parts = [rows.select_columns(named(rows)) for rows in (train, replayed)]
    # messages that state more than the other rows' are of another type
    if parts[0].features != parts[1].features:
        parts = [to_dataset([row for rows in parts for row in rows.to_list()])]
    return concatenate_datasets(parts).shuffle(seed=seed)


def named(rows: "Dataset") -> list[str]:
    """The columns of `rows` that training reads."""
    return [name for name in LEARNED if name in rows.column_names]
