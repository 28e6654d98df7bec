"""First steps, data, and telling of both: what ten, 00, 05 and 16 ask, and its answers.

    EXERCISES       counting an adapter, which change did the harm; a validator, copies, leaks
    PREDICTIONS     how much will move, what a rate costs; what is cut, found, learned of bad rows
    check_unbacked  unbacked(answer, figures): the numbers of an answer that nothing backs

Each exercise names the mistakes that people make; how an answer is held against them is in
`comparing`, other code of the reader's is checked in `loops`.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from ..core.results import about, percent
from . import loops
from .comparing import attempt, spell
from .exercise import CODE, COUNT, NUMBER, SHARE, WORDS, Exercise, Feedback, Mistake, Prediction

YES_NO = ("yes", "no")
KEPT = ("known", "copy", "sentiment", "sort")


def drops(forgotten: Any) -> dict[str, float]:
    """Each skill's loss, as a share, from a `forgetting.table`."""
    after = forgotten.after.rates
    return {k: rate.value - after[k].value for k, rate in forgotten.before.rates.items()}


def most_lost(forgotten: Any, place: int = 0) -> str:
    """The skill that lost most, or the one that comes so many places behind it."""
    lost = drops(forgotten)
    return sorted(lost, key=lost.__getitem__, reverse=True)[place]


def lowest(forgotten: Any) -> str | None:
    """The skill that ends lowest, or None where that is the one that lost most."""
    after = {k: rate.value for k, rate in forgotten.after.rates.items()}
    found = min(after, key=after.__getitem__)
    return None if found == most_lost(forgotten) else found


def nearest_option(value: float, options: dict[str, float]) -> str:
    """The option whose number lies nearest, as a ratio."""
    return min(options, key=lambda name: max(value / options[name], options[name] / value))


SHARES = {"a thousandth": 0.001, "a hundredth": 0.01, "a twentieth": 0.05, "a half": 0.5}

TEN = (
    Exercise(
        "ten.1",
        "Count one adapter",
        8 * (512 + 256),
        (
            Mistake(512 * 256, "That is W itself; LoRA trains A (8, 256) and B (512, 8)."),
            Mistake(8 * 256, "That is A alone; B has 8 numbers for every output as well."),
            Mistake(8 * 512, "That is B alone, or A twice; A has 256 columns, B has 512 rows."),
            Mistake(8 * 512 * 256, "The sides are added, not multiplied: two thin matrices."),
            Mistake(2 * 8 * 512, "W is not square: 512 outputs, 256 inputs."),
        ),
        because="A has 8 × 256 numbers, B has 512 × 8: 6,144 instead of 131,072.",
        hint="A is (r, d_in) and B is (d_out, r). How many numbers has each?",
        look="The drawing of W, A and B at the top, with the slider at r = 8.",
        solution="`8 * (512 + 256) = 6144`.",
        minutes=2,
        importance=5,
        kind=COUNT,
    ),
)

