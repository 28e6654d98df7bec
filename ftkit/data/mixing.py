"""TODO header of data.mixing."""

from collections.abc import Sequence

from ..core.errors import UserError


def first(rows, n: int):
    """The first `n` rows."""
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= len(rows):
        raise UserError(
            f"rows is {n!r}; give a whole number from 1 to {len(rows)}, the rows there are."
        )
    return rows.select(range(n))


def replace_answers(rows, replies: Sequence[str]):
    """The rows with other answers, where there is one: a model's own replies to the same prompts,
    say.
    """
    from datasets import Dataset

    kept = [(m, r) for m, r in zip(rows["messages"], replies, strict=True) if r]
    return Dataset.from_list(
        [{"messages": [*m[:-1], {"role": "assistant", "content": r}]} for m, r in kept]
    )


def mix(train, general, share: float, seed: int = 0):
    """`train` with rows of `general` added so that they make up `share` of the result (replay;
    Scialom et al. 2022).
    """
    from datasets import concatenate_datasets

    if not 0 <= share < 1:
        raise UserError(f"the share of replayed rows is {share}; give 0 ≤ share < 1, such as 0.2.")
    n = round(len(train) * share / (1 - share))
    if n > len(general):
        raise UserError(
            f"a share of {share} needs {n} general rows and there are {len(general)}; take a smaller share or more rows."
        )
    chosen = general.shuffle(seed=seed).select(range(n)).select_columns("messages")
    return concatenate_datasets([train.select_columns("messages"), chosen]).shuffle(seed=seed)
