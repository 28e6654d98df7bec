"""A matrix seen through its singular values: how low its rank nearly is, and what a cut loses.

    svd(W)                         a `Spectrum`: W = U diag(S) Vh, its energy, error and cuts
    overlap(a, b)                  how far the leading directions of two matrices are the same
    amplification(W, delta, r)     how much ΔW strengthens what W does in its directions
    intruders(before, after)       directions of a tuned W that the old one does not have
    ranks(spectra)                 the ranks of a whole model, by kind of matrix
    random_like(W)                 noise of the same size, to compare with

A W is (d_out, d_in), as torch and peft store it. It looks at matrices and changes no model: they
come from `updates.weight` and `updates.deltas`, and `updates.add_updates` puts one back. What is
drawn of a spectrum is in `rank_explorer`. Notebook 01.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..core.errors import UserError, is_whole
from ..core.results import Result, TableParts, about, percent

SHARES = (0.5, 0.9, 0.99)  # of the energy: a half, nine tenths, all but a hundredth


@dataclass(frozen=True, repr=False, eq=False)
class Spectrum(Result):
    """A thin singular value decomposition, W = U diag(S) Vh, with n = min(d_out, d_in).

    U: (d_out, n), the output directions as columns. S: (n,), the singular values σ, falling.
    Vh: (n, d_in), the input directions as rows.
    """

    U: Tensor
    S: Tensor
    Vh: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """(d_out, d_in)."""
        return self.U.shape[0], self.Vh.shape[1]

    @cached_property
    def energy(self) -> list[float]:
        """energy[r] = Σ_{i≤r} σᵢ² / Σ σᵢ², for r from 0 to n.

        It is the share of ‖W‖²_F that the best rank-r matrix keeps.
        """
        squares = self.S.double() ** 2
        total = squares.sum()
        if not total:
            return [1.0] * (len(self.S) + 1)  # the zero matrix is kept whole by any rank
        return [0.0, *(squares.cumsum(0) / total).tolist()]

    def rank(self, share: float) -> int:
        """The smallest r that keeps `share` of the energy, a number above 0 and up to 1."""
        if not 0 < share <= 1:
            raise UserError(
                f"the share of energy is {share!r}; give a number above 0 and up to 1, such as 0.9."
            )
        reached = (r for r, energy in enumerate(self.energy) if energy >= share)
        return next(reached, len(self.S))

    def error(self, r: int) -> float:
        """‖W − W_r‖_F / ‖W‖_F = √(Σ_{i>r} σᵢ² / Σ σᵢ²).

        No matrix of rank r comes closer to W than W_r (Eckart and Young 1936).
        """
        self.check_rank(r)
        return max(0.0, 1 - self.energy[r]) ** 0.5

    def truncate(self, r: int) -> Tensor:
        """W_r = Σ_{i≤r} σᵢ uᵢ vᵢᵀ (d_out, d_in), the best of rank r; r = 0 gives zeros."""
        self.check_rank(r)
        return (self.U[:, :r] * self.S[:r]) @ self.Vh[:r]

    def rescale(self, indices: Iterable[int], factor: float) -> Tensor:
        """W (d_out, d_in) with the singular values `indices` multiplied by `factor`.

        A factor of 1 changes nothing, 0 removes these directions.
        """
        S = self.S.clone()
        S[list(indices)] *= factor
        return (self.U * S) @ self.Vh

    def check_rank(self, r: object) -> None:
        """Refuse a rank that the matrix can't have."""
        if not is_whole(r) or not 0 <= r <= len(self.S):
            raise UserError(
                f"r is {r!r}; for a {self.shape[0]} × {self.shape[1]} matrix "
                f"give a whole number from 0 to {len(self.S)}."
            )

    def table(self) -> TableParts:
        """One line per share of the energy with the rank that keeps it, then two sizes."""
        rows: list[Sequence[object]] = [
            (f"{share:.0%} of the energy", about(self.rank(share), 3)) for share in SHARES
        ]
        rows.append(("largest singular value", about(self.S[0].item())))
        rows.append(("full rank", len(self.S)))
        title = f"Spectrum of a {self.shape[0]} × {self.shape[1]} matrix"
        return title, ("what", "rank or value"), rows


