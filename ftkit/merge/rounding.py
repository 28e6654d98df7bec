"""What does a format leave of an update? W + ΔW has to fit into 16 bits, or into four.

    round_update(W, delta, format)    how much of ΔW arrives: a `RoundedUpdate`
    compare_dtypes(model)             one adapter, run and merged in several dtypes
    round_to(W, format)               W as a dtype or a quantization format can hold it

Rounding to four bits is `quant`'s; which base to merge a QLoRA into is decided in `merging`, and
`explorer` draws what is measured here. Notebook 13.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from .. import lora, quant
from ..core.errors import UserError, nearest
from ..core.results import Result, TableParts, about, percent
from .merging import (
    DTYPES,
    MergeReport,
    compare_logits,
    fold_in,
    independent_copy,
    logits,
    probe_tokens,
    reference_logits,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from ..lora import PeftModel


@dataclass(frozen=True, repr=False)
class DtypeComparison(Result):
    """One adapter run and merged in several dtypes, each against the adapter in float32."""

    reports: dict[str, dict[str, MergeReport]]  # by dtype and by way

    def table(self) -> TableParts:
        """One line per dtype and way."""
        rows: list[Sequence[object]] = []
        for dtype, ways in self.reports.items():
            for way, report in ways.items():
                gap, kl = about(report.max_logit_gap, 2), about(report.kl, 2)
                rows.append((dtype, way, gap, kl, percent(report.top1_agreement)))
        heads = ("dtype", "model", "logit gap", "KL", "same token")
        return "Against the adapter in float32", heads, rows


def compare_dtypes(
    model: "PreTrainedModel | PeftModel",
    tokens: torch.Tensor | None = None,
    dtypes: Sequence[str] = DTYPES,
) -> DtypeComparison:
    """What a dtype costs an adapter model, merged or not.

    model: an adapter model in float32, which is left as it is; tokens as in `merge.compare`. The
    ways are "adapter": everything cast and not merged; "cast, merged": W and ΔW added in the
    dtype; "merged, cast": added in float32 and rounded once. An unknown dtype is a `UserError`.
    """
    for name in dtypes:
        if name not in DTYPES:
            raise UserError(
                f"the dtype is {name!r}; give one of {', '.join(DTYPES)}.{nearest(name, DTYPES)}"
            )
    # what everything is held against: the adapter model as it is
    tokens = probe_tokens(model) if tokens is None else tokens
    adapted, base = reference_logits(model, tokens)
    tuned = lora.check_adapters(model)
    reports = {}
    for name in dtypes:
        # each way works on a copy of its own, because merging and casting change a model in place
        dtype = getattr(torch, name)
        cast = independent_copy(tuned).to(dtype)
        ways = {
            "adapter": cast,
            "cast, merged": fold_in(independent_copy(cast)),
            "merged, cast": fold_in(independent_copy(tuned)).to(dtype),
        }
        reports[name] = {
            way: compare_logits(adapted, base, logits(twin, tokens), dtype)
            for way, twin in ways.items()
        }
    return DtypeComparison(reports)


def round_to(W: torch.Tensor, format: str) -> torch.Tensor:
    """W as `format` can hold it, in float32 and in its own shape (d_out, d_in).

    format: a dtype such as "bfloat16", or one of `quant.BITS`, in blocks of 64; another one is a
    `UserError`.
    """
    if format in DTYPES:
        return W.to(getattr(torch, format)).float()
    if format not in quant.BITS:
        known = [*DTYPES, *quant.BITS]
        raise UserError(
            f"the format is {format!r}; give one of {', '.join(known)}.{nearest(format, known)}"
        )
    return quant.quantize(W.float(), format).dequantize().to(W.device)


@dataclass(frozen=True, repr=False, eq=False)
class RoundedUpdate(Result):
    """What is left of an update ΔW once W + ΔW has to fit a format."""

    wanted: torch.Tensor  # ΔW, (d_out, d_in)
    arrived: torch.Tensor  # round(W + ΔW) − round(W), the same shape
    size: float  # ‖ΔW‖ / ‖W‖, Frobenius

    @property
    def kept(self) -> float:
        """⟨arrived, ΔW⟩ / ‖ΔW‖²: how much of the update arrives; 1 is all of it, 0 nothing.

        Rounding noise averages out of it.
        """
        return ((self.arrived * self.wanted).sum() / self.wanted.square().sum()).item()

    @property
    def error(self) -> float:
        """‖arrived − ΔW‖ / ‖ΔW‖: what is missing and the rounding noise together."""
        return ((self.arrived - self.wanted).norm() / self.wanted.norm()).item()

    def table(self) -> TableParts:
        """Size, share kept, error."""
        rows = [
            ("‖ΔW‖ / ‖W‖", percent(self.size)),
            ("update kept", percent(self.kept)),
            ("error of the update", percent(self.error)),
        ]
        return "An update after rounding", ("", "value"), rows


def round_update(W: torch.Tensor, delta: torch.Tensor, format: str) -> RoundedUpdate:
    """Round W + ΔW, both (d_out, d_in), to a format (see `round_to`), and see what is left of ΔW.

    It matters what W is: one that lies on the format's own levels stays there under a small ΔW; one
    that lies between them is tipped over by it now and then, and on average by as much as it
    should.
    """
    W = W.detach().float()
    arrived = round_to(W + delta, format) - round_to(W, format)
    return RoundedUpdate(delta, arrived, size=(delta.norm() / W.norm()).item())
