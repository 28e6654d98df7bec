"""A run is judged on rows that it has not seen."""

import json
import re

import pytest
from verbs import invoke

from ftkit import UserError, data, evaluate, models, train
from ftkit.cli import runs
from ftkit.evaluate import unseen

RECIPE = train.Recipe(epochs=1, batch_size=4)
QUESTIONS = (
    "What is the code of the {} box?", "Where do the {} lamps go?", "Who opens {} doors at night?",
    "Write the price of a {} chair.", "Do {} cups break?", "Name the maker of our {} rug, please.",
    "When will the {} shelf come?", "How heavy is this {} table?",
)  # fmt: skip
COLOURS = ("red", "blue", "green", "white", "black")
ROWS = [
    {"messages": [
        {"role": "user", "content": question.format(colour)},
        {"role": "assistant", "content": " ".join(f"{colour}{number}{n}" for n in range(20))},
    ]}
    for number, question in enumerate(QUESTIONS)
    for colour in COLOURS
]  # fmt: skip


def write_rows(file, rows):
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.fixture
def mine(tmp_path):
    """A file of 40 rows that states no split."""
    return write_rows(tmp_path / "mine.jsonl", ROWS)


@pytest.fixture
def folder(tmp_path, mine):
    """A run folder of that file, as `train` writes it; without weights, which nobody asks for."""
    experiment = train.Experiment(data=str(mine), recipe=RECIPE)
    splits = experiment.load_splits()
    seen = {
        split: [data.row_hash(row) for row in splits[split]["messages"]]
        for split in ("train", "validation")
    }
    run = tmp_path / "run"
    run.mkdir()
    record = {
        "experiment": experiment.to_dict(),
        "hashes": {"base": "", "train": train.hash_rows(splits["train"])},
        "versions": {},
        "steps": 1,
        "losses": [[1, 0.5]],
        "validation": [],
    }
    (run / "run.json").write_text(json.dumps(record))
    (run / "rows.json").write_text(json.dumps(seen))
    return run


def questions(rows):
    return {messages[0]["content"] for messages in rows["messages"]}


def test_of_the_file_it_was_trained_on_the_runs_own_test_split_is_scored(folder, mine):
    """32 training rows and 4 of validation were scored with the 4 others: 80 % for codes that
    nobody can guess."""
    found = evaluate.keep_unseen(data.test_rows(mine), folder)
    assert questions(found.rows) == questions(data.load(mine)["test"])
    assert (len(found.rows), found.left_out) == (4, 36)
    said = " ".join(found.notes)
    assert "Scored: the 4 rows of the run's own test split." in said
    assert "32 of 40 rows were trained on and 4 validated it" in said
    assert "--all scores them" in said


def test_validation_rows_that_nothing_was_validated_with_are_no_test_rows(folder, mine):
    stated = json.loads((folder / "rows.json").read_text())
    (folder / "rows.json").write_text(json.dumps({"train": stated["train"]}))
    found = evaluate.keep_unseen(data.test_rows(mine), folder)
    assert questions(found.rows) == questions(data.load(mine)["test"])
    assert "4 are not of its test split" in found.notes[1]


def test_what_a_row_says_counts_and_not_its_file(folder, mine, tmp_path):
    """Copies of training rows in another file, among new ones, one of which is nearly a copy."""
    trained = data.load(mine)["train"]["messages"]
    near = [{**trained[0][0], "content": trained[0][0]["content"] + " Now"}, trained[0][1]]
    spaced = [{**trained[1][0], "content": trained[1][0]["content"] + "\n "}, trained[1][1]]
    new = [{"role": "user", "content": "Sing."}, {"role": "assistant", "content": "La."}]
    chats = [trained[0], spaced, near, new, new]
    other = write_rows(tmp_path / "other.jsonl", [{"messages": chat} for chat in chats])
    found = evaluate.keep_unseen(data.test_rows(other), folder)
    assert (len(found.rows), found.left_out, found.near) == (3, 2, 1)
    assert found.notes == [
        "2 of 5 rows were trained on: they are left out, --all scores them.",
        "1 of the 3 rows scored nearly repeat a training row.",
    ]
    # the file of the run may be gone: its list of rows is not
    mine.unlink()
    again = evaluate.keep_unseen(data.test_rows(other), folder)
    assert (len(again.rows), again.near) == (3, None)


