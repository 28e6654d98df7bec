"""The formula for one training step's memory: its sums, its limits, published figures, and what a
card holds.
"""

import json
import subprocess
import sys
import timeit

import pytest

from ftkit import UserError, memory
from ftkit.memory import CHOICES, GIB, PARTS
from ftkit.models import architecture

LLAMA = "llama-3.1-8b"
LLAMA_2 = architecture.read("llama-2-7b")


def llama(h, f, heads, layers, positions=2048):
    """The first Llama in the size that is asked for."""
    sides = {
        "hidden_size": h,
        "intermediate_size": f,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
    }
    return {**LLAMA_2, **sides, "num_hidden_layers": layers, "max_position_embeddings": positions}


@pytest.mark.parametrize("method", CHOICES["method"])
@pytest.mark.parametrize("loss", CHOICES["loss"])
def test_the_parts_sum_to_the_peak_and_the_peak_is_the_largest_phase(method, loss):
    found = memory.predict(LLAMA, method=method, loss=loss)
    assert (
        sum(found.parts.values())
        == found.peak
        == max(found.phases.values())
        == found.phases[found.phase]
    )
    assert set(found.parts) == set(PARTS)
    assert found.json().keys() >= {
        "weights",
        "quant_state",
        "adapter",
        "gradients",
        "optimizer",
        "activations",
        "logits",
        "peak",
    }
    assert found.json()["assumptions"]["loss"] == loss
    assert f"{found.peak / GIB:,.3f}" in str(found)


def test_weights_gradients_and_adam_are_the_textbook_sums():
    numbers = sum(w.numel for w in architecture.shapes(architecture.read(LLAMA)))
    full = memory.predict(LLAMA, method="full", dtype="float32")
    assert full.parts["weights"] == pytest.approx(4 * numbers, rel=1e-6)
    assert full.parts["gradients"] == pytest.approx(4 * numbers, rel=1e-6)
    assert full.parts["optimizer"] == pytest.approx(8 * numbers, rel=1e-5)
    seven = memory.predict(
        "llama-2-7b", method="full", dtype="float32"
    )  # 7 × 4 × 4 = 112 GB: weights, gradients, two moments
    assert seven.peak / 1e9 == pytest.approx(16 * 6.738, rel=0.01)


def test_nf4_takes_4_127_bits_with_double_quantization_and_4_5_without():
    linear = sum(
        w.numel for w in architecture.shapes(architecture.read(LLAMA)) if w.kind == "linear"
    )
    rest = 2 * sum(
        w.numel for w in architecture.shapes(architecture.read(LLAMA)) if w.kind != "linear"
    )
    for double, bits in ((True, 4 + 8 / 64 + 32 / 64 / 256), (False, 4 + 32 / 64)):
        found = memory.predict(LLAMA, method="qlora", double_quant=double).parts
        assert 8 * (found["weights"] - rest + found["quant_state"]) / linear == pytest.approx(
            bits, rel=1e-3
        )


def test_a_lora_trains_what_count_says():
    from ftkit import lora

    found = memory.predict(LLAMA, method="lora", rank=32, targets="attention").parts
    assert found["adapter"] == pytest.approx(
        4 * lora.count(LLAMA, 32, "attention").trainable, rel=1e-6
    )


