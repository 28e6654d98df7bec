"""Run folders without a training: an adapter with an effect beside the record of a run."""

import json
import warnings

import torch

from ftkit import methods, models, train


def write_run(folder, model="pocket", effect=0.02, seed=0, peft=None, **stated):
    """A run folder as `train.save_run` writes it, whose adapter was drawn and not trained.

    effect: the spread of what is zero in an untrained adapter. peft: more options of the adapter,
    which no recipe states. stated: fields of `train.Experiment`.
    """
    experiment = train.Experiment.from_dict({"model": str(model), **stated})
    base, tokenizer = models.load(experiment.model, experiment.quant)
    made = {"base": models.fingerprint(base), "train": "0" * 64}
    options = dict(experiment.lora or {})
    if isinstance(experiment.method, dict):
        options = {key: value for key, value in experiment.method.items() if key != "name"}
    name = "lora" if experiment.lora is not None else experiment.method_name
    torch.manual_seed(seed)
    with warnings.catch_warnings(action="ignore"):
        tuned = methods.attach(base, name, tokenizer=tokenizer, **options, **(peft or {}))
    for label, parameter in tuned.named_parameters():
        if "lora_B" in label or name == "full":
            parameter.data += effect * torch.randn_like(parameter) / (50 if name == "full" else 1)
    folder.mkdir(parents=True)
    weights = folder / ("adapter" if experiment.trains_adapter else "model")
    tuned.save_pretrained(weights)
    tokenizer.save_pretrained(weights)
    record = {"experiment": experiment.to_dict(), "hashes": made, "versions": {}}
    record |= {"steps": 1, "losses": [], "validation": [], "seconds": 1.0}
    (folder / "run.json").write_text(json.dumps(record))
    return folder
