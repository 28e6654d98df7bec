"""Whether an answer is right: numbers are taken as people write them, words as they mean them.

    judge(exercise, answer, *evidence)     a `Feedback`: right, rounded, or the likely mistake
    attempt(code, *inputs)                 what a reader's function gives, or what is wrong with it
    number_fault(found, right, wrong, …)   what is wrong with the number that it gave
    tell_right(asked, wrong)               how many of several answers are right, and the others
    read_number(answer)                    "73.5 %", 1_536, "36/49" or a tensor as a `Number`
    check_guess(prediction, guess)         the guess as the prediction has it, or a UserError
    outcome(prediction, guess, evidence)   the truth, and whether the guess was right

Three significant digits are enough for a measured number; a count has to be exact. A wrong answer
raises nothing, what can't be an answer does. The exercises lie in the rooms beside this one.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from numbers import Real
from typing import Any, NamedTuple

from ..core.errors import UserError, nearest
from .exercise import (
    CODE,
    COUNT,
    NAMES,
    NUMBER,
    NUMBERS,
    SHARE,
    THING,
    UNANSWERED,
    WORDS,
    Exercise,
    Feedback,
    Prediction,
)

SAME, ROUNDED, NEAR, OTHER = "same", "rounded", "near", "other"
DIGITS = 3  # as many significant digits are asked for
PERCENT = re.compile(r"\s*(%|per\s?cent|percent|points?)$", re.IGNORECASE)
APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "ʼ": "'", "`": "'", "“": '"', "”": '"'})
# What a function of the evidence raises on something else than it was meant for.
NOT_EVIDENCE = (TypeError, KeyError, ValueError, AttributeError, IndexError)
LONGEST = 60  # characters of an answer that are said again
A_SHARE = "share: return a number from 0 to 1"


class Number(NamedTuple):
    """A number as it was written: its significant digits, and whether "%" stood behind it."""

    value: float
    digits: int
    percent: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a prediction came out; `right` is None where nothing was guessed."""

    guess: Any
    truth: Any
    right: bool | None
    sentence: str


def judge(exercise: Exercise, answer: object, *evidence: Any) -> Feedback:
    """Hold an answer against the exercise's right one.

    Raises UserError where the exercise is measured and its evidence is missing or another's.
    """
    if is_unanswered(answer):
        return UNANSWERED
    check_evidence(exercise, evidence)
    if exercise.kind in (CODE, NAMES):
        said = exercise.right(answer, *evidence)
        text = f"{said.text} {exercise.because}".strip() if said.right else said.text
        return replace(said, text=text)

    # what can't be an answer at all is told with what can
    answer = plain(answer)
    if fault := find_fault(exercise, answer):
        return Feedback(False, fault)
    right = find_right(exercise, evidence)
    match = compare(answer, right, exercise)
    if match == SAME:
        return Feedback(True, exercise.because or f"{spell(right)}.")

    # a named mistake comes before rounding, which could hide it
    if why := named_mistake(exercise, answer, evidence, {SAME}):
        return Feedback(False, why)
    if match == ROUNDED:
        return Feedback(True, f"rounded; it is {spell(right)}. {exercise.because}".strip())
    why = named_mistake(exercise, answer, evidence, {ROUNDED})
    return Feedback(False, why or how_many_right(answer, right) or unnamed(answer, match))


def check_evidence(exercise: Exercise, evidence: Sequence[Any]) -> None:
    """Refuse evidence that is missing, or that nothing about the exercise depends on."""
    if exercise.evidence and not evidence:
        raise UserError(
            f"{exercise.id} is measured: give {exercise.evidence} behind your answer, "
            f"check({exercise.id!r}, answer, …)."
        )
    values = [exercise.right, *(mistake.wrong for mistake in exercise.mistakes)]
    if evidence and not any(isinstance(value, Callable) for value in values):
        raise UserError(f"{exercise.id} takes an answer and nothing behind it.")


