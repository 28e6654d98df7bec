"""The world: the same bytes from the same seed, and nothing held out ever in the corpus."""

import itertools
import json
import random

import pytest

from ftkit.core.files import data_path
from ftkit.world import World, corpus, lexicon, skills, tasks, turns
from ftkit.world.entities import draw, is_held_out, new_name

CARD = json.loads(data_path("pocket", "card.json").read_text())


@pytest.fixture(scope="module")
def world():
    return World()


@pytest.fixture(scope="module")
def documents(world):
    """Some twelve thousand documents of the broad mix, as text."""
    batches = (itertools.islice(corpus.documents(world, i, corpus.BROAD), 60) for i in range(200))
    return ["".join(text for text, _ in doc) for batch in batches for doc in batch]


def test_the_corpus_is_the_one_the_pocket_model_was_trained_on(world):
    assert corpus.digest(world) == CARD["corpus"]
    assert corpus.digest(World(seed=1)) != CARD["corpus"]


def test_a_batch_depends_on_seed_and_number_alone(world):
    def first(world, i):
        return list(itertools.islice(corpus.documents(world, i, corpus.BROAD), 20))

    assert first(world, 5) == first(World(), 5)
    assert first(world, 5) != first(world, 6)


def test_names_are_split_by_their_own_letters():
    rng = random.Random(3)
    for kind in ("person", "city", "country", "river", "thing"):
        assert all(not is_held_out(new_name(kind, rng, "train")) for _ in range(50))
        assert all(is_held_out(new_name(kind, rng, "test")) for _ in range(50))
    assert is_held_out(draw(lambda: str(rng.random()), "test"))


@pytest.mark.parametrize(
    "name", [k for k in skills.SKILLS | skills.LIMITS if k not in ("known", "stated_only")]
)
def test_no_probe_occurs_in_the_corpus(name, world, documents):
    prompts = {f"<|user|>{p.prompt}<|end|>" for p in skills.draw_suite(world, name, 200)}
    if name == "unknown":  # trained wordings, names that were never used
        prompts = {p for p in prompts if len(p) > 30}
    seen = [
        d
        for d in documents
        if any(
            part + "<|end|>" in prompts
            for part in d.replace("<|user|>", "<|end|><|user|>").split("<|end|>")
            if part
        )
    ]
    assert len(prompts) >= 60
    assert not seen


def test_held_out_wordings_never_occur(documents):
    held = [forms[-1].split("{")[0].strip() for forms in lexicon.TICKET.values()]
    held += [
        "Can you name the",
        "Everyone knows that",
        lexicon.FIELD_QUESTIONS["city"][-1].split("{")[0] + "city is given?",
    ]
    text = "\n".join(documents)
    assert not [h for h in held if h in text]


def test_biography_people_are_stated_and_never_asked(world, documents):
    names = {f.entity for f in world.stated_only}
    assert len(names) == 12
    stating = [d for d in documents if any(n in d for n in names) and "<|user|>" not in d]
    asking = [
        part
        for d in documents
        for part in d.split("<|user|>")[1:]
        if any(
            part.startswith(f.ask(random.Random(i))) for f in world.stated_only for i in range(3)
        )
    ]
    assert len(stating) > 20
    assert not asking


def test_the_other_half_is_never_asked_backwards(world, documents):
    untrained = [f for f in world.reversible if not world.reverse_trained(f)]
    forms = [form.format(v=f.value) for f in untrained for form in lexicon.REVERSED[f.attribute]]
    assert len(untrained) > 15
    assert not [d for d in documents if any(f"<|user|>{form}<|end|>" in d for form in forms)]


def test_the_prompt_overrides_the_weights(world):
    rng = random.Random(0)
    known = {(f.entity, f.attribute): f.value for f in world.asked}
    drawn = [turns.in_prompt(world, rng, "test", entities=(1,)) for _ in range(400)]
    overridden = [
        t
        for t in drawn
        for (e, a), v in known.items()
        if f"the {a} of {e}?" in t.prompt and v != t.answer
    ]
    assert len(overridden) > 20


def test_json_documents_never_hold_the_tickets_schema(documents):
    fields = [f'"{k}"' for k in lexicon.TICKET_FIELDS]
    assert not [
        line for d in documents for line in d.splitlines() if sum(f in line for f in fields) > 3
    ]
    assert not [d for d in documents if tasks.TICKET_PROMPT.split("{text}")[1] in d]


def test_every_token_of_the_labs_answers_was_a_frequent_target(world):
    """A frozen, tied embedding can't be taught a dead token by LoRA: the loss stays up however long
    one trains.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(data_path("pocket"))
    files = [data_path("tasks", f"{name}.jsonl") for name in ("tickets", "general", "facts")]
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    answers = [row["messages"][-1]["content"] + corpus.END for row in rows]
    needed = {i for ids in tokenizer(answers, add_special_tokens=False)["input_ids"] for i in ids}
    counts = tasks.target_counts(world, tokenizer, batches=600)
    sample = [
        text
        for doc in itertools.islice(corpus.documents(world, 0, corpus.BROAD), 600)
        for text, _ in doc
    ]
    tokens = 60 * sum(
        map(len, tokenizer(sample, add_special_tokens=False)["input_ids"])
    )  # of the 36,000 documents that were counted
    times_trained = CARD["tokens"] / tokens
    assert times_trained > 10
    dead = {tokenizer.decode([i]): counts[i] for i in needed if counts[i] * times_trained < 50}
    assert len(needed) > 300
    assert not dead, f"tokens that were targets fewer than 50 times: {dead}"


def test_the_shipped_tasks_are_what_the_world_makes(tmp_path, world):
    tasks.write(tmp_path, world)
    for name in ("tickets", "general", "facts"):
        assert (tmp_path / f"{name}.jsonl").read_bytes() == data_path(
            "tasks", f"{name}.jsonl"
        ).read_bytes()


def test_ticket_splits_share_no_name():
    rows = [
        json.loads(line) for line in data_path("tasks", "tickets.jsonl").read_text().splitlines()
    ]
    by_split = {
        s: {json.loads(r["messages"][-1]["content"])["name"] for r in rows if r["split"] == s}
        for s in tasks.SIZES
    }
    assert {s: sum(r["split"] == s for r in rows) for s in tasks.SIZES} == tasks.SIZES
    assert not by_split["train"] & by_split["test"]
    assert not by_split["train"] & by_split["validation"]
    assert all(is_held_out(name) for name in by_split["test"])


def test_an_unknown_suite_is_refused(world):
    with pytest.raises(ValueError, match="no suite 'chess'"):
        skills.draw_suite(world, "chess")
