"""Chat templates of any making: an answer's tokens are the answer's, or the template is refused."""

import pytest
from families import FAMILIES, make_tokenizer
from fuzzing import run_cases, scramble

from ftkit import data
from ftkit.data import rendering

HEADS = (
    "", "{{ bos_token }}", "{{ bos_token if bos_token }}",
    "{{- '<|im_start|>system\\nS<|im_end|>\\n' }}",
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}",
    "{% if tools %}{{ tools | tojson }}{% endif %}", "{{ strftime_now('%d %b %Y') }}\n",
    "{{ nothing }}",
    "{% set ns = namespace(n=0) %}", "{{ undefined.x.y }}", "{{ messages | length }} ",
    "{{ 1 / 0 }}",
    "{% if (messages | length) % 2 %}{{ raise_exception('roles must alternate') }}{% endif %}",
    "{% set messages = messages[-2:] %}", "{% set messages = messages | reverse | list %}",
    "{# c #}",
    "{% for i in range(10 ** 9) %}{% endfor %}", "{{ 'x' * 10 ** 5 }}", "{{ messages[9].content }}",
    "{% import 'os' as os %}", "{{ ''.__class__.__mro__ }}", "{% set x = messages[0]['name'] %}",
)  # fmt: skip
ROLES = (
    "{{ m['role'] }}", "{{ m.role | upper }}", "{{ 'model' if m.role == 'assistant' else m.role }}",
    "{{ m['role'] | title }}", "", "{{ loop.index0 }}", "{{ m.name }}", "{{ m['rolle'] }}",
)  # fmt: skip
CONTENTS = (
    "{{ m['content'] }}", "{{ m['content'] | trim }}", "{{ m.content.strip() }}", "{{ m.content }}",
    "{{ m['content'] | upper }}", "{{ m.content | tojson }}", "{{ m.content[:5] }}", "",
    "{{ m.content.split('</think>')[-1] }}", "{{ m.content | replace('a', 'b') }}", "{{ m.text }}",
    "{% if m.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}{{ m.content }}",
    "{% if m.role != 'system' %}{{ m.content }}{% endif %}", "{{ m.content ~ m.content }}",
    "{% generation %}{{ m.content }}{% endgeneration %}", "{{ m.content[0].text }}",
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}"
    "{% else %}{{ m.content }}{% endif %}", "{{ m.content.lstrip('a') }}", "{{ m.content }} ",
    "{% for line in m.content.split('\n') %}{{ line }}{% endfor %}",
    "{{ m.content | wordwrap(9) }}",
    "{% if loop.last %}{{ m.content }}{% endif %}",
    "{% if not loop.last %}{{ m.content }}{% endif %}",
)  # fmt: skip
OPENINGS = (
    "<|im_start|>{}\n", "<|{}|>\n", "[INST] ", "### {}:\n", "{}: ", "<{}>", "\n", "", "{}",
    "<s>{} ",
    "<|start_header_id|>{}<|end_header_id|>\n\n", "{{% if loop.first %}}A{{% endif %}}{}",
)  # fmt: skip
CLOSINGS = (
    "<|im_end|>\n", "<|im_end|>", "{{ eos_token }}", "{{ eos_token }}\n", "</s>", "\n", "", " ",
    "{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}",
    "{% if not loop.last %}\n{% endif %}",
    "<|im_end|>{% if loop.last %}<|endoftext|>{% endif %}", "{{ '' }}", "{{- '\n\n' -}}",
)  # fmt: skip
BEGINNINGS = (
    "<|im_start|>assistant\n", "<|im_start|>assistant\n<think>\n", "<|assistant|>\n", "assistant: ",
    "### Response:\n", "", "<think>\n\n</think>\n\n", " ", "{{ eos_token }}",
    "{{ bos_token }}model\n",
)  # fmt: skip


@pytest.fixture(scope="module")
def tokenizers():
    return [make_tokenizer(FAMILIES[name][1], "") for name in ("qwen", "llama", "phi")]


def draw_template(rng):
    """A family's template or one put together, at times with a fault."""
    if rng.random() < 0.25:
        text = rng.choice([family[2] for family in FAMILIES.values()])
    else:
        turn = rng.choice(OPENINGS).format(rng.choice(ROLES)) + rng.choice(CONTENTS)
        turn += rng.choice(CLOSINGS)
        loop = "{% for m in messages %}" + turn + "{% endfor %}"
        begin = "{% if add_generation_prompt %}" + rng.choice(BEGINNINGS) + "{% endif %}"
        text = rng.choice(["", rng.choice(HEADS)]) + loop + rng.choice([begin, begin, begin, ""])
    if rng.random() < 0.2:
        text = scramble(text.encode(), rng).decode("utf-8", "replace")
    return text


def draw_chat(rng):
    """A chat whose every message has words that no other has."""
    chat, number = [], 0
    roles = ["system"] * (rng.random() < 0.3) + ["user", "assistant"] * rng.randrange(1, 4)
    for role in roles:
        number += 1
        words = rng.choice(
            ["Qa{0} is{0}", " Qa{0}\nnew{0} ", "Qa{0}", "a{0}, ü{0}", "<b>Qa{0}</b>"]
        )
        chat.append({"role": role, "content": words.format(f"{number}{number}x")})
        if role == "assistant" and rng.random() < 0.15 and number < len(roles):
            chat[-1]["weight"] = 0
    return chat


def render_any(case, tokenizers):
    """What carries loss is what the assistant says, all of it and nothing of the others."""
    rng = case.rng
    tokenizer, chat = rng.choice(tokenizers), draw_chat(rng)
    tokenizer.chat_template = draw_template(rng)
    case.did.append(repr(tokenizer.chat_template))
    rendered, refused = case.call(data.render, chat, tokenizer, where="line 3")
    if refused:
        assert "line 3" in refused or "template" in refused, refused
        return

    # the tokens are the text
    assert tokenizer.decode(rendered.ids) == rendered.text, "the tokens are not the text"
    assert len(rendered.learned) == len(rendered.ids)
    learned = tokenizer.decode(
        [i for i, yes in zip(rendered.ids, rendered.learned, strict=True) if yes]
    )
    for message in chat:
        words = message["content"].split()
        mine = message["role"] == "assistant" and message.get("weight") != 0
        for word in words:
            assert (word in learned) == mine, (
                f"{word!r} of {message} in what is learned: {learned!r}"
            )
    answer = tokenizer.decode(rendered.answer_ids)
    assert all(word in answer for word in chat[-1]["content"].split()), f"the answer is {answer!r}"

    # the prompt is what stands before the answer
    prompt, refused = case.call(data.render_prompt, chat[:-1], tokenizer, where="line 3")
    assert prompt is not None, refused
    assert chat[-1]["content"].split()[0] not in prompt


def test_of_any_template_the_answer_is_learned_and_nothing_else(tmp_path, tokenizers):
    run_cases("templates", 500, lambda case: render_any(case, tokenizers), tmp_path)


def test_the_fuzz_finds_a_question_that_is_learned(tmp_path, tokenizers, monkeypatch):
    right = rendering.covered_tokens
    monkeypatch.setattr(
        rendering,
        "covered_tokens",
        lambda start, end, places: right(max(0, start - 40), end, places),
    )
    with pytest.raises(AssertionError, match="in what is learned"):
        run_cases("templates", 30, lambda case: render_any(case, tokenizers), tmp_path)
