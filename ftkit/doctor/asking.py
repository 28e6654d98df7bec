"""What a run's model says when it is asked: do its answers depend on their questions, and end?

    ask_run(folder, …, splits)     three checks of a run whose base is small and lies here
    check_pairs(ratio)             is an answer likelier with its own question than with another's?
    check_endings(replies)         do the replies end by themselves?
    check_recitation(asked)        are they answers to other questions, learned by heart?

A dozen held-out rows are asked, in a second or two on the pocket model; a large base is not loaded
for it. How right the answers are `evaluate` says. Notebook 11.
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
# −log p of a training answer behind its own question, over that behind another's. The base itself
# has 0.35 on tickets, healthy runs 0.4 at most, and runs on shuffled answers 0.98 at least.
PAIRED = 0.85
GOING_ON = 0.25  # of the replies that do not end; a healthy run's all end
# Of the replies, how many are wrong and hold what only another training answer holds. A run that
# keeps facts badly has a third of them, one on shuffled answers all.
RECITED = 0.5
LONGEST = 3  # a reply may be so many times as long as the longest right answer
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
    """The three checks of a run folder; of one that can't be asked here, why not."""
    try:
        model, tokenizer = open_run(folder, experiment)
        held_out = splits.get("test") or splits.get("validation")
        if held_out is None or not len(held_out):
            raise UserError("there are no rows to ask that were not trained on.")
        trained = splits["train"]["messages"]
        chats = [chat for chat in held_out["messages"][:ASKED] if chat[-1]["role"] == "assistant"]
        if not chats:
            raise UserError("no held-out row ends in an answer.")
        limit = LONGEST * max(len(data.render(chat, tokenizer).answer) for chat in chats)
        replies = models.write_replies(model, tokenizer, [chat[:-1] for chat in chats], limit)
        ratio = ratio_of_pairs(model, tokenizer, trained[:ASKED])
    except UserError as error:
        why = f"not looked at: {str(error).rstrip('.')}"
        return [Finding.fine(check, why) for check in ("pairs", "endings", "recitation")]
    asked = [Asked(chat, reply) for chat, reply in zip(chats, replies, strict=True)]
    return [
        check_pairs(ratio),
        check_endings(asked),
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


def ratio_of_pairs(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", chats: Sequence[Chat]
) -> float:
    """−log p of the answers behind their own questions, over that behind their neighbours'.

    1 where an answer does not depend on its question; 0 without two different answers.
    """
    swapped = [
        [*other[:-1], chat[-1]]
        for chat, other in zip(chats, [*chats[1:], *chats[:1]], strict=True)
        if other[-1]["content"] != chat[-1]["content"]
    ]
    if not swapped:
        return 0.0
    own, others = (
        sum(answer.nats for answer in evaluate.surprisals(model, tokenizer, some)) / len(some)
        for some in (chats, swapped)
    )
    return own / others if others > 0 else 0.0


def check_pairs(ratio: float) -> Finding:
    """Do the training answers belong to their questions? See `ratio_of_pairs`."""
    if ratio <= PAIRED:
        return Finding.fine("pairs", "an answer is likelier behind its own question")
    return Finding.wrong(
        "pairs",
        "a training answer is no likelier behind its own question than behind another's (its "
        f"−log p is {about(ratio)} times as large): the answers do not follow from the questions",
        "look at ten rows: were questions and answers sorted apart? Join them by a key",
    )


def check_endings(asked: Sequence[Asked]) -> Finding:
    """Do the replies end by themselves?"""
    going = sum(not one.reply.ended for one in asked)
    if going <= GOING_ON * len(asked):
        return Finding.fine("endings", f"{len(asked) - going} of {len(asked)} replies end")
    return Finding.wrong(
        "endings",
        f"{going} of {len(asked)} replies did not end within {LONGEST} times the longest answer",
        "look at the checks of the tokens above; a model that is broken does not end either",
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
