"""Which assumptions give which guide's figure? One dial at a time, and all of them as a tornado.

    Case(…)                          a training, with every assumption as a number
    sensitivity(case, ranges)        hours or money at both ends of each assumption, widest first
    FIGURES, figures()               what guides say that tunings take, with their words
    needed(figure, dial)             the value of one dial at which a guide's figure comes out

A guide's "1-2 hours" holds no tokens, no epochs and no utilisation, so it is neither right nor
wrong: it holds for some of them. `estimates.py` gives ranges where this room moves one dial.
Notebook 14.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from .. import memory
from ..core.errors import UserError, nearest
from ..core.results import Result, TableParts
from .estimates import check_rows, hours_of, in_hours
from .flops import train_flops
from .paying import check_amounts
from .prices import Range, in_money
from .utilisation import PUBLISHED

if TYPE_CHECKING:
    from .flops import Source


@dataclass(frozen=True)
class Case:
    """A training with every assumption as one number; `hours` and `money` follow."""

    model: "Source" = "llama-3.1-8b"
    method: str = "lora"
    rows: int = 1000
    tokens: int = 512  # of a row, padding counted
    epochs: float = 3
    utilisation: float = 0.3
    checkpointing: bool = False
    card: str = "A100 40"
    cards: int = 1
    per_hour: float = 2.0  # of a card

    @property
    def flops(self) -> float:
        """FLOPs of the whole training."""
        step = {"method": self.method, "seq": self.tokens, "checkpointing": self.checkpointing}
        return train_flops(self.model, **step).total * self.rows * self.epochs

    @property
    def hours(self) -> float:
        """Until it is done, on all cards at once."""
        check_rows(self.rows, self.epochs)
        share = (self.utilisation, self.utilisation)
        return hours_of(self.flops, self.card, share, self.cards)[0]

    @property
    def money(self) -> float:
        """hours · cards · price per hour."""
        check_amounts(per_hour=self.per_hour)
        return self.hours * self.cards * self.per_hour


# What a dial may be where nothing is known: from what is favourable to what is not.
USUAL_RANGES: Mapping[str, tuple] = {
    "tokens": (128, 2048),
    "utilisation": (PUBLISHED[1], 0.05),
    "epochs": (1, 5),
    "per_hour": (1.5, 3.5),
    "checkpointing": (False, True),
}
NO_DIAL = ("hours", "per_hour")  # what is asked, and the assumption that does nothing to it
UNIT_OF = {"hours": in_hours, "money": in_money}
WORDS = {
    "tokens": "tokens per row",
    "utilisation": "utilisation",
    "epochs": "epochs",
    "per_hour": "price per hour",
    "checkpointing": "checkpointing",
    "card": "card",
    "rows": "rows",
}


class Swing(NamedTuple):
    """What one assumption does: (value, outcome) at both of its ends."""

    name: str
    first: tuple[object, float]
    last: tuple[object, float]

    @property
    def factor(self) -> float:
        """By how much the outcome differs between both ends, as a factor from 1 on."""
        low, high = sorted((self.first[1], self.last[1]))
        return high / low


@dataclass(frozen=True, repr=False)
class Sensitivity(Result):
    """What each assumption does to hours or money, the others left alone; widest first."""

    case: Case
    of: str  # "hours" or "money"
    swings: tuple[Swing, ...]

    @property
    def middle(self) -> float:
        """The outcome of the case itself."""
        return getattr(self.case, self.of)

    @property
    def together(self) -> Range:
        """The outcome with all dials at their favourable ends, and at the others."""
        ends = []
        for end in ("first", "last"):
            values = {swing.name: getattr(swing, end)[0] for swing in self.swings}
            ends.append(getattr(dataclasses.replace(self.case, **values), self.of))
        return min(ends), max(ends)

    def table(self) -> TableParts:
        """A line per assumption: its ends, what comes out at each, and the factor."""
        say = UNIT_OF[self.of]
        rows = [
            (
                WORDS[swing.name],
                *(f"{in_dial(swing.name, value)}: {say(got)}" for value, got in swing[1:]),
                f"{swing.factor:.1f} ×",
            )
            for swing in self.swings
        ]
        low, high = self.together
        rows.append(("all together", say(low), say(high), f"{high / low:,.0f} ×"))
        title = f"{say(self.middle)} with {describe(self.case)}"
        return title, ("assumption", "at one end", "at the other", "factor"), rows


def in_dial(name: str, value: object) -> str:
    """The value of an assumption as a table says it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if not isinstance(value, int | float):
        return str(value)
    if name == "utilisation":
        return f"{100 * value:.3g} %"
    if name == "per_hour":
        return in_money(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


def describe(case: Case) -> str:
    """A case in one line."""
    more = ", checkpointing" if case.checkpointing else ""
    share = f"{100 * case.utilisation:g} %"
    return (
        f"{case.model}, {case.method}, {case.rows:,} rows × {case.tokens:,} tokens × "
        f"{case.epochs:g} epochs at {share} of {case.cards} × {case.card}{more}"
    )


def check_dial(name: str, ends: object, of: str) -> None:
    """Refuse what is no assumption of a case, what is no pair, and a price where it is of hours."""
    known = [*USUAL_RANGES, "card", "rows"]
    if name not in known:
        raise UserError(
            f"there is no assumption {name!r}; there are {', '.join(known)}.{nearest(name, known)}"
        )
    if not isinstance(ends, tuple | list) or len(ends) != 2:
        raise UserError(
            f"the range of {name} is {ends!r}; give two values, the favourable one first."
        )
    if (of, name) == NO_DIAL:
        raise UserError("a price per hour changes no hours; leave per_hour out, or ask of='money'.")


def sensitivity(
    case: Case | None = None, ranges: Mapping[str, tuple] | None = None, of: str = "hours"
) -> Sensitivity:
    """Hours or money at both ends of each assumption while the others stay as in the case.

    ranges: {assumption: (favourable end, other end)}, by default USUAL_RANGES; of: "hours" or
    "money". Raises UserError for an assumption that a case does not have.
    """
    case = case or Case()
    if of not in UNIT_OF:
        raise UserError(f"of is {of!r}; give {' or '.join(map(repr, UNIT_OF))}.")
    if ranges is not None and not ranges:
        raise UserError(f"ranges is {ranges!r}; name one assumption at least, such as 'tokens'.")
    swings = []
    usual = {name: ends for name, ends in USUAL_RANGES.items() if (of, name) != NO_DIAL}
    for name, ends in (usual if ranges is None else ranges).items():
        check_dial(name, ends, of)
        first, last = (
            (value, getattr(dataclasses.replace(case, **{name: value}), of)) for value in ends
        )
        swings.append(Swing(name, first, last))
    return Sensitivity(case, of, tuple(sorted(swings, key=lambda swing: -swing.factor)))


@dataclass(frozen=True)
class Figure:
    """What a guide says that a tuning takes: hours or money from low to high, and of what."""

    guide: str
    says: str  # its words
    of: str  # "hours" or "money"
    range: Range
    case: Case  # what it states; the rest as usual


G1 = "How to Fine-Tune an LLM — LoRA, QLoRA, and Full Fine-Tuning (2026)"
G2 = "an article about fine-tuning by Tecorb, a company"
G4 = "The Fine-Tuning Decision"
BIG = Case("llama-3.1-70b", "qlora", card="A100 80", per_hour=3.0, checkpointing=True)
FULL = Case("llama-2-7b", "full", card="A100 80", cards=2, per_hour=3.0, checkpointing=True)
FIGURES = (
    Figure(G1, "7-8B | LoRA | 1x A100 40GB | ~$2/hr | 1-2 hours", "hours", (1, 2), Case()),
    Figure(
        G2,
        "A LoRA fine-tune of a 7B model on 1,000 examples typically completes in 30–90 minutes on "
        "a single A100 GPU",
        "hours",
        (0.5, 1.5),
        Case("llama-2-7b"),
    ),
    Figure(G1, "7-8B | Full | 2x A100 80GB | ~$6/hr | 4-8 hours", "hours", (4, 8), FULL),
    Figure(G1, "70B | QLoRA | 1x A100 80GB | ~$3/hr | 8-16 hours", "hours", (8, 16), BIG),
    Figure(
        G2,
        "A 70B model with QLoRA on 5,000 examples runs 4–8 hours",
        "hours",
        (4, 8),
        dataclasses.replace(BIG, rows=5000),
    ),
    Figure(
        G4,
        "7B model, 100K examples, 3 epochs: ~48 GPU-hours on A100 80GB",
        "hours",
        (48, 48),
        dataclasses.replace(FULL, rows=100_000, cards=1),
    ),
    Figure(G1, "LoRA fine-tuning on a 7-8B model costs $2-4", "money", (2, 4), Case()),
    Figure(
        G2,
        "A LoRA fine-tune of a 7B model on 1,000 examples using rented A100 time costs $5–$20",
        "money",
        (5, 20),
        Case("llama-2-7b", per_hour=2.5),
    ),
)


@dataclass(frozen=True, repr=False)
class Figures(Result):
    """The guides' figures beside what a case gives, and the value of one dial that each needs."""

    dials: tuple[str, ...]
    figures: tuple[Figure, ...]

    def table(self) -> TableParts:
        """A line per figure."""
        rows = []
        for number, figure in enumerate(self.figures, 1):
            say = UNIT_OF[figure.of]
            need = [say_needed(figure, dial) for dial in self.dials]
            found = getattr(figure.case, figure.of)
            rows.append((number, short_title(figure.guide), figure.says, say(found), *need))
        case = Case()
        title = (
            f"Right at which dial? The others: {case.tokens} tokens per row, {case.epochs:g} "
            f"epochs, {100 * case.utilisation:g} % of the peak"
        )
        asked = (f"right at: {WORDS[dial]}" for dial in self.dials)
        heads = ("row", "guide", "it says", "by formula", *asked)
        return title, heads, rows


def short_title(guide: str) -> str:
    """A guide's title up to its first dash or comma."""
    return guide.partition(" — ")[0].partition(", a ")[0]


def say_needed(figure: Figure, dial: str) -> str:
    """The range of a dial that a figure needs, in words; "never" where no value gives it."""
    ends = needed(figure, dial)
    if None in ends:
        return "never"
    texts = dict.fromkeys(in_dial(dial, round_dial(dial, end)) for end in ends if end is not None)
    return " to ".join(texts)


def round_dial(dial: str, value: float) -> object:
    """A value in the precision in which a table says it."""
    return round(value) if dial in ("tokens", "rows") else float(f"{value:.2g}")


def figures(*dials: str) -> Figures:
    """What guides say, beside what the formula gives, and at which dial each would be right.

    dials: "tokens", "epochs" or "utilisation", by default all three.
    """
    for dial in dials:
        check_solvable(dial)
    return Figures(dials or ("utilisation", "tokens", "epochs"), FIGURES)


def check_solvable(dial: str) -> None:
    """Refuse a dial that is not a number which can be solved for."""
    known = ("utilisation", "tokens", "epochs", "rows")
    if dial not in known:
        raise UserError(f"dial is {dial!r}; give one of {', '.join(known)}.{nearest(dial, known)}")


def needed(figure: Figure, dial: str) -> tuple[float | None, float | None]:
    """The values of one dial at which a guide's lower and upper figure come out.

    The other assumptions stay as in the figure's case. None where no value does: a utilisation
    above 1, or rows longer than the model takes. Raises UserError for a dial that is no number.
    """
    check_solvable(dial)
    found = getattr(figure.case, figure.of)
    return tuple(solve(figure.case, dial, end / found) for end in figure.range)  # type: ignore


def solve(case: Case, dial: str, times: float) -> float | None:
    """The value of a dial that makes a case take `times` as long."""
    now = getattr(case, dial)
    if dial == "utilisation":
        return now / times if now / times <= 1 else None
    if dial != "tokens":
        return now * times
    # attention grows with the square of a row, so the length is searched by halves
    wanted, low, high = times * case.flops, 1, longest_row(case)

    def flops(tokens: int) -> float:
        return dataclasses.replace(case, tokens=tokens).flops

    if flops(high) < wanted:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if flops(middle) <= wanted else (low, middle)
    return float(low)


def longest_row(case: Case) -> int:
    """Tokens of the longest row that the case's model takes."""
    return memory.make_step(case.model, seq=1).architecture.positions or 2**20
