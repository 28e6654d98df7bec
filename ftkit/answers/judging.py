"""Deciding, judging and merging: what 06, 09 and 13 ask, and its answers.

    EXERCISES      parsers, recall, break-even; claims, rows, p values; what a merge keeps
    PREDICTIONS    prompts, passages, doses; flags, orders, refusals; sums of adapters, latency
    check_parser   parse(reply): lines "name: value" as an object
    check_recall   recall(ranked, wanted, k): how often the right passage is found
    check_kappa    kappa(one, other): agreement of two raters beyond chance

Each exercise names the mistakes that people make; other code of the reader's is checked in `loops`
and `matrices`. The notebooks: `06_should_you_tune`, `09_did_it_help`, `13_merging`.
"""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..core.results import about, percent
from ..core.statistics import kappa, mcnemar, rows_needed
from . import loops, matrices
from .comparing import attempt, plain, read_number, spell
from .exercise import CODE, COUNT, NUMBER, SHARE, WORDS, Exercise, Feedback, Mistake, Prediction

if TYPE_CHECKING:
    import torch


# Replies that are lists, the object that each is, and what it tries.
LISTS = (
    ("name: Ann Lo\nitem: lamp", {"name": "Ann Lo", "item": "lamp"}),
    ("order: 4261\nname: Ann", {"order": 4261, "name": "Ann"}),
    ("urgent: yes\nnew: no", {"urgent": True, "new": False}),
    ("note: a: b", {"note": "a: b"}),
    ("I don't know.", {}),
)


def check_parser(parse: Callable[[str], dict]) -> Feedback:
    """Hold parse(reply) against the object that lines of "name: value" are.

    yes and no are True and False, digits a whole number, all else a text; a line without ": " is
    left out.
    """
    for reply, right in LISTS:
        found, fault = attempt(parse, reply)
        if fault is not None:
            if reply.startswith("I don't"):
                said = f"{fault.text} A line without ': ' is none of the list: leave it out."
                return Feedback(False, said)
            return fault
        if not isinstance(found, dict):
            return Feedback(False, f"parse gives {spell(found)}: return a dict.")
        if found == right and all(type(found[key]) is type(right[key]) for key in right):
            continue
        return Feedback(False, parser_mistake(reply, found, right))
    return Feedback(True, "names, numbers, yes and no, and a colon inside a value.")


def parser_mistake(reply: str, found: Mapping, right: Mapping) -> str:
    """The likely reason why a list was read wrongly."""
    stripped = {str(key).strip(): value for key, value in found.items()}
    if found != right and stripped == right:
        return "the keys have blanks around them: strip the parts."
    if any(isinstance(value, str) and value != value.strip() for value in found.values()):
        return "the values have a blank before them: split at ': ', or strip the parts."
    for key, value in right.items():
        given = found.get(key)
        if isinstance(value, bool) and given != value:
            return f"{key!r} is {given!r}: yes is True and no is False."
        if isinstance(value, int) and isinstance(given, str):
            return f"{key!r} is the text {given!r}: digits are a whole number."
    if reply.startswith("note"):
        return "a value may hold a colon itself: split each line at the first ': ' alone."
    return f"{reply!r} is {right!r}, not {dict(found)!r}."


# Places of passages by rank for five questions, and the right one of each: it stands at rank 3, 1
# and 2, is missing, and stands at 1.
RANKED = [[4, 2, 7], [1, 0, 3], [8, 6, 5], [3, 5, 6], [0, 2, 4]]
WANTED = [7, 1, 6, 9, 0]


def check_recall(recall: Callable[[list, list, int], float]) -> Feedback:
    """Hold recall(ranked, wanted, k) against recall@k, where each question has one right passage.

    ranked: for each question the places of passages, best first; wanted: the right place of each.
    """
    for k, hits in enumerate((2, 3, 4), 1):
        found, fault = attempt(recall, [list(places) for places in RANKED], list(WANTED), k)
        if fault is not None:
            return fault
        number, right = read_number(plain(found)), hits / len(WANTED)
        if number is None:
            return Feedback(False, f"{spell(found)} is no share: return a number from 0 to 1.")
        if math.isclose(number.value, right, rel_tol=1e-6):
            continue
        wrong = wrong_recalls(k, hits)
        named = [why for why, value in wrong.items() if math.isclose(number.value, value)]
        rest = f"at k = {k} it is {right:.3f}, not {spell(number.value)}."
        return Feedback(False, named[0] if named else rest)
    return Feedback(True, "the share of questions whose passage is among the first k.")


