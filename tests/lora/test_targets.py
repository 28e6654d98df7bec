"""What `targets` means, on names alone; on whole architectures it is held in test_counting.py."""

import pytest

from ftkit import UserError, lora
from ftkit.lora import targets

LLAMA = [
    f"model.layers.{layer}.{part}"
    for layer in (0, 1)
    for part in ("self_attn.q_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.up_proj")
]
GPT2 = [f"h.0.{part}" for part in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")]
OPT = [f"decoder.layers.0.{part}" for part in ("self_attn.q_proj", "fc1", "fc2")]
FALCON = [f"h.0.{part}" for part in ("self_attention.query_key_value", "self_attention.dense")]
MPT = [f"blocks.0.{part}" for part in ("attn.Wqkv", "ffn.up_proj")]
QWEN2_MOE = [f"layers.0.mlp.{part}" for part in ("shared_expert.up_proj", "shared_expert_gate")]
LONGCAT = [f"layers.0.self_attn.{number}.o_proj" for number in (0, 1)]
MLA = [f"layers.0.self_attn.{part}" for part in ("q_proj", "kv_a_proj_with_mqa", "kv_b_proj")]


@pytest.mark.parametrize(
    ("names", "wanted", "endings"),
    [
        (LLAMA, "attention", ["self_attn.o_proj", "self_attn.q_proj", "self_attn.v_proj"]),
        (LLAMA, "mlp", ["mlp.up_proj"]),
        (LLAMA, "q,v", ["q_proj", "v_proj"]),
        (LLAMA, " q , v ", ["q_proj", "v_proj"]),
        (LLAMA, "v_proj, o_proj", ["o_proj", "v_proj"]),
        (LLAMA, ["0.mlp.up_proj"], ["0.mlp.up_proj"]),
        (GPT2, "q,v", ["c_attn"]),
        (GPT2, "mlp", ["mlp.c_fc", "mlp.c_proj"]),
        (GPT2, ("c_proj",), ["c_proj"]),
        (GPT2, "attention,mlp", ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"]),
        (LLAMA, "q_proj,mlp", ["mlp.up_proj", "q_proj"]),
        (OPT, "mlp", ["fc1", "fc2"]),
        (FALCON, "attention", ["self_attention.dense", "self_attention.query_key_value"]),
        (FALCON, "q,v", ["query_key_value"]),
        (MPT, "q,v", ["Wqkv"]),
        (MPT, "mlp", ["ffn.up_proj"]),
        (QWEN2_MOE, "mlp", ["shared_expert.up_proj"]),
        (LONGCAT, "attention", ["self_attn.0.o_proj", "self_attn.1.o_proj"]),
    ],
)
def test_targets_as_endings(names, wanted, endings):
    assert targets.name_endings(names, wanted) == endings


def test_layers_are_chosen_in_the_models_order():
    assert lora.choose_layers(LLAMA, "all-linear") == LLAMA
    assert lora.choose_layers(LLAMA, ["v_proj", "q_proj"]) == [LLAMA[i] for i in (0, 1, 4, 5)]
    assert lora.choose_layers(GPT2, "c_proj") == [GPT2[1], GPT2[3]]
    assert lora.choose_layers(["xq_proj", "q_proj"], "q_proj") == ["q_proj"]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("q_porj", "no linear layer 'q_porj'; it has o_proj, q_proj, .* Did you mean 'q_proj'"),
        ("atention", "Did you mean 'attention'"),
        (["attn", "q_proj"], "no linear layer 'attn'"),
        ("proj", "no linear layer 'proj'"),
        ("all-linear,q_proj", "'all-linear' is all there is.*give it alone"),
        ("lm_head", "'lm_head' is the name of a head or an embedding, which gets no LoRA here"),
        ("model.embed_tokens", "'model.embed_tokens' is the name of a head or an embedding"),
        (
            r".*\.q_proj$",
            "targets are no regular expressions; give names as they end: it has o_proj",
        ),
        ("[qv]_proj", "targets are no regular expressions"),
    ],
)
def test_a_layer_that_is_not_there(wanted, message):
    with pytest.raises(UserError, match=message):
        lora.choose_layers(LLAMA, wanted)


def test_queries_without_values_of_their_own_are_not_half_of_q_and_v():
    """Latent attention has no matrix of values, and q alone would be another LoRA."""
    with pytest.raises(UserError, match="no linear layer 'q'; it has kv_a_proj_with_mqa, kv_b"):
        lora.choose_layers(MLA, "q,v")


@pytest.mark.parametrize("wanted", [None, [], "", 5, [5], ["q_proj", None]])
def test_targets_must_be_named(wanted):
    with pytest.raises(UserError, match=r"targets is .*'all-linear', 'attention', 'mlp', 'q,v'"):
        lora.choose_layers(LLAMA, wanted)


def test_a_model_without_linear_layers_has_nothing_to_tune():
    with pytest.raises(UserError, match="no linear layer beside its head"):
        lora.choose_layers([], "all-linear")


@pytest.mark.parametrize("r", [0, 17, 1.0, True, "8", None])
def test_a_rank_that_can_not_be(r):
    with pytest.raises(UserError, match=rf"r is {r!r}; .* whole number from 1 to 16"):
        lora.check_rank(r, 16)
    lora.check_rank(1, 16)
    lora.check_rank(16, 16)


def test_gates_and_the_narrowest_layers_do_not_bound_the_rank():
    """A row for each expert, or for each head: peft's all-linear has them among its targets."""
    wide = {"q_proj": (64, 32), "k_proj": (16, 32)}
    assert lora.narrowest_side(wide) == 16
    assert (
        lora.narrowest_side({**wide, "mlp.gate": (60, 32), "mlp.shared_expert_gate": (1, 32)}) == 16
    )
    assert lora.narrowest_side({**wide, "dt_proj": (8, 32)}) == 16
    assert lora.narrowest_side({"dt_proj": (8, 32), "router": (4, 32)}) == 4
