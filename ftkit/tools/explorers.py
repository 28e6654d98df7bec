"""The kit's explorers as files: pages that move without a kernel, for a site, a mail, a lecture.

    save_explorers(folder)             write all of them: `Pages`
    save_explorers(folder, ["fits"])   write some
    EXPLORERS                          {name: what makes the panel, and what of it the page keeps}

Each page holds every position of its controls, drawn beforehand (`show/page.py`). Nothing is
trained for them: they show grids, shapes and weights that the kit ships. A panel of your own is
saved by `panel.save(path)`. `python -m ftkit explorers` is the verb.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import (
    cost,
    data,
    decide,
    lab,
    lora,
    memory,
    merge,
    methods,
    models,
    operate,
    prefer,
    quant,
    train,
)
from ..core.errors import UserError, nearest
from ..core.results import Result, TableParts, decimal_bytes
from ..core.session import quiet
from ..show.panel import Panel

LLAMA = "llama-3.1-8b"  # of which shapes are shown
CARDS = ("T4 16", "RTX 4090 24", "A100 80")
ROWS = 64  # tickets whose batches are shown


def ranks() -> Panel:
    """What the pocket model's own matrices lose."""
    layers = models.linears(models.load("pocket")[0])
    W = {name: lora.spectrum.svd(layer.weight, name) for name, layer in layers.items()}
    return lora.explore_ranks({"W": W})


def paths() -> Panel:
    """LoRA's second path beside a matrix of the pocket model, to scale."""
    layers = models.linears(models.load("pocket")[0])
    names = {
        part: next(name for name in layers if name.endswith(part))
        for part in ("k_proj", "q_proj", "up_proj")
    }
    shapes = {part: layers[name].weight.shape for part, name in names.items()}
    return lora.explore_paths({part: (shape[0], shape[1]) for part, shape in shapes.items()})


def alphas() -> Panel:
    """Alpha against the learning rate, in the runs of notebook 02."""
    rows = lab.grids.select(lab.grids.read(), data="tickets", r=8, targets="all-linear", epochs=2)
    return lora.explore_alphas(rows)


def targets() -> Panel:
    """Where a LoRA sits in a block of Llama 3.1 8B."""
    counted = lora.count(LLAMA, r=16, targets="all-linear")
    parts = {
        part.part.rsplit(".", 1)[-1]: (part.d_out, part.d_in, part.copies) for part in counted.parts
    }
    return lora.explore_targets(parts, counted.base)


def levels() -> Panel:
    """Which of sixteen values a weight becomes, in three formats."""
    return quant.explore_levels(formats=("int4", "nf4", "fp4"))


def formats() -> Panel:
    """The pocket model's weights in a few bits."""
    layers = models.linears(models.load("pocket")[0])
    return quant.explore_formats({name: layer.weight for name, layer in layers.items()})


def fits() -> Panel:
    """One training step against a card."""
    return memory.explore_fits([LLAMA, "qwen2.5-0.5b", "smollm2-360m"], CARDS)


def batches() -> Panel:
    """How tickets are put together."""
    _, tokenizer = models.load("pocket")
    rows = []
    for chat in data.load("tickets", tokenizer)["train"]["messages"][:ROWS]:
        learned = sum(rendered := data.render(chat, tokenizer).learned)
        rows.append([(len(rendered) - learned, learned)])
    by_length = sorted(rows, key=lambda row: sum(row[0]))
    return train.explore_batches({"as drawn": rows, "by length": by_length})


def weight() -> Panel:
    """One weight of a 4-bit base, and what of an update survives the merge."""
    return merge.explore_weight(quant.levels("nf4").tolist())


def pairs() -> Panel:
    """Rate and β of DPO behind SFT, in the runs of notebook 12."""
    rows = lab.grids.select(lab.grids.read("preferences"), study="honesty", start="sft")
    return prefer.explore_pairs(lab.grids.select(rows, teacher="dpo", source="own"))