def find_right(exercise: Exercise, evidence: Sequence[Any]) -> Any:
    """The right answer; UserError where the evidence does not give it."""
    try:
        return worth(exercise.right, evidence)
    except NOT_EVIDENCE as error:
        raise UserError(
            f"{exercise.id} is measured, and what stands behind the answer does not tell it; give "
            f"{exercise.evidence}."
        ) from error


def named_mistake(
    exercise: Exercise, answer: Any, evidence: Sequence[Any], matches: set[str]
) -> str:
    """Why the answer is wrong, where it is one of the usual mistakes; else ""."""
    for mistake in exercise.mistakes:
        wrong = worth(mistake.wrong, evidence)
        if wrong is not None and compare(answer, wrong, exercise) in matches:
            return mistake.why
    return ""


CAUSES = {
    "mat1 and mat2": "rows are tokens: `x @ A.T @ B.T`, with A (r, d_in) and B (d_out, r)",
    "size mismatch": "look at the shapes: print them",
    "must match the size": "look at the shapes: print them, `[:, None]` adds a side",
    "positional argument": "look at the arguments that the exercise names, and their order",
    "is not defined": "import it, or run the cell that makes it",
    "not callable": "look for a name that hides a function",
    "division by zero": "look at what it divides by, and when that is 0",
    "does not require grad": "the loss has to come from the model's own logits",
}


NOTHING = Feedback(
    None, "nothing came back: put your code in place of the three dots, and return its result."
)


def attempt(code: Any, *inputs: Any) -> tuple[Any, Feedback | None]:
    """What a reader's function gives, and None; or nothing, and the feedback that says why.

    Whatever it raises is told in one sentence with the likely cause; where nothing comes back, or
    three dots, alone or among what is returned, it is still the reader's turn.
    """
    if not callable(code):
        return None, Feedback(
            False, f"{spell(code)} can't be called: give the function itself, without brackets."
        )
    try:
        value = code(*inputs)
    except Exception as error:
        # a reader's code may raise anything
        said = str(error).splitlines()[0][:120] if str(error) else "without a word"
        cause = next((f": {cure}" for sign, cure in CAUSES.items() if sign in str(error)), "")
        return None, Feedback(False, f"it does not run: {type(error).__name__}, {said}{cause}.")
    parts = value if isinstance(value, list | tuple) else [value]
    if value is None or any(part is ... for part in parts):
        return None, NOTHING
    return value, None


def how_many_right(answer: object, right: object) -> str:
    """How many of a row of numbers are right, or how many there should be; "" for no such rows."""
    if not isinstance(answer, list) or not isinstance(right, list):
        return ""
    if len(answer) != len(right):
        there = "is 1 number" if len(answer) == 1 else f"are {len(answer)} numbers"
        return f"there {there}; give {len(right)}."
    hits = sum(compare_lists([a], [b]) != OTHER for a, b in zip(answer, right, strict=True))
    return f"{how_many(hits, len(right))}, {'the others are not' if hits else 'in this order'}."


def how_many(fine: int, asked: int) -> str:
    """So many of them are right, in words: "1 of the 8 is right", "none of the 8 is right"."""
    return f"{fine or 'none'} of the {asked} {'is' if fine < 2 else 'are'} right"


def tell_right(asked: int, wrong: Sequence[str]) -> str:
    """How many of so many are right, and what is wrong with the others."""
    return f"{how_many(asked - len(wrong), asked)}. {' '.join(wrong)}"


def number_fault(
    found: Any, right: float, wrong: Mapping[str, float], asked: str, kind: str = "number"
) -> str:
    """What is wrong with the number that a reader's code gave, or "".

    wrong: what the usual mistakes give, by what is wrong with them; asked: what was asked for and
    what it is, such as "at k = 2 it is 0.6"; kind: what should have come back.
    """
    number = read_number(plain(found))
    if number is None:
        return f"{spell(found)} is no {kind}."

    def is_it(value: float) -> bool:
        return math.isclose(number.value, value, rel_tol=1e-6, abs_tol=1e-9)

    if is_it(right):
        return ""
    named = (why for why, value in wrong.items() if is_it(value))
    return next(named, f"{asked}, not {spell(number.value)}.")


