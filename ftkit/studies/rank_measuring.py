"""Train one run of the grid "ranks" by the loop by hand, and ask what it learned and kept.

    measure_rank(run)     a `RankRow`
    OPTIMIZER_OF          {name: what makes the optimizer of a model at a rate}

What a run is stands in `method_runs`; the loop in `by_hand`, a subspace in `methods`. A kind of
optimizer that this machine lacks is a `UserError`. Notebooks 03 and 08.
"""

import time
from typing import TYPE_CHECKING, Any

import torch

from .. import data, evaluate, forgetting, lora, methods, models, quant
from ..core.session import setup
from .by_hand import Loop, adam, learned_tokens
from .method_measuring import PROBES, TESTED
from .method_runs import (
    BATCH,
    ROWS_EPOCHS,
    ROWS_STEPS,
    TASKS,
    WIDE_TARGETS,
    RankRow,
    RankRun,
)  # fmt: skip

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def sgd(model: torch.nn.Module, lr: float) -> torch.optim.Optimizer:
    """Plain gradient descent: no state at all."""
    return torch.optim.SGD(models.trained_parameters(model), lr=lr)


def momentum(model: torch.nn.Module, lr: float) -> torch.optim.Optimizer:
    """Gradient descent with one moment."""
    return torch.optim.SGD(models.trained_parameters(model), lr=lr, momentum=0.9)


def adam_in_8_bits(model: torch.nn.Module, lr: float) -> torch.optim.Optimizer:
    """bitsandbytes' Adam, whose two moments take a byte each (Dettmers et al. 2022)."""
    quant.import_bitsandbytes()
    from bitsandbytes.optim import AdamW8bit  # type: ignore  # where its users import it from

    return AdamW8bit(models.trained_parameters(model), lr=lr, weight_decay=0.0)


def lora_plus(times: float) -> Any:
    """Of a model and a rate: Adam that moves B so many times faster than A (Hayou et al. 2024)."""

    def make(model: torch.nn.Module, lr: float) -> torch.optim.Optimizer:
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        of_b = [p for name, p in named if ".lora_B." in name]
        of_a = [p for name, p in named if ".lora_B." not in name]
        groups = [{"params": of_a, "lr": lr}, {"params": of_b, "lr": times * lr}]
        return torch.optim.AdamW(groups, lr=lr, weight_decay=0.0)

    return make


OPTIMIZER_OF = {
    "adam": adam,
    "adam 8 bits": adam_in_8_bits,
    "sgd": sgd,
    "momentum": momentum,
}


def measure_rank(run: RankRun) -> RankRow:
    """Train one run and measure it."""
    setup(seed=run.seed)
    base, tokenizer = models.load("pocket")
    model, maker = prepared(run, base)
    error = None
    if run.question == "loftq":
        error = quant.start_rounded(model, run.setting, steps=int(run.amount))
    rows, steps = rows_and_steps(run)
    splits = data.load(run.task)
    train = data.first(splits["train"], rows)
    chats = [data.render(chat, tokenizer) for chat in train["messages"]]
    taught = [(chat.ids, learned_tokens(chat, "answer")) for chat in chats]

    # the optimizer is kept, to see what it holds
    made: list[torch.optim.Optimizer] = []

    def make(model: torch.nn.Module, lr: float) -> torch.optim.Optimizer:
        made.append(maker(model, lr))
        return made[0]

    began = time.perf_counter()
    in_subspace = isinstance(model, methods.Subspace)
    lr = run.lr / model.scale if in_subspace else run.lr
    *_, loss = Loop(steps, lr, BATCH, run.seed, optimizer=make).run(model, tokenizer, taught)
    seconds = time.perf_counter() - began
    trainable = sum(p.numel() for p in models.trained_parameters(model))
    tuned: Any = model.written().eval() if in_subspace else model
    asked = train if run.task == "facts" else data.first(splits["test"], TESTED)
    return RankRow(
        **vars(run),
        trainable=trainable,
        exact=evaluate.score(tuned, tokenizer, asked).task.value,
        skills=forgetting.skills(tuned, tokenizer, PROBES).mean,
        loss=loss,
        state=state_bytes(made[0]),
        seconds=round(seconds, 1),
        error=error,
    )


def prepared(run: RankRun, base: "PreTrainedModel") -> tuple[Any, Any]:
    """(the model that is trained, what makes its optimizer)."""
    if run.question == "rank":
        r = int(run.amount)
        return lora.attach(base, r, r, [*WIDE_TARGETS], seed=run.seed), adam
    if run.question == "plus":
        return lora.attach(base, seed=run.seed), lora_plus(run.amount)
    if run.question == "rows":
        full = run.setting == "full"
        return (base.requires_grad_() if full else lora.attach(base, seed=run.seed)), adam
    if run.question == "loftq":
        return lora.attach(base, seed=run.seed), adam
    if run.question == "optimizer":
        return lora.attach(base, seed=run.seed), OPTIMIZER_OF[run.setting]
    if run.setting == "random":
        torch.manual_seed(run.seed)
        base = type(base)(base.config)
    return methods.Subspace(base, int(run.amount), run.seed), adam


def rows_and_steps(run: RankRun) -> tuple[int, int]:
    """How many rows of its task a run is trained on, and for how many steps."""
    if run.question != "rows":
        return TASKS[run.task]
    rows = int(run.amount)
    return rows, ROWS_STEPS if run.task == "tickets" else rows * ROWS_EPOCHS // BATCH


def state_bytes(optimizer: torch.optim.Optimizer) -> int:
    """The bytes of all tensors that an optimizer holds beside the weights."""
    states = optimizer.state.values()
    return sum(v.nbytes for state in states for v in state.values() if torch.is_tensor(v))
