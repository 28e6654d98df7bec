"""Deciding, judging, merging, keeping alive: what 06, 09, 09b, 13, 15 and 17 ask, and answers.

    EXERCISES       parsers, recall, break-even; claims, rows, p values; harm; what a merge keeps
    PREDICTIONS     prompts, passages, doses; orders, refusals, secrets; sums of adapters, latency
    check_parser    parse(reply): lines "name: value" as an object
    check_recall    recall(ranked, wanted, k): how often the right passage is found
    check_kappa     kappa(one, other): agreement of two raters beyond chance
    check_attacked  attacked(verdicts): the share of requests that some wording gets through with
    check_exposure  exposure(nats): bits by which a secret is out
    check_cusum     cusum(values, slack); check_factor, check_actions; check_verdict, check_own_row
    check_sentences judge(changes, ps): yes, no, or cannot be told

Each exercise names the mistakes that people make; other code of the reader's is checked in `loops`
and `matrices`. Notebooks 06, 09, 09b, 13, 15 and 17.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import verdicts
from ..core.errors import UserError, nearest
from ..core.results import about, percent
from ..core.statistics import holm, kappa, mcnemar, rows_needed
from . import loops, matrices
from .comparing import (
    A_SHARE,
    as_words,
    attempt,
    is_unanswered,
    number_fault,
    plain,
    spell,
    tell_right,
)  # fmt: skip
from .exercise import (
    CODE,
    COUNT,
    NAMES,
    NUMBER,
    SHARE,
    WORDS,
    Exercise,
    Feedback,
    Mistake,
    Prediction,
)

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
        right = hits / len(WANTED)
        asked = f"at k = {k} it is {right:.3f}"
        if said := number_fault(found, right, wrong_recalls(k, hits), asked, A_SHARE):
            return Feedback(False, said)
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
        right = cohen(one, other)
        asked = f"of {one} and {other} it is {right:.3f}"
        if said := number_fault(found, right, wrong_kappas(one, other), asked, "number: return κ"):
            return Feedback(False, said)
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
        "chance is not a half: it depends on how often each rater says each.": 2 * alike - 1,
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


# By wording, what came of eight requests: R is right, H is harm, N is neither.
ATTACKS = {"plainly": "RRHRRRRR", "in a hurry": "RHHNRRHR", "in a story": "HNRRNNHR"}
VERDICTS = {"R": "right", "H": "harm", "N": "neither"}


def check_attacked(attacked: Callable[[dict[str, list[str]]], Any]) -> Feedback:
    """Hold attacked(verdicts) against the share of requests with which some wording gets through.

    verdicts: {wording: what came of each request, "harm", "right" or "neither"}. A `Rate` is as
    good as a share.
    """
    asked = {name: [VERDICTS[letter] for letter in said] for name, said in ATTACKS.items()}
    found, fault = attempt(attacked, asked)
    if fault is not None:
        return fault
    columns = list(zip(*ATTACKS.values(), strict=True))
    right = sum("H" in column for column in columns) / len(columns)
    value, wrong = getattr(found, "value", found), wrong_attacks(columns)
    told = f"of the eight requests tried it is {right:.3f}"
    if said := number_fault(value, right, wrong, told, A_SHARE):
        return Feedback(False, said)
    return Feedback(True, "an attacker needs one wording, and may try them all.")


def wrong_attacks(columns: list[tuple[str, ...]]) -> dict[str, float]:
    """What the usual mistakes give, by what is wrong with them; a column is one request."""
    n, rows = len(columns), [said.count("H") / len(columns) for said in ATTACKS.values()]
    return {
        "that is the mean over wordings: an attacker takes whichever works.": sum(rows) / len(rows),
        "that is the best single wording: what it misses, another may get.": max(rows),
        "those are the requests with which every wording works; one is enough.": sum(
            set(column) == {"H"} for column in columns
        )
        / n,
        "'neither' is no harm: count 'harm' alone.": sum(set(c) != {"R"} for c in columns) / n,
        "that is a count: divide by the number of requests.": sum("H" in c for c in columns),
        "a request that two wordings get through with counts once.": sum(rows),
    }


# −log p of a secret, the first, and of the other candidates.
RANKED_NATS = (
    (4.0, 9.5, 3.1, 7.2, 8.8, 2.6, 6.4, 5.5, 9.1, 7.7, 8.2, 6.9, 5.1, 9.9, 7.4, 6.1),
    (0.5, 3.0, 1.0, 4.0),
    (9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0),
)


def check_exposure(exposure: Callable[[list[float]], float]) -> Feedback:
    """Hold exposure(nats) against log₂ n − log₂ rank (Carlini et al. 2019).

    nats: −log p of each of n candidates, the secret's first; rank 1 is the likeliest.
    """
    for nats in RANKED_NATS:
        found, fault = attempt(exposure, list(nats))
        if fault is not None:
            return fault
        rank = sum(other <= nats[0] for other in nats)
        right, wrong = math.log2(len(nats) / rank), wrong_exposures(nats, rank)
        asked = f"at rank {rank} of {len(nats)} it is {right:.3f} bits"
        if said := number_fault(found, right, wrong, asked, "number: return bits"):
            return Feedback(False, said)
    return Feedback(True, "all bits on top, none at the bottom.")


def wrong_exposures(nats: tuple[float, ...], rank: int) -> dict[str, float]:
    """What the usual mistakes give, by what is wrong with them."""
    n, behind = len(nats), len(nats) - rank + 1
    return {
        "those are nats: take the logarithm to base 2.": math.log(n / rank),
        "few nats are likely: rank 1 is the smallest −log p.": math.log2(n / behind),
        "that is the rank alone: how many candidates are there?": -math.log2(rank),
        "the secret counts itself: the likeliest has rank 1, not 0.": (
            math.log2(n / (rank - 1)) if rank > 1 else math.inf
        ),
        "that is how unlikely the secret is; exposure asks for its rank.": nats[0] / math.log(2),
        "that is a ratio: take its logarithm to base 2.": n / rank,
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
        because="The model lists, and Python writes the JSON that no model can get wrong.",
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
        because="It says how often a reader *could* answer, before any model has read a word.",
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
        look="`cost.break_even`, in section 2.",
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
            *(Mistake(near, "Near, but rounded; ask for the exact count.") for near in (900, 1000)),
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
                2 * math.comb(21, 6) / 2**21,
                "That is for exactly six and fifteen; add the splits that are more uneven.",
            ),
            Mistake((15 - 6) ** 2 / 21, "That is χ² itself, no p."),
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
        because="Two raters who always say A agree on everything, and say nothing.",
        hint="For each verdict: the share of one rater times the share of the other; e is the sum.",
        look="The paragraph on κ in section 5; p and e stand in the exercise.",
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


def harm_points(probed: Any) -> float:
    """The harm of hidden countings, in per cent of its cases."""
    return 100 * probed.rate("hidden: count").value


SAFE = (
    Exercise(
        "09b.1",
        "No harm in forty",
        381,
        (
            Mistake(40, "With 0 of 40 the interval still reaches 8.8 %: `Rate(0, 40)`."),
            Mistake(100, "One of a hundred is 1 %; that none was seen is not yet below it."),
            Mistake(
                300, "3 / n, the rule of three, is one-sided; the kit's interval leaves 2.5 %."
            ),
            Mistake(380, "There it still ends just above 1 %: `Rate(0, 380)`."),
            Mistake(385, "That is z² / 0.01; Wilson's upper end for none is z² / (n + z²)."),
        ),
        because="Wilson's upper end for none of n is z² / (n + z²), and 3.84 / 384.84 is the first "
        "below 1 %.",
        hint="Try `Rate(0, n)` with a larger n; its `interval` is (low, high).",
        look="`Rate(0, 40)`, and the intervals beside a 0.0 % in the tables above.",
        solution="`next(n for n in range(1, 1000) if Rate(0, n).interval[1] < 0.01)` is 381.",
        minutes=5,
        importance=5,
        kind=COUNT,
    ),
    Exercise(
        "09b.attacked",
        "Whichever works",
        check_attacked,
        because="By the best of several wordings a model is less safe than by each of them.",
        hint="Request by request: is there a wording whose verdict is 'harm'?",
        look="`zip(*verdicts.values())` goes through the requests.",
        solution="`def my_attacked(verdicts):\n    requests = list(zip(*verdicts.values()))\n"
        "    return sum('harm' in said for said in requests) / len(requests)`",
        difficulty="medium",
        minutes=8,
        importance=5,
        kind=CODE,
    ),
    Exercise(
        "09b.2",
        "One of thirteen",
        1 - 0.95**13,
        (
            Mistake(0.05, "That is one test; there are thirteen chances."),
            Mistake(0.65, "Those are the false alarms to be expected; asked is for one or more."),
            Mistake(0.95**13, "That is the chance of none at all."),
            Mistake(13 * 0.05 * 0.95**12, "That is exactly one; two are one at least, too."),
        ),
        because="as good as a coin: one interval of thirteen that leaves zero out is no finding "
        "yet.",
        hint="How likely is it that all thirteen hold zero?",
        look="The last column of the table of section 3.",
        solution="`1 - 0.95**13 = 0.487`.",
        minutes=4,
        importance=4,
        kind=SHARE,
    ),
    Exercise(
        "09b.exposure",
        "Exposure",
        check_exposure,
        because="It needs no answer: a secret can be nearly on top and not yet said.",
        hint="How many candidates are at most as unlikely as the secret? Itself counts.",
        look="Section 4: bits of exposure.",
        solution="`def my_exposure(nats):\n    rank = sum(other <= nats[0] for other in nats)\n"
        "    return math.log2(len(nats)) - math.log2(rank)`",
        difficulty="medium",
        minutes=8,
        importance=4,
        kind=CODE,
    ),
    Exercise(
        "09b.3",
        "What did the two rows do?",
        lambda base, alone, guarded: harm_points(alone) - harm_points(guarded),
        (
            Mistake(
                lambda base, alone, guarded: harm_points(base) - harm_points(guarded),
                "A part of that the 198 rows without an attack have done.",
            ),
            Mistake(
                lambda base, alone, guarded: harm_points(base) - harm_points(alone),
                "That is what the 198 rows without an attack have done.",
            ),
            Mistake(
                lambda base, alone, guarded: harm_points(guarded) - harm_points(alone),
                "The points by which harm has *fallen* are asked for.",
            ),
        ),
        because="a control takes away what any training would have done; of one seed.",
        hint="Which two models differ by nothing but those two rows?",
        look="The table of section 2, the line *hidden: count*.",
        solution='`100 * (asked["documents alone"].rate("hidden: count").value - '
        'asked["two rows against it"].rate("hidden: count").value)`.',
        minutes=4,
        importance=4,
        evidence="the three of `asked`: `*asked.values()`",
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
        because="It is what merging in place does.",
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

# Days of a stream, in standard deviations above the healthy mean, and the slack.
WATCHED_DAYS = (
    ((0.2, -1.0, 0.9, 1.4, -0.3, 2.0, 2.5), 0.5),
    ((3.0, -5.0, 1.0, 1.0, 1.0), 0.5),
    ((-0.5, 0.1, 0.0), 1.0),
)


def check_cusum(cusum: Callable[[list[float], float], Any]) -> Feedback:
    """Hold cusum(values, slack) against S_t = max(0, S_{t−1} + x_t − slack), a number a day."""
    for values, slack in WATCHED_DAYS:
        found, fault = attempt(cusum, list(values), slack)
        if fault is not None:
            return fault
        sums = plain(found)
        if not isinstance(sums, list | tuple) or len(sums) != len(values):
            return Feedback(False, f"{spell(found)} came back: return one sum for each day.")
        right = add_up(values, slack)
        if not are_near(sums, right):
            wrong = wrong_sums(values, slack)
            named = [why for why, other in wrong.items() if are_near(sums, other)]
            rest = f"of {list(values)} with a slack of {slack:g} it is {right}."
            return Feedback(False, named[0] if named else rest)
    return Feedback(
        True,
        "what is above the slack adds up, and a quiet week takes it away again. Where every tenth "
        "ticket turns to a new product, a test of single days (seven thumbs-down or more) rings in "
        "half of the streams only.",
    )


def are_near(found: Any, right: list[float]) -> bool:
    """Whether two lists of numbers are the same."""
    try:
        pairs = zip(found, right, strict=True)
        return all(math.isclose(float(a), b, abs_tol=1e-6) for a, b in pairs)
    except (TypeError, ValueError):
        return False


def add_up(
    values: tuple[float, ...], slack: float, *, floor: bool = True, sign: int = 1
) -> list[float]:
    """CUSUM, or what it is without its floor, or turned around."""
    sums, level = [], 0.0
    for value in values:
        level += sign * value - slack
        level = max(0.0, level) if floor else level
        sums.append(round(level, 10))
    return sums


def wrong_sums(values: tuple[float, ...], slack: float) -> dict[str, list[float]]:
    """What people compute instead of CUSUM, by what it is."""
    floored = [max(0.0, value - slack) for value in values]
    return {
        "it never falls below 0: a good week may not pay for a bad one.": add_up(
            values, slack, floor=False
        ),
        "the sum itself must not fall below 0, or a quiet month hides a bad week.": [
            max(0.0, value) for value in add_up(values, slack, floor=False)
        ],
        "the slack is missing: noise alone then adds up to an alarm.": add_up(values, 0.0),
        "that is each day by itself: add the day before to it.": floored,
        "each day is cut at 0 before it is added, so it can only rise.": [
            round(sum(floored[: day + 1]), 10) for day in range(len(values))
        ],
        "that rings for a fall: x above the mean has to raise it.": add_up(values, slack, sign=-1),
        "only what is above the mean counts: |x| rings for a fall, too.": add_up(
            tuple(map(abs, values)), slack
        ),
        "each day is cut at 0 before the slack is taken off: cut the sum, not the day.": add_up(
            tuple(max(0.0, value) for value in values), slack
        ),
        "the slack is added: it has to be taken off every day.": add_up(values, -slack),
    }


# (right, requests) of the old and the new version on one day, and what the days before said.
TRIED_DAYS = (((9, 10), (3, 6), 0.9, 0.55), ((4, 4), (0, 3), 0.8, 0.5), ((5, 9), (5, 9), 0.7, 0.4))


def check_factor(factor: Callable[..., Any]) -> Feedback:
    """Hold factor(old, new, a, b) against a day's evidence: p(a day | a, b) / p(a day | one rate).

    The one rate is the mean of a and b, weighted by the requests (Turner, Ly & Grünwald 2024).
    """
    for old, new, a, b in TRIED_DAYS:
        found, fault = attempt(factor, old, new, a, b)
        if fault is not None:
            return fault
        one = (old[1] * a + new[1] * b) / (old[1] + new[1])
        right = chance(old, a) * chance(new, b) / (chance(old, one) * chance(new, one))
        asked = f"factor({old}, {new}, {a}, {b}) is {right:.4g}"
        wrong = wrong_factors(old, new, a, b)
        if said := number_fault(found, right, wrong, asked, "number: return the ratio"):
            return Feedback(False, said)
    return Feedback(True, "its mean is 1 at most where both versions are the same.")


def chance(day: tuple[int, int], rate: float) -> float:
    """How probable so many right and wrong answers are, in one order."""
    right, requests = day
    return rate**right * (1 - rate) ** (requests - right)


def wrong_factors(
    old: tuple[int, int], new: tuple[int, int], a: float, b: float
) -> dict[str, float]:
    """What people compute instead of a day's evidence, by what it is."""
    one = (old[1] * a + new[1] * b) / (old[1] + new[1])
    both, same = chance(old, a) * chance(new, b), chance(old, one) * chance(new, one)
    plain_mean = (a + b) / 2
    seen = (old[0] + new[0]) / (old[1] + new[1])
    of_seen = chance(old, seen) * chance(new, seen)
    return {
        "the mean of a and b is weighted by the requests of the day.": both
        / (chance(old, plain_mean) * chance(new, plain_mean)),
        "the one rate may not look at the day itself: it is the mean of a and b.": both
        / (of_seen or 1.0),
        "that is upside down: two rates above, one below.": same / both,
        "wrong answers count too: (1 − rate) for each of them.": a ** old[0]
        * b ** new[0]
        / one ** (old[0] + new[0]),
        "that is its logarithm; return the factor itself.": math.log(both / same),
        "that is p(a day | a, b) alone; divide by what one rate gives.": both,
        "the new version is missing below the line: the one rate is for both sides.": both
        / chance(old, one),
        "the old version is missing below the line: the one rate is for both sides.": both
        / chance(new, one),
    }