def svd(W: Tensor, name: str = "the matrix") -> Spectrum:
    """The `Spectrum` of W (d_out, d_in), computed in float32.

    name: what an error calls it. What is no matrix, or holds NaN or infinity, is a `UserError`.
    """
    if W.ndim != 2:
        raise UserError(
            f"{name} has shape {tuple(W.shape)}; a spectrum needs a matrix (two dimensions), "
            "such as a linear layer's weight."
        )
    # torch's own error would name an algorithm and no cause
    W = W.detach().float()
    if not torch.isfinite(W).all():
        bad = int((~torch.isfinite(W)).sum())
        raise UserError(
            f"{name} holds {bad:,} values that are NaN or infinite, of {W.numel():,}; "
            "train again at a lower learning rate."
        )
    return Spectrum(*torch.linalg.svd(W, full_matrices=False))


def random_like(W: Tensor, seed: int = 0) -> Tensor:
    """Independent normal numbers in W's shape, with W's norm: a matrix without structure."""
    # drawn on the CPU, so that every device gets the same ones
    noise = torch.randn(W.shape, generator=torch.Generator().manual_seed(seed)).to(W.device)
    return noise * (W.float().norm() / noise.norm())


def overlap(a: Spectrum, b: Spectrum, side: str = "right") -> Tensor:
    """φ[i−1, j−1] = ‖aᵢ bⱼᵀ‖²_F / min(i, j): how much of a's top i directions lies in b's top j.

    0 means orthogonal, 1 that one space holds the other; for random spaces it is about
    max(i, j) / d (Hu et al. 2021, §7.2, eq. 4). The result is (n of a, n of b).

    side: "right" compares input directions (rows of Vh), "left" output directions (columns of U).
    Any other side, and matrices that have no such directions in common, are a `UserError`.
    """
    # the directions as rows: (n, d) of each matrix
    if side not in ("left", "right"):
        raise UserError(
            f"side is {side!r}; give 'right' (input directions) or 'left' (output directions)."
        )
    rows_a, rows_b = (a.Vh, b.Vh) if side == "right" else (a.U.T, b.U.T)
    if rows_a.shape[1] != rows_b.shape[1]:
        raise UserError(
            f"the {side} directions have {rows_a.shape[1]} and {rows_b.shape[1]} coordinates; "
            "compare matrices of one layer."
        )

    # the squared cosines of all pairs, summed over the first i and the first j
    sums = ((rows_a @ rows_b.T) ** 2).cumsum(0).cumsum(1)

    # the smaller space's dimension is the most that the sum can be
    i, j = (torch.arange(1, n + 1, device=sums.device) for n in sums.shape)
    return sums / torch.minimum(i[:, None], j[None, :])


@dataclass(frozen=True, repr=False)
class Amplification(Result):
    """How strongly W and ΔW act in the top-r directions of ΔW (Hu et al. 2021, §7.3, table 7).

    All are Frobenius norms. W_in_delta: ‖Uᵀ W V‖, U and V the top-r directions of ΔW; W_in_W: the
    same for W's own; W_in_random: for those of a random matrix; delta: ‖ΔW_r‖.
    """

    r: int
    W_in_delta: float
    W_in_W: float
    W_in_random: float
    delta: float

    @property
    def factor(self) -> float:
        """‖ΔW_r‖ / ‖Uᵀ W V‖: how much the update amplifies what W does in those directions."""
        return self.delta / self.W_in_delta

    def table(self) -> TableParts:
        """One line per set of directions, then the update and its factor."""
        rows: list[Sequence[object]] = [
            ("‖Uᵀ W V‖ in random directions", about(self.W_in_random)),
            ("‖Uᵀ W V‖ in ΔW's directions", about(self.W_in_delta)),
            ("‖Uᵀ W V‖ in W's own directions", about(self.W_in_W)),
            ("‖ΔW‖ at this rank", about(self.delta)),
            ("amplification", about(self.factor)),
        ]
        return f"Amplification, top {self.r} directions", ("what", "value"), rows


