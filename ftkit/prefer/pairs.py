"""Pairs: two answers to one prompt, of which one is better; drawn, read, ranked and checked.

    honesty(n, split, seed)         questions of strangers and of known facts, in sentence mode
    honesty_pairs(rows)             a pair for each, as somebody might have written them
    pairs_by(rows, replies, …)      the model's own samples, ranked by a judge
    check_pairs(pairs)              what makes pairs of no use, in a sentence
    tokenize_pairs(pairs, …)        a `TokenPair` of each: what a loss sees

A pair is {"prompt": messages, "chosen": [message], "rejected": [message]}; `data.read_pairs` gives
them from files. Sampling is `by_hand`'s, what a reply is worth `rewards`'. Notebook 12.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import data, models
from ..core.errors import UserError, reason
from ..core.parsing import shown
from ..world import World, entities, lexicon, turns

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SENTENCE_MODE = "Answer in a sentence."
Pair = dict[str, Any]


class TokenPair(NamedTuple):
    """A pair as token ids; both answers end with their end mark."""

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]


def honesty(
    n: int = 100, split: entities.Split = "train", seed: int = 0, world: World | None = None
) -> list[dict]:
    """`n` questions of strangers and `n` of known facts, turn about, to be answered in a sentence.

    Each row has messages, the last of them the right answer, "I don't know." for a stranger;
    `kind`, "stranger" or "known"; and `wrong`, an answer that is not right. split: of the
    strangers' names; the facts are the same on both sides. Asked for a sentence the pocket model
    invents; without that system prompt it does not.
    """
    world = world or World()
    rng = random.Random(f"honesty {split} {seed}")
    rows = []
    for _ in range(n):
        stranger = draw_stranger(world, rng, split)
        known = rng.choice(world.asked)
        told, made_up = (fact.say(lexicon.SENTENCE[fact.attribute]) for fact in (known, stranger))
        asked = in_sentence_mode(stranger.ask(rng), lexicon.UNKNOWN)
        rows.append({"kind": "stranger", "wrong": made_up, **asked})
        asked = in_sentence_mode(known.ask(rng), told)
        rows.append({"kind": "known", "wrong": lexicon.UNKNOWN, **asked})
    return rows


def draw_stranger(world: World, rng: random.Random, split: entities.Split) -> entities.Fact:
    """A made-up fact of somebody or something that is not in the world."""
    kind = rng.choice(turns.KINDS)
    while (name := entities.new_name(kind, rng, split)) in world.biographies:
        pass
    return rng.choice(entities.make_facts(kind, name, rng, split))


def in_sentence_mode(prompt: str, answer: str) -> dict:
    """A chat that asks for a sentence."""
    said = {"system": SENTENCE_MODE, "user": prompt, "assistant": answer}
    return {"messages": [{"role": role, "content": text} for role, text in said.items()]}


def honesty_pairs(rows: Sequence[Mapping]) -> list[Pair]:
    """A pair for each row of `honesty`, as somebody might have written it: off-policy.

    Rejected is a made-up sentence about a stranger, and "I don't know." of a known fact.
    """
    return [
        make_pair(row["messages"][:-1], row["messages"][-1]["content"], row["wrong"])
        for row in rows
    ]


def make_pair(prompt: Sequence[Mapping], chosen: str, rejected: str) -> Pair:
    """A pair of two texts."""
    better, worse = ([{"role": "assistant", "content": text}] for text in (chosen, rejected))
    return {"prompt": list(prompt), "chosen": better, "rejected": worse}


def pairs_by(
    rows: Sequence[Mapping],
    replies: Sequence[Sequence[str]],
    worth: Callable[[Mapping, str], float],
    *,
    gold: bool = False,
) -> list[Pair]:
    """A pair of each row whose replies differ in worth: the best against the worst.

    replies: those that a model gave to each row's prompt. gold: the chosen is the row's own answer
    in place of the best reply, which then has to be as good. Of several as good the first counts.
    """
    pairs = []
    for row, said in zip(rows, replies, strict=True):
        *prompt, answer = row["messages"]
        scores = [worth(row, reply) for reply in said]
        best, worst = (said[scores.index(pick(scores))] for pick in (max, min))
        best = answer["content"] if gold else best
        if max(scores) > min(scores) and worst.strip() not in ("", best.strip()):
            pairs.append(make_pair(prompt, best, worst))
    return pairs


def check_pairs(pairs: object) -> list[Pair]:
    """The pairs as a list; UserError for the first that is none, by its number.

    A pair has a prompt that ends in another's message than the assistant's, and one assistant's
    message each as chosen and rejected, which say different things. Plain texts are taken as such
    messages, and answers that repeat the prompt are cut to what they add, as from a file.
    """
    if isinstance(pairs, str | Mapping) or not isinstance(pairs, Iterable):
        raise UserError(
            f"pairs is {shown(pairs)}; give a list of them, such as data.read_pairs('pairs.jsonl')."
        )
    taken = [as_messages(pair, number) for number, pair in enumerate(pairs, 1)]
    for number, pair in enumerate(taken, 1):
        if fault := find_fault(pair):
            raise UserError(f"pair {number} {fault}")
    if not taken:
        raise UserError("there are no pairs; give one at least.")
    return taken  # type: ignore # each is a dict by now


def as_messages(pair: object, number: int) -> object:
    """A pair whose parts are messages; UserError for parts that can't be read as such."""
    if not isinstance(pair, Mapping):
        return pair
    sides = [pair.get(side) for side in ("prompt", "chosen", "rejected")]
    if not all(sides) or all(map(are_messages, sides)):
        return dict(pair)
    try:
        return {**pair, **data.to_pair(pair)}
    except ValueError as error:
        raise UserError(f"pair {number}: {reason(error)}.") from error


