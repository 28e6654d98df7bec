"""The verbs that make again what the kit ships: what they hand on, and what they refuse."""

import json

import pytest
from verbs import invoke

from ftkit import lab, pocket, world
from ftkit.cli import making
from ftkit.lab import grids


@pytest.mark.parametrize(
    ("path", "text"),
    [("data/grids/lora.json", "wrote data/grids/lora.json"), (None, "others are still missing")],
)
def test_a_grid_says_whether_it_is_whole(monkeypatch, path, text):
    asked = []

    def make(*given):
        asked.append(given[:-1])
        given[-1]("a run")
        return path

    monkeypatch.setattr(lab, "make_grid", make)
    done = invoke("grid", "lora", "--worker", 1, "--workers", 2, "--json")
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"file": path})
    assert done.stderr == "… a run\n"
    assert text in invoke("grid", "lora").stdout
    assert asked == [("lora", None, 1, 2), ("lora", None, 0, 1)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["loar"],
            "Did you mean 'lora'?",
        ),
        (["lora", "--worker", "2", "--workers", "2"], "worker is 2 of 2"),
    ],
)
def test_a_grid_that_can_not_be_made_is_one_sentence(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    done = invoke("grid", *words)
    assert (done.exit_code, done.stdout) == (1, "")
    assert message in done.stderr
    assert not list(tmp_path.iterdir())


def test_pretrain_takes_what_is_stated_and_else_the_plan_of_the_shipped_model(monkeypatch):
    plans = []
    monkeypatch.setattr(
        pocket, "pretrain_and_ship", lambda *given: plans.append(given) or "the card"
    )
    done = invoke("pretrain", "--out", "x", "--steps", 3, "--bfloat16", "--probes", 5)
    assert (done.exit_code, done.stdout) == (0, "the card\n")
    invoke("pretrain")
    (first, out, probes), (second, shipped, all_probes) = plans
    assert (first, str(out), probes) == (type(second)(steps=3, bfloat16=True), "x", 5)
    assert (second, str(shipped), all_probes) == (type(second)(), "data/pocket", 400)


def test_tasks_are_drawn_into_a_folder(monkeypatch):
    drawn = []
    monkeypatch.setattr(world.tasks, "write", lambda *given: drawn.append(given))
    assert invoke("tasks", "--out", "somewhere").exit_code == 0
    ((folder, of),) = drawn
    assert (str(folder), type(of)) == ("somewhere", world.World)


@pytest.mark.parametrize("option", ["--steps", "--threads", "--probes"])
def test_a_pretraining_of_nothing_is_bad_usage(monkeypatch, option):
    monkeypatch.setattr(pocket, "pretrain_and_ship", lambda *_: pytest.fail("it began to train"))
    assert invoke("pretrain", option, 0).exit_code == 2


def test_the_help_names_every_grid():
    assert making.GRIDS.replace(" or ", ", ").split(", ") == list(grids.ROWS)
