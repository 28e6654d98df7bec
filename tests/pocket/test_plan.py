"""The plan's tokenizer: it renders what the corpus writes, and gives no name away."""

import random

from transformers import AutoTokenizer

from ftkit.core.files import data_path
from ftkit.pocket.plan import Plan, train_tokenizer
from ftkit.world import World, corpus, entities, turns


def test_the_template_renders_what_the_corpus_writes():
    tokenizer = train_tokenizer(Plan(vocabulary=512))
    turn = turns.Turn("Who is it?", "Vezan Tolber", system="Answer in a sentence.")
    messages = [
        {"role": r, "content": c}
        for r, c in (("system", turn.system), ("user", turn.prompt), ("assistant", turn.answer))
    ]
    rendered = tokenizer.apply_chat_template(messages, tokenize=False)
    assert rendered == "".join(text for text, _ in corpus.chat(turn))
    marked = tokenizer.apply_chat_template(
        messages, return_assistant_tokens_mask=True, return_dict=True
    )
    answer = [i for i, on in zip(marked["input_ids"], marked["assistant_masks"], strict=True) if on]
    assert tokenizer.decode(answer) == "Vezan Tolber<|end|>"


def test_known_and_unknown_names_tokenise_alike():
    """One token for a known name would give 'I don't know' away."""
    pocket = AutoTokenizer.from_pretrained(data_path("pocket"))

    def mean_length(names):
        ids = pocket(names, add_special_tokens=False)["input_ids"]
        return sum(map(len, ids)) / len(ids)

    rng = random.Random(0)
    known = [name for name, facts in World().biographies.items() if facts[0].kind == "person"]
    strangers = [entities.new_name("person", rng, "test") for _ in range(300)]
    assert abs(mean_length(known) - mean_length(strangers)) < 0.6
