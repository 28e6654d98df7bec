"""Does a run's record still give what it says? Its figures derived again, or what has drifted.

    verify(folder)               `Verified`: figures then and now, and what differs in its making
    verify(folder, again=True)   the same, and trained again from the record: the same bits?

Hashes and versions are `doctor.examine`'s to compare: base, rows, template, libraries. A figure is
asked of the model anew: the validation loss of the kept step, and the shares of test rows that the
record states. It changes nothing. `python -m ftkit verify RUN` shows it. Notebook 15.
"""

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import data, doctor, evaluate, models, prefer, train
from ..core.errors import UserError, is_number, is_whole
from ..core.results import Result, TableParts, about
from ..train import Experiment

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# The checks of the doctor that say whether something of a run's making has changed since.
OF_DRIFT = ("record", "versions", "base", "adapter", "model", "data", "scale")
LOSS_NEAR = 1e-3  # of a loss: other machines add up in another order
SHARES = ("task", "format")  # of a comparison that a record holds


@dataclass(frozen=True)
class Figure:
    """A number of the record, and the same asked again; near: how far they may lie apart."""

    name: str
    was: float
    now: float
    near: float

    @property
    def same(self) -> bool:
        """Whether it came out again."""
        return math.isclose(self.was, self.now, rel_tol=0, abs_tol=self.near)


@dataclass(frozen=True, repr=False)
class Verified(Result):
    """What of a run still holds."""

    folder: str
    drifted: Sequence["doctor.Finding"]  # what the doctor says has changed
    figures: Sequence[Figure]
    notes: Sequence[str] = ()
    again: bool | None = None  # whether training again gave the same weights, where it was asked

    @property
    def ok(self) -> bool:
        """Whether nothing has drifted and every figure came out again."""
        figures = all(figure.same for figure in self.figures)
        return figures and not self.drifted and self.again is not False

    def table(self) -> TableParts:
        """What drifted, then every figure."""
        rows: list[Sequence[object]] = [
            (finding.check, "DRIFTED", "", finding.detail) for finding in self.drifted
        ]
        for one in self.figures:
            said = "the same" if one.same else "DIFFERS"
            rows.append((one.name, said, about(one.was, 4), about(one.now, 4)))
        if self.again is not None:
            said = "the same" if self.again else "DIFFERS"
            rows.append(("trained again", said, "", "every bit of the weights"))
        rows += [("note", "", "", note) for note in self.notes]
        what = "holds" if self.ok else "does not hold"
        title = f"The record of {self.folder} {what}"
        return title, ("", "", "then", "now, or what changed"), rows

    def json(self) -> dict:
        """The same in values."""
        return {
            "ok": self.ok,
            "drifted": [{"check": f.check, "detail": f.detail} for f in self.drifted],
            "figures": [
                {"figure": f.name, "then": f.was, "now": f.now, "same": f.same}
                for f in self.figures
            ],
            "again": self.again,
            "notes": list(self.notes),
        }


def verify(
    folder: str | Path,
    *,
    again: bool = False,
    figures: bool = True,
    found: "doctor.Findings | None" = None,
) -> Verified:
    """Hold a run folder against its own record.

    again: train it again, too, in a folder that goes, and compare the weights bit by bit; that
    takes as long as the run did, and holds on a CPU alone. figures: False asks no model, so that
    hashes and versions alone are held against the record. found: what `doctor.examine` said of the
    folder just now, so that it is not asked twice. Raises UserError for a folder without a
    record, and for a run that cannot be trained again.
    """
    folder = Path(folder)
    train.read_record(folder)  # refused first where it is none
    found = doctor.examine(folder) if found is None else found
    drifted = [finding for finding in found.wrong if finding.check in OF_DRIFT]
    asked: list[Figure] = []
    notes = [] if figures else ["its figures were not asked again"]
    try:
        if figures:
            asked, notes = derive(folder)
    except UserError as error:
        notes.append(f"not asked again: {str(error).rstrip('.')}")
    same = train_again(folder) if again else None
    return Verified(str(folder), drifted, asked, notes, same)


