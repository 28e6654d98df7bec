"""LoRA: single weight matrices, their updates, and low-rank adapters. The only file that names
peft.
"""

import contextlib
import copy
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .. import models
from ..core.errors import UserError, nearest
from .targets import check_rank, choose_layers, name_endings, sides


def attach(
    model,
    r: int = 8,
    alpha: float = 16,
    targets: str | list[str] = "all-linear",
    dropout: float = 0.0,
    **config,
):
    """A `peft.PeftModel`: W x + (alpha/r) · B A x on every target, A (r, d_in) random, B (d_out, r)
    zero (Hu et al. 2021, §4.1).

    targets: "all-linear" (every linear layer but the head), "attention", "mlp", "q,v", or names
    such as ["q_proj", "v_proj"]. More keywords go to `peft.LoraConfig`. The base weights are frozen
    and stay inside the returned model.
    """
    from peft import LoraConfig, get_peft_model

    layers = models.linears(model)
    picked = [layers[name] for name in choose_layers(layers, targets)]
    check_rank(r, min(min(sides(m)) for m in picked))
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or alpha <= 0:
        raise UserError(
            f"alpha is {alpha!r}; give a number above 0, such as {2 * r}: the update is scaled by alpha / r."
        )
    modules = targets if targets == "all-linear" else name_endings(layers, targets)
    options = {
        "r": r,
        "lora_alpha": alpha,
        "target_modules": modules,
        "lora_dropout": dropout,
        "task_type": "CAUSAL_LM",
    }
    options["fan_in_fan_out"] = not any(
        hasattr(m, "in_features") for m in picked
    )  # a Conv1D stores its weight the other way round
    return get_peft_model(model, LoraConfig(**{**options, **config}))


def load(model, folder: str | Path, name: str = "default"):
    """The base `model` with the adapter saved in `folder` (peft's own format, safetensors), active
    under `name`.

    model: a base; or one that carries adapters already: then this one is added to the same base, as
    `name`. An adapter that is damaged or was trained on another base is refused before anything of
    the model changes.
    """
    from peft import PeftModel

    folder = Path(folder)
    if not (folder / "adapter_config.json").exists():
        raise UserError(
            f"{folder} holds no adapter_config.json; give the adapter folder of a run, such as out/adapter."
        )
    weights = folder / "adapter_model.safetensors"
    if not weights.exists():
        raise UserError(
            f"{folder} holds no adapter_model.safetensors; adapters are read from safetensors only."
        )
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
    """Refuse a new adapter's name that is taken, which peft would pass over without a word, or that
    no torch module can have.
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
        stated = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(
            f"{file} is not whole JSON ({error}); copy or download the adapter again."
        ) from error
    if not isinstance(stated, dict) or "peft_type" not in stated:
        raise UserError(
            f"{file} states no peft_type, so it is no adapter of peft's; give the adapter folder of a run, such as out/adapter."
        )


def check_base(model, folder: Path) -> None:
    """Refuse an adapter whose run.json, beside its folder, names the hash of another base. Without
    a run.json only shapes can tell.
    """
    record = folder.parent / "run.json"
    if not record.is_file():
        return
    was = json.loads(record.read_text(encoding="utf-8")).get("hashes", {}).get("base", "")
    now = models.fingerprint(model)
    if was and was != now and was.startswith("hub") == now.startswith("hub"):
        raise UserError(
            f"{folder} was trained on another base ({was[:12]}…, this one is {now[:12]}…); give it the base it was trained on."
        )


def check_shapes(model, weights: Path) -> None:
    """Refuse an adapter file with an update for a layer that `model` does not have, or has in
    another shape. Reads the header alone.
    """
    from safetensors import safe_open

    layers = {
        models.plain_name(n): sides(m)
        for n, m in models.linears(model).items()
        if ".lora_" not in n
    }
    with safe_open(weights, framework="pt") as tensors:
        shapes = {
            models.plain_name(key): tensors.get_slice(key).get_shape() for key in tensors.keys()
        }
    for key, shape in shapes.items():
        name, found, part = key.partition(".lora_")
        if not found or part not in ("A.weight", "B.weight"):
            continue
        if name not in layers:
            raise UserError(
                f"{weights} was trained on another base: it updates {name}, which this model does not have."
            )
        d_in, d_out = layers[name]
        if (shape[1] != d_in) if part == "A.weight" else (shape[0] != d_out):
            raise UserError(
                f"{weights} was trained on another base: its {part[0]} for {name} is {shape[0]} × {shape[1]}, "
                f"and this model's W is {d_out} × {d_in}; load it on the base it was trained on."
            )


def carry_over(model, base):
    """The active adapter of `model` on another `base`, which becomes the inside of the
    `peft.PeftModel` that comes back.
    """
    from peft import get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict

    name = model.active_adapters[0]
    config = copy.deepcopy(model.peft_config[name])
    # PiSSA and its like would take their start out of `base`; the values come from `model` anyway
    config.init_lora_weights = True
    try:
        twin = get_peft_model(base, config, adapter_name=name)
        set_peft_model_state_dict(
            twin, get_peft_model_state_dict(model, adapter_name=name), adapter_name=name
        )
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise UserError(
            f"the adapter does not fit this base ({reason}); give the base it was trained on."
        ) from error
    return twin.eval()


def is_attached(model) -> bool:
    """True for a model that carries a peft adapter."""
    from peft import PeftModel

    return isinstance(model, PeftModel)


def trainable(model) -> tuple[int, int]:
    """(trainable, all) parameters of a model."""
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(n for n, on in sizes if on), sum(n for n, _ in sizes)


@contextlib.contextmanager
def as_base(model, wanted: bool = True):
    """The model with its adapter switched off inside the block: the base, without loading it twice."""
    with model.disable_adapter() if wanted and is_attached(model) else contextlib.nullcontext():
        yield model


def check_names(model, names: Sequence[str]) -> None:
    """Refuse a model without adapters, and names that none of them has."""
    if not is_attached(model):
        raise UserError(
            f"the model is a {type(model).__name__} without an adapter; load one with lora.load(model, folder, name)."
        )
    known = list(model.peft_config)
    for name in names:
        if name not in known:
            raise UserError(
                f"there is no adapter {name!r}; the model carries {', '.join(known)}.{nearest(name, known)}"
            )


@contextmanager
def using(model, name: str | None) -> Iterator:
    """`model` with the adapter `name` on inside the block, or with none for None (the base); after
    it the one that was on before.
    """
    check_names(model, [] if name is None else [name])
    if name is None:
        with model.disable_adapter():
            yield model
        return
    before = model.active_adapters[0]
    model.set_adapter(name)
    try:
        yield model
    finally:
        model.set_adapter(before)


def adapter_bytes(model) -> dict[str, int]:
    """The bytes that each adapter of the model takes, and "base", what is left when all are off."""
    check_names(model, [])
    found = dict.fromkeys(model.peft_config, 0)
    base = 0
    for label, p in model.named_parameters():
        owner = next(
            (name for name in found if ".lora_" in label and name in label.split(".")), None
        )
        if owner is None:
            base += p.nbytes
        else:
            found[owner] += p.nbytes
    return found | {"base": base}
