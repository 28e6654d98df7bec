"""The loop by hand is the library's run on the same tokens; and what only it does."""

import pytest

from ftkit import UserError, data, lora, models, studies, train
from ftkit.studies import templates

ROWS = 8


@pytest.fixture(scope="module")
def rows():
    return data.first(data.load("trays")["train"], ROWS)


@pytest.fixture
def adapted():
    model, tokenizer = models.load("pocket")
    return lora.attach(model, r=4, alpha=8, seed=3), tokenizer


def test_with_the_usual_tokens_it_is_the_librarys_run(rows, adapted):
    model, tokenizer = adapted
    chats = [data.render(chat, tokenizer) for chat in rows["messages"]]
    taught = [(chat.ids, studies.learned_tokens(chat, "answer")) for chat in chats]
    loss = studies.fit(model, tokenizer, taught, steps=3, lr=4e-3)
    # one batch has all rows, so that their order does not matter
    other = lora.attach(models.load("pocket")[0], r=4, alpha=8, seed=3)
    recipe = train.Recipe(4e-3, epochs=3, batch_size=ROWS, evaluations=0, keep_best=False)
    run = train.sft(other, tokenizer, {"train": rows}, recipe)
    assert loss == pytest.approx(run.loss, abs=1e-5)
    pairs = zip(models.trained_parameters(model), models.trained_parameters(other), strict=True)
    for ours, theirs in pairs:
        # but for rounding, which Adam makes larger where a gradient is next to nothing
        assert (ours - theirs).norm() <= 1e-3 * theirs.norm()


def test_which_tokens_are_learned(rows, adapted):
    _, tokenizer = adapted
    chat = data.render(rows["messages"][0], tokenizer)
    answer = [
        t for t, on in zip(chat.ids, studies.learned_tokens(chat, "answer"), strict=True) if on
    ]
    assert tokenizer.decode(answer) == rows["messages"][0][-1]["content"] + "<|end|>"
    endless = [
        t for t, on in zip(chat.ids, studies.learned_tokens(chat, "no end"), strict=True) if on
    ]
    assert tokenizer.decode(endless) == rows["messages"][0][-1]["content"]
    assert studies.learned_tokens(chat, "all") == [True] * len(chat.ids)


def test_other_seeds_take_the_rows_in_another_order():
    from ftkit.studies import by_hand

    first, again, other = (
        [
            place
            for batch, _ in zip(by_hand.endless(10, 4, seed), range(6), strict=False)
            for place in batch
        ]
        for seed in (0, 0, 1)
    )
    assert first == again != other
    # every epoch has every row once
    assert sorted(first[:10]) == sorted(first[10:]) == list(range(10))


@pytest.mark.parametrize("name", templates.TEMPLATES)
def test_every_template_says_all_that_a_row_says(name, rows, adapted):
    _, tokenizer = adapted
    other = templates.written_in(tokenizer, name)
    chat = data.render(rows["messages"][0], other)
    answer = [t for t, on in zip(chat.ids, chat.learned, strict=True) if on]
    assert other.decode(answer) == rows["messages"][0][-1]["content"] + "<|end|>"
    assert rows["messages"][0][0]["content"] in chat.text
    same = chat.text == data.render(rows["messages"][0], tokenizer).text
    assert same == (name == "right")
    # the tokenizer that was given stays as it was
    assert tokenizer.chat_template == templates.OWN


def test_an_unknown_template_is_refused(adapted):
    with pytest.raises(UserError, match=r"no template 'alpacka'.*Did you mean 'alpaca'"):
        templates.written_in(adapted[1], "alpacka")
