"""A Transformers or TRL trainer in memory looked over, before its run, after it, or between.

    examine_trainer(trainer)     every check: what it teaches, how, and what came of it
    is_trainer(thing)            has it what a trainer has?

Nothing is trained: one batch is drawn as the trainer itself would draw it, padded and masked by its
own collator, and torch's generator is put back. It imports neither transformers' Trainer nor TRL,
so that any trainer with the same names will do. Notebook 11.
"""

from typing import TYPE_CHECKING, Any, cast

import torch

from .. import lora, methods, models
from ..core.errors import UserError, reason
from .adapters import (
    check_curves,
    check_finite,
    check_modules,
    check_ranks,
    check_scale,
    check_trained,
)
from .finding import Finding, Findings
from .run_folder import check_rate
from .taught import Seen, check_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMES = ("model", "args", "state", "get_train_dataloader")


def is_trainer(thing: object) -> bool:
    """Whether a thing has what a trainer has."""
    return all(hasattr(thing, name) for name in NAMES)


def examine_trainer(trainer: Any) -> Findings:
    """Every check of a trainer; raises UserError for what is none."""
    if not is_trainer(trainer):
        raise UserError(
            f"{type(trainer).__name__} is no trainer; give a Trainer or SFTTrainer, or the folder "
            "of a run or of an adapter."
        )
    model, state = trainer.model, trainer.state
    # each method has its own usual rates; of a kind that the kit has not, a LoRA's
    rate = check_rate(trainer.args.learning_rate, methods.name_of(model) or "lora")
    findings = [check_trainable(model), check_precision(trainer.args), rate]
    if lora.is_attached(model):
        findings += check_adapter(model, steps=state.global_step)
    findings += check_batch(trainer)
    if state.log_history:
        findings += check_curves(state.log_history)
    return Findings(f"The {type(trainer).__name__} after {state.global_step} steps", findings)


def check_trainable(model: Any) -> Finding:
    """Is there anything that the optimizer may move?"""
    names = [name for name, weight in model.named_parameters() if weight.requires_grad]
    numbers = sum(weight.numel() for weight in models.trained_parameters(model))
    if not names:
        return Finding.wrong(
            "trainable",
            "no parameter requires a gradient, so nothing will be trained",
            "attach an adapter after freezing the base, or load it with is_trainable=True",
        )
    if lora.is_attached(model) and not any(".lora_B" in name for name in names):
        if any(".lora_A" in name for name in names):
            return Finding.wrong(
                "trainable",
                "every B is frozen, and B starts at 0: whatever A learns, the update stays 0",
                "let every lora_B require a gradient",
            )
    return Finding.fine("trainable", f"{numbers:,} numbers in {len(names)} tensors")


def check_precision(args: Any) -> Finding:
    """Is float16 asked for where bfloat16 would do, or a check of overflows left out?"""
    if getattr(args, "fp16_full_eval", False) or getattr(args, "fp16", False):
        if not torch.cuda.is_available():
            return Finding.wrong(
                "precision",
                "fp16 is asked for and there is no GPU: nothing scales the loss there, so numbers "
                "beyond 65,504 become infinite and then NaN",
                "set bf16=True, or neither",
            )
        return Finding.fine("precision", "fp16 under a gradient scaler; bf16 needs none")
    return Finding.fine("precision", "bf16" if getattr(args, "bf16", False) else "fp32")


def check_adapter(model: Any, *, steps: int) -> list[Finding]:
    """The adapter in a peft model: its numbers and ranks, and after a step, did B move?"""
    matrices = {
        name: weight.detach()
        for name, weight in model.named_parameters()
        if ".lora_" in name and not weight.is_meta
    }
    stated = model.peft_config[model.active_adapters[0]].to_dict()
    blocks = getattr(model.config, "num_hidden_layers", None)
    findings = [check_finite(matrices), check_scale(stated), check_modules(list(matrices), blocks)]
    if steps > 1:  # the first one may have the rate 0 of a warm-up
        findings += [check_trained(matrices), check_ranks(matrices)]
    return findings


def check_batch(trainer: Any) -> list[Finding]:
    """What the trainer's next batch teaches, token by token."""
    tokenizer: Any = getattr(trainer, "processing_class", None)
    if not hasattr(tokenizer, "all_special_ids"):
        return [Finding.fine("prompt", "not looked at: the trainer has no tokenizer")]
    try:
        with torch.random.fork_rng():
            batch = next(iter(trainer.get_train_dataloader()))
    except (ValueError, RuntimeError, StopIteration, KeyError, TypeError) as error:
        cure = "look at its train_dataset and its data_collator"
        return [Finding.wrong("batch", f"the trainer can't make a batch: {reason(error)}", cure)]
    if "labels" not in batch or "input_ids" not in batch:
        return [Finding.fine("prompt", "not looked at: its batches have no labels")]
    seen = Seen.of_batch(cast("Mapping[str, torch.Tensor]", batch), tokenizer)
    embeddings = trainer.model.get_input_embeddings().weight.detach()
    trained = any("embed" in name or "token" in name for name in trained_names(trainer.model))
    return check_tokens(seen, None if trained else embeddings)


def trained_names(model: Any) -> list[str]:
    """The names of the parameters that are trained."""
    return [name for name, weight in model.named_parameters() if weight.requires_grad]
