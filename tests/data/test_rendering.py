"""Which tokens are an answer's, in chat templates of every shape."""

import copy
import functools
import importlib.util
import json
import re
from pathlib import Path

import families
import pytest
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from ftkit import UserError, data
from ftkit.core.files import data_path
from ftkit.data import rendering

ONE = [{"role": "user", "content": "One?"}, {"role": "assistant", "content": "first answer"}]
TWO = [*ONE, {"role": "user", "content": "Two?"}, {"role": "assistant", "content": "second"}]
TRL = Path(importlib.util.find_spec("trl").submodule_search_locations[0], "chat_templates")
TRAINING = sorted(file.name.removesuffix("_training.jinja") for file in TRL.glob("*_training.*"))
SPECIAL = re.compile(r"<[|｜][^|｜<>]*[|｜]>|<end_of_\w+>|<start_of_\w+>")

# Templates of the shapes that families have: what comes for each message, and for the prompt.
TURN = "<|im_start|>{{ m['role'] }}\n"
BEGIN = "<|im_start|>assistant\n"
CHATML = families.template(TURN + "{{ m['content'] }}<|im_end|>\n", BEGIN)
SHAPES = {
    # a think block before the last answer alone: Qwen 3
    "empty think": families.template(
        TURN + "{% if m['role'] == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}"
        "{{ m['content'] }}<|im_end|>\n",
        BEGIN,
    ),
    # a prompt that is no beginning of the chat: DeepSeek R1
    "open think": families.template(TURN + "{{ m['content'] }}<|im_end|>\n", BEGIN + "<think>\n"),
    # earlier thoughts are dropped: Qwen 3, DeepSeek
    "drops thoughts": families.template(
        TURN + "{% if loop.last %}{{ m['content'] }}{% else %}"
        "{{ m['content'].split('</think>')[-1] | trim }}{% endif %}<|im_end|>\n",
        BEGIN,
    ),
    "strips": families.template(TURN + "{{ m['content'] | trim }}<|im_end|>\n", BEGIN),
    "parts": families.template(
        TURN + "{% for part in m['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}"
        "{% endif %}{% endfor %}<|im_end|>\n",
        BEGIN,
    ),
    # one end mark for the chat's last answer, another for earlier ones: gpt-oss
    "two ends": families.template(
        TURN + "{{ m['content'] }}{{ '<|return|>' if loop.last and m['role'] == 'assistant' "
        "else '<|im_end|>' }}",
        BEGIN,
    ),
    # the end of the text behind the end of the turn: Phi 3
    "end of text": CHATML.replace("{% endif %}", "{% else %}<|endoftext|>{% endif %}"),
    "no end": families.template("{{ m['role'] }}:\n{{ m['content'] }}\n\n", "assistant:\n"),
    "plain end": families.template(
        "{{ m['role'] }}:\n{{ m['content'] }}[END]\n", "assistant:\n"
    ),
    # the system's words are the user's: Gemma 3
    "merges": "{% set s = messages[0] if messages[0]['role'] == 'system' else {'content': ''} %}"
    + families.template(
        "{% if m['role'] != 'system' %}" + TURN + "{{ s['content'] if loop.index < 3 }}"
        "{{ m['content'] }}<|im_end|>\n{% endif %}",
        BEGIN,
    ),
}  # fmt: skip
ENDS = {"no end": "\n\n", "plain end": "[END]"}


@functools.cache
def tokenizer_of_all():
    marks = ("<|endoftext|>", "<|im_end|>", "<|im_start|>", "<|return|>")
    return families.make_tokenizer(marks, None)


def with_template(template):
    tokenizer = copy.deepcopy(tokenizer_of_all())
    tokenizer.chat_template = template
    return tokenizer


@pytest.fixture(scope="module")
def plain():
    return with_template(CHATML)


@pytest.fixture(scope="module")
def pocket():
    return AutoTokenizer.from_pretrained(data_path("pocket"))


def learned(chat, tokenizer):
    """The runs of tokens that carry loss, as text."""
    runs, before = [], False
    for token, loss in zip(chat.ids, chat.learned, strict=True):
        if loss:
            runs[len(runs) if not before else -1 :] = [[*(runs[-1] if before else ()), token]]
        before = loss
    return [tokenizer.decode(run) for run in runs]


def last(chat, tokenizer):
    return tokenizer.decode(chat.answer_ids)


