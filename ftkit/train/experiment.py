"""A whole run as files state it: a recipe or a record in, a run folder out; killed is not lost."""

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .. import data, lora, models
from ..core.errors import UserError, is_number, nearest
from ..core.files import whole_or_nothing
from ..core.session import chosen_model
from .checkpoint import (
    differences,
    drop_checkpoints,
    explain_write_errors,
    lock_folder,
    sweep,
    whole_checkpoints,
)
from .recipe import Recipe
from .supervised import Diverged, Run, hash_sources, sft

LORA_KEYS = ("r", "alpha", "targets", "dropout", "use_dora")
REPLAYED = ("general", "self")
CHECKPOINTS = "checkpoints"  # inside a run folder, until the run is done


@dataclass(frozen=True)
class Experiment:
    """A whole run as a file can state it: base, data, replay, adapter and recipe. `lora=None` means
    full fine-tuning.
    """

    model: str | None = None
    quant: str | None = None  # of the base: "nf4" makes the run a QLoRA
    data: str = "tickets"
    rows: int | None = None  # train on the first so many rows
    replay: float = 0.0  # share of general rows mixed into the training rows
    replayed: str = "general"  # those rows' answers: the data set's ("general"), or what the base itself says ("self")
    lora: Mapping | None = field(default_factory=lambda: {"r": 8, "alpha": 16})
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self):
        if self.quant is not None and self.quant not in models.QUANTIZATIONS:
            known = models.QUANTIZATIONS
            raise UserError(
                f"quant is {self.quant!r}; give null, {', '.join(map(repr, known))}.{nearest(self.quant, known)}"
            )
        if self.quant and self.lora is None:
            raise UserError(
                f"a base in {self.quant} cannot be trained itself; state a lora, or leave quant out."
            )
        if self.rows is not None and (
            not is_number(self.rows) or not isinstance(self.rows, int) or self.rows < 1
        ):
            raise UserError(
                f"rows is {self.rows!r}; give a whole number from 1 on, or null for all rows."
            )
        if not is_number(self.replay) or not 0 <= self.replay < 1:
            raise UserError(
                f"replay is {self.replay!r}; it is a share of the training rows, from 0 to below 1, such as 0.2."
            )
        if self.replayed not in REPLAYED:
            raise UserError(
                f"replayed is {self.replayed!r}; give one of {', '.join(REPLAYED)}.{nearest(self.replayed, REPLAYED)}"
            )

    @classmethod
    def from_dict(cls, stated: Mapping) -> "Experiment":
        """From a parsed recipe file; unknown keys are refused with the nearest right one."""
        if not isinstance(stated, Mapping):
            raise UserError(
                "a recipe file holds keys such as model, data, replay, lora and recipe; this one holds none."
            )
        check_keys(stated, field_names(cls), "the file")
        for name, known in (("recipe", field_names(Recipe)), ("lora", LORA_KEYS)):
            if not isinstance(stated.get(name) or {}, Mapping):
                raise UserError(
                    f"{name} is {stated[name]!r}; give keys and values such as {{{known[0]}: …}}."
                )
            check_keys(stated.get(name) or {}, known, name)
        adapter, recipe = (
            {k: as_number(v) for k, v in (stated.get(name) or {}).items()}
            for name in ("lora", "recipe")
        )
        given = {"lora": adapter} if stated.get("lora") else {}  # `lora: null` is full fine-tuning
        return cls(**{**stated, **given, "recipe": Recipe(**recipe)})

    @classmethod
    def read(cls, path: str | Path) -> "Experiment":
        """From a YAML recipe or from the `run.json` of an earlier run."""
        import yaml

        path = Path(path)
        path = path / "run.json" if path.is_dir() else path
        if not path.is_file():
            raise UserError(
                f"there is no recipe file {str(path)!r}.{nearest(path.name, [p.name for p in path.parent.glob('*.y*ml')])}"
            )
        try:
            stated = yaml.safe_load(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}.") from error
        return cls.from_dict(stated["experiment"] if path.name == "run.json" else stated)

    def splits(self, model, tokenizer):
        """The data as this experiment trains on it: cut to `rows`, replay mixed in."""
        splits = data.load(str(self.data), tokenizer, seed=self.recipe.seed)
        if self.rows is not None:
            splits["train"] = data.first(splits["train"], self.rows)
        if self.replay:
            general = data.load("general")["train"]
            if self.replayed == "self":
                general = data.replace_answers(
                    general, models.answer(model, tokenizer, [m[:-1] for m in general["messages"]])
                )
            splits["train"] = data.mix(splits["train"], general, self.replay, self.recipe.seed)
        return splits

    def prepared(self) -> tuple:
        """`(model, tokenizer, splits)`, ready to train, all random numbers drawn from the recipe's
        seed.
        """
        from transformers import set_seed

        set_seed(self.recipe.seed)
        model, tokenizer = models.load(self.model, self.quant)
        splits = self.splits(model, tokenizer)
        return (model if self.lora is None else lora.attach(model, **self.lora)), tokenizer, splits

    def run(self, stop=None, watch=None) -> tuple[Run, object]:
        """Load, attach, mix and train from the recipe's seed; returns the run and the tokenizer."""
        model, tokenizer, splits = self.prepared()
        return sft(model, tokenizer, splits, self.recipe, stop, watch), tokenizer

    def into(self, out: str | Path, stop=None, watch=None) -> Run | None:
        """Train and `save` into the run folder `out`, or go on from the last checkpoint of this
        very run there, on a CPU to the same bytes.

        Returns None where `out` holds this very run complete. Refused by name: a folder that holds
        another run, or that another process is writing into. A run that diverges is saved with its
        last good weights before `train.Diverged` goes on its way.
        """
        out = Path(out)
        if out.is_file():
            raise UserError(f"{out} is a file; give a folder to write into.")
        with explain_write_errors(out):
            out.mkdir(parents=True, exist_ok=True)
        with lock_folder(out):
            for left in out.glob(f".{out.name}-*"):  # of a process that was killed while it saved
                shutil.rmtree(left, ignore_errors=True)
            try:
                model, tokenizer, splits = self.prepared()
            except UserError:
                with contextlib.suppress(OSError):  # it goes if it is empty
                    out.rmdir()
                raise
            if self.claim(out, hash_sources(model, splits["train"])):
                return None
            try:
                run = sft(model, tokenizer, splits, self.recipe, stop, watch, out / CHECKPOINTS)
            except Diverged as error:
                self.finish(error.run, tokenizer, out)
                raise
            self.finish(run, tokenizer, out)
            return run

    def claim(self, out: Path, made_from: Mapping) -> bool:
        """True where `out` holds this run complete; else make it ready for it. Refuse a folder that
        belongs to another run.
        """
        found, mine = (
            out / CHECKPOINTS,
            json.loads(json.dumps({**self.stated(), "hashes": made_from})),
        )
        begun = next(
            (file for file in (out / "run.json", found / "begun.json") if file.is_file()), None
        )
        if begun is None:
            if whole_checkpoints(found):
                raise UserError(
                    f"{found} holds checkpoints and no begun.json, so they are of no run of the kit; give another --out."
                )
            with explain_write_errors(out):
                found.mkdir(exist_ok=True)
                new = found / ".begun.json"
                new.write_text(
                    json.dumps({"experiment": self.stated(), "hashes": made_from}), encoding="utf-8"
                )
                new.replace(found / "begun.json")
            return False
        record = json.loads(begun.read_text(encoding="utf-8"))
        theirs = json.loads(
            json.dumps(
                {**self.from_dict(record["experiment"]).stated(), "hashes": record["hashes"]}
            )
        )
        if other := differences(theirs, mine):
            raise UserError(
                f"{out} holds another run ({'; '.join(other)}); give another --out, the same recipe, or remove that folder."
            )
        if begun.parent == found:
            sweep(found)
            return False
        self.tidy(out)
        if stopped := record.get("stopped"):
            raise UserError(f"{out} holds this run already, and it broke off: {stopped}")
        return True

    def finish(self, run: Run, tokenizer, out: Path) -> None:
        """Save, then remove the checkpoints."""
        with explain_write_errors(out / CHECKPOINTS):
            self.save(run, tokenizer, out)
        self.tidy(out)

    def tidy(self, out: Path) -> None:
        """Remove the checkpoints of a run that is done, and nothing else that may lie beside them."""
        found = out / CHECKPOINTS
        drop_checkpoints(found, but=set())
        sweep(found)
        with contextlib.suppress(OSError):
            (found / "begun.json").unlink(missing_ok=True)
            found.rmdir()

    def stated(self) -> dict:
        """The fields as JSON, the base named: the dial may point elsewhere tomorrow."""
        return {**dataclasses.asdict(self), "model": chosen_model(self.model)}

    def save(self, run: Run, tokenizer, out: str | Path, scores: Mapping | None = None) -> Path:
        """Write `run.json` and `adapter/` (or `model/` after full fine-tuning) into `out`, whole or
        not at all.
        """
        out = Path(out)
        record = {"experiment": self.stated(), **run.record(), "scores": scores or {}}
        with whole_or_nothing(out) as new:
            target = new / ("adapter" if lora.is_attached(run.model) else "model")
            run.model.save_pretrained(target)
            tokenizer.save_pretrained(target)
            (new / "run.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        return out


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
                f"{where} has the key {key!r}; the keys are {', '.join(known)}.{nearest(key, known)}"
            )


