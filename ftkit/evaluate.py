"""Ask a model, and say how sure the answer is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Rate:
    """`hits` out of `n`, with its 95 % Wilson score interval (Wilson 1927)."""

    hits: int
    n: int

    @property
    def value(self) -> float:
        """hits / n."""
        return self.hits / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """(p̂ + z²/2n ± z·√(p̂(1−p̂)/n + z²/4n²)) / (1 + z²/n) with z = 1.96."""
        z, p, n = 1.96, self.value, self.n
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return max(0.0, centre - half), min(1.0, centre + half)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.1%} [{low:.1%}, {high:.1%}] n={self.n}"


@torch.no_grad()
def answers(model, tokenizer, conversations: Sequence[list[dict]], max_new_tokens: int = 64, batch_size: int = 100) -> list[str]:
    """The greedy answer to each conversation (a list of chat messages), in the order given.

    Prompts are sorted by length and padded on the left, so that a batch holds little padding.
    """
    prompts = [tokenizer.apply_chat_template(c, add_generation_prompt=True, tokenize=False) for c in conversations]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    replies = [""] * len(prompts)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        inputs = tokenizer([prompts[i] for i in chosen], add_special_tokens=False, padding=True, padding_side="left", return_tensors="pt")
        output = model.generate(**inputs.to(model.device), max_new_tokens=max_new_tokens, do_sample=False)
        texts = tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        for i, reply in zip(chosen, texts, strict=True):
            replies[i] = reply.strip()
    return replies
