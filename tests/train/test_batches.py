"""What a trainer is fed: the steps of a plain one, in smaller pieces with less padding."""

import families
import pytest
import torch
from accelerate.data_loader import SeedableRandomSampler
from datasets import Dataset

from ftkit import UserError, data, lora, models, train
from ftkit.train import batches, trainer


def blocks(order, size):
    return [order[i : i + size] for i in range(0, len(order), size)]


def test_short_first_draws_what_accelerate_draws_and_sorts_each_step():
    lengths = [30, 5, 12, 8, 40, 7, 21, 3, 9, 11, 2]
    theirs = SeedableRandomSampler(lengths, generator=torch.Generator(), data_seed=7)
    ours = batches.ShortFirst(lengths, 4, 7)
    for epoch in (0, 1, 5):
        theirs.set_epoch(epoch)
        ours.set_epoch(epoch)
        drawn, short_first = blocks(list(theirs), 4), blocks(list(ours), 4)
        assert [sorted(rows) for rows in drawn] == [sorted(rows) for rows in short_first]
        assert all(rows == sorted(rows, key=lengths.__getitem__) for rows in short_first)
        assert drawn != short_first
    assert len(ours) == 11


def mixed(rows=40):
    tickets = data.first(data.load("tickets")["train"], rows // 2)
    return data.mix(tickets, data.load("general")["train"], 0.5)


def tuned(monkeypatch, micro, **recipe):
    """(losses, shapes, padding): a run of three steps per epoch at most, and its forward passes."""
    monkeypatch.setattr(batches, "MICRO", micro)
    model, tokenizer = models.load("pocket")
    torch.manual_seed(0)
    model = lora.attach(model, r=4)
    masks = []

    def note(_module, _args, inputs):
        masks.append(inputs["attention_mask"])

    model.register_forward_pre_hook(note, with_kwargs=True)
    recipe = train.Recipe(2e-3, 2, evaluations=0, seed=3, **recipe)
    run = train.sft(model, tokenizer, mixed(), recipe)
    padding = sum(int((mask == 0).sum()) for mask in masks)
    return run.losses, [tuple(mask.shape) for mask in masks], padding


@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param({"batch_size": 16}, id="16", marks=pytest.mark.weekly),
        pytest.param({"batch_size": 9}, id="9"),
        pytest.param({"batch_size": 16, "kl": 0.5}, id="kl", marks=pytest.mark.weekly),
    ],
)
def test_micro_batches_give_the_same_losses_with_less_padding(recipe, monkeypatch):
    """40 rows: the last step of an epoch has fewer rows than the others."""
    whole, _, filled = tuned(monkeypatch, (), **recipe)
    losses, shapes, padding = tuned(monkeypatch, (4, 3, 2), **recipe)
    assert max(rows for rows, _ in shapes) == (3 if recipe["batch_size"] == 9 else 4)
    assert [step for step, _ in losses] == [step for step, _ in whole]
    assert [loss for _, loss in losses] == pytest.approx([loss for _, loss in whole], abs=1e-4)
    assert padding < 0.7 * filled


@pytest.mark.parametrize(
    ("stated", "rows", "accumulated"),
    [
        ({"batch_size": 16}, 4, 4),
        ({"batch_size": 4}, 4, 1),
        ({"batch_size": 7}, 7, 1),
        ({"batch_size": 8, "packing": True}, 8, 1),
    ],
)
def test_a_batch_is_split_where_it_can_be(stated, rows, accumulated, tmp_path):
    recipe = train.Recipe(**stated)
    micro = batches.rows_at_once(None, None, recipe)
    args = train.sft_config(recipe, tmp_path, rows=64, micro=micro)
    split = args.per_device_train_batch_size, args.gradient_accumulation_steps
    assert split == (rows, accumulated)


TWICE = [
    {"role": "user", "content": "One?"},
    {"role": "assistant", "content": "first answer"},
    {"role": "user", "content": "Two?"},
    {"role": "assistant", "content": "second answer"},
]
END = {"llama": "<|eot_id|>", "qwen": "<|im_end|>", "gemma": "<end_of_turn>", "phi": "<|end|>"}


def learned(row, tokenizer):
    """What carries loss in a row, as text."""
    return tokenizer.decode([label for label in row["labels"] if label != -100])


def without_marks(tokenizer):
    for mark in ("{% generation %}", "{% endgeneration %}"):
        tokenizer.chat_template = tokenizer.chat_template.replace(mark, "")


def of_trl(rows, tokenizer, folder, **options):
    """The same rows as TRL prepares them itself."""
    options |= {"use_cpu": True, "bf16": False, "report_to": "none"}
    return trainer.SFTTrainer(
        models.load("pocket")[0],
        trainer.SFTConfig(str(folder), **options),
        train_dataset=rows,
        processing_class=tokenizer,
    ).train_dataset