def test_every_answer_is_learned_with_its_end_mark(pocket):
    chat = data.render(TWO, pocket)
    assert learned(chat, pocket) == ["first answer<|end|>", "second<|end|>"]
    assert last(chat, pocket) == "second<|end|>"
    assert chat.text == pocket.apply_chat_template(TWO, tokenize=False)


def test_with_marks_it_is_what_transformers_says(pocket):
    for messages in (ONE, TWO, *data.load("tickets")["train"]["messages"][:5]):
        theirs = pocket.apply_chat_template(
            messages, return_dict=True, return_assistant_tokens_mask=True
        )
        chat = data.render(messages, pocket)
        assert chat.ids == theirs["input_ids"]
        assert chat.learned == [bool(mark) for mark in theirs["assistant_masks"]]


def test_a_template_without_marks_teaches_the_same_tokens(pocket):
    marks = re.compile(r"\{% (end)?generation %\}")
    unmarked = AutoTokenizer.from_pretrained(data_path("pocket"))
    unmarked.chat_template = marks.sub("", pocket.chat_template)
    assert unmarked.chat_template != pocket.chat_template
    for messages in (ONE, TWO):
        assert data.render(messages, unmarked) == data.render(messages, pocket)


@pytest.mark.parametrize("family", families.FAMILIES)
def test_the_families_teach_all_answers_and_no_line_end_behind_them(family):
    _, marks, template = families.FAMILIES[family]
    tokenizer = families.make_tokenizer(marks, template)
    chat = data.render(TWO, tokenizer)
    assert learned(chat, tokenizer) == [f"first answer{marks[1]}", f"second{marks[1]}"]
    assert chat.ids.count(tokenizer.bos_token_id) <= 1


@pytest.mark.parametrize("weights", [(0, 1), (1, 0), (0, 0), (None, 1)])
def test_a_turn_of_weight_0_is_not_learned(weights, plain, pocket):
    for tokenizer, end in ((plain, "<|im_end|>"), (pocket, "<|end|>")):
        messages = [dict(message) for message in TWO]
        for place, weight in zip((1, 3), weights, strict=True):
            messages[place]["weight"] = weight
        chat = data.render(messages, tokenizer)
        both = zip(("first answer", "second"), weights, strict=True)
        assert learned(chat, tokenizer) == [text + end for text, weight in both if weight != 0]
        assert last(chat, tokenizer) == "second" + end, "it is still the answer"


@pytest.mark.parametrize("shape", SHAPES)
def test_templates_of_every_shape_teach_the_same_turns(shape):
    tokenizer = with_template(SHAPES[shape])
    end = ENDS.get(shape, "<|im_end|>")
    before = "<think>\n\n</think>\n\n" if shape == "empty think" else ""
    first, second = learned(data.render(TWO, tokenizer), tokenizer)
    if shape == "two ends":
        assert (first, second) == ("first answer<|im_end|>", "second<|return|>")
        return
    assert first == "first answer" + end
    assert second == before + "second" + end


def test_a_prompt_ends_where_the_answer_begins():
    for shape, template in SHAPES.items():
        tokenizer = with_template(template)
        chat, prompt = data.render(ONE, tokenizer), data.render_prompt(ONE[:1], tokenizer)
        assert prompt == tokenizer.apply_chat_template(
            ONE[:1], tokenize=False, add_generation_prompt=True
        ) or shape == "parts"  # fmt: skip
        if shape != "open think":
            assert chat.text.startswith(prompt)


@pytest.mark.parametrize("answer", ["5", "<b>bold</b>", "<think", "\n\nspaced ", "a<|im_start|>b"])
def test_an_answer_may_begin_as_the_prompt_goes_on(answer):
    """A prompt that opens a think block: one token more or less, and perplexity is of other words.

    A single token was a ZeroDivisionError (compare trl 3522).
    """
    tokenizer = with_template(SHAPES["open think"])
    chat = data.render([ONE[0], {"role": "assistant", "content": answer}], tokenizer)
    assert last(chat, tokenizer) == answer + "<|im_end|>"


def test_thoughts_that_the_prompt_opens_are_not_learned_twice():
    tokenizer = with_template(SHAPES["open think"])
    thought = {"role": "assistant", "content": "<think>\nhm\n</think>\nyes"}
    chat = data.render([ONE[0], thought], tokenizer)
    assert last(chat, tokenizer) == "hm\n</think>\nyes<|im_end|>"


