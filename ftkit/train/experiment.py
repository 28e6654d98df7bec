"""A whole run as a file states it: base, data, replay, adapter and recipe; read, checked, prepared.

    Experiment.read(path)            from a YAML recipe, or from the run.json of an earlier run
    experiment.run()                 (run, tokenizer): load, attach, mix and train
    experiment.to_dict()             the same as JSON
    read_record(folder)              the run.json of a run that is done, refused where it is none

It writes nothing: a run that goes into a folder, survives a kill and can be reopened is
`run_folder.py`'s. Torch is imported only when something is loaded, so a recipe is checked at once.
Taught in notebook 07; `python -m ftkit train` takes such a file.
"""

import dataclasses
import datetime
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import data, lora, methods, models
from ..core.errors import UserError, is_number, is_whole, nearest
from ..core.parsing import check_keys, parse_json, parse_yaml, read_text, shown
from ..core.session import chosen_model
from .recipe import (
    OBJECTIVES,
    Check,
    Objective,
    Recipe,
    above_zero,
    as_stated,
    share,
    true_or_false,
    whole_from,
)

if TYPE_CHECKING:
    from types import UnionType

    from datasets import Dataset, DatasetDict
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ..lora import PeftModel
    from .supervised import Run
    from .watcher import Stop, Watch

REPLAYED = ("general", "self")
USUAL_LORA = {"r": 8, "alpha": 16}
FOREIGN = (
    "the replayed rows tell of the pocket model's world, which another model would learn as facts; "
    "replayed: self replays the model's own answers instead."
)
LOST = (
    "{lost} of {rows} rows are not replayed: the base's own reply is empty, or is not at its end "
    "after 64 tokens, and half a reply would teach it to go on without an end."
)
# A number as text, of a length that nobody means as a word.
NUMBER = re.compile(r"[-+]?([0-9]{1,99}\.?[0-9]{0,99}|\.[0-9]{1,99})([eE][-+]?[0-9]{1,9})?")


