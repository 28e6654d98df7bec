"""The whole road in small, in about a second: import, load, answer, train, merge, draw. For the
doctor.
"""

import importlib
import itertools
import time
from collections.abc import Callable

from .. import lora, merge, models, train
from ..core.errors import UserError
from ..core.results import about
from ..core.session import quiet
from ..core.versions import PACKAGES
from ..world import entities
from ..world import skills as suites
from .finding import Finding

GAP = 1e-3  # logits; what merging in float32 may move at most. The tour finds 4e-5
LESSON = [
    {"role": "user", "content": "What does the doctor say?"},
    {"role": "assistant", "content": "The doctor says that all is well."},
]
CURE = 'mend what is WRONG above; if nothing is, install into a new environment: pip install -e ".[lab]" in the kit\'s folder'


def try_step(check: str, work: Callable[[], str]) -> Finding:
    """A check that does something; what it says is shown with its seconds."""
    began = time.perf_counter()
    try:
        said = work()
    except Exception as error:  # whatever a broken installation raises is what was looked for
        line = str(error).strip().partition("\n")[0] or "no reason given"
        said = (
            line.rstrip(".") if isinstance(error, UserError) else f"{type(error).__name__}: {line}"
        )
        return Finding(check, False, said, CURE)
    return Finding(check, True, f"{said}, {about(time.perf_counter() - began, 2, ' s')}")


def test_yourself() -> list[Finding]:
    """The road in small, on this machine: import, load, answer, train, merge, draw. What follows a
    failed step is left out.
    """
    held: dict = {}
    steps = {
        "imports": check_imports,
        "model": check_loading,
        "answer": check_answering,
        "training": check_learning,
        "merging": check_merging,
        "widget": check_drawing,
    }
    found = []
    for name, step in steps.items():
        found.append(try_step(f"self-test: {name}", lambda step=step: step(held)))
        if not found[-1].ok:
            break
    return found


def check_imports(_held: dict) -> str:
    """Import every library, and TRL's trainer, which it imports last."""
    quiet()
    for name in PACKAGES:
        importlib.import_module(name)
    importlib.import_module(".trainer", __package__)
    return f"{len(PACKAGES)} libraries"


def check_loading(held: dict) -> str:
    """The pocket model in float32, on the GPU where there is one."""
    model, held["tokenizer"] = models.load("pocket")
    held["model"] = model.float()
    return f"{model.num_parameters():,} parameters on {model.device}"


def check_answering(held: dict) -> str:
    """One greedy answer that the model is known to get right."""

    probe = suites.draw_suite(entities.World(), "copy", 1)[0]
    (reply,) = models.answer(
        held["model"], held["tokenizer"], [[{"role": "user", "content": probe.prompt}]]
    )
    if reply != probe.answer:
        raise UserError(
            f"the pocket model was asked {probe.prompt!r} and said {reply!r} in place of {probe.answer!r}."
        )
    return f"{reply!r} is right"


def check_learning(held: dict) -> str:
    """A LoRA and three steps by hand on one sentence: the loss falls at each."""
    import torch

    with torch.random.fork_rng():  # the session's own random numbers go on as if nothing had been
        torch.manual_seed(0)
        tuned = held["tuned"] = lora.attach(held["model"])
    ids = (
        held["tokenizer"]
        .apply_chat_template(LESSON, return_tensors="pt", return_dict=True)["input_ids"]
        .to(tuned.device)
    )
    optimizer = torch.optim.AdamW([p for p in tuned.parameters() if p.requires_grad], lr=2e-3)
    losses = []
    for _ in range(4):
        loss = tuned(input_ids=ids, labels=ids).loss
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    if not all(after < before for before, after in itertools.pairwise(losses)):
        raise UserError(
            f"the loss did not fall in three steps: {', '.join(f'{loss:.3f}' for loss in losses)} nats per token."
        )
    return f"{about(losses[0])} → {about(losses[-1])} nats per token in three steps"


def check_merging(held: dict) -> str:
    """Merge, and hold the merged model against the adapter."""
    _, report = merge.merge(held["tuned"])
    if not report.max_logit_gap <= min(GAP, report.adapter_gap):
        raise UserError(
            f"merging moved a logit by {report.max_logit_gap:.2g}; in float32 {GAP:g} is the most."
        )
    return f"the largest logit gap is {about(report.max_logit_gap, 1)}, and the adapter moved one by {about(report.adapter_gap, 2)}"


def check_drawing(_held: dict) -> str:
    """A panel that draws anew when its control moves."""

    panel = train.explore_batches({"as they come": [[(3 + i, 2)] for i in range(4)]}, sizes=(1, 2))
    before = panel.html
    panel.controls["size"].value = 2
    if not before.startswith("<svg") or panel.html == before:
        raise UserError("a control was moved, and the picture behind it stayed as it was.")
    return "a slider moved and its picture changed"
