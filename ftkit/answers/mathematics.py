"""The mathematics of LoRA: what is asked in notebooks 01 and 02, and in their second parts.

    EXERCISES      energy and error, thin matrices, counts, the factor α / r, a layer by hand
    PREDICTIONS    spectra, cut updates, α against the rate, variants at the same rate

Each exercise names the mistakes that people make; code of the reader's is checked in `matrices`.
"""

import math
from collections.abc import Mapping
from typing import Any

from ..core.results import about, percent, percent_in
from . import matrices
from .exercise import CODE, COUNT, SHARE, WORDS, Exercise, Mistake, Prediction

SIDES = ("higher", "lower")
HARM = (
    "while the task is still whole",
    "as fast as the task goes",
    "not before the task is gone",
)
COST = ("nothing to speak of", "some points")
FIRST = ("smaller", "larger", "about as large")
TOGETHER = ("one rises as the other falls", "not at all", "both rise together")
SHARED = ("next to nothing", "about a third", "most of it")
LOUD = ("as little as by chance", "a little more than by chance", "as much as in its best")
LLAMA = 32 * 2 * 8 * (4096 + 1024)  # r = 8 on keys and values of Llama-3.1-8B
TIMES = {1: "as large", 2: "twice as large", 4: "four times as large"}
GROWN = ("less than twice", "two to ten times", "more than ten times")
SHRUNK = {1: "no smaller", 4: "4 times smaller", 16: "16 times smaller"}

LOW_RANK = (
    Exercise(
        "01.1",
        "Energy is squared",
        36 / 49,
        (
            Mistake(6 / 11, "Energy adds the squares of the singular values, not the values."),
            Mistake(13 / 49, "That is what is lost, not what is kept."),
            Mistake(36, "That is the energy kept; the question is its share of all, 49."),
            Mistake(6 / 7, "That is the root of the share: energy adds squares and takes no root."),
        ),
        because="36 of 49: the squares count, so one large value weighs much.",
        hint="Energy is the sum of σ². How much is it for all three values?",
        look="The text below the picture of section 1.",
        solution="`36 / 49`. `spectrum.svd(torch.diag(torch.tensor([6.0, 3, 2])))` says the same.",
        minutes=2,
        importance=4,
        kind=SHARE,
        decimals=2,
    ),
    Exercise(
        "01.2",
        "How many directions?",
        2,
        (
            Mistake(1, "One keeps 36 of 49, which is 73 %."),
            Mistake(3, "Three keep all of it; fewer are enough for nine tenths."),
        ),
        because="36 + 9 of 49 is 91.8 %.",
        hint="Add up the squares, the largest first, until nine tenths of 49 are reached.",
        look="The text below the picture of section 1.",
        solution="`(36 + 9) / 49 = 0.918`, so 2.",
        minutes=2,
        kind=COUNT,
    ),
    Exercise(
        "01.truncate",
        "Cut an update and put it back",
        matrices.check_truncate,
        hint="`torch.linalg.svd(delta, full_matrices=False)` gives U, S and Vᵀ; keep the first r.",
        look="Section 1: the sum of the first r pieces σᵢ uᵢ vᵢᵀ.",
        solution="`def cut(W, delta, r):\n    U, S, Vh = torch.linalg.svd(delta, "
        "full_matrices=False)\n    return W + (U[:, :r] * S[:r]) @ Vh[:r]`",
        difficulty="medium",
        minutes=10,
        importance=5,
        kind=CODE,
    ),
    Exercise(
        "01.3",
        "Why did rank 1 do so well?",
        "step",
        (
            Mistake("rank", "The rank is the same in both: it is 1. What else differs?"),
            Mistake("seed", "Three seeds each; the curves lie far apart."),
            Mistake("data", "Both were trained on the same tickets."),
        ),
        because="Both have r = 1; α is 16 against 2, so every step is eight times as long.",
        hint="Which α has each curve at r = 1?",
        look="The figure of section 5, at its left end.",
        solution="`'step'`: the output moves by r paths of α / r each, so under Adam a step goes "
        "with α. At α = 16 it is the same at every rank; at α = 2r it grows with the rank.",
        difficulty="medium",
        importance=4,
        kind=WORDS,
        choices=("rank", "step", "seed", "data"),
    ),
    Exercise(
        "01.4",
        "When is thin no longer thin?",
        171,
        (
            Mistake(256, "The largest rank the matrix can have; the factors outgrow it before."),
            Mistake(128, "Half the side is right for a square matrix; this one is 512 × 256."),
            Mistake(170, "At this r the factors are still no larger; one more."),
            Mistake(512 * 256 / 768, "Nearly: r is whole, and the smallest r that is larger."),
        ),
        because="r · (512 + 256) > 512 · 256 for r > 170.67.",
        hint="B and A have r · (512 + 256) numbers, ΔW has 512 · 256.",
        look="The panel's line on how many numbers are stored.",
        solution="`r * (512 + 256) > 512 * 256`, so r > 170.67: 171. Full rank would be 256.",
        minutes=3,
        kind=COUNT,
    ),
    Exercise(
        "01.5",
        "The error is a root",
        math.sqrt(13 / 49),
        (
            Mistake(
                13 / 49,
                "That is the lost share of the energy, which is squared; the error is its root.",
            ),
            Mistake(5 / 11, "The norm is the root of the sum of squares, not the sum."),
            Mistake(math.sqrt(5 / 11), "Right road, but the energy adds squares."),
            Mistake(math.sqrt(13), "That is the norm of what is lost; divide it by that of W, 7."),
            Mistake(math.sqrt(36 / 49), "That is the norm of what is kept, against that of W."),
            Mistake(math.sqrt(13) / 6, "6 is only σ₁; the norm of W is the root of all σ², 7."),
        ),
        because="The root of 13/49: a matrix that keeps three quarters of its energy is still half "
        "a matrix off.",
        hint="‖W‖² is the sum of the σ². What is ‖W − W₁‖²?",
        look="The sentence on what is cut off, in section 1.",
        solution="`(13 / 49) ** 0.5`.",
        minutes=2,
        kind=SHARE,
        decimals=2,
    ),
)

