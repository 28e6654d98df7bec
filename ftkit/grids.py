"""Grids of whole runs, made once and read by lessons: `python -m ftkit.grids playground` writes data/grids/playground.json.

A row is one training run with everything that was measured on it; the file says with which versions and how long it took.
Runs that are already there are not made again, so that an interrupted command goes on where it stopped.
"""

import dataclasses
import importlib.metadata
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from . import data, evaluate, forgetting, lora, merge, models, setup, spectrum, train
from .experiment import Experiment
from .runtime import PACKAGES, UserError, data_path, nearest

SEEDS = (0, 1, 2)
RANKS = (1, 2, 4, 8, 16, 32, 64)
CUTS = (0, 1, 2, 4, 8, 16, 32, 64, 128)  # ranks that a full update is truncated to
ALPHAS = (4.0, 16.0, 64.0)
RATES = (5e-4, 1e-3, 2e-3, 4e-3, 8e-3)  # steps of two, alphas in steps of four: some products alpha · lr come up three times
TESTED = 100  # test rows that a run of the playground's grid is asked
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)  # 97.5 % quantiles of t by degrees of freedom, from 1
PLANE_RANKS = {1: (2, 1, 3), 64: (2, 1, 3), 16: (2, 1, 3), 4: (2,)}  # and for how many epochs
PLANE_RATES = {"lora": (1e-3, 2e-3, 8e-3), "full": (2e-4, 8e-4, 3.2e-3)}
# Gentle runs that come near the hot ones' task score: low rates for more epochs, so that methods can be compared at equal scores.
GENTLE = {
    "lora": ((5e-4, 8), (5e-4, 12), (1e-3, 4), (1e-3, 6), (1e-3, 8), (1.4e-3, 3)),
    "full": ((1e-4, 4), (1e-4, 6), (1e-4, 12), (1.4e-4, 3), (2e-4, 5), (2e-4, 8)),
}
# The same number of trained parameters on different targets: r · Σ (d_in + d_out) is 32,768 a layer for r = 8 on all seven, or just below.
BUDGET = {("q_proj", "v_proj"): 36, ("q_proj", "k_proj", "v_proj", "o_proj"): 18, ("gate_proj", "up_proj", "down_proj"): 14}


@dataclass(frozen=True)
class Point:
    """One run: what decides it, and nothing else. r = 0 means full fine-tuning; `rows` None all training rows there are."""

    data: str = "tickets"
    r: int = 8
    alpha: float = 16
    lr: float = 2e-3
    epochs: int = 2
    targets: str | tuple[str, ...] = "all-linear"
    seed: int = 0
    quant: str | None = None
    dora: bool = False
    rows: int | None = None
    batch_size: int = 16
    replay: float = 0.0
    replayed: str = "general"
    weight_decay: float = 0.0
    kl: float = 0.0
    evaluations: int = 0

    @property
    def key(self) -> str:
        """The point as text: what makes a row unique."""
        return json.dumps(dataclasses.asdict(self))

    @property
    def method(self) -> str:
        """What the field calls it: full, lora, dora or qlora."""
        return "full" if not self.r else "dora" if self.dora else "qlora" if self.quant else "lora"

    def experiment(self) -> Experiment:
        """The run that this point stands for; the last step is kept."""
        recipe = train.Recipe(
            self.lr,
            self.epochs,
            self.batch_size,
            weight_decay=self.weight_decay,
            kl=self.kl,
            evaluations=self.evaluations,
            keep_best=False,
            seed=self.seed,
        )
        targets = list(self.targets) if isinstance(self.targets, tuple) else self.targets
        adapter = {"r": self.r, "alpha": self.alpha, "targets": targets} | ({"use_dora": True} if self.dora else {})
        return Experiment("pocket", self.quant, self.data, self.rows, self.replay, self.replayed, adapter if self.r else None, recipe)


def experiment(row: Mapping) -> Experiment:
    """The run that a grid's row was measured on."""
    return as_point(row).experiment()


def as_point(row: Mapping) -> Point:
    """The point of a row; what an older row does not state is as it was then: the default."""
    stated = {f.name: row[f.name] for f in dataclasses.fields(Point) if f.name in row}
    return Point(**stated | {"targets": tuple(t) if isinstance(t := stated["targets"], list) else t})


def lora_points() -> list[Point]:
    """Full fine-tuning, ranks, new facts, targets at one budget, alpha against learning rate."""
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


