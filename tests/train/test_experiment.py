"""A run as a file states it: what it means, what it makes of data, and mistakes as one sentence."""

import dataclasses
import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as draw

from ftkit import UserError, models, train
from ftkit.train import Experiment
from ftkit.train import experiment as reading


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recipe: {learning_rate: 1}", "recipe has the key 'learning_rate'"),
        ("recipe: {keep_bets: true}", "Did you mean 'keep_best'"),
        ("recipe: {KL: 1}", "recipe has the key 'KL'"),
        ("modell: pocket", "Did you mean 'model'"),
        ("row: 8", "Did you mean 'rows'"),
        ("replayd: self", "Did you mean 'replayed'"),
        ("lora: {rank: 8}", "lora has the key 'rank'; the keys are r, alpha.* Did you mean 'r'"),
        ("lora: {use_rslora: true}", "'use_rslora'; .* for rsLoRA's alpha / √r state alpha · √r"),
        ("recipe: {learning_rate: 1}", r"Did you mean 'lr'\?$"),
        ("recipe: {LR: 1}", r"Did you mean 'lr'\?$"),
        ("lr: 1e-3", r"the file has the key 'lr'; .* lr stands below recipe:\.$"),
        ("seed: 3", r"seed stands below recipe:\.$"),
        ("learning_rate: 3", r"lr stands below recipe:\.$"),
        ("epoch: 3", r"Did you mean 'epochs'\? It stands below recipe:\.$"),
        ("rank: 3", r"r stands below lora:\.$"),
        ("beta: 3", r"beta stands below objective:\.$"),
        ("recipe: {data: a.jsonl}", r"data stands at the top of the file\.$"),
        ("recipe: {r: 8}", r"r stands below lora:\.$"),
        ("base_model: pocket", r"Did you mean 'model'\?$"),
        ("xyzzy: 3", r"the keys are model, .*, recipe, date, encoding\.$"),
        ("objective: {name: dpo, LOSS: ipo}", r"Did you mean 'loss'\?$"),
        ("recipe: {schedule: constant}", r"Did you mean 'constant_with_warmup'\?$"),
        ("quant: NF4", r"Did you mean 'nf4'\?$"),
        ("date: 2026-13-01", r"the date 2026-13-01 in line 1, which there is not \(month must be"),
        ("a: 1\ndate: 2026-02-30", r"the date 2026-02-30 in line 2, .* one such as 2026-07-31"),
        ("lora: 8", "lora is 8; give keys"),
        ("lora: false", "lora is False; give keys and values .* or null for full fine-tuning"),
        ("lora: []", r"lora is \[\]; give keys"),
        ("recipe: 0", "recipe is 0; give keys and values such as {lr: …}"),
        ("lora: {dropout: 1.5}", "dropout is 1.5; it is a share of the inputs"),
        ("lora: {dropout: high}", "dropout is 'high'; it is a share"),
        ("lora: {targets: [1, 2]}", r"targets is \[1, 2\]; give 'all-linear', 'attention'"),
        ("lora: {targets: []}", r"targets is \[\]; give"),
        ("lora: {r: 0}", "r is 0; give a whole number from 1 on"),
        ("lora: {r: 2.5}", "r is 2.5; give a whole number from 1 on"),
        ("lora: {alpha: 0}", "alpha is 0; give a number above 0"),
        ("lora: {use_dora: yess}", "use_dora is 'yess'; give true or false"),
        ("recipe: {seed: 4294967296}", "seed is 4294967296; give .* 4,294,967,295 at most"),
        ("recipe: {lr: 1.0e+200}", r"lr is 1e\+200; give a number from 0 on, 1e\+38 at most"),
        ("recipe: {batch_size: '16.5'}", "batch_size is 16.5; give a whole number"),
        ("recipe: {lr: {a: 1}}", "lr is {'a': 1}; give a number"),
        ("model: 5", "model is 5; give 'pocket'"),
        ("model: ''", "model is ''; give 'pocket'"),
        ("data: null", "data is None; give a task"),
        ("data: [a.jsonl]", r"data is \['a.jsonl'\]; give a task"),
        ("data: 2024-01-01", "data is datetime.date"),
        ("rows: true", "rows is True; give a whole number"),
        ("replay: .inf", "replay is inf; it is a share"),
        ("replayed: {}", "replayed is {}; give one of"),
        ("date: yesterday", "date is 'yesterday'; give one such as"),
        ("encoding: 5", "encoding is 5; give its name"),
        ("hashes: {}", "the file has the key 'hashes'"),
        ("1: 2", "the file has the key 1"),
        ("recipe: {lr: 1e-3, lr: 5e-2}", "states 'lr' twice, as '1e-3' and as '5e-2'"),
        ("rows: 010", "reads in base 8"),
        ("", "holds none"),
        ("just words", "holds none"),
        ("lora: &a [*a]", "lora is .*; give keys"),
        ("recipe: {lr: fast}", "lr is 'fast'"),
        ("recipe: {kl: .nan}", "kl is nan; give a number from 0 on"),
        ("rows: 0", "rows is 0; give a whole number from 1 on"),
        ("rows: ten", "rows is 'ten'"),
        ("quant: nf5", "Did you mean 'nf4'"),
        ("{quant: nf4, lora: null}", "a base in nf4 cannot be trained itself"),
        ("replay: 1", "replay is 1; it is a share"),
        ("replayed: me", "replayed is 'me'; give one of general, self"),
        ("- a\n- b", "holds none"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_bad_recipe_file_is_one_sentence(tmp_path, text, message):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        Experiment.read(path)


def test_a_recipe_file_that_there_is_not(tmp_path):
    (tmp_path / "mine.yaml").touch()
    with pytest.raises(UserError, match=r"there is no recipe file .*Did you mean 'mine.yaml'"):
        Experiment.read(tmp_path / "mime.yaml")


def test_the_recipe_of_the_readme_is_one():
    readme = Path(__file__).parents[2].joinpath("README.md").read_text(encoding="utf-8")
    stated = Experiment.from_dict(yaml.safe_load(readme.split("```yaml\n")[1].split("```")[0]))
    assert stated == Experiment(replay=0.25, recipe=train.Recipe(lr=2e-3, epochs=2))


def test_yamls_2e_3_is_a_number(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(
        "recipe: {lr: 2e-3, batch_size: '8', max_length: 1e3, keep_best: no}\n"
        "lora: {alpha: 1e1}\nrows: 1e2\nreplay: 5e-1\ndate: 2026-07-31"
    )
    experiment = Experiment.read(path)
    recipe = train.Recipe(lr=0.002, batch_size=8, max_length=1000, keep_best=False)
    assert experiment == Experiment(
        rows=100, replay=0.5, lora={"alpha": 10}, recipe=recipe, date="2026-07-31"
    )


def test_a_dict_of_an_experiment_gives_it_again():
    experiment = Experiment("pocket", rows=3, lora={"r": 2, "targets": ["q_proj"]})
    assert Experiment.from_dict(experiment.to_dict()) == experiment
    assert Experiment(lora={"targets": ("q_proj",)}).to_dict()["lora"] == {"targets": ["q_proj"]}
    assert Experiment(lora=None).to_dict()["model"] == "pocket", "the dial may turn"


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("r.yaml", "data: größe".encode("latin-1"), "is not UTF-8: line 1 holds the byte 0xf6"),
        ("r.yaml", "data: x".encode("utf-16"), "is in UTF-16"),
        ("r.yaml", bytes(range(256)), "holds a NUL byte"),
        ("run.json", b"{}", "'experiment' is missing"),
        ("run.json", b"[1]", "'experiment' is missing"),
        ("run.json", b'{"experiment": 5}', "'experiment' is missing or of another kind"),
        ("run.json", b'{"experiment": {"data"', "run.json is not JSON"),
        ("run.json", b'{"experiment": {"rows": 1, "rows": 2}}', "states 'rows' twice, as 1 and"),
        ("mine.json", b"null", "holds none"),
    ],
)
def test_a_file_that_is_no_recipe_is_one_sentence(name, raw, message, tmp_path):
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(UserError, match=message):
        Experiment.read(tmp_path / name)
    if name == "run.json":
        with pytest.raises(UserError, match=message):
            Experiment.read(tmp_path)