def test_the_loss_takes_12_bytes_for_every_token_and_word_and_next_to_nothing_in_tiles():
    one, two = (memory.predict(LLAMA, method="qlora", seq=seq, batch=4) for seq in (2048, 4096))
    assert (two.parts["logits"] - one.parts["logits"]) == 12 * 128256 * 4 * 2048
    tiled = memory.predict(LLAMA, method="qlora", seq=4096, batch=4, loss="tiled")
    assert tiled.peak < 0.5 * two.peak
    held = memory.predict(LLAMA, method="qlora", seq=2048, batch=4, loss="held")
    assert held.peak - one.peak == 2 * 128256 * 4 * 2048, (
        "outputs that stay alive keep the 16-bit logits"
    )


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ({"method": "lora"}, {"method": "full"}),
        ({"method": "qlora"}, {"method": "lora"}),
        ({"checkpointing": True}, {"checkpointing": False}),
        ({"seq": 1024}, {"seq": 2048}),
        ({"batch": 1}, {"batch": 2}),
        ({"rank": 8}, {"rank": 64}),
        ({"targets": "attention"}, {"targets": "all-linear"}),
        ({"optimizer": "adamw_8bit", "method": "full"}, {"optimizer": "adamw", "method": "full"}),
        (
            {"optimizer": "adamw", "method": "full"},
            {"optimizer": "adamw_foreach", "method": "full"},
        ),
        ({"double_quant": True}, {"double_quant": False}),
        ({"kbit_prepare": False}, {"kbit_prepare": True}),
        ({"adapter_dtype": "bfloat16"}, {"adapter_dtype": "float32"}),
        (
            {"attention": "sdpa", "seq": 8192, "loss": "tiled"},
            {"attention": "eager", "seq": 8192, "loss": "tiled"},
        ),
    ],
)
def test_what_needs_more(less, more):
    base = {"method": "qlora"}
    assert (
        memory.predict(LLAMA, **{**base, **less}).peak
        < memory.predict(LLAMA, **{**base, **more}).peak
    )


def test_qlora_can_need_more_than_lora():
    """A small model and long rows: the copies that kbit_prepare makes outgrow what four bits save."""
    asked = {"seq": 8192, "batch": 4, "loss": "tiled"}
    assert (
        memory.predict("qwen2.5-0.5b", method="qlora", kbit_prepare=True, **asked).peak
        > memory.predict("qwen2.5-0.5b", method="lora", **asked).peak
    )


def test_a_prediction_takes_a_millisecond_and_no_torch():
    code = "import sys; from ftkit import memory as m; m.predict('llama-3.1-70b', method='qlora'); "
    code += "print({'torch', 'transformers', 'bitsandbytes'} & set(sys.modules))"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        == "set()\n"
    )
    best = (
        min(
            timeit.repeat(
                lambda: memory.predict("llama-3.1-70b", method="qlora"), number=20, repeat=10
            )
        )
        / 20
    )
    assert best <= 1e-3, f"{1e3 * best:.2f} ms"


