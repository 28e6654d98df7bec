"""A run as another program takes it: written whole, and proven to be the same model.

    export(run, to, out, …)    an `Export`: the files, what was proved of them, what to know
    read_record(folder)        the export.json of an earlier export; {} where there is none

What each target writes stands in `serving`, `packing`, `recipes` and `rows`; the list of them in
`catalogue`. An export is written beside its place and moved there when all is proved: it is whole
or not there. Shown by `python -m ftkit export`; notebook 13.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import train
from ..core.errors import UserError, is_whole, nearest
from ..core.files import HALF, whole_or_nothing
from ..core.parsing import parse_json, read_text
from ..core.results import Result, TableParts, decimal_bytes
from ..core.versions import recorded_versions
from . import packing, recipes, rows, serving
from .catalogue import PROMPTS, Target, find_target
from .opened import Opened, Proof, Told, Wish

RECORD = "export.json"
Writer = Callable[[Opened, Path, Wish], Told]
WRITERS: dict[str, Writer] = {
    "gguf": serving.write_gguf,
    "transformers": serving.write_transformers,
    "torchao": packing.write_torchao,
    "ollama": serving.write_ollama,
    "vllm": serving.write_vllm,
    "tgi": serving.write_tgi,
    "awq": packing.write_awq,
    "gptq": packing.write_gptq,
    "trl": recipes.write_trl,
    "unsloth": recipes.write_unsloth,
    "axolotl": recipes.write_axolotl,
    "llama-factory": recipes.write_llama_factory,
    "torchtune": recipes.write_torchtune,
    "openai": rows.write_openai,
    "together": rows.write_together,
    "bedrock": rows.write_bedrock,
    "vertex": rows.write_vertex,
}


@dataclass(frozen=True, repr=False)
class Export(Result):
    """What was written, and what was proved of it."""

    target: str
    folder: Path
    files: dict[str, int]  # name: bytes
    proofs: list[Proof]
    notes: list[str]
    left_out: list[str]

    def table(self) -> TableParts:
        """A line for each file, each proof and each note."""
        files = [(name, decimal_bytes(size)) for name, size in self.files.items()]
        proofs = [(one.what, f"{one.equal} of {one.of} equal, by {one.by}") for one in self.proofs]
        left = [("left out, as asked", ", ".join(self.left_out))] if self.left_out else []
        notes = [("to know", note) for note in self.notes]
        heads = ("what", "")
        return f"Exported to {self.target}", heads, [*files, *proofs, *left, *notes]

    def json(self) -> dict[str, Any]:
        """The same as JSON values."""
        proofs = [dataclasses.asdict(one) for one in self.proofs]
        return {
            "target": self.target, "folder": str(self.folder), "files": self.files,
            "proofs": proofs, "notes": self.notes, "left_out": self.left_out,
        }  # fmt: skip


def export(
    run: str | Path,
    to: str,
    out: str | Path,
    *,
    part: str | None = None,
    kind: str | None = None,
    prompts: int = PROMPTS,
    without: Sequence[str] = (),
) -> Export:
    """Write the run in folder `run` into the folder `out` as the target `to` takes it.

    part: "merged", "base" or "adapter", where a target can have several. kind: what a GGUF's
    weights are stored as (`gguf_files.KINDS`); of a merged folder its dtype. prompts: how many
    replies are compared at most, where the model runs here. without: what of the recipe may be
    left out, where a trainer has no word for it; whatever else it can't say is refused by name.

    `out` may be new, empty, or an earlier export that nobody changed. Raises `UserError`, and
    leaves nothing behind, for what can't be exported and where a proof fails.
    """
    target, out = find_target(to), Path(out)
    left = (without,) if isinstance(without, str) else tuple(without)
    wish = Wish(part or target.parts[0], kind, prompts, left)
    check_wish(to, target, wish)
    opened = Opened(run)
    check_place(out)
    earlier = read_record(out).get("files", {})
    with train.explain_write_errors(out), whole_or_nothing(out) as new:
        told = WRITERS[to](opened, new, wish)
        files = {str(file.relative_to(new)): file for file in sorted(new.rglob("*"))}
        stated = {name: describe(file) for name, file in files.items() if file.is_file()}
        sizes = {name: one["bytes"] for name, one in stated.items()}
        done = Export(to, out, sizes, told.proofs, told.notes, sorted(told.left_out))
        write_record(new, opened, wish, done, stated)
    for name in set(earlier) - set(stated):
        (out / name).unlink(missing_ok=True)
    return done


def check_wish(to: str, target: Target, wish: Wish) -> None:
    """Refuse what a target has not or would not heed, and prompts too few to prove anything."""
    if wish.part not in target.parts:
        raise UserError(
            f"{to} takes {' or '.join(target.parts)} of a run, not {wish.part!r}; give one of "
            f"them as part (--part).{nearest(wish.part, target.parts)}"
        )
    if wish.kind is not None and wish.part not in target.kinds:
        of = f" for the {wish.part}" if target.kinds else ""
        raise UserError(f"kind is {wish.kind!r}, and {to} takes none{of}; leave it out (--kind).")
    if wish.without and target.kind != "trainer":
        raise UserError(
            f"without is {','.join(wish.without)}, and an export to {to} states no recipe to leave "
            "that out of; leave out --without itself."
        )
    if not is_whole(wish.prompts) or not 1 <= wish.prompts <= 1000:
        raise UserError(f"prompts is {wish.prompts!r}; give a whole number from 1 to 1,000.")


def check_place(out: Path) -> None:
    """Refuse a folder that holds anything else than an export that nobody has changed."""
    cure = "give another --out"
    if out.is_file():
        raise UserError(f"{out} is a file; give a folder to write into.")
    if not out.is_dir() or not any(out.iterdir()):
        return
    record = read_record(out)
    if not record:
        found = min(file.name for file in out.iterdir())
        raise UserError(f"{out} holds what export did not write ({found}); {cure}.")
    if added := sorted(list_others(out, {RECORD, *record["files"]})):
        raise UserError(
            f"{out} holds what export did not write ({added[0]}); {cure}, or move that away."
        )
    for name, stated in record["files"].items():
        file = out / name
        if not file.is_file() or describe(file) != stated:
            raise UserError(f"{file} is not as export wrote it; {cure}, or remove that folder.")


def list_others(out: Path, own: Set[str]) -> Iterator[str]:
    """What lies in a folder, or in folders of it, beside these files."""
    for found in out.rglob("*"):
        name = str(found.relative_to(out))
        # what a killed export leaves behind is nobody's
        if (found.is_symlink() or not found.is_dir()) and not name.startswith(HALF):
            yield from {name} - own


def describe(file: Path) -> dict[str, Any]:
    """The size and SHA-256 of a file."""
    with file.open("rb") as opened:
        return {
            "bytes": file.stat().st_size,
            "sha256": hashlib.file_digest(opened, "sha256").hexdigest(),
        }


def write_record(
    new: Path, opened: Opened, wish: Wish, done: Export, files: Mapping[str, Any]
) -> None:
    """State beside the files what they are, what was proved, and which run they come from."""
    record = {
        **done.json(),
        "files": files,
        "run": str(opened.folder.resolve()),
        "part": wish.part,
        "kind": wish.kind,
        "hashes": opened.record["hashes"],
        "versions": recorded_versions(),
    }
    del record["folder"]
    (new / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def read_record(folder: str | Path) -> dict[str, Any]:
    """The export.json of a folder; {} where there is none, or it is something else."""
    file = Path(folder) / RECORD
    try:
        record = parse_json(read_text(file), file) if file.is_file() else {}
    except UserError as error:
        raise UserError(
            f"{str(error).rstrip('.')}; remove that folder, or give another."
        ) from error
    files = record.get("files") if isinstance(record, Mapping) else None
    inside = isinstance(files, Mapping) and all(
        isinstance(name, str) and not Path(name).is_absolute() and ".." not in Path(name).parts
        for name in files
    )
    return dict(record) if inside else {}
