"""A run as a file states it: what it means, what it makes of data, and mistakes as one sentence."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ftkit import UserError, train
from ftkit.train import Experiment


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recipe: {learning_rate: 1}", "recipe has the key 'learning_rate'"),
        ("recipe: {keep_bets: true}", "Did you mean 'keep_best'"),
        ("recipe: {KL: 1}", "recipe has the key 'KL'"),
        ("modell: pocket", "Did you mean 'model'"),
        ("row: 8", "Did you mean 'rows'"),
        ("replayd: self", "Did you mean 'replayed'"),
        ("lora: {rank: 8}", "lora has the key 'rank'; the keys are r, alpha"),
        ("lora: 8", "lora is 8; give keys"),
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
    path.write_text("recipe: {lr: 2e-3}\nlora: {alpha: 1e1}")
    experiment = Experiment.read(path)
    assert (experiment.recipe.lr, experiment.lora) == (0.002, {"alpha": 10.0})


def test_a_dict_of_an_experiment_gives_it_again():
    experiment = Experiment("pocket", rows=3, lora={"r": 2, "targets": ["q_proj"]})
    assert Experiment.from_dict(experiment.to_dict()) == experiment
    assert Experiment(lora={"targets": ("q_proj",)}).to_dict()["lora"] == {"targets": ["q_proj"]}
    assert Experiment(lora=None).to_dict()["model"] == "pocket", "the dial may turn"


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
