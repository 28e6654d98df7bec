"""Did it help? Ask both models the same questions and say how sure the answer is: five dimensions, each with n and interval."""

import contextlib
import json
import math
import re
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from . import lora
from .data import answer_tokens
from .models import answers
from .record import Record, about, percent_in
from .runtime import UserError
from .world import skills
from .world.entities import World


@dataclass(frozen=True)
class Rate:
    """`hits` out of `n`, with its 95 % Wilson score interval (Wilson 1927)."""

    hits: int
    n: int

    @property
    def value(self) -> float:
        """hits / n; NaN for n = 0."""
        return self.hits / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """(p̂ + z²/2n ± z·√(p̂(1−p̂)/n + z²/4n²)) / (1 + z²/n) with z = 1.96; (0, 1) for n = 0."""
        if not self.n:
            return 0.0, 1.0
        z, p, n = 1.96, self.value, self.n
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return max(0.0, centre - half), min(1.0, centre + half)

    def __str__(self) -> str:
        if not self.n:
            return "none to judge"
        return percent_in(self.value, *self.interval)


@contextlib.contextmanager
def as_base(model, wanted: bool = True):
    """The model with its adapter switched off inside the block: the base, without loading it twice."""
    with model.disable_adapter() if wanted and lora.is_attached(model) else contextlib.nullcontext():
        yield model


def parse(reply: str, gold: dict) -> dict | None:
    """The reply as an object if it is strictly in format: one JSON object and nothing else, gold's keys, gold's types."""
    try:
        found = json.loads(reply)
    except ValueError:
        return None
    if not isinstance(found, dict) or list(found) != list(gold):
        return None
    return found if all(type(found[k]) is type(v) for k, v in gold.items()) else None


@dataclass(frozen=True, repr=False)
class Score(Record):
    """One model on the test rows: strict format, exact match, each field, and values that the prompt does not hold."""

    name: str
    replies: list[str]
    exact: list[bool]
    format: Rate
    fields: dict[str, Rate]
    invented: Rate  # strings and numbers in well-formed replies that occur nowhere in the prompt

    @property
    def task(self) -> Rate:
        """Rows answered exactly right."""
        return Rate(sum(self.exact), len(self.exact))

    def table(self):
        """One line a measure."""
        rows = [("exact answer", self.task), ("strict format", self.format), *((f"field {k}", v) for k, v in self.fields.items())]
        rows.append(("values not in the prompt", self.invented))
        return f"{self.name}, n = {len(self.exact)}", ("measure", "share [95 % interval]"), rows


def score(model, tokenizer, test, name: str = "model", max_new_tokens: int = 64) -> Score:
    """Answer every test row greedily and hold it against the gold JSON object; other golds count exact match alone."""
    replies = answers(model, tokenizer, [m[:-1] for m in test["messages"]], max_new_tokens)
    golds = [m[-1]["content"] for m in test["messages"]]
    objects = [as_object(g) for g in golds]
    parsed = [parse(r, g) if g is not None else None for r, g in zip(replies, objects, strict=True)]
    well_formed = [p is not None if g is not None else r == gold for p, g, r, gold in zip(parsed, objects, replies, golds, strict=True)]
    exact = [p == g if g is not None else r == gold for p, g, r, gold in zip(parsed, objects, replies, golds, strict=True)]
    keys = dict.fromkeys(k for g in objects if g for k in g)
    fields = {
        k: Rate(
            sum(bool(p) and p[k] == g[k] for p, g in zip(parsed, objects, strict=True) if g and k in g),
            sum(g is not None and k in g for g in objects),
        )
        for k in keys
    }
    claims = [
        str(v) in m[-2]["content"]
        for p, m in zip(parsed, test["messages"], strict=True)
        if p
        for v in p.values()
        if not isinstance(v, bool)
    ]
    return Score(name, replies, exact, Rate(sum(well_formed), len(replies)), fields, Rate(len(claims) - sum(claims), len(claims)))


def as_object(text: str) -> dict | None:
    """The JSON object in `text`, or None."""
    with contextlib.suppress(ValueError):
        return found if isinstance(found := json.loads(text), dict) else None
    return None


