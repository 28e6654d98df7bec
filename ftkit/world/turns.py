"""One function per skill: it draws a question and its only right answer.

    copy(world, rng, split), reverse(…), count(…), …    a Turn(prompt, answer, system)
    BY_NAME[skill](world, rng, split)                   the same by the skill's name
    unknown(world, rng, split)                          a question about a stranger
    ticket(rng, split)                                  a support ticket and its fields

The corpus and the probe suites call the same functions, with `split="train"` and `split="test"`.
Held out are names, numbers and word sequences (`entities.is_held_out`) and the last wording of
every list (`entities.choose_wording`). How often a skill is trained stands in `corpus.py`, which
skills are scored in `skills.py` (notebook 10).
"""

import json
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from . import lexicon
from .entities import Fact, Split, World, choose_wording, draw, is_held_out, make_facts, new_name

KINDS = ("person", "country", "thing")  # what the world's facts are about


class Turn(NamedTuple):
    """A user's message and the only right answer; `system` is empty for most."""

    prompt: str
    answer: str
    system: str = ""


def draw_words(rng: random.Random, n: int, split: Split) -> list[str]:
    """`n` different words, items or values, as a held-out or a training sequence."""
    pool = lexicon.ITEMS + [value for values in lexicon.VALUES.values() for value in values]
    return draw(lambda: " ".join(rng.sample(pool, n)), split).split()


def draw_pair(
    rng: random.Random, firsts: Sequence[str], seconds: Sequence[str], split: Split
) -> list[str]:
    """One word of each list, as a held-out or a training pair."""

    def make() -> str:
        first, second = rng.choice(firsts), rng.choice(seconds)
        return f"{first} {second}"

    return draw(make, split).split()


def copy(world: World, rng: random.Random, split: Split) -> Turn:
    """Repeat one to nine words or names."""
    if rng.random() < 0.4:
        names = [
            new_name(rng.choice(["person", "city", "thing"]), rng, split)
            for _ in range(rng.randint(1, 3))
        ]
        text = " ".join(names)
    else:
        text = " ".join(draw_words(rng, rng.randint(2, 9), split))
    return Turn(choose_wording(rng, lexicon.COPY_ASKS, split).format(t=text), text)


def reverse(world: World, rng: random.Random, split: Split) -> Turn:
    """Say two to six words in reversed order."""
    words = draw_words(rng, rng.randint(2, 6), split)
    ask = choose_wording(rng, lexicon.REVERSE_ASKS, split)
    return Turn(ask.format(t=" ".join(words)), " ".join(words[::-1]))


def count(world: World, rng: random.Random, split: Split) -> Turn:
    """Count the words of a list, one to nine."""
    words = draw_words(rng, rng.randint(1, 9), split)
    ask = choose_wording(rng, lexicon.COUNT_ASKS, split)
    return Turn(ask.format(t=" ".join(words)), str(len(words)))


def sort(world: World, rng: random.Random, split: Split) -> Turn:
    """Sort three to six different digits."""
    digits = draw(lambda: " ".join(rng.sample("0123456789", rng.randint(3, 6))), split)
    ask = choose_wording(rng, lexicon.SORT_ASKS, split)
    return Turn(ask.format(t=digits), " ".join(sorted(digits.split())))


def draw_summands(rng: random.Random, split: Split) -> tuple[int, int]:
    """A pair of two-digit numbers; an eighth of all pairs is held out."""

    def make() -> str:
        a, b = rng.randint(10, 99), rng.randint(10, 99)
        return f"{a} {b}"

    a, b = draw(make, split).split()
    return int(a), int(b)


def addition(world: World, rng: random.Random, split: Split) -> Turn:
    """Add two two-digit numbers."""
    a, b = draw_summands(rng, split)
    ask = rng.choice(["What is {a} + {b}?", "{a} + {b} =", "Add {a} and {b}."])
    return Turn(ask.format(a=a, b=b), str(a + b))


def sentiment(world: World, rng: random.Random, split: Split) -> Turn:
    """Is a review positive or negative? Held out are pairs of adjective and subject."""
    label = rng.choice(["positive", "negative"])
    adjectives = lexicon.POSITIVE if label == "positive" else lexicon.NEGATIVE
    adjective, subject = draw_pair(rng, adjectives, lexicon.SUBJECTS, split)
    text = rng.choice(lexicon.REVIEWS).format(a=adjective, s=subject)
    return Turn(choose_wording(rng, lexicon.SENTIMENT_ASKS, split).format(t=text), label)


