"""Rows Q1 to Q10 of the ledger: four bits, and the bytes and minutes of a training step.

    CLAIMS    the claims, in order

Bytes are those of `memory`'s formula, of one row of 512 tokens unless a figure says more; formats
are `quant`'s, beside bitsandbytes; scores come from the grids "playground" and "real". "Enough"
means that the peak lies below what a guide names. Notebooks 03, 04 and 04b.
"""

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

from .. import cost, evaluate, forgetting, lab, memory, models, quant
from ..core.statistics import mean_over_rows, median_ratio, paired_difference
from .claim import Claim, Figure, as_written, exact, of_seeds
from .judges import all_within, settle_by_setting

INF = math.inf
GB = 1e9
SEVEN, EIGHT, THIRTEEN, SEVENTY = "llama-2-7b", "llama-3.1-8b", "llama-2-13b", "llama-3.1-70b"
PLAIN = {"seq": 512, "rank": 16}  # else: bfloat16, AdamW, checkpointing on, transformers' loss
# Between what full fine-tuning, and an adapter's, may differ where a guide says nothing.
OF_FULL: Mapping[str, Mapping[str, Any]] = {
    "bfloat16": {},
    "float32": {"dtype": "float32"},
    "bfloat16, 8-bit Adam": {"optimizer": "adamw_8bit"},
}
OF_ADAPTERS: Mapping[str, Mapping[str, Any]] = {
    "checkpointing": {},
    "checkpointing, tiled loss": {"loss": "tiled"},
    "no checkpointing": {"checkpointing": False},
}
ON_CPU = {"seq": 128, "device": "cpu", "dtype": "float32"}
ROUNDS = 11  # of timed steps, LoRA and QLoRA in turn, behind one that is not counted


def peak_gb(model: str, method: str, **options: Any) -> float:
    """The peak of one step by formula, in GB of 10⁹ bytes."""
    return memory.predict(model, method=method, **(PLAIN | options)).peak / GB


def enough(who: str, model: str, method: str, gigabytes: float) -> list[Figure]:
    """The peak of a step in each setting, held against the GB that a guide names."""
    settings = OF_FULL if method == "full" else OF_ADAPTERS
    name = f"{who}, {method} of {model} in {gigabytes:g} GB"
    return [
        exact(f"{name}: {how}", peak_gb(model, method, **options), "GB", (-INF, gigabytes))
        for how, options in settings.items()
    ]


# What each row measures.


def bits_of_qlora() -> Sequence[Figure]:
    """Q1: our NF4 beside bitsandbytes' on every matrix of the pocket model; the adapter's bits."""
    import torch

    bnb = quant.import_bitsandbytes()
    matrices = [
        layer.weight.detach() for layer in models.linears(models.load("pocket")[0]).values()
    ]
    same = 0
    for W in matrices:
        ours = quant.quantize(W, "nf4", 64, double=True)
        packed, state = bnb.quantize_4bit(
            W, blocksize=64, quant_type="nf4", compress_statistics=True
        )
        same += torch.equal(ours.packed, packed.flatten()) and torch.equal(
            ours.dequantize(), bnb.dequantize_4bit(packed, state)
        )
    frozen = models.load("pocket", quant="nf4")[0]
    held = quant.stored_bytes(frozen).bits_per_weight
    bits = 8 * lora_bytes() / lora_numbers()
    share = same / len(matrices)
    return [
        Figure(
            "share of matrices that equal bitsandbytes' bits", share, n=len(matrices), said=(1, 1)
        ),
        exact("levels of NF4", len(quant.levels("nf4").unique()), said=(16, 16)),
        exact(
            "bits per frozen weight that bitsandbytes holds, codes and scales", held, said=(4, 4.2)
        ),
        exact("bits per number of the adapter", bits, said=(15.99, 16.2)),
    ]


def lora_bytes() -> float:
    """Bytes of an adapter in a QLoRA step of an 8B model."""
    return memory.predict(EIGHT, method="qlora", **PLAIN).parts["adapter"]


def lora_numbers() -> int:
    """How many numbers that adapter has."""
    from .. import lora

    return lora.count(EIGHT, r=16, targets="all-linear").trainable