def test_thoughts_that_the_template_drops_are_refused_where_they_would_be_learned():
    tokenizer = with_template(SHAPES["drops thoughts"])
    thought = "<think>\nlong thoughts\n</think>\n\n"
    messages = [dict(message) for message in TWO]
    for place in (1, 3):
        messages[place]["content"] = thought + messages[place]["content"]
    with pytest.raises(UserError, match=r"thoughts 'long thoughts' of row 3's message 2"):
        data.render(messages, tokenizer, where="row 3")
    messages[1]["weight"] = 0
    chat = data.render(messages, tokenizer)
    assert learned(chat, tokenizer) == [thought + "second<|im_end|>"]
    assert thought not in data.render_prompt(messages[:3], tokenizer), "it only reads them"


DROPS = "{% if m['role'] != 'system' %}" + CHATML[len("{% for m in messages %}") :]
DROPS = "{% for m in messages %}" + DROPS.replace("{% endfor %}", "{% endif %}{% endfor %}", 1)
LOUD = families.template(TURN + "{{ m['content'].split(' ')[0] }}<|im_end|>\n", BEGIN)


@pytest.mark.parametrize(
    ("template", "messages", "says"),
    [
        (DROPS, [{"role": "system", "content": "Be brief."}, *ONE], "text 'Be brief.' .*1 .system"),
        (LOUD, ONE, "text 'first answer' of row 7's message 2 .assistant"),
        (CHATML, [{**ONE[0], "name": "Ann"}, ONE[1]], "name 'Ann' of row 7's message 1 .user"),
        (
            CHATML,
            [ONE[0], {**ONE[1], "tool_calls": [{"function": {"name": "sing"}}]}],
            "tool call 'sing' of row 7's message 2",
        ),
        (CHATML, [ONE[0], {**ONE[1], "reasoning_content": "hm"}], "thoughts 'hm' of row 7's"),
        ("{{ raise_exception('no such roles') }}", ONE, "row 7 does not fit .*: no such roles"),
    ],
)  # fmt: skip
def test_what_a_template_refuses_or_drops_is_named(template, messages, says):
    tokenizer = with_template(template)
    with pytest.raises(UserError, match=says):
        data.render(messages, tokenizer, where="row 7")
    if messages[:-1] != ONE[:1]:
        with pytest.raises(UserError, match=says):
            data.render_prompt(messages[:-1], tokenizer, where="row 7")


def test_tools_are_shown_or_refused(plain):
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
    with pytest.raises(UserError, match="leaves out the tools of row 7"):
        data.render(ONE, plain, tools=tools, where="row 7")
    shows = with_template("{% for t in tools or [] %}{{ t | tojson }}\n{% endfor %}" + CHATML)
    assert '"weather"' in data.render(ONE, shows, tools=tools).text
    as_json = '[{"type": "function", "function": {"name": "weather", "parameters": {}}}]'
    assert data.render(ONE, shows, tools=as_json) == data.render(ONE, shows, tools=tools)


CALLS = CHATML.replace(
    "<|im_end|>",
    "{% for c in m['tool_calls'] or [] %}<tool_call>{{ c['function']['name'] }} "
    "{{ c['function']['arguments'] | tojson }}</tool_call>{% endfor %}<|im_end|>",
)


ROME = {"city": "Rome", "day": None}


@pytest.mark.parametrize("arguments", [ROME, json.dumps(ROME)])
def test_a_tool_call_is_learned_whole_and_its_result_is_not(arguments):
    call = {"type": "function", "function": {"name": "weather", "arguments": arguments}}
    messages = [
        ONE[0],
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "sun", "name": "weather", "tool_call_id": "1"},
        {"role": "assistant", "content": "Sunny.", "tool_calls": None},
    ]
    tokenizer = with_template(CALLS)
    assert learned(data.render(messages, tokenizer), tokenizer) == [
        '<tool_call>weather {"city": "Rome", "day": null}</tool_call><|im_end|>',
        "Sunny.<|im_end|>",
    ]


def test_a_tool_call_behind_a_prompt_that_opens_a_think_block():
    """<t is the beginning of <think> and of <tool_call>."""
    tokenizer = with_template(CALLS.replace(BEGIN, BEGIN + "<think>\n"))
    call = {"type": "function", "function": {"name": "weather", "arguments": {}}}
    chat = data.render(
        [ONE[0], {"role": "assistant", "content": "", "tool_calls": [call]}], tokenizer
    )
    assert last(chat, tokenizer) == "<tool_call>weather {}</tool_call><|im_end|>"