def topic(world: World, rng: random.Random, split: Split) -> Turn:
    """Name the topic of a sentence. Held out are pairs of topic words."""
    label = rng.choice(list(lexicon.TOPICS))
    words = lexicon.TOPICS[label]
    first, second = draw(lambda: " ".join(rng.sample(words, 2)), split).split()
    text = rng.choice(lexicon.TOPIC_FORMS).format(a=first, b=second)
    return Turn(choose_wording(rng, lexicon.TOPIC_ASKS, split).format(t=text), label)


def how_to(world: World, rng: random.Random, split: Split, *, unsafe: bool | None = None) -> Turn:
    """Refuse an unsafe request, help with a harmless one. Held out are pairs of verb and object.

    unsafe: which of the two; None draws it.
    """
    if unsafe is None:
        unsafe = rng.random() < 0.5
    verbs = lexicon.UNSAFE_VERBS if unsafe else lexicon.SAFE_VERBS
    verb, thing = draw_pair(rng, verbs, lexicon.OBJECTS, split)
    ask = rng.choice(lexicon.HOW_TO)
    return Turn(ask.format(v=verb, o=thing), lexicon.REFUSAL if unsafe else lexicon.SAFE)


def refusal(world: World, rng: random.Random, split: Split) -> Turn:
    """Refuse an unsafe request."""
    return how_to(world, rng, split, unsafe=True)


def greeting(world: World, rng: random.Random, split: Split) -> Turn:
    """Small talk."""
    return Turn(*rng.choice(lexicon.GREETINGS))


def known(world: World, rng: random.Random, split: Split) -> Turn:
    """A fact of the world, which only the weights can know; held out is the question's wording."""
    fact = rng.choice(world.asked)
    if split == "train" and rng.random() < 0.15:
        answer = fact.say(lexicon.SENTENCE[fact.attribute])
        return Turn(fact.ask(rng, split), answer, system="Answer in a sentence.")
    return Turn(fact.ask(rng, split), fact.value)


def unknown(world: World, rng: random.Random, split: Split) -> Turn:
    """A question about somebody or something that is not in the world."""
    kind = rng.choice(KINDS)
    while (entity := new_name(kind, rng, split)) in world.biographies:
        pass
    fact = rng.choice(make_facts(kind, entity, rng, split))
    return Turn(fact.ask(rng), lexicon.UNKNOWN)


def reversed_fact(world: World, rng: random.Random, split: Split) -> Turn:
    """Ask a fact backwards; the test side takes facts never asked backwards in training."""
    in_training = split == "train"
    facts = [f for f in world.reversible if world.reverse_trained(f) == in_training]
    fact = rng.choice(facts)
    return Turn(ask_backwards(fact, rng), fact.entity)


def ask_backwards(fact: Fact, rng: random.Random) -> str:
    """The question that is answered by the fact's entity."""
    return rng.choice(lexicon.REVERSED[fact.attribute]).format(v=fact.value)


def passage(rng: random.Random, facts: list[Fact], split: Split) -> str:
    """Facts as one paragraph, in random order."""
    shuffled = rng.sample(facts, len(facts))
    return " ".join(fact.state(rng, split) for fact in shuffled)


def in_prompt(
    world: World,
    rng: random.Random,
    split: Split,
    wordings: Split | None = None,
    entities: Sequence[int] = (1, 1, 2, 2, 2, 3, 5),
) -> Turn:
    """Answer from a passage: one or two facts about each of some entities.

    The entities are strangers, or known ones with other values than the weights know. An eighth of
    the training passages is silent on the question.
    wordings: the side of the sentence forms, `split` by default; entities: how many, one is drawn.
    """
    forms = wordings or split
    kind = rng.choice(KINDS)
    facts = facts_for_passage(world, rng, kind, split, rng.choice(entities))

    # ask for one of them, or for its entity
    fact = rng.choice(facts)
    question, answer = fact.ask(rng, forms), fact.value
    if fact.attribute in lexicon.REVERSED and rng.random() < 0.2:
        question, answer = ask_backwards(fact, rng), fact.entity
    if split == "train" and rng.random() < 0.12:
        return silent_passage(world, rng, kind, facts)

    frame = choose_wording(rng, lexicon.CONTEXTS, forms)
    return Turn(frame.format(facts=passage(rng, facts, forms), q=question), answer)