def times_smaller() -> Sequence[Figure]:
    """Q2: LoRA's peak over QLoRA's on 8B, by the length of the one row."""
    four, half = (3.5, 4.5), (1.8, 2.2)
    figures = []
    for tokens in (128, 512, 2048, 8192, 32768):
        peaks = [peak_gb(EIGHT, method, seq=tokens) for method in ("lora", "qlora")]
        tiled = peak_gb(EIGHT, "qlora", seq=tokens, loss="tiled")
        times, saved = peaks[0] / peaks[1], 100 * (1 - tiled / peaks[1])
        figures += [
            exact(f"4 times less memory: one row of {tokens:,}", times, "times", four),
            exact(f"half the memory: one row of {tokens:,}", times, "times", half),
            exact(f"what a tiled loss takes off beside it: one row of {tokens:,}", saved, "%"),
        ]
    linear = 16 / quant.bits_per_weight("nf4", 64, double=True)
    parts = {m: memory.predict(EIGHT, method=m, **PLAIN).parts for m in ("lora", "qlora")}
    whole = parts["lora"]["weights"] / (parts["qlora"]["weights"] + parts["qlora"]["quant_state"])
    return [
        *figures,
        exact("the linear layers alone", linear, "times"),
        exact("all weights, embeddings and head with them", whole, "times"),
    ]


def bits_of_scales() -> Sequence[Figure]:
    """Q3: bits per weight of scales, by formula and as bitsandbytes holds them."""
    plain, double = (quant.bits_per_weight("nf4", 64, double=on) for on in (False, True))
    held = quant.stored_bytes(models.load("pocket", quant="nf4")[0])
    weights = 8 * held.codes / 4
    taken = 8 * (held.scales + held.second_scales) / weights
    return [
        exact("bits per weight for scales, plain", plain - 4, said=(0.5, 0.5)),
        exact("bits per weight for scales, quantized", double - 4, said=as_written("0.127")),
        exact("what bitsandbytes holds for scales", taken, "bits per weight", (0, plain - 4)),
        exact("saved on 70 billion weights", 70e9 * (plain - double) / 8 / GB, "GB", (0, INF)),
    ]


def memory_of_eight() -> Sequence[Figure]:
    """Q4: what guides name for a model of 7 to 8 billion."""
    named = [
        ("G1", EIGHT, "full", 80), ("G4", EIGHT, "full", 160), ("G5", EIGHT, "full", 640),
        ("G1", SEVEN, "lora", 16), ("G1", EIGHT, "lora", 24), ("G4", EIGHT, "lora", 40),
        ("G1", EIGHT, "qlora", 8), ("G4", EIGHT, "qlora", 12), ("G2", EIGHT, "qlora", 16),
        ("G5", EIGHT, "qlora", 24),
    ]  # fmt: skip
    return [figure for one in named for figure in enough(*one)]


def memory_of_seventy() -> Sequence[Figure]:
    """Q5: what guides name for a model of 70 billion; and the bytes that they left out."""
    named = [
        ("G3", "full", 280), ("G3's cards", "full", 560), ("G1", "full", 640),
        ("G3", "lora", 160), ("G1", "lora", 320),
        ("G3's RTX 4090", "qlora", 24), ("G3", "qlora", 35), ("G3's A100", "qlora", 40),
        ("G1", "qlora", 48), ("G1 and G2", "qlora", 80),
    ]  # fmt: skip
    figures = [one for who, how, gb in named for one in enough(who, SEVENTY, how, gb)]
    parts = memory.predict(SEVENTY, method="qlora", **PLAIN).parts
    frozen = (parts["weights"] + parts["quant_state"]) / GB
    numbers = memory.predict(SEVENTY, method="full", **PLAIN).parts["weights"] / 2
    return [
        *figures,
        exact("bytes per parameter in 280 GB", 280 * GB / numbers),
        exact("GB of weights and scales in NF4, before a token", frozen, "GB"),
        exact("GB of float32 AdamW", peak_gb(SEVENTY, "full", dtype="float32"), "GB"),
    ]


