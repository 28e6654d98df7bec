"""Merging is a claim to check: fold B A into W, then hold the merged model against the adapter
model on the same tokens.
"""

import copy
from dataclasses import dataclass

from .. import lora, models
from ..core.errors import UserError
from ..core.results import Result, about, percent
from ..models import is_packed

DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True, repr=False)
class MergeReport(Result):
    """How far merging moved the model: logits with the adapter against logits after merging, on the
    same tokens.
    """

    max_logit_gap: float  # max |Δlogit|
    kl: float  # mean KL(adapter ‖ merged), nats per token
    top1_agreement: float  # share of positions with the same most likely token
    # max |Δlogit| between adapter and base: what a merge that lost the adapter would show
    adapter_gap: float
    positions: int
    dtype: str

    def table(self):
        """One line a measure."""
        rows = [
            ("largest logit gap", about(self.max_logit_gap, 2)),
            ("KL, nats per token", about(self.kl, 2)),
            ("same most likely token", percent(self.top1_agreement)),
            ("for scale: adapter against base, largest logit gap", about(self.adapter_gap, 2)),
        ]
        return (
            f"Merged against adapter on {self.positions} positions, {self.dtype}",
            ("measure", "value"),
            rows,
        )


def probe_tokens(model, rows: int = 8, length: int = 64):
    """Seeded random token ids, (rows, length): hard on a merge, because no text keeps the logits
    tame.
    """
    import torch

    generator = torch.Generator().manual_seed(0)
    return torch.randint(model.config.vocab_size, (rows, length), generator=generator).to(
        model.device
    )


def independent_copy(model):
    """A deep copy that runs its own weights: TRL leaves a `forward` on the model that stays bound
    to the original when copied.
    """
    twin = copy.deepcopy(model)
    for module in twin.modules():
        module.__dict__.pop("forward", None)
    return twin


def logits(model, tokens):
    """The model's logits on ids (rows, length) in evaluation mode, float32, (rows, length,
    vocabulary).
    """
    import torch

    with torch.no_grad():
        return model.eval()(tokens).logits.float()


def reference_logits(model, tokens):
    """`(adapted, base)`: the logits of an adapter model with its adapter on and off."""
    if not lora.is_attached(model):
        raise UserError(
            f"the model is a {type(model).__name__} without an adapter, so there is nothing to merge; attach one with lora.attach."
        )
    adapted = logits(model, tokens)
    with model.disable_adapter():
        return adapted, logits(model, tokens)


def compare_logits(expected, base, found, dtype) -> MergeReport:
    """The report on three sets of logits: of the adapter model, of its base, of the merged model."""
    from torch.nn import functional as F

    kl = (
        F.kl_div(found.log_softmax(-1), expected.log_softmax(-1), log_target=True, reduction="none")
        .sum(-1)
        .mean()
        .item()
    )
    same = (expected.argmax(-1) == found.argmax(-1)).float().mean().item()
    largest, scale = (expected - found).abs().max().item(), (expected - base).abs().max().item()
    return MergeReport(
        largest,
        max(0.0, kl),
        same,
        scale,
        expected.shape[:2].numel(),
        str(dtype).removeprefix("torch."),
    )


def compare(tuned, merged, tokens=None) -> MergeReport:
    """Any merged model held against the adapter model that it should equal.

    tokens: ids (rows, length) to compare on; seeded random ones by default.
    """
    tokens = probe_tokens(tuned) if tokens is None else tokens
    return compare_logits(*reference_logits(tuned, tokens), logits(merged, tokens), merged.dtype)


def merge(model, tokens=None, in_place: bool = False, into=None):
    """`(merged, MergeReport)`: W + (alpha/r) · B A in every target, as a plain transformers model.

    tokens: ids (rows, length) to compare on; seeded random ones by default.
    in_place: reuse the model's memory (the adapter model is gone afterwards); by default a copy is
    merged.
    into: another base to merge into, which is left as it is. By default the one that the adapter
    was trained on, and if that is held in
    four or eight bits, its dequantized weights: rounding W + ΔW again would lose most of a small
    ΔW.
    """
    tokens = probe_tokens(model) if tokens is None else tokens
    before = reference_logits(model, tokens)
    check_finite(model)
    packed = is_packed(model)
    if in_place and (packed or into is not None):
        raise UserError(
            "in_place merges into the memory of W as it is: for a quantized model, or with `into`, leave in_place out."
        )
    if into is not None:
        target = lora.carry_over(model, independent_copy(into))
    elif packed:
        target = lora.carry_over(model, independent_copy(model).unload().dequantize())
    else:
        target = model if in_place else independent_copy(model)
    merged = target.merge_and_unload(safe_merge=True)
    return merged, compare_logits(*before, logits(merged, tokens), merged.dtype)


def check_finite(model) -> None:
    """Refuse an adapter with NaN or infinite values before anything is merged."""
    for name, p in model.named_parameters():
        if ".lora_" in name and not p.isfinite().all():
            raise UserError(
                f"the adapter's {models.plain_name(name)} holds NaN or infinite values; train again at a lower learning rate."
            )
