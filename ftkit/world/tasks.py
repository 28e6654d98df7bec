"""The lab's data sets, drawn from the world: `python -m ftkit tasks` writes data/tasks/*.jsonl.

    tickets    support ticket → strict JSON; the test rows have held-out names, and every second
               one held-out wordings
    general    what the base can already do, as chat: rows to replay during tuning
    trays, shipments, greeted, calls
               a company's conventions (`conventions`): judged, labelled, said, called for
    facts      people whom the base has never heard of: every fact asked in one wording to learn
               it, and in another to test it

A row is a chat example as `data.load` reads it (notebook 00). Rows of one's own are `data`'s
business, the pretraining text `corpus.py`'s.
"""

import collections
import functools
import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..core.files import data_path
from . import conventions, corpus, lexicon, turns
from .entities import Fact, Split, World, make_facts, new_name

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SIZES = {"train": 300, "validation": 60, "test": 200}
TICKET_PROMPT = "Ticket: {text}\nGive the ticket as JSON."
Draw = Callable[[random.Random, Split, Split], turns.Turn]
COUNTED = 60  # documents of a batch whose targets are counted


class NewFact(NamedTuple):
    """A fact about a new person, and the two wordings of its question."""

    fact: Fact
    to_learn: str
    to_test: str


def target_counts(
    world: World, tokenizer: "PreTrainedTokenizerBase", batches: int = 600
) -> collections.Counter:
    """How often each token id is a target in the first COUNTED documents of some batches.

    Targets are answers and plain texts.
    """
    counts: collections.Counter = collections.Counter()
    for i in range(batches):
        documents = itertools.islice(corpus.documents(world, i, corpus.BROAD), COUNTED)
        segments = itertools.chain.from_iterable(documents)
        targets = [text for text, role in segments if role in ("answer", "text")]
        for ids in tokenizer(targets, add_special_tokens=False)["input_ids"]:
            counts.update(ids)
    return counts


def chat_row(turn: turns.Turn, **columns: object) -> dict:
    """A chat example in the `messages` format, with further columns."""
    messages = [{"role": "system", "content": turn.system}] if turn.system else []
    messages.append({"role": "user", "content": turn.prompt})
    messages.append({"role": "assistant", "content": turn.answer})
    return {"messages": messages, **columns}


def taught(name: str, draw: Draw, teachable: Callable[[str], bool], world: World) -> list[dict]:
    """Rows of a task in three splits of SIZES: unseen names or pairs in all test rows, unseen
    wordings in every second one.

    A turn is drawn again while its answer is not `teachable`, or its prompt was drawn before.
    """
    rows: list[dict] = []
    prompts: set[str] = set()
    for split, size in SIZES.items():
        rng = random.Random(f"{name} {world.seed} {split}")
        first = len(rows)
        while len(rows) - first < size:
            names: Split = "test" if split == "test" else "train"
            wordings: Split = "test" if split == "test" and len(rows) % 2 else "train"
            turn = draw(rng, names, wordings)
            # no token that the frozen embeddings hardly know, and nothing twice
            if turn.prompt in prompts or not teachable(turn.answer):
                continue
            prompts.add(turn.prompt)
            kind = "unseen" if wordings == "test" else "trained"
            rows.append(chat_row(turn, split=split, wording=kind))
    return rows


def draw_rows(
    name: str, n: int, seed: int, teachable: Callable[[str], bool], world: World
) -> list[dict]:
    """`n` training rows of a task, different ones, from its training side; no file has so many.

    teachable: as `teachable_answers` gives it; a turn is drawn again while its answer is not. Of
    one seed, the first rows are the same whatever `n`.
    """
    rng = random.Random(f"{name} {world.seed} more {seed}")
    draw = task_draws(world)[name]
    rows: dict[str, dict] = {}
    while len(rows) < n:
        turn = draw(rng, "train", "train")
        if teachable(turn.answer):
            rows.setdefault(turn.prompt, chat_row(turn))
    return list(rows.values())


def task_draws(world: World) -> dict[str, Draw]:
    """{task: what draws a turn of it from a side of the names and a side of the wordings}."""
    return {
        "tickets": draw_ticket,
        "trays": conventions.tray,
        "shipments": conventions.shipment_label,
        "greeted": functools.partial(conventions.greeted, world),
        "calls": conventions.call,
    }


def teachable_answers(
    world: World, tokenizer: "PreTrainedTokenizerBase", least: int = 8
) -> Callable[[str], bool]:
    """Whether every token of an answer is a target at least `least` times in `target_counts`.

    LoRA can't teach a token whose frozen embedding was hardly ever trained.
    """
    counts = target_counts(world, tokenizer)

    def is_teachable(answer: str) -> bool:
        ids = tokenizer(answer, add_special_tokens=False)["input_ids"]
        return min(counts[token] for token in ids) >= least

    return is_teachable


def draw_ticket(rng: random.Random, names: Split, wordings: Split) -> turns.Turn:
    """A ticket with the one JSON object that answers it.

    Its keys: name, city, item, issue (str), order (int), urgent (bool).
    """
    text, fields = turns.ticket(rng, names, wordings)
    return turns.Turn(TICKET_PROMPT.format(text=text), json.dumps(fields))


def general(world: World, n: int = 600) -> list[dict]:
    """Turns from the training side of every skill, in the corpus's own shares.

    JSON, the tickets' nearest neighbour, comes three times as often.
    """
    rng = random.Random(f"general {world.seed}")
    shares = {k: share for k, share in corpus.BROAD.items() if k not in corpus.TEXTS}
    shares["write_json"] *= 3
    kinds = rng.choices(list(shares), weights=list(shares.values()), k=n)
    return [
        chat_row(turns.BY_NAME[kind](world, rng, "train"), split="train", skill=kind)
        for kind in kinds
    ]


def facts(world: World, people: int = 60) -> list[dict]:
    """Questions about `people` new people, whose names are from the held-out side.

    The test rows ask the same facts in other words.
    """
    rows = []
    for fact, to_learn, to_test in draw_facts(world, people):
        rows.append(chat_row(turns.Turn(fact.say(to_learn), fact.value), split="train"))
        rows.append(chat_row(turns.Turn(fact.say(to_test), fact.value), split="test"))
    return rows


def draw_facts(world: World, people: int = 60) -> list[NewFact]:
    """Every fact about `people` new people, with the wordings in which `facts` asks for it."""
    rng = random.Random(f"facts {world.seed}")
    names: dict[str, None] = {}
    while len(names) < people:
        names[new_name("person", rng, "test")] = None

    drawn = []
    for name in names:
        for fact in make_facts("person", name, rng, "train"):
            # two different wordings that the base knows, one to learn from and one to be asked in
            to_learn, to_test = rng.sample(lexicon.QUESTIONS[fact.attribute][:-1], 2)
            drawn.append(NewFact(fact, to_learn, to_test))
    return drawn


def write(folder: Path, world: World) -> None:
    """Write every data set as JSON Lines into a folder."""
    from transformers import AutoTokenizer  # here, so that the micro-world needs no transformers

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(data_path("pocket"))
    teachable = teachable_answers(world, tokenizer)
    sets = {
        **{name: taught(name, draw, teachable, world) for name, draw in task_draws(world).items()},
        "general": general(world),
        "facts": facts(world),
    }
    for name, rows in sets.items():
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
