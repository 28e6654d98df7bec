"""Training and its price: what is asked in notebooks 07, 07b, 08, 10, 11, 12 and 12b.

    EXERCISES      steps, rates; methods; what a mean hides; sick runs named; pairs and rewards
    PREDICTIONS    what is taught, valleys; methods; what goes first; what runs and rewards hide

Each exercise names the mistakes that people make; code of the reader's is checked in `loops`.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .. import ward
from ..core.results import about, percent
from ..lab import grids
from ..world import lexicon
from . import loops, matrices
from .exercise import (
    CODE,
    COUNT,
    NAMES,
    NUMBERS,
    SHARE,
    THING,
    WORDS,
    Exercise,
    Mistake,
    Prediction,
)

LENGTHS = (60, 80, 120, 140)  # tokens of the four rows of 07.3 and 07.4


def learned_rates(rows: Sequence[Any]) -> list[float]:
    """The rates whose mean task score is at least 90 %."""
    return [rate for rate, mean, _, _ in grids.curve(rows, "task", "lr") if mean >= 0.9]


def skills_by_rate(rows: Sequence[Any]) -> dict[float, float]:
    """The mean over skills at each rate."""
    return {rate: mean for rate, mean, _, _ in grids.curve(rows, grids.skill, "lr")}


def gentlest(rows: Sequence[Any]) -> float:
    """Of the rates that learn the task, the one that keeps the most skills."""
    kept = skills_by_rate(rows)
    return max(learned_rates(rows), key=kept.__getitem__)


def lowest_loss(rows: Sequence[Any]) -> float:
    """The rate with the lowest validation loss at the end."""
    points = grids.curve(rows, lambda row: row.validation[-1][1], "lr")
    return min(points, key=lambda point: point[1])[0]


TEACHING = (
    Exercise(
        "07.1",
        "Count the steps",
        95,
        (
            Mistake(375, "That counts every batch; only every fourth one ends in a step."),
            Mistake(90, "The last batches of an epoch, fewer than four, make a step too."),
            Mistake(94, "Round up in each epoch: the count starts anew there."),
            Mistake(93.75, "Steps are whole; round up in each epoch."),
            Mistake(19, "That is one epoch."),
            Mistake(75, "That is the batches of one epoch."),
            Mistake(1500, "That is every row; a batch holds four of them."),
        ),
        because="19 steps per epoch: 75 batches by 4, rounded up.",
        hint="Batches in an epoch first, then steps in an epoch, rounded up.",
        look="The last table of section 2: rows by rows per step, rounded up.",
        solution="300 / 4 = 75 batches, 75 / 4 = 18.75, and what is left at the end of an epoch "
        "still makes a step: 19, five times.",
        importance=4,
        kind=COUNT,
    ),
    Exercise(
        "07.2",
        "Whose mean?",
        0.4,
        (
            Mistake(0.6, "The mean of the rows' means; the trainer divides by all tokens."),
            Mistake(16.0, "That is the sum; divide by the answer tokens."),
            Mistake(1.2, "That is the sum of the means."),
            Mistake(0.8, "The long row's loss is 0.2 per token: 30 · 0.2 = 6."),
        ),
        because="Long answers weigh more, token by token.",
        hint="How much loss is there in all, and on how many tokens?",
        look="The loop's loss, which divides by the batch's answer tokens.",
        solution="`(10 * 1.0 + 30 * 0.2) / 40 = 0.4`. With accumulated batches it is the same, "
        "over all their tokens.",
        difficulty="medium",
        minutes=5,
        importance=4,
    ),
    Exercise(
        "07b.1",
        "Choose a rate",
        gentlest,
        (
            Mistake(
                lambda rows: min(skills_by_rate(rows)),
                "It keeps the most skills of all, and has not learned the task.",
            ),
            Mistake(lowest_loss, "That has the lowest validation loss; look at its skills."),
            Mistake(
                lambda rows: max(learned_rates(rows)),
                "The highest of them; skills fall with the rate.",
            ),
        ),
        because="The lowest rate that learns the task. Validation loss on the task can't see what "
        "it costs elsewhere, so it points to a higher one.",
        hint='`grids.curve(every["LoRA"], "task", "lr")` gives (rate, mean, lowest, highest).',
        look="The figure of task and skills by rate.",
        solution="Of the rates whose mean task score is at least 0.9, the one whose "
        "`grids.skill` is highest: the lowest of them.",
        difficulty="medium",
        minutes=8,
        importance=4,
        evidence='the LoRA runs (every["LoRA"])',
    ),
    Exercise(
        "07.3",
        "Padding",
        1 - sum(LENGTHS) / (4 * 140),
        (
            Mistake(sum(LENGTHS) / 560, "That is what is not padding."),
            Mistake(160 / 400, "Padding against tokens; the question is its share of the batch."),
            Mistake(160, "Those are the padding tokens; the question is their share."),
            Mistake(0.25, "Each row is filled up to the longest, 140."),
        ),
        because="160 of 560 places are padding; packing or rows sorted by length would save them.",
        hint="Every row is as long as the longest one.",
        look="The batch panel: what an epoch computes for nothing.",
        solution="`(4 * 140 - 400) / (4 * 140)`: 28.6 %.",
        kind=SHARE,
    ),
    Exercise(
        "07.4",
        "Packing",
        2,
        (
            Mistake(4, "One row each: that is no packing. 140 + 80 fit into 256."),
            Mistake(3, "140 + 80 and 120 + 60 fit: two are enough."),
            Mistake(1, "400 tokens do not fit into 256, and a row is not cut."),
            Mistake(400 / 256, "Sequences are whole, and rows are not cut."),
        ),
        because="140 + 80 and 120 + 60, with position ids that start again in each row.",
        hint="Which rows fit beside the longest one?",
        look="The batch panel of section 2, its order *packed*: whole rows, laid end to end.",
        solution="`[140, 80]` and `[120, 60]`: two sequences.",
        minutes=2,
        importance=2,
        kind=COUNT,
    ),
    Exercise(
        "07b.2",
        "Another α",
        2,
        (
            Mistake(4, "That is the first step, α · rate; over a run it is √α · rate that stays."),
            Mistake(16, "Squared where a root is meant: √α · rate stays."),
            Mistake(8, "√64 is 8, but you come from α = 16: the ratio of the two counts."),
            Mistake(1, "A larger α is a larger step: the best rate goes down."),
            Mistake(0.5, "Upside down: the rate is divided by more than one."),
            Mistake(math.sqrt(2), "That is for twice the α; 64 is four times 16."),
        ),
        because="Four times the α, the same √α · rate: half the rate, and not a quarter of it.",
        hint="How many times the old α is the new one? And its root?",
        look="Notebook 02, section 5: the walk along √α · rate.",
        solution="`(64 / 16) ** 0.5`: notebook 02 measured that √α · rate stays over a whole run.",
        difficulty="medium",
        minutes=3,
    ),
    Exercise(
        "07b.3",
        "How fine a search?",
        12,
        (
            Mistake(11, "Eleven steps lie between twelve rates: both ends count."),
            Mistake(10, "Ten steps of 1.47 are a factor of 47, not 64: the last rate is missing."),
            Mistake(7, "That is in steps of two, and such a step can jump over the window."),
            Mistake(44, "Each step multiplies: 1.47 · 1.47 · 1.47 …, not 1.47 + 1.47 + 1.47."),
            Mistake(64, "That is the factor itself; how often is it multiplied by 1.47?"),
            Mistake(13, "One too many: eleven steps, and the rate to begin with."),
        ),
        because="Eleven steps, and the rate to begin with: five runs more than in steps of two, "
        "and one rate at least lies in the window.",
        hint="1.47 to which power is 64? Round up, and count the first rate too.",
        look="Section 2, the table of the windows; the grid has seven rates in steps of two.",
        solution="`math.ceil(math.log(64) / math.log(1.47)) + 1`: twelve rates, each a run.",
        difficulty="medium",
        minutes=4,
        importance=4,
        kind=COUNT,
    ),
    Exercise(
        "07b.4",
        "Epochs or steps",
        0.04,
        (
            Mistake(0.0025, "60 / 24,000 divides steps by rows; a step takes 16 rows."),
            Mistake(1500, "Those are the steps of one epoch."),
            Mistake(25, "Upside down: 60 steps are less than one epoch."),
            Mistake(0.01, "The batch is 16 now, not 4."),
            Mistake(10, "Passes of 24 rows; an epoch of 24,000 is 1,500 steps."),
        ),
        because="60 of 1,500 steps: to say 'three epochs' says nothing about how much is learned.",
        hint="How many steps has one epoch of 24,000 rows, 16 at a time?",
        look="Section 3, the sentence on rate times steps.",
        solution="24,000 / 16 = 1,500 steps per epoch, and 60 / 1,500 = 0.04.",
        importance=4,
    ),
    Exercise(
        "07b.stop",
        "Early stopping",
        loops.check_stop,
        hint="Keep the place of the lowest loss, and a count that a new lowest one sets to zero.",
        look="The table of section 3: best epoch, and where the run stopped.",
        solution="`best, waited = 0, 0\nfor epoch, loss in enumerate(losses):\n"
        "    if epoch == 0 or loss < losses[best]:\n        best, waited = epoch, 0\n"
        "    else:\n        waited += 1\n    if waited == patience:\n"
        "        return best + 1, epoch + 1\nreturn best + 1, len(losses)`",
        difficulty="medium",
        minutes=10,
        importance=4,
        kind=CODE,
    ),
    Exercise(
        "07.mask",
        "The labels of a chat",
        loops.check_mask,
        hint="Answers lie between `<|assistant|>` and the end mark, which belongs to them.",
        look="The token view: which tokens are marked, and the last one of them.",
        solution="`labels, on = [], False\nfor i in ids:\n    labels.append(i if on else -100)\n"
        "    on = i == assistant or (on and i != end)\nreturn labels`",
        difficulty="medium",
        minutes=12,
        importance=5,
        kind=CODE,
    ),
    Exercise(
        "07.loop",
        "One step of the loop",
        loops.check_step,
        hint="`cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), "
        'reduction="sum")`, and the tokens of all parts.',
        look="The step of section 4, and exercise 2 on whose mean it is.",
        solution="`optimizer.zero_grad()\ntotal = 0.0\n"
        "tokens = sum((b['labels'][:, 1:] != -100).sum() for b in batches)\n"
        "for b in batches:\n    logits = model(b['input_ids']).logits[:, :-1]\n"
        "    loss = cross_entropy(logits.flatten(0, 1), b['labels'][:, 1:].flatten(), "
        "reduction='sum') / tokens\n    loss.backward(); total += loss.item()\n"
        "optimizer.step()\nreturn total`",
        difficulty="hard",
        minutes=15,
        importance=5,
        kind=CODE,
    ),
)


def cost(change: Mapping[str, Any], name: str, which: int) -> float:
    """What a cure does to the task (0) or to the skills (1), in points."""
    return 100 * change[name][which][0]


def able(spots: Mapping[Any, Any]) -> list[Any]:
    """The settings that reach 95 % of the tickets in at most two epochs."""
    return [s for s in spots.values() if s.setting.epochs <= 2 and s.task[0] >= 0.95]


def best_kept(spots: Iterable[Any]) -> Any:
    """The setting that keeps the most skills."""
    return max(spots, key=lambda s: s.skills[0]).setting


def is_plain(s: Any) -> bool:
    """Whether a setting is no cure: every linear layer, and no replay."""
    return s.offered and not s.replay and s.targets == "all-linear"


STRONG, MILD = "KL to the base, 1", "KL to the base, 0.1"

FORGETTING = (
    Exercise(
        "10.1",
        "The mean hides",
        100 / 14,
        (
            Mistake(100, "That is the one suite; the mean is over fourteen."),
            Mistake(1 / 14, "In points of a hundred, please."),
            Mistake(100 / 13, "Fourteen suites with the broken one."),
            Mistake(1300 / 14, "That is the mean itself; the question is how far it falls."),
        ),
        because="About seven points, and whoever needs that one skill has nothing. Read the table.",
        hint="A hundred points are spread over how many suites?",
        look="Section 1, what is said of the mean below the picture of the skills.",
        solution="`100 / 14`: 7.14 points.",
        importance=4,
        decimals=1,
    ),
    Exercise(
        "10.2",
        "Two questions for a cure",
        lambda change: -cost(change, STRONG, 0),
        (
            Mistake(
                lambda change: cost(change, STRONG, 1),
                "Those are the skills it keeps; `[0]` is the task.",
            ),
            Mistake(lambda change: cost(change, STRONG, 0), "As a positive number."),
            Mistake(lambda change: -cost(change, MILD, 0), "That is the penalty of 0.1."),
        ),
        because="A model that learned nothing has forgotten nothing. Never read one axis alone.",
        hint='`change["KL to the base, 1"][0]` is (mean, lowest, highest) of the task, as shares.',
        look="The table of changes against the hot run, its column *tickets right*.",
        solution='`-100 * change["KL to the base, 1"][0][0]`: it does not learn the task at all.',
        difficulty="medium",
        minutes=6,
        importance=5,
        evidence="the dict `change`",
        decimals=0,
    ),
    Exercise(
        "10.3",
        "Your budget",
        lambda spots: best_kept(able(spots)),
        (
            Mistake(
                lambda spots: best_kept(spots.values()),
                "It keeps everything, for it learned little, or it takes more than two epochs.",
            ),
            Mistake(
                lambda spots: max(able(spots), key=lambda s: s.task[0]).setting,
                "That one learned most; you were asked for what is kept.",
            ),
            Mistake(
                lambda spots: best_kept(s for s in able(spots) if is_plain(s.setting)),
                "Cures are allowed.",
            ),
        ),
        because="Half replay at the mild rate. It costs time too: half of its rows are no tickets.",
        hint="First the settings that qualify, then the most skills among them.",
        look="`spots.values()`: each has `.setting`, `.task` and `.skills`, mean first.",
        solution="`max((s for s in spots.values() if s.setting.epochs <= 2 and s.task[0] >= 0.95), "
        "key=lambda s: s.skills[0]).setting`",
        difficulty="medium",
        minutes=8,
        kind=THING,
        evidence="the dict `spots`",
    ),
    Exercise(
        "10.4",
        "What λ wins back",
        (95.7 - 90.4) / (99.9 - 90.4),
        (
            Mistake(5.3, "Those are points; the question is the share of what was lost."),
            Mistake(0.053, "Those are points; the question is the share of what was lost."),
            Mistake(95.7 / 99.9, "Of what was *lost*: 99.9 − 90.4 points."),
            Mistake((99.9 - 95.7) / (99.9 - 90.4), "That is what stays lost."),
        ),
        because="5.3 of 9.5 points, for no training and no task score.",
        hint="Lost were 99.9 − 90.4 points; 95.7 are there at λ = 0.4.",
        look="The table of λ, and the skills before any training.",
        solution="`(95.7 - 90.4) / (99.9 - 90.4)`: 56 %.",
        kind=SHARE,
        decimals=2,
    ),
    Exercise(
        "10.5",
        "Off the frontier",
        "C",
        (
            Mistake("D", "D has the highest task score of all: nothing beats it on both axes."),
            Mistake("A", "A keeps the most skills: nothing beats it on both axes."),
            Mistake("B", "B is better than A on the task and than D on the skills."),
        ),
        because="A has both a higher task score and more skills than C.",
        hint="A setting is off the frontier if another one is better on both axes.",
        look="The plane: which marks have another one above and to the right of them?",
        solution="`'C'`: (96, 98) lies below and left of A (97, 99).",
        minutes=2,
        importance=4,
        kind=WORDS,
        choices=("A", "B", "C", "D"),
    ),
    Exercise(
        "10.6",
        "Who forgets less?",
        "can't say",
        (
            Mistake("LoRA", "It also learned less: 90 against 97 %. Ask at one task score."),
            Mistake("full", "It keeps fewer skills here, and learned more: ask at one task score."),
        ),
        because="Neither is better on both axes: more rates of each are needed, at one score.",
        hint="Does one of the two win on both axes?",
        look="Section 3, the most that is kept at a score.",
        solution='`"can\'t say"`: a method that learned less has forgotten less, of course.',
        difficulty="medium",
        importance=5,
        kind=WORDS,
        choices=("LoRA", "full", "can't say"),
    ),
    Exercise(
        "10.frontier",
        "The frontier",
        loops.check_frontier,
        hint="For each p, look for one that beats it: `any(beats(other, p) for other in points)`.",
        look="Section 2: the blue line of the plane, and exercise 5.",
        solution="`def beats(a, b):\n    return a[0] >= b[0] and a[1] >= b[1] and a != b\n"
        "return [p for p in points if not any(beats(other, p) for other in points)]`",
        difficulty="medium",
        minutes=12,
        importance=5,
        kind=CODE,
    ),
)


def solve(room: str) -> str:
    """The names of a room's patients, as a solution says them."""
    return ", ".join(f"{patient}: {illness}" for patient, illness in ward.ROOMS[room].items()) + "."