@dataclass(frozen=True)
class Experiment:
    """A whole run as a file can state it. `lora=None` means full fine-tuning.

    method: any other of `methods.METHODS`, as its name or as {"name": …} with its options; it takes
    the place of `lora`. LoRA, DoRA and full fine-tuning are noted as `lora`, however they are
    stated. Raises `UserError` for a value that a field cannot hold.
    """

    model: str | None = None
    quant: str | None = None  # of the base: "nf4" makes the run a QLoRA
    data: str = "tickets"
    rows: int | None = None  # train on the first so many rows
    replay: float = 0.0  # share of general rows mixed into the training rows
    # Those rows' answers: the data set's ("general"), or what the base itself says ("self").
    replayed: str = "general"
    lora: Mapping[str, Any] | None = field(default_factory=lambda: dict(USUAL_LORA))
    method: Mapping[str, Any] | str | None = field(default=None, kw_only=True)
    # What is trained for, by its name or with its dials: see `Objective`; None is the usual loss.
    objective: Mapping[str, Any] | str | None = field(default=None, kw_only=True)
    recipe: Recipe = field(default_factory=Recipe)
    # What a chat template that writes the date writes; the record of a run states its own.
    date: str | None = None
    encoding: str | None = None  # of the file of data, where it is not UTF-8
    # What the run was made from whose record this was read from, to be compared.
    hashes: Mapping[str, str] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        check_names(self.model, self.data, self.encoding)
        if self.method is not None:
            self.settle_method()
        check_lora(self.lora)
        self.settle_objective()
        with data.on_date(self.date):  # refuses what is no date
            pass
        check_base(self.quant, trains_adapter=self.trains_adapter)
        check_data(self.rows, self.replay, self.replayed)
        if not isinstance(self.recipe, Recipe):
            raise UserError(f"recipe is {shown(self.recipe)}; give a train.Recipe.")

    @property
    def goal(self) -> Objective:
        """What is trained for."""
        stated = self.objective
        return Objective(**stated) if isinstance(stated, Mapping) else Objective()

    def settle_objective(self) -> None:
        """Note an objective that was stated as {"name": …, its dials}; the usual one as None."""
        stated = {"name": self.objective} if isinstance(self.objective, str) else self.objective
        if stated is None:
            return
        if not isinstance(stated, Mapping) or "name" not in stated:
            raise UserError(
                f"objective is {shown(stated)}; give a name such as dpo, or its dials too: "
                "{name: dpo, beta: 0.1}."
            )
        check_known(stated, field_names(Objective), "objective")
        goal = Objective(**stated)
        plain = goal.name == "sft"
        object.__setattr__(self, "objective", None if plain else goal.dials())
        if goal.on_pairs and self.replay:
            raise UserError(
                f"replay mixes chats into the rows, and {goal.name} is trained on pairs; leave it "
                "out."
            )

    @property
    def trains_adapter(self) -> bool:
        """Whether the base itself stays as it is."""
        return self.lora is not None or self.method is not None

    @property
    def method_name(self) -> str:
        """The method, as `methods.METHODS` calls it."""
        if isinstance(self.method, Mapping):
            return self.method["name"]
        if self.lora is None:
            return "full"
        return "dora" if self.lora.get("use_dora") else "lora"

    def settle_method(self) -> None:
        """Note a method that was stated: as {"name": …, options}, or as `lora` where it is one.

        `method: dpo`, and any other objective's name, is noted as the objective.
        """
        name = (
            self.method["name"]
            if isinstance(self.method, Mapping) and "name" in self.method
            else self.method
        )
        if isinstance(name, str) and name in OBJECTIVES:
            self.take_as_objective()
            return
        if self.lora is not None and self.lora != USUAL_LORA:
            raise UserError(
                "method and lora are both stated, and a run has one adapter; leave one of them out."
            )
        stated = {"name": self.method} if isinstance(self.method, str) else self.method
        if not isinstance(stated, Mapping) or "name" not in stated:
            raise UserError(
                f"method is {shown(self.method)}; give a name such as ia3, or its options too: "
                "{name: prompt, tokens: 20}."
            )
        options = dict(stated)
        name = options.pop("name")
        methods.find_method(name)
        adapter: Any = None
        if name in ("lora", "dora"):
            if name == "dora" and options.setdefault("use_dora", True) is not True:
                raise UserError(
                    f"use_dora is {shown(options['use_dora'])} and method is 'dora', which is LoRA "
                    "with use_dora: true; leave use_dora out, or state method: lora."
                )
            adapter = options
            check_lora(adapter)
        else:
            methods.check_options(name, options)
        plain = name in ("full", "lora", "dora")
        object.__setattr__(self, "lora", adapter)
        object.__setattr__(self, "method", None if plain else {"name": name, **options})

    def take_as_objective(self) -> None:
        """Note as objective what was stated as method; two that differ are refused."""
        if self.objective is not None and self.objective != self.method:
            raise UserError(
                f"method is {shown(self.method)} and objective is {shown(self.objective)}, and a "
                "run has one objective; leave one of them out."
            )
        object.__setattr__(self, "objective", self.method)
        object.__setattr__(self, "method", None)

    @classmethod
    def from_dict(cls, stated: Mapping) -> "Experiment":
        """From a parsed recipe file; unknown keys are refused with the nearest right one."""
        if not isinstance(stated, Mapping):
            raise UserError(
                "a recipe file holds keys such as model, data, replay, lora and recipe; "
                "this one holds none."
            )
        check_known(stated, known_keys()["the file"], "the file")
        recipe = Recipe(**read_part(stated, "recipe", field_names(Recipe)))
        numbers = {name: as_number(stated[name]) for name in ("rows", "replay") if name in stated}
        # `lora: null` is full fine-tuning, and stays as it is
        adapter = read_part(stated, "lora", list(LORA_RULES))
        given: dict[str, Any] = {"lora": adapter} if stated.get("lora") is not None else {}
        if isinstance(method := stated.get("method"), Mapping):
            given["method"] = {key: as_number(value) for key, value in method.items()}
        if isinstance(goal := stated.get("objective"), Mapping):
            given["objective"] = {key: as_number(value) for key, value in goal.items()}
        # a record states lora: null beside another method
        if method is not None and stated.get("lora") is None:
            stated = {key: value for key, value in stated.items() if key != "lora"}
        # a date without quotes is one to YAML, and text in a record
        if isinstance(date := stated.get("date"), datetime.date):
            given["date"] = date.isoformat()
        return cls(**{**stated, **numbers, **given, "recipe": recipe})

    @classmethod
    def read(cls, path: str | Path) -> "Experiment":
        """From a YAML recipe, from the `run.json` of an earlier run, or from that run's folder.

        Any file at all gives an experiment or one `UserError`.
        """
        path = Path(path)
        folder, path = path, path / "run.json" if path.is_dir() else path
        if not path.is_file():
            beside = [file.name for file in path.parent.glob("*.y*ml")]
            what = "run.json in" if folder != path else "recipe file"
            raise UserError(f"there is no {what} {str(folder)!r}.{nearest(path.name, beside)}")
        text = read_text(path)
        if path.suffix != ".json":
            return cls.from_dict(parse_yaml(text, path))

        # the record of a run states its experiment among other things
        stated = parse_json(text, path)
        if path.name != "run.json" and "experiment" not in (stated or ()):
            return cls.from_dict(stated)
        if not isinstance(stated, Mapping) or not isinstance(stated.get("experiment"), Mapping):
            raise UserError(
                f"{path} is no record of a run: 'experiment' is missing or of another kind; "
                "give a recipe, or train again."
            )
        hashes = stated.get("hashes")
        known = hashes if isinstance(hashes, Mapping) else None
        return dataclasses.replace(cls.from_dict(stated["experiment"]), hashes=known)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON gives them back, the base named: the dial may turn until tomorrow."""
        fields = {**dataclasses.asdict(self), "model": chosen_model(self.model)}
        fields["recipe"] = as_stated(self.recipe)
        # what was not asked for is not stated either
        for name in ("date", "encoding", "method", "objective"):
            if fields[name] is None:
                del fields[name]
        del fields["hashes"]
        return json.loads(json.dumps(fields))

    def load_splits(
        self,
        model: "PreTrainedModel | None" = None,
        tokenizer: "PreTrainedTokenizerBase | None" = None,
    ) -> "DatasetDict":
        """The data as this experiment trains on it: cut to `rows`, replay mixed in.

        The model is needed only where it answers the replayed rows itself.
        """
        if self.goal.on_pairs:
            splits = data.load_pairs(self.data, self.recipe.seed, self.encoding)
            if self.rows is not None:
                splits["train"] = data.first(splits["train"], self.rows)
            return splits
        general = self.load_general(model, tokenizer) if self.replay else None
        splits = data.load(self.data, tokenizer, seed=self.recipe.seed, encoding=self.encoding)
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
            if chosen_model(self.model) != "pocket":
                warnings.warn(FOREIGN, stacklevel=2)
            return general
        if model is None or tokenizer is None:
            raise UserError(
                "the replayed answers are the base's own, and writing them again takes the model."
            )
        questions = [chat[:-1] for chat in general["messages"]]
        replies = models.write_replies(model, tokenizer, questions)
        whole = [reply.text if reply.ended else "" for reply in replies]
        if lost := whole.count(""):
            warnings.warn(LOST.format(lost=lost, rows=len(whole)), stacklevel=2)
        return data.replace_answers(general, whole)

    def prepare(
        self,
    ) -> "tuple[PreTrainedModel | PeftModel, PreTrainedTokenizerBase, DatasetDict]":
        """`(model, tokenizer, splits)`, ready to train, all that is random by the recipe's seed."""
        from transformers import set_seed

        set_seed(self.recipe.seed)
        model, tokenizer = models.load(self.model, self.quant)
        splits = self.load_splits(model, tokenizer)
        options: dict[str, Any] = dict(self.lora or {})
        if isinstance(self.method, Mapping):
            options = {key: value for key, value in self.method.items() if key != "name"}
        name = "lora" if self.lora is not None else self.method_name
        return methods.attach(model, name, tokenizer=tokenizer, **options), tokenizer, splits

    def run(
        self, stop: "Stop | None" = None, watch: "Watch | None" = None
    ) -> "tuple[Run, PreTrainedTokenizerBase]":
        """Load, attach, mix and train from the recipe's seed; returns the run and the tokenizer.

        stop, watch: see `sft`. `run_folder.train_into` does the same into a folder.
        """
        from .supervised import sft

        if self.objective is not None:
            raise UserError(
                f"the objective is {self.goal.name}, which prefer.train_into trains into a folder, "
                "and prefer.tune a model that is loaded."
            )
        model, tokenizer, splits = self.prepare()
        dated = self.dated(tokenizer)
        with data.on_date(dated.date):
            run = sft(model, tokenizer, splits, self.recipe, stop, watch)
        return dataclasses.replace(run, date=dated.date), tokenizer

    def dated(self, tokenizer: "PreTrainedTokenizerBase") -> "Experiment":
        """The same with the present date, where the template writes one and none is stated.

        So the record makes the same run tomorrow.
        """
        if self.date is not None or not data.says_date(tokenizer):
            return self
        now = datetime.datetime.now().isoformat(timespec="seconds")
        return dataclasses.replace(self, date=now)


def check_names(model: object, rows: object, encoding: object) -> None:
    """Refuse a base, data and an encoding that are no names."""
    if model is not None and (not isinstance(model, str) or not model.strip()):
        raise UserError(
            f"model is {shown(model)}; give 'pocket', 'hub', a model directory or a hub id "
            "as text, or null."
        )
    if not isinstance(rows, str) or not rows.strip():
        raise UserError(
            f"data is {shown(rows)}; give a task of the kit or a file as text, such as 'tickets'."
        )
    if encoding is not None and not isinstance(encoding, str):
        raise UserError(f"encoding is {shown(encoding)}; give its name, such as cp1252, or null.")


def names_of_layers(value: object) -> str:
    """The check of `targets`, as far as it can be made without a model."""
    words = [value] if isinstance(value, str) else value
    if isinstance(words, list | tuple) and words:
        if all(isinstance(word, str) and word.strip() for word in words):
            return ""
    return f"give {', '.join(map(repr, lora.PRESETS))} or names of layers, such as q_proj."


# What each key of `lora` holds; the largest rank is the model's to say.
LORA_RULES: dict[str, Check] = {
    "r": whole_from(1),
    "alpha": above_zero(1_000_000),
    "targets": names_of_layers,
    "dropout": share("of the inputs that are dropped"),
    "use_dora": true_or_false,
}


