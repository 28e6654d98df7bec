"""The playground: turn rank and learning rate, watch learning and forgetting move, press Train.

    open_playground()   a `Playground` over the runs of the grid "playground"

Moving a control reads a grid of runs made beforehand and computes nothing; what the grid does not
hold is said, with the nearest that it does. Train makes the chosen run on this machine, in the
background, with a seed that the grid has not seen, and pins it beside what the grid foretold. The
picture is `forgetting.plane_view` (notebook 10), the grid's runs are `points`, and what they
measured is `rows`.
"""

import dataclasses
import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets

from .. import data, evaluate, forgetting, merge, train
from ..core.errors import UserError, nearest
from ..core.files import data_path
from ..core.results import Table, html_text, percent
from ..core.session import quiet
from ..core.statistics import Range
from ..forgetting import Curve, LiveRun, PlaneSetting, plane
from ..show.controls import wrapping_row
from ..show.panel import Panel
from ..show.svg import ACCENT, INK, WIDTH, Drawing
from ..world import skills as suites
from . import grids
from .measuring import TESTED
from .points import SEEDS, PlaygroundRow, Point, Scores

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


CONTROLS = ("method", "r", "lr", "epochs", "targets", "replay")
MENUS = ("method", "targets")  # the controls without an order of their own
START = {"r": 16, "lr": 8e-3, "epochs": 2}  # the hot run, so that the first move may help
PAUSE = 0.25  # seconds between two pictures of a run that is being made
TRAINED, PROBED = 0.75, 0.95  # how far the bar is after the training, and after the skills


@dataclass(eq=False)
class Job:
    """A run in the background, and the panel that shows it: the last one that was opened."""

    setting: PlaneSetting
    owner: "Playground"
    halt: threading.Event = field(default_factory=threading.Event)


UNDER_WAY: list[Job] = []  # the playground's run in this process, whichever panel began it
GATE = threading.RLock()  # whoever begins, ends or takes over a run


