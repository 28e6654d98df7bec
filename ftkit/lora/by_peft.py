"""LoRA by peft: attach an adapter, load one, carry it to another base, switch between several.

    attach(model, r, alpha, targets)    a `peft.PeftModel` with a fresh adapter
    load(model, folder, name)           the base with a saved adapter, refused where it does not fit
    carry_over(model, base)             the adapter that is on, on another base
    using(model, name)                  inside a `with` block, this adapter on, or none (the base)
    trainable(model)                    (trained, all) parameters
    adapter_bytes(model)                {adapter: its bytes, …, "base": the rest}

The only room that imports peft. What `targets` means is decided in `targets`, ΔW is read in
`updates`, adapters are folded and combined in `merge`; the layer itself is written out in
`by_hand`. Notebooks 00, 02 and 13.
"""

import copy
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from peft import (
    LoraConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from safetensors import safe_open
from torch import nn

from .. import models
from ..core.errors import UserError, is_number, nearest
from .targets import check_rank, choose_layers, name_endings

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from transformers.pytorch_utils import Conv1D
    from typing_extensions import TypeIs


def attach(
    model: "PreTrainedModel",
    r: int = 8,
    alpha: float = 16,
    targets: str | list[str] = "all-linear",
    dropout: float = 0.0,
    **config: Any,
) -> PeftModel:
    """A `peft.PeftModel`: W x + (alpha/r) · B A x on every target (Hu et al. 2021, §4.1).

    A (r, d_in) starts random and B (d_out, r) zero, so that the model starts as its base. The base
    weights are frozen and stay inside the model that comes back.

    targets: "all-linear" (every linear layer but the head), "attention", "mlp", "q,v", or names
    such as ["q_proj", "v_proj"]. dropout: the share of x that is dropped before A. More keywords
    go to `peft.LoraConfig`. A rank, an alpha or a target that can't be is a `UserError`.
    """
    # what is asked for, checked against the layers that it picks
    layers = models.linears(model)
    picked = [layers[name] for name in choose_layers(layers, targets)]
    check_rank(r, min(min(sides(layer)) for layer in picked))
    if not is_number(alpha) or alpha <= 0:
        raise UserError(
            f"alpha is {alpha!r}; give a number above 0, such as {2 * r}: "
            "the update is scaled by alpha / r."
        )

    # peft knows "all-linear" itself; a Conv1D stores its weight the other way round
    options = {
        "r": r,
        "lora_alpha": alpha,
        "target_modules": targets if targets == "all-linear" else name_endings(layers, targets),
        "lora_dropout": dropout,
        "fan_in_fan_out": not any(isinstance(layer, nn.Linear) for layer in picked),
        "task_type": "CAUSAL_LM",
    }
    return get_peft_model(model, LoraConfig(**{**options, **config}))


def sides(layer: "nn.Linear | Conv1D") -> tuple[int, int]:
    """(d_in, d_out) of a linear layer, as its module states them: a 4-bit weight is packed.

    A Conv1D states none, and its weight, which is never packed, is (d_in, d_out).
    """
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    d_in, d_out = layer.weight.shape
    return d_in, d_out


def load(
    model: "PreTrainedModel | PeftModel", folder: str | Path, name: str = "default"
) -> PeftModel:
    """The base `model` with the adapter saved in `folder`, which is on, under `name`.

    model: a base; or one that carries adapters already: then this one is added to the same base.
    folder: peft's own format, safetensors. An adapter that is damaged, or was trained on another
    base, is refused with a `UserError` before anything of the model changes.
    """
    folder = Path(folder)
    config, weights = folder / "adapter_config.json", folder / "adapter_model.safetensors"
    if not config.exists():
        raise UserError(
            f"{folder} holds no adapter_config.json; give the adapter folder of a run, "
            "such as out/adapter."
        )
    if not weights.exists():
        raise UserError(
            f"{folder} holds no adapter_model.safetensors; adapters are read from safetensors only."
        )

    # everything that can be wrong is found before the model is touched; a peft model hands its
    # base's names on, so for these questions it is as good as its base
    base = cast("PreTrainedModel", model)
    models.check_safetensors(weights)
    check_config(config)
    check_base(base, folder)
    check_shapes(base, weights)
    check_new_name(model, name)

    # a second adapter joins the first, which peft then switches off
    if not is_attached(model):
        return PeftModel.from_pretrained(model, folder, adapter_name=name)
    model.load_adapter(folder, adapter_name=name)
    model.set_adapter(name)
    return model


def check_new_name(model: nn.Module, name: str) -> None:
    """Refuse a new adapter's name that is taken, or that no torch module can have.

    peft itself would pass over a name that is taken without a word.
    """
    if not name or "." in name:
        raise UserError(
            f"the adapter's name is {name!r}; give letters, digits, spaces or dashes, and no dot."
        )
    if is_attached(model) and name in model.peft_config:
        raise UserError(
            f"the model already carries an adapter {name!r}; give the new one another name."
        )


def check_config(file: Path) -> None:
    """Refuse an adapter_config.json that was cut off or holds something else."""
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(
            f"{file} is not whole JSON ({error}); copy or download the adapter again."
        ) from error
    if not isinstance(config, dict) or "peft_type" not in config:
        raise UserError(
            f"{file} states no peft_type, so it is no adapter of peft's; "
            "give the adapter folder of a run, such as out/adapter."
        )


def check_base(model: "PreTrainedModel", folder: Path) -> None:
    """Refuse an adapter whose run.json, beside its folder, names the hash of another base.

    Without a run.json only `check_shapes` can tell.
    """
    record = folder.parent / "run.json"
    if not record.is_file():
        return
    stated = json.loads(record.read_text(encoding="utf-8")).get("hashes", {}).get("base") or ""
    ours = models.fingerprint(model)

    # a hub commit and a hash of files can't be compared, so they tell nothing
    comparable = stated.startswith("hub") == ours.startswith("hub")
    if stated and comparable and stated != ours:
        raise UserError(
            f"{folder} was trained on another base ({stated[:12]}…, this one is {ours[:12]}…); "
            "give it the base it was trained on."
        )


def check_shapes(model: "PreTrainedModel", weights: Path) -> None:
    """Refuse an adapter file that updates a layer which `model` lacks or has in another shape.

    A is (r, d_in) and B (d_out, r). Only the file's header is read.
    """
    # the base's own layers: those of an adapter that is there already are linear layers too
    layers = {
        models.plain_name(name): sides(layer)
        for name, layer in models.linears(model).items()
        if ".lora_" not in name
    }
    with safe_open(weights, framework="pt") as file:
        shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}

    for name, shape in shapes.items():
        layer, _, part = models.plain_name(name).partition(".lora_")
        # the rest has no side to be compared: DoRA's lengths, an embedding's A and B
        if part not in ("A.weight", "B.weight"):
            continue
        if layer not in layers:
            raise UserError(
                f"{weights} was trained on another base: it updates {layer}, "
                "which this model does not have."
            )
        d_in, d_out = layers[layer]
        fits = shape[1] == d_in if part == "A.weight" else shape[0] == d_out
        if not fits:
            raise UserError(
                f"{weights} was trained on another base: its {part[0]} for {layer} is "
                f"{shape[0]} × {shape[1]}, and this model's W is {d_out} × {d_in}; "
                "load it on the base it was trained on."
            )


