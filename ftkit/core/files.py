"""TODO header of core.files."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import UserError
from .versions import recorded_versions


def data_path(*parts: str) -> Path:
    """A file of the kit's own data: inside the installed package, or at the top of a checkout."""
    inside = Path(__file__).parents[1] / "_assets"
    return (inside if inside.exists() else Path(__file__).parents[2] / "data").joinpath(*parts)


@contextmanager
def whole_or_nothing(out: Path) -> Iterator[Path]:
    """A folder in or beside `out` to write into; what it holds moves into `out` when the block
    ends, and vanishes if the block fails.

    Files move last: a record is there when what it records is.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.is_file():
        raise UserError(f"{out} is a file; give a folder to write into.")
    new = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out if out.is_dir() else out.parent))
    try:
        yield new
        out.mkdir(exist_ok=True)
        for item in sorted(new.iterdir(), key=Path.is_file):
            target = out / item.name
            if target.is_dir():
                shutil.rmtree(target)
            item.replace(target)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def write_whole(path: Path, text: str) -> None:
    """Write a text file under another name and move it into place, so that it is never half there."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


def write_rows(path: Path, head: dict, rows: list[dict], tail: dict | None = None) -> Path:
    """Write a file of measurements: what made it, with which versions, and one row a line."""
    head = {**head, "versions": recorded_versions(), **(tail or {})}
    path.parent.mkdir(exist_ok=True)
    lines = ",\n".join(json.dumps(row) for row in rows)
    path.write_text(f'{json.dumps(head)[:-1]},\n"rows": [\n{lines}\n]}}\n', encoding="utf-8")
    return path