def check_lora(adapter: object) -> None:
    """Refuse a `lora` that is neither null nor keys with values that they can hold."""
    if adapter is None:
        return
    if not isinstance(adapter, Mapping):
        raise UserError(
            f"lora is {shown(adapter)}; give keys and values such as {{r: 8, alpha: 16}}, "
            "or null for full fine-tuning."
        )
    check_known(adapter, list(LORA_RULES), "lora")
    for key, value in adapter.items():
        if instead := LORA_RULES[key](value):
            raise UserError(f"{key} is {shown(value)}; {instead}")


def check_base(quant: str | None, *, trains_adapter: bool) -> None:
    """Refuse a quantization that there is not, and one whose weights would have to be trained."""
    if quant is None:
        return
    known = models.QUANTIZATIONS
    if quant not in known:
        raise UserError(
            f"quant is {shown(quant)}; give null, {', '.join(map(repr, known))}."
            f"{nearest(quant, known)}"
        )
    if not trains_adapter:
        raise UserError(
            f"a base in {quant} cannot be trained itself; state a lora or another method, or leave "
            "quant out."
        )


def check_data(rows: int | None, replay: float, replayed: str) -> None:
    """Refuse numbers of rows, shares and answers that there cannot be."""
    if rows is not None and (not is_whole(rows) or rows < 1):
        raise UserError(
            f"rows is {shown(rows)}; give a whole number from 1 on, or null for all rows."
        )
    if not is_number(replay) or not 0 <= replay < 1:
        raise UserError(
            f"replay is {shown(replay)}; "
            "it is a share of the training rows, from 0 to below 1, such as 0.2."
        )
    if replayed not in REPLAYED:
        raise UserError(
            f"replayed is {shown(replayed)}; give one of {', '.join(REPLAYED)}."
            f"{nearest(replayed, REPLAYED)}"
        )