DIRECTIONS = (
    Exercise(
        "01b.overlap",
        "How much of one space lies in another",
        matrices.check_overlap,
        hint="`a[:, :i].T @ b[:, :j]` holds the cosines of every pair.",
        look="The formula above the exercise: squares, and the smaller of the two counts.",
        solution="`def phi(a, b, i, j):\n    cosines = a[:, :i].T @ b[:, :j]\n"
        "    return (cosines**2).sum() / min(i, j)`",
        difficulty="medium",
        minutes=10,
        importance=4,
        kind=CODE,
    ),
    Exercise(
        "01b.1",
        "Which side is shared?",
        lambda right, left: "higher" if float(right) > float(left) else "lower",
        (
            Mistake(
                "higher",
                "By your medians it is lower: A, the input side, starts at random, differently "
                "with every seed.",
            ),
            Mistake(
                "lower",
                "Your medians are the wrong way round, or your word is: right is the input side.",
            ),
        ),
        because="A starts at random and moves little (the next checked cell has its number); B "
        "starts at zero, and the task fills it.",
        hint="What does A start from in each run, and what does B?",
        look="The cell that compares the output directions; `side='right'` is the input.",
        solution="`'lower'`: of the input directions about nine tenths are still those of the "
        "random start of A, which differs between seeds. B starts at zero in every run.",
        difficulty="medium",
        minutes=6,
        kind=WORDS,
        choices=SIDES,
        evidence="both medians (right, left)",
    ),
    Exercise(
        "01b.2",
        "What chance gives",
        32 / 256,
        (
            Mistake(1 / 256, "That is one direction against one; here are 32 and 32."),
            Mistake(32 * 32 / 256, "That is the sum over all pairs: divide by min(32, 32)."),
            Mistake(1 / 32, "Chance gives that for eight and eight; here are 32 and 32, of 256."),
            Mistake(0.031, "Chance gives that for eight and eight; here are 32 and 32, of 256."),
            Mistake(0.03, "Chance gives that for eight and eight; here are 32 and 32, of 256."),
            Mistake(0.12, "Nearly: give three decimals."),
            Mistake(0.13, "Nearly: give three decimals."),
            Mistake(0, "Random directions are nearly at right angles, but not quite."),
            Mistake(1, "Then the two spaces would be one and the same."),
        ),
        because="32 · 32 pairs, 1/256 each on average, divided by 32.",
        hint="A random direction's squared cosine with a fixed one is 1/256 on average. How many "
        "pairs are there?",
        look="The formula of φ, at the beginning of section 1.",
        solution="`32 * 32 / 256 / 32 = 0.125`.",
        minutes=3,
        kind=SHARE,
    ),
    Exercise(
        "01b.3",
        "Is it an intruder?",
        "yes",
        (
            Mistake(
                "no",
                "It lies within four old directions together; but its cosine with each is 0.5, and "
                "the definition looks at one at a time.",
            ),
        ),
        because="its cosine with each of the four is 0.5, below 0.6. 'New' means unlike any single "
        "old direction, not outside all that W could do.",
        hint="What is its cosine with u₁? And with u₅?",
        look="The definition at the beginning of section 3.",
        solution="`'yes'`: the cosines are 0.5, 0.5, 0.5, 0.5 and then 0, so the largest is below "
        "0.6.",
        difficulty="medium",
        minutes=4,
        kind=WORDS,
        choices=("yes", "no"),
    ),
    Exercise(
        "01b.4",
        "Grown together",
        "the size of the update",
        (
            Mistake("the rate", "The rate is the same at every rank."),
            Mistake(
                "the number of steps",
                "The same facts for as many epochs: the steps are as many at every rank.",
            ),
            Mistake("the facts trained on", "The same 240 facts are trained on at every rank."),
            Mistake(
                "the facts stored",
                "They grow too, about fourfold: a second suspect. Another stands among the four "
                "that are offered.",
            ),
        ),
        because="it grows about fivefold (the facts stored about fourfold); what is a cause shows "
        "when it is changed alone.",
        hint="Three of the four were set before the run, alike at every rank. Which one comes out?",
        look="The words at the head of the notebook: what of an update can be long or short?",
        solution="`'the size of the update'`: it grows with the rank as well, and could be behind "
        "both.",
        minutes=3,
        importance=5,
        kind=WORDS,
        choices=(
            "the rate",
            "the number of steps",
            "the size of the update",
            "the facts trained on",
            "the facts stored",
        ),
    ),
)

