"""Prompted, retrieved, tuned, or both: every arm on one test set, by one call.

    Arm(name, model, prompt, read, …)    how a row is asked, of whom, and how the reply is read
    compare_arms(arms, tokenizer, test)  an `Arms`: score, tokens, time, money, staleness, invention
    as_asked(rows, prompt)               training rows whose questions are asked as an arm asks them
    list_to_json(reply)                  a `read` for replies that are lists of "name: value"

Prompt tokens are exact, milliseconds one machine's. Whether a difference says anything is McNemar's
test, corrected for the number of arms. What a token costs is given, never looked up. Notebook 06.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from .. import data, evaluate, lora, models
from ..core.errors import UserError, is_number, nearest
from ..core.results import Result, TableParts, about
from ..core.statistics import Difference, Rate, compare_answers, holm
from .prompting import count_prompt_tokens, read_list, zero_shot
from .updating import Staleness, staleness

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Chats = list[list[dict]]
AS_IT_IS = ""  # a model is asked with the adapters that are on
SURE = 0.05  # the corrected p from which on two arms can't be told apart
PER = 1000  # answers that a cost is given for
MILLION = 1_000_000  # tokens that a price is given for


def unchanged(chats: Chats) -> Chats:
    """The chats as they are: how zero-shot asks."""
    return chats


@dataclass(frozen=True)
class Arm:
    """One way to get an answer: how a test row is asked, of which model, and how the reply is read.

    prompt: makes the chats that are asked of the rows' own. read: makes the answer of a reply.
    after: the prompt once facts have changed, with another index, say; None asks as before.
    adapter: which of the model's adapters is on; None: none of them, the base.
    """

    name: str
    model: "PreTrainedModel"
    prompt: Callable[[Chats], Chats] = unchanged
    read: Callable[[str], str] = str
    after: Callable[[Chats], Chats] | None = None
    adapter: str | None = AS_IT_IS
    tokenizer: "PreTrainedTokenizerBase | None" = None  # where it is not the others'

    @contextmanager
    def asked(self) -> "Iterator[PreTrainedModel]":
        """Inside the block, the model as this arm asks it."""
        if self.adapter == AS_IT_IS:
            yield self.model
            return
        with lora.using(self.model, self.adapter) as model:
            yield model  # type: ignore # peft's model answers as a model does


@dataclass(frozen=True)
class ArmScore:
    """What was measured of one arm."""

    name: str
    score: evaluate.Score
    prompt_tokens: float  # per question, as the model reads it
    reply_tokens: float
    ms: float  # per answer, in batches, on this machine at this moment
    cost: float | None = None  # of PER answers, in the currency of the prices
    stale: Staleness | None = None
    made_up: Rate | None = None  # about strangers

    def json(self) -> dict:
        """Shares from 0 to 1 with n and 95 % intervals; None for what was not asked for."""
        rates = {"exact": self.score.task, "format": self.score.format, "made_up": self.made_up}
        if self.stale:
            rates |= {"changed_right": self.stale.right, "stale": self.stale.stale}
            rates["unchanged_right"] = self.stale.unchanged
        measured = {name: rate_as_json(rate) for name, rate in rates.items()}
        return measured | {
            "prompt_tokens": self.prompt_tokens,
            "reply_tokens": self.reply_tokens,
            "ms": round(self.ms, 2),
            "cost_of_1000": self.cost,
        }


def rate_as_json(rate: Rate | None) -> dict | None:
    """A share with its n and interval; None where there was nothing to judge."""
    if rate is None or not rate.n:
        return None
    return {"value": rate.value, "n": rate.n, "interval": rate.interval}


@dataclass(frozen=True, repr=False)
class Arms(Result):
    """All arms on one test set, in the order given."""

    arms: list[ArmScore]

    @property
    def n(self) -> int:
        """Test rows."""
        return len(self.arms[0].score.exact)

    @property
    def best(self) -> ArmScore:
        """The arm with most exact answers; of equal ones, the one with the shortest prompts."""
        return max(self.arms, key=lambda arm: (arm.score.task.hits, -arm.prompt_tokens))

    @property
    def differences(self) -> dict[str, tuple[Difference, float]]:
        """{arm: (best against it on the same rows, the p corrected by Holm)}, without best."""
        others = [arm for arm in self.arms if arm is not self.best]
        found = [compare_answers(self.best.score.exact, arm.score.exact) for arm in others]
        corrected = holm([difference.p for difference in found])
        names = [arm.name for arm in others]
        return dict(zip(names, zip(found, corrected, strict=True), strict=True))

    @property
    def shares(self) -> dict[str, tuple[float, float, float]]:
        """{arm: (share of exact answers, low, high)}, as the pictures take it."""
        return {arm.name: (arm.score.task.value, *arm.score.task.interval) for arm in self.arms}

    def __getitem__(self, name: str) -> ArmScore:
        by_name = {arm.name: arm for arm in self.arms}
        if name not in by_name:
            known = ", ".join(by_name)
            raise UserError(f"there is no arm {name!r}; there are {known}.{nearest(name, by_name)}")
        return by_name[name]

    def against_best(self, name: str) -> str:
        """Whether an arm can be told from the best one, in words."""
        if name == self.best.name:
            return "best"
        difference, p = self.differences[name]
        points = about(100 * difference.change)
        return f"worse by {points.replace('-', '')} points" if p < SURE else "can't be told apart"

    def table(self) -> TableParts:
        """One line per arm; columns that no arm has are left out."""
        columns: dict[str, list[object]] = {
            "arm": [arm.name for arm in self.arms],
            "exact": [arm.score.task for arm in self.arms],
            "format": [arm.score.format if arm.score.format.n else "" for arm in self.arms],
            "prompt tokens": [f"{arm.prompt_tokens:.1f}" for arm in self.arms],
            "ms": [about(arm.ms) for arm in self.arms],
            f"cost of {PER:,}": ["" if a.cost is None else about(a.cost) for a in self.arms],
            "changed: right": [arm.stale.right if arm.stale else "" for arm in self.arms],
            "changed: stale": [arm.stale.stale if arm.stale else "" for arm in self.arms],
            "made up": ["" if arm.made_up is None else arm.made_up for arm in self.arms],
            "against the best": [self.against_best(arm.name) for arm in self.arms],
        }
        shown = {head: values for head, values in columns.items() if any(map(str, values))}
        title = f"{len(self.arms)} arms on the same {self.n} rows, share [95 % interval]"
        return title, list(shown), list(zip(*shown.values(), strict=True))

    def json(self) -> dict:
        """By arm what was measured, and the best one with the corrected p of every other."""
        return {
            "n": self.n,
            "arms": {arm.name: arm.json() for arm in self.arms},
            "best": self.best.name,
            "p": {name: p for name, (_, p) in self.differences.items()},
        }


def compare_arms(
    arms: Sequence[Arm],
    tokenizer: "PreTrainedTokenizerBase",
    test: "Dataset",
    *,
    updated: "Dataset | None" = None,
    strangers: int = 0,
    prices: tuple[float, float] | Mapping[str, tuple[float, float]] | None = None,
    max_new_tokens: int | None = None,
) -> Arms:
    """Ask every arm the same test rows, greedily, and hold its answers to the same golds.

    updated: the same questions after some answers changed: every arm is asked again, with its
    prompt `after` the change. strangers: so many plain questions about strangers, put to its model
    without its prompt. prices: (a million prompt tokens, a million reply tokens) for all arms, or
    by arm. Raises UserError for no arms, two of one name, no rows, and prompts that are not one for
    each row.
    """
    check_arms(arms, test)
    rates = {arm.name: price_of(arm.name, prices) for arm in arms}
    made_up: dict[tuple[int, str | None], Rate] = {}
    scored = []
    for arm in arms:
        own = arm.tokenizer or tokenizer
        stale = None
        with arm.asked() as model:
            measured = ask(arm, model, own, test, max_new_tokens)
            if updated is not None:
                later = replace(arm, prompt=arm.after or arm.prompt)
                again = ask(later, model, own, updated, max_new_tokens)
                stale = staleness(again.score.replies, test, updated)
            # the same model makes up the same, however it is prompted elsewhere
            who = (id(arm.model), arm.adapter)
            if strangers and who not in made_up:
                made_up[who] = evaluate.hallucination_rate(model, own, strangers)
        cost = cost_of(measured, rates[arm.name])
        scored.append(ArmScore(arm.name, *measured, cost, stale, made_up.get(who)))
    return Arms(scored)


class Measured(NamedTuple):
    """What asking an arm once gives."""

    score: evaluate.Score
    prompt_tokens: float
    reply_tokens: float
    ms: float


def ask(
    arm: Arm,
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    test: "Dataset",
    max_new_tokens: int | None,
) -> Measured:
    """Ask one arm the test rows; `model` is its own with the right adapter on."""
    # what is asked, and how long it is
    chats = prompts_of(arm, test)
    tools = data.tools_of(test)
    tokens = count_prompt_tokens(tokenizer, chats, tools)
    reader = models.ReplyReader(model, tokenizer)
    golds = [chat.answer_ids for chat in evaluate.render_rows(tokenizer, test)]
    longest = evaluate.longest_reply(golds) if max_new_tokens is None else max_new_tokens

    # what is replied, and what of it is the answer
    began = time.perf_counter()
    replies = models.write_replies(model, tokenizer, chats, longest, tools=tools)
    seconds = time.perf_counter() - began
    answers = [reply._replace(text=arm.read(reply.text)) for reply in replies]
    written = tokenizer([reply.thoughts + reply.text for reply in replies])["input_ids"]
    return Measured(
        score=evaluate.score_replies(reader, test, answers, arm.name, chats),
        prompt_tokens=sum(tokens) / len(tokens),
        reply_tokens=sum(map(len, written)) / len(written),
        ms=1000 * seconds / len(chats),
    )


def prompts_of(arm: Arm, rows: "Dataset") -> Chats:
    """What an arm asks for each row; refuses prompts that are not one chat for each."""
    chats = arm.prompt(zero_shot(rows))
    if not isinstance(chats, list) or len(chats) != len(rows):
        given = f"{len(chats)} chats" if isinstance(chats, list) else repr(chats)[:60]
        raise UserError(
            f"the prompt of arm {arm.name!r} makes {given} of {len(rows)} rows; "
            "give a function that returns a list of one chat for each."
        )
    return chats


def as_asked(rows: "Dataset", prompt: Callable[[Chats], Chats]) -> "Dataset":
    """The rows with their questions asked by `prompt`, and their own answers: rows to tune on.

    What a model is tuned for it should be asked: the schema's wording, or with passages before it.
    """
    asked = prompt(zero_shot(rows))
    return data.to_dataset(
        [{"messages": [*chat, own[-1]]} for chat, own in zip(asked, rows["messages"], strict=True)]
    )


def list_to_json(reply: str) -> str:
    """A list of "name: value" lines as a JSON object; a reply that is no list stays as it is."""
    read = read_list(reply)
    return json.dumps(read, ensure_ascii=False) if read else reply


def check_arms(arms: Sequence[Arm], test: "Dataset") -> None:
    """Refuse no arms, two of one name, and no rows."""
    names = [arm.name for arm in arms]
    if not names:
        raise UserError("there are no arms; give one at least, such as Arm('zero-shot', model).")
    twice = [name for place, name in enumerate(names) if name in names[:place]]
    if twice:
        raise UserError(f"two arms are named {twice[0]!r}; give each a name of its own.")
    if not len(test):
        raise UserError("there are no test rows; give at least one chat example.")


def price_of(
    name: str, prices: tuple[float, float] | Mapping[str, tuple[float, float]] | None
) -> tuple[float, float] | None:
    """(a million prompt tokens, a million reply tokens) of an arm; None where none is given."""
    pair = prices.get(name) if isinstance(prices, Mapping) else prices
    if pair is None:
        return None
    if not isinstance(pair, Sequence) or len(pair) != 2 or not all(map(is_price, pair)):
        raise UserError(
            f"the prices of {name!r} are {pair!r}; give what a million prompt tokens and a "
            "million reply tokens cost, such as (0.15, 0.6)."
        )
    return pair[0], pair[1]


def is_price(value: object) -> bool:
    """Whether a value is a number from 0 on."""
    return is_number(value) and value >= 0


def cost_of(measured: Measured, prices: tuple[float, float] | None) -> float | None:
    """What PER answers cost at these prices."""
    if prices is None:
        return None
    per_answer = measured.prompt_tokens * prices[0] + measured.reply_tokens * prices[1]
    return PER * per_answer / MILLION
