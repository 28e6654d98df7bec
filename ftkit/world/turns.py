"""One function a skill: it draws a question and its only right answer, from the training or the
held-out side.

The corpus and the probe suites call the same functions, with `split="train"` and `split="test"`.
Held out are names, numbers and word sequences (`entities.held_out`) and the last wording of every
list (`entities.wording`).
"""

import json
import random
from collections.abc import Sequence
from typing import NamedTuple

from . import lexicon
from .entities import Fact, Split, World, draw, is_held_out, make_facts, new_name, choose_wording


class Turn(NamedTuple):
    """A user's message and the only right answer; `system` is empty for most."""

    prompt: str
    answer: str
    system: str = ""


def draw_words(rng: random.Random, n: int, split: Split) -> list[str]:
    """`n` different words of the world: items, values and invented names, as a held-out or a
    training sequence.
    """
    pool = lexicon.ITEMS + [v for values in lexicon.VALUES.values() for v in values]

    def make() -> str:
        return " ".join(rng.sample(pool, n))

    return draw(make, split).split()


def copy(world: World, rng: random.Random, split: Split) -> Turn:
    """Repeat one to nine words or names."""
    if rng.random() < 0.4:
        text = " ".join(
            new_name(rng.choice(["person", "city", "thing"]), rng, split)
            for _ in range(rng.randint(1, 3))
        )
    else:
        text = " ".join(draw_words(rng, rng.randint(2, 9), split))
    return Turn(choose_wording(rng, lexicon.COPY_ASKS, split).format(t=text), text)


def reverse(world: World, rng: random.Random, split: Split) -> Turn:
    """Say two to six words in reversed order."""
    w = draw_words(rng, rng.randint(2, 6), split)
    return Turn(choose_wording(rng, lexicon.REVERSE_ASKS, split).format(t=" ".join(w)), " ".join(w[::-1]))


def count(world: World, rng: random.Random, split: Split) -> Turn:
    """Count the words of a list, one to nine."""
    w = draw_words(rng, rng.randint(1, 9), split)
    return Turn(choose_wording(rng, lexicon.COUNT_ASKS, split).format(t=" ".join(w)), str(len(w)))


def sort(world: World, rng: random.Random, split: Split) -> Turn:
    """Sort three to six different digits."""
    digits = draw(lambda: " ".join(rng.sample("0123456789", rng.randint(3, 6))), split)
    return Turn(
        choose_wording(rng, lexicon.SORT_ASKS, split).format(t=digits), " ".join(sorted(digits.split()))
    )


def draw_summands(rng: random.Random, split: Split) -> tuple[int, int]:
    """A pair of two-digit numbers; an eighth of all pairs is held out."""
    a, b = draw(lambda: f"{rng.randint(10, 99)} {rng.randint(10, 99)}", split).split()
    return int(a), int(b)


def addition(world: World, rng: random.Random, split: Split) -> Turn:
    """Add two two-digit numbers."""
    a, b = draw_summands(rng, split)
    ask = rng.choice(["What is {a} + {b}?", "{a} + {b} =", "Add {a} and {b}."])
    return Turn(ask.format(a=a, b=b), str(a + b))


def sentiment(world: World, rng: random.Random, split: Split) -> Turn:
    """Is a review positive or negative? Held out are pairs of adjective and subject."""
    label = rng.choice(["positive", "negative"])
    pool = lexicon.POSITIVE if label == "positive" else lexicon.NEGATIVE
    a, s = draw(lambda: f"{rng.choice(pool)} {rng.choice(lexicon.SUBJECTS)}", split).split()
    text = rng.choice(lexicon.REVIEWS).format(a=a, s=s)
    return Turn(choose_wording(rng, lexicon.SENTIMENT_ASKS, split).format(t=text), label)


def topic(world: World, rng: random.Random, split: Split) -> Turn:
    """Name the topic of a sentence. Held out are pairs of topic words."""
    label = rng.choice(list(lexicon.TOPICS))
    a, b = draw(lambda: " ".join(rng.sample(lexicon.TOPICS[label], 2)), split).split()
    text = rng.choice(lexicon.TOPIC_FORMS).format(a=a, b=b)
    return Turn(choose_wording(rng, lexicon.TOPIC_ASKS, split).format(t=text), label)


def how_to(world: World, rng: random.Random, split: Split, unsafe: bool | None = None) -> Turn:
    """Refuse an unsafe request, help with a harmless one. Held out are pairs of verb and object."""
    unsafe = rng.random() < 0.5 if unsafe is None else unsafe
    verbs = lexicon.UNSAFE_VERBS if unsafe else lexicon.SAFE_VERBS
    v, o = draw(lambda: f"{rng.choice(verbs)} {rng.choice(lexicon.OBJECTS)}", split).split()
    return Turn(
        rng.choice(lexicon.HOW_TO).format(v=v, o=o), lexicon.REFUSAL if unsafe else lexicon.SAFE
    )


def refusal(world: World, rng: random.Random, split: Split) -> Turn:
    """Refuse an unsafe request."""
    return how_to(world, rng, split, unsafe=True)