class Playground(Panel):
    """The picture of `forgetting.plane_view`, its controls beside it, and Train and Stop there too.

    `.runs` are the runs made here, `.table()` shows them, `.error` is what the last one broke on;
    `.wait()` for the one under way. See `open_playground`.
    """

    def __init__(
        self,
        rows: Sequence[PlaygroundRow],
        base: Mapping[str, float],
        out: Path,
        button: str,
        *,
        zoom: bool = False,
    ):
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
        # how a run is waited for, and not drawn too often
        self.thread: threading.Thread | None = None
        self.drawn = 0.0
        corner = ipywidgets.Checkbox(zoom, description="zoom to 90 % and more", indent=False)
        choices = {name: self.values_of(name) for name in CONTROLS}
        title = "Learning and forgetting"
        super().__init__(
            self.view_of, START, title=title, call="lab.open_playground()", **choices, zoom=corner
        )
        self.add_buttons(button)
        self.take_over()

    def values_of(self, name: str) -> list:
        """All that the grid holds for a control; full fine-tuning has no rank."""
        values = dict.fromkeys(getattr(setting, name) for setting in self.offered)
        if name == "r":
            values.pop(0, None)
        return list(values) if name in MENUS else sorted(values)

    def setting(self, **chosen: Any) -> PlaneSetting:
        """The setting that the controls stand for; full fine-tuning has no rank and no targets."""
        named = {name: value for name, value in chosen.items() if name in CONTROLS}
        if chosen["method"] == "full":
            named |= {"r": 0, "targets": "all-linear"}
        return PlaneSetting(**named)

    def view_of(self, **chosen) -> Drawing:
        """The picture of one setting, with the runs made here and the one under way."""
        setting = self.setting(**chosen)
        live = self.live[1] if self.live[0] == setting else ()
        zoom = chosen["zoom"]
        return forgetting.plane_view(self.spots, setting, self.base, self.runs, live, zoom=zoom)

    def add_buttons(self, train: str) -> None:
        """Put buttons, bar and status between controls and picture, and a table of runs below."""
        labels = {"train": train, "stop": "Stop"}
        self.buttons = {
            name: ipywidgets.Button(description=label) for name, label in labels.items()
        }
        self.buttons["train"].style = {
            "button_color": ACCENT, "text_color": "white", "font_weight": "bold",
        }  # fmt: skip
        self.buttons["train"].on_click(self.train)
        self.buttons["stop"].on_click(self.stop)
        self.buttons["stop"].disabled = True
        # how far the run under way is, in a bar and in words; below the picture what was made
        wide = ipywidgets.Layout(width="auto", flex="0 0 auto")
        self.bar = ipywidgets.FloatProgress(0, max=1, layout=wide, style={"bar_color": INK})
        self.status = ipywidgets.HTML(layout=wide)
        self.made = ipywidgets.HTML()
        named = {**self.buttons, "bar": self.bar, "status": self.status, "made": self.made}
        for name, widget in named.items():
            widget.add_class(f"ft-{name}")
        self.say(f"{train} makes this very run here, with a seed that no finished run has.")
        self.lay_out()

    def lay_out(self) -> None:
        """The picture at the left, all that is pressed at its right; below the runs made here."""
        for control in self.controls.values():
            control.layout.width = "auto"
            control.style.description_width = "56px"
        buttons = ipywidgets.HBox(list(self.buttons.values()))
        # on a narrow page the column stands below the picture; neither ever leaves the page
        beside = ipywidgets.Layout(flex="1 1 240px", min_width="0", max_width="420px")
        column = [*self.controls.values(), buttons, self.bar, self.status]
        for button in self.buttons.values():
            button.layout = ipywidgets.Layout(flex="1 1 auto", width="auto")
        left = ipywidgets.Layout(flex="100 1 440px", min_width="0", max_width=f"{WIDTH}px")
        halves = [
            ipywidgets.VBox([self.told, self.picture], layout=left),
            ipywidgets.VBox(column, layout=beside),
        ]
        self.box.children = [wrapping_row(halves), self.made]

    def show_only(self, names: Sequence[str]) -> None:
        """Hide every control but these; the others keep the value that they have."""
        for name in names:
            if name not in self.controls:
                known = ", ".join(self.controls)
                raise UserError(
                    f"there is no control {name!r}; give some of {known}."
                    f"{nearest(name, self.controls)}"
                )
        for name, control in self.controls.items():
            control.layout.display = None if name in names else "none"

    def say(self, text: str, done: float | None = None) -> None:
        """Write the status line; done: the share of the bar that is filled."""
        self.status.value = html_text(text)
        if done is not None:
            self.bar.value = done

    def take_over(self) -> None:
        """Show, and be able to stop, a run that goes on since before this panel was opened."""
        with GATE:
            for job in UNDER_WAY:
                self.thread, job.owner = job.owner.thread, self
                self.show_busy(busy=True)
                self.say(f"{job.setting} goes on, begun before this panel was opened; Stop ends it")

    def show_busy(self, *, busy: bool) -> None:
        """Which of the two buttons can be pressed."""
        self.buttons["train"].disabled, self.buttons["stop"].disabled = busy, not busy

    def train(self, _button: object = None) -> None:
        """Make the chosen run in the background; refused while another one is under way."""
        with GATE:
            if UNDER_WAY:
                self.say("One run at a time: wait for the one that is under way, or press Stop.")
                self.buttons["stop"].disabled = False
                return
            job = Job(self.setting(**self.values()), self)
            UNDER_WAY.append(job)
            self.error = None
            self.show_busy(busy=True)
            self.say(f"Loading the model for {job.setting}", 0)
            self.thread = threading.Thread(target=self.run_and_pin, args=(job,), daemon=True)
            self.thread.start()

    def stop(self, _button: object = None) -> None:
        """End the run under way after its next step; what it has trained so far is kept."""
        for job in UNDER_WAY:
            job.halt.set()
        self.say("Stopping after this step" if UNDER_WAY else "There is no run to stop.")

    def wait(self, seconds: float | None = None) -> None:
        """Return when the run under way has ended, or after so many seconds."""
        if self.thread is not None:
            self.thread.join(seconds)

    def run_and_pin(self, job: Job) -> None:
        """One run from start to pin, in its own thread.

        An error ends in the status line, for nobody reads a thread's traceback.
        """
        # the run, and how far it came out from the grid
        try:
            run, folder = self.make_run(job)
            shown = job.owner
            shown.runs.append(run)
            what = "Adapter" if job.setting.r else "Model"
            shown.say(f"{plane.describe_run(run, shown.spots)}. {what} in {folder}.", 0)
        except Exception as error:
            job.owner.error = error
            kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
            job.owner.say(f"{kind}{error}", 0)
        # whatever happened, the next run may start
        finally:
            with GATE:
                UNDER_WAY.remove(job)
            for panel in {self, job.owner}:
                panel.rest()

    def rest(self) -> None:
        """No run is under way any more."""
        self.live = (None, ())
        self.show_busy(busy=False)
        self.show()
        self.made.value = self.table()._repr_html_() if self.runs else ""

    def point_of(self, setting: PlaneSetting) -> Point:
        """The run of a setting; of one that the grid has not, the nearest one's, changed."""
        if setting in self.points:
            return self.points[setting]
        near = self.points[plane.nearest_setting(setting, self.offered)]
        targets = next(p.targets for s, p in self.points.items() if s.targets == setting.targets)
        # what an adapter has besides, as all of the grid have it
        alpha = next((p.alpha for p in self.points.values() if p.r), near.alpha)
        return dataclasses.replace(
            near,
            r=setting.r,
            alpha=alpha if setting.r else 0,
            lr=setting.lr,
            epochs=setting.epochs,
            targets=targets,
            replay=setting.replay,
        )

    def make_run(self, job: Job) -> tuple[LiveRun, Path]:
        """Train, save and measure one run as the grid does, and the folder that holds it.

        A run that was stopped is saved and not measured.
        """
        quiet()
        number, folder = train.claim_next(self.out, 1 + len(self.runs))
        seed = number + max(SEEDS)
        # a run whose last step is kept comes out the same without validation, only sooner
        point = dataclasses.replace(self.point_of(job.setting), seed=seed, evaluations=0)
        experiment = point.experiment()

        def watch(step: int, total: int, losses: Curve, _validation: Curve) -> None:
            job.owner.show_progress(job.setting, step, total, losses)

        try:
            run, tokenizer = experiment.run(job.halt.is_set, watch)
        except BaseException:
            folder.rmdir()  # nothing came of it
            raise
        if run.ended_early:
            job.halt.set()
        # saved before it is measured, so that a run that breaks there is not lost
        train.save_run(experiment, run, tokenizer, folder)
        live = LiveRun(number, job.setting, seed, run.steps, run.losses)
        scores = score(merge.merge_if_exact(run.model), tokenizer, point, job)
        if scores is None:
            return live, folder
        recorded = {"task": scores.task, "skills": scores.skills}
        train.save_run(experiment, run, tokenizer, folder, recorded)
        return dataclasses.replace(live, task=scores.task, by_skill=scores.skills), folder

    def show_progress(self, setting: PlaneSetting, step: int, total: int, losses: Curve) -> None:
        """Show how far a run is: the bar at every step, the picture a few times a second."""
        loss = f", loss {losses[-1][1]:.3f}" if losses else ""
        self.say(f"{setting}: step {step} of {total}{loss}", TRAINED * step / total)
        if step == total or time.perf_counter() - self.drawn > PAUSE:
            self.drawn = time.perf_counter()
            self.live = (setting, tuple(losses))
            self.show()

    def table(self) -> Table:
        """The runs made here beside the grid's mean and range."""
        rows = []
        for run in self.runs:
            spot = self.spots.get(run.setting)
            shares = (
                share_beside_grid(run.task, spot and spot.task),
                share_beside_grid(run.skills, spot and spot.skills),
            )
            rows.append((run.number, str(run.setting), run.seed, run.steps, *shares))
        title = "Runs made here (in brackets mean and range of the finished runs)"
        return Table(title, ("run", "setting", "seed", "steps", "task", "skills"), rows)


