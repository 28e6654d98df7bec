"""Grids of whole runs, made once and read by lessons: `python -m ftkit.grids` writes data/grids/lora.json.

A row is one training run with everything that was measured on it; the file says with which versions and how long it took.
Runs that are already there are not made again, so that an interrupted command goes on where it stopped.
"""

import dataclasses
import importlib.metadata
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from . import data, evaluate, forgetting, lora, models, setup, spectrum, train
from .runtime import PACKAGES, UserError, data_path

SEEDS = (0, 1, 2)
RANKS = (1, 2, 4, 8, 16, 32, 64)
CUTS = (0, 1, 2, 4, 8, 16, 32, 64, 128)  # ranks that a full update is truncated to
ALPHAS = (4.0, 16.0, 64.0)
RATES = (5e-4, 1e-3, 2e-3, 4e-3, 8e-3)  # steps of two, alphas in steps of four: some products alpha · lr come up three times
# The same number of trained parameters on different targets: r · Σ (d_in + d_out) is 32,768 a layer for r = 8 on all seven, or just below.
BUDGET = {("q_proj", "v_proj"): 36, ("q_proj", "k_proj", "v_proj", "o_proj"): 18, ("gate_proj", "up_proj", "down_proj"): 14}


@dataclass(frozen=True)
class Point:
    """One run: what decides it, and nothing else. r = 0 means full fine-tuning."""

    data: str = "tickets"
    r: int = 8
    alpha: float = 16
    lr: float = 2e-3
    epochs: int = 2
    targets: str | tuple[str, ...] = "all-linear"
    seed: int = 0

    @property
    def key(self) -> str:
        """The point as text: what makes a row unique."""
        return json.dumps(dataclasses.asdict(self))


def points() -> list[Point]:
    """Every run of the grid: full fine-tuning, ranks, new facts, targets at one budget, alpha against learning rate."""
    found: dict[Point, None] = {}
    for seed in SEEDS:
        found |= {Point(r=0, alpha=0, lr=lr, seed=seed): None for lr in (3e-4, 1e-3)}
        found |= {Point(r=r, alpha=a, seed=seed): None for r in RANKS for a in (2 * r, 16)}
        found[Point("facts", r=0, alpha=0, lr=1e-3, epochs=10, seed=seed)] = None
        found |= {Point("facts", r=r, alpha=2 * r, lr=5e-3, epochs=10, seed=seed): None for r in RANKS}
        found |= {Point(r=r, alpha=2 * r, targets=t, seed=seed): None for t, r in BUDGET.items()}
    for seed in SEEDS:
        found |= {Point(alpha=alpha, lr=lr, seed=seed): None for alpha in ALPHAS for lr in RATES}
    return list(found)


def measure(point: Point) -> dict:
    """Train one point and measure it: task, skills, the update's ranks and intruders; of a full update also its truncations."""
    setup(seed=point.seed)
    base, tokenizer = models.load("pocket")
    model, _ = models.load("pocket")
    if point.r:
        model = lora.attach(model, point.r, point.alpha, list(point.targets) if isinstance(point.targets, tuple) else point.targets)
    splits = data.load(point.data)
    run = train.sft(model, tokenizer, {"train": splits["train"]}, train.Recipe(point.lr, point.epochs, evaluations=0, seed=point.seed))

    def scores(tuned) -> dict:
        return {
            "task": evaluate.score(tuned, tokenizer, splits["test"]).task.value,
            **({"stored": evaluate.score(tuned, tokenizer, splits["train"]).task.value} if point.data == "facts" else {}),
            "skills": {k: r.value for k, r in forgetting.skills(tuned, tokenizer).rates.items()},
        }

    changes = lora.deltas(run.model, base)
    layers = models.linears(base)
    before = {n: spectrum.svd(layers[n].weight) for n in changes}
    spectra = {n: spectrum.svd(d) for n, d in changes.items()}
    tuned = {n: spectrum.svd(layers[n].weight + d) for n, d in changes.items()}
    row = {
        **dataclasses.asdict(point),
        "trainable": run.trainable,
        "loss": run.loss,
        **scores(run.model),
        "size": statistics.fmean((d.norm() / layers[n].weight.norm()).item() for n, d in changes.items()),
        "ranks": {f"{share:g}": spectrum.ranks(spectra).median(share) for share in spectrum.SHARES},
        "intruders": sum(len(spectrum.intruders(before[n], tuned[n])) for n in changes),
    }
    if not point.r:
        row["truncated"] = {}
        for r in CUTS:
            with lora.added(base, {n: s.truncate(min(r, len(s.S))) for n, s in spectra.items()}):
                row["truncated"][str(r)] = scores(base)
        with lora.added(base, changes):
            row["truncated"]["full"] = scores(base)
    return {**row, "seconds": round(run.seconds, 1)}