def test_a_list_of_parts_is_never_written_as_it_stands():
    """Any template writes "[{'type': 'text', …}]" of it, and seems to drop nothing then."""
    dropped = "{% if '</think>' in c %}{% set c = c.split('</think>')[-1] %}{% endif %}"
    tokenizer = with_template(
        families.template(
            "{% set c = m['content'] %}" + dropped + TURN + "{{ c }}<|im_end|>\n", BEGIN
        )
    )
    messages = [ONE[0], {"role": "assistant", "content": "<think>hm</think>yes"}]
    with pytest.raises(UserError, match="leaves out the thoughts 'hm'"):
        data.render(messages, tokenizer)
    said = [ONE[0], {"role": "assistant", "content": "[{'type': 'text', 'text': 'a'}]"}]
    parts = with_template(SHAPES["parts"])
    assert last(data.render(said, parts), parts) == said[1]["content"] + "<|im_end|>"


def with_call(arguments):
    call = {"type": "function", "function": {"name": "weather", "arguments": arguments}}
    return [ONE[0], {"role": "assistant", "content": "", "tool_calls": [call]}]


@pytest.mark.parametrize("arguments", [ROME, json.dumps(ROME)])
def test_arguments_that_the_template_leaves_out_are_refused(arguments):
    names = with_template(CALLS.replace(" {{ c['function']['arguments'] | tojson }}", ""))
    with pytest.raises(UserError, match="leaves out the arguments of the tool call in row 7's"):
        data.render(with_call(arguments), names, where="row 7")
    assert data.render(with_call({}), names)


@pytest.mark.parametrize("arguments", [ROME, json.dumps(ROME)])
def test_a_template_that_wants_arguments_as_text_is_given_text(arguments):
    """DeepSeek's join them to a text (transformers 45419)."""
    template = CALLS.replace(
        "{{ c['function']['arguments'] | tojson }}", "{{ '' + c['function']['arguments'] }}"
    )
    tokenizer = with_template(template)
    chat = data.render(with_call(arguments), tokenizer)
    assert last(chat, tokenizer).startswith('<tool_call>weather {"city": "Rome", "day": null}</')


@pytest.mark.parametrize("answer", ["yes<|im_end|>", "a <|im_end|> b", "yes<|endoftext|>"])
def test_an_answer_that_holds_its_own_end_is_refused(answer, plain):
    """It would be cut off there as a gold, and half of it be right."""
    plain.eos_token = "<|endoftext|>"
    with pytest.raises(UserError, match=r"message 2 of row 7 .assistant. holds '<\|.*take it out"):
        data.render([ONE[0], {"role": "assistant", "content": answer}], plain, where="row 7")
    # what is only read may say so
    assert data.render([{"role": "user", "content": answer}, ONE[1]], plain)


def test_named_templates_no_template_and_no_answer(plain):
    named = with_template(CHATML)
    named.chat_template = {"default": CHATML, "tool_use": CALLS}
    assert data.render(TWO, named) == data.render(TWO, plain)
    none = with_template(None)
    for ask in (lambda: data.render(ONE, none), lambda: data.render_prompt(ONE[:1], none)):
        with pytest.raises(UserError, match="has no chat template; take an instruction-tuned"):
            ask()
    with pytest.raises(UserError, match="row 2 does not end in an answer"):
        data.render(TWO[:3], plain, where="row 2")


def test_marks_that_leave_out_the_end_mark_teach_it_all_the_same():
    marked = CHATML.replace(
        "{{ m['content'] }}",
        "{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] }}{% endgeneration %}"
        "{% else %}{{ m['content'] }}{% endif %}",
    )
    tokenizer = with_template(marked)
    chat = data.render(TWO, tokenizer)
    assert learned(chat, tokenizer) == ["first answer<|im_end|>", "second<|im_end|>"]


def test_white_space_and_a_greeting_come_out_as_the_template_has_them(plain):
    strips = with_template(SHAPES["strips"])
    spaced = [ONE[0], {"role": "assistant", "content": " spaced\n"}]
    assert last(data.render(spaced, strips), strips) == "spaced<|im_end|>"
    assert last(data.render(spaced, plain), plain) == " spaced\n<|im_end|>"
    greeting = [{"role": "assistant", "content": "Hello."}, *ONE]
    assert learned(data.render(greeting, plain), plain)[0] == "Hello.<|im_end|>"


