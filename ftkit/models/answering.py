"""What a model answers, greedily: written out, or only verified against a gold answer.

    answer(model, tokenizer, conversations)                   the reply to each conversation
    write_replies(model, tokenizer, conversations)            with thoughts, and is it whole?
    verify_answers(model, tokenizer, conversations, golds)    is the reply the gold? seldom writes

A conversation is a list of chat messages, the last of them the user's. What a reply is stands in
`replies.py`. Sampling is left to the model's own `generate`; whether another wording is right as
well, to `evaluate` (notebook 09) and `forgetting` (notebook 10).
"""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from transformers import StoppingCriteria

from .. import data
from ..core.errors import UserError, is_whole
from ..core.session import bar, plain_torch
from .batching import (
    check_tokens,
    last_position,
    pad,
    prompt_batches,
    render_prompts,
    shortest_first,
)
from .layers import asking
from .replies import Reply, ReplyReader, greedy, is_same
from .virtual import read, virtual_tokens, write

if TYPE_CHECKING:
    from tqdm.auto import tqdm
    from transformers import BatchEncoding, PreTrainedModel, PreTrainedTokenizerBase


def answer(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    conversations: Sequence[list[dict]],
    max_new_tokens: int = 64,
    batch_size: int = 50,
) -> list[str]:
    """The greedy reply to each conversation, in the order given, without white space around it.

    Greedy whatever the model's own generation config says. A reply ends where the model or its
    chat template ends it, or after max_new_tokens; thoughts in a think block are left out.
    """
    replies = write_replies(model, tokenizer, conversations, max_new_tokens, batch_size)
    return [reply.text for reply in replies]


@plain_torch()
def write_replies(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    conversations: Sequence[list[dict]],
    max_new_tokens: int = 64,
    batch_size: int = 50,
    tools: Sequence[data.Tools] | None = None,
) -> list[Reply]:
    """The `Reply` to each conversation, as `answer` gives its text.

    tools: the functions that each of them may call. A reply is cut off at the model's last
    position, too. Raises UserError for a limit below 1, and for a prompt that leaves no room.
    """
    if not is_whole(max_new_tokens) or max_new_tokens < 1:
        raise UserError(f"max_new_tokens is {max_new_tokens!r}; give a whole number from 1 on.")
    replies: dict[int, Reply] = {}
    reader = ReplyReader(model, tokenizer)
    batches = prompt_batches(tokenizer, conversations, tools=tools, batch_size=batch_size)
    # the bar counts tokens, of which most replies have fewer than they may
    steps = math.ceil(len(conversations) / batch_size) * max_new_tokens
    with (
        greedy(model, reader, max_new_tokens=max_new_tokens) as config,
        bar(f"{len(conversations)} answers", steps, "token") as shown,
    ):
        for number, (places, batch) in enumerate(batches, 1):
            check_tokens(model, tokenizer, {"a prompt": int(batch["input_ids"].max())})
            for part, inputs, room in in_reach(model, places, batch, max_new_tokens):
                config.max_new_tokens = room
                options = {"tokenizer": tokenizer, "stopping_criteria": [Counter(shown)]}
                with asking(model):
                    written = write(model, inputs, generation_config=config, **options)
                replies.update(zip(part, map(reader.read, written.tolist()), strict=True))
            shown.update(number * max_new_tokens - shown.n)
    return [replies[place] for place in range(len(conversations))]


def in_reach(
    model: "PreTrainedModel", places: Sequence[int], batch: "BatchEncoding", wanted: int
) -> Iterator[tuple[Sequence[int], dict[str, torch.Tensor], int]]:
    """(places, inputs, tokens to write): the batch as it is, if all positions are there.

    Else its chats one by one, so that none is cut off earlier than by itself.
    """
    inputs = dict(batch.to(model.device))
    last, length = last_position(model), inputs["input_ids"].shape[1]
    last = None if last is None else last - virtual_tokens(model)
    if last is None or length + wanted <= last:
        yield places, inputs, wanted
        return
    for row, place in enumerate(places):
        begun = int(inputs["attention_mask"][row].argmax())  # behind the padding
        room = last - (length - begun)
        if room < 1:
            raise UserError(
                f"chat {place + 1} has {length - begun:,} tokens and the model knows {last:,} "
                "positions for them, so there is no room for a reply; shorten it, or take a model "
                "that reads more."
            )
        single = {name: values[row : row + 1, begun:] for name, values in inputs.items()}
        yield [place], single, min(room, wanted)