def test_rows_that_are_all_new_need_no_word(folder):
    found = evaluate.keep_unseen(data.load("tickets")["test"].select(range(3)), folder)
    assert (len(found.rows), found.left_out, found.notes) == (3, 0, [])


def test_with_no_new_row_there_is_nothing_to_score(folder, mine, tmp_path):
    trained = data.load(mine)["train"]["messages"]
    other = write_rows(tmp_path / "other.jsonl", [{"messages": chat} for chat in trained[:5]])
    with pytest.raises(
        UserError, match=r"5 of 5 rows were trained on, so no row is new to .*--all"
    ):
        evaluate.keep_unseen(data.test_rows(other), folder)
    # who has no such option is told of none
    with pytest.raises(UserError, match=r"no row is new to .*; give other rows\.$"):
        evaluate.keep_unseen(data.test_rows(other), folder, option="")


def test_an_older_run_folder_is_read_again_from_its_data(folder, mine):
    (folder / "rows.json").unlink()
    found = evaluate.keep_unseen(data.test_rows(mine), folder)
    assert questions(found.rows) == questions(data.load(mine)["test"])
    # data that have changed say nothing any more
    write_rows(mine, ROWS[::-1])
    found = evaluate.keep_unseen(data.test_rows(mine), folder)
    assert (len(found.rows), found.notes) == (40, [unseen.UNKNOWN])


def test_the_verb_leaves_them_out_and_says_so(folder, mine, monkeypatch):
    asked = []

    def compare(folder, test, *more):
        asked.append(len(test))
        return "ok", {}

    monkeypatch.setattr(runs, "compare_run", compare)
    said = invoke("evaluate", folder, "--data", mine)
    assert said.exit_code == 0, said.stderr
    assert re.search("own test split.*32 of 40 rows were trained on", said.stdout, re.DOTALL)
    values = json.loads(invoke("evaluate", folder, "--data", mine, "--json").stdout)
    assert (values["left_out"], len(values["notes"])) == (36, 2)
    every = invoke("evaluate", folder, "--data", mine, "--all")
    assert every.stdout.strip() == "ok"
    assert asked == [4, 4, 40]


def test_a_runs_adapter_alone_has_seen_them_too(folder, mine, monkeypatch):
    """`RUN/adapter` is the run: an adapter without its base is no model."""
    asked = []

    def ask(model, test, *_):
        asked.append((str(model), len(test)))
        return "ok", {}

    (folder / "adapter").mkdir(exist_ok=True)
    monkeypatch.setattr(runs, "compare_run", ask)
    monkeypatch.setattr(runs, "score_model", ask)
    invoke("evaluate", folder / "adapter", "--data", mine)
    invoke("evaluate", "pocket", "--data", mine)
    assert asked == [(str(folder), 4), ("pocket", 40)]


def test_a_date_that_was_trained_on_is_the_date_of_the_questions(folder, mine, monkeypatch):
    record = json.loads((folder / "run.json").read_text())
    record["experiment"]["date"] = "2024-07-26"
    (folder / "run.json").write_text(json.dumps(record))
    model, tokenizer = models.load("pocket")
    tokenizer.chat_template = "{{ strftime_now('%d %b %Y') }}" + tokenizer.chat_template
    seen = []

    def compare(base, tuned, tokenizer, test, **more):
        seen.append(data.render_prompt(test["messages"][0][:1], tokenizer))
        raise UserError("enough")

    monkeypatch.setattr(runs.training, "reopen", lambda _: (model, model, tokenizer))
    monkeypatch.setattr(runs.evaluation, "compare", compare)
    assert invoke("evaluate", folder, "--data", mine).exit_code == 1
    assert seen[0].startswith("26 Jul 2024")
