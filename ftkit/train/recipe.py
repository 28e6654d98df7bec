"""The hyperparameters of one supervised run, checked when they are stated.

    Recipe(lr=2e-3, epochs=2)    every field has a default; a value that cannot be is a UserError
    Objective("dpo", beta=0.1)   what is trained for, where that is not the usual loss
    warn_of_rate(lr, method)     what to expect of a learning rate that nobody uses

What a field may hold is a row of `RULES`. How a recipe becomes TRL's arguments is `trainer.py`'s
business, and a file that states a whole run (model, data, adapter, recipe) `experiment.py`'s.
Notebook 07 turns most of these dials.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields

from .. import methods
from ..core.errors import UserError, is_number, is_whole, nearest
from ..core.parsing import shown
from ..core.session import LAST_SEED
from ..core.trackers import known_tracker

SCHEDULES = ("linear", "cosine", "constant_with_warmup")
LARGEST = 1e38  # of a number: what float32 can hold
HEAVIEST = 1e6  # of a weight in a loss: what it leaves of the rest is nothing


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
    # Where the steps are reported to besides: one of core/trackers.py; it changes nothing else.
    report_to: str | None = None

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


def from_zero(value: object, most: float = LARGEST) -> str:
    """The check of a number from 0 on."""
    right = is_number(value) and 0 <= value <= most
    return "" if right else f"give a number from 0 on, {most:g} at most."


def weight(value: object) -> str:
    """The check of what one part of a loss weighs beside another."""
    return from_zero(value, HEAVIEST)


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
    ("kl", weight),
    ("schedule", known_schedule),
    ("warmup", share("of the steps")),
    ("patience", points_or_none),
    ("report_to", known_tracker),
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


def check_together(recipe: Recipe) -> None:
    """Refuse what each field may hold, and no run can do anything with together."""
    if recipe.patience is not None and recipe.patience >= recipe.evaluations:
        raise UserError(
            f"patience is {recipe.patience} and evaluations is {recipe.evaluations}, so no run "
            f"would ever stop early; give more evaluations than patience, or patience: null."
        )
    taken = recipe.lr * recipe.weight_decay
    if taken > 1 and recipe.weight_decay > 1:
        raise UserError(
            f"weight_decay is {recipe.weight_decay:g}; a step takes lr · weight_decay of every "
            f"weight away, and with lr {recipe.lr:g} that is {taken:g} times all of it. Give "
            f"{1 / recipe.lr:g} at most; usual is 0 to 0.1."
        )


def warn_of_rate(lr: float, method: str) -> str:
    """What to expect of a learning rate outside a method's usual ones; "" for all others.

    method: its name in `methods.METHODS`, which states the usual rates. Of LoRA, DoRA and full
    fine-tuning only a rate far outside, below a hundredth or above ten times, says anything.
    """
    named = methods.find_method(method)
    (low, high), (less, more) = named.usual, named.slack
    if less * low <= lr <= more * high:
        return ""
    if lr == 0:
        fate = "nothing is learned"
    elif lr < low:
        fate = "next to nothing is learned"
    else:
        fate = "the run may well diverge"
    return (
        f"lr is {lr:g}, so {fate}: for {named.title} usual rates lie between {low:g} and {high:g}, "
        "the larger the model the lower."
    )


# What answers are trained for: the usual loss, pairs of them, or a reward for those that are drawn.
OBJECTIVES = {
    "sft": "the answers of chats (see `sft`)",
    "dpo": "pairs: the chosen is to gain on the rejected",
    "kto": "pairs taken apart: answers that are each good or bad",
    "reward": "pairs, for a model that gives each answer a number",
    "rloo": "a reward for replies that are drawn, against the others of their group",
    "grpo": "the same, over the group's spread",
}
# Others that are written like one of these and are another thing.
NOT_HERE = ("orpo", "ppo", "cpo", "bco", "rpo", "apo", "simpo", "gspo", "dapo")
PAIR_LOSSES = ("sigmoid", "ipo", "hinge", "sigmoid_norm")  # of DPO, by TRL's names
USUAL_BETA = {"dpo": 0.1, "kto": 0.1, "rloo": 0.05}  # as in TRL; of the others 0


@dataclass(frozen=True)
class Objective:
    """What is trained for, and its dials; one that an objective does not have is a `UserError`."""

    name: str = "sft"
    # How dear it is to leave the reference; of rloo what a nat costs, taken off the reward.
    beta: float | None = None
    loss: str = "sigmoid"  # dpo: one of PAIR_LOSSES
    sft: float = 0.0  # dpo: weight of the chosen answers' usual loss on top
    # rloo, grpo: "exact", "words", "gold", or the run folder of a reward model
    reward: str = "exact"
    group: int = 8  # rloo, grpo: replies to a prompt
    tokens: int = 64  # rloo, grpo: of a reply at most
    temperature: float = 1.0  # rloo, grpo: at which replies are drawn

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or self.name not in OBJECTIVES:
            raise UserError(
                f"objective is {shown(self.name)}; give one of {', '.join(OBJECTIVES)}."
                f"{nearest_objective(self.name)}"
            )
        usual = {field.name: field.default for field in fields(self)}
        for name, check in OBJECTIVE_RULES.items():
            value, own = getattr(self, name), name in DIALS[self.name]
            # 8.0 == 8 and False == 0.0: equal is not yet right
            if value is None and usual[name] is None:
                continue
            if not own and value == usual[name] and not isinstance(value, bool):
                continue
            if not own:
                dials = ", ".join(DIALS[self.name]) or "none"
                raise UserError(f"{self.name} has no {name}; its dials are: {dials}.")
            if instead := check(value):
                raise UserError(f"{name} is {shown(value)}; {instead}")
        if self.beta is None:
            object.__setattr__(self, "beta", USUAL_BETA.get(self.name, 0.0))

    @property
    def drawn(self) -> bool:
        """Whether the model draws its own replies, to be rewarded."""
        return self.name in ("rloo", "grpo")

    @property
    def on_pairs(self) -> bool:
        """Whether its rows are pairs."""
        return self.name in ("dpo", "kto", "reward")

    @property
    def measure(self) -> tuple[str, str]:
        """(the unit of the loss that is minimised, what it is a mean of), in words."""
        if self.drawn:
            return "a policy's", "it stays near 0; whether anything is learned the reward says"
        unit, what = LOSSES[self.loss if self.name == "dpo" else self.name]
        if not self.sft:
            return unit, what
        return "per pair", f"{what}, and {self.sft:g} times −log p per token of the chosen answer"

    def dials(self) -> dict[str, object]:
        """Its name and what is stated of it, as a file states them."""
        own = {name: getattr(self, name) for name in DIALS[self.name]}
        return {"name": self.name, **own}


LEAD = "how much more the chosen answer gained on the reference than the rejected"
LOSSES = {
    "sft": ("in nats per answer token", "the mean of −log p of the right next token"),
    "sigmoid": ("in nats per pair", f"the mean of −log σ of beta times {LEAD}"),
    "sigmoid_norm": ("in nats per pair", f"the mean of −log σ of beta times {LEAD}, per token"),
    "ipo": ("per pair", f"the mean square of what {LEAD}, per token, is off 1 / (2 · beta)"),
    "hinge": ("per pair", f"the mean of what to 1 is missing of beta times {LEAD}"),
    "kto": (
        "per answer",
        "the mean of 1 − σ of beta times what a good answer gained on the reference, or a bad lost",
    ),
    "reward": (
        "in nats per pair",
        "the mean of −log σ of the number of the chosen answer less that of the rejected",
    ),
}
DRAWS = ("reward", "beta", "group", "tokens", "temperature")
DIALS: dict[str, tuple[str, ...]] = {
    "sft": (), "dpo": ("beta", "loss", "sft"), "kto": ("beta",), "reward": (),
    "rloo": DRAWS, "grpo": DRAWS,
}  # fmt: skip


def nearest_objective(name: object) -> str:
    """What an objective that there is not was meant to be, for the end of a sentence."""
    word = str(name).lower()
    if word in PAIR_LOSSES:
        return f" It is a loss of dpo: {{name: dpo, loss: {word}}}."
    return "" if word in NOT_HERE else nearest(name, OBJECTIVES)


def known_loss(value: object) -> str:
    """The check of `loss`."""
    if value in PAIR_LOSSES:
        return ""
    return f"give one of {', '.join(PAIR_LOSSES)}.{nearest(value, PAIR_LOSSES)}"


def named_reward(value: object) -> str:
    """The check of `reward`, as far as it can be made without looking."""
    right = isinstance(value, str) and value.strip()
    return "" if right else "give exact, words, gold, or the run folder of a reward model."


OBJECTIVE_RULES: dict[str, Check] = {
    "beta": weight,
    "loss": known_loss,
    "sft": weight,
    "reward": named_reward,
    "group": whole_from(2, 1024),
    "tokens": whole_from(1, 1 << 16),
    "temperature": above_zero(100),
}


def as_stated(recipe: Recipe) -> dict[str, object]:
    """A recipe's fields by name; where nothing is reported to, nothing is said of it."""
    stated = asdict(recipe)
    if recipe.report_to is None:
        del stated["report_to"]
    return stated


def epochs_of(steps: int, rows: int, batch_size: int) -> float:
    """So many epochs that the steps come out: half a step less, so that rounding adds none."""
    return (steps - 0.5) / math.ceil(rows / batch_size)
