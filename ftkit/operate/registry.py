"""Versions of an adapter: published, compared, promoted, rolled back, and signed by who and why.

    registry = Registry(folder)
    registry.publish(run, "tickets", why)         a `Version` with its hashes: v1, v2, …
    registry.promote("tickets", "v2", why)        from now on v2 is live
    registry.roll_back("tickets", why)            the one before is live again, to the bit
    registry.open("tickets")                      (tuned, tokenizer) of the live one
    registry.compare("tickets", "v1", "v2", rows) both on the same rows: `Compared`
    registry.history("tickets")                   who did what, when and why

Every reading holds all files against their hashes. How they lie on disk and survive a kill is
`shelf`'s; whether a new version may be promoted is asked by `retraining`. Notebook 15.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import data, evaluate, methods, models, train
from ..core.errors import UserError, nearest
from ..core.parsing import parse_json, read_text
from ..core.results import Result, Table, TableParts, decimal_bytes
from ..core.statistics import Difference, compare_answers
from . import shelf
from .shelf import VERSION

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LIVE = "live.json"  # beside the versions: which one is live, and what was done
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
NUMBER = re.compile(r"v([1-9][0-9]{0,5})")


@dataclass(frozen=True, repr=False)
class Version(Result):
    """One published version, as it was sealed."""

    name: str
    label: str  # "v1"
    folder: Path
    base: str  # the base's name
    base_hash: str  # its fingerprint at that time; "" where it was not at hand
    files: Mapping[str, str]  # {file: SHA-256}
    at: str
    who: str
    why: str

    @property
    def content(self) -> str:
        """One hash for all of its files."""
        return shelf.content_of(self.files)

    @property
    def bytes(self) -> int:
        """What its files hold together."""
        return sum((self.folder / name).stat().st_size for name in self.files)

    def table(self) -> TableParts:
        """What is known of it."""
        rows = [
            ("base", f"{self.base} ({self.base_hash[:12] or 'not known'})"),
            ("content", f"{len(self.files)} files, {self.content[:12]}"),
            ("published", f"{self.at} by {self.who}"),
            ("why", self.why),
        ]
        return f"{self.name} {self.label}", ("", ""), rows

    def json(self) -> dict:
        """The same in values."""
        named = ("name", "label", "base", "base_hash", "at", "who", "why")
        values = {key: getattr(self, key) for key in named}
        return {**values, "folder": str(self.folder), "content": self.content}


@dataclass(frozen=True, repr=False)
class Compared(Result):
    """Two versions on the same rows, which neither was trained on."""

    name: str
    labels: tuple[str, str]
    scores: "tuple[evaluate.Score, evaluate.Score]"
    difference: Difference  # the second less the first, of rows that are exactly right
    notes: Sequence[str] = ()

    def table(self) -> TableParts:
        """Both scores, and what may be said of their difference."""
        first, second = self.scores
        rows = [
            ("exact answer", first.task, second.task),
            ("strict format", first.format, second.format),
            ("second less first", "", self.difference.sentence),
            *(("note", "", note) for note in self.notes),
        ]
        return f"{self.name} on {self.difference.n} rows", ("", *self.labels), rows

    def json(self) -> dict:
        """The same in values."""
        found = self.difference
        return {
            "n": found.n,
            "exact": dict(
                zip(self.labels, (score.task.value for score in self.scores), strict=True)
            ),
            "change": found.change,
            "interval": found.interval,
            "p": found.p,
            "verdict": found.word,
            "notes": list(self.notes),
        }


class Registry:
    """A folder that keeps the versions of adapters, by name."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if self.folder.is_file():
            raise UserError(f"{self.folder} is a file; give a folder for the registry.")

    # what is there

    def names(self) -> list[str]:
        """Every name under which something was published."""
        if not self.folder.is_dir():
            return []
        found = (path for path in self.folder.iterdir() if NAME.fullmatch(path.name))
        return sorted(path.name for path in found if labels_in(path))

    def versions(self, name: str) -> list[Version]:
        """All versions of a name, from the first on; files are not read for it."""
        return [self.read(name, label) for label in labels_in(self.shelf_of(name))]

    def version(self, name: str, label: str | None = None) -> Version:
        """One version, every file held against its hash; by default the live one.

        Raises UserError for a name or version that there is not, for one that is torn or was
        changed, and where none is live.
        """
        shelf_of = self.shelf_of(name)
        label = label or self.live_label(name)
        labels = labels_in(shelf_of)
        if label not in labels:
            raise UserError(
                f"{name} has no version {label!r}; there are {', '.join(labels)}."
                f"{nearest(label, labels)}"
            )
        version = self.read(name, label)
        shelf.check_files(version.folder, version.files, [one for one in labels if one != label])
        return version

    def read(self, name: str, label: str) -> Version:
        """What is sealed of a version."""
        folder = self.shelf_of(name) / label
        facts = shelf.read_sealed(folder / VERSION)
        keys = ("base", "base_hash", "files", "at", "who", "why")
        return Version(name, label, folder, *(facts[key] for key in keys))

    def shelf_of(self, name: str) -> Path:
        """The folder of a name. Raises UserError for one under which nothing was published."""
        known = self.names()
        if name not in known:
            there = f"there are {', '.join(known)}" if known else "nothing was published yet"
            raise UserError(f"{self.folder} has no {name!r}; {there}.{nearest(name, known)}")
        return self.folder / name

    def live_label(self, name: str) -> str:
        """Which version is live. Raises UserError where none was promoted."""
        promoted = lives(self.log(name))
        if not promoted:
            labels = ", ".join(labels_in(self.shelf_of(name)))
            raise UserError(f"no version of {name} is live; promote one of {labels}.")
        return promoted[-1]

    def log(self, name: str) -> list[dict[str, str]]:
        """What was promoted and rolled back, from the first on."""
        file = self.shelf_of(name) / LIVE
        return shelf.read_sealed(file)["log"] if file.is_file() else []

    def history(self, name: str) -> Table:
        """Everything that was done with a name, by whom, when and why."""
        published = [
            {"did": "publish", "to": v.label, "at": v.at, "who": v.who, "why": v.why}
            for v in self.versions(name)
        ]
        done = sorted([*published, *self.log(name)], key=lambda one: one["at"])
        rows = [(one["at"], one["did"], one["to"], one["who"], one["why"]) for one in done]
        return Table(f"What was done with {name}", ("when", "what", "version", "who", "why"), rows)

    def listing(self) -> Table:
        """Every version of every name, and which is live. Raises UserError without a folder."""
        if not self.folder.is_dir():
            raise UserError(
                f"there is no registry {str(self.folder)!r}; give its folder, or publish something "
                "into it, which makes it."
            )
        rows = []
        for name in self.names():
            promoted = lives(self.log(name))
            for one in self.versions(name):
                mark = "live" if promoted and promoted[-1] == one.label else ""
                size = decimal_bytes(one.bytes)
                rows.append((name, one.label, mark, one.base, size, one.at, one.who, one.why))
        heads = ("name", "version", "", "base", "size", "published", "who", "why")
        return Table(f"The registry {self.folder}", heads, rows)

    # what is done

    def publish(
        self,
        source: str | Path,
        name: str,
        why: str = "",
        *,
        who: str | None = None,
        base: str | None = None,
    ) -> Version:
        """Copy a run folder or an adapter folder into the registry as the next version.

        What is there already, to the bit, stays the version that it is. base: of an adapter that
        does not name its own. All of it arrives or nothing does, however the process ends. Raises
        UserError for a run that broke off, for pickles, for weights that are torn, for a base that
        is gone or another than the run's, and for a name that cannot be a folder's everywhere.
        """
        if not isinstance(name, str) or not NAME.fullmatch(name) or NUMBER.fullmatch(name):
            raise UserError(
                f"name is {name!r}; give up to 64 small letters, digits, and - _ . between them, "
                "such as tickets."
            )
        source = Path(source)
        parts = shelf.parts_of(source)
        facts = {**base_of(source, base), **shelf.sign(who, why)}
        place = self.folder / name
        with shelf.hold(place):
            shelf.sweep(place)
            # the same content again is the same version: a command may be said twice
            content = shelf.content_of({part: shelf.hash_file(p) for part, p in parts.items()})
            labels = labels_in(place)
            for label in labels:
                if (known := self.read(name, label)).content == content:
                    return known
            number = 1 + max((number_of(label) for label in labels), default=0)
            folder = shelf.place(source, place, number, facts)
        return self.read(name, folder.name)

    def promote(self, name: str, label: str, why: str, *, who: str | None = None) -> Version:
        """Make a version the live one; it is held against its hashes and its base first."""
        version = self.version(name, label)
        check_base(version)
        self.note(name, "promote", label, why, who)
        return version

    def roll_back(
        self, name: str, why: str, *, to: str | None = None, who: str | None = None
    ) -> Version:
        """Make the version live that was so before the present one, or an earlier one (`to`).

        Its files are those that were published, to the bit, or it is refused.
        """
        promoted = lives(self.log(name))
        earlier = promoted[:-1]
        if not earlier:
            now = f"{promoted[-1]} is the first one" if promoted else "none is live"
            raise UserError(
                f"{name} has no version to go back to: {now}; promote another version instead."
            )
        to = to or earlier[-1]
        if to not in earlier:
            raise UserError(
                f"{name} cannot go back to {to!r}, which was not live before; before it were "
                f"{', '.join(dict.fromkeys(earlier))}.{nearest(to, earlier)}"
            )
        version = self.version(name, to)
        check_base(version)
        self.note(name, "roll back", to, why, who)
        return version

    def note(self, name: str, did: str, label: str, why: str, who: str | None) -> None:
        """Write down what was done; from that moment it is so."""
        if not isinstance(why, str) or not why.strip():
            raise UserError("why is empty; say in a few words why, for whoever reads the log.")
        place = self.shelf_of(name)
        with shelf.hold(place):
            entry = {"did": did, "to": label, **shelf.sign(who, why)}
            shelf.write_sealed(place / LIVE, {"log": [*self.log(name), entry]})

    def open(
        self, name: str, label: str | None = None
    ) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
        """`(tuned, tokenizer)` of a version, by default of the live one.

        Raises UserError where a file is not what was published, or the base is gone or another.
        """
        version = self.version(name, label)
        check_base(version)
        if (version.folder / "run.json").is_file():
            tuned, _, tokenizer = train.reopen(version.folder)
            return tuned, tokenizer
        model, tokenizer = models.load(version.base)
        tuned: Any = methods.load(model, version.folder / "adapter").eval()
        return tuned, tokenizer

    def compare(self, name: str, first: str, second: str, rows: "Dataset") -> Compared:
        """Two versions on the same rows, exactly right or not, paired (`core.compare_answers`).

        Rows that one of them was trained on, or validated with, are left out and said.
        """
        versions = [self.version(name, label) for label in (first, second)]
        notes: list[str] = []
        for version in versions:
            if (version.folder / "run.json").is_file():
                unseen = evaluate.keep_unseen(rows, version.folder)
                rows, notes = unseen.rows, [*notes, *unseen.notes]
        scores = []
        for version in versions:
            with asked_on_its_date(version):
                tuned, tokenizer = self.open(name, version.label)
                scores.append(evaluate.score(tuned, tokenizer, rows, version.label))
        one, other = scores
        difference = compare_answers(one.exact, other.exact)
        said = list(dict.fromkeys(notes))
        return Compared(name, (first, second), (one, other), difference, said)