def test_a_date_is_the_one_that_is_fixed(plain):
    dated = with_template("{{ strftime_now('%d %b %Y %H:%M:%S') }}\n" + CHATML)
    assert data.says_date(dated)
    assert not data.says_date(plain)
    with data.on_date("2024-07-26"):
        chat = data.render(TWO, dated)
        assert chat.text.startswith("26 Jul 2024 00:00:00\n<|im_start|>user")
        assert data.render_prompt(ONE[:1], dated).startswith("26 Jul 2024")
    assert learned(chat, dated) == learned(data.render(TWO, plain), plain)
    now = data.render(TWO, dated)
    assert not now.text.startswith("26 Jul")
    assert data.render(TWO, dated) == now, "one date for a session"
    with pytest.raises(UserError, match="date is 'today'"), data.on_date("today"):
        pass


def test_content_that_a_template_reads_is_found_without_marks():
    """A template that writes how long a content is writes another text as soon as it is marked."""
    counts = CHATML.replace("{{ m['content'] }}", "{{ m['content'] | length }} {{ m['content'] }}")
    tokenizer = with_template(counts)
    first, second = learned(data.render(TWO, tokenizer), tokenizer)
    assert (first, second) == ("12 first answer<|im_end|>", "6 second<|im_end|>")


def test_a_tokenizer_without_offsets_gives_the_same_tokens(plain, monkeypatch):
    fast = data.render(TWO, plain)
    monkeypatch.setattr(type(plain), "is_fast", False)
    assert data.render(TWO, plain) == fast


@pytest.mark.parametrize("shape", SHAPES)
def test_whether_an_answer_has_an_end(shape):
    assert rendering.is_endless(with_template(SHAPES[shape])) == (shape == "no end")
    assert not rendering.is_endless(with_template("{{ raise_exception('no') }}"))


def test_what_stands_around_an_answer():
    around = {shape: with_template(template) for shape, template in SHAPES.items()}
    assert data.answer_head(around["empty think"]) == "<think>\n\n</think>\n\n"
    assert data.answer_head(around["open think"]) == ""
    assert data.answer_prompt(around["open think"]).endswith(BEGIN + "<think>\n")
    assert data.end_marks(around["two ends"]) == ["<|return|>", "<|im_end|>"]
    assert data.end_marks(around["end of text"]) == ["<|im_end|>"]
    assert data.end_marks(around["plain end"]) == ["[END]"]
    assert data.end_marks(around["no end"]) == []


@pytest.fixture(scope="module")
def of_all_families():
    """One tokenizer with the special tokens of all templates that TRL ships."""
    texts = [file.read_text(encoding="utf-8") for file in sorted(TRL.glob("*.jinja"))]
    special = sorted({token for text in texts for token in SPECIAL.findall(text)})
    return families.make_tokenizer(("<s>", "</s>", *special), None, 400 + len(special))


def own_words(text):
    """Without empty think blocks, which TRL's templates write before earlier answers too."""
    return re.sub(r"(<think>)?\s*</think>\s*", "", text).strip()


@pytest.mark.parametrize("family", TRAINING)
def test_the_turns_are_those_of_trls_training_templates(family, of_all_families):
    """Theirs may have the head of the turn, the line end behind it and the next turn's mark too."""
    tokenizer, runs = of_all_families, []
    for name in (family, f"{family}_training"):
        tokenizer.chat_template = (TRL / f"{name}.jinja").read_text(encoding="utf-8")
        runs.append(learned(data.render(TWO, tokenizer), tokenizer))
    assert len(runs[0]) == len(runs[1]) == 2
    for ours, theirs, answer in zip(*runs, ("first answer", "second"), strict=True):
        assert answer in ours
        assert own_words(ours) in own_words(theirs)
        beyond = own_words(theirs).replace(own_words(ours), "", 1)
        assert len(tokenizer(beyond)["input_ids"]) <= 12, beyond


def test_tokens_of_a_span():
    places = [rendering.Span(*place) for place in ((0, 2), (2, 2), (2, 5), (5, 6))]
    assert rendering.covered_tokens(1, 3, places) == range(3)
    assert rendering.covered_tokens(2, 5, places) == range(2, 3)
    assert rendering.covered_tokens(6, 9, places) == range(0)


