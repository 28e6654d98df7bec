"""The playground: turn rank and learning rate, watch learning and forgetting move, press Train.

    open_playground()   a `Playground` over the runs of the grid "playground"

Moving a control reads a grid of runs made beforehand and computes nothing. Train makes the chosen
run on this machine, in the background, with a seed that the grid has not seen, and pins it beside
what the grid foretold. The picture itself is `forgetting.plane_view` (notebook 10), the grid's runs
are `points`, and what they measured is `rows`.
"""

import dataclasses
import html
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import ipywidgets

from .. import data, evaluate, forgetting, train
from ..core.errors import UserError
from ..core.files import data_path
from ..core.results import Table, percent
from ..core.session import quiet
from ..core.statistics import Range
from ..forgetting import Curve, LiveRun, PlaneSetting, plane
from ..show.panel import Panel
from ..show.svg import ACCENT, INK, WIDTH, Drawing
from ..world import skills as suites
from . import grids
from .measuring import TESTED, merge_if_exact
from .points import SEEDS, Point
from .rows import PlaygroundRow, Scores

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


CONTROLS = ("method", "r", "lr", "epochs", "targets", "replay")
MENUS = ("method", "targets")  # the controls without an order of their own
START = {"r": 16, "lr": 2e-3, "epochs": 2}
PAUSE = 0.25  # seconds between two pictures of a run that is being made
RUNNING = threading.Lock()  # one run at a time in a process: each sets the seed for all
TRAINED, PROBED = 0.75, 0.95  # how far the bar is after the training, and after the skills


