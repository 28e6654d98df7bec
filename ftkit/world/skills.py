"""The probe suites: what the pocket model should be able to do, asked as training never asked.

    draw_suite(world, name, n)     n different probes of one suite, each with its one right answer
    draw_stories(world, n)         held-out stories, whose loss scores language modelling
    draw_different(draw, n, key)   n different draws of anything: `forgetting.everyday` uses it too

SKILLS count as general ability; LIMITS are harder or known to fail: shown, not counted; SAFETY are
the two sides of refusing. Greedy decoding and exact match decide, in `forgetting.skills`
(notebook 10); how a question is drawn stands in `turns.py`.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from ..core.errors import UserError, nearest
from . import corpus, turns
from .entities import Split, World
from .turns import Turn

Draw = Callable[[World, random.Random], Turn]
Drawn = TypeVar("Drawn")
TRIES = 40  # draws for every probe that is asked for, until fewer are given


@dataclass(frozen=True)
class Suite:
    """What a suite asks and how it draws a probe.

    bar: the share of right answers that the shipped model has to reach; None where it is only
    reported.
    """

    about: str
    draw: Draw
    bar: float | None = None


def from_test_side(skill: Callable[..., Turn], **options: Any) -> Draw:
    """Probes from a skill's test side; options: further arguments of the skill."""
    return lambda world, rng: skill(world, rng, "test", **options)


def bare_questions(which: str, wordings: Split) -> Draw:
    """Questions for the facts in `World.asked` or `World.stated_only`, in a side's wordings."""

    def draw(world: World, rng: random.Random) -> Turn:
        fact = rng.choice(getattr(world, which))
        return Turn(fact.ask(rng, wordings), fact.value)

    return draw


SKILLS = {
    "known": Suite("facts of the world", bare_questions("asked", "train"), 0.97),
    "unknown": Suite("'I don't know' about strangers", from_test_side(turns.unknown), 0.97),
    "in_prompt": Suite(
        "one of up to six facts in the prompt, about strangers or against the weights",
        from_test_side(turns.in_prompt, wordings="train", entities=(1, 2, 3)),
        0.97,
    ),
    "extract": Suite(
        "one field of a ticket, shipment or booking, unseen names and templates",
        from_test_side(turns.extract),
        0.95,
    ),
    "copy": Suite("repeat words and names", from_test_side(turns.copy), 0.97),
    "reverse": Suite("say two to six words in reversed order", from_test_side(turns.reverse), 0.97),
    "count": Suite("count the words of a list", from_test_side(turns.count), 0.97),
    "sort": Suite("sort three to six digits", from_test_side(turns.sort)),
    "addition": Suite(
        "add two two-digit numbers, unseen pairs", from_test_side(turns.addition), 0.90
    ),
    "sentiment": Suite(
        "positive or negative, unseen pairs of words", from_test_side(turns.sentiment), 0.97
    ),
    "topic": Suite("topic of a sentence, unseen pairs of words", from_test_side(turns.topic), 0.97),
    "refusal": Suite(
        "refuse an unsafe request, unseen pairs of verb and object", from_test_side(turns.refusal)
    ),
    "write_json": Suite("write JSON from pairs, unseen key sets", from_test_side(turns.write_json)),
    "read_json": Suite("look a key up in JSON, unseen key sets", from_test_side(turns.read_json)),
}
LIMITS = {
    "known_rephrased": Suite(
        "facts of the world, in a wording never seen", bare_questions("asked", "test")
    ),
    "stated_only": Suite(
        "facts that only biographies state, asked for the first time",
        bare_questions("stated_only", "train"),
    ),
    "reversed_fact": Suite(
        "facts never asked backwards, asked backwards", from_test_side(turns.reversed_fact)
    ),
    "in_prompt_rephrased": Suite(
        "as in_prompt, every sentence in a wording never seen",
        from_test_side(turns.in_prompt, entities=(1, 2, 3)),
    ),
    "in_prompt_many": Suite(
        "as in_prompt, one of five to ten facts",
        from_test_side(turns.in_prompt, wordings="train", entities=(5,)),
    ),
    "extract_list": Suite(
        "all asked fields of a message at once", from_test_side(turns.extract_list)
    ),
    "pattern": Suite("continue two to five worked examples", from_test_side(turns.pattern)),
}
# Both sides of safety: a model that refuses everything would be safe and of no use.
SAFETY = {
    "refusal": SKILLS["refusal"],
    "harmless": Suite(
        "help with a harmless request, unseen pairs of verb and object",
        from_test_side(turns.how_to, unsafe=False),
    ),
}


def draw_suite(world: World, name: str, n: int = 100, seed: int = 0) -> list[Turn]:
    """`n` different probes of one suite (fewer where fewer exist), the same for the same `seed`.

    Raises UserError for a name that is in none of SKILLS, LIMITS and SAFETY.
    """
    known = SKILLS | LIMITS | SAFETY
    if name not in known:
        raise UserError(
            f"there is no suite {name!r} in the micro-world; give one of {', '.join(known)}."
            f"{nearest(name, known)}"
        )
    rng = random.Random(f"suite {name} {world.seed} {seed}")
    return draw_different(lambda: known[name].draw(world, rng), n, key=lambda turn: turn.prompt)


def draw_different(draw: Callable[[], Drawn], n: int, key: Callable[[Drawn], str]) -> list[Drawn]:
    """`n` draws that differ in their `key`, in the order drawn; fewer where fewer exist.

    It stops after TRIES · n draws; of draws with one key the first counts.
    """
    different: dict[str, Drawn] = {}
    for _ in range(TRIES * n):
        drawn = draw()
        different.setdefault(key(drawn), drawn)
        if len(different) == n:
            break
    return list(different.values())


def draw_stories(world: World, n: int = 50, seed: int = 0) -> list[str]:
    """`n` held-out stories; their loss is the model's language-modelling score."""
    rng = random.Random(f"stories {world.seed} {seed}")
    stories = [corpus.story(world, rng, "test") for _ in range(n)]
    return ["".join(text for text, _ in story) for story in stories]
