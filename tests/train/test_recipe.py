"""A recipe that cannot be is one sentence, and an absurd learning rate is named."""

import re

import pytest

from ftkit import UserError, train
from ftkit.train import recipe


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"lr": -1e-3}, "lr is -0.001; give a number from 0 on"),
        ({"lr": float("nan")}, "lr is nan; give a number from 0 on"),
        ({"lr": "fast"}, "lr is 'fast'"),
        ({"lr": True}, "lr is True; give a number from 0 on"),
        ({"kl": -1}, "kl is -1; give a number from 0 on"),
        ({"kl": 10**20}, r"kl is 10{20}; give a number from 0 on, 1e\+06 at most"),
        ({"weight_decay": -1}, "weight_decay is -1; give a number from 0 on"),
        ({"epochs": -1}, "epochs is -1; give a number above 0 and up to 1,000"),
        ({"epochs": 1001}, "epochs is 1001; give a number above 0 and up to 1,000"),
        ({"batch_size": 0}, "batch_size is 0; give a whole number from 1 on, 4,096 at most"),
        ({"batch_size": 2.5}, "batch_size is 2.5; give a whole number from 1 on"),
        ({"max_length": 2**21}, "max_length is 2097152; give .* from 1 on, 1,048,576 at most"),
        ({"evaluations": -1}, "evaluations is -1; give a whole number from 0 on"),
        ({"seed": "x"}, "seed is 'x'; give a whole number from 0 on, 4,294,967,295 at most"),
        ({"seed": 2**32}, "seed is 4294967296; give a whole number from 0 on"),
        ({"lr": 10**400}, "lr is 10.*; give a number from 0 on"),
        ({"packing": 3}, "packing is 3; give true or false"),
        ({"checkpointing": None}, "checkpointing is None; give true or false"),
        ({"keep_best": "no"}, "keep_best is 'no'; give true or false"),
        ({"schedule": "liner"}, "schedule is 'liner'; give one of .* Did you mean 'linear'"),
        ({"warmup": "long"}, "warmup is 'long'; it is a share of the steps"),
        ({"warmup": 5}, "warmup is 5; it is a share of the steps, from 0 to below 1"),
        ({"micro_batch": 3}, "micro_batch is 3; give null, or .* that divides batch_size, 16"),
        ({"patience": 0}, "patience is 0; give a whole number of validation points from 1 on"),
        ({"evaluations": 0, "patience": 2}, "evaluations above 0"),
    ],
)  # fmt: skip
def test_a_bad_recipe_is_one_sentence(stated, message):
    with pytest.raises(UserError, match=message):
        train.Recipe(**stated)


def test_every_field_has_a_rule_or_a_check_beside_another_field():
    fields = train.Recipe.__dataclass_fields__.keys()
    assert {name for name, _ in recipe.RULES} | {"micro_batch"} == fields


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"name": "grpo", "group": 8.0}, r"group is 8\.0; give a whole number from 2 on"),
        ({"name": "rloo", "tokens": 64.0}, r"tokens is 64\.0; give a whole number from 1 on"),
        ({"name": "dpo", "sft": False}, "sft is False; give a number from 0 on"),
        ({"name": "kto", "sft": False}, "kto has no sft; its dials are: beta"),
        ({"name": "rloo", "temperature": True}, "temperature is True; give a number above 0"),
        ({"name": "dpo", "beta": 10**20}, r"beta is 10{20}; give a number from 0 on, 1e\+06 at"),
        ({"name": "SFT"}, r"objective is 'SFT'; give one of .* Did you mean 'sft'\?$"),
        ({"name": "orpo"}, "objective is 'orpo'; give one of sft, dpo, kto, reward, rloo, grpo.$"),
        ({"name": "IPO"}, r"'IPO'; .* It is a loss of dpo: \{name: dpo, loss: ipo\}"),
        ({"name": ["dpo"]}, r"objective is \['dpo'\]; give one of"),
    ],
)
def test_a_bad_objective_is_one_sentence(stated, message):
    with pytest.raises(UserError, match=message):
        train.Objective(**stated)


def test_a_dial_that_stands_as_usual_is_none_of_another_objective():
    assert train.Objective("dpo", group=8, temperature=1) == train.Objective("dpo")
    assert train.Objective("grpo", group=8, temperature=1).temperature == 1


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"patience": 9, "evaluations": 2}, "patience is 9 and evaluations is 2, so no run would"),
        ({"weight_decay": 1e30}, r"weight_decay is 1e\+30; a step takes .* Give 500 at most"),
        ({"weight_decay": 10**30, "lr": 1}, r"weight_decay is 1e\+30; a step takes"),
        ({"weight_decay": 0.1, "patience": 2, "lr": 1e30}, ""),
        ({"lr": 0, "weight_decay": 1e30}, ""),
    ],
)
def test_what_no_run_can_do_together_is_refused(stated, message):
    """Read it is: the record of a run may state it."""
    given = train.Recipe(**stated)
    if not message:
        return recipe.check_together(given)
    with pytest.raises(UserError, match=message):
        recipe.check_together(given)


@pytest.mark.parametrize(
    ("lr", "method", "warning"),
    [
        (0, "lora", "nothing is learned: for LoRA usual rates lie between 1e-05 and 0.01"),
        (1e-9, "lora", "next to nothing"),
        (0.5, "lora", "may well diverge"),
        (0.05, "full", "diverge: for full fine-tuning .* between 1e-06 and 0.001,"),
        (0.05, "lora", ""),
        (2e-3, "full", ""),
        # a LoRA's rate, at which most others learn nothing
        (2e-3, "prompt", "next to nothing is learned: for prompt tuning usual .* 0.003 and 1,"),
        (1e-3, "ia3", "for IA³ usual rates lie between 0.003 and 0.3"),
        (0.5, "ia3", "may well diverge"),
        (1e-1, "ia3", ""),
        (5e-2, "adalora", ""),
    ],
)  # fmt: skip
def test_an_absurd_learning_rate_is_named(lr, method, warning):
    assert re.search(warning or "^$", train.warn_of_rate(lr, method))