START = (
    Exercise(
        "00.1",
        "Count by hand",
        lambda layer=None: 1536 if layer is None else 4 * (layer.in_features + layer.out_features),
        (
            Mistake(
                lambda layer=None: 2048 if layer is None else 8 * layer.in_features,
                "v_proj is not square: query heads share value heads, so d_out is smaller than "
                "d_in.",
            ),
            Mistake(
                lambda layer=None: (
                    32768 if layer is None else layer.in_features * layer.out_features
                ),
                "That is W itself; LoRA trains A (r, d_in) and B (d_out, r).",
            ),
            Mistake(
                lambda layer=None: 4096 if layer is None else 16 * layer.in_features,
                "The two sides are added: r · d_in and r · d_out, with r once in each.",
            ),
            Mistake(
                lambda layer=None: 1024 if layer is None else 4 * layer.in_features,
                "That is A alone; B has r numbers for every output as well.",
            ),
            Mistake(
                lambda layer=None: 512 if layer is None else 4 * layer.out_features,
                "That is B alone; A has r numbers for every input as well.",
            ),
        ),
        because="A is (4, 256) and B is (128, 4): r · (d_in + d_out).",
        hint="A is (r, d_in), B is (d_out, r). How many numbers has each?",
        look="The layer's shape, printed above, and the formula under *Attach LoRA*.",
        solution="`4 * (256 + 128) = 1536`: A is (4, 256), B is (128, 4).",
        importance=4,
        kind=COUNT,
    ),
    Exercise(
        "00.2",
        "Which of the two?",
        "rate",
        (
            Mistake(
                "replay",
                "Replay alone brings back much, but hold it against the mild rate without replay.",
            ),
            Mistake(
                "both",
                "Each helps. The question is which one alone brings back more: compare the two "
                "means, and their intervals.",
            ),
        ),
        because="Replay alone leaves about 9 % of the skills lost, the mild rate alone about 4 %; "
        "the intervals are apart, on this one seed.",
        hint="Two runs: lr 2e-2 with the replayed rows, and lr 2e-3 with the tickets alone.",
        look="The cell that trains, in section 5, and the one of the hot run, in section 7.",
        solution="`'rate'`. Each alone brings back most of it, the mild rate more than replay, and "
        "both together leave less forgotten than either.",
        difficulty="medium",
        minutes=6,
        importance=4,
        kind=WORDS,
        choices=("rate", "replay", "both"),
    ),
    Exercise(
        "00.3",
        "Read the table",
        most_lost,
        (
            Mistake(
                lowest, "That one ends lowest, but it started low: compare with the column before."
            ),
            Mistake(
                lambda forgotten: most_lost(forgotten, 1),
                "Close: that one lost second most. Read the last column, line by line.",
            ),
            Mistake(
                lambda forgotten: most_lost(forgotten, 2),
                "That one lost third most. Read the last column, line by line.",
            ),
            Mistake(
                lambda forgotten: most_lost(forgotten, -1),
                "That one lost least: a change with a minus is a loss.",
            ),
        ),
        because="The largest drop, not the lowest end.",
        hint="The last column is after minus before.",
        look="The table of the hot run's skills.",
        solution="The name in the line whose `change` is the most negative.",
        importance=4,
        kind=WORDS,
        evidence="the hot run's table of skills (what forgetting.table returned)",
    ),
    Exercise(
        "00.4",
        "Is 98 better than 96?",
        "no",
        (
            Mistake(
                "yes",
                "More of the tickets on which they differ fell to the hot run; but a fair coin "
                "falls as unevenly in more than one case of ten.",
            ),
        ),
        because="A fair coin falls as unevenly in more than one case of ten. (That two intervals "
        "overlap would be no proof of it: notebook 09 has such a pair that differs.)",
        hint="Only tickets that one of the two alone has right say anything. How often would a "
        "coin fall like that?",
        look="The small table of section 7, and its last column.",
        solution="`'no'`: p is above 10 %. Notebook 09 counts how many rows would be needed.",
        minutes=2,
        importance=4,
        kind=WORDS,
        choices=YES_NO,
    ),
    Exercise(
        "00.5",
        "Write the report",
        loops.check_most_lost,
        because="This is the line that a task score never shows.",
        hint="`{skill: before[skill] - after[skill] for skill in before}` has every fall.",
        look="The table of the hot run's skills: the last column is after minus before, in points.",
        solution="`fall = {skill: before[skill] - after[skill] for skill in before}\n"
        "worst = max(fall, key=fall.get)\nreturn worst, 100 * fall[worst]`",
        difficulty="medium",
        minutes=6,
        importance=4,
        kind=CODE,
    ),
    Exercise(
        "00.6",
        "How large is the file?",
        524_288,
        (
            Mistake(131_072, "Those are numbers; a float32 takes four bytes."),
            Mistake(262_144, "That is two bytes per number, as in bfloat16; these are float32."),
            Mistake(
                1_048_576, "That is eight bytes per number; a float32 has 32 bits, four bytes."
            ),
            Mistake(4_194_304, "Those are bits; a byte has eight of them."),
            Mistake(4 * 2_820_352, "That is base and adapter; the file holds the adapter alone."),
            Mistake(524.288, "That is in kB; the question is in bytes."),
        ),
        because="131,072 numbers of four bytes; the file has a short header beside them.",
        hint="A float32 has 32 bits.",
        look="The count under *Attach LoRA*, and the size of the file under *Take it away*.",
        solution="`4 * 131072 = 524288`; the file on disk is a little larger by its header.",
        minutes=2,
    ),
)