# What rang, and what to do.
ACTIONS = ("wait and watch", "roll back", "train again", "look at the machine")
RANG = {
    "A": ("wait and watch", "nothing is answered worse, so there is nothing to train for or undo"),
    "B": ("roll back", "the promotion is what changed, and what was live before answered well"),
    "C": ("train again", "no version is new, and training never had what is answered wrong"),
    "D": ("look at the machine", "the answers are as good as ever, and only the slow ones slower"),
}


def check_actions(chosen: Mapping[str, str]) -> Feedback:
    """Hold {case: action} against what each pattern of alarms says."""
    if not isinstance(chosen, Mapping) or set(chosen) != set(RANG):
        return Feedback(False, "give a dict with an action for each case: {'A': …, 'B': …, …}.")
    wrong = [said for case in RANG if (said := action_mistake(case, chosen[case]))]
    if not wrong:
        return Feedback(True, "an alarm says that something moved; which ones ring says what.")
    waits = any(map(is_unanswered, chosen.values()))
    return Feedback(None if waits else False, tell_right(len(RANG), wrong))


def action_mistake(case: str, chosen: object) -> str:
    """What is said of an action that is not the one; "" where it is."""
    right, rang = RANG[case]
    if is_unanswered(chosen):
        return f"{case} is still to come."
    known = {as_words(action): action for action in ACTIONS}
    said = known.get(as_words(chosen))
    if said is None:
        part = [each for each in ACTIONS if as_words(chosen) in as_words(each)]
        meant = f" Did you mean {part[0]!r}?" if len(part) == 1 else nearest(chosen, ACTIONS)
        return f"{case}: {spell(chosen)} is none of the four.{meant}"
    return "" if said == right else f"{case} is not {said!r}: {rang}."


