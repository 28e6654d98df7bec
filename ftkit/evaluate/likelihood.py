"""How likely is what a model is given to say? log p, KL and perplexity at the answers' tokens.

    kl(log_p, log_q)                            KL of two predictions, in nats
    kl_from_base(base, tuned, tokenizer, rows)  how far a tuning moved the replies, nats per token
    answer_log_probs(model, tokenizer, rows)    what a model predicts at every answer token
    cost(before, after)                         loss, KL and agreement of two of these
    surprisals(model, tokenizer, chats)         −log p of each last message, and its tokens
    perplexity(model, tokenizer, rows)          exp of the mean −log p per token
    option_nats(model, tok, prompts, options)   −log p of each option as the whole reply

The right answer is given and nothing is written; what a model writes itself is scored in `scoring`.
Every KL without gradients is computed here; the one that holds a training near its base is
`NearBase` in `train/trainer.py`. Notebooks 03, 09, 10.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from transformers.modeling_outputs import CausalLMOutputWithPast

from .. import data, lora, models
from ..core.results import Result, TableParts, about, percent
from ..core.session import plain_torch, progress

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import BatchEncoding, PreTrainedModel, PreTrainedTokenizerBase

# Keys and values of what was read: their new name in transformers, or the one before.
NAMES = [part.name for part in dataclasses.fields(CausalLMOutputWithPast)]
CACHE = "cache" if "cache" in NAMES else "past_key_values"


def kl(log_p: torch.Tensor, log_q: torch.Tensor) -> torch.Tensor:
    """KL(p ‖ q) = Σ p · (log p − log q) at each position, in nats (Kullback & Leibler 1951).

    log_p, log_q: the log-probabilities of two models at the same positions, (..., vocabulary), as
    `logits.log_softmax(-1)` gives them. The sum goes over the vocabulary: the result is (...).
    """
    return (log_p.exp() * (log_p - log_q)).sum(-1)


@dataclass(frozen=True, eq=False)
class AnswerBatch:
    """Whole chats, padded on the right, and where the tokens of their answers stand."""

    places: list[int]  # of the rows, among all
    inputs: "BatchEncoding"  # input_ids and attention_mask, (rows, length)
    comes_next: torch.Tensor  # (rows, length − 1), True where the next token is the answer's

    @property
    def tokens(self) -> torch.Tensor:
        """The tokens of the answers, row after row: (n,)."""
        return self.inputs["input_ids"][:, 1:][self.comes_next]

    @property
    def counts(self) -> list[int]:
        """How many of them each row has."""
        return self.comes_next.sum(1).tolist()


def answer_batches(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    rows: "Dataset | Mapping",
    batch_size: int = 20,
) -> Iterator[AnswerBatch]:
    """Chat rows by batch, shortest first; the last message is the answer, its end mark included.

    Raises UserError for a row that the template or the model can't read.
    """
    chats = enumerate(zip(rows["messages"], data.tools_of(rows), strict=True), 1)
    rendered = [
        data.render(messages, tokenizer, tools=tools, where=f"row {number}")
        for number, (messages, tools) in chats
    ]
    ids = {f"row {number}": chat.ids for number, chat in enumerate(rendered, 1)}
    models.check_readable(model, tokenizer, ids)
    for places, inputs in models.chat_batches(tokenizer, rendered, batch_size=batch_size):
        inputs = inputs.to(model.device)
        is_answer = torch.zeros_like(inputs["input_ids"], dtype=torch.bool)
        for row, place in enumerate(places):
            answer = rendered[place].answer
            is_answer[row, answer.start : answer.stop] = True
        yield AnswerBatch(places, inputs, is_answer[:, 1:])


def predict(model: "PreTrainedModel", batch: AnswerBatch) -> torch.Tensor:
    """log p of every token at each place where an answer's token comes next: (n, vocabulary)."""
    with models.asking(model):
        logits = models.read(model, **batch.inputs).logits
    return logits[:, :-1][batch.comes_next].float().log_softmax(-1)


@plain_torch()
def kl_from_base(
    base: "PreTrainedModel",
    tuned: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    rows: "Dataset",
    batch_size: int = 20,
) -> float:
    """KL(base ‖ tuned) at the answers' tokens of chat rows: the mean in nats per token.

    base: another model, or `tuned` itself, which then stands in for its base with its adapter
    switched off; a `UserError` where it has none.
    """
    total, count = 0.0, 0
    for batch in answer_batches(tuned, tokenizer, rows, batch_size):
        with lora.using(tuned, None) if base is tuned else nullcontext():
            before = predict(base, batch)
        distances = kl(before, predict(tuned, batch))
        total += distances.sum().item()
        count += len(distances)
    return total / count


@dataclass(frozen=True, eq=False)
class AnswerLogProbs:
    """What a model predicts at every answer token of chat rows, row after row."""

    log_p: torch.Tensor  # (n, vocabulary) log-probabilities
    tokens: torch.Tensor  # (n,) the right tokens
    rows: torch.Tensor  # (n,) the number of the row that each belongs to

    def kl(self, other: "AnswerLogProbs") -> list[float]:
        """KL(this ‖ other) of each row: the mean over its answer tokens, in nats."""
        distances = kl(self.log_p, other.log_p)
        return [distances[self.rows == row].mean().item() for row in torch.unique(self.rows)]


