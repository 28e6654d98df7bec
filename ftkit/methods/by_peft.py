"""Every method by peft: one call puts it on a model and hands back peft's own object.

    attach(model, "ia3", …)     a `peft.PeftModel` with a fresh adapter; the model for "full"
    load(model, folder, name)   the base with a saved adapter of any kind
    name_of(model)              the method that is on a model: "full" where it carries none
    begin_pruning(model, steps) AdaLoRA's schedule set to the true number of steps
    prune(model, step)          AdaLoRA's cut after a step, by what its gradients were
    training_state(model)       what a run has to keep beside the saved adapter to go on
    penalty, without_penalty    what AdaLoRA adds to the loss, which is no error of an answer

LoRA and DoRA are `lora.attach`. A bottleneck, which peft has not, is a tuner of peft's kind here.
What a method is, and its usual rates, stands in `catalogue`; who trains one is `train`. Notebook
08.
"""

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import peft
import torch
from peft.mapping import (
    PEFT_TYPE_TO_CONFIG_MAPPING,
    PEFT_TYPE_TO_PREFIX_MAPPING,
    PEFT_TYPE_TO_TUNER_MAPPING,
)
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from torch import nn
from torch.nn import functional as F

from .. import lora, models
from ..core.errors import UserError, reason
from ..core.session import plain_torch
from .by_hand import Bottleneck
from .catalogue import (
    KEYS_AND_VALUES,
    LAYER_ENDS,
    METHODS,
    MLP_ENDS,
    check_options,
    find_endings,
    find_method,
    method_of,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

KIND = METHODS["bottleneck"].kind
IMPORTANCE = ("ipt", "exp_avg_ipt", "exp_avg_unc")  # what AdaLoRA notes of every number
# AdaLoRA's schedule in shares of a run: the full rank before, the final one after.
WARM, SETTLED = 0.1, 0.3
UNSET = 1_000_000  # steps that stand in AdaLoRA's configuration until a run sets its own


def attach(
    model: "PreTrainedModel",
    name: str,
    *,
    tokenizer: "PreTrainedTokenizerBase | None" = None,
    seed: int | None = None,
    **options: Any,
) -> "PreTrainedModel | lora.PeftModel":
    """A method on `model`: a `peft.PeftModel`, or for "full" the model itself, all of it trained.

    name: a key of `METHODS`, which says the options of each and their usual values. tokenizer: of a
    prompt that begins with `text`. seed: the same one draws the same start and leaves torch's
    generator as it is.

    All but a random prompt start as the base. A method that this base can't take, an option that
    can't be, and more virtual tokens than the model has positions are a `UserError`; so is a second
    adapter.
    """
    method = find_method(name)
    if name in ("lora", "dora"):
        given = {**options, "use_dora": True} if name == "dora" else options
        return lora.attach(model, seed=seed, **given)
    chosen = check_options(name, options)
    lora.check_bare(model, f"{lora.FRESH}, then attach")
    if name == "full":
        check_unpacked(model)
        return model.requires_grad_(True)
    check_base(model, name)
    check_room(model, method.virtual and chosen["tokens"])

    adapted = made_by_peft(model, name, chosen, tokenizer, seed)
    return lora.note_start(adapted, f"untouched {method.title}")


def made_by_peft(
    model: "PreTrainedModel",
    name: str,
    chosen: dict[str, Any],
    tokenizer: "PreTrainedTokenizerBase | None",
    seed: int | None,
) -> lora.PeftModel:
    """What peft makes of a method, at its own defaults but for what the table says."""
    try:
        config = CONFIGS[name](model, chosen)
        with plain_torch(), lora.drawn_from(seed), warnings.catch_warnings(action="ignore"):
            adapted: Any = peft.get_peft_model(model, config)
            if chosen.get("text") is not None:
                begin_with_text(adapted, chosen["text"], tokenizer)
    except (ValueError, TypeError, KeyError, NotImplementedError, AttributeError) as error:
        raise UserError(
            f"{METHODS[name].title} can't be put on this {type(model).__name__} "
            f"({reason(error)}); give another method, such as lora."
        ) from error
    for label, parameter in adapted.named_parameters():
        if ".ranknum." in label:  # AdaLoRA's count, which peft unfreezes on the meta device
            parameter.requires_grad_(False)
    return adapted


def load(
    model: "PreTrainedModel | lora.PeftModel", folder: str | Path, name: str = "default"
) -> lora.PeftModel:
    """`lora.load` of any kind, the kit's own bottleneck among them."""
    return lora.load(model, folder, name)


def check_saved(model: "PreTrainedModel", folder: str | Path) -> dict[str, Any]:
    """`lora.check_saved` of any kind, the kit's own bottleneck among them."""
    return lora.check_saved(model, folder)


def name_of(model: nn.Module) -> str:
    """The method that is on a model, as `METHODS` calls it; "full" without an adapter.

    An adapter of a kind that the table lacks gives "".
    """
    if not lora.is_attached(model):
        return "full"
    config: Any = model.active_peft_config
    kind = getattr(config.peft_type, "value", config.peft_type)
    return method_of(kind, dora=bool(getattr(config, "use_dora", False)))


def check_unpacked(model: nn.Module) -> None:
    """Refuse to train all of a base in four or eight bits."""
    if models.is_packed(model):
        raise UserError(
            "a base in four or eight bits cannot be trained itself; load it without quant, or "
            "attach a lora."
        )


def check_base(model: "PreTrainedModel", name: str) -> None:
    """Refuse a base in four or eight bits where peft's layer of a method takes none."""
    if models.is_packed(model) and name in ("vera", "oft"):
        raise UserError(
            f"{METHODS[name].title} is not put on a base in four or eight bits here; load it "
            "without quant, or take lora, which is."
        )


def check_room(model: "PreTrainedModel", tokens: int) -> None:
    """Refuse more virtual tokens than the model has positions, with room for a text."""
    last = models.last_position(model)
    if last is not None and tokens >= last:
        raise UserError(
            f"tokens is {tokens:,}, and the model knows {last:,} positions, which the text needs "
            f"too; give at most {last // 2:,}, usually 20."
        )


def adalora_config(model: "PreTrainedModel", chosen: dict[str, Any]) -> peft.PeftConfig:
    """AdaLoRA from rank first_r to rank r on average; its steps are set by the run."""
    return peft.AdaLoraConfig(
        init_r=chosen["first_r"],
        target_r=chosen["r"],
        lora_alpha=chosen["alpha"],
        lora_dropout=chosen["dropout"],
        target_modules=targets_of(model, chosen),
        total_step=UNSET,
        task_type="CAUSAL_LM",
    )


def vera_config(model: "PreTrainedModel", chosen: dict[str, Any]) -> peft.PeftConfig:
    """VeRA; its random matrices are drawn again from their key, so that they need not be saved."""
    targets = targets_of(model, chosen)
    return peft.VeraConfig(r=chosen["r"], target_modules=targets, task_type="CAUSAL_LM")


def oft_config(model: "PreTrainedModel", chosen: dict[str, Any]) -> peft.PeftConfig:
    """OFT in blocks of so many inputs."""
    targets = targets_of(model, chosen)
    return peft.OFTConfig(
        r=0, oft_block_size=chosen["block"], target_modules=targets, task_type="CAUSAL_LM"
    )


def targets_of(model: "PreTrainedModel", chosen: dict[str, Any]) -> str | list[str]:
    """What peft gives to its target_modules for the kit's `targets`."""
    targets = chosen["targets"]
    if targets == "all-linear":
        return targets
    return lora.name_endings(models.linears(model), targets)


def ia3_config(model: "PreTrainedModel", chosen: dict[str, Any]) -> peft.PeftConfig:
    """IA³ on keys, values and the end of each MLP, as the paper has it.

    peft's own lists name queries in the place of keys for some families. A fused matrix of queries,
    keys and values is scaled whole.
    """
    names = list(models.linears(model))
    scaled, ends = find_endings(names, KEYS_AND_VALUES), find_endings(names, MLP_ENDS)
    if not scaled or not ends:
        raise ValueError("no layers of keys, values and MLP are found by their names")
    return peft.IA3Config(
        target_modules=[*scaled, *ends], feedforward_modules=ends, task_type="CAUSAL_LM"
    )


def ln_config(model: "PreTrainedModel", chosen: dict[str, Any]) -> peft.PeftConfig:
    """LN tuning on every norm of the model that has a gain."""
    ends = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if "norm" in type(module).__name__.lower() and hasattr(module, "weight")
    }
    return peft.LNTuningConfig(target_modules=sorted(ends), task_type="CAUSAL_LM")


