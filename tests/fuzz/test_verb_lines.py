"""Verbs with wrong options: bad usage is exit code 2, a value that cannot be a sentence."""

import json

import pytest
from fuzzing import misspell, run_cases
from typer.main import get_command

from ftkit import memory
from ftkit.__main__ import app

VALUES = (
    "", " ", "0", "1", "-1", "8", "3.5", "1e3", "nan", "inf", "99999999999999999999", "true",
    "none",
    "pocket", "tickets", "llama", "x", "a/b", "../..", "/", "/dev/null", "~", "é", "\x1b[0m",
    "-", "a" * 300,
    
    
    "--",
    "bfloat16", "lora", "qlora", "sdpa", "T4", "q,v", ",", "*", "(", "{}", "[1]", '{"source": 1}',
    "\n",
)  # fmt: skip
# The verbs that are quick where all is right; of the others only what is refused at once is tried.
QUICK = ("count", "memory", "cost", "check", "audit")
GIVEN = {
    "count": ["llama-3.2-1b", "--no-peft"], "memory": ["llama-3.2-1b"],
    "cost": ["llama-3.2-1b"], "check": ["{rows}"],
    "audit": ["{rows}"], "decide": ["--rows", "300"], "claims": ["L1"],
    "train": ["{rows}"],
    "runs": ["{folder}"], "evaluate": ["{folder}", "--data", "{rows}"], "merge": ["{folder}"],
    "doctor": ["{folder}"], "measure": ["--one", "x"], "grid": ["x"], "fetch": ["x"],
    "notebooks": ["x", "--check"], "registry": ["list", "{folder}"], "verify": ["{folder}"],
    "report": ["{folder}"],
    "export": ["{folder}", "--to", "gguf"], "serve": ["{folder}"],
}  # fmt: skip
NOT_TRIED = (
    "--trace",
    "--peft",
    "--stamp",
    "--html",
    "--model",
    "--from",
    "--parts",
    "--help",
    "--check",
    "--write",
    "--again",
)


def options_of(verb):
    """The options of a verb that take a value, and those that do not."""
    found = {True: [], False: []}
    for param in get_command(app).commands[verb].params:
        if param.param_type_name == "option" and not set(param.opts) & set(NOT_TRIED):
            found[not param.is_flag] += [name for name in param.opts + param.secondary_opts]
    return found[True], [name for name in found[False] if name not in NOT_TRIED]


def draw_words(case, verb):
    """The words of a verb, one or more of them wrong."""
    rng = case.rng
    rows = case.write("rows.jsonl", json.dumps({"prompt": "Q", "completion": "A"}))
    places = {"rows": str(rows), "folder": str(case.folder)}
    words = [word.format(**places) if word[0] == "{" else word for word in GIVEN[verb]]
    valued, flags = options_of(verb)
    for _ in range(rng.choice([1, 1, 2, 3])):
        way = rng.randrange(8)
        if way < 4 and valued:
            words += [rng.choice(valued), rng.choice(VALUES)]
        elif way == 4 and flags:
            words.append(rng.choice(flags))
        elif way == 5:
            words.append(misspell(rng.choice([*valued, *flags, "--json"]), rng))
        elif way == 6:
            words.append(rng.choice(VALUES))
        elif verb in QUICK:
            words[0] = rng.choice([*VALUES, misspell(words[0], rng)])
    return words


def say_line(case, verbs):
    """A line of words: numbers, a sentence or bad usage."""
    verb = case.rng.choice(verbs)
    words = draw_words(case, verb)
    out = case.folder / "out"
    if "--out" not in words and verb in ("train", "merge", "export"):
        words += ["--out", str(out)]
    if verb in QUICK and case.rng.random() < 0.5:
        words.append("--json")
    case.verb(verb, *words, told=verb in ("check", "doctor"))


def test_a_line_of_words_is_numbers_a_sentence_or_bad_usage(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    verbs = [*QUICK, *QUICK, *GIVEN]
    run_cases("lines", 250, lambda case: say_line(case, verbs), tmp_path)


def test_every_verb_is_tried_or_takes_too_long():
    long = {"tour", "trace", "bench", "pretrain", "tasks", "explorers", "site"}
    assert {*GIVEN} | long == set(get_command(app).commands)


def test_the_fuzz_finds_a_verb_that_takes_any_card(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(memory, "usable_bytes", lambda card: {}[card])
    with pytest.raises(AssertionError, match="KeyError"):
        run_cases("lines", 200, lambda case: say_line(case, ["memory"]), tmp_path)
