"""Train the pocket model from nothing: `python -m ftkit.world.pretrain --out data/pocket`.

Stages: tokenizer (learned on other worlds, so that a known name is not one token) → training on the corpus → probes and
card. Every `save_every` steps a checkpoint is written; after a kill the same command goes on, on CPU with the same bytes.
"""

import itertools
import json
import platform
import re
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, pre_tokenizers, processors, trainers
from tokenizers import models as tokenizer_models
from torch.nn import functional as F
from tqdm import tqdm
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from .. import forgetting, models
from ..runtime import UserError, progress_wanted, quiet
from . import corpus
from .corpus import BOS, END, PAD, SPECIALS
from .entities import World
from .skills import LIMITS, SKILLS, stories

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ '<|assistant|>' }}"
    "{% generation %}{{ message['content'] + '<|end|>' }}{% endgeneration %}"
    "{% else %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


@dataclass(frozen=True)
class Plan:
    """Everything that decides the bytes of the result."""

    seed: int = 0
    vocabulary: int = 1280
    hidden: int = 256
    layers: int = 4
    heads: int = 8
    kv_heads: int = 4
    mlp: int = 512
    tokens_per_step: int = 2304
    length: int = 192  # of a packed row; longer documents come in every eighth step, in rows of twice the length
    steps: int = 18500
    reheat: int = 15500  # the learning rate falls to zero here, starts again at half, and falls to zero once more
    phases: tuple[int, ...] = (1000, 3500, 6000, 7500, 15500)  # where the later phases of corpus.PHASES begin
    warmup: int = 100
    decay: float = 0.35  # last share of the steps up to `reheat`, over which the rate falls
    lr: float = 2e-3
    weight_decay: float = 0.02
    betas: tuple[float, float] = (0.9, 0.97)
    bfloat16: bool = False  # autocast: about twice as fast where the processor has bfloat16 units
    threads: int = 1


def train_tokenizer(plan: Plan) -> PreTrainedTokenizerFast:
    """Byte-level BPE with single digits, learned on the documents of twenty other worlds."""
    bpe = Tokenizer(tokenizer_models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    others = (corpus.documents(World(seed=1000 + plan.seed * 20 + i), 0, corpus.BROAD) for i in range(20))
    marks = re.compile("|".join(map(re.escape, SPECIALS)))
    texts = (part for stream in others for doc in itertools.islice(stream, 1500) for text, _ in doc for part in marks.split(text) if part)
    bpe.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=plan.vocabulary, special_tokens=SPECIALS, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
        ),
    )
    bpe.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, bpe.token_to_id(BOS))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=BOS,
        eos_token=END,
        pad_token=PAD,
        chat_template=CHAT_TEMPLATE,
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
    )


