"""Rows of every known format as chat messages, and how many of their tokens carry loss.

    to_messages(row)                           [{"role", "content"}, …] of any known format
    count_answer_tokens(messages, tokenizer)   the tokens of the last answer, its end mark included

What carries loss is the last message, which has to be the assistant's. In a run that is decided in
`train/batches.py`, and TRL masks the rest: by the marks of the chat template where it has some
(`train.marks_answers`, assistant_only_loss in `train.sft_config`; earlier answers of a chat are
learned then too), else by prompt and completion (`train.as_trl`). Files are `sets.py`'s business.
Notebook 07 draws the mask.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from ..core.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FORMATS = "messages · prompt + completion · instruction (+ input) + output"
EXTRA_COLUMNS = ("split", "skill", "wording")  # what a row may say beside its messages
ROLES = ("system", "user", "assistant", "tool")


def to_messages(row: object) -> list[dict]:
    """One row of any known format as chat messages.

    The formats: messages [{"role", "content"}, …], prompt/completion, or Alpaca's
    instruction/input/output. Raises ValueError with the reason for any other row.
    """
    if not isinstance(row, Mapping):
        raise ValueError(f"the row is a {type(row).__name__}, not a JSON object")

    # its keys say which format it is in
    if "messages" in row:
        messages = row["messages"]
    elif {"prompt", "completion"} <= row.keys():
        messages = exchange(row["prompt"], row["completion"])
    elif {"instruction", "output"} <= row.keys():
        prompt = "\n".join(part for part in (row["instruction"], row.get("input")) if part)
        messages = exchange(prompt, row["output"])
    else:
        keys = ", ".join(map(str, row)) or "(none)"
        raise ValueError(f"the keys {keys} fit no known format ({FORMATS})")
    check_messages(messages)
    return [{"role": message["role"], "content": message["content"]} for message in messages]


def exchange(prompt: object, answer: object) -> list[dict]:
    """A question and its answer as messages."""
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]


def check_messages(messages: object) -> None:
    """Raise ValueError with the reason, unless these are chat messages to learn from."""
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise ValueError("'messages' is not a list with at least one message")
    for message in messages:
        if not is_message(message):
            raise ValueError(f"a message needs a role ({', '.join(ROLES)}) and a text content")
    if messages[-1]["role"] != "assistant" or not messages[-1]["content"].strip():
        raise ValueError(
            "the last message is not an answer of the assistant, "
            "so there is nothing to learn from it"
        )


def is_message(message: object) -> bool:
    """Has it a known role and a text?"""
    if not isinstance(message, Mapping):
        return False
    return message.get("role") in ROLES and isinstance(message.get("content"), str)


def count_answer_tokens(
    messages: list[dict], tokenizer: "PreTrainedTokenizerBase", where: str = "the row"
) -> int:
    """How many tokens of a chat example carry loss: the assistant's last answer and its end mark.

    Raises UserError, which names the row by `where`, if the chat template refuses the messages.
    """
    try:
        prompt = tokenizer.apply_chat_template(
            messages[:-1], add_generation_prompt=True, tokenize=False
        )
        whole = tokenizer.apply_chat_template(messages, tokenize=False)
    except Exception as error:  # the templates raise jinja2's and their own errors
        raise UserError(f"{where} does not fit the model's chat template: {error}.") from error

    # what the whole has beyond the prompt
    texts = cast("list[str]", [prompt, whole])
    prompt_ids, whole_ids = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return len(whole_ids) - len(prompt_ids)
