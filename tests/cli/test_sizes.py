"""The verbs that count: light where they need no torch, and what they hand to the memory wing."""

import dataclasses
import inspect
import json
import re
from types import SimpleNamespace

import pytest
from verbs import invoke, modules_after

from ftkit import lora, memory, methods
from ftkit.cli import sizes


def test_counting_and_predicting_import_no_torch():
    assert "torch" not in modules_after("count", "llama-3.1-8b", "--no-peft")
    assert "torch" not in modules_after("count", "all", "--json")
    assert "torch" not in modules_after("memory", "llama-3.1-8b", "--card", "T4 16", "--json")


def test_the_formula_is_asked_before_anything_is_built(monkeypatch):
    """A mistake is told at once; and the check is peft's unless it is not wanted."""
    for name in ("count", "count_and_check", "count_all"):
        counted = SimpleNamespace(json=lambda name=name: {"by": name}, peft=None)
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
    # of a rank and targets it is known whether they were given, since some methods have none
    for name in asked.keys() & fields.keys() - {"rank", "targets"}:
        assert asked[name].default == fields[name], name
    assert asked["rank"].default is asked["targets"].default is None


def test_every_option_reaches_the_step(monkeypatch):
    steps = []
    ledger = SimpleNamespace(json=lambda: {"peak": 1}, view="")
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
        assert json.loads(done.stdout) == {"peak": 1, "predicted_by": "", "reason": ""}
    (formula, step), (traced, same) = steps
    assert (formula, traced, step) == ("predict", "trace", same)
    assert step == {
        "method": "qlora", "rank": 4, "targets": "mlp", "seq": 64, "batch": 3,
        "dtype": "float16", "autocast": None, "adapter_dtype": "float32", "attention": "eager",
        "optimizer": "adamw_8bit", "loss": "tiled", "checkpointing": False, "double_quant": False,
        "kbit_prepare": True,
    }  # fmt: skip


def test_a_count_has_the_rank_and_the_targets_that_it_is_given():
    def trained(*words):
        return json.loads(invoke("count", "pocket", *words, "--json").stdout)["trainable"]

    assert trained("--method", "dora") == 139_264
    assert trained("--method", "dora", "--rank", "4") == 73_728
    assert trained("--method", "dora", "--rank", "16") == 270_336
    narrow = methods.count("pocket", "dora", r=4, targets="q,v").trainable
    assert trained("--method", "dora", "--rank", "4", "--targets", "q,v") == narrow < 73_728
    assert trained("--method", "vera", "--targets", "q,v") < trained("--method", "vera")
    assert trained("--rank", "4", "--no-peft") == 65_536
    assert trained("--no-peft") == trained("--rank", "16", "--no-peft")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("count pocket --method ia3 --rank 3", "rank is 3, and the method is IA³"),
        ("count pocket --method oft --rank 16", "rank is 16, and the method is OFT"),
        ("count pocket --method adalora --rank 4", "begins with first_r, usually 12"),
        ("count pocket --method vera --targets nope", "no linear layer 'nope'"),
        ("count pocket --method dora --rank 1000", "r is 1000;"),
        ("count all --method dora", "'all' counts LoRA .* method is 'dora'; give one architecture"),
        ("memory pocket --seq 64 --method full --rank 4", "rank is 4, and the method is full"),
        ("memory pocket --seq 64 --method ia3 --targets q", "targets is 'q', and the method is IA"),
        ("cost pocket --method full --rank 999", "rank is 999, and the method is full"),
        ("cost pocket --method full --targets nope", "targets is 'nope', and the method is full"),
    ],
)
def test_a_dial_that_a_method_has_not_is_refused(words, said):
    done = invoke(*words.split())
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.output
    assert re.search(said, done.stderr), done.stderr


def write_opt(folder):
    """The config of a small model of a family that no formula here knows."""
    keys = {"hidden_size": 64, "num_attention_heads": 4, "ffn_dim": 128, "vocab_size": 512}
    keys["max_position_embeddings"] = 2048
    config = {"model_type": "opt", "num_hidden_layers": 5, "word_embed_proj_dim": 64, **keys}
    (folder / "opt.json").write_text(json.dumps(config))
    return folder / "opt.json"


