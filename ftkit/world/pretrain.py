"""Train the pocket model from nothing: `python -m ftkit.world.pretrain --out data/pocket`.

Stages: tokenizer (learned on other worlds, so that a known name is not one token) → training on the corpus → probes and
card. Every `save_every` steps a checkpoint is written; after a kill the same command goes on, on CPU with the same bytes.
"""

import itertools
import json
import math
import os
import platform
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from . import corpus
from .corpus import ASSISTANT, BOS, END, PAD, SPECIALS
from .entities import World

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
    rows: int = 6
    length: int = 384
    steps: int = 9000
    dense_steps: int = 1000  # copying first
    warmup: int = 100
    decay: float = 0.35  # last share of the steps, learning rate falls linearly to zero
    lr: float = 2e-3
    weight_decay: float = 0.02
    betas: tuple[float, float] = (0.9, 0.97)
    bfloat16: bool = False  # autocast: about twice as fast where the processor has bfloat16 units
    threads: int = 1


def train_tokenizer(plan: Plan) -> PreTrainedTokenizerFast:
    """Byte-level BPE with single digits, learned on the documents of twenty other worlds."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    bpe.decoder = decoders.ByteLevel()
    others = (corpus.documents(World(seed=1000 + plan.seed * 20 + i), 0, corpus.BROAD) for i in range(20))
    marks = re.compile("|".join(map(re.escape, SPECIALS)))
    texts = (part for stream in others for doc in itertools.islice(stream, 1500) for text, _ in doc for part in marks.split(text) if part)
    bpe.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=plan.vocabulary, special_tokens=SPECIALS, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    )
    bpe.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, bpe.token_to_id(BOS))])
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token=BOS, eos_token=END, pad_token=PAD, chat_template=CHAT_TEMPLATE, model_max_length=1024, clean_up_tokenization_spaces=False
    )


def new_model(plan: Plan, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A Llama with tied embeddings and random weights."""
    torch.manual_seed(plan.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=plan.vocabulary, hidden_size=plan.hidden, num_hidden_layers=plan.layers, num_attention_heads=plan.heads,
            num_key_value_heads=plan.kv_heads, intermediate_size=plan.mlp, max_position_embeddings=1024, tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        )
    )  # fmt: skip


def encode(tokenizer: PreTrainedTokenizerFast, document: corpus.Document) -> tuple[list[int], list[float]]:
    """Token ids and loss weights of one document."""
    parts = [tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids for text, _ in document]
    return sum(parts, []), [w for part, (_, w) in zip(parts, document, strict=True) for _ in part]


def batch(plan: Plan, world: World, tokenizer: PreTrainedTokenizerFast, step: int) -> dict[str, torch.Tensor]:
    """Batch number `step`: whole documents packed first-fit into rows; positions restart at each, so none sees another."""
    ids = torch.full((plan.rows, plan.length), tokenizer.pad_token_id)
    weights = torch.zeros(plan.rows, plan.length)
    positions = torch.arange(plan.length).repeat(plan.rows, 1)
    used = [0] * plan.rows
    mix = corpus.DENSE if step < plan.dense_steps else corpus.BROAD
    for document in corpus.documents(world, step, mix):
        tokens, weight = encode(tokenizer, document)
        row = next((r for r in range(plan.rows) if used[r] + len(tokens) <= plan.length), None)
        if row is None:
            break
        span = slice(used[row], used[row] + len(tokens))
        ids[row, span], weights[row, span] = torch.tensor(tokens), torch.tensor(weight)
        positions[row, used[row] :] -= positions[row, used[row]].item()
        used[row] += len(tokens)
        positions[row, used[row] :] -= positions[row, used[row]].item() if used[row] < plan.length else 0
    return {"input_ids": ids, "position_ids": positions, "weights": weights}


def loss_of(model: LlamaForCausalLM, data: dict[str, torch.Tensor]) -> torch.Tensor:
    """Weighted mean cross-entropy of the next token, in nats."""
    logits = model(input_ids=data["input_ids"], position_ids=data["position_ids"], use_cache=False).logits[:, :-1]
    target, weight = data["input_ids"][:, 1:], data["weights"][:, 1:]
    losses = F.cross_entropy(logits.flatten(0, 1).float(), target.flatten(), reduction="none")
    return (losses * weight.flatten()).sum() / weight.sum()


def learning_rate(plan: Plan, step: int) -> float:
    """Linear warm-up, constant, linear decay to zero over the last `decay` of the steps."""
    return plan.lr * min(1.0, (step + 1) / plan.warmup, (plan.steps - step) / (plan.decay * plan.steps))


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


def train(plan: Plan, out: Path, save_every: int, stop_at: int | None = None) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast, dict]:
    """Train or go on training; `stop_at` ends early, for tests. Returns model, tokenizer and the log."""
    torch.set_num_threads(plan.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    world, tokenizer = World(plan.seed), train_tokenizer(plan)
    model = new_model(plan, tokenizer).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=plan.lr, betas=plan.betas, weight_decay=plan.weight_decay, fused=True)
    state = {"step": 0, "tokens": 0, "seconds": 0.0, "curve": []}
    checkpoint = out / "checkpoint"
    if checkpoint.exists():
        state = restore(checkpoint, model, optimizer)
    began, total = time.perf_counter() - state["seconds"], stop_at or plan.steps
    recent: list[float] = []
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
        if (step + 1) % 50 == 0 or step + 1 == total:
            state["curve"].append({"step": step + 1, "tokens": state["tokens"], "loss": round(sum(recent) / len(recent), 4)})
            eta = state["seconds"] / (step + 1) * (total - step - 1)
            print(f"step {step + 1}/{total}  {state['tokens'] / 1e6:.2f} M tokens  loss {state['curve'][-1]['loss']:.3f}  {state['seconds']:.0f} s, {eta:.0f} s to go", flush=True)
            recent = []
        if (step + 1) % save_every == 0 or step + 1 == total:
            save(checkpoint, model, optimizer, state)
    return model, tokenizer, state
