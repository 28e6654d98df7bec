"""A run on pairs or on a reward, from a model to its `train.Run`, or as a file states it.

    tune(model, tokenizer, rows, objective, …)    a `train.Run`, with what was watched in `.curves`
    train_into(experiment, out, …)                a recipe's run in a folder, whatever its objective
    open_reward(folder)                           a `rewards.Reward` out of a run on `reward`
    find_reward(name)                             the reward that a recipe names

Everything that `train` promises of a run holds: the same call is the same run, a loss that is not
finite ends it with the last good weights, a folder goes on where it was killed. TRL's trainers are
behind `by_trl`. Notebook 12.
"""

import dataclasses
import functools
import hashlib
import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from safetensors.torch import load_file

from .. import data, lora, methods, models, train
from ..core.errors import UserError
from ..core.results import TableParts, about
from ..core.session import plain_torch, quiet
from ..train import Diverged, Experiment, Objective, Recipe, Run, Stop, Watch, Watcher
from . import by_hand, rewards
from . import pairs as pair_rows
from .by_trl import (
    Asking,
    as_prompts,
    as_trl,
    check_reference,
    make_trainer,
    own_reference,
    with_reference,
    without_reference,
)
from .rewards import ModelReward, Reward, make_reward_model

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ..lora import PeftModel

NAMED = {"exact": rewards.exact, "words": rewards.words, "gold": rewards.gold}
# What TRL logs of a step, and what it is called in a run's curves.
WATCHED = {
    "logps/chosen": "log p of the chosen",
    "logps/rejected": "log p of the rejected",
    "rewards/accuracies": "pairs right",
    "accuracy": "pairs right",
    "rewards/chosen": "reward of the chosen",
    "reward": "reward",
    "kl": "KL",
    "completions/mean_length": "tokens of a reply",
    "frac_reward_zero_std": "dead groups",
}
SHORT = (
    "{left} of {rows} prompts are left out of an epoch, others each time: they fill no whole step; "
    "take a batch_size that divides the rows."
)
TITLES = {
    "dpo": "Direct preference optimization",
    "kto": "Kahneman-Tversky optimization",
    "reward": "A model of rewards",
    "rloo": "Reinforcement, leave one out",
    "grpo": "Reinforcement, relative to the group",
}


class PreferenceWatcher(Watcher):
    """A `Watcher` that keeps what a loss of preferences hides, too, by the names of `WATCHED`."""

    def __init__(self, stop: Stop | None, watch: Watch | None) -> None:
        super().__init__(stop, watch)
        self.curves: dict[str, list[tuple[int, float]]] = {}

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Add what was logged of a step to the curves."""
        super().add(step, values)
        for logged, name in WATCHED.items():
            if logged in values and not math.isnan(float(values[logged])):
                self.curves.setdefault(name, []).append((step, float(values[logged])))


@dataclasses.dataclass(frozen=True, repr=False)
class TunedRun(Run):
    """A `train.Run` on pairs or on a reward."""

    objective: Objective = dataclasses.field(default_factory=Objective)

    def table(self) -> TableParts:
        """The run in a few lines: what was watched, first and last, and each note."""
        share = f"{self.trainable:,} of {self.total:,} ({self.trainable / self.total:.2%})"
        rows = [
            ("starts from", self.training.start),
            ("trainable parameters", share),
            ("steps", f"{self.steps}, kept step ≈{self.best_step}"),
            ("learning rate", f"{self.recipe.lr:g}, {self.recipe.schedule}"),
            *((n, f"{about(c[0][1])} → {about(c[-1][1])}") for n, c in self.curves.items()),
            ("time", f"≈{self.seconds:.0f} s"),
            *(("note", note) for note in self.notes),
        ]
        return TITLES[self.objective.name], ("", "value"), rows


class Aside(NamedTuple):
    """What `tune` may be given besides: see `train.sft`, and its own words on the reference."""

    reference: "PreTrainedModel | PeftModel | None" = None
    stop: Stop | None = None
    watch: Watch | None = None
    checkpoints: Path | None = None


def tune(
    model: "PreTrainedModel | PeftModel | Run",
    tokenizer: "PreTrainedTokenizerBase",
    examples: "Mapping[str, Sequence] | Sequence[Mapping] | Dataset",
    objective: Objective | str = "dpo",
    recipe: Recipe | None = None,
    reward: Reward | None = None,
    **aside: Any,
) -> "TunedRun":
    """Tune `model` in place on pairs or on a reward, by TRL; returns the `TunedRun`.

    examples: pairs (dpo, kto, reward), or chats whose last message is the right answer (rloo,
    grpo, a step of which is `recipe.batch_size` prompts with a group of replies each); or {"train":
    …, "validation": …} of them. reward: a function of rows and replies in place of the objective's.
    aside: `reference`, a model on the same base, by default what the model is when the run begins;
    `stop`, `watch` and `checkpoints` as in `train.sft`, whose promises hold. Raises `Diverged`, and
    `UserError` for rows, rewards and references that can't be.
    """
    more = Aside(**aside)
    quiet()
    objective, recipe = settle(objective, recipe)
    since = model.training if isinstance(model, Run) else None
    model = cast("PeftModel", model.trainer.tuned if isinstance(model, Run) else model)
    base = cast("PreTrainedModel", model)  # a peft model has the same calls
    check_reference(objective, model, more.reference)
    splits = check_splits(examples, objective)
    name = f"prefer.tune by {objective.name}"
    with train.alone(name), plain_torch(), train.as_it_was(model), without_reference(model):
        prepared, made_from = prepare(base, tokenizer, splits, objective, recipe)
        if more.reference is not None:
            prepared = ask_reference(more.reference, tokenizer, splits, prepared, recipe)
        options = options_of(objective, reward, splits, base, tokenizer)
        made_of = (objective, model, tokenizer, prepared, recipe)
        build = functools.partial(build_trainer, made_of, options)
        watcher = PreferenceWatcher(more.stop, more.watch)
        run = train.carry_out(model, recipe, made_from, build, watcher, more.checkpoints, since)
    run = as_tuned_run(run, objective, watcher)
    if run.stopped:
        raise Diverged(run)
    return run


def build_trainer(
    made_of: tuple[Any, Any, Any, Any, Any],
    options: Mapping[str, Any],
    folder: Path,
    watcher: Watcher,
    *,
    lasting: bool,
) -> train.Kept:
    """The trainer of `make_trainer`, as `train.carry_out` asks for one."""
    return make_trainer(*made_of, folder, **options, callbacks=[watcher], lasting=lasting)


def options_of(
    objective: Objective,
    reward: Reward | None,
    splits: Mapping[str, list[dict]],
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
) -> dict[str, Any]:
    """What TRL's trainer is given beside rows and config: a reference, and the reward it asks."""
    options = own_reference(objective, model)
    if objective.drawn:
        reader = models.ReplyReader(model, tokenizer)
        asked = reward or find_reward(objective.reward)
        options["reward_funcs"] = Asking(asked, splits["train"], reader)
    return options


