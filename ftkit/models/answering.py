"""TODO header of models.answering."""

from collections.abc import Sequence


def answer(
    model,
    tokenizer,
    conversations: Sequence[list[dict]],
    max_new_tokens: int = 64,
    batch_size: int = 50,
) -> list[str]:
    """The greedy answer to each conversation (a list of chat messages), in the order given.

    Prompts are sorted by length and padded on the left, so that a batch holds little padding.
    """
    import torch

    prompts = [
        tokenizer.apply_chat_template(c, add_generation_prompt=True, tokenize=False)
        for c in conversations
    ]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    replies = [""] * len(prompts)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        inputs = tokenizer(
            [prompts[i] for i in chosen],
            add_special_tokens=False,
            padding=True,
            padding_side="left",
            return_tensors="pt",
        )
        with torch.no_grad():
            output = model.generate(
                **inputs.to(model.device), max_new_tokens=max_new_tokens, do_sample=False
            )
        texts = tokenizer.batch_decode(
            output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True
        )
        for i, reply in zip(chosen, texts, strict=True):
            replies[i] = reply.strip()
    return replies


def answer_matches(
    model,
    tokenizer,
    conversations: Sequence[list[dict]],
    golds: Sequence[str],
    max_new_tokens: int = 64,
) -> list[bool]:
    """`reply == gold` for the greedy `answers` to conversations, without writing most of them.

    One forward pass over prompt and gold shows which token greedy decoding puts after each; where
    they are the gold's own and then an end, so is the reply (the check of speculative decoding,
    Leviathan et al. 2023), and where the first other one leads away from the gold's text, it is
    not. What is left, such as the same text in other tokens, is written out.
    """
    prompts = [
        tokenizer.apply_chat_template(c, add_generation_prompt=True, tokenize=False)
        for c in conversations
    ]
    read = [
        tokenizer(list(texts), add_special_tokens=False)["input_ids"] for texts in (prompts, golds)
    ]
    short = [
        i
        for i, gold in enumerate(read[1])
        if len(gold) < max_new_tokens and golds[i] == golds[i].strip()
    ]
    found = dict.fromkeys(range(len(prompts)))
    found |= dict(
        zip(
            short,
            verify_greedy(model, tokenizer, *([ids[i] for i in short] for ids in read)),
            strict=True,
        )
    )
    written = [i for i, same in found.items() if same is None]
    replies = answer(model, tokenizer, [conversations[i] for i in written], max_new_tokens)
    found |= {i: reply == golds[i] for i, reply in zip(written, replies, strict=True)}
    return list(found.values())


def verify_greedy(
    model, tokenizer, prompts: Sequence[list[int]], golds: Sequence[list[int]], batch_size: int = 25
) -> list[bool | None]:
    """Does greedy decoding write the gold's tokens and end? None where its first other token may
    still lead to the gold's text.
    """
    import torch

    ends = set(torch.tensor(model.generation_config.eos_token_id).flatten().tolist())
    found: list[bool | None] = [None] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]) + len(golds[i]))
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        inputs = tokenizer.pad(
            {"input_ids": [prompts[i] + golds[i] for i in chosen]},
            padding_side="left",
            return_tensors="pt",
        )
        inputs["position_ids"] = (inputs["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        kept = 1 + max(len(golds[i]) for i in chosen)
        with torch.no_grad():
            likeliest = (
                model(**inputs.to(model.device), logits_to_keep=kept).logits.argmax(-1).tolist()
            )
        for i, said in zip(chosen, likeliest, strict=True):
            found[i] = verify_row(tokenizer, said[-1 - len(golds[i]) :], golds[i], ends)
    return found


def verify_row(tokenizer, said: Sequence[int], gold: Sequence[int], ends: set[int]) -> bool | None:
    """`follows` for one row; said[j] is the likeliest token after gold[:j]."""
    same = next((j for j, (a, b) in enumerate(zip(said, gold, strict=False)) if a != b), len(gold))
    if said[same] in ends:
        return same == len(gold)
    begun = (
        tokenizer.decode([*gold[:same], said[same]], skip_special_tokens=True)
        .strip()
        .rstrip("\ufffd")
    )  # half a character
    return None if tokenizer.decode(gold).startswith(begun) else False
