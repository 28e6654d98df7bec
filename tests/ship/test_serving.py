"""What servers are told: a Modelfile that writes the same chats, scripts that name each adapter."""

import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request

import families
import pytest
from shipping import write_run

from ftkit import UserError, models, ship
from ftkit.ship import serving


@pytest.fixture(autouse=True)
def unproven(monkeypatch):
    """GGUF and merged folders are proven in their own tests: here nobody is asked."""
    monkeypatch.setattr(serving.proof, "greedy_tokens", lambda *_: [[0]])


def test_a_modelfile_names_its_parts_and_asks_greedily(run, tmp_path):
    ship.export(run, "ollama", tmp_path / "merged", prompts=1)
    lines = (tmp_path / "merged" / "Modelfile").read_text().splitlines()
    assert lines[0] == "FROM ./model.gguf" and not any("ADAPTER" in line for line in lines)
    assert "PARAMETER temperature 0" in lines and "PARAMETER repeat_penalty 1" in lines
    assert 'PARAMETER stop "<|end|>"' in lines and "PARAMETER num_ctx 1024" in lines
    done = ship.export(run, "ollama", tmp_path / "apart", part="adapter", prompts=1)
    assert "ADAPTER ./adapter.gguf" in (tmp_path / "apart" / "Modelfile").read_text()
    assert done.files.keys() == {"Modelfile", "adapter.gguf", "model.gguf"}
    template = next(one for one in done.proofs if "Modelfile" in one.what)
    assert template.equal == template.of == 6


def test_the_template_is_a_go_template_of_the_same_marks():
    assert ship.go_template(models.load("pocket")[1]) == (
        '{{ range .Messages }}{{ if eq .Role "system" }}<|system|>{{ .Content }}<|end|>'
        '{{ else if eq .Role "user" }}<|user|>{{ .Content }}<|end|>'
        '{{ else if eq .Role "assistant" }}<|assistant|>{{ .Content }}<|end|>'
        "{{ end }}{{ end }}<|assistant|>"
    )


def test_a_system_message_of_the_templates_own_is_written_where_a_chat_has_none():
    tokenizer = families.make_tokenizer(*families.FAMILIES["qwen"][1:])
    text = ship.go_template(tokenizer)
    assert text.startswith('{{ if ne (index .Messages 0).Role "system" }}<|im_start|>system\nYou')
    assert text.endswith("{{ end }}<|im_start|>assistant\n")


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (families.GEMMA, "the chat template refuses a plain chat"),
        (families.template("{{ m['content'] | upper }}", "A:"), "does more than put marks around"),
        (families.template("{{ '{{' + m['content'] }}", "A:"), "does more than put marks around"),
    ],
)
def test_a_template_that_go_could_not_follow_is_refused(template, said):
    tokenizer = families.make_tokenizer(("<bos>", "<eos>"), template)
    with pytest.raises(UserError, match=f"{said}.*; write a TEMPLATE for it by hand"):
        ship.go_template(tokenizer)


def run_script(folder, program, **env):
    """The words that a script gives to `program`, which is none here."""
    place = folder.parent / "bin"
    place.mkdir(exist_ok=True)
    (place / program).write_text('#!/bin/sh\nfor word in "$@"; do echo "$word"; done\n')
    (place / program).chmod(0o755)
    more = {**os.environ, "PATH": f"{place}:{os.environ['PATH']}", **env}
    done = subprocess.run(
        [str(folder / "serve.sh"), "--more"], env=more, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_vllm_is_told_of_every_adapter_that_lies_there(run, packed, tmp_path):
    ship.export(run, "vllm", tmp_path / "out")
    other = tmp_path / "out" / "adapters" / "other"
    other.mkdir()
    words = run_script(tmp_path / "out", "vllm", BASE="/base")
    place = words.index("--lora-modules")
    named = [re.sub("=.*/", "=", word) for word in words[place + 1 : place + 3]]
    assert words[:2] == ["serve", "/base"] and sorted(named) == ["other=other", "tickets=tickets"]
    assert words[words.index("--max-lora-rank") + 1] == "8" and words[-1] == "--more"
    assert "--quantization" not in words
    ship.export(packed, "vllm", tmp_path / "four")
    assert "bitsandbytes" in run_script(tmp_path / "four", "vllm")


def test_tgi_is_told_the_same_by_docker(run, tmp_path):
    ship.export(run, "tgi", tmp_path / "out")
    words = run_script(tmp_path / "out", "docker", BASE="/base")
    assert "LORA_ADAPTERS=tickets=/adapters/tickets" in words and "/base:/base:ro" in words
    assert words[words.index("--model-id") + 1] == "/base"


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"lora": {"r": 4, "use_dora": True}}, r"holds .*magnitude_vector.*, which vLLM does not"),
        ({"lora": {"r": 4}, "quant": "int8"}, "trained on a base in int8, which vLLM does not"),
        ({"method": "ia3"}, "is a run of .*IA.*, and vLLM takes the A and B"),
    ],
)
def test_what_these_servers_would_not_load_is_refused(stated, said, tmp_path):
    folder = write_run(tmp_path / "run", **stated)
    with pytest.raises(UserError, match=said):
        ship.export(folder, "vllm", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def ask(port, where, **asked):
    """What a server answers to a POST."""
    url = f"http://127.0.0.1:{port}/v1/{where}"
    head = {"content-type": "application/json"}
    request = urllib.request.Request(url, json.dumps(asked).encode(), head)
    with urllib.request.urlopen(request, timeout=120) as answered:
        return json.load(answered)


@pytest.mark.skipif(
    importlib.util.find_spec("fastapi") is None, reason="the extra serve is not installed"
)
def test_transformers_serve_answers_as_the_kit_does(run, tmp_path, monkeypatch):
    """The server itself, on loopback: a chat and a completion."""
    monkeypatch.undo()
    ship.export(run, "transformers", tmp_path / "out", prompts=2)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path / "out"
    env = {**os.environ, "PORT": str(port), "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    env["PATH"] = f"{os.path.dirname(sys.executable)}:{env['PATH']}"
    log = (tmp_path / "log").open("w")
    server = subprocess.Popen([str(folder / "serve.sh")], env=env, stdout=log, stderr=log)
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)
                break
            except OSError:
                assert server.poll() is None, (tmp_path / "log").read_text()
                time.sleep(0.5)
        one = ship.Opened(run)
        for chat in one.prompts(2):
            asked = {"model": str(folder / "model"), "max_tokens": 64, "temperature": 0}
            replied = ask(port, "chat/completions", messages=chat, **asked)
            wanted = models.answer(one.tuned, one.tokenizer, [chat])[0]
            assert replied["choices"][0]["message"]["content"].strip() == wanted
            text = one.tokenizer.apply_chat_template(
                chat, tokenize=False, add_generation_prompt=True
            )
            replied = ask(port, "completions", prompt=text.removeprefix("<|bos|>"), **asked)
            assert replied["choices"][0]["text"].strip() == wanted
    finally:
        server.terminate()
        server.wait(30)
        log.close()