DATA = (
    Exercise(
        "05.valid",
        "Write a validator",
        loops.check_validator,
        because="So it is a list of messages, each with a known role and a text, and an answer at "
        "the end.",
        hint="Go from outside in: is `messages` a list, is each message whole, is the last one an "
        "answer with words in it?",
        look="The table of the file with eight bad rows: each line is a rule.",
        solution="`chat = row.get('messages')\nif not isinstance(chat, list) or not chat:\n"
        "    return False\nfor message in chat:\n"
        "    known = message.get('role') in ('system', 'user', 'assistant')\n"
        "    if not known or not isinstance(message.get('content'), str):\n"
        "        return False\n"
        "return chat[-1]['role'] == 'assistant' and bool(chat[-1]['content'].strip())`",
        difficulty="medium",
        minutes=12,
        importance=5,
        kind=CODE,
    ),
    Exercise(
        "05.1",
        "What is left of an answer",
        26,
        (
            Mistake(46, "That is the whole answer; the row is cut behind token 96."),
            Mistake(20, "Those are the tokens that are lost; the question is what is left."),
            Mistake(0, "The question ends at token 70, so some of the answer is left."),
            Mistake(96, "That is max_length; 70 of those tokens are the question's."),
            Mistake(25, "The cut comes behind token 96, and the answer begins with token 71."),
        ),
        because="26 tokens without an end mark: the row teaches to begin an answer, and never to "
        "end it.",
        hint="How many of the first 96 tokens are the question's?",
        look="The picture of max_length: such a row is in the middle band.",
        solution="`96 - 70 = 26`, of 46.",
        minutes=2,
        kind=COUNT,
    ),
    Exercise(
        "05.2",
        "How likely do two rows meet?",
        1 - (1 - 0.5**4) ** 32,
        (
            Mistake(0.5**4, "That is one band; there are 32 of them."),
            Mistake((1 - 0.5**4) ** 32, "That is how likely they miss each other in every band."),
            Mistake(32 * 0.5**4, "Chances of several bands can't be added: that is more than 1."),
            Mistake(0.5, "That is their likeness; a band needs four places alike."),
            Mistake(1 - 0.5**128, "All 128 numbers as bands of one; a band needs four alike."),
        ),
        because="Seven times in eight. Rows of likeness 0.2 meet in one case of twenty: that is "
        "what spares the comparing.",
        hint="First one band: four places, each alike with a chance of one half.",
        look="The curve of the chance to meet, at 0.5.",
        solution="`1 - (1 - 0.5 ** 4) ** 32`: 87.3 %.",
        difficulty="medium",
        minutes=5,
        kind=SHARE,
    ),
    Exercise(
        "05.minhash",
        "MinHash in three lines",
        loops.check_minhash,
        hint="`min(map(function, one))` is the least value of one set under one function.",
        look="The two sentences before the curve: what agrees, and how often.",
        solution="`same = [min(map(f, one)) == min(map(f, other)) for f in functions]\n"
        "return sum(same) / len(same)`",
        difficulty="medium",
        minutes=8,
        importance=4,
        kind=CODE,
    ),
    Exercise(
        "05.3",
        "Ninety-five per cent right",
        0.5,
        (
            Mistake(0.95, "That is the accuracy, in which the usual class counts 19 times."),
            Mistake(0, "That is the recall of the rare class alone."),
            Mistake(0.05, "That is the share of the rare class."),
            Mistake(1, "That is the recall of the usual class alone."),
            Mistake(0.475, "Each recall is of its own class: 95 of 95, and 0 of 5."),
        ),
        because="As good as a coin. Accuracy said 95 %.",
        hint="Two recalls: of the 95 and of the 5.",
        look="The bars of the three runs: one of each class.",
        solution="`(95 / 95 + 0 / 5) / 2 = 0.5`.",
        minutes=3,
        importance=4,
        kind=SHARE,
    ),
    Exercise(
        "05.4",
        "How often each rare row?",
        19,
        (
            Mistake(20, "20 times 5 are 100, more than the 95 others."),
            Mistake(18, "18 are new; with the row itself it is there 19 times."),
            Mistake(95, "95 rows are needed in all; five different ones share them."),
            Mistake(90, "Those are the rows to add; each of the five is there how often?"),
            Mistake(10, "Half of 95 + 5, by 5: but the others stay 95, and the set grows."),
        ),
        because="5 × 19 = 95: as many as the others. Nothing new is learned, only oftener.",
        hint="The others stay 95. How many rare rows make half of all?",
        look="`audit.oversample`: the set grows, and nothing is left out.",
        solution="`95 / 5 = 19`.",
        minutes=2,
        kind=COUNT,
    ),
    Exercise(
        "05.5",
        "What a leak reports",
        0.55,
        (
            Mistake(0.4, "That is the true rate; 50 of the 200 rows are known by heart."),
            Mistake(0.65, "Shares of different rows can't be added: 0.4 is of the 150 others."),
            Mistake(0.25, "That is the leaked share alone; 60 of the others are right as well."),
            Mistake(0.3, "Those are the right ones of the others, of all 200: add the leaked."),
            Mistake(0.7, "Half way to 1; the leaked rows are a quarter."),
        ),
        because="15 points too many, and nothing in the score says so.",
        hint="Count right rows: of the 50, and of the 150.",
        look="The table of leaked facts: reported and true.",
        solution="`(50 + 0.4 * 150) / 200 = 0.55`.",
        difficulty="medium",
        minutes=4,
        importance=4,
        kind=SHARE,
    ),
)