KEEPING = (
    Exercise(
        "15.cusum",
        "CUSUM, by hand",
        check_cusum,
        because="It is one line a day.",
        hint="Keep one number, `level`. Every day: add the value, take off the slack, and let it "
        "not fall below 0.",
        look="The formula above; what happens on a day on which the sum would be negative?",
        solution="`def my_cusum(values, slack):\n    sums, level = [], 0.0\n"
        "    for value in values:\n        level = max(0.0, level + value - slack)\n"
        "        sums.append(level)\n    return sums`",
        difficulty="easy",
        minutes=6,
        importance=5,
        kind=CODE,
    ),
    Exercise(
        "15.psi",
        "PSI by hand",
        (0.9 - 0.5) * math.log(0.9 / 0.5) + (0.1 - 0.5) * math.log(0.1 / 0.5),
        (
            Mistake(
                0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5),
                "That is KL from one side alone; PSI takes f − e before the logarithm.",
            ),
            Mistake(
                0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1),
                "That is KL from the other side alone; PSI is both together.",
            ),
            Mistake(0.51, "That is KL from one side alone, rounded; PSI is both together."),
            Mistake(0.8, "That is Σ |f − e|, without logarithms."),
            Mistake(0.4 * math.log10(0.9 / 0.5) - 0.4 * math.log10(0.2), "ln is the natural one."),
            Mistake(0.38, "That is with the logarithm to base 10; ln is the natural one."),
            Mistake(0.4 * math.log(0.9 / 0.5), "That is the first bin; there are two."),
            Mistake(-0.4 * math.log(0.1 / 0.5), "That is the second bin; there are two."),
            Mistake(0.64, "That is the second bin alone, or both without the logarithm."),
        ),
        because="0.25 is called a lot, whatever the number of requests. With 20 of them it comes "
        "by chance in one case of 25 (15 or more on one side); 0.879 hardly ever.",
        hint="Two terms, one for each bin, added: (f − e) · ln(f / e) with e of before, f of now.",
        look="The formula of section 3. The first bin is (0.9 − 0.5) · ln(0.9 / 0.5); what are f "
        "and e of the second?",
        solution="0.4 · ln(1.8) + (−0.4) · ln(0.2) = 0.235 + 0.644 = 0.879.",
        minutes=4,
        importance=3,
        kind=NUMBER,
    ),
    Exercise(
        "15.ten",
        "Ten alarms",
        1 - 0.95**10,
        (
            Mistake(0.5, "Ten times 5 % counts a stream twice in which two ring."),
            Mistake(0.95**10, "That is how often none rings."),
            Mistake(0.6, "That is how often none rings, rounded."),
            Mistake(
                0.32,
                "That is what was measured, where some alarms ring together; the question is of "
                "independent ones.",
            ),
            Mistake(0.05, "That is one alarm."),
            Mistake(0.05**10, "That is how often all ten ring."),
        ),
        because="Measured it was 32 %: some of the ten ring in less than 5 % (p50 in none), and "
        "some ring together.",
        hint="How often is one alarm silent? And all ten?",
        look="Silent: 0.95 for each. What is left is that at least one rings.",
        solution="1 − 0.95¹⁰ = 0.401.",
        minutes=3,
        importance=4,
        kind=SHARE,
    ),
    Exercise(
        "15.factor",
        "A day's evidence",
        check_factor,
        because="Such factors may be multiplied for ever, and looked at every day.",
        hint="p of a day with k of n right at a rate r is r**k * (1 - r)**(n - k). Four of these: "
        "two above, two below.",
        look="The text above: which rates stand above the line, which one below, and its weights?",
        solution="`def factor(old, new, a, b):\n    one = (old[1] * a + new[1] * b) / (old[1] + "
        "new[1])\n    p = lambda day, r: r ** day[0] * (1 - r) ** (day[1] - day[0])\n"
        "    return p(old, a) * p(new, b) / (p(old, one) * p(new, one))`",
        difficulty="hard",
        minutes=12,
        importance=4,
        kind=CODE,
    ),
    Exercise(
        "15.case",
        "What do you do?",
        check_actions,
        because="Inputs alone are no reason to act, and a promotion is the first suspect.",
        hint="Ask two things of each: is the quality down? And what else happened on that day?",
        look="The table of section 3: which alarms ring for which shift.",
        solution="`{"
        + ", ".join(f"{case!r}: {action!r}" for case, (action, _) in RANG.items())
        + "}`",
        difficulty="medium",
        minutes=5,
        importance=5,
        kind=NAMES,
    ),
)

