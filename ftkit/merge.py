"""Merging is a claim to check: fold B A into W, then hold the merged model against the adapter model on the same tokens."""

import copy
from dataclasses import dataclass

from . import lora
from .record import Record, about, percent
from .runtime import UserError


@dataclass(frozen=True, repr=False)
class MergeReport(Record):
    """How far merging moved the model: logits with the adapter against logits after merging, on the same tokens."""

    max_logit_gap: float  # max |Δlogit|
    kl: float  # mean KL(adapter ‖ merged), nats per token
    top1_agreement: float  # share of positions with the same most likely token
    adapter_gap: float  # max |Δlogit| between adapter and base: what a merge that lost the adapter would show
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
        return f"Merged against adapter on {self.positions} positions, {self.dtype}", ("measure", "value"), rows


def probe_tokens(model, rows: int = 8, length: int = 64):
    """Seeded random token ids, (rows, length): hard on a merge, because no text keeps the logits tame."""
    import torch

    generator = torch.Generator().manual_seed(0)
    return torch.randint(model.config.vocab_size, (rows, length), generator=generator).to(model.device)


def own_copy(model):
    """A deep copy that runs its own weights: TRL leaves a `forward` on the model that stays bound to the original when copied."""
    twin = copy.deepcopy(model)
    for module in twin.modules():
        module.__dict__.pop("forward", None)
    return twin


def merge(model, tokens=None, in_place: bool = False):
    """`(merged, MergeReport)`: W + (alpha/r) · B A in every target, as a plain transformers model.

    tokens: ids (rows, length) to compare on; seeded random ones by default.
    in_place: reuse the model's memory (the adapter model is gone afterwards); by default a copy is merged.
    """
    import torch
    from torch.nn import functional as F

    if not lora.is_attached(model):
        raise UserError(
            f"the model is a {type(model).__name__} without an adapter, so there is nothing to merge; attach one with lora.attach."
        )
    tokens = probe_tokens(model) if tokens is None else tokens
    model.eval()
    with torch.no_grad():
        adapted = model(tokens).logits.float()
        with model.disable_adapter():
            base = model(tokens).logits.float()
        merged = (model if in_place else own_copy(model)).merge_and_unload(safe_merge=True)
        after = merged(tokens).logits.float()
    gap = (adapted - after).abs().max().item()
    kl = F.kl_div(after.log_softmax(-1), adapted.log_softmax(-1), log_target=True, reduction="none").sum(-1).mean().item()
    same = (adapted.argmax(-1) == after.argmax(-1)).float().mean().item()
    dtype = str(next(merged.parameters()).dtype).removeprefix("torch.")
    return merged, MergeReport(gap, max(0.0, kl), same, (adapted - base).abs().max().item(), tokens.numel(), dtype)
