"""Adapters that are wrong somewhere: on the base to the last tensor, or refused whole."""

import json

import pytest
import torch
from families import write
from fuzzing import SIZES, as_json, change, change_tensors, hash_tree, run_cases, scramble
from peft import get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save

from ftkit import lora, models
from ftkit.lora import saved

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """(the base, its adapter's files): small, and its adapter says something."""
    folder = write("llama", tmp_path_factory.mktemp("base"), **SIZES)
    model, _ = models.load(folder)
    torch.manual_seed(0)
    tuned = lora.attach(model, r=4, alpha=8, targets=["q_proj", "v_proj", "down_proj"])
    for name, values in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(values.data)
    tuned.save_pretrained(str(folder / "adapter"))
    return models.load(folder)[0], folder / "adapter"


STATED = (
    ("r", (2, 8, 0, -1, "4", 4.0, None, 10**6)), ("lora_alpha", (0, -4, "8", None, 1e40, 16)),
    ("target_modules", ("all-linear", ["q_proj"], [], None, ".*", "(", ["head"], ["lm_head"],
    "q_proj")),
    ("bias", ("all", "lora_only", "some")), ("use_dora", (True, "yes", 1)), ("use_rslora", (True,
    "x")),
    ("rank_pattern", ({"q_proj": 2}, {"x": 2}, {"(": 2}, [], {"q_proj": 0})), ("fan_in_fan_out",
    (True,)),
    ("alpha_pattern", ({"v_proj": 3}, {"v_proj": None}, 5)), ("modules_to_save", (["lm_head"],
    ["x"], 3)),
    ("layers_to_transform", ([0], [9], 0, "all", [])), ("layers_pattern", ("layers", "x",
    ["layers"])),
    ("peft_type", ("IA3", "lora", None, 5)), ("task_type", ("SEQ_CLS", None, "x", 1)),
    ("init_lora_weights", ("pissa", "gaussian", "eva", "x", 7)), ("revision", ("main", 5)),
    ("base_model_name_or_path", (None, "x/y", 5, "")), ("layer_replication", ([[0, 2]], "x")),
    ("exclude_modules", (["q_proj"], ".*", "x")), ("lora_bias", (True,)), ("auto_mapping",
    ({"a": 1},)),
    ("lora_dropout", (0.5, "x", 2.0, -1)), ("trainable_token_indices", ([1, 2], [10**6], "x")),
    ("target_parameters", (["x"], ["q_proj.weight"])), ("runtime_config", ({}, {"a": 1})), ("xyz",
    (1, 0)),
    ("loftq_config", ({"bits": 4}, 5)), ("megatron_config", ({}, {"a": 1})), ("corda_config", ({},
    3)),
)  # fmt: skip


def draw_adapter(case, source):
    """A copy of an adapter with none or some faults in it; its folder."""
    rng = case.rng
    tensors, config = load_file(source / WEIGHTS), json.loads((source / CONFIG).read_text())
    what = rng.choice(["none", "tensors", "tensors", "config", "config", "any", "both", "bytes"])
    if what in ("tensors", "both"):
        for _ in range(rng.choice([1, 1, 2])):
            tensors = change_tensors(tensors, rng) if tensors else tensors
    if what in ("config", "both"):
        key, values = rng.choice(STATED)
        config[key] = rng.choice(values)
    if what == "any":
        change((config, rng.choice(sorted(config))), rng)
    raw, text = save(tensors), as_json(config, rng).encode("utf-8", "surrogatepass")
    if what == "bytes":
        raw, text = rng.choice([(scramble(raw, rng), text), (raw, scramble(text, rng))])
    if rng.random() < 0.97:
        case.write(f"adapter/{rng.choice([WEIGHTS] * 20 + ['adapter_model.bin'])}", raw)
    case.write(f"adapter/{CONFIG}", text)
    case.did.append(f"{what}: {sorted(tensors)[:3]}, {config}")
    return case.folder / "adapter"


def load_any(case, base):
    """An adapter is on the base to the last tensor, or it is refused and the base untouched."""
    model, source = base
    folder = draw_adapter(case, source)
    before, files = [name for name, _ in model.named_parameters()], hash_tree(folder)
    tuned, _ = case.call(lora.load, model, folder, names=[folder])
    assert hash_tree(folder) == files, "loading changed the files"
    if tuned is None:
        assert [name for name, _ in model.named_parameters()] == before, (
            "refused, and half of it on"
        )
        assert not hasattr(model, "peft_config"), "refused, and its configuration stays"
        return

    # every tensor of the file is on the model, with its values, and none of the adapter without
    try:
        held = load_file(folder / WEIGHTS)
        on = get_peft_model_state_dict(tuned, save_embedding_layers=False)
        held = {name.replace(".default", ""): values for name, values in held.items()}
        assert set(on) <= set(held), f"not in the file: {sorted(set(on) - set(held))[:2]}"
        for name, values in on.items():
            assert torch.equal(values, held[name].to(values.dtype)), f"{name} has other values"
        config = json.loads((folder / CONFIG).read_text())
        layers = [m for m in tuned.modules() if isinstance(m, LoraLayer)]
        scales = {layer.scaling["default"] for layer in layers}
        root = config["r"] ** 0.5 if config.get("use_rslora") else config["r"]
        if not config.get("alpha_pattern") and not config.get("rank_pattern"):
            assert scales == {config["lora_alpha"] / root}, f"scaled by {scales}"
    finally:
        tuned.unload()
        if hasattr(model, "peft_config"):
            del model.peft_config


def test_an_adapter_is_loaded_whole_or_refused(tmp_path, base):
    run_cases("adapters", 150, lambda case: load_any(case, base), tmp_path)


def test_the_fuzz_finds_a_tensor_that_is_passed_over(tmp_path, base, monkeypatch):
    monkeypatch.setattr(saved, "check_tensors", lambda *given: None)
    with pytest.raises(AssertionError, match="not in the file"):
        run_cases("adapters", 40, lambda case: load_any(case, base), tmp_path)
