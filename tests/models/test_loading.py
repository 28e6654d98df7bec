"""Loading: what is refused, and with which sentence."""

import json
import re
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
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


# Folders that are not whole, or not what they say: refused, where transformers loads most of them
# with random, left out or other weights, and a warning.


def rewrite(folder, change):
    file = folder / "model.safetensors"
    save_file(change(load_file(file)), file, {"format": "pt"})


def state(folder, name="config.json", **values):
    stated = json.loads((folder / name).read_text()) | values
    (folder / name).write_text(json.dumps(stated))


UP = "model.layers.1.mlp.up_proj.weight"


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda t: {n: v for n, v in t.items() if n != UP}, ["1 tensors more", UP]),
        (lambda t: {**t, UP.replace(".1.", ".9."): t[UP] + 0}, ["no place for", "layers.9.mlp"]),
        (lambda t: {**t, UP.replace("weight", "bias"): t[UP][0] + 0}, ["no place for", "bias"]),
        (lambda t: {f"module.{name}": v for name, v in t.items()}, ["tensors more"]),
        (lambda t: {**t, UP: t[UP] / 0}, ["NaN or infinite", UP]),
        (lambda t: {**t, UP: t[UP][:9] + 0}, [f"{UP} is (9, 256) in the file", "by config.json"]),
        (lambda t: {**t, UP: (t[UP] * 99).to(torch.int8)}, [UP, "as I8", "quantized already"]),
        (
            lambda t: {**t, UP.replace("weight", "lora_A.weight"): t[UP] + 0},
            ["parts of an adapter beside the model", "up_proj.lora_A.weight"],
        ),
        (
            lambda t: {n.replace("up_proj.", "up_proj.base_layer."): v for n, v in t.items()},
            ["parts of an adapter beside the model", "merge_and_unload"],
        ),
    ],
)
def test_tensors_that_the_configuration_does_not_make(change, parts, folder):
    rewrite(folder, change)
    refused(folder, *parts)


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"num_hidden_layers": 2}, ["no place for", "layers.2"]),
        ({"num_hidden_layers": 6}, ["tensors more", "layers.4"]),
        ({"intermediate_size": 999}, ["999", "belong to different models"]),
        ({"vocab_size": 1000}, ["embed_tokens.weight is (1280, 256) in the file and (1000, 256)"]),
        ({"num_attention_heads": 7}, ["could not load"]),
        ({"tie_word_embeddings": False}, ["lm_head.weight"]),
        ({"model_type": "lama"}, ["could not load", "`lama`"]),
        ({"model_type": "t5"}, ["could not load", "T5Config"]),
        ({"model_type": "bert"}, ["tensors more"]),
        ({"dtype": "float3"}, ["could not load", "float3"]),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, ["already", "says gptq"]),
        ({"quantization_config": {"quant_method": "magic"}}, ["already", "says magic"]),
        (
            {"model_type": "mine", "auto_map": {"AutoConfig": "configuration_mine.C"}},
            ["program code that it brings along, which is never run"],
        ),
    ],
)
def test_a_configuration_of_another_model(values, parts, folder):
    state(folder, **values)
    refused(folder, *parts)


@pytest.mark.parametrize(
    ("name", "text", "parts"),
    [
        ("config.json", "{", ["config.json is not JSON", "copy or download it again"]),
        ("config.json", "[]", ["config.json is no configuration"]),
        ("generation_config.json", "{", ["generation_config.json is not JSON"]),
        ("generation_config.json", '{"max_new_tokens": -3}', ["could not load", "max_new_tokens"]),
        ("tokenizer.json", "{", ["could not load"]),
        ("tokenizer_config.json", "{", ["could not load"]),
        ("chat_template.jinja", "{% for m in %}", ["is no Jinja", "line 1"]),
        ("adapter_config.json", "{}", ["an adapter (adapter_config.json) beside the model"]),
    ],
)
def test_a_file_beside_the_weights_that_is_damaged(name, text, parts, folder):
    (folder / name).write_text(text)
    refused(folder, *parts)


def test_a_folder_without_a_tokenizer(folder):
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (folder / name).unlink()
    refused(folder, "holds no tokenizer", "tokenizer.save_pretrained(folder)")
    with pytest.raises(UserError, match="holds no tokenizer"):
        models.load_tokenizer(folder)


def test_the_tokenizer_alone_is_found_as_the_model_is(folder, monkeypatch):
    asked = []

    def download(hub_id, *, weights):
        asked.append((hub_id, weights))
        return str(folder)

    monkeypatch.setattr("ftkit.models.loading.download", download)
    tokenizer = models.load_tokenizer("owner/name")
    assert asked == [("owner/name", False)]
    assert tokenizer.get_vocab() == models.load_tokenizer(folder).get_vocab()


