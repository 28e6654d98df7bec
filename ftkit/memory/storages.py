"""Every storage that a training step makes, from its making to its end.

    Tape(device)                     what is alive by part, the most of it in each phase, all events
    watch_storages(tape, step)       inside a `with` block, operations put what they return on it
    uses_bitsandbytes(step)          does the step run code of bitsandbytes?
    Allocator().run(events)          what CUDA's caching allocator reserves for a tape's events

Storages are seen where torch dispatches operations. Fake and real steps write on the same tape
(`fake_step.py`, `real_step.py`). The allocator is CUDA's in small, and knows sizes alone.
Notebook 04.
"""

import weakref
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..core.errors import UserError
from .step import PARTS, UNIT, Step

MIB = 2**20
# A request of up to SMALL bytes is cut from a segment of 2 MiB, one below MEDIUM from one of 20.
SMALL, MEDIUM = MIB, 10 * MIB
SMALL_SEGMENT, MEDIUM_SEGMENT, LARGE_UNIT = 2 * MIB, 20 * MIB, 2 * MIB
BRIEFLY = 0  # the number of what a kernel takes that no tensor shows: no storage has it


@dataclass
class Storage:
    """A storage that is alive."""

    size: int  # bytes
    part: str
    reference: weakref.ref  # it tells the tape when the storage goes


class Tape:
    """Every storage of a step, from its making to its end, by part.

    `.peaks` holds the parts at the fullest moment of every phase, `.highest` their sums, `.events`
    all that was taken and given back, `.moments` (phase, bytes of each of PARTS) after each.
    """

    def __init__(self, device: str):
        self.unit = UNIT if device == "cuda" else 1  # bytes are counted in multiples of it
        self.phase = "forward"
        self.alive: dict[int, Storage] = {}  # by the storage's address
        self.total = 0  # bytes that are alive
        self.parts = dict.fromkeys(PARTS, 0)  # of which
        self.highest: dict[str, int] = {}
        self.peaks: dict[str, dict[str, int]] = {}
        self.events: list[tuple[int, int]] = []  # (storage, bytes taken or, below 0, given back)
        self.moments: list[tuple[str, tuple[int, ...]]] = []
        self.over = False  # the step is: what goes from now on is no part of it
        self.embedding: tuple[int, ...] = ()  # the shape of the head's weight

    def enter(self, phase: str) -> None:
        """The step goes on to `phase`."""
        self.phase = phase
        self.note_moment()
        self.compare_with_peak()

    def compare_with_peak(self) -> None:
        """Keep the parts, if more was never alive in this phase."""
        if self.total >= self.highest.get(self.phase, 0):
            self.highest[self.phase] = self.total
            self.peaks[self.phase] = dict(self.parts)

    def forget_peaks(self) -> None:
        """Begin anew from what is alive."""
        self.highest.clear()
        self.peaks.clear()
        self.moments.clear()

    def put(self, tensor: torch.Tensor, part: str) -> None:
        """Count a tensor's storage as `part` until it goes; one that is known moves to `part`."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        size = -(-storage.nbytes() // self.unit) * self.unit
        if key in self.alive:
            known = self.alive[key]
            self.parts[known.part] -= size
            self.parts[part] += size
            known.part = part
        elif size:
            gone = weakref.ref(storage, lambda _: self.remove(key))
            self.alive[key] = Storage(size, part, gone)
            self.change(key, size, part)
        self.compare_with_peak()

    def remove(self, key: int) -> None:
        """Take a storage off that has gone."""
        gone = self.alive.pop(key)
        self.change(key, -gone.size, gone.part)

    def change(self, key: int, size: int, part: str) -> None:
        """`size` bytes of a part more, or below 0 less."""
        self.parts[part] += size
        self.total += size
        self.events.append((key, size))
        self.note_moment()

    def note_moment(self) -> None:
        """Note what is alive now, unless the step is over."""
        if not self.over:
            self.moments.append((self.phase, tuple(self.parts.values())))

    def take_briefly(self, size: int, part: str) -> None:
        """Count bytes that a kernel takes and gives back, and no tensor shows."""
        self.change(BRIEFLY, size, part)
        self.compare_with_peak()
        self.change(BRIEFLY, -size, part)


def uses_bitsandbytes(step: Step) -> bool:
    """Whether the step runs code of bitsandbytes."""
    return step.method == "qlora" or "8bit" in step.optimizer


def check_bitsandbytes(step: Step) -> None:
    """Raise UserError where the step runs code of bitsandbytes and that can't be imported."""
    if not uses_bitsandbytes(step):
        return
    try:
        import bitsandbytes  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"{step.method} with {step.optimizer} needs bitsandbytes ({error}); "
            "pip install bitsandbytes."
        ) from error


