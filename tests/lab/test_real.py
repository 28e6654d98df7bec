"""The grid of a real model: its runs, how labels are chosen, one run from end to end in small."""

import dataclasses
import json

import pytest
from datasets import Dataset

from ftkit import fetched, models
from ftkit.lab import measuring, points
from ftkit.lab.points import RealRow, RealRun, read_row


def test_each_seed_has_every_setting_and_the_base_comes_once_and_first():
    runs = points.real_points()
    assert runs[0].method == "base"
    assert [run.method for run in runs].count("base") == 1
    trained = [run for run in runs if run.lr]
    by_seed = {seed: [run for run in trained if run.seed == seed] for seed in points.SEEDS}
    settings = [
        [dataclasses.replace(run, seed=0) for run in of_seed] for of_seed in by_seed.values()
    ]
    assert settings[0] == settings[1] == settings[2]
    assert len(set(settings[0])) == len(points.REAL_SETTINGS) - 1
    assert {run.method for run in trained} == {"lora", "full", "qlora"}
    # a part of the grid is even: whole seeds first
    assert [run.seed for run in trained] == sorted(run.seed for run in trained)


ADAPTER = {"r": 8, "alpha": 16}


@pytest.mark.parametrize(
    ("run", "lora", "quant"),
    [
        (RealRun(), ADAPTER, None),
        (RealRun(r=0), None, None),
        (RealRun(quant="nf4"), ADAPTER, "nf4"),
    ],
)
def test_a_run_is_an_experiment_on_the_fetched_model_and_rows(run, lora, quant):
    experiment = run.experiment()
    assert (experiment.model, experiment.data, experiment.rows) == ("smollm2", "reviews", 160)
    assert (experiment.lora, experiment.quant) == (lora, quant)
    assert experiment.recipe.evaluations == 0


def test_the_label_with_the_higher_log_p_is_the_chosen_one(monkeypatch):
    def option_nats(model, tokenizer, prompts, options):
        assert options == [["negative", "positive"]] * 3
        assert [chat[-1]["role"] for chat in prompts] == ["user"] * 3
        return [[1.0, 2.0], [3.0, 1.0], [0.5, 4.0]]

    monkeypatch.setattr(measuring.evaluate, "option_nats", option_nats)
    golds = ["negative", "positive", "positive"]
    rows = [
        [{"role": "user", "content": "?"}, {"role": "assistant", "content": gold}] for gold in golds
    ]
    assert measuring.choose_labels(
        None, None, Dataset.from_dict({"messages": rows})
    ) == pytest.approx(2 / 3)


@pytest.fixture
def reviews(tmp_path, monkeypatch):
    """Fetched reviews of two words, and the pocket model in SmolLM2's place."""
    folder = tmp_path / "reviews"
    folder.mkdir()
    for kind in fetched.KINDS:
        rows = []
        for n in range(200):
            good = n % 2
            messages = [
                {"role": "system", "content": "Is this text positive or negative?"},
                {"role": "user", "content": f"It was {'good' if good else 'bad'}, {n} of them."},
                {"role": "assistant", "content": ["negative", "positive"][good]},
            ]
            split = "train" if n < 160 else ("validation" if n < 180 else "test")
            rows.append(json.dumps({"split": split, "messages": messages}))
        (folder / f"{kind}.jsonl").write_text("\n".join(rows))
    (folder / "fetched.json").write_text("{}")
    monkeypatch.setenv("FTKIT_CACHE", str(tmp_path))
    monkeypatch.setattr(RealRun, "MODEL", "pocket")
    monkeypatch.setattr(measuring, "REAL_TEST", {"movies": 10, "tweets": 10})
    monkeypatch.setattr(measuring, "REAL_VALIDATION", 8)
    monkeypatch.setattr(measuring, "REAL_PROBES", 1)


def test_a_run_is_trained_and_measured_and_its_row_comes_back_from_json(reviews):
    base = measuring.measure_real(RealRun(lr=0.0, r=0))
    assert (base.trainable, base.curve, base.kl_task, base.kl_text) == (0, [], 0.0, 0.0)
    row = measuring.measure_real(RealRun(lr=3e-3))
    assert len(row.curve) == 20
    assert row.validation < base.validation
    assert row.kl_task > 0 < row.kl_text
    assert row.task.keys() == {"movies", "tweets"}
    assert row.task["movies"] > 0.8
    assert row.trainable < models.count_numbers(models.load("pocket")[0])
    stored = json.loads(json.dumps(dataclasses.asdict(row)))
    assert read_row(RealRow, stored) == dataclasses.replace(row, curve=stored["curve"])
    assert read_row(RealRun, stored) == RealRun(lr=3e-3)
