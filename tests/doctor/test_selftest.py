"""The self-test passes here, and each of its steps can fail with its reason."""

import pytest
import torch

from ftkit import UserError, lora, merge, models
from ftkit.doctor import selftest
from ftkit.show.svg import Drawing
from ftkit.train import explorer

STEPS = ["imports", "model", "answer", "training", "merging", "widget"]


def test_it_passes_and_leaves_the_sessions_random_numbers_alone():
    selftest.check_imports()
    before = torch.get_rng_state()
    findings = selftest.test_yourself()
    assert [f.check for f in findings] == [f"self-test: {step}" for step in STEPS]
    assert [f.detail for f in findings if not f.ok] == []
    assert torch.equal(torch.get_rng_state(), before)


def broken(*_args, **_options):
    raise OSError("the disk is gone\nsecond line")


def nonsense(*_args, **_options):
    return ["nonsense"]


def nothing(*_args, **_options):
    return None


def still(*_args, **_options):
    return Drawing("<svg></svg>", "always the same")


def wrong_merge(model):
    return model, merge.MergeReport(0.5, 0.0, 1.0, 2.0, 1, "float32")


def lost_adapter(model):
    return model, merge.MergeReport(0.0005, 0.0, 1.0, 0.0, 1, "float32")


GONE = "OSError: the disk is gone"


@pytest.mark.parametrize(
    ("step", "where", "name", "planted", "message"),
    [
        ("imports", selftest, "quiet", broken, GONE),
        ("model", models, "load", broken, GONE),
        ("answer", models, "answer", nonsense, "said 'nonsense' in place of"),
        ("training", torch.optim.AdamW, "step", nothing, "the loss did not fall in three steps"),
        ("training", lora, "attach", broken, GONE),
        ("merging", merge, "merge", wrong_merge, "moved a logit by 0.5; in float32 0.001 is the"),
        ("merging", merge, "merge", lost_adapter, "merging moved a logit by 0.0005"),
        ("widget", explorer, "batch_view", still, "the picture behind it stayed as it was"),
    ],
)
def test_a_step_that_fails_says_why_and_ends_the_test(
    step, where, name, planted, message, monkeypatch
):
    monkeypatch.setattr(where, name, planted)
    findings = selftest.test_yourself()
    done = STEPS[: STEPS.index(step) + 1]
    assert [f.check for f in findings] == [f"self-test: {step}" for step in done]
    assert [f.ok for f in findings] == [True] * (len(done) - 1) + [False]
    assert message in findings[-1].message
    assert "second line" not in findings[-1].detail
    assert "install" in findings[-1].cure


def test_a_reason_that_is_empty_is_named_by_its_kind():
    def work():
        raise KeyError

    assert selftest.try_step("x", work).message == "KeyError"

    def refused():
        raise UserError("one sentence.")

    assert selftest.try_step("x", refused).message == "one sentence"
