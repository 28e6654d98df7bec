"""What is done to the rows of a study before training, and what is asked afterwards.

    change_rows(run, base, tokenizer)    a `Prepared`: training rows, and the questions by name
    CHANGES                              {what may be done: the function that does it}

Wrong answers, repeated rows, rare classes, test rows that leak, a teacher's answers, other
instructions: each is made from the rows of the kit's tasks by the run's seed. `measuring` trains on
them. Notebook 05.
"""

import functools
import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .. import data, evaluate, models, world
from ..core.errors import UserError, nearest
from ..decide import ask_for, list_instruction, list_to_json, schema_instruction
from .points import DataRun

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TESTED = {"tickets": 100, "calls": 100}  # of the other tasks, all test rows
ASKED_BY_CLASS = 100  # rows of each class
UNLABELLED = 300  # tickets that a teacher is given
COLOURS = (*world.conventions.CALM_TRAYS, *world.conventions.URGENT_TRAYS)
RARE, USUAL = "black", "red"  # the answers of the rare class and the usual one
FIELDS = ("name", "city", "item", "issue", "order", "urgent")
BETTER_PROMPTS = (schema_instruction(FIELDS), list_instruction(FIELDS))
TICKET_PROMPT = "Give the ticket as JSON."
# How a ticket is asked for: behind it, or before it.
WORDINGS = (
    "{t}\nGive the ticket as JSON.", "Turn this into JSON.\n{t}", "{t}\nWrite the ticket as JSON.",
    "Make JSON of this ticket.\n{t}", "{t}\nPut it into JSON.", "I need JSON of this.\n{t}",
    "{t}\nThe ticket as JSON, please.", "Read this and write JSON:\n{t}",
)  # fmt: skip
UNSEEN_WORDINGS = ("{t}\nShow me JSON of this.", "Give this ticket as JSON.\n{t}", "JSON: {t}")

Row = Mapping[str, list[dict]]


@dataclass(frozen=True)
class Prepared:
    """Training rows, and the rows to ask: each set by its name, which is that of its score."""

    train: "Dataset"
    asked: Mapping[str, "Dataset"]
    known: Mapping[str, float] = field(default_factory=dict)  # what is known without training


def change_rows(
    run: DataRun, base: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase"
) -> Prepared:
    """The rows of a run with its change, and what is asked. base: the teacher of some of them.

    Raises UserError for a change that is not known.
    """
    if run.change.startswith("template ") or run.change in UNCHANGED:
        return leave(run)
    if run.change in TEACHERS:
        return teach(run, base, tokenizer)
    if run.change not in CHANGES:
        known = ", ".join([*UNCHANGED, *CHANGES, *TEACHERS])
        raise UserError(
            f"there is no change {run.change!r}; give one of {known}.{nearest(run.change, CHANGES)}"
        )
    return CHANGES[run.change](run)


@functools.cache
def teachable() -> Callable[[str], bool]:
    """Whether an answer can be taught to the pocket model (see `world.tasks`)."""
    return world.tasks.teachable_answers(world.World(), models.load_tokenizer("pocket"))


def draw(run: DataRun, n: int | None = None) -> list[dict]:
    """The run's training rows, or n of them, drawn by its seed."""
    wanted = run.rows if n is None else n
    return world.tasks.draw_rows(run.task, wanted, run.seed, teachable(), world.World())


def test_rows(run: DataRun) -> "Dataset":
    """The task's test rows, the first hundred of those with long answers."""
    rows = data.test_rows(run.task)
    return data.first(rows, TESTED.get(run.task, len(rows)))


def answer_of(row: Row) -> str:
    """The right answer of a row."""
    return row["messages"][-1]["content"]


def answered(row: Row, answer: str) -> dict:
    """The row with another answer."""
    return {"messages": [*row["messages"][:-1], {"role": "assistant", "content": answer}]}


def worded(row: Row, wording: str) -> dict:
    """The row, its ticket asked for in other words."""
    *before, question, answer = row["messages"]
    text = question["content"].rpartition("\n")[0]
    asked = {"role": "user", "content": wording.format(t=text)}
    return {"messages": [*before, asked, answer]}


def leave(run: DataRun) -> Prepared:
    """Rows as they are."""
    return Prepared(data.to_dataset(draw(run)), {"test": test_rows(run)})


def with_noise(run: DataRun) -> Prepared:
    """A share of the answers made wrong, in the way that the change names."""
    rng = random.Random(f"noise {run.seed}")
    rows = draw(run)
    for place in rng.sample(range(len(rows)), round(run.amount * len(rows))):
        other = rows[(place + rng.randrange(1, len(rows))) % len(rows)]
        wrong = spoil(run.change, answer_of(rows[place]), answer_of(other), rng)
        rows[place] = answered(rows[place], wrong)
    return Prepared(data.to_dataset(rows), {"test": test_rows(run)})


