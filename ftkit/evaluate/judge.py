"""A model as judge of two answers, asked in both orders and held against the truth: how often it is
right, and how it is biased.

A judge is a function: of [(question, first, second), …] it gives one number each, above zero where
it prefers the first.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..core.errors import UserError, nearest
from ..core.results import Table
from ..core.statistics import Difference, Rate, compare_answers
from ..world import Split, turns
from .likelihood import surprises

Judge = Callable[[Sequence[tuple[str, str, str]]], list[float]]
FORMS = {"bare": "{v}", "sentence": "The {f} is {v}."}
ASK = "{question}\nA: {first}\nB: {second}\nWhich answer is right, A or B?"
LETTERS = ("A", "B")


@dataclass(frozen=True)
class Pair:
    """A question, a right answer, and another one: a wrong one, or with `tie` one that is just as
    right.
    """

    question: str
    right: str
    other: str
    tie: bool = False


def pairs(
    n: int,
    right: str = "bare",
    other: str = "bare",
    tie: bool = False,
    split: Split = "test",
    seed: int = 0,
) -> list[Pair]:
    """Questions about a field of a support ticket; the wrong value is another ticket's. The same
    `seed` asks the same in any form.

    right, other: "bare" (Solburg) or "sentence" (The city is Solburg.). tie: the other answer gives
    the right value too.
    """
    for form in (right, other):
        if form not in FORMS:
            raise UserError(
                f"there is no form {form!r} of an answer; give one of {', '.join(FORMS)}.{nearest(form, FORMS)}"
            )
    rng = random.Random(f"pairs {split} {seed}")
    found = []
    for _ in range(n):
        text, fields = turns.ticket(rng, split)
        f = rng.choice([name for name in fields if name != "urgent"])
        while (wrong := turns.ticket(rng, split)[1][f]) == fields[f]:
            pass
        answers = (
            FORMS[right].format(f=f, v=fields[f]),
            FORMS[other].format(f=f, v=fields[f] if tie else wrong),
        )
        found.append(Pair(f"Ticket: {text}\nWhat is the {f}?", *answers, tie))
    return found


def examples(pairs: Sequence[Pair], both_orders: bool = False, seed: int = 0):
    """Chat rows that teach a judge: which answer is right, A or B? A fair coin puts it first, or
    each pair is told both ways round.
    """
    from datasets import Dataset

    rng = random.Random(f"orders {seed}")
    rows = []
    for pair in pairs:
        for first in (True, False) if both_orders else (rng.random() < 0.5,):
            shown = (pair.right, pair.other) if first else (pair.other, pair.right)
            asked = {
                "role": "user",
                "content": ASK.format(question=pair.question, first=shown[0], second=shown[1]),
            }
            rows.append(
                {
                    "messages": [
                        asked,
                        {"role": "assistant", "content": LETTERS[0] if first else LETTERS[1]},
                    ]
                }
            )
    return Dataset.from_list(rows)


def likelihood(model, tokenizer, per_token: bool = False) -> Judge:
    """Which answer does the model itself find likelier? log p(first) − log p(second) in nats, or of
    their means a token.
    """

    def judge(asked: Sequence[tuple[str, str, str]]) -> list[float]:
        told = list(
            dict.fromkeys((question, answer) for question, *both in asked for answer in both)
        )  # either order says the same
        chats = [
            [{"role": "user", "content": q}, {"role": "assistant", "content": a}] for q, a in told
        ]
        nats = {
            t: n / k if per_token else n
            for t, (n, k) in zip(told, surprises(model, tokenizer, chats), strict=True)
        }
        return [nats[question, second] - nats[question, first] for question, first, second in asked]

    return judge


def asker(model, tokenizer, batch_size: int = 50) -> Judge:
    """Ask the model 'A or B?' and read the two letters' logits where its answer begins: logit(A) −
    logit(B).
    """
    import torch

    letters = [tokenizer(letter, add_special_tokens=False)["input_ids"][0] for letter in LETTERS]

    def judge(asked: Sequence[tuple[str, str, str]]) -> list[float]:
        chats = [
            [{"role": "user", "content": ASK.format(question=q, first=a, second=b)}]
            for q, a, b in asked
        ]
        texts = [
            tokenizer.apply_chat_template(c, add_generation_prompt=True, tokenize=False)
            for c in chats
        ]
        margins: list[float] = []
        for start in range(0, len(texts), batch_size):
            batch = texts[start : start + batch_size]
            inputs = tokenizer(
                batch,
                add_special_tokens=False,
                padding=True,
                padding_side="left",
                return_tensors="pt",
            ).to(model.device)
            with torch.no_grad():
                logits = model(**inputs).logits[:, -1, letters].float()
            margins += (logits[:, 0] - logits[:, 1]).tolist()
        return margins

    return judge


@dataclass(frozen=True)
class JudgeTrial:
    """What a judge preferred: margins with the pair's right answer shown first, and shown second
    (above zero: the one shown first).
    """

    pairs: list[Pair]
    first: list[float]
    second: list[float]

    @property
    def right_first(self) -> Rate:
        """Right when the right answer stands first."""
        return Rate(sum(m > 0 for m in self.first), len(self.first))

    @property
    def right_second(self) -> Rate:
        """Right when the right answer stands second."""
        return Rate(sum(m < 0 for m in self.second), len(self.second))

    @property
    def position(self) -> Difference:
        """Position bias: the same pairs with the right answer second and then first; without bias
        nothing changes.
        """
        return compare_answers([m < 0 for m in self.second], [m > 0 for m in self.first])

    @property
    def flipped(self) -> Rate:
        """Pairs on which another order gave another answer."""
        return Rate(
            sum((a > 0) == (b > 0) for a, b in zip(self.first, self.second, strict=True)),
            len(self.first),
        )

    @property
    def chosen(self) -> list[bool]:
        """Is `right` preferred once both orders are averaged? The position then cancels out."""
        return [a - b > 0 for a, b in zip(self.first, self.second, strict=True)]

    @property
    def averaged(self) -> Rate:
        """The share of `chosen`."""
        return Rate(sum(self.chosen), len(self.chosen))


def try_judge(judge: Judge, pairs: Sequence[Pair]) -> JudgeTrial:
    """Ask a judge every pair in both orders."""
    if not pairs:
        raise UserError("there are no pairs to judge; give one at least.")
    orders = [(p.question, p.right, p.other) for p in pairs] + [
        (p.question, p.other, p.right) for p in pairs
    ]
    margins = judge(orders)
    return JudgeTrial(list(pairs), margins[: len(pairs)], margins[len(pairs) :])


def table(trials: Mapping[str, JudgeTrial]) -> Table:
    """One line a judge: right in either order, flipped by the order, right with both orders
    averaged.
    """
    heads = (
        "judge",
        "right answer first",
        "right answer second",
        "flips with the order",
        "orders averaged",
    )
    rows = [
        (name, t.right_first, t.right_second, t.flipped, t.averaged) for name, t in trials.items()
    ]
    return Table(
        f"Judges against the truth, n = {len(next(iter(trials.values())).pairs)} pairs in both orders",
        heads,
        rows,
    )


def by_length(judge: Judge, n: int, seed: int = 0) -> dict[str, JudgeTrial]:
    """The same questions with the lengths turned round: right and short against wrong and long, the
    reverse, and two right answers.

    Of a tie, `averaged` is the share that prefers the sentence.
    """
    forms = {
        "right is shorter": ("bare", "sentence", False),
        "right is longer": ("sentence", "bare", False),
        "both right": ("sentence", "bare", True),
    }
    return {name: try_judge(judge, pairs(n, *form, seed=seed)) for name, form in forms.items()}