def rows_that_fit() -> Sequence[Figure]:
    """Q6: the longest row of a QLoRA step on the named card, with a tiled loss."""
    asked = (
        (THIRTEEN, "RTX 4090 24", "bfloat16"),
        (SEVEN, "T4 16", "float16"),
        (EIGHT, "T4 16", "float16"),
    )
    figures = []
    for model, card, dtype in asked:
        fit = memory.fits(model, card, method="qlora", dtype=dtype, loss="tiled", batches=(1,))
        what = f"longest row of {model} by QLoRA on a {card}"
        figures.append(exact(what, fit.longest[1], "tokens", (512, INF)))
    return figures


def without_checkpointing() -> Sequence[Figure]:
    """Q7: a QLoRA step without it, on this machine and on cards; what it saves and costs."""
    real = memory.measure("pocket", method="qlora", checkpointing=False, **ON_CPU)
    how = {"method": "qlora", "dtype": "float16", "loss": "tiled", "batches": (1,)}
    fit = memory.fits(EIGHT, "T4 16", checkpointing=False, **how)
    options = {"seq": 4096, "rank": 16}
    peaks = [peak_gb(EIGHT, "qlora", **options, checkpointing=on) for on in (False, True)]
    work = [
        cost.train_flops(EIGHT, method="qlora", checkpointing=on, seq=512).total
        for on in (True, False)
    ]
    return [
        Figure("real steps that ran without it", float(real.peak > 0), n=1, said=(0, 0)),
        exact("longest row of 8B on a T4 without it", fit.longest[1], "tokens", (0, 0)),
        exact("peak without it over the peak with it, 4,096 tokens", peaks[0] / peaks[1], "times"),
        exact("FLOPs with it over FLOPs without", work[0] / work[1], "times"),
    ]


def errors_of_formats() -> Sequence[Figure]:
    """Q8: int4's rounding error over NF4's, and the KL that each costs, on the pocket model."""
    model, tokenizer = models.load("pocket")
    matrices = [layer.weight.detach() for layer in models.linears(model).values()]
    figures = []
    for block in (16, 64, 4096):
        pairs = [
            [quant.rounding_error(W, f, block).relative for f in ("int4", "nf4")] for W in matrices
        ]
        times = [worse / better for worse, better in pairs]
        what = f"int4's error over NF4's, blocks of {block:,}"
        figures.append(Figure(what, *mean_over_rows(times), "times", len(times), said=(1, INF)))
    questions = forgetting.fair_rows(tokenizer, 100)
    before = evaluate.answer_log_probs(model, tokenizer, questions)
    moved = {}
    for name in ("nf4", "int4"):
        with quant.in_format(model, name):
            moved[name] = before.kl(evaluate.answer_log_probs(model, tokenizer, questions))
    more = paired_difference(moved["nf4"], moved["int4"])
    what = "KL from the exact model, int4 less NF4"
    return [*figures, Figure(what, *more, "nats", len(questions), said=(0, INF))]


def scores_of_grids() -> dict[str, dict[tuple[str, float], dict[int, float]]]:
    """{model: {(method, rate): {seed: task score}}} of both grids that have all three methods."""
    usual = {"epochs": 2, "targets": "all-linear", "dora": False, "replay": 0, "kl": 0}
    pocket = lab.grids.select(lab.grids.read("playground"), weight_decay=0, **usual)
    found: dict[str, dict] = {"pocket model": {}, "SmolLM2-135M": {}}
    for row in pocket:
        if row.r in (0, 16):
            found["pocket model"].setdefault((row.method, row.lr), {})[row.seed] = row.task
    for row in lab.grids.read("real"):
        if row.lr:
            method = "full" if not row.r else "qlora" if row.quant else "lora"
            scores = found["SmolLM2-135M"].setdefault((method, row.lr), {})
            scores[row.seed] = row.task["movies"]
    return found


def at_best(
    runs: Mapping[tuple[str, float], Mapping[int, float]], method: str
) -> Mapping[int, float]:
    """{seed: score} of a method at the rate with the highest mean."""
    own = [scores for (name, _), scores in runs.items() if name == method]
    return max(own, key=lambda scores: statistics.fmean(scores.values()))