def spoil(how: str, answer: str, other: str, rng: random.Random) -> str:
    """A wrong answer of a tray, or of a ticket; other: the answer of another row."""
    if how in ("random answer", "next answer"):
        reasons, colour = answer.split(": ")
        step = 1 if how == "next answer" else rng.randrange(1, len(COLOURS))
        return f"{reasons}: {COLOURS[(COLOURS.index(colour) + step) % len(COLOURS)]}"
    fields, others = json.loads(answer), json.loads(other)
    if how == "flag":
        return json.dumps(fields | {"urgent": not fields["urgent"]})
    different = [name for name in fields if fields[name] != others[name]]
    name = rng.choice(different)
    return json.dumps(fields | {name: others[name]})


def repeat_wrong(run: DataRun) -> Prepared:
    """One row with a wrong answer, so many times; asked are it, and test rows of the same issue."""
    rows = draw(run, run.rows + 1)
    row = rows.pop()
    wrong = spoil("next answer", answer_of(row), "", random.Random(run.seed))
    issue = wrong.split(",")[0]
    test = test_rows(run)
    same = test.filter(lambda r: answer_of(r).startswith(f"{issue},"))
    asked = {
        "test": test,
        "the row, answered right": data.to_dataset([{"messages": row["messages"]}]),
        "the row, as it was repeated": data.to_dataset([answered(row, wrong)]),
        "the same issue": same,
    }
    copies = [answered(row, wrong)] * int(run.amount)
    return Prepared(data.to_dataset([*rows, *copies]), asked)


def by_class(rows: Sequence[Row]) -> dict[str, list[dict]]:
    """Tray rows whose answer is the class alone, which is whether they are urgent."""
    classes: dict[str, list[dict]] = {RARE: [], USUAL: []}
    for row in rows:
        urgent = answer_of(row).split(": ")[0].endswith("yes")
        label = RARE if urgent else USUAL
        classes[label].append(answered(row, label))
    return classes


def make_rare(run: DataRun) -> Prepared:
    """Two classes, one of them rare; oversampled: its rows repeated until both are as many."""
    classes = by_class(draw(run, 3 * run.rows))
    rare = classes[RARE][: round(run.amount * run.rows)]
    usual = classes[USUAL][: run.rows - len(rare)]
    if run.change == "oversampled":
        rare = [rare[place % len(rare)] for place in range(len(usual))]
    asked = by_class(data.test_rows(run.task).to_list())
    fewest = min(ASKED_BY_CLASS, *(len(rows) for rows in asked.values()))
    return Prepared(
        data.to_dataset([*rare, *usual]),
        {name: data.to_dataset(rows[:fewest]) for name, rows in asked.items()},
    )


