"""Models of real architectures in directories, as a hub would give them: small, random weights,
each with its kind of chat template.

The templates have the families' marks and rules, and like theirs no {% generation %}: so the kit
has to find the answer's tokens itself.
"""

import json

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from ftkit import data
from ftkit.core.files import data_path

TURNS = "{{% for m in messages %}}{turn}{{% endfor %}}{{% if add_generation_prompt %}}{begin}{{% endif %}}"
# name: (config in data/configs, marks: begin of text, end of turn, others, template)
FAMILIES = {
    "llama": (
        "llama-3.2-1b",
        ("<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"),
        "{{ bos_token }}"
        + TURNS.format(
            turn="<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n{{ m['content'] | trim }}<|eot_id|>",
            begin="<|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
    ),
    "qwen": (
        "qwen2.5-0.5b",
        ("<|endoftext|>", "<|im_end|>", "<|im_start|>"),
        "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou help.<|im_end|>\n{% endif %}"
        + TURNS.format(
            turn="<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n",
            begin="<|im_start|>assistant\n",
        ),
    ),
    "gemma": (
        "gemma-3-1b",
        ("<bos>", "<end_of_turn>", "<start_of_turn>"),
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        + TURNS.format(
            turn="<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n{{ m['content'] | trim }}<end_of_turn>\n",
            begin="<start_of_turn>model\n",
        ),
    ),
    "phi": (
        "phi-3-mini",
        ("<s>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>"),
        TURNS.format(
            turn="<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n", begin="<|assistant|>\n"
        ),
    ),
}
SMALL = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "dtype": "float32",
}


def tokenizer(marks, template):
    """A byte-level BPE of 400 tokens with a family's marks."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer, bpe.decoder = (
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoders.ByteLevel(),
    )
    texts = [
        m["content"]
        for row in data.load("tickets")["train"].select(range(40))["messages"]
        for m in row
    ]
    special = ["<pad>", *marks]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=marks[0],
        eos_token=marks[1],
        pad_token="<pad>",
        chat_template=template,
        model_max_length=1024,
    )


def write(family, folder, **larger):
    """Write a family's small model with its tokenizer into a folder; returns the folder. larger:
    other values of the config.
    """
    name, marks, template = FAMILIES[family]
    made = tokenizer(marks, template)
    stated = json.loads(data_path("configs", f"{name}.json").read_text())
    ids = {f"{what}_token_id": getattr(made, f"{what}_token_id") for what in ("bos", "eos", "pad")}
    shrunk = (
        {key: value for key, value in stated.items() if not key.startswith("_")}
        | SMALL
        | ids
        | {"vocab_size": len(made)}
        | larger
    )
    if "head_dim" in shrunk:
        shrunk |= {"head_dim": 32, "query_pre_attn_scalar": 32}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**shrunk))
    model.save_pretrained(folder)
    made.save_pretrained(folder)
    return folder