TWENTY_LINES = (
    Exercise(
        "02.lora",
        "A LoRA layer of your own",
        matrices.check_lora,
        because="Shapes, start, frozen W and scale are those of the paper.",
        hint="Two parameters in `__init__`, W frozen, one line in `forward`. A row of x is a "
        "token: `x @ A.T @ B.T`.",
        look="The picture of the two paths: its formula, and the shapes of A and B.",
        solution="`self.base = base.requires_grad_(False)\n"
        "A = torch.randn(r, base.in_features) / base.in_features**0.5\n"
        "self.A = torch.nn.Parameter(A)\n"
        "self.B = torch.nn.Parameter(torch.zeros(base.out_features, r))\n"
        "self.scale = alpha / r\n"
        "forward: self.base(x) + self.scale * (x @ self.A.T @ self.B.T)`",
        difficulty="medium",
        minutes=12,
        importance=5,
        kind=CODE,
    ),
    Exercise(
        "02.1",
        "The other zero",
        "B",
        (
            Mistake("A", "∂L/∂A carries B. Is B zero here?"),
            Mistake("both", "Only if both start at zero, and then nothing would ever move."),
            Mistake("neither", "∂L/∂B carries A x, and A is zero."),
        ),
        because="∂L/∂B carries A x = 0, so A moves first. It trains too; peft and the paper choose "
        "B = 0.",
        hint="Write the gradient of each: it is multiplied by the other one.",
        look="The end of section 4, on why the two do not both start at zero.",
        solution="`'B'`. Set A to zero and B to noise, call `backward`, and look.",
        difficulty="medium",
        minutes=6,
        kind=WORDS,
        choices=("A", "B", "both", "neither"),
    ),
    Exercise(
        "02.2",
        "Carry a recipe over",
        32,
        (
            Mistake(128, "That keeps the factor α / r; but four times as many paths add up."),
            Mistake(
                64,
                "That keeps how far W moves (α / √r, rsLoRA's factor); the output goes with α.",
            ),
            Mistake(8, "Upside down, of a rule that does not hold: the output goes with α."),
            Mistake(2, "That is the factor α / r; which α keeps the step of the output?"),
        ),
        because="r paths of α / r each push the output the same way and add up to about α, so "
        "under Adam the first step of the output goes with α.",
        hint="How many paths are there at r = 64, and how much does each one count?",
        look="Section 5, the table of one Adam step: in which column does the output stay?",
        solution="`32`. 'α = 2r', which is 128, keeps the factor α / r and moves the output nearly "
        "four times as far; 64 nearly keeps how far W moves. Which α is the *best* one at the new "
        "rank is another question.",
        minutes=3,
        kind=COUNT,
    ),
    Exercise(
        "02.3",
        "The same run at another α",
        1e-3,
        (
            Mistake(5e-4, "That keeps α · lr, which is the same first step and not the same run."),
            Mistake(4e-3, "Upside down: a larger α wants a smaller rate."),
            Mistake(2e-3, "That is the rate at α = 16; four times the α at it moves further."),
            Mistake(8e-3, "Upside down, and by the rule it is √α, not α."),
        ),
        because="√64 · 1e-3 = √16 · 2e-3: a rule of thumb, which gives 96 % of the tickets here "
        "for 92 %.",
        hint="Which product stays along the red marks of the grid?",
        look="The table of the walks through the grid, in section 5.",
        solution="`2e-3 * (16 / 64) ** 0.5 = 1e-3`.",
        difficulty="medium",
        minutes=4,
        importance=4,
    ),
    Exercise(
        "02.4",
        "Mend an adapter that forgot / r",
        128,
        (
            Mistake(16, "peft divides by r: at α = 16 it would add an eighth of what was trained."),
            Mistake(2, "That is what peft multiplies by at α = 16; you need a factor of 16."),
            Mistake(8, "α = 8 gives peft a factor of 1; the layer multiplied by 16."),
            Mistake(1, "α = 1 gives peft a factor of 1/8; the layer multiplied by 16."),
            Mistake(24, "The two are multiplied, not added: α / 8 has to be 16."),
        ),
        because="peft multiplies by α / 8, and 128 / 8 = 16. No weight has to change.",
        hint="By what did the layer multiply B A, and by what does peft?",
        look="`WithoutR`, in section 3.",
        solution="`16 * 8 = 128`: write lora_alpha = 128 into adapter_config.json.",
        minutes=4,
        importance=4,
        kind=COUNT,
    ),
)

