"""Pairs: what is drawn is right, what is read is honoured, and what is of no use is refused."""

import json

import pytest

from ftkit import UserError, data, models, prefer
from ftkit.world import lexicon


@pytest.fixture(scope="module")
def pocket():
    return models.load("pocket")


def test_strangers_are_not_known_and_known_facts_are_told():
    rows = prefer.honesty(20, "test", seed=3)
    assert [row["kind"] for row in rows[:2]] == ["stranger", "known"] and len(rows) == 40
    for row in rows:
        answer = row["messages"][-1]["content"]
        stranger = row["kind"] == "stranger"
        assert (answer == lexicon.UNKNOWN) == stranger != (row["wrong"] == lexicon.UNKNOWN)
        assert row["messages"][0]["content"] == "Answer in a sentence."
    assert rows == prefer.honesty(20, "test", seed=3) != prefer.honesty(20, "test", seed=4)


def test_the_base_invents_in_sentence_mode_alone(pocket):
    rows = prefer.honesty(10, "test", seed=1)
    found = prefer.honesty_measures(*pocket, rows)
    assert found.unsure.value == 0 and found.right.value >= 0.9 and found.over_refusal.value == 0
    plain = [row["messages"][1:-1] for row in rows if row["kind"] == "stranger"]
    assert set(models.answer(*pocket, plain, 16)) == {lexicon.UNKNOWN}


def test_pairs_of_own_replies_are_the_best_against_the_worst():
    rows = prefer.sorting(2)
    right = rows[0]["messages"][-1]["content"]
    replies = [["1 2", right, "2 1"], ["3", "4"]]
    pairs = prefer.pairs_by(rows, replies, lambda row, reply: prefer.exact([row], [reply])[0])
    # the second row's replies are all as bad
    assert [p["chosen"][0]["content"] for p in pairs] == [right]
    assert pairs[0]["rejected"][0]["content"] == "1 2"
    gold = prefer.pairs_by(rows, [["1", "22"]] * 2, lambda row, reply: len(reply), gold=True)
    assert [p["chosen"][0]["content"] for p in gold] == [r["messages"][-1]["content"] for r in rows]


ASKED = [{"role": "user", "content": "Who?"}]


def pair(prompt=ASKED, chosen="Ann.", rejected="Bob."):
    return {
        "prompt": prompt,
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
    }


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        (pair(rejected="Ann. "), "pair 2 has two answers that say the same, so neither is better"),
        (pair(prompt=[]), "pair 2 has no prompt; a pair has prompt, chosen and rejected"),
        ({"prompt": ASKED, "chosen": pair()["chosen"]}, "pair 2 has no rejected"),
        (pair(prompt=pair()["chosen"]), "pair 2 has a prompt that ends in an answer"),
        ({**pair(), "chosen": [*ASKED, *ASKED]}, "pair 2 has 2 messages as chosen; give one"),
        ("a text", "pair 2 is 'a text'; a pair has prompt, chosen and rejected"),
    ],
)  # fmt: skip
def test_pairs_of_no_use_are_refused_by_their_number(bad, sentence):
    with pytest.raises(UserError, match=sentence):
        prefer.check_pairs([pair(), bad])


def test_pairs_in_plain_text_are_read_as_from_a_file():
    said = [{"role": "assistant", "content": text} for text in ("Ann.", "Bob.")]
    texts = {"prompt": "Who?", "chosen": "Ann.", "rejected": "Bob."}
    (read,) = prefer.check_pairs([texts])
    asked = [{"role": "user", "content": "Who?"}]
    assert read == {"prompt": asked, "chosen": said[:1], "rejected": said[1:]}
    (mixed,) = prefer.check_pairs([{**texts, "chosen": said[:1]}])
    assert mixed == read


@pytest.mark.parametrize(
    "part", [{"role": "assistant"}, {"role": "assistant", "content": None}, {"content": "Ann."}, 3]
)
def test_a_message_that_is_none_is_one_sentence(part):
    bad = {"prompt": "Who?", "chosen": [part], "rejected": "Bob."}
    with pytest.raises(UserError, match=r"^pair 1: \S.*chosen") as error:
        prefer.check_pairs([bad])
    assert "\n" not in str(error.value)