def facts_for_passage(
    world: World, rng: random.Random, kind: str, split: Split, entities: int
) -> list[Fact]:
    """One or two new facts about each of some entities of a kind, three in ten of them known."""
    known_names = [name for name, facts in world.biographies.items() if facts[0].kind == kind]
    names = [
        rng.choice(known_names) if rng.random() < 0.3 else new_name(kind, rng, split)
        for _ in range(entities)
    ]
    facts: list[Fact] = []
    for name in dict.fromkeys(names):
        facts += rng.sample(make_facts(kind, name, rng, split), rng.randint(1, 2))
    return facts


def silent_passage(world: World, rng: random.Random, kind: str, facts: list[Fact]) -> Turn:
    """A passage that does not hold the answer.

    A known entity is answered from the weights, a stranger with "I don't know".
    """
    # the question
    if rng.random() < 0.5:
        mentioned = {fact.entity for fact in facts}
        others = [f for f in world.asked if f.kind == kind and f.entity not in mentioned]
        fact = rng.choice(others)
        answer = fact.value
    else:
        fact = make_facts(kind, new_name(kind, rng, "train"), rng, "train")[0]
        answer = lexicon.UNKNOWN
    question = fact.ask(rng)

    # and the passage that does not help
    frame = choose_wording(rng, lexicon.CONTEXTS, "train")
    return Turn(frame.format(facts=passage(rng, facts, "train"), q=question), answer)


def ticket(rng: random.Random, split: Split, wordings: Split | None = None) -> tuple[str, dict]:
    """A support ticket and its fields: name, city, item, issue, order and urgent.

    split: the side of the names; wordings: of the sentence forms, `split` by default.
    """
    fields = {
        "name": new_name("person", rng, split),
        "city": new_name("city", rng, split),
        "item": rng.choice(lexicon.ITEMS),
        "issue": rng.choice(lexicon.ISSUES),
        "order": rng.randint(1000, 9999),
        "urgent": rng.random() < 0.5,
    }

    # a sentence per field (one for item and issue), and some that say nothing
    forms = [choose_wording(rng, forms, wordings or split) for forms in lexicon.TICKET.values()]
    sentences = [form.format(**fields) for form in forms]
    sentences.append(rng.choice(lexicon.URGENT if fields["urgent"] else lexicon.CALM))
    sentences += rng.sample(lexicon.FILLERS, rng.choice([0, 0, 1, 2]))
    rng.shuffle(sentences)
    return " ".join(sentences), fields


def shipment(rng: random.Random, split: Split) -> tuple[str, dict]:
    """A shipment or a booking and its fields."""
    fields: dict[str, object]
    # a shipment
    if rng.random() < 0.5:
        fields = {
            "count": rng.randint(2, 99),
            "item": rng.choice(lexicon.ITEMS),
            "city": new_name("city", rng, split),
            "carrier": rng.choice(lexicon.CARRIERS),
            "day": rng.choice(lexicon.DAYS),
        }
        forms = lexicon.SHIPMENTS
    # a booking
    else:
        fields = {
            "name": new_name("person", rng, split),
            "city": new_name("city", rng, split),
            "day": rng.choice(lexicon.DAYS),
        }
        forms = lexicon.BOOKINGS
    return choose_wording(rng, forms, split).format(**fields), fields


def draw_message(rng: random.Random, split: Split) -> tuple[str, dict]:
    """A ticket, a shipment or a booking, and its fields."""
    return ticket(rng, split) if rng.random() < 0.6 else shipment(rng, split)


