"""Train the pocket model from nothing: `python -m ftkit pretrain --out data/pocket`.

    pretrain(plan, out)            tokenizer and training: model, tokenizer and Progress
    pretrain_and_ship(plan, out)   that, then scores, card and weights in `out`

The tokenizer is learned on other worlds, so that a known name is not one token. Every `save_every`
steps a checkpoint is written; after a kill the same command goes on, on a CPU with the same bytes.
The corpus is `world.corpus`; fine-tuning is `train`'s business, whose checkpoints these are too.
"""

import json
import shutil
import time
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from torch.optim import Optimizer
from tqdm import tqdm
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from .. import forgetting, train
from ..core.errors import UserError
from ..core.session import progress_wanted
from ..world import World
from .batches import make_batch
from .card import as_markdown, ship
from .plan import Plan, Progress, new_model, train_tokenizer

CURVE_EVERY = 50  # steps whose mean loss is a point of the learning curve
QUICK = 24  # probes of each skill at a checkpoint


def pretrain(
    plan: Plan, out: Path, save_every: int = 500, stop_at: int | None = None
) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast, Progress]:
    """Train, or go on from the newest checkpoint in `out/checkpoints`.

    stop_at: a step to end early at, as a kill would. Raises UserError for checkpoints of another
    plan.
    """
    # a new model, or the one of the newest checkpoint
    torch.set_num_threads(plan.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    world, tokenizer = World(plan.seed), train_tokenizer(plan)
    model = new_model(plan, tokenizer).to(device)  # type: ignore # pyright takes it for self
    model.set_attn_implementation("eager")  # on a CPU faster than SDPA with rows this short
    optimizer = new_optimizer(plan, model)
    folder = out / train.CHECKPOINTS
    progress = restore_checkpoint(folder, plan, model, optimizer)

    # the steps, each a function of the model, the plan and the step's number
    began, last = time.perf_counter() - progress.seconds, stop_at or plan.steps
    losses: list[float] = []
    hidden = not progress_wanted()
    with tqdm(total=plan.steps, initial=progress.step, unit="step", disable=hidden) as bar:
        for step in range(progress.step, last):
            batch = make_batch(plan, world, tokenizer, step)
            losses.append(train_step(plan, step, model, optimizer, batch))
            progress.step += 1
            progress.tokens += int((batch["weights"] > 0).sum())
            progress.seconds = time.perf_counter() - began
            bar.update()
            if progress.step % CURVE_EVERY == 0:
                bar.set_postfix_str(add_to_curve(progress, losses))
                losses = []
            if progress.step % save_every == 0 or progress.step == last:
                add_probes(progress, model, tokenizer, world)
                save_checkpoint(folder, model, optimizer, progress)
    return model, tokenizer, progress


def new_optimizer(plan: Plan, model: LlamaForCausalLM) -> Optimizer:
    """AdamW as the plan states it."""
    return torch.optim.AdamW(
        model.parameters(), lr=plan.lr, betas=plan.betas, weight_decay=plan.weight_decay, fused=True
    )


def train_step(
    plan: Plan,
    step: int,
    model: LlamaForCausalLM,
    optimizer: Optimizer,
    batch: dict[str, torch.Tensor],
) -> float:
    """One optimizer step on one batch; returns its loss, in nats per weighted token."""
    # on the model's device, at the step's rate
    device = model.device
    batch = {name: tensor.to(device) for name, tensor in batch.items()}
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(plan, step)
    with torch.autocast(device.type, torch.bfloat16, enabled=plan.bfloat16):
        loss = weighted_loss(model, batch)

    # the gradient, no longer than 1, and the update
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def weighted_loss(model: LlamaForCausalLM, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Weighted mean cross-entropy of the next token, in nats.

    batch: input_ids, position_ids and weights of shape (rows, length), as `make_batch` gives them.
    """
    ids, positions = batch["input_ids"], batch["position_ids"]
    logits = model(input_ids=ids, position_ids=positions, use_cache=False).logits

    # a position's logits are held against the next token
    logits = logits[:, :-1].flatten(0, 1).float()
    targets, weights = ids[:, 1:], batch["weights"][:, 1:]
    losses = F.cross_entropy(logits, targets.flatten(), reduction="none")
    return (losses * weights.flatten()).sum() / weights.sum()


def learning_rate(plan: Plan, step: int) -> float:
    """Linear warm-up, constant, linear decay to zero up to `plan.reheat`; then once more from half.

    The decay takes the last `plan.decay` of the steps up to there; the second one all the rest.
    """
    end = min(plan.reheat, plan.steps)
    if step < end:
        warmed = (step + 1) / plan.warmup
        left = (end - step) / (plan.decay * end)
        return plan.lr * min(1.0, warmed, left)
    warmed = (step - end + 1) / plan.warmup
    left = (plan.steps - step) / (plan.steps - end)
    return plan.lr / 2 * min(warmed, left)


def add_to_curve(progress: Progress, losses: list[float]) -> str:
    """Put the mean of the last losses on the learning curve, and say it in one line."""
    loss = round(sum(losses) / len(losses), 4)
    progress.curve.append({"step": progress.step, "tokens": progress.tokens, "loss": loss})
    return f"{progress.tokens / 1e6:.2f} M tokens, loss {loss:.3f}"


def add_probes(
    progress: Progress, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, world: World
) -> None:
    """Put every skill on the learning curve."""
    shares = quick_probes(model, tokenizer, world)
    progress.probes.append({"step": progress.step, "tokens": progress.tokens, **shares})


def quick_probes(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, world: World
) -> dict[str, float]:
    """The share of right answers of every skill, on a few probes."""
    rates = forgetting.skills(model.eval(), tokenizer, n=QUICK, seed=1, world=world).rates
    model.train()
    return {name: round(rate.value, 3) for name, rate in rates.items()}


def save_checkpoint(
    folder: Path, model: LlamaForCausalLM, optimizer: Optimizer, progress: Progress
) -> None:
    """Write a checkpoint, then remove the older ones: a kill leaves one of them whole."""
    # the head is the embedding, and safetensors hold no tensor twice
    weights = {name: w.contiguous() for name, w in model.state_dict().items()}
    del weights["lm_head.weight"]
    with train.write_checkpoint(folder, progress.step) as new:
        save_file(weights, new / "model.safetensors")
        save_file(train.moments(optimizer), new / "optimizer.safetensors")
        (new / "state.json").write_text(json.dumps(asdict(progress)), encoding="utf-8")
    train.drop_checkpoints(folder, but={progress.step})


def restore_checkpoint(
    folder: Path, plan: Plan, model: LlamaForCausalLM, optimizer: Optimizer
) -> Progress:
    """Read the newest checkpoint into model and optimizer; without one the training is new."""
    train.sweep(folder)
    checkpoints = train.whole_checkpoints(folder)
    if not checkpoints:
        return Progress(plan.json())
    newest = checkpoints[max(checkpoints)]
    progress = Progress(**train.read_state(newest))

    # of another plan the result would be neither run
    if changes := train.differences(progress.plan, plan.json()):
        raise UserError(
            f"{newest} comes from another plan ({', '.join(changes)}); "
            "give the same options, another --out, or remove it."
        )
    model.load_state_dict(load_file(newest / "model.safetensors"), strict=False)
    train.set_moments(optimizer, load_file(newest / "optimizer.safetensors"))
    return progress


def pretrain_and_ship(plan: Plan, out: Path, probes: int = 400) -> str:
    """Train the pocket model, score it, write it into `out` with its card, and return the card.

    Called again after a kill, it goes on where it was. probes: questions in each suite of the card.
    """
    card = ship(plan, out, *pretrain(plan, out), n=probes)
    shutil.rmtree(out / train.CHECKPOINTS)
    return as_markdown(card)
