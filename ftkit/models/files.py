"""TODO header of models.files."""

import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path

from ..core.errors import UserError
from ..core.hub import call_hub

WANTED = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model")  # of a hub model
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def check_directory(folder: Path) -> None:
    """Refuse a directory that is not a model, holds pickles instead of safetensors, or damaged
    safetensors.
    """
    if not (folder / "config.json").exists():
        raise UserError(
            f"{folder} holds no config.json, so it is not a model directory; give the folder that save_pretrained wrote."
        )
    tensors = sorted(folder.glob("*.safetensors"))
    pickles = sorted(p.name for pattern in PICKLES for p in folder.glob(pattern))
    if not tensors and pickles:
        raise UserError(
            f"{folder} holds its weights as a pickle ({pickles[0]}), which can run code when it is opened; "
            "convert it to safetensors where you trust it: model.save_pretrained(folder)."
        )
    if not tensors:
        raise UserError(
            f"{folder} holds no *.safetensors file; give the folder that save_pretrained wrote."
        )
    for file in tensors:
        check_safetensors(file)


def check_safetensors(file: Path) -> None:
    """Refuse a truncated or corrupt file: open it, and hold its header against its size."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt"):
            pass
    except (SafetensorError, OSError, ValueError, struct.error) as error:
        size = file.stat().st_size
        raise UserError(
            f"{file} is not a whole safetensors file ({size:,} bytes, {error}); copy or download it again."
        ) from error


def download(hub_id: str) -> str:
    """The directory of a hub model in the hub client's cache, whole: safetensors, configuration and
    tokenizer, and no pickle.

    A connection that breaks is taken up again where it broke; what does not arrive whole is
    refused, never loaded.
    """
    folder = call_hub(
        hub_id, "snapshot_download", allow_patterns=list(WANTED), ignore_patterns=["*/*"]
    )
    check_directory(Path(folder))
    return folder


def fingerprint(model) -> str:
    """What the base was: SHA-256 of a local directory's safetensors, or the commit of a hub model."""
    folder = Path(model.config._name_or_path)
    if (
        folder.parent.name == "snapshots"
    ):  # the hub client's cache, where a folder is named after its commit
        return f"hub commit {folder.name}"
    if not folder.is_dir():  # loaded by its id, without the kit
        return f"hub commit {getattr(model.config, '_commit_hash', None) or 'unknown'}"
    return fingerprint_of(folder)


def fingerprint_of(folder: Path) -> str:
    """SHA-256 of a directory's safetensors, in the order of their names."""
    sha = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as stream:
            while block := stream.read(1 << 22):
                sha.update(block)
    return sha.hexdigest()


def tensor_names(where: str) -> dict[str, str]:
    """Every tensor of a model by name, with the safetensors file that holds it; `where` comes from
    `resolve`. Reads headers only.
    """
    from safetensors import safe_open

    if not Path(where).is_dir():
        return call_hub(where, "get_safetensors_metadata").weight_map
    found = {}
    for file in sorted(Path(where).glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            found.update(dict.fromkeys(tensors.keys(), file.name))
    return found


def tensors(file: Path) -> Iterator[tuple]:
    """(name, tensor) of a safetensors file, one at a time, so that no more than one is in memory."""
    from safetensors import safe_open

    with safe_open(file, framework="pt") as held:
        for name in held.keys():
            yield name, held.get_tensor(name)


def tensor(where: str, name: str, file: str):
    """One tensor out of the safetensors file `file` of a model; of a hub model this one file is
    downloaded, once.
    """
    from safetensors import safe_open

    path = (
        Path(where, file)
        if Path(where).is_dir()
        else Path(call_hub(where, "hf_hub_download", file))
    )
    check_safetensors(path)
    with safe_open(path, framework="pt") as tensors:
        return tensors.get_tensor(name)
