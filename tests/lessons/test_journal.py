"""A reader's journal: nothing is lost, nothing is written unasked, and nothing stops a lesson."""

import json
import subprocess
import sys

import pytest

from ftkit.lessons import check, journal, predict, reveal, score_card


@pytest.fixture(autouse=True)
def in_a_new_kernel(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FTKIT_JOURNAL", raising=False)
    journal.MEMORY.clear()
    yield
    journal.MEMORY.clear()


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_nothing_is_written_before_somebody_answers(tmp_path):
    predict("00.share")
    reveal("00.share", 0.0465)
    check("00.1")
    check("00.1", ...)
    score_card("00")
    assert list(tmp_path.iterdir()) == []


def test_an_answer_is_a_line_with_its_time(tmp_path):
    check("00.1", ...)
    check("00.1", "1,024")
    (entry,) = lines(tmp_path / journal.NAME)
    assert entry["id"] == "00.1" and entry["kind"] == "exercise" and entry["answer"] == "1,024"
    assert entry["right"] is False and entry["at"].endswith("+00:00") and entry["seconds"] >= 0


def test_names_are_kept_as_a_line_of_words(tmp_path):
    check("11.curves", {"A": "over-fit", "B": ...})
    assert not (tmp_path / journal.NAME).exists(), "some are still to come: no try"
    check("11.curves", dict.fromkeys("ABCD", "over-fit"))
    (entry,) = lines(tmp_path / journal.NAME)
    said = "A: over-fit, B: over-fit, C: over-fit, D: over-fit"
    assert entry["answer"] == said and entry["right"] is False


def test_the_same_answer_again_is_no_further_line(tmp_path):
    for _ in range(3):
        check("00.1", 7)
    check("00.1", 1536)
    check("00.1", 1536)
    assert [entry["answer"] for entry in lines(tmp_path / journal.NAME)] == [7, 1536]


def test_two_kernels_at_once_lose_nothing(tmp_path):
    code = (
        "import sys\nfrom ftkit.lessons import journal\n"
        "for n in range(200): journal.write('00.1', 'exercise', f'{sys.argv[1]} {n} ' + 'x' * 150)"
    )
    kernels = [
        subprocess.Popen([sys.executable, "-c", code, name], cwd=tmp_path, env=environment())
        for name in "ab"
    ]
    assert [kernel.wait(timeout=300) for kernel in kernels] == [0, 0]
    found = [entry["answer"].split()[:2] for entry in lines(tmp_path / journal.NAME)]
    assert len(found) == 400
    for name in "ab":
        assert [int(n) for kernel, n in found if kernel == name] == list(range(200))


def environment():
    import os

    return {key: value for key, value in os.environ.items() if key != "FTKIT_JOURNAL"}


def test_a_line_that_was_left_half_costs_only_itself(tmp_path):
    check("00.1", 7)
    path = tmp_path / journal.NAME
    path.write_bytes(path.read_bytes() + b'{"id": "00.1", "kind": "exer')
    journal.MEMORY.clear()
    told = check("00.1", 8)
    assert "1 line is no entry of a journal" in told.note and "put aside as" in told.note
    assert [entry["answer"] for entry in lines(path)] == [7, 8]
    (aside,) = tmp_path.glob("*.damaged-*")
    assert b"exer" in aside.read_bytes()
    assert check("00.1", 9).note == ""


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe\x00", b"[]", b'{"id": 3, "kind": "guess"}', b'[{"id": "00.1"}]', b"null\n{}\n"],
)
def test_a_damaged_journal_is_put_aside_and_said(tmp_path, content):
    path = tmp_path / journal.NAME
    path.write_bytes(content)
    assert "put aside" in check("00.1", 1536).note
    assert [entry["answer"] for entry in lines(path)] == [1536]
    assert [aside.read_bytes() for aside in tmp_path.glob("*.damaged-*")] == [content]


def test_a_place_that_can_not_be_written_to_is_said_once(tmp_path, monkeypatch):
    monkeypatch.setenv("FTKIT_JOURNAL", str(tmp_path / "nowhere" / "journal.jsonl"))
    first, second = check("00.1", 7), check("00.1", 8)
    assert "kept in this kernel only" in first.note and second.note == ""
    assert len(second.more) == 2, "the ladder climbs without a file as well"


def test_zero_names_no_journal_and_another_name_is_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("FTKIT_JOURNAL", "0")
    check("00.1", 7)
    assert list(tmp_path.iterdir()) == [] and "this kernel only" in score_card("00").kept_in
    monkeypatch.setenv("FTKIT_JOURNAL", "mine.jsonl")
    check("00.1", 8)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.jsonl"]


def test_an_earlier_kernels_answers_count(tmp_path):
    check("00.1", 7)
    check("00.1", 8)
    journal.MEMORY.clear()
    assert len(check("00.1", 9).more) == 3
    assert score_card("00").answered[0][2:] == ("9", "✗ not yet, 3 tries")


def test_answers_of_every_kind_can_be_kept():
    import numpy as np
    import torch

    class Mine:
        pass

    kept = journal.storable([1, "a", torch.tensor(2.5), np.float64(1), (print, Mine), {"a": 1}])
    assert json.loads(json.dumps(kept))[:4] == [1, "a", 2.5, 1]
    assert journal.storable(torch.tensor([[0.5], [1.0]])) == [[0.5], [1.0]]
    assert journal.storable(torch.zeros(65)).startswith("tensor([0., 0.,")
    assert kept[4] == ["print", "Mine"]