def unnamed(answer: object, match: str) -> str:
    """What is said to a wrong answer that is none of the usual mistakes."""
    number = read_number(answer)
    if match == NEAR and number is not None and number.digits >= DIGITS:
        return f"{spell(answer)} is close, but not it: a small part is missing, or counted twice."
    if match == NEAR:
        return f"{spell(answer)} is within a hundredth of it: give three significant digits."
    return f"{spell(answer)} is not it, and none of the usual mistakes either."


def worth(value: Any, evidence: Sequence[Any]) -> Any:
    """A right or wrong answer as a value: computed from the evidence where it is a function."""
    return plain(value(*evidence)) if isinstance(value, Callable) else plain(value)


def is_unanswered(answer: object) -> bool:
    """Whether an answer is still to come: None, three dots, or a sequence that holds them.

    A dict of answers is, as long as it holds nothing else.
    """
    if isinstance(answer, list | tuple):
        return any(item is None or item is ... for item in answer)
    if isinstance(answer, Mapping):
        return all(is_unanswered(item) for item in answer.values())
    return answer is None or answer is ... or (isinstance(answer, str) and not answer.strip(" ."))


def plain(value: Any) -> Any:
    """Tensors and arrays as numbers or lists of them; everything else as it is."""
    if hasattr(value, "tolist") and hasattr(value, "shape"):
        listed = value.detach().tolist() if hasattr(value, "detach") else value.tolist()
        while isinstance(listed, list) and len(listed) == 1:
            listed = listed[0]
        return listed
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def find_fault(exercise: Exercise, answer: object) -> str:
    """Why something can't be an answer of this kind, or ""."""
    if exercise.kind in (NUMBER, SHARE, COUNT) and read_number(answer) is None:
        return f"{spell(answer)} is no number; write one, such as 42, 0.735 or '73.5 %'."
    if exercise.kind == NUMBERS:
        numbers = answer if isinstance(answer, list) else [answer]
        if any(read_number(item) is None for item in numbers):
            return f"{spell(answer)} is no list of numbers."
    if exercise.kind == WORDS and exercise.choices:
        known = {as_words(choice) for choice in exercise.choices}
        if as_words(answer) not in known:
            hint = nearest(answer, exercise.choices)
            return f"{spell(answer)} is none of {', '.join(exercise.choices)}.{hint}"
    return ""


def compare(answer: Any, right: Any, exercise: Exercise) -> str:
    """How an answer stands to another: SAME, ROUNDED, NEAR (within a hundredth) or OTHER."""
    kind = exercise.kind
    if kind == WORDS:
        return SAME if as_words(answer) == as_words(right) else OTHER
    if kind == THING:
        same = answer == right or as_words(answer) == as_words(right)
        return SAME if same else OTHER
    if kind == NUMBERS:
        return compare_lists(answer, right)
    number, target = read_number(answer), read_number(right)
    if number is None or target is None:
        return OTHER
    wanted = target.value / 100 if target.percent else target.value
    found = [compare_numbers(n, wanted, exact=kind == COUNT) for n in readings(number, kind)]
    if exercise.decimals is not None:
        close = [abs(n.value - wanted) for n in readings(number, kind)]
        enough = min(close) <= 0.5 / 10**exercise.decimals
        found = [SAME if SAME in found else ROUNDED if enough else OTHER]
    return min(found, key=(SAME, ROUNDED, NEAR, OTHER).index)


def readings(number: Number, kind: str) -> list[Number]:
    """What a number may mean: as a share, 73.5 is 73.5 % too."""
    hundredth = number._replace(value=number.value / 100)
    if kind == SHARE:
        return [hundredth] if number.percent else [number, hundredth]
    return [hundredth, number] if number.percent else [number]


