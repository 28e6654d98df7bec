"""Autograd on sizes: what is kept, what is alive, and when it goes, held to torch's own rules."""

import pytest
import torch

from ftkit.memory import autograd
from ftkit.memory.autograd import Account, Autograd, Leaf, Tensor

N = 1000  # numbers per tensor


def engine(autocast=None, unit=1):
    account = Account({}, unit)
    account.enter("forward")
    return account, Autograd(account, autocast)


def weight(numbers, dtype="float32", trains=True):
    return Tensor(numbers, dtype, None, Leaf() if trains else None)


def leaf(run):
    """A tensor of N float32 numbers whose gradient is asked for."""
    x = run.empty(N, "float32")
    x.node = Leaf(x.storage)
    return x


@pytest.mark.parametrize("dtypes", [("float32", "bfloat16"), ("bfloat16", "float16")])
def test_two_dtypes_promote_as_in_torch(dtypes):
    expected = torch.promote_types(*(getattr(torch, dtype) for dtype in dtypes))
    assert f"torch.{autograd.promote(*dtypes)}" == str(expected)


def test_a_size_is_rounded_up_and_given_back_with_its_last_owner():
    account, run = engine(unit=512)
    x = run.empty(100, "float32")
    view = Tensor(50, "float32", x.storage)
    assert account.total == 512
    del x
    assert account.total == 512
    del view
    assert account.total == 0
    assert account.peaks()["forward"]["activations"] == 512


def test_a_chain_keeps_what_its_gradients_need_and_frees_it_on_the_way_back():
    account, run = engine()
    x = leaf(run)
    one = run.activate(x)
    two = run.tanh(one)
    three = run.scale(two)
    del two
    assert account.total == 4 * 4 * N, "x, its activation, the tanh's value, and the result"
    del one
    assert account.total == 3 * 4 * N, "the tanh does not need what it was given; SiLU does"
    loss = run.record([three], (1, "float32"), lambda kept, grads: [run.empty(N, "float32")])
    del three
    before = account.total
    account.enter("backward")
    run.backward(loss)
    assert before == 2 * 4 * N + 4
    assert account.total == 2 * 4 * N + 4, "x, its gradient, the loss"


def test_a_product_keeps_each_factor_for_the_other_alone():
    account, run = engine()
    x, frozen = leaf(run), run.empty(N, "float32")
    y = run.multiply(x, frozen)
    del frozen
    assert account.total == 3 * 4 * N
    assert len(y.node.kept) == 1
    z = run.multiply(y, x)
    assert len(z.node.kept) == 2


def test_a_linear_layer_keeps_its_input_only_where_its_weight_trains():
    for trains, kept in ((True, 2), (False, 1)):
        _, run = engine()
        out = run.matmul(leaf(run), weight(20 * 50, trains=trains), d_out=20)
        assert out.numbers == N // 50 * 20
        assert len(out.node.kept) == kept


def loss_of(run, x):
    numbers, dtype = x.numbers, x.dtype
    return run.record([x], (1, "float32"), lambda kept, grads: [run.empty(numbers, dtype)])


def test_gradients_of_weights_count_as_such_and_a_tied_one_is_added_in_place():
    account, run = engine()
    W, x = weight(10 * 10, "bfloat16"), Tensor(N, "bfloat16")
    once = run.matmul(x, W, d_out=10)
    loss = loss_of(run, run.matmul(once, W, d_out=10))
    del once
    account.enter("backward")
    run.backward(loss)
    assert account.alive["gradients"] == 2 * 10 * 10
    assert W.node.uses == 0


def test_autocast_keeps_its_copy_of_a_trained_float32_weight_alone():
    for dtype, trains, copies in (
        ("float32", True, 1),
        ("float32", False, 2),
        ("float16", True, 2),
        ("bfloat16", True, 0),
    ):
        account, run = engine("bfloat16")
        W = weight(10 * 10, dtype, trains)
        outs = [run.matmul(leaf(run), run.for_product(W), d_out=10) for _ in range(2)]
        assert account.groups.get("copies", 0) == copies * 2 * 10 * 10, (dtype, trains)
        del outs


def test_a_checkpointed_stretch_keeps_its_input_and_runs_again_up_to_what_is_needed():
    for checkpointing in (True, False):
        account, run = engine()
        x, done = leaf(run), []

        def stretch(run=run, x=x, done=done):
            for name in ("first", "second", "third"):
                x = run.scale(run.activate(x))
                done.append(name)
            return x

        out = run.checkpoint(stretch) if checkpointing else stretch()
        kept = account.total - 2 * 4 * N
        assert kept == (0 if checkpointing else 2 * 4 * N), "beside input and output"
        loss = loss_of(run, out)
        del out
        run.backward(loss)
        again = ["first", "second"] if checkpointing else []
        assert done == ["first", "second", "third", *again], "nothing is kept behind the third"
        assert account.total == 2 * 4 * N + 4


def test_a_gradient_has_the_dtype_and_the_size_of_its_tensor():
    account, run = engine()
    x = run.empty(N, "bfloat16")
    x.node = Leaf(x.storage)
    wide = run.repeat(x, 3 * N, in_place=False)
    loss = loss_of(run, run.add(wide, Tensor(3 * N, "float32")))
    run.backward(loss)
    assert x.node.gradient.dtype == "bfloat16"
    assert x.node.gradient.numbers == N
    del account
