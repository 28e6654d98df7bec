"""A learned prompt is read and written as forward passes alone would have it."""

import warnings

import pytest
import torch

from ftkit import UserError, data, evaluate, lora, methods, models

NEW = 10
PROMPTS = {"prompt": {"tokens": 7}, "prefix": {"tokens": 7}, "p_tuning": {"tokens": 7, "hidden": 8}}


def disturbed(name, seed=1):
    """A method with an effect that nothing trained; the base starts it."""
    model, tokenizer = models.load("pocket")
    adapted = methods.attach(model, name, seed=0, **PROMPTS[name]).eval()
    generator = torch.Generator().manual_seed(seed)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return adapted, tokenizer


@pytest.fixture(scope="module", params=PROMPTS)
def asked(request):
    return request.param, *disturbed(request.param)


@pytest.fixture(scope="module")
def chats():
    rows = data.load("tickets")["test"]["messages"][:4]
    # of other lengths, so that a batch is padded
    return [chat[:-1] for chat in rows] + [[{"role": "user", "content": "Say hello."}]]


def token_ids(tokenizer, chat):
    text = data.render_prompt(chat, tokenizer)
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def batch_of(tokenizer, chats):
    ids = [token_ids(tokenizer, chat) for chat in chats]
    return tokenizer.pad({"input_ids": ids}, padding_side="left", return_tensors="pt"), ids


def by_forward_passes(model, ids, count):
    """Greedy decoding by forward passes over the whole text, one row, no cache: the yardstick."""
    row = list(ids)
    for _ in range(count):
        row.append(int(model(input_ids=torch.tensor([row])).logits[0, -1].argmax()))
    return row[len(ids) :]


@torch.no_grad()
def test_a_batch_with_a_cache_writes_what_forward_passes_alone_do(asked, chats):
    _, model, tokenizer = asked
    batch, ids = batch_of(tokenizer, chats)
    options = {"max_new_tokens": NEW, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    written = models.write(model, dict(batch), **options)
    assert written.tolist() == [by_forward_passes(model, row, NEW) for row in ids]


@torch.no_grad()
def test_peft_itself_still_writes_something_else(asked, chats):
    """Red as soon as peft's generate is right (peft 1391, 2123): then `write` may call it."""
    _, model, tokenizer = asked
    batch, ids = batch_of(tokenizer, chats)
    options = {"max_new_tokens": NEW, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    with warnings.catch_warnings(action="ignore"):
        theirs = model.generate(**batch, **options)[:, batch["input_ids"].shape[1] :]
    assert theirs.tolist() != [by_forward_passes(model, row, NEW) for row in ids]


@torch.no_grad()
def test_reading_gives_each_row_the_logits_that_it_has_alone(asked, chats):
    _, model, tokenizer = asked
    batch, ids = batch_of(tokenizer, chats)
    logits = models.read(model, **batch).logits
    assert logits.shape[:2] == batch["input_ids"].shape
    for row, tokens in enumerate(ids):
        alone = model(input_ids=torch.tensor([tokens])).logits[0, -len(tokens) :]
        assert torch.allclose(logits[row, -len(tokens) :], alone, atol=1e-4)


def test_switched_off_or_another_method_it_is_asked_as_it_is(asked, chats):
    _, model, tokenizer = asked
    assert models.virtual_tokens(model) == 7
    base, _ = models.load("pocket")
    with lora.using(model, None):
        assert models.virtual_tokens(model) == 0
        assert models.answer(model, tokenizer, chats, 8) == models.answer(base, tokenizer, chats, 8)
    assert models.virtual_tokens(lora.attach(base)) == 0
    assert models.virtual_tokens(torch.nn.Linear(2, 2)) == 0


def test_answers_verified_and_written_agree_and_are_scored(asked, chats):
    _, model, tokenizer = asked
    golds = models.answer(model, tokenizer, chats, 12)
    assert all(models.verify_answers(model, tokenizer, chats, golds, 12))
    assert not any(models.verify_answers(model, tokenizer, chats, ["never said"] * 5, 12))
    rows = data.load("tickets")["test"].select(range(3))
    assert len(evaluate.score(model, tokenizer, rows, max_new_tokens=8).exact) == 3
    nats = evaluate.surprisals(model, tokenizer, rows["messages"])
    assert all(value.nats > 0 for value in nats)


def test_options_are_weighed_as_whole_replies_are(asked):
    _, model, tokenizer = asked
    prompt = [{"role": "user", "content": "Say hello."}]
    nats = evaluate.option_nats(model, tokenizer, [prompt], [["hello", "hello there", "no"]])[0]
    whole = [[*prompt, {"role": "assistant", "content": text}] for text in ("hello", "no")]
    alone = [one.nats for one in evaluate.surprisals(model, tokenizer, whole)]
    assert [nats[0], nats[2]] == pytest.approx(alone, rel=1e-4)


def test_virtual_tokens_take_positions(asked):
    _, model, tokenizer = asked
    models.check_readable(model, tokenizer, {"row 1": [5] * 1017})
    with pytest.raises(UserError, match=r"1,018 tokens.* 7 of them for virtual tokens"):
        models.check_readable(model, tokenizer, {"row 1": [5] * 1018})
