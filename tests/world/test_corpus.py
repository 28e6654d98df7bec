"""The corpus: the same bytes from the same seed, and nothing held out ever in it."""

import itertools
import json
import random

from ftkit.core.files import data_path
from ftkit.world import World, corpus, lexicon, tasks

CARD = json.loads(data_path("pocket", "card.json").read_text())


def test_the_corpus_is_the_one_the_pocket_model_was_trained_on(world):
    assert corpus.digest(world) == CARD["corpus"]
    assert corpus.digest(World(seed=1)) != CARD["corpus"]


def test_a_batch_depends_on_seed_and_number_alone(world):
    def first(world, i):
        return list(itertools.islice(corpus.documents(world, i, corpus.BROAD), 20))

    assert first(world, 5) == first(World(), 5)
    assert first(world, 5) != first(world, 6)


def test_held_out_wordings_never_occur(documents):
    city = lexicon.FIELD_QUESTIONS["city"][-1].split("{")[0] + "city is given?"
    held_out = [forms[-1].split("{")[0].strip() for forms in lexicon.TICKET.values()]
    held_out += ["Can you name the", "Everyone knows that", city]
    text = "\n".join(documents)
    assert not [wording for wording in held_out if wording in text]


def questions(document):
    """What is asked in a document, each with all that follows it."""
    return document.split("<|user|>")[1:]


def test_biography_people_are_stated_and_never_asked(world, documents):
    names = {fact.entity for fact in world.stated_only}
    assert len(names) == 12
    stating = [d for d in documents if any(n in d for n in names) and "<|user|>" not in d]
    forms = tuple(fact.ask(random.Random(i)) for fact in world.stated_only for i in range(3))
    assert len(stating) > 20
    assert not [q for d in documents for q in questions(d) if q.startswith(forms)]


def test_the_other_half_is_never_asked_backwards(world, documents):
    untrained = [fact for fact in world.reversible if not world.reverse_trained(fact)]
    forms = [form.format(v=f.value) for f in untrained for form in lexicon.REVERSED[f.attribute]]
    assert len(untrained) > 15
    assert not [d for d in documents if any(f"<|user|>{form}<|end|>" in d for form in forms)]


def test_json_documents_never_hold_the_tickets_schema(documents):
    fields = [f'"{key}"' for key in lexicon.TICKET_FIELDS]
    lines = [line for document in documents for line in document.splitlines()]
    assert not [line for line in lines if sum(field in line for field in fields) > 3]
    asks = tasks.TICKET_PROMPT.split("{text}")[1]
    assert not [document for document in documents if asks in document]