def amplification(W: Spectrum, delta: Spectrum, r: int) -> Amplification:
    """Project W on the top-r directions of ΔW, of W itself and of a random matrix.

    W and delta are the spectra of one layer's weight and of its update; of two, it is a
    `UserError`.
    """
    if W.shape != delta.shape:
        raise UserError(
            f"W is {W.shape[0]} × {W.shape[1]} and ΔW {delta.shape[0]} × {delta.shape[1]}; "
            "both must be of one layer."
        )
    delta.check_rank(r)

    # W as one matrix again, and a random one of its size
    matrix = W.truncate(len(W.S))
    noise = svd(random_like(matrix))

    def norm_in(directions: Spectrum) -> float:
        """‖Uᵀ W V‖ for the top r directions, Uᵀ (r, d_out) and V (d_in, r)."""
        return (directions.U[:, :r].T @ matrix @ directions.Vh[:r].T).norm().item()

    update_norm = torch.linalg.vector_norm(delta.S[:r]).item()
    return Amplification(r, norm_in(delta), norm_in(W), norm_in(noise), update_norm)


def intruders(before: Spectrum, after: Spectrum, k: int = 10, epsilon: float = 0.6) -> list[int]:
    """Which of after's top-k left singular vectors no singular vector of `before` resembles.

    Vector j is an intruder when max_i |cos(u_j, u_i⁰)| < epsilon over all vectors u_i⁰ of `before`
    (Shuttleworth et al. 2024, §3). Returns their indices, from 0 on.
    """
    if before.shape != after.shape:
        raise UserError(
            f"the matrices are {before.shape} and {after.shape}; "
            "compare one layer before and after tuning."
        )
    after.check_rank(k)
    # (k, n): the cosines of each new vector with all old ones
    cosines = (after.U[:, :k].T @ before.U).abs()
    closest = cosines.max(dim=1).values.tolist()
    return [j for j, cosine in enumerate(closest) if cosine < epsilon]


@dataclass(frozen=True, repr=False)
class Ranks(Result):
    """The ranks that keep SHARES of the energy, for all matrices of a model.

    ranks: {kind of matrix: for each layer one rank per share}. full: {kind: the full rank}.
    """

    ranks: dict[str, list[tuple[int, ...]]]
    full: dict[str, int]

    def median(self, share: float) -> float:
        """The median over all matrices of rank(share) / full rank; share is one of SHARES."""
        place = SHARES.index(share)
        return statistics.median(
            layer[place] / self.full[kind]
            for kind, layers in self.ranks.items()
            for layer in layers
        )

    def table(self) -> TableParts:
        """One line per kind of matrix with the median over layers, then the share of full rank."""
        rows: list[Sequence[object]] = []
        for kind, layers in self.ranks.items():
            medians = [statistics.median(column) for column in zip(*layers, strict=True)]
            rows.append((kind, *(about(rank, 3) for rank in medians), self.full[kind]))
        shares = [percent(self.median(share)) for share in SHARES]
        rows.append(("share of the full rank", *shares, ""))
        heads = ("matrix", *(f"{share:.0%}" for share in SHARES), "full rank")
        return "Rank by energy, median over layers", heads, rows


def ranks(spectra: Mapping[str, Spectrum]) -> Ranks:
    """The `Ranks` of a model's spectra, {name of the layer: Spectrum}.

    A matrix's kind is the last part of its name: "model.layers.0.self_attn.q_proj" is a q_proj.
    """
    by_kind: dict[str, list[tuple[int, ...]]] = {}
    full = {}
    for name, spectrum in spectra.items():
        kind = name.rsplit(".", 1)[-1]
        energy_ranks = tuple(spectrum.rank(share) for share in SHARES)
        by_kind.setdefault(kind, []).append(energy_ranks)
        full[kind] = len(spectrum.S)
    return Ranks(by_kind, full)
