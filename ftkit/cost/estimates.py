"""From FLOPs to hours, money and energy: ranges, with every assumption in sight.

    estimate(source, rows, epochs, …)     hours, money and energy of a training: an `Estimate`
    hours_of(flops, card, utilisation)    the division behind it
    energy(hours, watts, pue)             kWh, of so many watts all the time
    reply_seconds(source, prompt, reply, card)   how long an answer takes at least

    hours = FLOPs of a step · steps / (cards · peak · utilisation) / 3600

No figure is one number: utilisation, price and what a data centre adds are ranges, and so is what
comes of them. Loading, validation, and the hours that people spend are not in it. Notebook 14.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import memory
from ..core.errors import UserError, is_number, is_whole
from ..core.results import Result, TableParts, gibibytes
from ..core.session import DTYPES
from .flops import Work, answer_flops, in_flops, read_step, train_flops
from .prices import Price, Prices, Range, check_range, in_money, read_prices, who_says
from .utilisation import peak_of, usual_utilisation

if TYPE_CHECKING:
    from .flops import Source

HOUR = 3600  # seconds
MOST_ROWS, MOST_EPOCHS, MOST_CARDS = 10**12, 1000, 10**6
MOST_PRICE = 10**6  # of an hour of a card
# What a data centre takes for each watt of its machines: Google's own, and the mean of a survey
# (Google 2024, environmental report; Uptime Institute 2023, global survey).
PUE = (1.1, 1.58)


@dataclass(frozen=True, repr=False)
class Estimate(Result):
    """What a training takes, each a range (lowest, highest) but the FLOPs.

    hours: until it is done, on `cards` cards at once; money: None where no price is known.
    """

    step: "memory.Step"
    rows: int
    epochs: float
    flops: float
    card: str
    cards: int
    utilisation: Range
    hours: Range
    money: Range | None
    energy: Range  # kWh
    price: Price | None
    currency: str
    note: str = ""

    @property
    def tokens(self) -> float:
        """Tokens that are trained on: rows · tokens per row · epochs."""
        return self.rows * self.step.seq * self.epochs

    def assumptions(self) -> dict[str, str]:
        """Everything that was assumed, in words."""
        low, high = self.utilisation
        watts = memory.cards()[self.card]["watts"]
        each = "unknown" if self.price is None else in_money(self.price.range, self.currency)
        said = "" if self.price is None else f", as of {self.price.date}: {who_says(self.price)}"
        return {
            "rows": f"all {self.step.seq:,} tokens long, padding counted",
            "FLOPs": f"{in_flops(self.flops / self.tokens)} per token, checkpointing "
            f"{'on' if self.step.checkpointing else 'off'}",
            "utilisation": f"{100 * low:.1f} to {100 * high:.1f} % of {self.card}'s peak",
            "price": f"{each} per hour and card{said}",
            "energy": f"{self.cards} × {watts} W all the time, a data centre of PUE {PUE[0]} to "
            f"{PUE[1]}",
        }

    def json(self) -> dict:
        """The values that `python -m ftkit cost --json` prints; ranges as [low, high]."""
        return {
            "model": self.step.name,
            "method": self.step.method,
            "rows": self.rows,
            "epochs": self.epochs,
            "tokens": self.tokens,
            "flops": self.flops,
            "card": self.card,
            "cards": self.cards,
            "utilisation": list(self.utilisation),
            "hours": list(self.hours),
            "money": list(self.money) if self.money else None,
            "currency": self.currency,
            "kwh": list(self.energy),
            "note": self.note,
            "assumptions": self.assumptions(),
        }

    def table(self) -> TableParts:
        """Hours, money and energy from low to high, then what was assumed."""
        money = "no price known" if self.money is None else in_money(self.money, self.currency)
        rows = [
            ("work", in_flops(self.flops)),
            ("hours", in_hours(self.hours)),
            ("money", money),
            ("energy", f"{self.energy[0]:.2g} to {self.energy[1]:.2g} kWh"),
            *((f"assumed: {name}", said) for name, said in self.assumptions().items()),
        ]
        if self.note:
            rows.append(("note", self.note))
        step = self.step
        title = (
            f"{step.name}, {step.method}, {self.rows:,} rows × {step.seq:,} tokens × "
            f"{self.epochs:g} epochs on {self.cards} × {self.card}"
        )
        return title, ("", "from low to high"), rows


def in_hours(hours: Range | float) -> str:
    """Hours, or a range, as people say them: in_hours((0.2, 2.5)) is "12 min to 2.5 h"."""
    ends = hours if isinstance(hours, tuple) else (hours, hours)
    texts = [f"{HOUR * end:.2g} s" if end < 1 / 60 else minutes(end) for end in ends]
    return texts[0] if texts[0] == texts[1] else " to ".join(texts)


def minutes(hours: float) -> str:
    """Hours below two as minutes, others as hours."""
    if hours < 1.995:
        return f"{60 * hours:.0f} min"
    return f"{hours:,.1f} h" if hours < 99.95 else f"{hours:,.0f} h"


def hours_of(flops: float, card: str, utilisation: Range, cards: int = 1) -> Range:
    """flops / (cards · peak · utilisation), in hours, at the higher and the lower utilisation.

    Raises UserError for a share outside 0 and 1, and for a card that is not known.
    """
    low, high = check_range(utilisation, "utilisation", 1)
    if not low:
        raise UserError(
            "utilisation begins at 0, at which nothing is ever done; give a share above."
        )
    if not is_whole(cards) or not 1 <= cards <= MOST_CARDS:
        raise UserError(f"cards is {cards!r}; give a whole number from 1 to {MOST_CARDS:,}.")
    at_peak = flops / (cards * peak_of(card)) / HOUR
    return at_peak / high, at_peak / low


def energy(hours: Range | float, watts: float, pue: Range = PUE) -> Range:
    """hours · watts · PUE / 1000, in kWh: the fewest hours with the lowest PUE, and the most.

    watts: of all cards, as if they drew that all the time, which is more than they do; PUE: what a
    data centre takes per watt of its machines, from 1 on.
    """
    if not is_number(watts) or watts <= 0:
        raise UserError(f"watts is {watts!r}; give a number above 0.")
    low, high = check_range(pue, "pue")
    if low < 1:
        raise UserError(
            f"pue begins at {low:g}; it is 1 where nothing is lost, and more elsewhere."
        )
    ends = check_range(hours if isinstance(hours, tuple) else (hours, hours), "hours")
    return ends[0] * watts * low / 1000, ends[1] * watts * high / 1000


def estimate(
    source: "Source",
    rows: int = 1000,
    epochs: float = 3,
    card: str = "A100 80",
    cards: int = 1,
    *,
    utilisation: Range | None = None,
    prices: Prices | Range | None = None,
    **options: Any,
) -> Estimate:
    """Hours, money and energy of a training on `rows` rows.

    source, options: as for `train_flops`: method, rank, targets, seq (tokens of each row),
    checkpointing. cards: they share the work evenly, at the same utilisation. utilisation: (lowest,
    highest) share of the peak, by default `usual_utilisation()`. prices: a table of `read_prices`,
    or (lowest, highest) per hour and card. Raises UserError for what cannot be, by its name.
    """
    check_rows(rows, epochs)
    utilisation = usual_utilisation() if utilisation is None else utilisation

    # one row after the other: how many go at once changes no FLOPs
    step = memory.make_step(read_step(source, **{"method": "lora", **options}), batch=1)
    flops = train_flops(step).total * rows * epochs
    hours = hours_of(flops, card, utilisation, cards)

    # what an hour of a card costs, and draws
    price, currency = price_of(card, prices)
    money = None
    if price is not None:
        money = hours[0] * cards * price.low, hours[1] * cards * price.high
    kwh = energy(hours, cards * memory.cards()[card]["watts"])
    note = does_not_fit(step, card, cards)
    how = utilisation, hours, money, kwh, price, currency, note
    return Estimate(step, rows, epochs, flops, card, cards, *how)


def check_rows(rows: int, epochs: float) -> None:
    """Refuse rows that are not a whole number, and epochs that are none."""
    if not is_whole(rows) or not 1 <= rows <= MOST_ROWS:
        raise UserError(f"rows is {rows!r}; give a whole number from 1 to {MOST_ROWS:,}.")
    if not is_number(epochs) or not 0 < epochs <= MOST_EPOCHS:
        raise UserError(f"epochs is {epochs!r}; give a number above 0, up to {MOST_EPOCHS:,}.")


def price_of(card: str, prices: Prices | Range | None) -> tuple[Price | None, str]:
    """(what an hour of a card costs, currency); None where the table does not name the card."""
    table = read_prices() if prices is None else prices
    if not isinstance(table, Prices):
        low, high = check_range(table, "the price per hour", MOST_PRICE)
        return Price("card hour", card, low, high, "today", "given with the question"), "USD"
    known = card in table.names("card hour")
    return (table.of("card hour", card) if known else None), table.currency


def does_not_fit(step: "memory.Step", card: str, cards: int) -> str:
    """That a step of one row needs more memory than all cards have together; "" if it does not."""
    peak, usable = memory.predict(step).peak, cards * memory.usable_bytes(card)
    if peak <= usable:
        return ""
    have = f"{cards} × {card} {'has' if cards == 1 else 'have'}"
    return (
        f"a step of one row takes {gibibytes(peak, 1)} GiB, and {have} {gibibytes(usable, 1)}: "
        "more cards, another method, or checkpointing"
    )


@dataclass(frozen=True, repr=False)
class ReplyTime(Result):
    """How long an answer takes at least, in seconds: reading the prompt, and writing the reply."""

    name: str
    card: str
    work: Work
    reading: float
    per_token: float  # of the reply
    replied: int

    @property
    def seconds(self) -> float:
        """reading + per_token · (replied − 1): the first token comes with the prompt."""
        return self.reading + self.per_token * max(0, self.replied - 1)

    def table(self) -> TableParts:
        """Milliseconds, part by part."""
        rows = [
            ("reading the prompt, all of it at once", f"{1000 * self.reading:.1f} ms"),
            ("each further token of the reply", f"{1000 * self.per_token:.1f} ms"),
            ("the answer", f"{1000 * self.seconds:.1f} ms"),
        ]
        return f"{self.name} on {self.card}, {self.work.how}, at least", ("", "time"), rows


def reply_seconds(
    source: "Source",
    prompt: int,
    reply: int,
    card: str,
    *,
    utilisation: float = 1.0,
    bits: float = 16,
) -> ReplyTime:
    """How long one answer takes at least: arithmetic for the prompt, bandwidth for the reply.

    A prompt is one large product, and takes FLOPs / (peak · utilisation). A reply is written token
    by token, and for each all weights are read once: bytes / bandwidth, which is more than its
    FLOPs take. bits: per weight of the blocks and the head. For one request alone; many at once
    share the reading of the weights, so that each costs less, and none is answered sooner.
    """
    if not is_number(utilisation) or not 0 < utilisation <= 1:
        raise UserError(f"utilisation is {utilisation!r}; give a share above 0, up to 1.")
    if not is_number(bits) or not 0 < bits <= 8 * DTYPES["float32"].width:
        raise UserError(f"bits is {bits!r}; give a number above 0, up to 32.")
    work = answer_flops(source, prompt, reply)
    read = answer_flops(source, prompt, 1).total / (peak_of(card) * utilisation)
    sizes = read_step(source, seq=1).sizes
    weights = sum(d_out * d_in for d_out, d_in in sizes.sides.values()) * sizes.layers
    weights += sizes.vocab * sizes.hidden
    bandwidth = 1e9 * memory.cards()[card]["gb_per_second"]
    return ReplyTime(work.name, card, work, read, weights * bits / 8 / bandwidth, reply)
