"""TODO header of lora.updates."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from .. import models
from ..core.errors import UserError, nearest
from .by_peft import check_names, is_attached


def weight(source, name: str):
    """One weight matrix W (d_out, d_in), by its layer's name, such as
    "model.layers.0.self_attn.q_proj".

    source: a model that is loaded, or "pocket", a directory or a hub id: then this tensor alone is
    read from the safetensors, and the model is never built. A trailing ".weight" may be left out.
    """
    if hasattr(source, "named_parameters"):
        known = {
            models.plain_name(n): p.detach()
            for n, p in source.named_parameters()
            if ".lora_" not in n
        }
        label = find_matrix(known, name, type(source).__name__)
        return matrix(known[label], label)
    where = models.resolve(source)
    files = models.tensor_names(where)
    label = find_matrix(files, name, where)
    return matrix(models.tensor(where, label, files[label]), label)


FUSED = {
    "q_proj": "qkv_proj",
    "k_proj": "qkv_proj",
    "v_proj": "qkv_proj",
    "gate_proj": "gate_up_proj",
    "up_proj": "gate_up_proj",
}


def find(source, part: str, layer: int = 0) -> str:
    """The full name of a layer's `part`, such as "q_proj": "model.layers.0.self_attn.q_proj"; the
    fused one where a model fuses them.

    source: as in `weight`.
    """
    loaded = hasattr(source, "named_parameters")
    names = models.linears(source) if loaded else models.tensor_names(models.resolve(source))
    inside = [
        models.plain_name(n).removesuffix(".weight")
        for n in names
        if f".{layer}." in n and ".lora_" not in n
    ]
    for end in (part, FUSED.get(part)):
        if found := [n for n in inside if n.rpartition(".")[2] == end]:
            return found[0]
    known = sorted({n.rpartition(".")[2] for n in inside})
    raise UserError(
        f"there is no {part!r} in layer {layer}; it holds {', '.join(known) or 'nothing'}.{nearest(part, known)}"
    )


def find_matrix(known: Iterable[str], name: str, where: str) -> str:
    """`name` or `name`.weight, whichever is known; else the nearest names."""
    known = list(known)
    for label in (name, f"{name}.weight"):
        if label in known:
            return label
    close = difflib.get_close_matches(
        name, [n.removesuffix(".weight") for n in known], n=3, cutoff=0.4
    )
    near = (
        f"the nearest are {', '.join(close)}"
        if close
        else f"the first is {next(iter(known), 'none')}"
    )
    raise UserError(f"{where} has no weight {name!r} among its {len(known)} tensors; {near}.")


def matrix(W, label: str):
    """W itself, if it is one: norms and biases are refused."""
    if W.ndim != 2:
        raise UserError(
            f"{label} has shape {tuple(W.shape)}, so it is no matrix (a norm or a bias); name a linear layer's weight."
        )
    return W


def deltas(tuned, base=None) -> dict:
    """ΔW of every tuned linear layer by name, in the shape of its weight: (d_out, d_in), or (d_in,
    d_out) in GPT-2's Conv1D.

    tuned: a peft model, whose ΔW = (alpha/r) · B A; or a fully tuned one, whose ΔW = W − W of the
    untouched `base`.
    """
    if is_attached(tuned):
        changed = {n: m for n, m in tuned.named_modules() if hasattr(m, "get_delta_weight")}
        return {
            models.plain_name(n): m.get_delta_weight(m.active_adapters[0]).detach()
            for n, m in changed.items()
        }
    if base is None or base is tuned:
        raise UserError(
            "after full fine-tuning ΔW is W minus the old W: give the untouched base too, such as base=models.load()[0]."
        )
    old = models.linears(base)
    return {
        name: m.weight.detach() - old[name].weight.detach()
        for name, m in models.linears(tuned).items()
    }


@contextmanager
def add_updates(model, changes: Mapping) -> Iterator:
    """`model` with W + ΔW in the named linear layers inside the block, and with the very same W
    again after it.
    """
    layers = models.linears(model)
    if unknown := [n for n in changes if n not in layers]:
        raise UserError(
            f"the model has no linear layer {unknown[0]!r}.{nearest(unknown[0], layers)}"
        )
    with models.replace_weights(
        {
            layers[name].weight: layers[name].weight.detach() + change
            for name, change in changes.items()
        }
    ):
        yield model


def adapter_updates(model, name: str) -> dict:
    """ΔW of every layer that the adapter `name` changes, by layer."""
    check_names(model, [name])
    layers = {
        models.plain_name(n): m for n, m in model.named_modules() if hasattr(m, "get_delta_weight")
    }
    return {n: m.get_delta_weight(name).detach() for n, m in layers.items() if name in m.lora_A}
