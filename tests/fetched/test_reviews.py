"""The rated texts become chat rows: clear sides, each text once, votes beside them, even splits."""

import io
import json
import random
import tarfile

import pytest

from ftkit import UserError, data
from ftkit.fetched import reviews


def add(archive, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def write_archive(path, kinds):
    """A source archive with an archive inside; kinds: {kind: [(votes, text)]}."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:gz") as files:
        for kind, stem in reviews.KINDS.items():
            rows = kinds.get(kind, [])
            rated = "".join(
                f"{n}\t{sum(votes) / len(votes)}\t0.1\t{votes}\n"
                for n, (votes, _) in enumerate(rows)
            )
            texts = "".join(f"{n}\t9.9\t{text}\r\n" for n, (_, text) in enumerate(rows))
            add(files, f"h/{stem}_anonDataRatings.txt", b"\xef\xbb\xbf" + rated.encode())
            add(files, f"h/{stem}_GroundTruth.txt", texts.encode())
    with tarfile.open(path, "w:gz") as outer:
        add(outer, f"vader-1/{reviews.INNER}", inner.getvalue())
    return path


def read(out, kind):
    return [json.loads(line) for line in (out / f"{kind}.jsonl").read_text("utf-8").splitlines()]


def test_a_row_is_a_question_its_answer_and_the_votes(tmp_path):
    rows = [
        ([3, 2, 4], "Great &amp; kind."),
        ([-2, -3], "Awful,  again."),
        ([1, 1], "Exactly one is not clear."),
        ([0, -1, 1], "So so."),
        ([4, 4], "Great & kind."),
    ]
    reviews.write(write_archive(tmp_path / "a.tar.gz", {"movies": rows}), tmp_path)
    written = sorted(read(tmp_path, "movies"), key=lambda row: row["rating"])
    assert [row["messages"][1]["content"] for row in written] == ["Awful, again.", "Great & kind."]
    assert [row["messages"][2]["content"] for row in written] == ["negative", "positive"]
    assert [row["votes"] for row in written] == [[-2, -3], [3, 2, 4]]
    assert [row["rating"] for row in written] == [-2.5, 3.0]
    assert written[0]["messages"][0] == {"role": "system", "content": reviews.QUESTION}


def test_held_out_parts_have_as_many_of_either_answer_in_a_mixed_order(tmp_path, monkeypatch):
    dice = random.Random(0)
    rows = [([side], f"Text {n}.") for n in range(1000) for side in [dice.choice([-3, 2, 2])]]
    monkeypatch.setattr(reviews, "HELD_OUT", {"test": 60, "validation": 30})
    archive = write_archive(tmp_path / "a.tar.gz", {"tweets": rows, "news": rows[:40]})
    reviews.write(archive, tmp_path)
    by_split = {}
    for row in read(tmp_path, "tweets"):
        by_split.setdefault(row["split"], []).append(row["rating"] > 0)
    assert {split: len(sides) for split, sides in by_split.items()} == {
        "test": 60,
        "validation": 30,
        "train": 910,
    }
    for split in ("test", "validation"):
        assert sum(by_split[split]) == len(by_split[split]) / 2
        assert 0 < sum(by_split[split][:20]) < 20
    assert sum(by_split["train"]) > 500

    # few rows: a quarter of them for each
    sizes = [row["split"] for row in read(tmp_path, "news")]
    assert [sizes.count(split) for split in ("test", "validation", "train")] == [10, 10, 20]
    # and the same rows again give the same file
    before = (tmp_path / "tweets.jsonl").read_bytes()
    reviews.write(archive, tmp_path)
    assert (tmp_path / "tweets.jsonl").read_bytes() == before


def test_another_archive_is_refused(tmp_path):
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as archive:
        add(archive, "x/README", b"nothing")
    (tmp_path / "y.tar.gz").write_bytes(b"no archive")
    for name in ("x", "y"):
        with pytest.raises(UserError, match="not the source archive of vaderSentiment"):
            reviews.write(tmp_path / f"{name}.tar.gz", tmp_path)


def test_data_loads_them_by_name_with_their_votes(tmp_path, monkeypatch):
    rows = [([side], f"Text {n} of {side}.") for n in range(40) for side in (-2, 3)]
    folder = tmp_path / "reviews"
    folder.mkdir()
    reviews.write(write_archive(tmp_path / "a.tar.gz", {"movies": rows, "tweets": rows}), folder)
    (folder / "fetched.json").write_text("{}")
    monkeypatch.setenv("FTKIT_CACHE", str(tmp_path))
    splits = data.load("reviews")
    assert {split: len(part) for split, part in splits.items()} == {
        "test": 20,
        "validation": 20,
        "train": 40,
    }
    assert splits["test"][0]["votes"] in ([-2], [3])
    assert len(data.test_rows("reviews/tweets")) == 20
    with pytest.raises(UserError, match="Did you mean 'reviews/tweets'"):
        data.load("reviews/tweet")
    monkeypatch.setenv("FTKIT_CACHE", str(tmp_path / "empty"))
    with pytest.raises(UserError, match=r"python -m ftkit fetch reviews.*\(2 MB"):
        data.load("reviews")