def fuzzed(template):
    """A tokenizer whose template writes each message by its own rule."""
    return families.make_tokenizer(
        families.FAMILIES["qwen"][1], "{% for m in messages %}" + template + "{% endfor %}"
    )


SHORT = [{"role": "user", "content": "Question"}, {"role": "assistant", "content": "Answer"}]


def test_a_template_that_changes_the_answer_is_refused():
    with pytest.raises(UserError, match=r"writes 'ANSWER' for the text 'Answer' of the row's"):
        data.render(SHORT, fuzzed("{{ m.role }}: {{ m.content | upper }}\n"))


def test_marks_around_the_users_words_do_not_make_them_learned():
    tokenizer = fuzzed("{% generation %}{{ m.content }}{% endgeneration %} ")
    rendered = data.render(SHORT, tokenizer)
    learned = [i for i, yes in zip(rendered.ids, rendered.learned, strict=True) if yes]
    assert tokenizer.decode(learned).strip() == "Answer"


def test_a_template_that_turns_the_messages_round_is_refused():
    tokenizer = fuzzed("<|im_start|>{{ m.content }}")
    turned = "{% set messages = messages | reverse | list %}"
    tokenizer.chat_template = turned + tokenizer.chat_template
    with pytest.raises(UserError, match="so that the answer can't be found"):
        data.render(SHORT, tokenizer)