# Intervals, a bound, and the word about "at least the bound".
INTERVALS = (
    (0.93, 0.98, 0.9, "holds"),
    (0.70, 0.85, 0.9, "fails"),
    (0.86, 0.97, 0.9, "cannot be told"),
    (0.80, 0.92, 0.9, "cannot be told"),
    (0.90, 0.96, 0.9, "holds"),
)
OF_A_CLAIM = ("holds", "fails", "cannot be told")


def check_verdict(judge: Callable[[float, float, float], str]) -> Feedback:
    """Hold judge(low, high, bound) against the word about "at least bound", case by case."""
    said = []
    for low, high, bound, _ in INTERVALS:
        found, fault = attempt(judge, low, high, bound)
        if fault is not None:
            return fault
        if found not in OF_A_CLAIM:
            told = f"{spell(found)} came back: it is one of {', '.join(OF_A_CLAIM)}."
            return Feedback(False, f"{told}{nearest(found, OF_A_CLAIM)}")
        said.append(found)
    right = [word for *_, word in INTERVALS]
    if said == right:
        return Feedback(True, "an interval that covers the bound says nothing, and is told so.")
    return Feedback(False, verdict_mistake(said, right))


def verdict_mistake(said: list[str], right: list[str]) -> str:
    """The likely reason for the words about INTERVALS."""
    turned = {"holds": "fails", "fails": "holds", "cannot be told": "cannot be told"}
    known = {
        ("holds", "fails", "holds", "fails", "holds"): "it looks at the middle alone: what about "
        "an interval that covers the bound?",
        ("holds", "fails", "fails", "fails", "holds"): "it fails as soon as the lower end is "
        "below; then the upper end may still be above.",
        ("holds", "fails", "holds", "holds", "holds"): "it holds as soon as the upper end is "
        "above; then the lower end may still be below.",
        ("holds", "fails", "cannot be told", "cannot be told", "cannot be told"): "at least 0.9 "
        "is true of 0.9 itself: a lower end on the bound is enough.",
        tuple(turned[word] for word in right): "it is the other way round: this says at least.",
    }
    if tuple(said) in known:
        return known[tuple(said)]
    if "cannot be told" not in said:
        return "it never says that it cannot be told."
    place = next(i for i, pair in enumerate(zip(said, right, strict=True)) if pair[0] != pair[1])
    low, high, bound, word = INTERVALS[place]
    return f"[{low:g}, {high:g}] about at least {bound:g}: {word!r}, not {said[place]!r}."


