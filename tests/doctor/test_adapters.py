"""An adapter from elsewhere: whole and trained it raises nothing, and each damage its own check."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from verbs import invoke

from ftkit import doctor, lora, models
from ftkit.core import files
from ftkit.doctor import adapters

WEIGHTS = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """An adapter whose B are no longer 0, with the tokenizer beside it."""
    folder = tmp_path_factory.mktemp("adapters") / "whole"
    model, tokenizer = models.load("pocket")
    adapted = lora.attach(model, r=4, alpha=8, seed=0)
    torch.manual_seed(0)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.copy_(0.02 * torch.randn(weight.shape))
    adapted.save_pretrained(str(folder))
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "adapter")


def rewrite(folder, change):
    """Change the tensors of an adapter."""
    tensors = load_file(folder / WEIGHTS)
    save_file(change(tensors), folder / WEIGHTS)


def restate(folder, **values):
    """Change its configuration."""
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def wrong(folder, base="pocket"):
    return {f.check: f for f in doctor.examine(folder, base).wrong}


def test_a_whole_one_raises_nothing(folder):
    found = doctor.examine(folder, "pocket")
    assert [f.detail for f in found.wrong] == []
    said = {f.check: f.message for f in found.findings}
    assert "56 tensors" in said["files"] and said["base"].startswith("every module")
    assert said["rank"] == "B·A has the rank that the shapes promise"


def zeroed(part, layers=""):
    return lambda tensors: {
        name: tensor * (not (part in name and layers in name)) for name, tensor in tensors.items()
    }


def first_set(value, dtype=torch.float32):
    def change(tensors):
        name = next(iter(tensors))
        return tensors | {name: tensors[name].to(dtype).fill_(value)}

    return change


def flat(tensors):
    rows = torch.arange(1, 4)
    return {
        n: t.clone().index_fill_(0, rows, 0) if "lora_A" in n else t for n, t in tensors.items()
    }


@pytest.mark.parametrize(
    ("change", "check", "said"),
    [
        (zeroed("lora_B"), "learning", "all 28 B are 0"),
        (zeroed("lora_B", "layers.0."), "learning", "7 of 28 B are 0"),
        (first_set(float("nan")), "numbers", "NaN or infinite, so every"),
        (first_set(float("inf"), torch.float16), "numbers", "65,504: an overflow"),
        (flat, "rank", "(1 of 4 directions"),
        (lambda tensors: {}, "files", "holds no tensor"),
        (
            lambda tensors: {name: tensor[:0].clone() for name, tensor in tensors.items()},
            "files",
            "56 tensors without a number",
        ),
        (
            lambda tensors: {n: t for n, t in tensors.items() if "layers.3" in n},
            "modules",
            "1 of 4 blocks",
        ),
        (
            lambda tensors: {n.replace("q_proj", "query"): t for n, t in tensors.items()},
            "base",
            "which this model does not have",
        ),
    ],
)
def test_each_damage_has_its_check_with_a_cure(folder, change, check, said):
    rewrite(folder, change)
    found = wrong(folder)
    assert said in found[check].message and found[check].cure


def test_the_first_rows_of_a_healthy_adapter_are_no_rank_deficiency(folder):
    """A direction that is a hundred times weaker than the first is still one."""
    rewrite(
        folder,
        lambda tensors: {
            n: t * torch.tensor([1, 1, 1, 1e-2])[:, None] if "lora_A" in n else t
            for n, t in tensors.items()
        },
    )
    assert wrong(folder) == {}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"lora_alpha": 128}, "added 32 times"),
        ({"lora_alpha": 256, "use_rslora": True}, "128 times (alpha 256, r 4, rsLoRA)"),
        ({"lora_alpha": 0.1}, "added 0.025 times"),
    ],
)
def test_an_alpha_that_is_hardly_meant_is_named(folder, values, said):
    restate(folder, **values)
    assert said in wrong(folder)["scale"].message


@pytest.mark.parametrize("values", [{"lora_alpha": 16}, {"lora_alpha": 32, "use_rslora": True}])
def test_a_usual_alpha_is_fine(folder, values):
    restate(folder, **values)
    assert wrong(folder) == {}


def test_a_pickle_is_named_and_never_opened(folder, monkeypatch):
    (folder / WEIGHTS).unlink()
    (folder / "adapter_model.bin").write_bytes(b"not even a pickle")
    monkeypatch.setattr(torch, "load", None)
    found = wrong(folder)
    assert list(found) == ["files"]
    assert "adapter_model.bin, a pickle, which can run code" in found["files"].message
    assert "save_pretrained" in found["files"].detail


def test_without_the_base_the_rest_is_looked_at(folder):
    restate(folder, base_model_name_or_path="nobody/nowhere")
    found = doctor.examine(folder)
    assert found.wrong == []
    base = next(f for f in found.findings if f.check == "base")
    assert "nobody/nowhere, is not on this machine; give one: --base" in base.message
    rewrite(folder, zeroed("lora_B"))
    assert list(wrong(folder, None)) == ["learning"]


def test_a_tokenizer_with_more_tokens_than_the_base_is_named(folder):
    tokenizer = models.saved_tokenizer(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|stop|>"]})
    tokenizer.save_pretrained(folder)
    assert "1,281 tokens and the base 1,280" in wrong(folder)["tokens"].message


def test_a_template_that_ends_no_answer_is_named(folder):
    tokenizer = models.saved_tokenizer(folder)
    tokenizer.chat_template = str(tokenizer.chat_template).replace(
        "message['content'] + '<|end|>' }}{% endgeneration", "message['content'] }}{% endgeneration"
    )
    tokenizer.save_pretrained(folder)
    assert "writes nothing behind an answer" in wrong(folder)["template"].message


def test_a_template_without_marks_is_told_and_not_called_wrong(folder):
    tokenizer = models.saved_tokenizer(folder)
    template = str(tokenizer.chat_template)
    for mark in ("{% generation %}", "{% endgeneration %}"):
        template = template.replace(mark, "")
    tokenizer.chat_template = template
    assert "assistant_only_loss" in adapters.check_saved_template(tokenizer, "").message
    assert adapters.check_saved_template(tokenizer, "").ok


def test_the_log_beside_a_checkpoint_is_read(folder):
    logged = [{"step": n, "loss": 1 / n} for n in range(1, 13)]
    logged += [{"step": n, "eval_loss": value} for n, value in ((4, 0.5), (8, 0.3), (12, 0.9))]
    (folder / "trainer_state.json").write_text(json.dumps({"log_history": logged}))
    found = wrong(folder)
    assert list(found) == ["over-fitting"] and "0.3" in found["over-fitting"].message


def test_the_verb_takes_an_adapter_and_its_base(folder):
    done = invoke("doctor", folder, "--base", "pocket")
    assert done.exit_code == 0, done.output
    rewrite(folder, zeroed("lora_B"))
    done = invoke("doctor", folder, "--base", "pocket", "--json")
    assert done.exit_code == 1
    bad = [f["check"] for f in json.loads(done.stdout)["findings"] if not f["ok"]]
    assert bad == ["learning"]


def test_an_adapter_of_another_base_of_the_same_shape_is_wrong(folder, tmp_path):
    base = shutil.copytree(files.data_path("pocket"), tmp_path / "two" / "pocket")
    tensors = load_file(base / "model.safetensors")
    save_file({name: 1.1 * tensor for name, tensor in tensors.items()}, base / "model.safetensors")
    restate(folder, base_model_name_or_path=str(base))
    assert doctor.examine(folder).wrong == []
    found = wrong(folder, "pocket")
    assert list(found) == ["base"]
    assert f"was trained on another base, {base}: its" in found["base"].message
    assert f"models.load('{base}')" in found["base"].detail
    # its own base is gone: it is said that nobody looked
    restate(folder, base_model_name_or_path="/gone/pocket")
    found = {f.check: f.message for f in doctor.examine(folder, "pocket").findings}
    assert "in its shape; its weights are not looked at: there is no whole" in found["base"]
