"""Requests as production sees them, day by day, drawn from the world, with a shift planted in them.

    draw_tickets(n, change, seed)     tickets with their right answers, usual or changed
    Pool.of(rows, right, tokens)      what a monitor can see of each of them, and was it right?
    simulate(usual, changed, shift)   many streams at once: `Stream`, arrays (streams, days, a day)
    Shift(kind, size, day)            what changes, by how much, from which day on

Inputs are drawn from real rows; latency, feedback and who is asked are simulated by the numbers in
`Users` and `Machine`, which claim nothing about anybody's users. What rings is in `alarms`, when
and how often falsely in `monitoring`. Notebook 15.
"""

import json
import random
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from .. import data, world
from ..core.errors import UserError, is_number, is_whole, nearest

if TYPE_CHECKING:
    from datasets import Dataset

USUAL = "usual"
WORD = re.compile(r"\d+|[^\W\d_]+")


def as_they_were(rng: random.Random, text: str, fields: dict) -> tuple[str, dict]:
    """A ticket as training had them."""
    return text, fields


def with_long_orders(rng: random.Random, text: str, fields: dict) -> tuple[str, dict]:
    """The same ticket in a company whose order numbers now have six digits."""
    order = rng.randint(100_000, 999_999)
    return text.replace(str(fields["order"]), str(order)), {**fields, "order": order}


def with_new_products(rng: random.Random, text: str, fields: dict) -> tuple[str, dict]:
    """The same ticket about a product with an invented name, such as Dunix."""
    item = world.entities.new_name("thing", rng, "test")
    return text.replace(fields["item"], item), {**fields, "item": item}


# What may have changed in the world outside; the model is the same.
CHANGES: dict[str, Callable[[random.Random, str, dict], tuple[str, dict]]] = {
    USUAL: as_they_were,
    "new wordings": as_they_were,  # from the held-out side of the sentence forms
    "longer order numbers": with_long_orders,
    "new products": with_new_products,
}


def draw_tickets(n: int, change: str = USUAL, seed: int = 0) -> "Dataset":
    """`n` different tickets as chat rows, each with the one JSON object that answers it.

    change: one of `CHANGES`. Raises UserError for another, and unless n is a whole number from 1.
    """
    if change not in CHANGES:
        raise UserError(
            f"there is no change {change!r}; there are {', '.join(CHANGES)}."
            f"{nearest(change, CHANGES)}"
        )
    if not is_whole(n) or n < 1:
        raise UserError(f"n is {n!r}; give a whole number of tickets from 1 on.")
    rng = random.Random(f"requests {change} {seed}")
    wordings = "test" if change == "new wordings" else "train"
    rows: dict[str, dict] = {}
    while len(rows) < n:
        text, fields = CHANGES[change](rng, *world.turns.ticket(rng, "train", wordings))
        prompt = world.tasks.TICKET_PROMPT.format(text=text)
        turn = world.turns.Turn(prompt, json.dumps(fields))
        rows.setdefault(prompt, world.tasks.chat_row(turn))
    return data.to_dataset(list(rows.values()))


def forms_of(text: str) -> list[str]:
    """The words of a text by their form: a number by its digits, a name by its capital letter."""
    return [form_of(word) for word in WORD.findall(text)]


def form_of(word: str) -> str:
    """A word as it stands in small letters; "9999" for a number of four digits, "Xx" for a name."""
    if word.isdecimal():
        return "9" * len(word)
    return "Xx" if word[0].isupper() else word


