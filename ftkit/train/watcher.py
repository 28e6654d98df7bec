"""What can be seen of a run while it goes on: its two curves, and a bar with the time to go.

    Watcher(stop, watch)    a callback of the trainer; `.losses` and `.validation` are the curves
    tell_steps(say)         for where no bar can be drawn: a line at each quarter of a run

It changes nothing but when the run ends, and that only if it is asked to. What a finished run
shows is `supervised.Run`. Used from notebook 00 on, wherever something is trained.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tqdm.auto import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..core.session import PATIENCE, progress_wanted

Curve = list[tuple[int, float]]  # (step, nats per answer token)
Stop = Callable[[], bool]  # asked after every step; True ends the run
Watch = Callable[[int, int, Curve, Curve], object]  # step, of so many, losses, validation
QUARTERS = 4  # parts of a run after which a line is told


class Watcher(TrainerCallback):
    """Fills the two curves, tells `watch` or else draws a bar, and ends the run when asked to.

    stop: called after every step. watch: called after every step with (step, steps of the whole
    run, losses, validation).
    """

    def __init__(self, stop: Stop | None = None, watch: Watch | None = None) -> None:
        self.losses: Curve = []
        self.validation: Curve = []
        self.stop, self.watch = stop, watch
        self.bar = tqdm(disable=True)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Add a loss, of training or of validation, to its curve."""
        if "loss" in values:
            self.losses.append((step, float(values["loss"])))
        if "eval_loss" in values:
            self.validation.append((step, float(values["eval_loss"])))

    def add_history(self, history: Iterable[Mapping[str, float]]) -> None:
        """Add all that an earlier process logged of the same run."""
        for values in history:
            self.add(int(values["step"]), values)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Open the bar, at the step where a resumed run goes on."""
        self.bar = tqdm(
            total=state.max_steps,
            initial=state.global_step,
            desc="training",
            unit="step",
            disable=self.watch is not None or not progress_wanted(),
        )

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any
    ) -> None:
        """Note what the trainer logs: a loss, or a validation loss."""
        logs = more["logs"]
        self.add(state.global_step, logs)
        if "loss" in logs:
            self.bar.set_postfix_str(f"loss {self.losses[-1][1]:.3f}")

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Move the bar, tell who watches, and stop if asked to."""
        self.bar.update()
        if self.watch is not None:
            self.watch(state.global_step, state.max_steps, self.losses, self.validation)
        if self.stop is not None and self.stop():
            control.should_training_stop = True

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Close the bar."""
        self.bar.close()


def tell_steps(say: Callable[[str], object]) -> Watch | None:
    """A `watch` that tells at each quarter how far a run is and the time to go; None where a bar
    shows that.
    """
    if progress_wanted():
        return None
    began = time.monotonic()

    def watch(step: int, steps: int, losses: Curve, validation: Curve) -> None:
        to_go = (time.monotonic() - began) / step * (steps - step)
        if to_go > PATIENCE and QUARTERS * step // steps > QUARTERS * (step - 1) // steps:
            loss = f", loss {losses[-1][1]:.3f}" if losses else ""
            say(f"step {step} of {steps}{loss}, about {to_go:.0f} s to go")

    return watch
