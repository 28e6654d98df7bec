"""TODO header of evaluate.likelihood."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .. import data
from ..core.results import Result, about, percent
from ..data import answer_tokens
from ..lora import as_base


@dataclass(frozen=True, eq=False)
class Answers:
    """What a model predicts at every answer token of chat rows."""

    logs: object  # (n, vocabulary) log-probabilities
    tokens: object  # (n,) the right tokens
    rows: object  # (n,) the number of the row that each belongs to

    def kl(self, other: "Answers") -> list[float]:
        """KL(this ‖ other) by row, the mean over its answer tokens, in nats."""
        import torch

        each = (self.logs.exp() * (self.logs - other.logs)).sum(-1)
        return [each[self.rows == row].mean().item() for row in torch.unique(self.rows)]


def answer_logs(model, tokenizer, rows, batch_size: int = 10) -> Answers:
    """The `Answers` of `model` to chat rows: the right answer is given, so every token is predicted
    from the right ones before it.
    """
    import torch

    logs, tokens, numbers = [], [], []
    for start in range(0, len(rows), batch_size):
        chats = rows[start : start + batch_size]["messages"]
        texts = [tokenizer.apply_chat_template(m, tokenize=False) for m in chats]
        batch = tokenizer(
            texts, add_special_tokens=False, padding=True, padding_side="left", return_tensors="pt"
        ).to(model.device)
        with torch.no_grad():
            predicted = model(**batch).logits.float().log_softmax(-1)
        for i, messages in enumerate(chats):
            n = data.answer_tokens(messages, tokenizer)
            logs.append(predicted[i, -n - 1 : -1].cpu())
            tokens.append(batch["input_ids"][i, -n:].cpu())
            numbers += [start + i] * n
    return Answers(torch.cat(logs), torch.cat(tokens), torch.tensor(numbers))


@dataclass(frozen=True, repr=False)
class Cost(Result):
    """What a change of the weights costs on the same answers, in nats per answer token."""

    loss: float  # mean −log p of the right token, after
    kl: float  # mean KL(before ‖ after)
    agreement: float  # share of tokens with the same most likely token

    def table(self):
        """One line a measure."""
        rows = [
            ("loss", about(self.loss)),
            ("KL from before", about(self.kl)),
            ("same most likely token", percent(self.agreement)),
        ]
        return "Cost on answers, nats per answer token", ("measure", "value"), rows


def cost(before: Answers, after: Answers) -> Cost:
    """The `Cost` of going from `before` to `after`, which answer the same rows."""
    a, b = before.logs, after.logs
    kl = (a.exp() * (a - b)).sum(-1).mean().item()
    same = (a.argmax(-1) == b.argmax(-1)).float().mean().item()
    return Cost(-b.gather(1, before.tokens[:, None]).mean().item(), max(0.0, kl), same)


def answer_batches(
    tokenizer, conversations: Sequence[list[dict]], device, batch_size: int = 20
) -> Iterator[tuple]:
    """(places in `conversations`, inputs, `answer`) by batch, shortest first, padded on the right.

    answer: (rows, length − 1), True where the next token is one of the last message's, its end mark
    included, so that logits[:, :-1][answer] predict it.
    """
    import torch

    texts = [tokenizer.apply_chat_template(c, tokenize=False) for c in conversations]
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        inputs = tokenizer(
            [texts[i] for i in chosen],
            add_special_tokens=False,
            padding=True,
            padding_side="right",
            return_tensors="pt",
        ).to(device)
        lengths = inputs["attention_mask"].sum(1, keepdim=True)
        counts = torch.tensor(
            [[answer_tokens(conversations[i], tokenizer)] for i in chosen], device=device
        )
        place = torch.arange(inputs["input_ids"].shape[1], device=device)
        yield chosen, inputs, ((place >= lengths - counts) & (place < lengths))[:, 1:]


def surprises(model, tokenizer, conversations: Sequence[list[dict]]) -> list[tuple[float, int]]:
    """(−log p in nats, tokens) of the last message of each conversation, given all before it; the
    end mark counts too.
    """
    import torch

    found: list[tuple[float, int]] = [(0.0, 0)] * len(conversations)
    for chosen, inputs, answer in answer_batches(tokenizer, conversations, model.device):
        with torch.no_grad():
            log_p = model(**inputs).logits[:, :-1].float().log_softmax(-1)
        nats = -log_p.gather(-1, inputs["input_ids"][:, 1:, None])[..., 0] * answer
        for i, total, tokens in zip(
            chosen, nats.sum(1).tolist(), answer.sum(1).tolist(), strict=True
        ):
            found[i] = total, tokens
    return found


def perplexity(model, tokenizer, rows) -> float:
    """exp of the mean −log p a token of the rows' right answers: among how many equally likely
    tokens it is as if the model chose.
    """
    nats, tokens = zip(*surprises(model, tokenizer, rows["messages"]), strict=True)
    return math.exp(sum(nats) / sum(tokens))


def distance(base, tuned, tokenizer, rows, batch_size: int = 20) -> float:
    """KL(base ‖ tuned) at the answers' tokens of chat rows, mean in nats a token: how far the tuned
    model's replies moved.

    base: another model, or `tuned` itself, which then stands in for its base with its adapter
    switched off.
    """
    import torch
    from torch.nn import functional as F

    total, count = 0.0, 0
    for _, inputs, answer in answer_batches(tokenizer, rows["messages"], tuned.device, batch_size):
        with torch.no_grad():
            with as_base(base, base is tuned):
                before = base(**inputs).logits[:, :-1][answer].float().log_softmax(-1)
            after = tuned(**inputs).logits[:, :-1][answer].float().log_softmax(-1)
        total += F.kl_div(after, before, log_target=True, reduction="sum").item()
        count += int(answer.sum())
    return total / count
