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
import re
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from peft import (
    LoraConfig,
    PeftConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import AuxiliaryTrainingWrapper
from peft.utils.integrations import dequantize_module_weight
from torch import nn

from .. import models
from ..core.errors import UserError, is_number, is_whole, nearest, reason
from ..core.parsing import shown
from ..core.session import LAST_SEED, plain_torch
from ..core.versions import version_of
from . import saved
from .targets import check_rank, choose_layers, name_endings, narrowest_side

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from transformers.pytorch_utils import Conv1D
    from typing_extensions import TypeIs

CUT = "ftkit_cut"  # the attribute of a twin that holds AdaLoRA's pattern of ranks
TWIN = "twin"  # an adapter's name that stands in no file, so that none is taken for a tensor's
PEFT_PARTS = (BaseTunerLayer, AuxiliaryTrainingWrapper)  # what an adapter puts into a base
FRESH = "load the base again by models.load(), or take the adapter off: base = adapted.unload()"
# What peft calls a method's own parameters; the adapter's name follows.
OWN = (
    r"lora_\w+|ia3_l|vera_lambda_\w+|oft_R|ln_tuning_layers|bottleneck_\w+|prompt_encoder|"
    r"ranknum|modules_to_save|trainable_tokens_\w+"
)
START = "ftkit_start"  # the attribute of a model that says what its adapters were when they came


def attach(
    model: "PreTrainedModel",
    r: int = 8,
    alpha: float = 16,
    targets: str | list[str] = "all-linear",
    dropout: float = 0.0,
    seed: int | None = None,
    **config: Any,
) -> PeftModel:
    """A `peft.PeftModel`: W x + (alpha/r) · B A x on every target (Hu et al. 2021, §4.1).

    A (r, d_in) starts random and B (d_out, r) zero, so that the model starts as its base. The base
    weights are frozen and stay inside the model that comes back.

    targets: "all-linear" (every linear layer but the head), "attention", "mlp", "q,v", or names
    such as ["q_proj", "v_proj"]. dropout: the share of x that is dropped before A. seed: the same
    one draws the same A and leaves torch's generator as it is; by default A is drawn from that
    generator, so a cell that is run again draws another one. More keywords go to `peft.LoraConfig`.
    A rank, an alpha or a target that can't be is a `UserError`, and so is a second adapter.
    """
    check_bare(model, f"{FRESH}, then attach")
    check_dora(model, "this LoRA", config)
    # what is asked for, checked against the layers that it picks
    layers = models.linears(model)
    picked = {name: layers[name] for name in choose_layers(layers, targets)}
    check_rank(r, narrowest_side({name: sides(layer) for name, layer in picked.items()}))
    check_dials(r, alpha, dropout)

    # peft knows "all-linear" itself; a Conv1D stores its weight the other way round
    options = {
        "r": r,
        "lora_alpha": alpha,
        "target_modules": targets if targets == "all-linear" else name_endings(layers, targets),
        "lora_dropout": dropout,
        "fan_in_fan_out": not any(isinstance(layer, nn.Linear) for layer in picked.values()),
        "task_type": "CAUSAL_LM",
    }
    with refused_by_peft(picked), plain_torch(), drawn_from(seed):
        adapted = get_peft_model(model, LoraConfig(**{**options, **config}))
    return note_start(cast(PeftModel, adapted), "untouched adapter")


@contextmanager
def drawn_from(seed: int | None) -> Iterator[None]:
    """What is random inside the block comes from `seed`; None: from torch's generator, as ever."""
    if seed is None:
        yield
        return
    if not is_whole(seed) or not 0 <= seed <= LAST_SEED:
        raise UserError(f"seed is {shown(seed)}; give a whole number from 0 to {LAST_SEED:,}.")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def check_bare(model: nn.Module, cure: str) -> None:
    """Refuse a model that carries an adapter, also one inside another peft model's base.

    peft puts its layers into the base itself, so the variable that holds the base holds them too.
    cure: the end of the sentence.
    """
    layers = [module for module in model.modules() if isinstance(module, PEFT_PARTS)]
    names = sorted({name for layer in layers for name in layer.active_adapters})
    if layers or is_attached(model):
        names = names or [str(name) for name in cast(Any, model).active_adapters]
        raise UserError(f"this model carries the adapter {', '.join(map(repr, names))}; {cure}.")


def adapter_sums(model: PeftModel) -> dict[str, float]:
    """{name: sum of sizes} of all adapters' parameters: equal where no number changed."""
    # a model that is only shapes has no numbers that could change
    named = [(n, p) for n, p in model.named_parameters() if adapter_of(n) and not p.is_meta]
    return {n: p.detach().double().abs().sum().item() for n, p in named}


def note_start(model: PeftModel, words: str) -> PeftModel:
    """The model itself, with a note of what its newest adapter is, for `describe_start`."""
    vars(model).setdefault(START, {})[model.active_adapters[0]] = words, adapter_sums(model)
    return model


def describe_start(model: PeftModel) -> str:
    """What the adapter that is on was before anything trained it, in words."""
    now = adapter_sums(model)
    for name in model.active_adapters:
        words, sums = vars(model).get(START, {}).get(name, ("", {}))
        of_it = {label for label in now if adapter_of(label) == name}
        if words and all(now[label] == sums.get(label) for label in of_it):
            return words
    # by peft itself: a LoRA changes nothing as long as B is 0
    of_b = [value for label, value in now.items() if is_b(label, model.active_adapters)]
    fresh = of_b and not any(of_b)
    return "untouched adapter" if fresh else "an adapter that was changed outside train.sft"


def is_b(label: str, names: Collection[str]) -> bool:
    """Whether a parameter is the B of one of these adapters."""
    return ".lora_" in label and "_B" in label and adapter_of(label) in names


def check_dials(r: int, alpha: object, dropout: object) -> None:
    """Refuse an alpha that scales nothing, and a dropout that is no share."""
    if not is_number(alpha) or alpha <= 0:
        raise UserError(
            f"alpha is {shown(alpha)}; give a number above 0, such as {2 * r}: "
            "the update is scaled by alpha / r."
        )
    if not is_number(dropout) or not 0 <= dropout < 1:
        raise UserError(
            f"dropout is {shown(dropout)}; it is a share of the inputs, from 0 to below 1."
        )


@contextmanager
def refused_by_peft(picked: Iterable[str]) -> Iterator[None]:
    """What peft refuses of the layers `picked`, as one sentence with those that it does not name.

    A Mamba's out_proj, for one, which its kernel reads without calling the layer.
    """
    try:
        yield
    except (ValueError, NotImplementedError) as error:
        ends = sorted({name.rpartition(".")[2] for name in picked})
        others = ",".join(end for end in ends if f"'{end}'" not in str(error))
        # it names layers that it can't adapt, or another argument is at fault
        named = others and others != ",".join(ends)
        cure = f"give targets={others!r}, or some of them" if named else "give another value"
        raise UserError(f"peft: {reason(error)}; {cure}.") from error


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
    if not is_attached(model):
        check_bare(model, f"{FRESH}, or give the model that carries it to add another adapter")
    # everything that can be wrong is found before the model is touched; a peft model hands its
    # base's names on, so for these questions it is as good as its base
    folder, base = Path(folder), cast("PreTrainedModel", model)
    stated, promised = examine(base, folder)
    check_base(base, folder, stated)
    check_new_name(model, name)

    # a second adapter joins the first, which peft then switches off
    with plain_torch():
        if is_attached(model):
            join(model, folder, name, promised)
            model.set_adapter(name)
        else:
            model = PeftModel.from_pretrained(model, str(folder), adapter_name=name)
    return note_start(model, f"the adapter saved in {folder}")


def join(model: PeftModel, folder: Path, name: str, promised: Collection[str]) -> None:
    """Add the adapter in `folder` to those that `model` carries, whole, or refuse it.

    Some kinds peft can't put beside each other, such as trained tokens and none, and of some it
    would lose a part. promised: the names of all that it saves of such an adapter.
    """
    before = {each: cast(LoraConfig, config) for each, config in model.peft_config.items()}
    try:
        model.load_adapter(str(folder), adapter_name=name)
        loaded = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
        if missing := sorted(promised - loaded.keys()):
            raise ValueError(f"it would lose {models.plain_name(missing[0])}")
        added = cast(LoraConfig, model.peft_config[name])
        of_experts = any(getattr(config, "target_parameters", None) for config in before.values())
        if getattr(added, "lora_bias", False) and of_experts:
            raise ValueError("it would lose the biases of its B")
    except (ValueError, KeyError, TypeError, RuntimeError, AttributeError) as error:
        # what failed half way is in some layers, and no longer among the configurations
        model.peft_config.setdefault(name, LoraConfig())
        model.delete_adapter(name)
        raise UserError(
            f"{folder} is of a kind that peft can't put beside {', '.join(before)} on one model "
            f"({reason(error)}); load it on a base of its own, by models.load."
        ) from error


def check_saved(model: "PreTrainedModel", folder: str | Path) -> dict[str, Any]:
    """What the configuration of a saved adapter states, if the adapter is whole and fits `model`.

    model: the base, or its `models.skeleton`: of both only the shapes are asked. Every tensor that
    peft would save of such an adapter has to be there, in its shape and finite, and no other.
    Raises UserError.
    """
    return examine(model, Path(folder))[0]


def examine(model: "PreTrainedModel", folder: Path) -> tuple[dict[str, Any], set[str]]:
    """`check_saved`, and the names of all that peft saves of such an adapter."""
    file, weights = saved.find_files(folder)
    models.check_safetensors(weights)
    stated = saved.read_config(file, known_keys)
    check_dora(model, file, stated)
    promised = check_promise(model, folder, weights, stated)
    saved.check_finite(weights)
    return stated, promised


def known_keys(kind: str) -> dict[str, object]:
    """{key: its default} of peft's configuration of a kind."""
    return {key.name: key.default for key in fields(config_class(kind))}


def config_class(kind: str) -> Any:
    """peft's class for the configurations of a kind; `UserError` for one that it has not."""
    known = PEFT_TYPE_TO_CONFIG_MAPPING
    if kind not in known:
        raise UserError(
            f"peft {version_of('peft')} has no adapter of the kind {kind!r}; load it by "
            "methods.load, which has the kit's own kinds too, or update peft."
        )
    return known[cast(Any, kind)]


def check_dora(model: nn.Module, where: object, stated: Mapping[str, Any]) -> None:
    """Refuse a DoRA on a base in eight bits that lies on the CPU.

    peft unpacks each W for DoRA's lengths and loses the scales of its rows on the way back, so that
    no later token can be read. where: what states use_dora.
    """
    packed = any(parameter.dtype == torch.int8 for parameter in model.parameters())
    if stated.get("use_dora") and packed and next(model.parameters()).device.type == "cpu":
        raise UserError(
            f"{where} states use_dora, which peft can't run on a base in eight bits on a CPU; "
            "load the base with quant='nf4', or without quant."
        )


def check_promise(
    model: "PreTrainedModel | PeftModel", folder: Path, weights: Path, stated: Mapping[str, Any]
) -> set[str]:
    """Refuse an adapter whose file is not what its configuration promises on this base.

    The promise, which is handed back, is peft's own: the names of the tensors that it would save of
    such an adapter. It is made on a twin of the base that has shapes and no memory.
    """
    twin = empty_twin(model, folder, config_class(stated["peft_type"]))
    promised = shapes_to_save(twin, embeddings=False)
    optional = shapes_to_save(twin, embeddings=True)
    check_patterns(twin, folder / saved.CONFIG, stated)
    check_places(model, folder / saved.CONFIG, stated)

    # bias = "all" trains the base's own biases, which stay when the adapter is switched off
    trained = stated.get("bias", "none")
    if biases := own_biases(twin, promised) if trained != "none" else []:
        raise UserError(
            f"{folder / saved.CONFIG} states bias = {trained!r}: it holds {len(biases)} "
            "biases of the base itself, which would stay when the adapter is switched off; merge "
            "it by peft: PeftModel.from_pretrained(model, folder).merge_and_unload()."
        )
    inside = [name for name, _ in twin.named_modules()]
    try:
        saved.check_tensors(weights, promised, optional, set(map(models.plain_name, inside)))
    except UserError:
        # names of an older transformers are right where peft itself knows what they are called now
        if not peft_can_map(twin, folder):
            raise
    check_embeddings(model, weights, optional.keys() - promised.keys())
    return set(promised)


def own_biases(twin: PeftModel, promised: Iterable[str]) -> list[str]:
    """Of what an adapter would save, the biases that are the base's own.

    Not so a LoRA's, and those of modules that are saved whole: of them the base keeps its own.
    """
    whole = {
        models.plain_name(name).partition(".modules_to_save")[0]
        for name, _ in twin.named_parameters()
        if ".modules_to_save." in name
    }
    return [
        name
        for name in promised
        if name.endswith(".bias")
        and ".lora_" not in name
        and models.plain_name(name).rpartition(".")[0] not in whole
    ]


def check_embeddings(
    model: "PreTrainedModel | PeftModel", file: Path, names: Collection[str]
) -> None:
    """Refuse an adapter that brings the embeddings of another base.

    peft saves the base's own beside an adapter where the vocabulary has grown, and puts them back:
    rows that were there before are this base's. With a second adapter all have to be.
    """
    enough = 1.0 if is_attached(model) else 0.5
    ours = {models.plain_name(name): values for name, values in model.named_parameters()}
    for name, theirs in models.read_tensors(file):
        own = ours.get(models.plain_name(name)) if name in names else None
        if own is None or own.is_meta:
            continue
        close = torch.isclose(theirs.float(), own.detach().float().cpu(), rtol=1e-2, atol=1e-4)
        same = close.all(1).float().mean().item()
        if same < enough:
            raise UserError(
                f"{file} was trained on another base: it brings {models.plain_name(name)} along, "
                f"and {same:.0%} of its rows are this base's; give it the base it was trained on."
            )


def empty_twin(
    model: "PreTrainedModel | PeftModel", folder: Path, kind: type[PeftConfig]
) -> PeftModel:
    """The base of `model` without memory, with the adapter of `folder` on it, without memory too.

    kind: peft's class of its configuration. Raises `UserError` for a configuration that peft can't
    put on this base.
    """
    base = model.get_base_model() if is_attached(model) else model
    try:
        with torch.device("meta"), warnings.catch_warnings(action="ignore"):
            config: Any = kind.from_pretrained(str(folder))
            if cut := hasattr(config, "init_r") and config.rank_pattern:
                config.rank_pattern = None  # its shapes are cut in `cut_shapes`
            twin = type(base)(copy.deepcopy(base.config))  # type: ignore # a PreTrainedModel takes one
            made = PeftModel(twin, config, TWIN, low_cpu_mem_usage=True)
            vars(made)[CUT] = cut or {}
            return made
    except Exception as error:  # a configuration may be wrong in any way, and fail in any
        raise UserError(
            f"{folder / saved.CONFIG} does not fit this base ({reason(error)}); "
            "give the base it was trained on, or copy the adapter again."
        ) from error


def shapes_to_save(twin: PeftModel, *, embeddings: bool) -> dict[str, tuple[int, ...]]:
    """{tensor: shape} of what peft would save of an adapter, with or without the embeddings."""
    values = get_peft_model_state_dict(twin, adapter_name=TWIN, save_embedding_layers=embeddings)
    shapes = {name: tuple(tensor.shape) for name, tensor in values.items()}
    return cut_shapes(shapes, vars(twin)[CUT])


def cut_shapes(
    shapes: Mapping[str, tuple[int, ...]], pattern: Mapping[str, Sequence[bool]]
) -> dict[str, tuple[int, ...]]:
    """Shapes of AdaLoRA's tensors with the ranks that a run has left.

    pattern: {layer's name and "lora_E": for each rank whether it is kept}.
    """
    cut = dict(shapes)
    for name, kept in pattern.items():
        layer = f"base_model.model.{name.partition('.lora_E')[0]}"
        for part, side in (("E", 0), ("A", 0), ("B", 1)):
            if (whole := cut.get(key := f"{layer}.lora_{part}")) is not None:
                cut[key] = tuple(sum(kept) if n == side else x for n, x in enumerate(whole))
    return cut


def check_patterns(twin: PeftModel, file: Path, stated: Mapping[str, Any]) -> None:
    """Refuse a rank or an alpha for layers that a LoRA lacks: peft passes them over."""
    if stated["peft_type"] != "LORA":
        return
    tuner = cast(Any, twin.base_model)
    targets = [*tuner.targeted_module_names, *tuner.targeted_parameter_names]
    for key in ("rank_pattern", "alpha_pattern"):
        for pattern in stated.get(key) or {}:
            if not any(re.fullmatch(rf"(.*\.)?({pattern})", layer) for layer in targets):
                endings = sorted({layer.rpartition(".")[2] for layer in targets})
                raise UserError(
                    f"{file} states {pattern!r} in its {key}, and none of the adapter's layers is "
                    f"called so; they are {', '.join(endings)}.{nearest(pattern, endings)}"
                )


def check_places(
    model: "PreTrainedModel | PeftModel", file: Path, stated: Mapping[str, Any]
) -> None:
    """Refuse modules and parameters that this base lacks: peft passes over them, too."""
    places = {"modules_to_save": model.named_modules, "target_parameters": model.named_parameters}
    for key, named in places.items():
        names = stated.get(key) or []
        if not isinstance(names, list):
            raise UserError(f"{file} states {key} = {shown(names)}, which is no list of names.")
        here = [f".{models.plain_name(name)}" for name, _ in named()]
        for name in names:
            # of tied layers peft notes names of its own, which some families call otherwise
            end = name.rpartition(".")[2] if stated.get("ensure_weight_tying") else name
            if not any(each.endswith(f".{end}") for each in here):
                endings = sorted({each.rpartition(".")[2] for each in here})
                raise UserError(
                    f"{file} states {shown(name)} in its {key}, and this base has nothing of that "
                    f"name; give the base it was trained on.{nearest(name, endings)}"
                )


def peft_can_map(twin: PeftModel, folder: Path) -> bool:
    """Whether peft finds a place for every tensor of `folder`, and a tensor for every place."""
    mapping = getattr(twin.get_base_model(), "_checkpoint_conversion_mapping", {})
    try:
        with warnings.catch_warnings(action="ignore"):
            result = twin.load_adapter(
                folder, TWIN, torch_device="cpu", low_cpu_mem_usage=True, key_mapping=mapping
            )
    except (ValueError, KeyError, RuntimeError):
        return False
    return not result.missing_keys and not result.unexpected_keys


def check_new_name(model: nn.Module, name: str) -> None:
    """Refuse a new adapter's name that is taken, or that no torch module can have.

    peft itself would pass over a name that is taken without a word.
    """
    if not isinstance(name, str) or not name or "." in name:
        raise UserError(
            f"the adapter's name is {shown(name)}; give letters, digits, spaces or dashes, and no "
            "dot."
        )
    if hasattr(nn.ModuleDict, name) or name == "training":
        raise UserError(
            f"the adapter's name is {name!r}, a word of torch's own; give another, such as "
            f"'{name}-1'."
        )
    if is_attached(model) and name in model.peft_config:
        raise UserError(
            f"the model already carries an adapter {name!r}; give the new one another name."
        )


def check_base(model: "PreTrainedModel", folder: Path, stated: Mapping[str, Any]) -> None:
    """Refuse an adapter of another base, by its run.json or by the base that it names.

    Where neither tells two bases of one shape apart, and even their names differ, a warning says
    so.
    """
    name, here = stated.get("base_model_name_or_path"), model.config._name_or_path
    doubt = saved.check_origin(folder, stated, here, lambda: models.fingerprint(model))
    # the names, without the folders that they lie in
    named = isinstance(name, str) and name and here and doubt
    if named and Path(str(name)).name.lower() not in here.lower():
        warnings.warn(
            f"{folder} was trained on {name}, and this base is {here}: {doubt}, so it can't be "
            "told whether they are the same weights.",
            stacklevel=3,
        )


def check_portable(model: PeftModel) -> None:
    """Refuse to take an adapter to another base if its A and B began with a part of its own."""
    config = model.peft_config[model.active_adapters[0]]
    start = getattr(config, "init_lora_weights", None)
    if saved.is_begun_from_base(start):
        raise UserError(
            f"the adapter's init_lora_weights is {start!r}, which took a part of its base over "
            "into A and B, so it fits no other base; merge it into its own, without `into`."
        )


def carry_over(model: PeftModel, base: "PreTrainedModel") -> PeftModel:
    """The adapter of `model` that is on, on another `base`, in evaluation mode.

    `base` becomes the inside of the `peft.PeftModel` that comes back. One that the adapter does not
    fit is a `UserError`, and so are several that are on together.
    """
    check_adapters(model)
    if len(model.active_adapters) > 1:
        raise UserError(
            f"the adapters {', '.join(model.active_adapters)} are on together; switch one on by "
            "set_adapter, or make one of them by merge.combine."
        )
    name = model.active_adapters[0]
    config: Any = copy.deepcopy(model.peft_config[name])
    # PiSSA and its like would take their start out of `base`; the values come from `model` anyway
    if hasattr(config, "init_lora_weights"):
        config.init_lora_weights = True
    if config.is_prompt_learning:  # what is saved of it are its vectors, not the network's weights
        config.inference_mode = True
    try:
        twin = get_peft_model(base, config, adapter_name=name)
        values = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
        set_peft_model_state_dict(twin, values, adapter_name=name)
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"the adapter does not fit this base ({reason(error)}); "
            "give the base it was trained on."
        ) from error
    return twin.eval()