def quality_kept() -> Sequence[Figure]:
    """Q9: QLoRA's score over full fine-tuning's, each at its best rate, seed by seed."""
    figures = []
    for model, runs in scores_of_grids().items():
        ours, full = at_best(runs, "qlora"), at_best(runs, "full")
        shares = {seed: ours[seed] / full[seed] for seed in ours.keys() & full.keys()}
        for said, least in (("90 % of full", 0.9), ("within 2 % of full", 0.98)):
            figures.append(of_seeds(f"{said}: {model}", shares, said=(least, INF)))
    return figures


def seconds_of_steps() -> Sequence[Figure]:
    """Q10: the time of a QLoRA step over a LoRA step, taken in turn on this machine."""
    import torch

    how = {**ON_CPU, "batch": 2}
    steps = {
        m: memory.build_model(memory.make_step("pocket", method=m, **how))
        for m in ("lora", "qlora")
    }
    ids = torch.randint(5, 1280, (2, 128), generator=torch.Generator().manual_seed(0))
    took: dict[str, list[float]] = {name: [] for name in steps}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a core that waits for another one would count as time
    for _ in range(ROUNDS + 1):
        for name, model in steps.items():
            began = time.process_time()
            model(input_ids=ids, labels=ids).loss.backward()
            took[name].append(time.process_time() - began)
    torch.set_num_threads(threads)
    ratio = median_ratio(took["qlora"][1:], took["lora"][1:])
    what = "processor time of a QLoRA step over a LoRA step, pocket model"
    return [Figure(what, *ratio, "times", ROUNDS, said=(1, INF))]


MEMORY = "from ftkit import memory\n"
QUANT = "from ftkit import models, quant\n"

