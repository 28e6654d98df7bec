"""Methods in a few lines are peft's own, to rounding."""

import torch

from ftkit import methods, models

IDS = torch.arange(6, 40).reshape(2, 17)


def adapted(name, **options):
    model, _ = models.load("pocket")
    model = methods.attach(model, name, seed=0, **options).eval()
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model


@torch.no_grad()
def test_ia3_by_hand_is_peft_s():
    model = adapted("ia3")
    for part, inputs in (("self_attn.k_proj", False), ("mlp.down_proj", True)):
        layer = model.get_submodule(f"base_model.model.model.layers.1.{part}")
        mine = methods.IA3Linear(layer.base_layer, inputs=inputs)
        mine.factor.copy_(layer.ia3_l["default"].flatten())
        x = torch.randn(3, layer.base_layer.in_features)
        assert torch.allclose(mine(x), layer(x), atol=1e-5)
        assert not torch.allclose(layer.base_layer(x), layer(x), atol=1e-2)


@torch.no_grad()
def test_prompt_tuning_by_hand_is_peft_s():
    model = adapted("prompt", tokens=5)
    prompt = model.prompt_encoder["default"].embedding.weight
    mine = methods.prompt_logits(model.get_base_model(), prompt, IDS)
    assert torch.allclose(mine, models.read(model, input_ids=IDS).logits, atol=1e-4)


@torch.no_grad()
def test_prefix_tuning_by_hand_is_peft_s():
    model = adapted("prefix", tokens=5)
    stored = model.prompt_encoder[
        "default"
    ].embedding.weight  # (tokens, layers · 2 · heads · width)
    prefix = stored.view(5, 4, 2, 4, 32).permute(1, 2, 3, 0, 4)
    mine = methods.prefix_logits(model.get_base_model(), prefix, IDS)
    assert torch.allclose(mine, models.read(model, input_ids=IDS).logits, atol=1e-4)


@torch.no_grad()
def test_a_bottleneck_by_hand_is_the_one_that_is_attached():
    model = adapted("bottleneck", width=4)
    layer = model.get_submodule("base_model.model.model.layers.0.self_attn.o_proj")
    mine = methods.Bottleneck(256, 4)
    mine.down.load_state_dict(layer.bottleneck_down["default"].state_dict())
    mine.up.load_state_dict(layer.bottleneck_up["default"].state_dict())
    x = torch.randn(3, 256)
    assert torch.allclose(mine(layer.base_layer(x)), layer(x), atol=1e-5)
    fresh = methods.Bottleneck(8, 2)
    assert torch.equal(fresh(x[:, :8]), x[:, :8])
