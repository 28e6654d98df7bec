"""TODO header of data.chat."""

from collections.abc import Mapping, Sequence

from ..core.errors import UserError

FORMATS = "messages · prompt + completion · instruction (+ input) + output"
KEPT = ("split", "skill", "wording")  # columns beside the messages
ROLES = ("system", "user", "assistant", "tool")


def to_messages(row: object) -> list[dict]:
    """One row of any known format as chat messages; raises ValueError with the reason when it is
    none.

    messages: [{"role", "content"}, …], prompt/completion, or Alpaca's instruction/input/output.
    """
    if not isinstance(row, Mapping):
        raise ValueError(f"the row is a {type(row).__name__}, not a JSON object")
    if "messages" in row:
        messages = row["messages"]
    elif {"prompt", "completion"} <= row.keys():
        messages = [
            {"role": "user", "content": row["prompt"]},
            {"role": "assistant", "content": row["completion"]},
        ]
    elif {"instruction", "output"} <= row.keys():
        prompt = "\n".join(p for p in (row["instruction"], row.get("input")) if p)
        messages = [
            {"role": "user", "content": prompt},
            {"role": "assistant", "content": row["output"]},
        ]
    else:
        raise ValueError(
            f"the keys {', '.join(map(str, row)) or '(none)'} fit no known format ({FORMATS})"
        )
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise ValueError("'messages' is not a list with at least one message")
    for m in messages:
        if (
            not isinstance(m, Mapping)
            or not isinstance(m.get("content"), str)
            or m.get("role") not in ROLES
        ):
            raise ValueError(f"a message needs a role ({', '.join(ROLES)}) and a text content")
    if messages[-1]["role"] != "assistant" or not messages[-1]["content"].strip():
        raise ValueError(
            "the last message is not an answer of the assistant, so there is nothing to learn from it"
        )
    return [{"role": m["role"], "content": m["content"]} for m in messages]


def answer_tokens(messages: list[dict], tokenizer, where: str = "the row") -> int:
    """How many tokens of a chat example carry loss: those of the assistant, the end mark included."""
    try:
        prompt = tokenizer.apply_chat_template(
            messages[:-1], add_generation_prompt=True, tokenize=False
        )
        whole = tokenizer.apply_chat_template(messages, tokenize=False)
    except Exception as error:  # the templates raise jinja2's and their own errors
        raise UserError(f"{where} does not fit the model's chat template: {error}.") from error
    return len(tokenizer(whole, add_special_tokens=False)["input_ids"]) - len(
        tokenizer(prompt, add_special_tokens=False)["input_ids"]
    )