def rewards() -> Panel:
    """A reward that is maximised, and what was meant, in the runs of notebook 12b."""
    rows = lab.grids.select(lab.grids.read("preferences"), study="hacking")
    panel = prefer.explore_rewards([row for row in rows if row.steps == 16])
    panel.choose(source="judge 30", beta=0.0)
    return panel


def every_method() -> Panel:
    """Each method of fine-tuning over its rates, in the runs of notebook 08."""
    return methods.explore_methods(methods.outcomes(lab.grids.read("methods"), "tickets"))


def monitor() -> Panel:
    """Ten alarms on requests for new products, of which hardly one is answered right."""
    known = [chat[0]["content"] for chat in operate.draw_tickets(48, seed=5)["messages"]]
    usual, changed = (
        operate.Pool.of(operate.draw_tickets(100, change), right, known=known)
        for change, right in (("usual", 0.97), ("new products", 0.0))
    )
    return operate.explore_monitor(usual, changed)


@dataclass(frozen=True)
class Explorer:
    """What makes a panel, and the values of its controls that its page keeps."""

    make: Callable[[], Panel]
    only: Mapping[str, Any]


EXPLORERS = {
    "ranks": Explorer(ranks, {"layer": 0, "matrix": ["q_proj", "v_proj", "up_proj", "down_proj"]}),
    "paths": Explorer(paths, {}),
    "alphas": Explorer(alphas, {}),
    "targets": Explorer(targets, {}),
    "levels": Explorer(levels, {}),
    "formats": Explorer(formats, {"layer": 0}),
    "fits": Explorer(fits, {"model": LLAMA, "batch": 1, "optimizer": "adamw", "rank": [8, 16, 64]}),
    "batches": Explorer(batches, {}),
    "costs": Explorer(
        cost.explore_cost,
        {
            "method": ["lora", "qlora"],
            "rows": 1000,
            "epochs": [1, 3],
            "utilisation": [0.05, 0.1, 0.3, 0.43],
            "card": ["A100 40", "A100 80"],
        },
    ),
    "methods": Explorer(every_method, {}),
    "decision": Explorer(decide.explore_decision, {}),
    "weight": Explorer(weight, {}),
    "pairs": Explorer(pairs, {}),
    "rewards": Explorer(rewards, {}),
    "monitor": Explorer(monitor, {}),
    "plane": Explorer(
        lab.open_playground,
        {
            "method": ["lora", "full"],
            "epochs": [1, 2, 3, 6],
            "targets": "all-linear",
            "replay": [0.0, 0.2],
        },
    ),
}


@dataclass(frozen=True, repr=False)
class Pages(Result):
    """The pages that were written, {name: bytes}."""

    folder: str
    bytes: dict[str, int]

    def table(self) -> TableParts:
        """Every page and its size."""
        rows = [(f"{name}.html", decimal_bytes(size)) for name, size in self.bytes.items()]
        return f"Explorers in {self.folder}", ("page", "size"), rows


def save_explorers(folder: str | Path, names: Sequence[str] = ()) -> Pages:
    """Write the kit's explorers, or those of these names, as one page each into a folder.

    The folder is made, its parent has to be there. Raises UserError for a name that there is not,
    and then writes nothing.
    """
    if unknown := [name for name in names if name not in EXPLORERS]:
        known = list(EXPLORERS)
        raise UserError(
            f"there is no explorer {unknown[0]!r}; there are {', '.join(known)}."
            f"{nearest(unknown[0], known)}"
        )
    folder = Path(folder)
    if folder.is_file() or not folder.parent.is_dir():
        raise UserError(f"{folder} cannot be made a folder; give one whose parent is there.")
    folder.mkdir(exist_ok=True)
    quiet()
    sizes = {}
    for name in names or EXPLORERS:
        explorer = EXPLORERS[name]
        path = explorer.make().save(folder / f"{name}.html", **explorer.only)
        sizes[name] = path.stat().st_size
    return Pages(str(folder), sizes)
