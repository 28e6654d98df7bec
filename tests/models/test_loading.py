"""Loading: what is refused, and with which sentence."""

import re
import shutil

import pytest
import torch
from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

from ftkit import UserError, models
from ftkit.core.files import data_path

POCKET = data_path("pocket")


@pytest.fixture
def folder(tmp_path):
    """A copy of the pocket model to spoil."""
    for name in (
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
    ):
        shutil.copy(POCKET / name, tmp_path / name)
    return tmp_path


def refused(name, *parts):
    with pytest.raises(UserError) as error:
        models.load(name)
    message = str(error.value)
    assert all(p in message for p in parts), message
    assert message.count("\n") == 0


def test_the_dial_and_the_argument_choose(monkeypatch, folder):
    assert models.resolve() == str(POCKET)
    monkeypatch.setenv("FTKIT_MODEL", str(folder))
    assert models.resolve() == str(folder)
    assert models.resolve("pocket") == str(POCKET)
    assert models.resolve("owner/name") == "owner/name"


def test_a_local_directory_loads(folder):
    model, tokenizer = models.load(folder)
    assert model.dtype == torch.float32
    assert not model.training
    assert tokenizer.pad_token != tokenizer.eos_token


def test_another_architecture_from_a_local_directory(tmp_path):
    """Another family, no chat template, no pad token; bfloat16 on disk is float32 on a CPU."""
    config = Qwen2Config(
        vocab_size=1280,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    Qwen2ForCausalLM(config).bfloat16().save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(POCKET)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path)
    model, tokenizer = models.load(tmp_path)
    assert model.dtype == torch.float32
    assert tokenizer.pad_token == tokenizer.eos_token
    assert len(models.linears(model)) == 2 * 7


@pytest.mark.parametrize("quant", ["nf4", "int8"])
def test_quantized_models_load_and_answer(quant):
    model, tokenizer = models.load("pocket", quant=quant)
    chat = [{"role": "user", "content": "Repeat: lamp chair"}]
    assert models.answer(model, tokenizer, [chat]) == ["lamp chair"]


def test_an_unknown_name(monkeypatch):
    refused("pockett", "'pockett'", "Did you mean 'pocket'?", "owner/name")
    monkeypatch.setenv("FTKIT_MODEL", "nowhere")
    refused(None, "'nowhere'")


def test_a_hub_id_without_a_network_is_one_sentence():
    refused("owner/no-such-model", "owner/no-such-model", "local directory")


def test_a_quantization_that_does_not_exist():
    with pytest.raises(UserError, match="Did you mean 'nf4'"):
        models.load("pocket", quant="nf5")


def test_a_file_in_place_of_a_directory(folder):
    refused(folder / "config.json", "is a file")


def test_a_directory_without_a_model(tmp_path):
    refused(tmp_path, "config.json")


def test_a_directory_without_weights(folder):
    (folder / "model.safetensors").unlink()
    refused(folder, "no *.safetensors")


@pytest.mark.parametrize("keep", [4, 100, 5_000_000])
def test_a_truncated_safetensors(folder, keep):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    refused(folder, "model.safetensors", f"{keep:,} bytes", "copy or download")


def test_a_corrupt_header(folder):
    file = folder / "model.safetensors"
    file.write_bytes(b"\xff" * 8 + file.read_bytes()[8:])
    refused(folder, "not a whole safetensors")


def test_a_pickle_is_never_opened(folder, monkeypatch):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    monkeypatch.setattr(torch, "load", lambda *a, **k: pytest.fail("a pickle was opened"))
    refused(folder, "pytorch_model.bin", "pickle", "safetensors")


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (
            {"dtype": "bfloat"},
            "dtype is 'bfloat'; give 'float32', 'bfloat16', 'float16', or None."
            " Did you mean 'bfloat16'",
        ),
        ({"device": "gpu"}, "device is 'gpu'; give 'cuda', 'cpu', or None"),
        ({"device": "cuda"}, "device is 'cuda' and torch sees no GPU here; give device='cpu'"),
    ],
)
def test_a_device_or_dtype_that_is_not_there(asked, sentence, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=re.escape(sentence)):
        models.load("pocket", **asked)


@pytest.mark.parametrize("quant", [None, "nf4"])
def test_a_dtype_can_be_asked_for_and_the_environment_can_choose_it(quant, monkeypatch):
    assert models.load("pocket", quant, dtype="bfloat16", device="cpu")[0].dtype == torch.bfloat16
    monkeypatch.setenv("FTKIT_DTYPE", "bfloat16")
    assert models.load("pocket", quant)[0].dtype == torch.bfloat16
    assert models.load("pocket", quant, dtype="float32")[0].dtype == torch.float32
    monkeypatch.setenv("FTKIT_DTYPE", "bf16")
    with pytest.raises(
        UserError, match=r"FTKIT_DTYPE is 'bf16'; give float32, bfloat16, float16, or unset it"
    ):
        models.load("pocket")
