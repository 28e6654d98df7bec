"""Run folders side by side: what each learned, how long it took, and what that cost.

    list_runs(folder, by=…)     a line for each run in it: a `Runs`, sortable by any column

Nothing is measured again: seconds, losses and scores are those of each run.json. Energy is seconds
times watts that are assumed, or yours; money is at your price. What is no run, and a run that broke
off, is told by its name and does not stop the table. Whether a run is whole and well is `doctor`'s
to say. Notebook 14; `python -m ftkit runs DIR` in a terminal.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import UserError, is_number, nearest
from ..core.results import Result, TableParts, about
from ..train import read_record
from .estimates import HOUR, MOST_PRICE, PUE, energy
from .prices import Range, check_range

# Of a machine that nobody has named, by Intel's data sheets: the base power of a laptop's processor
# (Core i5-1335U) and of a desktop's (Core i9-13900K).
WATTS = (15.0, 125.0)
MOST_WATTS = 10**7
MOST_SCORES = 4  # columns of them in the table
UNDER_WAY = "checkpoints"  # in the folder of a run that is not done
# What every run has, in the order of the columns; what its record says besides are its scores.
COLUMNS = ("run", "model", "data", "method", "lr", "epochs", "steps", "loss", "validation")
MEASURED = ("loss", "validation")
COSTS = ("seconds", "kwh", "money")


@dataclass(frozen=True)
class OneRun:
    """A run folder as a line: what it was, what came of it, and what it cost."""

    values: Mapping[str, Any]  # by COLUMNS
    scores: Mapping[str, float]
    seconds: float | None  # None where its record does not say, and so with what follows of it
    kwh: Range | None
    money: Range | None

    def value(self, column: str) -> Any:
        """What stands in a column; of a range its higher end; None where the run has no such."""
        if column in COSTS:
            found = {"seconds": self.seconds, "kwh": self.kwh, "money": self.money}[column]
            return found[1] if isinstance(found, tuple) else found
        return self.values.get(column, self.scores.get(column))


@dataclass(frozen=True, repr=False)
class Runs(Result):
    """The runs in a folder, one line each; notes: what in it is no run, by name."""

    folder: str
    runs: tuple[OneRun, ...]
    notes: tuple[str, ...]
    assumption: str
    by: str | None = None  # what they are sorted by
    priced: bool = False  # whether an hour has a price

    @property
    def scores(self) -> list[str]:
        """The scores that the table shows: the one they are sorted by, and the first few.

        `json` has all of them.
        """
        names = dict.fromkeys(name for run in self.runs for name in run.scores)
        whole = [name for name in names if "." not in name and name != self.by]
        return [*([self.by] if self.by in names else []), *whole[:MOST_SCORES]]

    def json(self) -> dict:
        """A dict per run by column; kwh and money as [low, high]."""
        rows = [
            {
                **run.values,
                "scores": dict(run.scores),
                "seconds": run.seconds,
                "kwh": list(run.kwh) if run.kwh else None,
                "money": list(run.money) if run.money else None,
            }
            for run in self.runs
        ]
        return {"runs": rows, "notes": list(self.notes), "assumed": self.assumption}

    def table(self) -> TableParts:
        """A line per run, below them what is none; a column of money only with a price."""
        heads = [*COLUMNS, *self.scores, "seconds", "kWh", *(["money"] if self.priced else [])]
        rows: list[list[object]] = []
        for run in self.runs:
            cells = [say(run.values.get(name), measured=name in MEASURED) for name in COLUMNS]
            cells += [say(run.scores.get(name)) for name in self.scores]
            cells += ["–" if run.seconds is None else f"≈{run.seconds:.0f}", say_range(run.kwh)]
            rows.append([*cells, *([say_range(run.money)] if self.priced else [])])
        many = "1 run" if len(self.runs) == 1 else f"{len(self.runs)} runs"
        title = [f"{many} in {Path(self.folder).resolve().name}; {self.assumption}", *self.notes]
        return "\n".join(title), heads, rows


def say(value: object, *, measured: bool = True) -> str:
    """A cell: a number that was measured marked as one machine's, "–" for none."""
    if value is None:
        return "–"
    if not isinstance(value, float):
        return str(value)
    return about(value) if measured else f"{value:g}"


def say_range(ends: Range | None) -> str:
    """A measured range in two digits, one number where both ends are the same, "–" for none."""
    if ends is None:
        return "–"
    low, high = (about(end, 2) for end in ends)
    return low if low == high else f"{low} to {high}"