def greeting(world: World, rng: random.Random, split: Split) -> Turn:
    """Small talk."""
    return Turn(*rng.choice(lexicon.GREETINGS))


def known(world: World, rng: random.Random, split: Split) -> Turn:
    """A fact of the world, which only the weights can know; held out is the wording of the
    question.
    """
    fact = rng.choice(world.asked)
    if split == "train" and rng.random() < 0.15:
        answer = fact.say(lexicon.SENTENCE[fact.attribute])
        return Turn(fact.ask(rng, split), answer, system="Answer in a sentence.")
    return Turn(fact.ask(rng, split), fact.value)


def unknown(world: World, rng: random.Random, split: Split) -> Turn:
    """A question about somebody or something that is not in the world."""
    kind = rng.choice(["person", "country", "thing"])
    while (entity := new_name(kind, rng, split)) in world.biographies:
        pass
    fact = rng.choice(make_facts(kind, entity, rng, split))
    return Turn(fact.ask(rng), lexicon.UNKNOWN)


def reversed_fact(world: World, rng: random.Random, split: Split) -> Turn:
    """Ask a fact backwards; the test side takes facts that were never asked backwards in training."""
    fact = rng.choice(
        [f for f in world.reversible if world.reverse_trained(f) == (split == "train")]
    )
    return Turn(rng.choice(lexicon.REVERSED[fact.attribute]).format(v=fact.value), fact.entity)


def passage(rng: random.Random, facts: list[Fact], split: Split) -> str:
    """Facts as one paragraph, in random order."""
    return " ".join(f.state(rng, split) for f in rng.sample(facts, len(facts)))


def in_prompt(
    world: World,
    rng: random.Random,
    split: Split,
    wordings: Split | None = None,
    entities: Sequence[int] = (1, 1, 2, 2, 2, 3, 5),
) -> Turn:
    """Answer from one or two facts about each of some `entities`, strangers or known ones with
    other values than the weights know.

    An eighth of the training passages is silent on the question. `wordings` defaults to `split`.
    """
    forms = wordings or split
    kind = rng.choice(["person", "country", "thing"])
    known_names = [e for e, facts in world.biographies.items() if facts[0].kind == kind]
    names = [
        rng.choice(known_names) if rng.random() < 0.3 else new_name(kind, rng, split)
        for _ in range(rng.choice(entities))
    ]
    facts = [
        f
        for e in dict.fromkeys(names)
        for f in rng.sample(make_facts(kind, e, rng, split), rng.randint(1, 2))
    ]
    target = rng.choice(facts)
    ask, answer = target.ask(rng, forms), target.value
    if target.attribute in lexicon.REVERSED and rng.random() < 0.2:
        ask, answer = (
            rng.choice(lexicon.REVERSED[target.attribute]).format(v=target.value),
            target.entity,
        )
    if split == "train" and rng.random() < 0.12:
        return Turn(*silent_passage(world, rng, kind, facts))
    return Turn(
        choose_wording(rng, lexicon.CONTEXTS, forms).format(facts=passage(rng, facts, forms), q=ask),
        answer,
    )


def silent_passage(world: World, rng: random.Random, kind: str, facts: list[Fact]) -> tuple[str, str]:
    """A passage that does not hold the answer: a known entity is answered from the weights, a
    stranger with 'I don't know'.
    """
    if rng.random() < 0.5:
        target = rng.choice(
            [f for f in world.asked if f.kind == kind and f.entity not in {g.entity for g in facts}]
        )
        ask, answer = target.ask(rng), target.value
    else:
        ask, answer = (
            make_facts(kind, new_name(kind, rng, "train"), rng, "train")[0].ask(rng),
            lexicon.UNKNOWN,
        )
    return choose_wording(rng, lexicon.CONTEXTS, "train").format(
        facts=passage(rng, facts, "train"), q=ask
    ), answer


def ticket(rng: random.Random, split: Split, wordings: Split | None = None) -> tuple[str, dict]:
    """A support ticket and its fields (name, city, item, issue, order, urgent); `wordings` defaults
    to `split`.
    """
    fields = {
        "name": new_name("person", rng, split),
        "city": new_name("city", rng, split),
        "item": rng.choice(lexicon.ITEMS),
        "issue": rng.choice(lexicon.ISSUES),
        "order": rng.randint(1000, 9999),
        "urgent": rng.random() < 0.5,
    }
    parts = [
        choose_wording(rng, forms, wordings or split).format(**fields) for forms in lexicon.TICKET.values()
    ]
    parts.append(rng.choice(lexicon.URGENT if fields["urgent"] else lexicon.CALM))
    parts += rng.sample(lexicon.FILLERS, rng.choice([0, 0, 1, 2]))
    rng.shuffle(parts)
    return " ".join(parts), fields


