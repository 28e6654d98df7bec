"""A pretended CUDA device, so that a mix-up of devices is seen where there is no GPU: `with
pretended(): …`

Inside the block torch says that there is one GPU. What is made on it or moved to it is a tensor
whose `device` is cuda:0; its numbers lie on the CPU, and every operation is computed there.
Promised: an operation that mixes it with CPU tensors raises what CUDA raises, but for what CUDA
takes from the CPU (copies, indices, single numbers in pointwise operations); so do .numpy() and a
CPU's generator. Results, gradients, autocast and loss scaling are the CPU's, with products of
16-bit matrices summed in float32. After the block all is as before.

Not shown: kernels (which dtypes they take, their rounding, Triton's and bitsandbytes' own, so
nothing in four or eight bits), the order in which a GPU computes, pinned memory, the GPU's own
random numbers, and memory: what is said of it is made up.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from functools import partial
from unittest import mock

import bitsandbytes  # noqa: F401  before any pretence: at its import it takes hold of the GPU's kernels
import torch
from accelerate.state import AcceleratorState, GradientState, PartialState
from torch.overrides import TorchFunctionMode

CUDA, CPU = torch.device("cuda", 0), torch.device("cpu")
INSIDE = torch.device(
    "lazy",
    0,
    # what torch's C++ is told: autograd takes it without CUDA, and no kernel computes on it
)
GIB = 2**30
HALVES = (torch.float16, torch.bfloat16)
FLOATS = (*HALVES, torch.float32)  # what autocast casts
PRODUCTS = ("mm", "bmm", "addmm", "baddbmm")
COPIES = ("copy_", "_to_copy")  # from any device to any other
INDEXING = (
    "index",
    "index_put",
    "index_put_",
    "_index_put_impl_",
)  # the second argument may lie on the CPU
SINGLE = (
    *INDEXING,
    "fill_",
    "masked_fill",
    "masked_fill_",
)  # take a single number from the CPU, as all that torch calls pointwise
# What CUDA's autocast computes in the chosen dtype, and what in float32 (torch,
# ATen/autocast_mode.h): the part that models meet.
LOWER = (
    "linear",
    "matmul",
    "__matmul__",
    "__rmatmul__",
    "bmm",
    "mm",
    "addmm",
    "baddbmm",
    "einsum",
    "scaled_dot_product_attention",
)
FULL = (
    "softmax", "log_softmax", "exp", "log", "logsumexp", "pow", "__pow__", "rsqrt", "sum", "cumsum",
    "prod", "norm", "layer_norm", "rms_norm", "nll_loss", "cross_entropy", "kl_div",
)  # fmt: skip


class Pretended(torch.Tensor):
    """A tensor on the pretended GPU; its numbers are those of `held`."""

    __torch_function__ = torch._C._disabled_torch_function_impl
    device = property(lambda self: CUDA)
    is_cuda = property(lambda self: True)

    @staticmethod
    def __new__(cls, held: torch.Tensor):
        layout = {
            "strides": held.stride(),
            "storage_offset": held.storage_offset(),
            "dtype": held.dtype,
        }
        return cls._make_wrapper_subclass(cls, held.shape, device=INSIDE, **layout)

    def __init__(self, held: torch.Tensor):
        self.held = held

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return computed(func, *args, **(kwargs or {}))

    @property
    def data(self):  # the shape and dtype that torch keeps, and the numbers that are kept here
        return super().data

    @data.setter
    def data(self, new):
        if not isinstance(new, Pretended):
            return become(self, new)
        torch.Tensor.data.__set__(self, new)
        self.held = new.held

    def numpy(self, **_):
        raise TypeError(
            "can't convert cuda:0 device type tensor to numpy. "
            "Use Tensor.cpu() to copy the tensor to host memory first."
        )

    def tolist(self):
        return self.detach().cpu().tolist()

    def untyped_storage(self):  # asked for by what saves a model: which tensors share their memory?
        return self.held.untyped_storage()

    def __format__(self, spec):
        return format(self.detach().cpu(), spec)

    def __repr__(self):
        return repr(self.detach().cpu())[:-1] + ", device='cuda:0')"


def each(change, tree):
    """Nested arguments or results with every tensor changed."""
    if isinstance(tree, dict):
        return {name: each(change, part) for name, part in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)([each(change, part) for part in tree])
    return change(tree) if isinstance(tree, torch.Tensor) else tree


def tensors(tree) -> list[torch.Tensor]:
    """The tensors in nested arguments."""
    found: list[torch.Tensor] = []
    each(found.append, tree)
    return found


def computed(func, *args, **kwargs):
    """An operation with a pretended tensor or device in it, computed on the CPU."""
    given = tensors([args, kwargs])
    refuse(func, args, kwargs, given)
    if func is torch.ops.aten._fused_sdp_choice.default:
        return 0  # attention in plain operations: its kernels are the GPU's or the CPU's own
    stays = kwargs.get("device") == CPU
    known = {
        id(t.held if isinstance(t, Pretended) else t): t for t in given
    }  # what is changed in place comes back as itself
    if kwargs.get("device") is not None:
        kwargs["device"] = CPU
    if func.overloadpacket.__name__ in PRODUCTS and tensors(args)[-1].dtype in HALVES:
        func = partial(product, func.overloadpacket)
    args, kwargs = each(lambda t: getattr(t, "held", t), (args, kwargs))
    out = func(*args, **kwargs)
    for t in tensors(out):
        if id(t) in known and (t.shape, t.stride()) != (known[id(t)].shape, known[id(t)].stride()):
            known[id(t)].data = Pretended(
                t
            )  # it took another shape, such as that of what was written into it
    return each(lambda t: known[id(t)] if id(t) in known else t if stays else Pretended(t), out)


def product(packet, *args, out=None, **kwargs):
    """In float32 and rounded once, as tensor cores do it: a CPU is slow in float16, and has no
    kernel that gives another dtype.
    """
    matrices = tensors(args)
    dtype = next((a for a in args if isinstance(a, torch.dtype)), matrices[-1].dtype)
    found = packet(*(m.float() for m in matrices), **kwargs).to(dtype)
    return found if out is None else out.copy_(found)


def refuse(func, args, kwargs, given) -> None:
    """Raise where CUDA would: a generator of the CPU, or among the `given` tensors those of two
    devices.
    """
    if isinstance(kwargs.get("generator"), torch.Generator):
        raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
    name = func.overloadpacket.__name__
    if name in INDEXING and isinstance(args[0], Pretended):
        given = tensors([args[0], *args[2:]])
    host = [t for t in given if not isinstance(t, Pretended)]
    if len(host) in (0, len(given)) or name in COPIES:
        return
    single = torch.Tag.pointwise in func.tags or name in SINGLE
    changed = name.endswith("_") and host[0] is args[0]
    if changed or not single or any(t.dim() for t in host):
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, "
            f"cuda:0 and cpu! (in {func})"
        )


def become(old: torch.Tensor, new: torch.Tensor) -> None:
    """`old.data = new` from one device to the other: the same object, of another class."""
    twin = new.detach()
    if isinstance(old, torch.nn.Parameter):
        twin = torch.nn.Parameter(twin)
    torch.utils.swap_tensors(old, twin.requires_grad_(old.requires_grad))


class Cuda(TorchFunctionMode):
    """Takes the device's name where torch is asked for it, and casts what is under autocast."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        kwargs.pop("pin_memory", None)
        if func == torch.Tensor.data.__set__ and isinstance(args[1], Pretended):
            return become(*args)
        if func is torch.Tensor.cuda:
            func, args = torch.Tensor.to, (args[0], CUDA)
        here = INSIDE if args and isinstance(args[0], Pretended) else CUDA
        if func is torch.Tensor.to:
            args = [here if is_cuda(a) else a for a in args]
        if is_cuda(kwargs.get("device")):
            kwargs["device"] = here
        name = getattr(func, "__name__", "")
        if name in (*LOWER, *FULL) and torch.is_autocast_enabled("cuda"):
            dtype = torch.get_autocast_dtype("cuda") if name in LOWER else torch.float32
            args = each(
                lambda t: t.to(dtype) if isinstance(t, Pretended) and t.dtype in FLOATS else t, args
            )
        return func(*args, **kwargs)


