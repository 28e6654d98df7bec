"""What other programs pack: each where it is installed, its recipe where it is not."""

import importlib.util
import json

import pytest
import yaml

from ftkit import UserError, ship
from ftkit.ship import packing

HERE = importlib.util.find_spec


def test_a_recipe_of_llm_compressor_holds_rows_as_the_model_reads_them(run, tmp_path):
    ship.export(run, "gptq", tmp_path / "out", prompts=1)
    stated = yaml.safe_load((tmp_path / "out" / "recipe.yaml").read_text())
    modifier = stated["quant_stage"]["quant_modifiers"]["GPTQModifier"]
    assert modifier == {"targets": ["Linear"], "ignore": ["lm_head"], "scheme": "W4A16"}
    lines = (tmp_path / "out" / "calibration.jsonl").read_text().splitlines()
    assert len(lines) == 40 and json.loads(lines[0])["text"].startswith("<|bos|><|user|>Ticket")
    text = (tmp_path / "out" / "compress.py").read_text()
    compile(text, "compress.py", "exec")
    assert "num_calibration_samples=40" in text and "add_special_tokens=False" in text


def test_widths_that_four_bits_do_not_allow_are_refused(run, tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "GROUP", 96)
    with pytest.raises(UserError, match=r"rows of 256 numbers, and four bits are packed 96 .*GGUF"):
        ship.export(run, "awq", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(HERE("torchao") is None, reason="torchao is not installed")
def test_int8_weights_are_read_back_as_they_were_packed(run, tmp_path):
    done = ship.export(run, "torchao", tmp_path / "out", prompts=8)
    assert done.proofs[0].equal == done.proofs[0].of
    assert done.files["model/model.safetensors"] < 5_000_000
    assert not (tmp_path / "out" / "plain").exists()


@pytest.mark.skipif(HERE("torchao") is not None, reason="torchao is installed")
def test_torchao_that_is_not_here_is_said(run, tmp_path):
    with pytest.raises(UserError, match="made by torchao, which is not here; pip install torchao"):
        ship.export(run, "torchao", tmp_path / "out", prompts=1)


@pytest.mark.skipif(HERE("llama_cpp") is not None, reason="llama-cpp-python is installed")
def test_k_kinds_without_llama_cpp_are_said(run, tmp_path):
    with pytest.raises(UserError, match=r"K-kinds are packed by llama.cpp itself; pip install lla"):
        ship.export(run, "gguf", tmp_path / "out", kind="Q4_K_M", prompts=1)
    with pytest.raises(UserError, match=r"llama.cpp has no kind 'q4_k_x'; .* mean 'q4_k_\w'"):
        ship.export(run, "gguf", tmp_path / "out", kind="q4_k_x", prompts=1)
    assert not (tmp_path / "out").exists()


@pytest.mark.llama
@pytest.mark.skipif(HERE("llama_cpp") is None, reason="llama-cpp-python is not installed")
@pytest.mark.parametrize("kind", ["f32", "q8_0", "q4_k_m"])
def test_llama_cpp_itself_writes_the_same(run, kind, tmp_path):
    """Its own reader, tokenizer and arithmetic on the file, and the LoRA alone on the base's."""
    one = ship.Opened(run)
    prompts = one.prompts(40)
    ship.export(run, "gguf", tmp_path / "out", kind=kind, prompts=8)
    asked = ship.greedy_tokens(one.merged, one.tokenizer, prompts)
    file = tmp_path / "out" / "model.gguf"
    written = ship.ask_llama(file, one.tokenizer, one.merged, prompts)
    same = sum(ours == theirs for ours, theirs in zip(asked, written, strict=True))
    assert same >= {"f32": 40, "q8_0": 36, "q4_k_m": 30}[kind]
    if kind == "f32":
        for part in ("base", "adapter"):
            ship.export(run, "gguf", tmp_path / part, part=part, prompts=8)
        files = tmp_path / "base" / "model.gguf", tmp_path / "adapter" / "adapter.gguf"
        both = ship.ask_llama(files[0], one.tokenizer, one.merged, prompts, files[1])
        assert both == asked