def test_a_folder_without_a_record_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"there is no run\.json in '.*folder'"):
        (tmp_path / "folder").mkdir()
        Experiment.read(tmp_path / "folder")


def test_a_record_is_one_by_any_name_and_knows_its_hashes(tmp_path):
    experiment, hashes = Experiment("pocket", rows=3), {"base": "a", "train": "b"}
    record = {"experiment": experiment.to_dict(), "hashes": hashes, "lr": 1e-05}
    for name in ("run.json", "kept.json"):
        (tmp_path / name).write_text(json.dumps(record))
        read = Experiment.read(tmp_path / name)
        assert read == experiment
        assert read.hashes == hashes
        assert read.to_dict() == experiment.to_dict()


# Keys and values that people write, right and wrong.
VALUES = draw.recursive(
    draw.one_of(
        draw.none(), draw.booleans(), draw.integers(), draw.floats(), draw.text(max_size=5),
        draw.dates(), draw.sampled_from(["1e3", "16", "nf4", "all-linear", "linear", 10**400]),
    ),
    lambda inner: draw.lists(inner, max_size=2) | draw.dictionaries(draw.text(max_size=2), inner),
    max_leaves=4,
)  # fmt: skip
FIELDS = [field for field in Experiment.__dataclass_fields__ if field != "hashes"]
PARTS = {
    "lora": ["r", "alpha", "targets", "dropout", "use_dora"],
    "recipe": list(train.Recipe.__dataclass_fields__),
}
STATED = draw.dictionaries(draw.sampled_from(FIELDS), VALUES, max_size=3) | draw.fixed_dictionaries(
    {}, optional={p: draw.dictionaries(draw.sampled_from(k), VALUES) for p, k in PARTS.items()}
)


