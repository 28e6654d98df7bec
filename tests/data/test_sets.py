"""Data sets: found by name, split as they state or by seed, every bad row named."""

import csv
import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftkit import UserError, data, models
from ftkit.data import sets


@pytest.fixture(scope="module")
def tokenizer():
    return models.load("pocket")[1]


def write(path, *rows):
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


CHAT = {
    "messages": [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Hi."}]
}
CALL = {
    "type": "function",
    "function": {"name": "weather", "arguments": {"city": "Ulm", "n": [-(2**63), 0.1, 1e-20]}},
}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
CALLS = {
    "messages": [
        {"role": "user", "content": "Weather?", "name": "Ann"},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": "sun"},
        {"role": "assistant", "content": "Sunny.", "weight": 1},
    ],
    "tools": TOOLS,
}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"prompt": ', "not JSON"),
        ("[1, 2]", "not a JSON object"),
        ('{"question": "x"}', "question fit no known format"),
        ('{"messages": []}', "messages is an empty list; write one message at least"),
        ('{"messages": [{"role": "user", "content": "x"}]}', "not an answer of the assistant"),
        ('{"messages": [{"role": "boss", "content": "x"}]}', "has the role 'boss'"),
        ('{"prompt": "x", "completion": 3}', "completion is 3, a number; write it as text"),
        ('{"prompt": "x", "completion": " "}', "nothing to learn"),
        ('{"prompt": "x", "completion": "y", "tools": "none"}', "tools is a text and no JSON"),
        (f'{{"prompt": "x", "completion": "y", "skill": {"[" * 200}{"]" * 200}}}', "more than 100"),
        ('{"prompt": "x", "completion": "y", "skill": "\\ud83d"}', "skill holds '\\ud83d', half"),
    ],
)
def test_a_bad_row_is_named_by_line_and_reason(tmp_path, line, reason):
    path = write(tmp_path / "d.jsonl", CHAT, line)
    with pytest.raises(UserError) as error:
        sets.read(path)
    assert "line 2: " in str(error.value)
    assert reason in str(error.value)


def test_three_reasons_with_three_rows_each_are_named_and_the_rest_counted(tmp_path):
    rows = ["{"] * 5 + ["1", "2", "3", "4"]
    with pytest.raises(UserError) as error:
        sets.read(write(tmp_path / "d.jsonl", CHAT, *rows))
    told = str(error.value)
    assert "has 9 bad rows: line 2, line 3, line 4, …: not JSON" in told
    assert "; line 8: the row is 2, a number, not a JSON object; …. Mend or remove them." in told


def test_a_missing_file_an_empty_file_and_an_unknown_task(tmp_path):
    write(tmp_path / "tickets2.jsonl", CHAT)
    with pytest.raises(UserError, match=r"Did you mean 'tickets2.jsonl'"):
        data.load(tmp_path / "ticket2.jsonl")
    with pytest.raises(UserError, match="is empty"):
        data.load(write(tmp_path / "empty.jsonl"))
    with pytest.raises(UserError, match="Did you mean 'tickets'"):
        data.load("tiketts")


def test_two_rows_cannot_be_split(tmp_path):
    with pytest.raises(UserError, match="has 2 rows"):
        data.load(write(tmp_path / "d.jsonl", CHAT, CHAT))


def test_a_file_is_split_by_seed(tmp_path):
    rows = [{"prompt": str(i), "completion": "x"} for i in range(50)]
    path = write(tmp_path / "d.jsonl", *rows)
    first, again, other = data.load(path), data.load(path), data.load(path, seed=1)
    assert {s: len(d) for s, d in first.items()} == {"train": 40, "validation": 5, "test": 5}
    assert first["test"]["messages"] == again["test"]["messages"] != other["test"]["messages"]
    everything = sorted(int(m[0]["content"]) for d in first.values() for m in d["messages"])
    assert everything == list(range(50))
    # which rows these are is part of every run that was made of such a file
    assert [m[0]["content"] for m in first["test"]["messages"]] == ["18", "23", "36", "4", "2"]


def test_the_tickets_keep_their_splits(tokenizer):
    splits = data.load("tickets", tokenizer)
    assert {s: len(d) for s, d in splits.items()} == {"train": 300, "validation": 60, "test": 200}


