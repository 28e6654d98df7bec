"""What `targets=` means: which of a model's linear layers get a LoRA, read off their names alone.

    choose_layers(names, targets)    the layers that a LoRA on `targets` changes
    name_endings(names, targets)     the same as endings of names, what peft matches
    narrowest_side(sides)            what bounds the rank: the narrowest target's shorter side
    check_rank(r, width)             refuses a rank above that

No torch and no model: `memory` and `counting` ask about architectures of which only the names and
the shapes are there. Attaching is `by_peft`'s. Notebook 02b, which ticks targets in an explorer.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from ..core.errors import UserError, is_whole, nearest
from ..core.parsing import shown

# What the families call the two halves of a transformer block, as the last but one part of a name.
BLOCKS = {
    "attention": ("self_attn", "attn", "attention", "self_attention", "linear_attn"),
    "mlp": ("mlp", "mlps", "ffn", "feed_forward", "shared_expert", "shared_experts"),
}
BARE_MLP = ("fc1", "fc2")  # OPT's, which lie in the layer itself
# The projections of queries and values, and the fused one that holds both.
QUERY_VALUE = (("q_proj", "v_proj"), ("query", "value"))
FUSED = ("qkv_proj", "c_attn", "query_key_value", "Wqkv")
GATES = ("gate", "router")  # how a layer's name ends that has one row for each expert
# What families call the head and the embeddings, which get no LoRA here.
NO_TARGETS = (
    "lm_head", "embed_out", "embed_tokens", "embed_in", "wte", "wpe", "word_embeddings",
)  # fmt: skip
PATTERN = re.compile(r"[*+?^$|()\[\]{}\\]")  # what a regular expression has and no name
SMALLEST = 16  # rows of a layer that a rank has to heed
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
    endings: set[str] = set()
    if words == ["q", "v"]:
        endings = query_value_endings(paths)
    for word in words if not endings else ():
        endings |= block_endings(paths, word) or {word}

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


def query_value_endings(paths: Sequence[Sequence[str]]) -> set[str]:
    """The names of the layers of queries and values; empty where the model has not both."""
    last = {path[-1] for path in paths}
    found = last & set(FUSED)
    for pair in QUERY_VALUE:
        if set(pair) <= last:
            found |= set(pair)
    return found


def block_endings(paths: Sequence[Sequence[str]], word: str) -> set[str]:
    """The endings that "attention" or "mlp" stands for, empty for other words.

    paths: the layers' names, split at their dots. A block's layers are named with the block
    ("mlp.c_proj"), because GPT-2 has a c_proj in each.
    """
    endings = set()
    for path in paths if word in BLOCKS else ():
        # the block, over the numbers of a list of them: "self_attn.0.o_proj"
        place = len(path) - 2
        while place > 0 and path[place].isdigit():
            place -= 1
        if place >= 0 and path[place] in BLOCKS[word] and not path[-1].endswith(GATES):
            endings.add(".".join(path[place:]))
        if word == "mlp" and path[-1] in BARE_MLP and path[-2:-1] and path[-2].isdigit():
            endings.add(path[-1])
    return endings


def check_ending(paths: Sequence[Sequence[str]], ending: str) -> None:
    """Refuse an ending that no layer's name has, with the nearest that one has."""
    parts = ending.split(".")
    if any(list(path[-len(parts) :]) == parts for path in paths):
        return
    known = sorted({path[-1] for path in paths})
    has = f"it has {', '.join(known) or 'none'}"

    # what is no layer by its kind
    if ending == "all-linear":
        raise UserError("'all-linear' is all there is, and no name beside others; give it alone.")
    if parts[-1] in NO_TARGETS:
        raise UserError(
            f"{ending!r} is the name of a head or an embedding, which gets no LoRA here; give "
            f"linear layers of the blocks: {has}."
        )
    if PATTERN.search(ending):
        raise UserError(
            f"{ending!r} is no name of a layer, and targets are no regular expressions; give names "
            f"as they end: {has}."
        )
    hint = nearest(ending, [word for word in (*known, *PRESETS) if word != ending])
    raise UserError(f"the model has no linear layer {shown(ending)}; {has}.{hint}")


def narrowest_side(sides: Mapping[str, tuple[int, int]]) -> int:
    """The shorter side of the narrowest target, which bounds the rank. sides: {layer: its two}.

    Gates and routers, one row for each expert, and layers of fewer than `SMALLEST` bound nothing
    unless all targets are such: a LoRA on every linear layer has them among its targets.
    """
    shorter = {name: min(both) for name, both in sides.items()}
    wide = [side for name, side in shorter.items() if side >= SMALLEST and not name.endswith(GATES)]
    return min(wide or shorter.values())


def check_rank(r: object, width: int) -> None:
    """Refuse a rank that is not a whole number from 1 to `width`, the narrowest target's side."""
    if not is_whole(r) or not 1 <= r <= width:
        raise UserError(
            f"r is {shown(r)}; the rank of a LoRA here is a whole number from 1 to {width}, "
            "the shorter side of its narrowest target."
        )