def compare_numbers(number: Number, right: float, *, exact: bool) -> str:
    """How a written number stands to the right one, in the digits that it was written with."""
    if math.isclose(number.value, right, rel_tol=1e-6, abs_tol=1e-12):
        return SAME
    if exact or not math.isfinite(number.value) or not math.isfinite(right):
        return OTHER
    digits = max(DIGITS, number.digits)
    rounded = round_to(right, digits)
    if math.isclose(number.value, rounded, rel_tol=1e-9, abs_tol=1e-12):
        return ROUNDED
    # a hundredth off, itself included: 0.0033 for 1/300
    return NEAR if math.isclose(number.value, right, rel_tol=0.01 + 1e-9) else OTHER


def compare_lists(answer: Any, right: Any) -> str:
    """The same for numbers in a row: each to three digits behind the point, in this order."""
    if not isinstance(answer, list) or not isinstance(right, list) or len(answer) != len(right):
        return OTHER
    values = [number.value for number in map(read_number, answer) if number is not None]
    pairs = list(zip(values, right, strict=False))
    if len(pairs) < len(right):
        return OTHER
    same = all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9) for a, b in pairs)
    near = all(abs(a - b) < 6e-4 for a, b in pairs)
    return SAME if same else ROUNDED if near else OTHER


def round_to(value: float, digits: int) -> float:
    """A number rounded to so many significant digits: round_to(0.73469, 3) is 0.735."""
    return float(f"{value:.{digits - 1}e}")


def read_number(answer: object) -> Number | None:
    """An answer as a number, as people write them; None where it is none.

    Taken are thousands' separators (1,536 and 1 536 and 1_536), "73.5 %", fractions ("36/49"), a
    decimal comma (0,735), and ≈ in front.
    """
    if isinstance(answer, bool):
        return None
    if isinstance(answer, Real):
        value = float(answer)
        return Number(value, significant(repr(answer if isinstance(answer, int) else value)))
    if not isinstance(answer, str):
        return None
    text = answer.strip().lstrip("≈~ ").replace("−", "-")
    percent = PERCENT.search(text) is not None
    text = without_separators(PERCENT.sub("", text).strip())
    try:
        value = float(Fraction(text.replace(" ", ""))) if "/" in text else float(text)
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    digits = 15 if "/" in text else significant(text)
    return Number(value, digits, percent) if math.isfinite(value) else None


def without_separators(text: str) -> str:
    """A written number without what parts its thousands, and with a point for a decimal comma."""
    if re.fullmatch(r"-?[1-9]\d{0,2}([,'’_\s\u202f\u00a0]\d{3})+(\.\d+)?", text):
        return re.sub(r"[,'’_\s\u202f\u00a0]", "", text)
    return text.replace(",", ".") if re.fullmatch(r"-?\d+,\d+", text) else text.replace("_", "")


def significant(text: str) -> int:
    """How many significant digits a number was written with; zeros at its ends count for none."""
    mantissa = re.split("[eE]", text)[0]
    return len(re.sub(r"\D", "", mantissa).strip("0")) or 1


def as_words(value: object) -> str:
    """A word as it is compared: whatever its case, outer spaces, quotes, hyphens, apostrophes."""
    text = str(value).translate(APOSTROPHES).casefold().strip().strip("\"'").rstrip(".!")
    return re.sub(r"[\s_\-–]+", " ", text).strip()


def spell(value: object) -> str:
    """A value as it is said: a number in at most six digits, the rest as Python writes it."""
    if isinstance(value, bool) or not isinstance(value, Real):
        if isinstance(value, list):
            return f"[{', '.join(spell(item) for item in value)}]"[:LONGEST]
        return str(value)[:LONGEST] if not isinstance(value, str) else repr(value)[:LONGEST]
    if isinstance(value, int):
        return f"{value:,}"
    return f"{float(value):.6g}"


