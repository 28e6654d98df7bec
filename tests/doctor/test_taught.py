"""What a run was taught: healthy rows raise nothing, and each fault its own check alone."""

import json
from dataclasses import replace

import pytest
import torch

from ftkit import UserError, data, models, train
from ftkit.doctor import taught
from ftkit.train import Experiment

NO_LOSS = taught.NO_LOSS
END = 2  # <|end|> of the pocket model


@pytest.fixture(scope="module")
def seen():
    """Eight tickets as the kit teaches them."""
    tokenizer = models.load_tokenizer("pocket")
    rows = train.as_trl(data.first(data.load("tickets")["train"], 8), tokenizer)
    pairs = list(zip(rows["input_ids"], rows["labels"], strict=True))
    return taught.Seen(pairs, tokenizer, {tuple(ids) for ids, _ in pairs})


@pytest.fixture(scope="module")
def embeddings():
    return models.load("pocket")[0].get_input_embeddings().weight.detach()


def changed(seen, change):
    return replace(seen, rows=[change(list(ids), list(labels)) for ids, labels in seen.rows])


def wrong(seen, embeddings=None):
    return {f.check: f for f in taught.check_tokens(seen, embeddings) if not f.ok}


def test_healthy_rows_raise_nothing(seen, embeddings):
    assert wrong(seen, embeddings) == {}


@pytest.mark.parametrize(
    ("check", "change", "said"),
    [
        ("prompt", lambda ids, labels: (ids, list(ids)), "8 of 8 rows carry loss from their first"),
        ("prompt", lambda ids, labels: (ids, [NO_LOSS] * len(ids)), "no token that carries loss"),
        ("end mark", lambda ids, labels: (ids, [*labels[:-1], NO_LOSS]), "never learns to stop"),
        ("cut answers", lambda ids, labels: (ids[:80], labels[:80]), "after 80 tokens"),
        ("start mark", lambda ids, labels: (ids[:1] + ids, [NO_LOSS, *labels]), "two start marks"),
        ("template", lambda ids, labels: ([1, 40, *ids[2:]], labels), "other tokens"),
    ],
)
def test_each_fault_raises_its_own_check_alone(seen, check, change, said):
    found = wrong(changed(seen, change))
    assert list(found) == [check]
    assert said in found[check].message and found[check].cure


def test_one_row_of_many_is_no_illness(seen):
    """A row in which only the end is missing, among thirty: nothing is called wrong."""
    (ids, labels), *_ = seen.rows
    rows = [*seen.rows * 4, (ids[:80], labels[:80])]
    assert wrong(replace(seen, rows=rows)) == {}


ASKED = [1, 3, 40, END, 5]  # a question with its own end mark, and the mark that begins an answer


@pytest.mark.parametrize(
    ("row", "cut"),
    [
        (([*ASKED, 50, END], [NO_LOSS] * 5 + [50, END]), False),
        (([*ASKED, 50, END, 9], [NO_LOSS] * 5 + [50, END, NO_LOSS]), False),  # a line break behind
        (([*ASKED, 50], [NO_LOSS] * 5 + [50]), True),  # one token is left of the answer
        ((ASKED, [NO_LOSS] * 5), True),  # nothing is
        # of two answers the second one is gone, or of weight 0
        (([*ASKED, 50, END, *ASKED], [NO_LOSS] * 5 + [50, END] + [NO_LOSS] * 5), True),
        (([*ASKED, 50, END, *ASKED, 50, END], [NO_LOSS] * 5 + [50, END] + [NO_LOSS] * 7), False),
    ],
)
def test_the_end_mark_of_a_question_ends_no_answer(row, cut, seen):
    whole = {(*ASKED, 50, END), (*ASKED, 50, END, *ASKED, 50, END)}
    looked = replace(seen, rows=[row] * 8, rendered=whole)
    assert ("cut answers" in wrong(looked)) is cut
    said = taught.check_end_mark(replace(looked, rows=[row, ([*ASKED, 50, END], [50] * 7)]))
    assert said.ok and said.message.endswith("in the 1 rows that are whole") is cut
    assert taught.check_end_mark(looked).message.startswith("not looked at: every row") is cut


