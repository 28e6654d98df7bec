"""A training step that really runs: it takes what the trace says, by our count and by torch's."""

import gc
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from ftkit import UserError, memory, methods, models
from ftkit.core.results import GIB
from ftkit.memory import fake_step, real_step, storages

CPU = {"device": "cpu", "dtype": "float32", "seq": 128, "batch": 4}

STEPS = [
    {"method": "full"},
    {"method": "lora"},
    {"method": "qlora"},
    {"method": "full", "checkpointing": False, "optimizer": "adamw_foreach"},
    {"method": "lora", "checkpointing": False, "loss": "tiled"},
    {"method": "qlora", "optimizer": "adamw_8bit", "loss": "held", "attention": "eager"},
]


@pytest.mark.parametrize("asked", STEPS, ids=lambda a: "-".join(map(str, a.values())))
def test_the_real_step_on_a_cpu_takes_what_the_trace_says(asked):
    """models.load, bitsandbytes and peft on the pocket model's weights, every storage counted."""
    real, traced = memory.measure("pocket", **CPU, **asked), memory.trace("pocket", **CPU, **asked)
    assert traced.peak == pytest.approx(real.peak, rel=0.01)
    assert traced.parts["weights"] == real.parts["weights"]
    assert traced.phase == real.phase


@pytest.mark.parametrize("method", memory.METHODS)
def test_torchs_own_allocator_agrees(method):
    """The same step without our tape.

    torch's profiler sums what the CPU's allocator gives and takes.
    """
    step = memory.make_step("pocket", method=method, **CPU)
    model = memory.build_model(step)
    optimizer = memory.make_optimizer(step, models.trained_parameters(model))
    ids = torch.zeros(step.batch, step.seq, dtype=torch.long)

    def one_step():
        loss, _ = fake_step.loss_of(model, ids, step, storages.Tape("cpu"))
        loss.backward()
        del loss
        optimizer.step()
        optimizer.zero_grad()

    one_step()
    gc.collect()
    with torch.profiler.profile(profile_memory=True) as profile:
        one_step()
    height = most = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            height += event.nbytes()
            most = max(most, height)
    traced = memory.trace(step)
    parts = ("weights", "quant_state", "adapter", "optimizer")
    standing = sum(traced.parts[part] for part in parts)
    assert traced.peak == pytest.approx(standing + most, rel=0.01)


@pytest.mark.parametrize(
    ("source", "asked", "sentence"),
    [
        ("qwen3-30b-a3b", {}, "mixture of experts"),
        ("pocket", {"method": "qlora", "double_quant": False}, "models.load quantizes twice"),
    ],
)
def test_a_mistake_is_one_sentence(source, asked, sentence):
    with pytest.raises(UserError, match=sentence):
        memory.measure(source, seq=64, device="cpu", **asked)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_one_sentence_says_what_to_do_instead():
    with pytest.raises(UserError, match=r"torch sees no GPU here; .* memory\.trace\(\)"):
        memory.measure("pocket", device="cuda", seq=64)
    command = [sys.executable, "-m", "ftkit", "measure"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "there is no GPU here" in done.stderr


def test_every_step_to_measure_on_a_gpu_can_be_made():
    rows = real_step.options_to_measure()
    assert len(rows) == 26
    assert all(memory.predict(**options).peak > 2**28 for options in rows)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("method", memory.METHODS)
def test_the_real_step_on_a_gpu_takes_what_the_trace_says(method):
    asked = {"source": "qwen2.5-0.5b", "method": method, "seq": 1024, "loss": "tiled"}
    real, traced = memory.measure(**asked), memory.trace(every_layer=True, **asked)
    assert traced.peak == pytest.approx(real.peak, rel=0.03)
    assert traced.reserved == pytest.approx(real.reserved, rel=0.1)


def test_the_card_is_asked_about_many_steps_at_once_and_the_largest_alone(monkeypatch, tmp_path):
    asked, table = [], tmp_path / "table.json"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA X1")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (0, 8 * GIB))
    small, medium, large = (
        {"source": "qwen2.5-0.5b", "method": method, "seq": seq}
        for method, seq in (("qlora", 64), ("lora", 2048), ("full", 64))
    )
    monkeypatch.setattr(real_step, "options_to_measure", lambda: [large, small, medium])
    monkeypatch.setattr(real_step, "data_path", lambda *parts: table)
    monkeypatch.setattr(real_step, "trace", lambda **options: SimpleNamespace(peak=1, reserved=2))
    monkeypatch.setattr(real_step, "predict", lambda **o: SimpleNamespace(peak=PEAKS[o["method"]]))
    monkeypatch.setattr(real_step, "measure_apart", lambda o: asked.append(o) or {"allocated": 3})
    assert real_step.compare_with_gpu() == table
    assert asked == [small, medium, large]
    rows = json.loads(table.read_text())["rows"]
    assert rows[0] == {**small, "formula": GIB, "trace": 1, "trace_reserved": 2, "allocated": 3}


PEAKS = {"qlora": GIB, "lora": 2 * GIB, "full": 20 * GIB}


@pytest.mark.parametrize("method", ["ia3", "adalora", "prefix", "bottleneck"])
def test_other_methods_are_traced_to_the_byte_and_not_modelled(method):
    options = {
        "method": method, "seq": 32, "batch": 2, "dtype": "float32", "device": "cpu",
        "checkpointing": False,
    }  # fmt: skip
    traced, measured = (f("pocket", **options) for f in (memory.trace, memory.measure))
    assert traced.parts == measured.parts
    assert traced.parts["adapter"] >= 4 * methods.count("pocket", method).trainable
    with pytest.raises(memory.NotModelled, match=r"the formula knows full, lora, qlora.*trace"):
        memory.predict("pocket", **options)
    with pytest.raises(UserError, match=r"rank is 4, and the method is .*leave it out"):
        memory.make_step("pocket", method=method, rank=4, seq=32)


def test_a_traced_method_has_the_rank_and_the_targets_that_it_is_given():
    step = {"method": "dora", "seq": 16, "dtype": "float32", "device": "cpu"}
    assert [memory.make_step("pocket", **step, **r).rank for r in ({}, {"rank": 16})] == [8, 16]
    given = {"rank": 4, "targets": "q,v"}
    trained = methods.count("pocket", "dora", r=4, targets="q,v").trainable
    assert memory.trace("pocket", **step, **given).parts["adapter"] == 4 * trained
    # a step that is asked again, and one made of another, keep what was chosen
    four = memory.make_step("pocket", method="lora", rank=4, seq=16)
    assert memory.make_step(four, method="dora").rank == 4
    assert memory.make_step(memory.make_step(four, method="full"), method="vera").rank == 64
