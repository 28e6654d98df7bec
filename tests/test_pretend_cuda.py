"""On a pretended GPU (see pretend_cuda.py) no stage of the kit mixes its tensors with the CPU's,
and its results are the CPU's.
"""

import threading
from functools import partial

import numpy as np
import pytest
import torch
from families import write
from pocket.test_pretraining import PLAN
from pretend_cuda import CUDA, pretended
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from ftkit import (
    answers,
    data,
    evaluate,
    forgetting,
    lora,
    memory,
    merge,
    models,
    quant,
    show,
    train,
)
from ftkit.core import session
from ftkit.doctor import selftest
from ftkit.evaluate import comparison, judge
from ftkit.lab import epochs
from ftkit.lora import spectrum
from ftkit.pocket import pretraining

pytestmark = pytest.mark.skipif(
    torch.version.cuda is not None or torch.version.hip is not None,
    reason="a build of torch for GPUs has a device of its own",
)
HOST = torch.arange(4.0)
IDS = torch.tensor([0, 2])
REFUSED = {
    "a sum": lambda x: x + HOST,
    "a sum, the other way": lambda x: HOST + x,
    "a sum in place": lambda x: x.add_(HOST),
    "into a CPU tensor": lambda x: HOST.clone().add_(x),
    "a single number of the GPU's": lambda x: HOST * x[0],
    "into a single number": lambda x: torch.tensor(1.0).add_(x[0]),
    "a product": lambda x: x @ HOST,
    "a row of both": lambda x: torch.cat([x, HOST]),
    "a comparison": lambda x: torch.equal(x, HOST),
    "an embedding of CPU ids": lambda x: F.embedding(IDS, x[:, None]),
    "CPU labels": lambda x: F.cross_entropy(x[None], torch.tensor([0])),
    "gathering by CPU ids": lambda x: x.gather(0, IDS),
    "CPU levels": lambda x: torch.bucketize(x, HOST),
    "a CPU tensor by GPU ids": lambda x: HOST[x.long()],
    "CPU values put in by ids": lambda x: x.index_put_((IDS,), HOST[:2]),
    "a CPU generator": lambda x: x.normal_(generator=torch.Generator()),
    "a CPU generator for a new tensor": lambda x: torch.randn(
        2, device="cuda", generator=torch.Generator()
    ),
}
ALLOWED = {
    "single numbers of the CPU's": lambda x: x * torch.tensor(2.0) + torch.tensor(1.0),
    "choosing": lambda x: torch.where(x > 1, x, torch.tensor(-1.0)),
    "CPU ids": lambda x: x[IDS],
    "a CPU mask": lambda x: x[torch.tensor([True, False, True, False])],
    "a number put in": lambda x: x.index_put_((IDS,), torch.tensor(7.0)),
    "copying in": lambda x: x.copy_(HOST),
    "a slice set": lambda x: x.__setitem__(slice(0, 2), HOST[2:]) or x,
    "a draw moved": lambda x: x + torch.randn(4, generator=torch.Generator().manual_seed(0)).to(x),
    "new ones": lambda x: (
        x
        + torch.ones(4, device=x.device)
        + torch.tensor([1.0], device=x.device)
        + x.new_zeros(4)
        + torch.ones_like(x)
    ),
    "an identity": lambda x: torch.eye(4, device=x.device) @ x,
    "written into": lambda x: torch.add(x, 1, out=torch.empty(0, device=x.device)),
    "a decomposition": lambda x: torch.linalg.svd(x.view(2, 2)).S,
    "attention": lambda x: F.scaled_dot_product_attention(
        *[x.view(1, 1, 2, 2)] * 3, is_causal=True
    ),
}


@pytest.fixture
def gpu():
    with pretended():
        yield


@pytest.fixture
def exact(gpu, monkeypatch):
    """A GPU that computes in float32, so that its numbers can be held against the CPU's."""
    monkeypatch.setenv("FTKIT_DTYPE", "float32")


@pytest.mark.parametrize("mixed", REFUSED.values(), ids=REFUSED)
def test_devices_do_not_mix(mixed, gpu):
    with pytest.raises(RuntimeError, match=r"same device|'cuda' device type for generator"):
        mixed(HOST.to("cuda"))


@pytest.mark.parametrize("computed", ALLOWED.values(), ids=ALLOWED)
def test_what_cuda_allows_gives_the_cpus_numbers(computed, gpu):
    found = computed(HOST.cuda())
    assert found.device == CUDA
    assert found.is_cuda
    torch.testing.assert_close(found.cpu(), computed(HOST.clone()))