@dataclass(frozen=True)
class Pool:
    """Requests to draw streams from: of each what a monitor sees, and whether it was answered well.

    features: {name: (n,)}, what can be seen without any right answer; right: (n,) true where the
    reply was right; tokens: (n,) of prompt and reply together.
    """

    features: Mapping[str, np.ndarray]
    right: np.ndarray
    tokens: np.ndarray

    def __len__(self) -> int:
        return len(self.right)

    def beside(self, other: "Pool") -> "Pool":
        """Both in one, this one first."""
        names = {n: np.concatenate([self.features[n], other.features[n]]) for n in self.features}
        right, tokens = (
            np.concatenate([mine, theirs])
            for mine, theirs in ((self.right, other.right), (self.tokens, other.tokens))
        )
        return Pool(names, right, tokens)

    @classmethod
    def of(
        cls,
        rows: "Dataset",
        right: Sequence[bool] | float,
        tokens: Sequence[int] | None = None,
        known: Sequence[str] = (),
        seed: int = 0,
    ) -> "Pool":
        """The pool of chat rows whose last message is the answer.

        right: of every row, as an `evaluate.Score.exact` has it, or a share that is drawn. tokens:
        of every row; by default a quarter of its characters. known: texts of before, whose words
        are not new. Raises UserError where the numbers of rows differ.
        """
        chats = rows["messages"]
        texts = [chat[-2]["content"] for chat in chats]
        if is_number(right):
            hits = np.random.default_rng(seed).random(len(texts)) < right
        else:
            hits = np.asarray(right, bool)  # type: ignore  # a sequence
        sizes = tokens or [sum(len(m["content"]) for m in chat) // 4 for chat in chats]
        if not len(texts) == len(hits) == len(sizes):
            raise UserError(
                f"there are {len(texts)} rows, {len(hits)} marks of right or wrong and "
                f"{len(sizes)} counts of tokens; give one for each row."
            )
        vocabulary = {form for text in known or texts for form in forms_of(text)}
        return cls(features_of(texts, vocabulary), hits, np.asarray(sizes, float))


def features_of(texts: Sequence[str], vocabulary: set[str]) -> dict[str, np.ndarray]:
    """What is seen of each request at no cost: words, letters, digits, names, new word forms."""
    forms = [forms_of(text) for text in texts]
    columns = {
        "words": [len(row) for row in forms],
        "letters per word": [statistics.fmean(map(len, WORD.findall(t) or [""])) for t in texts],
        "digits": [sum(map(str.isdecimal, text)) for text in texts],
        "names": [row.count("Xx") for row in forms],
        "new words": [sum(form not in vocabulary for form in row) for row in forms],
    }
    return {name: np.asarray(column, float) for name, column in columns.items()}


@dataclass(frozen=True)
class Users:
    """How often people press a thumb, by whether the answer was right. Assumed, not measured."""

    down_if_wrong: float = 0.25
    down_if_right: float = 0.02
    up_if_right: float = 0.08


@dataclass(frozen=True)
class Machine:
    """Milliseconds of a request, log-normal around start + per_token · tokens. Assumed as well."""

    start: float = 40.0
    per_token: float = 2.0
    spread: float = 0.25  # standard deviation of the logarithm
    slow: float = 0.01  # share of requests that wait for another
    times: float = 3.0  # and how many times as long these take


KINDS = ("inputs", "quality", "latency", "tail", "tokens", "mood")


@dataclass(frozen=True)
class Shift:
    """What changes from a day on, the days counted from 0.

    kind: "inputs": a share `size` of the requests is of the changed pool; "quality": so many of the
    right answers become wrong, the requests as they were; "latency": all take 1 + size times as
    long; "tail": a share takes five times as long; "tokens": a share is three times as long;
    "mood": people press thumbs-down 1 + size times as often, and nothing else has changed.
    """

    kind: str
    size: float
    day: int = 30

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UserError(
                f"kind is {self.kind!r}; give one of {', '.join(KINDS)}.{nearest(self.kind, KINDS)}"
            )
        share = self.kind not in ("latency", "mood")
        if not is_number(self.size) or self.size < 0 or (share and self.size > 1):
            most = "a share from 0 to 1" if share else "a number from 0 on"
            raise UserError(f"size is {self.size!r}; for {self.kind} give {most}.")
        if not is_whole(self.day) or self.day < 0:
            raise UserError(f"day is {self.day!r}; give a whole number from 0 on.")


@dataclass(frozen=True)
class Scene:
    """How much of everything: streams at once, days of each, requests a day, and who is asked."""

    days: int = 60
    per_day: int = 60
    judged: float = 0.05  # share of requests whose answer is held against a gold
    users: Users = field(default_factory=Users)
    machine: Machine = field(default_factory=Machine)

    def __post_init__(self) -> None:
        for name, count in (("days", self.days), ("per_day", self.per_day)):
            if not is_whole(count) or count < 1:
                raise UserError(f"{name} is {count!r}; give a whole number from 1 on.")
        if not is_number(self.judged) or not 0 < self.judged <= 1:
            raise UserError(
                f"judged is {self.judged!r}; give a share of the requests above 0 and up to 1."
            )


@dataclass(frozen=True)
class Stream:
    """Streams side by side: every array is (streams, days, requests a day).

    thumbs: 1 up, −1 down, 0 none; judged: whether a gold is known, so that `right` may be looked
    at; features: as in `Pool`.
    """

    features: Mapping[str, np.ndarray]
    right: np.ndarray
    judged: np.ndarray
    thumbs: np.ndarray
    latency: np.ndarray
    tokens: np.ndarray

    @property
    def days(self) -> int:
        """Days of each stream."""
        return self.right.shape[1]


def simulate(
    usual: Pool,
    changed: Pool | None = None,
    shift: Shift | None = None,
    streams: int = 1,
    scene: Scene | None = None,
    seed: int = 0,
) -> Stream:
    """Draw streams: requests of the usual pool and, from the day of the shift on, what it changes.

    The same seed gives the same streams. Raises UserError for a shift of the inputs without a
    changed pool, and where there is nothing to draw.
    """
    scene = scene or Scene()
    check_asked(changed, shift, streams, scene)
    rng = np.random.default_rng([seed, streams])
    size = (streams, scene.days, scene.per_day)
    hit = hits_of(rng, shift, size)

    # which requests, and what they hold
    both = usual.beside(changed) if changed else usual
    inputs = hit if shift and shift.kind == "inputs" else np.zeros(size, bool)
    place = rng.integers(0, len(usual), size)
    other = rng.integers(0, max(len(both) - len(usual), 1), size)
    place = np.where(inputs, len(usual) + other, place)
    features = {name: column[place] for name, column in both.features.items()}
    right, tokens = both.right[place], both.tokens[place]

    # what the shift does to the answers
    right = right & ~hit if shift and shift.kind == "quality" else right
    tokens = np.where(hit, 3 * tokens, tokens) if shift and shift.kind == "tokens" else tokens
    return Stream(
        features,
        right,
        rng.random(size) < scene.judged,
        press_thumbs(rng, right, scene.users, shift),
        measure_latency(rng, tokens, scene.machine, shift, hit),
        tokens,
    )


def check_asked(changed: Pool | None, shift: Shift | None, streams: int, scene: Scene) -> None:
    """Refuse a shift without a pool to draw from, or behind the last day, and no streams."""
    if shift and shift.day >= scene.days:
        raise UserError(
            f"day is {shift.day}, and the stream has {scene.days} days, counted from 0; give a day "
            f"up to {scene.days - 1}."
        )
    if shift and shift.kind == "inputs" and changed is None:
        raise UserError("a shift of the inputs draws from a changed pool; give one.")
    if not is_whole(streams) or streams < 1:
        raise UserError(f"streams is {streams!r}; give a whole number from 1 on.")


def hits_of(
    rng: np.random.Generator, shift: Shift | None, size: tuple[int, int, int]
) -> np.ndarray:
    """Which requests a shift touches, where it touches a share of them."""
    drawn = rng.random(size)
    if shift is None or shift.kind in ("latency", "mood"):
        return np.zeros(size, bool)
    drawn[:, : shift.day] = 1
    return drawn < shift.size


def press_thumbs(
    rng: np.random.Generator, right: np.ndarray, users: Users, shift: Shift | None
) -> np.ndarray:
    """What people press: 1 up, −1 down, 0 nothing."""
    down = np.where(right, users.down_if_right, users.down_if_wrong)
    if shift and shift.kind == "mood":
        down[:, shift.day :] *= 1 + shift.size
    drawn = rng.random(right.shape)
    up = right & (drawn > 1 - users.up_if_right)
    return up.astype(int) - (drawn < down)


def measure_latency(
    rng: np.random.Generator,
    tokens: np.ndarray,
    machine: Machine,
    shift: Shift | None,
    hit: np.ndarray,
) -> np.ndarray:
    """Milliseconds of each request."""
    middle = machine.start + machine.per_token * tokens
    times = np.where(rng.random(tokens.shape) < machine.slow, machine.times, 1.0)
    if shift and shift.kind == "latency":
        times[:, shift.day :] *= 1 + shift.size
    if shift and shift.kind == "tail":
        times = np.where(hit, 5 * times, times)
    return middle * times * np.exp(machine.spread * rng.standard_normal(tokens.shape))
