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


def test_the_loop_gives_a_loss_for_each_step_and_the_model_can_be_asked_between(rows, adapted):
    model, tokenizer = adapted
    chats = [data.render(chat, tokenizer) for chat in rows["messages"]]
    taught = [(chat.ids, studies.learned_tokens(chat, "answer")) for chat in chats]
    modes, losses = [], []
    for loss in studies.Loop(3, 4e-3).run(model, tokenizer, taught):
        losses.append(loss)
        modes.append(model.training)
        model.eval()
    assert modes == [True] * 3 and not model.training
    other = lora.attach(models.load("pocket")[0], r=4, alpha=8, seed=3)
    assert studies.fit(other, tokenizer, taught, steps=3, lr=4e-3) == losses[-1]


def test_a_loss_scale_that_stays_is_taken_back_by_the_clipping_alone(rows, adapted):
    """Gradients above a norm of 1 are clipped: so large a scale makes every step as long."""
    model, tokenizer = adapted
    chats = [data.render(chat, tokenizer) for chat in rows["messages"]]
    taught = [(chat.ids, studies.learned_tokens(chat, "answer")) for chat in chats]
    losses = list(studies.Loop(2, 4e-3, scale=1e4).run(model, tokenizer, taught))
    assert all(loss < 100 for loss in losses) and len(losses) == 2