def solve_cures(patients: Mapping[str, str]) -> str:
    """The numbers of the cures, as a solution says them."""
    listed = loops.cures()
    numbers = {
        patient: listed.index(ward.ILLNESSES[name].cure) + 1 for patient, name in patients.items()
    }
    return f"`{numbers}`"


def count_low(losses: Sequence[float]) -> int:
    """How many last losses lie below 0.02 nats, as those of two of the four cured runs do."""
    if not losses:
        raise ValueError("there are no losses")
    return sum(loss < 0.02 for loss in losses)


TREATED = {
    patient: illness
    for room in ward.ROOMS.values()
    for patient, illness in room.items()
    if patient in "CDFQR"
}

BROKEN = (
    Exercise(
        "11.curves",
        "Four curves",
        loops.check_patients("curves"),
        because="Each of the four has its own curve.",
        hint="Look at the dots and the line apart: which dots rise? Which line breaks off? Which "
        "one goes on as it began?",
        look="The picture first; then the replies of D, which are sensible and no tickets.",
        solution=solve("curves"),
        minutes=6,
        importance=5,
        kind=NAMES,
    ),
    Exercise(
        "11.replies",
        "Four good curves",
        loops.check_patients("replies"),
        because="In each of four facts one patient differs from the others.",
        hint="All four curves are fine, so training was: look for what differs between training "
        "and asking. One fact of each folder.",
        look="In the table: alpha twice, the base's hash twice, the first row beside the prompt.",
        solution=solve("replies"),
        difficulty="medium",
        minutes=8,
        importance=5,
        kind=NAMES,
    ),
    Exercise(
        "11.losses",
        "Four losses that stay high",
        loops.check_patients("losses"),
        because="A loss stays high where tokens can't be foreseen, or where too little is trained.",
        hint="What is hard for each? To guess a customer's words, values from nowhere, one mark at "
        "the end, or everything because next to nothing is trained?",
        look="The first row as trained, its ⟦ and its last mark; and the numbers trained.",
        solution=solve("losses"),
        difficulty="medium",
        minutes=8,
        importance=4,
        kind=NAMES,
    ),
    Exercise(
        "11.rows",
        "Four sets of rows",
        loops.check_patients("rows"),
        because="What is wrong with rows stands in the rows; a curve seldom tells it.",
        hint="How many rows are different? How does the first row begin and end? And which high "
        "score does not fit its validation loss?",
        look="In the tables: training rows, first row as trained, test rows right; and the dots.",
        solution=solve("rows"),
        difficulty="medium",
        minutes=8,
        importance=4,
        kind=NAMES,
    ),
    Exercise(
        "11.cures",
        "Five cures",
        loops.check_cures(TREATED),
        hint="Name the illness of each first; then read the list with that name in mind.",
        look="The four rooms, and the list of cures.",
        solution=solve_cures(TREATED),
        minutes=5,
        importance=4,
        kind=NAMES,
    ),
    Exercise(
        "11.untrained",
        "The rule for a B that was never trained",
        matrices.check_untrained,
        because="It is the doctor's rule, too: B starts at 0, and a trained one has other numbers.",
        hint="`tensor.any()` is true where at least one number is not 0.",
        look="The names of the tensors above: which part of a name says B?",
        solution="`return [name for name, tensor in tensors.items()\n"
        '        if "lora_B" in name and not tensor.any()]`',
        minutes=6,
        importance=4,
        kind=CODE,
    ),
    Exercise(
        "11.starts",
        "Count the start marks",
        loops.check_starts,
        hint="Go through the ids, and stop at the first one that is no start mark.",
        look="The first row of patient N.",
        solution="`for n, token in enumerate(ids):\n    if token != start:\n        return n\n"
        "return len(ids)`",
        minutes=5,
        importance=3,
        kind=CODE,
    ),
)

METHODS = (
    Exercise(
        "08.ia3",
        "IA³, forward",
        matrices.check_ia3,
        because="A factor per output, or per input; nothing is added.",
        hint="`*` on the last axis: a factor of shape (d_out,) goes with every row of (…, d_out).",
        look="The two formulas above: which of them has the factor inside the brackets?",
        solution="`def forward(x, layer, factor, inputs):\n"
        "    return layer(x * factor) if inputs else layer(x) * factor`",
        minutes=5,
        importance=5,
        kind=CODE,
    ),
    Exercise(
        "08.1",
        "Count a prompt",
        20 * 4096,
        (
            Mistake(20 * 4096 * 32, "A prompt stands before the text once, not in every layer."),
            Mistake(
                20 * 4096 * 2,
                "Twice as many: those are bytes in 16 bits, or a key and a value; a prompt is one "
                "vector per token.",
            ),
            Mistake(
                20 * 4096 * 2 * 32,
                "That is prefix tuning, a key and a value in every layer; a prompt is one vector.",
            ),
            Mistake(4096, "That is one virtual token; there are 20."),
            Mistake(20, "Those are the vectors; each of them has 4,096 numbers."),
            Mistake(128_256 * 4096, "Those are the embeddings of all words; only 20 are added."),
            Mistake(128_276 * 4096, "The embeddings of all words are in it; only 20 are trained."),
            Mistake(20 * 128_256, "A virtual token is a vector of d numbers, no row of logits."),
        ),
        because="164 kB in 16 bits, beside a model of 16 GB.",
        hint="One vector per virtual token. How long is it?",
        look="The table of section 1, and what prompt tuning trains.",
        solution="`20 * 4096`: no layer, no vocabulary.",
        importance=3,
        kind=COUNT,
    ),
    Exercise(
        "08.bottleneck",
        "Count bottlenecks",
        loops.check_bottleneck,
        because="133,376 on the pocket model, as many as a LoRA of rank 8 and a little more.",
        hint="Write down the shapes of down and up, and of their biases.",
        look="Section 7, where the bottleneck is written out.",
        solution="`def count(d, width, places):\n    return places * (2 * d * width + width + d)`",
        minutes=5,
        importance=4,
        kind=CODE,
    ),
    Exercise(
        "08.2",
        "Which rate gets there?",
        0.5 / 150,
        (
            Mistake(0.5 / 300, "The rate falls to 0: on average it is half of the highest."),
            Mistake(1.5 / 150, "It begins at 1 and goes to 1.5: that is half a unit of way."),
            Mistake(1.5 / 300, "It begins at 1, and the rate falls: half a unit, half the rate."),
            Mistake(150 / 0.5, "Upside down: the way by the steps."),
            Mistake(0.5, "That is the way itself; divide it by the steps, and mind the slope."),
            Mistake(0.5 / 24, "Those are the 48 steps of section 2; here there are 300."),
            Mistake(
                0.5 / 48,
                "Those are the 48 steps of section 2; here there are 300, of a rate that falls.",
            ),
        ),
        because="Ten times what is usual for a LoRA of a large model, and no factor gets there "
        "with much less.",
        hint="With Adam a number moves by about the rate in each step. Add up 300 steps of a rate "
        "that falls in a line to 0.",
        look="What section 2 says of how far a factor can travel.",
        solution="The steps add up to `rate * 300 / 2`. That has to be 0.5: `0.5 / 150`.",
        difficulty="medium",
        minutes=5,
        importance=5,
    ),
    Exercise(
        "08.case",
        "Choose a method",
        loops.check_cases,
        because="What is asked for decides; the number of trained parameters alone never does.",
        hint="`methods.compare_methods(rows, task, bar)` with the case's task and bar, and read "
        "along the row.",
        look="The tables of sections 4 and 6; for the first case that of section 7, too.",
        solution='`{"one product": "oft", "a thousand customers": "vera", '
        '"a stock of facts": "adalora"}`; there are others for the first two.',
        difficulty="medium",
        minutes=8,
        importance=5,
        kind=NAMES,
        evidence="the rows of the grid",
    ),
)


