"""The verbs that count: light where they need no torch, and what they hand to the memory wing."""

import dataclasses
import inspect
import json
from types import SimpleNamespace

import pytest
from verbs import invoke, modules_after

from ftkit import lora, memory
from ftkit.cli import sizes


def test_counting_and_predicting_import_no_torch():
    assert "torch" not in modules_after("count", "llama-3.1-8b", "--no-peft")
    assert "torch" not in modules_after("count", "all", "--json")
    assert "torch" not in modules_after("memory", "llama-3.1-8b", "--card", "T4 16", "--json")


def test_the_formula_is_asked_before_anything_is_built(monkeypatch):
    """A mistake is told at once; and the check is peft's unless it is not wanted."""
    for name in ("count", "count_and_check", "count_all"):
        counted = SimpleNamespace(json=lambda name=name: {"by": name})
        monkeypatch.setattr(lora, name, lambda *_, counted=counted: counted)
    by = [
        json.loads(invoke("count", *words, "--json").stdout)["by"]
        for words in (["gpt2"], ["gpt2", "--no-peft"], ["all"])
    ]
    assert by == ["count_and_check", "count", "count_all"]
    monkeypatch.undo()
    done = invoke("count", "gpt3")
    assert (done.exit_code, "building" in done.stderr) == (1, False)


def test_the_options_are_those_of_a_step_with_its_defaults():
    asked = inspect.signature(sizes.memory).parameters
    fields = {field.name: field.default for field in dataclasses.fields(memory.Step)}
    assert asked.keys() - fields.keys() == {"config", "card", "trace", "as_json"}
    for name in asked.keys() & fields.keys():
        assert asked[name].default == fields[name], name


def test_every_option_reaches_the_step(monkeypatch):
    steps = []
    ledger = SimpleNamespace(json=lambda: {"peak": 1})
    for way in ("predict", "trace"):
        monkeypatch.setattr(
            memory, way, lambda config, way=way, **step: steps.append((way, step)) or ledger
        )
    stated = {
        "method": "qlora", "rank": "4", "targets": "mlp", "seq": "64", "batch": "3",
        "dtype": "float16", "autocast": "none", "adapter-dtype": "float32", "attention": "eager",
        "optimizer": "adamw_8bit", "loss": "tiled",
    }  # fmt: skip
    words = [word for name, value in stated.items() for word in (f"--{name}", value)]
    flags = ["--no-checkpointing", "--no-double-quant", "--kbit-prepare"]
    for more in ([], ["--trace"]):
        done = invoke("memory", "pocket", *words, *flags, *more, "--json")
        assert json.loads(done.stdout) == {"peak": 1}
    (formula, step), (traced, same) = steps
    assert (formula, traced, step) == ("predict", "trace", same)
    assert step == {
        "method": "qlora", "rank": 4, "targets": "mlp", "seq": 64, "batch": 3,
        "dtype": "float16", "autocast": None, "adapter_dtype": "float32", "attention": "eager",
        "optimizer": "adamw_8bit", "loss": "tiled", "checkpointing": False, "double_quant": False,
        "kbit_prepare": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("verb", "name"), [("trace", "compare_with_trace"), ("measure", "compare_with_gpu")]
)
def test_the_tables_are_written_by_the_memory_wing(monkeypatch, verb, name):
    monkeypatch.setattr(memory, name, lambda say: say("a row") or "data/x.json")
    done = invoke(verb, "--json")
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"file": "data/x.json"})
    assert done.stderr == "… a row\n"
    assert invoke(verb).stdout == "wrote data/x.json\n"


def test_one_setting_is_measured_here():
    one = {"source": "pocket", "method": "lora", "seq": 16, "device": "cpu", "dtype": "float32"}
    done = invoke("measure", "--one", json.dumps(one))
    assert done.exit_code == 0, done.output
    measured = json.loads(done.stdout)
    assert measured.keys() == {"allocated", "reserved", "phase", "notes"}
    assert measured["allocated"] > 0


@pytest.mark.parametrize(
    ("one", "message"),
    [
        ("{", "which is not JSON"),
        ("[1]", "give an object with a source"),
        ('{"method": "lora"}', "give an object with a source"),
        ('{"source": "pocket", "sqe": 3}', "Did you mean 'seq'"),
    ],
)
def test_a_setting_that_is_none_is_one_sentence(one, message):
    done = invoke("measure", "--one", one)
    assert (done.exit_code, done.stdout) == (1, "")
    assert message in done.stderr
