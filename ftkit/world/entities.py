"""Who and what lives in the micro-world, and which names, numbers and word pairs training never
sees.

A `World` is made from one seed with `random.Random` alone, so the same seed gives the same world on
any machine.
"""

import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from . import lexicon

Split = Literal["train", "test"]
ONSETS = "b br c d dr f g gr h j k l m n p pr r s st t tr v w z".split()
VOWELS = "a e i o u ai ea".split()
CODAS = ["", "", "", "n", "r", "l", "s", "m", "t"]
SUFFIX = {
    "city": ["burg", "ton", "ville", "port", "field", "mouth"],
    "country": ["land", "ia", "stan", "ova"],
    "river": ["a", "o", "us"],
    "thing": ["ix", "ax", "ex"],
}


def held_out(text: str, one_in: int = 8) -> bool:
    """True for the fixed 1/`one_in` of all strings that the corpus never uses where `text` would be
    the thing to learn.
    """
    return zlib.crc32(text.encode()) % one_in == 0


def draw(make: Callable[[], str], split: Split) -> str:
    """The first of `make()`'s strings that lies in `split`: the held-out eighth for "test", the
    rest for "train".
    """
    while held_out(text := make()) != (split == "test"):
        pass
    return text


def syllables(rng: random.Random, n: int) -> str:
    """A pronounceable capitalised word of `n` syllables: about 10³ values for n = 1, 10⁶ for 2, 10⁹
    for 3.
    """
    return "".join(
        rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(n)
    ).capitalize()


def new_name(kind: str, rng: random.Random, split: Split) -> str:
    """An invented name of a person ("Vezan Tolber"), city, country, river or thing from `split`."""
    if kind in ("person", "name"):
        return draw(lambda: f"{syllables(rng, rng.randint(1, 2))} {syllables(rng, 2)}", split)
    return draw(lambda: syllables(rng, rng.randint(1, 2)) + rng.choice(SUFFIX[kind]), split)


def wording(rng: random.Random, forms: list[str], split: Split) -> str:
    """One of `forms`: the last one for "test", any other for "train"."""
    return forms[-1] if split == "test" else rng.choice(forms[:-1])


@dataclass(frozen=True)
class Fact:
    """One fact: `entity` (a `kind`) has `value` for `attribute`; `asked` facts also occur as
    questions in training.
    """

    kind: str
    entity: str
    attribute: str
    value: str
    asked: bool

    def state(self, rng: random.Random, split: Split = "train") -> str:
        """The fact as a sentence."""
        return self.say(wording(rng, lexicon.STATEMENTS[self.attribute], split))

    def ask(self, rng: random.Random, split: Split = "train") -> str:
        """The question that the fact answers."""
        return self.say(wording(rng, lexicon.QUESTIONS[self.attribute], split))

    def say(self, form: str) -> str:
        """`form` with the holes {n}, {v} and {a} filled; a thing gets its article."""
        name = f"the {self.entity}" if self.kind == "thing" else self.entity
        text = form.format(n=name, v=self.value, a=self.attribute)
        return text[0].upper() + text[1:]


def make_facts(
    kind: str, entity: str, rng: random.Random, split: Split, asked: bool = True
) -> list[Fact]:
    """Every attribute of one entity, with values drawn at random."""
    attributes = {"person": lexicon.PERSON, "country": lexicon.COUNTRY, "thing": lexicon.THING}[
        kind
    ]
    invented = {"city": "city", "capital": "city", "river": "river"}
    return [
        Fact(
            kind,
            entity,
            a,
            new_name(invented[a], rng, split) if a in invented else rng.choice(lexicon.VALUES[a]),
            asked,
        )
        for a in attributes
    ]


@dataclass(frozen=True)
class World:
    """The seeded world: `people` (a quarter of them in biographies only), `countries` and `things`
    with their facts.
    """

    seed: int = 0
    people: int = 48
    countries: int = 24
    things: int = 24

    @cached_property
    def facts(self) -> list[Fact]:
        """All facts, in a fixed order. People past three quarters of the list are stated in
        biographies, never asked.
        """
        rng = random.Random(f"world {self.seed}")
        counts = {"person": self.people, "country": self.countries, "thing": self.things}
        facts: list[Fact] = []
        names: set[str] = set()
        for kind, count in counts.items():
            for i in range(count):
                while (entity := new_name(kind, rng, "train")) in names:
                    pass
                names.add(entity)
                facts += make_facts(
                    kind, entity, rng, "train", asked=kind != "person" or i < count * 3 // 4
                )
        return facts

    @cached_property
    def asked(self) -> list[Fact]:
        """The facts that training also asks for."""
        return [f for f in self.facts if f.asked]

    @cached_property
    def stated_only(self) -> list[Fact]:
        """The facts that only biographies state."""
        return [f for f in self.facts if not f.asked]

    @cached_property
    def biographies(self) -> dict[str, list[Fact]]:
        """Facts grouped by entity."""
        groups: dict[str, list[Fact]] = {}
        for fact in self.facts:
            groups.setdefault(fact.entity, []).append(fact)
        return groups

    @cached_property
    def reversible(self) -> list[Fact]:
        """Facts whose value names one entity (capitals and home cities), so that they can be asked
        backwards.
        """
        return [f for f in self.asked if f.attribute in lexicon.REVERSED]

    def reverse_trained(self, fact: Fact) -> bool:
        """Half of the reversible facts are also asked backwards in training; the other half shows
        the reversal curse.
        """
        return zlib.crc32(fact.value.encode()) % 2 == 0
