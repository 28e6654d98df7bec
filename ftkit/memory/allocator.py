"""CUDA's caching allocator in small: how much it reserves for what a step takes and gives back.

    Allocator().run(events)    reserved bytes at the end, which is also their peak

It sees (storage, bytes) alone, as a `storages.Tape` writes them down; which part of a step they are
and how much is in use at once is the tape's business. Without torch. Notebook 04.
"""

from typing import NamedTuple

from .step import UNIT

MIB = 2**20
# A request of up to SMALL bytes is cut from a segment of 2 MiB, one below MEDIUM from one of 20.
SMALL, MEDIUM = MIB, 10 * MIB
SMALL_SEGMENT, MEDIUM_SEGMENT, LARGE_UNIT = 2 * MIB, 20 * MIB, 2 * MIB


class Block(NamedTuple):
    """A piece of a segment."""

    size: int  # bytes
    free: bool


class Segment:
    """What the allocator got from CUDA at once: blocks by where they start, without gaps."""

    def __init__(self, size: int, *, small: bool):
        self.small = small
        self.blocks = {0: Block(size, free=True)}

    def free_blocks(self, size: int) -> list[tuple[int, int]]:
        """(size, start) of every free block that has at least `size` bytes."""
        return [
            (block.size, start)
            for start, block in self.blocks.items()
            if block.free and block.size >= size
        ]

    def take(self, start: int, size: int) -> None:
        """Use the free block at `start`, and leave free what is worth keeping of it."""
        left = self.blocks[start].size - size
        worth_keeping = left >= UNIT if self.small else left > SMALL
        if worth_keeping:
            self.blocks[start + size] = Block(left, free=True)
            self.blocks[start] = Block(size, free=False)
        else:
            self.blocks[start] = Block(size + left, free=False)

    def give_back(self, start: int) -> None:
        """Free the block at `start`, and join it with free neighbours."""
        self.blocks[start] = Block(self.blocks[start].size, free=True)
        joined: dict[int, Block] = {}
        last = 0
        for place in sorted(self.blocks):
            block = self.blocks[place]
            if joined and block.free and joined[last].free:
                joined[last] = Block(joined[last].size + block.size, free=True)
            else:
                joined[place] = block
                last = place
        self.blocks = joined


class Allocator:
    """CUDA's caching allocator, to the extent that decides how much it reserves.

    Blocks are multiples of 512 bytes. Up to 1 MiB they are cut from segments of 2 MiB, up to 10 MiB
    from segments of 20 MiB, and above that have a segment of their own, a multiple of 2 MiB. The
    smallest free block that is large enough is taken; what is left of it stays free if it is 512
    bytes (of a small segment) or more than 1 MiB (of a large one); free neighbours join. Segments
    are never given back. (torch, c10/cuda/CUDACachingAllocator.cpp)
    """

    def __init__(self):
        self.reserved = 0  # bytes
        self.segments: list[Segment] = []
        self.places: dict[int, list[tuple[int, int]]] = {}  # {storage: (segment, start) of each}

    def run(self, events: list[tuple[int, int]]) -> int:
        """Bytes that are reserved after all events, which is their peak.

        events: (storage, bytes taken or, below 0, given back), in their order.
        """
        for storage, size in events:
            if size > 0:
                self.places.setdefault(storage, []).append(self.allocate(size))
            else:
                segment, start = self.places[storage].pop()
                self.segments[segment].give_back(start)
        return self.reserved

    def allocate(self, size: int) -> tuple[int, int]:
        """(number of the segment, start) of a block of `size` bytes, now in use."""
        small = size <= SMALL
        # The smallest free block that is large enough, of the oldest segment among equals.
        candidates = [
            (free, number, start)
            for number, segment in enumerate(self.segments)
            if segment.small is small
            for free, start in segment.free_blocks(size)
        ]
        if candidates:
            _, number, start = min(candidates)
        else:
            number, start = self.reserve(size, small=small), 0
        self.segments[number].take(start, size)
        return number, start

    def reserve(self, size: int, *, small: bool) -> int:
        """The number of a new segment that has room for `size` bytes."""
        if small:
            length = SMALL_SEGMENT
        elif size < MEDIUM:
            length = MEDIUM_SEGMENT
        else:
            length = -(-size // LARGE_UNIT) * LARGE_UNIT
        self.segments.append(Segment(length, small=small))
        self.reserved += length
        return len(self.segments) - 1