# What somebody says, and figures that were computed.
SAID = (
    ("It takes 20 GB, not 50, and trains 131,072 numbers.", (20.305, 64.276, 131_072)),
    ("It trains 6.5 million numbers, 0.08 % of the model.", (13.631488, 0.16946)),
    ("It trains 13.6 million numbers, 0.17 % of the model.", (13.631488, 0.16946)),
    ("For a square matrix the pair has 131,072 numbers.", (131_072,)),
    ("A step takes 20 GB instead of 64.", (20.305, 64.276)),
    ("99.8 % less, in 2 hours.", (99.83,)),
    ("I would sweep the rate first.", (0.004,)),
)
WRITTEN = r"[0-9](?:[0-9,]*[0-9])?(?:\.[0-9]+)?"


def backed(number: str, figures: Sequence[float]) -> bool:
    """Whether some figure is this number, rounded to as many places as it is written with."""
    places = len(number.partition(".")[2])
    value = float(number.replace(",", ""))
    return any(abs(round(figure, places) - value) < 1e-9 for figure in figures)


def unbacked(answer: str, figures: Sequence[float]) -> list[str]:
    """The numbers of an answer that are no figure, as they are written, in their order."""
    return [number for number in re.findall(WRITTEN, answer) if not backed(number, figures)]


