"""LoRA: attach a low-rank adapter to a model. The only file that names peft."""

from pathlib import Path

from . import models
from .runtime import UserError, nearest


def attach(model, r: int = 8, alpha: float = 16, targets: str | list[str] = "all-linear", dropout: float = 0.0, **config):
    """A `peft.PeftModel`: W x + (alpha/r) · B A x on every target, A (r, d_in) random, B (d_out, r) zero (Hu et al. 2021, §4.1).

    targets: "all-linear" (every linear layer but the head) or names such as ["q_proj", "v_proj"]. More keywords go to
    `peft.LoraConfig`. The base weights are frozen and stay inside the returned model.
    """
    from peft import LoraConfig, get_peft_model

    layers = models.linears(model)
    if targets != "all-linear":
        ends = {name.rsplit(".", 1)[-1] for name in layers}
        for target in [targets] if isinstance(targets, str) else targets:
            if target not in ends:
                raise UserError(f"the model has no linear layer {target!r}; it has {', '.join(sorted(ends))}.{nearest(target, ends)}")
        layers = {n: m for n, m in layers.items() if n.rsplit(".", 1)[-1] in targets}
        targets = [targets] if isinstance(targets, str) else list(targets)
    width = min(min(m.in_features, m.out_features) for m in layers.values())
    if not isinstance(r, int) or not 1 <= r <= width:
        raise UserError(
            f"r is {r!r}; the rank of a LoRA here is a whole number from 1 to {width}, the shorter side of its narrowest target."
        )
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or alpha <= 0:
        raise UserError(f"alpha is {alpha!r}; give a number above 0, such as {2 * r}: the update is scaled by alpha / r.")
    options = {"r": r, "lora_alpha": alpha, "target_modules": targets, "lora_dropout": dropout, "task_type": "CAUSAL_LM", **config}
    return get_peft_model(model, LoraConfig(**options))


def load(model, folder: str | Path):
    """The base `model` with the adapter saved in `folder` (peft's own format, safetensors)."""
    from peft import PeftModel

    folder = Path(folder)
    if not (folder / "adapter_config.json").exists():
        raise UserError(f"{folder} holds no adapter_config.json; give the adapter folder of a run, such as out/adapter.")
    weights = folder / "adapter_model.safetensors"
    if not weights.exists():
        raise UserError(f"{folder} holds no adapter_model.safetensors; adapters are read from safetensors only.")
    models.check_safetensors(weights)
    return PeftModel.from_pretrained(model, folder)


def is_attached(model) -> bool:
    """True for a model that carries a peft adapter."""
    from peft import PeftModel

    return isinstance(model, PeftModel)


def trainable(model) -> tuple[int, int]:
    """(trainable, all) parameters of a model."""
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(n for n, on in sizes if on), sum(n for n, _ in sizes)
