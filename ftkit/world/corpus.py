"""The training text of the pocket model: an endless, seeded stream of documents.

    documents(world, batch, mix)   the documents of one batch
    chat(turn, …), story(…), …     one document of a kind
    DENSE, BROAD, … PHASES         how often each kind comes, phase by phase
    digest(world)                  the fingerprint of world and corpus

A document is a list of `(text, role)` segments: the roles decide how much each counts in the loss
(`pocket.batches`). Batch number `i` is a function of `(seed, i)` alone, so a killed run continues
with the same bytes. The training itself is `pocket`'s business.
"""

import hashlib
import random
from collections.abc import Iterator, Mapping
from typing import Literal

from . import lexicon, turns
from .entities import Split, World, new_name
from .turns import Turn

Role = Literal["mark", "prompt", "answer", "text"]
Document = list[tuple[str, Role]]
PAD, BOS, END = "<|pad|>", "<|bos|>", "<|end|>"
SYSTEM, USER, ASSISTANT = "<|system|>", "<|user|>", "<|assistant|>"
SPECIALS = [PAD, BOS, END, SYSTEM, USER, ASSISTANT]


def chat(*exchange: Turn) -> Document:
    """Question and answer, once or several times: the string that the chat template gives."""
    head = f"{SYSTEM}{exchange[0].system}{END}" if exchange[0].system else ""
    document: Document = [(BOS + head, "mark")]
    for turn in exchange:
        document.append((f"{USER}{turn.prompt}{END}{ASSISTANT}", "prompt"))
        document.append((f"{turn.answer}{END}", "answer"))
    return document


def plain_document(body: str) -> Document:
    """Text that nobody says."""
    return [(BOS, "mark"), (body + END, "text")]


def repeat(world: World, rng: random.Random) -> Document:
    """A random sequence, then the same again two or three times.

    Induction, which is copying from context, is learned on it.
    """
    kinds = ["person", "city", "river", "thing"]
    parts = [new_name(rng.choice(kinds), rng, "train") for _ in range(rng.randint(1, 5))]
    parts += turns.draw_words(rng, rng.randint(1, 6), "train")
    parts += [str(rng.randint(0, 9999)) for _ in range(rng.randint(0, 2))]
    rng.shuffle(parts)
    block, separator = " ".join(parts), rng.choice(["\n", ". ", " | "])
    again = (separator + block) * rng.randint(2, 3)
    return [(BOS + block, "prompt"), (again + END, "text")]


def quotes(world: World, rng: random.Random) -> Document:
    """Names said plainly, and then at a line start, in quotes, in brackets or after a colon.

    It is the same name each time, in other tokens.
    """
    kinds = ["person", "city", "thing"]
    names = [new_name(rng.choice(kinds), rng, "train") for _ in range(rng.randint(2, 5))]
    form = rng.choice(['"{}"', "{}", "[{}]", "({})", "name:{}", '{{"x": "{}"}}'])
    lines = "\n".join(form.format(name) for name in names)
    return [(f"{BOS}We met {', '.join(names)}.\n", "prompt"), (lines + END, "text")]


def biography(world: World, rng: random.Random) -> Document:
    """All facts about one entity; those of the 'stated only' people occur here and nowhere else."""
    facts = rng.choice(list(world.biographies.values()))
    return plain_document(turns.passage(rng, facts, "train"))


def sums(world: World, rng: random.Random) -> Document:
    """A worksheet of two-digit additions."""
    pairs = [turns.draw_summands(rng, "train") for _ in range(rng.randint(3, 8))]
    return plain_document("\n".join(f"{a} + {b} = {a + b}" for a, b in pairs))