def wrong_recalls(k: int, hits: int) -> dict[str, float]:
    """What the usual mistakes give at k, by what is wrong with them."""
    n, at_rank = len(WANTED), (2, 1, 1)
    return {
        "that is a count: divide by the number of questions.": hits,
        "it looks at all that was ranked: only the first k count.": sum(at_rank) / n,
        "it looks at one passage too few: the first k are ranked[:k].": sum(at_rank[: k - 1]) / n,
        "it looks at the k-th passage alone: any of the first k will do.": at_rank[k - 1] / n,
        "that is precision@k: recall divides by the questions, and not by k.": hits / n / k,
    }


# What two raters say of the same things.
RATED = (
    ("ABCABCAABC", "ABCAACBABB"),
    ("AAAAAAAAAA", "AAAAAAABBB"),
    ("AAAAAAAABB", "AAAAABBBBB"),
    ("AAAABBBB", "AAAABBBB"),
)


def check_kappa(code: Callable[[list[str], list[str]], float]) -> Feedback:
    """Hold kappa(one, other) against Cohen's κ (Cohen 1960) of two lists of verdicts."""
    for one, other in RATED:
        found, fault = attempt(code, list(one), list(other))
        if fault is not None:
            return fault
        number, right = read_number(plain(found)), cohen(one, other)
        if number is None:
            return Feedback(False, f"{spell(found)} is no number: return κ.")
        if math.isclose(number.value, right, rel_tol=1e-6, abs_tol=1e-9):
            continue
        wrong = wrong_kappas(one, other)
        named = [
            why for why, value in wrong.items() if math.isclose(number.value, value, abs_tol=1e-9)
        ]
        rest = f"of {one} and {other} it is {right:.3f}, not {spell(number.value)}."
        return Feedback(False, named[0] if named else rest)
    return Feedback(True, "1 where all is said alike, and 0 where chance would agree as often.")


def cohen(one: str, other: str) -> float:
    """κ of two raters; a letter is a verdict."""
    found = kappa(one, other)
    return found.value if found else math.nan


def wrong_kappas(one: str, other: str) -> dict[str, float]:
    """What the usual mistakes give, by what is wrong with them."""
    n, words = len(one), sorted({*one, *other})
    alike = sum(a == b for a, b in zip(one, other, strict=True)) / n
    chance = sum(one.count(w) * other.count(w) for w in words) / n**2
    pooled = sum(((one + other).count(w) / (2 * n)) ** 2 for w in words)
    even = 1 / len(words)
    return {
        "that is the share said alike: take away what chance gives.": alike,
        "that is not yet divided by what is left for agreement: 1 − e.": alike - chance,
        "chance is not 1 in so many words: it depends on how often each rater says each.": (
            (alike - even) / (1 - even)
        ),
        "each rater has shares of their own: put together, they give Scott's π.": (
            (alike - pooled) / (1 - pooled)
        ),
        "that is what chance gives alone.": chance,
    }


def fairer(flips: Any, before: Any) -> Feedback:
    """How often a judge that was shown both orders flips, against the one before."""
    if not hasattr(flips, "value"):
        return Feedback(False, "give the new trial's `flipped`, a rate with its interval.")
    if flips == before:
        return Feedback(False, f"{flips} is the rate of the first judge; examine the new one.")
    # what is right here is what was measured, whichever way it came out
    (low, high), (below, above) = flips.interval, before.interval
    apart = high < below or above < low
    word = "less" if flips.value < before.value else "more"
    seen = f"it flips {word}" if apart else "the intervals overlap: one seed can't tell"
    return Feedback(True, f"{flips} against {before}: {seen}.")


