"""Bits, bytes and FLOPs: what is asked in notebooks 03, 04, 04b and 14, and its answers.

    EXERCISES      levels, bits per weight, rounding by hand; a training step; guides' figures
    PREDICTIONS    which levels, how many bits, what four bits save, what checkpointing costs; work

Each exercise names the mistakes that people make; code of the reader's is checked in `matrices`
and `loops`. Sizes are given in bytes unless the question names another unit.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist, fmean
from typing import TYPE_CHECKING, Any

from ..core.results import GIB, about, percent
from . import loops, matrices
from .exercise import CODE, COUNT, NUMBERS, WORDS, Exercise, Mistake, Prediction

if TYPE_CHECKING:
    import torch

END = 0.9677083  # the outermost quantile of NormalFloat, before it is divided to 1
WHOLE = 1 << 20  # a block that holds a whole matrix
LINEAR_16 = 41_943_040  # numbers of r = 16 on all linear layers of Llama 3.1 8B
LLAMA_8B = 8_030_261_248
LLAMA_70B = 70_553_706_496
NF4_70B = 39.5  # GB in NF4: codes, scales, embeddings and head
NF4_13B = 7.202048  # the same of Llama 2 13B
USABLE_80 = 79.14  # GiB of an A100 or H100 sold as 80 GB
CARDS_80 = (13.3, 13.28, 16 * LLAMA_70B / (USABLE_80 * GIB))  # of them for 70B, as people round
USABLE_24 = 23.64  # GiB of an RTX 4090
FREE_24 = 2 * (USABLE_24 - 0.5) * GIB / 1e9  # GB of two of them, CUDA's half GiB off each
QWEN_WORDS = 151_936


def quantiles(
    above: int, below: int, zero: tuple[float, ...] = (0.0,), end: float = END
) -> list[float]:
    """NormalFloat with so many levels on each side, in rising order, divided to 1."""
    up = [NormalDist().inv_cdf(end + (0.5 - end) * i / above) for i in range(above)]
    down = [-NormalDist().inv_cdf(end + (0.5 - end) * i / below) for i in range(below)]
    return [value / max(up) for value in sorted([*down, *zero, *up])]


def rounded_whole(W: "torch.Tensor", levels: str = "nf4", block: int = WHOLE) -> float:
    """The relative error of a matrix in this format, at this block."""
    from .. import quant

    return quant.rounding_error(W, levels, block).relative


EVEN = [-1 + 2 * i / 7 for i in range(8)]
NO_ZERO = [
    NormalDist().inv_cdf(1 - END + (2 * END - 1) * i / 7) / NormalDist().inv_cdf(END)
    for i in range(8)
]
UNDIVIDED = [NormalDist().inv_cdf(END) * level for level in quantiles(4, 3)]
OWN_END = quantiles(4, 3, end=1 - (1 / 14 + 1 / 16) / 2)  # cut for seven and eight slices

FOUR_BITS = (
    Exercise(
        "03.1",
        "Three bits, NormalFloat",
        quantiles(4, 3),
        (
            Mistake(EVEN, "Equal steps; the levels must lie closer where the weights are."),
            Mistake(NO_ZERO, "Zero is no level here, so a weight of zero would come back changed."),
            Mistake(
                quantiles(4, 4), "Four on each side and zero make nine; three bits hold eight."
            ),
            Mistake(quantiles(3, 4), "Right idea, other side: the extra level is above zero."),
            Mistake(quantiles(4, 4, ()), "There is no zero among these, and it must be a level."),
            Mistake(quantiles(4, 3)[::-1], "Right levels; give them in rising order."),
            Mistake(UNDIVIDED, "Right quantiles; divide all of them by the largest."),
            Mistake(OWN_END, "Right steps from another end: take the `end` of section 2."),
        ),
        because="four above, three below, and zero, divided by the largest.",
        hint="`NormalDist().inv_cdf` at equal steps from 0.9677 down to one half, on each side.",
        look="The cell that makes NF4: eight steps above one half, seven below.",
        solution="`above` from `torch.linspace(end, 0.5, 5)[:-1]`, `below` from "
        "`torch.linspace(end, 0.5, 4)[:-1]`, a zero, all divided by the largest.",
        difficulty="medium",
        minutes=8,
        kind=NUMBERS,
    ),
    Exercise(
        "03.2",
        "Bits per weight",
        4 + 8 / 128 + 32 / (128 * 256),
        (
            Mistake(4 + 8 / 128 + 32 / 256, "The second scale serves 256 blocks, not 256 weights."),
            Mistake(4 + 32 / 128, "That is without double quantization."),
            Mistake(4 + 32 / 64, "That is for blocks of 64, and without double quantization."),
            Mistake(4 + 8 / 128, "Nearly: the 8-bit scales have a 32-bit scale of their own."),
            Mistake(4 + 8 / 64 + 32 / (64 * 256), "That is for blocks of 64."),
            Mistake(
                4 + 8 / 128 + 32 / (64 * 256),
                "Nearly: a second scale now serves 256 blocks of 128 weights, not of 64.",
            ),
            Mistake(4, "Those are the codes alone; the scales have to be stored too."),
        ),
        because="Half as many scales as with blocks of 64, and a little more error.",
        hint="Codes, then an 8-bit scale per block, then a 32-bit one per 256 blocks.",
        look="The sum under *The scales are quantized too*, for blocks of 64.",
        solution="`4 + 8 / 128 + 32 / (128 * 256)`, a little under 4.064.",
        minutes=4,
        importance=4,
    ),
    Exercise(
        "03.3",
        "One scale for all",
        rounded_whole,
        (
            Mistake(
                lambda W: rounded_whole(W, "nf4", 64),
                "That is with a scale for every 64 weights, not one for all.",
            ),
            Mistake(
                lambda W: rounded_whole(W, "int4"),
                "The levels of int4 are in there; take NF4's.",
            ),
            Mistake(
                lambda W: rounded_whole(W) ** 2, "The error is a ratio of norms, not of squares."
            ),
        ),
        because="One outlier now sets the steps of the whole matrix.",
        hint="Divide by the largest absolute value of all, go to the nearest level, and back.",
        look="Section 3, with one scale in place of one per block.",
        solution='`quant.rounding_error(W, "nf4", block=1 << 20).relative`; by hand: '
        "`s = W.abs().max()`, `Q = levels[torch.bucketize(W / s, halfway)] * s`, "
        "`((W - Q).norm() / W.norm()).item()`.",
        difficulty="medium",
        minutes=5,
        evidence="the matrix W",
    ),
    Exercise(
        "03.4",
        "Which run says it?",
        "neither",
        (
            Mistake(
                "QLoRA",
                "That run was trained and tested on NF4; production has exact weights under it.",
            ),
            Mistake(
                "moved to NF4",
                "That is the other direction: trained on exact weights, tested on rounded ones.",
            ),
        ),
        because="Both were tested on NF4. Put the QLoRA run's adapter on exact weights and test it "
        "there.",
        hint="What lies under the adapter in training, and what when it is asked?",
        look="Section 7: the table of the two runs, and that of the adapter which was moved.",
        solution="`'neither'`: the model in production is one that no run here has tested.",
        minutes=2,
        importance=5,
        kind=WORDS,
        choices=("QLoRA", "moved to NF4", "neither"),
    ),
    Exercise(
        "03.5",
        "One weight by hand",
        -0.5250730514526367 * 0.4,
        (
            Mistake(-0.5250730514526367, "That is the level; multiply by the block's 0.4."),
            Mistake(0.5250730514526367 * 0.4, "The sign is lost: −0.6 goes to a level below zero."),
            Mistake(-0.6961928009986877 * 0.4, "−0.696 is further from −0.6 than −0.525 is."),
            Mistake(-4 / 7 * 0.4, "That is int4's level; NF4 has others."),
            Mistake(-0.24, "That is the weight itself; in four bits it falls to a level."),
            Mistake(-0.2, "Look for the level nearest to −0.24 / 0.4, not to −0.24."),
        ),
        because="−0.24 / 0.4 = −0.6, the nearest level is −0.5251, and back: −0.21.",
        hint="Divide by absmax first: which of the sixteen levels is nearest to −0.6?",
        look="`levels`, made in section 2: print it.",
        solution="`-0.5251 * 0.4 = -0.21`.",
        minutes=3,
        importance=4,
    ),
    Exercise(
        "03.6",
        "How much smaller?",
        16 / 4.126953125,
        (
            Mistake(4, "The scales are missing: 4.127 bits per weight, not 4."),
            Mistake(16 / 4.5, "That is without double quantization."),
            Mistake(3.55, "That is 16 / 4.5, without double quantization."),
            Mistake(4.126953125 / 16, "Upside down: 16 bits are how many times as many?"),
            Mistake(32 / 4.126953125, "That is against float32; the question is 16 bits."),
        ),
        because="3.88 times, and that for the linear layers only.",
        hint="16 bits per weight against 4.127.",
        look="Section 4, the bits per weight that double quantization leaves.",
        solution="`16 / 4.126953125`.",
        minutes=2,
    ),
    Exercise(
        "03.nf4",
        "Quantize and dequantize",
        matrices.check_four_bits,
        because="It was asked of blocks that you had not seen.",
        hint="One scale per block, which `[:, None]` turns into a column. `scaled[..., None] - "
        "levels` holds every weight against every level: which one is nearest?",
        look="Section 3: divide, look up, multiply; `levels[codes]` looks up all codes at once.",
        solution="`def quantize(blocks, levels):\n    absmax = blocks.abs().amax(1)\n"
        "    scaled = blocks / absmax[:, None]\n"
        "    return (scaled[..., None] - levels).abs().argmin(-1), absmax\n"
        "def dequantize(codes, absmax, levels):\n    return levels[codes] * absmax[:, None]`",
        difficulty="medium",
        minutes=12,
        importance=5,
        kind=CODE,
    ),
)

BYTES = (
    Exercise(
        "04.1",
        "GB and GiB",
        112e9 / GIB,
        (
            Mistake(112, "A GiB is 2³⁰ bytes, seven per cent more than a GB."),
            Mistake(112 * GIB / 1e9, "Upside down: a GiB is larger, so there are fewer of them."),
            Mistake(112e9 / 2**20, "That is MiB; a GiB has 2³⁰ bytes."),
        ),
        because="10⁹ against 2³⁰: seven per cent.",
        hint="112 · 10⁹ bytes; a GiB has 2³⁰.",
        look="The paragraph that begins 'Mind the unit'.",
        solution="`112e9 / 2**30 = 104.3`.",
        minutes=2,
    ),
    Exercise(
        "04.2",
        "Bytes per trained parameter",
        12,
        (
            Mistake(16, "That is all in float32; weight and gradient have two bytes here."),
            Mistake(8, "That is all in bfloat16; the two moments have four bytes each here."),
            Mistake(10, "Adam has two moments, of four bytes each, and there is a gradient too."),
            Mistake(14, "The gradient has two bytes here: it is kept in bfloat16, as the weight."),
            Mistake(4, "Weight and gradient; Adam's two moments come on top."),
        ),
        because="2 + 2 + 4 + 4: weight, gradient, two moments.",
        hint="Weight, gradient, first moment, second moment: two or four bytes each.",
        look="Section 1, the table of three ways.",
        solution="`2 + 2 + 4 + 4 = 12`.",
        minutes=2,
        importance=4,
        kind=COUNT,
    ),
    Exercise(
        "04.3",
        "The price of the adapter",
        4 * LINEAR_16 * 16,
        (
            Mistake(4 * LINEAR_16 * 12, "One is missing: adapter, gradient, and *two* moments."),
            Mistake(4 * LINEAR_16 * 4, "A quarter of it: the adapter alone, or all at r = 16."),
            Mistake(
                4 * LINEAR_16 * 8, "Those would be 16-bit numbers; peft makes adapters float32."
            ),
            Mistake(
                LLAMA_8B * 16,
                "That is full fine-tuning: a frozen base has no gradients or moments.",
            ),
            Mistake(4 * LINEAR_16 * 16 / GIB, "That is in GiB; the question is in bytes."),
            Mistake(4 * LINEAR_16 * 16 / 1e9, "That is in GB; the question is in bytes."),
        ),
        because="4 × 41,943,040 numbers, four bytes each, four of each.",
        hint="Four times the count of r = 16; four bytes; adapter, gradient and two moments.",
        look="Section 3, `trained` at r = 16, and the two 4s of section 1.",
        solution="`4 * trained * 4 * 4`. Even at r = 64 it is a fraction of the 16-bit weights.",
        minutes=5,
        importance=4,
    ),
    Exercise(
        "04.4",
        "The logit tax",
        12 * QWEN_WORDS * 2 * 4096,
        (
            Mistake(
                2 * QWEN_WORDS * 2 * 4096,
                "Those are the 16-bit logits alone; the loss makes float32 of them, and more.",
            ),
            Mistake(4 * QWEN_WORDS * 2 * 4096, "Three float32 tensors of that size are alive."),
            Mistake(8 * QWEN_WORDS * 2 * 4096, "Those are two tables; three are alive then."),
            Mistake(12 * QWEN_WORDS * 4096, "There are two rows."),
            Mistake(12 * QWEN_WORDS * 2 * 4096 / 1e9, "That is in GB; give bytes."),
            Mistake(12 * QWEN_WORDS * 2 * 4096 / GIB, "That is in GiB; give bytes."),
        ),
        because="14.9 GB, many times what the weights of the 0.5B model take (1 GB).",
        hint="One number for every token and every word: how many such tables are alive at the "
        "peak, and how wide is a number in them?",
        look="Section 3, on logits and loss.",
        solution="`12 * 151936 * 2 * 4096`, for a model of half a billion parameters. With the "
        "tiled loss next to nothing.",
        minutes=5,
        importance=4,
    ),
    Exercise(
        "04.5",
        "The price of checkpointing",
        1.5,
        (
            Mistake(4 / 3, "That is full fine-tuning, whose backward pass costs two forwards."),
            Mistake(
                1.42,
                "That was counted for the pocket model, whose head runs only once; take the rule.",
            ),
            Mistake(2, "One forward pass is added to a forward and a backward one."),
            Mistake(1, "The forward pass is run a second time."),
            Mistake(0.5, "That is what is added; the step takes 1 + that."),
        ),
        because="(1 + 1 + 1) / (1 + 1): without gradients of frozen weights the backward pass "
        "costs about one forward.",
        hint="Forward 1, backward 1, and the forward again, against forward and backward.",
        look="Section 6, the rule of thumb for full fine-tuning.",
        solution="`(1 + 1 + 1) / (1 + 1) = 1.5`.",
        difficulty="medium",
        minutes=3,
    ),
    Exercise(
        "04.6",
        "One change",
        "loss",
        (
            Mistake("rank", "The adapter and all it drags along is a third of a GiB: little."),
            Mistake("optimizer", "8-bit Adam saves on what is trained: with LoRA next to nothing."),
            Mistake(
                "attention",
                "torch's sdpa already runs a flash kernel: neither keeps a table of tokens × "
                "tokens.",
            ),
        ),
        because="12 bytes for every token and every word of the vocabulary are gone.",
        hint="Which part grows with the tokens *and* with the vocabulary?",
        look='`memory.predict("llama-3.1-8b", method="qlora", seq=8192, loss="tiled")`, and each '
        "of the others.",
        solution="`'loss'`: it saves fifty times as much as any of the others.",
        difficulty="medium",
        minutes=8,
        importance=5,
        kind=WORDS,
        choices=("rank", "optimizer", "attention", "loss"),
    ),
    Exercise(
        "04.ledger",
        "A ledger of one step",
        loops.check_ledger,
        because="It was asked of models that you had not seen.",
        hint="What has a gradient? What has moments? And three float32 tensors of tokens × words.",
        look="Section 3, part by part.",
        solution="`def ledger(frozen, trained, tokens, words):\n    return {'weights': 2 * frozen "
        "+ 4 * trained,\n        'gradients': 4 * trained,\n        'moments': 8 * trained,\n"
        "        'logits': 12 * tokens * words}`",
        difficulty="medium",
        minutes=10,
        importance=5,
        kind=CODE,
    ),
)

GUIDES = (
    Exercise(
        "04b.1",
        "Bytes per parameter",
        640e9 / LLAMA_70B,
        (
            Mistake(LLAMA_70B / 640e9, "Upside down: bytes per parameter, so bytes come first."),
            Mistake(640 * GIB / LLAMA_70B, "The guide writes GB, of 10⁹ bytes each."),
            Mistake(640e18 / GIB / LLAMA_70B, "The guide writes GB, of 10⁹ bytes each, not GiB."),
            Mistake(640e9 / 8 / LLAMA_70B, "Bytes, not bits: nothing is to be divided by 8."),
            Mistake(280e9 / LLAMA_70B, "That is the other guide's 280 GB."),
            Mistake(4, "That is the other guide's 280 GB; divide 640 GB by the parameters."),
            Mistake(8, "That is the nearest of 4, 8 and 16; give the number itself."),
            Mistake(16, "That is float32; divide the guide's bytes by the parameters."),
        ),
        because="More than eight: all in bfloat16 would do, or 8-bit Adam; float32 and mixed "
        "precision, sixteen, would not.",
        hint="Bytes first: 640 · 10⁹ of them. Then divide by the parameters.",
        look="Section 4, the table of bytes per parameter.",
        solution="`640e9 / 70_553_706_496 = 9.07`. All in bfloat16 has 8, all in float32 has 16.",
        minutes=3,
        importance=4,
    ),
    Exercise(
        "04b.2",
        "How many cards?",
        math.ceil(16 * LLAMA_70B / (USABLE_80 * GIB)),
        (
            Mistake(8, "Eight hold less than 16 bytes for each of 70.6 billion parameters."),
            Mistake(13, "Thirteen are a little too small; a card can't be cut."),
            *(Mistake(cards, "A card can't be cut: round up.") for cards in CARDS_80),
            Mistake(15, "A card sold as 80 GB holds 79.14 GiB, which is 85 GB."),
            Mistake(4, "That is four bytes per parameter: no optimizer."),
            Mistake(7, "That is eight bytes per parameter, all in bfloat16."),
        ),
        because="13.3 cards, so fourteen; and that without a single token.",
        hint="16 bytes per parameter; a card has 79.14 · 2³⁰ bytes. Round up.",
        look="Section 4, and the table of cards in notebook 04.",
        solution="`math.ceil(16 * 70_553_706_496 / (79.14 * 2**30)) = 14`.",
        minutes=4,
        kind=COUNT,
    ),
    Exercise(
        "04b.3",
        "Half a byte for 13B",
        NF4_13B,
        (
            Mistake(6.5, "That is half a byte for everything; some parts take more."),
            Mistake(7.000074, "The scales are missing: the part `quant_state`."),
            Mistake(NF4_13B * 1e9 / GIB, "That is GiB; the question is in GB, of 10⁹ bytes."),
            Mistake(6.7, "That is GiB; the question is in GB, of 10⁹ bytes."),
            Mistake(26, "That is two bytes for each parameter, as in bfloat16."),
            Mistake(8.081067, "That is the peak of a step; here only weights and scales count."),
        ),
        because="A tenth more than 6.5: the scales, and embeddings and head in 16 bits.",
        hint="Two of the parts: `weights`, which holds embeddings and head too, and `quant_state`.",
        look="Section 3, where the same is added up for a 70B model.",
        solution='`parts = memory.predict("llama-2-13b", method="qlora", **plain).parts`, then '
        '`(parts["weights"] + parts["quant_state"]) / 1e9 = 7.20`.',
        difficulty="medium",
        minutes=4,
        importance=4,
    ),
    Exercise(
        "04b.4",
        "Two cards of 24 GB",
        2 * USABLE_24 * GIB / 1e9 - NF4_70B,
        (
            Mistake(2 * USABLE_24 - NF4_70B, "Those are GiB minus GB; make GB of both."),
            Mistake(48 - NF4_70B, "A card sold as 24 GB holds 23.64 GiB, a little more than that."),
            Mistake(USABLE_24 * GIB / 1e9 - NF4_70B, "That is one card; there are two."),
            Mistake(2 * USABLE_24 * GIB / 1e9 - 35, "The weights in NF4 take 39.5 GB, not 35."),
            Mistake(FREE_24 - NF4_70B, "Right in practice; here CUDA's half GiB stays aside."),
        ),
        because="Left for adapter, activations and loss; one row of 512 tokens takes 2.7 of them "
        "(42.2 − 39.5, tiled loss). So two cards can be enough, if the layers are shared out.",
        hint="2 · 23.64 GiB in GB, minus 39.5 GB.",
        look="Section 3: a 70B model in NF4.",
        solution="`2 * 23.64 * 2**30 / 1e9 - 39.5 = 11.3`: left for tokens, on both together.",
        difficulty="medium",
        minutes=4,
    ),
    Exercise(
        "04b.5",
        "A new figure",
        3584,
        (
            Mistake(1024, "That is with transformers' loss; one of the settings needs less."),
            Mistake(0, "Without checkpointing not one row fits; with it some do."),
            Mistake(7, "Those are rows; each has 512 tokens."),
            Mistake(34_816, "That is QLoRA of Llama 3.1 8B in 24 GB."),
            Mistake(7168, "That is in 20 GB; the figure is 18."),
            *(
                Mistake(
                    512 * rows, "Not that many rows: did you take the best of all three settings?"
                )
                for rows in (1, 6, 8)
            ),
        ),
        because="Enough, then: for seven rows with the tiled loss, for two with transformers', for "
        "none without checkpointing. Now say which of these the figure means.",
        hint='`most_tokens("qwen2.5-7b", 18, method="lora")` is the first setting.',
        look='`ADAPTERS` has the settings: section 2, the folded cell "The figures and the '
        'settings".',
        solution='`max(most_tokens("qwen2.5-7b", 18, method="lora", **how) for how in '
        "ADAPTERS.values())`: 3,584, with the tiled loss.",
        difficulty="medium",
        minutes=6,
        importance=5,
        kind=COUNT,
    ),
    Exercise(
        "04b.rows",
        "The rows that fit",
        loops.check_fitting,
        because="None, some or thousands, whatever the peak looks like.",
        hint="Keep two numbers: rows that fit, and rows that don't. Ask in the middle of them.",
        look="Section 2: `bisect_right` does it there, with `peak` as its key.",
        solution="`low, high = 0, 4097  # low fits, high does not\nwhile high - low > 1:\n"
        "    middle = (low + high) // 2\n    if peak(middle) <= limit:\n        low = middle\n"
        "    else:\n        high = middle\nreturn low`",
        difficulty="medium",
        minutes=8,
        importance=5,
        kind=CODE,
    ),
)

# A million tokens at the peak of an A100, of which 40 % are used.
BY_HAND = 4 * 8e9 * 5000 * 400 * 2 / (0.4 * 312e12) / 60  # minutes
API_ROW, RENTED_ROW = 512 * 3 * 8 / 1e6, 0.0003  # dollars

WORK = (
    Exercise(
        "14.flops",
        "The FLOPs of a step",
        loops.check_flops,
        because="They are the 6 and the 4 of every estimate that you will meet.",
        hint="One product forward, one backward to the input, and one to the weights if they "
        "train. A product of d_out × d_in takes 2 · d_out · d_in FLOPs per token.",
        look="The table of section 1: its rows are the passes.",
        solution="`def flops(shapes, tokens, trained):\n    numbers = sum(d_out * d_in for d_out, "
        "d_in in shapes)\n    return (6 if trained else 4) * numbers * tokens`",
        minutes=5,
        importance=5,
        kind=CODE,
    ),
    Exercise(
        "14.1",
        "Minutes by hand",
        BY_HAND,
        (
            Mistake(BY_HAND * 1.5, "That is 6 · N: the weights of a LoRA's base are frozen."),
            Mistake(BY_HAND * 0.4, "That is at the whole peak; only 40 % of it are used."),
            Mistake(BY_HAND / 2, "There are two epochs."),
            Mistake(round(BY_HAND / 2, 1), "There are two epochs."),
            Mistake(BY_HAND * 60, "Those are seconds."),
            Mistake(BY_HAND / 60, "Those are hours."),
            Mistake(round(BY_HAND / 60, 2), "Those are hours, rounded."),
            Mistake(BY_HAND / 4, "Each parameter takes 4 FLOPs per token, not one."),
        ),
        because="1.28 · 10¹⁷ FLOPs at 1.25 · 10¹⁴ per second.",
        hint="How many tokens are seen in all, how many FLOPs does each take, and how many does "
        "the card do per second at 40 % of its peak?",
        look="The formula at the head of section 2.",
        solution="`4 * 8e9 * 5000 * 400 * 2 / (0.4 * 312e12) / 60 = 17.1`.",
        minutes=4,
        importance=5,
    ),
    Exercise(
        "14.2",
        "How many rows until renting is cheaper?",
        math.ceil(120 / (API_ROW - RENTED_ROW)),
        (
            Mistake(math.ceil(120 / (API_ROW / 3 - RENTED_ROW)), "Every row is paid three times."),
            Mistake(math.ceil(120 / API_ROW), "A rented row is not free, either."),
            Mistake(math.floor(120 / API_ROW), "A rented row is not free, either."),
            Mistake(math.ceil(120 / (API_ROW + RENTED_ROW)), "What counts is what a row saves."),
            Mistake(math.floor(120 / (API_ROW - RENTED_ROW)), "At that many it is still dearer."),
        ),
        because="120 / (0.012288 − 0.0003): about ten thousand, the guide's rule.",
        hint="A row by the API: 512 · 3 tokens at 8 dollars per million. What does a rented one "
        "save?",
        look="The formula of section 5, above the exercise.",
        solution="`math.ceil(120 / (512 * 3 * 8 / 1e6 - 0.0003)) = "
        f"{math.ceil(120 / (API_ROW - RENTED_ROW)):,}`.",
        difficulty="medium",
        minutes=5,
        importance=4,
        kind=COUNT,
    ),
    Exercise(
        "14.3",
        "How many adapters weigh as much as their base?",
        191,
        (
            Mistake(382, "The base is in 16 bits, and so are these adapters: as many bytes each."),
            Mistake(95, "The adapter's file is in 16 bits, as the base is: 84 MB."),
            Mistake(192, "That many weigh a little more than the base: round down."),
            Mistake(16, "That is the rank; divide the bytes."),
        ),
        because="16.06 GB over 83.9 MB.",
        hint="Bytes of the base over bytes of one adapter; whole adapters that weigh no more.",
        look="The table of section 7: `stored.base` and `stored.adapter`.",
        solution="`stored.base // stored.adapter = 191`.",
        minutes=3,
        kind=COUNT,
    ),
    Exercise(
        "14.join",
        "One gradient out of several",
        loops.check_joined,
        because="It is what `torchrun` does between the backward pass and the optimizer's step.",
        hint="Turn each mean back into a sum, add the sums, and divide by all tokens.",
        look="The line `joined = …` of section 8, in the cell that cuts eight rows in two.",
        solution="`def join(gradients, tokens):\n    parts = [[n * value for value in g] for g, n "
        "in zip(gradients, tokens)]\n    return [sum(column) / sum(tokens) for column in "
        "zip(*parts)]`",
        difficulty="medium",
        minutes=6,
        importance=4,
        kind=CODE,
    ),
)

EXERCISES = (*FOUR_BITS, *BYTES, *GUIDES, *WORK)


def by_ratio(value: float, options: Mapping[str, float]) -> str:
    """The option whose number lies nearest, as a ratio."""
    return min(options, key=lambda name: abs(math.log(float(value) / options[name])))


def cliff(worse: Mapping[str, Any]) -> str:
    """Which format is the first in which skills are visibly worse."""
    found = [name for name in ("nf4", "int3", "int2") if worse[name] > 0]
    return {"nf4": "in four", "int3": "in three", "int2": "in two"}[found[0]] if found else "never"


def when(phase: str) -> str:
    """The moment of a step in which this phase lies, in words."""
    return MOMENTS[phase.split(",")[0]]


MOMENTS = {
    "forward": "in the forward pass",
    "loss": "around the loss, there and back",
    "backward": "in the backward pass of the layers",
    "optimizer": "in the optimizer's step",
}


def count_near(levels: Sequence[float], end: float) -> int:
    """How many levels lie between −end and end; ValueError where there are none at all."""
    if not len(levels):
        raise ValueError("there are no levels to count")
    return sum(abs(level) < end for level in levels)


def room_left(tokens: float) -> str:
    """How many tokens fit, as one of three words."""
    return "none" if tokens < 1 else "some hundreds" if tokens < 1000 else "thousands"


CLOSE = "by less than a thousandth"
MARGINS = {"a tenth to a quarter": 1.16, "half as large again": 1.5, "twice as large": 2.0}

PREDICTIONS = (
    Prediction(
        "03.levels",
        "int4 has five of its levels between −0.3 and 0.3, where half of the scaled weights lie. "
        "How many of NF4's sixteen lie there?",
        lambda levels: count_near(levels, 0.3),
        between=(1, 16),
        unit="levels",
        near=1,
        evidence="the levels",
    ),
    Prediction(
        "03.bits",
        "NF4 with blocks of 64 and double quantization: how many bits per weight are left?",
        lambda bits: bits,
        between=(4, 6),
        unit="bits",
        near=0.1,
        evidence="the bits per weight",
    ),
    Prediction(
        "03.margin",
        "How much larger than NF4's is int4's error, at blocks of 64?",
        lambda ratio: by_ratio(ratio, MARGINS),
        options=tuple(MARGINS),
        told=lambda ratio: f"int4 errs {about(ratio, 3)} times as much",
        evidence="int4's error over NF4's",
    ),
    Prediction(
        "03.skills",
        "From how many bits down are some of 14 skills visibly worse, if ever?",
        cliff,
        options=("in four", "in three", "in two", "never"),
        told=lambda worse: (
            f"in two bits {worse['int2']} skills are worse, in three {worse['int3']}"
        ),
        evidence="a dict of how many skills are worse in nf4, int3 and int2",
    ),
    Prediction(
        "03.moved",
        "The adapter was trained on exact weights. NF4 is put under it: of 200 tickets, how many "
        "change from right to wrong or back?",
        lambda share: 200 * share,
        between=(0, 200),
        unit="tickets",
        near=4,
        evidence="the share of the tickets that changed",
    ),
    Prediction.of_share(
        "03.repair",
        "On two bits the adapter is worthless. A new one is trained there: what share of the "
        "tickets is right then?",
        near=12,
        evidence="the share of tickets right",
    ),
    Prediction.of_share(
        "03.start",
        "Two bits once more, with the same rate and steps, but begun by LoftQ and not at B = 0: "
        "what share of the tickets is right then?",
        near=12,
        told=percent,
        evidence="the share of tickets right after LoftQ's start",
    ),
    Prediction(
        "04.sixteen",
        "7 billion parameters need 112 GB if weight, gradient and two moments are float32. How "
        "many GB does Llama 2 7B (6.74 billion) need in 16 bits?",
        lambda gigabytes: gigabytes,
        between=(0, 120),
        unit="GB",
        near=1.5,
        evidence="the gigabytes by hand",
    ),
    Prediction(
        "04.worst",
        "QLoRA on an 8B model, one row of 4,096 tokens: when is most memory in use?",
        when,
        options=tuple(MOMENTS.values()),
        told=lambda phase: f"the trace calls it '{phase}'",
        evidence="the phase of the peak, such as 'forward'",
    ),
    Prediction(
        "04.formula",
        "The formula against a real step on the CPU: how far will it be off, at most?",
        lambda error: CLOSE if error < 1e-3 else by_ratio(error, FAR_OFF),
        options=("by a tenth", "by a hundredth", CLOSE),
        told=lambda error: f"by {about(100 * error, 1)} %",
        evidence="the largest error of the formula, as a share",
    ),
    Prediction(
        "04.checkpointing",
        "Checkpointing adds a forward pass. Is that a larger or a smaller share of the work for "
        "LoRA than for full fine-tuning?",
        lambda slower: "larger" if slower[0] > slower[1] else "smaller",
        options=("larger", "smaller"),
        told=lambda slower: (
            f"{slower[0]:.2f} times the work for LoRA, {slower[1]:.2f} times for full"
        ),
        evidence="(LoRA's, full fine-tuning's) work with over without it",
    ),
    Prediction(
        "04.short",
        "By which factor is QLoRA's peak smaller than LoRA's, on 8B with one row of 128 tokens?",
        lambda factor: factor,
        between=(1, 4),
        unit="times",
        near=0.4,
        evidence="the ratio of the two peaks",
    ),
    Prediction(
        "04.long",
        "And with one row of 32,768 tokens?",
        lambda factor: factor,
        between=(1, 4),
        unit="times",
        near=0.25,
        evidence="the ratio of the two peaks",
    ),
    Prediction(
        "04.rows",
        "The peak of four rows without checkpointing: how many rows fit below it with it?",
        lambda rows: rows,
        between=(4, 32),
        unit="rows",
        near=2,
        evidence="the number of rows",
    ),
    Prediction(
        "04b.seventy",
        "Full fine-tuning of a 70B model, AdamW, everything in float32: how many GB?",
        lambda gigabytes: gigabytes,
        between=(100, 3000),
        unit="GB",
        log=True,
        near=1.25,
        evidence="the gigabytes at the peak",
    ),
    Prediction(
        "04b.never",
        "For how many of the twenty-three figures is none of the three settings enough?",
        lambda count: count,
        between=(0, 23),
        unit="figures",
        near=1,
        evidence="the number of figures that no setting reaches",
    ),
    Prediction(
        "04b.lora",
        "In 16 GB, LoRA of Llama 3.1 8B: how many tokens may a step have?",
        room_left,
        options=("none", "some hundreds", "thousands"),
        told=lambda tokens: f"{tokens:,} tokens",
        evidence="the tokens that fit",
    ),
    Prediction(
        "04b.weights",
        "70 × half a byte are 35 GB. How many GB does a 70B model take in NF4, before the first "
        "token?",
        lambda gigabytes: gigabytes,
        between=(30, 50),
        unit="GB",
        near=1.5,
        evidence="the gigabytes of weights and scales",
    ),
    Prediction(
        "14.frozen",
        "A full step takes 6 FLOPs for every parameter and token. A LoRA step, with 99.5 % of the "
        "parameters frozen?",
        lambda per_parameter: per_parameter,
        between=(0, 6),
        unit="FLOPs",
        near=0.5,
        evidence="FLOPs of the step per parameter of the matrices and token",
    ),
    Prediction(
        "14.share",
        "The first four steps of a QLoRA of 8 billion parameters on one of the largest cards, rows "
        "of at most 205 tokens: how much of the card's peak do they use?",
        lambda shares: 100 * fmean(shares),
        between=(1, 100),
        unit="%",
        log=True,
        near=1.5,
        told=lambda shares: f"{' and '.join(f'{100 * share:.1f} %' for share in shares)}, by run",
        evidence="the shares that were measured, from 0 to 1",
    ),
    Prediction(
        "14.minutes",
        "LoRA on 8B, 1,000 rows, one A100: a guide says one to two hours. With 512 tokens per row, "
        "three epochs and 30 % of the peak, how many minutes are it by the formula?",
        lambda minutes: minutes,
        between=(1, 200),
        unit="minutes",
        log=True,
        near=1.5,
        evidence="the minutes",
    ),
    Prediction(
        "14.dearer",
        "Llama 3.1 8B, all in 16 bits, one row of 512 tokens, no checkpointing: how many times as "
        "much memory as a LoRA's step does a full one need?",
        lambda ratio: ratio,
        between=(1, 100),
        unit="times",
        log=True,
        near=1.4,
        evidence="the memory of a full step over that of a LoRA's",
    ),
    Prediction(
        "14.reply",
        "Llama 3.1 8B in 16 bits on one A100, a prompt of 300 tokens: how many tokens may the "
        "answer have if it is to be there after 68 ms?",
        lambda tokens: tokens,
        between=(1, 200),
        unit="tokens",
        log=True,
        near=1.4,
        evidence="the tokens of the longest answer in that time",
    ),
)

FAR_OFF = {"by a tenth": 0.1, "by a hundredth": 0.01}
