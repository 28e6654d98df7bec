"""TODO header of evaluate.speed."""

import statistics
import time
from dataclasses import dataclass

from ..core.results import Result, about
from ..lora import as_base


@dataclass(frozen=True, repr=False)
class Latency(Result):
    """Milliseconds for one new token, greedy, one prompt at a time: median over rounds and the
    middle half, by model.
    """

    ms: dict[str, list[float]]

    def median(self, name: str) -> float:
        """Median milliseconds per token."""
        return statistics.median(self.ms[name])

    def table(self):
        """One line a model."""
        rows = []
        for name, values in self.ms.items():
            low, _, high = statistics.quantiles(values, n=4)
            rows.append(
                (name, about(self.median(name)), f"{about(low)} … {about(high)}", len(values))
            )
        return "Time for one token, ms", ("model", "median", "middle half", "n"), rows


def latency(
    candidates: dict, tokenizer, messages: list[dict], tokens: int = 24, rounds: int = 9
) -> Latency:
    """Time models in turn, so that a busy moment hits all of them. A value of `candidates` is a
    model or (model, adapter_off).
    """
    prompt = tokenizer.apply_chat_template(
        messages[:-1], add_generation_prompt=True, tokenize=False
    )
    ms: dict[str, list[float]] = {name: [] for name in candidates}
    for i in range(rounds + 1):
        for name, candidate in candidates.items():
            model, off = candidate if isinstance(candidate, tuple) else (candidate, False)
            inputs = tokenizer(prompt, add_special_tokens=False, return_tensors="pt").to(
                model.device
            )
            with as_base(model, off):
                began = time.perf_counter()
                model.generate(
                    **inputs, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False
                )
            if i:  # the first round warms up
                ms[name].append(1000 * (time.perf_counter() - began) / tokens)
    return Latency(ms)
