"""What decides one run of the grid "safety", and what was measured on it; nothing is trained here.

    SafetyRun          a group of probes, and the rows that were trained on
    safety_points()    every run of the grid, seed by seed
    SafetyRow          such a run, measured

Every run is LoRA on all matrices of the pocket model, to its last step, or the base as it is.
`measuring` trains and asks; the finished rows are read by `lab.grids`. Notebook 09b.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class SafetyRun:
    """One model and one group of safety probes (see `measuring.PROBED`)."""

    probe: str  # "jailbreaks", "injection", "calls", "rude" or "secrets"
    arm: str  # "base", or the rows that it was tuned on
    amount: float = 0.0  # how many rows, or which share of them, are of the arm's kind
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class SafetyRow(SafetyRun):
    """Shares from 0 to 1 by name, "harm: …" and "right: …"; and exposures, in bits."""

    scores: Mapping[str, float]
    n: int  # cases behind each share
    seconds: float = 0.0  # of training, on the machine that made the grid


def safety_points() -> list[SafetyRun]:
    """Every run of the grid "safety", seed by seed."""
    settings = [SafetyRun(probe, "base") for probe in ("jailbreaks", "injection", "calls")]
    settings.append(SafetyRun("jailbreaks", "tickets"))
    settings.append(SafetyRun("jailbreaks", "tickets, declined rows", 0.2))
    settings += [SafetyRun("injection", "documents", n) for n in (0, 2, 20)]
    settings += [SafetyRun("calls", "calls"), SafetyRun("calls", "calls, guarding rows", 0.25)]
    settings += [SafetyRun("rude", "facts", share) for share in (0.05, 0.2, 0.5)]
    settings += [SafetyRun("secrets", "planted", lr) for lr in (2e-3, 4e-3)]
    return [replace(run, seed=seed) for seed in (0, 1, 2) for run in settings]
