"""A company's conventions: one right answer each, by a rule that a reader can work out."""

import json
import random
import re

from ftkit.world import conventions, lexicon
from ftkit.world.entities import is_held_out


def draws(task, split, n=200):
    rng = random.Random(f"{task.__name__} {split}")
    return [task(rng, split) for _ in range(n)]


def test_a_tray_follows_from_the_issue_and_the_hurry():
    seen = {}
    for turn in draws(conventions.tray, "train"):
        reasons, tray = turn.answer.split(": ")
        issue, urgent = reasons.split(", ")
        assert issue in turn.prompt
        assert any(plea in turn.prompt for plea in lexicon.URGENT) == (urgent == "yes")
        assert seen.setdefault((issue, urgent), tray) == tray
    assert len(seen) == 2 * len(lexicon.ISSUES)
    assert len(set(seen.values())) == 8


def test_pairs_of_item_and_issue_are_held_out():
    for split in ("train", "test"):
        for turn in draws(conventions.tray, split):
            issue = turn.answer.split(",")[0]
            item = next(i for i in lexicon.ITEMS if f" {i}" in turn.prompt.replace(":", ""))
            assert is_held_out(f"{item} {issue}") == (split == "test")


def test_a_shipment_takes_longer_over_the_weekend():
    seen = {}
    for turn in draws(conventions.shipment_label, "train", 400):
        label = json.loads(turn.answer)
        words = re.findall(r"\w+", turn.prompt)
        carrier = next(c for c in lexicon.CARRIERS if c in words)
        weekend = "Saturday" in turn.prompt or "Sunday" in turn.prompt
        assert label["class"] == conventions.CLASSES[carrier]
        assert seen.setdefault((carrier, weekend), label["eta"]) == label["eta"]
    assert len(seen) == 2 * len(lexicon.CARRIERS)
    assert seen["plane", False] == 2
    assert seen["plane", True] == 5
    assert seen["ship", True] == 12


def test_a_greeting_holds_a_fact_and_its_own_test_facts(world):
    rng = random.Random(0)
    facts = {}
    for split in ("train", "test"):
        turns = [conventions.greeted(world, rng, split) for _ in range(300)]
        answers = [turn.answer for turn in turns]
        assert all(answer.startswith("Hello! ") for answer in answers)
        facts[split] = set(answers)
    assert not facts["train"] & facts["test"]


def test_a_call_takes_the_tickets_own_fields():
    tools = set()
    for turn in draws(conventions.call, "train"):
        arguments = json.loads(turn.answer)
        tool = arguments.pop("call")
        tools.add((tool, tuple(arguments)))
        assert all(str(value) in turn.prompt for value in arguments.values())
    assert tools == set(conventions.TOOLS)
