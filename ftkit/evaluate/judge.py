"""A model as judge of two answers: asked in both orders, and held against the truth.

    draw_pairs(n)                      questions with a right answer and another one
    by_likelihood(model, tokenizer)    a judge: which answer does the model find likelier?
    by_asking(model, tokenizer)        a judge: what does it say when it is asked 'A or B?'
    examine(judge, pairs)              an `Examination`: how often right, and its position bias
    examine_lengths(judge, n)          the same questions with short and long answers
    training_rows(pairs)               chat rows that teach a model to judge
    table(examinations)                several judges side by side
    agreement(one, other)              Cohen's κ of two judges on the same pairs

Where a right answer is known, `scoring` needs no judge: here it is what judges are measured by.
Notebook 09.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from datasets import Dataset

from .. import models
from ..core.errors import UserError, nearest
from ..core.results import Table
from ..core.statistics import Difference, Interval, Rate, compare_answers, kappa
from ..world import Split, turns
from .likelihood import surprisals

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Shown = tuple[str, str, str]  # a question, the answer shown first, the answer shown second
Judge = Callable[[Sequence[Shown]], list[float]]  # above 0 where it prefers the first
FORMS = {"bare": "{value}", "sentence": "The {field} is {value}."}
ASK = "{question}\nA: {first}\nB: {second}\nWhich answer is right, A or B?"
LETTERS = ("A", "B")


@dataclass(frozen=True)
class Pair:
    """A question, a right answer, and another one: wrong, or with `tie` just as right."""

    question: str
    right: str
    other: str
    tie: bool = False


def draw_pairs(
    n: int,
    right: str = "bare",
    other: str = "bare",
    *,
    tie: bool = False,
    split: Split = "test",
    seed: int = 0,
) -> list[Pair]:
    """Questions about a field of a support ticket; a wrong value is another ticket's.

    right, other: "bare" (Solburg) or "sentence" (The city is Solburg.). tie: the other answer gives
    the right value too. The same `seed` asks the same questions in any form; a form that does not
    exist is a `UserError`.
    """
    for form in (right, other):
        if form not in FORMS:
            raise UserError(
                f"there is no form {form!r} of an answer; give one of {', '.join(FORMS)}."
                f"{nearest(form, FORMS)}"
            )
    rng = random.Random(f"pairs {split} {seed}")
    pairs = []
    for _ in range(n):
        # the same draws in every form, so that one seed asks the same questions
        ticket, fields = turns.ticket(rng, split)
        field = rng.choice([name for name in fields if name != "urgent"])
        value = fields[field]
        wrong = draw_other_value(rng, split, field, value)
        pairs.append(
            Pair(
                question=f"Ticket: {ticket}\nWhat is the {field}?",
                right=FORMS[right].format(field=field, value=value),
                other=FORMS[other].format(field=field, value=value if tie else wrong),
                tie=tie,
            )
        )
    return pairs


def draw_other_value(rng: random.Random, split: Split, field: str, value: object) -> object:
    """The value of a field in the next ticket that has another one."""
    while True:
        _, fields = turns.ticket(rng, split)
        if fields[field] != value:
            return fields[field]


def training_rows(pairs: Sequence[Pair], *, both_orders: bool = False, seed: int = 0) -> Dataset:
    """Chat rows that teach a judge: which answer is right, A or B?

    A fair coin says which answer stands first; with `both_orders` each pair is shown both ways.
    """
    rng = random.Random(f"orders {seed}")
    rows = []
    for pair in pairs:
        right_first = (True, False) if both_orders else (rng.random() < 0.5,)
        for first in right_first:
            shown = (pair.right, pair.other) if first else (pair.other, pair.right)
            question = {"role": "user", "content": ask(pair.question, *shown)}
            letter = {"role": "assistant", "content": LETTERS[0 if first else 1]}
            rows.append({"messages": [question, letter]})
    return Dataset.from_list(rows)


def ask(question: str, first: str, second: str) -> str:
    """The prompt that asks which of two answers is right."""
    return ASK.format(question=question, first=first, second=second)


def by_likelihood(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", *, per_token: bool = False
) -> Judge:
    """A judge that prefers the answer the model finds likelier.

    Its margin is log p(first) − log p(second) in nats, or with `per_token` the difference of their
    means per token, which does not punish an answer for its length.
    """

    def judge(shown: Sequence[Shown]) -> list[float]:
        # the other order asks for the same two likelihoods, so each is computed once
        asked = [(question, answer) for question, *both in shown for answer in both]
        distinct = list(dict.fromkeys(asked))
        chats = [
            [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
            for question, answer in distinct
        ]
        nats = {}
        for key, surprisal in zip(distinct, surprisals(model, tokenizer, chats), strict=True):
            nats[key] = surprisal.nats / (surprisal.tokens if per_token else 1)
        return [nats[question, second] - nats[question, first] for question, first, second in shown]

    return judge


def by_asking(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", batch_size: int = 50
) -> Judge:
    """A judge that is asked 'A or B?'; its margin is logit(A) − logit(B) where it would answer."""
    letters = [tokenizer(letter, add_special_tokens=False)["input_ids"][0] for letter in LETTERS]

    def judge(shown: Sequence[Shown]) -> list[float]:
        chats = [[{"role": "user", "content": ask(*one)}] for one in shown]
        margins = [0.0] * len(chats)
        for places, inputs in models.prompt_batches(tokenizer, chats, batch_size=batch_size):
            # prompts are padded on the left: all end at the last position, and begin at the first
            widest = inputs["input_ids"][0].tolist()
            models.check_readable(model, tokenizer, {"the prompt of a pair": widest})
            inputs["position_ids"] = (inputs["attention_mask"].cumsum(-1) - 1).clamp(min=0)
            with models.asking(model):
                read = models.read(model, **inputs.to(model.device))
                logits = read.logits[:, -1, letters].float()
            for place, (a, b) in zip(places, logits.tolist(), strict=True):
                margins[place] = a - b
        return margins

    return judge


@dataclass(frozen=True)
class Examination:
    """What a judge preferred of each pair, asked in both orders.

    first, second: its margins with the pair's right answer shown first, and shown second; above
    zero it prefers the answer that is shown first.
    """

    pairs: list[Pair]
    first: list[float]
    second: list[float]

    @property
    def right_first(self) -> Rate:
        """How often it is right when the right answer stands first."""
        return share(margin > 0 for margin in self.first)

    @property
    def right_second(self) -> Rate:
        """How often it is right when the right answer stands second."""
        return share(margin < 0 for margin in self.second)

    @property
    def position(self) -> Difference:
        """Position bias: right answers shown second, then first; without bias nothing changes."""
        return compare_answers(
            [margin < 0 for margin in self.second], [margin > 0 for margin in self.first]
        )

    @property
    def kappa(self) -> Interval | None:
        """Cohen's κ of its letters with the right ones, over both orders; 0 is a coin's."""
        letters = [LETTERS[margin <= 0] for margin in (*self.first, *self.second)]
        n = len(self.pairs)
        return kappa(letters, [LETTERS[0]] * n + [LETTERS[1]] * n)

    @property
    def flipped(self) -> Rate:
        """How often the other order gave the other answer: the same letter both times."""
        both = zip(self.first, self.second, strict=True)
        return share((first > 0) == (second > 0) for first, second in both)

    @property
    def prefers_right(self) -> list[bool]:
        """By pair: is `right` preferred once both orders are averaged? The position cancels out."""
        return [first - second > 0 for first, second in zip(self.first, self.second, strict=True)]

    @property
    def averaged(self) -> Rate:
        """How often it is right with both orders averaged; of ties, how often it takes `right`."""
        return share(self.prefers_right)


def share(outcomes: Iterable[bool]) -> Rate:
    """How many of some outcomes are true."""
    outcomes = list(outcomes)
    return Rate(sum(outcomes), len(outcomes))


def examine(judge: Judge, pairs: Sequence[Pair]) -> Examination:
    """Ask a judge every pair in both orders; no pairs at all are a `UserError`."""
    if not pairs:
        raise UserError("there are no pairs to judge; give one at least.")
    right_first = [(pair.question, pair.right, pair.other) for pair in pairs]
    right_second = [(pair.question, pair.other, pair.right) for pair in pairs]
    margins = judge(right_first + right_second)
    return Examination(list(pairs), margins[: len(pairs)], margins[len(pairs) :])


def examine_lengths(judge: Judge, n: int, seed: int = 0) -> dict[str, Examination]:
    """The same `n` questions with the lengths turned round, to see a bias for length.

    Right and short against wrong and long, the reverse, and two right answers, of which `averaged`
    is the share that prefers the sentence.
    """
    forms = {
        "right is shorter": ("bare", "sentence", False),
        "right is longer": ("sentence", "bare", False),
        "both right": ("sentence", "bare", True),
    }
    return {
        name: examine(judge, draw_pairs(n, right, other, tie=tie, seed=seed))
        for name, (right, other, tie) in forms.items()
    }


def agreement(one: Examination, other: Examination) -> Interval | None:
    """Cohen's κ of two judges' letters on the same pairs in both orders, by bootstrap over those.

    Two judges may agree and both be wrong: `Examination.kappa` holds one against the truth. None
    where chance alone would agree always. Raises UserError for judges of other pairs.
    """
    if one.pairs != other.pairs:
        raise UserError("the two judges have seen other pairs; examine both on the same ones.")
    said, heard = (
        [LETTERS[margin <= 0] for margin in (*judge.first, *judge.second)] for judge in (one, other)
    )
    return kappa(said, heard)


def table(examinations: Mapping[str, Examination]) -> Table:
    """One line per judge: right in either order, flipped, right with both orders averaged."""
    # fmt: off
    heads = ("judge", "right answer first", "right answer second", "flips with the order",
             "orders averaged")
    # fmt: on
    rows = [
        (name, one.right_first, one.right_second, one.flipped, one.averaged)
        for name, one in examinations.items()
    ]
    n = len(next(iter(examinations.values())).pairs)
    return Table(f"Judges against the truth, n = {n} pairs in both orders", heads, rows)