VARIANTS = (
    Exercise(
        "02b.dora",
        "The weight of DoRA",
        matrices.check_dora,
        because="LoRA turns the rows, m sets their lengths, and the norm is held still backward.",
        hint="V = W + (α / r) · B A first. Then one length for each row of V: `V.norm(dim=1)`, "
        "and `[:, None]` makes a column of it.",
        look="The formula of section 3, and the sentence on the backward pass.",
        solution="`def weight(W, A, B, m, alpha):\n    V = W + alpha / A.shape[0] * (B @ A)\n"
        "    return (m / V.norm(dim=1).detach())[:, None] * V`",
        difficulty="medium",
        minutes=10,
        importance=4,
        kind=CODE,
    ),
    Exercise(
        "02b.1",
        "Count on a large model",
        LLAMA,
        (
            Mistake(32 * 2 * 8 * 8192, "k_proj and v_proj are not square: 4096 in, 1024 out."),
            Mistake(2 * 8 * 5120, "That is one layer; there are 32."),
            Mistake(32 * 8 * 5120, "That is one of the two projections."),
            Mistake(32 * 2 * 5120, "That is r = 1."),
            Mistake(32 * 2 * 4096 * 1024, "The two matrices themselves, not their adapters."),
        ),
        because="32 layers · 2 matrices · 8 · (4096 + 1024).",
        hint="One k_proj is 4096 → 1024. What does r = 8 add to it?",
        look="The table of `lora.count`, in section 4.",
        solution="`32 * 2 * 8 * (4096 + 1024)`, or "
        '`lora.count("llama-3.1-8b", r=8, targets="k_proj,v_proj").trainable`.',
        minutes=4,
        importance=4,
        kind=COUNT,
    ),
    Exercise(
        "02b.2",
        "Whose line is it?",
        "llama-2-13b",
        (
            Mistake("llama-3.1-8b", "At r = 8 its queries and values train 3,407,872."),
            Mistake("llama-2-7b", "Its 32 layers of 4096 train 4,194,304; more and wider ones do."),
            Mistake("smollm2-360m", "That needs r = 64 on the same matrices; here r is 8."),
        ),
        because="40 layers · 2 matrices · 8 · (5120 + 5120). A count narrows a run down, it does "
        "not name it: r = 16 on the queries alone gives the same number on the same model.",
        hint="`{name: one.trainable for name, one in lora.count_all(r=8, "
        'targets="q,v").counts.items()}`.',
        look="The table of all architectures, in section 4.",
        solution='`[name for name, one in lora.count_all(r=8, targets="q,v").counts.items() '
        "if one.trainable == 6_553_600]`: llama-2-13b alone.",
        difficulty="medium",
        minutes=6,
        kind=WORDS,
    ),
    Exercise(
        "02b.3",
        "What DoRA adds",
        8 * (4096 + 1024) + 1024,
        (
            Mistake(8 * 5120, "That is plain LoRA; DoRA has one magnitude for every output too."),
            Mistake(
                8 * 5120 + 4096, "The magnitudes are one for each output, 1024, not each input."
            ),
            Mistake(8 * 5120 + 1, "Not one magnitude for the matrix: one for each output."),
            Mistake(1024, "Those are the magnitudes alone; A and B are trained as well."),
        ),
        because="LoRA's 8 · (4096 + 1024), and 1024 magnitudes.",
        hint="DoRA parts each row of W into a length and a direction. How many rows has W?",
        look="The section on DoRA: the shape of m.",
        solution="`8 * (4096 + 1024) + 1024 = 41984`.",
        difficulty="medium",
        minutes=4,
        importance=2,
        kind=COUNT,
    ),
    Exercise(
        "02b.4",
        "The control that is missing",
        "plain LoRA, higher rate",
        (
            Mistake(
                "more seeds",
                "Good to have, but on every seed here all four were ahead, and still no better.",
            ),
            Mistake("a larger model", "There the same question would be as open as here."),
            Mistake("more steps", "Good to have; but was it the direction, or the larger step?"),
        ),
        because="a variant that moves W further has to be held against LoRA that moves it as far.",
        hint="What else, besides the variant, makes the loss fall faster?",
        look="The figure of section 1: what stands on its horizontal axis?",
        solution="`'plain LoRA, higher rate'`: until that was tried, a larger step explains it.",
        minutes=3,
        importance=5,
        kind=WORDS,
        choices=("more seeds", "plain LoRA, higher rate", "a larger model", "more steps"),
    ),
)