def new_model(plan: Plan, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A Llama with tied embeddings and random weights."""
    torch.manual_seed(plan.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=plan.vocabulary,
            hidden_size=plan.hidden,
            num_hidden_layers=plan.layers,
            num_attention_heads=plan.heads,
            num_key_value_heads=plan.kv_heads,
            intermediate_size=plan.mlp,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def loss_weight(role: corpus.Role, tokens: int, answering: bool) -> float:
    """What each of a segment's tokens counts in the loss. A prompt is mostly random names: little to learn, but not nothing.

    In the answering phases a short answer counts as much as six tokens, or the few tokens of a fact drown in long documents.
    """
    if role == "mark":
        return 0.0
    if not answering:
        return 0.1 if role == "prompt" else 1.0
    return {"prompt": 0.02, "text": 0.3, "answer": max(1.0, 6 / tokens)}[role]


def encode(tokenizer: PreTrainedTokenizerFast, document: corpus.Document, answering: bool) -> tuple[list[int], list[float]]:
    """Token ids and loss weights of one document."""
    ids, weights = [], []
    for text, role in document:
        part = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids
        ids += part
        weights += [loss_weight(role, len(part), answering)] * len(part)
    return ids, weights


def batch(plan: Plan, world: World, tokenizer: PreTrainedTokenizerFast, step: int) -> dict[str, torch.Tensor]:
    """Batch number `step`: whole documents packed first-fit into rows; positions restart at each, so none sees another."""
    long = step % 8 == 7
    length = plan.length * (2 if long else 1)
    rows = plan.tokens_per_step // length
    ids = torch.full((rows, length), tokenizer.pad_token_id)
    weights = torch.zeros(rows, length)
    positions = torch.arange(length).repeat(rows, 1)
    used = [0] * rows
    phase = sum(step >= begin for begin in plan.phases)
    mix = corpus.PHASES[phase] | (corpus.MANY_DIALOGUES if long and phase else {})
    for document in corpus.documents(world, step, mix):
        tokens, weight = encode(tokenizer, document, answering=phase >= 2)
        if len(tokens) > length:
            continue
        row = next((r for r in range(rows) if used[r] + len(tokens) <= length), None)
        if row is None:
            break
        span = slice(used[row], used[row] + len(tokens))
        ids[row, span], weights[row, span] = torch.tensor(tokens), torch.tensor(weight)
        positions[row, used[row] :] -= positions[row, used[row]].item()
        used[row] += len(tokens)
        positions[row, used[row] :] -= positions[row, used[row]].item() if used[row] < length else 0
    return {"input_ids": ids, "position_ids": positions, "weights": weights}


def loss_of(model: LlamaForCausalLM, data: dict[str, torch.Tensor]) -> torch.Tensor:
    """Weighted mean cross-entropy of the next token, in nats."""
    logits = model(input_ids=data["input_ids"], position_ids=data["position_ids"], use_cache=False).logits[:, :-1]
    target, weight = data["input_ids"][:, 1:], data["weights"][:, 1:]
    losses = F.cross_entropy(logits.flatten(0, 1).float(), target.flatten(), reduction="none")
    return (losses * weight.flatten()).sum() / weight.sum()


def learning_rate(plan: Plan, step: int) -> float:
    """Linear warm-up, constant, linear decay to zero over the last `decay` of the steps; then once more from half the rate."""
    end = min(plan.reheat, plan.steps)
    if step < end:
        return plan.lr * min(1.0, (step + 1) / plan.warmup, (end - step) / (plan.decay * end))
    return plan.lr / 2 * min((step - end + 1) / plan.warmup, (plan.steps - step) / (plan.steps - end))


def save(folder: Path, model: LlamaForCausalLM, optimizer: torch.optim.Optimizer, state: dict) -> None:
    """Write a checkpoint beside the last one, then swap: a kill leaves one of the two whole. Safetensors only."""
    new = folder.with_name(folder.name + ".new")
    new.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in model.state_dict().items() if k != "lm_head.weight"}, new / "model.safetensors")
    moments = {f"{i}.{k}": v for i, s in optimizer.state_dict()["state"].items() for k, v in s.items()}
    save_file(moments, new / "optimizer.safetensors")
    (new / "state.json").write_text(json.dumps(state))
    old = folder.with_name(folder.name + ".old")
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    if old.exists():
        for file in old.iterdir():
            file.unlink()
        old.rmdir()


def restore(folder: Path, model: LlamaForCausalLM, optimizer: torch.optim.Optimizer) -> dict:
    """Read a checkpoint back into model and optimizer and return its state."""
    model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    moments: dict[int, dict] = {}
    for key, value in load_file(folder / "optimizer.safetensors").items():
        index, name = key.split(".")
        moments.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    return json.loads((folder / "state.json").read_text())


def train(
    plan: Plan, out: Path, save_every: int = 500, stop_at: int | None = None
) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast, dict]:
    """Train, or go on from `out/checkpoint`; `stop_at` ends early, as a kill would. Returns model, tokenizer and the log."""
    torch.set_num_threads(plan.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    world, tokenizer = World(plan.seed), train_tokenizer(plan)
    model = new_model(plan, tokenizer).to(device)
    model.set_attn_implementation("eager")  # faster than SDPA on a CPU, with a mask and rows this short
    optimizer = torch.optim.AdamW(model.parameters(), lr=plan.lr, betas=plan.betas, weight_decay=plan.weight_decay, fused=True)
    state = {"step": 0, "tokens": 0, "seconds": 0.0, "curve": [], "probes": [], "plan": json.loads(json.dumps(asdict(plan)))}
    checkpoint = out / "checkpoint"
    if checkpoint.exists():
        state = restore(checkpoint, model, optimizer)
        check_plan(plan, state, checkpoint)
    began, total, recent = time.perf_counter() - state["seconds"], stop_at or plan.steps, []
    bar = tqdm(total=plan.steps, initial=state["step"], unit="step", disable=not progress_wanted())
    for step in range(state["step"], total):
        data = {k: v.to(device) for k, v in batch(plan, world, tokenizer, step).items()}
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(plan, step)
        with torch.autocast(device, torch.bfloat16, enabled=plan.bfloat16):
            loss = loss_of(model, data)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        recent.append(loss.item())
        state.update(step=step + 1, tokens=state["tokens"] + int((data["weights"] > 0).sum()), seconds=time.perf_counter() - began)
        bar.update()
        if (step + 1) % 50 == 0:
            state["curve"].append({"step": step + 1, "tokens": state["tokens"], "loss": round(sum(recent) / len(recent), 4)})
            bar.set_postfix_str(f"{state['tokens'] / 1e6:.2f} M tokens, loss {state['curve'][-1]['loss']:.3f}")
            recent = []
        if (step + 1) % save_every == 0 or step + 1 == total:
            state["probes"].append({"step": step + 1, "tokens": state["tokens"], **quick_probes(model, tokenizer, world)})
            save(checkpoint, model, optimizer, state)
    bar.close()
    return model, tokenizer, state


def check_plan(plan: Plan, state: dict, checkpoint: Path) -> None:
    """Refuse to go on from a checkpoint of another plan: the result would be neither run."""
    now = json.loads(json.dumps(asdict(plan)))
    other = {k: (v, now[k]) for k, v in state.get("plan", now).items() if now.get(k) != v}
    if other:
        stated = ", ".join(f"{k} was {was!r} and is {new!r} now" for k, (was, new) in other.items())
        raise UserError(f"{checkpoint} comes from another plan ({stated}); give the same options, another --out, or remove it.")


def quick_probes(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, world: World) -> dict[str, float]:
    """Every skill on 24 probes: points of the learning curve."""
    rates = forgetting.skills(model.eval(), tokenizer, n=24, seed=1, world=world).rates
    model.train()
    return {name: round(rate.value, 3) for name, rate in rates.items()}


def story_loss(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, world: World) -> float:
    """Mean loss on held-out stories, in nats per token."""
    rows = [tokenizer(s, add_special_tokens=False, return_tensors="pt")["input_ids"].to(model.device) for s in stories(world)]
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


def ship(plan: Plan, out: Path, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, state: dict, n: int) -> dict:
    """Write weights, tokenizer, `card.json` and the readable card into `out`, and return the card."""
    world = World(plan.seed)
    model.set_attn_implementation("sdpa")
    model.eval().save_pretrained(out)
    tokenizer.save_pretrained(out)
    groups = {"skills": SKILLS, "limits": LIMITS}
    scores = {g: forgetting.skills(model, tokenizer, n, names=list(suites), world=world).rates for g, suites in groups.items()}
    card = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "plan": asdict(plan),
        "corpus": corpus.digest(world),
        "weights": models.fingerprint_of(out),
        "tokens": state["tokens"],
        "steps": state["step"],
        "seconds": round(state["seconds"]),
        "machine": machine(),
        "torch": torch.__version__,
        "loss": state["curve"][-1]["loss"] if state["curve"] else None,
        "story_loss": round(story_loss(model, tokenizer, world), 4),
        **{
            g: {k: {"right": r.hits, "n": r.n, "interval": [round(x, 4) for x in r.interval]} for k, r in rates.items()}
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
seeded micro-world of `ftkit/world` by `python -m ftkit.world.pretrain`; it knows that world and nothing else.

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
        bar = "" if suite.bar is None else f"{suite.bar:.0%}: {'met' if share >= suite.bar else 'missed'}"
        rows.append(f"| {name} | {suite.about} | {share:.1%} | {low:.1%} … {high:.1%} | {score['n']} | {bar} |")
    precision = "bfloat16 autocast" if card["plan"]["bfloat16"] else "float32"
    return CARD.format(**{**card["plan"], **card, "rows": "\n".join(rows), "precision": precision})


def main(
    out: Annotated[Path, typer.Option(help="Folder for the model; `checkpoint/` inside it is what a killed run goes on from.")] = Path(
        "data/pocket"
    ),
    steps: Annotated[int, typer.Option(help="Optimizer steps of about 2,200 tokens.")] = Plan.steps,
    seed: Annotated[int, typer.Option(help="Seed of world, corpus and weights.")] = Plan.seed,
    threads: Annotated[int, typer.Option(help="Processor threads.")] = Plan.threads,
    bfloat16: Annotated[
        bool, typer.Option(help="Autocast to bfloat16: about twice as fast where the processor has units for it.")
    ] = Plan.bfloat16,
    probes: Annotated[int, typer.Option(help="Probes in each suite of the card.")] = 400,
) -> None:
    """Train the pocket model, score it and write its card. Run again after a kill: it goes on where it was."""
    plan = Plan(seed=seed, steps=steps, threads=threads, bfloat16=bfloat16)
    quiet()
    try:
        card = ship(plan, out, *train(plan, out), n=probes)
    except UserError as error:
        typer.echo(f"ftkit: {error}", err=True)
        raise typer.Exit(1) from None
    print(readable(card))
    shutil.rmtree(out / "checkpoint")


if __name__ == "__main__":
    typer.run(main)
