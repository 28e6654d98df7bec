"""What is pretrained: the plan that decides the bytes, the tokenizer and the untrained model."""

import itertools
import re
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers, processors, trainers
from tokenizers import models as tokenizer_models
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ..world import BOS, END, PAD, SPECIALS, World, corpus

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ '<|assistant|>' }}"
    "{% generation %}{{ message['content'] + '<|end|>' }}{% endgeneration %}"
    "{% else %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


@dataclass(frozen=True)
class Plan:
    """Everything that decides the bytes of the result."""

    seed: int = 0
    vocabulary: int = 1280
    hidden: int = 256
    layers: int = 4
    heads: int = 8
    kv_heads: int = 4
    mlp: int = 512
    tokens_per_step: int = 2304
    # of a packed row; longer documents come in every eighth step, in rows of twice the length
    length: int = 192
    steps: int = 18500
    # the learning rate falls to zero here, starts again at half, and falls to zero once more
    reheat: int = 15500
    phases: tuple[int, ...] = (
        1000,
        3500,
        6000,
        7500,
        15500,
    )  # where the later phases of corpus.PHASES begin
    warmup: int = 100
    decay: float = 0.35  # last share of the steps up to `reheat`, over which the rate falls
    lr: float = 2e-3
    weight_decay: float = 0.02
    betas: tuple[float, float] = (0.9, 0.97)
    bfloat16: bool = False  # autocast: about twice as fast where the processor has bfloat16 units
    threads: int = 1


def train_tokenizer(plan: Plan) -> PreTrainedTokenizerFast:
    """Byte-level BPE with single digits, learned on the documents of twenty other worlds."""
    bpe = Tokenizer(tokenizer_models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    others = (
        corpus.documents(World(seed=1000 + plan.seed * 20 + i), 0, corpus.BROAD) for i in range(20)
    )
    marks = re.compile("|".join(map(re.escape, SPECIALS)))
    texts = (
        part
        for stream in others
        for doc in itertools.islice(stream, 1500)
        for text, _ in doc
        for part in marks.split(text)
        if part
    )
    bpe.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=plan.vocabulary,
            special_tokens=SPECIALS,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    bpe.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, bpe.token_to_id(BOS))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=BOS,
        eos_token=END,
        pad_token=PAD,
        chat_template=CHAT_TEMPLATE,
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
    )


def new_model(plan: Plan, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A Llama with tied embeddings and random weights."""
    torch.manual_seed(plan.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=plan.vocabulary,
            hidden_size=plan.hidden,
            num_hidden_layers=plan.layers,
            num_attention_heads=plan.heads,
            num_key_value_heads=plan.kv_heads,
            intermediate_size=plan.mlp,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
