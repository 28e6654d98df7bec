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