@contextmanager
def asked_on_its_date(version: Version) -> Iterator[None]:
    """A chat template that writes the date writes the one that a run was trained on."""
    record = version.folder / "run.json"
    stated = train.read_record(version.folder)["experiment"] if record.is_file() else {}
    with data.on_date(stated.get("date")):
        yield


def number_of(label: str) -> int:
    """3 of "v3"; 0 of what is no version."""
    found = NUMBER.fullmatch(label)
    return int(found[1]) if found else 0


def labels_in(place: Path) -> list[str]:
    """The versions in a folder, in the order of their numbers."""
    if not place.is_dir():
        return []
    found = [path.name for path in place.iterdir() if number_of(path.name) and path.is_dir()]
    return sorted(found, key=number_of)


def lives(log: Sequence[Mapping[str, str]]) -> list[str]:
    """The versions that were live, the present one last; what was rolled back is gone from it."""
    stack: list[str] = []
    for entry in log:
        if entry["did"] == "roll back":
            while stack[-1:] != [entry["to"]]:
                stack.pop()
        elif stack[-1:] != [entry["to"]]:
            stack.append(entry["to"])
    return stack


def base_of(source: Path, base: str | None) -> dict[str, str]:
    """{"base": its name, "base_hash": which it is} of a run or an adapter folder.

    Raises UserError for a run that broke off, and for a base that is gone or no longer the run's.
    """
    if (source / "run.json").is_file():
        record = train.read_record(source)
        if record.get("stopped"):
            raise UserError(
                f"{source} holds a run that broke off: {str(record['stopped']).rstrip('.')}; train "
                "it again before it is published."
            )
        name, was = record["experiment"]["model"], record["hashes"].get("base", "")
        now = hash_of_base(name)
        if now and was != now:
            raise UserError(
                f"{source} was trained on another {name!r} ({was[:12]}…, here {now[:12]}…); "
                "publish it where its own base is."
            )
        return {"base": name, "base_hash": was}
    file = source / "adapter_config.json"
    stated = parse_json(read_text(file), file)
    name = base or (stated.get("base_model_name_or_path") if isinstance(stated, dict) else None)
    if not name:
        raise UserError(f"{source} does not name its base; give base, such as 'pocket'.")
    return {"base": str(name), "base_hash": hash_of_base(str(name))}


def hash_of_base(name: str) -> str:
    """Which base lies here under a name; "" of a hub model that this machine's cache lacks.

    Raises UserError for a folder that is gone.
    """
    where = models.resolve(name)
    if Path(where).is_dir():
        return models.hash_weights(Path(where))
    return models.hub_commit(where) or ""


def check_base(version: Version) -> None:
    """Refuse a version whose base is gone, or no longer what it was."""
    now = hash_of_base(version.base)
    if version.base_hash and now and version.base_hash != now:
        raise UserError(
            f"{version.name} {version.label} was made for another {version.base!r} "
            f"({version.base_hash[:12]}…, here {now[:12]}…); put its base back, or train and "
            "publish a version for this one."
        )
