"""Versions of an adapter: published, compared, promoted, rolled back, and signed by who and why.

    registry = Registry(folder)
    registry.publish(run, "tickets", why)         a `Version` with its hashes: v1, v2, …
    registry.promote("tickets", "v2", why)        from now on v2 is live
    registry.roll_back("tickets", why)            the one before is live again, to the bit
    registry.open("tickets")                      (tuned, tokenizer) of the live one
    registry.compare("tickets", "v1", "v2", rows) both on the same rows: `Compared`
    registry.history("tickets")                   who did what, when and why

Every reading holds all files against their hashes. How they lie on disk and survive a kill is
`shelf`'s, which base they are for `bases`'s; whether a new version may be promoted is asked by
`retraining`. Notebook 15.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import data, evaluate, lora, methods, models, train
from ..core.errors import UserError, nearest
from ..core.parsing import shown
from ..core.results import Result, Table, TableParts, decimal_bytes
from ..core.statistics import Difference, compare_answers
from . import bases, shelf
from .shelf import VERSION

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LIVE = "live.json"  # beside the versions: which one is live, and what was done
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
BREAKS = ("Cc", "Zl", "Zp")  # what Unicode calls line breaks, tabs and other control signs
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
    def is_run(self) -> bool:
        """Whether it is a run with its record, or an adapter alone."""
        return (self.folder / "run.json").is_file()

    @property
    def content(self) -> str:
        """One hash for all of its files."""
        return shelf.content_of(self.files)

    @property
    def is_there(self) -> bool:
        """Whether each of its files is there; what they hold is not read."""
        return all((self.folder / name).is_file() for name in self.files)

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
            ("why", in_one_line(self.why)),
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
        label = self.live_label(name) if label is None else label
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
        rows = [
            (one["at"], one["did"], one["to"], *map(in_one_line, (one["who"], one["why"])))
            for one in done
        ]
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
                size = decimal_bytes(one.bytes) if one.is_there else "a file is gone"
                signed = (one.at, in_one_line(one.who), in_one_line(one.why))
                rows.append((name, one.label, mark, one.base, size, *signed))
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
        does not name its own, or names it by a place that is gone. All of it arrives or nothing
        does, however the process ends. Raises UserError for a run that broke off, for pickles, for
        weights that are torn, for a base that is gone, another than the trained one, or one that
        the adapter does not fit, and for a name that cannot be a folder's everywhere.
        """
        check_name(name)
        check_line("why", why)
        check_line("who", who)
        source = Path(source)
        parts = shelf.parts_of(source)
        facts = {**bases.base_of(source, base), **shelf.sign(who, why)}
        bases.check_fit(source, facts["base"])
        place = self.folder / name
        with shelf.hold(place):
            shelf.sweep(place)
            # the same content again is the same version: a command may be said twice
            content = shelf.content_of({part: shelf.hash_file(p) for part, p in parts.items()})
            labels = labels_in(place)
            for label in labels:
                known = self.read(name, label)
                if known.content == content and known.base == facts["base"]:
                    check_base(known)
                    shelf.check_files(known.folder, known.files)
                    return known
            number = 1 + max((number_of(label) for label in labels), default=0)
            folder = shelf.place(source, place, number, facts)
        return self.read(name, folder.name)

    def promote(
        self,
        name: str,
        label: str,
        why: str,
        *,
        who: str | None = None,
        against: str | None = None,
    ) -> Version:
        """Make a version the live one; it is held against its hashes and its base first.

        against: the version that it was held against, and that it is to take the place of. Raises
        UserError where another one is live by now, and for what `version` refuses.
        """
        check_why(why)
        check_line("who", who)
        with shelf.hold(self.shelf_of(name)):
            version = self.version(name, label)
            check_base(version)
            live = lives(self.log(name))[-1:]
            if against is not None and live != [against]:
                raise UserError(
                    f"{label} was held against {against}, and live is {live[0] if live else 'none'}"
                    f" by now; compare {label} with what is live, and promote it then."
                )
            self.note(name, "promote", label, why, who)
        return version

    def roll_back(
        self, name: str, why: str, *, to: str | None = None, who: str | None = None
    ) -> Version:
        """Make the version live that was so before the present one, or an earlier one (`to`).

        Its files are those that were published, to the bit, or it is refused. Of two who go back
        at once the second is told what the first did: nobody goes back twice unawares.
        """
        check_why(why)
        check_line("who", who)
        seen = self.log(name)
        with shelf.hold(self.shelf_of(name)):
            log = self.log(name)
            if log != seen:
                raise UserError(
                    f"{name} was changed while this waited: {log[-1]['did']} to {log[-1]['to']} by "
                    f"{log[-1]['who']} ({log[-1]['why']}); say it again if it is still wanted."
                )
            to = earlier_one(name, lives(log), to)
            version = self.version(name, to)
            check_base(version)
            self.note(name, "roll back", to, why, who)
        return version

    def note(self, name: str, did: str, label: str, why: str, who: str | None) -> None:
        """Write down what was done, while the shelf is held; from that moment it is so."""
        entry = {"did": did, "to": label, **shelf.sign(who, why)}
        shelf.write_sealed(self.shelf_of(name) / LIVE, {"log": [*self.log(name), entry]})

    def open(
        self, name: str, label: str | None = None
    ) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
        """`(tuned, tokenizer)` of a version, by default of the live one.

        tokenizer: the one that was published with it, template and all; the base's where none was.
        Raises UserError where a file is not what was published, or the base is gone or another.
        """
        version = self.version(name, label)
        check_base(version)
        if version.is_run:
            tuned, _, tokenizer = train.reopen(version.folder)
        else:
            model, tokenizer = models.load(version.base)
            check_base(version, models.fingerprint(model))
            tuned: Any = methods.load(model, version.folder / "adapter").eval()
        return tuned, bases.own_tokenizer(version.folder) or tokenizer

    def compare(self, name: str, first: str, second: str, rows: "Dataset") -> Compared:
        """Two versions on the same rows, exactly right or not, paired (`core.compare_answers`).

        Rows that one of them was trained on, or validated with, are left out and said.
        """
        versions = [self.version(name, label) for label in (first, second)]
        notes: list[str] = []
        for version in versions:
            if not version.is_run:
                notes.append(f"{version.label} has no record, so it may have seen these rows")
                continue
            unseen = evaluate.keep_unseen(rows, version.folder, option="")
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
    stated = train.read_record(version.folder)["experiment"] if version.is_run else {}
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