def test_with_marks_the_rows_are_what_trl_makes_of_them_itself(tmp_path):
    tokenizer = models.load("pocket")[1]
    tickets = data.first(data.load("tickets")["train"], 4)["messages"]
    rows = Dataset.from_list([{"messages": chat} for chat in [*tickets, TWICE]])
    theirs = of_trl(rows, tokenizer, tmp_path, assistant_only_loss=True)
    ours = train.as_trl(rows, tokenizer)
    assert ours.column_names == ["input_ids", "labels"]
    for column in ours.column_names:
        assert list(ours[column]) == list(theirs[column])


def test_without_marks_they_are_trls_prompt_and_completion(tmp_path):
    """TRL lets a line end behind the end mark carry loss, too; this template has none."""
    tokenizer = models.load("pocket")[1]
    without_marks(tokenizer)
    rows = data.first(data.load("tickets")["train"], 4)
    pairs = [{"prompt": chat[:-1], "completion": chat[-1:]} for chat in rows["messages"]]
    theirs = of_trl(Dataset.from_list(pairs), tokenizer, tmp_path)
    ours = train.as_trl(rows, tokenizer)
    for column in ours.column_names:
        assert list(ours[column]) == list(theirs[column])


@pytest.mark.parametrize("family", ["pocket", *END])
def test_every_template_teaches_the_same_turns_and_their_end_marks(family):
    """With marks or without: each answer with its end mark, and no line end behind it."""
    if family == "pocket":
        tokenizer, end = models.load("pocket")[1], "<|end|>"
    else:
        _, marks, template = families.FAMILIES[family]
        tokenizer, end = families.make_tokenizer(marks, template), END[family]
    last = [{**message, "weight": 0} if message is TWICE[1] else message for message in TWICE]
    both = train.as_trl(Dataset.from_list([{"messages": TWICE}]), tokenizer)
    assert learned(both[0], tokenizer) == f"first answer{end}second answer{end}"
    second = train.as_trl(data.to_dataset([{"messages": last}]), tokenizer)
    assert learned(second[0], tokenizer) == f"second answer{end}"
    assert second[0]["input_ids"] == both[0]["input_ids"]


def test_a_row_that_the_template_refuses_is_named():
    tokenizer = models.load("pocket")[1]
    tokenizer.chat_template = "{{ raise_exception('no such role') }}"
    rows = Dataset.from_list([{"messages": TWICE}])
    with pytest.raises(UserError, match=r"validation row 1 does not fit .* no such role"):
        train.as_trl(rows, tokenizer, "validation")


def rows_of(*labels):
    """Tokenized rows; a label that is 0 stands for a token without loss."""
    ids = [list(range(1, len(row) + 1)) for row in labels]
    marked = [[label or -100 for label in row] for row in labels]
    return Dataset.from_dict({"input_ids": ids, "labels": marked})


def test_what_max_length_takes_is_counted_by_row():
    rows = rows_of([0, 0, 1, 1], [0, 1, 1, 1], [1, 0, 0, 0, 1], [0, 0, 0, 0, 5], [0, 1])
    assert batches.cut(rows, 5, "train").note == ""
    kept = batches.cut(rows, 2, "train")
    assert (kept.lost, kept.short, kept.left) == ([1, 4], [2, 3], 3)
    assert kept.note == (
        "2 of 5 training rows have no answer token within max_length 2, and are left out "
        "(rows 1, 4) and 2 of 5 training rows lose the end of an answer to max_length 2 "
        "(rows 2, 3); raise max_length, the longest row has 5 tokens, or shorten the rows."
    )
    none = batches.cut(rows_of(*[[0, 1]] * 9), 1, "validation")
    assert none.left == 0
    assert "9 of 9 validation rows have no answer token" in none.note
    assert "so nothing is validated (rows 1, 2, 3, 4, 5, …)" in none.note


def test_tokens_without_an_embedding_and_positions_beyond_the_last_are_refused():
    model, tokenizer = models.load("pocket")
    size, last = model.config.vocab_size, model.config.max_position_embeddings
    rows = Dataset.from_dict({"input_ids": [[1], [1, 2, size]]})
    batches.refuse_unreadable(rows, model, tokenizer, 2)
    tokenizer.add_tokens(["<ticket>"])
    with pytest.raises(
        UserError,
        match=rf"tokenizer has {size + 1:,} tokens and the model {size:,}: train row 2 uses "
        f"'<ticket>', token {size:,}, .*resize_token_embeddings",
    ):
        batches.refuse_unreadable(rows, model, tokenizer, 3)
    tokenizer.pad_token = "<ticket>"
    with pytest.raises(UserError, match="padding uses '<ticket>'"):
        batches.refuse_unreadable(rows, lora.attach(model), tokenizer, 2)
    tokenizer.pad_token = tokenizer.eos_token

    # a row is as long as it is cut
    long = Dataset.from_dict({"input_ids": [[1], [1] * (last + 1)]})
    batches.refuse_unreadable(long, model, tokenizer, last)
    with pytest.raises(
        UserError,
        match=f"val row 2 has {last + 1:,} tokens within max_length, and the model knows {last:,} "
        f"positions .* set max_length to {last}",
    ):
        batches.refuse_unreadable(long, model, tokenizer, last + 1, "val")
