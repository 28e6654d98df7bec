"""TODO header of merge.rounding."""

from collections.abc import Sequence
from dataclasses import dataclass

from .. import quant
from ..core.errors import UserError, nearest
from ..core.results import Result, about, percent
from .folding import DTYPES, MergeReport, compare_logits, logits, independent_copy, probe_tokens, reference_logits


@dataclass(frozen=True, repr=False)
class DtypeComparison(Result):
    """The same adapter run and merged in several dtypes, each held against the adapter in float32:
    reports[dtype][way].
    """

    reports: dict[str, dict[str, MergeReport]]

    def table(self):
        """One line a dtype and a way."""
        rows = [
            (dtype, way, about(r.max_logit_gap, 2), about(r.kl, 2), percent(r.top1_agreement))
            for dtype, ways in self.reports.items()
            for way, r in ways.items()
        ]
        return (
            "Against the adapter in float32",
            ("dtype", "model", "logit gap", "KL", "same token"),
            rows,
        )


def compare_dtypes(model, tokens=None, dtypes: Sequence[str] = DTYPES) -> DtypeComparison:
    """What a dtype costs an adapter model, merged or not; model: an adapter model in float32, which
    is left as it is.

    adapter: everything cast and not merged; cast, merged: W and ΔW added in the dtype; merged,
    cast: added in float32 and rounded once.
    """
    import torch

    for dtype in dtypes:
        if dtype not in DTYPES:
            raise UserError(
                f"the dtype is {dtype!r}; give one of {', '.join(DTYPES)}.{nearest(dtype, DTYPES)}"
            )
    tokens = probe_tokens(model) if tokens is None else tokens
    before = reference_logits(model, tokens)
    found = {}
    for name in dtypes:
        dtype = getattr(torch, name)
        ways = {
            "adapter": independent_copy(model).to(dtype),
            "cast, merged": independent_copy(model).to(dtype).merge_and_unload(safe_merge=True),
            "merged, cast": independent_copy(model).merge_and_unload(safe_merge=True).to(dtype),
        }
        found[name] = {
            way: compare_logits(*before, logits(twin, tokens), dtype) for way, twin in ways.items()
        }
    return DtypeComparison(found)


def round_to(W, format: str):
    """W as `format` can hold it, float32: a dtype such as "bfloat16", or one of `quant.BITS`, in
    blocks of 64.
    """
    import torch

    if format in DTYPES:
        return W.to(getattr(torch, format)).float()
    if format not in quant.BITS:
        raise UserError(
            f"the format is {format!r}; give one of {', '.join([*DTYPES, *quant.BITS])}.{nearest(format, [*DTYPES, *quant.BITS])}"
        )
    return quant.quantize(W.float(), format).dequantize().to(W.device)


@dataclass(frozen=True, repr=False, eq=False)
class RoundedUpdate(Result):
    """What is left of an update ΔW once W + ΔW has to fit a format."""

    wanted: object  # ΔW, (d_out, d_in)
    arrived: object  # round(W + ΔW) − round(W), the same shape
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

    def table(self):
        """Size, share kept, error."""
        rows = [
            ("‖ΔW‖ / ‖W‖", percent(self.size)),
            ("update kept", percent(self.kept)),
            ("error of the update", percent(self.error)),
        ]
        return "An update after rounding", ("", "value"), rows


def round_update(W, delta, format: str) -> RoundedUpdate:
    """Round W + ΔW, both (d_out, d_in), to `format` (see `rounded`), and see what is left of ΔW.

    It matters what W is: one that lies on the format's own levels stays there under a small ΔW; one
    that lies between them is tipped over by it now and then, and on average by as much as it
    should.
    """
    W = W.detach().float()
    return RoundedUpdate(
        delta, round_to(W + delta, format) - round_to(W, format), (delta.norm() / W.norm()).item()
    )
