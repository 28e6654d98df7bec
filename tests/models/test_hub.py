"""A hub model loads by its id, however badly it comes: slowly, in two halves, behind a gate, or
never.
"""

import os
import subprocess
import sys

import pytest
from families import write
from hub import COMMIT, serving

from ftkit import models

LOAD = """
import sys
from ftkit import UserError, models
try:
    model, tokenizer = models.load("owner/name")
    print("loaded", sum(p.numel() for p in model.parameters()), models.fingerprint(model), tokenizer.eos_token)
except UserError as error:
    print("refused", error)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of 26 MB, for the hub client keeps 10 MB at a time; with things beside it that must
    not be fetched.
    """
    folder = write("qwen", tmp_path_factory.mktemp("hub"), intermediate_size=8192)
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    (folder / "README.md").write_text("words")
    return folder


@pytest.fixture
def load(tmp_path):
    """A function that loads owner/name from a hub's address in a process of its own, with one cache
    for the whole test.
    """

    def run(address, **more):
        environment = {
            **os.environ,
            "HF_ENDPOINT": address,
            "HF_HOME": str(tmp_path / "cache"),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_ETAG_TIMEOUT": "5",
            **more,
        }
        done = subprocess.run(
            [sys.executable, "-c", LOAD],
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout.strip()

    return run


def fetched(hub):
    return {name for verb, name, _ in hub.seen if verb == "GET"}


@pytest.mark.parametrize("mode", ["whole", "slow"])
def test_it_loads_and_nothing_but_what_is_needed_is_fetched(mode, load, folder):
    with serving(folder, mode) as hub:
        said = load(hub.address)
    size = sum(p.numel() for p in models.load(folder)[0].parameters())
    assert said == f"loaded {size} hub commit {COMMIT} <|im_end|>"
    assert "model.safetensors" in fetched(hub)
    assert not {"pytorch_model.bin", "README.md"} & fetched(hub)


def test_the_second_time_the_cache_is_enough(load, folder):
    with serving(folder) as hub:
        first = load(hub.address)
    assert load("http://127.0.0.1:9", HF_HUB_OFFLINE="1") == first


def test_a_download_that_is_cut_off_goes_on(load, folder):
    with serving(folder, "cut once") as hub:
        assert load(hub.address).startswith("loaded")
    ranges = [
        asked for verb, name, asked in hub.seen if verb == "GET" and name == "model.safetensors"
    ]
    assert ranges[0] is None
    assert any(asked and not asked.startswith("bytes=0-") for asked in ranges)


def test_half_a_model_is_refused_and_the_next_call_gets_it(load, folder):
    with serving(folder, "cut") as hub:
        said = load(hub.address)
        assert said.startswith("refused could not get 'owner/name' whole (")
        assert said.endswith("so none of it is used; try again, or give a local directory.")
        hub.mode = "whole"
        assert load(hub.address).startswith("loaded")


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("gated", "refused 'owner/name' is gated: accept its terms on its page, then log in"),
        ("missing", "refused there is no 'owner/name' that you may see: check the spelling"),
    ],
)
def test_what_may_not_be_seen_is_one_sentence(mode, said, load, folder):
    with serving(folder, mode) as hub:
        assert load(hub.address).startswith(said)


def test_nobody_there_is_one_sentence(load):
    assert "is not in the cache and the hub can't be reached" in load("http://127.0.0.1:9")
