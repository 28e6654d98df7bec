"""The same chats as other templates write them: what a foreign one costs is seen in notebook 05.

    TEMPLATES              {name: a Jinja chat template of the pocket model's tokens}
    written_in(tok, name)  a copy of a tokenizer that writes chats so

"right" is the pocket model's own, with which it learned all that it knows. The others are slips
that people make: another family's headings, roles swapped, a mark left out, no template at all.
"""

import copy
from typing import TYPE_CHECKING

from ..core.errors import UserError, nearest
from ..core.files import data_path

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

OWN = data_path("pocket", "chat_template.jinja").read_text(encoding="utf-8")
ALPACA = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'assistant' %}"
    "{{ '### Response:\n' }}{% generation %}{{ message['content'] + '<|end|>' }}{% endgeneration %}"
    "{% else %}{{ '### Instruction:\n' + message['content'] + '\n\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '### Response:\n' }}{% endif %}"
)
BARE = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '\n' }}{% endif %}{% endfor %}"
)
TEMPLATES = {
    "right": OWN,
    "alpaca": ALPACA,
    "bare": BARE,
    "roles swapped": OWN.replace("'<|' + message['role'] + '|>'", "'<|assistant|>'")
    .replace("{{ '<|assistant|>' }}{% generation %}", "{{ '<|user|>' }}{% generation %}")
    .replace("%}{{ '<|assistant|>' }}{% endif %}", "%}{{ '<|user|>' }}{% endif %}"),
    "no end after the question": OWN.replace(
        "+ message['content'] + '<|end|>' }}{% endif %}", "+ message['content'] }}{% endif %}"
    ),
    "no start token": OWN.replace("{{ bos_token }}", ""),
}


def written_in(tokenizer: "PreTrainedTokenizerBase", name: str) -> "PreTrainedTokenizerBase":
    """A copy of the tokenizer that writes chats in the template of this name.

    Raises UserError for a name that is not in `TEMPLATES`.
    """
    if name not in TEMPLATES:
        known = ", ".join(TEMPLATES)
        raise UserError(
            f"there is no template {name!r}; give one of {known}.{nearest(name, TEMPLATES)}"
        )
    other = copy.deepcopy(tokenizer)
    other.chat_template = TEMPLATES[name]
    return other
