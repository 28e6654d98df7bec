"""An adapter that was saved, before anything is loaded: its files, and what its config promises.

    find_files(folder)                      its configuration and its weights
    read_config(file, known)                the configuration: a kind that the kit can honour
    read_shapes(file)                       {tensor: its shape}, from the header alone
    check_tensors(file, promised, config)   every tensor that is promised, and no other
    check_finite(file)                      no NaN, nothing infinite
    check_origin(folder, stated, here, …)   refuses another base, by its record or its weights
    is_another(was, now)                    whether two fingerprints are of two bases

Everything is asked of the files, so that a model is as it was when one is refused. It imports no
peft: what a configuration promises on a base, and the loading, are `by_peft`'s. Notebook 13.
"""

import re
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from packaging.version import InvalidVersion, Version
from safetensors import safe_open

from .. import models
from ..core.errors import UserError, is_number, is_whole, nearest
from ..core.parsing import parse_json, read_text, shown
from ..core.versions import version_of

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
AGAIN = "copy or download the adapter again"
SAVE = "save it again by peft's save_pretrained(folder)"

# The kinds of adapters that the kit reads, as peft calls them; BOTTLENECK is the kit's own.
KINDS = (
    "LORA", "ADALORA", "VERA", "OFT", "IA3", "LN_TUNING", "PROMPT_TUNING", "PREFIX_TUNING",
    "P_TUNING", "BOTTLENECK",
)  # fmt: skip
# What the base was made to lose at the start of training, so that A and B could begin with it.
BEGUN_FROM_BASE = ("pissa", "olora", "loftq", "corda", "lora_ga")
# What wrappers of training programs leave in names, and peft's own name of an adapter.
WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "default")

Shapes = Mapping[str, tuple[int, ...]]
# A file of weights as it lies there: (path, bytes, time of its last change).
Stamp = tuple[str, int, int]


def find_files(folder: Path) -> tuple[Path, Path]:
    """(the configuration, the weights) of the adapter in a folder; refused where one is missing."""
    config, weights = folder / CONFIG, folder / WEIGHTS
    if not config.is_file():
        inside = sorted(file.parent.name for file in folder.glob(f"*/{CONFIG}"))
        cure = "give the adapter folder of a run, such as out/adapter"
        if inside:
            cure = f"it holds {', '.join(inside)}: give one of them, such as {folder / inside[0]}"
        raise UserError(f"{folder} holds no {CONFIG}; {cure}.")
    if weights.is_file():
        return config, weights

    # the weights are missing, or there in another form
    parts = sorted(file.name for file in folder.glob("adapter_model*"))
    pickles = [name for name in parts if not name.endswith((".safetensors", ".json"))]
    found, cure = "", f"{SAVE}, which writes {WEIGHTS}"
    if pickles:
        found = f" but {pickles[0]}, a pickle, which can run code when it is opened"
        cure = f"where you trust it, load it by peft once and {SAVE}"
    elif parts:
        found = f" but {len(parts)} other files of it ({parts[0]}, …)"
    raise UserError(
        f"{folder} holds no {WEIGHTS}{found}; adapters are read from safetensors only: {cure}."
    )


def read_config(file: Path, known_of: Callable[[str], Mapping[str, object]]) -> dict[str, Any]:
    """What an adapter_config.json states, if it is of a kind that the kit can honour.

    known_of: of a kind, the keys that the installed peft has for it, and what it takes where they
    are not stated. What one of another version, or another program, states beside them would be
    passed over, so it is refused unless it says nothing (null, false, 0, empty).
    """
    try:
        config = parse_json(read_text(file), file)
    except UserError as error:
        raise UserError(f"{str(error).rstrip('.')}; {AGAIN}.") from error
    if not isinstance(config, dict) or "peft_type" not in config:
        raise UserError(
            f"{file} states no peft_type, so it is no adapter of peft's; "
            "give the adapter folder of a run, such as out/adapter."
        )
    check_kind(file, config)
    check_parts(file, config)
    if config["peft_type"] == "LORA":
        check_scale(file, config)
    known = known_of(config["peft_type"])
    check_switches(file, config, known)
    check_experts(file, config)

    # keys of a newer peft
    wrote = config.get("peft_version") or "another version or program"
    for key, value in config.items():
        if value and key not in known:
            raise UserError(
                f"{file} states {key} = {shown(value)}, which this peft, {version_of('peft')}, "
                f"does not know (it was written by {wrote}): install the peft that wrote it, or "
                f"take the line out if it concerned the training alone.{nearest(key, known)}"
            )
    return config


