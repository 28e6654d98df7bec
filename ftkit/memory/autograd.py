"""torch's autograd in small, on tensors that are sizes: what is alive at each moment of a step.

    Account(standing, unit)     bytes that are alive, and the most of them in every phase
    Autograd(account)           operations on `Tensor`s; `backward(loss)` runs them back
    Tensor, Leaf                a size and a dtype; what gathers the gradient of a weight

Operations take what torch's take, keep what torch's keep for the way back, and make there what
torch's make; bytes are given back when their last owner goes, as in torch. No number is computed.
Which operations a step is made of says `decoder.py`; real tensors are followed by `storages.py`.
Without torch. Notebook 04.
"""

import heapq
from collections.abc import Callable, Iterable, Sequence

from ..core.session import DTYPES

FLOAT32 = "float32"
WIDTHS = {**{name: dtype.width for name, dtype in DTYPES.items()}, "int64": 8}  # bytes per number
BRIEF_PARTS = ("activations", "logits", "gradients")  # the parts that come and go


def promote(one: str, other: str) -> str:
    """The dtype of a sum or product: of two different ones float32."""
    return one if one == other else FLOAT32


class Account:
    """What is alive, in bytes by part, and its fullest moment in every phase.

    standing: bytes by part that stand all the time. unit: sizes are rounded up to multiples of it.
    """

    def __init__(self, standing: dict[str, int], unit: int):
        self.unit = unit
        self.standing = standing
        self.alive: dict[str, int] = dict.fromkeys(BRIEF_PARTS, 0)
        self.total = sum(standing.values())
        self.groups: dict[str, int] = {}  # what is alive by `group`, the name of what made it
        self.group = ""
        self.phase = ""
        self.part = "activations"  # of what is made now
        self.highest: dict[str, int] = {}
        self.fullest: dict[str, tuple[int, ...]] = {}

    def enter(self, phase: str) -> None:
        """The step goes on to `phase`."""
        self.phase = phase
        self.part = "logits" if phase.startswith("loss") else "activations"
        self.compare_with_peak()

    def compare_with_peak(self) -> None:
        """Keep the parts, if more was never alive in this phase."""
        if self.total >= self.highest.get(self.phase, 0):
            self.highest[self.phase] = self.total
            self.fullest[self.phase] = tuple(self.alive.values())

    def take_briefly(self, size: int) -> None:
        """Count bytes that a kernel takes and gives back."""
        storage = Storage(self, size)
        del storage

    def peaks(self) -> dict[str, dict[str, int]]:
        """{phase: {part: bytes}} at the fullest moment of each."""
        return {
            phase: {**self.standing, **dict(zip(self.alive, sizes, strict=True))}
            for phase, sizes in self.fullest.items()
        }


