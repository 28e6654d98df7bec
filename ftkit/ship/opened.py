"""A run that is to be shipped: its parts, each loaded when it is asked for first.

    Opened(folder)        the run; .experiment, .tuned, .base, .merged, .tokenizer
    opened.prompts(n)     chats to ask, from its own test rows and the micro-world
    opened.splits         the rows that it was trained on and validated with
    opened.adapter        the folder of its adapter, and what peft's configuration there states
    Wish, Told            what an export is asked for, and what it tells
    Proof                 a line of that: so many of so many are equal

What is wrong with a run (gone, cut short, another base) is said in one sentence by `train.reopen`.
It writes nothing: `exporting.py` does.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .. import data, lora, methods, models, train
from .. import merge as merging
from ..core.errors import UserError
from ..core.parsing import parse_json, read_text
from ..world import World
from ..world import skills as suites

if TYPE_CHECKING:
    from datasets import DatasetDict
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ..lora import PeftModel


@dataclass(frozen=True)
class Wish:
    """What an export is asked for; see `exporting.export`."""

    part: str
    kind: str | None = None
    prompts: int = 40
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class Proof:
    """One thing that was compared: so many of so many are equal."""

    what: str
    equal: int
    of: int
    by: str  # the program that read what was written
    exact: bool = True  # whether the format can hold it: then all have to be equal

    def check(self) -> "Proof":
        """The proof itself; `UserError` where it fails, so that nothing is written."""
        if self.exact and self.equal < self.of:
            raise UserError(
                f"what was written is not the model: of {self.what} {self.equal} of {self.of} are "
                f"equal, read back by {self.by}; nothing was exported, and this is worth a report."
            )
        return self


@dataclass
class Told:
    """What a target says of what it wrote."""

    proofs: list[Proof] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left_out: set[str] = field(default_factory=set)  # of `Wish.without`, what there was to leave


class Opened:
    """A run folder that is to be shipped. Raises `UserError` for a folder that holds none."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.record = train.read_record(self.folder)
        self.experiment = train.Experiment.from_dict(self.record["experiment"])

    @property
    def name(self) -> str:
        """What the run is called: the name of its folder."""
        return self.folder.resolve().name

    @cached_property
    def parts(self) -> "tuple[PreTrainedModel, PreTrainedModel, PreTrainedTokenizerBase]":
        """(tuned, base, tokenizer), loaded; see `train.reopen`."""
        return train.reopen(self.folder)

    @property
    def tuned(self) -> "PreTrainedModel | PeftModel":
        """The tuned model; after a LoRA, peft's."""
        return self.parts[0]

    @property
    def tokenizer(self) -> "PreTrainedTokenizerBase":
        """The base's tokenizer."""
        return self.parts[2]

    @cached_property
    def base(self) -> "PreTrainedModel":
        """The base that was tuned, as a plain model: of a quantized one its dequantized weights."""
        base = self.parts[1]
        if models.is_packed(base):
            return cast(Any, merging.independent_copy(base)).dequantize()
        return base

    @cached_property
    def merged(self) -> "PreTrainedModel":
        """The tuned model as a plain one, its merge proven; refused where it can't be merged."""
        if not lora.is_attached(self.tuned):
            return cast("PreTrainedModel", self.tuned)
        return merging.merge(self.tuned)[0]

    def model(self, part: str) -> "PreTrainedModel":
        """The plain model of a part: "merged" or "base"."""
        return self.base if part == "base" else self.merged

    @property
    def base_name(self) -> str:
        """The directory or hub id of the base, as other programs take it."""
        return models.resolve(self.experiment.model)

    @property
    def base_folder(self) -> str:
        """The base's directory by its whole path, or its hub id."""
        name = self.base_name
        return str(Path(name).resolve()) if Path(name).is_dir() else name

    @cached_property
    def adapter(self) -> tuple[Path, dict[str, Any]]:
        """(folder, configuration) of the saved adapter; `UserError` where the run has none."""
        folder = self.folder / "adapter"
        if not self.experiment.trains_adapter:
            raise UserError(
                f"{self.folder} was trained whole and has no adapter; export it merged "
                "(--part merged), which is the model itself."
            )
        file, _ = lora.find_files(folder)
        return folder, cast("dict[str, Any]", parse_json(read_text(file), file))

    def need_lora(self, why: str, cure: str = "") -> dict[str, Any]:
        """The configuration of a LoRA; any other method is refused with what can't be, `why`.

        cure: by default to merge it, where that can be.
        """
        _, stated = self.adapter
        if stated["peft_type"] != "LORA":
            method = methods.METHODS.get(methods.method_of(stated["peft_type"]))
            title, merges = (method.title, method.merges) if method else (stated["peft_type"], True)
            usual = (
                "export it merged (--part merged)" if merges else "use it by the kit (methods.load)"
            )
            raise UserError(f"{self.folder} is a run of {title}, and {why}; {cure or usual}.")
        return stated

    def need_usual_loss(self, what: str) -> None:
        """Refuse a run on pairs or rewards, for `what` there are of answers alone."""
        if (goal := self.experiment.goal.name) != "sft":
            raise UserError(
                f"the run's objective is {goal}, and {what} of supervised fine-tuning; export a "
                "run of the usual loss."
            )

    @cached_property
    def splits(self) -> "DatasetDict":
        """The rows as the run was trained on them, replay among them."""
        model = self.parts[1] if self.experiment.replayed == "self" else None
        with data.on_date(self.experiment.date):
            return self.experiment.load_splits(model, self.tokenizer)

    def prompts(self, n: int) -> list[list[dict]]:
        """`n` chats that end in a question: the run's own test rows, then skills of the world."""
        asked: list[list[dict]] = []
        try:
            rows = data.test_rows(self.experiment.data, self.experiment.encoding)
            asked = [list(chat[:-1]) for chat in data.first(rows, min(n, len(rows)))["messages"]]
        except UserError:  # the file is gone meanwhile, or holds pairs
            pass
        world = World()
        for name in suites.SKILLS:
            if len(asked) >= n:
                break
            turns = suites.draw_suite(world, name, 8)
            asked += [[{"role": "user", "content": turn.prompt}] for turn in turns]
        return asked[:n]