CLAIMS = (
    Claim(
        "Q1",
        "QLoRA is a frozen base in NF4 with quantized scales, and adapters in 16 bits",
        "M",
        ("G1", "G2", "G3", "G4", "G5"),
        QUANT + "W = next(iter(models.linears(models.load()[0]).values())).weight\n"
        'quant.quantize(W, "nf4", 64, double=True)  # beside bitsandbytes.functional.quantize_4bit',
        "It holds where our NF4 from first principles equals bitsandbytes' on every matrix, to the "
        "bit, and base and adapter have the bits that are named.",
        bits_of_qlora,
        all_within,
        "03",
        quote={"G3": "QLoRA = Quantize base model to 4-bit + Apply LoRA adapters (16-bit)"},
        dear=True,
    ),
    Claim(
        "Q2",
        "Four bits cut the memory of training to a quarter, or to about half",
        "X",
        ("G1", "G2", "G4", "G5"),
        MEMORY + 'lora, qlora = (memory.predict("llama-3.1-8b", method=m, seq=2048).peak\n'
        '               for m in ("lora", "qlora"))\nlora / qlora',
        "A guide is right where its figure is met at some length of the row; settled where some "
        'figures are met at a length and some at none. G2\'s "30 to 70 %" by special kernels '
        "contradicts neither: what a tiled loss takes off is shown.",
        times_smaller,
        settle_by_setting,
        "04",
        quote={
            "G1": "QLoRA … reduce GPU memory requirements by approximately 4x",
            "G4": "This cuts memory by ~4× compared to LoRA",
            "G5": "Cuts VRAM roughly in half vs LoRA alone",
        },
        dear=True,
    ),
    Claim(
        "Q3",
        "Quantizing the scales, too, saves memory",
        "C",
        ("G1", "G3", "G4"),
        QUANT + 'quant.bits_per_weight("nf4", 64), quant.bits_per_weight("nf4", 64, double=True)',
        "It holds where scales take 0.127 bits per weight in place of 0.5, by formula, and less "
        "than 0.5 in what bitsandbytes holds.",
        bits_of_scales,
        all_within,
        "03",
        quote={"G1": "Nested quantization for extra savings"},
        dear=True,
    ),
    Claim(
        "Q4",
        "What a run on a model of 7 to 8 billion needs: from 8 GB by QLoRA to eight cards in full",
        "X",
        ("G1", "G2", "G4", "G5"),
        MEMORY + 'memory.predict("llama-3.1-8b", method="full", seq=512, dtype="float32")',
        "A figure is right where a step of one row fits below it in some of three settings; "
        "settled where some never fit; where all fit in some settings only, it depends on these.",
        memory_of_eight,
        settle_by_setting,
        "04b",
        quote={
            "G1": "80+ GB (7B) … 16-24 GB (7B) … 8-16 GB (7B)",
            "G2": "A 7B model fine-tunes on a 16GB GPU",
            "G4": "8× A100 80GB for a 7B model … 40 GB … 12 GB",
            "G5": "often 8×80 GB for a 7B model in fp16 … a 7B QLoRA run often fits in 24 GB",
        },
    ),
    Claim(
        "Q5",
        "What a run on 70 billion needs: 280 or 640 GB in full, 160 or 320 by LoRA, 35 to 80 by "
        "QLoRA, or one RTX 4090",
        "X",
        ("G1", "G2", "G3"),
        MEMORY + 'memory.predict("llama-3.1-70b", method="qlora", seq=512, rank=16)',
        "A figure is right where a step of one row fits below it in some of three settings; "
        "settled where some figures fit and some never do.",
        memory_of_seventy,
        settle_by_setting,
        "04b",
        quote={
            "G1": "640+ GB (70B) … 48 GB (70B) … 70B models on a single A100 80GB",
            "G2": "A 70B model requires a single A100 80GB or two consumer 24GB GPUs",
            "G3": "~280 GB (need 7× A100 80GB) … ~35 GB (1× A100 40GB or 1× RTX 4090!)",
        },
    ),
    Claim(
        "Q6",
        "By QLoRA 13 billion fit a card of 24 GB, and 7 billion one of 16 GB",
        "C",
        ("G2", "G5"),
        MEMORY + 'memory.fits("llama-2-13b", "RTX 4090 24", method="qlora", loss="tiled")',
        "It holds where a row of 512 tokens or more fits, by formula, five per cent left free.",
        rows_that_fit,
        all_within,
        "04b",
        quote={"G2": "a 13B model fits on a consumer 24GB GPU (like the RTX 4090)"},
    ),
    Claim(
        "Q7",
        "Gradient checkpointing is required with a base in four bits",
        "M",
        ("G4",),
        MEMORY + 'memory.measure("pocket", method="qlora", checkpointing=False, seq=128,\n'
        '               device="cpu", dtype="float32")',
        "It fails where a real step runs without it, and an 8B model fits a card without it.",
        without_checkpointing,
        all_within,
        "04",
        quote={"G4": "gradient checkpointing is required with 4-bit quantization"},
        dear=True,
    ),
    Claim(
        "Q8",
        "NF4 is better than int4",
        "M",
        ("G4",),
        QUANT + "W = next(iter(models.linears(models.load()[0]).values())).weight\n"
        '[quant.rounding_error(W, name, 64) for name in ("nf4", "int4")]',
        "It holds where int4 errs more than NF4 on the model's matrices at every length of a "
        "block, and moves its predictions further, both by their whole intervals.",
        errors_of_formats,
        all_within,
        "03",
        quote={"G4": "NormalFloat4 — better than int4"},
        dear=True,
    ),
    Claim(
        "Q9",
        "QLoRA keeps 90 % of full fine-tuning's quality; or all but 1 to 2 %",
        "X",
        ("G1", "G3", "G5"),
        'from ftkit import lab\nlab.carry_over("03")  # QLoRA beside LoRA, on both models',
        "A guide is right where the whole interval of the share lies above what it says, for one "
        "of two models; with its end below, it cannot be told.",
        quality_kept,
        settle_by_setting,
        "03",
        quote={
            "G1": "90% of full",
            "G3": "Within 1-2% of full fine-tuning",
            "G5": "at a small quality trade-off",
        },
    ),
    Claim(
        "Q10",
        "A step of QLoRA takes longer than one of LoRA",
        "M",
        ("G1",),
        MEMORY + 'step = memory.make_step("pocket", method="qlora", batch=4, seq=128,\n'
        '                        device="cpu", dtype="float32")\nmemory.build_model(step)',
        "It holds where the interval of the ratio of times, in rounds taken in turn, lies above 1.",
        seconds_of_steps,
        all_within,
        "03",
        quote={"G1": "QLoRA on the same model takes 2-3 hours due to quantization overhead"},
        dear=True,
    ),
)
