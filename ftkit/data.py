"""Read any data format into chat examples, split them, mix them, and see which tokens carry the loss."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from .runtime import UserError, data_path, nearest

TASKS = ("tickets", "general", "facts")
FORMATS = "messages · prompt + completion · instruction (+ input) + output"
KEPT = ("split", "skill", "wording")  # columns beside the messages
ROLES = ("system", "user", "assistant", "tool")


def to_messages(row: object) -> list[dict]:
    """One row of any known format as chat messages; raises ValueError with the reason when it is none.

    messages: [{"role", "content"}, …], prompt/completion, or Alpaca's instruction/input/output.
    """
    if not isinstance(row, Mapping):
        raise ValueError(f"the row is a {type(row).__name__}, not a JSON object")
    if "messages" in row:
        messages = row["messages"]
    elif {"prompt", "completion"} <= row.keys():
        messages = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["completion"]}]
    elif {"instruction", "output"} <= row.keys():
        prompt = "\n".join(p for p in (row["instruction"], row.get("input")) if p)
        messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": row["output"]}]
    else:
        raise ValueError(f"the keys {', '.join(map(str, row)) or '(none)'} fit no known format ({FORMATS})")
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise ValueError("'messages' is not a list with at least one message")
    for m in messages:
        if not isinstance(m, Mapping) or not isinstance(m.get("content"), str) or m.get("role") not in ROLES:
            raise ValueError(f"a message needs a role ({', '.join(ROLES)}) and a text content")
    if messages[-1]["role"] != "assistant" or not messages[-1]["content"].strip():
        raise ValueError("the last message is not an answer of the assistant, so there is nothing to learn from it")
    return [{"role": m["role"], "content": m["content"]} for m in messages]


def read(path: str | Path) -> list[dict]:
    """The rows of a JSONL file, with their `messages` and the columns split, skill and wording; one error names the bad lines."""
    path = Path(path)
    if not path.is_file():
        folder = path.parent if path.parent.is_dir() else Path()
        raise UserError(f"there is no file {str(path)!r}.{nearest(path.name, [p.name for p in folder.glob('*.jsonl')])}")
    rows, bad = [], []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
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
    """The file of a task of the kit ("tickets", "general", "facts"), or the JSONL file that `name` is."""
    if str(name) in TASKS:
        return data_path("tasks", f"{name}.jsonl")
    path = Path(name)
    if path.suffix != ".jsonl" and not path.exists():
        raise UserError(f"there is no data set {str(name)!r}; give one of {', '.join(TASKS)} or a .jsonl file.{nearest(str(name), TASKS)}")
    return path


def load(name: str | Path, tokenizer=None, seed: int = 0):
    """A `datasets.DatasetDict` of chat examples with the splits train, validation and test.

    name: a task of the kit or a JSONL file (see `find`). Rows that say their `split` keep it; else 80/10/10 by `seed`.
    tokenizer: where given, every row is rendered once, so that a template that refuses a row does so here.
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
        raise UserError(f"{path} has {len(rows)} row{'s' * (len(rows) > 1)}; train, validation and test need three at least.")
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
        raise UserError(f'{name} states splits and has no test rows; mark some with "split": "test", or state no splits at all.')
    return Dataset.from_list(chosen)


def first(rows, n: int):
    """The first `n` rows."""
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= len(rows):
        raise UserError(f"rows is {n!r}; give a whole number from 1 to {len(rows)}, the rows there are.")
    return rows.select(range(n))


def answered(rows, replies: Sequence[str]):
    """The rows with other answers, where there is one: a model's own replies to the same prompts, say."""
    from datasets import Dataset

    kept = [(m, r) for m, r in zip(rows["messages"], replies, strict=True) if r]
    return Dataset.from_list([{"messages": [*m[:-1], {"role": "assistant", "content": r}]} for m, r in kept])


def mix(train, general, share: float, seed: int = 0):
    """`train` with rows of `general` added so that they make up `share` of the result (replay; Scialom et al. 2022)."""
    from datasets import concatenate_datasets

    if not 0 <= share < 1:
        raise UserError(f"the share of replayed rows is {share}; give 0 ≤ share < 1, such as 0.2.")
    n = round(len(train) * share / (1 - share))
    if n > len(general):
        raise UserError(f"a share of {share} needs {n} general rows and there are {len(general)}; take a smaller share or more rows.")
    chosen = general.shuffle(seed=seed).select(range(n)).select_columns("messages")
    return concatenate_datasets([train.select_columns("messages"), chosen]).shuffle(seed=seed)


def answer_tokens(messages: list[dict], tokenizer, where: str = "the row") -> int:
    """How many tokens of a chat example carry loss: those of the assistant, the end mark included."""
    try:
        prompt = tokenizer.apply_chat_template(messages[:-1], add_generation_prompt=True, tokenize=False)
        whole = tokenizer.apply_chat_template(messages, tokenize=False)
    except Exception as error:  # the templates raise jinja2's and their own errors
        raise UserError(f"{where} does not fit the model's chat template: {error}.") from error
    return len(tokenizer(whole, add_special_tokens=False)["input_ids"]) - len(tokenizer(prompt, add_special_tokens=False)["input_ids"])