def test_a_split_has_any_of_its_usual_names(tmp_path):
    words = ["Train", "training", "val", "dev", "TEST"]
    path = write(tmp_path / "d.jsonl", *[{**CHAT, "split": word} for word in words])
    splits = data.load(path)
    assert {s: len(d) for s, d in splits.items()} == {"train": 2, "validation": 2, "test": 1}
    assert len(data.test_rows(path)) == 1
    assert [row["split"] for row in data.read(path)][:3] == ["train", "train", "validation"]


@pytest.mark.parametrize(
    ("split", "reason"),
    [
        (None, "split is null; give train, validation, test, or state no split"),
        (0, "split is 0, a number"),
        (["train"], r"split is \['train'\], a list"),
        ("trian", "split is 'trian'; give train, validation, test. Did you mean 'train'"),
        ("Tests", "Did you mean 'test'"),
        ("", "split is ''; give train"),
    ],
)
def test_another_split_is_refused_with_the_near_word(tmp_path, split, reason):
    path = write(tmp_path / "d.jsonl", {**CHAT, "split": split})
    for use in (data.load, data.test_rows, data.read):
        with pytest.raises(UserError, match=reason):
            use(path)


def test_a_split_is_stated_in_every_row_or_in_none(tmp_path):
    """Rows marked test were trained on where others said nothing (CLAM 269)."""
    path = write(tmp_path / "d.jsonl", *[{**CHAT, "split": "test"}] * 2, *[CHAT] * 10)
    for use in (data.load, data.test_rows):
        with pytest.raises(UserError, match="2 of 12 rows state a split; state one in every row"):
            use(path)


def test_splits_without_training_rows_are_for_judging_alone(tmp_path):
    path = write(tmp_path / "d.jsonl", {**CHAT, "split": "test"})
    assert len(data.test_rows(path)) == 1
    with pytest.raises(UserError, match="has no training rows"):
        data.load(path)


def test_a_file_without_splits_is_judged_whole(tmp_path):
    assert len(sets.test_rows(write(tmp_path / "d.jsonl", CHAT, CHAT))) == 2
    assert len(sets.test_rows("tickets")) == 200
    with pytest.raises(UserError, match="has no test rows"):
        sets.test_rows("general")


def test_what_a_row_states_comes_out_of_the_dataset_as_it_went_in(tmp_path):
    path = write(tmp_path / "d.jsonl", *[CHAT] * 3, *[CALLS] * 9)
    splits = data.load(path)
    rows = [row for split in splits.values() for row in split]
    assert sum(row == {**CHAT, "tools": None} for row in rows) == 3
    assert sum(row == CALLS for row in rows) == 9


def test_a_column_that_is_carried_needs_no_type(tmp_path):
    skills = ["x", 1, None, [2], {"a": "b"}, 2**40, True, 0.5]
    path = write(tmp_path / "d.jsonl", *[{**CHAT, "skill": skill} for skill in skills], CHAT)
    rows = sets.to_dataset(sets.read(path))
    assert rows["skill"][:] == [*skills, None]
    assert "id" not in sets.read(write(path, {**CHAT, "id": 5}))[0]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (CALLS, r"leaves out the .* of d.jsonl line 4"),
        ({**CHAT, "tools": TOOLS}, "leaves out the tools of d.jsonl line 4"),
        (
            {"messages": [{**CHAT["messages"][0], "name": "Ann"}, CHAT["messages"][1]]},
            "leaves out the name 'Ann' of d.jsonl line 4's message 1",
        ),
    ],
)
def test_what_the_template_would_drop_is_refused(tmp_path, tokenizer, row, reason):
    path = write(tmp_path / "d.jsonl", *[CHAT] * 2, "", row)
    assert len(sets.read(path)) == 3
    with pytest.raises(UserError, match=reason):
        data.load(path, tokenizer)


def test_pairs_are_read_as_pairs(tmp_path):
    pair = {"prompt": "Hello!", "chosen": "Hi.", "rejected": "Go away."}
    path = write(tmp_path / "d.jsonl", pair)
    assert data.read_pairs(path)[0]["chosen"] == CHAT["messages"][1:]
    with pytest.raises(UserError, match="line 1: a preference pair"):
        data.read(path)
    with pytest.raises(UserError, match="line 1: the row is no preference pair"):
        data.read_pairs(write(path, CHAT))