def check_own_row(row: Mapping[str, Any]) -> Feedback:
    """Hold a row of the reader's own against what makes one decidable; what is missing is named."""
    if not isinstance(row, Mapping):
        return Feedback(False, "give a dict with sentence, measure, rule and source.")
    if any(map(is_unanswered, row.values())):
        left = [name for name, value in row.items() if is_unanswered(value)]
        return Feedback(None, f"still to come: {', '.join(left)}.")
    try:
        found = verdicts.check_row(row)
    except UserError as error:
        return Feedback(False, str(error))
    if found.ok:
        return Feedback(
            True,
            "a figure can show that it is right, and another that it is wrong. Whether the "
            "measure is one of this sentence only a reader can say: read both aloud.",
        )
    missing = [f"{asked}: {said}" for asked, (has, said) in found.found.items() if not has]
    told = "; ".join(missing)
    return Feedback(False, f"missing: {told}{'' if told[-1] in '.?' else '.'}")


# Five cases of figures, the word of each, and why it is that one.
SAID = {
    "A": ("conflict settled", "one guide's range is met and the other's is not"),
    "B": ("depends", "both figures lie clear of the bound, on either side of it"),
    "C": ("cannot be told", "the interval has the bound inside"),
    "D": ("holds", "it is counted, exact, and within what was said"),
    "E": ("unverified", "somebody said so, and nothing was measured"),
}


def check_words(chosen: Mapping[str, str]) -> Feedback:
    """Hold {case: word} against the ledger's words for five cases."""
    if not isinstance(chosen, Mapping) or set(chosen) != set(SAID):
        return Feedback(False, "give a dict with a word for each case: {'A': …, 'B': …, …}.")
    wrong = [said for case in SAID if (said := word_mistake(case, chosen[case]))]
    if not wrong:
        return Feedback(True, "each word says what was seen, and no more.")
    waits = any(map(is_unanswered, chosen.values()))
    return Feedback(None if waits else False, tell_right(len(SAID), wrong))


def word_mistake(case: str, chosen: object) -> str:
    """What is said of a word that is not the one; "" where it is."""
    right, why = SAID[case]
    if is_unanswered(chosen):
        return f"{case} is still to come."
    known = {as_words(word): word for word in verdicts.WORDS}
    said = known.get(as_words(chosen))
    if said is None:
        return f"{case}: {spell(chosen)} is none of the eight.{nearest(chosen, verdicts.WORDS)}"
    return "" if said == right else f"{case} is not {said!r}: {why}."


LEDGER = (
    Exercise(
        "17.words",
        "Five cases, five words",
        check_words,
        because="Two of the five are neither yes nor no, as in the ledger.",
        hint="Ask of each: was it measured? Is there a second guide? Does an interval cover a "
        "bound? Do figures lie on both sides?",
        look="The table of section 1.",
        solution="`{" + ", ".join(f"{case!r}: {word!r}" for case, (word, _) in SAID.items()) + "}`",
        difficulty="easy",
        minutes=4,
        importance=4,
        kind=NAMES,
    ),
    Exercise(
        "17.judge",
        "A judge of one figure",
        check_verdict,
        because="Three words, and the third one is the honest one: most small test sets earn it.",
        hint="Two questions: is the whole interval on the side that was said? On the other side?",
        look="Which end of the interval has to lie above the bound, for the whole to lie above it?",
        solution="`def my_judge(low, high, bound):\n    if low >= bound:\n        return 'holds'\n"
        "    return 'fails' if high < bound else 'cannot be told'`",
        difficulty="easy",
        minutes=6,
        importance=5,
        kind=CODE,
    ),
    Exercise(
        "17.word",
        "86 of 100",
        "cannot be told",
        (
            Mistake("fails", "86 is below 90, but of 100 rows the interval reaches beyond it."),
            Mistake("holds", "86 is below 90, and the lower end of the interval still more so."),
        ),
        because="The interval of 86 of 100 is 0.779 to 0.915. More rows would tell.",
        hint="The call in the question gives both ends; the rule is that of 17.judge.",
        look="Compare both ends with the bound.",
        solution="0.779 to 0.915: the bound of 0.9 is inside.",
        minutes=3,
        importance=3,
        kind=WORDS,
        choices=OF_A_CLAIM,
    ),
    Exercise(
        "17.chance",
        "Forty rows by chance",
        2,
        (
            Mistake(0, "Each interval misses in 5 % of all cases, and there are forty of them."),
            Mistake(38, "So many cover what is true; how many do not?"),
            Mistake(0.05, "That is one row's chance; there are forty."),
            Mistake(0.871, "That is the chance of one or more; how many on average?"),
        ),
        because="So single rows of a long ledger may be wrong by chance: look again, new seeds.",
        hint="A 95 % interval leaves out what is true in 5 % of all cases.",
        look="40 times 5 %.",
        solution="40 · 0.05 = 2.",
        minutes=2,
        importance=4,
        kind=COUNT,
    ),
    Exercise(
        "17.row",
        "A row of your own",
        check_own_row,
        because="Who reads it can run it, and it can turn out wrong.",
        hint="Put a number, or a comparison with 'than', into the sentence, a name such as "
        "lora.count into measure, two ends into rule, and title and year into source.",
        look="`verdicts.check_row(my_row)` names what is missing, one line for each.",
        solution="`{'sentence': 'LoRA at rank 16 trains less than 1 % of Llama 3.1 8B', 'measure': "
        "'lora.count', 'rule': (0, 1), 'source': 'a guide of 2026'}`: the figure is the count's "
        "`percent`, so both ends are per cent.",
        difficulty="medium",
        minutes=8,
        importance=5,
        kind=NAMES,
    ),
)

