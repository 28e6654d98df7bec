"""A model's files: read by name, told apart by hash, and fetched however badly a hub answers."""

import os
import subprocess
import sys
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch
from families import write
from hub import COMMIT, serving

from ftkit import models
from ftkit.core.files import data_path

LOAD = """
import sys
from ftkit import UserError, models
try:
    model, tokenizer = models.load("owner/name")
    size = sum(p.numel() for p in model.parameters())
    print("loaded", size, models.fingerprint(model), tokenizer.eos_token)
    assert models.hub_commit("owner/name") == models.fingerprint(model)
except UserError as error:
    print("refused", error)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of 26 MB, since the client keeps 10 MB at a time; two files are not for fetching."""
    folder = write("qwen", tmp_path_factory.mktemp("hub"), intermediate_size=8192)
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    (folder / "README.md").write_text("words")
    return folder


@pytest.fixture
def load(tmp_path):
    """Loads owner/name from a hub's address in a process of its own, with one cache for a test."""

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
    gets = [(name, asked) for verb, name, asked in hub.seen if verb == "GET"]
    ranges = [asked for name, asked in gets if name == "model.safetensors"]
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


def loaded_by_id(hub_id, commit=None):
    """What `fingerprint` looks at of a model that transformers loaded by its hub id."""
    config = SimpleNamespace(_name_or_path=hub_id, _commit_hash=commit)
    return SimpleNamespace(config=config)


@pytest.mark.parametrize(
    ("commit", "known"), [("abc", "hub commit abc"), (None, "hub commit unknown")]
)
def test_a_hub_model_loaded_without_the_kit_is_known_by_its_commit(commit, known):
    assert models.fingerprint(loaded_by_id("owner/no-such-model", commit)) == known


def test_a_commit_that_transformers_does_not_note_is_read_off_the_cache(tmp_path, monkeypatch):
    cached = tmp_path / "models--owner--name"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("abc")
    (cached / "snapshots" / "abc").mkdir(parents=True)
    (cached / "snapshots" / "abc" / "config.json").write_text("{}")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    assert models.hub_commit("owner/name") == "hub commit abc"
    assert models.fingerprint(loaded_by_id("owner/name")) == "hub commit abc"
    assert models.fingerprint_of("owner/name") == "hub commit abc"
    assert models.fingerprint_of(str(cached / "snapshots" / "abc")) == "hub commit abc"
    assert models.fingerprint_of("owner/other") is None
    assert models.hub_commit("owner/other") is None
    assert models.hub_commit("no/hub/id") is None


def test_a_folder_is_known_by_the_hash_of_its_weights(tmp_path):
    pocket = data_path("pocket")
    model, _ = models.load(pocket)
    assert models.fingerprint(model) == models.hash_weights(pocket)
    model.save_pretrained(tmp_path)
    assert models.hash_weights(tmp_path) == models.hash_weights(pocket)
    with torch.no_grad():
        model.model.norm.weight[0] += 1
    model.save_pretrained(tmp_path)
    assert models.hash_weights(tmp_path) != models.hash_weights(pocket)


def test_tensors_are_read_by_name_out_of_the_file_that_holds_them():
    pocket = data_path("pocket")
    weights = models.load(pocket)[0].state_dict()
    files = models.tensor_files(str(pocket))
    assert files.keys() == weights.keys() - {"lm_head.weight"}
    name = "model.layers.3.mlp.down_proj.weight"
    assert torch.equal(models.read_tensor(str(pocket), name, files[name]), weights[name])
    whole = dict(models.read_tensors(pocket / files[name]))
    assert whole.keys() == files.keys()
    assert torch.equal(whole[name], weights[name])
