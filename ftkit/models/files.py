"""A model's safetensors on disk: whole or refused, read tensor by tensor, told apart by hash.

    download(hub_id)          the folder of a hub model in the cache, whole and without a pickle
    check_safetensors(file)   refuses a truncated or corrupt file
    tensor_files(where)       which file holds which tensor; read_tensor and read_tensors read them
    stored_dtype(folder)      the dtype that it has on disk
    fingerprint(model)        which base this was: a SHA-256, or the commit of a hub model

Nothing here builds a model (`loading.py` does) or knows an adapter's files (`lora.load` does).
Taught in notebook 01, which reads single matrices, and 13, which holds a merge to its base.
"""

import hashlib
import math
import struct
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError
from safetensors import SafetensorError, safe_open

from ..core.errors import UserError
from ..core.hub import call_hub
from ..core.parsing import parse_json, read_text

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

WANTED = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model")  # of a hub model
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
GENERATION = "generation_config.json"
STORED = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}  # as safetensors writes them
WHOLE_NUMBERS = ("BOOL", "I8", "U8", "I16", "U16", "I32", "U32", "I64", "U64")
HASH_BLOCK = 1 << 22  # bytes that are read at a time, so that no file has to fit into memory


def check_directory(folder: Path) -> None:
    """Refuse a folder that is no model, or whose weights are pickles, damaged or not all there.

    So is one that may not be read.
    """
    try:
        check_config(folder)
        check_weights(folder)
    except OSError as error:
        raise UserError(
            f"could not read {folder} ({error.strerror or error}); "
            "give a folder that you may read, or copy it again."
        ) from error


def check_config(folder: Path) -> None:
    """Refuse a folder without a config.json, with a damaged one, or with an adapter beside it."""
    file, adapter = folder / "config.json", folder / "adapter_config.json"
    if not file.is_file():
        cure = "give the folder that save_pretrained wrote"
        if adapter.is_file():
            cure = "it is an adapter: load its base, and lora.load puts the adapter on it"
        elif (folder / "run.json").is_file():
            cure = "it is a run: give train.reopen or the verbs its folder, or here its model/"
        raise UserError(f"{folder} holds no config.json, so it is not a model directory; {cure}.")
    if adapter.is_file():
        raise UserError(
            f"{folder} holds an adapter (adapter_config.json) beside the model, which transformers "
            "would put on unasked; move the adapter into a folder of its own."
        )
    for name in ("config.json", GENERATION):
        if (folder / name).exists() and not isinstance(read_json(folder / name), dict):
            raise UserError(f"{folder / name} is no configuration; copy or download it again.")

    # a checkpoint in four bits or so would be loaded as it is, whatever is asked for
    quantized = read_json(file).get("quantization_config")
    if quantized:
        method = quantized.get("quant_method") if isinstance(quantized, dict) else None
        raise UserError(
            f"{folder} is quantized already (its config says {method or 'quantization_config'}); "
            "give the model before it was quantized, and quant='nf4' or 'int8' here."
        )


def read_json(file: Path) -> Any:
    """What a JSON file of a model says; one that is damaged is a `UserError` with the cure."""
    try:
        return parse_json(read_text(file), file)
    except UserError as error:
        raise UserError(f"{str(error).rstrip('.')}; copy or download it again.") from error


def check_weights(folder: Path) -> None:
    """Refuse weights that are none, pickles, damaged, or in other files than their index says."""
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
        check_kinds(file)

    # one file, or several by an index: that is where transformers looks
    names = {file.name for file in weights}
    if (folder / INDEX).exists():
        check_index(folder / INDEX, names)
    elif WHOLE not in names:
        raise UserError(
            f"{folder} holds {', '.join(sorted(names)[:3])} and neither {WHOLE} nor {INDEX}; "
            "copy or download the rest of the model."
        )


def check_index(file: Path, names: Collection[str]) -> None:
    """Refuse an index that is none, or that names other files than those that are there."""
    index = read_json(file)
    held = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(held, dict) or not held:
        raise UserError(f"{file} holds no weight_map; copy or download it again.")
    needed = set(map(str, held.values()))
    if missing := sorted(needed - set(names)):
        raise UserError(
            f"{file} names {len(needed)} files, and {missing[0]} for one is not beside it; "
            "copy or download the rest of the model."
        )
    # transformers reads every tensor of every file, and of two with one name the last
    seen: dict[str, str] = {}
    for part in sorted(needed):
        for tensor in header(file.with_name(part)):
            if (other := seen.setdefault(tensor, part)) != part:
                raise UserError(
                    f"{file.parent} holds {tensor} twice, in {other} and in {part}; "
                    "copy or download the model again."
                )
    if WHOLE in names and WHOLE not in needed:
        raise UserError(
            f"{file.parent} holds a model in one file ({WHOLE}) and another in {len(needed)} files "
            f"by its index, and only one can be meant; remove {INDEX} or {WHOLE}."
        )


