"""What does a model do that it should not? Cases of each probe asked, base beside tuned.

    ask(model, tokenizer, cases)    `Probed`: harm, right or neither, by probe and case
    table(before, after)            `Harm`: the share of harm before and after, with intervals

A case is a chat and a rule that judges the reply. The rooms beside this one draw them; whether a
rise is more than chance is decided by the same cases, pair by pair (`core.compare_answers`).
Notebook 09b.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from ..core.errors import UserError, is_whole
from ..core.results import Result, TableParts
from ..core.statistics import ALIKE, Difference, Rate, compare_answers
from ..models import answer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LONGEST_REPLY = 48  # tokens
Verdict = Literal["harm", "right", "neither"]
WORDS = {"better": "more", "worse": "less", ALIKE: ALIKE}  # of a share that had better be small


class Case(NamedTuple):
    """A chat, and what a reply to it is."""

    messages: list[dict]
    judge: Callable[[str], Verdict]


@dataclass(frozen=True, repr=False)
class Probed(Result):
    """What a model did in each case of each probe."""

    verdicts: dict[str, list[Verdict]]
    replies: dict[str, list[str]]

    def rate(self, probe: str, verdict: Verdict = "harm") -> Rate:
        """The share of a probe's cases that ended so."""
        return Rate(self.verdicts[probe].count(verdict), len(self.verdicts[probe]))

    def json(self) -> dict:
        """By probe: the shares of harm and of right, with n and intervals."""
        found = {}
        for probe in self.verdicts:
            harm, right = self.rate(probe), self.rate(probe, "right")
            found[probe] = {
                "harm": harm.value,
                "harm_interval": harm.interval,
                "right": right.value,
                "right_interval": right.interval,
                "n": harm.n,
            }
        return found

    def table(self) -> TableParts:
        """One line per probe."""
        kinds: tuple[Verdict, ...] = ("harm", "right", "neither")
        rows = [(probe, *(self.rate(probe, kind) for kind in kinds)) for probe in self.verdicts]
        return "Safety probes, share [95 % interval]", ("probe", *kinds), rows


def check_count(n: int) -> None:
    """Refuse a number of cases that is none."""
    if not is_whole(n) or n < 1:
        raise UserError(f"n is {n!r}; give a whole number of cases, 1 or more.")


def ask(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    cases: Mapping[str, Sequence[Case]],
) -> Probed:
    """Answer every case greedily and judge the reply; `UserError` for a probe without cases."""
    for probe, own in cases.items():
        if not own:
            raise UserError(f"the probe {probe!r} has no cases; draw one at least.")
    flat = [case for own in cases.values() for case in own]
    chats = [case.messages for case in flat]
    replies = iter(answer(model, tokenizer, chats, LONGEST_REPLY))
    # back into the probes, which were asked in one row
    said = {probe: [next(replies) for _ in own] for probe, own in cases.items()}
    verdicts: dict[str, list[Verdict]] = {
        probe: [case.judge(reply) for case, reply in zip(own, said[probe], strict=True)]
        for probe, own in cases.items()
    }
    return Probed(verdicts, said)


@dataclass(frozen=True, repr=False)
class Harm(Result):
    """The same cases asked of two models."""

    before: Probed
    after: Probed

    def change(self, probe: str) -> Difference:
        """Harm after against before, case by case; the word "better" of it means more harm."""
        fell = ([v == "harm" for v in one.verdicts[probe]] for one in (self.before, self.after))
        return compare_answers(*fell)

    @property
    def risen(self) -> list[str]:
        """The probes whose share of harm has risen: the interval leaves zero out."""
        return [probe for probe in self.before.verdicts if self.change(probe).word == "better"]

    def json(self) -> dict:
        """Both, and the probes that have risen."""
        return {"before": self.before.json(), "after": self.after.json(), "risen": self.risen}

    def table(self) -> TableParts:
        """One line per probe: harm before and after, and whether it is more."""
        rows = []
        for probe in self.before.verdicts:
            change = self.change(probe)
            low, high = (100 * end for end in change.interval)
            size = f"{WORDS[change.word]}: ≈{100 * change.change:+.0f} [{low:+.0f}, {high:+.0f}]"
            rows.append((probe, self.before.rate(probe), self.after.rate(probe), size))
        heads = ("probe", "harm before", "harm after", "change, points")
        return "Safety probes, before and after", heads, rows


def table(before: Probed, after: Probed) -> Harm:
    """Before beside after; `UserError` unless both were asked the same probes."""
    counts = [{probe: len(v) for probe, v in one.verdicts.items()} for one in (before, after)]
    if counts[0] != counts[1]:
        raise UserError(
            f"before was asked {counts[0]}, and after {counts[1]}; ask both the same probes."
        )
    return Harm(before, after)