def carry_over(model: PeftModel, base: "PreTrainedModel") -> PeftModel:
    """The adapter of `model` that is on, on another `base`, in evaluation mode.

    `base` becomes the inside of the `peft.PeftModel` that comes back. One that the adapter does not
    fit is a `UserError`.
    """
    name = model.active_adapters[0]
    config = cast(LoraConfig, copy.deepcopy(model.peft_config[name]))
    # PiSSA and its like would take their start out of `base`; the values come from `model` anyway
    config.init_lora_weights = True
    try:
        twin = get_peft_model(base, config, adapter_name=name)
        values = get_peft_model_state_dict(model, adapter_name=name)
        set_peft_model_state_dict(twin, values, adapter_name=name)
    except (RuntimeError, ValueError) as error:
        # the last line of torch's complaint names the layer and both shapes
        reason = str(error).strip().splitlines()[-1].strip()
        raise UserError(
            f"the adapter does not fit this base ({reason}); give the base it was trained on."
        ) from error
    return twin.eval()


def is_attached(model: object) -> "TypeIs[PeftModel]":
    """Whether a model carries a peft adapter."""
    return isinstance(model, PeftModel)


def trainable(model: nn.Module) -> tuple[int, int]:
    """(trained, all) parameters of a model, as numbers; a packed weight counts its bytes."""
    trained = sum(parameter.numel() for parameter in models.trained_parameters(model))
    return trained, sum(parameter.numel() for parameter in model.parameters())


def check_adapters(model: nn.Module, names: Sequence[str] = ()) -> PeftModel:
    """The model itself; one without adapters is refused, and a name that none of them has."""
    if not is_attached(model):
        raise UserError(
            f"the model is a {type(model).__name__} without an adapter; "
            "load one with lora.load(model, folder, name)."
        )
    known = list(model.peft_config)
    for name in names:
        if name not in known:
            raise UserError(
                f"there is no adapter {name!r}; the model carries {', '.join(known)}."
                f"{nearest(name, known)}"
            )
    return model


@contextmanager
def using(model: "PreTrainedModel | PeftModel", name: str | None) -> Iterator[PeftModel]:
    """`model` with the adapter `name` on inside the block; None switches all off: the base.

    After the block the adapter that was on before is on again. The base is never loaded twice, so
    this is how a tuned model is compared with itself before tuning.
    """
    adapted = check_adapters(model, [] if name is None else [name])
    if name is None:
        with adapted.disable_adapter():
            yield adapted
        return
    before = adapted.active_adapters[0]
    adapted.set_adapter(name)
    try:
        yield adapted
    finally:
        adapted.set_adapter(before)


def adapter_bytes(model: "PreTrainedModel | PeftModel") -> dict[str, int]:
    """{adapter: the bytes of its parameters, …, "base": the bytes of all the others}."""
    adapters = check_adapters(model).peft_config
    sizes = dict.fromkeys([*adapters, "base"], 0)
    for label, parameter in model.named_parameters():
        sizes[adapter_of(label) or "base"] += parameter.nbytes
    return sizes


def adapter_of(label: str) -> str | None:
    """The adapter that a parameter belongs to: "a" for "….q_proj.lora_A.a.weight", else None."""
    _, inside, rest = label.partition(".lora_")
    return rest.split(".")[1] if inside else None
