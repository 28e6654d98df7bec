"""A candidate is promoted only where it is no worse: the rule, and the road with it."""

import json
import shutil
from types import SimpleNamespace

import pytest
from version_folders import write_adapter

from ftkit import UserError, core, data, operate
from ftkit.operate import retraining


def compared(lost, gained, n=100):
    """Two versions of which the second lost and gained so many of n answers."""
    first = [True] * (n - gained) + [False] * gained
    second = [True] * (n - gained - lost) + [False] * lost + [True] * gained
    difference = core.compare_answers(first, second)
    score = SimpleNamespace(task=core.Rate(sum(first), n))
    return operate.Compared("t", ("v1", "v2"), (score, score), difference)


@pytest.mark.parametrize(
    ("lost", "gained", "n", "passes", "said"),
    [
        (0, 0, 200, True, "no worse by more than 5 points"),
        (1, 20, 100, True, "no worse by more than 5 points: better"),
        (20, 1, 100, False, "worse: "),
        (0, 0, 20, False, "too few rows to rule out that it is 5 points worse"),
        (3, 0, 100, False, "too few rows"),
    ],
)
def test_a_candidate_passes_where_the_interval_rules_the_margin_out(lost, gained, n, passes, said):
    good, (judged,) = operate.judge_candidate({"old": compared(lost, gained, n)})
    assert (good, judged.passes) == (passes, passes)
    assert judged.sentence.startswith(said)


def test_one_test_that_is_worse_is_enough_to_refuse():
    good, judged = operate.judge_candidate({"new": compared(0, 40), "old": compared(20, 0)})
    assert not good and [one.passes for one in judged] == [True, False]


@pytest.mark.parametrize("margin", [-0.1, 1, "0.1", None])
def test_a_margin_is_a_share(margin):
    with pytest.raises(UserError, match="margin is"):
        operate.judge_candidate({"old": compared(0, 0)}, margin)
    with pytest.raises(UserError, match="no tests"):
        operate.judge_candidate({})


@pytest.fixture
def kept(runs, tmp_path):
    """A registry whose first run is live."""
    registry = operate.Registry(tmp_path / "registry")
    registry.publish(runs[0], "tickets")
    registry.promote("tickets", "v1", "first")
    return registry


@pytest.mark.parametrize(("lost", "gained", "live"), [(0, 40, "v2"), (20, 0, "v1")])
def test_the_road_is_run_again_and_only_what_is_no_worse_goes_live(
    kept, runs, tmp_path, monkeypatch, lost, gained, live
):
    trained = []

    def train_into(experiment, out):
        trained.append(experiment)
        shutil.copytree(runs[1], out)

    monkeypatch.setattr(retraining.train, "train_into", train_into)
    monkeypatch.setattr(operate.Registry, "compare", lambda *_: compared(lost, gained))
    new = operate.draw_tickets(5, "new products")
    done = operate.retrain(kept, "tickets", new, {"old": new}, tmp_path / "again")
    assert kept.live_label("tickets") == live and done.promoted == (live == "v2")
    assert [version.label for version in kept.versions("tickets")] == ["v1", "v2"]
    assert kept.versions("tickets")[1].why == "retrained on 5 new rows beside the old"
    word = "is live now" if done.promoted else "is refused; v1 stays live"
    assert word in repr(done) and done.json()["live"] == live
    # trained on the old rows and the new ones, validated on the old
    (experiment,) = trained
    splits = data.load(experiment.data)
    was = data.load("tickets")
    assert (
        len(splits["train"]) == 12 + 5
        and splits["train"]["messages"][:12] == (was["train"]["messages"][:12])
    )
    assert splits["validation"]["messages"] == was["validation"]["messages"]
    assert experiment.lora == {"r": 2, "alpha": 4} and experiment.rows is None


def test_the_old_rows_may_be_left_out_and_the_recipe_be_another(kept, runs, tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr(
        retraining.train,
        "train_into",
        lambda experiment, out: (trained.append(experiment), shutil.copytree(runs[1], out)),
    )
    monkeypatch.setattr(operate.Registry, "compare", lambda *_: compared(20, 0))
    from ftkit.train import Recipe

    road = operate.Road(Recipe(1e-3), keep_old=False)
    new = operate.draw_tickets(5)
    operate.retrain(kept, "tickets", new, {"old": new}, tmp_path / "again", road)
    assert len(data.load(trained[0].data)["train"]) == 5 and trained[0].recipe.lr == 1e-3
    assert kept.versions("tickets")[1].why == "retrained on 5 new rows alone"


def test_what_cannot_be_trained_again_is_refused_before_anything_is_written(runs, tmp_path):
    registry = operate.Registry(tmp_path / "registry")
    registry.publish(runs[0] / "adapter", "bare", base="pocket")
    registry.promote("bare", "v1", "first")
    rows = operate.draw_tickets(2)
    with pytest.raises(UserError, match=r"without a run\.json.*publish the folder of a run"):
        operate.retrain(registry, "bare", rows, {"old": rows}, tmp_path / "again")

    replayed = shutil.copytree(runs[0], tmp_path / "replayed")
    record = json.loads((replayed / "run.json").read_text())
    record["experiment"]["replay"] = 0.25
    (replayed / "run.json").write_text(json.dumps(record))
    registry.publish(replayed, "tickets")
    registry.promote("tickets", "v1", "first")
    with pytest.raises(UserError, match=r"with replay.*train it by a recipe"):
        operate.retrain(registry, "tickets", rows, {"old": rows}, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_what_is_known_beforehand_is_refused_beforehand(kept, runs, tmp_path, monkeypatch):
    monkeypatch.setattr(retraining.train, "train_into", None)  # nothing is trained
    out, rows = tmp_path / "again", operate.draw_tickets(2)
    with pytest.raises(UserError, match="no tests"):
        operate.retrain(kept, "tickets", rows, {}, out)
    with pytest.raises(UserError, match="margin is 5"):
        operate.retrain(kept, "tickets", rows, {"old": rows}, out, operate.Road(margin=5))
    with monkeypatch.context() as patch:
        patch.setattr("ftkit.operate.bases.hash_of_base", lambda name: "f" * 64)
        with pytest.raises(UserError, match="made for another 'pocket'"):
            operate.retrain(kept, "tickets", rows, {"old": rows}, out)
    assert not out.exists()
    # the rows of another retraining stay
    out.mkdir()
    (out / "rows.jsonl").write_text("of another\n")
    with pytest.raises(UserError, match=r"holds other rows.*give another out"):
        operate.retrain(kept, "tickets", rows, {"old": rows}, out)
    assert (out / "rows.jsonl").read_text() == "of another\n"


def test_a_version_that_was_promoted_meanwhile_stays_live(kept, runs, tmp_path, monkeypatch):
    other = write_adapter(tmp_path / "other")

    def train_into(experiment, out):
        assert experiment.encoding is None
        shutil.copytree(runs[1], out)
        kept.publish(other, "tickets")
        kept.promote("tickets", "v2", "by hand")

    monkeypatch.setattr(retraining.train, "train_into", train_into)
    monkeypatch.setattr(operate.Registry, "compare", lambda *_: compared(0, 40))
    rows = operate.draw_tickets(2)
    with pytest.raises(UserError, match="v3 was held against v1, and live is v2 by now"):
        operate.retrain(kept, "tickets", rows, {"old": rows}, tmp_path / "again")
    assert kept.live_label("tickets") == "v2"