def compact(row: dict) -> dict:
    """Numbers to five digits: a grid is read, not recomputed."""
    if isinstance(row, dict):
        return {k: compact(v) for k, v in row.items()}
    return float(f"{row:.5g}") if isinstance(row, float) else row


def read(name: str = "lora") -> list[dict]:
    """The rows of a grid that ships with the kit."""
    path = data_path("grids", f"{name}.json")
    if not path.is_file():
        raise UserError(f"there is no grid {name!r}; the kit ships {', '.join(p.stem for p in sorted(path.parent.glob('*.json')))}.")
    return json.loads(path.read_text(encoding="utf-8"))["rows"]


def select(rows: list[dict], **where) -> list[dict]:
    """The rows that agree with every keyword."""
    return [row for row in rows if all(row[k] == (list(v) if isinstance(v, tuple) else v) for k, v in where.items())]


def cuts(rows: list[dict]) -> list[dict]:
    """The truncations of full updates as rows of their own: r is the rank that was kept, 256 where nothing was cut off."""
    return [{**row, **scores, "r": 256 if r == "full" else int(r)} for row in rows for r, scores in row.get("truncated", {}).items()]


def skill(row: dict) -> float:
    """The mean over a row's skills."""
    return statistics.fmean(row["skills"].values())


def curve(rows: list[dict], value: str | Callable[[dict], float] = "task", x: str = "r") -> list[tuple[float, float, float, float]]:
    """(x, mean, lowest, highest) of a value over seeds, by x: with three runs the range says more than a standard error."""
    read_off = value if callable(value) else lambda row: row[value]
    found: dict[float, list[float]] = {}
    for row in rows:
        found.setdefault(row[x], []).append(read_off(row))
    return [(place, statistics.fmean(v), min(v), max(v)) for place, v in sorted(found.items())]


def done(folder: Path) -> dict[str, dict]:
    """The rows that earlier or neighbouring commands have left in `folder`, by point."""
    rows = [json.loads(line) for file in sorted(folder.glob("*.jsonl")) for line in file.read_text(encoding="utf-8").splitlines()]
    names = [f.name for f in dataclasses.fields(Point)]
    return {json.dumps({k: row[k] for k in names}): row for row in rows}


def missing(folder: Path, worker: int, workers: int) -> Iterator[Point]:
    """This worker's share of the points that nobody has made yet."""
    for point in points()[worker::workers]:
        if point.key not in done(folder):
            yield point


def main(
    parts: Annotated[Path, typer.Option(help="Folder for finished rows; a command that finds some goes on from there.")] = Path(
        "build/grid"
    ),
    worker: Annotated[int, typer.Option(help="Which share of the points to make, from 0.")] = 0,
    workers: Annotated[int, typer.Option(help="Into how many shares the points are split.")] = 1,
) -> None:
    """Make the runs of a share; whoever finishes the last one writes data/grids/lora.json."""
    parts.mkdir(parents=True, exist_ok=True)
    with (parts / f"{worker}-of-{workers}.jsonl").open("a", encoding="utf-8") as file:
        for point in missing(parts, worker, workers):
            began = time.perf_counter()
            row = measure(point)
            file.write(json.dumps(compact(row)) + "\n")
            file.flush()
            typer.echo(f"… {point.key}: task {row['task']:.3f} in {time.perf_counter() - began:.0f} s", err=True)
    rows = done(parts)
    if all(point.key in rows for point in points()):
        found = [rows[point.key] for point in points()]
        head = {"command": "python -m ftkit.grids", "versions": {p: importlib.metadata.version(p) for p in PACKAGES}}
        head["training_seconds"] = round(sum(row["seconds"] for row in found))
        path = data_path("grids", "lora.json")
        path.parent.mkdir(exist_ok=True)
        lines = ",\n".join(json.dumps(row) for row in found)
        path.write_text(f'{json.dumps(head)[:-1]},\n"rows": [\n{lines}\n]}}\n', encoding="utf-8")
        typer.echo(f"… {path.name}: {len(found)} runs", err=True)


if __name__ == "__main__":
    typer.run(main)
