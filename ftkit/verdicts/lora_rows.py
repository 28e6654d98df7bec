"""Rows L1 to L11 of the ledger: LoRA's mathematics, counted and measured.

    CLAIMS    the claims, in order

Counts are `lora.count`'s, by published shapes; scores are those of the grids "lora" and "ranks",
three seeds each. Where a row compares runs, they have one rate, or each its own, as the row says.
Notebooks 01, 02, 02b and 08 show where the figures come from.
"""

import itertools
import math
import statistics
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import data, lab, lora, models
from .claim import Claim, Figure, as_written, exact, of_seeds
from .judges import all_within, each, settle_conflict

POINTS = 0.05  # two scores within five points count as equal
LLAMA = "llama-3.1-8b"
GUIDE_RATE = 2e-3  # the rate of the grid at which rules for alpha are compared
OPEN_UP, OPEN_DOWN = math.inf, -math.inf


def minus(first: Iterable[Any], second: Iterable[Any], value: lab.grids.Value = "task") -> dict:
    """{seed: first − second} of a value of the runs that both have."""
    read = lab.grids.reader(value)
    ours, theirs = ({row.seed: read(row) for row in rows} for rows in (first, second))
    return {seed: ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())}


def tickets(**where: object) -> list[Any]:
    """Runs of the grid "lora" on the tickets, on all linear layers unless stated."""
    usual = {"data": "tickets", "targets": "all-linear", "epochs": 2}
    return lab.grids.select(lab.grids.read("lora"), **(usual | where))


# What each row measures.


def update_of_a_square() -> Sequence[Figure]:
    """L1: one q_proj of 4096 × 4096."""
    (part,) = lora.count(LLAMA, r=16, targets="q_proj").parts
    ours, whole = part.trainable // part.copies, part.d_out * part.d_in
    return [
        exact("numbers of A and B at r = 16", ours, said=as_written("131,072")),
        exact("numbers of W, millions", whole / 1e6, said=as_written("16.8")),
        exact("share", 100 * ours / whole, "%", as_written("0.78")),
        exact("cut", 100 * (1 - ours / whole), "%", as_written("99.2")),
    ]


def attention_of_llama() -> Sequence[Figure]:
    """L2: and which model and rank give the printed number."""
    count = lora.count(LLAMA, r=16, targets="attention")
    printed = as_written("6,553,600")
    asked = itertools.product((8, 16), ("q,v", "attention"))
    others = [
        (f"{name} at r = {r} on {targets}", found)
        for r, targets in asked
        for name, found in counted(r, targets)
    ]
    same = [name for name, found in others if found == printed[0]]
    return [
        exact("trained", count.trainable, said=printed),
        exact("share of base and adapter", count.percent, "%", as_written("0.0816")),
        exact(f"other counts that give it: {'; '.join(same)}", len(same), f"of {len(others)}"),
    ]


def counted(r: int, targets: str) -> list[tuple[str, int]]:
    """(architecture, what it trains) for every one of the kit."""
    found = lora.count_all(r, targets).counts
    return [(name, count.trainable) for name, count in found.items()]


def all_layers_of_llama() -> Sequence[Figure]:
    """L3: to the digit."""
    count = lora.count(LLAMA, r=16, targets="all-linear")
    return [
        exact("trained", count.trainable, said=as_written("41,943,040")),
        exact("base and adapter", count.total, said=as_written("8,072,204,288")),
        exact("share", count.percent, "%", as_written("0.52")),
    ]


def shapes_of_formulas() -> Sequence[Figure]:
    """L4: on how many of three matrices each guide's formula can be computed."""
    shapes = []
    for part in ("k_proj", "q_proj", "up_proj"):
        (found,) = lora.count("pocket", r=8, targets=part).parts
        shapes.append((found.d_out, found.d_in))
    formulas = {
        "A·B, one d": with_one_d,
        "B·A·x, A d × r": the_wrong_way,
        "B·A, d × r and r × k": right,
    }
    return [
        exact(f"{name}: matrices on which it runs", sum(runs(f, s) for s in shapes), said=(3, 3))
        for name, f in formulas.items()
    ]