def over_settings(rows: Sequence[Any], name: str) -> dict[tuple[float, float], float]:
    """{(rate, β): the mean of a score over seeds}."""
    found: dict[tuple[float, float], list[float]] = {}
    for row in rows:
        found.setdefault((row.lr, row.beta), []).append(row.scores[name])
    return {setting: statistics.fmean(values) for setting, values in found.items()}


def most(name: str) -> Callable[[Sequence[Any]], list[float]]:
    """What gives the setting with the highest mean of a score."""

    def choose(rows: Sequence[Any]) -> list[float]:
        means = over_settings(rows, name)
        return list(max(means, key=means.__getitem__))

    return choose


def honest_setting(rows: Sequence[Any]) -> list[float]:
    """Of the settings that know 85 % of the strangers for such, that with most facts right."""
    unsure, right = (over_settings(rows, name) for name in ("unsure", "right"))
    return list(max((s for s in right if unsure[s] >= 0.85), key=right.__getitem__))


def log_sigmoid(x: float) -> float:
    """log σ(x)."""
    return -math.log1p(math.exp(-x))


PREFERRING = (
    Exercise(
        "12.dpo",
        "The loss of pairs",
        matrices.check_dpo,
        because="A difference of differences, and its sigmoid: nothing in it asks the chosen "
        "answer to become likelier.",
        hint="log p of an answer is the sum over its tokens. What each gained on `old`, and chosen "
        "less rejected.",
        look="The formula of section 2, from the inside out.",
        solution="`def loss(new, old, answer, beta):\n    gain = ((new - old) * answer).sum(-1)\n"
        "    margin = gain[:, 0] - gain[:, 1]\n"
        "    return -torch.nn.functional.logsigmoid(beta * margin).mean()`",
        difficulty="medium",
        minutes=8,
        importance=5,
        kind=CODE,
    ),
    Exercise(
        "12.1",
        "A pair that got worse",
        -log_sigmoid(0.1 * (-8 + 28)),
        (
            Mistake(-log_sigmoid(0.1 * 11), "That is without the reference: take the gains."),
            Mistake(
                -log_sigmoid(-2.0), "The sign: the chosen fell less, so the margin is above 0."
            ),
            Mistake(-log_sigmoid(20.0), "β is missing: 0.1 times the margin."),
            Mistake(log_sigmoid(2.0), "The loss is −log σ, above 0."),
            Mistake(-log_sigmoid(-0.8), "That is the chosen's gain alone; less the rejected's."),
            Mistake(1 / (1 + math.exp(-2.0)), "That is σ; the loss is −log of it."),
        ),
        because="The chosen answer is 2,981 times less likely than before, and the loss fell "
        "from 0.693 to 0.127.",
        hint="The gains first: −8 and −28. Then their difference, times β.",
        look="The formula of section 2.",
        solution="`margin = -8 - (-28)`, 20 nats; `-log(sigmoid(0.1 * 20)) = 0.127`.",
        difficulty="medium",
        minutes=4,
        importance=5,
    ),
    Exercise(
        "12.2",
        "Nats into times",
        math.exp(8),
        (
            Mistake(8.0, "Those are the nats; log p fell by 8, so p fell by a factor e⁸."),
            Mistake(256.0, "That is 2⁸; a nat is a factor of e."),
            Mistake(1e8, "That is 10⁸; a nat is a factor of e."),
            Mistake(math.exp(-8), "Upside down: how many times *less* likely."),
        ),
        because="Eight nats look like little on a curve.",
        hint="log p is a natural logarithm.",
        look="The words at the top: nat.",
        solution="`math.exp(8)`, about 2,981.",
        importance=3,
    ),
    Exercise(
        "12.3",
        "Choose rate and β",
        honest_setting,
        (
            Mistake(most("pairs right"), "That ranks most pairs right; look at the answers."),
            Mistake(most("unsure"), "That knows most strangers for such; look at the known facts."),
            Mistake(most("right"), "Of all settings, yes; but it refuses too few strangers."),
        ),
        because="More is possible at a high rate, if a high β holds it.",
        hint="Means over the seeds of `row.scores['right']`, among settings whose mean of "
        "`row.scores['unsure']` is at least 0.85.",
        look="The explorer of section 5, or the rows themselves.",
        solution="Group the rows by `(row.lr, row.beta)`, take the means, drop what is below 0.85, "
        "and take the highest.",
        difficulty="medium",
        minutes=8,
        importance=4,
        kind=NUMBERS,
        evidence="the rows of the plane",
    ),
    Exercise(
        "12.4",
        "A win rate",
        34 / 54,
        (
            Mistake(0.34, "Ties decide nothing: leave them out below the line, too."),
            Mistake(0.57, "A tie is not half a win here; it is left out."),
            Mistake(0.8, "A tie is no win."),
            Mistake(20 / 54, "That is how often it loses."),
            Mistake(34 / 20, "Wins against losses; the question is the share of wins."),
        ),
        because="And its 95 % interval, 49.6 to 74.6 %, still holds one half.",
        hint="How many of the hundred decide?",
        look="`prefer.win_rate` counts so.",
        solution="`34 / (34 + 20)`: 63.0 %.",
        importance=3,
        kind=SHARE,
    ),
    Exercise(
        "12b.rloo",
        "Better than the others",
        matrices.check_advantages,
        because="No second model that predicts rewards is needed, and no reply is in its own mean.",
        hint="What did the others get together? Their sum is the group's, less one's own.",
        look="Section 1: a reply is worth what it got, less what the others got on average.",
        solution="`def advantages(rewards):\n    n = rewards.shape[1]\n"
        "    others = (rewards.sum(1, keepdim=True) - rewards) / (n - 1)\n"
        "    return rewards - others`",
        minutes=5,
        importance=5,
        kind=CODE,
    ),
    Exercise(
        "12b.reward",
        "A reward that holds",
        loops.check_reward,
        because="It pays for one reply only, so there is no way round.",
        hint="What does the right reply look like, in full? Say that, and not a sign of it.",
        look="Section 4: each word of the two rewards that were hacked, and what it left out.",
        solution="`def reward(given, reply):\n    return float(reply.split() == sorted(given))`",
        difficulty="medium",
        minutes=10,
        importance=5,
        kind=CODE,
    ),
    Exercise(
        "12b.1",
        "An advantage",
        1 - 1 / 3,
        (
            Mistake(0.5, "Its own reward is in that mean; leave it out."),
            *(
                Mistake(own, "That is GRPO's: over the spread.")
                for own in (0.5 / math.sqrt(1 / 3), 0.87)
            ),
            Mistake(1.0, "That is the reward; take the others' mean off."),
            *(
                Mistake(mean, "That is the mean of the others; how much better was it?")
                for mean in (1 / 3, 0.33)
            ),
            *(
                Mistake(turned, "The sign: it did better than the others.")
                for turned in (-2 / 3, -0.67)
            ),
        ),
        because="The wrong ones get −2/3 each, and the group's sum is 0.",
        hint="The others got 0, 0 and 1.",
        look="Section 1, the formula below the table.",
        solution="`1 - (0 + 0 + 1) / 3`.",
        importance=4,
    ),
    Exercise(
        "12b.2",
        "How many groups are dead?",
        0.75**4 + 0.25**4,
        (
            Mistake(0.75**4, "Groups in which all are right teach nothing, either."),
            Mistake(1 - 0.75**4, "That is how often one at least is right."),
            Mistake(1 - 0.75**4 - 0.25**4, "Those are the ones that teach."),
            Mistake(0.25**4, "Those are all right; all wrong are dead, too."),
            Mistake(0.75, "That is one reply; a group has four."),
            Mistake(0.25, "That is how often one reply is right; a group has four."),
        ),
        because="With eight replies it is a tenth, with two five eighths. In section 2 more are "
        "dead: some questions are easy, others hopeless, and a mean of a quarter hides that.",
        hint="A group is dead when all four get the same: all right, or all wrong.",
        look="Section 2, dead groups.",
        solution="`0.75 ** 4 + 0.25 ** 4`: 32.0 %.",
        difficulty="medium",
        minutes=4,
        importance=4,
        kind=SHARE,
    ),
    Exercise(
        "12b.3",
        "What distance costs",
        4 - 0.3 * 12,
        (
            Mistake(7.6, "The sign: distance is taken off."),
            Mistake(-8.0, "β is missing: a nat costs 0.3."),
            Mistake(3.7, "That is one nat; how far is this reply?"),
            Mistake(3.6, "That is what the distance costs; what is left?"),
            Mistake(4 - 0.3 * 32, "The distance is log π less log base: 12 nats."),
            Mistake(4 - 0.3 * 52, "The two are taken off each other: −20 − (−32) is 12 nats."),
        ),
        because="Forty words are paid 4.0 and are worth 0.4: five likely ones are worth more.",
        hint="The distance of a reply: log π − log base.",
        look="Section 4, what a nat costs.",
        solution="`4.0 - 0.3 * (-20 - -32)`.",
        importance=3,
    ),
)

