"""What was forgotten, by likelihood: for models that answer too little right to lose much of it.

    choices(model, tokenizer)             does the right option have the highest log p? by suite
    text_loss(model, tokenizer, base)     cross-entropy on plain text, and KL from the base there
    general_texts(tokenizer, n)           plain texts that are fair to a model

A model of a hundred million parameters answers few questions to the letter, and what was never
there can't be lost. Which of four replies it finds likeliest, and how well it foretells ordinary
English, moves long before. Exact answers are counted in `probing`; tasks are scored by `evaluate`.
"""

import itertools
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from .. import evaluate, lora, models
from ..core.errors import UserError
from ..core.results import Result, TableParts, about
from ..core.session import plain_torch
from ..core.statistics import Interval, paired_difference
from ..world import World, draw_stories
from . import everyday
from .probing import Skills, knows_world, sign

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def choices(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    n: int = 20,
    seed: int = 0,
    names: Sequence[str] | None = None,
) -> Skills:
    """The everyday suites by choice: right is where the right option has the highest log p.

    log p is that of the whole reply, its end mark included; a tie counts as wrong. Chance is one in
    as many as a probe has options. The probes are those that `skills` asks with the same seed.
    """
    groups = {name: everyday.draw_suite(name, n, seed) for name in names or everyday.SKILLS}
    probes = list(itertools.chain.from_iterable(groups.values()))
    prompts = [[{"role": "user", "content": probe.prompt}] for probe in probes]
    options = [probe.options for probe in probes]
    nats = iter(evaluate.option_nats(model, tokenizer, prompts, options))
    # back into the groups: the right option comes first
    right = {}
    for name, group in groups.items():
        right[name] = [
            of_probe[0] < min(of_probe[1:]) for of_probe in itertools.islice(nats, len(group))
        ]
    return Skills(right, asked=sign("chosen", (probe.prompt for probe in probes)))


@dataclass(frozen=True, repr=False)
class TextLoss(Result):
    """How well a model foretells plain text: by passage, in nats per token."""

    nats: list[float]  # the mean −log p of each passage's tokens
    kl: list[float] | None  # the mean KL(base ‖ model) there, where a base was given

    @property
    def mean(self) -> float:
        """The cross-entropy, the mean over passages."""
        return sum(self.nats) / len(self.nats)

    @property
    def mean_kl(self) -> float | None:
        """The distance from the base, the mean over passages."""
        return sum(self.kl) / len(self.kl) if self.kl else None

    def lost(self, before: "TextLoss") -> Interval:
        """The rise of the cross-entropy since `before`, with its paired interval."""
        return paired_difference(before.nats, self.nats)

    def json(self) -> dict:
        """In nats per token, and over how many passages."""
        return {"nats": self.mean, "kl": self.mean_kl, "passages": len(self.nats)}

    def table(self) -> TableParts:
        """Cross-entropy, and the distance from the base."""
        rows = [("cross-entropy", about(self.mean))]
        if self.mean_kl is not None:
            rows.append(("KL from the base", about(self.mean_kl)))
        return f"Plain text, {len(self.nats)} passages", ("measure", "nats per token"), rows


@plain_torch()
def text_loss(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    base: "PreTrainedModel | None" = None,
    passages: Sequence[str] | None = None,
) -> TextLoss:
    """Cross-entropy on plain passages, without a chat around them; those of the kit by default.

    base: where given, KL(base ‖ model) is taken at the same tokens; `model` itself stands for its
    base with its adapter switched off. The first token of a passage is given, not foretold.
    """
    nats, distances = [], []
    texts: Sequence[str] = everyday.read_material()["passages"] if passages is None else passages
    check_passages(texts, tokenizer)
    for passage in texts:
        ids = tokenizer(passage, return_tensors="pt")["input_ids"].to(model.device)
        log_p = predict(model, ids)
        nats.append(-log_p.gather(-1, ids[0, 1:, None]).mean().item())
        if base is not None:
            with lora.using(model, None) if base is model else nullcontext():
                before = predict(base, ids)
            distances.append(evaluate.kl(before, log_p).mean().item())
    return TextLoss(nats, distances if base is not None else None)


def general_texts(tokenizer: "PreTrainedTokenizerBase", n: int = 50) -> list[str]:
    """Plain texts that are fair to a tokenizer's model, none of which it was trained on.

    `n` held-out stories of the micro-world for the pocket model and what was tuned from it, the
    kit's own passages for any other.
    """
    if knows_world(tokenizer):
        return draw_stories(World(), n)
    return list(everyday.read_material()["passages"])


def check_passages(passages: Sequence[str], tokenizer: "PreTrainedTokenizerBase") -> None:
    """Refuse passages of which nothing is foretold: none at all, or one of a single token."""
    if not passages:
        raise UserError("there are no passages; give at least one text, or leave them out.")
    for passage in passages:
        if len(tokenizer(passage)["input_ids"]) < 2:
            raise UserError(
                f"the passage {passage!r} has no second token to foretell; take it out."
            )


def predict(model: "PreTrainedModel", ids: torch.Tensor) -> torch.Tensor:
    """log p of every token at each place but the first: (tokens − 1, vocabulary)."""
    with models.asking(model):
        logits = models.read(model, input_ids=ids).logits[0, :-1]
    return logits.float().log_softmax(-1)
