"""Which base a version is for: named, known by its hash, and able to carry what is published.

    base_of(source, base)      {"base", "base_hash"} of a run or an adapter; refused if another
    hash_of_base(name)         which base lies here under a name
    check_fit(source, name)    every tensor, rank, module and token has a place in its base
    own_tokenizer(folder)      the tokenizer that was published with it

What an adapter's configuration may say is `lora`'s to judge (`methods.check_saved`). The versions
themselves are `registry`'s.
"""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .. import lora, methods, models, train
from ..core.errors import UserError
from ..core.parsing import parse_json, read_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# How the files begin that a tokenizer or its template is read from.
OF_A_TOKENIZER = ("tokenizer", "chat_template", "vocab", "merges", "spiece", "tekken")


def base_of(source: Path, base: str | None) -> dict[str, str]:
    """{"base": its name, "base_hash": which it is} of a run or an adapter folder.

    Raises UserError for a run that broke off, and for a base that is gone or not the trained one.
    """
    if (source / "run.json").is_file():
        record = train.read_record(source)
        if record.get("stopped"):
            raise UserError(
                f"{source} holds a run that broke off: {str(record['stopped']).rstrip('.')}; train "
                "it again before it is published."
            )
        name, was = record["experiment"]["model"], record["hashes"].get("base", "")
        if base is not None and base != name:
            raise UserError(
                f"base is {base!r}, and the record of {source} says {name!r}; leave base out."
            )
        check_same(source, name, was, hash_of_base(name))
        return {"base": name, "base_hash": was}
    return base_of_adapter(source, base)


def base_of_adapter(source: Path, base: str | None) -> dict[str, str]:
    """The same of an adapter's folder alone, as its configuration names it, or as it is given."""
    file = source / "adapter_config.json"
    stated = parse_json(read_text(file), file)
    facts = stated if isinstance(stated, dict) else {}
    named = facts.get("base_model_name_or_path")
    name = base or named
    if not name:
        raise UserError(f"{source} does not name its base; give base, such as 'pocket'.")

    # is it the one that was trained?
    now = hash_of_base(str(name))
    check_same(source, str(name), hash_when_trained(source, named if base else None), now)
    revision = facts.get("revision") or "main"
    if base is None and revision != "main" and now != f"hub commit {revision}":
        raise UserError(
            f"{file} states revision {revision!r} of its base, and {name} is opened as it is here "
            f"({now or 'not in the cache'}); download that revision, and give its folder as base."
        )
    return {"base": str(name), "base_hash": now}


def hash_when_trained(source: Path, named: object) -> str:
    """Which base an adapter was trained on, by the record beside it or the name in it.

    "" where neither tells. named: the name in it, unless it is the base that is looked at.
    """
    record = source.parent / "run.json"
    if record.is_file():
        return lora.base_hash(record)
    with suppress(UserError):
        return hash_of_base(named) if isinstance(named, str) and named else ""
    return ""


def hash_of_base(name: str) -> str:
    """Which base lies here under a name; "" of a hub model that this machine's cache lacks.

    Raises UserError for a folder that is gone.
    """
    return models.fingerprint_of(models.resolve(name)) or ""


def check_same(source: Path, name: str, was: str, now: str) -> None:
    """Refuse a run or an adapter whose base here is not the one that it was trained on."""
    if lora.is_another(was, now):
        raise UserError(
            f"{source} was trained on another {name!r} ({was[:12]}…, here {now[:12]}…); "
            "publish it where its own base is."
        )


def weights_in(source: Path) -> Path:
    """Where the weights of a run, a version or an adapter lie, with their tokenizer."""
    found = (source / part for part in ("adapter", "model"))
    return next((folder for folder in found if folder.is_dir()), source)


def own_tokenizer(source: Path) -> "PreTrainedTokenizerBase | None":
    """The tokenizer that lies beside the weights, template and all; None where none does."""
    folder = weights_in(source)
    if not any(file.name.startswith(OF_A_TOKENIZER) for file in folder.iterdir()):
        return None
    return models.saved_tokenizer(folder)


def check_fit(source: Path, name: str) -> None:
    """Refuse an adapter that its base cannot carry; of a base that is not here nothing is known.

    Asked are every tensor, rank, module and kind that its configuration states
    (`methods.check_saved`), and a row of the base for each token of its own tokenizer.
    """
    folder, where = weights_in(source), models.resolve(name)
    config = where if Path(where).is_dir() else models.cached_config(where)
    if config is None or folder.name == "model":
        return
    base = models.skeleton(config)
    methods.check_saved(base, folder)
    tokenizer = own_tokenizer(folder)
    embeddings = cast(Any, base.get_input_embeddings())
    tokens, rows = len(tokenizer or ()), embeddings.weight.shape[0]
    if tokens > rows:
        raise UserError(
            f"the tokenizer in {folder} has {tokens:,} tokens and {name} {rows:,} embeddings, so "
            "some have none; publish it with the tokenizer of its base."
        )
