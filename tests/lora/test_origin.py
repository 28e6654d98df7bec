"""An adapter of another base of the same shape is refused wherever the kit can tell the two apart.

Its own base in another place, in other parts or at another precision is no other one.
"""

import json
import shutil
import warnings

import pytest
import torch
from safetensors.torch import load_file, save_file

from ftkit import UserError, lora, models
from ftkit.core import files
from ftkit.lora import saved


def write_base(folder, change=None, parts=1):
    """A base like the pocket model at `folder`, its weights changed, in so many files."""
    shutil.copytree(files.data_path("pocket"), folder)
    tensors = load_file(folder / "model.safetensors")
    tensors = {name: (change or torch.clone)(t) for name, t in tensors.items()}
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    for part in range(parts):
        some = {name: tensors[name] for name in names[part::parts]}
        save_file(some, folder / f"model-{part + 1:05}-of-{parts:05}.safetensors", {"format": "pt"})
    if parts > 1:
        where = {
            name: f"model-{names.index(name) % parts + 1:05}-of-{parts:05}.safetensors"
            for name in names
        }
        index = {"metadata": {}, "weight_map": where}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    else:
        (folder / "model-00001-of-00001.safetensors").rename(folder / "model.safetensors")
    return folder


def louder(tensor):
    return tensor * 1.1 if tensor.ndim == 2 and tensor.shape[0] != tensor.shape[1] else tensor


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """Bases of one shape: another one, the same in three files, and the same in bfloat16."""
    place = tmp_path_factory.mktemp("bases")
    write_base(place / "two" / "pocket", louder)
    write_base(place / "parts", parts=3)
    write_base(place / "coarse", lambda t: t.to(torch.bfloat16))
    return place


def write_adapter(folder, base, **stated):
    """An adapter whose configuration names this base."""
    adapted = lora.attach(models.load("pocket")[0], r=2, targets="q,v", seed=0)
    adapted.peft_config["default"].base_model_name_or_path = str(base)
    adapted.save_pretrained(folder)
    if stated:
        file = folder / "adapter_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | stated))
    return folder


def load_quietly(folder, base="pocket"):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        return lora.load(models.load(base)[0], folder)


def test_another_base_of_the_same_name_and_shape_is_refused(bases, tmp_path):
    folder, base = write_adapter(tmp_path / "a", bases / "two" / "pocket"), models.load("pocket")[0]
    before = {name: values.clone() for name, values in base.state_dict().items()}
    with pytest.raises(UserError, match=r"trained on another base, \S+two/pocket: its \S+weight"):
        lora.load(base, folder)
    assert all(torch.equal(values, before[name]) for name, values in base.state_dict().items())
    assert not lora.is_attached(base) and base.state_dict().keys() == before.keys()
    load_quietly(folder, bases / "two" / "pocket")
    # beside an adapter that fits, too, and the other way round
    carrying = load_quietly(write_adapter(tmp_path / "b", "pocket"))
    with pytest.raises(UserError, match="trained on another base"):
        lora.load(carrying, folder, "second")
    assert list(carrying.peft_config) == ["default"]
    with pytest.raises(UserError, match=r"another base, pocket: .*models.load\('pocket'\)"):
        load_quietly(tmp_path / "b", bases / "two" / "pocket")


@pytest.mark.parametrize("form", ["parts", "coarse"])
def test_the_same_weights_in_another_form_are_the_same_base(form, bases, tmp_path):
    load_quietly(write_adapter(tmp_path / "a", bases / form))
    load_quietly(write_adapter(tmp_path / "b", "pocket"), bases / form)


def test_a_base_that_has_moved_is_the_same_one(bases, tmp_path):
    copy = shutil.copytree(bases / "two" / "pocket", tmp_path / "mine")
    folder = write_adapter(tmp_path / "a", copy)
    load_quietly(folder, bases / "two" / "pocket")
    copy.rename(tmp_path / "moved")
    gone = rf"trained on {copy}, .*there is no whole model {copy} on this machine, so it can't be"
    with pytest.warns(UserWarning, match=gone):
        lora.load(models.load(tmp_path / "moved")[0], folder)


def test_what_was_compared_is_not_read_again(bases, tmp_path, monkeypatch):
    folder = write_adapter(tmp_path / "a", bases / "parts")
    load_quietly(folder)
    monkeypatch.setattr(models, "read_tensor", None)
    load_quietly(folder)
    # nor is the base of an adapter that lies where it lay, nor a hash that nothing asks for
    monkeypatch.setattr(models, "fingerprint", None)
    load_quietly(write_adapter(tmp_path / "b", files.data_path("pocket")))


def test_a_hub_model_in_the_cache_is_held_against_the_base(bases, tmp_path, monkeypatch):
    snapshots = tmp_path / "models--you--tiny" / "snapshots"
    shutil.copytree(bases / "two" / "pocket", snapshots / "c1")
    shutil.copytree(files.data_path("pocket"), snapshots / "c2")
    config = snapshots / "c1" / "config.json"
    monkeypatch.setattr(models, "cached_config", lambda hub: config if "tiny" in hub else None)
    with pytest.raises(UserError, match="trained on another base, you/tiny: its"):
        load_quietly(write_adapter(tmp_path / "a", "you/tiny"))
    with pytest.raises(UserError, match="trained on another base"):
        load_quietly(write_adapter(tmp_path / "b", "you/tiny", revision="main"))
    load_quietly(write_adapter(tmp_path / "c", "you/tiny", revision="c2"))
    for name, revision in (("you/tiny", "c3"), ("you/other", None)):
        folder = write_adapter(tmp_path / f"d{revision}", name, revision=revision)
        with pytest.warns(UserWarning, match=rf"no whole model {name} on this machine"):
            lora.load(models.load("pocket")[0], folder)


def test_a_packed_base_tells_nothing(bases, tmp_path):
    packed = write_base(tmp_path / "packed", lambda t: t.to(torch.int8) if t.ndim == 2 else t)
    pair = saved.stamps(packed), saved.stamps(files.data_path("pocket"))
    assert saved.compare(*pair)[0] is None


def test_the_record_is_asked_first(bases, tmp_path):
    folder = write_adapter(tmp_path / "a", bases / "two" / "pocket")
    now = models.fingerprint_of(str(files.data_path("pocket")))
    (tmp_path / "run.json").write_text(json.dumps({"hashes": {"base": now}}))
    load_quietly(folder)
    # a commit beside a hash of files tells nothing, so the weights are
    (tmp_path / "run.json").write_text(json.dumps({"hashes": {"base": "hub commit abc"}}))
    with pytest.raises(UserError, match="trained on another base"):
        load_quietly(folder)


@pytest.mark.parametrize(
    ("was", "now", "another"),
    [("a", "b", True), ("a", "a", False), ("", "b", False), ("hub commit a", "b", False),
     ("hub commit a", "hub commit b", True), ("hub commit unknown", "hub commit b", False)],
)  # fmt: skip
def test_fingerprints(was, now, another):
    assert saved.is_another(was, now) is another