def is_attached(model: object) -> "TypeIs[PeftModel]":
    """Whether a model carries a peft adapter."""
    return isinstance(model, PeftModel)


def trainable(model: nn.Module) -> tuple[int, int]:
    """(trained, all) parameters of a model; a packed weight counts the numbers it stands for."""
    trained = sum(parameter.numel() for parameter in models.trained_parameters(model))
    return trained, models.count_numbers(model)


def check_adapters(model: nn.Module, names: Sequence[str] = ()) -> PeftModel:
    """The model itself; one without adapters is refused, and a name that none of them has."""
    if not is_attached(model):
        raise UserError(
            f"the model is a {type(model).__name__} without an adapter; "
            "load one with lora.load(model, folder, name)."
        )
    changed = any(isinstance(module, PEFT_PARTS) for module in model.modules())
    if not changed and not model.active_peft_config.is_prompt_learning:
        raise UserError(
            "this model's adapter is gone: it was merged into the base in place, or taken off; go "
            "on with what that call gave back, or load the adapter again."
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

    After the block those that were on before are on again. The base is never loaded twice, so this
    is how a tuned model is compared with itself before tuning.
    """
    adapted = check_adapters(model, [] if name is None else [name])
    if name is None:
        with adapted.disable_adapter():
            yield adapted
        return
    before = list(adapted.active_adapters)
    adapted.set_adapter(name)
    try:
        yield adapted
    finally:
        # the model outside takes one name, the one inside it several; a prompt has none inside
        adapted.set_adapter(before[0])
        if not adapted.active_peft_config.is_prompt_learning:
            adapted.base_model.set_adapter(before)  # type: ignore # a tuner, unknown to torch


def adapted_layers(model: PeftModel, names: Collection[str]) -> Iterator[tuple[str, nn.Module]]:
    """(name in the base, peft's layer) of all that one of the adapters `names` changes."""
    for label, module in model.named_modules():
        ranks = getattr(module, "r", None)  # {adapter: its rank here}, of LoRA's layers alone
        if isinstance(ranks, dict) and not ranks.keys().isdisjoint(names):
            yield models.plain_name(label), module


def layer_update(layer: nn.Module, adapter: str) -> torch.Tensor:
    """ΔW of one of peft's layers, in the shape of its W: what a merge would add to it.

    (alpha/r) · B A, or of a kind that does more than add, such as DoRA, which sets the length of
    every row, what it makes of W, minus W.
    """
    module = cast(Any, layer)
    if adapter not in module.lora_variant:
        return module.get_delta_weight(adapter).detach()
    W = dequantize_module_weight(module.get_base_layer()).detach()
    return (module.lora_variant[adapter].merge_safe(module, adapter, W.clone()) - W).detach()


def adapter_bytes(model: "PreTrainedModel | PeftModel") -> dict[str, int]:
    """{adapter: the bytes of its parameters, …, "base": the bytes of all the others}."""
    adapters = check_adapters(model).peft_config
    sizes = dict.fromkeys([*adapters, "base"], 0)
    for label, parameter in model.named_parameters():
        sizes[adapter_of(label) or "base"] += parameter.nbytes
    return sizes


def adapter_of(label: str) -> str | None:
    """The adapter that a parameter belongs to: "a" for "….q_proj.lora_A.a.weight", else None.

    A matrix that is trained whole, and single rows of an embedding, are an adapter's too.
    """
    found = re.search(rf"(?:^|\.)(?:{OWN})\.([^.]+)", label)
    return found[1] if found else None
