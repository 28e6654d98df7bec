"""What did the tuning cost? The same held-out skill probes before and after."""

import functools
import json
from collections.abc import Iterable
from dataclasses import dataclass

from ..core.files import data_path
from ..core.results import Result, percent, percent_in
from ..core.statistics import Rate, paired_difference
from ..models import answer, answer_matches
from ..world import World
from ..world import skills as suites
from . import everyday


@functools.cache
def pocket_vocabulary() -> frozenset[str]:
    """The tokens of the pocket model's tokenizer."""
    return frozenset(
        json.loads(data_path("pocket", "tokenizer.json").read_text(encoding="utf-8"))["model"][
            "vocab"
        ]
    )


def knows_world(tokenizer) -> bool:
    """Does a model with this tokenizer come from the pocket model, so that the micro-world's
    questions are fair to it?
    """
    return pocket_vocabulary() <= tokenizer.get_vocab().keys() and len(tokenizer) < 2 * len(
        pocket_vocabulary()
    )


LONGEST_ANSWER = 48  # tokens


@dataclass(frozen=True, repr=False)
class Skills(Result):
    """The share of right answers by skill suite; `right` holds every single answer for paired
    comparisons.
    """

    right: dict[str, list[bool]]

    @property
    def rates(self) -> dict[str, Rate]:
        """Each suite's rate."""
        return {name: Rate(sum(r), len(r)) for name, r in self.right.items()}

    @property
    def mean(self) -> float:
        """The mean over suites."""
        return sum(r.value for r in self.rates.values()) / len(self.right)

    def table(self):
        """One line a suite."""
        n = max(map(len, self.right.values()))
        about = suites.SKILLS | suites.LIMITS | suites.SAFETY | everyday.SKILLS | everyday.SAFETY
        return (
            f"Skills, n = {n} each",
            ("skill", "right [95 % interval]", "what it asks"),
            [
                *((name, rate, about[name].about) for name, rate in self.rates.items()),
                ("mean", percent(self.mean), ""),
            ],
        )


def probes(
    tokenizer,
    n: int = 50,
    seed: int = 0,
    names: Iterable[str] | None = None,
    world: World | None = None,
) -> dict[str, list]:
    """`n` probes of every skill (or of `names`) that are fair to a tokenizer's model, each with a
    prompt and a right answer.

    Suites of the micro-world (`world.skills`) for the pocket model and what was tuned from it; of
    the real one (`everyday`) for others.
    """
    if knows_world(tokenizer):
        return {
            name: suites.suite(world or World(), name, n, seed) for name in names or suites.SKILLS
        }
    return {name: everyday.suite(name, n, seed) for name in names or everyday.SKILLS}


def skills(
    model,
    tokenizer,
    n: int = 50,
    seed: int = 0,
    names: list[str] | None = None,
    world: World | None = None,
) -> Skills:
    """Ask `probes`, greedily: exact match in the micro-world, each probe's own rule in the real
    one.
    """
    asked = probes(tokenizer, n, seed, names, world)
    every = [p for group in asked.values() for p in group]
    chats = [[{"role": "user", "content": p.prompt}] for p in every]
    if knows_world(tokenizer):
        right = iter(
            answer_matches(model, tokenizer, chats, [p.answer for p in every], LONGEST_ANSWER)
        )
    else:
        right = (
            p.right(reply)
            for p, reply in zip(every, answer(model, tokenizer, chats, LONGEST_ANSWER), strict=True)
        )
    return Skills({name: [next(right) for _ in group] for name, group in asked.items()})


@dataclass(frozen=True, repr=False)
class Forgetting(Result):
    """Skills before and after a tuning, question by question."""

    before: Skills
    after: Skills

    @property
    def lost(self) -> tuple[float, float, float]:
        """Mean skill lost, before − after: (share, low, high), paired bootstrap over all probes."""
        flat = [[x for group in s.right.values() for x in group] for s in (self.after, self.before)]
        return paired_difference(*flat)

    def json(self) -> dict:
        """By suite, shares from 0 to 1, and the mean lost with its interval."""
        a, b = self.before.rates, self.after.rates
        return {
            "skills": {k: {"before": a[k].value, "after": b[k].value, "n": a[k].n} for k in a},
            "skill_lost": self.lost,
        }

    def table(self):
        """One line a suite, and the mean with its interval."""
        a, b = self.before.rates, self.after.rates
        rows = [
            (k, percent(a[k].value), percent(b[k].value), percent(b[k].value - a[k].value))
            for k in a
        ]
        mean, low, high = self.lost
        rows.append(
            (
                "mean",
                percent(self.before.mean),
                percent(self.after.mean),
                percent_in(-mean, -high, -low),
            )
        )
        return (
            f"Skills before and after, n = {max(rate.n for rate in a.values())} each",
            ("skill", "before", "after", "change"),
            rows,
        )


def table(before: Skills, after: Skills) -> Forgetting:
    """Before beside after; both must have asked the same probes."""
    return Forgetting(before, after)
