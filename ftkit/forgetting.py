"""What did the tuning cost? The same held-out skill probes before and after."""

from dataclasses import dataclass

from .evaluate import Rate, answers, paired_difference
from .record import Record, percent, percent_in
from .world import skills as suites
from .world.entities import World


@dataclass(frozen=True, repr=False)
class Skills(Record):
    """The share of right answers by skill suite; `right` holds every single answer for paired comparisons."""

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
        n = len(next(iter(self.right.values())))
        about = suites.SKILLS | suites.LIMITS
        return (
            f"Skills, n = {n} each",
            ("skill", "right [95 % interval]", "what it asks"),
            [
                *((name, rate, about[name].about) for name, rate in self.rates.items()),
                ("mean", percent(self.mean), ""),
            ],
        )


def skills(model, tokenizer, n: int = 50, seed: int = 0, names: list[str] | None = None, world: World | None = None) -> Skills:
    """Ask `n` held-out probes of every skill (or of `names`); greedy decoding, exact match."""
    names = list(names or suites.SKILLS)
    probes = {name: suites.suite(world or World(), name, n, seed) for name in names}
    flat = [p for group in probes.values() for p in group]
    replies = answers(model, tokenizer, [[{"role": "user", "content": p.prompt}] for p in flat], 48, 128)
    right = [r == p.answer for r, p in zip(replies, flat, strict=True)]
    by_name, start = {}, 0
    for name, group in probes.items():
        by_name[name] = right[start : start + len(group)]
        start += len(group)
    return Skills(by_name)


@dataclass(frozen=True, repr=False)
class Forgetting(Record):
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
        return {"skills": {k: {"before": a[k].value, "after": b[k].value, "n": a[k].n} for k in a}, "skill_lost": self.lost}

    def table(self):
        """One line a suite, and the mean with its interval."""
        a, b = self.before.rates, self.after.rates
        rows = [(k, percent(a[k].value), percent(b[k].value), percent(b[k].value - a[k].value)) for k in a]
        mean, low, high = self.lost
        rows.append(("mean", percent(self.before.mean), percent(self.after.mean), percent_in(-mean, -high, -low)))
        return f"Skills before and after, n = {next(iter(a.values())).n} each", ("skill", "before", "after", "change"), rows


def table(before: Skills, after: Skills) -> Forgetting:
    """Before beside after; both must have asked the same probes."""
    return Forgetting(before, after)
