"""Merge one adapter for good, W + ΔW in place of W, and prove that the model is still the same.

    merge(model)              (the merged model, a `MergeReport`)
    merge_if_exact(tuned)     the merged model where merging rounds nothing worth the name
    compare(tuned, merged)    the same report on a merge that was made elsewhere
    check_report(report, …)   refuses a merged model that is not the tuned one
    independent_copy(model)   a copy to try a merge on

Both models read the same tokens and their logits are compared, beside what a merge that lost the
adapter would show. A merged model is written by `writing`; what 16 or four bits cost a merge is
measured in `rounding`; several adapters are combined in `combining`. Notebooks 00 and 13.
"""

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch

from .. import evaluate, lora, methods, models
from ..core.errors import UserError, reason
from ..core.results import Result, TableParts, about, percent
from ..core.session import plain_torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from ..lora import PeftModel

DTYPES = ("float32", "bfloat16", "float16")
# A merge that moved the logits by more than this share of the adapter's effect lost the adapter, or
# something of the base; what float32 rounds off is below NOISE.
LOST, NOISE = 0.5, 1e-3
Module = TypeVar("Module", bound=torch.nn.Module)


@dataclass(frozen=True, repr=False)
class MergeReport(Result):
    """How far merging moved the model: logits with the adapter against those after merging."""

    max_logit_gap: float  # max |Δlogit|
    kl: float  # mean KL(adapter ‖ merged), nats per token
    top1_agreement: float  # share of positions with the same most likely token
    # max |Δlogit| between adapter and base: what a merge that lost the adapter would show
    adapter_gap: float
    positions: int
    dtype: str

    def table(self) -> TableParts:
        """One line per measure."""
        rows = [
            ("largest logit gap", about(self.max_logit_gap, 2)),
            ("KL, nats per token", about(self.kl, 2)),
            ("same most likely token", percent(self.top1_agreement)),
            ("for scale: adapter against base, largest logit gap", about(self.adapter_gap, 2)),
        ]
        title = f"Merged against adapter on {self.positions} positions, {self.dtype}"
        return title, ("measure", "value"), rows


def probe_tokens(
    model: "PreTrainedModel | PeftModel", rows: int = 8, length: int = 64
) -> torch.Tensor:
    """Seeded random token ids, (rows, length).

    They are hard on a merge, because no text keeps the logits tame.
    """
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(model.config.vocab_size, (rows, length), generator=generator)
    return ids.to(model.device)


def independent_copy(model: Module) -> Module:
    """A deep copy that runs its own weights.

    TRL leaves a `forward` on the model it trains, which stays bound to the original when copied.
    """
    # tied adapters are noted in peft's layers as views, which can't be copied and nothing reads
    notes = [getattr(module, "kwargs", None) or {} for module in model.modules()]
    views = [view for note in notes for view in (note.get("tied_adapter") or {}).values()]
    twin = copy.deepcopy(model, {id(view): view.detach() for view in views})
    for module in twin.modules():
        module.__dict__.pop("forward", None)
    return twin


