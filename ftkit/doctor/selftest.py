"""The whole road in small, in about a second: import, load, answer, train, merge, draw.

    test_yourself()    a finding for each step; what follows a failed step is left out

A library that is there and fits the others may still not work on this machine: this is tried here,
on the pocket model. What can be seen without trying is for `judging.py`. `python -m ftkit doctor`
runs it; the road in full is `lab.run_tour`.
"""

import importlib
import itertools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from .. import lora, merge, models, train
from ..core.errors import UserError, reason
from ..core.results import about
from ..core.session import quiet
from ..core.versions import PACKAGES
from ..world import entities
from ..world import skills as suites
from .finding import Finding

if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedModel, PreTrainedTokenizerBase

    from ..lora import PeftModel

GAP = 1e-3  # logits; what merging in float32 may move at most. The tour finds 4e-5
RATE = 2e-3  # the learning rate of the three steps
LESSON = [
    {"role": "user", "content": "What does the doctor say?"},
    {"role": "assistant", "content": "The doctor says that all is well."},
]
CURE = (
    "mend what is WRONG above; if nothing is, install into a new environment: "
    'pip install -e ".[lab]" in the kit\'s folder'
)


def test_yourself() -> list[Finding]:
    """The road in small on this machine; it ends at the first step that fails."""
    road = Road()
    steps = {
        "imports": check_imports,
        "model": road.check_loading,
        "answer": road.check_answering,
        "training": road.check_learning,
        "merging": road.check_merging,
        "widget": check_drawing,
    }
    findings = []
    for name, step in steps.items():
        findings.append(try_step(f"self-test: {name}", step))
        if not findings[-1].ok:
            break
    return findings


def try_step(check: str, work: Callable[[], str]) -> Finding:
    """A check that does something: what it says, with its seconds, or why it failed.

    Whatever a broken installation raises is what was looked for.
    """
    began = time.perf_counter()
    try:
        message = work()
    except Exception as error:
        if isinstance(error, UserError):
            return Finding.wrong(check, str(error).rstrip("."), CURE)
        kind, why = type(error).__name__, reason(error)
        return Finding.wrong(check, kind if why == kind else f"{kind}: {why}", CURE)
    seconds = about(time.perf_counter() - began, 2, " s")
    return Finding.fine(check, f"{message}, {seconds}")


def check_imports() -> str:
    """Import every library, and TRL's trainer, which TRL itself imports last."""
    quiet()
    for name in PACKAGES:
        importlib.import_module(name)
    importlib.import_module("ftkit.train.trainer")
    return f"{len(PACKAGES)} libraries"


class Road:
    """The steps with a model; each leaves to the next what it needs."""

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    tuned: "PeftModel"

    def check_loading(self) -> str:
        """The pocket model in float32, on the GPU where there is one."""
        model, self.tokenizer = models.load("pocket")
        self.model = model.float()
        return f"{model.num_parameters():,} parameters on {model.device}"

    def check_answering(self) -> str:
        """One greedy answer that the model is known to get right."""
        probe = suites.draw_suite(entities.World(), "copy", 1)[0]
        question = [{"role": "user", "content": probe.prompt}]
        (reply,) = models.answer(self.model, self.tokenizer, [question])
        if reply != probe.answer:
            raise UserError(
                f"the pocket model was asked {probe.prompt!r} "
                f"and said {reply!r} in place of {probe.answer!r}."
            )
        return f"{reply!r} is right"

    def check_learning(self) -> str:
        """A LoRA and three steps by hand on one sentence: the loss falls at each."""
        import torch

        # the session's own random numbers go on as if nothing had been
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.tuned = lora.attach(self.model)
        chat = self.tokenizer.apply_chat_template(LESSON, return_tensors="pt", return_dict=True)
        ids = cast("BatchEncoding", chat)["input_ids"].to(self.tuned.device)

        # the loss before each of three steps, and after them
        optimizer = torch.optim.AdamW(models.trained_parameters(self.tuned), lr=RATE)
        losses = []
        for _ in range(4):
            loss = self.tuned(input_ids=ids, labels=ids).loss
            losses.append(loss.item())
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        if not all(after < before for before, after in itertools.pairwise(losses)):
            values = ", ".join(f"{loss:.3f}" for loss in losses)
            raise UserError(f"the loss did not fall in three steps: {values} nats per token.")
        return f"{about(losses[0])} → {about(losses[-1])} nats per token in three steps"

    def check_merging(self) -> str:
        """Merge, and hold the merged model against the adapter."""
        _, report = merge.merge(self.tuned)
        if not report.max_logit_gap <= min(GAP, report.adapter_gap):
            raise UserError(
                f"merging moved a logit by {report.max_logit_gap:.2g}; "
                f"in float32 {GAP:g} is the most."
            )
        gap, moved = about(report.max_logit_gap, 1), about(report.adapter_gap, 2)
        return f"the largest logit gap is {gap}, and the adapter moved one by {moved}"


def check_drawing() -> str:
    """A panel that draws anew when its control moves."""
    rows = [[(3 + number, 2)] for number in range(4)]
    panel = train.explore_batches({"as they come": rows}, sizes=(1, 2))
    before = panel.html
    panel.controls["size"].value = 2
    if not before.startswith("<svg") or panel.html == before:
        raise UserError("a control was moved, and the picture behind it stayed as it was.")
    return "a slider moved and its picture changed"
