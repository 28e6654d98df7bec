"""What decides a run of the grid "preferences", and what is measured on it.

    PreferenceRun, preference_points()    every run, so ordered that any beginning is even
    PreferenceRow                         such a run, measured
    over_seeds({name: rows}, …)           scores of settings beside each other: means over seeds
    apart({name: rows}, rows, score)      what each has more than one of them, p corrected (Holm)

Nothing is trained here (`grid_measuring` does). A `study` is a question of its own: "honesty" (DPO
and its kin in sentence mode), "length" (what pairs of descriptions teach), "sorting" (a reward that
can be verified), "judge" (a reward model beside gold), "hacking" (rewards taken at their word) and
"distil" (learning from oneself). Notebook 12.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..core.errors import UserError, nearest
from ..core.results import Table
from ..core.statistics import Apart, Interval, changes_over_seeds, mean_over_seeds

SEEDS = (0, 1, 2)
# Scores that are no shares from 0 to 1: nats, sentences, correlations, counts.
NO_SHARES = (
    *("kl", "gold", "wrong", "repeated", "words", "seconds", "pairs", "moved", "rows"),
    *("pairs chosen", "pairs rejected", "pairs ref_chosen", "pairs ref_rejected", "held pairs"),
    *("with gold", "with words", "gold with words"),
)


@dataclass(frozen=True)
class PreferenceRun:
    """One run; a dial that a study does not have stands at its default."""

    study: str = "honesty"
    start: str = "base"  # what is trained: "base", or a model that was tuned before ("sft")
    teacher: str = "dpo"  # the loss, or how rewards are turned into steps
    source: str = "own"  # where pairs or rewards come from
    lr: float = 2e-3
    beta: float = 0.1  # DPO's; of rewards what a nat of distance costs
    extra: float = 0.0  # weight of the chosen answers' own loss on top
    steps: int = 24
    group: int = 0  # replies to a prompt, where some are drawn
    stop_at: float = 0.0  # distance in nats at which it ends early; 0: never
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class PreferenceRow(PreferenceRun):
    """A finished run."""

    scores: Mapping[str, float]  # what was asked in the end, by name
    before: Mapping[str, float]  # the same of the model that it started from
    curve: Sequence[Sequence[float | None]]  # by step, the columns that `columns` names
    columns: Sequence[str]
    sample: str  # a reply in the end, to a prompt that is the same in every run of the study
    stopped: str | None  # why it broke off, if the loss did not stay finite
    seconds: float  # of the processor for training and drawing, on one thread


# Rates and strengths of DPO's plane.
RATES = (2e-3, 4e-3, 1e-3, 1e-2)
BETAS = (0.1, 0.5, 0.02, 2.0)
HONEST = PreferenceRun()
LENGTH = PreferenceRun("length", "sft", steps=36)
SORTING = PreferenceRun("sorting", teacher="rloo", source="exact", beta=0.0, steps=15, group=8)
HACKING = PreferenceRun("hacking", "sft", "rloo", "words", 3e-3, 0.0, steps=16, group=8)


def first_points() -> list[PreferenceRun]:
    """The runs that every lesson needs: one of each kind."""
    return [
        # controls, and DPO from the base and behind it
        replace(HONEST, teacher="sft", source="gold", lr=2e-3, steps=25),
        replace(HONEST, teacher="sft", source="gold", lr=5e-3, steps=25),
        replace(HONEST, source="own", lr=3e-3, steps=50),
        replace(HONEST, source="written", lr=3e-3, steps=50),
        replace(HONEST, start="sft", source="own"),
        replace(HONEST, start="sft", source="written"),
        # what can be verified
        SORTING,
        replace(SORTING, teacher="grpo"),
        replace(SORTING, teacher="dpo", source="own", beta=0.1, steps=30),
        replace(SORTING, teacher="sft", source="own", steps=15),
        replace(SORTING, teacher="sft", source="gold", steps=15),
        replace(SORTING, source="impossible", steps=4),
        # rewards, good and bad
        replace(HACKING, source="words"),
        replace(HACKING, source="words", beta=0.3),
        replace(HACKING, source="gold"),
        replace(HACKING, source="judge 30"),
        PreferenceRun("judge", "sft", "reward", "30", steps=16),
        PreferenceRun("judge", "sft", "reward", "320", steps=60),
        # length
        LENGTH,
        replace(LENGTH, source="balanced"),
    ]


def further_points() -> list[PreferenceRun]:
    """The dials, turned: rate and β, losses, group size, what a distance costs."""
    plane = [replace(HONEST, start="sft", lr=lr, beta=beta) for lr in RATES for beta in BETAS]
    from_base = [
        replace(HONEST, source="written", lr=lr, beta=beta, steps=50)
        for lr in (3e-3, 1e-3, 1e-2)
        for beta in (0.1, 0.5)
    ]
    from_base += [replace(HONEST, lr=lr, steps=50) for lr in (1e-3, 1e-2)]
    kin = [replace(HONEST, start="sft", teacher=name) for name in ("ipo", "simpo", "orpo", "kto")]
    mended = [
        replace(HONEST, source="written", lr=5e-3, extra=1.0, steps=75),
        # its control: the same rows, rate and steps, and no DPO
        replace(HONEST, teacher="sft", source="gold", lr=5e-3, steps=75),
        replace(HONEST, source="written", lr=1e-2, extra=0.1, steps=50),
    ]
    groups = [replace(SORTING, group=group) for group in (2, 4, 16)]
    near = [replace(SORTING, beta=beta) for beta in (0.05, 0.2)]
    held = [
        replace(HACKING, source="words", stop_at=5.0),
        replace(HACKING, source="words", beta=0.05),
        replace(HACKING, source="judge 30", beta=0.2),
        replace(HACKING, source="judge 30", stop_at=5.0),
        replace(HACKING, source="judge 320"),
        replace(HACKING, source="judge 320", beta=0.2),
    ]
    cures = [
        replace(LENGTH, extra=0.5),
        replace(LENGTH, teacher="dpo by length", beta=2.0),
        replace(LENGTH, source="shorter"),
    ]
    distil = [
        PreferenceRun("distil", start, "reverse kl", "own", 4e-3, 0.0, steps=16)
        for start in ("base", "sft")
    ]
    longer = [replace(HACKING, source="words", lr=4e-3, steps=40)]
    return [*mended, *held, *plane, *groups, *near, *cures, *from_base, *kin, *distil, *longer]


def preference_points() -> list[PreferenceRun]:
    """Every run of the grid, the needed ones first; of each part all settings, seed by seed."""
    parts = [first_points(), further_points()]
    points = [replace(run, seed=seed) for part in parts for seed in SEEDS for run in part]
    return list(dict.fromkeys(points))


def score_of(row: PreferenceRow, name: str) -> float:
    """A score of a run by its name; "seconds" too. Raises UserError for one that it has not."""
    scores = {"seconds": row.seconds, **row.scores}
    if name not in scores:
        known = ", ".join(scores)
        raise UserError(
            f"runs on {row.study} have no {name!r}; they have {known}.{nearest(name, scores)}"
        )
    return scores[name]


def by_seed(rows: Sequence[PreferenceRow], name: str) -> dict[int, float]:
    """{seed: a score} of one setting's runs; UserError where a seed is there twice, or none is."""
    if not rows:
        raise UserError("there are no runs; give those of one setting, a seed each.")
    seeds = [row.seed for row in rows]
    twice = [seed for seed in seeds if seeds.count(seed) > 1]
    if twice:
        raise UserError(
            f"seed {twice[0]} is there {seeds.count(twice[0])} times; give the runs of one setting "
            "alone."
        )
    return {row.seed: score_of(row, name) for row in rows}