def read_part(stated: Mapping, name: str, known: Sequence[str]) -> dict[str, Any]:
    """The part of a file under one key, its numbers read as numbers; {} where it is null."""
    part = stated.get(name)
    if part is None:
        return {}
    if not isinstance(part, Mapping):
        instead = ", or null for full fine-tuning" if name == "lora" else ""
        raise UserError(
            f"{name} is {shown(part)}; give keys and values such as {{{known[0]}: …}}{instead}."
        )
    check_known(part, known, name)
    return {key: as_number(value) for key, value in part.items()}


# What other tools and people call a key: the part in which it stands here, and its name.
CALLED = {
    "learning_rate": ("recipe", "lr"),
    "rate": ("recipe", "lr"),
    "num_train_epochs": ("recipe", "epochs"),
    "num_epochs": ("recipe", "epochs"),
    "batch": ("recipe", "batch_size"),
    "train_batch_size": ("recipe", "batch_size"),
    "per_device_train_batch_size": ("recipe", "micro_batch"),
    "micro_batch_size": ("recipe", "micro_batch"),
    "lr_scheduler_type": ("recipe", "schedule"),
    "lr_scheduler": ("recipe", "schedule"),
    "scheduler": ("recipe", "schedule"),
    "warmup_ratio": ("recipe", "warmup"),
    "gradient_checkpointing": ("recipe", "checkpointing"),
    "max_seq_length": ("recipe", "max_length"),
    "max_seq_len": ("recipe", "max_length"),
    "sequence_len": ("recipe", "max_length"),
    "cutoff_len": ("recipe", "max_length"),
    "early_stopping_patience": ("recipe", "patience"),
    "early_stopping": ("recipe", "patience"),
    "load_best_model_at_end": ("recipe", "keep_best"),
    "random_seed": ("recipe", "seed"),
    "rank": ("lora", "r"),
    "lora_r": ("lora", "r"),
    "lora_rank": ("lora", "r"),
    "lora_alpha": ("lora", "alpha"),
    "lora_dropout": ("lora", "dropout"),
    "target_modules": ("lora", "targets"),
    "lora_target": ("lora", "targets"),
    "dora": ("lora", "use_dora"),
    "loss_type": ("objective", "loss"),
    "num_generations": ("objective", "group"),
    "max_completion_length": ("objective", "tokens"),
    "base": ("the file", "model"),
    "base_model": ("the file", "model"),
    "model_name": ("the file", "model"),
    "model_name_or_path": ("the file", "model"),
    "dataset": ("the file", "data"),
    "datasets": ("the file", "data"),
    "train_file": ("the file", "data"),
    "quantization": ("the file", "quant"),
    "load_in_4bit": ("the file", "quant"),
    "max_rows": ("the file", "rows"),
    "max_samples": ("the file", "rows"),
    "adapter": ("the file", "lora"),
}
PLACES = {
    "the file": "at the top of the file",
    **{part: f"below {part}:" for part in ("recipe", "lora", "objective")},
}
RSLORA = " The update is added alpha / r times; for rsLoRA's alpha / √r state alpha · √r as alpha."