def answer_batches(tokenizer, conversations: Sequence[list[dict]], device, batch_size: int = 20) -> Iterator[tuple]:
    """(places in `conversations`, inputs, `answer`) by batch, shortest first, padded on the right.

    answer: (rows, length − 1), True where the next token is one of the last message's, its end mark included, so that
    logits[:, :-1][answer] predict it.
    """
    import torch

    texts = [tokenizer.apply_chat_template(c, tokenize=False) for c in conversations]
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        inputs = tokenizer(
            [texts[i] for i in chosen], add_special_tokens=False, padding=True, padding_side="right", return_tensors="pt"
        ).to(device)
        lengths = inputs["attention_mask"].sum(1, keepdim=True)
        counts = torch.tensor([[answer_tokens(conversations[i], tokenizer)] for i in chosen], device=device)
        place = torch.arange(inputs["input_ids"].shape[1], device=device)
        yield chosen, inputs, ((place >= lengths - counts) & (place < lengths))[:, 1:]


def surprises(model, tokenizer, conversations: Sequence[list[dict]]) -> list[tuple[float, int]]:
    """(−log p in nats, tokens) of the last message of each conversation, given all before it; the end mark counts too."""
    import torch

    found: list[tuple[float, int]] = [(0.0, 0)] * len(conversations)
    for chosen, inputs, answer in answer_batches(tokenizer, conversations, model.device):
        with torch.no_grad():
            log_p = model(**inputs).logits[:, :-1].float().log_softmax(-1)
        nats = -log_p.gather(-1, inputs["input_ids"][:, 1:, None])[..., 0] * answer
        for i, total, tokens in zip(chosen, nats.sum(1).tolist(), answer.sum(1).tolist(), strict=True):
            found[i] = total, tokens
    return found


def perplexity(model, tokenizer, rows) -> float:
    """exp of the mean −log p a token of the rows' right answers: among how many equally likely tokens it is as if the model chose."""
    nats, tokens = zip(*surprises(model, tokenizer, rows["messages"]), strict=True)
    return math.exp(sum(nats) / sum(tokens))


UNSURE = (
    r"^I don['’]t\b|(n['’]t|not|unable to|cannot) (\w+ ){0,2}(know|have|find|sure|certain|aware|familiar|provide|identify|exist)\b"
    r"|unknown|sorry|no (\w+ )?(information|record|one named|such)|made[- ]up|fictional"
)


def made_up(model, tokenizer, n: int = 100, world: World | None = None) -> Rate:
    """Hallucination: the share of questions about strangers, whom no model can know, that are answered as if it did.

    The pocket model says 'I don't know.'; other models have many words for it, and `UNSURE` knows the usual ones.
    """
    probes = skills.suite(world or World(), "unknown", n)
    replies = answers(model, tokenizer, [[{"role": "user", "content": p.prompt}] for p in probes], 16)
    return Rate(sum(not re.search(UNSURE, r, re.IGNORECASE) for r in replies), n)


@dataclass(frozen=True, repr=False)
class Latency(Record):
    """Milliseconds for one new token, greedy, one prompt at a time: median over rounds and the middle half, by model."""

    ms: dict[str, list[float]]

    def median(self, name: str) -> float:
        """Median milliseconds per token."""
        return statistics.median(self.ms[name])

    def table(self):
        """One line a model."""
        rows = []
        for name, values in self.ms.items():
            low, _, high = statistics.quantiles(values, n=4)
            rows.append((name, about(self.median(name)), f"{about(low)} … {about(high)}", len(values)))
        return "Time for one token, ms", ("model", "median", "middle half", "n"), rows


def latency(candidates: dict, tokenizer, messages: list[dict], tokens: int = 24, rounds: int = 9) -> Latency:
    """Time models in turn, so that a busy moment hits all of them. A value of `candidates` is a model or (model, adapter_off)."""
    prompt = tokenizer.apply_chat_template(messages[:-1], add_generation_prompt=True, tokenize=False)
    ms: dict[str, list[float]] = {name: [] for name in candidates}
    for i in range(rounds + 1):
        for name, candidate in candidates.items():
            model, off = candidate if isinstance(candidate, tuple) else (candidate, False)
            inputs = tokenizer(prompt, add_special_tokens=False, return_tensors="pt").to(model.device)
            with as_base(model, off):
                began = time.perf_counter()
                model.generate(**inputs, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False)
            if i:  # the first round warms up
                ms[name].append(1000 * (time.perf_counter() - began) / tokens)
    return Latency(ms)


