"""The whole ledger: its rows, what is recorded of them, and that the words follow the figures."""

import ast
import json
import math
import re

import pytest

from ftkit import UserError, verdicts
from ftkit.core.files import data_path
from ftkit.verdicts import table
from ftkit.verdicts.claim import KINDS

IDS = [
    *(f"L{n}" for n in range(1, 12)),
    *(f"Q{n}" for n in range(1, 11)),
    *(f"D{n}" for n in range(1, 14)),
    *(f"W{n}" for n in range(1, 7)),
    *(f"T{n}" for n in range(1, 12)),
    *(f"P{n}" for n in range(1, 5)),
    *(f"E{n}" for n in range(1, 6)),
    *(f"F{n}" for n in range(1, 5)),
    *(f"M{n}" for n in range(1, 7)),
    *(f"C{n}" for n in range(1, 6)),
    "G1",
    "G2",
]
CLAIMS = {claim.id: claim for claim in verdicts.claims()}
CHEAP = [name for name, claim in CLAIMS.items() if not claim.dear]
DEAR = ["L7", "Q3", "Q7", "M4", "C4"]  # one of each kind of measurement
NOTEBOOKS = data_path().parent / "notebooks"
LEDGER = verdicts.recorded()
# What a machine's clock or its rounding decides.
LOOSE = 1e-4


def test_the_ledger_has_every_row_once_and_in_order():
    assert [claim.id for claim in verdicts.claims()] == IDS
    assert list(LEDGER.words) == IDS and len(IDS) == 77


@pytest.mark.parametrize("name", IDS)
def test_a_row_says_all_that_a_reader_needs(name):
    claim = CLAIMS[name]
    assert claim.kind in KINDS and claim.sources
    assert not claim.sentence.endswith(".") and claim.rule.endswith(".")
    assert claim.quote.keys() <= set(claim.sources)
    ast.parse(claim.decides)
    assert list(NOTEBOOKS.glob(f"{claim.notebook}_*.ipynb")), "there is no such notebook"
    assert all(len(said.split()) < 40 for said in claim.quote.values()), "a quote is short"


@pytest.mark.parametrize("name", IDS)
def test_a_rule_can_come_out_in_two_ways_and_follows_its_figures(name):
    recorded = LEDGER[name]
    words = verdicts.possible_words(recorded.claim.judge, recorded.figures)
    assert len(words) > 1 and words <= set(verdicts.WORDS)
    assert any(word != recorded.verdict for word in words)
    assert recorded.figures and any(one.said for one in recorded.figures)