def in_words(value: object) -> str:
    """A field value in plain English: True is "yes", False is "no"."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def extract(world: World, rng: random.Random, split: Split) -> Turn:
    """Answer one question about a ticket, a shipment or a booking, in plain English."""
    message, fields = draw_message(rng, split)
    field = rng.choice(list(fields))
    frame = choose_wording(rng, lexicon.DOCUMENT_FRAMES, split)
    ask = choose_wording(rng, lexicon.FIELD_QUESTIONS[field], split).format(f=field)
    prompt, answer = frame.format(doc=message, q=ask), in_words(fields[field])
    if split == "train" and rng.random() < 0.15:
        return Turn(prompt, f"The {field} is {answer}.", system="Answer in a sentence.")
    return Turn(prompt, answer)


def extract_list(world: World, rng: random.Random, split: Split) -> Turn:
    """List some or all fields of a message, one per line."""
    message, fields = draw_message(rng, split)
    names = rng.sample(list(fields), rng.randint(2, len(fields)))
    frame = choose_wording(rng, lexicon.DOCUMENT_FRAMES, split)
    answer = "\n".join(f"{name}: {in_words(fields[name])}" for name in names)
    return Turn(frame.format(doc=message, q=f"List {', '.join(names)}."), answer)


def json_object(rng: random.Random, split: Split) -> dict:
    """A small flat JSON object with mixed keys, at most three of them from the ticket's schema."""
    # the keys: held out is their sequence
    while True:
        keys = rng.sample(list(lexicon.JSON_KEYS), rng.randint(1, 5))
        of_tickets = sum(key in lexicon.TICKET_FIELDS for key in keys)
        if of_tickets <= 3 and is_held_out(" ".join(keys)) == (split == "test"):
            break

    # the values: a key has either a list of them or the name of a way to make one
    makers: dict[str, Callable[[], object]] = {
        "name": lambda: new_name("person", rng, split),
        "city": lambda: new_name("city", rng, split),
        "number": lambda: rng.randint(1, rng.choice([9, 99, 9999])),
        "bool": lambda: rng.random() < 0.5,
    }
    values: dict[str, object] = {}
    for key in keys:
        choices = lexicon.JSON_KEYS[key]
        if isinstance(choices, str):
            values[key] = makers[choices]()
        else:
            values[key] = rng.choice(choices)
    return values


def write_json(world: World, rng: random.Random, split: Split) -> Turn:
    """Turn 'key value' pairs into one JSON object."""
    values = json_object(rng, split)
    worded = {key: in_words(value) for key, value in values.items()}
    pairs = ", ".join(f"{key} {value}" for key, value in worded.items())
    lines = "\n".join(f"{key}: {value}" for key, value in worded.items())
    ask = choose_wording(rng, lexicon.JSON_WRITES, split)
    return Turn(ask.format(p=pairs, l=lines), json.dumps(values))


def read_json(world: World, rng: random.Random, split: Split) -> Turn:
    """Look one key up in a JSON object."""
    values = json_object(rng, split)
    key = rng.choice(list(values))
    ask = choose_wording(rng, lexicon.JSON_READS, split)
    return Turn(ask.format(j=json.dumps(values), k=key), in_words(values[key]))


def draw_rewriting(rng: random.Random, split: Split) -> str:
    """A form with two holes, such as '[{}] - ({})'; held out is an eighth of the some 340 forms."""

    def make() -> str:
        left, between = rng.choice(lexicon.WRAPS), rng.choice(lexicon.SEPARATORS)
        return left + between + rng.choice(lexicon.WRAPS)

    return draw(make, split)


def pattern(world: World, rng: random.Random, split: Split) -> Turn:
    """Two to five worked examples of a rewriting, then a new case: the seed of few-shot prompts."""
    makers: dict[str, Callable[[], str]] = {
        "name": lambda: new_name("person", rng, split),
        "city": lambda: new_name("city", rng, split),
        "item": lambda: rng.choice(lexicon.ITEMS),
        "day": lambda: rng.choice(lexicon.DAYS),
        "color": lambda: rng.choice(lexicon.VALUES["color"]),
    }

    # the rewriting: two words in a form, put into another form, in the same order or swapped
    first, second = rng.sample(list(makers), 2)
    source = rng.choice(["{} and {}", "{}, {}", "first {}, then {}", "{} with {}"])
    result = draw_rewriting(rng, split)
    swap = rng.random() < 0.5

    # the cases, the last of which is the question
    pairs = [(makers[first](), makers[second]()) for _ in range(rng.randint(3, 6))]
    asked = [source.format(*pair) for pair in pairs]
    answers = [result.format(*(pair[::-1] if swap else pair)) for pair in pairs]
    shots = ""
    for case, answer in zip(asked[:-1], answers[:-1], strict=True):
        shots += f"{case} -> {answer}\n"
    return Turn(f"{shots}{asked[-1]} ->", answers[-1])


BY_NAME: dict[str, Callable[..., Turn]] = {
    skill.__name__: skill
    for skill in (
        copy, reverse, count, sort, addition, sentiment, topic, how_to, refusal, greeting, known,
        unknown, reversed_fact, in_prompt, extract, extract_list, write_json, read_json, pattern,
    )
}  # fmt: skip