def playground_points() -> list[Point]:
    """Short runs for the learning-forgetting plane: what the sliders offer, then every other means against forgetting.

    alpha is 16 whatever the rank, so that turning the rank does not also turn the rate (notebook 02).
    """
    start = {"alpha": 16, "rows": 96, "batch_size": 4}
    low, mild, hot = PLANE_RATES["lora"]
    rates = [{"lr": 5e-4 * 2**k} for k in range(7)] + [{"r": 0, "alpha": 0, "lr": 1e-4 * 2**k} for k in range(7)]
    means = [{"replay": share} for share in (0.05, 0.1, 0.2, 0.5)] + [{"replay": 0.2, "replayed": "self"}]
    means += [{"kl": 0.1}, {"kl": 1.0}, {"weight_decay": 0.1}]
    others = [{"quant": "nf4"}, {"dora": True}, *({"targets": t} for t in ("attention", "mlp", "q,v"))]
    plane = [{"r": r, "lr": lr, "epochs": e} for r, epochs in PLANE_RANKS.items() for e in epochs for lr in (hot, mild, low)]
    full = [{"r": 0, "alpha": 0, "lr": lr, "epochs": e} for lr in PLANE_RATES["full"] for e in (1, 2, 3)]
    full += [{"r": 0, "alpha": 0, "lr": 8e-4, **one} for one in ({"weight_decay": 0.1}, {"replay": 0.2})]
    full += [{"r": 0, "alpha": 0, "lr": lr, "epochs": e} for lr, e in GENTLE["full"]]
    plane += [{"lr": lr, "epochs": e} for lr, e in GENTLE["lora"]]
    crossed = [{"lr": lr, **one} for some in (means, others) for lr in (hot, mild) for one in some]
    stated = [*rates, *crossed[: len(means)], *full, *crossed[len(means) :], *plane]
    every = [{"r": 16, "epochs": 2} | start | one for one in stated]
    found = {Point(**one, evaluations=one["epochs"], seed=seed): None for one in every for seed in SEEDS}
    return list(found)


def measure(point: Point) -> dict:
    """Train one point and measure it: task, skills, the update's ranks and intruders; of a full update also its truncations."""
    setup(seed=point.seed)
    base, tokenizer = models.load("pocket")
    run, _ = point.experiment().run()
    splits = data.load(point.data)
    layers = models.linears(base)
    changes = lora.deltas(run.model, base)
    before = {n: spectrum.svd(layers[n].weight) for n in changes}
    spectra = {n: spectrum.svd(d) for n, d in changes.items()}
    tuned = {n: spectrum.svd(layers[n].weight + d) for n, d in changes.items()}
    row = {
        **dataclasses.asdict(point),
        "trainable": run.trainable,
        "loss": run.loss,
        **scores(run.model, tokenizer, splits, point.data == "facts"),
        "size": size(changes, layers),
        "ranks": {f"{share:g}": spectrum.ranks(spectra).median(share) for share in spectrum.SHARES},
        "intruders": sum(len(spectrum.intruders(before[n], tuned[n])) for n in changes),
    }
    if not point.r:
        row["truncated"] = {}
        for r in (*CUTS, "full"):
            cut = changes if r == "full" else {n: s.truncate(min(r, len(s.S))) for n, s in spectra.items()}
            with lora.added(base, cut):
                row["truncated"][str(r)] = scores(base, tokenizer, splits, point.data == "facts")
    return {**row, "seconds": round(run.seconds, 1)}


def scores(tuned, tokenizer, splits, stored: bool = False) -> dict:
    """The shares of right answers: on the task's test rows, on its training rows where they are facts to be stored, by skill."""
    known = {"stored": evaluate.score(tuned, tokenizer, splits["train"]).task.value} if stored else {}
    skills = forgetting.skills(tuned, tokenizer).rates
    return {"task": evaluate.score(tuned, tokenizer, splits["test"]).task.value, **known, "skills": {k: r.value for k, r in skills.items()}}


def size(changes: Mapping, layers: Mapping) -> float:
    """‖ΔW‖ / ‖W‖ in the Frobenius norm, the mean over matrices."""
    return statistics.fmean((d.norm() / layers[n].weight.norm()).item() for n, d in changes.items())


def whole(tuned, point: Point):
    """The tuned model with its update merged into a copy: half as fast again, and the same within rounding; 4-bit ones stay as they are."""
    return merge.merge(tuned)[0] if point.method in ("lora", "dora") else tuned


