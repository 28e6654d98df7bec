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


def write_adapter(folder, value=1.0, base="pocket"):
    """An adapter's files, as small as they can be; no model would take them."""
    folder.mkdir(parents=True)
    save_file({"A": torch.full((4,), value)}, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
    return folder
