"""A whole run as a file states it: base, data, replay, adapter and recipe; read, checked, prepared.

    Experiment.read(path)            from a YAML recipe, or from the run.json of an earlier run
    experiment.run()                 (run, tokenizer): load, attach, mix and train
    experiment.to_dict()             the same as JSON

It writes nothing: a run that goes into a folder, survives a kill and can be reopened is
`run_folder.py`'s. Torch is imported only when something is loaded, so a recipe is checked at once.
Taught in notebook 07; `python -m ftkit train` takes such a file.
"""

import contextlib
import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import data, lora, models
from ..core.errors import UserError, is_number, is_whole, nearest
from ..core.session import chosen_model
from .recipe import Recipe

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ..lora import PeftModel
    from .supervised import Run
    from .watcher import Stop, Watch

LORA_KEYS = ("r", "alpha", "targets", "dropout", "use_dora")
REPLAYED = ("general", "self")


@dataclass(frozen=True)
class Experiment:
    """A whole run as a file can state it. `lora=None` means full fine-tuning.

    Raises `UserError` for a value that a field cannot hold.
    """

    model: str | None = None
    quant: str | None = None  # of the base: "nf4" makes the run a QLoRA
    data: str = "tickets"
    rows: int | None = None  # train on the first so many rows
    replay: float = 0.0  # share of general rows mixed into the training rows
    # Those rows' answers: the data set's ("general"), or what the base itself says ("self").
    replayed: str = "general"
    lora: Mapping[str, Any] | None = field(default_factory=lambda: {"r": 8, "alpha": 16})
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        check_base(self.quant, trains_adapter=self.lora is not None)
        check_data(self.rows, self.replay, self.replayed)

    @classmethod
    def from_dict(cls, stated: Mapping) -> "Experiment":
        """From a parsed recipe file; unknown keys are refused with the nearest right one."""
        if not isinstance(stated, Mapping):
            raise UserError(
                "a recipe file holds keys such as model, data, replay, lora and recipe; "
                "this one holds none."
            )
        check_keys(stated, field_names(cls), "the file")
        recipe = Recipe(**read_part(stated, "recipe", field_names(Recipe)))
        adapter = read_part(stated, "lora", LORA_KEYS)
        # `lora: null` is full fine-tuning, and stays as it is
        given = {"lora": adapter} if stated.get("lora") else {}
        return cls(**{**stated, **given, "recipe": recipe})

    @classmethod
    def read(cls, path: str | Path) -> "Experiment":
        """From a YAML recipe, from the `run.json` of an earlier run, or from that run's folder."""
        import yaml

        path = Path(path)
        path = path / "run.json" if path.is_dir() else path
        if not path.is_file():
            beside = [file.name for file in path.parent.glob("*.y*ml")]
            raise UserError(f"there is no recipe file {str(path)!r}.{nearest(path.name, beside)}")
        try:
            stated = yaml.safe_load(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}.") from error
        return cls.from_dict(stated["experiment"] if path.name == "run.json" else stated)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON gives them back, the base named: the dial may turn until tomorrow."""
        fields = {**dataclasses.asdict(self), "model": chosen_model(self.model)}
        return json.loads(json.dumps(fields))

    def load_splits(
        self,
        model: "PreTrainedModel | None" = None,
        tokenizer: "PreTrainedTokenizerBase | None" = None,
    ) -> "DatasetDict":
        """The data as this experiment trains on it: cut to `rows`, replay mixed in.

        The model is needed only where it answers the replayed rows itself.
        """
        general = self.load_general(model, tokenizer) if self.replay else None
        splits = data.load(str(self.data), tokenizer, seed=self.recipe.seed)
        if self.rows is not None:
            splits["train"] = data.first(splits["train"], self.rows)
        if general is not None:
            splits["train"] = data.mix(splits["train"], general, self.replay, self.recipe.seed)
        return splits

    def load_general(
        self, model: "PreTrainedModel | None", tokenizer: "PreTrainedTokenizerBase | None"
    ) -> "Dataset":
        """The general rows to replay, their answers as `replayed` says."""
        general = data.load("general")["train"]
        if self.replayed == "general":
            return general
        if model is None or tokenizer is None:
            raise UserError(
                "the replayed answers are the base's own, and writing them again takes the model."
            )
        questions = [chat[:-1] for chat in general["messages"]]
        return data.replace_answers(general, models.answer(model, tokenizer, questions))

    def prepare(
        self,
    ) -> "tuple[PreTrainedModel | PeftModel, PreTrainedTokenizerBase, DatasetDict]":
        """`(model, tokenizer, splits)`, ready to train, all that is random by the recipe's seed."""
        from transformers import set_seed

        set_seed(self.recipe.seed)
        model, tokenizer = models.load(self.model, self.quant)
        splits = self.load_splits(model, tokenizer)
        if self.lora is not None:
            return lora.attach(model, **self.lora), tokenizer, splits
        return model, tokenizer, splits

    def run(
        self, stop: "Stop | None" = None, watch: "Watch | None" = None
    ) -> "tuple[Run, PreTrainedTokenizerBase]":
        """Load, attach, mix and train from the recipe's seed; returns the run and the tokenizer.

        stop, watch: see `sft`. `run_folder.train_into` does the same into a folder.
        """
        from .supervised import sft

        model, tokenizer, splits = self.prepare()
        return sft(model, tokenizer, splits, self.recipe, stop, watch), tokenizer


def check_base(quant: str | None, *, trains_adapter: bool) -> None:
    """Refuse a quantization that there is not, and one whose weights would have to be trained."""
    if quant is None:
        return
    known = models.QUANTIZATIONS
    if quant not in known:
        raise UserError(
            f"quant is {quant!r}; give null, {', '.join(map(repr, known))}.{nearest(quant, known)}"
        )
    if not trains_adapter:
        raise UserError(
            f"a base in {quant} cannot be trained itself; state a lora, or leave quant out."
        )


def check_data(rows: int | None, replay: float, replayed: str) -> None:
    """Refuse numbers of rows, shares and answers that there cannot be."""
    if rows is not None and (not is_whole(rows) or rows < 1):
        raise UserError(f"rows is {rows!r}; give a whole number from 1 on, or null for all rows.")
    if not is_number(replay) or not 0 <= replay < 1:
        raise UserError(
            f"replay is {replay!r}; "
            "it is a share of the training rows, from 0 to below 1, such as 0.2."
        )
    if replayed not in REPLAYED:
        raise UserError(
            f"replayed is {replayed!r}; give one of {', '.join(REPLAYED)}."
            f"{nearest(replayed, REPLAYED)}"
        )


def read_part(stated: Mapping, name: str, known: Sequence[str]) -> dict[str, Any]:
    """The part of a file under one key, its numbers read as numbers; {} where there is none."""
    part = stated.get(name) or {}
    if not isinstance(part, Mapping):
        raise UserError(f"{name} is {part!r}; give keys and values such as {{{known[0]}: …}}.")
    check_keys(part, known, name)
    return {key: as_number(value) for key, value in part.items()}


def as_number(value: object) -> object:
    """2e-3 is text to YAML, which wants 2.0e-3; a person means the number."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return float(value)
    return value


def field_names(cls: type) -> list[str]:
    """The names of a dataclass's fields."""
    return [f.name for f in dataclasses.fields(cls)]


def check_keys(stated: Mapping, known: Sequence[str], where: str) -> None:
    """Refuse keys that are not among the known ones."""
    for key in stated:
        if key not in known:
            raise UserError(
                f"{where} has the key {key!r}; the keys are {', '.join(known)}."
                f"{nearest(key, known)}"
            )
