"""Rewards: what a reply is worth, asked in a way that no slip of the reward goes unseen.

    exact(rows, replies)          1.0 for the row's own answer, else 0.0
    words(rows, replies)          a tenth for each word: a reward that invites to be hacked
    gold(rows, replies)           of descriptions: right sentences less wrong and repeated ones
    ask_reward(reward, …)         its numbers, checked; a `Reward` is any such function
    describing(n, …)              rows of "Describe X.", whose worth `count_sentences` knows
    sorting(n, …)                 rows of digits to sort, which the base gets right now and then
    make_reward_model(model)      a twin whose head gives one number, for pairs to train
    ModelReward(model, tok)       it as a reward; `rank_right(reward, pairs)` what it has learned

A reward takes rows and replies, both lists of the same length, and gives a number for each. A model
of rewards is trained by `by_hand.tune_reward_model`, or by TRL (`tuning`). Notebook 12.
"""

import copy
import math
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from transformers import AutoModelForSequenceClassification

from .. import data, lora, models
from ..core.errors import UserError, reason
from ..core.parsing import shown
from ..core.statistics import Rate
from ..world import World, entities, lexicon

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ..lora import PeftModel
    from .pairs import Pair

Reward = Callable[[Sequence[Mapping], Sequence[str]], Iterable[float]]


def ask_reward(reward: Reward, rows: Sequence[Mapping], replies: Sequence[str]) -> list[float]:
    """A number for each reply; rows: those asked, each with as many replies as there are to one.

    Raises UserError where the reward raises, gives another number of values, None, text, NaN or an
    infinite one: a wrong reward would be learned without a word.
    """
    group = len(replies) // len(rows)
    asked = [row for row in rows for _ in range(group)]
    name = getattr(reward, "__name__", type(reward).__name__)
    try:
        answered = reward(asked, replies)
        given = None if answered is None else list(answered)
    except UserError:
        raise
    except Exception as error:
        said = reason(error)
        raise UserError(
            f"the reward {name} raised {type(error).__name__}: {said}; nothing was learned from "
            "this step. Mend it, or try it alone: reward(rows, replies)."
        ) from error
    if given is None:
        raise UserError(f"the reward {name} returned None; return a list of numbers, one a reply.")
    if len(given) != len(replies):
        raise UserError(
            f"the reward {name} gave {len(given)} values for {len(replies)} replies; return one "
            "for each, in their order."
        )
    return [as_reward(value, name, place, replies) for place, value in enumerate(given)]


def as_reward(value: Any, name: str, place: int, replies: Sequence[str]) -> float:
    """A reward as a float; UserError for what is no finite number."""
    number = value.item() if hasattr(value, "item") else value
    if isinstance(number, int | float) and math.isfinite(number):
        return float(number)
    raise UserError(
        f"the reward {name} gave {shown(number)} for reply {place + 1}, {shown(replies[place])}; "
        "give a finite number for every reply."
    )


def exact(rows: Sequence[Mapping], replies: Sequence[str]) -> list[float]:
    """1.0 for a reply that is the row's own answer, white space aside, else 0.0."""
    golds = [row["messages"][-1]["content"].strip() for row in rows]
    return [float(reply.strip() == gold) for gold, reply in zip(golds, replies, strict=True)]


def words(rows: Sequence[Mapping], replies: Sequence[str]) -> list[float]:
    """A tenth for each word of a reply, whatever it says."""
    return [len(reply.split()) / 10 for reply in replies]


def sorting(
    n: int = 100, digits: int = 9, split: entities.Split = "train", seed: int = 0
) -> list[dict]:
    """`n` rows of different digits to sort; the pocket model has learned three to six of them.

    Held out are an eighth of the sequences. The wordings are those of the corpus on both sides.
    """
    rng = random.Random(f"sorting {digits} {split} {seed}")
    rows = []
    for _ in range(n):
        given = entities.draw(lambda: " ".join(rng.sample("0123456789", digits)), split)
        ask = entities.choose_wording(rng, lexicon.SORT_ASKS, "train")
        right = " ".join(sorted(given.split()))
        rows.append(as_row(ask.format(t=given), right))
    return rows


def adding(n: int = 50, seed: int = 0) -> list[dict]:
    """`n` rows of three numbers to add, which the pocket model never gets right."""
    rng = random.Random(f"adding {seed}")
    rows = []
    for _ in range(n):
        a, b, c = (rng.randint(10, 99) for _ in range(3))
        rows.append(as_row(f"What is {a} + {b} + {c}?", str(a + b + c)))
    return rows


def as_row(prompt: str, answer: str, **more: Any) -> dict:
    """A row of one question."""
    said = {"user": prompt, "assistant": answer}
    return {**more, "messages": [{"role": r, "content": text} for r, text in said.items()]}


def describing(
    n: int, part: str = "train", seed: int = 0, world: World | None = None
) -> list[dict]:
    """`n` rows of "Describe X.", each answered by one to four right sentences in random order.

    part: "train" or "test", other people and countries; of all of them the corpus asks for each
    fact. A row has `entity`, which `gold` looks up.
    """
    world = world or World()
    rng = random.Random(f"describing {part} {seed}")
    known = world.biographies.items()
    names = [name for name, facts in known if len(facts) == 4 and all(f.asked for f in facts)]
    names = [name for place, name in enumerate(names) if (place % 3 == 0) == (part == "test")]
    rows = []
    for _ in range(n):
        name = rng.choice(names)
        facts = rng.sample(world.biographies[name], rng.randint(1, 4))
        told = " ".join(fact.say(lexicon.SENTENCE[fact.attribute]) for fact in facts)
        rows.append(as_row(f"Describe {name}.", told, entity=name))
    return rows