def prompt_config(model: "PreTrainedModel", chosen: dict[str, Any]) -> peft.PeftConfig:
    """Prompt tuning, from random vectors; words to begin with come afterwards."""
    return peft.PromptTuningConfig(num_virtual_tokens=chosen["tokens"], task_type="CAUSAL_LM")


def prefix_config(model: "PreTrainedModel", chosen: dict[str, Any]) -> peft.PeftConfig:
    """Prefix tuning, without the network of the paper, so that what is trained is what is used."""
    return peft.PrefixTuningConfig(num_virtual_tokens=chosen["tokens"], task_type="CAUSAL_LM")


def p_tuning_config(model: "PreTrainedModel", chosen: dict[str, Any]) -> peft.PeftConfig:
    """P-tuning with its network of two bends."""
    return peft.PromptEncoderConfig(
        num_virtual_tokens=chosen["tokens"],
        encoder_hidden_size=chosen["hidden"],
        task_type="CAUSAL_LM",
    )


def begin_with_text(model: Any, text: str, tokenizer: "PreTrainedTokenizerBase | None") -> None:
    """Give the virtual tokens the embeddings of a text's tokens, repeated until there are enough.

    As peft does it from a tokenizer's name; here from the tokenizer itself, which may have none.
    """
    tokenizer = tokenizer or models.load_tokenizer(model.config._name_or_path)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    count = model.active_peft_config.num_virtual_tokens
    wanted = torch.tensor((ids * (count // len(ids) + 1))[:count], device=model.device)
    prompt = model.prompt_encoder[model.active_adapter].embedding.weight
    with torch.no_grad():
        prompt.copy_(model.get_base_model().get_input_embeddings()(wanted).to(prompt))


@dataclass
class BottleneckConfig(peft.PeftConfig):
    """What decides a bottleneck adapter: its width, and the layers that it stands behind."""

    width: int = 32
    target_modules: list[str] | str | None = None
    exclude_modules: list[str] | str | None = None
    bias: str = field(default="none")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = cast(Any, KIND)


class BottleneckLayer(nn.Module, BaseTunerLayer):
    """A layer with a `Bottleneck` behind it for each adapter."""

    adapter_layer_names = ("bottleneck_down", "bottleneck_up")

    def __init__(self, layer: nn.Module, adapter_name: str, config: BottleneckConfig) -> None:
        super().__init__()
        self.base_layer = layer
        self.bottleneck_down, self.bottleneck_up = nn.ModuleDict(), nn.ModuleDict()
        self._active_adapter, self.merged_adapters = adapter_name, []
        self.update_layer(adapter_name, config)

    def update_layer(self, adapter_name: str, config: BottleneckConfig, **_: Any) -> None:
        """Add an adapter of this name."""
        layer: Any = self.get_base_layer()
        made = Bottleneck(lora.sides(layer)[1], config.width).to(layer.weight.device)
        self.bottleneck_down[adapter_name], self.bottleneck_up[adapter_name] = made.down, made.up
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def forward(self, x: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
        """(…, d) of the layer, and what the adapters that are on add to it."""
        h = self.base_layer(x, *args, **options)
        for name in () if self.disable_adapters else self.active_adapters:
            if name in self.bottleneck_down:
                hidden = F.gelu(self.bottleneck_down[name](h))
                h = h + self.bottleneck_up[name](hidden).to(h.dtype)
        return h


class BottleneckModel(BaseTuner):
    """A model with `BottleneckLayer` behind its attention and its MLPs, as peft makes models."""

    prefix = "bottleneck_"
    tuner_layer_cls = BottleneckLayer
    target_module_mapping: dict[str, Any] = {}  # noqa: RUF012 (peft's own form)

    def _create_and_replace(
        self,
        peft_config: Any,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        **_: Any,
    ) -> None:
        if isinstance(target, BottleneckLayer):
            target.update_layer(adapter_name, peft_config)
            return
        new = BottleneckLayer(target, adapter_name, peft_config)
        if adapter_name not in self.active_adapters:
            new.requires_grad_(False)
        self._replace_module(parent, target_name, new, target)

    def merge_and_unload(self, *args: Any, **options: Any) -> nn.Module:
        """Refused: there is no matrix that does the same."""
        raise NotImplementedError(METHODS["bottleneck"].why)


def bottleneck_config(model: "PreTrainedModel", chosen: dict[str, Any]) -> BottleneckConfig:
    """Behind the layers that end attention and MLP, by the names that models give them."""
    found = find_endings(list(models.linears(model)), LAYER_ENDS)
    if not found:
        raise ValueError("no layers that end attention or MLP are found by their names")
    return BottleneckConfig(
        width=chosen["width"], target_modules=found, task_type=cast(Any, "CAUSAL_LM")
    )


PEFT_TYPE_TO_CONFIG_MAPPING[cast(Any, KIND)] = BottleneckConfig
PEFT_TYPE_TO_TUNER_MAPPING[cast(Any, KIND)] = BottleneckModel
PEFT_TYPE_TO_PREFIX_MAPPING[cast(Any, KIND)] = BottleneckModel.prefix

CONFIGS = {
    "adalora": adalora_config,
    "vera": vera_config,
    "oft": oft_config,
    "ia3": ia3_config,
    "ln_tuning": ln_config,
    "prompt": prompt_config,
    "prefix": prefix_config,
    "p_tuning": p_tuning_config,
    "bottleneck": bottleneck_config,
}


def pruned(model: nn.Module) -> Any:
    """peft's AdaLoRA inside a model; None for any other method."""
    return model.base_model if name_of(model) == "adalora" else None


def begin_pruning(model: nn.Module, steps: int, *, anew: bool = True) -> None:
    """Set AdaLoRA's schedule to a run of so many steps; nothing for other methods.

    anew: nothing is known yet of what is important; a run that goes on knows it.
    The full rank for a tenth of them and the final one for the last three tenths, as shares, so
    that a short run is pruned too (Zhang et al. 2023, §3.3).
    """
    if (tuner := pruned(model)) is None:
        return
    config = tuner.peft_config[tuner.trainable_adapter_name]
    config.total_step = steps
    config.tinit, config.tfinal = int(WARM * steps), max(1, int(SETTLED * steps))
    tuner.rankallocator.peft_config = config
    if anew:
        tuner.rankallocator.reset_ipt()
        config.rank_pattern = None


def prune(model: nn.Module, step: int) -> None:
    """Cut AdaLoRA's ranks after optimizer step number `step`, counted from 0.

    To be called while the gradients of the step are there. Nothing for other methods.
    """
    if (tuner := pruned(model)) is not None:
        tuner.update_and_allocate(step)


def training_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """What a run has to keep to go on, where a saved adapter is not enough; {} for most methods.

    peft gives no saved prompt back to be trained, saves P-tuning without its network, and AdaLoRA
    without what was cut and without how important each rank has been.
    """
    name = name_of(model)
    if name == "full" or not (name == "adalora" or models.virtual_tokens(model)):
        return {}
    state = {f"trained {n}": p.detach() for n, p in model.named_parameters() if p.requires_grad}
    if (tuner := pruned(model)) is not None:
        allocator, config = tuner.rankallocator, tuner.peft_config[tuner.trainable_adapter_name]
        for what in IMPORTANCE:
            state |= {f"{what} {n}": values for n, values in getattr(allocator, what).items()}
        kept = config.rank_pattern or {}
        state |= {f"kept {n}": torch.tensor(ranks) for n, ranks in kept.items()}
    return {name: values.contiguous().clone() for name, values in state.items()}


def restore_state(model: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Put a `training_state` back into the model that it was taken of."""
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for label, values in state.items():
        what, _, name = label.partition(" ")
        parts.setdefault(what, {})[name] = values
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, values in parts["trained"].items():
            parameters[name].copy_(values)
    if (tuner := pruned(model)) is not None:
        for what in IMPORTANCE:
            setattr(tuner.rankallocator, what, parts.get(what, {}))
        kept = {name: ranks.tolist() for name, ranks in parts.get("kept", {}).items()}
        tuner.peft_config[tuner.trainable_adapter_name].rank_pattern = kept or None


def penalty(model: nn.Module) -> torch.Tensor | float:
    """What AdaLoRA adds to each loss: its weight times the mean ‖P^T P - I‖; 0 for others.

    It keeps P and Q orthogonal and is no error of an answer: curves are drawn without it. peft adds
    it to a loss that the model itself computes; whether TRL's trainer asks for that one hangs on
    TRL's version, so a run computes it `without_penalty` and adds this.
    """
    if (tuner := pruned(model)) is None:
        return 0.0
    gaps = []
    for name, values in tuner.model.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            square = values @ values.T if "lora_A" in name else values.T @ values
            gaps.append((square - torch.eye(len(square), device=square.device)).norm())
    weight = tuner.peft_config[tuner.trainable_adapter_name].orth_reg_weight
    return weight * torch.stack(gaps).mean()


@contextlib.contextmanager
def without_penalty(model: nn.Module) -> Iterator[None]:
    """While it lasts, peft adds no `penalty` to a loss that the model computes itself."""
    if (tuner := pruned(model)) is None:
        yield
        return
    config = tuner.peft_config[tuner.trainable_adapter_name]
    weight, config.orth_reg_weight = config.orth_reg_weight, 0.0
    try:
        yield
    finally:
        config.orth_reg_weight = weight