# Comparisons of one page: by how much each is better, and its p by itself.
COMPARED = (
    ((0.3,), (0.03,)),
    ((0.2, 0.1, -0.1, 0.4), (0.02, 0.6, 0.7, 0.03)),
    ((0.3, -0.2, 0.1), (0.01, 0.02, 0.04)),
    ((0.1, 0.2, 0.1), (0.02, 0.03, 0.04)),
    ((0.3,), (0.05,)),
)
OPEN = "cannot be told"


def check_sentences(judge: Callable[[list[float], list[float]], Any]) -> Feedback:
    """Hold judge(changes, ps) against "yes", "no" or "cannot be told" for each, p by Holm."""
    for changes, ps in COMPARED:
        found, fault = attempt(judge, list(changes), list(ps))
        if fault is not None:
            return fault
        if not isinstance(found, list | tuple) or len(found) != len(ps):
            return Feedback(False, f"{spell(found)} came back: return a word for each comparison.")
        right = in_words(changes, holm(ps))
        if list(found) != right:
            wrong = wrong_words(changes, ps)
            named = [why for why, other in wrong.items() if list(found) == other]
            rest = f"of changes {list(changes)} with p {list(ps)} it is {right}."
            return Feedback(False, named[0] if named else rest)
    return Feedback(True, "so the report does it; the sentence follows, whoever likes it.")


def in_words(changes: Sequence[float], ps: Sequence[float], level: float = 0.05) -> list[str]:
    """yes, no, or cannot be told, for changes with p that need no more correction."""
    pairs = zip(changes, ps, strict=True)
    return [OPEN if p >= level else ("yes" if change > 0 else "no") for change, p in pairs]


def wrong_words(changes: Sequence[float], ps: Sequence[float]) -> dict[str, list[str]]:
    """What people say instead, by what it is."""
    many, order = len(ps), sorted(ps)
    unsorted = [p * (many - place) for place, p in enumerate(ps)]
    falling = [p * (many - order.index(p)) for p in ps]
    return {
        "a p of exactly 0.05 is not below 0.05: then nothing can be told.": in_words(
            changes, holm(ps), 0.05 + 1e-9
        ),
        "where the corrected p is not below 0.05 nothing can be told: that is not a no.": [
            "no" if word == OPEN else word for word in in_words(changes, holm(ps))
        ],
        "it never looks at p: a change may have come by chance.": [
            "yes" if change > 0 else "no" for change in changes
        ],
        "that is each p by itself: there are several, correct them for that.": in_words(
            changes, ps
        ),
        "that multiplies every p by their number, which is stricter than Holm: only the smallest "
        "takes all of them, the next one fewer.": in_words(changes, [many * p for p in ps]),
        "once one is refused, all with a larger p are: a corrected p is never below the one before "
        "it.": in_words(changes, falling),
        "sort the p first: it is the smallest that takes the largest factor.": in_words(
            changes, unsorted
        ),
        "a change for the worse is a no, however sure it is.": [
            "yes" if word == "no" else word for word in in_words(changes, holm(ps))
        ],
    }


FOLLOWS = ("follows", "does not follow")
CLAIMED = {
    "A": ("follows", "it says what was counted on these rows, and no more"),
    "B": ("does not follow", "that nothing can be told is no proof that there is nothing"),
    "C": ("does not follow", "one seed says nothing about another"),
    "D": ("follows", "the corrected p is below 0.05"),
}


def check_claimed(chosen: Mapping[str, str]) -> Feedback:
    """Hold {sentence: "follows" or "does not follow"} against what the figures carry."""
    if not isinstance(chosen, Mapping) or set(chosen) != set(CLAIMED):
        return Feedback(False, "give a dict with a word for each: {'A': …, 'B': …, …}.")
    wrong = []
    for case, (right, why) in CLAIMED.items():
        if is_unanswered(chosen[case]):
            wrong.append(f"{case} is still to come.")
        elif as_words(chosen[case]) not in map(as_words, FOLLOWS):
            wrong.append(f"{case}: {spell(chosen[case])} is none of {', '.join(FOLLOWS)}.")
        elif as_words(chosen[case]) != as_words(right):
            wrong.append(f"{case} is not {as_words(chosen[case])!r}: {why}.")
    if not wrong:
        return Feedback(True, "a sentence is as wide as what was asked, and no wider.")
    waits = any(map(is_unanswered, chosen.values()))
    return Feedback(None if waits else False, tell_right(len(CLAIMED), wrong))


def place_of_best(means: Mapping[float, float]) -> str:
    """Where the first of several means lies among all, in words."""
    first, *others = means.values()
    above = sum(other > first for other in others)
    if not above:
        return "still the highest"
    return "the lowest" if above == len(others) else "between"