def check_kind(file: Path, config: Mapping[str, Any]) -> None:
    """Refuse what is of no known kind, or not for a language model on its untouched base."""
    kind, task, start = (config.get(key) for key in ("peft_type", "task_type", "init_lora_weights"))
    if kind not in KINDS:
        raise UserError(
            f"{file} is an adapter of the kind {shown(kind)}, and the kit reads "
            f"{', '.join(KINDS)}; load it by peft itself: PeftModel.from_pretrained(model, folder)."
        )
    if task not in (None, "CAUSAL_LM"):
        raise UserError(
            f"{file} was trained for the task {shown(task)}, and a language model needs CAUSAL_LM; "
            "give an adapter that was trained to write text."
        )

    # on another base than the one whose name it bears
    if is_begun_from_base(start):
        raise UserError(
            f"{file} states init_lora_weights = {start!r}: such a run takes the start of A and B "
            "out of the base, so the adapter does not fit the base as it was published; save it "
            "as an ordinary LoRA where it was trained: peft's save_pretrained(folder, "
            "path_initial_model_for_weight_conversion=START)."
        )
    if config.get("layer_replication"):
        raise UserError(
            f"{file} states layer_replication, which makes another base, of more layers; "
            "load it by peft itself: PeftModel.from_pretrained(model, folder)."
        )


def check_parts(file: Path, config: Mapping[str, Any]) -> None:
    """Refuse an adapter that is on in a part of the text alone, and parts that are no tables."""
    if (tokens := config.get("alora_invocation_tokens")) is not None:
        raise UserError(
            f"{file} states alora_invocation_tokens = {shown(tokens)}: such an adapter is on "
            "behind these tokens alone, and the kit has adapters that are on everywhere; load it "
            "by peft itself: PeftModel.from_pretrained(model, folder)."
        )
    for key, value in config.items():
        if key.endswith("_config") and not isinstance(value, dict | None):
            raise UserError(f"{file} states {key} = {shown(value)}, which is no table; {AGAIN}.")


def check_switches(file: Path, config: Mapping[str, Any], known: Mapping[str, object]) -> None:
    """Refuse a switch that is neither on nor off: to peft the text "false" is on."""
    for key, value in config.items():
        if isinstance(known.get(key), bool) and key != "init_lora_weights":
            if not isinstance(value, bool | None):
                raise UserError(
                    f"{file} states {key} = {shown(value)}; it is true or false, without quotation "
                    "marks."
                )


def check_experts(file: Path, config: Mapping[str, Any]) -> None:
    """Refuse factors of experts from a peft that laid them out the other way round.

    Since 0.19 A has the inputs of an expert's matrix and B its outputs (peft 2521); where the two
    are equally many, the old ones would fit and mean something else.
    """
    wrote = str(config.get("peft_version") or "0").partition("@")[0]
    names = config.get("target_parameters")
    if not isinstance(names, list) or not any("expert" in str(name) for name in names):
        return
    try:
        old = Version(wrote) < Version("0.19")
    except InvalidVersion:
        old = True
    if old:
        raise UserError(
            f"{file} updates experts ({names[0]}) and was not written by peft 0.19 or later, which "
            "lays out A and B the other way round; merge it by the peft that wrote it, or train "
            "again."
        )


def is_begun_from_base(start: object) -> bool:
    """Whether `init_lora_weights` is a way to begin that changes the base: "pissa_niter_4" is."""
    return isinstance(start, str) and start.partition("_niter")[0] in BEGUN_FROM_BASE


def check_scale(file: Path, config: Mapping[str, Any]) -> None:
    """Refuse a rank or an alpha that no LoRA can have."""
    ranks, alphas = (config.get(key) or {} for key in ("rank_pattern", "alpha_pattern"))
    for name, pattern in (("rank_pattern", ranks), ("alpha_pattern", alphas)):
        if not isinstance(pattern, dict):
            raise UserError(f"{file} states {name} = {shown(pattern)}, which is no table; {AGAIN}.")
    for place, rank in (("r", config.get("r", 8)), *ranks.items()):
        if not is_whole(rank) or rank < 1:
            raise UserError(
                f"{file} states the rank {shown(rank)} ({place}); "
                f"a LoRA has a whole one from 1 on: {AGAIN}."
            )
    for place, alpha in (("lora_alpha", config.get("lora_alpha", 8)), *alphas.items()):
        if not is_number(alpha) or not alpha:
            raise UserError(
                f"{file} states the alpha {shown(alpha)} ({place}); a LoRA, whose update is scaled "
                f"by alpha / r, has a number other than 0: {AGAIN}."
            )


def read_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """{tensor: its shape} of a safetensors file, from its header alone."""
    with safe_open(file, framework="pt") as opened:
        return {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}