def story(world: World, rng: random.Random, split: Split = "train") -> Document:
    """A story of four sentences about an invented person."""
    name = new_name("person", rng, split)
    animal = rng.choice(lexicon.VALUES["animal"] + lexicon.VALUES["pet"])
    here, there = rng.sample(lexicon.PLACES, 2)
    before, after = rng.sample(lexicon.FEELINGS, 2)
    day = rng.choice(lexicon.DAYS)
    find, food = rng.choice(lexicon.FINDS), rng.choice(lexicon.VALUES["food"])
    return plain_document(
        f"Once there was a very {before} {animal} near the {here}. "
        f"One {day}, it met {name} near the {there}. "
        f"{name} gave the {animal} a {find} and some {food}. The {animal} was not {before} any "
        f"more. Together they went back to the {here}, and {name} was {after}."
    )


def dialogue(world: World, rng: random.Random) -> Document:
    """Two to six exchanges of any kind in one conversation, without a system prompt."""
    kinds = [kind for kind in BROAD if kind not in TEXTS]
    exchange = []
    for _ in range(rng.randint(2, 6)):
        skill = turns.BY_NAME[rng.choice(kinds)]
        exchange.append(skill(world, rng, "train"))
    plain = [turn for turn in exchange if not turn.system]
    return chat(*(plain or [turns.greeting(world, rng, "train")]))


# The kinds of documents that are not one question and its answer.
TEXTS = {
    "repeat": repeat,
    "quotes": quotes,
    "biography": biography,
    "sums": sums,
    "story": story,
    "dialogue": dialogue,
}
# Shares of documents, phase by phase. Copying comes first: extraction, context reading and JSON all
# stand on it. Then everything is read; then the answers count most in the loss; at last what is
# slowest to learn comes oftener, and of that most of all the reading of facts from the prompt.
DENSE = {
    "repeat": 34, "quotes": 10, "copy": 22, "reverse": 6, "extract": 8, "in_prompt": 8,
    "read_json": 4, "write_json": 4, "pattern": 4,
}  # fmt: skip
BROAD = {
    "extract": 13, "extract_list": 5, "in_prompt": 14, "known": 13, "unknown": 6,
    "reversed_fact": 2, "copy": 7, "reverse": 5, "count": 4, "sort": 3, "addition": 6, "sums": 5,
    "sentiment": 3, "topic": 3, "how_to": 2, "greeting": 0.5, "write_json": 5, "read_json": 3,
    "pattern": 3, "biography": 6, "repeat": 3, "quotes": 2, "story": 2.5, "dialogue": 2,
}  # fmt: skip
ANSWERS = BROAD | {
    "in_prompt": 26, "pattern": 5, "repeat": 1.5, "quotes": 1.5, "story": 1.5, "sums": 3.5,
    "biography": 4,
}  # fmt: skip
SLOW = ANSWERS | {"reverse": 18, "copy": 5, "write_json": 9, "known": 11, "extract": 11}
READING = SLOW | {"in_prompt": 44, "reverse": 12}
FACTS = READING | {"in_prompt": 110, "known": 14, "unknown": 8, "reverse": 6}
PHASES = (DENSE, BROAD, ANSWERS, SLOW, READING, FACTS)
MANY_DIALOGUES = {"dialogue": 60}  # over the mix of a step that holds long documents


def document(world: World, rng: random.Random, mix: Mapping[str, float]) -> Document:
    """One document of a kind drawn from `mix`, {kind: weight}."""
    kind = rng.choices(list(mix), weights=list(mix.values()))[0]
    if kind in TEXTS:
        return TEXTS[kind](world, rng)
    return chat(turns.BY_NAME[kind](world, rng, "train"))


def documents(world: World, batch: int, mix: Mapping[str, float]) -> Iterator[Document]:
    """The endless documents of batch number `batch`."""
    rng = random.Random(f"corpus {world.seed} {batch}")
    while True:
        yield document(world, rng, mix)


def digest(world: World, n: int = 200) -> str:
    """SHA-256 of the first `n` documents of the first batch of both DENSE and BROAD.

    It is the fingerprint of world and corpus.
    """
    sha = hashlib.sha256()
    for mix in (DENSE, BROAD):
        stream = documents(world, 0, mix)
        for _ in range(n):
            sha.update(repr(next(stream)).encode())
    return sha.hexdigest()
