"""N models against one base and N adapters: bytes to the last, cards by what they hold."""

import pytest

from ftkit import UserError, cost, lora, memory
from ftkit.cost.storing import token_bytes


def test_bytes_are_the_models_and_the_files():
    found = cost.compare_storing("llama-3.1-8b", 100)
    assert found.base == 2 * 8_030_261_248
    assert found.adapter == lora.count("llama-3.1-8b", 16).adapter_bytes("bfloat16")
    assert found.models == 100 * found.base
    assert found.adapters == found.base + 100 * found.adapter
    assert found.ratio == found.models / found.adapters > 60
    assert "1,606.1 GB" in str(found) and "one base, 100 adapters" in str(found)


def test_a_token_leaves_keys_and_values_in_every_layer():
    step = memory.make_step("llama-3.1-8b", seq=1)
    assert token_bytes(step) == 2 * 8 * 128 * 32 * 2 == 131_072


def test_cards_are_those_that_hold_the_weights_and_the_tokens_under_way():
    room = memory.usable_bytes("A100 80")
    found = cost.compare_storing("llama-3.1-8b", 100, tokens=1)
    each = (room - 131_072) // found.base
    assert found.cards == (-(-100 // each), 1)
    # 70B in 16 bits takes two cards each
    assert cost.compare_storing("llama-3.1-70b", 3, tokens=1).cards == (6, 2)
    assert cost.compare_storing("llama-3.1-8b", 1).cards == (1, 1)


def test_a_month_is_730_hours_of_every_card():
    found = cost.compare_storing("llama-3.1-8b", 100, prices=(2, 3))
    assert found.monthly[1] == (730 * 2, 730 * 3)
    assert found.monthly[0] == (found.cards[0] * 1460, found.cards[0] * 2190)
    assert cost.compare_storing("qwen2.5-0.5b", 2, card="T4 16").monthly is None


@pytest.mark.parametrize("options", [{"n": 0}, {"n": 2.5}, {"n": 3, "tokens": 0}])
def test_what_cannot_be_is_a_sentence(options):
    with pytest.raises(UserError, match="give a whole number from 1 on"):
        cost.compare_storing("llama-3.1-8b", **options)
