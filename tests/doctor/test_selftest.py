"""The self-test passes here, in about a second, and each of its steps can fail with its reason."""

import time

import pytest
import torch

from ftkit import UserError, merge
from ftkit.doctor import selftest
from ftkit.lora import by_peft
from ftkit.merge import folding
from ftkit.models import loading
from ftkit.show.svg import Drawing
from ftkit.train import explorer

STEPS = ["imports", "model", "answer", "training", "merging", "widget"]


def test_it_passes_quickly_and_leaves_the_sessions_random_numbers_alone():
    selftest.check_imports({})
    before, began = torch.get_rng_state(), time.perf_counter()
    found = selftest.test_yourself()
    assert time.perf_counter() - began < 10, "about one second on one core"
    assert [f.check for f in found] == [f"self-test: {s}" for s in STEPS]
    assert [f.detail for f in found if not f.ok] == []
    assert torch.equal(torch.get_rng_state(), before)


def broken(*_args, **_options):
    raise OSError("the disk is gone\nsecond line")


def still(_batches, step, packed=False, title=""):
    return Drawing("<svg></svg>", "always the same")


def wrong_merge(model):
    report = merge.MergeReport(0.5, 0.0, 1.0, 2.0, 1, "float32")
    return model, report


def lost_adapter(model):
    return model, merge.MergeReport(0.0005, 0.0, 1.0, 0.0, 1, "float32")


@pytest.mark.parametrize(
    ("step", "where", "name", "planted", "said"),
    [
        ("imports", selftest, "quiet", broken, "OSError: the disk is gone"),
        ("model", loading, "load", broken, "OSError: the disk is gone"),
        ("answer", loading, "answers", lambda *_: ["nonsense"], "said 'nonsense' in place of"),
        (
            "training",
            torch.optim.AdamW,
            "step",
            lambda *_: None,
            "the loss did not fall in three steps",
        ),
        ("training", by_peft, "attach", broken, "OSError: the disk is gone"),
        (
            "merging",
            folding,
            "merge",
            wrong_merge,
            "merging moved a logit by 0.5; in float32 0.001 is the most",
        ),
        ("merging", folding, "merge", lost_adapter, "merging moved a logit by 0.0005"),
        ("widget", explorer, "batch_view", still, "the picture behind it stayed as it was"),
    ],
)
def test_a_step_that_fails_says_why_and_ends_the_test(
    step, where, name, planted, said, monkeypatch
):
    monkeypatch.setattr(where, name, planted)
    found = selftest.test_yourself()
    assert [f.check for f in found] == [f"self-test: {s}" for s in STEPS[: STEPS.index(step) + 1]]
    assert [f.ok for f in found] == [True] * STEPS.index(step) + [False]
    assert said in found[-1].said
    assert "second line" not in found[-1].detail
    assert "install" in found[-1].cure


def test_a_reason_that_is_empty_is_named_by_its_kind():
    def work():
        raise KeyError

    assert selftest.try_step("x", work).said == "KeyError: no reason given"

    def refused():
        raise UserError("one sentence.")

    assert selftest.try_step("x", refused).said == "one sentence"
