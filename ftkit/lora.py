"""LoRA: single weight matrices, their updates, and low-rank adapters. The only file that names peft."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from . import models
from .runtime import UserError, nearest

BY_HAND = ("delta_w", "LoRALinear", "DoRALinear")


def __getattr__(name: str):
    """ΔW and the adapters written by hand (see `layers`), when they are first named: torch modules, and counting needs no torch."""
    if name in BY_HAND:
        from . import layers

        return getattr(layers, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def weight(source, name: str):
    """One weight matrix W (d_out, d_in), by its layer's name, such as "model.layers.0.self_attn.q_proj".

    source: a model that is loaded, or "pocket", a directory or a hub id: then this tensor alone is read from the
    safetensors, and the model is never built. A trailing ".weight" may be left out.
    """
    if hasattr(source, "named_parameters"):
        known = {models.plain_name(n): p.detach() for n, p in source.named_parameters() if ".lora_" not in n}
        label = find_matrix(known, name, type(source).__name__)
        return matrix(known[label], label)
    where = models.resolve(source)
    files = models.tensor_names(where)
    label = find_matrix(files, name, where)
    return matrix(models.tensor(where, label, files[label]), label)


def find_matrix(known: Iterable[str], name: str, where: str) -> str:
    """`name` or `name`.weight, whichever is known; else the nearest names."""
    known = list(known)
    for label in (name, f"{name}.weight"):
        if label in known:
            return label
    close = difflib.get_close_matches(name, [n.removesuffix(".weight") for n in known], n=3, cutoff=0.4)
    near = f"the nearest are {', '.join(close)}" if close else f"the first is {next(iter(known), 'none')}"
    raise UserError(f"{where} has no weight {name!r} among its {len(known)} tensors; {near}.")


def matrix(W, label: str):
    """W itself, if it is one: norms and biases are refused."""
    if W.ndim != 2:
        raise UserError(f"{label} has shape {tuple(W.shape)}, so it is no matrix (a norm or a bias); name a linear layer's weight.")
    return W


def deltas(tuned, base=None) -> dict:
    """ΔW of every tuned linear layer by name, in the shape of its weight: (d_out, d_in), or (d_in, d_out) in GPT-2's Conv1D.

    tuned: a peft model, whose ΔW = (alpha/r) · B A; or a fully tuned one, whose ΔW = W − W of the untouched `base`.
    """
    if is_attached(tuned):
        changed = {n: m for n, m in tuned.named_modules() if hasattr(m, "get_delta_weight")}
        return {models.plain_name(n): m.get_delta_weight(m.active_adapters[0]).detach() for n, m in changed.items()}
    if base is None or base is tuned:
        raise UserError("after full fine-tuning ΔW is W minus the old W: give the untouched base too, such as base=models.load()[0].")
    old = models.linears(base)
    return {name: m.weight.detach() - old[name].weight.detach() for name, m in models.linears(tuned).items()}


@contextmanager
def added(model, changes: Mapping) -> Iterator:
    """`model` with W + ΔW in the named linear layers inside the block, and with the very same W again after it."""
    layers = models.linears(model)
    if unknown := [n for n in changes if n not in layers]:
        raise UserError(f"the model has no linear layer {unknown[0]!r}.{nearest(unknown[0], layers)}")
    with models.replaced({layers[name].weight: layers[name].weight.detach() + change for name, change in changes.items()}):
        yield model


BLOCKS = {"attention": ("self_attn", "attn", "attention"), "mlp": ("mlp",)}
PRESETS = ("all-linear", *BLOCKS, "q,v")
QUERY_VALUE = ("q_proj", "v_proj", "qkv_proj", "c_attn", "query_key_value")


def endings(names: Iterable[str], targets: str | list[str]) -> list[str]:
    """What `targets` means among a model's linear layers, as the endings of names that peft matches.

    targets: "attention" or "mlp", every linear layer of that block; "q,v", the projections of queries and values, or the
    fused one that holds them; else names such as ["q_proj", "v_proj"] or "q_proj,v_proj".
    """
    if not targets or not isinstance(targets, Iterable):
        raise UserError(f"targets is {targets!r}; give {', '.join(map(repr, PRESETS))} or the names of layers, such as 'q_proj,v_proj'.")
    paths = [n.split(".") for n in names]
    words = [t.strip() for t in targets.split(",")] if isinstance(targets, str) else list(targets)
    found = set(words)
    if len(words) == 1 and words[0] in BLOCKS:
        found = {".".join(p[-2:]) for p in paths if set(p[-2:-1]) & set(BLOCKS[words[0]])} or found
    elif words == ["q", "v"]:
        found = {p[-1] for p in paths} & set(QUERY_VALUE) or found
    known = sorted({p[-1] for p in paths})
    for target in sorted(found):
        if not any(p[-len(target.split(".")) :] == target.split(".") for p in paths):
            hint = nearest(target, [word for word in (*known, *PRESETS) if word != target])
            raise UserError(f"the model has no linear layer {target!r}; it has {', '.join(known) or 'none'}.{hint}")
    return sorted(found)


def chosen(names: Iterable[str], targets: str | list[str]) -> list[str]:
    """The linear layers that a LoRA on `targets` changes: all of them for "all-linear", else those that `endings` matches."""
    names = list(names)
    if targets == "all-linear":
        if not names:
            raise UserError("the model has no linear layer beside its head, so there is nothing for a LoRA to change.")
        return names
    ends = tuple(f".{end}" for end in endings(names, targets))
    return [n for n in names if f".{n}".endswith(ends)]


def check_rank(r: int, width: int) -> None:
    """Refuse a rank that is above `width`, the shorter side of the narrowest target."""
    if isinstance(r, bool) or not isinstance(r, int) or not 1 <= r <= width:
        raise UserError(
            f"r is {r!r}; the rank of a LoRA here is a whole number from 1 to {width}, the shorter side of its narrowest target."
        )


def attach(model, r: int = 8, alpha: float = 16, targets: str | list[str] = "all-linear", dropout: float = 0.0, **config):
    """A `peft.PeftModel`: W x + (alpha/r) · B A x on every target, A (r, d_in) random, B (d_out, r) zero (Hu et al. 2021, §4.1).

    targets: "all-linear" (every linear layer but the head), "attention", "mlp", "q,v", or names such as ["q_proj",
    "v_proj"]. More keywords go to `peft.LoraConfig`. The base weights are frozen and stay inside the returned model.
    """
    from peft import LoraConfig, get_peft_model

    layers = models.linears(model)
    picked = [layers[name] for name in chosen(layers, targets)]
    # A 4-bit weight is packed, so its shape is no use; only a Conv1D has no in_features.
    check_rank(r, min(min((m.in_features, m.out_features) if hasattr(m, "in_features") else m.weight.shape) for m in picked))
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or alpha <= 0:
        raise UserError(f"alpha is {alpha!r}; give a number above 0, such as {2 * r}: the update is scaled by alpha / r.")
    modules = targets if targets == "all-linear" else endings(layers, targets)
    options = {"r": r, "lora_alpha": alpha, "target_modules": modules, "lora_dropout": dropout, "task_type": "CAUSAL_LM"}
    options["fan_in_fan_out"] = not any(hasattr(m, "in_features") for m in picked)  # a Conv1D stores its weight the other way round
    return get_peft_model(model, LoraConfig(**{**options, **config}))


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
