"""What did the tuning cost? The same held-out skill probes, asked before and after it.

    skills(model, tokenizer)    `Skills`: every probe of every suite, right or wrong
    table(before, after)        `Forgetting`: by suite, and the mean lost with its interval

The pocket model, and what was tuned from it, is asked the micro-world's suites (`world.skills`),
any other model those of `everyday`. Which prompts broke is listed in `what_broke`; what was learned
is scored by `evaluate`. Notebooks 00, 09 and 10.
"""

import functools
import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.files import data_path
from ..core.results import Result, TableParts, percent, percent_in
from ..core.statistics import Interval, Rate, paired_difference
from ..models import answer, is_slow_here, verify_answers
from ..world import World
from ..world import skills as suites
from . import everyday

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LONGEST_ANSWER = 48  # tokens
USUAL, FEW = 50, 12  # probes in a suite, and those of a model that is slow


@functools.cache
def pocket_vocabulary() -> frozenset[str]:
    """The tokens of the pocket model's tokenizer."""
    stored = json.loads(data_path("pocket", "tokenizer.json").read_text(encoding="utf-8"))
    return frozenset(stored["model"]["vocab"])


def knows_world(tokenizer: "PreTrainedTokenizerBase") -> bool:
    """Whether the micro-world's questions are fair to a model with this tokenizer.

    They are to the pocket model and to what was tuned from it: their tokenizer has all of its
    tokens, and few others.
    """
    pocket = pocket_vocabulary()
    return pocket <= tokenizer.get_vocab().keys() and len(tokenizer) < 2 * len(pocket)


@dataclass(frozen=True, repr=False)
class Skills(Result):
    """The share of right answers by skill suite."""

    right: dict[str, list[bool]]  # every single answer, for paired comparisons

    @property
    def rates(self) -> dict[str, Rate]:
        """Each suite's rate."""
        return {name: Rate(sum(right), len(right)) for name, right in self.right.items()}

    @property
    def mean(self) -> float:
        """The mean over suites."""
        return sum(rate.value for rate in self.rates.values()) / len(self.right)

    def table(self) -> TableParts:
        """One line per suite, and the mean."""
        n = max(len(right) for right in self.right.values())
        known = suites.SKILLS | suites.LIMITS | suites.SAFETY | everyday.SKILLS | everyday.SAFETY
        rows: list[Sequence[object]] = [
            (name, rate, known[name].about) for name, rate in self.rates.items()
        ]
        rows.append(("mean", percent(self.mean), ""))
        return f"Skills, n = {n} each", ("skill", "right [95 % interval]", "what it asks"), rows


def draw_probes(
    tokenizer: "PreTrainedTokenizerBase",
    n: int = USUAL,
    seed: int = 0,
    names: Iterable[str] | None = None,
    world: World | None = None,
) -> dict[str, list]:
    """`n` probes of every skill, or of `names`, that are fair to a tokenizer's model.

    Each has a `prompt` and an `answer`. world: the micro-world to ask about, whatever the
    tokenizer. A suite that does not exist is a `UserError`.
    """
    if world is not None or knows_world(tokenizer):
        world = world or World()
        return {name: suites.draw_suite(world, name, n, seed) for name in names or suites.SKILLS}
    return {name: everyday.draw_suite(name, n, seed) for name in names or everyday.SKILLS}


def usual_n(model: "PreTrainedModel") -> int:
    """How many probes of a suite are asked unless it is stated: fewer of a model that is slow."""
    return FEW if is_slow_here(model) else USUAL


def skills(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    n: int | None = None,
    seed: int = 0,
    names: Sequence[str] | None = None,
    world: World | None = None,
) -> Skills:
    """Ask `n` probes of every skill, or of `names`, greedily; by default `usual_n`.

    Right is what matches to the letter in the micro-world, and what passes the probe's own rule in
    the real one. The same `seed` asks the same probes; a skill that does not exist is a
    `UserError`.
    """
    n = usual_n(model) if n is None else n
    groups = draw_probes(tokenizer, n, seed, names, world)
    probes = [probe for group in groups.values() for probe in group]
    chats = [[{"role": "user", "content": probe.prompt}] for probe in probes]
    if world is not None or knows_world(tokenizer):
        answers = [probe.answer for probe in probes]
        right = verify_answers(model, tokenizer, chats, answers, LONGEST_ANSWER)
    else:
        replies = answer(model, tokenizer, chats, LONGEST_ANSWER)
        right = [probe.right(reply) for probe, reply in zip(probes, replies, strict=True)]

    # back into the groups, which were asked in one row
    marks = iter(right)
    return Skills(
        {name: list(itertools.islice(marks, len(group))) for name, group in groups.items()}
    )


@dataclass(frozen=True, repr=False)
class Forgetting(Result):
    """Skills before and after a tuning, question by question."""

    before: Skills
    after: Skills

    @property
    def lost(self) -> Interval:
        """Mean skill lost, before − after, as a share; paired bootstrap over all probes."""
        before, after = (
            [right for group in skills.right.values() for right in group]
            for skills in (self.before, self.after)
        )
        return paired_difference(after, before)

    def json(self) -> dict:
        """By suite, shares from 0 to 1, and the mean lost with its interval."""
        before, after = self.before.rates, self.after.rates
        by_suite = {}
        for name, rate in before.items():
            by_suite[name] = {"before": rate.value, "after": after[name].value, "n": rate.n}
        return {"skills": by_suite, "skill_lost": self.lost}

    def table(self) -> TableParts:
        """One line per suite, and the mean with its interval."""
        before, after = self.before.rates, self.after.rates
        rows: list[Sequence[object]] = []
        for name, rate in before.items():
            shares = (rate.value, after[name].value, after[name].value - rate.value)
            rows.append((name, *map(percent, shares)))

        # what was lost is a change with the sign turned round
        mean, low, high = self.lost
        change = percent_in(-mean, -high, -low)
        rows.append(("mean", percent(self.before.mean), percent(self.after.mean), change))
        n = max(rate.n for rate in before.values())
        return (
            f"Skills before and after, n = {n} each",
            ("skill", "before", "after", "change"),
            rows,
        )


def table(before: Skills, after: Skills) -> Forgetting:
    """Before beside after; both must have asked the same probes."""
    return Forgetting(before, after)
