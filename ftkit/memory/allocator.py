"""TODO header of memory.allocator."""

from .step import UNIT


class Allocator:
    """CUDA's caching allocator, to the extent that decides how much it reserves.

    Blocks are multiples of 512 bytes. Up to 1 MiB they are cut from segments of 2 MiB, up to 10 MiB
    from segments of 20 MiB, and above that have a segment of their own, a multiple of 2 MiB. The
    smallest free block that is large enough is taken; what is left of it stays free if it is 512
    bytes (of a small segment) or more than 1 MiB (of a large one); free neighbours join. Segments
    are never given back. (torch, c10/cuda/CUDACachingAllocator.cpp)
    """

    SMALL, MEDIUM, MIB = 2**20, 10 * 2**20, 2**20

    def __init__(self):
        self.reserved = 0
        self.blocks: dict[
            int, dict[int, tuple[int, bool]]
        ] = {}  # {segment: {start: (bytes, free)}}
        self.small: dict[int, bool] = {}
        self.where: dict[int, list[tuple[int, int]]] = {}

    def run(self, events: list[tuple[int, int]]) -> int:
        """What is reserved after all events, which is its peak."""
        for key, size in events:
            if size > 0:
                self.where.setdefault(key, []).append(self.allocate(size))
            else:
                self.free(*self.where[key].pop())
        return self.reserved

    def allocate(self, size: int) -> tuple[int, int]:
        """(segment, start) of a block."""
        small = size <= self.SMALL
        free = [
            (n, segment, start)
            for segment, blocks in self.blocks.items()
            if self.small[segment] is small
            for start, (n, is_free) in blocks.items()
            if is_free and n >= size
        ]
        if free:
            have, segment, start = min(free)
        else:
            have = (
                2 * self.MIB
                if small
                else 20 * self.MIB
                if size < self.MEDIUM
                else -(-size // (2 * self.MIB)) * 2 * self.MIB
            )
            segment, start = len(self.blocks), 0
            self.blocks[segment], self.small[segment] = {}, small
            self.reserved += have
        left = have - size
        split = left >= UNIT if small else left > self.SMALL
        self.blocks[segment][start] = (size if split else have, False)
        if split:
            self.blocks[segment][start + size] = (left, True)
        return segment, start

    def free(self, segment: int, start: int) -> None:
        """Give a block back, and join it with free neighbours."""
        blocks = self.blocks[segment]
        blocks[start] = (blocks[start][0], True)
        joined: dict[int, tuple[int, bool]] = {}
        for place in sorted(blocks):
            size, is_free = blocks[place]
            last = next(reversed(joined), None)
            if is_free and last is not None and joined[last][1]:
                joined[last] = (joined[last][0] + size, True)
            else:
                joined[place] = (size, is_free)
        self.blocks[segment] = joined
