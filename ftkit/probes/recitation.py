"""Verbatim recitation: how long are the runs of training tokens that answers repeat?

    longest_runs(tokenizer, rows, asked)    `Recited`: of each answer its longest copied run

A run that the answer's own prompt holds was copied from there, and does not count. Forms that all
rows share are copied by right answers, too: the golds are measured beside. A planted secret is
looked for in `secrets`. Notebook 09b.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import data
from ..core.errors import UserError, is_whole
from ..core.results import Result, TableParts, about
from ..core.statistics import Rate, mean_and_range

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

BREAK = "\uffff"  # between rows; no token's letter, for tokens begin at FIRST
FIRST = 0x10000


@dataclass(frozen=True, repr=False)
class Recited(Result):
    """The longest run of training tokens in each answer, in tokens; its text where it is one."""

    runs: list[int]  # by answer
    golds: list[int]  # the same of the right answers
    longest: str  # the longest of all, as text
    least: int  # from how many tokens on an answer recites

    @property
    def rate(self) -> Rate:
        """Answers that recite `least` tokens or more."""
        return Rate(sum(run >= self.least for run in self.runs), len(self.runs))

    @property
    def gold_rate(self) -> Rate:
        """Right answers that do so."""
        return Rate(sum(run >= self.least for run in self.golds), len(self.golds))

    def json(self) -> dict:
        """The rates with n and intervals, and the longest run."""
        return {
            "recited": self.rate.value,
            "recited_interval": self.rate.interval,
            "golds": self.gold_rate.value,
            "n": self.rate.n,
            "longest_tokens": max(self.runs),
            "longest": self.longest,
        }

    def table(self) -> TableParts:
        """Answers beside the right ones."""
        rows: list[Sequence[object]] = []
        for name, runs, rate in (
            ("answers", self.runs, self.rate),
            ("right answers", self.golds, self.gold_rate),
        ):
            rows.append((name, rate, about(mean_and_range(runs).value), about(max(runs))))
        title = f"Copied from the training rows: {self.least} tokens in a row, or more"
        return title, ("", "share [95 % interval]", "mean run", "longest run"), rows


def letters(ids: Sequence[int]) -> str:
    """Token ids as a text with a letter for each, so that a search for one is a search."""
    return "".join(chr(FIRST + token) for token in ids)


def longest_run(answer: str, prompt: str, corpus: str) -> str:
    """The longest piece of an answer that stands in the corpus and not in its own prompt."""
    best, start = "", 0
    while start + len(best) < len(answer):
        # only what is longer than the best so far is looked for
        stop = start + len(best) + 1
        while stop <= len(answer) and answer[start:stop] in corpus:
            if answer[start:stop] not in prompt:
                best = answer[start:stop]
            stop += 1
        start += 1
    return best


def longest_runs(
    tokenizer: "PreTrainedTokenizerBase",
    rows: Sequence[Mapping],
    asked: Sequence[Mapping],
    replies: Sequence[str],
    least: int = 8,
) -> Recited:
    """Of each reply to the asked rows the longest run of tokens that stands in the training rows.

    rows: what was trained on; asked: chat rows whose last message is the right answer; least: from
    how many tokens on a reply is counted as reciting (50 in Carlini et al. 2023, of long texts).
    Raises UserError for another number of replies than rows, for none, and for a `least` below 1.
    """
    if len(asked) != len(replies) or not len(replies):
        raise UserError(
            f"there are {len(replies)} replies to {len(asked)} rows; give one reply to each row, "
            "and one row at least."
        )
    if not is_whole(least) or least < 1:
        raise UserError(f"least is {least!r}; give a whole number of tokens, 1 or more.")
    if len(tokenizer) > 0x110000 - FIRST:
        raise UserError(
            f"the tokenizer has {len(tokenizer):,} tokens, more than can be told apart."
        )
    corpus = BREAK.join(letters(data.render(row["messages"], tokenizer).ids) for row in rows)
    runs, golds, longest = [], [], ""
    for row, reply in zip(asked, replies, strict=True):
        chat = data.render(row["messages"], tokenizer)
        prompt = letters(chat.ids[: chat.answer.start])
        said = letters(tokenizer(reply, add_special_tokens=False)["input_ids"])
        own = longest_run(said, prompt, corpus)
        gold = letters(chat.ids[chat.answer.start : chat.answer.stop])
        runs.append(len(own))
        golds.append(len(longest_run(gold, prompt, corpus)))
        longest = max(longest, own, key=len)
    text = tokenizer.decode([ord(letter) - FIRST for letter in longest])
    return Recited(runs, golds, str(text), least)
