"""How far a tuning moves the model from its base, and the penalty that holds it back."""

import pytest
import torch
from torch.nn import functional as F

from ftkit import data, evaluate, forgetting, lora, models, train
from ftkit.world import entities
from ftkit.world import skills as suites


@pytest.fixture(scope="module")
def rows():
    return data.first(data.load("tickets")["train"], 16)


def short(kl=0.0, **adapter):
    """A hot run of four steps, with an adapter or (r=None) on all weights."""
    model, tokenizer = models.load("pocket")
    if adapter.get("r", 4):
        model = lora.attach(model, **{"r": 4, "alpha": 16} | adapter)
    rows = data.first(data.load("tickets")["train"], 32)
    recipe = train.Recipe(
        lr=1e-2 if adapter.get("r", 4) else 1e-3, epochs=1, batch_size=8, evaluations=0, kl=kl
    )
    return train.sft(model, tokenizer, {"train": rows}, recipe), tokenizer


def test_the_distance_is_that_of_a_loop_over_rows(rows):
    run, tokenizer = short()
    base, _ = models.load("pocket")
    total, count = 0.0, 0
    for messages in rows["messages"]:
        ids = tokenizer.apply_chat_template(messages, return_tensors="pt", return_dict=True)[
            "input_ids"
        ]
        n = data.answer_tokens(messages, tokenizer)
        with torch.no_grad():
            before, after = (
                m(ids).logits[0, -n - 1 : -1].log_softmax(-1) for m in (base, run.model)
            )
        total += F.kl_div(after, before, log_target=True, reduction="sum").item()
        count += n
    found = evaluate.kl_from_base(base, run.model, tokenizer, rows, batch_size=5)
    assert found == pytest.approx(total / count, rel=1e-3)
    assert found > 0.01
    assert evaluate.kl_from_base(run.model, run.model, tokenizer, rows) == pytest.approx(
        found, rel=1e-3
    ), "its adapter switched off"
    assert evaluate.kl_from_base(base, models.load("pocket")[0], tokenizer, rows) == pytest.approx(
        0, abs=1e-6
    )


@pytest.mark.parametrize("r", [4, None])
def test_a_run_held_near_its_base_stays_nearer(r, rows):
    base, tokenizer = models.load("pocket")
    free, held = (
        evaluate.kl_from_base(base, short(kl=kl, r=r)[0].model, tokenizer, rows)
        for kl in (0.0, 3.0)
    )
    assert held < 0.8 * free


def test_skills_do_not_depend_on_how_they_are_batched():
    model, tokenizer = models.load("pocket")
    names = ["known", "copy", "write_json"]
    whole = forgetting.skills(model, tokenizer, n=12, names=names)
    probes = [p for n in names for p in suites.draw_suite(entities.World(), n, 12)]
    replies = models.answer(
        model,
        tokenizer,
        [[{"role": "user", "content": p.prompt}] for p in probes],
        48,
        batch_size=36,
    )
    assert [x for group in whole.right.values() for x in group] == [
        r == p.answer for r, p in zip(replies, probes, strict=True)
    ]