@plain_torch()
def answer_log_probs(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    rows: "Dataset",
    batch_size: int = 20,
) -> AnswerLogProbs:
    """The `AnswerLogProbs` of chat rows, on the CPU.

    The right answer is given, so every token is predicted from the right ones before it.
    """
    by_row: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
    for batch in answer_batches(model, tokenizer, rows, batch_size):
        log_p = predict(model, batch).cpu().split(batch.counts)
        tokens = batch.tokens.cpu().split(batch.counts)
        by_row.update(zip(batch.places, zip(log_p, tokens, strict=True), strict=True))

    # batches come shortest first: back into the order of the rows
    log_p, tokens = zip(*(by_row[row] for row in sorted(by_row)), strict=True)
    counts = torch.tensor([len(answer) for answer in tokens])
    numbers = torch.repeat_interleave(torch.arange(len(counts)), counts)
    return AnswerLogProbs(torch.cat(log_p), torch.cat(tokens), numbers)


@dataclass(frozen=True, repr=False)
class Cost(Result):
    """What a change of the weights costs on the same answers, in nats per answer token."""

    loss: float  # mean −log p of the right token, after
    kl: float  # mean KL(before ‖ after)
    agreement: float  # share of tokens with the same most likely token

    def table(self) -> TableParts:
        """One line per measure."""
        rows: list[Sequence[object]] = [
            ("loss", about(self.loss)),
            ("KL from before", about(self.kl)),
            ("same most likely token", percent(self.agreement)),
        ]
        return "Cost on answers, nats per answer token", ("measure", "value"), rows


def cost(before: AnswerLogProbs, after: AnswerLogProbs) -> Cost:
    """The `Cost` of going from `before` to `after`, which answer the same rows."""
    right = after.log_p.gather(1, before.tokens[:, None])
    same = before.log_p.argmax(-1) == after.log_p.argmax(-1)
    return Cost(
        loss=-right.mean().item(),
        kl=max(0.0, kl(before.log_p, after.log_p).mean().item()),  # rounding may fall below 0
        agreement=same.float().mean().item(),
    )


class Surprisal(NamedTuple):
    """−log p of one whole message, its end mark included, and how many tokens it has."""

    nats: float
    tokens: int


def surprisals(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    conversations: Sequence[list[dict]],
) -> list[Surprisal]:
    """The `Surprisal` of the last message of each conversation, given all before it."""
    return surprisals_of(model, tokenizer, {"messages": conversations})


@plain_torch()
def surprisals_of(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", rows: "Dataset | Mapping"
) -> list[Surprisal]:
    """The same for chat rows, which may bring tools."""
    by_place: dict[int, Surprisal] = {}
    for batch in answer_batches(model, tokenizer, rows):
        log_p = predict(model, batch).gather(-1, batch.tokens[:, None])[:, 0]
        for place, row in zip(batch.places, log_p.split(batch.counts), strict=True):
            by_place[place] = Surprisal(-row.sum().item(), len(row))
    return [by_place[place] for place in sorted(by_place)]


def perplexity(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", rows: "Dataset"
) -> float:
    """exp of the mean −log p per token of the rows' right answers.

    It is as if the model chose each token among so many that are equally likely.
    """
    answers = surprisals_of(model, tokenizer, rows)
    nats = sum(answer.nats for answer in answers)
    return math.exp(nats / sum(answer.tokens for answer in answers))


@plain_torch()
def option_nats(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[list[dict]],
    options: Sequence[Sequence[str]],
) -> list[list[float]]:
    """−log p of each option of each prompt, in nats: of the whole reply, its end mark included.

    prompts: chats that end before the answer; options: the replies to choose from, for each. The
    lowest is the likeliest. A prompt is read once, whatever the number of its options.
    """
    found = []
    pairs = zip(prompts, options, strict=True)
    for prompt, replies in progress(pairs, "replies to choose from", len(prompts)):
        chats = [[*prompt, {"role": "assistant", "content": reply}] for reply in replies]
        rendered = [data.render(chat, tokenizer) for chat in chats]
        longest = max(rendered, key=lambda chat: len(chat.ids))
        models.check_readable(model, tokenizer, {f"prompt {len(found) + 1}": longest.ids})
        found.append(nats_of_replies(model, rendered))
    return found


def nats_of_replies(model: "PreTrainedModel", replies: Sequence[data.Rendered]) -> list[float]:
    """−log p of the answers of chats that begin alike: what they share goes through once."""
    # up to the token before the first of any answer, whose logits foretell that one
    begun = count_shared([reply.ids for reply in replies])
    shared = min(begun, *(reply.answer.start for reply in replies)) - 1
    rows = [torch.tensor(reply.ids) for reply in replies]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(model.device)
    lengths = torch.tensor([[len(row)] for row in rows], device=model.device)
    mask = (torch.arange(ids.shape[1], device=model.device) < lengths).long()
    behind = ids[:, shared:]
    with models.asking(model):
        if models.virtual_tokens(model):  # the cache would be read at other positions
            logits = models.read(model, input_ids=ids, attention_mask=mask).logits[:, shared:]
        else:
            read = model(input_ids=ids[:1, :shared], use_cache=True, logits_to_keep=1)
            read[CACHE].batch_repeat_interleave(len(rows))
            logits = model(input_ids=behind, attention_mask=mask, **{CACHE: read[CACHE]}).logits
    # logits[:, t] foretell behind[:, t + 1]
    log_p = logits[:, :-1].float().log_softmax(-1).gather(-1, behind[:, 1:, None])[..., 0]
    nats = []
    for reply, row in zip(replies, log_p, strict=True):
        start, stop = (place - shared - 1 for place in (reply.answer.start, reply.answer.stop))
        nats.append(-row[start:stop].sum().item())
    return nats


def count_shared(rows: Sequence[Sequence[int]]) -> int:
    """How many tokens the rows have in common at their beginning."""
    for place, tokens in enumerate(zip(*rows, strict=False)):
        if len(set(tokens)) > 1:
            return place
    return min(map(len, rows))