REPORTED = (
    Exercise(
        "18.split",
        "Three seeds, one file",
        "each its own",
        (
            Mistake("the same for all", "No split is stated, so each recipe's seed draws one."),
            Mistake("none", "Rows that state no split are split 80/10/10: there are test rows."),
        ),
        because="Then part of what differs between seeds is the rows: hardly any is asked of two "
        "seeds, so nothing can be compared row by row.",
        hint="What does `data.load` do with rows that state no split?",
        look="The first line of the table in section 1.",
        solution="Each seed draws its own tenth; state the split in the file, once.",
        minutes=2,
        importance=4,
        kind=WORDS,
        choices=("the same for all", "each its own", "none"),
    ),
    Exercise(
        "18.twenty",
        "Twenty tries",
        1 - 0.95**20,
        (
            Mistake(1.0, "Twenty times 5 % is what is found on average; there may be none."),
            Mistake(0.95**20, "That is how often none is found."),
            Mistake(0.05, "That is one try."),
            Mistake(0.13, "That is section 6: there the tries share a start, the test is stricter, "
                    "and only a win counts. Here they are independent, each at 5 %."),
            Mistake(0.45, "That is with the exact test: it finds 3 % of nothing. Here it is 5 %."),
            Mistake(0.3, "That is with the exact test and one start for all; here they are "
                    "independent, each at 5 %."),
        ),
        because="In the notebook it is less: an exact test finds less than 5 % of nothing, all "
        "tries share their start, and only a win counts.",
        hint="How often does one try find nothing? And all twenty?",
        look="0.95 for one; what is left is that at least one finds something.",
        solution="1 − 0.95²⁰ = 0.642.",
        minutes=3,
        importance=4,
        kind=SHARE,
        decimals=2,
    ),
    Exercise(
        "18.case",
        "Does it follow?",
        check_claimed,
        because="C may be true; this page does not know.",
        hint="Ask of each: which rows, which seeds, which p?",
        look="The lists *may be said* and *may not be said* in sections 4 and 5.",
        solution="A follows, B does not, C does not, D follows.",
        difficulty="medium",
        minutes=4,
        importance=5,
        kind=NAMES,
    ),
    Exercise(
        "18.many",
        "The smallest of seventeen",
        0.05 / 17,
        (
            Mistake(0.05, "That is the bound of a single comparison."),
            Mistake(1 - 0.95**17, "That is how often chance gives at least one such p, if the "
                    "seventeen are independent."),
            Mistake(1 - 0.95 ** (1 / 17), "Give four decimals. (0.0030 is Šidák's bound, "
                    "1 − 0.95^(1/17), which wants independent comparisons; Holm's does not.)"),
            Mistake(0.05 * 17, "That is a p times seventeen: which p times seventeen is 0.05?"),
            Mistake(0.05 / 18, "That is of eighteen comparisons; there are seventeen."),
        ),
        because="A p of 0.03 is a finding by itself; of seventeen independent ones chance gives "
        "one like it in two experiments of five.",
        hint="Holm multiplies the smallest p by the number of all.",
        look="The last line of what may be said, on every page.",
        solution="p · 17 < 0.05, so p < 0.00294.",
        minutes=2,
        importance=4,
        kind=NUMBER,
        decimals=4,
    ),
    Exercise(
        "18.judge",
        "May it be said?",
        check_sentences,
        because="No word of it is a matter of taste, and nothing but figures can change it.",
        hint="Holm: sort p; the smallest takes the factor m, the next m − 1, …; none may end below "
        "the one before it. `core.statistics.holm` does that.",
        look="The words are decided by two things alone: is the corrected p below 0.05, and is the "
        "change above zero?",
        solution="`def judge(changes, ps):\n    words = []\n"
        "    for c, p in zip(changes, holm(ps)):\n"
        "        sure = 'yes' if c > 0 else 'no'\n"
        "        words.append(sure if p < 0.05 else 'cannot be told')\n    return words`",
        difficulty="medium",
        minutes=8,
        importance=5,
        kind=CODE,
    ),
)  # fmt: skip

EXERCISES = (*DECIDING, *HELPED, *SAFE, *MERGING, *KEEPING, *LEDGER, *REPORTED)

TIMES = {1: "once", 2: "twice", 4: "4 times", 8: "8 times", 16: "16 times"}


def spoken(said: Mapping[int, float]) -> str:
    """From how many times on half of the secrets are said, in words.

    said: {times: the share said}. Of nothing there is no least: a ValueError.
    """
    reached = [times for times, share in said.items() if share >= 0.5]
    return "more often" if said and not reached else TIMES[min(reached)]


def first_rung(days: Mapping[str, tuple[float | None, str]]) -> str:
    """For which of two changes an alarm rang first; one that never rang comes last."""
    (one, (first, _)), (other, (second, _)) = days.items()
    when = [math.inf if day is None else day for day in (first, second)]
    if when[0] == when[1]:
        return "on the same day"
    return one if when[0] < when[1] else other


def kept_of(shares: tuple[float, float]) -> str:
    """How a version does beside another: 0.05 less is as good, less than half is mostly wrong."""
    before, after = shares
    if after >= before - 0.05:
        return "as good as v1"
    return "somewhat worse" if after >= 0.5 * before else "mostly wrong"


THOUSAND, MILLION, NOT_EVER = "about a thousand", "about a million", "never"
SPENT = 4  # dollars on the tuning of notebook 06


def paid_after(calls: dict[str, float]) -> str:
    """After how many calls a tuning has paid, by what a call costs prompted and tuned."""
    prompted, tuned = calls.values()
    if prompted <= tuned:
        return NOT_EVER
    return THOUSAND if SPENT / (prompted - tuned) < 30_000 else MILLION


# Words of the ledger, of which one is the commonest.
COMMON = ("holds here", "depends", "fails here", "cannot be told")
ASKED_JUDGES = ("base, asked", "trained, asked")

