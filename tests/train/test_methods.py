"""Any method goes through a run: trained, recorded, saved, opened again, looked over by doctor."""

import warnings

import pytest
import torch

from ftkit import data, doctor, lora, methods, models, train

RATES = {"ia3": 1e-1, "prefix": 1e-1, "p_tuning": 1e-2, "adalora": 5e-2, "bottleneck": 4e-3}
IDS = torch.arange(6, 40)[None]


def logits(model):
    with torch.no_grad():
        return models.read(model.eval(), input_ids=IDS).logits


@pytest.mark.parametrize("name", RATES)
def test_a_run_in_its_folder(name, tmp_path):
    recipe = train.Recipe(RATES[name], epochs=1, batch_size=4, evaluations=0, seed=1)
    experiment = train.Experiment("pocket", rows=16, method=name, recipe=recipe)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        run = train.train_into(experiment, tmp_path / "out")
    assert run.losses[-1][1] < run.losses[0][1] < 2  # AdaLoRA's penalty is not in the curve
    tuned, base, _ = train.reopen(tmp_path / "out")
    assert methods.name_of(tuned) == name
    assert torch.allclose(logits(tuned), logits(run.model), atol=1e-4)
    assert not torch.allclose(logits(tuned), logits(base), atol=1e-2)

    # the same call is the same run, and its record makes it again
    assert train.train_into(experiment, tmp_path / "out") is None
    again = train.Experiment.read(tmp_path / "out")
    assert again == experiment and again.method_name == name
    found = {one.check: one for one in doctor.examine_run(tmp_path / "out").findings}
    for check in ("record", "adapter", "learning rate", "learning"):
        assert found[check].ok, found[check]
    assert methods.METHODS[name].title in found["record"].message


def test_the_same_call_on_a_pruned_adapter_is_the_same_run():
    model, tokenizer = models.load("pocket")
    adapted = methods.attach(model, "adalora", r=2, first_r=4, seed=0)
    rows = data.first(data.load("tickets")["train"], 12)
    recipe = train.Recipe(5e-2, epochs=2, batch_size=4, evaluations=0)
    runs = [train.sft(adapted, tokenizer, rows, recipe) for _ in range(2)]
    assert runs[0].losses == runs[1].losses
    kept = adapted.peft_config["default"].rank_pattern
    assert sum(map(sum, kept.values())) == 2 * len(kept)
    assert runs[0].training.start == "untouched AdaLoRA"


def test_a_rate_of_another_method_is_warned_of_with_the_usual_ones():
    model, tokenizer = models.load("pocket")
    adapted = methods.attach(model, "prompt", tokens=2)
    rows = data.first(data.load("tickets")["train"], 4)
    recipe = train.Recipe(1e-3, epochs=1, batch_size=4, evaluations=0, warmup=0)
    with pytest.warns(UserWarning, match=r"for prompt tuning usual rates lie between 0\.003"):
        train.sft(adapted, tokenizer, rows, recipe)


def test_near_the_base_counts_no_virtual_token():
    model, tokenizer = models.load("pocket")
    adapted = methods.attach(model, "prompt", tokens=3, text="Write JSON.")
    rows = data.first(data.load("tickets")["train"], 4)
    recipe = train.Recipe(1e-1, epochs=1, batch_size=4, evaluations=0, warmup=0, kl=0.5)
    run = train.sft(adapted, tokenizer, rows, recipe)
    with lora.using(run.model, None):
        assert models.virtual_tokens(run.model) == 0
    assert run.losses[0][1] > 0
