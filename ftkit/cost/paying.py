"""When has tuning paid for itself? Break-even by arithmetic, from prices that are given.

    break_even(prompted, tuned, spent)     calls until the shorter prompt has paid for the tuning
    cost_of_call(prompt, reply, prices)    one call, from its tokens and prices per million
    tuning_by_api(tokens, epochs, price)   a tuning at a price per million training tokens
    tuning_by_renting(hours, price, setup) the same on a GPU by the hour
    rows_until_renting(…)                  rows from which renting is the cheaper of the two

No price is looked up here; dated ones are in `prices.py`. An hour of work, a test set and a model
that must be tuned again when its base is retired cost more than tokens; they are the reader's to
add. Notebooks 06 and 14.
"""

import math
from dataclasses import dataclass

from ..core.errors import UserError, is_number
from ..core.results import Result, TableParts, about

MILLION = 1_000_000  # tokens that a price is given for
PER_DAY = (1_000, 100_000, 10_000_000)  # calls


def check_amounts(**amounts: float) -> None:
    """Refuse what is no number from 0 on, by its name."""
    for name, value in amounts.items():
        if not is_number(value) or value < 0:
            raise UserError(f"{name} is {value!r}; give a number from 0 on.")


def cost_of_call(prompt: float, reply: float, prices: tuple[float, float]) -> float:
    """prompt · p₁ + reply · p₂, for tokens of a prompt and a reply at prices per million tokens."""
    if not isinstance(prices, tuple | list) or len(prices) != 2:
        raise UserError(f"prices is {prices!r}; give two, of the prompt and of the reply.")
    for_prompt, for_reply = prices
    check_amounts(prompt=prompt, reply=reply, prompt_price=for_prompt, reply_price=for_reply)
    return (prompt * for_prompt + reply * for_reply) / MILLION


def tuning_by_api(tokens: float, epochs: float, price: float) -> float:
    """tokens · epochs · price: a tuning that is paid by the million training tokens."""
    check_amounts(tokens=tokens, epochs=epochs, price=price)
    return tokens * epochs * price / MILLION


def tuning_by_renting(hours: float, price: float, setup: float = 0) -> float:
    """hours · price + setup: a tuning on a rented GPU; setup: what getting it to run has cost."""
    check_amounts(hours=hours, price=price, setup=setup)
    return hours * price + setup


def rows_until_renting(api_row: float, rented_row: float, setup: float) -> float:
    """setup / (api − rented): rows from which renting costs less than an API; infinite if never.

    api_row, rented_row: what tuning on one row costs each way; setup: what renting costs before the
    first row, such as hours of work. 0 where renting has no set-up and is not dearer.
    """
    check_amounts(api_row=api_row, rented_row=rented_row, setup=setup)
    saved = api_row - rented_row
    if saved <= 0:
        return 0.0 if not saved and not setup else math.inf
    return setup / saved


@dataclass(frozen=True, repr=False)
class BreakEven(Result):
    """After how many calls a tuning that cost `spent` has paid for itself."""

    prompted: float  # cost of a call
    tuned: float
    spent: float

    @property
    def calls(self) -> int | None:
        """⌈spent / (prompted − tuned)⌉; None where a tuned call is no cheaper."""
        saved = self.prompted - self.tuned
        return math.ceil(self.spent / saved) if saved > 0 else None

    def days(self, calls_per_day: float) -> float:
        """Days until then; infinite where it never is."""
        check_amounts(calls_per_day=calls_per_day)
        if self.calls is None or not calls_per_day:
            return math.inf
        return self.calls / calls_per_day

    def table(self) -> TableParts:
        """The calls, and the days at three volumes."""
        rows = [(f"at {n:,} calls per day", self.in_words(self.days(n))) for n in PER_DAY]
        head = "never: a tuned call is no cheaper"
        if self.calls is not None:
            head = f"paid back after {self.calls:,} calls"
        return f"Spent {about(self.spent)}: {head}", ("volume", "paid back after"), rows

    def in_words(self, days: float) -> str:
        """Days as people say them."""
        if math.isinf(days):
            return "never"
        if days < 1:
            return "less than a day"
        return f"≈{days:,.0f} days" if days >= 10 else f"{about(days)} days"


def break_even(prompted: float, tuned: float, spent: float) -> BreakEven:
    """Calls until a tuning that cost `spent` has paid for itself.

    prompted, tuned: what a call costs before and after. Raises UserError for amounts below 0.
    """
    check_amounts(prompted=prompted, tuned=tuned, spent=spent)
    return BreakEven(prompted, tuned, spent)
