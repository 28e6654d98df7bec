"""An export is whole and proven, or it is not there; every mistake is one sentence."""

import json
import shutil

import pytest
from verbs import invoke

from ftkit import UserError, ship
from ftkit.ship import catalogue, exporting, opened


def test_forty_greedy_replies_of_the_pocket_model_are_the_same(run, tmp_path):
    done = ship.export(run, "gguf", tmp_path / "out")
    tensors, settings, texts, template, replies = done.proofs
    assert (replies.equal, replies.of) == (40, 40) and replies.exact
    assert (tensors.equal, settings.equal, texts.equal, template.equal) == (38, 11, 100, 1)
    record = ship.read_record(tmp_path / "out")
    assert record["files"].keys() == done.files.keys() == {"model.gguf"}
    assert record["part"] == "merged" and record["run"] == str(run.resolve())
    assert "greedy replies, token by token  40 of 40 equal" in str(done)


@pytest.mark.parametrize("part", ["base", "adapter"])
def test_base_and_adapter_of_a_packed_base_are_the_tuned_model_together(packed, part, tmp_path):
    """The base is the dequantized one: on the one from before, the adapter is another model."""
    done = ship.export(packed, "gguf", tmp_path, part=part, prompts=2)
    assert all(one.equal == one.of for one in done.proofs)
    assert done.files.keys() == {"adapter.gguf" if part == "adapter" else "model.gguf"}


def test_after_full_fine_tuning_the_model_itself_is_exported(whole, tmp_path):
    done = ship.export(whole, "gguf", tmp_path / "out", kind="q8_0", prompts=2)
    assert done.proofs[0].what == "tensors, as q8_0 holds them"
    for to in ("gguf", "vllm"):
        with pytest.raises(UserError, match="was trained whole and has no adapter; export it merg"):
            ship.export(whole, to, tmp_path / "none", part="adapter")
    assert not (tmp_path / "none").exists()


def test_a_method_without_a_matrix_is_refused(prompted, tmp_path):
    with pytest.raises(UserError, match=r"[Pp]rompt tuning cannot be merged: it puts vectors"):
        ship.export(prompted, "gguf", tmp_path / "out", prompts=1)
    with pytest.raises(UserError, match="is a run of prompt tuning, and a GGUF adapter is a LoRA"):
        ship.export(prompted, "gguf", tmp_path / "out", part="adapter", prompts=1)
    with pytest.raises(UserError, match="is a run of prompt tuning, and other trainers are told"):
        ship.export(prompted, "trl", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_what_fails_half_way_leaves_nothing(run, tmp_path, monkeypatch):
    def half(one, new, wish):
        (new / "model.gguf").write_text("half")
        return opened.Told([opened.Proof("tensors", 1, 2, "a reader").check()])

    monkeypatch.setitem(exporting.WRITERS, "gguf", half)
    with pytest.raises(UserError, match="what was written is not the model: of tensors 1 of 2"):
        ship.export(run, "gguf", tmp_path / "out")
    assert not any(tmp_path.rglob("*"))


@pytest.fixture
def quick(monkeypatch):
    """An export that takes no time: what it writes is given."""

    def put(**files):
        def write(one, new, wish):
            for name, text in files.items():
                (new / name).write_text(text)
            return opened.Told()

        monkeypatch.setitem(exporting.WRITERS, "gguf", write)

    return put


def test_only_an_export_that_nobody_changed_is_replaced(run, tmp_path, quick):
    quick(a="1", b="2")
    ship.export(run, "gguf", tmp_path)
    quick(a="3")
    ship.export(run, "gguf", tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"a", "export.json"}
    (tmp_path / "a").write_text("4")
    with pytest.raises(UserError, match=r"a is not as export wrote it; give another --out"):
        ship.export(run, "gguf", tmp_path)
    (tmp_path / "export.json").unlink()
    with pytest.raises(UserError, match=r"holds what export did not write \(a\)"):
        ship.export(run, "gguf", tmp_path)
    with pytest.raises(UserError, match="a is a file; give a folder"):
        ship.export(run, "gguf", tmp_path / "a")


def test_a_record_that_names_files_elsewhere_is_none(tmp_path):
    (tmp_path / "export.json").write_text(json.dumps({"files": {"../x": {}}}))
    assert ship.read_record(tmp_path) == {}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"to": "olama"}, r"there is no target 'olama'; give one of gguf, .* mean 'ollama'\?"),
        ({"part": "adaptor"}, r"not 'adaptor'; give one of them .* mean 'adapter'\?"),
        ({"to": "transformers", "part": "adapter"}, "transformers takes merged of a run, not 'ada"),
        ({"prompts": 0}, "prompts is 0; give a whole number from 1 to 1,000"),
        ({"run": "nothing"}, "nothing holds no run.json; give the folder"),
    ],
)
def test_a_wish_that_can_not_be_is_refused(run, options, said, tmp_path):
    wish = {"run": run, "to": "gguf", "out": tmp_path / "out", **options}
    with pytest.raises(UserError, match=said):
        ship.export(wish.pop("run"), wish.pop("to"), wish.pop("out"), **wish)
    assert list(tmp_path.iterdir()) == []


def test_a_base_that_is_gone_or_another_is_refused(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    file = tmp_path / "run" / "run.json"
    record = json.loads(file.read_text())
    cases = (
        ({"hashes": {"base": "1" * 64}}, "was trained on another 'pocket'"),
        ({"experiment": {**record["experiment"], "model": "/no/such"}}, "there is no model"),
    )
    for change, said in cases:
        file.write_text(json.dumps({**record, **change}))
        with pytest.raises(UserError, match=said):
            ship.export(tmp_path / "run", "gguf", tmp_path / "out", prompts=1)
    shutil.rmtree(tmp_path / "run" / "adapter")
    file.write_text(json.dumps(record))
    with pytest.raises(UserError, match="adapter"):
        ship.export(tmp_path / "run", "gguf", tmp_path / "out", prompts=1)
    assert not (tmp_path / "out").exists()


def test_the_verb_lists_writes_and_refuses(run, tmp_path, quick):
    listed = json.loads(invoke("export", "--list", "--json").stdout)["targets"]
    assert [one["--to"] for one in listed] == list(catalogue.TARGETS)
    quick(a="1")
    done = invoke("export", run, "--to", "gguf", "--out", tmp_path / "out", "--json")
    assert json.loads(done.stdout)["files"] == {"a": 1}
    wrong = invoke("export", run, "--to", "gguff", "--out", tmp_path / "out")
    assert wrong.exit_code == 1 and "Did you mean 'gguf'?" in wrong.output
    assert invoke("export", run).exit_code == 2
