"""N customers: N models, or one base and N adapters? Bytes on disk, cards, and money per month.

    compare_storing(source, n, …)     both ways side by side: a `Storing`

Sizes are exact: weights of the base by `lora.count`, an adapter's file to the byte. A card that
serves holds its weights and room for the tokens that are under way, whose keys and values are
counted (`token_bytes`). Time per answer is notebook 13's; here each card is taken to be busy enough
for whoever lives on it. Notebook 14.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import lora, memory
from ..core.errors import UserError, is_whole
from ..core.results import Result, TableParts, decimal_bytes
from ..core.session import DTYPES
from .estimates import price_of
from .flops import read_step
from .prices import Prices, Range, in_money

if TYPE_CHECKING:
    from .flops import Source

HOURS_A_MONTH = 730
TOKENS_UNDER_WAY = 65_536  # for which a serving card keeps keys and values


@dataclass(frozen=True, repr=False)
class Storing(Result):
    """N tuned models stored and served, each by itself or as adapters on one base; bytes."""

    name: str
    n: int
    base: int  # of a model in 16 bits
    adapter: int  # of an adapter's file
    context: int  # room for tokens under way, per card
    card: str
    cards: tuple[int, int]  # that N models take, and one base with N adapters
    monthly: tuple[Range, Range] | None
    currency: str

    @property
    def models(self) -> int:
        """n · base, in bytes."""
        return self.n * self.base

    @property
    def adapters(self) -> int:
        """base + n · adapter, in bytes."""
        return self.base + self.n * self.adapter

    @property
    def ratio(self) -> float:
        """models / adapters: how many times as much disk N models take."""
        return self.models / self.adapters

    def table(self) -> TableParts:
        """Disk, cards and a month's rent of both ways."""
        rows = [
            ("one of them", decimal_bytes(self.base), decimal_bytes(self.adapter)),
            ("on disk", f"{self.models / 1e9:,.1f} GB", f"{self.adapters / 1e9:,.1f} GB"),
            (f"cards of {self.card}", f"{self.cards[0]:,}", f"{self.cards[1]:,}"),
        ]
        if self.monthly is not None:
            alone, shared = (in_money(amount, self.currency) for amount in self.monthly)
            rows.append(("rent per month", alone, shared))
        heads = ("", f"{self.n:,} models", f"one base, {self.n:,} adapters")
        return f"{self.name}, tuned {self.n:,} times", heads, rows


def token_bytes(step: "memory.Step") -> int:
    """Bytes of the keys and values that a token leaves in all layers, in 16 bits."""
    return 2 * step.sizes.key * step.sizes.layers * DTYPES["bfloat16"].width


def compare_storing(
    source: "Source",
    n: int,
    r: int = 16,
    targets: str | list[str] = "all-linear",
    card: str = "A100 80",
    *,
    prices: Prices | Range | None = None,
    tokens: int = TOKENS_UNDER_WAY,
) -> Storing:
    """Store and serve n tuned models in 16 bits: each a model, or adapters on one base.

    tokens: that each card keeps keys and values for. A model that is too large for a card is
    spread over several. prices: as for `estimate`. Raises UserError for what cannot be.
    """
    for name, value in {"n": n, "tokens": tokens}.items():
        if not is_whole(value) or value < 1:
            raise UserError(f"{name} is {value!r}; give a whole number from 1 on.")
    counted = lora.count(source, r, targets)
    width = DTYPES["bfloat16"].width
    base, adapter = counted.base * width, counted.adapter_bytes("bfloat16")
    context = tokens * token_bytes(read_step(source, seq=1))

    # how many live on one card, or how many cards one takes
    usable = memory.usable_bytes(card)
    per_card = (usable - context) // base
    each = n if per_card < 1 else math.ceil(n / per_card)
    models = each if per_card >= 1 else n * math.ceil((base + context) / usable)
    shared = math.ceil((base + n * adapter + context) / usable)
    cards = (models, shared)

    # a month of them
    price, currency = price_of(card, prices)
    monthly = None
    if price is not None:
        rent = [(HOURS_A_MONTH * k * price.low, HOURS_A_MONTH * k * price.high) for k in cards]
        monthly = (rent[0], rent[1])
    return Storing(counted.name, n, base, adapter, context, card, cards, monthly, currency)