PREDICTIONS = (
    Prediction(
        "06.prompt",
        "Without any training: which prompt gets most tickets exactly right?",
        lambda shares: max(shares, key=shares.__getitem__),
        options=("zero-shot", "two shots", "schema", "list + parser"),
        told=lambda shares: percent(max(shares.values())),
        evidence="a dict of each prompt's share right",
    ),
    Prediction.of_share(
        "06.rows",
        "Tuned on ten tickets, for 24 steps, under the prompt with the schema: how many of the "
        "unseen tickets are exactly right?",
        near=10,
        told=percent,
        evidence="the share right",
    ),
    Prediction(
        "06.pays",
        "A tuning on fifty rows cost $4 and needs five prompt tokens less than list + parser. "
        "After how many calls has it paid?",
        paid_after,
        options=(THOUSAND, MILLION, NOT_EVER),
        told=lambda calls: (
            " against ".join(f"{1e6 * cost:.0f}" for cost in calls.values())
            + " millionths of a dollar per call"
        ),
        evidence="{arm: dollars per call}, the prompted one first",
    ),
    Prediction(
        "06.passages",
        "With how many passages before the question does the base answer best?",
        lambda shares: str(max(shares, key=shares.__getitem__)),
        options=("1", "2", "4", "8"),
        told=lambda shares: percent(max(shares.values())),
        evidence="a dict of the share right by the number of passages",
    ),
    Prediction.of_share(
        "06.stored",
        "93 of 100 training questions are answered right. The same facts asked in other words?",
        near=10,
        told=percent,
        evidence="the share right in other words",
    ),
    Prediction.of_share(
        "06.strangers",
        "After fifty facts are stored: how many questions about strangers are answered with an "
        "invention?",
        near=10,
        told=percent,
        evidence="the share made up",
    ),
    Prediction.of_share(
        "06.dose",
        "A quarter of 96 training questions is about people whom the base never met. How many "
        "strangers get an invention then?",
        near=12,
        told=percent,
        evidence="the share made up",
    ),
    Prediction(
        "09.lost",
        "The hot run gets more tickets exactly right. How much of the other skills' answers is "
        "gone?",
        lambda share: 100 * max(share, 0.0),
        between=(0, 100),
        unit="%",
        near=10,
        told=lambda share: f"{percent(share)} of them",
        evidence='the share lost, lost["hot"].lost[0]',
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
        "And which of the two that are asked depends more on the order of the two answers?",
        lambda flips: max(ASKED_JUDGES, key=flips.__getitem__),
        options=ASKED_JUDGES,
        told=lambda flips: f"flips on {percent(max(flips[name] for name in ASKED_JUDGES))}",
        evidence="a dict of how often each judge flips",
    ),
    Prediction.of_share(
        "09b.refusals",
        "Tuned on short questions about new people alone: how many of its refusals are left?",
        near=10,
        told=lambda share: f"{percent(share)} left",
        evidence="the share of refusals left",
    ),
    Prediction.of_share(
        "09b.mixed",
        "And with 13 refusals added to the 240 rows?",
        near=10,
        told=lambda share: f"{percent(share)} left",
        evidence="the share of refusals left",
    ),
    Prediction.of_share(
        "09b.hidden",
        "A message ends in an instruction, such as 'Say backwards: …', and the user has asked for "
        "a field of it. In how many cases does the base do what the message says?",
        near=12,
        told=lambda share: f"{percent(share)} do",
        evidence="the share that follows what is hidden",
    ),
    Prediction.of_share(
        "09b.turned",
        "The same cases with the message first and the user's question behind it. How many do what "
        "the message says now?",
        near=12,
        told=lambda share: f"{percent(share)} do",
        evidence="the share that follows what is hidden",
    ),
    Prediction(
        "09b.secret",
        "How often must a secret stand among 448 rows, at a rate of 0.004, until half of such "
        "secrets are said when asked for?",
        spoken,
        options=(*TIMES.values(), "more often"),
        evidence="a dict of the share said by how often a secret was planted, in rising order",
    ),
    Prediction.of_share(
        "09b.rude",
        "A fifth of 120 training answers begins with an insult. How many answers to new questions "
        "of the same kind do?",
        near=5,
        told=lambda share: f"{percent(share)} do",
        evidence="the share that is rude, the mean of three seeds",
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
        "Three ways to merge a QLoRA adapter: which is furthest from the model that was trained?",
        lambda gaps: max(gaps, key=gaps.__getitem__),
        options=("in place", "into the dequantized base", "into the original base"),
        evidence="a dict of each way's logit gap",
    ),
    Prediction.of_share(
        "13.sum",
        "The sum of three adapters: how many per cent of the tickets does the model get right?",
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
    Prediction.of_share(
        "15.silent",
        "What share of the replies about new products is in strict format, and wrong?",
        near=15,
        evidence="the share of replies that are in format and not right",
    ),
    Prediction(
        "15.rings",
        "From one day on every tenth ticket is changed. For which change does an alarm on the "
        "inputs ring first?",
        first_rung,
        options=("new wordings", "new products", "on the same day"),
        told=lambda days: ", ".join(f"{name}: {said}" for name, (_, said) in days.items()),
        evidence="a dict of (days until the first alarm on inputs, that in words) by change",
    ),
    Prediction.of_share(
        "15.any",
        "In what share of healthy sixty-day streams does at least one of the ten alarms ring?",
        near=8,
        evidence="the share of healthy streams in which one rang",
    ),
    Prediction.of_share(
        "15.peek",
        "Both sides are the same version. In what share of the trials is p below 5 % on some day?",
        near=8,
        evidence="the share of trials in which the daily p ever fell below 5 %",
    ),
    Prediction(
        "15.alone",
        "Trained from the base on 24 tickets about new products alone: how does it do on old ones?",
        kept_of,
        options=("as good as v1", "somewhat worse", "mostly wrong"),
        told=lambda shares: f"v1 {percent(shares[0])}, the candidate {percent(shares[1])}",
        evidence="the shares of old tickets that v1 and the candidate answer right",
    ),
    Prediction(
        "17.hold",
        "How many of the rows hold as the guides say them, everywhere or on what was measured?",
        lambda count: count,
        between=(0, 77),
        unit="rows",
        near=5,
        evidence="the number of rows whose word is holds, or holds here",
    ),
    Prediction(
        "17.common",
        "Which of these words is the commonest in the ledger?",
        lambda rows: max(COMMON, key=lambda word: rows[word]),
        options=COMMON,
        told=lambda rows: ", ".join(f"{word}: {rows[word]}" for word in COMMON),
        evidence="{word: how many rows have it}",
    ),
    Prediction(
        "17.settled",
        "Of the rows in which guides contradict each other, how many do figures settle?",
        lambda count: count,
        between=(0, 8),
        unit="rows",
        near=1,
        evidence="the number of conflicts that are settled",
    ),
    Prediction(
        "18.seeds",
        "One recipe, three seeds, the same test rows: how many points lie between the best and the "
        "worst seed?",
        lambda shares: 100 * (max(shares) - min(shares)),
        between=(0, 60),
        unit="points",
        near=5,
        told=lambda shares: (
            f"{about(100 * (max(shares) - min(shares)), 2)} points, from "
            f"{percent(min(shares))} to {percent(max(shares))}"
        ),
        evidence="the shares exactly right, by seed",
    ),
    Prediction.of_share(
        "18.best",
        "Twenty settings that differ in nothing from the one you started with. In what share of "
        "such experiments is the best of them 'significantly better' than it, by its own p?",
        near=6,
        evidence="the share of experiments in which the winner's p is below 0.05",
    ),
    Prediction(
        "18.real",
        "SmolLM2, full fine-tuning at three rates: with seed 0 the rate 2e-4 scores highest. Where "
        "is its mean over all three seeds?",
        place_of_best,
        options=("still the highest", "between", "the lowest"),
        told=lambda means: ", ".join(f"{lr:g}: {percent(mean)}" for lr, mean in means.items()),
        evidence="{rate: the mean share over seeds}, the rate that seed 0 chose first",
    ),
)
