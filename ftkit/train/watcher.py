"""What can be seen of a run while it goes on, how it is ended early, and that it goes on alone.

    Watcher(stop, watch)    a callback of the trainer; `.losses` and `.validation` are the curves
    as_lines(history)       all that was logged, as JSON Lines: a line per step
    tell_steps(say)         for where no bar can be drawn: a line at each quarter of a run
    alone(what)             in a `with`: the one training of this session
    under_way()             the training that goes on, with `.stop()`; None without one
    TokenLosses(model, …)   a `watch` that notes what each token of a row costs on the way

It changes nothing but when the run ends, and that only if it is asked to. What a finished run
shows is `supervised.Run`. Used from notebook 00 on, wherever something is trained.
"""

import datetime
import json
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tqdm.auto import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from .. import data, models
from ..core.errors import UserError
from ..core.session import PATIENCE, progress_wanted

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Curve = list[tuple[int, float]]  # (step, nats per answer token)
Stop = Callable[[], bool]  # asked after every step; True ends the run
Watch = Callable[[int, int, Curve, Curve], object]  # step, of so many, losses, validation
QUARTERS = 4  # parts of a run after which a line is told
STEPS = "steps.jsonl"  # the log of a run's steps


@dataclass(eq=False)
class UnderWay:
    """A training that goes on in this session; `stop()` ends it after its next step."""

    what: str
    since: str  # the time of day
    step: int = 0
    steps: int = 0  # 0 before the first one
    halt: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> None:
        """Ask the run to end after its step; what it has trained by then is kept."""
        self.halt.set()

    def __str__(self) -> str:
        far = f", step {self.step} of {self.steps}" if self.steps else ""
        return f"{self.what}, begun at {self.since}{far}"


# One at a time in a process: a run sets the random generators, and accelerate's state, for all.
GATE = threading.Lock()
current: list[UnderWay] = []  # the training that goes on, if there is one


def under_way() -> UnderWay | None:
    """The training that goes on in this session, in whichever cell or thread; None without one."""
    return next(iter(current), None)


@contextmanager
def alone(what: str) -> Iterator[UnderWay]:
    """The one training of this session inside the block; `UserError` where another one goes on.

    what: which run it is, for the sentence that refuses another one meanwhile.
    """
    if not GATE.acquire(blocking=False):
        raise UserError(
            f"a run is under way in this session ({under_way() or 'it just began'}); wait until it "
            "is done, or end it by train.under_way().stop() or its own Stop, then try again."
        )
    run = UnderWay(what, f"{datetime.datetime.now():%H:%M:%S}")
    current.append(run)
    try:
        yield run
    finally:
        current.clear()
        GATE.release()


def as_lines(history: Iterable[Mapping[str, Any]]) -> str:
    """What a trainer logged as JSON Lines: step, loss, rate, seconds and so on, one line each.

    A number that is not finite is null, as JSON has no word for it.
    """
    lines = []
    for logged in history:
        plain = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in logged.items()
        }
        lines.append(json.dumps({"step": plain.pop("step", None), **plain}) + "\n")
    return "".join(lines)


class Watcher(TrainerCallback):
    """Fills the two curves, tells `watch` or else draws a bar, and ends the run when asked to.

    `.log`: the file to which every step is written as it comes, None for none.

    stop: called after every step. watch: called after every step with (step, steps of the whole
    run, losses, validation).
    """

    def __init__(self, stop: Stop | None = None, watch: Watch | None = None) -> None:
        self.losses: Curve = []
        self.validation: Curve = []
        self.stop, self.watch = stop, watch
        self.log: Path | None = None
        self.stopped_at = 0  # the step after which it was asked to end; 0 where it was not
        self.bar = tqdm(disable=True)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Add a loss, of training or of validation, to its curve."""
        if "loss" in values:
            self.losses.append((step, float(values["loss"])))
        if "eval_loss" in values:
            self.validation.append((step, float(values["eval_loss"])))

    def add_history(self, history: Iterable[Mapping[str, float]]) -> None:
        """Add all that an earlier process logged of the same run."""
        history = list(history)
        for values in history:
            self.add(int(values["step"]), values)
        if self.log is not None:
            self.log.write_text(as_lines(history), encoding="utf-8")

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
        if self.log is not None and state.is_world_process_zero:
            with self.log.open("a", encoding="utf-8") as stream:
                stream.write(as_lines([{"step": state.global_step, **logs}]))
        if "loss" in logs:
            self.bar.set_postfix_str(f"loss {self.losses[-1][1]:.3f}")

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Move the bar, tell who watches, and stop if asked to."""
        self.bar.update()
        run = under_way()
        if run is not None:
            run.step, run.steps = state.global_step, state.max_steps
        if self.watch is not None:
            self.watch(state.global_step, state.max_steps, self.losses, self.validation)
        # asked by who began it, or by somebody else in the session
        asked = self.stop is not None and self.stop()
        if asked or (run is not None and run.halt.is_set()):
            self.stopped_at = state.global_step
            control.should_training_stop = True

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Close the bar."""
        self.close()

    def close(self) -> None:
        """Close the bar, also of a run that broke off."""
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


class TokenLosses:
    """−log p of every token of one row at some steps of a run: give it to `sft` as `watch`.

    seen = TokenLosses(model, tokenizer, messages, at=(5, 10, 38)); sft(model, …, watch=seen);
    then explore_losses(seen.tokens, seen.losses, seen.learned). `.losses` is {step: nats per
    token}, 0 for the first token, which nothing foretells; step 0 is before the run. The run goes
    on as without it: no random number is drawn, and the model is left in the mode it had.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        messages: Sequence[Mapping],
        at: Iterable[int] = (1, 5, 10, 20),
    ) -> None:
        row = data.render(messages, tokenizer)
        self.model, self.ids, self.learned = model, row.ids, row.learned
        self.tokens = [str(tokenizer.decode([token])) for token in row.ids]
        self.at = set(at)
        self.losses: dict[int, list[float]] = {0: self.measure()}

    def __call__(self, step: int, steps: int, losses: Curve, validation: Curve) -> None:
        """Note the losses, if it is one of the steps that were asked for, or the last."""
        if step in self.at or step == steps:
            self.losses[step] = self.measure()

    def measure(self) -> list[float]:
        """−log p of each token after those before it, now."""
        training = self.model.training
        self.model.eval()
        try:
            with torch.no_grad():
                ids = torch.tensor([self.ids], device=self.model.device)
                logits = models.read(self.model, input_ids=ids).logits[0, :-1].float()
            lost = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none")
        finally:
            self.model.train(training)
        return [0.0, *lost.tolist()]
