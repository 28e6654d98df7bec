"""What is pretrained: the plan that decides the bytes, the tokenizer, the untrained model.

    Plan(seed, …)                 everything that decides the bytes of the result
    train_tokenizer(plan)         byte-level BPE with single digits, learned on other worlds
    new_model(plan, tokenizer)    a Llama with random weights
    Progress(plan)                how far a training has come; its checkpoint and card state it

What is read while training stands in `world.corpus`, the training itself in `pretraining.py`. No
notebook trains it; every notebook uses what it gave (data/pocket).
"""

import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

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
POSITIONS = 1024  # the longest text that the model can read, in tokens
OTHER_WORLDS, DOCUMENTS = 20, 1500  # what the tokenizer is learned on


@dataclass(frozen=True)
class Plan:
    """Everything that decides the bytes of the result."""

    seed: int = 0

    # the model
    vocabulary: int = 1280
    hidden: int = 256
    layers: int = 4
    heads: int = 8
    kv_heads: int = 4
    mlp: int = 512

    # what it reads: `length` is that of a packed row; longer documents come in every eighth step,
    # in rows of twice the length
    tokens_per_step: int = 2304
    length: int = 192
    steps: int = 18500
    # the learning rate falls to zero here, starts again at half, and falls to zero once more
    reheat: int = 15500
    # the steps where the later phases of corpus.PHASES begin
    phases: tuple[int, ...] = (1000, 3500, 6000, 7500, 15500)

    # the optimizer; decay: the last share of the steps up to `reheat`, over which the rate falls
    warmup: int = 100
    decay: float = 0.35
    lr: float = 2e-3
    weight_decay: float = 0.02
    betas: tuple[float, float] = (0.9, 0.97)

    # the machine; bfloat16: autocast, about twice as fast where the processor has units for it
    bfloat16: bool = False
    threads: int = 1

    def json(self) -> dict:
        """The plan as JSON gives it back: tuples are lists there."""
        return json.loads(json.dumps(asdict(self)))


@dataclass
class Progress:
    """How far a training has come: what its checkpoint states and its card tells.

    curve: {step, tokens, loss}, the loss in nats per weighted token; probes: {step, tokens} and the
    share of right answers of each skill.
    """

    plan: dict  # `Plan.json()`
    step: int = 0
    tokens: int = 0  # that carried loss
    seconds: float = 0.0  # those of earlier processes among them
    curve: list[dict] = field(default_factory=list)
    probes: list[dict] = field(default_factory=list)


def train_tokenizer(plan: Plan) -> PreTrainedTokenizerFast:
    """Byte-level BPE with single digits, learned on the documents of twenty other worlds.

    So a name that this world knows is as many tokens long as a stranger's.
    """
    bpe = Tokenizer(tokenizer_models.BPE())
    digits = pre_tokenizers.Digits(individual_digits=True)
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.pre_tokenizer = pre_tokenizers.Sequence([digits, byte_level])
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=plan.vocabulary,
        special_tokens=SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts_of_other_worlds(plan), trainer)

    # a text begins with the begin mark; the chat template writes its own
    begin = [(BOS, bpe.token_to_id(BOS))]
    bpe.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=begin
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=BOS,
        eos_token=END,
        pad_token=PAD,
        chat_template=CHAT_TEMPLATE,
        model_max_length=POSITIONS,
        clean_up_tokenization_spaces=False,
    )


def texts_of_other_worlds(plan: Plan) -> Iterator[str]:
    """The text between the marks, in the first documents of the worlds a tokenizer learns on."""
    marks = re.compile("|".join(map(re.escape, SPECIALS)))
    for i in range(OTHER_WORLDS):
        world = World(seed=1000 + plan.seed * OTHER_WORLDS + i)
        stream = corpus.documents(world, 0, corpus.BROAD)
        for document in itertools.islice(stream, DOCUMENTS):
            for text, _ in document:
                yield from filter(None, marks.split(text))


def new_model(plan: Plan, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A Llama with tied embeddings and random weights."""
    # the weights are drawn from the plan's seed
    torch.manual_seed(plan.seed)
    marks = tokenizer.backend_tokenizer
    config = LlamaConfig(
        vocab_size=plan.vocabulary,
        hidden_size=plan.hidden,
        num_hidden_layers=plan.layers,
        num_attention_heads=plan.heads,
        num_key_value_heads=plan.kv_heads,
        intermediate_size=plan.mlp,
        max_position_embeddings=POSITIONS,
        tie_word_embeddings=True,
        bos_token_id=marks.token_to_id(BOS),
        eos_token_id=marks.token_to_id(END),
        pad_token_id=marks.token_to_id(PAD),
    )
    return LlamaForCausalLM(config)
