"""The first steps: what is asked in `ten_lora_in_ten_minutes` and `00_start_here`, and its answers.

    EXERCISES      counting an adapter, which change did the harm, reading tables of skills
    PREDICTIONS    how much will move, where a run starts, how many directions, what a rate costs

Each exercise names the mistakes that people make; how an answer is held against them is in
`comparing`. Met in notebooks ten and 00.
"""

from typing import Any

from ..core.results import percent
from .exercise import COUNT, WORDS, Exercise, Mistake, Prediction

YES_NO = ("yes", "no")


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
                "The intervals [92.3, 98.0] and [95.0, 99.2] overlap widely: 200 tickets can't "
                "tell the two apart.",
            ),
        ),
        because="Both intervals hold 95 to 98 %. To say 'better', more tickets are needed.",
        hint="Read the brackets, not the shares.",
        look="The two reports: exact answers of the mild and of the hot run.",
        solution="`'no'`: the intervals overlap; notebook 09 counts how many rows would be needed.",
        minutes=2,
        kind=WORDS,
        choices=YES_NO,
    ),
    Exercise(
        "00.5",
        "Twice the rank",
        262_144,
        (
            Mistake(
                524_288, "Twice the rank is twice the numbers, not four times: r · (d_in + …)."
            ),
            Mistake(131_072, "That is r = 8 still."),
            Mistake(65_536, "That is r = 4."),
            Mistake(
                2_820_352 + 131_072, "Those are all the numbers; the question is which are trained."
            ),
        ),
        because="The count is r · (d_in + d_out) over all layers: it grows in step with r.",
        hint="r = 8 gave 131,072. What does the formula say about r?",
        look="The sentence below *Attach LoRA*.",
        solution="`2 * 131072 = 262144`.",
        minutes=1,
        kind=COUNT,
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
            Mistake(524.288, "Right, but in kB; the question is in bytes."),
        ),
        because="131,072 numbers of four bytes; the file has a short header beside them.",
        hint="A float32 has 32 bits.",
        look="The count under *Attach LoRA*, and the size of the file under *Take it away*.",
        solution="`4 * 131072 = 524288`; the file on disk is a little larger by its header.",
        minutes=2,
    ),
)

EXERCISES = (*TEN, *START)

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
        "directions. How many of 256 keep nine tenths of the task score?",
        lambda rank: rank,
        between=(1, 256),
        unit="directions",
        log=True,
        near=2.1,
        evidence="the smallest rank that keeps nine tenths of the task score",
    ),
    Prediction(
        "ten.cost",
        "From a rate of 0.002 to one of 0.016 the task score stays where it is, nearly. What "
        "happens to everything else that the model could do?",
        lambda lost: "more than ten points are lost" if lost > 0.1 else "a few points are lost",
        options=("nothing", "a few points are lost", "more than ten points are lost"),
        told=lambda lost: f"{percent(lost)} of the skills lost",
        evidence="the share of skills that the hotter run has lost, from 0 to 1",
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
        "00.task",
        "Ten times the learning rate and no replayed rows: will the score on the tickets be "
        "better, the same or worse?",
        lambda change: "better" if change > 0.04 else "worse" if change < -0.04 else "the same",
        options=("better", "the same", "worse"),
        told=lambda change: f"≈{100 * change:+.1f} points",
        evidence="the hot run's task score minus the mild one's, as a share",
    ),
    Prediction(
        "00.cost",
        "And the skills: how many points of them will the hot run lose, on the mean?",
        lambda lost: 100 * lost,
        between=(0, 100),
        unit="points",
        near=8,
        told=lambda lost: f"{percent(lost)} lost",
        evidence="the share of skills lost, hot_forgotten.lost[0]",
    ),
)