# What JSON and UTF-8 can hold, and a prompt or an answer may therefore say.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
answers = texts.filter(str.strip)
# A table in text has no NUL and one kind of line end.
cells = answers.filter(lambda text: not {"\x00", "\r"} & set(text))
extras = st.fixed_dictionaries(
    {},
    optional={
        "name": texts,
        "weight": st.sampled_from([0, 1]),
        "reasoning_content": texts,
        "tool_calls": st.just([CALL]),
    },
)
turns = st.tuples(st.sampled_from(["user", "system"]), texts, answers, extras)


def chat_of(turns):
    """Messages out of drawn turns; the last answer is learned."""
    found = []
    for role, text, answer, extra in turns:
        found.append({"role": role, "content": text})
        found.append({"role": "assistant", "content": answer, **extra})
    found[-1].pop("weight", None)
    return {"messages": found}


rows = st.lists(st.lists(turns, min_size=1, max_size=3).map(chat_of), min_size=1, max_size=5)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(rows)
def test_rows_of_every_kind_of_file_are_read_back(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("rows")
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    folder.joinpath("a.jsonl").write_bytes(lines.encode())
    folder.joinpath("b.jsonl.gz").write_bytes(gzip.compress(lines.encode("utf-8-sig"), mtime=0))
    folder.joinpath("c.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    folder.joinpath("d.json").write_text(json.dumps({"data": rows}), encoding="utf-8")
    sets.to_dataset(rows).to_parquet(folder / "e.parquet")
    for file in sorted(folder.iterdir()):
        assert sets.read(file) == rows, file.name


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=5))
def test_rows_of_a_table_are_read_back(tmp_path_factory, pairs):
    folder = tmp_path_factory.mktemp("cells")
    for name, mark in (("a.csv", ","), ("b.csv", ";"), ("c.tsv", "\t")):
        with open(folder / name, "w", encoding="utf-8", newline="") as file:
            csv.writer(file, delimiter=mark).writerows([("prompt", "completion"), *pairs])
        read = [tuple(m["content"] for m in row["messages"]) for row in sets.read(folder / name)]
        assert read == pairs


@pytest.mark.parametrize("key", ["system", "instruction", "tools", "system_prompt", "split"])
def test_what_an_object_says_once_for_all_its_rows_is_refused(tmp_path, key):
    path = tmp_path / "d.json"
    path.write_text(json.dumps({"version": 2, "license": "MIT", "data": [CHAT, CHAT]}))
    assert len(sets.read(path)) == 2
    path.write_text(json.dumps({key: "Be brief.", "data": [CHAT, CHAT]}))
    with pytest.raises(UserError, match=f"row 1: {key} is stated once, beside the list of rows"):
        sets.read(path)


def test_pairs_keep_their_tools_and_their_split(tmp_path):
    tools = [{"type": "function", "function": {"name": "weather"}}]
    pair = {"prompt": "Hello!", "chosen": "Hi.", "rejected": "No.", "tools": tools, "split": "dev"}
    read = data.read_pairs(write(tmp_path / "d.jsonl", pair))[0]
    assert (read["tools"], read["split"]) == (tools, "validation")


def test_rows_are_taken_from_a_dataset_and_a_list_and_from_nothing_else():
    split = data.load("facts")["train"]
    assert data.as_rows(split) == split.to_list() == data.as_rows(split.to_list())
    good = {"messages": [{"role": "assistant", "content": "Yes."}]}
    asked = {"messages": [{"role": "user", "content": "Is it so?"}]}
    for rows, sentence in (
        ([], "there are no rows"),
        ("facts", "rows is 'facts'; give a list"),
        (good, "give a list of rows"),
        (5, "rows is 5"),
        ([good, asked], "row 2 of rows"),
        ([good, {}], "row 2 of rows"),
        ([{"messages": "text"}], "row 1 of rows"),
        ([{"messages": [{"content": "no role"}]}], "row 1 of rows"),
    ):
        with pytest.raises(UserError, match=sentence):
            data.as_rows(rows)


def test_rows_come_with_their_lines_and_the_columns_that_are_named(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("prompt,completion,day,note\na,b,Monday,x\nc,d,Friday,\n", encoding="utf-8")
    rows, where = data.read_placed(path, columns=["day"])
    assert where == ["line 2", "line 3"] and [each["day"] for each in rows] == ["Monday", "Friday"]
    assert "note" not in rows[0] and data.read_placed("facts")[1][0] == "line 1"
    with pytest.raises(UserError, match="Did you mean 'day'"):
        data.read_placed(path, columns=["days"])