def derive(folder: Path) -> tuple[list[Figure], list[str]]:
    """The figures of a record, asked again of its model; and what could not be asked."""
    record = train.read_record(folder)
    experiment = Experiment.from_dict(record["experiment"])
    if experiment.goal.name != "sft":
        raise UserError(f"the run is on {experiment.goal.name}, and this asks chats' answers")
    tuned, base, tokenizer = train.reopen(folder)
    with data.on_date(experiment.date):
        splits = experiment.load_splits(base, tokenizer)
        asked = [
            *validation_loss(record, experiment, (tuned, tokenizer), splits.get("validation")),
            *test_shares(record, (tuned, tokenizer), splits.get("test")),
        ]
    figures = [one for one in asked if isinstance(one, Figure)]
    notes = [one for one in asked if isinstance(one, str)]
    if not asked:
        notes.append("the record states no validation loss and no scores, so none is asked again")
    return figures, notes


def validation_loss(
    record: Mapping[str, Any],
    experiment: Experiment,
    asked: "tuple[PreTrainedModel, PreTrainedTokenizerBase]",
    rows: "Dataset | None",
) -> Iterator[Figure | str]:
    """The validation loss at the step whose weights were kept, in nats per answer token."""
    points = {int(step): loss for step, loss in record["validation"]}
    kept = record.get("best_step") if experiment.recipe.keep_best else record["steps"]
    if kept not in points or not math.isfinite(points[kept]):
        return
    if rows is None:
        yield "the data give no validation rows now, so their loss is not asked again"
        return
    tuned, tokenizer = asked
    lengths = [len(ids) for ids in train.as_trl(rows, tokenizer)["input_ids"]]
    if max(lengths) > experiment.recipe.max_length:
        yield "validation rows are cut by max_length, so their loss is not asked again"
        return
    now = math.log(evaluate.perplexity(tuned, tokenizer, rows))
    was = points[kept]
    name = f"validation loss, step {kept}"
    yield Figure(name, was, now, LOSS_NEAR * max(abs(was), LOSS_NEAR))


def test_shares(
    record: Mapping[str, Any],
    asked: "tuple[PreTrainedModel, PreTrainedTokenizerBase]",
    rows: "Dataset | None",
) -> Iterator[Figure | str]:
    """The shares of test rows that are exactly right, and strictly in format."""
    stated = {name: share for name in SHARES if (share := share_in(record.get("scores"), name))}
    if not stated:
        return
    if rows is None:
        yield "the data give no test rows now, so no share of them is asked again"
        return
    n = min(max(n for _, n in stated.values()), len(rows))
    score = evaluate.score(*asked, data.first(rows, n))
    for name, (was, n) in stated.items():
        rate = score.task if name == "task" else score.format
        yield Figure(f"{name}, {rate.n} test rows", was, rate.value, 0.5 / n)


def share_in(scores: object, name: str) -> tuple[float, int] | None:
    """(share, rows) of the tuned model as an `evaluate.Comparison` wrote it; None of any other."""
    found = scores.get(name) if isinstance(scores, Mapping) else None
    if not isinstance(found, Mapping):
        return None
    value, n = found.get("tuned"), found.get("n")
    return (float(value), n) if is_number(value) and is_whole(n) and n > 0 else None


def train_again(folder: Path) -> bool:
    """Whether training from the record gives the same weights, to the bit."""
    experiment = Experiment.read(folder)
    weights = "adapter" if experiment.trains_adapter else "model"
    with tempfile.TemporaryDirectory(prefix="ftkit-again-") as new:
        prefer.train_into(experiment, Path(new, "run"))
        hashes = [models.hash_weights(Path(place, weights)) for place in (folder, Path(new, "run"))]
    return hashes[0] == hashes[1]