def as_tuned_run(run: Run, objective: Objective, watcher: PreferenceWatcher) -> TunedRun:
    """A run with its objective, what was watched, and a note of groups that taught nothing."""
    fields = {f.name: getattr(run, f.name) for f in dataclasses.fields(Run)}
    # counted anew: the reference that TRL kept beside the adapter is gone
    fields["trainable"], fields["total"] = lora.trainable(run.trainer.tuned)
    dead = [share for _, share in watcher.curves.get("dead groups", [])]
    if dead and 0 < (mean := sum(dead) / len(dead)):
        fields["notes"] = [
            *run.notes,
            f"of the groups {mean:.0%} got one reward for all of their replies, so they taught "
            "nothing.",
        ]
    return TunedRun(**{**fields, "curves": watcher.curves}, objective=objective)


def settle(objective: Objective | str, recipe: Recipe | None) -> tuple[Objective, Recipe]:
    """(the objective, by its name or as it is; the recipe, checked for it, by default as usual)."""
    goal = Objective(objective) if isinstance(objective, str) else objective
    return goal, check_recipe(recipe or Recipe(evaluations=0), goal)


def check_recipe(recipe: Recipe, objective: Objective) -> Recipe:
    """Refuse what a recipe may ask of answers and not of preferences."""
    for name, usual in (("packing", False), ("kl", 0.0)):
        if getattr(recipe, name) != usual:
            near = "the objective's beta keeps it near its reference"
            raise UserError(
                f"{objective.name} has no {name}; {near if name == 'kl' else 'leave it out'}."
            )
    if objective.drawn and recipe.evaluations:
        return dataclasses.replace(recipe, evaluations=0)
    if objective.name == "kto" and (recipe.micro_batch or recipe.batch_size) < 2:
        raise UserError("kto compares rows of a batch; set batch_size to 2 at least.")
    return recipe


def check_splits(examples: Any, objective: Objective) -> dict[str, list[dict]]:
    """The rows by split, of the kind that an objective is trained on."""
    splits = dict(examples) if isinstance(examples, Mapping) else {"train": examples}
    if "train" not in splits:
        raise UserError("there are no training rows; give some as 'train'.")
    check = pair_rows.check_pairs if objective.on_pairs else data.as_rows
    kept = ("train", "validation") if objective.on_pairs else ("train",)
    return {name: check(splits[name]) for name in kept if name in splits and len(splits[name])}