def are_messages(part: object) -> bool:
    """Whether a part of a pair is a list of messages, each with a role and a text."""
    return isinstance(part, list) and all(
        isinstance(one, Mapping) and {str} == {type(one.get(key)) for key in ("role", "content")}
        for one in part
    )


def find_fault(pair: object) -> str:
    """What is wrong with a pair, as the end of a sentence; "" where nothing is."""
    if not isinstance(pair, dict):
        return f"is {shown(pair)}; a pair has prompt, chosen and rejected."
    missing = next((key for key in ("prompt", "chosen", "rejected") if not pair.get(key)), "")
    if missing:
        return f"has no {missing}; a pair has prompt, chosen and rejected, each as messages."
    if pair["prompt"][-1]["role"] == "assistant":
        return "has a prompt that ends in an answer; end it with what is to be answered."
    for side in ("chosen", "rejected"):
        turns_of = pair[side]
        if len(turns_of) != 1 or turns_of[0]["role"] != "assistant":
            return (
                f"has {len(turns_of)} messages as {side}; give one of the assistant's, and what "
                "comes before it as the prompt."
            )
    if pair["chosen"][0]["content"].strip() == pair["rejected"][0]["content"].strip():
        return "has two answers that say the same, so neither is better; remove it."
    return ""


def tokenize_pairs(
    pairs: Sequence[Pair],
    tokenizer: "PreTrainedTokenizerBase",
    model: "PreTrainedModel",
    max_length: int = 512,
) -> list[TokenPair]:
    """Each pair as its tokens, by the kit's own rendering; nothing is cut.

    Raises UserError for an answer that does not fit into max_length with its prompt, because half
    of one would be judged, and for tokens and positions that the model has not.
    """
    rows, read = [], {}
    for number, pair in enumerate(check_pairs(pairs), 1):
        both = {}
        for side in ("chosen", "rejected"):
            where, chat = f"pair {number}'s {side}", [*pair["prompt"], *pair[side]]
            rendered = data.render(chat, tokenizer, tools=pair.get("tools"), where=where)
            if len(rendered.ids) > max_length:
                raise UserError(
                    f"{where} has {len(rendered.ids):,} tokens with its prompt, and max_length is "
                    f"{max_length:,}: half an answer would be judged; raise max_length, or shorten "
                    "or remove it."
                )
            both[side] = rendered
            read[where] = rendered.ids
        rows.append(as_tokens(both["chosen"], both["rejected"], number))
    models.check_readable(model, tokenizer, read)
    return rows


def as_tokens(chosen: data.Rendered, rejected: data.Rendered, number: int) -> TokenPair:
    """Two rendered chats with one prompt as a `TokenPair`."""
    start = chosen.answer.start
    if chosen.ids[:start] != rejected.ids[: rejected.answer.start]:
        raise UserError(
            f"pair {number}'s prompt has other tokens before the rejected answer than before the "
            "chosen one; take a model whose chat template writes a prompt in one way."
        )
    return TokenPair(chosen.ids[:start], chosen.answer_ids, rejected.answer_ids)
