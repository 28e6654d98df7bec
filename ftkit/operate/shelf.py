"""A version on disk: copied whole, sealed by hashes, held against them whenever it is read.

    place(source, shelf, facts)     a run or an adapter as the next folder vN, in one move
    read_sealed(file)               what a sealed JSON file says; refused where it was changed
    write_sealed(file, facts)       such a file, with the one before kept beside it
    check_files(folder, stated)     refuses a version whose files are not what was published
    hold(shelf)                     one writer at a time; a second one waits

A folder is named last, and by one move: a process that is killed before leaves a folder that has no
name, and the next writer sweeps it away. Pickles and links are refused by name. Whose versions
these are and which one is live is `registry`'s.
"""

import getpass
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .. import models
from ..core.errors import UserError, reason
from ..core.files import HALF, write_whole
from ..core.parsing import parse_json, read_text

VERSION = "version.json"  # inside the folder of a version: what was published, by whom and why
OF_A_RUN = ("adapter", "model", "run.json", "rows.json")  # of a run folder; the rest stays there
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
SEAL = "sha256"  # the key of a sealed file that holds the hash of all others
WAIT = 30.0  # seconds that a second writer waits for the first


@contextmanager
def hold(shelf: Path) -> Iterator[None]:
    """Write into a shelf alone: a second writer waits, and gives up after a while by a UserError.

    The lock ends with its process, however that ends; its empty file stays.
    """
    try:
        shelf.mkdir(parents=True, exist_ok=True)
        lock = FileLock(shelf / ".lock", timeout=WAIT)
        lock.acquire()
    except Timeout:
        raise UserError(
            f"another process has been writing into {shelf} for {WAIT:.0f} seconds; wait until it "
            "is done, and say it again."
        ) from None
    except OSError as error:
        raise cannot_write(shelf, error) from error
    try:
        yield
    except OSError as error:
        raise cannot_write(shelf, error) from error
    finally:
        lock.release()


def cannot_write(place: Path, error: OSError) -> UserError:
    """The sentence on a place that may not be written into, or a disk that is full."""
    return UserError(
        f"could not write into {place} ({error.strerror or reason(error)}): make room there, or "
        "give a registry that you may write into; what was published before is whole."
    )


def hash_file(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def seal(facts: Mapping[str, Any]) -> str:
    """SHA-256 of what a sealed file says, its seal left out."""
    rest = {name: value for name, value in facts.items() if name != SEAL}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def write_sealed(file: Path, facts: Mapping[str, Any]) -> None:
    """Write a JSON file with the hash of what it says; the one before is kept beside it."""
    if file.is_file():
        write_whole(before(file), file.read_text(encoding="utf-8"))
    sealed = {**json.loads(json.dumps(facts)), SEAL: seal(json.loads(json.dumps(facts)))}
    write_whole(file, json.dumps(sealed, indent=1) + "\n")


def before(file: Path) -> Path:
    """Where the sealed file before this one is kept."""
    return file.with_name(f"{file.stem}.before{file.suffix}")


def read_sealed(file: Path) -> dict[str, Any]:
    """What a sealed file says. Raises UserError for one that is torn, or was changed by hand."""
    cure = "put back a copy of it"
    if before(file).is_file():
        cure = f"put back the one before it, {before(file).name}, under its name"
    try:
        facts = parse_json(read_text(file), file)
    except UserError as error:
        raise UserError(f"{str(error).rstrip('.')}: it is torn; {cure}.") from error
    if not isinstance(facts, dict) or facts.get(SEAL) != seal(facts):
        raise UserError(
            f"{file} is not what the registry wrote, it is torn or was changed; {cure}."
        )
    return facts


def files_in(folder: Path) -> list[Path]:
    """Every file below a folder, by its path in it; a link is refused by name."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise UserError(f"{path} is a link, and what it leads to may change; copy the file.")
        if path.is_file():
            found.append(path.relative_to(folder))
    return found


def parts_of(source: Path) -> dict[str, Path]:
    """{place in the version: file} of a run folder or of an adapter folder.

    Raises UserError for a folder that is neither, without weights, or with a pickle among them.
    """
    if not source.is_dir():
        raise UserError(f"there is no folder {str(source)!r}; give that of a run or an adapter.")
    if (source / "run.json").is_file():
        parts = {str(file): source / file for file in files_in(source) if file.parts[0] in OF_A_RUN}
    elif (source / "adapter_config.json").is_file():
        parts = {str(Path("adapter", file)): source / file for file in files_in(source)}
    else:
        raise UserError(
            f"{source} holds neither run.json nor adapter_config.json, so it is no run and no "
            "adapter; give the folder that `train --out` or save_pretrained wrote."
        )
    check_parts(source, parts)
    return parts


def check_parts(source: Path, parts: Mapping[str, Path]) -> None:
    """Refuse what should not be published: pickles, and weights that are missing or torn."""
    if pickles := [path for path in parts.values() if path.suffix in PICKLES]:
        raise UserError(
            f"{pickles[0]} is a pickle, which can run code when it is opened; publish safetensors: "
            "model.save_pretrained(folder)."
        )
    weights = [path for path in parts.values() if path.suffix == ".safetensors"]
    if not weights:
        raise UserError(f"{source} holds no *.safetensors file, so there is nothing to publish.")
    for path in weights:
        models.check_safetensors(path)


def sweep(shelf: Path) -> None:
    """Remove what a killed process left half-written."""
    for left in shelf.glob(f"{HALF}*"):
        shutil.rmtree(left, ignore_errors=True)


def place(source: Path, shelf: Path, number: int, facts: Mapping[str, Any]) -> Path:
    """Copy a run or an adapter to the new folder vNUMBER of a shelf; the folder.

    It gets its name in one move, when all is there and sealed. Call it while the shelf is held.
    """
    parts = parts_of(source)
    new = Path(tempfile.mkdtemp(prefix=HALF, dir=shelf))
    try:
        new.chmod(0o755)
        for name, path in parts.items():
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, new / name)
        hashes = {name: hash_file(new / name) for name in parts}
        write_sealed(new / VERSION, {**facts, "files": hashes})
        folder = shelf / f"v{number}"
        new.rename(folder)
        return folder
    finally:
        shutil.rmtree(new, ignore_errors=True)


def content_of(hashes: Mapping[str, str]) -> str:
    """One hash for all files of a version: the same where every file is."""
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()


def check_files(folder: Path, stated: Mapping[str, str], whole: Sequence[str] = ()) -> None:
    """Refuse a version whose files are not those that were published.

    whole: other versions, to be named as the way out.
    """
    there = {str(file) for file in files_in(folder)} - {VERSION}
    changed = [
        (name, "is gone" if name not in there else "is not what was published")
        for name, was in stated.items()
        if name not in there or hash_file(folder / name) != was
    ]
    changed += [(name, "was not published") for name in sorted(there - set(stated))]
    if changed:
        name, what = changed[0]
        other = f"promote another version ({', '.join(whole)}), or " if whole else ""
        more = f", and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise UserError(
            f"{folder / name} {what}{more}, so {folder.name} is incomplete or changed; {other}put "
            "the file back from a copy."
        )


def sign(who: str | None, why: str) -> dict[str, str]:
    """Who did something, when (UTC) and why."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "who": who or user(),
        "why": why,
    }


def user() -> str:
    """Who is at work here, as the machine calls them."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without names
        return "unknown"
