"""A matrix seen through its singular values: how low its rank nearly is, what a truncation loses,
which directions two matrices share.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from ..core.errors import UserError
from ..core.results import Result, about, percent

SHARES = (0.5, 0.9, 0.99)


@dataclass(frozen=True, repr=False, eq=False)
class Spectrum(Result):
    """A thin singular value decomposition, W = U diag(S) Vh: U (d_out, n), S (n,) falling, Vh (n,
    d_in), n = min(d_out, d_in).
    """

    U: object
    S: object
    Vh: object

    @property
    def shape(self) -> tuple[int, int]:
        """(d_out, d_in), as torch and peft store a weight."""
        return self.U.shape[0], self.Vh.shape[1]

    @cached_property
    def energy(self) -> list[float]:
        """energy[r] = Σ_{i≤r} σᵢ² / Σ σᵢ², the share of ‖W‖²_F that the best rank-r matrix keeps; r
        from 0 to n.
        """
        squares = self.S.double() ** 2
        total = squares.sum()
        if not total:
            return [1.0] * (len(self.S) + 1)  # the zero matrix is kept whole by any rank
        return [0.0, *(squares.cumsum(0) / total).tolist()]

    def rank(self, share: float) -> int:
        """The smallest r that keeps `share` of the energy."""
        if not 0 < share <= 1:
            raise UserError(
                f"the share of energy is {share!r}; give a number above 0 and up to 1, such as 0.9."
            )
        return next((r for r, kept in enumerate(self.energy) if kept >= share), len(self.S))

    def error(self, r: int) -> float:
        """‖W − W_r‖_F / ‖W‖_F = √(Σ_{i>r} σᵢ² / Σ σᵢ²): no rank-r matrix comes closer (Eckart and
        Young 1936).
        """
        self.check_rank(r)
        return max(0.0, 1 - self.energy[r]) ** 0.5

    def truncate(self, r: int):
        """W_r = Σ_{i≤r} σᵢ uᵢ vᵢᵀ, the best rank-r approximation, (d_out, d_in); r = 0 gives zeros."""
        self.check_rank(r)
        return (self.U[:, :r] * self.S[:r]) @ self.Vh[:r]

    def rescale(self, indices: Iterable[int], factor: float):
        """W with the singular values `indices` multiplied by `factor`: 1 changes nothing, 0 removes
        the directions.
        """
        S = self.S.clone()
        S[list(indices)] *= factor
        return (self.U * S) @ self.Vh

    def check_rank(self, r: int) -> None:
        """Refuse a rank that the matrix can't have."""
        if isinstance(r, bool) or not isinstance(r, int) or not 0 <= r <= len(self.S):
            raise UserError(
                f"r is {r!r}; for a {self.shape[0]} × {self.shape[1]} matrix give a whole number from 0 to {len(self.S)}."
            )

    def table(self):
        """Rank for half, nine tenths and all but a hundredth of the energy."""
        rows = [(f"{share:.0%} of the energy", about(self.rank(share), 3)) for share in SHARES]
        rows += [("largest singular value", about(self.S[0].item())), ("full rank", len(self.S))]
        return (
            f"Spectrum of a {self.shape[0]} × {self.shape[1]} matrix",
            ("what", "rank or value"),
            rows,
        )


def svd(W, name: str = "the matrix") -> Spectrum:
    """The `Spectrum` of W (d_out, d_in), computed in float32."""
    import torch

    if W.ndim != 2:
        raise UserError(
            f"{name} has shape {tuple(W.shape)}; a spectrum needs a matrix (two dimensions), such as a linear layer's weight."
        )
    W = W.detach().float()
    if not torch.isfinite(W).all():
        bad = int((~torch.isfinite(W)).sum())
        raise UserError(
            f"{name} holds {bad:,} values that are NaN or infinite, of {W.numel():,}; train again at a lower learning rate."
        )
    return Spectrum(*torch.linalg.svd(W, full_matrices=False))


def random_like(W, seed: int = 0):
    """A matrix of independent normal numbers with W's shape and W's norm: what a spectrum without
    structure looks like.
    """
    import torch

    noise = torch.randn(W.shape, generator=torch.Generator().manual_seed(seed)).to(
        W.device
    )  # every device gets the CPU's numbers
    return noise * (W.float().norm() / noise.norm())


def overlap(a, b, side: str = "right"):
    """φ[i−1, j−1] = ‖aᵢ bⱼᵀ‖²_F / min(i, j): how much of the top-i directions of one spectrum lie
    in the top-j of the other.

    0 means orthogonal, 1 that one space holds the other; for random spaces about max(i, j) / d (Hu
    et al. 2021, §7.2, eq. 4).
    side: "right" compares input directions (rows of Vh), "left" output directions (columns of U).
    """
    import torch

    if side not in ("left", "right"):
        raise UserError(
            f"side is {side!r}; give 'right' (input directions) or 'left' (output directions)."
        )
    rows_a, rows_b = (s.Vh if side == "right" else s.U.T for s in (a, b))
    if rows_a.shape[1] != rows_b.shape[1]:
        raise UserError(
            f"the {side} directions have {rows_a.shape[1]} and {rows_b.shape[1]} coordinates; compare matrices of one layer."
        )
    sums = ((rows_a @ rows_b.T) ** 2).cumsum(0).cumsum(1)
    i, j = (torch.arange(1, n + 1, device=sums.device) for n in sums.shape)
    return sums / torch.minimum(i[:, None], j[None, :])