def prepare(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    splits: Mapping[str, list[dict]],
    objective: Objective,
    recipe: Recipe,
) -> "tuple[dict[str, Dataset], dict[str, Any]]":
    """(the splits in TRL's columns, what the run is made from), and a warning of an absurd rate."""
    if sentence := train.warn_of_rate(recipe.lr, methods.name_of(model) or "lora"):
        warnings.warn(sentence, stacklevel=3)
    prepared, sha = {}, hashlib.sha256()
    for name, rows in splits.items():
        if name != "train" and not recipe.evaluations:
            continue
        if objective.drawn:
            prepared[name] = as_prompts(rows, tokenizer, model, recipe.batch_size)
            sha.update(json.dumps(list(prepared[name]["prompt"])).encode())
            continue
        tokens = pair_rows.tokenize_pairs(rows, tokenizer, model, recipe.max_length)
        prepared[name] = as_trl(objective, tokens, recipe)
        sha.update(json.dumps(tokens).encode())
    stated = data.to_dataset(splits["train"])
    hashes = {**train.hash_sources(model, stated), "rendered": sha.hexdigest()}
    said = {name: [data.row_hash(chat_of(row)) for row in splits[name]] for name in prepared}
    left = len(splits["train"]) % recipe.batch_size if objective.drawn else 0
    notes = [SHORT.format(left=left, rows=len(splits["train"]))] if left else []
    return prepared, {"hashes": hashes, "rows": said, "notes": notes}


def ask_reference(
    reference: Any,
    tokenizer: "PreTrainedTokenizerBase",
    splits: Mapping[str, list[dict]],
    prepared: "Mapping[str, Dataset]",
    recipe: Recipe,
) -> "dict[str, Dataset]":
    """The prepared splits with log p of their answers by a reference that was given."""
    asked = {}
    for name, rows in prepared.items():
        tokens = pair_rows.tokenize_pairs(splits[name], tokenizer, reference, recipe.max_length)
        with models.asking(reference):
            chosen, rejected = by_hand.read_pairs(reference, tokens, tokenizer)
        asked[name] = with_reference(rows, chosen.tolist(), rejected.tolist())
    return asked


def chat_of(row: Mapping) -> list[dict]:
    """What a row says; of a pair with its chosen answer."""
    return row["messages"] if "messages" in row else [*row["prompt"], *row["chosen"]]


def find_reward(name: str) -> Reward:
    """The reward that a recipe names: one of the kit's, or the run folder of a reward model."""
    if name in NAMED:
        return NAMED[name]
    if not Path(name).is_dir():
        raise UserError(
            f"there is no reward {name!r}; give {', '.join(NAMED)}, or the run folder of a reward "
            "model."
        )
    return open_reward(name)


def open_reward(folder: str | Path) -> ModelReward:
    """The model of a run on `reward`, to be asked. Raises UserError for any other run folder."""
    record = train.read_record(folder)
    experiment = Experiment.from_dict(record["experiment"])
    if experiment.goal.name != "reward":
        raise UserError(
            f"{folder} holds a run on {experiment.goal.name}, no model of rewards; give one whose "
            "recipe says objective: reward."
        )
    base, tokenizer = models.load(experiment.model, experiment.quant)
    train.check_same_base(folder, record, base)
    judged = make_reward_model(base, **(experiment.lora or {}))
    fill(judged, Path(folder) / "adapter" / "adapter_model.safetensors")
    return ModelReward(judged.eval(), tokenizer)


def fill(model: "PeftModel", file: Path) -> None:
    """Give a reward model the trained numbers of its saved adapter, which `lora.load` takes for a
    model of words. Raises UserError for a file that is damaged, or of other layers.
    """
    models.check_safetensors(file)
    saved = load_file(file)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            told = name.replace(".default.", ".").replace(".modules_to_save.", ".")
            if told not in saved or saved[told].shape != parameter.shape:
                raise UserError(
                    f"{file} holds no {models.plain_name(told)} of the right shape; train the "
                    "reward model again."
                )
            parameter.copy_(saved[told])


def train_into(
    experiment: Experiment,
    out: str | Path,
    stop: Stop | None = None,
    watch: Watch | None = None,
) -> Run | None:
    """`train.train_into` for a recipe of any objective, and with all that it promises."""
    if experiment.goal.name == "sft":
        return train.train_into(experiment, out, stop, watch)
    return train.train_into(experiment, out, stop, watch, train.Teaching(ready, teach))


def ready(experiment: Experiment) -> tuple[Any, Any, Any]:
    """(model, tokenizer, splits) of an experiment; for a reward model with a head of one number."""
    if experiment.goal.name != "reward":
        return experiment.prepare()
    if experiment.lora is None:
        raise UserError("a reward model is trained as a LoRA; state lora: {r: 8, alpha: 16}.")
    model, tokenizer = models.load(experiment.model, experiment.quant)
    splits = experiment.load_splits(model, tokenizer)
    return make_reward_model(model, experiment.recipe.seed, **experiment.lora), tokenizer, splits


def teach(experiment: Experiment) -> Callable[..., Run]:
    """What trains an experiment's model, called as `train.sft` is."""

    def run(model: Any, tokenizer: Any, splits: Any, recipe: Recipe, *aside: Any) -> Run:
        named = dict(zip(("stop", "watch", "checkpoints"), aside, strict=True))
        return tune(model, tokenizer, splits, experiment.goal, recipe, **named)

    return run