def test_a_cost_is_ranges_and_says_what_was_assumed(tmp_path):
    done = invoke("cost", "llama-3.1-8b", "--utilisation", "0.2,0.4", "--price-per-hour", "2")
    assert done.exit_code == 0 and "20.0 to 40.0 % of A100 80's peak" in done.stdout
    values = json.loads(invoke("cost", "llama-3.1-8b", "--seq", "256", "--json").stdout)
    assert values["hours"][0] < values["hours"][1] and values["tokens"] == 256 * 3000
    prices = tmp_path / "mine.yaml"
    row = "{kind: card hour, name: T4 16, low: 0.2, high: 0.5, source: my invoice}"
    prices.write_text(f"date: 2026-10\nprices: [{row}]\n", encoding="utf-8")
    words = ("cost", "qwen2.5-0.5b", "--card", "T4 16")
    assert "no price known" in invoke(*words).stdout
    assert "my invoice" in invoke(*words, "--prices", prices).stdout
    done = invoke(*words, "--prices", prices, "--price-per-hour", "2")
    assert done.exit_code == 1 and "--prices and --price-per-hour both price a card" in done.stderr
    prices.write_text(f"prices: [{row}]\n", encoding="utf-8")
    done = invoke(*words, "--prices", prices)
    assert done.exit_code == 1 and done.stderr.count("\n") == 1
    assert "has no date, and a price is only true of a day" in done.stderr
    assert "torch" not in modules_after("cost", "llama-3.1-8b", "--json")


def test_a_family_that_no_formula_knows_is_counted_on_the_meta_device(tmp_path):
    done = invoke("count", write_opt(tmp_path), "--rank", 8, "--json")
    assert done.exit_code == 0, done.output
    assert "no formula here knows this family: building" in done.stderr
    counted = json.loads(done.stdout)
    assert counted["counted_by"] == "meta device"
    assert counted["trainable"] == counted["peft"] == 5 * 8 * (4 * 128 + 2 * 192)
    without = json.loads(invoke("count", tmp_path / "opt.json", "--no-peft", "--json").stdout)
    assert without["base"] == counted["base"]
    assert (
        json.loads(invoke("count", "gpt2", "--no-peft", "--json").stdout)["counted_by"] == "formula"
    )


def test_a_family_that_the_formula_does_not_know_is_traced(tmp_path):
    step = ("--method", "lora", "--seq", 16, "--batch", 2)
    done = invoke("memory", write_opt(tmp_path), *step, "--card", "T4 16", "--json")
    assert done.exit_code == 0, done.output
    assert "tracing the step" in done.stderr
    values = json.loads(done.stdout)
    assert values["predicted_by"] == values["view"] == "trace"
    assert (
        values["reason"] == "Traced: the formula knows the Llama family, and model_type is 'opt'."
    )
    assert values["fits"]["this_step"] is True
    traced = memory.trace(str(tmp_path / "opt.json"), method="lora", seq=16, batch=2)
    assert values["peak"] == traced.peak
    text = invoke("memory", tmp_path / "opt.json", *step, "--card", "T4 16").stdout
    assert text.startswith("Traced: the formula knows")
    assert "This step fits on T4 16" in text
    assert (
        json.loads(invoke("memory", "pocket", "--seq", 64, "--json").stdout)["predicted_by"]
        == "formula"
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("memory", "opt.json", "--card", "T3"), "there is no card 'T3'"),
        (("memory", "opt.json", "--method", "lora", "--targets", "q"), "no linear layer 'q'"),
        (
            ("memory", "opt.json", "--seq", "5000"),
            "seq is 5000; give a whole number from 1 to 2,048",
        ),
        (("memory", "t5.json"), "no causal language model of the family 't5'"),
        (("memory", "ctrl.json"), "does not support activation checkpointing"),
        (("count", "t5.json"), "no causal language model of the family 't5'"),
        (("count", "opt.json", "--rank", "65"), "r is 65; .* from 1 to 64"),
    ],
)
def test_what_can_not_be_counted_or_traced_is_one_sentence(tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    write_opt(tmp_path)
    (tmp_path / "t5.json").write_text('{"model_type": "t5"}')
    (tmp_path / "ctrl.json").write_text('{"model_type": "ctrl", "n_layer": 2}')
    done = invoke(*words, "--json")
    assert (done.exit_code, done.stdout) == (1, ""), done.output
    assert re.search(sentence, done.stderr), done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("ftkit: ")]) == 1


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
