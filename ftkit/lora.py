"""LoRA: single weight matrices, their updates, and low-rank adapters. The only file that names peft."""

import copy
import difflib
import json
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


FUSED = {"q_proj": "qkv_proj", "k_proj": "qkv_proj", "v_proj": "qkv_proj", "gate_proj": "gate_up_proj", "up_proj": "gate_up_proj"}


def find(source, part: str, layer: int = 0) -> str:
    """The full name of a layer's `part`, such as "q_proj": "model.layers.0.self_attn.q_proj"; the fused one where a model fuses them.

    source: as in `weight`.
    """
    loaded = hasattr(source, "named_parameters")
    names = models.linears(source) if loaded else models.tensor_names(models.resolve(source))
    inside = [models.plain_name(n).removesuffix(".weight") for n in names if f".{layer}." in n and ".lora_" not in n]
    for end in (part, FUSED.get(part)):
        if found := [n for n in inside if n.rpartition(".")[2] == end]:
            return found[0]
    known = sorted({n.rpartition(".")[2] for n in inside})
    raise UserError(f"there is no {part!r} in layer {layer}; it holds {', '.join(known) or 'nothing'}.{nearest(part, known)}")


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
    check_rank(r, min(min(sides(m)) for m in picked))
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or alpha <= 0:
        raise UserError(f"alpha is {alpha!r}; give a number above 0, such as {2 * r}: the update is scaled by alpha / r.")
    modules = targets if targets == "all-linear" else endings(layers, targets)
    options = {"r": r, "lora_alpha": alpha, "target_modules": modules, "lora_dropout": dropout, "task_type": "CAUSAL_LM"}
    options["fan_in_fan_out"] = not any(hasattr(m, "in_features") for m in picked)  # a Conv1D stores its weight the other way round
    return get_peft_model(model, LoraConfig(**{**options, **config}))


def load(model, folder: str | Path, name: str = "default"):
    """The base `model` with the adapter saved in `folder` (peft's own format, safetensors), active under `name`.

    model: a base; or one that carries adapters already: then this one is added to the same base, as `name`.
    An adapter that is damaged or was trained on another base is refused before anything of the model changes.
    """
    from peft import PeftModel

    folder = Path(folder)
    if not (folder / "adapter_config.json").exists():
        raise UserError(f"{folder} holds no adapter_config.json; give the adapter folder of a run, such as out/adapter.")
    weights = folder / "adapter_model.safetensors"
    if not weights.exists():
        raise UserError(f"{folder} holds no adapter_model.safetensors; adapters are read from safetensors only.")
    models.check_safetensors(weights)
    check_config(folder / "adapter_config.json")
    check_base(model, folder)
    check_shapes(model, weights)
    check_name(model, name)
    if not is_attached(model):
        return PeftModel.from_pretrained(model, folder, adapter_name=name)
    model.load_adapter(folder, adapter_name=name)
    model.set_adapter(name)
    return model


def check_name(model, name: str) -> None:
    """Refuse a new adapter's name that is taken, which peft would pass over without a word, or that no torch module can have."""
    if not name or "." in name:
        raise UserError(f"the adapter's name is {name!r}; give letters, digits, spaces or dashes, and no dot.")
    if is_attached(model) and name in model.peft_config:
        raise UserError(f"the model already carries an adapter {name!r}; give the new one another name.")


def check_config(file: Path) -> None:
    """Refuse an adapter_config.json that was cut off or holds something else."""
    try:
        stated = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file} is not whole JSON ({error}); copy or download the adapter again.") from error
    if not isinstance(stated, dict) or "peft_type" not in stated:
        raise UserError(
            f"{file} states no peft_type, so it is no adapter of peft's; give the adapter folder of a run, such as out/adapter."
        )


def check_base(model, folder: Path) -> None:
    """Refuse an adapter whose run.json, beside its folder, names the hash of another base. Without a run.json only shapes can tell."""
    record = folder.parent / "run.json"
    if not record.is_file():
        return
    was = json.loads(record.read_text(encoding="utf-8")).get("hashes", {}).get("base", "")
    now = models.fingerprint(model)
    if was and was != now and was.startswith("hub") == now.startswith("hub"):
        raise UserError(f"{folder} was trained on another base ({was[:12]}…, this one is {now[:12]}…); give it the base it was trained on.")


def check_shapes(model, weights: Path) -> None:
    """Refuse an adapter file with an update for a layer that `model` does not have, or has in another shape. Reads the header alone."""
    from safetensors import safe_open

    layers = {models.plain_name(n): sides(m) for n, m in models.linears(model).items() if ".lora_" not in n}
    with safe_open(weights, framework="pt") as tensors:
        shapes = {models.plain_name(key): tensors.get_slice(key).get_shape() for key in tensors.keys()}
    for key, shape in shapes.items():
        name, found, part = key.partition(".lora_")
        if not found or part not in ("A.weight", "B.weight"):
            continue
        if name not in layers:
            raise UserError(f"{weights} was trained on another base: it updates {name}, which this model does not have.")
        d_in, d_out = layers[name]
        if (shape[1] != d_in) if part == "A.weight" else (shape[0] != d_out):
            raise UserError(
                f"{weights} was trained on another base: its {part[0]} for {name} is {shape[0]} × {shape[1]}, "
                f"and this model's W is {d_out} × {d_in}; load it on the base it was trained on."
            )


def sides(layer) -> tuple[int, int]:
    """(d_in, d_out) of a linear layer. A 4-bit weight is packed, so its shape is no use; only a Conv1D has no in_features."""
    return (layer.in_features, layer.out_features) if hasattr(layer, "in_features") else tuple(layer.weight.shape)


def carried(model, base):
    """The active adapter of `model` on another `base`, which becomes the inside of the `peft.PeftModel` that comes back."""
    from peft import get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict

    name = model.active_adapters[0]
    config = copy.deepcopy(model.peft_config[name])
    config.init_lora_weights = True  # PiSSA and its like would take their start out of `base`; the values come from `model` anyway
    try:
        twin = get_peft_model(base, config, adapter_name=name)
        set_peft_model_state_dict(twin, get_peft_model_state_dict(model, adapter_name=name), adapter_name=name)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise UserError(f"the adapter does not fit this base ({reason}); give the base it was trained on.") from error
    return twin.eval()


def is_attached(model) -> bool:
    """True for a model that carries a peft adapter."""
    from peft import PeftModel

    return isinstance(model, PeftModel)


def trainable(model) -> tuple[int, int]:
    """(trainable, all) parameters of a model."""
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(n for n, on in sizes if on), sum(n for n, _ in sizes)
