"""The playground: turn rank and learning rate, watch learning and forgetting move, and press Train
to see it happen.

Moving a control reads a grid of runs made beforehand; Train makes the chosen run on this machine,
in the background, with a seed that the grid has not seen, and pins it beside what the grid
foretold.
"""

import dataclasses
import html
import json
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from .. import data, evaluate, forgetting
from ..core.errors import UserError
from ..core.files import data_path
from ..core.results import Table, percent
from ..core.session import quiet
from ..forgetting import Curve, LiveRun, PlaneSetting, plane
from ..show.panel import Panel
from ..show.svg import ACCENT, INK, WIDTH, Drawing
from ..world import skills as suites
from . import grids
from .measuring import TESTED, merge_if_exact
from .points import SEEDS, Point, as_point

CONTROLS = ("method", "r", "lr", "epochs", "targets", "replay")
PAUSE = 0.25  # seconds between two pictures of a run that is being made
RUNNING = threading.Lock()  # one run at a time in a process: each sets the seed for all


class Playground(Panel):
    """Controls, the picture of `explore_plane.plane_view`, and Train and Stop under them; see
    `playground`.

    `.trials` are the runs made here, `.table()` shows them, `.error` is what the last one broke on;
    `.wait()` for the one under way.
    """

    def __init__(self, rows: Sequence[Mapping], base: Mapping[str, float], out: Path):
        self.found = plane.spots(rows)
        self.points = {PlaneSetting.of(row): as_point(row) for row in rows}
        self.offered = [setting for setting in self.found if setting.offered]
        if not self.offered:
            raise UserError(
                f"there is no run for the controls among the {len(rows)} rows; give the rows of grids.read('playground')."
            )
        self.base, self.out = base, out
        self.trials: list[LiveRun] = []
        self.live: tuple[PlaneSetting | None, Curve] = (None, ())
        self.error: Exception | None = None
        self.halt, self.thread, self.drawn = threading.Event(), None, 0.0
        start = {"r": 16, "lr": 2e-3, "epochs": 2}
        super().__init__(self.view_of, start, **{name: self.left(name) for name in CONTROLS})
        self.build()

    def left(self, name: str):
        """The values of a control that the grid holds for the choices before it."""

        def values(**before) -> list:
            found = {
                getattr(s, name)
                for s in self.offered
                if all(getattr(s, k) == v for k, v in before.items())
            }
            usual = [getattr(s, name) for s in self.offered if getattr(s, name) in found]
            return list(dict.fromkeys(usual)) if name in ("method", "targets") else sorted(found)

        return values

    def view_of(self, **chosen) -> Drawing:
        """The picture of one setting, with the runs made here and the one under way."""
        setting = PlaneSetting(**chosen)
        live = self.live[1] if self.live[0] == setting else ()
        return forgetting.plane_view(self.found, setting, self.base, self.trials, live)

    def build(self) -> None:
        """Put buttons, bar and status between the controls and the picture, and the table of runs
        below it.
        """
        import ipywidgets

        wide = ipywidgets.Layout(width="auto", flex="1 1 auto")
        halves = ipywidgets.Layout(
            grid_template_columns="repeat(2, minmax(0, 1fr))", grid_gap="2px 16px"
        )
        for chosen in self.controls.values():
            chosen.layout.width = "auto"
        self.buttons = {
            name: ipywidgets.Button(description=name.capitalize()) for name in ("train", "stop")
        }
        self.buttons["train"].style = {
            "button_color": ACCENT,
            "text_color": "white",
            "font_weight": "bold",
        }
        self.buttons["train"].on_click(self.train)
        self.buttons["stop"].on_click(self.stop)
        self.buttons["stop"].disabled = True
        self.bar = ipywidgets.FloatProgress(0, max=1, layout=wide, style={"bar_color": INK})
        self.status, self.made = ipywidgets.HTML(layout=wide), ipywidgets.HTML()
        named = {**self.buttons, "bar": self.bar, "status": self.status, "made": self.made}
        for name, widget in named.items():
            widget.add_class(f"ft-{name}")
        self.say("Train makes this very run here, with a seed that the grid has not seen.")
        controls = ipywidgets.GridBox(list(self.controls.values()), layout=halves)
        self.box.children = [
            controls,
            ipywidgets.HBox([*self.buttons.values(), self.bar]),
            self.status,
            self.picture,
            self.made,
        ]
        self.box.layout.max_width = f"{WIDTH}px"

    def say(self, text: str, done: float | None = None) -> None:
        """Write the status line; done: the share of the bar that is filled."""
        self.status.value = html.escape(text)
        if done is not None:
            self.bar.value = done

    def train(self, _button: object = None) -> None:
        """Make the chosen run in the background; refused while another one is under way."""
        if not RUNNING.acquire(blocking=False):
            self.say("One run at a time: wait for the one that is under way, or press Stop.")
            return
        self.halt.clear()
        self.error = None
        setting = PlaneSetting(**self.values())
        self.buttons["train"].disabled, self.buttons["stop"].disabled = True, False
        self.say(f"Loading the model for {setting}", 0)
        self.thread = threading.Thread(target=self.work, args=(setting,), daemon=True)
        self.thread.start()

    def stop(self, _button: object = None) -> None:
        """End the run under way after its next step; what it has trained so far is kept."""
        self.halt.set()
        self.say("Stopping after this step")

    def wait(self, seconds: float | None = None) -> None:
        """Return when the run under way has ended, or after so many seconds."""
        if self.thread is not None:
            self.thread.join(seconds)

    def work(self, setting: PlaneSetting) -> None:
        """One run from start to pin, in its own thread; an error ends in the status line, for
        nobody reads a thread's traceback.
        """
        try:
            trial, folder = self.make(setting)
            self.trials.append(trial)
            self.say(
                f"{plane.describe(trial, self.found)}. {'Adapter' if setting.r else 'Model'} in {folder}.",
                0,
            )
        except Exception as error:
            self.error = error
            self.say(
                f"{'' if isinstance(error, UserError) else f'{type(error).__name__}: '}{error}", 0
            )
        finally:
            self.live = (None, ())
            self.buttons["train"].disabled, self.buttons["stop"].disabled = False, True
            RUNNING.release()
            self.show()
            self.made.value = self.table()._repr_html_() if self.trials else ""

    def make(self, setting: PlaneSetting) -> tuple[LiveRun, Path]:
        """Train, save, and measure as the grid does: `(trial, folder)`; a stopped run is saved, not
        measured.
        """
        quiet()
        number = 1 + len(self.trials)
        while (self.out / f"run-{number}").exists():
            number += 1
        seed = number + max(SEEDS)
        # A run whose last step is kept comes out the same without validation, only sooner.
        point = dataclasses.replace(self.points[setting], seed=seed, evaluations=0)
        experiment = point.experiment()
        run, tokenizer = experiment.run(
            self.halt.is_set, lambda *state: self.watch(setting, *state)
        )
        folder = experiment.save(run, tokenizer, self.out / f"run-{number}")
        scores = self.ask(merge_if_exact(run.model, point), tokenizer, point)
        if scores is not None:
            experiment.save(run, tokenizer, folder, scores)
        trial = LiveRun(number, setting, seed, run.steps, run.losses)
        return dataclasses.replace(
            trial, task=scores["task"], by_skill=scores["skills"]
        ) if scores else trial, folder

    def watch(
        self, setting: PlaneSetting, step: int, total: int, losses: Curve, _validation: Curve
    ) -> None:
        """Show how far a run is: the bar at every step, the picture a few times a second. Measuring
        takes the bar's last quarter.
        """
        self.say(
            f"{setting}: step {step} of {total}"
            + (f", loss {losses[-1][1]:.3f}" if losses else ""),
            0.75 * step / total,
        )
        if step == total or time.perf_counter() - self.drawn > PAUSE:
            self.drawn = time.perf_counter()
            self.live = (setting, tuple(losses))
            self.show()

    def ask(self, tuned, tokenizer, point: Point) -> dict | None:
        """`{"task": share, "skills": {name: share}}` as in the grid's rows, asked suite by suite;
        None when stopped.
        """
        found = {}
        for i, name in enumerate(suites.SKILLS):
            if self.halt.is_set():
                return None
            self.say(
                f"Trained; asking for what it still can: {name}",
                0.75 + 0.2 * i / len(suites.SKILLS),
            )
            found[name] = forgetting.skills(tuned, tokenizer, names=[name]).rates[name].value
        self.say("Trained; asking the task's test rows", 0.95)
        test = data.first(data.load(point.data)["test"], TESTED)
        return {"task": evaluate.score(tuned, tokenizer, test).task.value, "skills": found}

    def table(self) -> Table:
        """The runs made here beside the grid's mean and range."""
        rows = []
        for t in self.trials:
            shares = zip(
                (t.task, t.skills),
                (self.found[t.setting].task, self.found[t.setting].skills),
                strict=True,
            )
            cells = [
                "–"
                if mine is None
                else f"{percent(mine)} ({100 * m:.1f}, {100 * a:.1f} to {100 * b:.1f})"
                for mine, (m, a, b) in shares
            ]
            rows.append((t.number, str(t.setting), t.seed, t.steps, *cells))
        return Table(
            "Runs made here (in brackets the grid's mean and range)",
            ("run", "setting", "seed", "steps", "task", "skills"),
            rows,
        )


def open_playground(
    rows: Sequence[Mapping] | None = None, out: str | Path = "runs/playground"
) -> Playground:
    """Choose method, rank, learning rate, epochs, targets and replay; see loss, task score and
    forgetting; press Train.

    rows: of a grid of runs, `grids.read("playground")` by default; a control offers what the grid
    holds for the choices before it. Train makes the chosen run in the background, Stop ends it
    early; either leaves `out`/run-N, which `experiment.reopen` opens. A fourth seed lies outside
    the range of three in one case of two, so a run outside it is no surprise.
    """
    card = json.loads(data_path("pocket", "card.json").read_text(encoding="utf-8"))
    base = {name: score["right"] / score["n"] for name, score in card["skills"].items()}
    return Playground(grids.read("playground") if rows is None else rows, base, Path(out))