def leak(run: DataRun) -> Prepared:
    """A share of the rows that report are trained on; others, never seen, say what is true."""
    rng = random.Random(f"leak {run.seed}")
    if run.task == "facts":
        # each fact in two wordings, of which one is asked
        splits = data.load("facts")
        pairs = list(zip(splits["train"].to_list(), splits["test"].to_list(), strict=True))
        rng.shuffle(pairs)
        own = [taught for taught, _ in pairs[: run.rows]]
        reported, true = pairs[run.rows : 2 * run.rows], pairs[2 * run.rows : 3 * run.rows]
    else:
        own = draw(run)
        pairs = [(row, row) for row in data.test_rows(run.task).to_list()]
        rng.shuffle(pairs)
        reported, true = pairs[: len(pairs) // 2], pairs[len(pairs) // 2 :]
    leaked = reported[: round(run.amount * len(reported))]
    in_other_words = run.change == "leaked in other words"
    seen = [taught if in_other_words else asked for taught, asked in leaked]
    return Prepared(
        data.to_dataset([{"messages": row["messages"]} for row in [*own, *seen]]),
        {
            "reported": data.to_dataset([{"messages": r["messages"]} for _, r in reported]),
            "true": data.to_dataset([{"messages": r["messages"]} for _, r in true]),
        },
    )


def with_wordings(run: DataRun) -> Prepared:
    """Rows in so many wordings in turn; asked in the first one, and in three unseen ones."""
    several = WORDINGS[: int(run.amount)]
    rows = [worded(row, several[n % len(several)]) for n, row in enumerate(draw(run))]
    test = test_rows(run).to_list()
    asked = {"the first wording": data.to_dataset([worded(row, several[0]) for row in test])}
    for wording in UNSEEN_WORDINGS:
        asked[wording] = data.to_dataset([worded(row, wording) for row in test])
    return Prepared(data.to_dataset(rows), asked)


def without_reasons(run: DataRun) -> Prepared:
    """Trays whose answers are the colour alone."""

    def cut(rows: Sequence[Row]) -> "Dataset":
        return data.to_dataset([answered(row, answer_of(row).split(": ")[1]) for row in rows])

    return Prepared(cut(draw(run)), {"test": cut(test_rows(run).to_list())})


def with_reasons(run: DataRun) -> Prepared:
    """Shipments whose answers state what decides, before the class and the bucket of days."""

    def state(rows: Sequence[Row]) -> "Dataset":
        return data.to_dataset([answered(row, reasoned(row)) for row in rows])

    return Prepared(state(draw(run)), {"test": state(test_rows(run).to_list())})


def reasoned(row: Row) -> str:
    """A shipment's answer with carrier and day in front, as its question states them."""
    said = set(re.findall(r"\w+", row["messages"][-2]["content"]))
    named = {
        "carrier": next(word for word in world.lexicon.CARRIERS if word in said),
        "day": next(word for word in world.lexicon.DAYS if word in said),
    }
    return json.dumps(named | json.loads(answer_of(row)))


def teach(run: DataRun, base: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> Prepared:
    """Tickets that a teacher answered: the base, under a better prompt than students get."""
    rows = draw(run, UNLABELLED)
    questions = [row["messages"][:-1] for row in rows]
    first, second = (
        [r.text for r in replies] for replies in ask_teacher(base, tokenizer, questions)
    )
    listed = [list_to_json(reply) for reply in second]
    golds = [json.loads(answer_of(row)) for row in rows]
    kept = {
        "teacher": [(n, reply) for n, reply in enumerate(first)],
        "teacher, grounded": [
            (n, reply)
            for n, reply in enumerate(first)
            if evaluate.is_grounded(answered(rows[n], reply))
        ],
        "teacher, two prompts agree": [
            (n, reply)
            for n, reply in enumerate(first)
            if read(reply) == read(listed[n]) is not None
        ],
        "teacher, listed": [(n, reply) for n, reply in enumerate(listed)],
        "as often wrong": as_often_wrong(rows, [read(reply) for reply in first], run.seed),
    }[run.change]
    right = sum(read(reply) == golds[n] for n, reply in kept) / len(kept)
    train = [answered(rows[n], reply) for n, reply in kept[: run.rows]]
    known = {"rows kept": len(kept) / len(rows), "rows kept that are right": right}
    return Prepared(data.to_dataset(train), {"test": test_rows(run)}, known)


def ask_teacher(
    base: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    questions: Sequence[list[dict]],
) -> list[list[models.Reply]]:
    """The base's replies under each of the better prompts."""
    return [
        models.write_replies(base, tokenizer, ask_for(questions, prompt, TICKET_PROMPT))
        for prompt in BETTER_PROMPTS
    ]


def read(reply: str) -> object:
    """The JSON of a reply, or None."""
    try:
        return json.loads(reply)
    except ValueError:
        return None


def as_often_wrong(
    rows: Sequence[Row], replies: Sequence[object], seed: int
) -> list[tuple[int, str]]:
    """(place, right answer, or at random a wrong one): as often wrong as the replies, and in the
    same two fields, but not at the same rows.
    """
    rng = random.Random(f"as often {seed}")
    golds = [json.loads(answer_of(row)) for row in rows]
    wrong = sum(reply != gold for reply, gold in zip(replies, golds, strict=True))
    spoiled = set(rng.sample(range(len(rows)), wrong))
    answers = []
    for n, gold in enumerate(golds):
        if n in spoiled and rng.random() < 0.5:
            gold = gold | {"urgent": not gold["urgent"]}
        elif n in spoiled:
            gold = gold | {"order": rng.randint(1000, 9999)}
        answers.append((n, json.dumps(gold)))
    return answers


TEACHERS = {
    "teacher", "teacher, grounded", "teacher, two prompts agree", "teacher, listed",
    "as often wrong",
}  # fmt: skip
UNCHANGED = ("none", "prompt learned", "end learned", "end masked")
CHANGES: dict[str, Callable[[DataRun], Prepared]] = {
    "random answer": with_noise,
    "next answer": with_noise,
    "other value": with_noise,
    "flag": with_noise,
    "repeated": repeat_wrong,
    "rare": make_rare,
    "oversampled": make_rare,
    "leaked": leak,
    "leaked in other words": leak,
    "wordings": with_wordings,
    "label only": without_reasons,
    "reasons first": with_reasons,
}
