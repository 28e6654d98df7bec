"""Files: where the kit's own are, and how to write one whole or not at all.

    data_path("tasks", "tickets")    a file that the kit ships
    whole_or_nothing(out)            a folder to write into, which takes its place when all is there
    write_whole(path, text)          the same for one text file
    write_rows(path, head, rows)     measurements, with what made them

So a run that is stopped leaves nothing behind that looks finished. Weights are read by
`models`, checkpoints of a training by `train`.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from .errors import UserError
from .versions import recorded_versions


def data_path(*parts: str) -> Path:
    """A file of the kit's own data: inside the installed package, or at the top of a checkout."""
    package = Path(__file__).parents[1]
    installed, checkout = package / "_assets", package.parent / "data"
    return (installed if installed.exists() else checkout).joinpath(*parts)


# How the name of a folder begins that is being written; a killed process may leave one behind.
HALF = ".ftkit-half-"


@contextmanager
def whole_or_nothing(out: Path) -> Iterator[Path]:
    """A new folder to write into: its content moves into `out` when the block ends.

    If the block fails, it vanishes. Folders in it replace those of the same name in `out`, and
    files move last, so that a run.json is there only when what it speaks of is. Raises UserError
    where `out` is a file.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.is_file():
        raise UserError(f"{out} is a file; give a folder to write into.")

    # On the same disk as `out`, where moving is only another name.
    beside = out if out.is_dir() else out.parent
    new = Path(tempfile.mkdtemp(prefix=HALF, dir=beside))
    try:
        yield new
        out.mkdir(exist_ok=True)
        for item in sorted(new.iterdir(), key=lambda item: (item.is_file(), item.name)):
            target = out / item.name
            if target.is_dir():
                shutil.rmtree(target)
            item.replace(target)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def write_whole(path: Path, text: str) -> None:
    """Write a text file under another name and move it into place: it is never half there."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


def write_rows(
    path: Path, head: Mapping, rows: Sequence[Mapping], tail: Mapping | None = None
) -> Path:
    """Write measurements as JSON, one row per line; the path.

    Before the rows stand `head` (the command that made them, say), the versions of the libraries,
    and `tail`. The folder is made, its parent has to be there.
    """
    before = json.dumps({**head, "versions": recorded_versions(), **(tail or {})})
    lines = ",\n".join(json.dumps(row) for row in rows)
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'{before[:-1]},\n"rows": [\n{lines}\n]}}\n', encoding="utf-8")
    return path