@pytest.mark.parametrize(
    ("name", "said"),
    [("adapter_config.json", "it is an adapter: load its base"), ("run.json", "it is a run")],
)
def test_folders_that_hold_no_model_are_told_apart(name, said, tmp_path):
    (tmp_path / name).write_text("{}")
    refused(tmp_path, "no config.json", said)


@pytest.fixture
def sharded(folder):
    """The model in several files and an index."""
    model = models.load(folder)[0]
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="3MB")
    return folder


INDEX = "model.safetensors.index.json"


def test_several_files_by_an_index_are_one_model(sharded):
    assert models.load(sharded)[0].dtype == torch.float32
    state(sharded, INDEX, weight_map={UP: "../../x.safetensors"})
    refused(sharded, INDEX, "../../x.safetensors")
    for text, said in (("{}", "holds no weight_map"), ("{", "is not JSON")):
        (sharded / INDEX).write_text(text)
        refused(sharded, said)
    (sharded / INDEX).unlink()
    refused(sharded, "neither model.safetensors nor")


def test_a_tensor_that_lies_in_two_files_is_none(sharded):
    """transformers takes the one of the file that it reads last, whatever the index says."""
    first, second = sorted(sharded.glob("model-*.safetensors"))[:2]
    name, tensor = next(iter(load_file(first).items()))
    save_file({**load_file(second), name: tensor * 0}, second, {"format": "pt"})
    refused(sharded, name, "twice", first.name, second.name)


def test_a_file_that_the_index_names_and_a_file_that_it_does_not(sharded):
    second = sorted(sharded.glob("model-*.safetensors"))[1]
    shutil.copy(POCKET / "model.safetensors", sharded)
    refused(sharded, "another in", "only one can be meant")
    (sharded / "model.safetensors").unlink()
    second.unlink()
    refused(sharded, INDEX, second.name, "not beside it")


def test_a_folder_that_may_not_be_read_is_one_sentence(folder, monkeypatch):
    def locked(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("ftkit.models.files.check_weights", locked)
    refused(folder, "could not read", "Permission denied")


def test_the_base_is_known_from_another_working_directory(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder.parent)
    model, _ = models.load(f"./{folder.name}")
    monkeypatch.chdir("/")
    assert models.fingerprint(model) == models.hash_weights(folder)


def test_a_greedy_generation_config_with_a_temperature_can_be_saved(folder, tmp_path):
    """transformers loads such a configuration and refuses to save it."""
    stated = {"do_sample": False, "temperature": 0.5, "eos_token_id": 2, "repetition_penalty": 1.1}
    (folder / "generation_config.json").write_text(json.dumps(stated))
    models.load(folder)[0].save_pretrained(tmp_path / "again")
    written = json.loads((tmp_path / "again" / "generation_config.json").read_text())
    assert "temperature" not in written
    assert written["repetition_penalty"] == 1.1


@pytest.mark.parametrize(
    ("file", "stated", "message"),
    [
        ("config.json", {"is_encoder_decoder": True}, "an encoder and a decoder"),
        ("config.json", {"sliding_window": "x"}, "can't read a token"),
        ("tokenizer_config.json", {"pad_token": None, "eos_token": None}, "names no token that"),
        ("tokenizer_config.json", {"model_max_length": [1]}, r"model_max_length = \[1\]"),
    ],
)
def test_a_configuration_that_breaks_off_later_is_refused_at_once(folder, file, stated, message):
    values = json.loads((folder / file).read_text()) | stated
    (folder / file).write_text(json.dumps(values))
    with pytest.raises(UserError, match=message):
        models.load(folder)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("{% if tools | length > 0 %}{{ tools | tojson }}{% endif %}", "object of type 'null' has"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}", "maximum recursion"),
        ("{{ messages[0].content + 1 }}", ""),
    ],
)
def test_a_chat_template_that_breaks_is_one_sentence(fault, reason, folder):
    file = folder / "chat_template.jinja"
    file.write_text(fault + file.read_text())
    refused(folder, "the chat template of", f"fails ({reason}", "mend chat_template")


def test_a_chat_template_that_breaks_on_system_messages_alone_is_given_none(folder):
    fault = "{% for m in messages %}{% if m.role == 'system' %}{{ 1 / 0 }}{% endif %}{% endfor %}"
    file = folder / "chat_template.jinja"
    file.write_text(fault + file.read_text())
    _, tokenizer = models.load(folder)
    chat = [{"role": "system", "content": "Be"}, {"role": "user", "content": "brief."}]
    assert "Be\n\nbrief." in tokenizer.apply_chat_template(chat, tokenize=False)