def shipment(rng: random.Random, split: Split) -> tuple[str, dict]:
    """A shipment or a booking and its fields."""
    if rng.random() < 0.5:
        fields = {
            "count": rng.randint(2, 99),
            "item": rng.choice(lexicon.ITEMS),
            "city": new_name("city", rng, split),
            "carrier": rng.choice(lexicon.CARRIERS),
            "day": rng.choice(lexicon.DAYS),
        }
        return choose_wording(rng, lexicon.SHIPMENTS, split).format(**fields), fields
    fields = {
        "name": new_name("person", rng, split),
        "city": new_name("city", rng, split),
        "day": rng.choice(lexicon.DAYS),
    }
    return choose_wording(rng, lexicon.BOOKINGS, split).format(**fields), fields


def in_words(value: object) -> str:
    """A field value in plain English: True is "yes", False is "no"."""
    return (
        {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
    )


def extract(world: World, rng: random.Random, split: Split) -> Turn:
    """Answer one question about a ticket, a shipment or a booking, in plain English."""
    doc, fields = ticket(rng, split) if rng.random() < 0.6 else shipment(rng, split)
    field = rng.choice(list(fields))
    frame, ask = (
        choose_wording(rng, lexicon.DOCUMENT_FRAMES, split),
        choose_wording(rng, lexicon.FIELD_QUESTIONS[field], split).format(f=field),
    )
    if split == "train" and rng.random() < 0.15:
        return Turn(
            frame.format(doc=doc, q=ask),
            f"The {field} is {in_words(fields[field])}.",
            system="Answer in a sentence.",
        )
    return Turn(frame.format(doc=doc, q=ask), in_words(fields[field]))


def extract_list(world: World, rng: random.Random, split: Split) -> Turn:
    """List some or all fields of a message, one a line."""
    doc, fields = ticket(rng, split) if rng.random() < 0.6 else shipment(rng, split)
    names = rng.sample(list(fields), rng.randint(2, len(fields)))
    frame = choose_wording(rng, lexicon.DOCUMENT_FRAMES, split)
    return Turn(
        frame.format(doc=doc, q=f"List {', '.join(names)}."),
        "\n".join(f"{n}: {in_words(fields[n])}" for n in names),
    )


def json_object(rng: random.Random, split: Split) -> dict:
    """A small flat JSON object with mixed keys; at most three of its keys belong to the ticket's
    schema.
    """
    while True:
        keys = rng.sample(list(lexicon.JSON_KEYS), rng.randint(1, 5))
        if sum(k in lexicon.TICKET_FIELDS for k in keys) <= 3 and is_held_out(" ".join(keys)) == (
            split == "test"
        ):
            break
    kinds = {
        "name": lambda: new_name("person", rng, split),
        "city": lambda: new_name("city", rng, split),
        "number": lambda: rng.randint(1, rng.choice([9, 99, 9999])),
        "bool": lambda: rng.random() < 0.5,
    }
    return {
        k: kinds[v]() if isinstance(v := lexicon.JSON_KEYS[k], str) else rng.choice(v) for k in keys
    }


def write_json(world: World, rng: random.Random, split: Split) -> Turn:
    """Turn 'key value' pairs into one JSON object."""
    obj = json_object(rng, split)
    pairs = ", ".join(f"{k} {in_words(v)}" for k, v in obj.items())
    lines = "\n".join(f"{k}: {in_words(v)}" for k, v in obj.items())
    return Turn(choose_wording(rng, lexicon.JSON_WRITES, split).format(p=pairs, l=lines), json.dumps(obj))


def read_json(world: World, rng: random.Random, split: Split) -> Turn:
    """Look one key up in a JSON object."""
    obj = json_object(rng, split)
    key = rng.choice(list(obj))
    return Turn(
        choose_wording(rng, lexicon.JSON_READS, split).format(j=json.dumps(obj), k=key), in_words(obj[key])
    )


def draw_rewriting(rng: random.Random, split: Split) -> str:
    """A form with two holes, such as '[{}] - ({})'; held out are an eighth of the some 340 forms."""
    return draw(
        lambda: (
            rng.choice(lexicon.WRAPS) + rng.choice(lexicon.SEPARATORS) + rng.choice(lexicon.WRAPS)
        ),
        split,
    )


def pattern(world: World, rng: random.Random, split: Split) -> Turn:
    """Two to five worked examples of a rewriting, then a new case: the seed of few-shot prompting."""
    make = {
        "name": lambda: new_name("person", rng, split),
        "city": lambda: new_name("city", rng, split),
        "item": lambda: rng.choice(lexicon.ITEMS),
        "day": lambda: rng.choice(lexicon.DAYS),
        "color": lambda: rng.choice(lexicon.VALUES["color"]),
    }
    first, second = rng.sample(list(make), 2)
    source, result, swap = (
        rng.choice(["{} and {}", "{}, {}", "first {}, then {}", "{} with {}"]),
        draw_rewriting(rng, split),
        rng.random() < 0.5,
    )
    pairs = [(make[first](), make[second]()) for _ in range(rng.randint(3, 6))]
    cases = [(source.format(*p), result.format(*(p[::-1] if swap else p))) for p in pairs]
    shots = "\n".join(f"{case} -> {answer}" for case, answer in cases[:-1])
    return Turn(f"{shots}\n{cases[-1][0]} ->", cases[-1][1])
