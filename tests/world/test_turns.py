"""Questions: each has the right answer that it states, also against what the world knows."""

import random

from ftkit.world import corpus, turns


def test_the_prompt_overrides_the_weights(world):
    rng = random.Random(0)
    known = {(fact.entity, fact.attribute): fact.value for fact in world.asked}
    drawn = [turns.in_prompt(world, rng, "test", entities=(1,)) for _ in range(400)]
    overridden = [
        turn
        for turn in drawn
        for (entity, attribute), value in known.items()
        if f"the {attribute} of {entity}?" in turn.prompt and value != turn.answer
    ]
    assert len(overridden) > 20


def test_every_skill_of_the_corpus_is_drawn_by_its_name(world):
    assert corpus.BROAD.keys() - corpus.TEXTS.keys() <= turns.BY_NAME.keys()
    rng = random.Random(0)
    for name, skill in turns.BY_NAME.items():
        assert skill.__name__ == name
        assert all(skill(world, rng, "test").answer for _ in range(20))
