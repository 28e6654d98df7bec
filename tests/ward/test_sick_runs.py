"""A sick run is made as when the file was made, and leaves what its owner would see."""

import json
import math
from dataclasses import replace

import pytest
import torch

from ftkit import UserError, data, models, ward
from ftkit.lab import grids
from ftkit.ward import sick_runs

SHORT = {"rows": 8, "steps": 2}


@pytest.fixture(scope="module")
def shipped():
    return grids.read("ward")


def find(rows, run):
    return next(row for row in rows if all(getattr(row, k) == v for k, v in vars(run).items()))


def test_a_fault_that_there_is_not_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"no fault 'B frosen'; give one of .*Did you mean 'B fro"):
        ward.make_run(ward.WardRun("B frosen"), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name", ["overflow in fp16", pytest.param("loss on the prompt", marks=pytest.mark.weekly)]
)
def test_a_shipped_row_is_made_again(name, shipped):
    run = ward.ILLNESSES[name].sick
    was, now = find(shipped, run), ward.measure_ward(run)
    assert now.found == was.found and now.said == was.said
    assert now.record == was.record and now.samples[0].wanted == was.samples[0].wanted
    for (step, loss), (at, then) in zip(now.losses, was.losses, strict=True):
        assert step == at and loss == pytest.approx(then, rel=0.02, nan_ok=True)
    assert now.scores["test"] == pytest.approx(was.scores["test"], abs=0.1)


def test_the_folder_is_one_that_the_kit_reads(tmp_path):
    row = ward.make_run(ward.WardRun("two starts", **SHORT), tmp_path)
    names = {file.name for file in tmp_path.iterdir()}
    assert names == {"adapter", "run.json", "rows.json", "rows.jsonl", "seen.json"}
    assert row.record["row"].startswith("<|bos|><|bos|><|user|>")
    assert len(data.load(str(tmp_path / "rows.jsonl"))["train"]) == 8
    record = json.loads((tmp_path / "run.json").read_text())
    assert [step for step, _ in record["losses"]] == [1, 2]


def test_it_is_the_scale_that_overflows():
    """In fp16 the same step is finite at a scale of 1, and its gradients infinite at the ward's."""
    finite = {}
    for scale in (1.0, sick_runs.LOSS_SCALE):
        plan = sick_runs.prepare(ward.WardRun("fp16", **SHORT))
        rows = sick_runs.taught(plan, plan.train)
        adam = sick_runs.adam_in_16_bits
        loop = sick_runs.Loop(2, 4e-3, scale=scale, optimizer=adam)
        losses = list(loop.run(plan.model, plan.tokenizer, rows))
        finite[scale] = all(map(math.isfinite, losses))
    assert list(finite.values()) == [True, False]


def test_a_base_in_another_order_answers_as_before():
    model, _ = models.load("pocket")
    ids = torch.arange(40)[None]
    before = model(ids).logits
    was = model.model.layers[0].mlp.up_proj.weight.detach().clone()
    sick_runs.reorder(model, 0)
    assert (model(ids).logits - before).abs().max() < 1e-3
    assert (model.model.layers[0].mlp.up_proj.weight - was).abs().max() > 0.1


@pytest.mark.parametrize(
    ("fault", "tells"),
    [
        ("prompt learned", lambda ids, learned, _: all(learned)),
        ("end masked", lambda ids, learned, _: learned[-2:] == [True, False]),
        ("cut", lambda ids, learned, whole: len(ids) == sick_runs.SHORT < len(whole)),
        ("two starts", lambda ids, learned, whole: ids == [1, *whole] and not learned[0]),
        ("none", lambda ids, learned, whole: ids == whole and learned[-1] and not learned[0]),
    ],
)
def test_a_fault_of_the_tokens_lies_in_the_tokens(fault, tells):
    plan = sick_runs.prepare(ward.WardRun(fault, **SHORT))
    ((ids, learned),) = sick_runs.taught(plan, plan.train[:1])
    whole = data.render(plan.train[0]["messages"], plan.tokenizer).ids
    assert tells(list(ids), list(learned), whole)


def test_a_fault_of_the_rows_lies_in_the_rows():
    sick, cured = ([*sick_runs.draw_rows(ward.WardRun(f, **SHORT))] for f in ("shuffled", "none"))
    questions, answers = (
        [[row["messages"][place]["content"] for row in rows[0]] for rows in (sick, cured)]
        for place in (-2, -1)
    )
    assert questions[0] == questions[1]
    assert sorted(answers[0]) == sorted(answers[1])
    assert not any(a == b for a, b in zip(*answers, strict=True))
    # leaked rows are the very ones that are asked
    run = replace(ward.ILLNESSES["test rows in training"].sick, rows=30)
    rows, held_out, asked = sick_runs.draw_rows(run)
    known = {data.row_hash(row) for row in rows}
    assert {data.row_hash(row) for row in asked["test"]} <= known
    assert not known & {data.row_hash(row) for row in [*asked["new"], *held_out]}
    # and one wrong row is there so often
    rows, _, asked = sick_runs.draw_rows(ward.WardRun("repeated", "trays", 8, 2))
    assert len(rows) == 8 + sick_runs.COPIES and rows[-1] == rows[-sick_runs.COPIES]
    assert rows[-1]["messages"][0] == asked["test"][0]["messages"][0]
    assert rows[-1]["messages"][-1] != asked["test"][0]["messages"][-1]


def test_only_a_is_trained_where_b_is_frozen(tmp_path):
    plan = sick_runs.prepare(ward.WardRun("B frozen", **SHORT))
    names = [name for name, weight in plan.model.named_parameters() if weight.requires_grad]
    assert names and all("lora_A" in name for name in names)


def test_a_curve_is_thinned_and_keeps_its_ends():
    points = [[n, 1 / n] for n in range(1, 161)]
    thin = sick_runs.thin(points)
    assert thin[0] == points[0] and thin[-1] == points[-1] and len(thin) <= 42
    assert sick_runs.thin(points[:5]) == points[:5]


def test_a_rows_learned_stretch_is_marked():
    tokenizer = models.load_tokenizer("pocket")
    ids = tokenizer("a b c", add_special_tokens=False)["input_ids"]
    labels = [-100] * (len(ids) - 1) + [ids[-1]]
    text = sick_runs.mark_learned(tokenizer, ids, labels)
    assert text.endswith("⟧") and text.count("⟦") == 1
    assert text.replace("⟦", "").replace("⟧", "") == tokenizer.decode(ids)