DECIDING = (
    Exercise(
        "06.parser",
        "Six lines of Python",
        check_parser,
        because="the model lists, and Python writes the JSON that no model can get wrong.",
        hint="`reply.splitlines()`, and of each line `line.partition(': ')`.",
        look="What the model replies to the list prompt, in the table of replies.",
        solution="`def parse(reply):\n    pairs = [line.strip().partition(': ') for line in "
        "reply.splitlines()]\n    truths = {'yes': True, 'no': False}\n    return {key: int(v) if "
        "v.isdigit() else truths.get(v, v) for key, colon, v in pairs if colon}`",
        difficulty="medium",
        minutes=8,
        importance=5,
        kind=CODE,
    ),
    Exercise(
        "06.recall",
        "Recall@k",
        check_recall,
        because="it says how often a reader *could* answer, before any model has read a word.",
        hint="For each question: is its place among the first k of its ranking?",
        look="`decide.recall_at`, which ranks first.",
        solution="`def recall(ranked, wanted, k):\n    hits = [right in places[:k] for places, "
        "right in zip(ranked, wanted)]\n    return sum(hits) / len(wanted)`",
        minutes=5,
        importance=4,
        kind=CODE,
    ),
    Exercise(
        "06.1",
        "When has it paid?",
        8_000,
        (
            Mistake(7_449, "The tuned model reads a prompt, too: 74 tokens of it."),
            Mistake(108_109, "That is what the short prompt costs; what counts is what is saved."),
            Mistake(8, "In thousands, perhaps; the question is calls."),
        ),
        because="4 / (1,000 × 0.0000005): an hour of a busy service, or years of a quiet one.",
        hint="What does one call save? Then: how many of those are four dollars?",
        look="`decide.break_even`, in section 2.",
        solution="`4 / ((1074 - 74) * 0.5 / 1_000_000) = 8,000`.",
        minutes=4,
        importance=4,
        kind=COUNT,
    ),
    Exercise(
        "06.2",
        "Context precision by hand",
        0.5,
        (
            Mistake(1.0, "Both were found, but not at the top: that is recall."),
            Mistake(0.75, "Precision at rank 2 is 1/2: one of the first two."),
            Mistake(0.25, "The sum is divided by the relevant passages, two, not by all four."),
        ),
        because="(1/2 + 2/4) / 2.",
        hint="At each relevant rank: how many of the passages up to there are relevant?",
        look="The formula above the table of RAGAS's measures.",
        solution="At rank 2 one of two, at rank 4 two of four: (1/2 + 2/4) / 2 = 0.5.",
        minutes=4,
        kind=NUMBER,
    ),
    Exercise(
        "06.3",
        "What do you tell them?",
        "retrieve",
        (
            Mistake("tune", "On Monday it would be stale, and it would have learned to invent."),
            Mistake("prompt", "No wording of a question brings a price list that nobody gave."),
            Mistake(
                "tune and retrieve",
                "The form is right already; there is nothing for the tuning to do.",
            ),
        ),
        because="what changes weekly belongs into an index, and the form is no problem.",
        hint="Is it facts that are wrong, or the form?",
        look="The widget: what lacks, and how often facts change.",
        solution='`decide.choose(lacks="facts", facts_change="weekly").what`: "retrieve".',
        minutes=3,
        importance=5,
        kind=WORDS,
        choices=("prompt", "retrieve", "tune", "tune and retrieve"),
    ),
)