EXERCISES = (*LOW_RANK, *DIRECTIONS, *TWENTY_LINES, *VARIANTS)


def most(values: Mapping[str, Any]) -> str:
    """The name whose number is the largest."""
    return max(values, key=lambda name: float(values[name]))


def cause_of(more: float, low: float, high: float) -> str:
    """Which of two changes gives more skills back, where the interval of the difference tells."""
    if low <= 0 <= high:
        return "both alike"
    return "the intruders" if more > 0 else "the whole update"


def nearest_key(sayings: Mapping[int, str], ratio: float) -> int:
    """The factor, of those that can be said, to which a measured one comes nearest."""
    return min(sayings, key=lambda factor: abs(math.log(float(ratio) / factor)))


PREDICTIONS = (
    Prediction(
        "01.spectrum",
        "A random matrix of the same size and norm: how large is its first singular value, beside "
        "W's?",
        lambda ratio: FIRST[0] if ratio > 1.2 else FIRST[1] if ratio < 1 / 1.2 else FIRST[2],
        options=FIRST,
        told=lambda ratio: f"W's is {about(ratio, 2)} times as large",
        evidence="W's first singular value over the random matrix's",
    ),
    Prediction(
        "01.cut",
        "The update was free to use all 256 directions. How many keep nine tenths of the task "
        "score?",
        lambda rank: rank,
        between=(1, 256),
        unit="directions",
        log=True,
        near=2.1,
        evidence="the smallest rank that keeps nine tenths of the task score",
    ),
    Prediction(
        "01.harm",
        "And the forgetting: as the update is cut further down, when do the skills come back?",
        lambda early: HARM[2] if early > 0.5 else HARM[1],
        options=HARM,
        told=lambda early: f"{percent(early)} of the harm left at rank 2, at the rate 0.001",
        evidence="the share of the forgetting that is there at rank 2",
    ),
    Prediction(
        "01.rank",
        "LoRA with the same α and the same rate: what do 64 times the rank cost in skills?",
        lambda found: "half of them" if found[0] > 0.2 else COST[found[0] > max(0.02, found[1])],
        options=(*COST, "half of them"),
        told=lambda found: (
            f"{about(100 * abs(found[0]), 1)} points {'fewer' if found[0] > 0 else 'more'} at rank "
            f"64; seeds of one rank differ by up to {about(100 * found[1], 2)}"
        ),
        evidence="the share of the skills kept at rank 1, minus that at rank 64, and the widest "
        "range between seeds of one rank",
    ),
    Prediction(
        "01.facts",
        "A run has stored 240 facts. How many directions of its update keep nine tenths of them?",
        lambda rank: rank,
        between=(1, 256),
        unit="directions",
        log=True,
        near=2.1,
        evidence="the smallest rank that keeps nine tenths of the facts",
    ),
    Prediction(
        "01b.share",
        "How much of the first direction of one run lies within the first eight of the other?",
        lambda share: SHARED[0] if share < 0.15 else SHARED[1] if share < 0.6 else SHARED[2],
        options=SHARED,
        told=lambda share: f"{about(share, 2)}",
        evidence="the median of φ(1, 8) over the matrices",
    ),
    Prediction(
        "01b.loud",
        "How much does W itself do in the directions of the update?",
        lambda ratios: LOUD[2] if ratios[1] > 0.5 else LOUD[1] if ratios[0] > 1.3 else LOUD[0],
        options=LOUD,
        told=lambda ratios: (
            f"{about(ratios[0], 2)} times chance and {about(ratios[1], 2)} times its best"
        ),
        evidence="(W in ΔW's directions over W in random ones, the same over W in its own)",
    ),
    Prediction(
        "01b.cause",
        "The intruders shrunk by a quarter, or the whole update made as short: which gives more "
        "skills back?",
        lambda more: cause_of(*more),
        options=("the intruders", "the whole update", "both alike"),
        told=lambda more: f"{percent_in(*more)} of the skills lie between them",
        evidence="(what the intruders give back beyond the whole update, lowest, highest)",
    ),
    Prediction(
        "02.shapes",
        "Three guides, three formulas. How many of them work on a matrix that is not square?",
        lambda count: {0: "none", 1: "one", 2: "two", 3: "all three"}[int(count)],
        options=("none", "one", "two", "all three"),
        evidence="how many of the three run on a matrix that is not square",
    ),
    Prediction(
        "02.zero",
        "A starts with a standard deviation of about 0.04. With a random B of that size, how large "
        "is the loss beside the base's?",
        lambda ratio: GROWN[sum(ratio >= limit for limit in (2, 10))],
        options=GROWN,
        told=lambda ratio: f"{about(ratio, 3)} times the base's loss",
        evidence="the loss with the random B over the base's",
    ),
    Prediction(
        "02.adam",
        "Twice the α: how much larger is the first update of W under Adam?",
        lambda ratio: TIMES[nearest_key(TIMES, ratio)],
        options=tuple(TIMES.values()),
        told=lambda ratio: f"{about(ratio, 3)} times",
        evidence="‖ΔW‖ with twice the α over that with once",
    ),
    Prediction(
        "02.sgd",
        "And under plain gradient descent?",
        lambda ratio: TIMES[nearest_key(TIMES, ratio)],
        options=tuple(TIMES.values()),
        told=lambda ratio: f"{about(ratio, 3)} times",
        evidence="‖ΔW‖ with twice the α over that with once",
    ),
    Prediction(
        "02.walk",
        "Four times the rate or four times the α: which changes W more over a whole run?",
        lambda ratio: "the rate" if ratio > 1.02 else "the α" if ratio < 0.98 else "both alike",
        options=("the rate", "the α", "both alike"),
        told=lambda ratio: f"{about(ratio, 3)} times as far, at the least",
        evidence="the smallest ratio of the change by the rate to that by the α",
    ),
    Prediction(
        "02.rule",
        "Rank 1 with α = 2r = 2: what share of the new tickets comes out exactly right?",
        lambda share: "hardly any" if share < 0.1 else "half" if share < 0.7 else "nearly all",
        options=("hardly any", "half", "nearly all"),
        told=lambda share: percent(share),
        evidence="the share of tickets that are right",
    ),
    Prediction(
        "02b.variants",
        "LoRA+, PiSSA, OLoRA and EVA: how many of the four beat plain LoRA at the same rate?",
        lambda count: str(int(count)),
        options=("0", "1", "2", "3", "4"),
        evidence="how many of the four are faster at the same rate",
    ),
    Prediction(
        "02b.fair",
        "And how many beat plain LoRA at four times the rate?",
        lambda count: str(int(count)),
        options=("0", "1", "2", "3", "4"),
        evidence="how many of the four are faster than LoRA at four times the rate",
    ),
    Prediction(
        "02b.slope",
        "Sixteen times the rank, from 4 to 64: how much smaller is the gradient of B?",
        lambda ratio: SHRUNK[nearest_key(SHRUNK, ratio)],
        options=tuple(SHRUNK.values()),
        told=lambda ratio: f"a factor of {about(ratio, 3)}",
        evidence="the gradient at rank 4 over that at rank 64",
    ),
    Prediction(
        "02b.rows",
        "Full fine-tuning on this model: how do lengths and directions of the rows go together?",
        lambda r: TOGETHER[0] if r < -0.2 else TOGETHER[1] if r < 0.2 else TOGETHER[2],
        options=TOGETHER,
        told=lambda r: f"a correlation of {about(r, 2)}",
        evidence="their correlation over the matrices",
    ),
    Prediction(
        "02b.guide",
        "6,553,600 trained numbers for r = 16 on Llama-3.1-8B's attention: is that right?",
        lambda count: "yes" if count == 6_553_600 else "no, too few",
        options=("yes", "no, too few", "no, too many"),
        told=lambda count: f"{count:,}",
        evidence="the count, lora.count(…).trainable",
    ),
    Prediction(
        "02b.budget",
        "As many trained numbers in four places: which place learns the task worst?",
        lambda scores: min(scores, key=lambda place: float(scores[place])),
        options=("queries and values", "attention", "the MLP", "everywhere, thinly"),
        evidence="{place: its mean task score}",
    ),
)