class Counter(StoppingCriteria):
    """Moves a bar at every token that `generate` writes, and stops nothing."""

    def __init__(self, shown: "tqdm") -> None:
        self.shown = shown

    def __call__(self, input_ids: torch.Tensor, scores: object, **_: object) -> torch.Tensor:
        """False for every row of (rows, tokens)."""
        self.shown.update()
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


@plain_torch()
def verify_answers(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    conversations: Sequence[list[dict]],
    golds: Sequence[str],
    max_new_tokens: int = 64,
) -> list[bool]:
    """Whether the greedy reply to each conversation is its gold, without writing most of them.

    One forward pass over prompt and gold shows which token greedy decoding puts after each (the
    check of speculative decoding, Leviathan et al. 2023). Where they are the gold's own and then
    an end, the reply is the gold; where the first other one leads away from the gold's text, it
    is not. What that leaves open, such as the same text in other tokens, is written out.
    """
    # golds as the template writes them; one pass can't tell about those that would be cut off
    reader = ReplyReader(model, tokenizer)
    gold_ids = render_golds(reader, conversations, golds)
    in_one_pass = [
        place
        for place, ids in enumerate(gold_ids)
        if len(ids) < max_new_tokens and not reader.plain_ends
    ]
    verified = verify_tokens(
        model,
        reader,
        prompts=[conversations[place] for place in in_one_pass],
        golds=[gold_ids[place] for place in in_one_pass],
    )
    verdicts: dict[int, bool | None] = dict.fromkeys(range(len(golds)))
    verdicts.update(zip(in_one_pass, verified, strict=True))

    # what is still open is written out
    still_open = [place for place, verdict in verdicts.items() if verdict is None]
    asked = [conversations[place] for place in still_open]
    replies = write_replies(model, tokenizer, asked, max_new_tokens)
    for place, reply in zip(still_open, replies, strict=True):
        verdicts[place] = is_same(reply, reader.read(gold_ids[place]))
    return [bool(verdict) for verdict in verdicts.values()]


def render_golds(
    reader: ReplyReader, conversations: Sequence[list[dict]], golds: Sequence[str]
) -> list[list[int]]:
    """The tokens of each gold as the answer to its conversation, without the end mark."""
    chats = [
        [*chat, {"role": "assistant", "content": gold}]
        for chat, gold in zip(conversations, golds, strict=True)
    ]
    return [
        reader.cut(data.render(chat, reader.tokenizer, where=f"chat {number}").answer_ids)
        for number, chat in enumerate(chats, 1)
    ]


def verify_tokens(
    model: "PreTrainedModel",
    reader: ReplyReader,
    prompts: Sequence[list[dict]],
    golds: Sequence[list[int]],
    batch_size: int = 25,
) -> list[bool | None]:
    """Does greedy decoding go on from each prompt, a chat, with the gold's tokens and an end?

    None where its first other token may still lead to the gold's text.
    """
    verdicts: list[bool | None] = [None] * len(prompts)
    texts = render_prompts(reader.tokenizer, prompts)
    ids = reader.tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
    rows = [prompt + gold for prompt, gold in zip(ids, golds, strict=True)]
    last = (last_position(model) or math.inf) - virtual_tokens(model)
    for places in shortest_first([len(row) for row in rows], batch_size):
        places = [place for place in places if len(rows[place]) <= last]
        if not places:
            continue
        # padded on the left, so that every gold ends at the last position
        inputs = pad(reader.tokenizer, [rows[place] for place in places], "left")
        inputs["position_ids"] = (inputs["attention_mask"].cumsum(-1) - 1).clamp(min=0)

        # the logits from the prompt's last token on: they choose the gold's first token
        positions = 1 + max(len(golds[place]) for place in places)
        with asking(model):
            logits = read(model, **inputs.to(model.device), logits_to_keep=positions).logits
        likeliest = logits.argmax(-1).tolist()  # (rows, positions)
        for place, chosen in zip(places, likeliest, strict=True):
            gold = golds[place]
            verdicts[place] = verify_row(reader, chosen[-1 - len(gold) :], gold)
    return verdicts


def verify_row(reader: ReplyReader, likeliest: list[int], gold: list[int]) -> bool | None:
    """`verify_tokens` for one row; likeliest[j] is what greedy decoding puts after gold[:j]."""
    # how many of the gold's tokens greedy decoding writes before it departs or ends
    same = 0
    while same < len(gold) and likeliest[same] == gold[same]:
        same += 1
    if likeliest[same] in reader.ends:
        return is_same(reader.read(gold[:same]), reader.read(gold))
    return None if reader.may_become([*gold[:same], likeliest[same]], gold) else False