def test_values_leave_the_gpu_by_a_copy_alone(gpu):
    x = HOST.to("cuda")
    for read in (x.numpy, partial(np.asarray, x), partial(np.testing.assert_allclose, x, HOST)):
        with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor to numpy"):
            read()
    assert x.cpu().numpy().tolist() == x.tolist() == [0, 1, 2, 3]
    assert (x[1].item(), f"{x[2]:.1f}", bool(x[0])) == (1.0, "2.0", False)
    assert "device='cuda:0'" in repr(x)
    assert x.to("cuda") is x.to(x.device) is x.cuda() is x
    assert HOST.to(x).device == CUDA
    assert x.to(HOST).device.type == "cpu"


def test_gradients_are_the_cpus(gpu):
    w, there = HOST.clone().requires_grad_(), HOST.to("cuda").requires_grad_()
    for x in (w, there):
        (x.exp() * x[1:].sum()).sum().backward()
    assert there.grad.device == CUDA
    torch.testing.assert_close(there.grad.cpu(), w.grad)


def test_a_module_moves_with_its_ties_and_comes_back(gpu):
    both = torch.nn.ModuleList([torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)])
    shared = both[1].weight = both[0].weight
    before = shared.detach().clone()
    for device, dtype in (
        ("cuda", torch.bfloat16),
        ("cuda", torch.float32),
        ("cpu", torch.float32),
    ):
        both.to(device, dtype)
        assert both[0].weight is both[1].weight is shared
        assert isinstance(shared, torch.nn.Parameter)
        assert (shared.device.type, shared.dtype) == (device, dtype)
    torch.testing.assert_close(shared, before, rtol=0.01, atol=0.01)
    shared.data = torch.zeros(2, device="cuda")
    assert shared.device == CUDA
    assert isinstance(shared, torch.nn.Parameter)
    shared.data = HOST
    assert shared.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_casts_products_and_keeps_softmax_in_float32(dtype, gpu):
    x = torch.eye(4, device="cuda")
    with torch.autocast("cuda", dtype):
        assert ((x @ x).dtype, F.linear(x, x).dtype) == (dtype, dtype)
        assert (x.to(dtype).softmax(-1).dtype, (x + x).dtype) == (torch.float32, torch.float32)
    assert (x @ x).dtype == torch.float32


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_checkpointed_layer_runs_again_under_autocast(reentrant, gpu):
    layer, x = (
        torch.nn.Linear(4, 4, device="cuda"),
        torch.ones(2, 4, device="cuda", requires_grad=True),
    )
    seen = []

    def twice(x):
        seen.append((y := layer(x)).dtype)
        return layer(y)

    with torch.autocast("cuda", torch.bfloat16):
        out = checkpoint(twice, x, use_reentrant=reentrant)
    out.float().sum().backward()
    assert seen == [torch.bfloat16] * 2
    assert x.grad.device == CUDA


def test_threads_see_the_gpu_and_afterwards_nobody_does():
    seen = []
    with pretended((7, 5)):
        thread = threading.Thread(target=lambda: seen.append(torch.ones(2).to("cuda").device))
        thread.start()
        thread.join()
        assert torch.cuda.is_available()
        assert torch.cuda.get_device_capability() == (7, 5)
    assert seen == [CUDA]
    assert not torch.cuda.is_available()
    assert not torch.__future__.get_swap_module_params_on_conversion()
    with pytest.raises((RuntimeError, AssertionError)):
        torch.ones(2, device="cuda")


@pytest.mark.parametrize(("capability", "dtype"), [((8, 0), "bfloat16"), ((7, 5), "float16")])
def test_a_session_with_the_pocket_model_is_exact_and_others_go_by_the_capability(
    capability, dtype, monkeypatch
):
    with pretended(capability):
        assert session.device_and_dtype() == ("cuda", "float32")
        monkeypatch.setenv("FTKIT_MODEL", "owner/name")
        assert session.device_and_dtype() == ("cuda", dtype)


RECIPE = train.Recipe(epochs=1, batch_size=8, micro_batch=8, evaluations=1)
METHODS = {"lora": lora.attach, "full": lambda model: model}


@pytest.fixture(scope="module")
def splits():
    found = data.load("tickets")
    return {
        "train": found["train"].select(range(16)),
        "validation": found["validation"].select(range(4)),
    }


@pytest.fixture(scope="module")
def test_rows():
    return data.load("tickets")["test"].select(range(2))


