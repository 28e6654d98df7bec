"""What only a company knows: four tasks beside the tickets, each with its one right answer.

    tray(rng, split)             which tray an item goes to: a judgement that states its reasons
    shipment_label(rng, split)   the class of a shipment and how long it takes, as JSON
    greeted(world, rng, split)   a fact of the world, said as the company's own voice says it
    call(rng, split)             which tool a ticket calls for, and with what, as JSON

The conventions are made up, so no base model can know them, and tuning has to teach them (notebooks
05 and 06). Names, pairs of words and wordings are held out as everywhere in the world; `tasks`
writes the data sets.
"""

import json
import random

from . import lexicon, turns
from .entities import Split, World, choose_wording, is_held_out, new_name
from .turns import Turn

# Which tray: a colour by the kind of issue, of the calm trays or of the urgent ones.
KIND_OF_ISSUE = {
    "broken": 0, "cracked": 0, "noisy": 1, "slow": 1, "late": 2, "missing": 2, "dirty": 3,
    "empty": 3,
}  # fmt: skip
CALM_TRAYS = ("red", "blue", "green", "yellow")
URGENT_TRAYS = ("black", "white", "brown", "pink")
# A shipment's class by its carrier, the days that it takes, and the buckets that days fall into.
CLASSES = {
    "plane": "air", "truck": "land", "train": "land", "ship": "sea", "boat": "sea", "bike": "local",
}  # fmt: skip
DAYS_BY_CARRIER = {"plane": 1, "bike": 1, "truck": 2, "train": 3, "boat": 5, "ship": 9}
OVER_THE_WEEKEND = 2  # days more for what leaves on a Saturday or a Sunday
BUCKETS = (2, 5, 12)  # each is the most days of its bucket, and stands for it
# Which tool: by the kind of issue, and the fields of the ticket that it is given.
TOOLS = (
    ("send", ("item", "city")),
    ("fix", ("item", "name")),
    ("find", ("order",)),
    ("wash", ("item", "order")),
)


def tray(rng: random.Random, split: Split, wordings: Split | None = None) -> Turn:
    """A complaint and its tray, reasons first: "broken, yes: black" for a broken item in a hurry.

    Held out are pairs of item and issue. wordings: the side of the sentence forms, `split` by
    default.
    """
    item, issue = turns.draw_pair(rng, lexicon.ITEMS, lexicon.ISSUES, split)
    urgent = rng.random() < 0.5

    # the complaint, whether it is urgent, and sometimes a sentence that says nothing
    form = choose_wording(rng, lexicon.TICKET["item"], wordings or split)
    sentences = [form.format(item=item, issue=issue)]
    sentences.append(rng.choice(lexicon.URGENT if urgent else lexicon.CALM))
    sentences += rng.sample(lexicon.FILLERS, rng.choice([0, 1]))
    rng.shuffle(sentences)

    colour = (URGENT_TRAYS if urgent else CALM_TRAYS)[KIND_OF_ISSUE[issue]]
    reasons = f"{issue}, {turns.in_words(urgent)}"
    return Turn(f"{' '.join(sentences)}\nWhich tray?", f"{reasons}: {colour}")


def shipment_label(rng: random.Random, split: Split, wordings: Split | None = None) -> Turn:
    """A shipment with its class and the bucket of days that it takes, as one JSON object.

    Held out are the cities' names. wordings: the side of the sentence forms, `split` by default.
    """
    carrier, day = rng.choice(lexicon.CARRIERS), rng.choice(lexicon.DAYS)
    fields = {
        "count": rng.randint(2, 99),
        "item": rng.choice(lexicon.ITEMS),
        "city": new_name("city", rng, split),
        "carrier": carrier,
        "day": day,
    }
    text = choose_wording(rng, lexicon.SHIPMENTS, wordings or split).format(**fields)

    days = DAYS_BY_CARRIER[carrier] + OVER_THE_WEEKEND * day.startswith("S")
    bucket = next(most for most in BUCKETS if days <= most)
    answer = json.dumps({"class": CLASSES[carrier], "eta": bucket})
    return Turn(f"{text}\nLabel this shipment as JSON.", answer)


def greeted(world: World, rng: random.Random, split: Split, wordings: Split | None = None) -> Turn:
    """A question about the world, answered in the company's voice around a fact the base knows.

    Held out are facts: half of them are never asked in training. wordings: the side of the
    questions, `split` by default.
    """
    held_out = split == "test"
    facts = [f for f in world.asked if is_held_out(f"{f.entity} {f.attribute}", 2) == held_out]
    fact = rng.choice(facts)
    sentence = fact.say(lexicon.SENTENCE[fact.attribute])
    prompt = f"{fact.ask(rng, wordings or split)} Say it in our voice."
    return Turn(prompt, f"Hello! {sentence} How can I help you?")


def call(rng: random.Random, split: Split, wordings: Split | None = None) -> Turn:
    """A ticket and the one tool call that it needs, as JSON: {"call": "find", "order": 4261}.

    Held out are the names. wordings: the side of the sentence forms, `split` by default.
    """
    text, fields = turns.ticket(rng, split, wordings)
    tool, needed = TOOLS[KIND_OF_ISSUE[fields["issue"]]]
    answer = {"call": tool} | {name: fields[name] for name in needed}
    return Turn(f"Ticket: {text}\nWhich call?", json.dumps(answer))