def paired_difference(before: Sequence[bool], after: Sequence[bool], draws: int = 2000, seed: int = 0) -> tuple[float, float, float]:
    """(mean of after − before, low, high): 95 % bootstrap interval over the rows that both answered."""
    import numpy as np

    change = np.asarray(after, float) - np.asarray(before, float)
    means = change[np.random.default_rng(seed).integers(0, len(change), (draws, len(change)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(change.mean()), float(low), float(high)


@dataclass(frozen=True, repr=False)
class Comparison(Record):
    """Base beside tuned on the same rows: task, format, hallucination and latency (forgetting is in `forgetting.table`)."""

    base: Score
    tuned: Score
    hallucination: dict[str, Rate]
    speed: Latency

    def table(self):
        """One line a dimension."""
        b, t = self.base, self.tuned
        fields = [(f"· {k}", b.fields.get(k, Rate(0, 0)), v) for k, v in t.fields.items()]
        rows = [
            ("task: exact answer", b.task, t.task),
            *fields,
            ("format: strict", b.format, t.format),
            ("hallucination: made up about strangers", self.hallucination["base"], self.hallucination["tuned"]),
            ("hallucination: values not in the prompt", b.invented, t.invented),
            ("latency: ms for a token", about(self.speed.median("base")), about(self.speed.median("tuned"))),
        ]
        return f"Base and tuned on {len(t.exact)} test rows, share [95 % interval]", ("dimension", b.name, t.name), rows

    def json(self) -> dict:
        """The dimensions by the design's keys; shares from 0 to 1 with n and 95 % intervals."""
        b, t, made = self.base, self.tuned, self.hallucination
        return {
            "task": pair(b.task, t.task),
            "format": pair(b.format, t.format),
            "fields": {k: pair(b.fields[k], v) for k, v in t.fields.items()},
            "hallucination": pair(made["base"], made["tuned"]),
            "invented": pair(b.invented, t.invented),
            "gain": self.gain,
            "latency_ms": {k: round(self.speed.median(k), 2) for k in self.speed.ms},
        }

    @property
    def gain(self) -> tuple[float, float, float]:
        """Exact answers, tuned − base: (difference, low, high), paired bootstrap."""
        return paired_difference(self.base.exact, self.tuned.exact)


def pair(base: Rate, tuned: Rate) -> dict:
    """Base beside tuned with n and intervals, for JSON (None where there was nothing to judge)."""
    return {
        "base": base.value if base.n else None,
        "tuned": tuned.value if tuned.n else None,
        "n": tuned.n,
        "base_interval": base.interval,
        "tuned_interval": tuned.interval,
    }


def compare(base, tuned, tokenizer, test) -> Comparison:
    """Base and tuned model on the same test rows.

    base: a model, or the very model that `tuned` carries its adapter on (then it is asked with the adapter switched off).
    test: chat rows whose answers are JSON objects (or any text: then exact match alone counts).
    """
    if not len(test):
        raise UserError("there are no test rows; give at least one chat example.")
    same = lora.is_attached(tuned) and tuned.get_base_model() is base
    if not lora.is_attached(tuned) and base is tuned:
        raise UserError(
            "base and tuned are the same model object: full fine-tuning changed it in place; load the base again for the comparison."
        )
    asked = tuned if same else base
    with as_base(asked, same):
        scores = [score(asked, tokenizer, test, "base")]
        made = {"base": made_up(asked, tokenizer)}
    scores.append(score(tuned, tokenizer, test, "tuned"))
    made["tuned"] = made_up(tuned, tokenizer)
    speed = latency({"base": (asked, same), "tuned": tuned}, tokenizer, test["messages"][0], rounds=5)
    return Comparison(*scores, made, speed)
