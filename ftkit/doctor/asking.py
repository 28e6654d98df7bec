"""What a run's model says when it is asked: do its answers depend on their questions?

    ask_run(folder, …, splits)     both checks of a run whose base is small and lies here
    check_pairs(nats, ratio, …)    is an answer likelier with its own question than with another's?
    check_recitation(asked)        are they answers to other questions, learned by heart?

A dozen held-out rows are asked, in a second or two on the pocket model; a large base is not loaded
for it. That replies go on and on is no check: runs that are too short do so, too. How right the
answers are `evaluate` says. Notebook 11.
"""

import collections
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

SMALL = 500_000_000  # bytes of a base that is loaded to be asked
ASKED = 12  # rows of each kind
# −log p of a training answer behind its own question, over that behind another's. The base has 0.35
# on tickets, healthy runs 0.4 and less; runs on shuffled answers have 0.98 and more, and so have
# runs that have not learned their few classes yet. These have 0.2 nats per token then, and shuffled
# answers, which nothing foretells, 1.
PAIRED, FORESEEN = 0.85, 0.5
# What such an answer costs, over what it costs the base: in between a run has learned too little
# to tell. On shuffled answers it ends at 0.4, and a broken one rises to 5.
UNMOVED = (0.7, 1.3)
# The same where each answer is given so often: a run that has learned the answers, if not yet which
# goes with which question, pays little more than one who guesses among them.
FEW, GUESSED = 3, 1.5
# Of the replies, how many are wrong and hold what only another training answer holds. A run that
# has not learned its classes yet has half of them, one on shuffled answers all.
RECITED = 0.75
SHORT = 3  # characters of a value that says nothing of where it comes from


Row = Mapping[str, Any]  # its messages, and the tools that it offers


@dataclass(frozen=True)
class Asked:
    """What the model replied to a held-out chat, and what it should have."""

    source: evaluate.Source  # what stood before the reply, tools included
    gold: str
    reply: "Reply"


def ask_run(
    folder: Path, experiment: "Experiment", splits: "Mapping[str, Dataset]"
) -> list[Finding]:
    """Both checks of a run folder; of one that can't be asked here, why not."""
    try:
        tuned, base, tokenizer = open_run(folder, experiment)
        held_out = splits.get("test") or splits.get("validation")
        if held_out is None or not len(held_out):
            raise UserError("there are no rows to ask that were not trained on.")
        trained = list_rows(splits["train"])
        rows = [row for row in list_rows(held_out)[:ASKED] if is_answered(row)]
        if not rows:
            raise UserError("no held-out row ends in an answer.")
        reader = models.ReplyReader(tuned, tokenizer)
        asked = ask_rows(tuned, reader, rows)
        learned = [said_in(row, reader) for row in trained if is_answered(row)]
        nats, ratio = price_of_pairs(tuned, tokenizer, trained[:ASKED])
        before = price(base, tokenizer, trained[:ASKED])
    except UserError as error:
        why = f"not looked at: {str(error).rstrip('.')}"
        return [Finding.fine(check, why) for check in ("pairs", "recitation")]
    guess = price_of_guess(learned) * len(before) / sum(answer.tokens for answer in before)
    return [
        check_pairs(nats, ratio, mean_nats(before), guess),
        check_recitation(asked, learned),
    ]


def list_rows(rows: "Dataset") -> list[Row]:
    """The rows of a split, each with its tools."""
    chats = zip(rows["messages"], data.tools_of(rows), strict=True)
    return [{"messages": chat, "tools": tools} for chat, tools in chats]


def is_answered(row: Row) -> bool:
    """Whether a row ends in an answer."""
    return row["messages"][-1]["role"] == "assistant"


def said_in(row: Row, reader: models.ReplyReader) -> str:
    """The answer of a row as a reply would have it: its text, or its calls as they are written."""
    last = row["messages"][-1]
    if not last.get("tool_calls"):
        return last["content"] or ""
    rendered = data.render(row["messages"], reader.tokenizer, tools=row["tools"])
    return reader.read(rendered.answer_ids).text