class Storage:
    """Bytes that are alive as long as this object is."""

    __slots__ = ("account", "group", "part", "size")

    def __init__(self, account: Account, size: int):
        self.account = account
        self.size = -(-size // account.unit) * account.unit
        self.part, self.group = account.part, account.group
        account.alive[self.part] += self.size
        account.groups[self.group] = account.groups.get(self.group, 0) + self.size
        account.total += self.size
        account.compare_with_peak()

    def move(self, part: str) -> None:
        """Count the bytes as `part` from now on."""
        self.account.alive[self.part] -= self.size
        self.account.alive[part] += self.size
        self.part = part
        self.account.compare_with_peak()

    def __del__(self) -> None:
        account = self.account
        account.alive[self.part] -= self.size
        account.groups[self.group] -= self.size
        account.total -= self.size


class Tensor:
    """So many numbers of a dtype, and the operation that made them, if a gradient flows there.

    A view shares the storage; a weight, which is counted among what stands, has none.
    """

    __slots__ = ("dtype", "node", "numbers", "slot", "storage")

    def __init__(
        self,
        numbers: int,
        dtype: str,
        storage: Storage | None = None,
        node: "Node | Leaf | None" = None,
        slot: int = 0,
    ):
        self.numbers, self.dtype, self.storage = numbers, dtype, storage
        self.node, self.slot = node, slot

    def without_node(self) -> "Tensor":
        """The same numbers, of which autograd knows nothing."""
        return Tensor(self.numbers, self.dtype, self.storage)


class Leaf:
    """Where the gradient of a weight gathers, or that of the embeddings below an adapter.

    storage: of the embeddings, which live as long; a weight, which stands anyway, has none.
    """

    def __init__(self, storage: Storage | None = None):
        self.storage, self.phase = storage, ""
        self.uses = 0  # by how many operations, each of which gives it a gradient
        self.gradient: Tensor | None = None

    def gather(self, gradient: Tensor, account: Account) -> None:
        """Take a gradient; when all are there it is the weight's, and counts as that."""
        self.uses -= 1
        # The two of a tied weight are added in place.
        self.gradient = self.gradient or gradient
        if self.uses:
            return
        if self.phase:
            account.enter(self.phase)
        if self.storage is None and self.gradient.storage:
            self.gradient.storage.move("gradients")


class Frame:
    """A checkpointed stretch of the forward pass: what it takes to run it again."""

    def __init__(self, run: Callable[[], object]):
        self.run = run
        self.kept = 0  # tensors that the backward pass will ask for
        self.made: list[Tensor | None] = []  # those, once it ran again


class RanAgain(Exception):
    """All that the backward pass of a frame asks for is there; the rest need not run again."""


Backward = Callable[[list[Tensor], list[Tensor]], Sequence[Tensor | None]]


class Node:
    """An operation on the way back: from the gradients of what it gave to those of what it took.

    backward: (what was kept, the gradients) to a gradient for each input.
    """

    __slots__ = (
        "backward", "frame", "inputs", "kept", "numbers_kept", "order", "outputs", "phase",
    )  # fmt: skip

    def __init__(self, order: int, inputs: Iterable[Tensor], backward: Backward, outputs: int):
        self.order, self.backward, self.outputs = order, backward, outputs
        self.inputs = [(x.node, x.slot, x.numbers, x.dtype) for x in inputs]
        self.kept: list[Tensor] = []
        self.frame: Frame | None = None
        self.numbers_kept = range(0)  # of what was kept, in its frame
        self.phase = ""  # which begins when its turn comes

    def __lt__(self, other: "Node") -> bool:
        return self.order > other.order  # the last one runs back first


class Autograd:
    """Operations on sizes, recorded for the backward pass.

    autocast: the dtype of matrix products, or None for that of what they are given.
    """

    def __init__(self, account: Account, autocast: str | None):
        self.account, self.autocast = account, autocast
        self.order = 0
        self.frame: Frame | None = None  # the checkpointed stretch that runs now
        self.again = False  # for the second time
        self.copies: dict[int, Tensor] = {}  # of weights, by autocast, until it ends

    # Tensors, and how they are recorded.

    def empty(self, numbers: int, dtype: str) -> Tensor:
        """A new tensor."""
        return Tensor(numbers, dtype, Storage(self.account, numbers * WIDTHS[dtype]))

    def record(
        self,
        inputs: Sequence[Tensor],
        out: "Tensor | tuple[int, str]",
        backward: Backward,
        kept: Sequence[Tensor] = (),
        outputs: int = 1,
    ) -> Tensor:
        """An operation: what it gives, with a node if one of its inputs has one.

        out: (numbers, dtype) of a new tensor, which is made after `kept` is kept; or what was made.
        """
        if not any(x.node for x in inputs):
            return out if isinstance(out, Tensor) else self.empty(*out)
        self.order += 1
        node = Node(self.order, inputs, backward, outputs)
        self.keep(node, kept)
        for x in inputs:
            if isinstance(x.node, Leaf) and not self.again:
                x.node.uses += 1
        out = out if isinstance(out, Tensor) else self.empty(*out)
        out.node = node
        return out

    def keep(self, node: Node, kept: Sequence[Tensor]) -> None:
        """Keep tensors for a node's way back; in a checkpointed stretch count them alone."""
        if self.frame is None:
            node.kept = [x.without_node() for x in kept]
        elif self.again:
            self.keep_again(self.frame, kept)
        else:
            node.frame, first = self.frame, self.frame.kept
            self.frame.kept += len(kept)
            node.numbers_kept = range(first, self.frame.kept)

    def keep_again(self, frame: Frame, kept: Sequence[Tensor]) -> None:
        """Keep what the second run makes; it stops as soon as nothing more is asked for."""
        for x in kept:
            frame.made.append(x.without_node())
            if len(frame.made) == frame.kept:
                raise RanAgain

    def checkpoint(self, run: Callable[[], Tensor]) -> Tensor:
        """What `run` gives; it keeps nothing, and runs again in the backward pass."""
        self.frame = Frame(run)
        out = run()
        self.frame = None
        return out

    # The backward pass.

    def backward(self, loss: Tensor) -> None:
        """Run back from the loss, a single number: the last operation first."""
        waiting: dict[Node, list[Tensor | None]] = {}
        heap: list[Node] = []
        assert isinstance(loss.node, Node)
        waiting[loss.node] = [self.empty(1, loss.dtype)]
        heap.append(loss.node)
        while heap:
            node = heapq.heappop(heap)
            if node.phase:
                self.account.enter(node.phase)
            arrived = waiting.pop(node)
            gradients = list(node.backward(self.unpack(node), arrived))  # type: ignore
            self.fit(node, gradients)
            arrived.clear()
            node.kept, node.frame = [], None
            self.pass_on(node, gradients, waiting, heap)

    def unpack(self, node: Node) -> list[Tensor]:
        """What an operation kept; the first one of a checkpointed stretch runs that again."""
        frame = node.frame
        if frame is None or not node.numbers_kept:
            return node.kept
        if not frame.made:
            self.run_again(frame)
        kept = [frame.made[i] for i in node.numbers_kept]
        for i in node.numbers_kept:
            frame.made[i] = None
        return kept  # type: ignore  # each is asked for once

    def run_again(self, frame: Frame) -> None:
        """Run a checkpointed stretch for the second time, until all is there that it keeps."""
        self.frame, self.again = frame, True
        # Autocast begins anew, so that it makes its copies of weights anew.
        copies, self.copies = self.copies, {}
        part, group = self.account.part, self.account.group
        try:
            frame.run()
        except RanAgain:
            pass
        self.copies = copies
        self.account.part, self.account.group = part, group
        self.frame, self.again = None, False

    def fit(self, node: Node, gradients: list[Tensor | None]) -> None:
        """Every gradient in the size and the dtype of its input: first summed, then cast."""
        for i, (source, _, numbers, dtype) in enumerate(node.inputs):
            gradient = gradients[i]
            if gradient is None or source is None:
                continue
            if gradient.numbers != numbers:
                gradient = gradients[i] = self.empty(numbers, gradient.dtype)
            if gradient.dtype != dtype:
                gradient = gradients[i] = self.empty(numbers, dtype)
            # The last one of a weight counts as what it is while the rest is still there.
            last = isinstance(source, Leaf) and source.storage is None and source.uses == 1
            if last and gradient.storage:
                gradient.storage.move("gradients")

    def pass_on(
        self,
        node: Node,
        gradients: list[Tensor | None],
        waiting: dict[Node, list[Tensor | None]],
        heap: list[Node],
    ) -> None:
        """Give every input its gradient; two of one tensor are added to a third."""
        for i, (source, slot, numbers, dtype) in enumerate(node.inputs):
            gradient, gradients[i] = gradients[i], None
            if gradient is None or source is None:
                continue
            if isinstance(source, Leaf):
                if source.storage and source.gradient:
                    gradient, source.gradient = self.empty(numbers, dtype), None
                source.gather(gradient, self.account)
                continue
            if source not in waiting:
                waiting[source] = [None] * source.outputs
                heapq.heappush(heap, source)
            slots = waiting[source]
            if slots[slot] is not None:
                gradient = self.empty(numbers, dtype)
            slots[slot] = gradient

    # Operations. What a backward pass needs of a tensor is kept, never caught in a closure: that
    # would be an owner more.

    def cast(self, x: Tensor, dtype: str) -> Tensor:
        """x in another dtype; x itself if it has it."""
        return x if x.dtype == dtype else self.each(x, dtype)

    def scale(self, x: Tensor) -> Tensor:
        """x times or by a number."""
        return self.each(x, x.dtype)

    def each(self, x: Tensor, dtype: str) -> Tensor:
        """A function of each number of x that keeps nothing, but makes a gradient."""
        size = x.numbers, x.dtype
        return self.record([x], (x.numbers, dtype), lambda kept, grads: [self.empty(*size)])

    def activate(self, x: Tensor) -> Tensor:
        """A function of each number that needs x again, such as SiLU and GELU."""
        size = x.numbers, x.dtype
        return self.record([x], size, lambda kept, grads: [self.empty(*size)], [x])

    def tanh(self, x: Tensor) -> Tensor:
        """A function that needs its own value again."""
        size = x.numbers, x.dtype
        out = self.empty(*size)
        return self.record([x], out, lambda kept, grads: [self.empty(*size)], [out])

    def softmax(self, x: Tensor) -> Tensor:
        """The softmax of x, which needs its own value again."""
        size = x.numbers, x.dtype
        out = self.empty(*size)

        def backward(kept: list[Tensor], grads: list[Tensor]) -> list[Tensor]:
            gradient = self.empty(*size)
            # CUDA's kernel multiplies gradient and value first.
            self.take_hidden(grads[0].numbers * WIDTHS[grads[0].dtype])
            return [gradient]

        return self.record([x], out, backward, [out])

    def take_hidden(self, size: int) -> None:
        """Count what only CUDA's kernel takes, for a moment."""
        if self.account.unit > 1:
            self.account.take_briefly(size)

    def clone(self, x: Tensor) -> Tensor:
        """A copy, which passes its gradient on."""
        return self.record([x], (x.numbers, x.dtype), lambda kept, grads: grads)

    def repeat(self, x: Tensor, numbers: int, *, in_place: bool) -> Tensor:
        """x repeated to so many numbers, or seen so; its gradient is summed."""
        out = Tensor(numbers, x.dtype, x.storage) if in_place else (numbers, x.dtype)
        return self.record([x], out, lambda kept, grads: grads)

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """x + y, as large as the larger; both get the same gradient."""
        size = max(x.numbers, y.numbers), promote(x.dtype, y.dtype)
        return self.record([x, y], size, lambda kept, grads: [grads[0], grads[0]])

    def multiply(self, x: Tensor, y: Tensor) -> Tensor:
        """x · y; each is kept for the other's gradient."""
        numbers, dtype = max(x.numbers, y.numbers), promote(x.dtype, y.dtype)
        kept = [y] * bool(x.node) + [x] * bool(y.node)
        sizes = (
            (numbers, promote(dtype, y.dtype)) if x.node else None,
            (numbers, promote(dtype, x.dtype)) if y.node else None,
        )

        def backward(kept: list[Tensor], grads: list[Tensor]) -> list[Tensor | None]:
            return [size and self.empty(*size) for size in sizes]

        return self.record([x, y], (numbers, dtype), backward, kept)

    def view_copied_back(self, x: Tensor) -> Tensor:
        """x seen in another order, so that its gradient has to be copied."""
        size = x.numbers, x.dtype
        view = Tensor(*size, x.storage)
        return self.record([x], view, lambda kept, grads: [self.empty(*size)])

    def cut(self, x: Tensor, numbers: int) -> Tensor:
        """A view of a piece of x, whose gradient is zero elsewhere."""
        size = x.numbers, x.dtype
        view = Tensor(numbers, x.dtype, x.storage)
        return self.record([x], view, lambda kept, grads: [self.empty(*size)])

    def halve(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Views of both halves of x, whose gradients are put together."""
        size, half = (x.numbers, x.dtype), x.numbers // 2
        first = Tensor(half, x.dtype, x.storage)
        first = self.record([x], first, lambda kept, grads: [self.empty(*size)], outputs=2)
        return first, Tensor(half, x.dtype, x.storage, first.node, slot=1)

    def join(self, x: Tensor, rest: Tensor) -> Tensor:
        """x and a rest of nothing in a new tensor."""

        def backward(kept: list[Tensor], grads: list[Tensor]) -> list[Tensor]:
            return [grads[0], Tensor(0, grads[0].dtype, grads[0].storage)]

        return self.record([x, rest], (x.numbers, x.dtype), backward)

    def rotate_half(self, x: Tensor) -> Tensor:
        """The halves of every head in turn, the second one negated."""
        whole, half = (x.numbers, x.dtype), (x.numbers // 2, x.dtype)
        negated = self.empty(*half)
        out = self.empty(*whole)
        del negated

        def backward(kept: list[Tensor], grads: list[Tensor]) -> list[Tensor]:
            # The gradient of either half as large as the whole, and their sum.
            negated = self.empty(*half)
            second = self.empty(*whole)
            del negated
            first = self.empty(*whole)
            grads.clear()
            both = self.empty(*whole)
            del first, second
            return [both]

        return self.record([x], out, backward)

    def inverse_rms(self, x: Tensor, rows: int) -> Tensor:
        """1 / sqrt(mean of squares) of every row of a float32 x."""
        size = x.numbers, FLOAT32
        squares = self.empty(*size)
        mean = self.empty(rows, FLOAT32)
        del squares
        out = self.empty(rows, FLOAT32)
        del mean

        def backward(kept: list[Tensor], grads: list[Tensor]) -> list[Tensor]:
            # The gradient of the mean for every number; x, twice that, and the product.
            of_mean = self.empty(*size)
            power, doubled = self.empty(*size), self.empty(*size)
            out = self.empty(*size)
            del of_mean, power, doubled
            return [out]

        return self.record([x], out, backward, [x, out])

    def matmul(self, x: Tensor, W: Tensor, d_out: int, bias: Tensor | None = None) -> Tensor:
        """x Wᵀ + b for W (d_out, d_in), as `F.linear` does it."""
        rows = x.numbers // (W.numbers // d_out)
        kept = [x] * bool(W.node) + [W] * bool(x.node)
        inputs = [x, W] if bias is None else [x, W, bias]
        sizes = [(one.numbers, one.dtype) if one.node else None for one in inputs]

        def backward(kept: list[Tensor], grads: list[Tensor]) -> list[Tensor | None]:
            # The weight's gradient before that of what it was given.
            return [size and self.empty(*size) for size in reversed(sizes)][::-1]

        return self.record(inputs, (rows * d_out, x.dtype), backward, kept)

    def product(
        self, x: Tensor, y: Tensor, numbers: int, copied: tuple[bool, bool] = (False, False)
    ) -> Tensor:
        """The matrix product of two activations, of so many numbers; both are kept.

        copied: whether each is copied first, because a product needs it in one piece.
        """
        y, x = self.for_product(y), self.for_product(x)
        x = self.clone(x) if copied[0] else x
        y = self.clone(y) if copied[1] else y
        sizes = [(x.numbers, x.dtype), (y.numbers, y.dtype)]

        def backward(kept: list[Tensor], grads: list[Tensor]) -> list[Tensor]:
            return [self.empty(*size) for size in reversed(sizes)][::-1]

        return self.record([x, y], (numbers, x.dtype), backward, [x, y])

    def for_product(self, x: Tensor) -> Tensor:
        """x as it goes into a matrix product. Autocast keeps its copies of float32 leaves."""
        if self.autocast is None or x.dtype == self.autocast:
            return x
        once = isinstance(x.node, Leaf) and x.dtype == FLOAT32
        if once and id(x.node) in self.copies:
            return self.copies[id(x.node)]
        group = self.account.group
        if x.storage is None:
            self.account.group = "copies"
        copy = self.cast(x, self.autocast)
        self.account.group = group
        if once:
            self.copies[id(x.node)] = copy
        return copy
