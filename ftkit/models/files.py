"""A model's safetensors on disk: whole or refused, read tensor by tensor, told apart by hash.

    download(hub_id)          the folder of a hub model in the cache, whole and without a pickle
    check_safetensors(file)   refuses a truncated or corrupt file
    tensor_files(where)       which file holds which tensor; read_tensor and read_tensors read them
    fingerprint(model)        which base this was: a SHA-256, or the commit of a hub model

Nothing here builds a model (`loading.py` does) or knows an adapter's files (`lora.load` does).
Taught in notebook 01, which reads single matrices, and 13, which holds a merge to its base.
"""

import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError
from safetensors import SafetensorError, safe_open

from ..core.errors import UserError
from ..core.hub import call_hub

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

WANTED = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model")  # of a hub model
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
HASH_BLOCK = 1 << 22  # bytes that are read at a time, so that no file has to fit into memory


def check_directory(folder: Path) -> None:
    """Refuse a folder that is no model, or whose weights are pickles or damaged safetensors."""
    if not (folder / "config.json").exists():
        raise UserError(
            f"{folder} holds no config.json, so it is not a model directory; "
            "give the folder that save_pretrained wrote."
        )

    # no weights at all, or only in a form that can run code when it is opened
    weights = sorted(folder.glob("*.safetensors"))
    pickles = sorted(file.name for pattern in PICKLES for file in folder.glob(pattern))
    if not weights and pickles:
        raise UserError(
            f"{folder} holds its weights as a pickle ({pickles[0]}), which can run code when it is "
            "opened; convert it to safetensors where you trust it: model.save_pretrained(folder)."
        )
    if not weights:
        raise UserError(
            f"{folder} holds no *.safetensors file; give the folder that save_pretrained wrote."
        )

    for file in weights:
        check_safetensors(file)


def check_safetensors(file: Path) -> None:
    """Refuse a truncated or corrupt file: safetensors holds its header against its size."""
    try:
        with safe_open(file, framework="pt"):
            pass
    except (SafetensorError, OSError, ValueError, struct.error) as error:
        size = file.stat().st_size
        raise UserError(
            f"{file} is not a whole safetensors file ({size:,} bytes, {error}); "
            "copy or download it again."
        ) from error


def download(hub_id: str) -> str:
    """The folder of a hub model in the hub client's cache: safetensors, configuration, tokenizer.

    A connection that breaks is taken up again where it broke; what does not arrive whole is
    refused, never loaded. Pickles are not fetched.
    """
    folder = call_hub(
        hub_id, "snapshot_download", allow_patterns=list(WANTED), ignore_patterns=["*/*"]
    )
    check_directory(Path(folder))
    return folder


def fingerprint(model: "PreTrainedModel") -> str:
    """Which base this is: SHA-256 of a folder's safetensors, or "hub commit …" of a hub model."""
    name = model.config._name_or_path
    folder = Path(name)
    # the hub client's cache names the folder of a model after its commit
    if folder.parent.name == "snapshots":
        return f"hub commit {folder.name}"
    if folder.is_dir():
        return hash_weights(folder)

    # loaded by its hub id, without the kit: older versions of transformers note the commit
    if noted := getattr(model.config, "_commit_hash", None):
        return f"hub commit {noted}"
    return hub_commit(name) or "hub commit unknown"


def hub_commit(hub_id: str) -> str | None:
    """A hub model's commit as `fingerprint` states it; None if it is not in this machine's cache.

    Only the cache is looked at: nothing is downloaded.
    """
    try:
        config = try_to_load_from_cache(hub_id, "config.json")
    except HFValidationError:  # no hub id at all
        return None
    # the cache keeps a model's files in a folder that is named after its commit
    return f"hub commit {Path(config).parent.name}" if isinstance(config, str) else None


def hash_weights(folder: Path) -> str:
    """SHA-256 of a folder's safetensors, in the order of their names."""
    sha = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as stream:
            while block := stream.read(HASH_BLOCK):
                sha.update(block)
    return sha.hexdigest()


def tensor_files(where: str) -> dict[str, str]:
    """{name of a tensor: the safetensors file that holds it}, from the files' headers alone.

    where: a folder or a hub id, as `loading.resolve` gives it.
    """
    if not Path(where).is_dir():
        return call_hub(where, "get_safetensors_metadata").weight_map
    holder: dict[str, str] = {}
    for file in sorted(Path(where).glob("*.safetensors")):
        with safe_open(file, framework="pt") as opened:
            holder.update(dict.fromkeys(opened.keys(), file.name))
    return holder


def read_tensors(file: Path) -> Iterator[tuple[str, "torch.Tensor"]]:
    """(name, tensor) of a safetensors file, one at a time: no more than one is in memory."""
    with safe_open(file, framework="pt") as opened:
        for name in opened.keys():
            yield name, opened.get_tensor(name)


def read_tensor(where: str, name: str, file: str) -> "torch.Tensor":
    """One tensor of a model, out of the file that `tensor_files` names for it.

    Of a hub model that one file is downloaded, once.
    """
    if Path(where).is_dir():
        path = Path(where, file)
    else:
        path = Path(call_hub(where, "hf_hub_download", file))
    check_safetensors(path)
    with safe_open(path, framework="pt") as opened:
        return opened.get_tensor(name)
