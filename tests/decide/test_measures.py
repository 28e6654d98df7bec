"""The measures that RAGAS names, by its formulas, and rows that it reads."""

import json

import pytest

from ftkit import UserError
from ftkit.decide import (
    Sample,
    context_precision,
    context_recall,
    faithfulness,
    read_ragas,
    write_ragas,
)


def test_recall_is_the_share_of_what_is_needed():
    assert context_recall(["a", "b"], ["a"]) == 1
    assert context_recall(["b", "a"], {"a", "c"}) == 0.5
    assert context_recall([], ["a"]) == 0
    with pytest.raises(UserError, match="no passage is wanted"):
        context_recall(["a"], [])


@pytest.mark.parametrize(
    ("relevant", "precision"),
    [
        ([0, 0, 1, 1, 0], (1 / 3 + 2 / 4) / 2),
        ([1, 0, 1], (1 + 2 / 3) / 2),
        ([1, 1, 0], 1),
        ([0, 1], 0.5),
        ([0, 0], 0),
        ([], 0),
    ],
)
def test_precision_is_the_mean_precision_at_the_relevant_ranks(relevant, precision):
    found = [f"{'yes' if on else 'no'} {rank}" for rank, on in enumerate(relevant)]
    wanted = [passage for passage in found if passage.startswith("yes")]
    assert context_precision(found, wanted) == pytest.approx(precision)


@pytest.mark.parametrize(
    ("answer", "share"),
    [
        ("Balo", 1),
        ("balon", 0),
        ("Bal", 0),
        ("the river", 1),
        ('{"name": "Ann Lo", "river": "Balo", "order": 42}', 1 / 3),
        ('{"order": 4261, "name": "Ann"}', 1),
        ("I don't know.", 0),
    ],
)
def test_faithfulness_is_the_share_of_claims_that_the_passages_say(answer, share):
    passages = ["The river is the Balo.", "Ann asked for order 4,261."]
    assert faithfulness(answer, passages) == pytest.approx(share)


def test_an_answer_that_claims_nothing_is_refused():
    for answer in ("", " ", "{}", '{"a": null}'):
        with pytest.raises(UserError, match="claims nothing"):
            faithfulness(answer, ["a"])


ROW = Sample("Who?", ["Ann is a nurse.", "Ünï"], "Ann", "Ann")


def test_rows_are_written_in_ragas_names_and_read_back(tmp_path):
    path = write_ragas(tmp_path / "rows.jsonl", [ROW, ROW])
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [list(json.loads(line)) for line in lines] == [
        ["user_input", "retrieved_contexts", "response", "reference"]
    ] * 2
    # columns that RAGAS has besides are left out
    wider = json.dumps(json.loads(lines[0]) | {"rubrics": None, "reference_contexts": []})
    path.write_text(wider + "\n\n", encoding="utf-8")
    assert read_ragas(path) == [ROW]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[1]", "line 1 is no JSON object"),
        ("{", "line 1 is no JSON object: "),
        ('{"user_input": "a"}', "has no retrieved_contexts; give user_input, retrieved_contexts,"),
        ('{"question": "a"}', "line 1 has no user_input"),
        (json.dumps(vars(ROW) | {"response": 3}), "response is 3; give a text"),
        (json.dumps(vars(ROW) | {"retrieved_contexts": "a"}), "is 'a'; give a list of texts"),
    ],
)
def test_a_row_that_is_none_is_refused_with_its_line(tmp_path, line, said):
    path = tmp_path / "rows.jsonl"
    path.write_text(line, encoding="utf-8")
    with pytest.raises(UserError) as error:
        read_ragas(path)
    assert said in str(error.value)


def test_files_that_cannot_be_are_refused(tmp_path):
    with pytest.raises(UserError, match="there are no samples"):
        write_ragas(tmp_path / "a", [])
    for call in (lambda: read_ragas(tmp_path / "a"), lambda: read_ragas(tmp_path)):
        with pytest.raises(UserError, match="could not read"):
            call()
    with pytest.raises(UserError, match="could not write"):
        write_ragas(tmp_path / "none" / "a", [ROW])