def interval_of(rows: Sequence[PreferenceRow], name: str) -> Interval:
    """The mean of a score over the seeds of a setting, and its 95 % t-interval.

    Raises UserError for fewer than two runs, and for two of one seed.
    """
    return mean_over_seeds([*by_seed(rows, name).values()])


def spelled(name: str, study: str, interval: Interval) -> str:
    """An interval as people read it: of shares in per cent, and not beyond 0 and 100."""
    described = study in ("length", "judge", "hacking") and name == "right"
    if described or name in NO_SHARES:
        return "{:.2f} [{:.2f}, {:.2f}]".format(*interval)
    shown = (100 * min(1.0, max(0.0, value)) for value in interval)
    return "{:.1f} % [{:.1f}, {:.1f}]".format(*shown)


def over_seeds(
    groups: Mapping[str, Sequence[PreferenceRow]], scores: Mapping[str, str], title: str
) -> Table:
    """A line for each setting: the mean of every score over its seeds, with its 95 % t-interval.

    groups: {what it is called: its seeds}; scores: {name: what it is called}.
    """
    rows = []
    for label, runs in groups.items():
        found = {name: interval_of(runs, name) for name in scores}
        told = [spelled(name, runs[0].study, interval) for name, interval in found.items()]
        rows.append((label, *told))
    return Table(title, ("", *scores.values()), rows)


def apart(
    groups: Mapping[str, Sequence[PreferenceRow]], against: Sequence[PreferenceRow], score: str
) -> dict[str, Apart]:
    """A score of each setting minus that of `against`, seed by seed; p by Student's t (Holm).

    Raises UserError for a setting that shares fewer than two seeds with it, and for runs of several
    settings.
    """
    theirs = by_seed(against, score)
    changes = {}
    for label, rows in groups.items():
        own = by_seed(rows, score)
        paired = [own[seed] - theirs[seed] for seed in own if seed in theirs]
        if len(paired) < 2:
            shared = f"{len(paired)} seed{'' if len(paired) == 1 else 's'}"
            raise UserError(f"{label!r} shares {shared} with the other; give two.")
        changes[label] = paired
    return changes_over_seeds(changes)