def same(one, other):
    """Whether two figures are one, up to the last digits."""
    assert (one.what, one.unit, one.n, one.seeds) == (other.what, other.unit, other.n, other.seeds)
    for ours, theirs in zip(one[1:4], other[1:4], strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None and not math.isnan(ours):
            assert ours == pytest.approx(theirs, rel=LOOSE, abs=1e-9)


@pytest.mark.parametrize("name", CHEAP)
def test_a_cheap_row_measured_again_is_as_it_is_recorded(name):
    found = CLAIMS[name].settle()
    assert found.verdict == LEDGER.words[name]
    for one, other in zip(found.figures, LEDGER[name].figures, strict=True):
        same(one, other)


@pytest.mark.weekly
@pytest.mark.parametrize("name", DEAR)
def test_a_dear_row_measured_again_has_its_word(name):
    assert CLAIMS[name].dear
    found = CLAIMS[name].settle()
    assert found.verdict == LEDGER.words[name]
    assert len(found.figures) == len(LEDGER[name].figures)


@pytest.mark.parametrize("name", IDS)
def test_what_is_recorded_has_the_words_of_today(name):
    entry, claim = table.stored(data_path("claims.json"))[name], CLAIMS[name]
    for key in ("sentence", "kind", "decides", "rule", "notebook"):
        assert entry[key] == getattr(claim, key), (
            "write it again: python -m ftkit claims L1 --write"
        )
    assert entry["quote"] == dict(claim.quote)
    assert [source["id"] for source in entry["sources"]] == list(claim.sources)


def few(monkeypatch, *names):
    monkeypatch.setattr(table, "claims", lambda: tuple(CLAIMS[name] for name in names))


def test_what_is_written_is_read_again(tmp_path, monkeypatch):
    few(monkeypatch, "L1", "M5")
    path = tmp_path / "claims.json"
    wrote = verdicts.write(path=path)
    read = verdicts.recorded(path)
    assert read.words == wrote.words == {"L1": "holds", "M5": "fails"}
    assert read["L1"].figures == wrote["L1"].figures
    assert verdicts.write(["M5"], path).words == {"M5": "fails"}
    assert verdicts.recorded(path).words == read.words
    text = path.read_text()
    path.write_text(
        text.replace("40 %", "50 %").replace('"verdict": "holds"', '"verdict": "fails"')
    )
    verdicts.write([], path)
    assert path.read_text() == text, "the words of rows that are not measured are today's"
    entry = json.loads(text)["claims"][1]
    assert entry["sources"][0]["title"] and {"torch", "python"} <= entry["machine"].keys()


def test_a_word_or_a_figure_changed_by_hand_is_refused(tmp_path, monkeypatch):
    few(monkeypatch, "L1")
    path = tmp_path / "claims.json"
    verdicts.write(path=path)
    text = path.read_text()
    path.write_text(text.replace('"verdict": "holds"', '"verdict": "fails"'))
    with pytest.raises(UserError, match="says L1 'fails', and its figures say 'holds'"):
        verdicts.recorded(path)
    path.write_text(text.replace('"value": 131072', '"value": 131073'))
    with pytest.raises(UserError, match="says L1 'holds', and its figures say 'fails'"):
        verdicts.recorded(path)


def test_a_file_of_other_rows_or_none_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "claims.json"
    with pytest.raises(UserError, match=r"no claims.json yet.*--write"):
        verdicts.recorded(path)
    few(monkeypatch, "L1")
    verdicts.write(path=path)
    few(monkeypatch, "L1", "M5")
    with pytest.raises(UserError, match="differ in M5"):
        verdicts.recorded(path)


def test_figures_without_an_end_or_without_an_interval_are_kept():
    odd = verdicts.Figure("x", 1.0, math.nan, math.nan, "GB", 3, 2, (0.0, math.inf))
    kept = table.figure_from_json(json.loads(json.dumps(table.figure_as_json(odd))))
    assert str(kept) == str(odd)
    assert table.figure_as_json(verdicts.exact("x", 2.0)) == {"what": "x", "value": 2}


def test_an_unknown_row_is_refused_with_the_nearest():
    with pytest.raises(UserError, match=r"no claim 'L22'.*77.*'L2'"):
        verdicts.settle(["L22"])
    assert verdicts.settle("l1").words == {"L1": "holds"}
    with pytest.raises(UserError, match="L2 was not settled here"):
        verdicts.settle(["L1"])["L2"]


def test_counts_and_conflicts_are_those_of_the_rows():
    counts = LEDGER.counts
    assert sum(sum(words.values()) for words in counts.values()) == 77
    *_, last = LEDGER.counted().rows
    assert last[-1] == 77
    rows = LEDGER.conflicts().rows
    conflicts = [one for one in LEDGER.settled if one.claim.kind == "X"]
    assert [row[0] for row in rows if row[0]] == [one.claim.id for one in conflicts]
    assert all(len(one.claim.quote) >= 2 for one in conflicts)
    assert len(rows) == sum(len(one.claim.quote) for one in conflicts)


def test_the_page_opens_and_sorts_without_a_network():
    page = LEDGER._repr_html_()
    assert page.count("<details>") == 77 and page.count("<tr><td data-k=") == 77
    heads = re.findall(r'<button type="button" onclick="([^"]+)">', page)
    assert len(heads) == 5 and all("localeCompare" in script for script in heads)
    assert not re.search(r"(src|href)\s*=", page)
    line = next(row for row in LEDGER.table()[2] if row[0] == "L2")
    assert line[1:3] == ("C", "fails") and line[3].startswith("LoRA at r = 16")
    assert "13,631,488" in page
