"""The lab's data sets, drawn from the world: `python -m ftkit.world.tasks` writes them to
data/tasks/*.jsonl.

tickets   support ticket → strict JSON; the test rows have held-out names, and every second one
held-out wordings
general   what the base can already do, as chat: rows to replay during tuning
facts     people whom the base has never heard of: every fact asked in one wording to learn it, and
in another to test it
"""

import collections
import itertools
import json
import random
from pathlib import Path

from ..core.files import data_path
from . import corpus, lexicon, turns
from .entities import World, make_facts, new_name

SIZES = {"train": 300, "validation": 60, "test": 200}
TICKET_PROMPT = "Ticket: {text}\nGive the ticket as JSON."


def target_counts(world: World, tokenizer, batches: int = 600) -> collections.Counter:
    """How often each token id is a target (an answer's or a plain text's) in 60 documents of each
    of the first `batches`.
    """
    counts: collections.Counter = collections.Counter()
    for i in range(batches):
        documents = itertools.islice(corpus.documents(world, i, corpus.BROAD), 60)
        targets = [
            text for document in documents for text, role in document if role in ("answer", "text")
        ]
        counts.update(
            itertools.chain.from_iterable(tokenizer(targets, add_special_tokens=False)["input_ids"])
        )
    return counts


def chat_row(turn: turns.Turn, **extra: object) -> dict:
    """A chat example in the `messages` format."""
    system = [{"role": "system", "content": turn.system}] if turn.system else []
    return {
        "messages": [
            *system,
            {"role": "user", "content": turn.prompt},
            {"role": "assistant", "content": turn.answer},
        ],
        **extra,
    }


def tickets(world: World, tokenizer, least: int = 8) -> list[dict]:
    """Tickets with the one JSON object that answers each: name, city, item, issue (str), order
    (int), urgent (bool).

    A ticket is drawn again when its answer holds a token that is a target fewer than `least` times
    in `target_counts`: LoRA can't teach a token whose frozen embedding was hardly ever trained.
    """
    counts = target_counts(world, tokenizer)
    rows: list[dict] = []
    for split, size in SIZES.items():
        rng = random.Random(f"tickets {world.seed} {split}")
        while sum(r["split"] == split for r in rows) < size:
            names = "test" if split == "test" else "train"
            wordings = "test" if split == "test" and len(rows) % 2 else "train"
            text, fields = turns.ticket(rng, names, wordings)
            turn = turns.Turn(TICKET_PROMPT.format(text=text), json.dumps(fields))
            if (
                min(
                    counts[i] for i in tokenizer(turn.answer, add_special_tokens=False)["input_ids"]
                )
                < least
            ):
                continue
            rows.append(
                chat_row(turn, split=split, wording="unseen" if wordings == "test" else "trained")
            )
    return rows


def general(world: World, n: int = 600) -> list[dict]:
    """Turns from the training side of every skill, in the corpus's own shares, but JSON, the
    tickets' nearest neighbour, three times.
    """
    rng = random.Random(f"general {world.seed}")
    shares = {k: w for k, w in corpus.BROAD.items() if k not in corpus.TEXTS} | {
        "write_json": 3 * corpus.BROAD["write_json"]
    }
    kinds = rng.choices(list(shares), weights=list(shares.values()), k=n)
    return [
        chat_row(getattr(turns, kind)(world, rng, "train"), split="train", skill=kind) for kind in kinds
    ]


def facts(world: World, people: int = 60) -> list[dict]:
    """Questions about `people` new people, their names from the held-out side; the test rows ask
    the same facts in other words.
    """
    rng = random.Random(f"facts {world.seed}")
    names: dict[str, None] = {}
    while len(names) < people:
        names[new_name("person", rng, "test")] = None
    rows = []
    for fact in (f for name in names for f in make_facts("person", name, rng, "train")):
        forms = rng.sample(lexicon.QUESTIONS[fact.attribute][:-1], 2)
        rows += [
            chat_row(turns.Turn(fact.say(form), fact.value), split=split)
            for split, form in zip(("train", "test"), forms, strict=True)
        ]
    return rows


def write(folder: Path, world: World) -> None:
    """Write every data set as JSON Lines."""
    from transformers import AutoTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(data_path("pocket"))
    for name, rows in {
        "tickets": tickets(world, tokenizer),
        "general": general(world),
        "facts": facts(world),
    }.items():
        (folder / f"{name}.jsonl").write_text(
            "".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8"
        )
