"""Chats in batches: every row once, short ones together, padded where the model needs it."""

import pytest

from ftkit import models

CHATS = [
    [{"role": "user", "content": "Repeat: " + "lamp " * n}, {"role": "assistant", "content": "Yes"}]
    for n in (9, 1, 5, 3, 7)
]


@pytest.fixture(scope="module")
def tokenizer():
    return models.load("pocket")[1]


def test_every_chat_comes_once_and_short_ones_come_first(tokenizer):
    batches = list(models.chat_batches(tokenizer, CHATS, as_prompts=False, batch_size=2))
    assert [places for places, _ in batches] == [[1, 3], [2, 4], [0]]


@pytest.mark.parametrize("as_prompts", [True, False])
def test_a_row_is_the_rendered_chat_and_its_padding_is_on_the_side_that_is_free(
    tokenizer, as_prompts
):
    for places, inputs in models.chat_batches(tokenizer, CHATS, as_prompts=as_prompts):
        assert inputs["input_ids"].shape == inputs["attention_mask"].shape
        for place, ids, mask in zip(places, *inputs.values(), strict=True):
            text = tokenizer.apply_chat_template(
                CHATS[place], add_generation_prompt=as_prompts, tokenize=False
            )
            assert tokenizer.decode(ids[mask.bool()]) == text
            padded = len(mask) - int(mask.sum())
            assert not mask[:padded].any() if as_prompts else not mask[len(mask) - padded :].any()
