"""Chats in batches: every row once, short ones together, padded where the model needs it."""

import pytest

from ftkit import UserError, data, models

CHATS = [
    [{"role": "user", "content": "Repeat: " + "lamp " * n}, {"role": "assistant", "content": "Yes"}]
    for n in (9, 1, 5, 3, 7)
]


@pytest.fixture(scope="module")
def tokenizer():
    return models.load("pocket")[1]


def test_every_chat_comes_once_and_short_ones_come_first(tokenizer):
    chats = [data.render(chat, tokenizer) for chat in CHATS]
    for batches in (
        models.chat_batches(tokenizer, chats, batch_size=2),
        models.prompt_batches(tokenizer, CHATS, batch_size=2),
    ):
        assert [places for places, _ in batches] == [[1, 3], [2, 4], [0]]


@pytest.mark.parametrize("as_prompts", [True, False])
def test_a_row_is_the_rendered_chat_and_its_padding_is_on_the_side_that_is_free(
    tokenizer, as_prompts
):
    chats = [data.render(chat, tokenizer) for chat in CHATS]
    asked = [chat[:1] for chat in CHATS]
    batches = (
        models.prompt_batches(tokenizer, asked)
        if as_prompts
        else models.chat_batches(tokenizer, chats)
    )
    for places, inputs in batches:
        assert inputs["input_ids"].shape == inputs["attention_mask"].shape
        for place, ids, mask in zip(
            places, inputs["input_ids"], inputs["attention_mask"], strict=True
        ):
            text = tokenizer.apply_chat_template(
                asked[place] if as_prompts else CHATS[place],
                add_generation_prompt=as_prompts,
                tokenize=False,
            )
            assert tokenizer.decode(ids[mask.bool()]) == text
            padded = len(mask) - int(mask.sum())
            assert not mask[:padded].any() if as_prompts else not mask[len(mask) - padded :].any()


def test_a_chat_that_loses_a_part_is_named(tokenizer):
    named = [CHATS[0][:1], [{"role": "user", "content": "Hello.", "name": "Ann"}]]
    with pytest.raises(UserError, match=r"name 'Ann' of chat 2's message 1"):
        list(models.prompt_batches(tokenizer, named))


def test_a_token_without_an_embedding_is_named():
    model, tokenizer = models.load("pocket")
    models.check_tokens(model, tokenizer, {"row 1": len(tokenizer) - 1})
    with pytest.raises(UserError, match=r"row 2 uses .*, token 9,999, for which there is no emb"):
        models.check_tokens(model, tokenizer, {"row 1": 0, "row 2": 9999})