def with_one_d(W: np.ndarray, x: np.ndarray, d: int, r: int = 8) -> np.ndarray:
    """(W + A B) x with A d × r and B r × d."""
    return (W + np.zeros((d, r)) @ np.zeros((r, d))) @ x


def the_wrong_way(W: np.ndarray, x: np.ndarray, d: int, r: int = 8) -> np.ndarray:
    """W x + B (A x) with A d × r and B r × d."""
    return W @ x + np.zeros((r, d)) @ (np.zeros((d, r)) @ x)


def right(W: np.ndarray, x: np.ndarray, d: int, r: int = 8) -> np.ndarray:
    """(W + B A) x with B d_out × r and A r × d_in; `d` is not needed."""
    return (W + np.zeros((W.shape[0], r)) @ np.zeros((r, W.shape[1]))) @ x


def runs(formula: Callable[..., np.ndarray], shape: tuple[int, int]) -> bool:
    """Whether a formula can be computed, with d as the one side or as the other."""
    W = np.ones(shape)
    for d in shape:
        try:
            if formula(W, np.ones(shape[1]), d).shape == (shape[0],):
                return True
        except ValueError:
            continue
    return False


def shares_of_models() -> Sequence[Figure]:
    """L5: the usual ranks and targets over every architecture of the kit."""
    few, usual, many = (
        lora.count_all(r, targets).counts
        for r, targets in ((8, "q,v"), (16, "all-linear"), (64, "all-linear"))
    )
    shares = [count.percent for count in usual.values()]
    share, seven = (0.1, 1.0), (4e6, 40e6)
    inside = sum(share[0] <= one <= share[1] for one in shares)
    return [
        exact(f"{LLAMA}, r = 16, all linear", usual[LLAMA].percent, "%", share),
        exact("smallest, r = 8, q and v", min(c.percent for c in few.values()), "%", share),
        exact("largest, r = 16, all linear", max(shares), "%", share),
        exact(f"of {len(shares)} models within 0.1 to 1 % at r = 16, all linear", inside),
        exact("llama-2-7b, r = 8, q and v", few["llama-2-7b"].trainable, said=seven),
        exact("llama-2-7b, r = 64, all linear", many["llama-2-7b"].trainable, said=seven),
    ]


def rank_of_updates() -> Sequence[Figure]:
    """L6: full updates cut to rank 8, and what of their task is left, seed by seed."""
    grid = lab.grids.read("lora")
    asked = {
        "tickets, a format": (tickets(r=0, lr=1e-3), "task"),
        "facts, new knowledge": (lab.grids.select(grid, data="facts", r=0), "stored"),
    }
    figures = []
    for name, (rows, value) in asked.items():
        cut = lab.grids.cuts(rows)
        read = lab.grids.reader(value)
        whole = {row.seed: read(row) for row in cut if row.r == max(one.r for one in cut)}
        kept = {row.seed: read(row) / whole[row.seed] for row in cut if row.r == 8}
        what = f"share of the task score left at rank 8 of 256: {name}"
        figures.append(of_seeds(what, kept, said=(0.9, OPEN_UP)))
    return figures


def logits_at_start() -> Sequence[Figure]:
    """L7: the largest difference of any logit before step 1, over 16 tickets."""
    import torch

    base, tokenizer = models.load("pocket")
    rows = data.load("tickets", tokenizer)["test"].select(range(16))
    texts = [str(tokenizer.apply_chat_template(m, tokenize=False)) for m in rows["messages"]]
    inputs = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
    with torch.no_grad():
        before = base(**inputs).logits
        after = lora.attach(base, r=8, alpha=16)(**inputs).logits
    gap = (after - before).abs().max().item()
    return [Figure("largest difference of any logit", gap, gap, gap, n=len(texts), said=(0.0, 0.0))]


