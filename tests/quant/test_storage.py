"""What bitsandbytes holds: the bits that were predicted, and what is said where it is missing."""

import sys

import pytest
import torch

from ftkit import UserError, lora, models, quant


def test_bits_are_the_bytes_that_bitsandbytes_holds(pocket):
    model, _ = models.load("pocket", quant="nf4")
    stored = quant.stored_bytes(model)
    assert stored.parameters == sum(m.weight.numel() for m in models.linears(pocket[0]).values())
    assert stored.bits_per_weight == quant.bits_per_weight("nf4", 64, double=True)
    layers = len(models.linears(model))
    assert (stored.offsets, stored.tables) == (4 * layers, 4 * (16 + 256) * layers)
    kinds = (stored.codes, stored.scales, stored.second_scales, stored.offsets, stored.tables)
    assert stored.total == sum(kinds)
    assert f"{stored.total:,}" in str(stored)
    with pytest.raises(UserError, match=r"no 4-bit layer.*quant='nf4'"):
        quant.stored_bytes(pocket[0])


def test_without_double_quantization_the_scales_take_half_a_bit():
    from bitsandbytes.nn import Params4bit

    layer = torch.nn.Linear(256, 128, bias=False)
    options = {"requires_grad": False, "quant_type": "nf4", "compress_statistics": False}
    layer.weight = Params4bit(layer.weight.detach(), **options).to("cpu")
    assert quant.stored_bytes(layer).bits_per_weight == quant.bits_per_weight("nf4", 64) == 4.5


def test_gradients_pass_a_four_bit_model_after_an_evaluation():
    model = lora.attach(models.load("pocket", quant="nf4")[0], r=2)
    ids = torch.arange(6, 40)[None]
    with torch.no_grad():
        model.eval()(ids)
    model.train()(ids, labels=ids).loss.backward()
    grads = [p.grad for n, p in model.named_parameters() if "lora_B" in n]
    assert len(grads) == len(models.linears(models.load("pocket")[0]))
    assert all(g.any() for g in grads)
    predicted = quant.bits_per_weight("nf4", 64, double=True)
    assert quant.stored_bytes(model).bits_per_weight == predicted, "scales are still in 8 bits"


def test_without_bitsandbytes_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(UserError, match=r"could not be imported.*pip install"):
        quant.import_bitsandbytes()


def test_without_its_compiled_kernels_too(monkeypatch):
    from bitsandbytes import cextension

    missing = cextension.ErrorHandlerMockBNBNativeLibrary("no library")
    monkeypatch.setattr(cextension, "lib", missing)
    with pytest.raises(UserError, match="without its compiled CPU kernels"):
        quant.import_bitsandbytes()
