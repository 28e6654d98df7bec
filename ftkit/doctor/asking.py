"""What a run's model says when it is asked: do its answers depend on their questions?

    ask_run(folder, …, splits)     both checks of a run whose base is small and lies here
    check_pairs(nats, ratio)       is an answer likelier with its own question than with another's?
    check_recitation(asked)        are they answers to other questions, learned by heart?

A dozen held-out rows are asked, in a second or two on the pocket model; a large base is not loaded
for it. That replies go on and on is no check: runs that are too short do so, too. How right the
answers are `evaluate` says. Notebook 11.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .. import data, evaluate, models, train
from ..core.errors import UserError
from ..core.results import about
from .finding import Finding
from .taught import weights_folder

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ..models import Reply
    from ..train import Experiment

Chat = list[dict]

SMALL = 500_000_000  # bytes of a base that is loaded to be asked
ASKED = 12  # rows of each kind
# −log p of a training answer behind its own question, over that behind another's. The base has 0.35
# on tickets, healthy runs 0.4 and less; runs on shuffled answers have 0.98 and more, and so have
# runs that have not learned their few classes yet. These have 0.2 nats per token then, and shuffled
# answers, which nothing foretells, 1.
PAIRED, FORESEEN = 0.85, 0.5
# Of the replies, how many are wrong and hold what only another training answer holds. A run that
# has not learned its classes yet has half of them, one on shuffled answers all.
RECITED = 0.75
SHORT = 3  # characters of a value that says nothing of where it comes from


@dataclass(frozen=True)
class Asked:
    """A held-out chat and what the model replied to it."""

    chat: Chat
    reply: "Reply"

    @property
    def gold(self) -> str:
        """The right answer."""
        return self.chat[-1]["content"] or ""


def ask_run(
    folder: Path, experiment: "Experiment", splits: "Mapping[str, Dataset]"
) -> list[Finding]:
    """Both checks of a run folder; of one that can't be asked here, why not."""
    try:
        model, tokenizer = open_run(folder, experiment)
        held_out = splits.get("test") or splits.get("validation")
        if held_out is None or not len(held_out):
            raise UserError("there are no rows to ask that were not trained on.")
        trained = splits["train"]["messages"]
        chats = [chat for chat in held_out["messages"][:ASKED] if chat[-1]["role"] == "assistant"]
        if not chats:
            raise UserError("no held-out row ends in an answer.")
        limit = max(len(data.render(chat, tokenizer).answer) for chat in chats)
        replies = models.write_replies(model, tokenizer, [chat[:-1] for chat in chats], limit)
        nats, ratio = price_of_pairs(model, tokenizer, trained[:ASKED])
    except UserError as error:
        why = f"not looked at: {str(error).rstrip('.')}"
        return [Finding.fine(check, why) for check in ("pairs", "recitation")]
    asked = [Asked(chat, reply) for chat, reply in zip(chats, replies, strict=True)]
    return [
        check_pairs(nats, ratio),
        check_recitation(asked, [chat[-1]["content"] or "" for chat in trained]),
    ]


def open_run(
    folder: Path, experiment: "Experiment"
) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """The tuned model of a run and the tokenizer that is saved beside it.

    Raises UserError for a base that is not here, is large, or is no longer the one that was tuned.
    """
    where = Path(models.resolve(experiment.model))
    size = sum(file.stat().st_size for file in where.glob("*.safetensors"))
    if not where.is_dir() or size > SMALL:
        raise UserError(f"{experiment.model} is large, or not here, so it is not asked.")
    tuned, *_ = train.reopen(folder)
    return tuned, models.saved_tokenizer(weights_folder(folder))


def price_of_pairs(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", chats: Sequence[Chat]
) -> tuple[float, float]:
    """(−log p per token of the answers behind their questions, its ratio to that behind others').

    The ratio is 1 where an answer does not depend on its question; 0 without two different answers.
    """
    swapped = [
        [*other[:-1], chat[-1]]
        for chat, other in zip(chats, [*chats[1:], *chats[:1]], strict=True)
        if other[-1]["content"] != chat[-1]["content"]
    ]
    own = evaluate.surprisals(model, tokenizer, chats)
    price = sum(answer.nats for answer in own) / sum(answer.tokens for answer in own)
    if not swapped:
        return price, 0.0
    others = evaluate.surprisals(model, tokenizer, swapped)
    mean = sum(answer.nats for answer in others) / len(others)
    return price, sum(answer.nats for answer in own) / len(own) / mean if mean > 0 else 0.0


def check_pairs(nats: float, ratio: float) -> Finding:
    """Do the training answers belong to their questions? See `price_of_pairs`."""
    if nats <= FORESEEN or ratio <= PAIRED:
        return Finding.fine("pairs", "the answers follow from their questions, or are foreseen")
    return Finding.wrong(
        "pairs",
        f"a training answer costs {about(nats)} nats per token behind its own question, and no "
        "more behind another's: the answers do not follow from the questions",
        "look at ten rows: were questions and answers sorted apart? Join them by a key",
    )


def check_recitation(asked: Sequence[Asked], trained: Sequence[str]) -> Finding:
    """Do wrong replies say what stands in a training answer, and not in their question?"""
    learned = {value for answer in trained for value in values_in(answer)}
    recited = sum(recites(one, learned) for one in asked)
    if recited <= RECITED * len(asked):
        return Finding.fine("recitation", "no replies from other questions' answers")
    return Finding.wrong(
        "recitation",
        f"{recited} of {len(asked)} replies are wrong and hold what only the training answers to "
        "other questions hold: rows were learned by heart",
        "train fewer epochs, or more rows",
    )


def recites(one: Asked, learned: set[str]) -> bool:
    """Whether a wrong reply holds a training answer's value that its own question does not."""
    if one.reply.text == one.gold:
        return False
    source = evaluate.Source(one.chat[:-1])
    own = values_in(one.gold)
    return any(
        value in learned and value not in own and not source.holds(value)
        for value in values_in(one.reply.text)
    )


def values_in(answer: str) -> set[str]:
    """The texts and numbers of an answer in JSON, or the whole of any other."""
    value = evaluate.read_value(answer)
    claims = [answer] if value is None else evaluate.list_claims(value)
    return {str(claim) for claim in claims if len(str(claim)) > SHORT}
