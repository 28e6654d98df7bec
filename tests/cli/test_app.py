"""What every verb shares: help, exit codes, one sentence and no traceback."""

import typer
from verbs import invoke, modules_after, run_verb

from ftkit import UserError
from ftkit.cli import app as shared

VERBS = [
    *("tour", "train", "runs", "evaluate", "merge", "report"),
    *("check", "audit", "decide", "claims", "fetch"),
    *("count", "memory", "cost"),
    *("verify", "doctor", "notebooks", "explorers", "registry"),
    *("trace", "measure", "site", "bench", "grid", "pretrain", "tasks"),  # a panel of their own
]
HEAVY = {"torch", "transformers", "peft", "trl", "datasets", "bitsandbytes", "matplotlib"}


def test_help_lists_every_verb_in_order_and_imports_nothing_heavy():
    done = run_verb("--help")
    assert done.returncode == 0
    listed = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("│ ")]
    assert [word for word in listed if word in VERBS] == VERBS
    assert not modules_after("--help") & HEAVY


def test_every_verb_has_a_sentence_and_help():
    for verb in VERBS:
        done = invoke(verb, "--help")
        assert done.exit_code == 0, done.output
        assert f"Usage: root {verb}" in done.output or f" {verb} " in done.output
    for command in shared.app.registered_commands:
        first = command.callback.__doc__.splitlines()[0]
        assert first.endswith("."), first


def test_bad_usage_is_exit_2():
    assert run_verb("tour", "--colour").returncode == 2
    for words in (["train"], ["grid"], ["memory"], ["evaluate", "pocket"], ["memroy"]):
        assert invoke(*words).exit_code == 2, words


def test_a_mistake_of_the_user_is_its_sentence_and_any_other_error_is_not_hidden():
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def fail(kind: str) -> None:
        with shared.one_sentence():
            raise {"user": UserError("r is 0."), "own": KeyError("r")}[kind]

    runner = typer.testing.CliRunner()
    done = runner.invoke(app, ["user"])
    assert (done.exit_code, done.stderr, done.stdout) == (1, "ftkit: r is 0.\n", "")
    assert isinstance(runner.invoke(app, ["own"]).exception, KeyError)


def test_progress_goes_to_standard_error(capsys):
    shared.say("training")
    shared.show("a table", False, {"a": 1})
    shared.show("a table", True, {"a": 1})
    out, err = capsys.readouterr()
    assert (out, err) == ('a table\n{"a": 1}\n', "… training\n")
