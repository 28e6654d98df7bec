"""The world and a sample of its corpus, made once for all tests of the wing."""

import itertools

import pytest

from ftkit.world import World, corpus


@pytest.fixture(scope="session")
def world():
    return World()


@pytest.fixture(scope="session")
def documents(world):
    """Some twelve thousand documents of the broad mix, as text."""
    batches = (itertools.islice(corpus.documents(world, i, corpus.BROAD), 60) for i in range(200))
    return ["".join(text for text, _ in doc) for batch in batches for doc in batch]