def test_signs_that_the_tokenizer_does_not_know_are_refused_in_answers():
    """Two answers in unknown signs are the same tokens, so that one would be as right."""
    words = Tokenizer(WordLevel({"<unk>": 0, "<e>": 1, "One": 2, "?": 3, "yes": 4}, "<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words,
        unk_token="<unk>",
        eos_token="<e>",
        chat_template=families.template("{{ m['content'] }} <e> ", " "),
    )
    assert last(
        data.render([ONE[0], {"role": "assistant", "content": "yes"}], tokenizer), tokenizer
    )
    with pytest.raises(UserError, match="no token for 'Rome' in an answer of row 7"):
        chat = [ONE[0], {"role": "assistant", "content": "yes Rome"}]
        data.render(chat, tokenizer, where="row 7")
    # what is only read may be unknown
    assert data.render(
        [{"role": "user", "content": "Rome"}, {"role": "assistant", "content": "yes"}], tokenizer
    )


FULL = {"city": "New York", "days": 3, "share": 0.5, "past": True, "deep": {"a": [1, "x"]}}
ITEMS = "{% for k, v in c['function']['arguments'].items() %}{{ k }}={{ v }};{% endfor %}"
PARTS = {
    "only the names": (ITEMS.replace("={{ v }}", ""), "'New York' .city. of weather"),
    "only the values": (ITEMS.replace("{{ k }}=", ""), "the name 'city' of weather"),
    "texts alone": (ITEMS.replace("{{ v }}", "{{ v if v is string }}"), "3 .days. of weather"),
    "no booleans": (ITEMS.replace("{{ v }}", "{{ v if v is not boolean }}"), "True .past. of"),
    "first words": (
        ITEMS.replace("{{ v }}", "{{ v.split(' ')[0] if v is string else v }}"),
        "'New York' .city. of weather",
    ),
    "the first one": (
        ITEMS.replace("%}{{ k }}={{ v }};{%", "%}{% if loop.first %}{{ k }}={{ v }}{% endif %}{%"),
        "the name 'days' of weather",
    ),
}


@pytest.mark.parametrize("shape", PARTS)
def test_a_part_of_the_arguments_that_is_left_out_is_refused(shape):
    written, says = PARTS[shape]
    tokenizer = with_template(CALLS.replace("{{ c['function']['arguments'] | tojson }}", written))
    reason = f"the arguments of the tool call in row 7's message 2 .{says}"
    with pytest.raises(UserError, match=reason):
        data.render(with_call(FULL), tokenizer, where="row 7")


@pytest.mark.parametrize("written", [ITEMS, "{{ c['function']['arguments'] | tojson }}"])
def test_arguments_that_are_written_in_any_way_are_taken(written):
    tokenizer = with_template(CALLS.replace("{{ c['function']['arguments'] | tojson }}", written))
    for arguments in (FULL, {}, {"none": None, "empty": []}):
        assert data.render(with_call(arguments), tokenizer)
    by_name = "{{ c['function']['arguments'].city }}"
    tokenizer.chat_template = CALLS.replace("{{ c['function']['arguments'] | tojson }}", by_name)
    assert data.render(with_call({"city": "Rome"}), tokenizer)


def test_calls_that_no_file_was_read_for_are_read_as_those_of_files():
    tokenizer = with_template(CALLS)
    call = {"function": {"name": "weather"}}
    chat = [ONE[0], {"role": "assistant", "content": "", "tool_calls": [call]}]
    assert "weather {}</tool_call>" in data.render(chat, tokenizer).text
    call["function"]["parameters"] = {"city": "Rome"}
    with pytest.raises(UserError, match="row 7: tool_calls: weather has 'parameters' and no arg"):
        data.render(chat, tokenizer, where="row 7")
    with pytest.raises(UserError, match="row 7: arguments of weather are a text and no JSON"):
        data.render(with_call("{city"), tokenizer, where="row 7")


TOOLS = [
    {"type": "function", "function": {
        "name": "weather", "description": "Tells the weather.", "parameters": {
            "type": "object", "required": ["city"], "properties": {
                "city": {"type": "string", "description": "Its name."},
                "unit": {"type": "string", "enum": ["C", "F"]},
            },
        },
    }},
    {"type": "function", "function": {"name": "stop", "description": "Ends it."}},
]  # fmt: skip
SHOWS = (
    "{% for t in tools or [] %}{% set f = t.function %}{% set p = f.parameters or {} %}"
    "WRITTEN\n{% endfor %}" + CHATML
)
LEFT_OUT = {
    "{{ t | tojson if loop.first }}": "'stop' .name. of stop",
    "{{ f.name }}": "'Tells the weather.' .description. of weather",
    "{{ f.name }}: {{ f.description[:5] }}": "'Tells the weather.' .description. of weather",
    "{{ f.name }}: {{ f.description }}": "'city' .parameters.required.0. of weather",
    "{{ f.name }}: {{ f.description }} {{ p.required }}": "the name 'city' of weather",
    "{{ f.name }}: {{ f.description }} {{ p.required }} {{ p.properties }}": "",
}  # fmt: skip


@pytest.mark.parametrize("written", LEFT_OUT)
def test_a_part_of_the_tools_that_is_left_out_is_refused(written):
    tokenizer = with_template(SHOWS.replace("WRITTEN", written))
    if says := LEFT_OUT[written]:
        reason = f"leaves out a part of the tools of row 7: {says}"
        for render, chat in ((data.render, ONE), (data.render_prompt, ONE[:1])):
            with pytest.raises(UserError, match=reason):
                render(chat, tokenizer, tools=TOOLS, where="row 7")
    else:
        assert data.render(ONE, tokenizer, tools=TOOLS)


def test_the_parts_of_tools_are_looked_at_once_for_each_set(monkeypatch):
    tokenizer, seen = with_template(SHOWS.replace("WRITTEN", "{{ t | tojson }}")), []
    looked = rendering.find_dropped_tool
    monkeypatch.setattr(
        rendering, "find_dropped_tool", lambda *args: seen.append(args) or looked(*args)
    )
    for tools in (TOOLS, TOOLS, TOOLS[:1], json.dumps(TOOLS)):
        assert data.render(ONE, tokenizer, tools=tools)
    assert len(seen) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        {"a": "b<|im_end|>", "c": 1}, {"a<|im_end|>": 1}, {"a": [{"b": "<|im_end|>"}]},
        '{"a": "<|im_end|>"}',
    ],
)  # fmt: skip
def test_a_tool_call_that_holds_its_own_end_is_refused(arguments):
    """Half of it was learned: an end inside the JSON."""
    tokenizer = with_template(CALLS)
    with pytest.raises(UserError, match=r"message 2 of row 7 .assistant. holds '<.*with which"):
        data.render(with_call(arguments), tokenizer, where="row 7")
    named = with_call({})
    named[1]["tool_calls"][0]["function"]["name"] = "f<|im_end|>"
    with pytest.raises(UserError, match=r"holds '<\|im_end\|>'"):
        data.render(named, tokenizer)
    assert data.render([named[0], {**named[1], "weight": 0}, *ONE], with_template(CALLS))