def earlier_one(name: str, promoted: Sequence[str], to: str | None) -> str:
    """The version to go back to. promoted: as `lives` gives them. Raises UserError for none."""
    earlier = promoted[:-1]
    if not earlier:
        now = f"{promoted[-1]} is the first one" if promoted else "none is live"
        raise UserError(
            f"{name} has no version to go back to: {now}; promote another version instead."
        )
    to = earlier[-1] if to is None else to
    if to not in earlier or to == promoted[-1]:
        why = "is live now" if to == promoted[-1] else "was not live before"
        raise UserError(
            f"{name} cannot go back to {to!r}, which {why}; before it were "
            f"{', '.join(dict.fromkeys(earlier))}.{nearest(to, earlier)}"
        )
    return to


def check_name(name: object) -> None:
    """Refuse a name that cannot be a folder's everywhere, or is a version's."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise UserError(
            f"name is {name!r}; give up to 64 small letters, digits, and - _ . between them, "
            "such as tickets."
        )
    if NUMBER.fullmatch(name):
        raise UserError(
            f"name is {name!r}, as versions are called; give what it is a version of, such as "
            "tickets."
        )


def check_why(why: object) -> None:
    """Refuse to do something without a reason."""
    if not isinstance(why, str) or not why.strip():
        raise UserError("why is empty; say in a few words why, for whoever reads the log.")
    check_line("why", why)


def check_line(name: str, text: object) -> None:
    """Refuse a text that would break the line of a table; None is none."""
    if text is None:
        return
    if not isinstance(text, str) or any(unicodedata.category(sign) in BREAKS for sign in text):
        raise UserError(f"{name} is {shown(text)}; give one line of text, without tabs.")


def in_one_line(text: str) -> str:
    """A text as a table can hold it: older kits took some of several lines."""
    return " ".join(text.split())


def check_base(version: Version, now: str | None = None) -> None:
    """Refuse a version whose base is gone, or no longer what it was."""
    now = bases.hash_of_base(version.base) if now is None else now
    if lora.is_another(version.base_hash, now):
        raise UserError(
            f"{version.name} {version.label} was made for another {version.base!r} "
            f"({version.base_hash[:12]}…, here {now[:12]}…); put its base back, or train and "
            "publish a version for this one."
        )
