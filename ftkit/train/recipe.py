"""The hyperparameters of one supervised run, checked when they are stated.

    Recipe(lr=2e-3, epochs=2)    every field has a default; a value that cannot be is a UserError
    warn_of_rate(lr, method)     what to expect of a learning rate that nobody uses

What a field may hold is a row of `RULES`. How a recipe becomes TRL's arguments is `trainer.py`'s
business, and a file that states a whole run (model, data, adapter, recipe) `experiment.py`'s.
Notebook 07 turns most of these dials.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ..core.errors import UserError, is_number, is_whole, nearest
from ..core.parsing import shown
from ..core.session import LAST_SEED

SCHEDULES = ("linear", "cosine", "constant_with_warmup")
LARGEST = 1e38  # of a number: what float32 can hold

# Learning rates that people use, from models of billions of parameters to those of few.
USUAL = {"LoRA": (1e-5, 1e-2), "full fine-tuning": (1e-6, 1e-3)}


@dataclass(frozen=True)
class Recipe:
    """The hyperparameters of one supervised run.

    The loss is the mean over the assistant's tokens alone, in nats per token. Raises `UserError`
    for a value that a field cannot hold.
    """

    lr: float = 2e-3
    epochs: float = 2
    batch_size: int = 16  # rows of a step
    warmup: float = 0.05  # share of the steps
    schedule: str = "linear"
    weight_decay: float = 0.0
    # Rows at once, a divisor of batch_size; None: as many as a GPU has room for, a few on a CPU.
    micro_batch: int | None = None
    # A layer keeps its input alone and runs again in the backward pass: less memory, more time.
    checkpointing: bool = False
    max_length: int = 512  # tokens; longer rows are cut at the end
    packing: bool = False  # several rows in one sequence
    evaluations: int = 3  # validation points (0: train to the end and keep the last step)
    keep_best: bool = True  # of the validation points; False keeps the last step
    # Weight of KL(base ‖ model), nats per answer token, beside the loss (Li & Hoiem 2016).
    kl: float = 0.0
    patience: int | None = None  # stop after so many validation points without a new best
    seed: int = 0

    def __post_init__(self) -> None:
        for name, check in RULES:
            value = getattr(self, name)
            if instead := check(value):
                raise UserError(f"{name} is {shown(value)}; {instead}")
        # what depends on two fields
        check_micro_batch(self.micro_batch, self.batch_size)
        if self.patience is not None and not self.evaluations:
            raise UserError("patience counts validation points; set evaluations above 0 too.")


Check = Callable[[object], str]  # of a value: what to give instead, "" where nothing is wrong


def above_zero(most: float) -> Check:
    """The check of a number above 0 and up to `most`."""

    def check(value: object) -> str:
        right = is_number(value) and 0 < value <= most
        return "" if right else f"give a number above 0 and up to {most:,}."

    return check


def from_zero(value: object) -> str:
    """The check of a number from 0 on."""
    right = is_number(value) and 0 <= value <= LARGEST
    return "" if right else f"give a number from 0 on, {LARGEST:g} at most."


def whole_from(first: int, last: int | None = None) -> Check:
    """The check of a whole number from `first` on, up to `last` where there is one."""

    def check(value: object) -> str:
        if is_whole(value) and value >= first and (last is None or value <= last):
            return ""
        most = "" if last is None else f", {last:,} at most"
        return f"give a whole number from {first} on{most}."

    return check


def true_or_false(value: object) -> str:
    """The check of a switch."""
    return "" if isinstance(value, bool) else "give true or false."


def share(of: str) -> Check:
    """The check of a share below 1; of: the words that say of what."""

    def check(value: object) -> str:
        right = is_number(value) and 0 <= value < 1
        return "" if right else f"it is a share {of}, from 0 to below 1."

    return check


def known_schedule(value: object) -> str:
    """The check of `schedule`."""
    if value in SCHEDULES:
        return ""
    return f"give one of {', '.join(SCHEDULES)}.{nearest(value, SCHEDULES)}"


def points_or_none(value: object) -> str:
    """The check of `patience`."""
    right = value is None or (is_whole(value) and value >= 1)
    return "" if right else "give a whole number of validation points from 1 on, or null."


# What each field holds, in the order in which a recipe is read.
RULES: tuple[tuple[str, Check], ...] = (
    ("epochs", above_zero(1000)),
    ("batch_size", whole_from(1, 4096)),
    ("max_length", whole_from(1, 1 << 20)),
    ("evaluations", whole_from(0)),
    ("seed", whole_from(0, LAST_SEED)),
    ("checkpointing", true_or_false),
    ("packing", true_or_false),
    ("keep_best", true_or_false),
    ("lr", from_zero),
    ("weight_decay", from_zero),
    ("kl", from_zero),
    ("schedule", known_schedule),
    ("warmup", share("of the steps")),
    ("patience", points_or_none),
)


def check_micro_batch(micro_batch: int | None, batch_size: int) -> None:
    """Refuse rows at once that do not divide a step's rows evenly."""
    if micro_batch is None:
        return
    if not is_whole(micro_batch) or micro_batch < 1 or batch_size % micro_batch:
        raise UserError(
            f"micro_batch is {shown(micro_batch)}; "
            f"give null, or a whole number that divides batch_size, {batch_size}."
        )


def warn_of_rate(lr: float, method: str) -> str:
    """What to expect of a learning rate far outside a method's usual ones; "" for all others.

    method: "LoRA" or "full fine-tuning", the keys of `USUAL`. Far is a hundredth of the lowest
    and ten times the highest.
    """
    low, high = USUAL[method]
    if low / 100 <= lr <= 10 * high:
        return ""
    if lr == 0:
        fate = "nothing is learned"
    elif lr < low:
        fate = "next to nothing is learned"
    else:
        fate = "the run may well diverge"
    return (
        f"lr is {lr:g}, so {fate}: for {method} usual rates lie between {low:g} and {high:g}, "
        "the larger the model the lower."
    )
