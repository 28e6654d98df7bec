"""The registry: what was published is what is opened, to the bit, whatever happens in between."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import peft
import pytest
import torch
from registry_kills import in_a_child
from version_folders import write_adapter

from ftkit import UserError, data, merge, models, operate, train
from ftkit.core import files
from ftkit.operate import bases, shelf


@pytest.fixture
def kept(tmp_path):
    """A registry with two versions, of which the first and then the second was live."""
    registry = operate.Registry(tmp_path / "registry")
    for value in (1.0, 2.0):
        source = write_adapter(tmp_path / f"adapter{value:g}", value)
        version = registry.publish(source, "tickets", f"value {value:g}", who="ada")
        registry.promote("tickets", version.label, "it is better", who="ada")
    return registry


def test_versions_are_numbered_signed_and_listed(kept):
    first, second = kept.versions("tickets")
    assert (first.label, second.label, kept.live_label("tickets")) == ("v1", "v2", "v2")
    assert (first.who, first.why, first.base) == ("ada", "value 1", "pocket")
    assert first.base_hash == models.hash_weights(files.data_path("pocket"))
    assert set(first.files) == {"adapter/adapter_config.json", "adapter/adapter_model.safetensors"}
    assert first.content != second.content
    assert [row[1:3] for row in kept.listing().rows] == [("v1", ""), ("v2", "live")]
    assert [row[1:3] for row in kept.history("tickets").rows] == [
        ("publish", "v1"), ("promote", "v1"), ("publish", "v2"), ("promote", "v2"),
    ]  # fmt: skip
    assert "published" in repr(first)


def test_the_same_content_again_is_the_same_version(kept, tmp_path):
    again = kept.publish(tmp_path / "adapter1", "tickets", "once more")
    assert (again.label, again.why) == ("v1", "value 1")
    assert len(kept.versions("tickets")) == 2


def test_a_roll_back_brings_back_every_byte_and_may_be_said_twice(kept, tmp_path):
    back = kept.roll_back("tickets", "wrong on Mondays", who="bob")
    assert back.label == kept.live_label("tickets") == "v1"
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        was = (tmp_path / "adapter1" / name).read_bytes()
        assert (kept.version("tickets").folder / "adapter" / name).read_bytes() == was
    with pytest.raises(UserError, match=r"no version to go back to: v1 is the first one"):
        kept.roll_back("tickets", "again")
    kept.promote("tickets", "v2", "mended")
    assert kept.roll_back("tickets", "no", to="v1").label == "v1"
    with pytest.raises(UserError, match="no version to go back to"):
        kept.roll_back("tickets", "again", to="v2")


def test_the_one_before_is_the_one_that_was_live_before(kept, tmp_path):
    kept.publish(write_adapter(tmp_path / "adapter3", 3.0), "tickets")
    kept.promote("tickets", "v3", "new")
    with pytest.raises(UserError, match=r"cannot go back to 'v4'.*before it were v1, v2"):
        kept.roll_back("tickets", "x", to="v4")
    assert kept.roll_back("tickets", "x").label == "v2"
    assert kept.roll_back("tickets", "x").label == "v1"


def test_outputs_are_restored_to_the_bit(runs, tmp_path):
    registry = operate.Registry(tmp_path / "registry")
    logits = []
    for run in runs:
        version = registry.publish(run, "tickets")
        registry.promote("tickets", version.label, "new")
        tuned, _ = registry.open("tickets")
        logits.append(merge.logits(tuned, merge.probe_tokens(tuned)))
    registry.roll_back("tickets", "back")
    tuned, tokenizer = registry.open("tickets")
    again = merge.logits(tuned, merge.probe_tokens(tuned))
    assert torch.equal(again, logits[0]) and not torch.equal(again, logits[1])
    # and it is the run that was published
    theirs, _, _ = train.reopen(runs[0])
    assert torch.equal(again, merge.logits(theirs, merge.probe_tokens(theirs)))
    assert tokenizer.chat_template


def test_an_adapter_alone_is_opened_on_the_base_that_it_names(runs, tmp_path):
    registry = operate.Registry(tmp_path / "registry")
    registry.publish(runs[0] / "adapter", "tickets", base="pocket")
    tuned, _ = registry.open("tickets", "v1")
    theirs, _, _ = train.reopen(runs[0])
    tokens = merge.probe_tokens(tuned)
    assert torch.equal(merge.logits(tuned, tokens), merge.logits(theirs, tokens))


def test_two_versions_are_compared_in_pairs_on_rows_that_neither_saw(runs, tmp_path):
    registry = operate.Registry(tmp_path / "registry")
    for run in runs:
        registry.publish(run, "tickets")
    seen = data.first(data.load("tickets")["train"], 2).to_list()
    rows = data.to_dataset(
        [{"messages": row["messages"]} for row in [*seen, *data.test_rows("tickets").to_list()[:3]]]
    )
    compared = registry.compare("tickets", "v1", "v2", rows)
    assert compared.difference.n == 3 and "2 of 5 rows were trained on" in compared.notes[0]
    assert [score.name for score in compared.scores] == ["v1", "v2"]
    assert compared.difference.interval == tuple(compared.json()["interval"])
    assert "on 3 rows" in repr(compared)


# what is torn, changed or not there


def torn(kept):
    file = kept.folder / "tickets" / "v1" / "adapter" / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-3])


def bit_flipped(kept):
    file = kept.folder / "tickets" / "v1" / "adapter" / "adapter_model.safetensors"
    held = bytearray(file.read_bytes())
    held[-1] ^= 1
    file.write_bytes(held)


def gone(kept):
    (kept.folder / "tickets" / "v1" / "adapter" / "adapter_config.json").unlink()


def added(kept):
    (kept.folder / "tickets" / "v1" / "adapter" / "pytorch_model.bin").write_bytes(b"")


def resealed(kept):
    file = kept.folder / "tickets" / "v1" / "version.json"
    file.write_text(file.read_text().replace("value 1", "value 9"))


def half(kept):
    file = kept.folder / "tickets" / "v1" / "version.json"
    file.write_text(file.read_text()[:40])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (torn, r"adapter_model.safetensors is not what was published, so v1 is incompl.*\(v2\)"),
        (bit_flipped, r"adapter_model.safetensors is not what was published"),
        (gone, r"adapter_config.json is gone, so v1"),
        (added, r"pytorch_model.bin was not published"),
        (resealed, r"version.json is not what the registry wrote"),
        (half, r"version.json is not JSON.*it is torn; put back a copy"),
    ],
)
def test_what_was_torn_or_changed_is_named_on_every_read(kept, damage, said):
    damage(kept)
    for read in (
        lambda: kept.version("tickets", "v1"),
        lambda: kept.open("tickets", "v1"),
        lambda: kept.promote("tickets", "v1", "why"),
        lambda: kept.roll_back("tickets", "why"),
    ):
        with pytest.raises(UserError, match=said):
            read()
    # the live one is as it was
    assert shelf.read_sealed(kept.folder / "tickets" / "live.json")["log"][-1]["to"] == "v2"


@pytest.mark.parametrize(
    "damage", [lambda text: text[:30], lambda text: text.replace("ada", "eve")]
)
def test_a_log_that_was_torn_or_changed_is_refused_and_the_one_before_is_there(kept, damage):
    live = kept.folder / "tickets" / "live.json"
    live.write_text(damage(live.read_text()))
    with pytest.raises(UserError, match=r"live\.json.*put back the one before it, live\.before"):
        kept.live_label("tickets")
    (live.with_name("live.before.json")).replace(live)
    assert kept.live_label("tickets") == "v1"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (lambda r: r.version("tickets", "v3"), "no version 'v3'; there are v1, v2"),
        (lambda r: r.promote("tickets", "", "why"), "no version ''; there are v1, v2"),
        (lambda r: r.roll_back("tickets", "why", to=""), "cannot go back to '', which was not"),
        (lambda r: r.roll_back("tickets", "why", to="v2"), "cannot go back to 'v2', which is live"),
        (lambda r: r.publish(r.folder, "v2"), "'v2', as versions are called; give what it is"),
        (
            lambda r: r.version("tikets"),
            "has no 'tikets'; there are tickets. Did you mean 'tickets'",
        ),
        (lambda r: r.promote("tickets", "v2", " "), "why is empty"),
        (lambda r: r.promote("tickets", "v2", "a\nb"), r"why is 'a\\nb'; give one line of text"),
        (lambda r: r.roll_back("tickets", "a\u2028b"), "give one line of text"),
        (lambda r: r.roll_back("tickets", "why", who="a\tb"), "who is .* give one line of text"),
        (lambda r: r.publish("nowhere", "tickets"), "there is no folder 'nowhere'"),
        (
            lambda r: r.publish(r.folder, "tickets"),
            "holds neither run.json nor adapter_config.json",
        ),
        (lambda r: operate.Registry(r.folder / "none").listing(), "there is no registry"),
        (lambda r: operate.Registry(r.folder / "none").versions("a"), "nothing was published yet"),
        (lambda r: operate.Registry(__file__), "is a file; give a folder"),
    ],
)
def test_a_mistake_is_one_sentence_with_its_cure(kept, asked, said):
    with pytest.raises(UserError, match=said):
        asked(kept)


@pytest.mark.parametrize("name", ["", "../up", "Tickets", "a/b", ".hidden", "a" * 65, None])
def test_a_name_is_one_that_a_folder_may_have_everywhere(kept, tmp_path, name):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=r"name is .*give up to 64 small letters"):
        kept.publish(tmp_path / "adapter1", name)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_reason_of_two_lines_is_refused_and_an_old_one_breaks_no_table(kept, tmp_path):
    source = write_adapter(tmp_path / "third", 3.0)
    with pytest.raises(UserError, match=r"why is 'a\\nb'; give one line of text"):
        kept.publish(source, "tickets", "a\nb")
    assert [version.label for version in kept.versions("tickets")] == ["v1", "v2"]
    assert kept.publish(source, "tickets", "plus fort\xa0: 2\u202f%").label == "v3"
    file = kept.folder / "tickets" / "v3" / shelf.VERSION
    shelf.write_sealed(file, {**shelf.read_sealed(file), "why": "one\ntwo"})
    for table in (kept.listing(), kept.history("tickets"), kept.read("tickets", "v3")):
        assert "one two" in str(table)


def spoil_weights(folder):
    file = folder / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-3])


def add_pickle(folder):
    (folder / "training_args.bin").write_bytes(b"")


def add_link(folder):
    (folder / "more.json").symlink_to(folder / "adapter_config.json")


def lose_weights(folder):
    (folder / "adapter_model.safetensors").unlink()


def state(**stated):
    def spoil(folder):
        file = folder / "adapter_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | stated))

    return spoil


def train_on_another(folder):
    record = json.dumps({"hashes": {"base": "0" * 64}})
    (folder.parent / "run.json").write_text(record)


def add_tokens(folder):
    tokenizer = models.load_tokenizer("pocket")
    tokenizer.add_tokens(["<new>"])
    tokenizer.save_pretrained(folder)


def break_template(folder):
    tokenizer = models.load_tokenizer("pocket")
    tokenizer.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text("{% if %}")


def name_no_base(folder):
    (folder / "adapter_config.json").write_text("{}")


def name_a_lost_base(folder):
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "/gone/base"}')


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (spoil_weights, "not a whole safetensors file"),
        (add_pickle, "training_args.bin is a pickle"),
        (add_link, "more.json is a link"),
        (lose_weights, "no \\*.safetensors file"),
        (name_no_base, "does not name its base; give base"),
        (name_a_lost_base, "/gone/base"),
        (state(rank_pattern={"q_prj": 2}), r"'q_prj' in its rank_pattern.*Did you mean 'q_proj'"),
        (state(target_modules=["k_proj"]), r"k_proj\.lora_A\.weight for one is missing"),
        (state(modules_to_save=["score"]), "'score' in its modules_to_save"),
        (state(revision="v1.1"), r"states revision 'v1.1' of its base.*download that revision"),
        (train_on_another, "was trained on another 'pocket'"),
        (add_tokens, r"1,281 tokens and pocket 1,280 embeddings"),
        (break_template, "is no Jinja"),
    ],
)
def test_what_should_not_be_published_is_refused_and_nothing_is_written(tmp_path, spoil, said):
    source = write_adapter(tmp_path / "adapter")
    spoil(source)
    registry = operate.Registry(tmp_path / "registry")
    with pytest.raises(UserError, match=said):
        registry.publish(source, "tickets")
    assert not registry.folder.exists()


def test_a_run_that_broke_off_and_one_of_another_base_are_not_published(runs, tmp_path):
    registry = operate.Registry(tmp_path / "registry")
    run = tmp_path / "run"
    shutil.copytree(runs[0], run)
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, "stopped": "the loss is NaN."}))
    with pytest.raises(UserError, match="broke off: the loss is NaN; train it again"):
        registry.publish(run, "tickets")
    record["hashes"]["base"] = "0" * 64
    (run / "run.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"was trained on another 'pocket'.*its own base"):
        registry.publish(run, "tickets")
    assert not registry.folder.exists()


def test_a_base_that_is_another_or_gone_is_refused_before_it_is_live(kept, monkeypatch):
    monkeypatch.setattr(bases, "hash_of_base", lambda name: "f" * 64)
    for ask in (lambda: kept.open("tickets"), lambda: kept.roll_back("tickets", "why")):
        with pytest.raises(UserError, match=r"made for another 'pocket'.*put its base back"):
            ask()
    assert kept.live_label("tickets") == "v2"


def test_a_base_that_is_gone_is_named(tmp_path):
    base = tmp_path / "base"
    shutil.copytree(files.data_path("pocket"), base)
    source = write_adapter(tmp_path / "adapter", base=str(base))
    registry = operate.Registry(tmp_path / "registry")
    registry.publish(source, "tickets")
    shutil.rmtree(base)
    for ask in (
        lambda: registry.promote("tickets", "v1", "why"),
        lambda: registry.open("tickets", "v1"),
    ):
        with pytest.raises(UserError, match=re.escape(str(base))):
            ask()
    assert registry.log("tickets") == []


def test_what_the_adapter_says_of_ranks_modules_and_template_is_opened(tmp_path):
    base, tokenizer = models.load("pocket")
    config = peft.LoraConfig(
        r=2,
        target_modules=["q_proj", "up_proj"],
        rank_pattern={"up_proj": 3},
        alpha_pattern={"up_proj": 9},
        modules_to_save=["norm"],
        task_type="CAUSAL_LM",
    )
    tuned = peft.get_peft_model(base, config).eval()
    torch.manual_seed(0)
    for name, numbers in tuned.named_parameters():
        if "lora_B" in name or "modules_to_save" in name:
            torch.nn.init.normal_(numbers, std=0.05)
    tuned.save_pretrained(tmp_path / "adapter")
    tokenizer.chat_template = "{{ bos_token }}" + tokenizer.chat_template
    tokenizer.save_pretrained(tmp_path / "adapter")

    registry = operate.Registry(tmp_path / "registry")
    registry.publish(tmp_path / "adapter", "tickets")
    opened, theirs = registry.open("tickets", "v1")
    tokens = merge.probe_tokens(tuned)
    assert torch.equal(merge.logits(opened, tokens), merge.logits(tuned, tokens))
    chat = [{"role": "user", "content": "hello"}]
    asked = theirs.apply_chat_template(chat, tokenize=False)
    assert asked == tokenizer.apply_chat_template(chat, tokenize=False)
    assert asked != models.load_tokenizer("pocket").apply_chat_template(chat, tokenize=False)


def test_a_base_is_given_where_its_place_is_gone_and_not_against_what_is_known(runs, tmp_path):
    registry = operate.Registry(tmp_path / "registry")
    moved = write_adapter(tmp_path / "moved", base="/gone/base", revision="v1.1")
    assert registry.publish(moved, "moved", base="pocket").base == "pocket"
    with pytest.raises(UserError, match=r"base is 'smollm2', and the record of .* says 'pocket'"):
        registry.publish(runs[0], "tickets", base="smollm2")
    # the same adapter for another copy of its base is another version
    copy = shutil.copytree(files.data_path("pocket"), tmp_path / "copy")
    assert registry.publish(moved, "moved", base=str(copy)).label == "v2"
    assert registry.publish(moved, "moved", base="pocket").label == "v1"
    assert registry.names() == ["moved"]


def test_a_hub_base_that_moved_on_is_refused_when_it_is_loaded(tmp_path, monkeypatch):
    registry = operate.Registry(tmp_path / "registry")
    monkeypatch.setattr(bases.models, "fingerprint_of", lambda where: "hub commit aaa")
    registry.publish(write_adapter(tmp_path / "adapter", base="owner/name"), "tickets")
    # gone from the cache, and downloaded anew
    monkeypatch.setattr(bases.models, "fingerprint_of", lambda where: None)
    monkeypatch.setattr(bases.models, "load", lambda name: (None, None))
    monkeypatch.setattr(bases.models, "fingerprint", lambda model: "hub commit bbb")
    with pytest.raises(UserError, match="made for another 'owner/name'"):
        registry.open("tickets", "v1")


def test_a_file_that_is_gone_is_listed_and_publishing_again_names_what_is_torn(kept, tmp_path):
    gone(kept)
    sizes = [row[4] for row in kept.listing().rows]
    assert sizes[0] == "a file is gone" and sizes[1].endswith("kB")
    with pytest.raises(UserError, match=r"adapter_config.json is gone.*from a copy"):
        kept.publish(tmp_path / "adapter1", "tickets")


def test_an_adapter_without_a_record_may_have_seen_the_rows_and_it_is_said(kept, monkeypatch):
    score = SimpleNamespace(exact=[True, False])
    monkeypatch.setattr(operate.Registry, "open", lambda *_: (None, None))
    monkeypatch.setattr("ftkit.evaluate.score", lambda *_: score)
    notes = kept.compare("tickets", "v1", "v2", operate.draw_tickets(2)).notes
    assert notes == [f"v{n} has no record, so it may have seen these rows" for n in (1, 2)]


# killed in the middle, and two at once


def test_of_two_who_go_back_at_once_the_second_is_told(kept, tmp_path, monkeypatch):
    kept.publish(write_adapter(tmp_path / "adapter3", 3.0), "tickets")
    kept.promote("tickets", "v3", "new")
    hold = shelf.hold

    def wait_for_ada(place):
        monkeypatch.setattr(shelf, "hold", hold)
        kept.roll_back("tickets", "all wrong", who="ada")
        return hold(place)

    monkeypatch.setattr(shelf, "hold", wait_for_ada)
    with pytest.raises(UserError, match=r"while this waited: roll back to v2 by ada \(all wrong\)"):
        kept.roll_back("tickets", "all wrong", who="bob")
    assert kept.live_label("tickets") == "v2"
    # and said again, knowing it, he goes back further
    assert kept.roll_back("tickets", "v2 as well", who="bob").label == "v1"


def test_what_was_held_against_another_version_than_the_live_one_is_not_promoted(kept, tmp_path):
    kept.publish(write_adapter(tmp_path / "adapter3", 3.0), "tickets")
    with pytest.raises(UserError, match="v3 was held against v1, and live is v2 by now"):
        kept.promote("tickets", "v3", "better", against="v1")
    assert kept.live_label("tickets") == "v2"
    assert kept.promote("tickets", "v3", "better", against="v2").label == "v3"


def test_a_kill_at_any_line_loses_nothing(tmp_path):
    """Every eleventh line; `python tests/registry_kills.py FOLDER 1` takes each of them."""
    script = Path(__file__).parents[1] / "registry_kills.py"
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path), "11"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    killed = json.loads(done.stdout)
    assert set(killed) == {"publish", "promote", "roll back"} and min(killed.values()) >= 20


def test_a_kill_in_the_middle_of_a_file_loses_nothing(kept, tmp_path, monkeypatch):
    source = write_adapter(tmp_path / "adapter3", 3.0)

    def work():
        def copy_half(path, target):
            target.write_bytes(path.read_bytes()[:20])
            os.kill(os.getpid(), signal.SIGKILL)

        shelf.shutil.copyfile = copy_half
        kept.publish(source, "tickets", "third")

    assert in_a_child(work) == -signal.SIGKILL
    assert list(kept.folder.rglob(f"{files.HALF}*"))
    assert [version.label for version in kept.versions("tickets")] == ["v1", "v2"]
    assert kept.publish(source, "tickets", "third").label == "v3"
    assert not list(kept.folder.rglob(f"{files.HALF}*"))


def test_two_writers_at_once_lose_nothing(kept, tmp_path):
    sources = [write_adapter(tmp_path / f"more{n}", 10.0 + n) for n in range(8)]

    def publish(part):
        for n, source in enumerate(part):
            version = kept.publish(source, "tickets", f"of {source.name}")
            kept.promote("tickets", version.label, f"promotion {n}")

    children = []
    for part in (sources[:4], sources[4:]):
        if not (child := os.fork()):
            try:
                publish(part)
                os._exit(0)
            except BaseException:
                os._exit(1)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    versions = kept.versions("tickets")
    assert [version.label for version in versions] == [f"v{n}" for n in range(1, 11)]
    assert {version.why for version in versions[2:]} == {f"of more{n}" for n in range(8)}
    assert all(kept.version("tickets", version.label) for version in versions)
    assert len(kept.log("tickets")) == 2 + 8


def test_a_second_writer_gives_up_after_a_while(kept, tmp_path, monkeypatch):
    monkeypatch.setattr(shelf, "WAIT", 0.01)
    with shelf.hold(kept.folder / "tickets"):
        with pytest.raises(UserError, match="another process has been writing into"):
            kept.publish(write_adapter(tmp_path / "adapter3", 3.0), "tickets")
    assert kept.publish(tmp_path / "adapter3", "tickets").label == "v3"


def test_a_place_that_may_not_be_written_into_is_a_sentence(kept, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    source = write_adapter(tmp_path / "adapter3", 3.0)
    monkeypatch.setattr(shelf.shutil, "copyfile", full)
    with pytest.raises(UserError, match=r"No space left on device.*make room there"):
        kept.publish(source, "tickets")
    assert not list(kept.folder.rglob(f"{files.HALF}*"))
    assert len(kept.versions("tickets")) == 2
