"""Models of real architectures in directories, as a hub would give them.

Small, with random weights, each with its kind of chat template. The templates have the families'
marks and rules, and like theirs no {% generation %}: so the kit has to find the answer's tokens
itself.
"""

import json

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from ftkit import data
from ftkit.core.files import data_path


def template(turn, begin, head=""):
    """A chat template: the head, every message as a turn, and where an answer begins."""
    turns = "{% for m in messages %}" + turn + "{% endfor %}"
    return head + turns + "{% if add_generation_prompt %}" + begin + "{% endif %}"


LLAMA = template(
    head="{{ bos_token }}",
    turn="<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
    "{{ m['content'] | trim }}<|eot_id|>",
    begin="<|start_header_id|>assistant<|end_header_id|>\n\n",
)
QWEN = template(
    head="{% if messages[0]['role'] != 'system' %}"
    "<|im_start|>system\nYou help.<|im_end|>\n{% endif %}",
    turn="<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n",
    begin="<|im_start|>assistant\n",
)
GEMMA = template(
    head="{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('no system role') }}{% endif %}",
    turn="<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n"
    "{{ m['content'] | trim }}<end_of_turn>\n",
    begin="<start_of_turn>model\n",
)
PHI = template(turn="<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n", begin="<|assistant|>\n")
# name: (config in data/configs, marks: begin of text, end of turn, others, template)
FAMILIES = {
    "llama": (
        "llama-3.2-1b",
        ("<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"),
        LLAMA,
    ),
    "qwen": ("qwen2.5-0.5b", ("<|endoftext|>", "<|im_end|>", "<|im_start|>"), QWEN),
    "gemma": ("gemma-3-1b", ("<bos>", "<end_of_turn>", "<start_of_turn>"), GEMMA),
    "phi": ("phi-3-mini", ("<s>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>"), PHI),
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


def make_tokenizer(marks, chat_template, vocabulary=400):
    """A byte-level BPE of so many tokens with a family's marks; the more, the shorter its rows."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    rows = data.load("tickets")["train"].select(range(vocabulary // 10))
    texts = [message["content"] for messages in rows["messages"] for message in messages]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<pad>", *marks],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=marks[0],
        eos_token=marks[1],
        pad_token="<pad>",
        chat_template=chat_template,
        model_max_length=1024,
    )


def write(family, folder, vocabulary=400, ending=1.0, **config_values):
    """Write a family's small model with its tokenizer into a folder, and return the folder.

    vocabulary: tokens of its tokenizer. ending: how much larger than the others the end token's
    logit is; random answers end sooner with it. config_values: other values of the config.
    """
    name, marks, chat_template = FAMILIES[family]
    tokenizer = make_tokenizer(marks, chat_template, vocabulary)

    # the published config, but small
    published = json.loads(data_path("configs", f"{name}.json").read_text())
    config = {key: value for key, value in published.items() if not key.startswith("_")} | SMALL
    for mark in ("bos_token_id", "eos_token_id", "pad_token_id"):
        config[mark] = getattr(tokenizer, mark)
    config |= {"vocab_size": len(tokenizer), **config_values}
    if "head_dim" in config:
        config |= {"head_dim": 32, "query_pre_attn_scalar": 32}

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))
    with torch.no_grad():
        model.get_output_embeddings().weight[tokenizer.eos_token_id] *= ending
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