def is_cuda(device) -> bool:
    """Is it a name of the pretended device?"""
    return isinstance(device, str | torch.device) and torch.device(device).type in (
        CUDA.type,
        INSIDE.type,
    )


def answers(capability: tuple[int, int]) -> dict:
    """What torch.cuda says of the pretended GPU."""
    said = {
        "is_available": True,
        "is_initialized": True,
        "device_count": 1,
        "get_device_name": "Pretended GPU",
    }
    said |= dict.fromkeys(("current_device", "_exchange_device", "_maybe_exchange_device"), 0)
    said |= {
        "get_device_capability": capability,
        "is_bf16_supported": True,
        "mem_get_info": (14 * GIB, 15 * GIB),
    }
    said |= dict.fromkeys(
        ("memory_allocated", "max_memory_allocated", "memory_reserved", "max_memory_reserved"), GIB
    )
    nothing = (
        "_lazy_init",
        "synchronize",
        "empty_cache",
        "reset_peak_memory_stats",
        "set_device",
        "manual_seed",
        "manual_seed_all",
    )
    states = {"get_rng_state": torch.get_rng_state(), "get_rng_state_all": [torch.get_rng_state()]}
    said |= dict.fromkeys((*nothing, "set_rng_state"), None) | states
    return {name: mock.Mock(return_value=value) for name, value in said.items()}


def within(work: Callable) -> Callable:
    """`work` with the mode on, which torch keeps to one thread, and turns off while a backward pass
    runs checkpointed layers again.
    """

    def run(*args, **kwargs):
        with Cuda():
            return work(*args, **kwargs)

    return run


def forget() -> None:
    """Let accelerate ask anew which device there is."""
    for state in (AcceleratorState, PartialState, GradientState):
        state._reset_state()


@contextlib.contextmanager
def pretended(capability: tuple[int, int] = (8, 0)) -> Iterator[None]:
    """A GPU inside the block; capability: (8, 0) computes in bfloat16, (7, 5), a T4's, in float16.

    One thing stays: torch asks for its CUDA once, so that afterwards device="cuda" is refused with
    another error than before.
    """
    future = torch.__future__
    swaps = future.get_swap_module_params_on_conversion()
    everything, aten = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")
    for key in (
        "CUDA",
        "Lazy",
    ):  # for a tensor that is made there: no argument is there yet, whose class would take the call
        everything.fallback(computed, key)
    aten.impl(
        "copy_", partial(computed, torch.ops.aten.copy_.default), "Lazy"
    )  # into it, by torch.tensor, which passes classes over
    future.set_swap_module_params_on_conversion(
        True
    )  # else a parameter would keep its class when its module moves
    forget()
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(mock.patch.multiple(torch.cuda, **answers(capability)))
            for owner, name in (
                (threading.Thread, "run"),
                (torch.autograd, "_engine_run_backward"),
            ):
                stack.enter_context(mock.patch.object(owner, name, within(getattr(owner, name))))
            stack.enter_context(Cuda())
            yield
    finally:
        forget()
        future.set_swap_module_params_on_conversion(swaps)
        everything._destroy()
        aten._destroy()
