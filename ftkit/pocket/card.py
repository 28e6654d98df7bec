"""What the pocket model can do: its weights beside a card with every score, its n and its interval."""

import json
import platform
import re
from dataclasses import asdict
from pathlib import Path

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from .. import forgetting, models
from ..world import LIMITS, SKILLS, World, corpus, draw_stories
from .plan import Plan


def story_loss(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, world: World) -> float:
    """Mean loss on held-out stories, in nats per token."""
    rows = [
        tokenizer(s, add_special_tokens=False, return_tensors="pt")["input_ids"].to(model.device)
        for s in draw_stories(world)
    ]
    with torch.no_grad():
        losses = [(model(input_ids=ids, labels=ids).loss.item(), ids.shape[1] - 1) for ids in rows]
    return sum(loss * n for loss, n in losses) / sum(n for _, n in losses)


def machine() -> str:
    """The processor or GPU that trained, without the machine's name."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.+)", info.read_text()) if info.exists() else None
    return model.group(1) if model else platform.processor() or platform.machine()


def ship(
    plan: Plan,
    out: Path,
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    state: dict,
    n: int,
) -> dict:
    """Write weights, tokenizer, `card.json` and the readable card into `out`, and return the card."""
    world = World(plan.seed)
    model.set_attn_implementation("sdpa")
    model.eval().save_pretrained(out)
    tokenizer.save_pretrained(out)
    groups = {"skills": SKILLS, "limits": LIMITS}
    scores = {
        g: forgetting.skills(model, tokenizer, n, names=list(suites), world=world).rates
        for g, suites in groups.items()
    }
    card = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "plan": asdict(plan),
        "corpus": corpus.digest(world),
        "weights": models.hash_weights(out),
        "tokens": state["tokens"],
        "steps": state["step"],
        "seconds": round(state["seconds"]),
        "machine": machine(),
        "torch": torch.__version__,
        "loss": state["curve"][-1]["loss"] if state["curve"] else None,
        "story_loss": round(story_loss(model, tokenizer, world), 4),
        **{
            g: {
                k: {"right": r.hits, "n": r.n, "interval": [round(x, 4) for x in r.interval]}
                for k, r in rates.items()
            }
            for g, rates in scores.items()
        },
        "curve": state["curve"][:: max(1, len(state["curve"]) // 60)],
        "probes": state["probes"],
    }
    (out / "card.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    (out / "README.md").write_text(readable(card), encoding="utf-8")
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
"""


def readable(card: dict) -> str:
    """The model card as Markdown, every number taken from `card`."""
    rows = []
    for name, suite in (SKILLS | LIMITS).items():
        score = (card["skills"] | card["limits"])[name]
        share, (low, high) = score["right"] / score["n"], score["interval"]
        bar = (
            ""
            if suite.bar is None
            else f"{suite.bar:.0%}: {'met' if share >= suite.bar else 'missed'}"
        )
        rows.append(
            f"| {name} | {suite.about} | {share:.1%} | {low:.1%} … {high:.1%} | {score['n']} | {bar} |"
        )
    precision = "bfloat16 autocast" if card["plan"]["bfloat16"] else "float32"
    return CARD.format(**{**card["plan"], **card, "rows": "\n".join(rows), "precision": precision})
