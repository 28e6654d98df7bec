"""Tracing a training step without a GPU: against the real step, against full depth, and the formula
against it.
"""

import gc
import json
import subprocess
import sys

import pytest
import torch

from ftkit import UserError, memory, models
from ftkit.core.files import data_path
from ftkit.memory import allocator, fake_step, formula, step, storages
from ftkit.tools import bench

CPU = {"device": "cpu", "dtype": "float32", "seq": 128, "batch": 4}
TABLE = json.loads(data_path("measurements", "formula_vs_trace.json").read_text(encoding="utf-8"))
RESULTS = ("trace", "formula", "phase")


def options(row):
    return {key: value for key, value in row.items() if key not in RESULTS}


def test_the_table_holds_every_setting_of_the_comparison():
    assert [options(row) for row in TABLE["rows"]] == fake_step.comparison()
    assert len(TABLE["rows"]) >= 60
    assert len({row["source"] for row in TABLE["rows"]}) >= 4


def test_the_formula_is_within_half_a_percent_of_the_trace_and_three_at_worst():
    errors = sorted(
        abs(memory.predict(**options(row)).peak / row["trace"] - 1) for row in TABLE["rows"]
    )
    assert errors[len(errors) // 2] <= 0.005
    assert errors[-1] <= 0.03


@pytest.mark.parametrize(
    "row", TABLE["rows"][::9], ids=lambda row: f"{row['source']}-{row['method']}"
)
def test_the_table_is_what_a_trace_gives(row):
    found = memory.trace(**options(row))
    assert found.peak == pytest.approx(row["trace"], rel=1e-3)
    assert sum(found.parts.values()) == found.peak
    predicted = memory.predict(**options(row))
    for part in ("weights", "quant_state", "adapter", "optimizer", "workspace"):
        assert predicted.parts[part] == pytest.approx(found.parts[part], rel=2e-3, abs=2**14), part


KEPT = [
    ("llama-3.2-1b", {"method": "full"}),
    ("llama-3.2-1b", {"method": "lora", "rank": 8}),
    ("qwen3-0.6b", {"method": "qlora", "targets": "q,v"}),
    ("olmo-2-7b", {"method": "qlora", "kbit_prepare": True}),
    ("phi-3-mini", {"method": "lora", "adapter_dtype": "bfloat16", "attention": "eager"}),
]


@pytest.mark.parametrize(("source", "asked"), KEPT, ids=[f"{k[0]}-{k[1]['method']}" for k in KEPT])
def test_what_a_layer_keeps_is_the_sum_of_its_tensors(source, asked):
    """One layer more in the trace, less the copies of its adapter that autocast makes."""
    setting = memory.make_step(source, seq=1024, checkpointing=False, **asked)
    sizes = memory.sizes(setting.config)
    three, four = (
        fake_step.training_step(step.at_depth(setting, n)).peaks["loss, backward"]["activations"]
        for n in (3, 4)
    )
    copies = formula.casted_weights(setting, sizes) // sizes.layers
    assert sum(memory.bytes_kept(setting, sizes).values()) * 1024 == pytest.approx(
        four - three - copies, rel=1e-3
    )


DEEP = [
    ("smollm2-135m", {"method": "lora", "rank": 64, "seq": 64, "optimizer": "adamw_8bit"}),
    ("qwen2.5-0.5b", {"method": "qlora", "loss": "tiled"}),
    ("gemma-3-1b", {"method": "lora", "loss": "held"}),
]


@pytest.mark.parametrize(("source", "asked"), DEEP, ids=[d[0] for d in DEEP])
def test_two_depths_give_the_full_depth_to_the_byte(source, asked):
    asked = {"seq": 512, **asked}
    full, short = memory.trace(source, every_layer=True, **asked), memory.trace(source, **asked)
    assert short.parts == full.parts
    assert all(full.phases[phase] == size for phase, size in short.phases.items())
    assert 1 <= full.reserved / full.peak < 1.6
    assert short.reserved is None


METHODS = [
    {"method": "full"},
    {"method": "lora"},
    {"method": "qlora"},
    {"method": "full", "checkpointing": False, "optimizer": "adamw_foreach"},
    {"method": "lora", "checkpointing": False, "loss": "tiled"},
    {"method": "qlora", "optimizer": "adamw_8bit", "loss": "held", "attention": "eager"},
]


@pytest.mark.parametrize("asked", METHODS, ids=lambda a: "-".join(map(str, a.values())))
def test_the_real_step_on_a_cpu_takes_what_the_trace_says(asked):
    """models.load, bitsandbytes and peft on the pocket model's own weights, every storage counted."""
    real, traced = memory.measure("pocket", **CPU, **asked), memory.trace("pocket", **CPU, **asked)
    assert traced.peak == pytest.approx(real.peak, rel=0.01)
    assert traced.parts["weights"] == real.parts["weights"]
    assert traced.phase == real.phase


@pytest.mark.parametrize("method", memory.METHODS)
def test_torchs_own_allocator_agrees(method):
    """The same step without our tape: torch's profiler sums what the CPU's allocator gives and
    takes.
    """
    asked = {**CPU, "method": method}
    setting = memory.make_step("pocket", **asked)
    model = memory.build_model(setting)
    optimizer = memory.make_optimizer(setting, [p for p in model.parameters() if p.requires_grad])
    ids = torch.zeros(setting.batch, setting.seq, dtype=torch.long)

    def one_step():
        loss, _ = fake_step.loss_of(model, ids, setting, storages.Tape("cpu"))
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
    traced = memory.trace("pocket", **asked)
    standing = sum(
        traced.parts[part] for part in ("weights", "quant_state", "adapter", "optimizer")
    )
    assert traced.peak == pytest.approx(standing + most, rel=0.01)


def test_70b_takes_seconds_and_less_than_a_gigabyte():
    seconds, peak = bench.fresh(
        "from ftkit import trace; trace.trace('llama-3.1-70b', method='qlora')"
    )
    assert seconds <= 15
    assert peak <= 1e9


def test_any_dense_architecture_can_be_traced():
    for source in ("gpt2", "pythia-1.4b"):
        found = memory.trace(source, method="lora", seq=256)
        assert found.parts["adapter"] > 0
        assert found.phase.startswith("loss")


def test_trls_own_head_needs_what_the_tiled_loss_takes(monkeypatch):
    """TRL's function with its tiles folded by a kernel that takes nothing, as on a GPU, beside
    ours.
    """
    from trl.kernels import chunked_logprob

    for name in ("_forward_tile", "_backward_tile", "_addmm_fp32"):
        monkeypatch.setattr(chunked_logprob, name, lambda *_, **__: None)
    setting = memory.make_step(
        "pocket", **{**CPU, "seq": 256, "batch": 32}, method="full", loss="tiled"
    )
    peaks = []
    for loss_of in (ours, theirs):
        hidden = torch.randn(8000, 256, dtype=torch.bfloat16, requires_grad=True)
        weight = torch.randn(40000, 256, dtype=torch.bfloat16, requires_grad=True)
        record = storages.Tape("cpu")
        with storages.recorder(record, setting):
            loss_of(hidden, weight).backward()
        peaks.append(record.sums["forward"])
    assert peaks[0] == pytest.approx(peaks[1], rel=0.02)


def ours(hidden, weight):
    return fake_step.tiled_loss(hidden[None], weight)


def theirs(hidden, weight):
    from trl.kernels import ChunkedLogProbFunction

    targets = torch.zeros(len(hidden), dtype=torch.long)
    chosen = hidden[torch.arange(len(hidden))]
    return ChunkedLogProbFunction.apply(
        chosen, weight, None, targets, 1.0, step.TILE[1], None, 1.0, ()
    )[0].sum()


MIB = 2**20


@pytest.mark.parametrize(
    ("events", "reserved"),
    [
        ([(1, 512)], 2 * MIB),
        ([(1, 512), (2, MIB)], 2 * MIB),
        ([(1, MIB), (2, MIB), (3, 512)], 4 * MIB),
        ([(1, 2 * MIB)], 20 * MIB),
        ([(1, 2 * MIB), (2, 512)], 22 * MIB),
        ([(1, 11 * MIB)], 12 * MIB),
        ([(1, 30 * MIB), (1, -30 * MIB), (2, 16 * MIB), (3, 14 * MIB)], 30 * MIB),
        ([(1, 30 * MIB), (1, -30 * MIB), (2, 16 * MIB), (3, 16 * MIB)], 46 * MIB),
        ([(1, 16 * MIB), (2, 14 * MIB), (1, -16 * MIB), (2, -14 * MIB), (3, 30 * MIB)], 60 * MIB),
        (
            [
                (0, 30 * MIB),
                (0, -30 * MIB),
                (1, 15 * MIB),
                (2, 15 * MIB),
                (1, -15 * MIB),
                (2, -15 * MIB),
                (3, 30 * MIB),
            ],
            30 * MIB,
        ),
    ],
)
def test_the_allocators_pools_segments_splits_and_joins(events, reserved):
    assert allocator.Allocator().run(events) == reserved


def test_a_tape_moves_storages_between_parts_and_frees_them():
    record = storages.Tape("cuda")
    a = torch.zeros(100)
    record.put(a, "weights")
    assert (record.total, record.now["weights"]) == (512, 512)
    record.put(a.view(10, 10), "gradients")
    assert (record.now["weights"], record.now["gradients"], record.total) == (0, 512, 512)
    record.take(1024, "activations")
    del a
    assert record.total == 0
    assert sum(record.peaks["forward"].values()) == 1536
    assert [size for _, size in record.events] == [512, 1024, -1024, -512]


def test_what_a_trace_changes_is_as_before_afterwards():
    from transformers import masking_utils

    before = masking_utils.find_packed_sequence_indices
    memory.trace("pocket", method="lora", seq=64)
    assert masking_utils.find_packed_sequence_indices is before
    assert not torch.is_autocast_enabled("cuda")
    model, _ = models.load("pocket")
    assert model(torch.arange(6, 26)[None]).logits.device.type == "cpu"


@pytest.mark.parametrize(
    ("call", "source", "asked", "sentence"),
    [
        (memory.trace, "olmoe-1b-7b", {}, "'olmoe' is a mixture of experts"),
        (
            memory.trace,
            "gpt2",
            {"method": "qlora", "seq": 64},
            "a Conv1D, which bitsandbytes leaves as it is",
        ),
        (memory.trace, "pocket", {"method": "lora", "rank": 999, "seq": 64}, "r is 999"),
        (memory.measure, "qwen3-30b-a3b", {"device": "cpu"}, "mixture of experts"),
        (
            memory.measure,
            "pocket",
            {"method": "qlora", "double_quant": False, "seq": 64, "device": "cpu"},
            "models.load quantizes twice",
        ),
    ],
)
def test_a_mistake_is_one_sentence(call, source, asked, sentence):
    with pytest.raises(UserError, match=sentence):
        call(source, **asked)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_one_sentence_says_what_to_do_instead():
    with pytest.raises(UserError, match="torch sees no GPU here; give device='cpu'"):
        memory.measure("pocket", device="cuda", seq=64)
    done = subprocess.run(
        [sys.executable, "-m", "ftkit", "measure"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "there is no GPU here" in done.stderr


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("method", memory.METHODS)
def test_the_real_step_on_a_gpu_takes_what_the_trace_says(method):
    asked = {"source": "qwen2.5-0.5b", "method": method, "seq": 1024, "loss": "tiled"}
    real, traced = memory.measure(**asked), memory.trace(every_layer=True, **asked)
    assert traced.peak == pytest.approx(real.peak, rel=0.03)
    assert traced.reserved == pytest.approx(real.reserved, rel=0.1)


def test_the_verb_traces():
    words = [
        sys.executable,
        "-m",
        "ftkit",
        "memory",
        "pocket",
        "--method",
        "lora",
        "--seq",
        "64",
        "--trace",
        "--json",
    ]
    found = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    assert found["view"] == "trace"
    assert found["peak"] == memory.trace("pocket", method="lora", seq=64).peak


def test_without_bitsandbytes_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    for asked in ({"method": "qlora"}, {"method": "full", "optimizer": "adamw_8bit"}):
        with pytest.raises(UserError, match="needs bitsandbytes"):
            memory.trace("pocket", seq=64, **asked)
    assert memory.trace("pocket", method="full", seq=64).peak > 0