def check_kinds(file: Path) -> None:
    """Refuse weights that are whole numbers without their scales, and an adapter's among them.

    transformers would take the former for fractions, and pass over the latter.
    """
    for name, (dtype, _) in header(file).items():
        if dtype in WHOLE_NUMBERS and name.endswith("weight"):
            raise UserError(
                f"{file} holds {name} as {dtype}, so the model is quantized already, and its "
                "config.json does not say how; give the model before it was quantized."
            )
        if ".lora_" in name or ".base_layer." in name or ".modules_to_save." in name:
            raise UserError(
                f"{file} holds parts of an adapter beside the model ({name}); save the model "
                "after a merge (peft's merge_and_unload), or the adapter for itself "
                "(peft's save_pretrained)."
            )


def header(file: Path) -> dict[str, tuple[str, list[int]]]:
    """{tensor: (its dtype, its shape)} of a safetensors file, as it names them."""
    with safe_open(file, framework="pt") as opened:
        slices = {name: opened.get_slice(name) for name in opened.keys()}
        return {name: (each.get_dtype(), each.get_shape()) for name, each in slices.items()}


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


def download(hub_id: str, *, weights: bool = True) -> str:
    """The folder of a hub model in the hub client's cache: safetensors, configuration, tokenizer.

    weights: False leaves them out. A connection that breaks is taken up again where it broke; what
    does not arrive whole is refused, never loaded. Pickles are not fetched.
    """
    wanted = [pattern for pattern in WANTED if weights or pattern != "*.safetensors"]
    folder = call_hub(hub_id, "snapshot_download", allow_patterns=wanted, ignore_patterns=["*/*"])
    if weights:
        check_directory(Path(folder))
    return folder


def fingerprint(model: "PreTrainedModel") -> str:
    """Which base this is: SHA-256 of a folder's safetensors, or "hub commit …" of a hub model."""
    name = model.config._name_or_path
    noted = getattr(model.config, "_commit_hash", None)
    # loaded by its hub id, without the kit: older versions of transformers note the commit
    if noted and not Path(name).exists():
        return f"hub commit {noted}"
    return fingerprint_of(name) or "hub commit unknown"


def fingerprint_of(where: str) -> str | None:
    """`fingerprint` of the model in a folder or of a hub id, which is not loaded for it.

    None of a hub model that this machine's cache lacks.
    """
    folder = Path(where)
    # the hub client's cache names the folder of a model after its commit
    if folder.parent.name == "snapshots":
        return f"hub commit {folder.name}"
    return hash_weights(folder) if folder.is_dir() else hub_commit(where)


def hub_commit(hub_id: str) -> str | None:
    """A hub model's commit as `fingerprint` states it; None if it is not in this machine's cache.

    Only the cache is looked at: nothing is downloaded.
    """
    config = cached_config(hub_id)
    # the cache keeps a model's files in a folder that is named after its commit
    return f"hub commit {config.parent.name}" if config else None


def cached_config(hub_id: str) -> Path | None:
    """A hub model's config.json in this machine's cache; None where it is not."""
    try:
        config = try_to_load_from_cache(hub_id, "config.json")
    except HFValidationError:  # no hub id at all
        return None
    return Path(config) if isinstance(config, str) else None


def hash_weights(folder: Path) -> str:
    """SHA-256 of a folder's safetensors, in the order of their names."""
    sha = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as stream:
            while block := stream.read(HASH_BLOCK):
                sha.update(block)
    return sha.hexdigest()


def stored_dtype(folder: Path) -> str | None:
    """The dtype that most numbers of a folder's safetensors have: "bfloat16"; None for others."""
    sizes: Counter[str] = Counter()
    for file in sorted(folder.glob("*.safetensors")):
        for dtype, shape in header(file).values():
            sizes[dtype] += math.prod(shape)
    most = sizes.most_common(1)
    return STORED.get(most[0][0]) if most else None


def tensor_files(where: str) -> dict[str, str]:
    """{name of a tensor: the safetensors file that holds it}, from the files' headers alone.

    where: a folder or a hub id, as `loading.resolve` gives it.
    """
    if not Path(where).is_dir():
        return call_hub(where, "get_safetensors_metadata").weight_map
    holder: dict[str, str] = {}
    for file in sorted(Path(where).glob("*.safetensors")):
        holder.update(dict.fromkeys(header(file), file.name))
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
