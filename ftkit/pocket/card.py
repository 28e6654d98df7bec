"""What the pocket model can do: its weights beside a card with every score, its n and its interval.

    ship(plan, out, model, …)   weights, tokenizer, card.json and README.md in one folder
    as_markdown(card)           the card as people read it, every number taken from card.json
    story_loss(model, …)        nats per token on held-out stories

The suites are `world.skills`, asked by `forgetting.skills` as notebook 10 asks them. It trains
nothing: `pretraining.py` does.
"""

import json
import platform
import re
from pathlib import Path

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from .. import forgetting, models
from ..core.files import whole_or_nothing
from ..world import LIMITS, SKILLS, World, corpus, draw_stories
from .plan import Plan, Progress

CURVE_POINTS = 60  # of the learning curve that the card keeps


def story_loss(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, world: World) -> float:
    """Mean loss on held-out stories, in nats per token."""
    total, tokens = 0.0, 0
    for story in draw_stories(world):
        encoded = tokenizer(story, add_special_tokens=False, return_tensors="pt")
        ids = encoded["input_ids"].to(model.device)
        with torch.no_grad():
            loss = model(input_ids=ids, labels=ids).loss.item()
        # the first token has nothing before it that could predict it
        predicted = ids.shape[1] - 1
        total, tokens = total + loss * predicted, tokens + predicted
    return total / tokens


def processor() -> str:
    """The processor or GPU that trained, without the machine's name."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.+)", info.read_text()) if info.exists() else None
    return model.group(1) if model else platform.processor() or platform.machine()


def score(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, world: World, n: int
) -> dict[str, dict]:
    """Every suite on `n` probes, as the card states it: skills and limits by suite."""
    scores: dict[str, dict] = {}
    for group, suites in {"skills": SKILLS, "limits": LIMITS}.items():
        asked = forgetting.skills(model, tokenizer, n, names=list(suites), world=world)
        scores[group] = {}
        for name, rate in asked.rates.items():
            interval = [round(bound, 4) for bound in rate.interval]
            scores[group][name] = {"right": rate.hits, "n": rate.n, "interval": interval}
    return scores


def ship(
    plan: Plan,
    out: Path,
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    progress: Progress,
    n: int,
) -> dict:
    """Score the model and write weights, tokenizer, `card.json` and the readable card into `out`.

    n: probes in each suite. Returns the card.
    """
    # scored as it will be loaded
    world = World(plan.seed)
    model.set_attn_implementation("sdpa")
    model.eval()
    scores = score(model, tokenizer, world, n)
    with whole_or_nothing(out) as new:
        model.save_pretrained(new)
        tokenizer.save_pretrained(new)
        curve = progress.curve
        card = {
            "parameters": sum(p.numel() for p in model.parameters()),
            "plan": plan.json(),
            "corpus": corpus.digest(world),
            "weights": models.hash_weights(new),
            "tokens": progress.tokens,
            "steps": progress.step,
            "seconds": round(progress.seconds),
            "machine": processor(),
            "torch": torch.__version__,
            "loss": curve[-1]["loss"] if curve else None,
            "story_loss": round(story_loss(model, tokenizer, world), 4),
            **scores,
            "curve": curve[:: max(1, len(curve) // CURVE_POINTS)],
            "probes": progress.probes,
        }
        (new / "card.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
        (new / "README.md").write_text(as_markdown(card), encoding="utf-8")
    return card


CARD = """# The pocket model

A Llama-architecture causal language model of {parameters:,} parameters: {layers} layers, width {hidden}, {heads} heads over {kv_heads}
key/value heads, MLP {mlp}, {vocabulary:,} byte-level BPE tokens with single digits, tied embeddings. It was trained from nothing on the
seeded micro-world of `ftkit/world` by `python -m ftkit pretrain`; it knows that world and nothing else.

- training: {tokens:,} tokens with loss in {steps:,} steps, {seconds:,} s on {machine} ({threads} thread, {precision}, torch {torch})
- loss at the end of training: {loss} nats per weighted token; on held-out stories: {story_loss} nats per token
- corpus, SHA-256: `{corpus}`
- weights, SHA-256: `{weights}`

Apart from `known` and `stated_only`, probes use names, numbers, word pairs or wordings that training never saw.
Greedy decoding, exact match, 95 % Wilson intervals.

| suite | asks for | right | interval | n | bar |
|---|---|---|---|---|---|
{rows}

The learning curve is in `card.json` (`curve`: the loss, `probes`: every skill on 24 probes).
"""  # noqa: E501 - the lines of the card as they are shown


def as_markdown(card: dict) -> str:
    """The model card as Markdown, every number taken from `card`."""
    scores = card["skills"] | card["limits"]
    rows = []
    for name, suite in (SKILLS | LIMITS).items():
        n, (low, high) = scores[name]["n"], scores[name]["interval"]
        share = scores[name]["right"] / n
        bar = ""
        if suite.bar is not None:
            bar = f"{suite.bar:.0%}: {'met' if share >= suite.bar else 'missed'}"
        cells = (name, suite.about, f"{share:.1%}", f"{low:.1%} … {high:.1%}", n, bar)
        rows.append(f"| {' | '.join(map(str, cells))} |")
    precision = "bfloat16 autocast" if card["plan"]["bfloat16"] else "float32"
    return CARD.format(**{**card["plan"], **card, "rows": "\n".join(rows), "precision": precision})