class Playground(Panel):
    """Controls, the picture of `forgetting.plane_view`, and Train and Stop under them.

    `.runs` are the runs made here, `.table()` shows them, `.error` is what the last one broke on;
    `.wait()` for the one under way. See `open_playground`.
    """

    def __init__(self, rows: Sequence[PlaygroundRow], base: Mapping[str, float], out: Path):
        self.spots = plane.gather_spots(rows)
        self.points = {PlaneSetting.of(row): row.point for row in rows}
        self.offered = [setting for setting in self.spots if setting.offered]
        if not self.offered:
            raise UserError(
                f"there is no run for the controls among the {len(rows)} rows; give the rows of "
                "grids.read('playground')."
            )
        self.base, self.out = base, out
        # the runs made here, and the loss of the one under way
        self.runs: list[LiveRun] = []
        self.live: tuple[PlaneSetting | None, Curve] = (None, ())
        self.error: Exception | None = None
        # how a run is stopped, waited for, and not drawn too often
        self.halt = threading.Event()
        self.thread: threading.Thread | None = None
        self.drawn = 0.0
        choices = {name: self.values_left(name) for name in CONTROLS}
        super().__init__(self.view_of, START, **choices)
        self.add_buttons()

    def values_left(self, name: str) -> Callable[..., list]:
        """A function of the choices before a control: the values that the grid holds for them."""

        def values(**before: object) -> list:
            left = []
            for setting in self.offered:
                if all(getattr(setting, key) == value for key, value in before.items()):
                    left.append(getattr(setting, name))
            if name not in MENUS:
                return sorted(set(left))
            # a menu keeps the grid's order, whatever was chosen before
            usual = dict.fromkeys(getattr(setting, name) for setting in self.offered)
            return [value for value in usual if value in left]

        return values

    def view_of(self, **chosen) -> Drawing:
        """The picture of one setting, with the runs made here and the one under way."""
        setting = PlaneSetting(**chosen)
        live = self.live[1] if self.live[0] == setting else ()
        return forgetting.plane_view(self.spots, setting, self.base, self.runs, live)

    def add_buttons(self) -> None:
        """Put buttons, bar and status between controls and picture, and a table of runs below."""
        self.buttons = {
            name: ipywidgets.Button(description=name.capitalize()) for name in ("train", "stop")
        }
        self.buttons["train"].style = {
            "button_color": ACCENT, "text_color": "white", "font_weight": "bold",
        }  # fmt: skip
        self.buttons["train"].on_click(self.train)
        self.buttons["stop"].on_click(self.stop)
        self.buttons["stop"].disabled = True
        # how far the run under way is, in a bar and in words; below the picture what was made
        wide = ipywidgets.Layout(width="auto", flex="1 1 auto")
        self.bar = ipywidgets.FloatProgress(0, max=1, layout=wide, style={"bar_color": INK})
        self.status = ipywidgets.HTML(layout=wide)
        self.made = ipywidgets.HTML()
        named = {**self.buttons, "bar": self.bar, "status": self.status, "made": self.made}
        for name, widget in named.items():
            widget.add_class(f"ft-{name}")
        self.say("Train makes this very run here, with a seed that the grid has not seen.")
        self.lay_out()

    def lay_out(self) -> None:
        """Two columns of controls, then buttons and bar, status, picture and the runs made here."""
        for control in self.controls.values():
            control.layout.width = "auto"
        halves = ipywidgets.Layout(
            grid_template_columns="repeat(2, minmax(0, 1fr))", grid_gap="2px 16px"
        )
        controls = ipywidgets.GridBox(list(self.controls.values()), layout=halves)
        buttons = ipywidgets.HBox([*self.buttons.values(), self.bar])
        self.box.children = [controls, buttons, self.status, self.picture, self.made]
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
        self.thread = threading.Thread(target=self.run_and_pin, args=(setting,), daemon=True)
        self.thread.start()

    def stop(self, _button: object = None) -> None:
        """End the run under way after its next step; what it has trained so far is kept."""
        self.halt.set()
        self.say("Stopping after this step")

    def wait(self, seconds: float | None = None) -> None:
        """Return when the run under way has ended, or after so many seconds."""
        if self.thread is not None:
            self.thread.join(seconds)

    def run_and_pin(self, setting: PlaneSetting) -> None:
        """One run from start to pin, in its own thread.

        An error ends in the status line, for nobody reads a thread's traceback.
        """
        # the run, and how far it came out from the grid
        try:
            run, folder = self.make_run(setting)
            self.runs.append(run)
            what = "Adapter" if setting.r else "Model"
            self.say(f"{plane.describe_run(run, self.spots)}. {what} in {folder}.", 0)
        except Exception as error:
            self.error = error
            kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
            self.say(f"{kind}{error}", 0)
        # whatever happened, the next run may start
        finally:
            self.live = (None, ())
            self.buttons["train"].disabled, self.buttons["stop"].disabled = False, True
            RUNNING.release()
            self.show()
            self.made.value = self.table()._repr_html_() if self.runs else ""

    def make_run(self, setting: PlaneSetting) -> tuple[LiveRun, Path]:
        """Train, save and measure one run as the grid does, and the folder that holds it.

        A run that was stopped is saved and not measured.
        """
        quiet()
        number = self.next_number()
        seed = number + max(SEEDS)
        # a run whose last step is kept comes out the same without validation, only sooner
        point = dataclasses.replace(self.points[setting], seed=seed, evaluations=0)
        experiment = point.experiment()

        def watch(step: int, total: int, losses: Curve, _validation: Curve) -> None:
            self.show_progress(setting, step, total, losses)

        run, tokenizer = experiment.run(self.halt.is_set, watch)
        # saved before it is measured, so that a run that breaks there is not lost
        folder = train.save_run(experiment, run, tokenizer, self.out / f"run-{number}")
        live = LiveRun(number, setting, seed, run.steps, run.losses)
        scores = self.score(merge_if_exact(run.model, point), tokenizer, point)
        if scores is None:
            return live, folder
        recorded = {"task": scores.task, "skills": scores.skills}
        train.save_run(experiment, run, tokenizer, folder, recorded)
        return dataclasses.replace(live, task=scores.task, by_skill=scores.skills), folder

    def next_number(self) -> int:
        """The number of the next run: after those made here, and of a folder that is not there."""
        number = 1 + len(self.runs)
        while (self.out / f"run-{number}").exists():
            number += 1
        return number

    def show_progress(self, setting: PlaneSetting, step: int, total: int, losses: Curve) -> None:
        """Show how far a run is: the bar at every step, the picture a few times a second."""
        loss = f", loss {losses[-1][1]:.3f}" if losses else ""
        self.say(f"{setting}: step {step} of {total}{loss}", TRAINED * step / total)
        if step == total or time.perf_counter() - self.drawn > PAUSE:
            self.drawn = time.perf_counter()
            self.live = (setting, tuple(losses))
            self.show()

    def score(
        self,
        tuned: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        point: Point,
    ) -> Scores | None:
        """Task and skills as in the grid's rows, asked suite by suite; None when stopped."""
        skills = {}
        part = (PROBED - TRAINED) / len(suites.SKILLS)
        for i, name in enumerate(suites.SKILLS):
            if self.halt.is_set():
                return None
            self.say(f"Trained; asking for what it still can: {name}", TRAINED + part * i)
            skills[name] = forgetting.skills(tuned, tokenizer, names=[name]).rates[name].value
        self.say("Trained; asking the task's test rows", PROBED)
        test = data.first(data.load(point.data)["test"], TESTED)
        return Scores(evaluate.score(tuned, tokenizer, test).task.value, skills)

    def table(self) -> Table:
        """The runs made here beside the grid's mean and range."""
        rows = []
        for run in self.runs:
            spot = self.spots[run.setting]
            shares = (
                share_beside_grid(run.task, spot.task),
                share_beside_grid(run.skills, spot.skills),
            )
            rows.append((run.number, str(run.setting), run.seed, run.steps, *shares))
        title = "Runs made here (in brackets the grid's mean and range)"
        return Table(title, ("run", "setting", "seed", "steps", "task", "skills"), rows)


def share_beside_grid(share: float | None, grid: Range) -> str:
    """A share that was measured here, and in brackets the grid's mean and range; – for none."""
    if share is None:
        return "–"
    mean, lowest, highest = (100 * value for value in grid)
    return f"{percent(share)} ({mean:.1f}, {lowest:.1f} to {highest:.1f})"


def open_playground(
    rows: Sequence[PlaygroundRow] | None = None, out: str | Path = "runs/playground"
) -> Playground:
    """Choose method, rank, learning rate, epochs, targets and replay; see loss, score, forgetting.

    rows: of a grid of runs, `grids.read("playground")` by default; a control offers what the grid
    holds for the choices before it. Train makes the chosen run in the background, Stop ends it
    early; either leaves `out`/run-N, which `train.reopen` opens. A fourth seed lies outside the
    range of three in one case of two, so a run outside it is no surprise. Raises UserError for
    rows among which there is no run for the controls.
    """
    # the share right before any tuning, as the pocket model's card states it
    card = json.loads(data_path("pocket", "card.json").read_text(encoding="utf-8"))
    base = {name: score["right"] / score["n"] for name, score in card["skills"].items()}
    if rows is None:
        rows = grids.read("playground")
    return Playground(rows, base, Path(out))
