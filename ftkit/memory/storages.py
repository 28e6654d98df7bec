"""A tape of everything that a step allocates: storages seen where torch dispatches operations, and
what CUDA's allocator makes of them.
"""

import weakref
from collections.abc import Callable

from ..core.errors import UserError
from .step import PARTS, UNIT, Step


class Tape:
    """Every storage of a step, from its making to its end, by part; and the parts at the peak of
    every phase.
    """

    def __init__(self, device: str):
        self.unit = UNIT if device == "cuda" else 1
        self.phase, self.total = "forward", 0
        self.live: dict[
            int, list
        ] = {}  # {storage: [bytes, part, a reference that tells when it goes]}
        self.now = dict.fromkeys(PARTS, 0)
        self.sums: dict[str, int] = {}
        self.peaks: dict[str, dict[str, int]] = {}
        self.events: list[tuple[int, int]] = []  # (storage, bytes taken or, below 0, given back)
        self.embedding: tuple[int, ...] = ()  # the head's shape

    def enter(self, phase: str) -> None:
        """The step goes on to `phase`."""
        self.phase = phase
        self.mark()

    def mark(self) -> None:
        """Keep the parts, if more was never alive in this phase."""
        if self.total >= self.sums.get(self.phase, 0):
            self.sums[self.phase], self.peaks[self.phase] = self.total, dict(self.now)

    def forget(self) -> None:
        """Start the peaks again from what is alive."""
        self.sums.clear()
        self.peaks.clear()

    def change(self, key: int, size: int, part: str) -> None:
        """`size` bytes of a part more, or below 0 less."""
        self.now[part] += size
        self.total += size
        self.events.append((key, size))

    def put(self, tensor, part: str) -> None:
        """Count a tensor's storage as `part` from now until it goes; one that is known moves to
        `part`.
        """
        storage = tensor.untyped_storage()
        key, size = storage._cdata, -(-storage.nbytes() // self.unit) * self.unit
        if key in self.live:
            old = self.live[key][1]
            self.live[key][1] = part
            self.now[old] -= size
            self.now[part] += size
        elif size:
            self.live[key] = [size, part, weakref.ref(storage, lambda _: self.drop(key))]
            self.change(key, size, part)
        self.mark()

    def drop(self, key: int) -> None:
        """A storage went."""
        size, part, _ = self.live.pop(key)
        self.change(key, -size, part)

    def take(self, size: int, part: str) -> None:
        """Bytes that a kernel takes and gives back, and no tensor shows."""
        self.change(0, size, part)
        self.mark()
        self.change(0, -size, part)


def needs_bitsandbytes(setting: Step) -> bool:
    """Whether the step runs code of bitsandbytes; a sentence if it can't be imported."""
    if setting.method != "qlora" and "8bit" not in setting.optimizer:
        return False
    try:
        import bitsandbytes  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"{setting.method} with {setting.optimizer} needs bitsandbytes ({error}); pip install bitsandbytes."
        ) from error
    return True


def hidden_bytes(torch) -> dict[object, Callable]:
    """{operation: bytes that its CUDA kernel takes and gives back}, by the kernels' source."""
    aten = torch.ops.aten

    def flash_backward(grad, query, key, *_):
        """A float32 sum of dQ and one number a row; dK and dV for all heads where query heads share
        them.
        """
        shared = 2 * query.nbytes if query.shape[1] != key.shape[1] else 0
        return 4 * query.numel() + 4 * query.numel() // query.shape[-1] + shared

    return {
        aten._scaled_dot_product_flash_attention_backward.default: flash_backward,
        aten._softmax_backward_data.default: lambda grad, *_: grad.nbytes,  # gradient · output
    }


def recorder(tape: Tape, setting: Step):
    """A dispatch mode that puts what every operation returns on the tape."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    takes = hidden_bytes(torch) if setting.device == "cuda" else {}
    opened = {}
    if needs_bitsandbytes(setting):
        from bitsandbytes.backends.default.ops import _gemm_4bit_default_impl

        # The fused operation would hide the weight that it brings back to 16 bits.
        opened[torch.ops.bitsandbytes.gemm_4bit.default] = _gemm_4bit_default_impl
    add = torch.ops.aten.add.Tensor

    class Recorder(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            hidden = takes[function](*args) if function in takes else 0
            if (
                function is add
                and not torch.is_grad_enabled()
                and args[0].shape == tape.embedding == args[1].shape
            ):
                function = (
                    torch.Tensor.add_
                )  # autograd adds a tied weight's two gradients in place, but not under a mode
            out = opened.get(function, function)(*args, **(kwargs or {}))
            part = "logits" if tape.phase.startswith("loss") else "activations"
            for leaf in tree_leaves(out):
                if (
                    isinstance(leaf, torch.Tensor)
                    and leaf.untyped_storage()._cdata not in tape.live
                ):
                    tape.put(leaf, part)
            if hidden:
                tape.take(hidden, "activations")
            return out

    return Recorder()
