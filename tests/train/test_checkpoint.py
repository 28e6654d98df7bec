"""Checkpoints are whole or not there, and one process holds a folder."""

import multiprocessing
import os
import random
import signal

import numpy
import pytest
import torch

from ftkit import UserError, train
from ftkit.train import checkpoint


def test_a_checkpoint_has_its_name_only_when_it_is_whole(tmp_path):
    with checkpoint.write_checkpoint(tmp_path, 3) as new:
        (new / "a").write_text("a")
        assert train.whole_checkpoints(tmp_path) == {}
    assert train.whole_checkpoints(tmp_path) == {3: tmp_path / "checkpoint-3"}
    with pytest.raises(ZeroDivisionError), checkpoint.write_checkpoint(tmp_path, 10):
        _ = 1 / 0
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-3"]


def test_steps_are_sorted_as_numbers_and_dropped(tmp_path):
    for step in (9, 10, 100):
        (tmp_path / f"checkpoint-{step}").mkdir()
    assert list(train.whole_checkpoints(tmp_path)) == [9, 10, 100]
    checkpoint.drop_checkpoints(tmp_path, but={9, 100, None})
    assert list(train.whole_checkpoints(tmp_path)) == [9, 100]


# What is none of the kit's, although it looks a little like it.
THEIRS = (
    "checkpoint-best", "checkpoint-8-backup", "checkpoint-4-old", "checkpoint-", "checkpoint-008",
    "checkpoint-\u0663", "checkpoint--1", "checkpoint-1e3", ".new-ideas", ".old-4-kept", ".mine",
    "checkpoint-0x9",
)  # fmt: skip


def test_what_is_named_after_no_step_is_neither_read_nor_removed(tmp_path):
    """A copy of a checkpoint is its user's (transformers 27138)."""
    for name in (*THEIRS, "checkpoint-3", "checkpoint-8", ".new-4", ".old-2"):
        (tmp_path / name).mkdir()
    (tmp_path / "checkpoint-5").write_text("a file")
    (tmp_path / ".new-7").write_text("a file")
    (tmp_path / "checkpoint-9").symlink_to(tmp_path / "checkpoint-best")
    assert list(train.whole_checkpoints(tmp_path)) == [3, 8]
    checkpoint.drop_checkpoints(tmp_path, but={8})
    checkpoint.sweep(tmp_path)
    left = {*THEIRS, "checkpoint-8", "checkpoint-5", "checkpoint-9", ".new-7"}
    assert {path.name for path in tmp_path.iterdir()} == left


def test_there_are_no_checkpoints_where_there_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "nowhere", tmp_path / "file"):
        assert train.whole_checkpoints(place) == {}
        checkpoint.drop_checkpoints(place, but=())
        checkpoint.sweep(place)


def test_a_folder_is_held_once(tmp_path):
    with checkpoint.lock_folder(tmp_path):
        with (
            pytest.raises(UserError, match="another run is writing into"),
            checkpoint.lock_folder(tmp_path),
        ):
            pass
    assert list(tmp_path.iterdir()) == []


def hold_until_killed(folder):
    with checkpoint.lock_folder(folder):
        os.kill(os.getpid(), signal.SIGKILL)


def test_the_lock_ends_with_its_process_whatever_ends_it(tmp_path):
    process = multiprocessing.get_context("fork").Process(
        target=hold_until_killed, args=(tmp_path,)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    with checkpoint.lock_folder(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_locks_is_not_held(tmp_path, monkeypatch):
    def refuse(_lock):
        raise PermissionError("read-only")

    monkeypatch.setattr(checkpoint.FileLock, "acquire", refuse)
    with checkpoint.lock_folder(tmp_path):
        assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "checkpoint-7").mkdir()
    with (
        pytest.raises(UserError, match=r"\(No space left on device\): make room.*step 7 is whole"),
        checkpoint.explain_write_errors(tmp_path),
    ):
        raise OSError(28, "No space left on device")


def test_differences_are_named_by_key():
    was, now = {"a": 1, "r": {"lr": 1, "x": 2}}, {"a": 1, "r": {"lr": 2, "x": 2}, "b": None}
    assert train.differences(was, now) == ["r.lr was 1 and is 2 now"]
    assert train.differences({"lora": None}, {"lora": {"r": 8}}) == [
        "lora was None and is {'r': 8} now"
    ]


def test_the_state_comes_back_bit_for_bit(tmp_path):
    """Two steps, save, two more; a fresh optimizer that goes on from the file makes the same two.

    It draws the same random numbers, too.
    """

    def start():
        torch.manual_seed(0)
        layer = torch.nn.Linear(3, 2)
        optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1)
        falling = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
        return layer, optimizer, falling

    def go_on(layer, optimizer, scheduler):
        for _ in range(2):
            layer(torch.randn(4, 3)).sum().backward()
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
        return layer.weight.detach().clone(), random.random(), numpy.random.rand(), torch.rand(1)

    made = start()
    go_on(*made)
    checkpoint.save_state(tmp_path, *made[1:], None, note="mine")
    weights = {k: v.clone() for k, v in made[0].state_dict().items()}
    expected = go_on(*made)
    again = start()
    again[0].load_state_dict(weights)
    checkpoint.load_state(tmp_path, *again[1:], None)
    checkpoint.load_random(tmp_path)
    for wanted, drawn in zip(expected, go_on(*again), strict=True):
        assert torch.equal(torch.as_tensor(wanted), torch.as_tensor(drawn))
    assert checkpoint.read_state(tmp_path)["note"] == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["state.json", "state.safetensors"]


def test_a_checkpoint_that_was_changed_is_refused_by_the_name_of_its_file(tmp_path):
    with checkpoint.write_checkpoint(tmp_path, 3) as new:
        (new / "state.json").write_text('{"seconds": 1.5}')
    written = tmp_path / "checkpoint-3"
    checkpoint.check_hashes(written)
    (written / "state.json").write_text('{"seconds": 2.5}')
    with pytest.raises(UserError, match=r"checkpoint-3 is damaged: state\.json is not what"):
        checkpoint.check_hashes(written)