def check_finite(file: Path) -> None:
    """Refuse weights with NaN or infinite values, and such as are no fractions."""
    for name, tensor in models.read_tensors(file):
        if not tensor.is_floating_point():
            raise UserError(
                f"{file} holds {models.plain_name(name)} as {tensor.dtype}, and weights are "
                f"fractions; {SAVE}."
            )
        # torch asks it of no number of 8 bits
        if broken := int((~tensor.double().isfinite()).sum()):
            raise UserError(
                f"{file} holds {broken:,} NaN or infinite values in {models.plain_name(name)}; "
                f"train again at a lower learning rate, or {AGAIN}."
            )


def check_tensors(file: Path, promised: Shapes, optional: Shapes, layers: Collection[str]) -> None:
    """Refuse a file that holds other tensors than those that its configuration promises.

    promised: {tensor: shape} as the configuration makes them on this base; optional: such as may
    be there beside them, the base's embeddings. layers: the names of the base's modules.
    """
    held = read_shapes(file)
    check_gathered(file, held)
    check_names(file, held, promised)

    # in the file alone: of another base, or of no base at all
    known = {**optional, **promised}
    for name in held:
        layer = models.plain_name(name).partition(".lora")[0].removesuffix(".weight")
        if name not in known and layer not in layers:
            raise UserError(
                f"{file} was trained on another base: it updates {layer}, "
                "which this model does not have."
            )
    check_complete(file, held, promised)
    if more := sorted(held.keys() - known):
        raise UserError(
            f"{file} holds tensors that its {CONFIG} does not promise ({len(more)} of "
            f"{len(held)}), such as {models.plain_name(more[0])}; the two belong to different "
            f"adapters: {AGAIN}."
        )
    for name, shape in held.items():
        if shape != known[name]:
            raise UserError(f"{file} {other_shape(name, shape, known)}")


def check_gathered(file: Path, held: Shapes) -> None:
    """Refuse tensors without a number in them: what one process of several left behind."""
    if empty := [name for name, shape in held.items() if 0 in shape]:
        raise UserError(
            f"{file} holds {len(empty)} empty tensors, such as {models.plain_name(empty[0])}: it "
            "was saved by one process of several (DeepSpeed ZeRO-3 or FSDP) before the parts were "
            "gathered; save it again from the gathered weights."
        )


def check_names(file: Path, held: Shapes, promised: Shapes) -> None:
    """Refuse the right tensors under the names of another program, or of a wrapped model."""
    bare = {plainest(name): name for name in promised}
    other = {name: bare[plainest(name)] for name in held if plainest(name) in bare}
    moved = {name: right for name, right in other.items() if name != right}
    if not moved:
        return
    name, right = next(iter(moved.items()))
    raise UserError(
        f"{file} holds {len(moved)} of the {len(promised)} tensors that its {CONFIG} promises "
        f"under other names, such as {name!r} for {right!r}; {SAVE} "
        "from the model without its wrapper, or rename them."
    )


def plainest(name: str) -> str:
    """A tensor's name without what peft and other wrappers put around and into it."""
    parts = [part for part in name.split(".") if part not in WRAPPERS]
    bare = models.plain_name(".".join(parts).removeprefix("base_model.model."))
    return re.sub(r"(\.lora_[AB])\.[^.]+(?=\.weight$)", r"\1", bare)


def check_complete(file: Path, held: Shapes, promised: Shapes) -> None:
    """Refuse a file that lacks tensors that its configuration promises."""
    missing = sorted(promised.keys() - held)
    if missing:
        have = len(promised) - len(missing)
        raise UserError(
            f"{file} is not whole, or was trained on another base: its {CONFIG} promises "
            f"{len(promised)} tensors on this model and it holds {have or 'none'} of them, "
            f"{models.plain_name(missing[0])} for one is missing; {AGAIN}, or train again."
        )


def other_shape(name: str, shape: tuple[int, ...], known: Shapes) -> str:
    """The end of the sentence on a tensor that has another shape than the model's."""
    whole = models.plain_name(name).replace(".modules_to_save", "")
    layer, inside, part = whole.partition(".lora_")
    mine, model = times(shape), times(known[name])
    A, B = (known.get(name.replace(f"lora_{part[:1]}", f"lora_{side}", 1)) for side in "AB")
    if not inside or part not in ("A.weight", "B.weight") or A is None or B is None:
        return (
            f"was trained on another base: its {whole} is {mine}, and this model's is {model}; "
            "load it on the base it was trained on (for a vocabulary that has grown, call "
            "model.resize_token_embeddings first)."
        )
    # the rank is the config's, the other side the layer's
    outer = 1 if part == "A.weight" else 0
    if len(shape) == 2 and shape[outer] == known[name][outer]:
        return (
            f"holds another rank than its {CONFIG} states: its {part[0]} for {layer} is {mine}, "
            f"and by the config it is {model}; the two belong to different adapters: {AGAIN}."
        )
    return (
        f"was trained on another base: its {part[0]} for {layer} is {mine}, and this model's W is "
        f"{B[0]} × {A[1]}; load it on the base it was trained on."
    )