def wrong_numbers(answer: str, figures: Sequence[float]) -> dict[str, list[list[str]]]:
    """The lists that people return instead of `unbacked`, by what is wrong with them."""
    numbers, right = re.findall(WRITTEN, answer), unbacked(answer, figures)
    apart = re.findall(r"[0-9]+(?:\.[0-9]+)?", answer)
    pieces = [apart] if apart != numbers else []  # all numbers, one of them cut at its comma
    trailing = re.findall(r"[0-9][0-9,]*(?:\.[0-9]+)?", answer)
    values = [float(number.replace(",", "")) for number in numbers]
    equal = [n for n, value in zip(numbers, values, strict=True) if value not in figures]
    return {
        "those are the numbers that are backed: return the others.": [
            [number for number in numbers if number not in right]
        ],
        "nobody says 13.631488: a number is backed by a figure that rounds to it.": [equal],
        "131,072 is one number: its comma belongs to it.": [
            [number for number in apart if not backed(number, figures)],
            *pieces,
        ],
        "a comma behind a number belongs to the sentence, and not to the number.": [
            [number for number in trailing if not backed(number, figures)]
        ],
        "all numbers came back: leave out those that a figure rounds to.": [
            numbers,
            trailing,
        ],
    }


def check_unbacked(mine: Callable[[str, Sequence[float]], Any]) -> Feedback:
    """Hold unbacked(answer, figures) against the numbers that no figure rounds to."""
    for answer, figures in SAID:
        found, fault = attempt(mine, answer, list(figures))
        if fault is not None:
            return fault
        if not isinstance(found, list | tuple):
            told = f"{spell(found)} came back: return a list of numbers as they are written."
            return Feedback(False, told)
        given, right = list(found), unbacked(answer, figures)
        values = [number for number in given if not isinstance(number, str)]
        if values:
            told = f"return the numbers as they are written: '50', not {values[0]}."
            return Feedback(False, told)
        if given != right:
            wrong = wrong_numbers(answer, figures)
            named = [why for why, others in wrong.items() if given in others]
            rest = f"of {answer!r} with {list(figures)} it is {right}, not {given}."
            return Feedback(False, named[0] if named else rest)
    return Feedback(True, "so a number in an answer is either backed, or pointed at.")


TELLING = (
    Exercise(
        "16.unbacked",
        "Numbers that nothing backs",
        check_unbacked,
        because="The kit holds its own cards to this: each number in them comes from a call.",
        hint="`re.findall` finds the numbers. For each: how many places has it? Round every figure "
        "to as many, and compare.",
        look='`number.partition(".")[2]` is what stands behind the point; the comma of 131,072 '
        "has to go before `float`.",
        solution="`import re\n\ndef my_unbacked(answer, figures):\n    left = []\n"
        '    for number in re.findall(r"[0-9](?:[0-9,]*[0-9])?(?:\\.[0-9]+)?", answer):\n'
        '        places = len(number.partition(".")[2])\n'
        '        value = float(number.replace(",", ""))\n'
        "        if value not in [round(figure, places) for figure in figures]:\n"
        "            left.append(number)\n    return left`",
        difficulty="medium",
        minutes=10,
        importance=4,
        kind=CODE,
    ),
    Exercise(
        "16.missing",
        "What does this answer lack?",
        "settings",
        (
            Mistake("a formula", "It has one, with W frozen and the scale."),
            Mistake("a count", "It has one, and it is right for this model."),
            Mistake("a comparison", "It has one: both stored the same facts."),
        ),
        because="20 and 64 GB are for 2,048 tokens and checkpointing; the 33 points are of rank 8, "
        "on a small model. Of rank 64 it was 17 points, and the interval covers zero.",
        hint="Take the figures one by one: could somebody else measure each of them again?",
        look="Somebody wants to measure the 20 GB again: what would you have to be told?",
        solution="settings. 20 GB for how many tokens? 33 points at which rank, on which model? "
        "The answer has formula, count and comparison, and says none of this.",
        minutes=4,
        importance=4,
        kind=WORDS,
        choices=("a formula", "a count", "a comparison", "settings"),
    ),
    Exercise(
        "16.scale",
        "Is the scale what makes it aggressive?",
        1,
        (
            Mistake(4, "That is α alone; r grows as much."),
            Mistake(2, "That is α/r in each column: how many times is one the other?"),
            Mistake(8, "That is the α of one column over the r of another."),
            Mistake(16, "That is α times r; LoRA divides by r."),
            Mistake(0.25, "That is the other way round, and of α alone."),
        ),
        because="All three have α/r = 2. Yet more is learned and more is lost as the rank grows: "
        "at one rate (0.002, three seeds) our runs with r, α = 4, 8 / 16, 32 / 64, 128 got 59, 98 "
        "and 99 % of the tickets and kept 98, 95 and 93 % of the skills. So α/r alone does not say "
        "how aggressive a setting is.",
        hint="LoRA adds (α/r) · B A. What is α/r in either column?",
        look="128/64, and 32/16.",
        solution="128/64 over 32/16 is 1.",
        minutes=3,
        importance=4,
        kind=NUMBER,
    ),
)

