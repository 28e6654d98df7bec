"""Tracing a training step without a GPU: against full depth, TRL's head, and the formula."""

import json
import subprocess
import sys

import pytest
import torch
from torch._subclasses import FakeTensorMode

from ftkit import UserError, memory, models, tools
from ftkit.core.files import data_path
from ftkit.memory import fake_step, storages
from ftkit.memory.step import TILE_WORDS

CPU = {"device": "cpu", "dtype": "float32", "seq": 128, "batch": 4}
TABLE = json.loads(data_path("measurements", "formula_vs_trace.json").read_text(encoding="utf-8"))
RESULTS = ("trace", "formula", "phase")


def options(row):
    return {key: value for key, value in row.items() if key not in RESULTS}


def test_the_table_holds_every_step_of_the_comparison():
    assert [options(row) for row in TABLE["rows"]] == fake_step.options_to_trace()
    assert TABLE["settings"] == len(TABLE["rows"]) >= 300
    assert {row["source"] for row in TABLE["rows"]} == set(fake_step.ARCHITECTURES)


def test_the_formula_is_within_a_thousandth_of_the_trace_everywhere():
    errors = [abs(memory.predict(**options(row)).peak / row["trace"] - 1) for row in TABLE["rows"]]
    errors.sort()
    assert errors[len(errors) // 2] <= 1e-5
    assert errors[-1] <= 1e-3
    assert TABLE["worst_error"] == pytest.approx(errors[-1], abs=1e-5)


@pytest.mark.parametrize(
    "row", TABLE["rows"][::45], ids=lambda row: f"{row['source']}-{row['method']}"
)
def test_the_table_is_what_a_trace_gives(row):
    traced = memory.trace(**options(row))
    assert traced.peak == pytest.approx(row["trace"], rel=1e-3)
    assert sum(traced.parts.values()) == traced.peak
    predicted = memory.predict(**options(row))
    for part in ("weights", "quant_state", "adapter", "optimizer", "workspace"):
        expected = pytest.approx(traced.parts[part], rel=2e-3, abs=2**14)
        assert predicted.parts[part] == expected, part


KEPT = [
    ("llama-3.2-1b", {"method": "full"}),
    ("llama-3.2-1b", {"method": "lora", "rank": 8}),
    ("qwen3-0.6b", {"method": "qlora", "targets": "q,v"}),
    ("olmo-2-7b", {"method": "qlora", "kbit_prepare": True}),
    ("phi-3-mini", {"method": "lora", "adapter_dtype": "bfloat16", "attention": "eager"}),
    ("gemma-3-1b", {"method": "qlora", "kbit_prepare": True, "dtype": "float16", "autocast": None}),
]


@pytest.mark.parametrize(("source", "asked"), KEPT, ids=[f"{k[0]}-{k[1]['method']}" for k in KEPT])
def test_what_a_layer_keeps_is_the_sum_of_its_tensors(source, asked):
    """One layer more in the trace, less the copies of its adapter that autocast makes."""
    step = memory.make_step(source, seq=1024, checkpointing=False, **asked)
    three, four = (fake_step.fake_tape(step.at_depth(layers)).peaks for layers in (3, 4))
    layer = four["loss, backward"]["activations"] - three["loss, backward"]["activations"]
    copied = step.method != "full" and step.autocast and step.trained_dtype != step.autocast
    copies = 2 * sum(numbers for numbers, _ in step.trained_tensors) if copied else 0
    per_token = sum(memory.bytes_kept(step).values())
    assert per_token * 1024 == pytest.approx(layer - copies, rel=1e-3)


DEEP = [
    ("smollm2-135m", {"method": "lora", "rank": 64, "seq": 64, "optimizer": "adamw_8bit"}),
    ("qwen2.5-0.5b", {"method": "qlora", "loss": "tiled"}),
    ("gemma-3-1b", {"method": "lora", "loss": "held"}),
]
# the first one runs every time
SEEN_DEEP = [
    pytest.param(*d, id=d[0], marks=pytest.mark.weekly if i else ()) for i, d in enumerate(DEEP)
]


@pytest.mark.parametrize(("source", "asked"), SEEN_DEEP)
def test_two_depths_give_the_full_depth_to_the_byte(source, asked):
    asked = {"seq": 512, **asked}
    full, short = memory.trace(source, every_layer=True, **asked), memory.trace(source, **asked)
    assert short.parts == full.parts
    assert all(full.phases[phase] == size for phase, size in short.phases.items())
    assert 1 <= full.reserved / full.peak < 1.6
    assert short.reserved is None


def test_a_trace_of_any_depth_runs_the_step_at_two_small_ones(monkeypatch):
    depths, run = [], fake_step.fake_tape

    def count(step):
        depths.append(step.architecture.depth)
        return run(step)

    monkeypatch.setattr(fake_step, "fake_tape", count)
    memory.trace("llama-3.1-70b", method="lora", seq=64)
    assert depths == [3, 4]


def test_70b_is_traced_in_less_than_a_gigabyte():
    code = "from ftkit import memory; memory.trace('llama-3.1-70b', method='qlora')"
    assert tools.run_fresh(code).peak <= 1e9


def test_any_dense_architecture_can_be_traced():
    for source in ("gpt2", "pythia-1.4b"):
        traced = memory.trace(source, method="lora", seq=256)
        assert traced.parts["adapter"] > 0
        assert traced.phase.startswith("loss")


def test_trls_own_head_needs_what_the_tiled_loss_takes(monkeypatch):
    """TRL's function with its tiles folded by a kernel that takes nothing, as on a GPU, beside
    ours.
    """
    from trl.kernels import chunked_logprob

    for name in ("_forward_tile", "_backward_tile", "_addmm_fp32"):
        monkeypatch.setattr(chunked_logprob, name, lambda *_, **__: None)
    size = {**CPU, "seq": 256, "batch": 32}
    step = memory.make_step("pocket", **size, method="full", loss="tiled")
    peaks = []
    for loss_of in (ours, theirs):
        tape = storages.Tape("cpu")
        # fake tensors have sizes and no numbers, so nothing is multiplied
        with FakeTensorMode():
            hidden = torch.randn(8000, 256, dtype=torch.bfloat16, requires_grad=True)
            weight = torch.randn(40000, 256, dtype=torch.bfloat16, requires_grad=True)
            with storages.watch_storages(tape, step):
                loss_of(hidden, weight).backward()
        peaks.append(tape.highest["forward"])
    assert peaks[0] == pytest.approx(peaks[1], rel=0.02)


def ours(hidden, weight):
    return fake_step.tiled_loss(hidden[None], weight)


def theirs(hidden, weight):
    from trl.kernels import ChunkedLogProbFunction

    targets = torch.zeros(len(hidden), dtype=torch.long)
    chosen = hidden[torch.arange(len(hidden))]
    arguments = (chosen, weight, None, targets, 1.0, TILE_WORDS, None, 1.0, ())
    return ChunkedLogProbFunction.apply(*arguments)[0].sum()


def test_two_kinds_of_16_bits_are_joined_as_on_a_gpu():
    """A CPU's autocast refuses them; the step is for a GPU, whose autocast leaves them alone."""
    options = {"method": "qlora", "dtype": "bfloat16", "autocast": "float16", "seq": 64}
    traced = memory.trace("pocket", **options)
    assert memory.predict("pocket", **options).peak == pytest.approx(traced.peak, rel=1e-3)


def test_what_a_trace_changes_is_as_before_afterwards():
    from transformers import masking_utils

    before = masking_utils.find_packed_sequence_indices, torch.cat
    memory.trace("pocket", method="lora", seq=64)
    assert (masking_utils.find_packed_sequence_indices, torch.cat) == before
    assert not torch.is_autocast_enabled("cuda")
    model, _ = models.load("pocket")
    assert model(torch.arange(6, 26)[None]).logits.device.type == "cpu"


@pytest.mark.parametrize(
    ("source", "asked", "sentence"),
    [
        ("olmoe-1b-7b", {}, "'olmoe' is a mixture of experts"),
        ("gpt2", {"method": "qlora"}, "a Conv1D, which bitsandbytes leaves as it is"),
        ("pocket", {"method": "lora", "rank": 999}, "r is 999"),
    ],
)
def test_a_mistake_is_one_sentence(source, asked, sentence):
    with pytest.raises(UserError, match=sentence):
        memory.trace(source, seq=64, **asked)


def test_the_verb_traces():
    words = [sys.executable, "-m", "ftkit", "memory", "pocket"]
    words += ["--method", "lora", "--seq", "64", "--trace", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    printed = json.loads(done.stdout)
    assert printed["view"] == "trace"
    assert printed["peak"] == memory.trace("pocket", method="lora", seq=64).peak


def test_without_bitsandbytes_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    for asked in ({"method": "qlora"}, {"method": "full", "optimizer": "adamw_8bit"}):
        with pytest.raises(UserError, match="needs bitsandbytes"):
            memory.trace("pocket", seq=64, **asked)
    assert memory.trace("pocket", method="full", seq=64).peak > 0