def times(shape: tuple[int, ...]) -> str:
    """A shape as people write it: 8 × 128."""
    return " × ".join(map(str, shape)) or "a single number"


# Whether a base is the one that an adapter was trained on.


def check_origin(
    folder: Path, stated: Mapping[str, Any], here: str, ours: Callable[[], str]
) -> str:
    """Why nobody can tell whether a base is the one an adapter was trained on; "" if it is.

    A run.json beside an adapter states the hash of its base. Without one the weights of the base
    that the configuration names are held against the others, tensor by tensor, if they are on this
    machine: a copy in another place or in other parts is the same base. Nothing is downloaded.
    stated: the adapter's configuration; here: where the base lies; ours: its fingerprint, asked
    for where there is one to hold it against. Another base is a `UserError`.
    """
    theirs = base_hash(folder.parent / "run.json")
    told = theirs and here and ours()
    if told and comparable(theirs, told):
        if theirs != told:
            raise UserError(
                f"{folder} was trained on another base ({theirs[:12]}…, this one is {told[:12]}…); "
                "give it the base it was trained on."
            )
        return ""

    # no hash: the weights under the name that it states
    name = stated.get("base_model_name_or_path")
    if not isinstance(name, str) or not name:
        return "its configuration names no base"
    first, second = find_weights(name, stated.get("revision")), find_weights(here)
    if first is None or second is None:
        return f"there is no whole model {name if first is None else here} on this machine"
    if first.samefile(second):
        return ""
    same, tensor = compare(stamps(first), stamps(second))
    if same is False:
        raise UserError(
            f"{folder} was trained on another base, {name}: its {tensor} is not the one in {here}; "
            f"give it the base it was trained on: models.load({name!r})."
        )
    return "" if same else f"{name} is stored in another form"


def base_hash(record: Path) -> str:
    """The hash of the base that a run.json states; "" where there is none."""
    if not record.is_file():
        return ""
    stated = parse_json(read_text(record), record)
    hashes = stated.get("hashes") if isinstance(stated, dict) else None
    found = hashes.get("base") if isinstance(hashes, dict) else None
    return found if isinstance(found, str) else ""


def comparable(was: str, now: str) -> bool:
    """Whether two fingerprints tell anything: a commit beside a hash of files does not."""
    told = was and now and "unknown" not in was + now
    return bool(told) and was.startswith("hub") == now.startswith("hub")


def is_another(was: str, now: str) -> bool:
    """Whether two fingerprints are of two bases."""
    return comparable(was, now) and was != now


def find_weights(name: str, revision: object = None) -> Path | None:
    """The folder with the safetensors of a base, on this machine; None where they are not."""
    if not name:
        return None
    with suppress(UserError):
        where = models.resolve(name)
        folder: Path | None = Path(where)
        if not Path(where).is_dir():
            folder = cached_folder(where, revision)
        return folder if folder and any(folder.glob("*.safetensors")) else None
    return None


def cached_folder(hub_id: str, revision: object) -> Path | None:
    """Where the cache keeps a hub model: each commit lies in a folder that is named after it."""
    config = models.cached_config(hub_id)
    if config is None or revision in (None, "", "main"):
        return config and config.parent
    return next((each for each in config.parent.parent.iterdir() if each.name == revision), None)


def stamps(folder: Path) -> tuple[Stamp, ...]:
    """What tells whether the weights in a folder were changed since they were read."""
    files = sorted(folder.glob("*.safetensors"))
    found = ((str(file.resolve()), file.stat()) for file in files)
    # a link of the hub's cache leads to a file of another name, so the folder's own is kept too
    return ((str(folder), 0, 0), *((path, s.st_size, s.st_mtime_ns) for path, s in found))


@lru_cache(maxsize=32)
def compare(first: tuple[Stamp, ...], second: tuple[Stamp, ...]) -> tuple[bool | None, str]:
    """(whether two bases have the same weights, the first tensor that differs).

    The stamps begin with the folder. Weights of which one side is stored more coarsely are held
    against each other at that. None where one side is packed, or nothing has a name in common.
    """
    places = first[0][0], second[0][0]
    one, other = (models.tensor_files(place) for place in places)
    both = sorted(one.keys() & other.keys())
    for name in both:
        theirs, ours = (
            models.read_tensor(place, name, files[name])
            for place, files in zip(places, (one, other), strict=True)
        )
        if not (theirs.is_floating_point() and ours.is_floating_point()):
            return None, name
        coarse = min(theirs.dtype, ours.dtype, key=lambda dtype: dtype.itemsize)
        if not torch.equal(theirs.to(coarse), ours.to(coarse)):
            return False, name
    return (True if both else None), ""
