"""Single weights W of a model, and what tuning added to them: ΔW out of a model and into it.

    weight(source, name)                one W (d_out, d_in), also without building the model
    find_layer(source, part, layer)     the full name of layer 0's "q_proj", say
    deltas(tuned, base, adapter=None)   {layer: ΔW} of a LoRA, or of full fine-tuning
    add_updates(model, changes)         inside a `with` block, W + ΔW in place of W

It reads and adds. What a ΔW looks like is `spectrum`'s subject, and what merging leaves of it
`merge`'s. Notebooks 01, 10 and 13.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn

from .. import models
from ..core.errors import UserError, nearest
from .by_peft import check_adapters, is_attached, layer_update

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from .by_peft import PeftModel

# Some families hold several projections in one matrix: where each of them is then.
FUSED = {
    "q_proj": "qkv_proj",
    "k_proj": "qkv_proj",
    "v_proj": "qkv_proj",
    "gate_proj": "gate_up_proj",
    "up_proj": "gate_up_proj",
}


def weight(source: "PreTrainedModel | PeftModel | str | Path | None", name: str) -> Tensor:
    """One weight matrix W (d_out, d_in), by its layer's name: "model.layers.0.self_attn.q_proj".

    source: a loaded model; or "pocket", a directory or a hub id: then this tensor alone is read
    from the safetensors, and the model is never built. name: with or without ".weight" at its end.
    A name that is none, and a tensor that is no matrix, are a `UserError`.
    """
    # of a model that is there, without what adapters added
    if isinstance(source, nn.Module):
        parameters = {
            models.plain_name(label): parameter.detach()
            for label, parameter in source.named_parameters()
            if ".lora_" not in label
        }
        label = tensor_name(parameters, name, type(source).__name__)
        return check_matrix(parameters[label], label)
    # on disk or on the hub: the headers say which file holds it
    where = models.resolve(source)
    files = models.tensor_files(where)
    label = tensor_name(files, name, where)
    return check_matrix(models.read_tensor(where, label, files[label]), label)


def tensor_name(known: Iterable[str], name: str, where: str) -> str:
    """`name` or `name`.weight, whichever is known; else a `UserError` with the nearest names."""
    known = list(known)
    for label in (name, f"{name}.weight"):
        if label in known:
            return label

    # of long names that are all alike, the closest three help more than the whole list
    layers = [label.removesuffix(".weight") for label in known]
    close = difflib.get_close_matches(name, layers, n=3, cutoff=0.4)
    first = known[0] if known else "none"
    hint = f"the nearest are {', '.join(close)}" if close else f"the first is {first}"
    raise UserError(f"{where} has no weight {name!r} among its {len(known)} tensors; {hint}.")


def check_matrix(W: Tensor, label: str) -> Tensor:
    """W itself, if it is a matrix; norms and biases are refused."""
    if W.ndim != 2:
        raise UserError(
            f"{label} has shape {tuple(W.shape)}, so it is no matrix (a norm or a bias); "
            "name a linear layer's weight."
        )
    return W


def find_layer(source: "PreTrainedModel | str | Path | None", part: str, layer: int = 0) -> str:
    """The full name of a layer's `part`: "model.layers.0.self_attn.q_proj" for "q_proj".

    Where a model fuses that part with others, it is the fused one's name. source: as in `weight`.
    A part that the layer does not have is a `UserError` with the nearest one.
    """
    # all names inside that layer, without peft's own
    if isinstance(source, nn.Module):
        names = models.linears(source)
    else:
        names = models.tensor_files(models.resolve(source))
    inside = [
        models.plain_name(name).removesuffix(".weight")
        for name in names
        if f".{layer}." in name and ".lora_" not in name
    ]

    # the part itself comes before the fused one that may hold it
    for ending in (part, FUSED.get(part)):
        for name in inside:
            if name.rpartition(".")[2] == ending:
                return name

    known = sorted({name.rpartition(".")[2] for name in inside})
    raise UserError(
        f"there is no {part!r} in layer {layer}; it holds {', '.join(known) or 'nothing'}."
        f"{nearest(part, known)}"
    )


def deltas(
    tuned: "PreTrainedModel | PeftModel",
    base: "PreTrainedModel | None" = None,
    adapter: str | None = None,
) -> dict[str, Tensor]:
    """{layer: ΔW} of every linear layer that tuning changed, in the shape of its weight.

    That shape is (d_out, d_in), or (d_in, d_out) in GPT-2's Conv1D.

    tuned: a peft model, whose ΔW = (alpha/r) · B A, or of a DoRA what a merge adds; or a fully
    tuned one, whose ΔW = W − W of the untouched `base`. adapter: whose ΔW, where there are several;
    None takes the one that is on.
    """
    # a LoRA holds its ΔW itself
    if is_attached(tuned):
        check_adapters(tuned)
        return adapter_deltas(tuned, adapter or tuned.active_adapters[0])
    if adapter is not None:
        check_adapters(tuned, [adapter])

    # full fine-tuning left nothing but the new W
    if base is None or base is tuned:
        raise UserError(
            "after full fine-tuning ΔW is W minus the old W: give the untouched base too, "
            "such as base=models.load()[0]."
        )
    old = models.linears(base)
    return {
        name: layer.weight.detach() - old[name].weight.detach()
        for name, layer in models.linears(tuned).items()
    }


def adapter_deltas(model: "PeftModel", adapter: str) -> dict[str, Tensor]:
    """{layer: ΔW} of the linear layers that this adapter changes, by peft."""
    check_adapters(model, [adapter])
    return {
        models.plain_name(name): layer_update(module, adapter)
        for name, module in model.named_modules()
        if hasattr(module, "get_delta_weight") and adapter in module.lora_A
    }


@contextmanager
def add_updates(
    model: "PreTrainedModel", changes: Mapping[str, Tensor]
) -> Iterator["PreTrainedModel"]:
    """`model` with W + ΔW in the named layers inside the block, and the very same W after it.

    changes: {layer: ΔW in the shape of its weight}, as `deltas` gives them.
    """
    # a name that is wrong is refused before anything changes
    layers = models.linears(model)
    for name in changes:
        if name not in layers:
            raise UserError(f"the model has no linear layer {name!r}.{nearest(name, layers)}")

    tuned = {}
    for name, change in changes.items():
        W = layers[name].get_parameter("weight")
        tuned[W] = W.detach() + change
    with models.replace_weights(tuned):
        yield model