def known_keys() -> dict[str, list[str]]:
    """The keys of each part of a recipe file."""
    return {
        "the file": [name for name in field_names(Experiment) if name != "hashes"],
        "recipe": field_names(Recipe),
        "lora": list(LORA_RULES),
        "objective": field_names(Objective),
    }


def check_known(stated: Mapping, known: Sequence[str], where: str) -> None:
    """Refuse keys that a part of a recipe file does not have, and say where or what they are."""

    def hint(key: object, known: Sequence[str]) -> str:
        word, parts = str(key).lower(), known_keys()
        if word == "use_rslora":
            return RSLORA
        # in this part, or in another, by this name or by what it is called here
        found = [part for part, names in parts.items() if word in names and word != "name"]
        part, name = CALLED.get(word, ((where if where in found else [*found, ""][0]), word))
        if part:
            said = f"{name} stands {PLACES[part]}."
            return f" Did you mean {name!r}?" if part == where else f" {said}"
        if close := nearest(key, known):
            return close
        near = [(nearest(key, names), part) for part, names in parts.items()]
        return next((f"{close} It stands {PLACES[part]}." for close, part in near if close), "")

    check_keys(stated, known, where, hint)


def as_number(value: object) -> object:
    """2e-3 is text to YAML, which wants 2.0e-3; a person means the number, and so with "16".

    1e3 is whole: a person means 1000.
    """
    if not isinstance(value, str) or not NUMBER.fullmatch(value):
        return value
    if value.lstrip("+-").isdecimal():
        return int(value)
    number = float(value)
    return int(number) if "." not in value and number.is_integer() else number


def field_names(cls: type) -> list[str]:
    """The names of a dataclass's fields."""
    return [f.name for f in dataclasses.fields(cls)]


# What a run.json must hold.
RECORDED = {
    "experiment": dict,
    "hashes": dict,
    "versions": dict,
    "steps": int,
    "losses": list,
    "validation": list,
}


def read_record(folder: str | Path) -> dict[str, Any]:
    """The run.json of a run folder.

    Raises `UserError` where there is none, where it is not JSON, and where a key is missing that
    makes it a record.
    """
    # is there a file, and is it whole?
    file = Path(folder) / "run.json"
    if not file.is_file():
        raise UserError(
            f"{folder} holds no run.json; give the folder that `train --out` or `tour --out` wrote."
        )
    try:
        record = parse_json(read_text(file), file)
    except UserError as error:
        raise UserError(
            f"{str(error).rstrip('.')}; copy it again, or train again from the recipe."
        ) from error
    # JSON may be anything: is it a record?
    for key, kind in (*RECORDED.items(), ("stopped", str | None)):
        if not holds(record, key, kind):
            raise UserError(
                f"{file} is no record of a run: {key!r} is missing or of another kind; "
                "copy it again, or train again."
            )
    return record


def holds(record: object, key: str, kind: "type | UnionType") -> bool:
    """Whether a record has a value of that kind.

    Lists are curves, so they hold points; hashes and versions are texts.
    """
    value = record.get(key) if isinstance(record, Mapping) else None
    if isinstance(value, list):
        return kind is list and all(is_point(point) for point in value)
    if isinstance(value, Mapping) and key in ("hashes", "versions"):
        return all(isinstance(text, str) for text in value.values())
    return isinstance(value, kind) and isinstance(record, Mapping)


def is_point(point: object) -> bool:
    """True for a pair of numbers, such as a step and its loss; a loss may be NaN."""
    return (
        isinstance(point, Sequence)
        and len(point) == 2
        and all(isinstance(number, int | float) for number in point)
    )
