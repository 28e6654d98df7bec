"""CUDA's allocator in small: pools, segments, splits and joins."""

import pytest

from ftkit.memory import allocator

MIB = 2**20
SPLIT_AND_JOINED = [
    (0, 30 * MIB), (0, -30 * MIB), (1, 15 * MIB), (2, 15 * MIB),
    (1, -15 * MIB), (2, -15 * MIB), (3, 30 * MIB),
]  # fmt: skip


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
    assert allocator.Allocator().run(events) == reserved
