"""Configs of many families for the meta device: at their published widths, with few layers.

Shapes alone cost nothing there, so that nothing has to be shrunk but the depth.
"""

from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

CAUSAL = sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def shallow(family, depth="num_hidden_layers", layers=2, **keys):
    """The family's default config with few layers."""
    return {"model_type": family, depth: layers, **keys}


SEES = {
    "text_config": {"model_type": "gemma3_text", "num_hidden_layers": 2},
    "vision_config": {"model_type": "siglip_vision_model", "num_hidden_layers": 3},
}
ZAMBA2 = [("linear_attention", "hybrid")[i in (6, 12)] for i in range(14)]
# Families that the arithmetic does not know, which peft's "all-linear" can be attached to.
BUILT = {
    "opt": shallow("opt", hidden_size=64, word_embed_proj_dim=32, num_attention_heads=4),
    "bloom": shallow("bloom", "n_layer"),
    "codegen": shallow("codegen", "n_layer"),
    "gpt_bigcode": shallow("gpt_bigcode", "n_layer"),
    "gptj": shallow("gptj", "n_layer"),
    "falcon": shallow("falcon"),
    "falcon-new": shallow("falcon", new_decoder_architecture=True, num_kv_heads=8, bias=True),
    "mpt": shallow("mpt", "n_layers"),
    "phi": shallow("phi"),
    "stablelm": shallow("stablelm", use_qkv_bias=True),
    "granite": shallow("granite"),
    "cohere": shallow("cohere", use_qk_norm=True),
    "cohere2": shallow("cohere2"),
    "olmo": shallow("olmo"),
    "olmo3": shallow("olmo3"),
    "glm4": shallow("glm4"),
    "starcoder2": shallow("starcoder2"),
    "nemotron": shallow("nemotron", num_key_value_heads=8),
    "exaone4": shallow("exaone4"),
    "gpt2-crossed": shallow("gpt2", "n_layer", add_cross_attention=True),
    "gemma3": {"model_type": "gemma3", **SEES},
    "llama4_text": shallow("llama4_text", layers=4),
    "deepseek_v2": shallow("deepseek_v2", first_k_dense_replace=1),
    "deepseek_v3": shallow("deepseek_v3", first_k_dense_replace=1, n_routed_experts=16),
    "qwen2_moe": shallow("qwen2_moe", num_experts=5),
    "qwen3_next": shallow("qwen3_next", layers=4, num_experts=5),
    "granitemoe": shallow("granitemoe"),
    "jetmoe": shallow("jetmoe"),
    "gpt_oss": shallow("gpt_oss"),
    "jamba": shallow("jamba", layers=5, attn_layer_offset=1, attn_layer_period=2),
    "bamba": shallow("bamba", attn_layer_indices=[1]),
    "zamba2": shallow("zamba2", layers=14, layer_types=ZAMBA2),
    "recurrent_gemma": shallow("recurrent_gemma", layers=3),
    "rwkv": shallow("rwkv"),
}
# Families with whose out_proj peft refuses "all-linear", and what it takes.
MAMBAS = {
    "mamba": (shallow("mamba"), "in_proj,x_proj"),
    "mamba2": (shallow("mamba2"), "in_proj"),
    "falcon_h1": (shallow("falcon_h1"), "attention,mlp"),
}
ENCODER_DECODER = "is an encoder with a decoder, no causal language model"
REFUSED = {
    "t5": "no causal language model of the family 't5'",
    "vit": "no causal language model of the family 'vit'",
    "qwen2_vl": "no causal language model of the family 'qwen2_vl'",
    "bart": ENCODER_DECODER,
    "whisper": ENCODER_DECODER,
    "bert": r"'bert' is an encoder \(its config has no is_decoder: true\)",
    "xlm-roberta": "is an encoder",
}