@settings(max_examples=150, derandomize=True, deadline=None, database=None)
@given(STATED)
def test_any_recipe_at_all_is_an_experiment_or_one_sentence(stated):
    try:
        experiment = Experiment.from_dict(stated)
    except UserError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 2000
    else:
        assert Experiment.from_dict(experiment.to_dict()).to_dict() == experiment.to_dict()


def test_rows_there_are_not_are_refused():
    with pytest.raises(UserError, match="rows is 1000; give a whole number from 1 to 300"):
        Experiment(rows=1000).prepare()


def test_the_data_need_no_model_but_where_it_answers_them():
    assert len(Experiment(rows=30, replay=0.25).load_splits()["train"]) == 40
    with pytest.raises(UserError, match="takes the model"):
        Experiment(replay=0.25, replayed="self").load_splits()


def test_a_recipe_is_checked_without_torch():
    code = (
        "import sys; from ftkit.train import Experiment; "
        "Experiment.from_dict({'recipe': {'lr': 1e-3}}); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_another_model_is_told_what_the_replayed_rows_are_about(tmp_path):
    """They are the pocket model's world; to any other model they would be facts to learn."""
    with pytest.warns(UserWarning, match="pocket model's world"):
        train.Experiment(model=str(tmp_path), replay=0.25).load_general(None, None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train.Experiment(replay=0.25).load_general(None, None)


def test_replies_that_are_cut_off_are_not_replayed(monkeypatch):
    """Half a reply teaches a model to go on without an end."""
    written = []

    def write_replies(model, tokenizer, chats):
        written.extend(models.Reply(f"r{n}", ended=n > 0) for n in range(len(chats)))
        return written

    monkeypatch.setattr(train.experiment.models, "write_replies", write_replies)
    with pytest.warns(UserWarning, match="1 of .* rows are not replayed"):
        rows = train.Experiment(replay=0.25, replayed="self").load_general("model", "tokenizer")
    assert len(rows) == len(written) - 1
    assert rows["messages"][0][-1]["content"] == "r1"


def test_a_method_is_stated_by_its_name_or_with_its_options():
    one = Experiment.from_dict({"method": "ia3"})
    assert (one.method, one.lora, one.method_name) == ({"name": "ia3"}, None, "ia3")
    two = Experiment.from_dict({"method": {"name": "prompt", "tokens": "4", "text": "Write."}})
    assert two.method == {"name": "prompt", "tokens": 4, "text": "Write."}
    assert two.trains_adapter
    # what a record states is the same run, also of a recipe without a method
    for experiment in (one, two, Experiment(), Experiment(lora=None)):
        named = dataclasses.replace(experiment, model="pocket")
        assert Experiment.from_dict(experiment.to_dict()) == named
    assert "method" not in Experiment().to_dict()


def test_lora_dora_and_full_are_noted_as_ever():
    assert Experiment(method="lora") == Experiment(lora={})
    assert Experiment.from_dict({"method": {"name": "lora", "r": "4"}}).lora == {"r": 4}
    dora = Experiment(method={"name": "dora", "r": 2})
    assert (dora.lora, dora.method, dora.method_name) == ({"r": 2, "use_dora": True}, None, "dora")
    full = Experiment(method="full")
    assert full == Experiment(lora=None) and not full.trains_adapter


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"method": "ia33"}, r"method is 'ia33'; give one of .*'ia3'\?"),
        ({"method": {"tokens": 4}}, r"give a name such as ia3, or its options too: \{name: prompt"),
        ({"method": {"name": "prompt", "tokns": 4}}, r"no option 'tokns'.*'tokens'\?"),
        ({"method": {"name": "dora", "use_dora": False}}, "use_dora is False and method is 'dora'"),
        ({"method": {"name": "dora", "use_dora": "no"}}, "use_dora is 'no' and method is 'dora'"),
        ({"method": {"name": "lora", "rank": 4}}, "Did you mean 'r'"),
        ({"method": "ia3", "lora": {"r": 4}}, "method and lora are both stated"),
        ({"method": 3}, "method is 3"),
        ({"method": {"name": "lora", "r": 0}}, "r is 0"),
        ({"method": "full", "quant": "nf4"}, "cannot be trained itself; state a lora or another"),
    ],
)
def test_a_method_that_cannot_be_is_one_sentence(stated, message):
    with pytest.raises(UserError, match=message):
        Experiment.from_dict(stated)


def test_what_people_call_a_key_leads_to_one_that_there_is():
    keys = reading.known_keys()
    assert all(name in keys[part] for part, name in reading.CALLED.values())
    assert not reading.CALLED.keys() & {name for names in keys.values() for name in names}
    assert {part for part, _ in reading.CALLED.values()} <= reading.PLACES.keys()