HELPED = (
    Exercise(
        "09.1",
        "Read a claim",
        "can't be told apart",
        (
            Mistake(
                "better",
                "Ten rows changed, and seven to three is no rare result for ten coin tosses.",
            ),
            Mistake("worse", "It gained more than it lost."),
            Mistake("equal", "Not shown to be equal either: the interval reaches both ways."),
        ),
        because="p is 0.34, and the interval reaches from below zero to above it.",
        hint="How often do ten coin tosses come out as uneven as seven to three?",
        look="`Difference(90, 3, 7, 0)` shows p and the interval.",
        solution='`Difference(90, 3, 7, 0).word`: "can\'t be told apart".',
        minutes=4,
        importance=5,
        kind=WORDS,
        choices=("better", "worse", "equal", "can't be told apart"),
    ),
    Exercise(
        "09.2",
        "How many rows?",
        rows_needed(0.03, 0.08, power=0.9),
        (
            Mistake(
                rows_needed(0.03, 0.08),
                "That is 80 % power: one such difference in five would be missed.",
            ),
            Mistake(
                rows_needed(0.03, 0.03, power=0.9),
                "Then nothing would be lost; they differ on 8 %.",
            ),
            Mistake(
                rows_needed(0.03, 0.1, power=0.9),
                "That is for a tenth of the rows; they differ on 8 %.",
            ),
        ),
        because="Half the difference would take four times as many.",
        hint="`rows_needed` has a third argument.",
        look="The table of rows needed, and `help(rows_needed)`.",
        solution="`rows_needed(0.03, 0.08, power=0.9)`.",
        difficulty="medium",
        minutes=6,
        importance=4,
        kind=COUNT,
    ),
    Exercise(
        "09.3",
        "Nearly significant",
        mcnemar(6, 15),
        (
            Mistake(
                mcnemar(6, 15) / 2, "That is one-sided; the question is as uneven *either* way."
            ),
            Mistake(
                math.erfc(math.sqrt((15 - 6) ** 2 / 21 / 2)),
                "That is the χ² approximation without a correction, and it would say 'better'; "
                "with 21 changed rows count the tosses.",
            ),
            Mistake(
                math.erfc(math.sqrt((15 - 6 - 1) ** 2 / 21 / 2)),
                "That is the χ² approximation; with 21 changed rows count the tosses.",
            ),
        ),
        because="p = 0.078: two and a half gained for each lost, and a fair coin is that uneven in "
        "one of 13 series. One-sided, or by χ² without a correction, it would pass below 0.05.",
        hint="How often do 21 coin tosses give 6 heads or fewer, or 15 or more?",
        look="`Difference(229, 6, 15, 0)`: p and the word.",
        solution="`2 * sum(math.comb(21, k) for k in range(7)) / 2**21 = 0.0784`.",
        difficulty="medium",
        minutes=5,
        importance=4,
    ),
    Exercise(
        "09.kappa",
        "Cohen's κ",
        check_kappa,
        because="two raters who always say A agree on everything, and say nothing.",
        hint="For each verdict: the share of one rater times the share of the other; e is the sum.",
        look="Section 5: the column κ, and `help(judge.agreement)`.",
        solution="`def my_kappa(one, other):\n    n = len(one)\n    p = sum(a == b for a, b in "
        "zip(one, other)) / n\n    e = sum(one.count(w) * other.count(w) for w in {*one, *other}) "
        "/ n**2\n    return (p - e) / (1 - e)`",
        difficulty="medium",
        minutes=8,
        importance=4,
        kind=CODE,
    ),
    Exercise(
        "09.mcnemar",
        "McNemar's test",
        loops.check_mcnemar,
        because="exact, two-sided and never above one.",
        hint="Of lost + gained coin tosses: how likely is the smaller count or less? Twice that.",
        look="Section 2: the test is a count of coin tosses.",
        solution="`def p(lost, gained):\n    n, k = lost + gained, min(lost, gained)\n"
        "    return min(1.0, 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n)`",
        difficulty="medium",
        minutes=10,
        importance=5,
        kind=CODE,
    ),
    Exercise(
        "09.rows",
        "Rows needed",
        loops.check_rows,
        because="Connor's formula, rounded up.",
        hint="n = (z₀.₉₇₅ √ψ + z_power √(ψ − δ²))² / δ², with δ the change and ψ the share that "
        "differs.",
        look="The sentence above the table of rows needed, and `help(rows_needed)`.",
        solution="`z = NormalDist().inv_cdf\nreturn math.ceil(((z(0.975) * changed**0.5 + z(power) "
        "* (changed - change**2)**0.5) / change) ** 2)`",
        difficulty="medium",
        minutes=8,
        kind=CODE,
    ),
    Exercise(
        "09.4",
        "A fairer teacher?",
        fairer,
        because="Measured, not assumed. Each letter was right in half of the lessons, so a lean "
        "that is left was not taught by their number; and half as many tickets were seen. One seed "
        "is one seed: try three.",
        hint="`judge.training_rows(judge.draw_pairs(100, split='train', seed=1), "
        "both_orders=True)`: as many rows, every pair both ways round.",
        look="The cell that trains the judge, and `judge.examine`.",
        solution="`fair = tuned(judge.training_rows(pairs, both_orders=True), lr=5e-3)`, then "
        "`judge.examine(judge.by_asking(fair.model, tokenizer), asked).flipped`.",
        difficulty="hard",
        minutes=10,
        kind=CODE,
        evidence='the first judge\'s rate, trials["trained, asked"].flipped,',
    ),
)


