"""Run folders without a training: adapters with numbers of their own, and records that fit them."""

import json
import math

import torch
from safetensors.torch import save_file

from ftkit import data, evaluate, lora, models, train
from ftkit.core.versions import recorded_versions

STATED = {"rows": 12, "lora": {"r": 2, "alpha": 4}, "recipe": {"epochs": 1, "batch_size": 4}}


def write_run(folder, seed, **changed):
    """A run folder as `train` writes one; its adapter has random numbers in B."""
    base, tokenizer = models.load("pocket")
    experiment = train.Experiment.from_dict({**STATED, "model": "pocket"})
    splits = experiment.load_splits()
    prints = {"base": models.fingerprint(base), "train": train.hash_rows(splits["train"])}
    tuned = lora.attach(base, r=2, alpha=4).eval()
    torch.manual_seed(seed)
    for name, numbers in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(numbers, std=0.05)
    tuned.save_pretrained(folder / "adapter")
    tokenizer.save_pretrained(folder / "adapter")
    loss = math.log(evaluate.perplexity(tuned, tokenizer, splits["validation"]))
    record = {
        "experiment": experiment.to_dict(),
        "hashes": prints,
        "versions": recorded_versions(),
        "steps": 3,
        "best_step": 3,
        "losses": [[1, 1.0], [3, 0.9]],
        "validation": [[3, loss]],
        "trainable": sum(p.numel() for p in tuned.parameters() if p.requires_grad),
        "notes": [],
        **changed,
    }
    (folder / "run.json").write_text(json.dumps(record))
    rows = {s: [data.row_hash(row) for row in splits[s]] for s in ("train", "validation")}
    (folder / "rows.json").write_text(json.dumps(rows))
    return folder


def write_adapter(folder, value=1.0, base="pocket", **stated):
    """An adapter's files, as small as they can be: rank 1, on one matrix of the pocket model."""
    folder.mkdir(parents=True)
    layer = "base_model.model.model.layers.0.self_attn.q_proj.lora_"
    factors = {"A": torch.full((1, 256), value), "B": torch.full((256, 1), value)}
    tensors = {f"{layer}{side}.weight": factor for side, factor in factors.items()}
    save_file(tensors, folder / "adapter_model.safetensors")
    where = {"target_modules": ["q_proj"], "layers_to_transform": [0], "r": 1, "lora_alpha": 1}
    config = {"peft_type": "LORA", "base_model_name_or_path": base, **where, **stated}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder
