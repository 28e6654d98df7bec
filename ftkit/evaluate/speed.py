"""How long does a token take? Models timed in turn, so that a busy moment hits all of them.

    latency({name: model}, tokenizer, messages)    a `Latency`: milliseconds per token by round
    Latency.slowdown(name, against)                how many times as long, with its interval
    Latency.p95(name)                              what 95 of 100 rounds stay within

`AdapterOff(model)` times the base of a model without loading it twice. Time at training is
measured by `memory.measure`; whether a ratio is a red flag is decided in `red_flags`.
Notebooks 00, 09 and 13.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from .. import lora, models
from ..core.results import Result, TableParts, about
from ..core.session import plain_torch
from ..core.statistics import Interval, median_ratio

if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedModel, PreTrainedTokenizerBase


class AdapterOff(NamedTuple):
    """A candidate that is timed with its adapter switched off."""

    model: "PreTrainedModel"


@dataclass(frozen=True, repr=False)
class Latency(Result):
    """Milliseconds per new token, greedy, one prompt at a time: by model, one value per round."""

    ms: dict[str, list[float]]

    def median(self, name: str) -> float:
        """Median milliseconds per token."""
        return statistics.median(self.ms[name])

    def p95(self, name: str) -> float:
        """What 95 of 100 rounds stay within, in ms per token, between the two nearest of them.

        Of fewer than 20 rounds it is little more than the slowest.
        """
        return statistics.quantiles(self.ms[name], n=20, method="inclusive")[-1]

    def slowdown(self, name: str, against: str) -> Interval:
        """How many times as long `name` takes as `against`: median over rounds (`median_ratio`)."""
        return median_ratio(self.ms[name], self.ms[against])

    def table(self) -> TableParts:
        """One line per model."""
        rows: list[Sequence[object]] = []
        for name, values in self.ms.items():
            low, _, high = statistics.quantiles(values, n=4)
            middle = f"{about(low)} … {about(high)}"
            rows.append(
                (name, about(self.median(name)), middle, about(self.p95(name)), len(values))
            )
        return "Time for one token, ms", ("model", "median", "middle half", "p95", "n"), rows


@plain_torch()
def latency(
    candidates: "Mapping[str, PreTrainedModel | AdapterOff]",
    tokenizer: "PreTrainedTokenizerBase",
    messages: list[dict],
    tokens: int = 24,
    rounds: int = 9,
    clock: Callable[[], float] = time.perf_counter,
) -> Latency:
    """Let every candidate answer the same prompt, `rounds` times in turn.

    messages: a chat whose last message, the answer, is left out of the prompt. tokens: how many
    each answer has, whatever the model would rather write. clock: seconds as they pass; with
    `time.process_time` those this process computes in, so that on a busy CPU nobody else counts.
    """
    ((_, inputs),) = models.prompt_batches(tokenizer, [messages[:-1]])
    ms: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(rounds + 1):
        for name, candidate in candidates.items():
            milliseconds = time_token(candidate, tokenizer, inputs, tokens, clock)
            if turn > 0:  # the first one warms up
                ms[name].append(milliseconds)
    return Latency(ms)


def time_token(
    candidate: "PreTrainedModel | AdapterOff",
    tokenizer: "PreTrainedTokenizerBase",
    inputs: "BatchEncoding",
    tokens: int,
    clock: Callable[[], float],
) -> float:
    """Milliseconds per token of one greedy answer of exactly `tokens` tokens."""
    off = isinstance(candidate, AdapterOff)
    model = candidate.model if off else candidate
    inputs = inputs.to(model.device)
    reader = models.ReplyReader(model, tokenizer)
    exactly = {"max_new_tokens": tokens, "min_new_tokens": tokens, "stop_strings": None}
    with (
        lora.using(model, None) if off else nullcontext(),
        models.greedy(model, reader, **exactly) as config,
        models.asking(model),
    ):
        began = clock()
        models.write(model, dict(inputs), generation_config=config, tokenizer=tokenizer)
        return 1000 * (clock() - began) / tokens
