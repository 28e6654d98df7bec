"""The choices of a step: what is filled in, what is refused, and what it says of itself."""

import pytest

from ftkit import UserError, memory

LLAMA = "llama-3.1-8b"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"method": "qlroa"},
            "method is 'qlroa'; give 'full', 'lora', 'qlora', .*Did you mean 'qlora'",
        ),
        ({"optimizer": "adamw_8bits"}, "Did you mean 'adamw_8bit'"),
        ({"attention": "spda"}, "Did you mean 'sdpa'"),
        ({"dtype": "bf16"}, "dtype is 'bf16'; give 'float32', 'bfloat16', 'float16'"),
        ({"loss": "liger"}, "loss is 'liger'; give 'full', 'held', 'tiled'"),
        ({"batch": 0}, "batch is 0; give a whole number from 1 on"),
        ({"seq": 0}, "seq is 0"),
        ({"seq": True}, "seq is True"),
        (
            {"seq": 131073},
            "seq is 131073; give a whole number from 1 to 131,072, the positions of llama-3.1-8b",
        ),
        ({"sek": 4}, "there is no option 'sek'; there are method, .*Did you mean 'seq'"),
        ({"method": "lora", "kbit_prepare": True}, "kbit_prepare is for a quantized base"),
        ({"attention": "flash", "dtype": "float32"}, "kernels take 16-bit numbers only"),
        (
            {"method": "qlora", "device": "cpu", "autocast": "float16"},
            "a CPU does not join; give autocast='bfloat16', or device='cuda'",
        ),
    ],
)
def test_a_wrong_choice_is_one_sentence(options, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        memory.make_step(LLAMA, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "autocast", "adapter"),
    [
        ({}, "bfloat16", "float32"),
        ({"dtype": "float16"}, "float16", "float32"),
        ({"dtype": "float32"}, None, "float32"),
        ({"device": "cpu"}, None, "float32"),
        ({"autocast": None}, None, "float32"),
        ({"method": "qlora"}, "bfloat16", "bfloat16"),
        ({"method": "qlora", "kbit_prepare": True}, "bfloat16", "float32"),
        ({"method": "qlora", "adapter_dtype": "float16"}, "bfloat16", "float16"),
    ],
)
def test_dtypes_that_are_left_open_are_filled_in(options, autocast, adapter):
    step = memory.make_step(LLAMA, **options)
    assert (step.autocast, step.adapter_dtype) == (autocast, adapter)


def test_gemma_2_runs_its_eager_attention_where_sdpa_is_asked_for():
    """transformers has no sdpa for it, which knows no bound on the scores."""
    for asked, runs in (("sdpa", "eager"), ("eager", "eager"), ("flash", "flash")):
        assert memory.make_step("gemma-2-2b", attention=asked).attention == runs
    assert memory.make_step("gemma-3-1b").attention == "sdpa"


def test_a_step_may_be_made_from_another_and_is_checked_and_filled_in_as_well():
    step = memory.make_step(LLAMA, method="qlora", seq=1024)
    longer = memory.make_step(step, seq=2048)
    assert (longer.seq, longer.method, longer.autocast) == (2048, "qlora", "bfloat16")
    assert longer.architecture is step.architecture
    plain = memory.make_step(step, dtype="float16", autocast="same", adapter_dtype=None)
    assert plain == memory.make_step(LLAMA, method="qlora", seq=1024, dtype="float16")
    with pytest.raises(UserError, match="batch is 0"):
        memory.make_step(step, batch=0)


def test_a_step_names_every_choice_and_what_always_holds():
    assumptions = memory.make_step(LLAMA, rank=8).assumptions()
    assert assumptions["rank"] == 8
    assert assumptions["architecture"] == LLAMA
    assert set(memory.CHOICES) < set(assumptions)
    assert any("no gradient accumulation" in sentence for sentence in assumptions["always"])