EXERCISES = (*TEN, *START, *DATA, *TELLING)

CLEAN, NOISY, ALIKE = "100 clean rows", "1,200 rows, half of them wrong", "they are alike"
OFTEN, HALF, NEVER = "about as often", "about half as often", "hardly ever"
AGREED, SECOND = "those on which two prompts agree", "the second prompt alone"
BOTH_ALIKE = "the last two, alike"


def cleaner(shares: dict[str, float]) -> str:
    """Which of two sets did better, or that they are within five points."""
    apart = shares[CLEAN] - shares[NOISY]
    return ALIKE if abs(apart) < 0.05 else CLEAN if apart > 0 else NOISY


def through(shares: dict[str, float]) -> str:
    """How often a model is right through a foreign template, beside its own."""
    ratio = shares["alpaca"] / shares["right"] if shares["right"] else 0.0
    return OFTEN if ratio > 0.75 else HALF if ratio > 0.25 else NEVER


def best_rows(shares: dict[str, float]) -> str:
    """The rows of the best student; agreement and the second prompt within two points are alike."""
    best = max(shares, key=shares.__getitem__)
    alike = abs(shares[AGREED] - shares[SECOND]) < 0.02
    return BOTH_ALIKE if alike and best in (AGREED, SECOND) else best


def beside_the_first(ends: Sequence[float]) -> str:
    """How the second of two losses at the end stands to the first."""
    first, second = ends
    if second > 2 * first:
        return HIGHER
    return LOWER if first > 2 * second else CLOSE


def how_many(count: int) -> str:
    """So many of six statements, in words."""
    return FEW if count < 2 else SOME if count < 4 else MOST if count < 6 else EVERY


FEW, SOME, MOST, EVERY = "one or none", "two or three", "four or five", "all six"
LOWER, CLOSE, HIGHER = "less than half of it", "about the same", "more than twice as high"
UP_TO_FIVE, OVER_FIVE = "up to five points are lost", "more than five points are lost"