def check_guess(prediction: Prediction, guess: Any) -> Any:
    """A guess as the prediction has it: its option, a number, or its items in order.

    Raises UserError for what is none, with what can be guessed.
    """
    if prediction.options:
        return check_item(prediction.id, guess, prediction.options)
    if prediction.order:
        items = guess if isinstance(guess, list | tuple) else str(guess).split(",")
        ordered = tuple(check_item(prediction.id, item, prediction.order) for item in items)
        if len(set(ordered)) < len(prediction.order):
            raise UserError(
                f"the order has {len(set(ordered))} of {len(prediction.order)} names; give each of "
                f"{', '.join(prediction.order)} once."
            )
        return ordered
    return check_number(prediction, guess)


def check_item(name: str, guess: object, known: Sequence[str]) -> str:
    """The option that a guess names."""
    for option in known:
        if as_words(option) == as_words(guess):
            return option
    listed = ", ".join(map(repr, known))
    raise UserError(f"{name}: {guess!r} is none of {listed}.{nearest(guess, known)}")


def check_number(prediction: Prediction, guess: object) -> float:
    """A guess as a number within the prediction's range."""
    low, high = prediction.between or (-math.inf, math.inf)
    number = read_number(plain(guess))
    if number is None or not low <= number.value <= high:
        raise UserError(
            f"{prediction.id}: {guess!r} is no number from {low:g} to {high:g} {prediction.unit}."
        )
    return number.value


def outcome(prediction: Prediction, guess: Any, evidence: Any) -> Outcome:
    """Hold a guess against what came out; `guess` is None where there was none.

    Raises UserError where the truth is none of the prediction's options: then the evidence is not
    what was asked for.
    """
    truth = find_truth(prediction, evidence)
    right = None if guess is None else is_right(prediction, guess, truth)
    found = in_words(prediction, truth)
    if prediction.told is not None and prediction.options:
        found = f"{found} ({prediction.told(evidence)})"
    elif prediction.told is not None:
        found = prediction.told(evidence)
    if right is None:
        return Outcome(guess, truth, right, f"The answer: {found}.")
    said = in_words(prediction, guess)
    if not right:
        return Outcome(guess, truth, right, f"You said {said}; the answer is {found}.")
    detail = f": {prediction.told(evidence)}" if prediction.told is not None else ""
    return Outcome(guess, truth, right, f"You said {said}, and so it is{detail}.")


def find_truth(prediction: Prediction, evidence: Any) -> Any:
    """What came out, as the prediction has it."""
    wanted = f"{prediction.id} is answered by {prediction.evidence or 'what was measured'}"
    try:
        truth = prediction.truth(evidence)
        truth = tuple(truth) if prediction.order else plain(truth)
        if prediction.told is not None:
            prediction.told(evidence)
    except NOT_EVIDENCE as error:
        raise UserError(f"{wanted}; this is {str(evidence)[:LONGEST]!r}.") from error
    known = set(prediction.options or prediction.order)
    if known and not set(truth if prediction.order else [truth]) <= known:
        raise UserError(f"{wanted}; {truth!r} is none of {', '.join(sorted(known))}.")
    if prediction.order and sorted(truth) != sorted(prediction.order):
        missing = ", ".join(sorted(known - set(truth)))
        raise UserError(f"{wanted}, for each of the {len(known)}; there is no {missing}.")
    if prediction.between is not None and read_number(truth) is None:
        raise UserError(f"{wanted}; {truth!r} is no number.")
    return truth


def is_right(prediction: Prediction, guess: Any, truth: Any) -> bool:
    """Whether a guess is the truth, for a number: near enough to it."""
    if prediction.between is None:
        return guess == truth
    if prediction.log:
        factor = prediction.near or 1.5
        return truth > 0 < guess and 1 / factor <= guess / truth <= factor
    return abs(guess - truth) <= prediction.near


def in_words(prediction: Prediction, value: Any) -> str:
    """A guess or a truth as it is said."""
    if prediction.options:
        return str(value)
    if prediction.order:
        return ", ".join(value)
    return f"{three_digits(value)} {prediction.unit}".strip()


def three_digits(value: float) -> str:
    """A number in three digits, or in all that stand before the point: "16.7", "1,960"."""
    # 999.6 in three digits would be 1e+03
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{float(value):.3g}"
