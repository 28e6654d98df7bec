"""The lab's data sets: drawn again they are the shipped ones, and a LoRA can learn them."""

import itertools
import json

import pytest
from transformers import AutoTokenizer

from ftkit.core.files import data_path
from ftkit.world import corpus, tasks
from ftkit.world.entities import is_held_out

CARD = json.loads(data_path("pocket", "card.json").read_text())
CONVENTIONS = ("trays", "shipments", "greeted", "calls")
NAMES = ("tickets", "general", "facts", *CONVENTIONS)


def rows_of(name):
    lines = data_path("tasks", f"{name}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_every_token_of_the_labs_answers_was_a_frequent_target(world):
    """A frozen, tied embedding can't be taught a dead token by LoRA, however long one trains."""
    tokenizer = AutoTokenizer.from_pretrained(data_path("pocket"))

    def ids_of(texts):
        return tokenizer(texts, add_special_tokens=False)["input_ids"]

    answers = [
        row["messages"][-1]["content"] + corpus.END for name in NAMES for row in rows_of(name)
    ]
    needed = {token for ids in ids_of(answers) for token in ids}
    counts = tasks.target_counts(world, tokenizer, batches=600)

    # how often training saw what was counted: 600 documents stand for the 36,000 counted ones
    sample = itertools.islice(corpus.documents(world, 0, corpus.BROAD), 600)
    tokens = 60 * sum(map(len, ids_of([text for document in sample for text, _ in document])))
    times_trained = CARD["tokens"] / tokens
    assert times_trained > 10

    dead = {tokenizer.decode([i]): counts[i] for i in needed if counts[i] * times_trained < 50}
    assert len(needed) > 300
    assert not dead, f"tokens that were targets fewer than 50 times: {dead}"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory, world):
    folder = tmp_path_factory.mktemp("tasks")
    tasks.write(folder, world)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_the_shipped_tasks_are_what_the_world_makes(name, drawn):
    shipped = data_path("tasks", f"{name}.jsonl")
    assert (drawn / f"{name}.jsonl").read_bytes() == shipped.read_bytes()


def test_ticket_splits_share_no_name():
    names = {split: [] for split in tasks.SIZES}
    for row in rows_of("tickets"):
        names[row["split"]].append(json.loads(row["messages"][-1]["content"])["name"])
    assert {split: len(some) for split, some in names.items()} == tasks.SIZES
    assert not set(names["train"]) & set(names["test"])
    assert not set(names["train"]) & set(names["validation"])
    assert all(is_held_out(name) for name in names["test"])


@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_convention_is_tested_on_other_rows_than_it_is_taught_with(name):
    rows = rows_of(name)
    splits = [row["split"] for row in rows]
    assert {split: splits.count(split) for split in tasks.SIZES} == tasks.SIZES
    prompts = [row["messages"][0]["content"] for row in rows]
    assert len(set(prompts)) == len(prompts)
    test = [row["wording"] for row in rows if row["split"] == "test"]
    assert test.count("unseen") == len(test) / 2