RECORDED = {
    "experiment": dict,
    "hashes": dict,
    "versions": dict,
    "steps": int,
    "losses": list,
    "validation": list,
}  # what a record must hold


def read_record(folder: str | Path) -> dict:
    """The run.json of a run folder; refused where there is none, where it is not JSON or where a
    key that makes it a record is missing.
    """
    file = Path(folder) / "run.json"
    if not file.is_file():
        raise UserError(
            f"{folder} holds no run.json; give the folder that `train --out` or `tour --out` wrote."
        )
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(
            f"{file} is not whole ({' '.join(str(error).split())}); copy it again, or train again from the recipe."
        ) from error
    for key, kind in RECORDED.items():
        value = known.get(key) if isinstance(known, Mapping) else None
        if not isinstance(value, kind) or (
            kind is list and not all(is_point(point) for point in value)
        ):
            raise UserError(
                f"{file} is no record of a run: {key!r} is missing or of another kind; copy it again, or train again."
            )
    return known


def is_point(point: object) -> bool:
    """True for a pair of numbers, such as a step and its loss; a loss may be NaN."""
    return (
        isinstance(point, Sequence)
        and len(point) == 2
        and all(isinstance(x, int | float) for x in point)
    )


def reopen(folder: str | Path) -> tuple[object, object, object]:
    """`(tuned, base, tokenizer)` of a run folder; base and tuned are two objects, loaded afresh."""
    folder = Path(folder)
    known = read_record(folder)
    experiment = Experiment.from_dict(known["experiment"])
    base, tokenizer = models.load(experiment.model, experiment.quant)
    was, now = known["hashes"]["base"], models.fingerprint(base)
    if was != now:
        raise UserError(
            f"{folder} was trained on another {experiment.model!r} ({was[:12]}…, here {now[:12]}…); give it the base it was trained on."
        )
    if experiment.lora is None:
        return models.load(folder / "model")[0], base, tokenizer
    return (
        lora.load(models.load(experiment.model, experiment.quant)[0], folder / "adapter").eval(),
        base,
        tokenizer,
    )
