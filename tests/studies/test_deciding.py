"""Every kind of arm is measured on its task, by shares; what is drawn is drawn by the seed."""

from dataclasses import replace

import pytest

from ftkit import data, decide, studies
from ftkit.studies import deciding, points

RUN = studies.DecidingRun


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Six test rows, twelve new facts, and one step where anything is trained."""
    facts = decide.new_facts()[:12]
    monkeypatch.setattr(deciding, "TESTED", 6)
    monkeypatch.setattr(deciding.decide, "new_facts", lambda: facts)
    update = decide.update_facts
    monkeypatch.setattr(deciding.decide, "update_facts", lambda old, seed: update(old, 4, seed))
    monkeypatch.setattr(deciding, "PEOPLE", 2)
    tune = deciding.Bench.tune
    monkeypatch.setattr(
        deciding.Bench,
        "tune",
        lambda self, rows, *_, **options: tune(self, rows, 1, base=options.get("base")),
    )
    monkeypatch.setattr(deciding.Bench, "harm", lambda _self, _model: {"skill known": 1.0})


def test_every_run_of_the_grid_is_there_once():
    runs = studies.deciding_points()
    assert len(runs) == len(set(runs))
    assert {run.task for run in runs} == set(studies.MEASURES)
    # an arm in which nothing is drawn has one run, every other all seeds
    seeds = {}
    for run in runs:
        seeds.setdefault(replace(run, seed=0), []).append(run.seed)
    for run, own in seeds.items():
        alone = run.arm in points.SAME and run.task != "records"
        assert tuple(own) == ((0,) if alone else studies.SEEDS), run


@pytest.mark.parametrize(
    ("run", "scores"),
    [
        (RUN("tickets", "zero-shot"), {"test", "format"}),
        (RUN("tickets", "schema"), {"test", "format"}),
        (RUN("tickets", "list"), {"test", "format"}),
        (RUN("trays", "shots", 2), {"test"}),
        (RUN("greeted", "tuned", 8), {"test", "skill known"}),
        (RUN("facts", "zero-shot"), {"before"}),
        (
            RUN("facts", "tuned in three wordings", 4),
            {"stored", "closed-book before", "retrieval before", "skill known"},
        ),
        (RUN("patterns", "shots", 1), {"test"}),
        (RUN("records", "schema"), {"test", "test: format", "test: value said"}),
        (RUN("stored", "facts"), {"trained", "other wording", "reversed", "skill known"}),
    ],
)
def test_an_arm_is_measured(run, scores, monkeypatch):
    if run.task == "records":
        monkeypatch.setattr(deciding.random.Random, "sample", lambda _self, rows, k: list(rows)[:k])
    row = studies.measure_deciding(run)
    assert set(row.scores) == scores
    assert all(0 <= share <= 1 for share in row.scores.values())
    assert (row.prompt_tokens is None) == (run.task in ("patterns", "stored"))


def test_the_best_prompt_beats_the_plain_one_and_shots_hurt_it():
    plain, schema, listed = (
        studies.measure_deciding(RUN("tickets", arm)).scores["test"]
        for arm in ("zero-shot", "schema", "list")
    )
    assert plain == 0
    assert plain < schema < listed


def test_retrieval_answers_from_the_index_it_was_given():
    row = studies.measure_deciding(RUN("facts", "retrieval", 4))
    assert row.scores["retrieval: changed"] == 1
    assert row.scores["retrieval, old index: stale"] == 1
    assert row.scores["retrieval, old index: changed"] == 0


def test_a_dose_has_its_share_of_unknown_rows(monkeypatch):
    monkeypatch.undo()  # all new facts, for a quarter of 96 rows
    taught = []
    known = {fact.entity for fact in deciding.world.World().asked}
    monkeypatch.setattr(
        deciding.Bench, "tune", lambda self, rows, **_: taught.append(rows) or self.base
    )
    monkeypatch.setattr(deciding.Bench, "right", lambda *_: 0.0)
    monkeypatch.setattr(deciding.Bench, "harm", lambda *_: {})
    studies.measure_deciding(RUN("doses", "tuned", 0.25, 24))
    asked = [chat[0]["content"] for chat in taught[0]["messages"]]
    answers = [chat[-1]["content"] for chat in taught[0]["messages"]]
    assert len(asked) == 96 + 24
    assert answers.count("I don't know.") == 24
    strangers = [text for text in asked if not any(name in text for name in known)]
    assert len(strangers) == 24 + 24


def test_a_fact_is_taught_in_three_wordings_and_asked_in_none_of_them():
    for new in decide.new_facts():
        asked = [row["messages"][0]["content"] for row in deciding.worded_rows(new, 3)]
        assert len(set(asked)) == 3 and asked[0] == new.fact.say(new.to_learn)
        assert new.fact.say(new.to_test) not in asked
        assert deciding.worded_rows(new, 1) == deciding.worded_rows(new, 3)[:1]


def test_a_fact_as_json_is_asked_with_and_without_passages():
    bench = deciding.Bench(RUN("records", "retrieval"))
    row = deciding.record_row(decide.new_facts()[0].fact, decide.new_facts()[0].to_test)
    test = data.to_dataset([row])
    given = deciding.retrieved(test, decide.new_facts(), 4)
    assert given["messages"][0][0]["content"].startswith("Facts: ")
    assert given["messages"][0][-1] == test["messages"][0][-1]
    assert deciding.prompt_tokens(bench, given) > 2 * deciding.prompt_tokens(bench, test)
