"""TODO header of lora.targets."""

from collections.abc import Iterable

from ..core.errors import UserError, nearest

BLOCKS = {"attention": ("self_attn", "attn", "attention"), "mlp": ("mlp",)}
PRESETS = ("all-linear", *BLOCKS, "q,v")
QUERY_VALUE = ("q_proj", "v_proj", "qkv_proj", "c_attn", "query_key_value")


def name_endings(names: Iterable[str], targets: str | list[str]) -> list[str]:
    """What `targets` means among a model's linear layers, as the endings of names that peft
    matches.

    targets: "attention" or "mlp", every linear layer of that block; "q,v", the projections of
    queries and values, or the fused one that holds them; else names such as ["q_proj", "v_proj"] or
    "q_proj,v_proj".
    """
    if not targets or not isinstance(targets, Iterable):
        raise UserError(
            f"targets is {targets!r}; give {', '.join(map(repr, PRESETS))} or the names of layers, such as 'q_proj,v_proj'."
        )
    paths = [n.split(".") for n in names]
    words = [t.strip() for t in targets.split(",")] if isinstance(targets, str) else list(targets)
    found = set(words)
    if len(words) == 1 and words[0] in BLOCKS:
        found = {".".join(p[-2:]) for p in paths if set(p[-2:-1]) & set(BLOCKS[words[0]])} or found
    elif words == ["q", "v"]:
        found = {p[-1] for p in paths} & set(QUERY_VALUE) or found
    known = sorted({p[-1] for p in paths})
    for target in sorted(found):
        if not any(p[-len(target.split(".")) :] == target.split(".") for p in paths):
            hint = nearest(target, [word for word in (*known, *PRESETS) if word != target])
            raise UserError(
                f"the model has no linear layer {target!r}; it has {', '.join(known) or 'none'}.{hint}"
            )
    return sorted(found)


def choose_layers(names: Iterable[str], targets: str | list[str]) -> list[str]:
    """The linear layers that a LoRA on `targets` changes: all of them for "all-linear", else those
    that `endings` matches.
    """
    names = list(names)
    if targets == "all-linear":
        if not names:
            raise UserError(
                "the model has no linear layer beside its head, so there is nothing for a LoRA to change."
            )
        return names
    ends = tuple(f".{end}" for end in name_endings(names, targets))
    return [n for n in names if f".{n}".endswith(ends)]


def check_rank(r: int, width: int) -> None:
    """Refuse a rank that is above `width`, the shorter side of the narrowest target."""
    if isinstance(r, bool) or not isinstance(r, int) or not 1 <= r <= width:
        raise UserError(
            f"r is {r!r}; the rank of a LoRA here is a whole number from 1 to {width}, the shorter side of its narrowest target."
        )


def sides(layer) -> tuple[int, int]:
    """(d_in, d_out) of a linear layer. A 4-bit weight is packed, so its shape is no use; only a
    Conv1D has no in_features.
    """
    return (
        (layer.in_features, layer.out_features)
        if hasattr(layer, "in_features")
        else tuple(layer.weight.shape)
    )
