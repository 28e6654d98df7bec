"""FLOPs by formula are those that torch counts, to the last one."""

import pytest
import torch
from families import write
from torch.utils.flop_counter import FlopCounterMode

from ftkit import UserError, cost, lora, memory, models

ROWS, LENGTH, RANK = 2, 24, 4
LLAMA = 7_504_658_432  # numbers in the matrices of Llama 3.1 8B, without its embedding


def counted(name, method, targets, checkpointing):
    """What torch counts in a forward and a backward pass with eager attention."""
    model, _ = models.load(name)
    model.set_attn_implementation("eager")
    if method != "full":
        model = lora.attach(model, r=RANK, alpha=8, targets=targets)
    model.train()
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    ids = torch.randint(3, 100, (ROWS, LENGTH), generator=torch.Generator().manual_seed(0))
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    return counter.get_total_flops()


def by_formula(name, method, targets, checkpointing):
    step = {"rank": RANK, "targets": targets, "seq": LENGTH, "batch": ROWS, "dtype": "float32"}
    step |= {"attention": "eager", "device": "cpu", "checkpointing": checkpointing}
    return cost.train_flops(name, method=method, **step)


@pytest.mark.parametrize(
    ("method", "targets", "checkpointing"),
    [
        ("full", "all-linear", False),
        ("full", "all-linear", True),
        ("lora", "all-linear", False),
        ("lora", "all-linear", True),
        ("lora", "q,v", False),
        ("lora", "mlp", False),
        ("lora", ["down_proj"], True),
        ("lora", ["o_proj"], False),
    ],
)
def test_torch_counts_as_many(method, targets, checkpointing):
    how = (method, targets, checkpointing)
    assert by_formula("pocket", *how).total == counted("pocket", *how)


def test_torch_counts_as_many_in_a_family_with_fused_matrices_and_norms_on_heads(tmp_path):
    for family in ("phi", "qwen"):
        name = str(write(family, tmp_path / family))
        for how in (("full", "all-linear", False), ("lora", "all-linear", False)):
            assert by_formula(name, *how).total == counted(name, *how), (family, how)


def test_full_fine_tuning_is_6_n_and_lora_a_little_more_than_4_n():
    tokens, parts = 1024, {}
    for method in ("full", "lora", "qlora"):
        work = cost.train_flops("llama-3.1-8b", method=method, seq=tokens, checkpointing=False)
        parts[method] = (work.of_place("blocks") + work.of_place("head")) / LLAMA / tokens
        assert work.tokens == tokens and work.per_token == work.total / tokens
    assert parts["full"] == 6
    assert 3.99 < parts["lora"] < 4
    assert parts["lora"] == parts["qlora"], "four bits multiply as sixteen do"


def test_attention_is_a_small_share_of_short_rows_and_a_large_one_of_long_rows():
    shares = []
    for tokens in (512, 8192):
        work = cost.train_flops("llama-3.1-8b", method="lora", seq=tokens)
        shares.append(work.of_place("attention") / work.total)
        # by hand: scores, their use; again; and five products backward
        assert work.of_place("attention") == 9 * 2 * tokens**2 * 4096 * 32
    assert shares[0] < 0.05 < 0.25 < shares[1]


def test_checkpointing_runs_the_blocks_again():
    on, off = (
        cost.train_flops("llama-3.1-8b", method="lora", seq=512, checkpointing=on)
        for on in (True, False)
    )
    assert on.of_pass("forward") == off.of_pass("forward")
    assert off.of_pass("forward again") == 0 < on.of_pass("forward again") < on.of_pass("forward")
    assert 1.4 < on.total / off.total < 1.5
    assert "forward again" in str(on) and "forward again" not in str(off)


def test_the_rule_of_thumb_is_the_rule():
    N = 8_030_261_248
    assert cost.rule_of_thumb("llama-3.1-8b", 100, "full") == 6 * N * 100
    assert cost.rule_of_thumb("llama-3.1-8b", 100) == 4 * N * 100
    assert cost.rule_of_thumb("llama-3.1-8b", 1, checkpointing=True) == 6 * N
    assert cost.rule_of_thumb("gpt2", 1) == 4 * 124_439_808, "any dense family will do"


def test_an_answer_is_the_prompt_at_once_and_then_token_by_token():
    model, _ = models.load("pocket")
    model.set_attn_implementation("eager")
    ids = torch.arange(3, 3 + 20)[None]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.generate(ids, min_new_tokens=5, max_new_tokens=5, do_sample=False)
    work = cost.answer_flops("pocket", 20, 5)
    assert work.total == counter.get_total_flops()
    assert cost.answer_flops("pocket", 20).of_place("head") == 0


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: cost.train_flops("gpt2"), "dense decoders of the Llama family, and gpt2"),
        (lambda: cost.train_flops("mixtral-8x7b"), "mixtral-8x7b is of another"),
        (lambda: cost.train_flops("llama-3.1-8b", method="ia3"), "FLOPs are counted for full"),
        (lambda: cost.train_flops("llama-3.1-8b", sec=1), "no option 'sec'.*Did you mean 'seq'"),
        (lambda: cost.rule_of_thumb("mixtral-8x7b", 1), "mixture of experts"),
        (lambda: cost.rule_of_thumb("gpt2", 1, "lor"), "Did you mean 'lora'"),
        (lambda: cost.answer_flops("pocket", 0), "prompt is 0; give a whole number of tokens"),
        (lambda: cost.answer_flops("pocket", 5, 1.5), "reply is 1.5"),
        (lambda: cost.answer_flops("llama-3.1-8b", 131_000, 73), "positions for 131,072 tokens"),
        (lambda: cost.rule_of_thumb("gpt2", -1), "tokens is -1; give a number from 0 on"),
        (lambda: cost.rule_of_thumb("gpt2", "5"), "tokens is '5'"),  # type: ignore
    ],
)
def test_what_cannot_be_counted_is_a_sentence(call, said):
    with pytest.raises(UserError, match=said):
        call()


def test_flops_are_said_in_three_digits():
    assert cost.in_flops(0) == "–"
    assert cost.in_flops(999.6e9) == "1 TFLOP"
    assert cost.in_flops(6.99e16) == "69.9 PFLOP"


def test_nothing_but_sizes_is_needed():
    step = memory.make_step("llama-3.1-8b", method="lora", seq=100, batch=3)
    assert cost.train_flops(step).json()["tokens"] == 300
