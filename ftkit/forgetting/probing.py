"""What did the tuning cost? The same held-out skill probes, asked before and after it.

    skills(model, tokenizer)    `Skills`: every probe of every suite, right or wrong
    table(before, after)        `Forgetting`: by suite, and the mean lost with its interval
    fair_rows(tokenizer, n)     chat rows with right answers that are fair to a model

The pocket model, and what was tuned from it, is asked the micro-world's suites (`world.skills`),
any other model those of `everyday`. Which prompts broke is listed in `what_broke`; what was learned
is scored by `evaluate`. Notebooks 00, 03, 09 and 10.
"""

import functools
import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import data
from ..core.errors import UserError
from ..core.files import data_path
from ..core.results import Result, TableParts, percent
from ..core.statistics import Interval, Rate, paired_difference
from ..models import affordable, verify_answers, write_replies
from ..world import World
from ..world import skills as suites
from . import everyday

if TYPE_CHECKING:
    from datasets import Dataset
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


def what_asks(name: str) -> str:
    """What a suite asks, in a few words; "" for a name that is none."""
    known = suites.SKILLS | suites.LIMITS | suites.SAFETY | everyday.SKILLS | everyday.SAFETY
    return known[name].about if name in known else ""


@dataclass(frozen=True, repr=False)
class Skills(Result):
    """The share of right answers by skill suite."""

    right: dict[str, list[bool]]  # every single answer, for paired comparisons
    cut_off: int = 0  # replies in words that were judged at LONGEST_ANSWER tokens, unfinished
    asked: str = ""  # which probes in which way, to tell whether two were asked the same

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
        rows: list[Sequence[object]] = [
            (name, rate, what_asks(name)) for name, rate in self.rates.items()
        ]
        rows.append(("mean", percent(self.mean), ""))
        if self.cut_off:
            rows.append(("replies cut off", f"{self.cut_off:,}", f"after {LONGEST_ANSWER} tokens"))
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


def fair_rows(tokenizer: "PreTrainedTokenizerBase", n: int) -> "Dataset":
    """The first `n` chat rows that are fair to a tokenizer's model, each with its right answer.

    General rows for the pocket model and what was tuned from it, a probe of each suite in turn for
    any other. Raises UserError where there are fewer.
    """
    if knows_world(tokenizer):
        return data.first(data.load("general")["train"], n)
    # one of every suite, then the next one of each; suites may run out
    groups = draw_probes(tokenizer, max(1, n)).values()
    turns = itertools.chain.from_iterable(itertools.zip_longest(*groups))
    rows = [chat_row(probe.prompt, probe.options[0]) for probe in turns if probe is not None]
    return data.first(data.to_dataset(rows), n)


def chat_row(prompt: str, answer: str) -> dict:
    """A question and its answer as a row of `messages`."""
    turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    return {"messages": turns}


def skills(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    n: int | None = None,
    seed: int = 0,
    names: Sequence[str] | None = None,
    world: World | None = None,
) -> Skills:
    """Ask `n` probes of every skill, or of `names`, greedily; by default USUAL.

    A model that is slow here is asked FEW. Right is what matches to the letter in the micro-world,
    and what passes the probe's own rule in the real one. The same `seed` asks the same probes; a
    skill that does not exist is a `UserError`.
    """
    n = affordable(model, USUAL, FEW) if n is None else n
    groups = draw_probes(tokenizer, n, seed, names, world)
    probes = [probe for group in groups.values() for probe in group]
    chats = [[{"role": "user", "content": probe.prompt}] for probe in probes]
    cut_off = 0
    if world is not None or knows_world(tokenizer):
        answers = [probe.answer for probe in probes]
        right = verify_answers(model, tokenizer, chats, answers, LONGEST_ANSWER)
    else:
        replies = write_replies(model, tokenizer, chats, LONGEST_ANSWER)
        cut_off = sum(not reply.ended for reply in replies)
        right = [probe.right(reply.text) for probe, reply in zip(probes, replies, strict=True)]

    # back into the groups, which were asked in one row
    marks = iter(right)
    return Skills(
        {name: list(itertools.islice(marks, len(group))) for name, group in groups.items()},
        cut_off,
        sign("written", (probe.prompt for probe in probes)),
    )


@dataclass(frozen=True, repr=False)
class Forgetting(Result):
    """Skills before and after a tuning, question by question."""

    before: Skills
    after: Skills
    text: Interval | None = None  # the rise of −log p on general text, nats per token

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
        values = {"skills": by_suite, "skill_lost": self.lost}
        return values if self.text is None else {**values, "text_nats": self.text}

    def table(self) -> TableParts:
        """One line per suite, and the mean with its interval."""
        before, after = self.before.rates, self.after.rates
        rows: list[Sequence[object]] = []
        for name, rate in before.items():
            change = about_points(after[name].value - rate.value)
            rows.append((name, percent(rate.value), percent(after[name].value), change))

        # what was lost is a change with the sign turned round
        mean, low, high = self.lost
        change = f"{about_points(-mean)} [{-100 * high:.1f}, {-100 * low:.1f}]"
        rows.append(("mean", percent(self.before.mean), percent(self.after.mean), change))
        cut = (self.before.cut_off, self.after.cut_off)
        if any(cut):
            rows.append(("replies cut off", *(f"{n:,}" for n in cut), ""))
        if self.text is not None:
            rise, low, high = self.text
            of_text = f"≈{rise:+.3f} [{low:+.3f}, {high:+.3f}] nats"
            rows.append(("loss on general text", "", "", of_text))
        n = max(rate.n for rate in before.values())
        return (
            f"Skills before and after, n = {n} each",
            ("skill", "before", "after", "change, points"),
            rows,
        )


def about_points(change: float) -> str:
    """A measured difference of two shares in points: about_points(-0.1) is "≈-10.0"."""
    return f"≈{100 * change:+.1f}"


def in_words(suites: Mapping[str, int]) -> str:
    """Suites by their number of probes, as a sentence names them."""
    return ", ".join(f"{name} ({n})" for name, n in suites.items())


def sign(way: str, prompts: Iterable[str]) -> str:
    """The `asked` of `Skills`: the way, and the prompts as a hash."""
    return f"{way} {hashlib.sha256(json.dumps(list(prompts)).encode()).hexdigest()[:12]}"


def table(before: Skills, after: Skills, text: Interval | None = None) -> Forgetting:
    """Before beside after; `UserError` unless both have asked the same probes in the same way.

    text: what general text costs more, as `text_loss(…).lost(…)` gives it, to stand beside.
    """
    names, others = ({k: len(v) for k, v in one.right.items()} for one in (before, after))
    if names != others:
        raise UserError(
            f"before asked {in_words(names)}, and after {in_words(others)}; ask both the same "
            "suites and the same n."
        )
    if before.asked and after.asked and before.asked != after.asked:
        raise UserError(
            "before and after were asked other probes, or in another way: give both the same seed, "
            "and ask both by forgetting.skills or both by forgetting.choices."
        )
    return Forgetting(before, after, text)