EXERCISES = (*TEACHING, *METHODS, *FORGETTING, *BROKEN, *PREFERRING)

KNOWN = (
    "KL on general rows",
    "KL on the task's rows",
    "‖ΔW‖ / ‖W‖",
    "training loss",
    "task score",
)
MENDS = ("warm-up", "clipping", "four times the batch", "a tenth of the rate")


def sorted_names(values: Mapping[str, float]) -> tuple[str, ...]:
    """The names by their numbers, the largest first."""
    return tuple(sorted(values, key=values.__getitem__, reverse=True))


TRAINED = ("full fine-tuning", "LoRA", "prefix tuning", "IA³")


def count_of(values: Iterable[Any], is_it: Callable[[Any], bool]) -> int:
    """How many of some values are it; ValueError where there are no values."""
    found = [is_it(value) for value in values]
    if not found:
        raise ValueError("there are no values to count")
    return sum(found)


FACTORS = {"1.5 to 2": 1.75, "about 5": 5.0, "10 and more": 14.0}


def nearest_factor(factors: Iterable[float]) -> str:
    """The option nearest, as a ratio, to the (geometric) mean of some factors."""
    middle = statistics.fmean(map(math.log, factors))
    return min(FACTORS, key=lambda name: abs(math.log(FACTORS[name]) - middle))