def score(
    tuned: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", point: Point, job: Job
) -> Scores | None:
    """Task and skills as in the grid's rows, asked suite by suite; None when stopped."""
    skills = {}
    part = (PROBED - TRAINED) / len(suites.SKILLS)
    for i, name in enumerate(suites.SKILLS):
        if job.halt.is_set():
            return None
        job.owner.say(f"Trained; asking for what it still can: {name}", TRAINED + part * i)
        skills[name] = forgetting.skills(tuned, tokenizer, names=[name]).rates[name].value
    job.owner.say("Trained; asking the task's test rows", PROBED)
    test = data.first(data.load(point.data)["test"], TESTED)
    return Scores(evaluate.score(tuned, tokenizer, test).task.value, skills)


def share_beside_grid(share: float | None, grid: Range | None) -> str:
    """A share that was measured here, and in brackets the grid's mean and range; – for none."""
    if share is None:
        return "–"
    if grid is None:
        return f"{percent(share)} (not in the grid)"
    mean, lowest, highest = (100 * value for value in grid)
    return f"{percent(share)} ({mean:.1f}, {lowest:.1f} to {highest:.1f})"


def open_playground(
    rows: Sequence[PlaygroundRow] | None = None,
    out: str | Path = "runs/playground",
    button: str = "Train",
    controls: Sequence[str] | None = None,
    *,
    zoom: bool = False,
) -> Playground:
    """Choose method, rank, learning rate, epochs, targets and replay; see loss, score, forgetting.

    rows: of a grid of runs, `grids.read("playground")` by default. A choice that the grid does not
    hold shows the nearest one that it does, and says so. Train makes the chosen run in the
    background, Stop ends it early; either leaves `out`/run-N, which `train.reopen` opens. A panel
    that is opened while a run goes on takes that over. A fourth seed lies outside the range of
    three in one case of two, so a run outside it is no surprise. button: what Train is called.
    controls: those that are shown, all by default. zoom: begin in the corner above 90 %. Raises
    UserError for rows among which there is no run for the controls, and for a control that there is
    not.
    """
    # the share right before any tuning, as the pocket model's card states it
    card = json.loads(data_path("pocket", "card.json").read_text(encoding="utf-8"))
    base = {name: score["right"] / score["n"] for name, score in card["skills"].items()}
    if rows is None:
        rows = grids.read("playground")
    panel = Playground(rows, base, Path(out), button, zoom=zoom)
    if controls is not None:
        panel.show_only(controls)
    return panel