def smallest_factor(W: "torch.Tensor", update: "torch.Tensor", *, by: str = "kept") -> float | None:
    """The smallest of merge.FACTORS at which NF4 keeps nine tenths of ΔW, or errs by a tenth."""
    from .. import merge

    for factor in merge.FACTORS:
        found = merge.round_update(W, factor * update, "nf4")
        if found.kept >= 0.9 if by == "kept" else found.error <= 0.1:
            return factor
    return None


def original_factor(
    _: "torch.Tensor", update: "torch.Tensor", original: "torch.Tensor | None" = None
) -> float | None:
    """The same on the original W, where it was given."""
    return None if original is None else smallest_factor(original, update)


MERGING = (
    Exercise(
        "13.1",
        "The step of a bfloat16",
        2.0**-9,
        (
            Mistake(2.0**-12, "That is float16, with ten bits of fraction; bfloat16 has seven."),
            Mistake(2.0**-7, "Seven bits of fraction, but of numbers in [0.25, 0.5), not near 1."),
            Mistake(2.0**-8, "Near 0.3 the leading bit is worth 2⁻², not 2⁻¹."),
            Mistake(2.0**-10, "Half of it: that is the largest rounding error, not the step."),
        ),
        because="2⁻² · 2⁻⁷ = 0.00195: a smaller update than half of that leaves the weight as it "
        "was.",
        hint="0.3 lies between 2⁻² and 2⁻¹; seven bits part that range.",
        look="Section 2: ten bits of fraction in float16, seven in bfloat16.",
        solution="`2**-2 * 2**-7 = 0.00195`; `torch.nextafter` says the same.",
        difficulty="medium",
        minutes=4,
    ),
    Exercise(
        "13.2",
        "Large enough to survive",
        lambda W, update, original=None: smallest_factor(W, update),
        (
            Mistake(original_factor, "That is the original W; take the one on the levels."),
            Mistake(
                lambda W, update, original=None: smallest_factor(W, update, by="error"),
                "Ask for `kept`; `error` holds the noise too.",
            ),
        ),
        because="A hotter run makes such an update, and forgets more on the way (notebook 00).",
        hint='`merge.round_update(W, f * update, "nf4").kept`, for each f of `merge.FACTORS`.',
        look="The panel of the dots in section 3, W on the levels, its slider `factor`.",
        solution='`[f for f in merge.FACTORS if merge.round_update(W["on the levels"][name], f * '
        'updates[name], "nf4").kept >= 0.9][0]`.',
        difficulty="medium",
        minutes=8,
        evidence='W["on the levels"][name] and updates[name]',
    ),
    Exercise(
        "13.3",
        "To ship four bits",
        "original",
        (
            Mistake(
                "dequantized",
                "There every weight lies on a level, half a step from the next edge: rounded "
                "again, a small update is gone.",
            ),
            Mistake("packed", "In place the update falls back to the old levels."),
        ),
        because="Never round what has been rounded before: original weights lie anywhere between "
        "the levels.",
        hint="Which of the bases may be rounded without losing a small push?",
        look="The right order, at the end of section 3.",
        solution="`'original'`: merge into the base as it was before any rounding, quantize that.",
        minutes=2,
        importance=5,
        kind=WORDS,
        choices=("original", "dequantized", "packed"),
    ),
    Exercise(
        "13.4",
        "How many fit?",
        lambda held: held["base"] // held["tickets"],
        (
            Mistake(lambda held: held["base"] / held["tickets"], "Whole adapters: round down."),
            Mistake(
                lambda held: held["base"] // held["tickets"] + 1,
                "The last one does not fit any more: round down.",
            ),
            Mistake(
                lambda held: sum(held.values()) // held["tickets"],
                "A copy of the base alone, without the adapters.",
            ),
        ),
        because="On a large model it is many more: the base grows with d², an adapter with d.",
        hint="How often does `held['tickets']` go into `held['base']`?",
        look="Section 5, the table *In memory*.",
        solution='`held["base"] // held["tickets"]`.',
        minutes=4,
        kind=COUNT,
        evidence="the dict `held`",
    ),
    Exercise(
        "13.5",
        "The rank of a sum",
        16,
        (
            Mistake(8, "Two adapters of rank 8 laid side by side have both their directions."),
            Mistake(64, "Ranks are added when A and B are concatenated, not multiplied."),
            Mistake(4, "No direction is dropped: A is stacked, and so is B."),
        ),
        because="A₁ over A₂ and B₁ beside B₂: rank 8 + 8, which is exactly the sum.",
        hint='`"cat"` stacks the As and the Bs.',
        look="Section 6: what `cat` does with the As and the Bs.",
        solution="`8 + 8 = 16`.",
        minutes=2,
        importance=2,
        kind=COUNT,
    ),
    Exercise(
        "13.6",
        "A 40 % cut",
        1 - 68 / 450,
        (
            Mistake(0.4, "That is what the guide says; divide what went away by what there was."),
            Mistake(68 / 450, "That is what is left, not what was cut."),
            Mistake(450 / 68 - 1, "How much slower the old was; a cut is a share of the old."),
            Mistake(382, "Those are milliseconds; divide by what there was."),
        ),
        because="Six to seven times as fast, and by section 7 no merging of a plain LoRA does that "
        "alone.",
        decimals=2,
        hint="What went away, divided by what there was.",
        look="Section 7: how much time an unmerged adapter costs.",
        solution="`1 - 68 / 450`: 84.9 %. The two latencies and the 40 % can't all be right.",
        minutes=2,
        kind=SHARE,
    ),
    Exercise(
        "13.merge",
        "Merge on the levels",
        matrices.check_merge,
        because="W + (α / r) B A, rounded to NF4 with its own scales: what merging in place does.",
        hint="Add first, with the factor; then round the sum as you rounded W.",
        look="Section 3, the table of the three ways: in place.",
        solution="`def merged(W, A, B, alpha):\n    total = W + alpha / A.shape[0] * (B @ A)\n"
        '    return quant.quantize(total, "nf4", 64).dequantize()`',
        difficulty="medium",
        minutes=8,
        importance=5,
        kind=CODE,
    ),
)