class Sentences(NamedTuple):
    """What a description says, sentence by sentence."""

    right: int  # different true ones
    wrong: int  # not true, or cut off
    repeated: int  # true ones said again

    @property
    def gold(self) -> int:
        """What it is worth: what is right less what is not, and less what is said again."""
        return self.right - self.wrong - self.repeated


def count_sentences(entity: str, reply: str, world: World | None = None) -> Sentences:
    """Count the sentences of a description of somebody, by the world's facts.

    Ninety words without a full stop are one wrong sentence: that is this measure's blind spot.
    """
    facts = (world or WORLD).biographies[entity]
    true = {fact.say(lexicon.SENTENCE[fact.attribute]) for fact in facts}
    said = [part.strip() for part in re.split(r"(?<=\.)\s+", reply.strip()) if part.strip()]
    known = [sentence for sentence in said if sentence in true]
    return Sentences(len(set(known)), len(said) - len(known), len(known) - len(set(known)))


WORLD = World()


def gold(rows: Sequence[Mapping], replies: Sequence[str]) -> list[float]:
    """What descriptions are worth: right sentences less wrong ones and repeated ones, 4 at most."""
    return [
        float(count_sentences(row["entity"], reply).gold)
        for row, reply in zip(rows, replies, strict=True)
    ]


HEAD = "score"  # what transformers calls a head of one number
AT_ONCE = 40  # answers that are read in one pass


def make_reward_model(model: "PreTrainedModel", seed: int = 0, **adapter: Any) -> "PeftModel":
    """A twin of `model` whose head gives one number in place of tokens, with a LoRA on it.

    The head starts random by `seed` and is trained whole. adapter: the dials of `lora.attach`.
    Raises UserError for a model that carries an adapter, and where transformers has no such head
    for the architecture.
    """
    twin = with_number_head(model, seed)
    if adapter.get("targets", "all-linear") == "all-linear":
        adapter["targets"] = list(models.linears(model))
    more = {"task_type": "SEQ_CLS", "modules_to_save": [HEAD]}
    return lora.attach(twin, seed=seed, **adapter, **more)


def with_number_head(model: "PreTrainedModel", seed: int = 0) -> "PreTrainedModel":
    """A twin of `model` with a fresh head of one number, and no adapter."""
    lora.check_bare(model, "merge it first, by merge.merge(model)")
    config = copy.deepcopy(model.config)
    config.num_labels, config.tie_word_embeddings = 1, False
    try:
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            twin: Any = AutoModelForSequenceClassification.from_config(config)
    except ValueError as error:
        raise UserError(
            f"transformers has no head of one number for {config.model_type!r}; give another model."
        ) from error
    body: Any = getattr(model, model.base_model_prefix)
    getattr(twin, twin.base_model_prefix).load_state_dict(body.state_dict())
    return twin.to(model.device).eval()


def read_scores(model: torch.nn.Module, rows: Sequence[Sequence[int]], pad: int) -> torch.Tensor:
    """The model's number for each row of token ids, read at its last token."""
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[pad] * (longest - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    device = next(model.parameters()).device
    twin: Any = model.get_base_model() if lora.is_attached(model) else model
    body = getattr(twin, twin.base_model_prefix)
    hidden = body(input_ids=ids.to(device), attention_mask=mask.to(device)).last_hidden_state
    last = mask.sum(1).to(device) - 1
    return getattr(twin, HEAD)(hidden[torch.arange(len(rows), device=device), last])[:, 0].float()


class ModelReward:
    """A reward that asks a reward model, its numbers moved and scaled as they are told.

    Only differences of such a model mean anything, so mean and spread of what the policy says
    before it is trained make them readable: ModelReward(model, tokenizer, mean, spread).
    """

    def __init__(
        self,
        model: "PeftModel",
        tokenizer: "PreTrainedTokenizerBase",
        mean: float = 0.0,
        spread: float = 1.0,
    ) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.mean, self.spread = mean, spread
        self.__name__ = "model"

    def __call__(self, rows: Sequence[Mapping], replies: Sequence[str]) -> list[float]:
        """A number for each reply to its row's prompt."""
        ids = [
            data.render([*row["messages"][:-1], said(reply)], self.tokenizer).ids
            for row, reply in zip(rows, replies, strict=True)
        ]
        # what nothing follows behind the end mark, as in training
        scores, pad = [], self.tokenizer.pad_token_id
        pad = pad if isinstance(pad, int) else 0
        with models.asking(self.model):
            for begin in range(0, len(ids), AT_ONCE):
                part = ids[begin : begin + AT_ONCE]
                scores += read_scores(self.model, part, pad).tolist()
        return [(score - self.mean) / self.spread for score in scores]


def said(reply: str) -> dict[str, str]:
    """A reply as the assistant's message; of an empty one a full stop, which templates take."""
    return {"role": "assistant", "content": reply.strip() or "."}


def rank_right(reward: Any, pairs: "Sequence[Pair]") -> Rate:
    """The share of pairs whose chosen answer the reward gives more than the rejected."""
    rows = [{"messages": [*pair["prompt"], pair["chosen"][0]]} for pair in pairs]
    chosen, rejected = (
        list(reward(rows, [pair[side][0]["content"] for pair in pairs]))
        for side in ("chosen", "rejected")
    )
    return Rate(sum(c > r for c, r in zip(chosen, rejected, strict=True)), len(pairs))
