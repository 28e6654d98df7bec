"""Model folders that are wrong somewhere: loaded to the last number, or refused."""

import json
import shutil

import pytest
import torch
from families import FAMILIES, write
from fuzzing import SIZES, as_json, change, change_tensors, hash_tree, run_cases, scramble
from safetensors.torch import load_file, save

from ftkit import models
from ftkit.models import loading

CHAT = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
WEIGHTS = "model.safetensors"
STATED = (
    ("model_type", ("qwen2", "x", None, "bert", 5)), ("vocab_size", (400, 10, 0, "x", 10**4)),
    ("num_hidden_layers", (1, 3, 0, "2", None)), ("hidden_size", (64, 16, 0, -1)),
    ("tie_word_embeddings", (True, False, None, "x")), ("eos_token_id", (None, 5, [1, 2], -1, "x",
    10**6)),
    ("pad_token_id", (None, -1, 10**6)), ("num_key_value_heads", (4, 3, 1, 0)), ("head_dim", (8, 7,
    0)),
    ("rope_theta", (0, "x", None)), ("rope_parameters", ({"rope_type": "yarn"}, {"rope_type": "x"},
    5)),
    ("quantization_config", ({}, {"quant_method": "gptq"}, "x", {"quant_method": "bitsandbytes"})),
    ("auto_map", ({"AutoModelForCausalLM": "x.Y"}, "x")), ("architectures", (["X"], None, [], "x")),
    ("hidden_act", ("x", "gelu", None)), ("attention_dropout", (0.5, "x")), ("dtype", ("float16",
    "x")),
    ("max_position_embeddings", (0, 4, None, "x")), ("rms_norm_eps", (0, "x", -1)),
    ("is_encoder_decoder", (1,)),
    ("attention_bias", (True, "x")), ("mlp_bias", (True,)), ("sliding_window", (1, "x")),
)  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return [
        write(name, tmp_path_factory.mktemp(name), **SIZES, **extra)
        for name, extra in {"llama": {}, "qwen": {"tie_word_embeddings": True}}.items()
    ]


def draw_folder(case, source):
    """A copy of a model's folder with none or some faults in it."""
    rng, folder = case.rng, case.folder / "model"
    shutil.copytree(source, folder)
    what = rng.choice(["none", "config", "config", "tensors", "tensors", "bytes", "json", "files"])
    names = sorted(path.name for path in folder.iterdir())
    if what == "config":
        config = json.loads((folder / "config.json").read_text())
        key, values = rng.choice(STATED)
        config[key] = rng.choice(values)
        case.did.append(f"{key} = {config[key]!r}")
        (folder / "config.json").write_text(json.dumps(config))
    elif what == "tensors":
        (folder / WEIGHTS).write_bytes(save(change_tensors(load_file(folder / WEIGHTS), rng)))
    elif what == "bytes":
        name = rng.choice(names)
        case.write(f"model/{name}", scramble((folder / name).read_bytes(), rng))
    elif what == "json":
        change_json(case, folder, rng)
    elif what == "files":
        change_files(case, folder, rng.choice(names))
    return folder


def change_json(case, folder, rng):
    """A fault in one of the JSON files."""
    name = rng.choice(sorted(path.name for path in folder.glob("*.json")))
    value = json.loads((folder / name).read_text())
    change((value, rng.choice(sorted(value))), rng)
    case.write(f"model/{name}", as_json(value, rng).encode("utf-8", "surrogatepass"))


def change_files(case, folder, name):
    """A file too few, too many, or by another name."""
    rng = case.rng
    way = rng.randrange(5)
    if way == 0:
        (folder / name).unlink()
    elif way == 1:
        (folder / name).rename(folder / f"{name}{rng.choice(['.old', '.bin', '.json'])}")
    elif way == 2:
        case.write(
            f"model/{rng.choice(['pytorch_model.bin', 'adapter_config.json', 'x.safetensors'])}",
            b"x",
        )
    elif way == 3:
        template = rng.choice([FAMILIES["gemma"][2], "{% x", "{{ y.z }}", "", "{{ messages }}"])
        case.write("model/chat_template.jinja", template)
    else:
        index = {
            "metadata": {},
            "weight_map": rng.choice([{}, {"a": WEIGHTS}, {"a": "b"}, [], None]),
        }
        case.write("model/model.safetensors.index.json", json.dumps(index))
    case.did.append(f"files: {way} of {name}")


def load_any(case, folders):
    """A model has every number of its file and answers with finite ones, or it is refused."""
    folder = draw_folder(case, case.rng.choice(folders))
    before = hash_tree(folder)
    loaded, _ = case.call(models.load, folder, names=[folder, folder.name])
    assert hash_tree(folder) == before, "loading changed the files"
    if loaded is None:
        return
    model, tokenizer = loaded
    stored, values = load_file(folder / WEIGHTS), model.state_dict()
    for name, tensor in stored.items():
        if name in values:  # others may be a part that no language model has
            assert torch.equal(values[name].float(), tensor.float()), f"{name} has other values"
    own = {parameter.data_ptr() for name, parameter in model.named_parameters() if name in stored}
    strange = [n for n, p in model.named_parameters() if p.data_ptr() not in own]
    assert not strange, f"random values in {strange[:2]}"
    say_something(case, model, tokenizer)


def say_something(case, model, tokenizer):
    """A model that is loaded writes an answer, or says what keeps it from it."""
    replies, refused = case.call(models.answer, model, tokenizer, [CHAT[:1]], max_new_tokens=2)
    assert refused or isinstance(replies[0], str)


def test_a_model_is_loaded_whole_or_refused(tmp_path, folders):
    run_cases("models", 120, lambda case: load_any(case, folders), tmp_path)


def test_the_fuzz_finds_numbers_that_are_passed_over(tmp_path, folders, monkeypatch):
    monkeypatch.setattr(loading, "check_loaded", lambda *given: None)
    with pytest.raises(AssertionError, match="random values"):
        run_cases("models", 40, lambda case: load_any(case, folders), tmp_path)