def watch_storages(tape: Tape, step: Step) -> "StorageWatcher":
    """A mode to run a step in: what every operation returns is put on the tape."""
    check_bitsandbytes(step)
    opened = {}
    if uses_bitsandbytes(step):
        from bitsandbytes.backends.default.ops import _gemm_4bit_default_impl

        # The fused operation would hide the weight that it brings back to 16 bits.
        opened[torch.ops.bitsandbytes.gemm_4bit.default] = _gemm_4bit_default_impl
    return StorageWatcher(tape, HIDDEN if step.device == "cuda" else {}, opened)


def hidden_in_flash(grad: torch.Tensor, query: torch.Tensor, key: torch.Tensor, *_: object) -> int:
    """Bytes that flash attention's backward kernel takes, by its source.

    A float32 sum of dQ and one number per row; dK and dV for all heads, where query heads share
    them. query: (batch, heads, seq, d); key: (batch, key heads, seq, d).
    """
    shared = 2 * query.nbytes if query.shape[1] != key.shape[1] else 0
    return 4 * query.numel() + 4 * query.numel() // query.shape[-1] + shared


def hidden_in_softmax(grad: torch.Tensor, *_: object) -> int:
    """Bytes that the softmax's backward kernel takes: gradient · output."""
    return grad.nbytes


# {operation: the bytes that its CUDA kernel takes and gives back, from its arguments}
HIDDEN: Mapping[Any, Callable[..., int]] = {
    torch.ops.aten._scaled_dot_product_flash_attention_backward.default: hidden_in_flash,
    torch.ops.aten._softmax_backward_data.default: hidden_in_softmax,
}


class StorageWatcher(TorchDispatchMode):
    """Puts what every operation returns on a tape.

    hidden: {operation: bytes that it takes and gives back}; opened: {operation: what runs in its
    place}, so that what is inside it is seen.
    """

    def __init__(
        self, tape: Tape, hidden: Mapping[Any, Callable], opened: Mapping[Any, Callable]
    ) -> None:
        super().__init__()
        self.tape, self.hidden, self.opened = tape, hidden, opened

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Run an operation, and put what it returns on the tape."""
        tape = self.tape
        # Asked before it runs: it may change what it is given.
        hidden = self.hidden[func](*args) if func in self.hidden else 0
        run = torch.Tensor.add_ if self.joins_tied_gradients(func, args) else func
        # Of what is opened each operation comes here by itself.
        with self if run in self.opened else nullcontext():
            out = self.opened.get(run, run)(*args, **(kwargs or {}))

        part = "logits" if tape.phase.startswith("loss") else "activations"
        for leaf in tree_leaves(out):
            # A known storage stays what it is: a view of a weight is a weight.
            if isinstance(leaf, torch.Tensor) and leaf.untyped_storage()._cdata not in tape.alive:
                tape.put(leaf, part)
        if hidden:
            tape.take_briefly(hidden, "activations")
        return out

    def joins_tied_gradients(self, operation: Any, args: tuple) -> bool:
        """Whether autograd adds a tied weight's two gradients.

        It does that in place, but not while a mode like this one watches.
        """
        return (
            operation is torch.ops.aten.add.Tensor
            and not torch.is_grad_enabled()
            and args[0].shape == self.tape.embedding == args[1].shape
        )


# CUDA's caching allocator in small.


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