def rules_for_alpha() -> Sequence[Figure]:
    """L8: α = 2r against α = 16 at the same rank, rate and steps."""
    figures = [
        of_seeds(
            f"task at r = {r}: α = 2r less α = 16, both at rate {GUIDE_RATE:g}",
            minus(tickets(r=r, alpha=2 * r, lr=GUIDE_RATE), tickets(r=r, alpha=16, lr=GUIDE_RATE)),
            said=(-POINTS, OPEN_UP),
        )
        for r in (1, 2, 32, 64)
    ]
    walks = {"α · lr": ((4, 8e-3), (64, 5e-4)), "√α · lr": ((4, 4e-3), (64, 1e-3))}
    for name, ends in walks.items():
        low, high = (tickets(r=8, alpha=alpha, lr=lr) for alpha, lr in ends)
        what = f"task at r = 8, α = 4 less α = 64 at the same {name}"
        figures.append(of_seeds(what, minus(low, high)))
    return figures


def ranks_at_their_rates() -> Sequence[Figure]:
    """L9: eighty facts, each rank at its own one of three rates."""
    grid = lab.grids.select(lab.grids.read("ranks"), question="rank")
    own = {r: at_own_rate(lab.grids.select(grid, amount=r)) for r in (1, 16, 64, 256)}
    return [
        of_seeds(
            "facts stored, rank 16 less rank 1", minus(own[16], own[1], "exact"), said=(0, OPEN_UP)
        ),
        of_seeds(
            "facts stored, rank 256 less rank 64",
            minus(own[256], own[64], "exact"),
            said=(OPEN_DOWN, POINTS),
        ),
        of_seeds(
            "skills kept, rank 256 less rank 64",
            minus(own[256], own[64], "skills"),
            said=(OPEN_DOWN, POINTS),
        ),
        of_seeds("skills kept, rank 16 less rank 64", minus(own[16], own[64], "skills")),
    ]


def at_own_rate(rows: Iterable[Any], bar: float = 0.9) -> list[Any]:
    """The runs of the rate that keeps most among those that store `bar` of the facts, else most."""
    by_rate: dict[float, list[Any]] = {}
    for row in rows:
        by_rate.setdefault(row.lr, []).append(row)

    def worth(runs: Sequence[Any]) -> tuple[bool, float]:
        stored = statistics.fmean(row.exact for row in runs)
        enough = stored >= bar
        return enough, statistics.fmean(row.skills for row in runs) if enough else stored

    return max(by_rate.values(), key=worth)


def sizes_of_adapters() -> Sequence[Figure]:
    """L10: files of usual adapters in MB of 10⁶ bytes, and one that was really saved."""
    said = {"ten to a hundred": (10.0, 100.0), "under 200": (0.0, 200.0), "a few": (1.0, 10.0)}
    asked = [
        ("llama-3.1-8b", 8, "q,v", "bfloat16", "a few"),
        ("llama-3.1-8b", 16, "attention", "bfloat16", "ten to a hundred"),
        ("llama-3.1-8b", 16, "all-linear", "bfloat16", "ten to a hundred"),
        ("llama-3.1-8b", 16, "all-linear", "float32", "under 200"),
        ("llama-3.1-8b", 64, "all-linear", "float32", "under 200"),
        ("llama-3.1-70b", 16, "all-linear", "bfloat16", "ten to a hundred"),
    ]
    figures = []
    for name, r, targets, dtype, words in asked:
        size = lora.count(name, r=r, targets=targets).adapter_bytes(dtype) / 1e6
        what = f"{name}, r = {r}, {targets}, {dtype}; said: {words}"
        figures.append(exact(what, size, "MB", said[words]))
    with tempfile.TemporaryDirectory() as folder:
        lora.attach(models.load("pocket")[0], r=8).save_pretrained(folder)
        saved = Path(folder, "adapter_model.safetensors").stat().st_size
    left = saved - lora.count("pocket", r=8).adapter_bytes()
    return [*figures, exact("bytes of a saved file less those counted, pocket", left)]


