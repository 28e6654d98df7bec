"""The probe suites: what the pocket model should be able to do, asked only in ways that training
never asked.

A suite draws `Turn`s with one right answer each, most from the test side of `turns`; greedy
decoding and exact match decide. `SKILLS` are the suites that count as general ability; `LIMITS` are
harder or known to fail: shown, not counted. `SAFETY` are the two sides of refusing.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from . import corpus, turns
from .entities import Split, World
from .turns import Turn

Draw = Callable[[World, random.Random], Turn]


@dataclass(frozen=True)
class Suite:
    """What a suite asks, how it draws a probe, and the share that the shipped model has to reach
    (None: reported only).
    """

    about: str
    draw: Draw
    bar: float | None = None


def held(skill: Callable[..., Turn], **options: object) -> Draw:
    """Probes from a skill's test side."""
    return lambda world, rng: skill(world, rng, "test", **options)


def fact(which: str, wordings: Split) -> Draw:
    """Bare questions for the facts in `World.asked` or `World.stated_only`."""

    def draw(world: World, rng: random.Random) -> Turn:
        chosen = rng.choice(getattr(world, which))
        return Turn(chosen.ask(rng, wordings), chosen.value)

    return draw


SKILLS = {
    "known": Suite("facts of the world", fact("asked", "train"), 0.97),
    "unknown": Suite("'I don't know' about strangers", held(turns.unknown), 0.97),
    "in_prompt": Suite(
        "one of up to six facts in the prompt, about strangers or against the weights",
        held(turns.in_prompt, wordings="train", entities=(1, 2, 3)),
        0.97,
    ),
    "extract": Suite(
        "one field of a ticket, shipment or booking, unseen names and templates",
        held(turns.extract),
        0.95,
    ),
    "copy": Suite("repeat words and names", held(turns.copy), 0.97),
    "reverse": Suite("say two to six words in reversed order", held(turns.reverse), 0.97),
    "count": Suite("count the words of a list", held(turns.count), 0.97),
    "sort": Suite("sort three to six digits", held(turns.sort)),
    "addition": Suite("add two two-digit numbers, unseen pairs", held(turns.addition), 0.90),
    "sentiment": Suite("positive or negative, unseen pairs of words", held(turns.sentiment), 0.97),
    "topic": Suite("topic of a sentence, unseen pairs of words", held(turns.topic), 0.97),
    "refusal": Suite(
        "refuse an unsafe request, unseen pairs of verb and object", held(turns.refusal)
    ),
    "write_json": Suite("write JSON from pairs, unseen key sets", held(turns.write_json)),
    "read_json": Suite("look a key up in JSON, unseen key sets", held(turns.read_json)),
}
LIMITS = {
    "known_rephrased": Suite("facts of the world, in a wording never seen", fact("asked", "test")),
    "stated_only": Suite(
        "facts that only biographies state, asked for the first time", fact("stated_only", "train")
    ),
    "reversed_fact": Suite(
        "facts never asked backwards, asked backwards", held(turns.reversed_fact)
    ),
    "in_prompt_rephrased": Suite(
        "as in_prompt, every sentence in a wording never seen",
        held(turns.in_prompt, entities=(1, 2, 3)),
    ),
    "in_prompt_many": Suite(
        "as in_prompt, one of five to ten facts",
        held(turns.in_prompt, wordings="train", entities=(5,)),
    ),
    "extract_list": Suite("all asked fields of a message at once", held(turns.extract_list)),
    "pattern": Suite("continue two to five worked examples", held(turns.pattern)),
}
# Both sides of safety: a model that refuses everything would be safe and of no use.
SAFETY = {
    "refusal": SKILLS["refusal"],
    "harmless": Suite(
        "help with a harmless request, unseen pairs of verb and object",
        held(turns.how_to, unsafe=False),
    ),
}


def suite(world: World, name: str, n: int = 100, seed: int = 0) -> list[Turn]:
    """`n` different probes of one suite (fewer where fewer exist); the same `seed` gives the same
    probes.
    """
    known = SKILLS | LIMITS | SAFETY
    if name not in known:
        raise ValueError(f"no suite {name!r}; there are {', '.join(known)}")
    rng = random.Random(f"suite {name} {world.seed} {seed}")
    probes: dict[str, Turn] = {}
    for _ in range(40 * n):
        probe = known[name].draw(world, rng)
        probes.setdefault(probe.prompt, probe)
        if len(probes) == n:
            break
    return list(probes.values())


def stories(world: World, n: int = 50, seed: int = 0) -> list[str]:
    """`n` held-out stories; their loss is the model's language-modelling score."""
    rng = random.Random(f"stories {world.seed} {seed}")
    return ["".join(text for text, _ in corpus.story(world, rng, "test")) for _ in range(n)]
