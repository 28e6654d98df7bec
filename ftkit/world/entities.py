"""Who and what lives in the micro-world, and which names and word pairs training never sees.

    World(seed)                  people, countries and things with their facts
    new_name(kind, rng, split)   an invented name from the training or the held-out side
    draw(make, split)            any string from one of the two sides

A `World` is made from one seed with `random.Random` alone, so the same seed gives the same world on
any machine. How a fact is asked for in a chat stands in `turns.py` (notebooks 00 and 10).
"""

import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from . import lexicon

Split = Literal["train", "test"]
ATTRIBUTES = {"person": lexicon.PERSON, "country": lexicon.COUNTRY, "thing": lexicon.THING}
INVENTED = {"city": "city", "capital": "city", "river": "river"}  # attribute: kind of its values

# What invented words are made of.
ONSETS = "b br c d dr f g gr h j k l m n p pr r s st t tr v w z".split()
VOWELS = "a e i o u ai ea".split()
CODAS = ["", "", "", "n", "r", "l", "s", "m", "t"]
SUFFIX = {
    "city": ["burg", "ton", "ville", "port", "field", "mouth"],
    "country": ["land", "ia", "stan", "ova"],
    "river": ["a", "o", "us"],
    "thing": ["ix", "ax", "ex"],
}


def is_held_out(text: str, one_in: int = 8) -> bool:
    """True for a fixed 1/`one_in` of all strings: the corpus never uses one as what is to learn."""
    return zlib.crc32(text.encode()) % one_in == 0


def draw(make: Callable[[], str], split: Split) -> str:
    """The first of `make()`'s strings that lies in `split`.

    The held-out eighth is "test", the rest "train".
    """
    while is_held_out(text := make()) != (split == "test"):
        pass
    return text


def invent_word(rng: random.Random, syllables: int) -> str:
    """A pronounceable capitalised word: about 10³ values for one syllable, 10⁶ for 2, 10⁹ for 3."""
    word = ""
    for _ in range(syllables):
        word += rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS)
    return word.capitalize()


def new_name(kind: str, rng: random.Random, split: Split) -> str:
    """An invented name of a person ("Vezan Tolber"), city, country, river or thing from `split`."""

    def make() -> str:
        begin = invent_word(rng, rng.randint(1, 2))
        if kind in ("person", "name"):
            return f"{begin} {invent_word(rng, 2)}"
        return begin + rng.choice(SUFFIX[kind])

    return draw(make, split)


def choose_wording(rng: random.Random, forms: list[str], split: Split) -> str:
    """One of `forms`: the last one for "test", any other for "train"."""
    return forms[-1] if split == "test" else rng.choice(forms[:-1])


@dataclass(frozen=True)
class Fact:
    """One fact: `entity` (a `kind`) has `value` for `attribute`.

    asked: training also asks for it; else it is only stated.
    """

    kind: str
    entity: str
    attribute: str
    value: str
    asked: bool

    def state(self, rng: random.Random, split: Split = "train") -> str:
        """The fact as a sentence."""
        return self.say(choose_wording(rng, lexicon.STATEMENTS[self.attribute], split))

    def ask(self, rng: random.Random, split: Split = "train") -> str:
        """The question that the fact answers."""
        return self.say(choose_wording(rng, lexicon.QUESTIONS[self.attribute], split))

    def say(self, form: str) -> str:
        """`form` with the holes {n}, {v} and {a} filled; a thing gets its article."""
        name = f"the {self.entity}" if self.kind == "thing" else self.entity
        text = form.format(n=name, v=self.value, a=self.attribute)
        return text[0].upper() + text[1:]


def make_facts(
    kind: str, entity: str, rng: random.Random, split: Split, *, asked: bool = True
) -> list[Fact]:
    """Every attribute of one entity, with values drawn at random."""
    values = {attribute: draw_value(attribute, rng, split) for attribute in ATTRIBUTES[kind]}
    return [Fact(kind, entity, name, value, asked) for name, value in values.items()]


def draw_value(attribute: str, rng: random.Random, split: Split) -> str:
    """A value that an attribute may have: an invented name, or one of its list."""
    if attribute in INVENTED:
        return new_name(INVENTED[attribute], rng, split)
    return rng.choice(lexicon.VALUES[attribute])


@dataclass(frozen=True)
class World:
    """The seeded world: how many people, countries and things it has, and their facts."""

    seed: int = 0
    people: int = 48
    countries: int = 24
    things: int = 24

    @cached_property
    def facts(self) -> list[Fact]:
        """All facts, in a fixed order.

        People past three quarters of the list are stated in biographies and never asked for.
        """
        rng = random.Random(f"world {self.seed}")
        facts: list[Fact] = []
        names: set[str] = set()
        counts = {"person": self.people, "country": self.countries, "thing": self.things}
        for kind, count in counts.items():
            for i in range(count):
                # a name that nobody bears yet
                while (entity := new_name(kind, rng, "train")) in names:
                    pass
                names.add(entity)
                asked = kind != "person" or i < count * 3 // 4
                facts += make_facts(kind, entity, rng, "train", asked=asked)
        return facts

    @cached_property
    def asked(self) -> list[Fact]:
        """The facts that training also asks for."""
        return [fact for fact in self.facts if fact.asked]

    @cached_property
    def stated_only(self) -> list[Fact]:
        """The facts that only biographies state."""
        return [fact for fact in self.facts if not fact.asked]

    @cached_property
    def biographies(self) -> dict[str, list[Fact]]:
        """Facts grouped by entity."""
        groups: dict[str, list[Fact]] = {}
        for fact in self.facts:
            groups.setdefault(fact.entity, []).append(fact)
        return groups

    @cached_property
    def reversible(self) -> list[Fact]:
        """Facts whose value names one entity, so that they can be asked backwards.

        They are capitals and home cities.
        """
        return [fact for fact in self.asked if fact.attribute in lexicon.REVERSED]

    def reverse_trained(self, fact: Fact) -> bool:
        """Half of the reversible facts are also asked backwards in training.

        The other half shows the reversal curse.
        """
        return zlib.crc32(fact.value.encode()) % 2 == 0