def places_for_a_budget() -> Sequence[Figure]:
    """L11: about as many trained numbers in each place, α = 2r, one rate; beside all layers."""
    everywhere = tickets(r=8, alpha=16, lr=GUIDE_RATE)
    names = ("queries and values", "the attention", "the MLP")
    figures = []
    for (targets, r), name in zip(lab.BUDGET.items(), names, strict=True):
        place = tickets(targets=targets, r=r, alpha=2 * r, lr=GUIDE_RATE)
        figures.append(
            of_seeds(
                f"task: {name} alone, r = {r}, less all linear layers, r = 8",
                minus(place, everywhere),
                said=(-POINTS, OPEN_UP) if "values" in name else None,
            )
        )
    return figures


SHOWN: Mapping[str, str] = {
    "grid": "from ftkit import lab\nrows = lab.grids.read({!r})\n",
    "count": "from ftkit import lora\n",
}


CLAIMS = (
    Claim(
        "L1",
        "LoRA at r = 16 replaces the 16.8 million numbers of a 4096 × 4096 update by 131,072",
        "C",
        ("G1", "G3"),
        SHOWN["count"] + 'lora.count("llama-3.1-8b", r=16, targets="q_proj")  # of 32 layers',
        "It holds where all four printed numbers are those counted, as far as they are written.",
        update_of_a_square,
        all_within,
        "02b",
        quote={"G3": "With r=16 on a 4096-dim model, you train 0.78% of parameters"},
    ),
    Claim(
        "L2",
        "LoRA at r = 16 on the attention of Llama 3.1 8B trains 6,553,600 numbers, 0.0816 %",
        "C",
        ("G1",),
        SHOWN["count"] + 'lora.count_and_check("llama-3.1-8b", r=16, targets="attention")',
        "It holds where count and share are those printed; the shapes are the published ones.",
        attention_of_llama,
        all_within,
        "02b",
        quote={"G1": "you train approximately 6.5 million"},
    ),
    Claim(
        "L3",
        "On all seven linear layers of the same model it is 41,943,040 of 8,072,204,288, 0.52 %",
        "C",
        ("G4",),
        SHOWN["count"] + 'lora.count_and_check("llama-3.1-8b", r=16, targets="all-linear")',
        "It holds where all three numbers are those counted, as far as they are written.",
        all_layers_of_llama,
        all_within,
        "02b",
    ),
    Claim(
        "L4",
        "Three guides give A and B three pairs of shapes; each is said to be LoRA's",
        "X",
        ("G1", "G3", "G4"),
        SHOWN["count"] + 'lora.explore_paths({"k_proj": (128, 256), "up_proj": (512, 256)})',
        "A guide is right where its formula can be computed on three real shapes; settled where "
        "some can and some can't.",
        shapes_of_formulas,
        settle_conflict,
        "02",
        quote={
            "G1": "A (d × r) and B (r × d) … The effective update is W + A×B",
            "G3": "y = W·x + B·A·x (A is d×r, B is r×d …)",
            "G4": "ΔW = BA where B ∈ ℝ^(d×r) and A ∈ ℝ^(r×k)",
        },
    ),
    Claim(
        "L5",
        "LoRA trains 0.1 to 1 % of a model's parameters; of 7 billion, 4 to 40 million",
        "C",
        ("G1", "G2", "G3", "G4", "G5"),
        SHOWN["count"] + 'lora.count_all(r=16, targets="all-linear")',
        "It holds where every model, rank and target lies in the range, and depends on them where "
        "only some do.",
        shares_of_models,
        each,
        "02b",
        quote={
            "G1": "It trains only 0.1-1% of total parameters",
            "G4": "Instead of training 7 billion parameters, you train ~4–40 million",
        },
    ),
    Claim(
        "L6",
        "The updates that fine-tuning makes are of low rank",
        "M",
        ("G1",),
        SHOWN["grid"].format("lora")
        + 'cut = lab.grids.cuts(lab.grids.select(rows, data="facts", r=0))\n'
        + 'lab.grids.curve(cut, "stored")',
        "A task's update is of low rank where 8 of its 256 directions keep nine tenths of the task "
        "score; it depends on the run where one does and another does not. The facts ran for 10 "
        "epochs, the tickets for 2: task and length are not told apart.",
        rank_of_updates,
        each,
        "01",
        quote={"G1": "empirically, the weight updates during fine-tuning are low-rank"},
    ),
    Claim(
        "L7",
        "B starts at zero, so that training starts from exactly the base model",
        "M",
        ("paper",),
        "from ftkit import lora, merge, models\nbase, tokenizer = models.load()\n"
        "tokens = merge.probe_tokens(base)\nbefore = merge.logits(base, tokens)\n"
        "(merge.logits(lora.attach(base, r=8, alpha=16), tokens) - before).abs().max()",
        "It holds where no logit differs by anything.",
        logits_at_start,
        all_within,
        "02",
        dear=True,
    ),
    Claim(
        "L8",
        "Alpha is twice the rank",
        "M",
        ("G1", "G3", "G4", "G5"),
        SHOWN["grid"].format("lora")
        + 'lora_rows = lab.grids.select(rows, data="tickets", targets="all-linear", lr=2e-3)\n'
        + 'lab.grids.curve([row for row in lora_rows if row.alpha == 2 * row.r], "task", "r")',
        "The rule is as good as a constant where it ends within five points of α = 16 or above, "
        "at the same rank and rate; it depends where that is so at some ranks.",
        rules_for_alpha,
        each,
        "02",
        quote={
            "G1": "Scaling factor (usually 2x rank)",
            "G3": "16-32 … Scaling factor (usually = 2×r)",
            "G5": "alpha (often 2× rank)",
        },
    ),
    Claim(
        "L9",
        "A higher rank can hold more, yet 256 is not better than a smaller one",
        "M",
        ("G3", "G4"),
        SHOWN["grid"].format("ranks")
        + 'lab.grids.curve(lab.grids.select(rows, question="rank", lr=4e-3), "exact", "amount")',
        "It holds where rank 16 stores more than rank 1, and rank 256 neither stores nor keeps "
        "five points more than 64, each at its own rate; it depends where one is not so.",
        ranks_at_their_rates,
        each,
        "08",
        quote={"G3": "r=256 doesn't mean better. Start with r=16, increase only if underfitting"},
    ),
    Claim(
        "L10",
        "Adapters are small files: 10 to 100 MB, a few MB, or under 200 MB",
        "C",
        ("G1", "G2", "G3", "G5"),
        SHOWN["count"] + 'lora.count("llama-3.1-8b", r=16, targets="all-linear").adapter_bytes()',
        "It holds where every usual adapter lies in what was said of it, and depends on model, "
        "rank, targets and dtype where only some do.",
        sizes_of_adapters,
        each,
        "02b",
        quote={
            "G1": "Adapter weights are tiny (10-100MB)",
            "G3": "LoRA adapters are tiny (~10-100 MB)",
            "G5": "a few-megabyte LoRA adapter",
        },
        dear=True,
    ),
    Claim(
        "L11",
        "Queries and values alone do as well as all linear layers, at one rate for both",
        "M",
        ("G3", "G4", "G5"),
        SHOWN["grid"].format("lora")
        + 'rows = lab.grids.select(rows, data="tickets", lr=2e-3, epochs=2)\n'
        + 'lab.grids.curve([row for row in rows if row.targets != "all-linear"], "task", "r")',
        "It holds where as many numbers on queries and values end within five points of all linear "
        "layers. No guide says that they are enough, only that they are usual; a rate of their own "
        "was not looked for.",
        places_for_a_budget,
        all_within,
        "02b",
        quote={
            "G4": "Target modules | q_proj, v_proj | all attention | all linear",
            "G5": "target modules (usually q_proj, v_proj, sometimes all linear)",
        },
    ),
)
