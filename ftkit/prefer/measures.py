"""What a loss of preferences hides: whether the answers are any good, and what it cost.

    pair_measures(model, tokenizer, pairs)    did the chosen rise, or only the rejected fall?
    token_pushes(model, tokenizer, pair)      the same of one pair, token by token
    honesty_measures(model, …)                not knowing strangers, knowing facts, over-refusal
    description_measures(model, …)            gold, right, wrong, repeated, words
    distance(model, tokenizer, rows)          KL(model ‖ base) on its own replies, nats per reply
    repetition(reply)                         share of words that say again what was said
    win_rate(before, after)                   how often the second is worth more, with its interval
    preferred(base, tuned, …)                 base beside tuned: what red flags are raised by

Skills that were lost are `forgetting`'s. Notebook 12.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from .. import models
from ..core.errors import UserError
from ..core.results import Result, TableParts, about
from ..core.statistics import Interval, Rate, paired_difference
from ..world import lexicon
from . import by_hand, rewards
from .pairs import TokenPair

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LONGEST = {"sentence": 20, "description": 64}  # tokens of a reply that is judged
NOTHING = Interval(0.0, 0.0, 0.0)
PHRASE = 4  # words that, said again, are a repetition


class PairMeasures(NamedTuple):
    """Both answers of pairs, by the model beside its reference; log p in nats per answer."""

    right: float  # share of pairs whose chosen gained more: TRL's rewards/accuracies
    chosen: float
    rejected: float
    ref_chosen: float
    ref_rejected: float
    fell: float  # share of pairs whose chosen is less likely than before


def pair_measures(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", pairs: Sequence[TokenPair]
) -> PairMeasures:
    """What training on pairs did to the pairs; the reference is the model with its adapter off."""
    with models.asking(model):
        chosen, rejected = by_hand.read_pairs(model, pairs, tokenizer)
        with by_hand.adapter_off(model):
            ref_chosen, ref_rejected = by_hand.read_pairs(model, pairs, tokenizer)
    right = (chosen - ref_chosen) > (rejected - ref_rejected)
    return PairMeasures(
        right=right.float().mean().item(),
        chosen=chosen.mean().item(),
        rejected=rejected.mean().item(),
        ref_chosen=ref_chosen.mean().item(),
        ref_rejected=ref_rejected.mean().item(),
        fell=(chosen < ref_chosen).float().mean().item(),
    )


class Pushes(NamedTuple):
    """What training did to each token of a pair: (tokens, changes of log p in nats) of both."""

    chosen: tuple[list[str], list[float]]
    rejected: tuple[list[str], list[float]]


def token_pushes(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", pair: TokenPair
) -> Pushes:
    """log p of every token of both answers, less what the base (adapter off) gives them."""
    with models.asking(model):
        now = by_hand.token_log_probs(model, pair)
        with by_hand.adapter_off(model):
            before = by_hand.token_log_probs(model, pair)
    found = []
    for answer, new, old in zip((pair.chosen, pair.rejected), now, before, strict=True):
        tokens = [str(tokenizer.decode([token])) for token in answer]
        found.append((tokens, (new - old).tolist()))
    return Pushes(*found)


class HonestyMeasures(NamedTuple):
    """Replies to the questions of `pairs.honesty`."""

    unsure: Rate  # strangers answered "I don't know."
    right: Rate  # known facts told rightly, in a sentence
    over_refusal: Rate  # known facts answered "I don't know."


def honesty_measures(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", rows: Sequence[Mapping]
) -> HonestyMeasures:
    """The greedy replies to rows of `pairs.honesty`, counted."""
    chats = [row["messages"][:-1] for row in rows]
    replies = models.answer(model, tokenizer, chats, LONGEST["sentence"])
    unsure: dict[str, list[bool]] = {"stranger": [], "known": []}
    right = []
    for row, reply in zip(rows, replies, strict=True):
        unsure[row["kind"]].append(reply == lexicon.UNKNOWN)
        if row["kind"] == "known":
            right.append(reply == row["messages"][-1]["content"])
    return HonestyMeasures(*map(as_rate, (unsure["stranger"], right, unsure["known"])))


def as_rate(hits: Sequence[bool]) -> Rate:
    """A `Rate` of what is right or wrong."""
    return Rate(sum(hits), len(hits))


class DescriptionMeasures(NamedTuple):
    """Means over descriptions of what `rewards.count_sentences` counts, and of their words."""

    gold: float
    right: float
    wrong: float
    repeated: float
    words: float


def describe_replies(rows: Sequence[Mapping], replies: Sequence[str]) -> DescriptionMeasures:
    """The same of replies that are there; a row of each."""
    counted = [
        rewards.count_sentences(row["entity"], reply)
        for row, reply in zip(rows, replies, strict=True)
    ]
    lists = (
        [count.gold for count in counted],
        [count.right for count in counted],
        [count.wrong for count in counted],
        [count.repeated for count in counted],
        [count_words(reply) for reply in replies],
    )
    return DescriptionMeasures(*map(statistics.fmean, lists))


def description_measures(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    rows: Sequence[Mapping],
    each: int = 2,
) -> DescriptionMeasures:
    """Descriptions drawn from the model, `each` of every row."""
    chats = [row["messages"][:-1] for row in rows]
    longest = LONGEST["description"]
    drawn = by_hand.sample(model, tokenizer, chats, each, max_new_tokens=longest)
    return describe_replies([row for row in rows for _ in range(each)], drawn.texts)


def distance(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    rows: Sequence[Mapping],
    each: int = 2,
    max_new_tokens: int = 24,
) -> Interval:
    """KL(model ‖ base) of whole replies, in nats, estimated on replies that the model draws.

    The mean of log π(y) − log base(y), and its 95 % interval over the replies, by bootstrap. The
    base is the model with its adapter off.
    """
    chats = [row["messages"][:-1] for row in rows]
    drawn = by_hand.sample(model, tokenizer, chats, each, max_new_tokens=max_new_tokens)
    with models.asking(model):
        ours = by_hand.answer_logs(model, drawn).sum(1)
        with by_hand.adapter_off(model):
            base = by_hand.answer_logs(model, drawn).sum(1)
    return paired_difference(base.tolist(), ours.tolist())


def repetition(reply: str) -> float:
    """The share of a reply's phrases of four words that it has said before; 0 for a short one."""
    said = reply.split()
    phrases = [" ".join(said[n : n + PHRASE]) for n in range(len(said) - PHRASE + 1)]
    return 1 - len(set(phrases)) / len(phrases) if phrases else 0.0