PREDICTIONS = (
    Prediction(
        "ten.start",
        "A is random, B is zero. Before the first step, how do the logits differ from the base's?",
        lambda gap: "not at all" if gap == 0 else "in the last digits" if gap < 1e-3 else "clearly",
        options=("not at all", "in the last digits", "clearly"),
        told=lambda gap: f"the largest difference is {gap:g}",
        evidence="the largest difference of any logit, a number",
    ),
    Prediction(
        "ten.rank",
        "All weights are trained, and the update of each matrix is cut down to its strongest "
        "directions. How many, of up to 256, keep nine tenths of the task score?",
        lambda rank: rank,
        between=(1, 256),
        unit="directions",
        log=True,
        near=2.1,
        evidence="the smallest rank that keeps nine tenths of the task score",
    ),
    Prediction(
        "ten.cost",
        "From a rate of 0.002 to one of 0.016 the task score moves by two points. What happens to "
        "everything else that the model could do?",
        lambda lost: OVER_FIVE if min(lost) > 0.05 else UP_TO_FIVE,
        options=("nothing", UP_TO_FIVE, OVER_FIVE),
        told=lambda lost: (
            f"{100 * sum(lost) / len(lost):.1f} points of the skills on the mean, "
            f"{100 * min(lost):.1f} to {100 * max(lost):.1f} by seed"
        ),
        evidence="the share of skills that the hotter run of each seed has lost, from 0 to 1",
    ),
    Prediction(
        "00.share",
        "With r = 8 on every linear layer of the blocks, what share of the numbers will move?",
        lambda share: nearest_option(share, SHARES),
        options=tuple(SHARES),
        told=lambda share: f"{100 * share:.3g} %",
        evidence="trainable / total",
    ),
    Prediction(
        "00.cost",
        "Ten times the learning rate and no replayed rows: how many points of its skills will the "
        "hot run lose, on the mean?",
        lambda lost: 100 * lost,
        between=(0, 100),
        unit="points",
        near=8,
        told=lambda lost: f"≈{100 * lost:.1f} points",
        evidence="the share of skills lost, hot_forgotten.lost[0]",
    ),
    Prediction(
        "00.keeps",
        "Which one of these four skills will keep all of its answers in the hot run?",
        lambda after: max(KEPT, key=lambda name: after[name]),
        options=KEPT,
        told=lambda after: ", ".join(f"{name} {percent(after[name])}" for name in KEPT),
        evidence="{skill: share right after the hot run}",
    ),
    Prediction.of_share(
        "05.cut",
        "Rows are cut behind 64 tokens. Of what share of the tickets is no token of the answer "
        "left?",
        near=12,
        told=lambda share: f"{100 * share:.0f} %",
        evidence="the share of rows without a token to learn",
    ),
    Prediction(
        "05.copies",
        "Names and numbers find full rewordings. Which kind of copy do they miss?",
        lambda found: min(found, key=found.__getitem__),
        options=("exact", "case", "filler added", "shuffled", "half reworded"),
        told=lambda found: f"{min(found.values()):.0%} of them found",
        evidence="{kind: share found by names and numbers}",
    ),
    Prediction.of_share(
        "05.rare",
        "Five of 100 training rows are urgent. After 40 steps, what share of the urgent test rows "
        "will be answered right?",
        near=12,
        told=lambda share: percent(share),
        evidence="the recall of the rare class, from 0 to 1",
    ),
    Prediction(
        "05.noise",
        "300 gentle steps either way: 100 clean rows, or 1,200 rows of which half have a wrong "
        "answer?",
        cleaner,
        options=(CLEAN, NOISY, ALIKE),
        told=lambda shares: ", ".join(f"{name}: {percent(x)}" for name, x in shares.items()),
        evidence="{set: share right}",
    ),
    Prediction(
        "05.template",
        "A model learned tickets in its own template. How often is it right if it is asked through "
        "Alpaca's headings?",
        through,
        options=(OFTEN, HALF, NEVER),
        told=lambda shares: f"{percent(shares['alpaca'])} and {percent(shares['right'])}",
        evidence="{template: share right}, with right and alpaca among them",
    ),
    Prediction(
        "05.teacher",
        "A teacher is right in three tickets of five. Which of its rows make the best student?",
        best_rows,
        options=("all of them", "those with grounded values", AGREED, SECOND, BOTH_ALIKE),
        told=lambda shares: ", ".join(f"{name}: {percent(x)}" for name, x in shares.items()),
        evidence="{rows: share that the student has right}",
    ),
    Prediction(
        "16.strong",
        "Six statements of this answer can be put to a test. How many of them hold?",
        how_many,
        options=(FEW, SOME, MOST, EVERY),
        told=lambda count: f"{count} of 6",
        evidence="the number of statements that hold",
    ),
    Prediction(
        "16.alpha",
        "α is four times as large, the rate half as high. Twelve steps later the loss is …",
        beside_the_first,
        options=(LOWER, CLOSE, HIGHER),
        told=lambda ends: f"{about(ends[0])} and {about(ends[1])}",
        evidence="the losses at the end, of the first run and of the second",
    ),
    Prediction.of_share(
        "16.leak",
        "Half of the test facts stand in the training rows in other words. In what share of the "
        "test rows does a search for near copies find something?",
        near=5,
        evidence="the share of test rows with a near copy in training",
    ),
)
