"""What a grid's rows say, column by column: what was measured on a run.

    LoraRow         a row of the grid "lora": ranks of the update, intruders, truncations
    PlaygroundRow   a row of the grid "playground": curves, and the distance from the base
    LongRow         a row of the grid "epochs": what every epoch brought
    RealRow         a row of the grid "real": a model of the real world
    read_row        a row, or a point alone, out of the columns in a file

Before these columns a row has those of its point, what decided the run: `Point` and `LongRun` in
`points.py`. Rows are made in `measuring`, stored by `runner` and read by `grids` (notebooks 01, 02,
07, 09, 10); nothing is measured here.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from .. import ward
from .points import LongRun, Point, RealRun

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Series = Sequence[Sequence[float]]  # (step, value) pairs
Kind = TypeVar("Kind", bound="DataclassInstance")


@dataclass(frozen=True)
class Scores:
    """Shares of right answers, from 0 to 1."""

    task: float  # of the task's test rows, answered exactly right
    skills: Mapping[str, float]  # of each skill's probes (see `forgetting.skills`)
    stored: float | None = None  # of the training rows, where they are facts to be stored


@dataclass(frozen=True, kw_only=True)
class Row(Point):
    """One finished run: its point (see `Point`), and what every grid of points measures on it."""

    trainable: int  # parameters that were trained
    loss: float  # the last training loss, in nats per answer token
    task: float  # share of the task's test rows answered exactly right, 0 to 1
    skills: Mapping[str, float]  # share right by skill (see `forgetting.skills`), 0 to 1
    size: float  # ‖ΔW‖ / ‖W‖ in the Frobenius norm, the mean over the matrices that changed
    seconds: float  # of training, on the machine that made the grid

    @property
    def point(self) -> Point:
        """What decided the run, without what was measured."""
        return Point(**{f.name: getattr(self, f.name) for f in dataclasses.fields(Point)})


@dataclass(frozen=True, kw_only=True)
class LoraRow(Row):
    """A row of the grid "lora"; the task is asked on all of its test rows."""

    # {share of ‖ΔW‖² as text, such as "0.9": the rank that holds it, as a share of the full rank}:
    # the median over matrices (see `lora.spectrum.ranks`)
    ranks: Mapping[str, float]
    # directions of W + ΔW that W did not have, over all matrices (see `lora.spectrum.intruders`)
    intruders: int
    # share of the training rows answered right, 0 to 1; None where they are no facts to be stored
    stored: float | None = None
    # {the rank that ΔW was cut to as text, or "full": the scores of the base with that update};
    # None but for full fine-tuning
    truncated: Mapping[str, Scores] | None = None


@dataclass(frozen=True, kw_only=True)
class PlaygroundRow(Row):
    """A row of the grid "playground"; the task is asked on the first hundred test rows."""

    curve: Series  # the training loss at about twenty steps, in nats per answer token
    validation: Series  # the validation loss after every epoch, in nats per answer token
    kl_task: float  # KL(base ‖ tuned) on the task's validation rows, in nats per answer token
    kl_general: float  # the same on general rows


@dataclass(frozen=True, kw_only=True)
class LongRow(LongRun):
    """A row of the grid "epochs": a run, and what was measured on it."""

    curve: Series  # the training loss of every step, in nats per answer token
    validation: Series  # the validation loss after every epoch, in nats per answer token
    task: Series  # the share of the test tickets exactly right after every epoch, 0 to 1
    seconds: float  # of training, on the machine that made the grid


@dataclass(frozen=True, kw_only=True)
class RealRow(RealRun):
    """A row of the grid "real": a run, and what was measured on it; likelihoods throughout."""

    trainable: int  # parameters that were trained
    curve: Series  # the training loss of every step, in nats per answer token
    task: Mapping[str, float]  # by kind of text: share of test rows whose label is the likelier
    validation: float  # loss on the task's validation rows, in nats per answer token
    kl_task: float  # KL(base ‖ tuned) on them, in nats per answer token
    text: float  # cross-entropy on plain English, in nats per token (see `forgetting.text_loss`)
    kl_text: float  # KL(base ‖ tuned) there, in nats per token
    skills: Mapping[str, float]  # share right by skill, by choice (see `forgetting.choices`)
    seconds: float  # of training, on the machine that made the grid


def read_row(kind: type[Kind], columns: Mapping) -> Kind:
    """A row or a point of this kind out of the columns that a file states.

    What an older file does not state is as it was then: the field's default. Columns that are no
    field are left out, so that a row's columns give its point too.
    """
    known = {f.name: columns[f.name] for f in dataclasses.fields(kind) if f.name in columns}
    # JSON has lists where a point, which is a key, has tuples
    if isinstance(known.get("targets"), list):
        known["targets"] = tuple(known["targets"])
    if known.get("truncated"):
        cuts = known["truncated"].items()
        known["truncated"] = {rank: read_row(Scores, scores) for rank, scores in cuts}
    if known.get("samples"):
        known["samples"] = [read_row(ward.Sample, sample) for sample in known["samples"]]
    return kind(**known)