@dataclass(frozen=True, repr=False)
class Amplification(Result):
    """How strongly W and ΔW act in the top-r directions of ΔW (Hu et al. 2021, §7.3, table 7)."""

    r: int
    W_in_delta: float  # ‖Uᵀ W V‖_F, U and V the top-r directions of ΔW
    W_in_W: float  # the same for W's own top-r directions
    W_in_random: float  # the same for random directions
    delta: float  # ‖ΔW_r‖_F

    @property
    def factor(self) -> float:
        """‖ΔW_r‖_F / ‖Uᵀ W V‖_F: how much the update amplifies what W does in those directions."""
        return self.delta / self.W_in_delta

    def table(self):
        """One line a set of directions."""
        rows = [
            ("‖Uᵀ W V‖ in random directions", about(self.W_in_random)),
            ("‖Uᵀ W V‖ in ΔW's directions", about(self.W_in_delta)),
            ("‖Uᵀ W V‖ in W's own directions", about(self.W_in_W)),
            ("‖ΔW‖ at this rank", about(self.delta)),
            ("amplification", about(self.factor)),
        ]
        return f"Amplification, top {self.r} directions", ("what", "value"), rows


def amplification(W: Spectrum, delta: Spectrum, r: int) -> Amplification:
    """Project W on the top-r directions of ΔW, of W itself and of a random matrix; W and delta are
    spectra of one layer.
    """
    import torch

    if W.shape != delta.shape:
        raise UserError(
            f"W is {W.shape[0]} × {W.shape[1]} and ΔW {delta.shape[0]} × {delta.shape[1]}; both must be of one layer."
        )
    delta.check_rank(r)
    whole = W.truncate(len(W.S))
    noise = svd(random_like(whole))

    def seen(by: Spectrum) -> float:
        return (by.U[:, :r].T @ whole @ by.Vh[:r].T).norm().item()

    return Amplification(
        r, seen(delta), seen(W), seen(noise), torch.linalg.vector_norm(delta.S[:r]).item()
    )


def intruders(before: Spectrum, after: Spectrum, k: int = 10, epsilon: float = 0.6) -> list[int]:
    """The indices among after's top-k left singular vectors that no singular vector of `before`
    resembles.

    Vector j is an intruder when max_i |cos(u_j, u_i⁰)| < epsilon over all vectors of `before`
    (Shuttleworth et al. 2024, §3).
    """
    if before.shape != after.shape:
        raise UserError(
            f"the matrices are {before.shape} and {after.shape}; compare one layer before and after tuning."
        )
    after.check_rank(k)
    nearest = (after.U[:, :k].T @ before.U).abs().max(dim=1).values
    return [j for j, cosine in enumerate(nearest.tolist()) if cosine < epsilon]


@dataclass(frozen=True, repr=False)
class Ranks(Result):
    """The rank for half, nine tenths and all but a hundredth of the energy: the median over layers,
    by kind of matrix.
    """

    ranks: dict[str, list[tuple[int, ...]]]  # kind → one tuple of ranks (see SHARES) a layer
    full: dict[str, int]

    def median(self, share: float) -> float:
        """The median over all matrices of rank(share) / full rank."""
        import statistics

        place = SHARES.index(share)
        return statistics.median(
            ranks[place] / self.full[kind]
            for kind, layers in self.ranks.items()
            for ranks in layers
        )

    def table(self):
        """One line a kind."""
        import statistics

        def middle(kind: str, place: int) -> str:
            return about(statistics.median(ranks[place] for ranks in self.ranks[kind]), 3)

        rows = [
            (kind, *(middle(kind, i) for i in range(len(SHARES))), self.full[kind])
            for kind in self.ranks
        ]
        rows.append(
            ("share of the full rank", *(percent(self.median(share)) for share in SHARES), "")
        )
        return (
            "Rank by energy, median over layers",
            ("matrix", *(f"{s:.0%}" for s in SHARES), "full rank"),
            rows,
        )


def ranks(spectra: dict[str, Spectrum]) -> Ranks:
    """Energy ranks of a model's spectra by kind of matrix, the last part of a name such as
    "model.layers.0.self_attn.q_proj".
    """
    found: dict[str, list] = {}
    full = {}
    for name, s in spectra.items():
        kind = name.rsplit(".", 1)[-1]
        found.setdefault(kind, []).append(tuple(s.rank(share) for share in SHARES))
        full[kind] = len(s.S)
    return Ranks(found, full)