def count_words(reply: str) -> int:
    """The words of a reply."""
    return len(reply.split())


class WinRate(NamedTuple):
    """How often the second of two is worth more, by whatever was asked."""

    wins: Rate  # of the rows that decide: ties are in none
    ties: int

    def __str__(self) -> str:
        return f"{self.wins}, {self.ties} ties"


def win_rate(before: Sequence[float], after: Sequence[float]) -> WinRate:
    """Wins of `after` over `before` on the same rows; UserError for lists of other lengths."""
    if len(before) != len(after):
        raise UserError(f"there are {len(before)} scores and {len(after)}; give one a row of both.")
    pairs = list(zip(before, after, strict=True))
    ties = sum(one == other for one, other in pairs)
    return WinRate(Rate(sum(other > one for one, other in pairs), len(pairs) - ties), ties)


@dataclass(frozen=True, repr=False)
class Preferred(Result):
    """Base beside tuned on the same prompts: what a preference run does beside what it is for."""

    wins: WinRate  # of the tuned, by what the answers are worth
    kl: Interval  # KL(tuned ‖ base), nats per reply
    longer: Interval  # words per reply, tuned − base, as a share of the base's
    repeating: Interval  # share of phrases said again, tuned − base
    over_refusing: Interval  # share answered "I don't know." that the base answers, tuned − base

    def json(self) -> dict:
        """By measure; intervals as (value, low, high)."""
        wins = {"wins": self.wins.wins.hits, "of": self.wins.wins.n, "ties": self.wins.ties}
        names = ("kl", "longer", "repeating", "over_refusing")
        return {"win_rate": wins, **{name: tuple(getattr(self, name)) for name in names}}

    def table(self) -> TableParts:
        """One line per measure."""
        units = {
            "kl": "KL from the base, nats per reply",
            "longer": "longer than the base's replies, share",
            "repeating": "more of it said again, share",
            "over_refusing": "more refused, share",
        }
        rows: list[Sequence[object]] = [("tuned is worth more", str(self.wins))]
        for name, unit in units.items():
            value, low, high = getattr(self, name)
            rows.append((unit, f"{about(value, 2)} [{about(low, 2)}, {about(high, 2)}]"))
        return "Tuned beside its base", ("measure", "value [95 % interval]"), rows


def preferred(
    tuned: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    rows: Sequence[Mapping],
    worth: Callable[[Sequence[Mapping], Sequence[str]], Sequence[float]] = rewards.exact,
    max_new_tokens: int = 24,
) -> Preferred:
    """Both models' greedy replies to the rows' prompts, judged by `worth` and counted.

    tuned: a model with its adapter on; off, it is the base. rows: chats that end in a right answer.
    """
    chats = [row["messages"][:-1] for row in rows]
    after = models.answer(tuned, tokenizer, chats, max_new_tokens)
    with by_hand.adapter_off(tuned):
        before = models.answer(tuned, tokenizer, chats, max_new_tokens)

    # each measure of both, row by row
    def changed(measure: Callable[[str], float]) -> Interval:
        return paired_difference([measure(one) for one in before], [measure(one) for one in after])

    unsure = [row["messages"][-1]["content"].strip() == lexicon.UNKNOWN for row in rows]
    answerable = [place for place, refused in enumerate(unsure) if not refused]
    refused = [
        [float(replies[place] == lexicon.UNKNOWN) for place in answerable]
        for replies in (before, after)
    ]
    longer, usual = changed(count_words), statistics.fmean(map(count_words, before)) or 1.0
    return Preferred(
        wins=win_rate(list(worth(rows, before)), list(worth(rows, after))),
        kl=distance(tuned, tokenizer, rows, max_new_tokens=max_new_tokens),
        longer=Interval(*(words / usual for words in longer)),
        repeating=changed(repetition),
        over_refusing=paired_difference(refused[0], refused[1]) if answerable else NOTHING,
    )
