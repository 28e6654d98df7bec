"""Train the pocket model from nothing: `python -m ftkit.world.pretrain --out data/pocket`.

Stages: tokenizer (learned on other worlds, so that a known name is not one token) → training on the
corpus → probes and card. Every `save_every` steps a checkpoint is written; after a kill the same
command goes on, on CPU with the same bytes.
"""

import json
import shutil
import time
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from tqdm import tqdm
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from .. import forgetting, train
from ..core.errors import UserError
from ..core.session import progress_wanted
from ..world import World
from .batches import batch
from .card import readable, ship
from .plan import Plan, new_model, train_tokenizer


def loss_of(model: LlamaForCausalLM, data: dict[str, torch.Tensor]) -> torch.Tensor:
    """Weighted mean cross-entropy of the next token, in nats."""
    logits = model(
        input_ids=data["input_ids"], position_ids=data["position_ids"], use_cache=False
    ).logits[:, :-1]
    target, weight = data["input_ids"][:, 1:], data["weights"][:, 1:]
    losses = F.cross_entropy(logits.flatten(0, 1).float(), target.flatten(), reduction="none")
    return (losses * weight.flatten()).sum() / weight.sum()


def learning_rate(plan: Plan, step: int) -> float:
    """Linear warm-up, constant, linear decay to zero over the last `decay` of the steps; then once
    more from half the rate.
    """
    end = min(plan.reheat, plan.steps)
    if step < end:
        return plan.lr * min(1.0, (step + 1) / plan.warmup, (end - step) / (plan.decay * end))
    return (
        plan.lr / 2 * min((step - end + 1) / plan.warmup, (plan.steps - step) / (plan.steps - end))
    )


def save(
    folder: Path, model: LlamaForCausalLM, optimizer: torch.optim.Optimizer, state: dict
) -> None:
    """Write a checkpoint beside the last one, then swap: a kill leaves one of the two whole.
    Safetensors only.
    """
    new = folder.with_name(folder.name + ".new")
    new.mkdir(parents=True, exist_ok=True)
    save_file(
        {k: v.contiguous() for k, v in model.state_dict().items() if k != "lm_head.weight"},
        new / "model.safetensors",
    )
    save_file(train.moments(optimizer), new / "optimizer.safetensors")
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
    train.set_moments(optimizer, load_file(folder / "optimizer.safetensors"))
    return json.loads((folder / "state.json").read_text())


def pretrain(
    plan: Plan, out: Path, save_every: int = 500, stop_at: int | None = None
) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast, dict]:
    """Train, or go on from `out/checkpoint`; `stop_at` ends early, as a kill would. Returns model,
    tokenizer and the log.
    """
    torch.set_num_threads(plan.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    world, tokenizer = World(plan.seed), train_tokenizer(plan)
    model = new_model(plan, tokenizer).to(device)
    model.set_attn_implementation(
        "eager"
    )  # faster than SDPA on a CPU, with a mask and rows this short
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=plan.lr, betas=plan.betas, weight_decay=plan.weight_decay, fused=True
    )
    state = {
        "step": 0,
        "tokens": 0,
        "seconds": 0.0,
        "curve": [],
        "probes": [],
        "plan": json.loads(json.dumps(asdict(plan))),
    }
    folder = out / "checkpoint"
    if folder.exists():
        state = restore(folder, model, optimizer)
        check_plan(plan, state, folder)
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
        state.update(
            step=step + 1,
            tokens=state["tokens"] + int((data["weights"] > 0).sum()),
            seconds=time.perf_counter() - began,
        )
        bar.update()
        if (step + 1) % 50 == 0:
            state["curve"].append(
                {
                    "step": step + 1,
                    "tokens": state["tokens"],
                    "loss": round(sum(recent) / len(recent), 4),
                }
            )
            bar.set_postfix_str(
                f"{state['tokens'] / 1e6:.2f} M tokens, loss {state['curve'][-1]['loss']:.3f}"
            )
            recent = []
        if (step + 1) % save_every == 0 or step + 1 == total:
            state["probes"].append(
                {
                    "step": step + 1,
                    "tokens": state["tokens"],
                    **quick_probes(model, tokenizer, world),
                }
            )
            save(folder, model, optimizer, state)
    bar.close()
    return model, tokenizer, state


def check_plan(plan: Plan, state: dict, folder: Path) -> None:
    """Refuse to go on from a checkpoint of another plan: the result would be neither run."""
    now = json.loads(json.dumps(asdict(plan)))
    if other := train.differences(state.get("plan", now), now):
        raise UserError(
            f"{folder} comes from another plan ({', '.join(other)}); give the same options, another --out, or remove it."
        )


def quick_probes(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, world: World
) -> dict[str, float]:
    """Every skill on 24 probes: points of the learning curve."""
    rates = forgetting.skills(model.eval(), tokenizer, n=24, seed=1, world=world).rates
    model.train()
    return {name: round(rate.value, 3) for name, rate in rates.items()}


def pretrain_and_ship(plan: Plan, out: Path, probes: int = 400) -> str:
    """Train the pocket model, score it, write it into `out` with its card, and return the card.

    Called again after a kill, it goes on where it was. probes: questions in each suite of the card.
    """
    card = ship(plan, out, *pretrain(plan, out), n=probes)
    shutil.rmtree(out / "checkpoint")
    return readable(card)