@pytest.mark.parametrize(
    ("source", "options", "sentence"),
    [
        ("llama-3.1-8", {}, "Did you mean 'llama-3.1-8b'"),
        (
            LLAMA,
            {"method": "qlroa"},
            "method is 'qlroa'; give 'full', 'lora', 'qlora'. Did you mean 'qlora'",
        ),
        (LLAMA, {"optimizer": "adamw_8bits"}, "Did you mean 'adamw_8bit'"),
        (LLAMA, {"attention": "spda"}, "Did you mean 'sdpa'"),
        (LLAMA, {"dtype": "bf16"}, "dtype is 'bf16'; give 'float32', 'bfloat16', 'float16'"),
        (LLAMA, {"loss": "liger"}, "loss is 'liger'; give 'full', 'held', 'tiled'"),
        (LLAMA, {"batch": 0}, "batch is 0; give a whole number from 1 on"),
        (LLAMA, {"seq": 0}, "seq is 0"),
        (LLAMA, {"seq": True}, "seq is True"),
        (
            LLAMA,
            {"seq": 131073},
            "seq is 131073; give a whole number from 1 to 131,072, the positions of llama-3.1-8b",
        ),
        (LLAMA, {"sek": 4}, "there is no option 'sek'; there are method, .*Did you mean 'seq'"),
        (LLAMA, {"method": "lora", "kbit_prepare": True}, "kbit_prepare is for a quantized base"),
        (LLAMA, {"method": "lora", "rank": 0}, "r is 0"),
        (LLAMA, {"method": "lora", "targets": "q_porj"}, "Did you mean 'q_proj'"),
        (LLAMA, {"attention": "flash", "dtype": "float32"}, "kernels take 16-bit numbers only"),
        ("mixtral-8x7b", {}, "'mixtral' is a mixture of experts"),
        (
            "gpt2",
            {"seq": 512},
            "the formula knows the Llama family, and model_type is 'gpt2'; trace it",
        ),
        (
            {"model_type": "llama", "hidden_size": 8, "num_hidden_layers": 2},
            {},
            'needs "vocab_size"',
        ),
    ],
)
def test_a_mistake_is_one_sentence(source, options, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        memory.predict(source, **options)
    assert "\n" not in str(error.value)


# Published figures. Of each: what was run, as far as its source says, what it gives, and how far
# the formula is from that.
GB = 10**9
PAPER = {
    "method": "qlora",
    "rank": 64,
    "seq": 512,
    "kbit_prepare": True,
    "adapter_dtype": "bfloat16",
    "loss": "held",
}
TORCHTUNE = {"batch": 2, "rank": 8, "adapter_dtype": "bfloat16", "loss": "tiled", "autocast": None}
ANCHORS = [
    # QLoRA, Dettmers et al. 2023, the memory figure: 16-bit adapters with 32-bit Adam, so its
    # moments count twice here.
    ("QLoRA figure, 7B", llama(4096, 11008, 32, 32), PAPER, 6.9 * GB, -0.021),
    ("QLoRA figure, 13B", llama(5120, 13824, 40, 40), PAPER, 11.3 * GB, +0.004),
    ("QLoRA figure, 33B", llama(6656, 17920, 52, 60), PAPER, 24.7 * GB, -0.001),
    ("QLoRA figure, 65B", llama(8192, 22016, 64, 80), PAPER, 45.0 * GB, +0.019),
    # TRL's release notes, v1.15: full fine-tuning of gemma-3-1b on 8,192 tokens before and after
    # its fused head.
    (
        "TRL, before",
        "gemma-3-1b",
        {"method": "full", "seq": 8192, "loss": "full"},
        30.33 * GIB,
        -0.007,
    ),
    (
        "TRL, after",
        "gemma-3-1b",
        {"method": "full", "seq": 8192, "loss": "tiled"},
        8.87 * GIB,
        -0.038,
    ),
    # torchtune's README: Llama 3.1 8B, batch 2 packed to 2,048. LoRA misses because torch.compile
    # is on, which fuses; its full fine-tuning (18.9 GiB) steps inside the backward pass and never
    # holds all gradients, which is not modelled.
    ("torchtune, QLoRA", LLAMA, {"method": "qlora", **TORCHTUNE}, 7.4 * GIB, 0.000),
    ("torchtune, LoRA", LLAMA, {"method": "lora", **TORCHTUNE}, 16.2 * GIB, +0.052),
]


@pytest.mark.parametrize(
    ("name", "source", "options", "published", "miss"), ANCHORS, ids=[a[0] for a in ANCHORS]
)
def test_published_figures_are_met_with_the_miss_that_is_stated(
    name, source, options, published, miss
):
    found = memory.predict(source, **options)
    bytes_ = (
        found.peak
        + (found.parts["optimizer"] if options is PAPER else 0)
        - found.parts["workspace"]
    )
    assert bytes_ / published - 1 == pytest.approx(miss, abs=0.005)
    assert abs(miss) < 0.055


def test_llama_factorys_measured_table_is_met_but_for_one_offset():
    """LLaMA-Factory's wiki: Llama 2 7B, QLoRA r = 8 on all layers, batch 1, FlashAttention 2, whole
    GB as a driver shows them.

    transformers of that time made one float32 copy of the logits where it now makes none: 2 more
    bytes a token and word. The rest, 1.4 GB at every length, is what a driver counts and the
    formula leaves out: context, kernels, the allocator's reserve.
    """
    source = llama(4096, 11008, 32, 32, positions=32768)
    published = {1024: 6, 2048: 7, 4096: 9, 8192: 12, 16384: 19, 32768: 32}
    for seq, gigabytes in published.items():
        found = memory.predict(
            source, method="qlora", rank=8, seq=seq, attention="flash", loss="held"
        )
        bytes_ = found.peak + 2 * 32000 * seq
        assert bytes_ + 1.4 * GB == pytest.approx(gigabytes * GB, rel=0.06), seq
        assert bytes_ < gigabytes * GB


def test_every_card_has_less_than_its_nameplate():
    cards = memory.cards()
    assert {c["nameplate_gb"] for c in cards.values()} == {16, 24, 40, 80, 141}
    assert all(
        0.85 * card["nameplate_gb"] < memory.usable_bytes(name) / GIB < card["nameplate_gb"]
        for name, card in cards.items()
    )
    assert list(cards) == [
        "T4 16",
        "L4 24",
        "RTX 4090 24",
        "A100 40",
        "A100 80",
        "H100 80",
        "H200 141",
    ]


def test_fits_finds_the_longest_row_that_fits():
    found = memory.fits("llama-2-7b", "T4 16", method="qlora", dtype="float16", batches=(1, 4))
    limit = 0.95 * memory.usable_bytes("T4 16")
    for batch, seq in found.longest.items():
        options = {"method": "qlora", "dtype": "float16", "batch": batch}
        assert memory.predict("llama-2-7b", seq=seq, **options).peak <= limit
        assert seq == 4096 or memory.predict("llama-2-7b", seq=seq + 1, **options).peak > limit
    assert found.longest[1] > found.longest[4] > 0
    assert "longest row" in str(found)


def test_70b_in_four_bits_is_too_much_for_24_gb_and_13b_is_not():
    assert set(memory.fits("llama-3.1-70b", "RTX 4090 24", method="qlora").longest.values()) == {0}
    assert "does not fit" in str(memory.fits("llama-3.1-70b", "RTX 4090 24", method="qlora"))
    assert memory.fits("llama-2-13b", "RTX 4090 24", method="qlora").longest[1] >= 2048


@pytest.mark.parametrize(
    ("card", "options", "sentence"),
    [
        ("A100-80", {}, "there is no card 'A100-80' in data/gpus.json.*Did you mean 'A100 80'"),
        ("T4 16", {"reserve": 1}, "reserve is 1; give a share"),
        ("T4 16", {"batches": (0,)}, "batch is 0"),
    ],
)
def test_a_card_or_a_share_that_is_none(card, options, sentence):
    with pytest.raises(UserError, match=sentence):
        memory.fits(LLAMA, card, **options)


def verb(*words):
    return subprocess.run(
        [sys.executable, "-m", "ftkit", "memory", *words], capture_output=True, text=True
    )


def test_the_verb_prints_the_ledger_and_what_a_card_holds():
    done = verb(
        LLAMA,
        "--method",
        "qlora",
        "--rank",
        "32",
        "--seq",
        "1024",
        "--batch",
        "2",
        "--loss",
        "tiled",
        "--card",
        "T4 16",
        "--json",
    )
    found = json.loads(done.stdout)
    same = memory.predict(LLAMA, method="qlora", rank=32, seq=1024, batch=2, loss="tiled")
    assert found["peak"] == same.peak == sum(found[part] for part in PARTS)
    assert found["assumptions"]["rank"] == 32
    assert found["fits"]["longest"]["1"] > 0
    assert (
        "peak ("
        in verb("pocket", "--seq", "256", "--no-checkpointing", "--autocast", "none").stdout
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["lama-3.1-8b"], "Did you mean 'llama-3.1-8b'"),
        ([LLAMA, "--card", "T5"], "there is no card 'T5'"),
        (["pocket", "--seq", "99999"], "the positions of pocket"),
    ],
)
def test_the_verbs_mistakes_are_one_sentence(words, sentence):
    done = verb(*words, "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