def list_runs(
    folder: str | Path,
    *,
    by: str | None = None,
    watts: Range | None = None,
    per_hour: Range | None = None,
) -> Runs:
    """The runs in a folder, or the one that it is, with what each has cost.

    by: a column or a score to sort by, the lowest first; runs without it come last. watts: (lowest,
    highest) that the machine draws, by default WATTS, from a laptop's processor to a desktop's.
    per_hour: what an hour of it costs. Raises UserError for a folder that is none, one without a
    single run, and a column that no run has, with the nearest.
    """
    folder = Path(folder)
    if not folder.is_dir():
        beside = [path.name for path in folder.absolute().parent.glob("*") if path.is_dir()]
        raise UserError(f"there is no folder {str(folder)!r}.{nearest(folder.name, beside)}")
    watts = check_range(WATTS if watts is None else watts, "watts", MOST_WATTS)
    if not watts[0]:
        raise UserError("watts begins at 0, and no machine draws nothing; give more.")
    if per_hour is not None:
        per_hour = check_range(per_hour, "the price per hour", MOST_PRICE)

    # every folder in it that is a run, and a note on each that is not
    records, notes = read_all(folder)
    found = [as_line(name, record, watts, per_hour) for name, record in records.items()]
    if not found:
        torn = next((f" ({note.rstrip('.')})" for note in notes if "run.json is" in note), "")
        raise UserError(
            f"{folder} holds no run{torn}; give the folder that holds those of `train --out`."
        )
    drawn = f"{watts[0]:g} W" if watts[0] == watts[1] else f"{watts[0]:g} to {watts[1]:g} W"
    assumed = f"{drawn} all the time, a building of PUE 1 to {PUE[1]}"
    notes += [broken_off(name, one) for name, one in records.items() if one.get("stopped")]
    priced = per_hour is not None
    return Runs(str(folder), sort_runs(found, by), tuple(notes), f"energy: {assumed}", by, priced)


def broken_off(name: str, record: Mapping[str, Any]) -> str:
    """That a run broke off, and why: the first part of the sentence in its record."""
    return f"{name} broke off: {record['stopped'].partition('; ')[0].rstrip('.')}."


def read_all(folder: Path) -> tuple[dict[str, Mapping[str, Any]], list[str]]:
    """The records of the runs in a folder by name, or the one that it is, and what is none."""
    records, notes = {}, []
    for place in [folder] if (folder / "run.json").is_file() else sorted(folder.iterdir()):
        try:
            record = read_run(place)
        except UserError as error:
            notes.append(str(error))
            continue
        if record is not None:
            records[place.name] = record
    return records, notes


def read_run(place: Path) -> Mapping[str, Any] | None:
    """The record of a run folder; None for what is no folder. UserError, by its name, for a rest.

    That is a folder without a record, a run that is not done, and a record that is torn.
    """
    if not place.is_dir() or place.name.startswith("."):
        return None
    if not (place / "run.json").is_file():
        if (place / UNDER_WAY).is_dir():
            raise UserError(f"{place.name} is not done: it holds checkpoints and no run.json yet.")
        raise UserError(f"{place.name} holds no run.json, so it is no run.")
    return read_record(place)


def as_line(name: str, record: Mapping[str, Any], watts: Range, per_hour: Range | None) -> OneRun:
    """One record as a line of the table."""
    stated = record["experiment"]
    recipe = as_mapping(stated.get("recipe"))
    values = {
        "run": name,
        "model": stated.get("model"),
        "data": stated.get("data"),
        "method": method_of(stated),
        "lr": recipe.get("lr"),
        "epochs": recipe.get("epochs"),
        "steps": record["steps"],
        "loss": last_of(record["losses"]),
        "validation": min(
            filter(is_number, (loss for _, loss in record["validation"])), default=None
        ),
    }
    scores, seconds = flat(record.get("scores")), record.get("seconds")
    if not is_number(seconds) or seconds < 0:
        return OneRun(values, scores, None, None, None)
    hours = seconds / HOUR
    kwh = energy(hours, watts[0], (1, 1))[0], energy(hours, watts[1], (1, PUE[1]))[1]
    money = None if per_hour is None else (hours * per_hour[0], hours * per_hour[1])
    return OneRun(values, scores, float(seconds), kwh, money)


def as_mapping(value: object) -> Mapping[str, Any]:
    """What a record states under a key; nothing where it is of another kind."""
    return value if isinstance(value, Mapping) else {}


def last_of(curve: list) -> float | None:
    """The last value of a curve; None of an empty one, and where it is not finite."""
    return curve[-1][1] if curve and is_number(curve[-1][1]) else None


def method_of(stated: Mapping[str, Any]) -> str:
    """How a run was trained, and for what, in a word or two."""
    method, goal = stated.get("method"), stated.get("objective")
    name = method.get("name") if isinstance(method, Mapping) else method
    if name is None:
        adapter = stated.get("lora")
        name = "full" if adapter is None else f"lora r {as_mapping(adapter).get('r', '?')}"
    if stated.get("quant"):
        name = f"{name} on {stated['quant']}"
    goal = goal.get("name") if isinstance(goal, Mapping) else goal
    return f"{name}, {goal}" if goal else str(name)


def flat(scores: object, within: str = "") -> dict[str, float]:
    """The numbers among scores by name, nested ones as "skills.count"."""
    found: dict[str, float] = {}
    for name, value in scores.items() if isinstance(scores, Mapping) else ():
        if isinstance(value, Mapping):
            found |= flat(value, f"{within}{name}.")
        elif is_number(value):
            found[f"{within}{name}"] = float(value)
    return found


def sort_runs(runs: list[OneRun], by: str | None) -> tuple[OneRun, ...]:
    """The runs by a column, those without it last; as they come where none is named."""
    if by is None:
        return tuple(runs)
    known = [*COLUMNS, *COSTS, *dict.fromkeys(name for run in runs for name in run.scores)]
    if by not in known:
        raise UserError(
            f"no run has a column {by!r}; sort by one of {', '.join(known)}.{nearest(by, known)}"
        )
    rated = [run for run in runs if run.value(by) is not None]
    text = any(isinstance(run.value(by), str) for run in rated)
    rated.sort(key=lambda run: str(run.value(by)) if text else run.value(by))
    return (*rated, *(run for run in runs if run.value(by) is None))