def tuned(splits, method="lora", recipe=RECIPE, **options):
    """A run of two steps on the pocket model."""
    model, tokenizer = models.load("pocket")
    torch.manual_seed(0)
    return train.sft(METHODS[method](model), tokenizer, splits, recipe, **options)


@pytest.fixture(scope="module")
def run(splits):
    """One run on the GPU, in float32, for all who ask what it left."""
    with pretended(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTKIT_DTYPE", "float32")
        return tuned(splits, recipe=train.Recipe(epochs=2, batch_size=8, evaluations=0))


@pytest.fixture(scope="module")
def pocket():
    """(the base on the GPU in float32, its tokenizer)"""
    with pretended():
        return models.load("pocket", dtype="float32")


@pytest.mark.parametrize("family", ["pocket", "qwen"])
def test_it_loads_and_answers_as_on_a_cpu(family, gpu, test_rows, tmp_path):
    where = family if family == "pocket" else write(family, tmp_path)
    (there, tokenizer), (here, _) = (
        models.load(where, device=device, dtype="float32") for device in (None, "cpu")
    )
    assert (there.device, here.device.type) == (CUDA, "cpu")
    assert there.get_output_embeddings().weight is there.get_input_embeddings().weight
    chats = [m[:-1] for m in test_rows["messages"]]
    said = models.answer(here, tokenizer, chats, 12)
    assert models.answer(there, tokenizer, chats, 12) == said
    golds = [said[0], "nothing of the kind"]
    assert models.verify_answers(there, tokenizer, chats, golds, 12) == models.verify_answers(
        here, tokenizer, chats, golds, 12
    )
    assert evaluate.perplexity(there, tokenizer, test_rows) == pytest.approx(
        evaluate.perplexity(here, tokenizer, test_rows), rel=1e-4
    )


@pytest.mark.parametrize(("method", "kl"), [("lora", 0.1), ("full", 0.0), ("full", 0.1)])
def test_a_run_in_float32_has_the_cpus_losses(method, kl, splits, monkeypatch):
    monkeypatch.setenv("FTKIT_DTYPE", "float32")
    recipe = train.Recipe(lr=1e-3, epochs=1, batch_size=8, micro_batch=4, evaluations=1, kl=kl)
    here = tuned(splits, method, recipe)
    with pretended():
        there = tuned(splits, method, recipe)
        assert all(p.device == CUDA for p in there.model.parameters())
    torch.testing.assert_close(
        torch.tensor(there.losses), torch.tensor(here.losses), rtol=5e-3, atol=1e-3
    )
    torch.testing.assert_close(
        torch.tensor(there.validation), torch.tensor(here.validation), rtol=5e-3, atol=1e-3
    )


@pytest.mark.parametrize(
    ("capability", "dtype"), [((8, 0), torch.bfloat16), ((7, 5), torch.float16)]
)
@pytest.mark.parametrize("method", METHODS)
def test_it_trains_in_16_bits(method, capability, dtype, splits, monkeypatch):
    monkeypatch.setenv("FTKIT_DTYPE", str(dtype).removeprefix("torch."))
    with pretended(capability):
        run = tuned(splits, method)
        scaler = run.trainer.accelerator.scaler
        assert all(p.device == CUDA for p in run.model.parameters())
    assert 0.7 < run.losses[0][1] < 1.1, "as on a CPU, but for the rounding"
    assert run.losses[-1][1] < 1.5
    assert (scaler is not None) == (dtype == torch.float16)
    if method == "lora":
        assert run.model.dtype == dtype


@pytest.mark.parametrize("capability", [(8, 0), (7, 5)])
def test_a_killed_run_goes_on_from_its_checkpoint(capability, splits, tmp_path, monkeypatch):
    def die(step, *_):
        if step == 3:
            raise KeyboardInterrupt

    monkeypatch.setenv("FTKIT_DTYPE", "bfloat16" if capability[0] == 8 else "float16")
    with pretended(capability):
        again = partial(tuned, splits, recipe=train.Recipe(epochs=2, batch_size=8, evaluations=2))
        with pytest.raises(KeyboardInterrupt):
            again(checkpoints=tmp_path / "killed", watch=die)
        resumed, whole = again(checkpoints=tmp_path / "killed"), again()
    assert resumed.steps == 4
    assert resumed.losses == whole.losses


def test_base_and_tuned_are_compared(run, pocket, test_rows, exact, monkeypatch):
    model, tokenizer = pocket
    latency = evaluate.latency
    asked = evaluate.hallucination_rate
    monkeypatch.setattr(comparison, "hallucination_rate", lambda *given: asked(*given[:2], n=2))
    monkeypatch.setattr(
        comparison, "latency", lambda *given, rounds: latency(*given, tokens=2, rounds=2)
    )
    report = evaluate.compare(model, run.model, tokenizer, test_rows)
    before, after = (forgetting.skills(m, tokenizer, n=2) for m in (model, run.model))
    assert before.mean > 0.9
    lost = forgetting.table(before, after)
    assert len(evaluate.flags(report, lost).flags) == 5
    assert forgetting.regressions(lost, run.model, tokenizer).passed == sum(
        map(sum, before.right.values())
    )
    assert evaluate.kl_from_base(run.model, run.model, tokenizer, test_rows) > 0
    tree = show.explore_answers(
        test_rows, {"base": report.base.replies, "tuned": report.tuned.replies}
    )
    assert tree.html


def test_a_judge_weighs_answers(pocket, gpu):
    model, tokenizer = pocket
    pairs = judge.draw_pairs(3)
    for asked in (
        judge.by_asking(model, tokenizer),
        judge.by_likelihood(model, tokenizer, per_token=True),
    ):
        assert judge.examine(asked, pairs).averaged.n == 3


def test_a_merge_is_proved(run, pocket, exact):
    merged, report = merge.merge(run.model)
    assert merged.device == CUDA
    assert 0 < report.max_logit_gap < 1e-3 < report.adapter_gap
    _, other = merge.merge(run.model, into=pocket[0])
    assert other.max_logit_gap < 1e-3
    assert (
        merge.compare_dtypes(run.model, dtypes=["float32", "bfloat16"])
        .reports["float32"]["merged, cast"]
        .top1_agreement
        > 0.99
    )


@pytest.mark.parametrize("format", ["bfloat16", "nf4", "int4"])
def test_an_update_arrives_in_a_format_as_on_a_cpu(format, run, pocket, exact):
    updates = lora.deltas(run.model)
    name = next(iter(updates))
    W, delta = lora.weight(pocket[0], name), updates[name]
    there, here = (
        merge.round_update(W, delta, format),
        merge.round_update(W.cpu(), delta.cpu(), format),
    )
    assert (there.kept, there.error) == pytest.approx((here.kept, here.error), rel=1e-4)
    assert (
        merge.rounding_view(there, name, format).text
        == merge.rounding_view(here, name, format).text
    )


def test_an_update_is_added_and_taken_out_again(run, pocket, exact):
    model, _ = pocket
    updates = lora.deltas(run.model)
    tokens = merge.probe_tokens(model, 2, 16)
    base, adapted = merge.logits(model, tokens), merge.logits(run.model, tokens)
    with lora.add_updates(model, updates):
        torch.testing.assert_close(merge.logits(model, tokens), adapted, rtol=1e-3, atol=1e-3)
    assert torch.equal(merge.logits(model, tokens), base)


def test_spectra_are_the_cpus(run, pocket, exact):
    name, delta = next(iter(lora.deltas(run.model).items()))
    there = [spectrum.svd(W) for W in (lora.weight(pocket[0], name), delta)]
    here = [spectrum.svd(W.cpu()) for W in (lora.weight("pocket", name), delta)]
    assert [s.rank(0.9) for s in there] == [s.rank(0.9) for s in here]
    for side in ("left", "right"):
        torch.testing.assert_close(
            spectrum.overlap(*there, side)[:4, :4].cpu(),
            spectrum.overlap(*here, side)[:4, :4],
            rtol=1e-3,
            atol=1e-4,
        )
    noise = [spectrum.random_like(s.truncate(8)) for s in (there[0], here[0])]
    torch.testing.assert_close(noise[0].cpu(), noise[1], rtol=1e-4, atol=1e-6)
    factors = [spectrum.amplification(*both, 4).factor for both in (there, here)]
    assert factors[0] == pytest.approx(factors[1], rel=1e-3)
    assert spectrum.intruders(*there, k=4) == spectrum.intruders(*here, k=4)
    assert spectrum.ranks({name: there[0]}).full == {name.rpartition(".")[2]: len(here[0].S)}
    assert lora.rank_view(there[0], 8).text == lora.rank_view(here[0], 8).text
    assert there[0].rescale([0], 0.0).device == CUDA


@pytest.mark.parametrize("format", ["nf4", "int4"])
def test_a_weight_is_quantized_as_on_a_cpu(format, pocket, test_rows, exact):
    model, tokenizer = pocket
    name = lora.find_layer(model, "q_proj")
    there, here = lora.weight(model, name), lora.weight("pocket", name)
    assert quant.rounding_error(there, format, double=True) == quant.rounding_error(
        here, format, double=True
    )
    assert torch.equal(quant.quantize(there, format).codes, quant.quantize(here, format).codes)
    assert (
        quant.quant_view(quant.inspect_weight(there, format)).text
        == quant.quant_view(quant.inspect_weight(here, format)).text
    )
    before = evaluate.answer_log_probs(model, tokenizer, test_rows)
    with quant.in_format(model, format):
        after = evaluate.answer_log_probs(model, tokenizer, test_rows)
    assert evaluate.cost(before, after).kl > 0
    assert before.kl(evaluate.answer_log_probs(model, tokenizer, test_rows)) == [0, 0]


def test_adapters_share_a_base(run, exact, test_rows, tmp_path):
    run.model.save_pretrained(tmp_path)
    many, tokenizer = models.load("pocket")
    for name in ("a", "b"):
        many = lora.load(many, tmp_path, name)
    tokens = merge.probe_tokens(many, 2, 16)
    expected = merge.logits(run.model, tokens)
    with lora.using(many, "a"):
        torch.testing.assert_close(merge.logits(many, tokens), expected)
    with merge.fold(many):
        torch.testing.assert_close(merge.logits(many, tokens), expected, rtol=1e-3, atol=1e-3)
    halves = {"a": 0.5, "b": 0.5}
    for way, options in {
        "cat": {},
        "svd": {"svd_rank": 8},
        "linear": {},
        "ties": {"density": 0.5},
        "dare_ties": {},
    }.items():
        merge.combine(many, halves, way, way, **options)
    assert merge.combination_error(many, "cat", halves) < 1e-4
    assert lora.adapter_bytes(many)["a"] == lora.adapter_bytes(many)["b"]
    assert (
        merge.interference(many, tokenizer, {"tickets": test_rows.select(range(1))}, [None, "cat"])
        .rates["cat"]["tickets"]
        .n
        == 1
    )
    torch.testing.assert_close(
        merge.logits(lora.carry_over(run.model, models.load("pocket")[0]), tokens), expected
    )


@pytest.mark.parametrize("start", ["pissa", "eva", "olora", "dora"])
def test_other_starts_of_an_adapter(start, gpu):
    options = {"use_dora": True} if start == "dora" else {"init_lora_weights": start}
    model = lora.attach(models.load("pocket", dtype="float32")[0], r=2, **options)
    tokens = merge.probe_tokens(model, 2, 8)
    assert merge.logits(model, tokens).device == CUDA


@pytest.mark.parametrize("kind", [lora.LoRALinear, lora.DoRALinear])
def test_layers_by_hand(kind, pocket, gpu):
    base = pocket[0].get_submodule(lora.find_layer(pocket[0], "v_proj"))
    layer = kind(base, 2, 4)
    x = torch.ones(3, base.in_features, device="cuda")
    torch.testing.assert_close(layer(x), base(x))
    layer(x).sum().backward()
    assert layer.B.grad.device == CUDA
    assert answers.check_lora(lora.LoRALinear, base, 2, 4).right is True


def test_a_step_is_traced_and_measured(gpu):
    how = {"method": "lora", "seq": 16, "dtype": "float32"}
    assert memory.trace("pocket", **how, device="cpu").peak == pytest.approx(
        memory.measure("pocket", **how, device="cpu").peak, rel=0.05
    )
    there = memory.measure("pocket", **how, device="cuda")
    assert there.notes[0] == torch.cuda.get_device_name(), "its bytes are made up here"


def test_a_long_run_is_observed(exact, monkeypatch):
    for name, value in {
        "ROWS": 16,
        "BATCH": 8,
        "JUDGED": 2,
        "tune": partial(epochs.tune, epochs=1),
    }.items():
        monkeypatch.setattr(epochs, name, value)
    assert [step for step, _ in epochs.measure(epochs.LongRun(wrong=0.25, dropout=0.1)).task] == [2]


def test_the_pocket_model_is_trained_and_goes_on(gpu, monkeypatch, tmp_path):
    monkeypatch.setattr(pretraining, "quick_probes", lambda *_: {})
    pretraining.pretrain(PLAN, tmp_path, stop_at=2)
    model, _, log = pretraining.pretrain(PLAN, tmp_path, stop_at=3)
    assert (model.device, log.step) == (CUDA, 3)


def test_the_whole_road_in_small(gpu):
    found = selftest.test_yourself()
    assert all(f.ok for f in found), found