def observe(point: Point) -> dict:
    """Train one point and measure what the plane and the sliders show: curves, task, skills, distance from the base, bytes."""
    setup(seed=point.seed)
    base, tokenizer = models.load("pocket")
    run, _ = point.experiment().run()
    splits = data.load(point.data)
    test, general = data.first(splits["test"], TESTED), data.first(data.load("general")["train"], 60)
    changes = lora.deltas(run.model, base)
    tuned = whole(run.model, point)
    step = max(1, len(run.losses) // 20)
    return {
        **dataclasses.asdict(point),
        "method": point.method,
        "trainable": run.trainable,
        "loss": run.loss,
        "curve": run.losses[::step],
        "validation": run.validation,
        **scores(tuned, tokenizer, {"test": test}),
        "size": size(changes, models.linears(base)),
        "kl_task": forgetting.distance(base, tuned, tokenizer, splits["validation"]),
        "kl_general": forgetting.distance(base, tuned, tokenizer, general),
        "seconds": round(run.seconds, 1),
    }


# What a grid holds, and what is measured at each of its points.
GRIDS: dict[str, tuple[Callable[[], list[Point]], Callable[[Point], dict]]] = {
    "lora": (lora_points, measure),
    "playground": (playground_points, observe),
}


def points(grid: str = "lora") -> list[Point]:
    """Every run of a grid."""
    return GRIDS[grid][0]()


def compact(row: object) -> object:
    """Numbers to five digits: a grid is read, not recomputed."""
    if isinstance(row, dict):
        return {k: compact(v) for k, v in row.items()}
    if isinstance(row, list | tuple):
        return [compact(v) for v in row]
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


def paired(rows: list[dict], others: list[dict], value: str | Callable[[dict], float] = "task") -> tuple[float, float, float]:
    """(mean, low, high) of value(row) − value(other) over runs with the same seed; 95 % interval by Student's t."""
    read_off = value if callable(value) else lambda row: row[value]
    before = {row["seed"]: read_off(row) for row in others}
    changes = [read_off(row) - before[row["seed"]] for row in rows if row["seed"] in before]
    if not 2 <= len(changes) <= len(STUDENT) + 1:
        raise UserError(f"{len(changes)} seeds are in both; an interval needs 2 to {len(STUDENT) + 1} runs with the same seeds.")
    mean, half = statistics.fmean(changes), STUDENT[len(changes) - 2] * statistics.stdev(changes) / math.sqrt(len(changes))
    return mean, mean - half, mean + half


def done(folder: Path) -> dict[str, dict]:
    """The rows that earlier or neighbouring commands have left in `folder`, by point."""
    rows = [json.loads(line) for file in sorted(folder.glob("*.jsonl")) for line in file.read_text(encoding="utf-8").splitlines()]
    return {as_point(row).key: row for row in rows}


def missing(grid: str, folder: Path, worker: int, workers: int) -> Iterator[Point]:
    """This worker's share of the points that nobody has made yet."""
    for point in points(grid)[worker::workers]:
        if point.key not in done(folder):
            yield point


def write(grid: str, rows: list[dict], command: str = "python -m ftkit.grids {grid}") -> Path:
    """data/grids/<grid>.json: the command that makes it, versions, the time it took, and a row a line."""
    head = {"command": command.format(grid=grid), "versions": {p: importlib.metadata.version(p) for p in PACKAGES}}
    head["training_seconds"] = round(sum(row["seconds"] for row in rows))
    path = data_path("grids", f"{grid}.json")
    path.parent.mkdir(exist_ok=True)
    lines = ",\n".join(json.dumps(row) for row in rows)
    path.write_text(f'{json.dumps(head)[:-1]},\n"rows": [\n{lines}\n]}}\n', encoding="utf-8")
    return path


def main(
    grid: Annotated[str, typer.Argument(help=f"Which grid: {', '.join(GRIDS)}.")] = "lora",
    parts: Annotated[Path | None, typer.Option(help="Folder for finished rows; a command that finds some goes on from there.")] = None,
    worker: Annotated[int, typer.Option(help="Which share of the points to make, from 0.")] = 0,
    workers: Annotated[int, typer.Option(help="Into how many shares the points are split.")] = 1,
) -> None:
    """Make the runs of a share of a grid; whoever finishes the last one writes data/grids/<grid>.json."""
    if grid not in GRIDS:
        raise typer.BadParameter(f"there is no grid {grid!r}; give one of {', '.join(GRIDS)}.{nearest(grid, GRIDS)}")
    parts = parts or Path("build", "grids", grid)
    parts.mkdir(parents=True, exist_ok=True)
    with (parts / f"{worker}-of-{workers}.jsonl").open("a", encoding="utf-8") as file:
        for point in missing(grid, parts, worker, workers):
            began = time.perf_counter()
            row = GRIDS[grid][1](point)
            file.write(json.dumps(compact(row)) + "\n")
            file.flush()
            typer.echo(f"… {point.key}: task {row['task']:.3f} in {time.perf_counter() - began:.0f} s", err=True)
    rows = done(parts)
    if all(point.key in rows for point in points(grid)):
        found = [rows[point.key] for point in points(grid)]
        typer.echo(f"… {write(grid, found).name}: {len(found)} runs", err=True)


if __name__ == "__main__":
    typer.run(main)
