"""What owners see is drawn and told, and the doctor's hits and misses are counted."""

import re
from dataclasses import replace

import pytest

from ftkit import ward
from ftkit.lab import grids
from ftkit.ward import charts


@pytest.fixture(scope="module")
def rows():
    return grids.read("ward")


@pytest.fixture(scope="module")
def healthy():
    return grids.read("healthy")


@pytest.mark.parametrize("room", ward.ROOMS)
def test_patients_are_shown_and_their_illness_is_not(rows, room):
    patients = ward.find_patients(rows, room)
    shown = ward.show_patients(patients, "A claim")
    text, page = repr(shown), shown._repr_html_()
    for said in (text, page):
        assert not any(name in said for name in ward.ROOMS[room].values())
    assert text.startswith("A claim. ") and page.startswith('<img alt="A claim. ')
    assert all(f"{patient}: training" in text for patient in patients)
    # each of the nine facts once: side by side where they differ, and folded where they do not;
    # of a long one each patient has a line of its own
    assert all(len(row) == 5 and len(set(row[1:])) > 1 for row in shown.folders.rows)
    heads, lines = (shown.written.heads, shown.written.rows) if shown.written else (("",), [])
    assert not lines or [row[0] for row in lines] == list(patients)
    assert set(heads[1:]) <= set(charts.LONG) and not {row[0] for row in shown.folders.rows} & {
        *heads
    }
    told = (
        {row[0] for row in shown.folders.rows} | set(heads[1:]),
        {row[0] for row in shown.alike.rows},
    )
    assert not told[0] & told[1] and len(told[0] | told[1]) == 9 and told[1]
    facts = [charts.folder_facts(row) for row in patients.values()]
    assert all(one[fact] == value for one in facts for fact, value in shown.alike.rows)
    # what carries loss has a ground of its own, and never more than that
    grounds = re.findall(r"<mark [^>]*>(.*?)</mark>", page)
    assert len(grounds) == (4 if "first row as trained" in told[0] else 1)
    assert all(one[0] == "⟦" and one[-1] == "⟧" for one in grounds)


def test_losses_that_stay_high_are_drawn_on_an_axis_that_begins_higher(rows):
    """So that what a curve does is seen; the frames of a room with a low loss begin lower."""
    tenths = {}
    for room in ward.ROOMS:
        page = charts.draw_curves(ward.find_patients(rows, room), "A claim").svg
        tenths[room] = ">0.01<" not in page and ">0.1<" in page
    assert [room for room, begins in tenths.items() if begins] == ["losses"]


@pytest.mark.parametrize("room", ward.ROOMS)
def test_a_question_and_its_right_answer_stand_once_above_its_replies(rows, room):
    patients = ward.find_patients(rows, room)
    lines = ward.show_patients(patients, "A claim").replies.rows
    asked = [text for kind, text in lines if kind == "asked"]
    assert len(set(asked)) == len(asked)
    each, question = {}, ""
    for kind, text in lines:
        if kind == "asked":
            question = text
        elif kind != "right":
            each.setdefault(kind, []).append((question, text))
    # the replies are those of each patient, below its own question, in full
    for name, row in patients.items():
        samples = charts.read_samples(row)
        assert each.pop(name) == [(question, reply) for question, _, reply in samples]
        assert samples[0][0] == " ".join(row.samples[0].asked.split())
    assert not each


def test_the_doctors_words_name_both_scores(rows):
    table = ward.treat(rows, "curves")
    assert table._repr_html_().startswith("<details><summary>") and "over-fit" in repr(table)
    # what was found is in bold, its cure is not
    page = table._repr_html_()
    assert page.count("<b>") == 1 + 4 and "so the run may well diverge</b>: for LoRA" in page
    told = table.rows
    # where two patients hear the same each is in bold once, and where nothing was found none is
    same, nothing = ("A", "x", "one: y", "", "", ""), ("B", "x", "", "", "", "")
    heads = ("", "i", "said", "also", "r", "c")
    page = charts.Diagnoses("t", heads, [same, nothing, same])._repr_html_()
    assert page.count("<b>one</b>: y") == 2 and page.count("<b>") == 1 + 2
    assert [row[0] for row in told] == ["A", "B", "C", "D"]
    assert all(row[2] for row in told) and told[0][3:] == ("", "0%", "100%")
    # what else was found stands beside it
    assert [row[3] for row in told] == ["", "divergence", "training loss, pairs", "adapter"]


def test_the_shipped_runs_are_named_and_the_cured_ones_fine(rows, healthy):
    counted = ward.tally(rows, healthy)
    assert (counted.hits, counted.sick) == (48, 48)
    assert counted.cured == 12 and not counted.relapses, "a cured run that several share is one"
    assert counted.healthy == 54 and len(counted.alarms) <= 0.02 * 54
    assert repr(counted).startswith(
        "Named: 48 of 48 sick runs; false alarms: 0 of 12 cured runs and "
    )
    also = {line.illness.name: line.also for line in counted.lines if line.also}
    assert also["alpha not divided by r"] == {"pairs": 3}
    assert also["B never trained"] == {"adapter": 3, "training loss": 1}
    assert "adapter, training loss (1)" in repr(counted)


def test_a_miss_a_relapse_and_an_alarm_are_counted(rows, healthy):
    fever = ward.ILLNESSES["rate too high"]
    spoiled = [
        replace(row, found=[])
        if row.lr == fever.sick.lr and row.seed == 0
        else replace(row, found=["endings"])
        if charts.settings(row) == vars(replace(fever.cured, seed=1))
        else row
        for row in rows
    ]
    alarmed = [replace(healthy[0], found=["leak"]), *healthy[1:]]
    counted = ward.tally(spoiled, alarmed)
    line = next(line for line in counted.lines if line.illness.name == "rate too high")
    assert line.named == 2 and [row.found for row in counted.relapses] == [["endings"]]
    assert counted.hits == 47 and counted.alarms[0].found == ["leak"]


def test_runs_that_are_neither_sick_nor_cured_are_counted_apart(rows, healthy):
    counted = ward.tally(rows, healthy)
    assert {row.fault for row in counted.others} == {"none"} and len(counted.others) == 6
    assert counted.table()[0].endswith("healthy ones; 2 of 6 others without a fault")
    # of the leaked test rows it is said that new questions were counted
    leak = next(line for line in counted.lines if line.illness.check == "leak")
    assert (leak.sick_right, leak.cured_right) == ("26% of new ones", "51% of new ones")


@pytest.mark.parametrize(
    ("reply", "ended", "shown"),
    [
        ("red", True, "red"),
        ("", True, "(nothing)"),
        ("", False, "(nothing) … and so on"),
        ("a\nb", False, "a b … and so on"),
        ("x" * 200, True, "x" * charts.REPLY + " …"),
    ],
)
def test_a_reply_is_shown_short_and_marked_where_it_goes_on(reply, ended, shown):
    assert charts.written(reply, ended=ended) == shown


def test_both_ends_of_a_row_are_kept():
    row = "<|bos|>" + "q" * 90 + "⟦" + "a" * 90 + "<|end|>⟧"
    short = charts.shorten(row)
    assert short.startswith("<|bos|>q") and short.endswith("<|end|>⟧") and "⟦a" in short
    assert len(short) < 120
    # no mark is cut in two where the question ends in one
    row = "<|bos|><|user|>" + "q" * 90 + "<|end|><|assistant|>⟦late<|end|>⟧"
    assert charts.shorten(row) == "<|bos|><|user|>qqqqqqq … <|assistant|>⟦late<|end|>⟧"
    assert charts.shorten("⟦all⟧") == "⟦all⟧"
