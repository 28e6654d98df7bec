"""The tape: storages move between parts and go with their last tensor; the allocator in small."""

import pytest
import torch

from ftkit import memory
from ftkit.memory import storages

MIB = 2**20
SPLIT_AND_JOINED = [
    (0, 30 * MIB), (0, -30 * MIB), (1, 15 * MIB), (2, 15 * MIB),
    (1, -15 * MIB), (2, -15 * MIB), (3, 30 * MIB),
]  # fmt: skip


def test_a_tape_moves_storages_between_parts_and_frees_them():
    tape = storages.Tape("cuda")
    a = torch.zeros(100)
    tape.put(a, "weights")
    assert (tape.total, tape.parts["weights"]) == (512, 512)
    tape.put(a.view(10, 10), "gradients")
    assert (tape.parts["weights"], tape.parts["gradients"], tape.total) == (0, 512, 512)
    tape.take_briefly(1024, "activations")
    del a
    assert tape.total == 0
    assert sum(tape.peaks["forward"].values()) == tape.highest["forward"] == 1536
    assert [size for _, size in tape.events] == [512, 1024, -1024, -512]


def test_what_operations_return_is_put_on_the_tape():
    tape = storages.Tape("cpu")
    step = memory.make_step("pocket", seq=8, device="cpu")
    with storages.watch_storages(tape, step):
        tape.enter("loss, forward")
        a = torch.ones(10)
        b = a[2:]
    assert (tape.total, tape.parts["logits"]) == (40, 40), "a view is no storage of its own"
    del a
    assert tape.total == 40
    del b
    assert tape.total == 0


def test_the_weight_that_a_4_bit_product_brings_back_is_seen():
    from bitsandbytes import functional, matmul_4bit

    W, x = torch.randn(256, 128), torch.randn(4, 128)
    numbers, state = functional.quantize_4bit(W, quant_type="nf4")
    tape = storages.Tape("cpu")
    step = memory.make_step("pocket", method="qlora", device="cpu", seq=8)
    with storages.watch_storages(tape, step):
        out = matmul_4bit(x, numbers, state)
    assert tape.highest["forward"] >= W.nbytes + out.nbytes


@pytest.mark.parametrize(
    ("options", "uses"),
    [
        ({"method": "full"}, False),
        ({"method": "full", "optimizer": "adamw_8bit"}, True),
        ({"method": "lora"}, False),
        ({"method": "qlora"}, True),
    ],
)
def test_which_steps_run_code_of_bitsandbytes(options, uses):
    assert storages.uses_bitsandbytes(memory.make_step("pocket", seq=8, **options)) is uses


@pytest.mark.parametrize(
    ("events", "reserved"),
    [
        ([(1, 512)], 2 * MIB),
        ([(1, 512), (2, MIB)], 2 * MIB),
        ([(1, MIB), (2, MIB), (3, 512)], 4 * MIB),
        ([(1, 2 * MIB)], 20 * MIB),
        ([(1, 2 * MIB), (2, 512)], 22 * MIB),
        ([(1, 11 * MIB)], 12 * MIB),
        ([(1, 30 * MIB), (1, -30 * MIB), (2, 16 * MIB), (3, 14 * MIB)], 30 * MIB),
        ([(1, 30 * MIB), (1, -30 * MIB), (2, 16 * MIB), (3, 16 * MIB)], 46 * MIB),
        ([(1, 16 * MIB), (2, 14 * MIB), (1, -16 * MIB), (2, -14 * MIB), (3, 30 * MIB)], 60 * MIB),
        (SPLIT_AND_JOINED, 30 * MIB),
    ],
)
def test_the_allocators_pools_segments_splits_and_joins(events, reserved):
    assert storages.Allocator().run(events) == reserved
