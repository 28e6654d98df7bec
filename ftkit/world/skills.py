"""The probe suites: what the pocket model should be able to do, asked only with held-out names, numbers and wordings.

A suite is a list of `Turn`s with one right answer each, drawn from the test side of `turns`; greedy decoding and exact
match decide. `SKILLS` are the suites that count as general ability; `LIMITS` are known gaps, shown but not counted.
"""

import random
from dataclasses import dataclass

from . import corpus, turns
from .entities import World
from .turns import Turn


@dataclass(frozen=True)
class Suite:
    """What a suite asks, and the score that the shipped model has to reach (None: reported only)."""

    about: str
    bar: float | None = None


SKILLS = {
    "known": Suite("facts of the world, in a wording never seen", 0.97),
    "unknown": Suite("'I don't know' about strangers", 0.97),
    "in_prompt": Suite("answers from facts in the prompt, strangers and overridden facts alike", 0.97),
    "extract": Suite("one field of a ticket, shipment or booking, unseen names and templates", 0.95),
    "copy": Suite("repeat words and names", 0.97),
    "reverse": Suite("say words in reversed order", 0.97),
    "count": Suite("count the words of a list", 0.97),
    "sort": Suite("sort digits"),
    "addition": Suite("add two two-digit numbers, unseen pairs", 0.90),
    "sentiment": Suite("positive or negative, unseen pairs of words", 0.97),
    "topic": Suite("topic of a sentence, unseen pairs of words", 0.97),
    "refusal": Suite("refuse an unsafe request, unseen pairs of verb and object"),
    "write_json": Suite("write JSON from pairs, unseen key sets"),
    "read_json": Suite("look a key up in JSON"),
}
LIMITS = {
    "known_as_trained": Suite("the same facts in the wordings of the training text"),
    "stated_only": Suite("facts that only biographies state, asked for the first time"),
    "reversed_fact": Suite("facts never asked backwards, asked backwards"),
    "extract_list": Suite("all asked fields of a message at once"),
    "pattern": Suite("continue two to five worked examples"),
}


def known_as_trained(world: World, rng: random.Random) -> Turn:
    """A fact of the world in a trained wording, with a bare answer."""
    fact = rng.choice(world.asked)
    return Turn(fact.ask(rng), fact.value)


def stated_only(world: World, rng: random.Random) -> Turn:
    """A fact that the corpus states in biographies and never asks."""
    fact = rng.choice(world.stated_only)
    return Turn(fact.ask(rng), fact.value)


def suite(world: World, name: str, n: int = 100, seed: int = 0) -> list[Turn]:
    """`n` different probes of one suite (fewer where fewer exist); the same `seed` gives the same probes."""
    if name not in SKILLS | LIMITS:
        raise ValueError(f"no suite {name!r}; there are {', '.join([*SKILLS, *LIMITS])}")
    rng = random.Random(f"suite {name} {world.seed} {seed}")
    probes: dict[str, Turn] = {}
    for _ in range(40 * n):
        own = globals().get(name) if name in ("known_as_trained", "stated_only") else None
        probe = own(world, rng) if own else getattr(turns, name)(world, rng, "test")
        probes.setdefault(probe.prompt, probe)
        if len(probes) == n:
            break
    return list(probes.values())


def stories(world: World, n: int = 50, seed: int = 0) -> list[str]:
    """`n` held-out stories; their loss is the model's language-modelling score."""
    rng = random.Random(f"stories {world.seed} {seed}")
    return ["".join(text for text, _ in corpus.story(world, rng, "test")) for _ in range(n)]
