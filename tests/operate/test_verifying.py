"""A record is held against its run: figures come out again, and what drifted is named."""

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file

from ftkit import UserError, doctor, operate
from ftkit.operate import verifying


@pytest.fixture(autouse=True)
def quick(request, monkeypatch):
    """Without the doctor's questions to the model, of which none is about drift."""
    if "holds" not in request.node.name:
        monkeypatch.setattr("ftkit.doctor.run_folder.ask_run", lambda *_: [])


@pytest.fixture
def run(runs, tmp_path):
    """A run of one's own to spoil."""
    return shutil.copytree(runs[0], tmp_path / "run")


def rewrite(run, **changed):
    file = run / "run.json"
    record = json.loads(file.read_text())
    for name, value in changed.items():
        both = isinstance(value, dict)
        record[name] = {**record.get(name, {}), **value} if both else value
    file.write_text(json.dumps(record))


def test_a_run_that_is_as_it_was_holds(runs):
    found = operate.verify(runs[0])
    (loss,) = found.figures
    assert found.ok and not found.drifted and found.again is None
    assert loss.name == "validation loss, step 3" and loss.now == pytest.approx(loss.was, rel=1e-5)
    assert "holds" in repr(found) and found.json()["ok"]


def test_weights_that_were_changed_give_another_figure(run):
    file = run / "adapter" / "adapter_model.safetensors"
    save_file({name: 2 * numbers for name, numbers in load_file(file).items()}, file)
    found = operate.verify(run)
    assert not found.ok and not found.figures[0].same
    assert "validation loss, step 3  DIFFERS" in repr(found)


def test_hashes_and_versions_alone_ask_no_model(run, monkeypatch):
    monkeypatch.setattr(verifying, "derive", lambda _: pytest.fail("a model was asked"))
    found = operate.verify(run, figures=False)
    assert found.ok and not found.figures and found.notes == ["its figures were not asked again"]
    said = doctor.Findings("it", [doctor.Finding.wrong("base", "another base", "find it")])
    assert [one.check for one in operate.verify(run, figures=False, found=said).drifted] == ["base"]


def test_shares_of_the_record_are_asked_again(run):
    score = {"tuned": 1.0, "base": 0.0, "n": 2}
    rewrite(run, validation=[], scores={"task": score, "format": {**score, "tuned": 0.0}})
    found = operate.verify(run)
    assert [(one.name, one.was, one.same) for one in found.figures] == [
        ("task, 2 test rows", 1.0, False),
        ("format, 2 test rows", 0.0, found.figures[1].now == 0.0),
    ]


@pytest.mark.parametrize(
    ("changed", "check", "said"),
    [
        ({"versions": {"torch": "1.0.0"}}, "versions", "torch was 1.0.0"),
        ({"hashes": {"base": "0" * 64}}, "base", "pocket is another base now"),
        ({"hashes": {"train": "0" * 64}}, "data", "other training rows"),
        ({"experiment": {"model": "/gone/base"}}, "base", "/gone/base"),
    ],
)
def test_what_drifted_is_named(run, monkeypatch, changed, check, said):
    monkeypatch.setattr(verifying, "derive", lambda folder: ([], []))
    rewrite(run, **changed)
    found = operate.verify(run)
    assert not found.ok
    assert [one for one in found.drifted if one.check == check and said in one.detail]


def test_a_record_without_a_figure_says_so_and_one_on_pairs_is_not_asked(run):
    rewrite(run, validation=[])
    found = operate.verify(run)
    assert found.ok and "states no validation loss and no scores" in found.notes[0]
    rewrite(run, experiment={"objective": {"name": "dpo"}})
    assert "this asks chats' answers" in operate.verify(run).notes[0]


def test_the_same_bits_again_or_not(run, monkeypatch):
    rewrite(run, validation=[])
    monkeypatch.setattr(verifying, "derive", lambda folder: ([], []))

    def train_into(experiment, out):
        shutil.copytree(run / "adapter", out / "adapter")
        if experiment.recipe.seed:
            (out / "adapter" / "adapter_model.safetensors").write_bytes(b"other")

    monkeypatch.setattr(verifying.prefer, "train_into", train_into)
    assert operate.verify(run, again=True).again is True
    record = json.loads((run / "run.json").read_text())
    record["experiment"]["recipe"]["seed"] = 1
    (run / "run.json").write_text(json.dumps(record))
    found = operate.verify(run, again=True)
    assert found.again is False and not found.ok


def test_what_cannot_be_asked_is_trained_again_all_the_same(run, monkeypatch):
    rewrite(run, experiment={"objective": {"name": "dpo"}})
    monkeypatch.setattr(verifying, "train_again", lambda folder: False)
    found = operate.verify(run, again=True)
    assert not found.ok and "this asks chats' answers" in found.notes[0]


def test_a_folder_without_a_record_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match=r"holds no run\.json"):
        operate.verify(tmp_path)
