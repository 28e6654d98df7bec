"""What does `max_length` cut off, and how much of the rows carries loss?

    lengths(rows, tokenizer)     a `Lengths`: table, picture, and `at(max_length)`
    counted.at(64)               rows whose answer is whole, cut, or gone at that length
    counted.shorter(20)          rows whose answer has fewer tokens than that

A row is cut at its end, where the answer stands: cut inside, it teaches an answer without an end;
with no token of it left, it teaches nothing, and trainers drop it without a word. Which tokens are
an answer's, `data.render` says. Notebook 05.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median_low
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import data
from ..core.errors import UserError, is_whole
from ..core.results import Result, TableParts
from ..show.svg import ACCENT, GREY, INK, PLAIN, Area, Drawing, box, drawing, polygon, words

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from .likeness import Rows

USUAL = (64, 96, 128, 256, 512)
SHORT = 20  # tokens of an answer, below which a guide calls it garbage
MIDDLE = "#e3a857"  # of the picture: rows that are cut inside their answer
FRAME = Area(60, 70, 560, 190)


class Fit(NamedTuple):
    """Of some rows at a length: how many answers are whole, cut inside, and gone altogether."""

    whole: int
    cut: int
    lost: int


@dataclass(frozen=True, repr=False)
class Lengths(Result):
    """How long rows are, in tokens, and where what they teach begins and ends."""

    tokens: list[int]  # of each row, all of it
    begins: list[int]  # the place of the first token that carries loss
    ends: list[int]  # behind the last one that does
    learned: list[int]  # how many do
    answers: list[int]  # tokens of the last answer, its end mark included

    @property
    def learned_share(self) -> float:
        """The share of all tokens that carry loss."""
        return sum(self.learned) / sum(self.tokens)

    @property
    def needed(self) -> int:
        """The least max_length that cuts no answer."""
        return max(self.ends)

    def at(self, max_length: int) -> Fit:
        """What is left of the answers where rows are cut behind `max_length` tokens."""
        if not is_whole(max_length) or max_length < 1:
            raise UserError(f"max_length is {max_length!r}; give a whole number from 1 on.")
        whole = sum(end <= max_length for end in self.ends)
        lost = sum(begin >= max_length for begin in self.begins)
        return Fit(whole, len(self.tokens) - whole - lost, lost)

    def shorter(self, tokens: int = SHORT) -> list[int]:
        """The places of rows whose answer has fewer tokens: what a filter by length would drop."""
        return [place for place, n in enumerate(self.answers) if n < tokens]

    def json(self) -> dict[str, Any]:
        """Every field, and what the usual lengths cut."""
        cuts = {n: self.at(n)._asdict() for n in self.steps()}
        sums = {"needed": self.needed, "learned_share": self.learned_share}
        return {**asdict(self), "at": cuts, **sums, "short": len(self.shorter())}

    def steps(self) -> list[int]:
        """The usual lengths, up to the first that cuts nothing."""
        enough = next((n for n in USUAL if n >= self.needed), self.needed)
        return [n for n in USUAL if n < enough] + [enough]

    def table(self) -> TableParts:
        """What each of the usual lengths leaves."""
        n = len(self.tokens)
        title = f"{n:,} rows of {min(self.tokens)} to {max(self.tokens)} tokens, median "
        title += f"{median_low(self.tokens)}; {self.learned_share:.0%} of the tokens carry loss; "
        title += f"{len(self.shorter()):,} answers are shorter than {SHORT} tokens"
        lines = [(f"{size:,}", *(f"{count:,}" for count in self.at(size))) for size in self.steps()]
        heads = ("max_length", "answer whole", "cut inside", "no answer left")
        return title, heads, lines

    def picture(self) -> Drawing:
        """The shares of whole, cut and lost answers over max_length."""
        top, n = self.needed, len(self.tokens)
        frame = FRAME.frame((1, top), (0, 1))
        places = sorted({1 + round((top - 1) * k / 200) for k in range(201)})
        fits = [self.at(place) for place in places]
        lost = [fit.lost / n for fit in fits]
        whole = [1 - fit.whole / n for fit in fits]
        parts = [
            band(frame, places, [0.0] * len(places), lost, ACCENT),
            band(frame, places, lost, whole, MIDDLE),
            band(frame, places, whole, [1.0] * len(places), PLAIN),
        ]
        ticks = {1 + round((top - 1) * k / 4): "" for k in range(5)}
        parts.append(
            frame.axes({t: str(t) for t in ticks}, {0: "0", 0.5: "50", 1: "100"}, "rows, %")
        )
        parts.append(frame.x_label("max_length, tokens"))
        for row, (name, colour) in enumerate(
            (("answer whole", PLAIN), ("cut inside", MIDDLE), ("no answer left", ACCENT))
        ):
            parts.append(box(634, 100 + 24 * row, 12, 12, colour))
            parts.append(words(652, 110 + 24 * row, name, 11, INK))
        title = f"From {top} tokens on no answer is cut"
        seen = "; ".join(f"{s}: {self.at(s).lost} lost, {self.at(s).cut} cut" for s in self.steps())
        parts.append(words(634, 190, f"{self.learned_share:.0%} carry loss", 11, GREY))
        return drawing(title, parts, f"{title}. Rows by max_length: {seen}", f"{n:,} rows", 310)


def band(
    frame: Any, x: Sequence[int], low: Sequence[float], high: Sequence[float], fill: str
) -> str:
    """The area between two curves."""
    upper = [frame.at(a, b) for a, b in zip(x, high, strict=True)]
    lower = [frame.at(a, b) for a, b in zip(x, low, strict=True)]
    return polygon([*upper, *reversed(lower)], fill)


def lengths(rows: "Rows", tokenizer: "PreTrainedTokenizerBase") -> Lengths:
    """The lengths of rows in tokens, as the tokenizer's chat template writes them.

    Raises UserError for no rows, and for the first row that the template does not take, by its
    number.
    """
    known = data.as_rows(rows)
    chats = [
        data.render(row["messages"], tokenizer, tools=row.get("tools"), where=f"row {number}")
        for number, row in enumerate(known, 1)
    ]
    places = [[n for n, carries in enumerate(chat.learned) if carries] for chat in chats]
    return Lengths(
        [len(chat.ids) for chat in chats],
        [learned[0] for learned in places],
        [learned[-1] + 1 for learned in places],
        [len(learned) for learned in places],
        [len(chat.answer) for chat in chats],
    )