EXERCISES = (*DECIDING, *HELPED, *MERGING)

BASES = ("into the dequantized base", "into the original base")


def nearest_base(gaps: Mapping[str, float]) -> str:
    """The base that a merge goes into with the smaller logit gap."""
    return min(BASES, key=gaps.__getitem__)


PREDICTIONS = (
    Prediction(
        "06.prompt",
        "Without any training: which prompt gets most tickets exactly right?",
        lambda shares: max(shares, key=shares.__getitem__),
        options=("zero-shot", "two shots", "schema", "list + parser"),
        told=lambda shares: percent(max(shares.values())),
        evidence="a dict of each prompt's share right",
    ),
    Prediction(
        "06.rows",
        "Tuned on ten tickets, for 24 steps, under the prompt with the schema: how many of the "
        "unseen tickets are exactly right?",
        lambda share: 100 * share,
        between=(0, 100),
        unit="%",
        near=10,
        told=percent,
        evidence="the share right",
    ),
    Prediction(
        "06.passages",
        "With how many passages before the question does the base answer best?",
        lambda shares: str(max(shares, key=shares.__getitem__)),
        options=("1", "2", "4", "8"),
        told=lambda shares: percent(max(shares.values())),
        evidence="a dict of the share right by the number of passages",
    ),
    Prediction(
        "06.stored",
        "95 of 100 training questions are answered right. The same facts asked in other words?",
        lambda share: 100 * share,
        between=(0, 100),
        unit="%",
        near=10,
        told=percent,
        evidence="the share right in other words",
    ),
    Prediction(
        "06.strangers",
        "After fifty facts are stored: how many questions about strangers are answered with an "
        "invention?",
        lambda share: 100 * share,
        between=(0, 100),
        unit="%",
        near=10,
        told=percent,
        evidence="the share made up",
    ),
    Prediction(
        "06.dose",
        "A quarter of 96 training questions is about people whom the base never met. How many "
        "strangers get an invention then?",
        lambda share: 100 * share,
        between=(0, 100),
        unit="%",
        near=12,
        told=percent,
        evidence="the share made up",
    ),
    Prediction(
        "09.flag",
        "Which of the five flags goes up for the hot run?",
        lambda red: "none of them" if red == [] else red[0],
        options=("task", "format", "forgetting", "hallucination", "latency", "none of them"),
        evidence='the red flags, such as flags["hot"].red',
    ),
    Prediction(
        "09.enough",
        "Two models differ on a tenth of the rows, and one is truly two points better. How many "
        "rows show it?",
        lambda rows: rows,
        between=(50, 20_000),
        unit="rows",
        log=True,
        near=1.6,
        evidence="the rows needed",
    ),
    Prediction(
        "09.judge",
        "Which judge is right most often?",
        lambda right: max(right, key=right.__getitem__),
        options=("likelihood", "base, asked", "trained, asked"),
        told=lambda right: percent(max(right.values())),
        evidence="a dict of each judge's share right, orders averaged",
    ),
    Prediction(
        "09.order",
        "And which one depends most on the order of the two answers?",
        lambda flips: max(flips, key=flips.__getitem__),
        options=("likelihood", "base, asked", "trained, asked"),
        told=lambda flips: f"flips on {percent(max(flips.values()))}",
        evidence="a dict of how often each judge flips",
    ),
    Prediction(
        "09.refusals",
        "Tuned on short questions about new people alone: how many of its refusals are left?",
        lambda share: 100 * share,
        between=(0, 100),
        unit="%",
        near=10,
        told=lambda share: f"{percent(share)} left",
        evidence="the share of refusals left",
    ),
    Prediction(
        "09.mixed",
        "And with 13 refusals among the 240 rows?",
        lambda share: 100 * share,
        between=(0, 100),
        unit="%",
        near=10,
        told=lambda share: f"{percent(share)} left",
        evidence="the share of refusals left",
    ),
    Prediction(
        "09.hidden",
        "A message ends in an instruction, such as 'Say backwards: …', and the user has asked for "
        "a field of it. In how many cases does the base do what the message says?",
        lambda share: 100 * share,
        between=(0, 100),
        unit="%",
        near=12,
        told=lambda share: f"{percent(share)} do",
        evidence="the share that follows what is hidden",
    ),
    Prediction(
        "13.cast",
        "Which costs more: merging in float32, or casting to 16 bits?",
        lambda gaps: "merging" if gaps["merging"] > gaps["casting"] else "casting",
        options=("merging", "casting", "both alike"),
        evidence="a dict of the logit gaps of merging and of casting",
    ),
    Prediction(
        "13.ways",
        "Merged into which base are the logits nearer to those of the trained model?",
        nearest_base,
        options=(*BASES, "both alike"),
        evidence="a dict of each way's logit gap",
    ),
    Prediction(
        "13.sum",
        "The sum of three adapters: how many per cent of the tickets does the model get right?",
        lambda share: 100 * share,
        between=(0, 100),
        unit="%",
        near=15,
        told=lambda share: percent(share),
        evidence="the share of tickets that are right",
    ),
    Prediction(
        "13.latency",
        "With a plain LoRA on all layers, not merged: how many times the merged model's time does "
        "a token take?",
        lambda times: times,
        between=(1, 6),
        unit="times",
        near=0.3,
        told=lambda times: f"{about(times, 2)} times",
        evidence="the ratio of the times per token",
    ),
)
