"""What `targets=` means: which of a model's linear layers get a LoRA, read off their names alone.

    choose_layers(names, targets)    the layers that a LoRA on `targets` changes
    name_endings(names, targets)     the same as endings of names, what peft matches
    check_rank(r, width)             refuses a rank that the narrowest target can't have

No torch and no model: `memory` and `counting` ask about architectures of which only the names and
the shapes are there. Attaching is `by_peft`'s. Notebook 02, which ticks targets in an explorer.
"""

from collections.abc import Iterable, Sequence

from ..core.errors import UserError, is_whole, nearest

# What the families call the two halves of a transformer block, as the last but one part of a name.
BLOCKS = {"attention": ("self_attn", "attn", "attention"), "mlp": ("mlp",)}
# The projections of queries and values, or the fused one that holds both.
QUERY_VALUE = ("q_proj", "v_proj", "qkv_proj", "c_attn", "query_key_value")
PRESETS = ("all-linear", *BLOCKS, "q,v")


def choose_layers(names: Iterable[str], targets: str | Sequence[str]) -> list[str]:
    """The linear layers, out of `names`, that a LoRA on `targets` changes.

    All of them for "all-linear", else those that `name_endings` matches. None at all is a
    `UserError`.
    """
    names = list(names)
    if targets == "all-linear":
        if not names:
            raise UserError(
                "the model has no linear layer beside its head, "
                "so there is nothing for a LoRA to change."
            )
        return names
    ends = tuple(f".{ending}" for ending in name_endings(names, targets))
    return [name for name in names if f".{name}".endswith(ends)]


def name_endings(names: Iterable[str], targets: str | Sequence[str]) -> list[str]:
    """What `targets` means among a model's linear layers, as endings of names that peft matches.

    targets: "attention" or "mlp", every linear layer of that block; "q,v", the projections of
    queries and values, or the fused one that holds them; else names such as ["q_proj", "v_proj"] or
    "q_proj,v_proj". A name that no layer ends in is a `UserError` with the nearest one.
    """
    words = split_targets(targets)
    paths = [name.split(".") for name in names]
    endings = preset_endings(paths, words) or set(words)

    # sorted, so that of two mistakes always the same one is told
    for ending in sorted(endings):
        check_ending(paths, ending)
    return sorted(endings)


def split_targets(targets: str | Sequence[str]) -> list[str]:
    """The words of `targets`: a list as it is, a text at its commas."""
    if isinstance(targets, str):
        words = [word.strip() for word in targets.split(",")]
    else:
        words = list(targets) if isinstance(targets, Iterable) else []
    if not targets or not words or not all(isinstance(word, str) for word in words):
        raise UserError(
            f"targets is {targets!r}; give {', '.join(map(repr, PRESETS))} "
            "or the names of layers, such as 'q_proj,v_proj'."
        )
    return words


def preset_endings(paths: Sequence[Sequence[str]], words: Sequence[str]) -> set[str]:
    """The endings that a preset stands for, empty where `words` is none or the model lacks it.

    paths: the layers' names, split at their dots. A block's layers are named with the block
    ("mlp.c_proj"), because GPT-2 has a c_proj in each.
    """
    if list(words) == ["q", "v"]:
        return {path[-1] for path in paths} & set(QUERY_VALUE)
    if len(words) == 1 and words[0] in BLOCKS:
        block = BLOCKS[words[0]]
        return {".".join(path[-2:]) for path in paths if len(path) > 1 and path[-2] in block}
    return set()


def check_ending(paths: Sequence[Sequence[str]], ending: str) -> None:
    """Refuse an ending that no layer's name has, with the nearest that one has."""
    parts = ending.split(".")
    if any(list(path[-len(parts) :]) == parts for path in paths):
        return
    known = sorted({path[-1] for path in paths})
    hint = nearest(ending, [word for word in (*known, *PRESETS) if word != ending])
    raise UserError(
        f"the model has no linear layer {ending!r}; it has {', '.join(known) or 'none'}.{hint}"
    )


def check_rank(r: object, width: int) -> None:
    """Refuse a rank that is not a whole number from 1 to `width`, the narrowest target's side."""
    if not is_whole(r) or not 1 <= r <= width:
        raise UserError(
            f"r is {r!r}; the rank of a LoRA here is a whole number from 1 to {width}, "
            "the shorter side of its narrowest target."
        )
