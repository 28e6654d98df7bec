"""Trackers: known by name, installed or a sentence, kept in the folder that they are given."""

import json
import os

import pytest

from ftkit import UserError, data, lora, models, train
from ftkit.core import trackers


def test_a_tracker_that_there_is_not_is_a_sentence_with_the_nearest():
    trackers.check_tracker(None)
    with pytest.raises(UserError, match=r"report_to is 'tensorbord'; .*Did you mean 'tensorboard'"):
        trackers.check_tracker("tensorbord")
    with pytest.raises(UserError, match="report_to is 3; give null, or one of trackio, wandb"):
        train.Recipe(report_to=3)  # type: ignore
    assert train.Recipe(report_to="mlflow").report_to == "mlflow", "one is read where it is not"


def test_one_that_is_not_installed_is_told_with_its_pip_line_before_anything_runs(monkeypatch):
    monkeypatch.setattr(trackers, "is_installed", lambda name: False)
    for name in trackers.TRACKERS:
        with pytest.raises(
            UserError, match=rf"{name}', which is not installed; pip install {name}"
        ):
            train.sft(None, None, None, train.Recipe(report_to=name))  # type: ignore


def test_a_folder_of_its_name_is_no_tracker(tmp_path, monkeypatch):
    (tmp_path / "wandbish").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert not trackers.is_installed("wandbish") and trackers.is_installed("json")


def test_it_is_told_where_to_write_and_the_environment_is_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(trackers, "is_installed", lambda name: True)
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.delenv("WANDB_DIR", raising=False)
    before = dict(os.environ)
    with trackers.tracked("wandb", tmp_path / "a" / "tracking"):
        assert os.environ["WANDB_DIR"] == str(tmp_path / "a" / "tracking")
        assert os.environ["WANDB_MODE"] == "online", "what you have set is left"
    assert dict(os.environ) == before
    with trackers.tracked("mlflow", tmp_path):
        assert os.environ["MLFLOW_TRACKING_URI"] == f"sqlite:///{tmp_path}/mlflow.db"
    with trackers.tracked(None, tmp_path / "b"):
        assert not (tmp_path / "b").exists()


def test_where_it_is_reported_to_makes_no_other_run(tmp_path):
    plain = train.Experiment.from_dict({"recipe": {"lr": 1e-3}})
    assert "report_to" not in plain.to_dict()["recipe"]
    told = train.Experiment.from_dict({"recipe": {"lr": 1e-3, "report_to": "trackio"}})
    assert told.to_dict()["recipe"]["report_to"] == "trackio"
    record = {"experiment": told.to_dict(), "hashes": {}}
    (tmp_path / "run.json").write_text(json.dumps(record))
    train.check_place(plain, tmp_path)
    with pytest.raises(UserError, match=r"recipe\.lr was 0.001"):
        train.check_place(train.Experiment.from_dict({"recipe": {"lr": 1e-2}}), tmp_path)


@pytest.mark.parametrize("name", list(trackers.TRACKERS))
def test_a_run_is_reported_into_its_folder(name, tmp_path, monkeypatch):
    pytest.importorskip(name, reason=f"{name} is not installed")
    model, tokenizer = models.load("pocket")
    rows = data.first(data.load("tickets")["train"], 4)
    recipe = train.Recipe(epochs=1, batch_size=2, evaluations=0, report_to=name)
    checkpoints = tmp_path / "checkpoints"
    train.sft(lora.attach(model, r=2), tokenizer, rows, recipe, checkpoints=checkpoints)
    assert any(path.is_file() for path in (tmp_path / "tracking").rglob("*"))
