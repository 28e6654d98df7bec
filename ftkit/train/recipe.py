"""TODO header of train.recipe."""

from dataclasses import dataclass

from ..core.errors import UserError, is_number, is_whole, nearest

SCHEDULES = ("linear", "cosine", "constant_with_warmup")
USUAL = {
    "LoRA": (1e-5, 1e-2),
    "full fine-tuning": (1e-6, 1e-3),
}  # learning rates that people use, from billions of parameters to few


@dataclass(frozen=True)
class Recipe:
    """The hyperparameters of one supervised run. The loss is the mean over the assistant's tokens
    alone.
    """

    lr: float = 2e-3
    epochs: float = 2
    batch_size: int = 16
    warmup: float = 0.05  # share of the steps
    schedule: str = "linear"
    weight_decay: float = 0.0
    micro_batch: int | None = (
        # rows at once, a divisor of batch_size; None: as many as a GPU has room for, a few on a CPU
        None
    )
    # a layer keeps its input alone and runs again in the backward pass: less memory, more time
    checkpointing: bool = False
    max_length: int = 512  # tokens; longer rows are cut at the end
    packing: bool = False  # several rows in one sequence
    evaluations: int = 3  # validation points (0: train to the end and keep the last step)
    keep_best: bool = True  # of the validation points; False keeps the last step
    kl: float = (
        0.0  # weight of KL(base ‖ model), nats per answer token, beside the loss (Li & Hoiem 2016)
    )
    patience: int | None = None  # stop after so many validation points without a new best
    seed: int = 0

    def __post_init__(self):
        for name, high in {"epochs": 1000, "batch_size": 4096, "max_length": 1 << 20}.items():
            if not is_number(value := getattr(self, name)) or not 0 < value <= high:
                raise UserError(f"{name} is {value!r}; give a number above 0 and up to {high:,}.")
        for name in ("batch_size", "max_length", "evaluations", "seed"):
            if not is_whole(value := getattr(self, name)) or value < 0:
                raise UserError(f"{name} is {value!r}; give a whole number from 0 on.")
        if (micro := self.micro_batch) is not None and (
            not is_whole(micro) or micro < 1 or self.batch_size % micro
        ):
            raise UserError(
                f"micro_batch is {micro!r}; give null, or a whole number that divides batch_size, {self.batch_size}."
            )
        for name in ("checkpointing", "packing", "keep_best"):
            if not isinstance(value := getattr(self, name), bool):
                raise UserError(f"{name} is {value!r}; give true or false.")
        for name in ("lr", "weight_decay", "kl"):
            if not is_number(value := getattr(self, name)) or value < 0:
                raise UserError(f"{name} is {value!r}; give a number from 0 on.")
        if self.schedule not in SCHEDULES:
            raise UserError(
                f"schedule is {self.schedule!r}; give one of {', '.join(SCHEDULES)}.{nearest(self.schedule, SCHEDULES)}"
            )
        if not is_number(self.warmup) or not 0 <= self.warmup < 1:
            raise UserError(
                f"warmup is {self.warmup!r}; it is a share of the steps, from 0 to below 1."
            )
        if self.patience is not None and (not is_whole(self.patience) or self.patience < 1):
            raise UserError(
                f"patience is {self.patience!r}; give a whole number of validation points from 1 on, or null."
            )
        if self.patience is not None and not self.evaluations:
            raise UserError("patience counts validation points; set evaluations above 0 too.")


def warn_of_rate(lr: float, method: str) -> str:
    """What to expect of a learning rate far outside the `USUAL` range of a method, as a sentence;
    empty for all others.
    """
    low, high = USUAL[method]
    if low / 100 <= lr <= 10 * high:
        return ""
    fate = (
        "nothing is learned"
        if lr == 0
        else "next to nothing is learned"
        if lr < low
        else "the run may well diverge"
    )
    return f"lr is {lr:g}, so {fate}: for {method} usual rates lie between {low:g} and {high:g}, the larger the model the lower."
