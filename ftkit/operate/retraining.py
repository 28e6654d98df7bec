"""Train again on old and new rows, and promote what comes of it only if it is no worse.

    retrain(registry, name, new, tests, out)  the road again: `Retrained`, promoted or refused
    judge_candidate(compared, margin)         may it be promoted? A paired interval for each test

A candidate is refused where it is worse on any test, and where the rows are too few to rule out
that it is worse by more than the margin: not to be told apart is not enough. When to do this is
what the alarms of `monitoring` say. Notebook 15.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .. import data, train
from ..core.errors import UserError, is_number
from ..core.files import write_whole
from ..core.results import Result, TableParts
from ..train import Experiment, Recipe
from .registry import Compared, Registry, Version, check_base

if TYPE_CHECKING:
    from datasets import Dataset

MARGIN = 0.05  # of rows that are right: so much worse may a candidate be at most


@dataclass(frozen=True)
class Judged:
    """What was decided on one test."""

    test: str
    compared: Compared
    margin: float

    @property
    def passes(self) -> bool:
        """Whether the interval rules out that the candidate is worse by more than the margin."""
        return self.compared.difference.interval[0] > -self.margin

    @property
    def sentence(self) -> str:
        """Why, in words."""
        found = self.compared.difference
        if self.passes:
            return f"no worse by more than {100 * self.margin:g} points: {found.sentence}"
        if found.word == "worse":
            return found.sentence
        return (
            f"too few rows to rule out that it is {100 * self.margin:g} points worse: "
            f"{found.sentence}"
        )


def judge_candidate(
    compared: Mapping[str, Compared], margin: float = MARGIN
) -> tuple[bool, list[Judged]]:
    """(may it be promoted, what was decided on each test).

    compared: {test: the live version and the candidate on its rows}. margin: as a share of the
    rows. It passes where the lower end of every paired 95 % interval lies above −margin, as in a
    trial of non-inferiority. Raises UserError without a test, and for a margin that is none.
    """
    check_judging(compared, margin)
    judged = [Judged(test, found, margin) for test, found in compared.items()]
    return all(one.passes for one in judged), judged


def check_judging(tests: Mapping[str, object], margin: float) -> None:
    """Refuse to judge by nothing, and by a margin that is none."""
    if not tests:
        raise UserError("there are no tests; give rows that the candidate is to be judged on.")
    if not is_number(margin) or not 0 <= margin < 1:
        raise UserError(f"margin is {margin!r}; give a share of the rows from 0 to below 1.")


@dataclass(frozen=True, repr=False)
class Retrained(Result):
    """A candidate beside the version that was live, and whether it was promoted."""

    candidate: Version
    live: str  # the version that it was held against
    judged: Sequence[Judged]
    promoted: bool

    def table(self) -> TableParts:
        """A line per test."""
        rows = [
            (
                one.test,
                one.compared.scores[0].task,
                one.compared.scores[1].task,
                "passes" if one.passes else "REFUSED",
                one.sentence,
            )
            for one in self.judged
        ]
        label = self.candidate.label
        became = "is live now" if self.promoted else f"is refused; {self.live} stays live"
        return f"{label} {became}", ("test", self.live, label, "", "why"), rows

    def json(self) -> dict:
        """The same in values."""
        return {
            "candidate": self.candidate.label,
            "live": self.candidate.label if self.promoted else self.live,
            "promoted": self.promoted,
            "tests": {
                one.test: {**one.compared.json(), "passes": one.passes} for one in self.judged
            },
        }


@dataclass(frozen=True)
class Road:
    """How a version is trained again.

    recipe: by default that of the live version; keep_old: with its own rows, without which the old
    task is soon forgotten; margin: of `judge_candidate`.
    """

    recipe: Recipe | None = None
    keep_old: bool = True
    margin: float = MARGIN


def retrain(
    registry: Registry,
    name: str,
    new: "Dataset",
    tests: "Mapping[str, Dataset]",
    out: str | Path,
    road: Road | None = None,
) -> Retrained:
    """Train the live version's experiment on its own rows and new ones, publish, judge, promote.

    The base, the method and the recipe are those of the live version's record. new: chat rows;
    tests: {what they ask: rows}, the old task among them, none of them trained on. out: a folder
    for the rows and the run. The candidate is published either way; it becomes live only where
    `judge_candidate` lets it. Raises UserError for a live version that is no run, or whose base or
    data are gone, and for no tests, and then trains nothing; and where another version is live by
    the time that it is judged.
    """
    road = road or Road()
    check_judging(tests, road.margin)
    label = registry.live_label(name)
    version = registry.version(name, label)
    check_base(version)
    if not version.is_run:
        raise UserError(
            f"{name} {label} is an adapter without a run.json, so what it was trained on is not "
            "known; publish the folder of a run."
        )
    run = train_again(Experiment.read(version.folder), new, Path(out).absolute(), road)

    # publish it, and hold it against the live one on every test
    why = f"retrained on {len(new)} new rows{' beside the old' if road.keep_old else ' alone'}"
    candidate = registry.publish(run, name, why)
    compared = {
        test: registry.compare(name, label, candidate.label, asked) for test, asked in tests.items()
    }
    good, judged = judge_candidate(compared, road.margin)
    if good:
        said = f"{why}; no worse on {', '.join(tests)}"
        registry.promote(name, candidate.label, said, against=label)
    return Retrained(candidate, label, judged, good)


def train_again(experiment: Experiment, new: "Dataset", out: Path, road: Road) -> Path:
    """Train an experiment on its rows and new ones, into a folder; that of the run."""
    rows = write_rows(experiment, new, out, keep_old=road.keep_old)
    recipe = road.recipe or experiment.recipe
    again = dataclasses.replace(
        experiment,
        data=str(rows),
        rows=None,
        encoding=None,  # `write_rows` writes UTF-8
        recipe=recipe,
        date=None,
        hashes=None,
    )
    train.train_into(again, out / "run")
    return out / "run"


def write_rows(experiment: Experiment, new: "Dataset", out: Path, *, keep_old: bool) -> Path:
    """The rows to train on as one file: the old ones, those of before for validation, and new."""
    if experiment.goal.name != "sft" or experiment.replay:
        raise UserError(
            "the live version was trained on pairs, or with replay, which this does not mix anew; "
            "train it by a recipe, and judge it by judge_candidate."
        )
    splits = experiment.load_splits()
    parts = {"train": [*(splits["train"].to_list() if keep_old else []), *new.to_list()]}
    if "validation" in splits:
        parts["validation"] = splits["validation"].to_list()
    lines = [
        json.dumps({**stated_in(row), "split": split}, ensure_ascii=False)
        for split, rows in parts.items()
        for row in rows
    ]
    text, file = "\n".join(lines) + "\n", out / "rows.jsonl"
    if file.is_file() and file.read_bytes() != text.encode():
        raise UserError(
            f"{file} holds other rows, on which a version may have been trained; give another out."
        )
    out.mkdir(parents=True, exist_ok=True)
    write_whole(file, text)
    data.read(file)  # refused here what could not be trained on
    return file


def stated_in(row: Mapping) -> dict:
    """What a row is trained on: its messages, and the tools that it offers."""
    return {key: row[key] for key in ("messages", "tools") if row.get(key) is not None}