def ask_rows(
    model: "PreTrainedModel", reader: models.ReplyReader, rows: Sequence[Row]
) -> list[Asked]:
    """What the model replies to rows, with room for the longest of their answers."""
    chats, tools = [row["messages"] for row in rows], [row["tools"] for row in rows]
    limit = max(
        len(data.render(chat, reader.tokenizer, tools=offered).answer)
        for chat, offered in zip(chats, tools, strict=True)
    )
    prompts = [chat[:-1] for chat in chats]
    replies = models.write_replies(model, reader.tokenizer, prompts, limit, tools=tools)
    return [
        Asked(evaluate.Source(prompt, row["tools"]), said_in(row, reader), reply)
        for prompt, row, reply in zip(prompts, rows, replies, strict=True)
    ]


def open_run(
    folder: Path, experiment: "Experiment"
) -> "tuple[PreTrainedModel, PreTrainedModel, PreTrainedTokenizerBase]":
    """The tuned model of a run, its base, and the tokenizer that is saved beside it.

    Raises UserError for a base that is not here, is large, or is no longer the one that was tuned.
    """
    where = Path(models.resolve(experiment.model))
    size = sum(file.stat().st_size for file in where.glob("*.safetensors"))
    if not where.is_dir() or size > SMALL:
        raise UserError(f"{experiment.model} is large, or not here, so it is not asked.")
    tuned, base, _ = train.reopen(folder)
    return tuned, base, models.saved_tokenizer(weights_folder(folder))


def price_of_pairs(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", rows: Sequence[Row]
) -> tuple[float, float]:
    """(−log p per token of the answers behind their questions, its ratio to that behind others').

    The other's tools come with its question. The ratio is 1 where an answer does not depend on its
    question; 0 without two different answers.
    """
    swapped = [
        {**other, "messages": [*other["messages"][:-1], row["messages"][-1]]}
        for row, other in zip(rows, [*rows[1:], *rows[:1]], strict=True)
        if data.row_hash(other["messages"][-1:]) != data.row_hash(row["messages"][-1:])
    ]
    own = price(model, tokenizer, rows)
    if not swapped:
        return mean_nats(own), 0.0
    others = price(model, tokenizer, swapped)
    mean = sum(answer.nats for answer in others) / len(others)
    ratio = sum(answer.nats for answer in own) / len(own) / mean if mean > 0 else 0.0
    return mean_nats(own), ratio


def price(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", rows: Sequence[Row]
) -> list[evaluate.Surprisal]:
    """What the answer of each row costs."""
    columns = {name: [row.get(name) for row in rows] for name in ("messages", "tools")}
    return evaluate.surprisals_of(model, tokenizer, columns)


def mean_nats(answers: Sequence[evaluate.Surprisal]) -> float:
    """−log p per token."""
    return sum(answer.nats for answer in answers) / sum(answer.tokens for answer in answers)


def price_of_guess(answers: Sequence[str]) -> float:
    """−log p per answer of who knows how often each is given, and no question: H = −Σ p log p.

    0 where hardly any is given twice: whoever learns such answers knows them by their parts.
    """
    counts = collections.Counter(answers).values()
    if len(counts) * FEW > len(answers):
        return 0.0
    return -sum(n / len(answers) * math.log(n / len(answers)) for n in counts)


def check_pairs(nats: float, ratio: float, before: float, guess: float = 0.0) -> Finding:
    """Do the training answers belong to their questions? See `price_of_pairs`.

    before: what a token of these answers costs the base; guess: what it costs one who guesses among
    them. By both it shows whether enough was learned to tell.
    """
    if nats <= FORESEEN or ratio <= PAIRED:
        return Finding.fine("pairs", "the answers follow from their questions, or are foreseen")
    other = ""
    if UNMOVED[0] * before <= nats <= UNMOVED[1] * before:
        other = f"and the base {about(before)}"
    elif guess and GUESSED * guess < nats <= before:
        other = f"and a guess among the answers {about(guess)}"
    if other:
        costs = f"a training answer costs {about(nats)} nats per token, {other}"
        return Finding.fine("pairs", f"not looked at: {costs}, so too little was learned to tell")
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
    own = values_in(one.gold)
    return any(
        value in learned and value not in own and not one.source.holds(value)
        for value in values_in(one.reply.text)
    )


def values_in(answer: str) -> set[str]:
    """The texts and numbers of an answer in JSON, or the whole of any other."""
    value = evaluate.read_value(answer)
    claims = [answer] if value is None else evaluate.list_claims(value)
    return {str(claim) for claim in claims if len(str(claim)) > SHORT}
