"""Names: every one lies on one side, by its own letters."""

import random

from ftkit.world.entities import draw, is_held_out, new_name


def test_names_are_split_by_their_own_letters():
    rng = random.Random(3)
    for kind in ("person", "city", "country", "river", "thing"):
        assert all(not is_held_out(new_name(kind, rng, "train")) for _ in range(50))
        assert all(is_held_out(new_name(kind, rng, "test")) for _ in range(50))
    assert is_held_out(draw(lambda: str(rng.random()), "test"))