def test_packed_rows_need_no_end_mark(seen):
    cut = changed(seen, lambda ids, labels: (ids[:80], labels[:80]))
    assert wrong(replace(cut, packed=True)) == {}


def test_a_token_that_was_never_trained_is_named(seen, embeddings):
    token = next(label for label in seen.rows[0][1] if label not in (NO_LOSS, END))
    mean = embeddings.clone()
    mean[token] = embeddings.mean(0)
    found = wrong(seen, mean)
    assert list(found) == ["tokens"] and f"(id {token})" in found["tokens"].message
    assert f"trainable_token_indices=[{token}]" in found["tokens"].cure
    # one that the base has no row for
    short = wrong(seen, embeddings[:1000])
    assert "the base has no embedding for it" in short["tokens"].message


def test_no_trained_token_of_the_pocket_model_is_near_the_threshold(embeddings):
    apart = (embeddings - embeddings.mean(0)).norm(dim=1)
    assert (apart.min() / apart.median()).item() > 5 * taught.DEAD


@pytest.mark.parametrize(
    ("hashes", "fine"),
    [
        (["a"] * 4 + [f"{n}" for n in range(96)], True),  # four times is no mistake yet
        (["a"] * 5 + [f"{n}" for n in range(95)], False),
        (["a"] * 5 + [f"{n}" for n in range(995)], True),  # nor is half a percent
        (["a"] * 50 + [f"{n}" for n in range(200)], False),
        ([], True),
    ],
)
def test_copies_are_counted(hashes, fine):
    found = taught.check_copies(hashes)
    assert found.ok is fine
    assert fine or f"is there {hashes.count('a')} times" in found.message


@pytest.mark.parametrize(
    ("tested", "fine"),
    [(["a", "b"], False), (["x", "y"], True), (["a", *map(str, range(30))], True), ([], True)],
)
def test_test_rows_among_the_training_rows_are_counted(tested, fine):
    found = taught.check_leak(["a", "b", "c"], tested)
    assert found.ok is fine
    assert fine or "2 of 2 test rows were trained on" in found.message


def test_a_batch_of_a_trainer_is_read_without_its_padding(seen):
    ids = torch.tensor([[1, 4, 50, 2, 0, 0]])
    labels = torch.tensor([[-100, -100, 50, 2, -100, -100]])
    batch = {"input_ids": ids, "labels": labels, "attention_mask": (ids != 0).long()}
    read = taught.Seen.of_batch(batch, seen.tokenizer)
    assert read.rows == [([1, 4, 50, 2], [-100, -100, 50, 2])] and not read.packed


def test_seen_json_is_read_or_refused(tmp_path):
    file = tmp_path / taught.SEEN
    rows = [{"input_ids": [1, 2], "labels": [-100, 2]}]
    file.write_text(json.dumps(rows))
    assert taught.read_rows(file) == [([1, 2], [-100, 2])]
    for spoiled in ("{}", "[]", '[{"input_ids": [1], "labels": [1, 2]}]', '[{"labels": [1]}]'):
        file.write_text(spoiled)
        with pytest.raises(UserError, match="no list of rows"):
            taught.read_rows(file)


def test_a_run_without_seen_json_is_read_as_the_kit_makes_it(tmp_path):
    models.load_tokenizer("pocket").save_pretrained(tmp_path / "adapter")
    experiment = Experiment.from_dict({"data": "tickets", "recipe": {"max_length": 60}})
    chats = experiment.load_splits()["train"]
    found = wrong(taught.Seen.of_run(tmp_path, experiment, chats))
    assert "cut answers" in found and "template" not in found


@pytest.mark.parametrize("text", ["[]", "{", '"a"'])
def test_a_rows_json_that_is_none_says_nothing(tmp_path, text):
    (tmp_path / "rows.json").write_text(text)
    assert taught.rows_in(tmp_path) == {}