def test_no_pairs_at_all_are_refused():
    with pytest.raises(UserError, match="there are no pairs"):
        prefer.check_pairs([])
    with pytest.raises(UserError, match=r"pairs is 'pairs.jsonl'; give a list of them"):
        prefer.check_pairs("pairs.jsonl")


def test_an_answer_that_does_not_fit_is_refused_and_not_cut(pocket):
    model, tokenizer = pocket
    long = pair(rejected="Bob. " * 40)
    sentence = r"pair 1's rejected has \d+ tokens with its prompt, and max_length is 40"
    with pytest.raises(UserError, match=sentence):
        prefer.tokenize_pairs([long], tokenizer, model, 40)
    with pytest.raises(UserError, match="the model knows 1,024 positions"):
        prefer.tokenize_pairs([pair(rejected="Bob. " * 600)], tokenizer, model, 5000)


def test_both_answers_stand_behind_the_same_prompt_and_end(pocket):
    model, tokenizer = pocket
    (one,) = prefer.tokenize_pairs([pair()], tokenizer, model)
    chat = [*ASKED, {"role": "assistant", "content": "Ann."}]
    assert one.prompt + one.chosen == data.render(chat, tokenizer).ids
    assert one.chosen[-1] == one.rejected[-1] == tokenizer.eos_token_id


RANKED = {"prompt": "Who?", "responses": ["Ann.", "Bob.", "Cid."], "scores": [1, 3, 1]}


@pytest.mark.parametrize(
    ("row", "answers"),
    [
        (RANKED, [("Bob.", "Ann."), ("Bob.", "Cid.")]),
        ({**RANKED, "scores": None, "ranks": [1, 2, 2]}, [("Ann.", "Bob."), ("Ann.", "Cid.")]),
        ({"prompt": "Who?", "chosen": "Ann.", "rejected": "Bob."}, [("Ann.", "Bob.")]),
        ({k: [*ASKED, *pair()[k]] for k in ("chosen", "rejected")}, [("Ann.", "Bob.")]),
        (pair(), [("Ann.", "Bob.")]),
    ],
    ids=["scores", "ranks", "texts", "implicit prompt", "messages"],
)
def test_every_common_form_of_a_pair_is_read(tmp_path, row, answers):
    file = tmp_path / "pairs.jsonl"
    file.write_text(json.dumps(row) + "\n")
    read = data.read_pairs(file)
    assert [(p["chosen"][0]["content"], p["rejected"][0]["content"]) for p in read] == answers
    assert all(p["prompt"] == ASKED for p in prefer.check_pairs(read))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"scores": [1, 1, 1]}, "all scores are the same, so no answer is better than another"),
        ({"scores": [1, 2]}, "give a list of numbers, one for each answer"),
        ({"scores": [1, 2, "x"]}, "give a list of numbers, one for each answer"),
        ({"scores": None}, "responses need scores or ranks"),
        ({"ranks": [1, 2, 3]}, "responses need scores or ranks, one of the two"),
        ({"prompt": None}, "the row has no prompt"),
        ({"responses": ["Ann."]}, "give a list of two answers at least"),
    ],
)
def test_ranked_answers_that_rank_nothing_are_bad_rows(tmp_path, change, sentence):
    file = tmp_path / "pairs.jsonl"
    file.write_text(json.dumps({**RANKED, **change}) + "\n")
    with pytest.raises(UserError, match=f"has 1 bad row: line 1: .*{sentence}"):
        data.read_pairs(file)


def test_pairs_are_split_as_rows_are(tmp_path):
    file = tmp_path / "pairs.jsonl"
    rows = [{**pair(chosen=f"{split}."), "split": split} for split in ("train", "val")]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    splits = data.load_pairs(file)
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 1, "validation": 1}
    assert splits["train"][0]["prompt"] == ASKED
    with pytest.raises(UserError, match="'tickets' holds chats with one answer each"):
        data.load_pairs("tickets")