def logits(model: torch.nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    """The model's logits in evaluation mode, float32: (rows, length, vocabulary).

    tokens: ids (rows, length).
    """
    with models.asking(model):
        return model(tokens).logits.float()


def reference_logits(
    model: "PreTrainedModel | PeftModel", tokens: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(adapted, base): the logits of an adapter model with its adapter on and off."""
    if not lora.is_attached(model):
        raise UserError(
            f"the model is a {type(model).__name__} without an adapter, so there is nothing to "
            "merge; attach one with lora.attach."
        )
    adapted = logits(model, tokens)
    with lora.using(model, None):
        return adapted, logits(model, tokens)


def merge_if_exact(tuned: "PreTrainedModel | PeftModel") -> "PreTrainedModel":
    """The tuned model with its update merged into a copy, half as fast again, where that is the
    same within rounding: in float32. In 16 or four bits merging rounds, and the model stays as it
    is; so does one without an adapter, or with one that can't be merged.
    """
    method = methods.METHODS.get(methods.name_of(tuned))
    lasting = not lora.is_attached(tuned) or (method is not None and not method.merges)
    if lasting or any(number.dtype != torch.float32 for number in tuned.parameters()):
        return cast("PreTrainedModel", tuned)  # peft's model has the same calls
    return merge(tuned)[0]


def compare_logits(
    adapted: torch.Tensor, base: torch.Tensor, merged: torch.Tensor, dtype: torch.dtype
) -> MergeReport:
    """The report on the logits of the adapter model, of its base and of the merged model.

    All three are (rows, length, vocabulary) on the same tokens; dtype is the merged model's.
    """
    kl = evaluate.kl(adapted.log_softmax(-1), merged.log_softmax(-1)).mean().item()
    same = adapted.argmax(-1) == merged.argmax(-1)
    return MergeReport(
        max_logit_gap=(adapted - merged).abs().max().item(),
        kl=max(0.0, kl),  # rounding may fall below 0
        top1_agreement=same.float().mean().item(),
        adapter_gap=(adapted - base).abs().max().item(),
        positions=same.numel(),
        dtype=str(dtype).removeprefix("torch."),
    )


@plain_torch()
def compare(
    tuned: "PreTrainedModel | PeftModel",
    merged: "PreTrainedModel",
    tokens: torch.Tensor | None = None,
) -> MergeReport:
    """Any merged model held against the adapter model that it should equal.

    tokens: ids (rows, length) to compare on; seeded random ones by default. A `tuned` without an
    adapter is a `UserError`.
    """
    tokens = probe_tokens(tuned) if tokens is None else tokens
    adapted, base = reference_logits(tuned, tokens)
    return compare_logits(adapted, base, logits(merged, tokens), merged.dtype)


@plain_torch()
def merge(
    model: "PreTrainedModel | PeftModel",
    tokens: torch.Tensor | None = None,
    *,
    in_place: bool = False,
    into: "PreTrainedModel | None" = None,
) -> tuple["PreTrainedModel", MergeReport]:
    """W + (alpha/r) · B A in every target: (a plain transformers model, its `MergeReport`).

    tokens: ids (rows, length) to compare on; seeded random ones by default. in_place: reuse the
    model's memory, and the adapter model is gone afterwards; by default a copy is merged. into:
    another base to merge into, which is left as it is.

    By default the base is the one that the adapter was trained on; if that is held in four or
    eight bits, its dequantized weights: rounding W + ΔW again would lose most of a small ΔW. A
    model without an adapter, NaN in it, and in_place where it can't be are a `UserError`; so is a
    merged model that is no longer the tuned one (`check_report`), unless `into` asked for another.
    """
    check_mergeable(model)
    tokens = probe_tokens(model) if tokens is None else tokens
    adapted, base = reference_logits(model, tokens)
    cause = likely_cause(model)
    merged = merge_weights(model, in_place=in_place, into=into)
    report = compare_logits(adapted, base, logits(merged, tokens), merged.dtype)
    if into is None:
        check_report(report, cause)
    return merged, report


def merge_weights(
    model: "PreTrainedModel | PeftModel",
    *,
    in_place: bool = False,
    into: "PreTrainedModel | None" = None,
) -> "PreTrainedModel":
    """`merge` without its proof."""
    check_mergeable(model)
    check_finite(model)
    if in_place and (models.is_packed(model) or into is not None):
        raise UserError(
            "in_place merges into the memory of W as it is: for a quantized model, or with `into`, "
            "leave in_place out."
        )
    target = lora.check_adapters(model)
    return fold_in(target if in_place else copy_to_merge(target, into))


def fold_in(model: "PeftModel") -> "PreTrainedModel":
    """peft's own merge, in the memory of `model`; `UserError` for an adapter that has none.

    Where the adapter updates the matrix that head and embedding share, each gets its own: merged
    into one, both would have the update of both (peft 2018).
    """
    if updates_shared(model):
        part_head(model)
    try:
        return cast("PreTrainedModel", model.merge_and_unload(safe_merge=True).eval())
    except (RuntimeError, ValueError, NotImplementedError, TypeError) as error:
        raise UserError(
            f"peft can't merge this adapter ({reason(error)}); use it beside its base, by "
            "lora.load."
        ) from error


def part_head(model: "PeftModel") -> None:
    """Give the head a matrix of its own, with the same numbers as the embedding's."""
    head: Any = cast("PreTrainedModel", model.get_base_model()).get_output_embeddings()
    layer = getattr(head, "base_layer", head)
    layer.weight = torch.nn.Parameter(layer.weight.detach().clone(), requires_grad=False)
    model.config.tie_word_embeddings = False


def likely_cause(model: "PreTrainedModel | PeftModel") -> str:
    """What a merge of this model can't keep, and the cure, for the sentence of `check_report`."""
    if models.is_packed(model):
        return (
            "its base is quantized and computes with numbers that no dequantized matrix has; "
            "train on nf4 or without quant, or use the adapter beside its base"
        )
    return "merge in float32, or use the adapter beside its base"


def updates_shared(model: "PreTrainedModel | PeftModel") -> bool:
    """Whether a LoRA updates the matrix that embedding and head share: merged, it changes both."""
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    tied = getattr(model.config, "tie_word_embeddings", False)
    return tied and any(hasattr(layer, "lora_A") for layer in ends)


def check_report(report: MergeReport, cause: str) -> None:
    """Refuse a merge that lost the adapter, or moved the model by as much as the adapter does.

    That is a largest logit gap above half of the adapter's own, or NaN. cause: the end of the
    sentence, what the likely reason is and what mends it.
    """
    gap, effect = report.max_logit_gap, report.adapter_gap
    if gap <= max(LOST * effect, NOISE):
        return
    raise UserError(
        f"the model merged in {report.dtype} is not the tuned one: its logits are off by "
        f"{about(gap, 2)}, and all that the adapter does to them is {about(effect, 2)}; {cause}."
    )


def copy_to_merge(model: "PeftModel", into: "PreTrainedModel | None") -> "PeftModel":
    """The adapter on a copy of `into`, or of its own base, dequantized if it is packed."""
    if into is not None:
        lora.check_portable(model)
        return lora.carry_over(model, independent_copy(into))
    if models.is_packed(model):
        unpacked = independent_copy(model).unload().dequantize()
        return lora.carry_over(model, unpacked)
    return independent_copy(model)


def check_mergeable(model: torch.nn.Module) -> None:
    """Refuse an adapter that no matrix can take the place of, by its name and with the reason."""
    method = methods.METHODS.get(methods.name_of(model))
    if method is not None and not method.merges:
        raise UserError(
            f"{method.title} cannot be merged: {method.why}; use it beside its base, by "
            "methods.load."
        )


def check_finite(model: torch.nn.Module) -> None:
    """Refuse an adapter with NaN or infinite values before anything is merged."""
    for name, parameter in model.named_parameters():
        if lora.adapter_of(name) and not parameter.isfinite().all():
            raise UserError(
                f"the adapter's {models.plain_name(name)} holds NaN or infinite values; train "
                "again at a lower learning rate."
            )