def how_many(count: int) -> str:
    """A small count in words, as a prediction's options have them."""
    if count == 0:
        return "none"
    return "one or two" if count < 3 else "three to five" if count < 6 else "six or more"


AHEAD = ("24 or 40", "80 or 96", "240 or 300", "none of these")


def ahead(gains: Mapping[int, Any]) -> list[int]:
    """The numbers of rows with which the gain is above zero, and told apart from it."""
    return sorted(n for n, one in gains.items() if one.p < 0.05 and one.change.value > 0)


def where_ahead(gains: Mapping[int, Any]) -> str:
    """The fewest of those rows, as one of AHEAD; {rows: a gain with its corrected p}."""
    if not gains:
        raise ValueError("there are no gains to look at")
    found = ahead(gains)
    if not found:
        return AHEAD[-1]
    return AHEAD[0] if found[0] < 80 else AHEAD[1] if found[0] < 240 else AHEAD[2]


def told_ahead(gains: Mapping[int, Any]) -> str:
    """At how many of the sizes it does."""
    return f"at {len(ahead(gains)) or 'none'} of {len(gains)} sizes"


PREDICTIONS = (
    Prediction.of_share(
        "07.taught",
        "Of the tokens of one ticket and its answer, what share is the model taught to write?",
        near=10,
        evidence="the share of tokens that carry loss",
    ),
    Prediction(
        "07.packed",
        "Is a packed row's output exactly that of the row alone, nearly, or different?",
        lambda gap: "exactly" if gap == 0 else "nearly" if gap < 1e-2 else "different",
        options=("exactly", "nearly", "different"),
        told=lambda gap: f"the largest logit gap is {about(gap, 2)}",
        evidence="the largest logit gap",
    ),
    Prediction(
        "07.positions",
        "And if somebody forgets the position ids?",
        lambda gap: "exactly" if gap == 0 else "nearly" if gap < 1e-2 else "different",
        options=("exactly", "nearly", "different"),
        told=lambda gap: f"the largest logit gap is {about(gap, 2)}",
        evidence="the largest logit gap",
    ),
    Prediction(
        "07b.scripts",
        "How many of the guides' three scripts run as printed?",
        lambda count: str(int(count)),
        options=("0", "1", "2", "3"),
        evidence="how many run",
    ),
    Prediction(
        "07b.valleys",
        "The best rate of LoRA against that of full fine-tuning: how many times as high?",
        lambda factor: factor,
        between=(0.1, 100),
        unit="times",
        log=True,
        near=2.5,
        evidence="LoRA's best rate over full fine-tuning's",
    ),
    Prediction(
        "07b.window",
        "From the rate that has learned the task to the one that costs 5 % of the other skills: by "
        "what factor?",
        lambda widths: nearest_factor(widths.values()),
        options=tuple(FACTORS),
        told=lambda widths: f"{widths['LoRA']:.2g} for LoRA, {widths['full']:.2g} for full",
        evidence="a dict of the factor between these two rates, of LoRA and full",
    ),
    Prediction(
        "07b.overfit",
        "Ten epochs at a rate of 4e-3, on clean rows and on rows of which a quarter is wrong: "
        "which over-fits?",
        lambda rises: (
            "both"
            if rises["clean"] and rises["wrong"]
            else "clean"
            if rises["clean"]
            else "a quarter wrong"
            if rises["wrong"]
            else "neither"
        ),
        options=("clean", "a quarter wrong", "both", "neither"),
        evidence="a dict: whether validation loss rises on clean and on wrong rows",
    ),
    Prediction(
        "07b.mends",
        "Four cures for a run that spikes: put them in order, the best first.",
        lambda spikes: sorted_names({name: -value for name, value in spikes.items()}),
        order=MENDS,
        evidence="a dict of the spike under each cure",
    ),
    Prediction(
        "08.common",
        "Of the thirteen ways, how many get not a single test ticket right at LoRA's rate?",
        lambda shares: count_of(shares.values(), lambda share: share == 0),
        between=(0, 13),
        unit="ways",
        near=1,
        told=lambda shares: (
            f"{count_of(shares.values(), lambda share: share == 0)} of {len(shares)}"
        ),
        evidence="a dict of the share right of each method",
    ),
    Prediction(
        "08.span",
        "The highest of the methods' own rates: how many times the lowest?",
        lambda rates: max(rates) / min(rates),
        between=(1, 10_000),
        unit="times",
        log=True,
        near=3.5,
        told=lambda rates: f"at least {max(rates) / min(rates):,.0f} times",
        evidence="the own rate of each method",
    ),
    Prediction.of_share(
        "08.start",
        "A prompt that begins with words, before any training: what share of the tickets is right?",
        near=8,
        told=percent,
        evidence="the share of right answers before training",
    ),
    Prediction(
        "08.least",
        "Each at its own rate: which of the four keeps the fewest skills?",
        lambda kept: min(TRAINED, key=lambda name: kept[name]),
        options=TRAINED,
        told=lambda kept: percent(min(kept[name] for name in TRAINED)),
        evidence="a dict of the skills that each method keeps",
    ),
    Prediction(
        "08.apart",
        "How many methods keep a share of the skills that can be told apart from LoRA's?",
        lambda ps: how_many(count_of(ps, lambda p: p < 0.05)),
        options=("none", "one or two", "three to five", "six or more"),
        told=lambda ps: f"{count_of(ps, lambda p: p < 0.05)} of {len(ps)}",
        evidence="the corrected p of each method",
    ),
    Prediction(
        "08.directions",
        "Of 2,689,280 dimensions, how many random ones are enough for nine tenths of the score?",
        lambda d: 1.0 * d,
        between=(100, 2_689_280),
        unit="directions",
        log=True,
        near=3.5,
        evidence="d90",
    ),
    Prediction(
        "08.ahead",
        "With how many rows, of those that were tried, does full fine-tuning pull ahead of LoRA?",
        where_ahead,
        options=AHEAD,
        told=told_ahead,
        evidence="a dict of what full fine-tuning gains at each number of rows, with corrected p",
    ),
    Prediction.of_share(
        "10.near",
        "Of what the model could do and that is like the task: how much is lost after the run?",
        near=10,
        told=percent,
        evidence="the share of right answers lost in the skills like the task",
    ),
    Prediction.of_share(
        "10.far",
        "And of what is nothing like the task?",
        near=5,
        told=percent,
        evidence="the share of right answers lost in the other skills",
    ),
    Prediction(
        "10.method",
        "At the same task score, which keeps more skills: LoRA or full fine-tuning?",
        lambda gaps: (
            "neither by much"
            if max(map(abs, gaps)) < 0.015
            else "LoRA"
            if sum(gaps) > 0
            else "full fine-tuning"
        ),
        options=("LoRA", "full fine-tuning", "neither by much"),
        told=lambda gaps: f"at most {about(100 * max(map(abs, gaps)), 2)} points apart",
        evidence="the gaps, LoRA − full, at every bar",
    ),
    Prediction(
        "10.nothing",
        "Which of these cures does nothing to the hot run's forgetting?",
        lambda kept: min(CURES, key=lambda name: abs(kept[name])),
        options=(
            "half the rate",
            "half the epochs",
            "weight decay 0.1",
            "50% replay",
            "KL to the base, 0.1",
        ),
        told=lambda kept: f"≈{kept['weight decay 0.1']:+.1f} points",
        evidence="a dict of what each cure keeps, in points",
    ),
    Prediction(
        "10.foretells",
        "Order the five by how well they foretell the skills lost, the best first.",
        sorted_names,
        order=KNOWN,
        evidence="a dict of how well each one foretells, such as |Spearman's ρ|",
    ),
    Prediction(
        "11.loss",
        "Of the sixteen sick runs, how many end with a training loss below 0.02 nats?",
        count_low,
        between=(0, 16),
        unit="runs",
        near=1,
        told=lambda losses: f"{count_low(losses)} of {len(losses)}",
        evidence="the last training loss of each sick run",
    ),
    Prediction(
        "11.twice",
        "A second start mark before every training row: what does it cost?",
        lambda lost: (
            "nothing" if lost < 0.02 else "a few answers" if lost < 0.2 else "half or more"
        ),
        options=("nothing", "a few answers", "half or more"),
        told=lambda lost: f"{percent(max(0.0, lost))} of the answers",
        evidence="the share of right answers that is lost",
    ),
    Prediction.of_share(
        "11.leak",
        "83 % of the test rows are right. What share of new questions is right in use?",
        near=8,
        told=percent,
        evidence="the share of right answers to new questions",
    ),
    Prediction(
        "11.silent",
        "Four damaged adapters: how many of them does peft open without a word?",
        lambda said: count_of(said.values(), lambda words: not words),
        between=(0, 4),
        unit="adapters",
        near=0,
        told=lambda said: f"{count_of(said.values(), lambda words: not words)} of {len(said)}",
        evidence="a dict of what was said about each, empty where nothing was",
    ),
    Prediction(
        "11.alarms",
        "Of 54 healthy runs, how many does the doctor call sick?",
        lambda alarms: alarms,
        between=(0, 54),
        unit="runs",
        near=1,
        told=lambda alarms: f"{alarms} of 54",
        evidence="the number of false alarms",
    ),
    Prediction.of_share(
        "12.base",
        f'240 replies about strangers, each in a sentence: how many are "{lexicon.UNKNOWN}"?',
        near=5,
        told=percent,
        evidence="the share that says so",
    ),
    Prediction(
        "12.reply",
        "Every pair is ranked right, and the loss is below 0.001. What does the model say about a "
        "stranger?",
        lambda said: (
            lexicon.UNKNOWN
            if said[lexicon.UNKNOWN] > 0.5
            else "an invention"
            if said["a sentence"] > 0.5
            else "neither"
        ),
        options=(lexicon.UNKNOWN, "an invention", "neither"),
        told=lambda said: f"{lexicon.UNKNOWN} {percent(said[lexicon.UNKNOWN])}",
        evidence=f'a dict of the shares that say "{lexicon.UNKNOWN}" and "a sentence"',
    ),
    Prediction(
        "12.chosen",
        "And the chosen answer, which all this was for: is it likelier than before?",
        lambda change: (
            "likelier" if change > 1 else "less likely" if change < -1 else "about as likely"
        ),
        options=("likelier", "about as likely", "less likely"),
        told=lambda change: f"log p changed by {about(change, 2)} nats",
        evidence="the change of its log p, in nats",
    ),
    Prediction.of_share(
        "12.refusal",
        "After SFT nearly half of the known facts are refused. And after DPO on the model's own "
        "mistakes?",
        near=8,
        told=percent,
        evidence="the share of known facts refused",
    ),
    Prediction(
        "12.sft",
        "SFT and then DPO, or plain SFT at a better rate: which gets more known facts right?",
        lambda apart: (
            "they can't be told apart"
            if apart.p >= 0.05
            else "SFT, then DPO"
            if apart.change.value > 0
            else "plain SFT"
        ),
        options=("SFT, then DPO", "plain SFT", "they can't be told apart"),
        told=lambda apart: (
            f"{100 * apart.change.value:+.0f} points "
            f"[{100 * apart.change.low:.0f}, {100 * apart.change.high:.0f}]"
        ),
        evidence="what SFT and DPO get right more, over seeds",
    ),
    Prediction(
        "12.longer",
        "Pairs of descriptions, ranked by what is true in them. In three of five the chosen one is "
        "the longer. How much longer does the model write after DPO?",
        lambda share: 100 * share,
        between=(-50, 200),
        unit="%",
        near=25,
        told=percent,
        evidence="by how much replies grew, as a share",
    ),
    Prediction.of_share(
        "12b.after",
        "Twelve steps of GRPO, 768 replies in all: how many new questions are right then?",
        near=8,
        told=percent,
        evidence="the share right",
    ),
    Prediction(
        "12b.dead",
        "The same on sums that the model never gets right, four steps: how far do weights move?",
        lambda moved: (
            "not at all" if moved == 0 else "a little" if moved < 1e-3 else "as far as before"
        ),
        options=("not at all", "a little", "as far as before"),
        told=lambda moved: f"by {moved:g}",
        evidence="the largest change of a weight",
    ),
    Prediction(
        "12b.far",
        "Four ways to nine digits. Which gets the *fewest* of *eight* digits right, never trained?",
        lambda right: min(right, key=right.__getitem__),
        options=("RLOO", "its own right replies", "right answers", "DPO"),
        told=lambda right: percent(min(right.values())),
        evidence="a dict of each way's share right",
    ),
    Prediction(
        "12b.rises",
        "The reward: how often the next digit is larger. What will the model write?",
        lambda said: (
            "the right digits"
            if said["right"] > 0.5
            else "all ten digits"
            if said["ten"] > 0.5
            else "a right start, then rising again"
        ),
        options=("the right digits", "all ten digits", "a right start, then rising again"),
        told=lambda said: f"{percent(said['right'])} are right",
        evidence='a dict of the shares that are "right" and of all "ten" digits',
    ),
    Prediction.of_share(
        "12b.cost",
        "The same reward, but each nat of distance to the base costs 0.3. How many are right now?",
        near=10,
        told=percent,
        evidence="the share right",
    ),
    Prediction.of_share(
        "12b.judge",
        "A reward model of 30 pairs. Where the *shorter* answer is the better one, how often does "
        "it rank them right?",
        near=8,
        told=percent,
        evidence="the share ranked right",
    ),
    Prediction(
        "10.half",
        "The hot update times λ = 0.5: how much of the task is gone?",
        lambda gone: "half of it" if gone > 0.25 else "a little" if gone > 0.05 else "nothing",
        options=("nothing", "a little", "half of it"),
        told=lambda gone: f"{percent(gone)}",
        evidence="the share of the task that is gone",
    ),
)

CURES = (
    "half the rate",
    "half the epochs",
    "weight decay 0.1",
    "50% replay",
    "KL to the base, 0.1",
)
