"""A run as servers take it: GGUF and Ollama, `transformers serve`, vLLM and TGI.

    write_gguf(opened, new, wish)            model.gguf, or adapter.gguf
    write_ollama(opened, new, wish)          the same beside a Modelfile
    write_transformers(opened, new, wish)    the merged folder, and how to serve it
    write_vllm, write_tgi                    adapters/ for one base, and how to serve them
    go_template(tokenizer)                   a chat template in Ollama's language, where it has one

Each is asked by `exporting.export`, which moves what they wrote into place. What llama.cpp or
torchao pack is `packing.py`'s; a server of the kit's own is in `server.py`.
"""

import json
import shlex
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from .. import data, lora, models
from ..core.errors import UserError
from . import gguf_files, packing, proof
from .opened import Opened, Proof, Told, Wish

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # of --max-lora-rank
TGI = "ghcr.io/huggingface/text-generation-inference:3.3.5"
TEMPLATE = "chat_template.jinja"
Message = dict[str, str]


def write_gguf(opened: Opened, new: Path, wish: Wish) -> Told:
    """model.gguf of the merged model or the base, or adapter.gguf; read back and compared."""
    kind = wish.kind or "f32"
    if packing.is_k_kind(kind):
        return packing.write_k_kind(opened, new, wish)
    kind, told = gguf_files.find_kind(kind), Told()
    prompts = opened.prompts(wish.prompts)
    if wish.part == "adapter":
        opened.need_lora("a GGUF adapter is a LoRA's A and B alone")
        tuned, file = lora.check_adapters(opened.tuned), new / "adapter.gguf"
        gguf_files.write_adapter(tuned, file, kind)
        told.proofs = proof.prove_adapter(tuned, opened.base, opened.tokenizer, file, kind, prompts)
        told.notes.append("put it on the base's own GGUF: export the same run with part base")
    else:
        model, file = opened.model(wish.part), new / "model.gguf"
        gguf_files.write_model(model, opened.tokenizer, file, kind)
        told.proofs = proof.prove_model(model, opened.tokenizer, file, kind, prompts)
    told.notes += gguf_files.notes(opened.base, opened.tokenizer)
    return told


def write_ollama(opened: Opened, new: Path, wish: Wish) -> Told:
    """Modelfile and GGUF: `ollama create NAME -f Modelfile` in that folder."""
    template = go_template(opened.tokenizer)
    lines, told = ["FROM ./model.gguf"], Told()
    if wish.part == "adapter":
        told = write_gguf(opened, new, Wish("adapter", None, wish.prompts))
        lines.append("ADAPTER ./adapter.gguf")
    more = write_gguf(
        opened, new, Wish("base" if wish.part == "adapter" else "merged", wish.kind, wish.prompts)
    )
    lines.append(f'TEMPLATE """{template}"""')
    # greedy, as the kit asks a model; Ollama's own are 0.8 and 1.1
    lines += ["PARAMETER temperature 0", "PARAMETER repeat_penalty 1"]
    lines.append(f"PARAMETER num_ctx {opened.base.config.max_position_embeddings}")
    lines += [f"PARAMETER stop {json.dumps(mark)}" for mark in stops(opened.tokenizer)]
    (new / "Modelfile").write_text("\n".join(lines) + "\n", encoding="utf-8")
    told.proofs += [*more.proofs, prove_template(opened.tokenizer)]
    told.notes = ["ollama create NAME -f Modelfile, in this folder"]
    return told


def stops(tokenizer: "PreTrainedTokenizerBase") -> list[str]:
    """The texts that end a reply: the template's and the tokenizer's own."""
    marks = [*data.end_marks(tokenizer), tokenizer.eos_token or ""]
    return list(dict.fromkeys(mark.strip() for mark in map(str, marks) if mark.strip()))


class Pieces(NamedTuple):
    """What a chat template writes around messages."""

    head: str  # before a first message that is no system message
    around: dict[str, tuple[str, str]]  # {role: what stands before and after its words}
    prompt: str  # where the assistant's next answer begins


def render(
    messages: Sequence[Message], tokenizer: "PreTrainedTokenizerBase", *, prompt: bool
) -> str:
    """A chat as the tokenizer's own template writes it, without a mark that BPE adds by itself."""
    text = cast(
        str,
        tokenizer.apply_chat_template(
            cast("list[dict]", list(messages)), tokenize=False, add_generation_prompt=prompt
        ),
    )
    adds = cast("list[int]", tokenizer("a")["input_ids"])[0] == tokenizer.bos_token_id
    return text.removeprefix(str(tokenizer.bos_token)) if adds else text


def read_pieces(write: Callable[..., str]) -> Pieces:
    """The pieces of a template that does nothing but put marks around messages.

    write: a chat as text, as `render` gives it. Of others it gives what does not fit.
    """
    said = {"system": "SYS§1", "user": "USE§2", "assistant": "ASS§3"}
    again = {"role": "user", "content": "USE§4"}
    system, user, assistant = ({"role": role, "content": text} for role, text in said.items())

    def cut(*messages: Message, prompt: bool = False) -> list[str]:
        rest, parts = write(messages, prompt=prompt), []
        for message in messages:
            part, _, rest = rest.partition(message["content"])
            parts.append(part)
        return [*parts, rest]

    begin, user_end = cut(user)
    _, between, assistant_end = cut(user, assistant)
    user_begin = cut(user, assistant, again)[2].removeprefix(assistant_end)
    system_begin, system_end, _ = cut(system, user)
    return Pieces(
        begin.removesuffix(user_begin),
        {
            "system": (system_begin, system_end.removesuffix(user_begin)),
            "user": (user_begin, user_end),
            "assistant": (between.removeprefix(user_end), assistant_end),
        },
        cut(user, prompt=True)[1].removeprefix(user_end),
    )


def write_by_pieces(messages: Sequence[Message], pieces: Pieces) -> str:
    """A chat as the Go template of these pieces writes it, with the prompt at its end."""
    text = "" if messages[0]["role"] == "system" else pieces.head
    for message in messages:
        before, after = pieces.around[message["role"]]
        text += before + message["content"] + after
    return text + pieces.prompt


def chats() -> list[list[Message]]:
    """Chats on which two templates are compared: with and without system message, long, short."""
    system = {"role": "system", "content": "Be brief."}
    turns = [("user", "Who is Ada?"), ("assistant", "A {x}\n\nperson."), ("user", "And “Bo”?")]
    turns += [("assistant", "So is Bo."), ("user", "12 + 30 = ?")]
    said = [{"role": role, "content": text} for role, text in turns]
    plain = [said[: 2 * n + 1] for n in range(3)]
    return [*plain, *([system, *chat] for chat in plain)]


def go_template(tokenizer: "PreTrainedTokenizerBase") -> str:
    """The chat template in Go's language, which Ollama reads.

    Raises `UserError` for a template that does more than put marks around messages.
    """
    cure = (
        "write a TEMPLATE for it by hand, beside the GGUF that --to gguf gives, or serve it by "
        "another program"
    )
    try:
        pieces = read_pieces(lambda chat, prompt: render(chat, tokenizer, prompt=prompt))
        same = [
            write_by_pieces(chat, pieces) == render(chat, tokenizer, prompt=True)
            for chat in chats()
        ]
    except Exception as error:  # a template may refuse a chat in any way
        raise UserError(f"the chat template refuses a plain chat; {cure}.") from error
    texts = [
        pieces.head,
        pieces.prompt,
        *(text for pair in pieces.around.values() for text in pair),
    ]
    if not all(same) or any("{{" in text or '"""' in text for text in texts):
        raise UserError(
            f"the chat template does more than put marks around each message, and Ollama's "
            f"language is another one; {cure}."
        )
    head = f'{{{{ if ne (index .Messages 0).Role "system" }}}}{pieces.head}{{{{ end }}}}'
    turns, word = "", "if"
    for role, (before, after) in pieces.around.items():
        turns += f'{{{{ {word} eq .Role "{role}" }}}}{before}{{{{ .Content }}}}{after}'
        word = "else if"
    return (
        f"{head if pieces.head else ''}{{{{ range .Messages }}}}{turns}{{{{ end }}}}"
        f"{{{{ end }}}}{pieces.prompt}"
    )


def prove_template(tokenizer: "PreTrainedTokenizerBase") -> Proof:
    """The pieces of the Go template, put together as Go would, against the chat template."""
    pieces = read_pieces(lambda chat, prompt: render(chat, tokenizer, prompt=prompt))
    ours = [write_by_pieces(chat, pieces) for chat in chats()]
    theirs = [render(chat, tokenizer, prompt=True) for chat in chats()]
    return proof.compare_lists(
        "chats by the Modelfile's template", ours, theirs, by="its pieces, put together in Python"
    )


def write_transformers(opened: Opened, new: Path, wish: Wish) -> Told:
    """model/ and serve.sh: `transformers serve`, which takes no adapters."""
    proofs = proof.write_merged(opened, new / "model", wish)
    command = 'transformers serve "$HERE/model" --host 127.0.0.1 --port "${PORT:-8000}"'
    write_script(new, [command])
    note = 'pip install "ftkit[serve]"; a request names the model by its whole path'
    return Told(proofs, [note])


def write_script(new: Path, lines: Sequence[str]) -> None:
    """serve.sh, which knows where it lies; its last line becomes the server, so that a signal to
    the script stops it.
    """
    head = ["#!/bin/sh", "set -e", 'HERE="$(cd "$(dirname "$0")" && pwd)"']
    file = new / "serve.sh"
    *before, server = lines
    file.write_text("\n".join([*head, *before, f"exec {server}"]) + "\n", encoding="utf-8")
    file.chmod(0o755)


def write_vllm(opened: Opened, new: Path, wish: Wish) -> Told:
    """adapters/NAME beside serve.sh, which serves every adapter that lies there; or model/."""
    write_plain_template(opened, new)
    common = '--chat-template "$HERE/chat_template.jinja" --generation-config vllm'
    if wish.part == "merged":
        proofs = proof.write_merged(opened, new / "model", wish)
        named = f"--served-model-name {shlex.quote(opened.name)}"
        write_script(new, [f'vllm serve "$HERE/model" {named} {common} "$@"'])
        return Told(proofs, end_notes(opened))
    rank, quantized = copy_adapter(opened, new, "vLLM"), opened.experiment.quant
    most = next((each for each in VLLM_RANKS if each >= rank), None)
    if most is None:
        raise UserError(
            f"the adapter's rank is {rank}, and vLLM takes {VLLM_RANKS[-1]} at most; export it "
            "merged (--part merged)."
        )
    packed = " --quantization bitsandbytes" if quantized else ""
    lines = [
        f"BASE=${{BASE:-{shlex.quote(opened.base_folder)}}}",
        # before the words that the script was given, so that each stays one word
        'for A in "$HERE"/adapters/*; do set -- "$(basename "$A")=$A" "$@"; done',
        f'vllm serve "$BASE" --enable-lora --max-lora-rank {most}{packed} {common} '
        '--lora-modules "$@"',
    ]
    write_script(new, lines)
    note = "the adapters of other runs on the same base go into adapters/, under their names"
    return Told([], [note, *end_notes(opened)])


def write_tgi(opened: Opened, new: Path, wish: Wish) -> Told:
    """adapters/NAME beside serve.sh for TGI's image; or model/."""
    dock = "docker run --rm --gpus all --shm-size 1g -p 127.0.0.1:8080:80"
    if wish.part == "merged":
        proofs = proof.write_merged(opened, new / "model", wish)
        write_script(new, [f'{dock} -v "$HERE/model":/model:ro {TGI} --model-id /model "$@"'])
        return Told(proofs, end_notes(opened))
    copy_adapter(opened, new, "TGI")
    packed = " --quantize bitsandbytes-nf4" if opened.experiment.quant else ""
    base = opened.base_folder
    local = Path(base).is_dir()
    mount = ' -v "$BASE":/base:ro' if local else ""
    lines = [
        f"BASE=${{BASE:-{shlex.quote(base)}}}",
        'LIST=""; for A in "$HERE"/adapters/*; do N="$(basename "$A")"; '
        'LIST="$LIST${LIST:+,}$N=/adapters/$N"; done',
        f'{dock}{mount} -v "$HERE/adapters":/adapters:ro -e LORA_ADAPTERS="$LIST" {TGI} '
        f'--model-id {"/base" if local else chr(34) + "$BASE" + chr(34)}{packed} "$@"',
    ]
    write_script(new, lines)
    return Told([], ["a request names its adapter as adapter_id", *end_notes(opened)])


def write_plain_template(opened: Opened, new: Path) -> None:
    """The chat template that the run was trained with, in Jinja that every server reads."""
    text = gguf_files.plain_template(opened.tokenizer)
    (new / TEMPLATE).write_text(text, encoding="utf-8")


def copy_adapter(opened: Opened, new: Path, server: str) -> int:
    """Copy the adapter into adapters/NAME; its largest rank.

    Raises `UserError` for what these servers would not load, or would load as another model.
    """
    stated = opened.need_lora(f"{server} takes the A and B of a LoRA")
    quant = opened.experiment.quant
    folder, _ = opened.adapter
    if quant not in (None, "nf4"):
        raise UserError(
            f"the adapter was trained on a base in {quant}, which {server} does not make; export "
            "it merged (--part merged)."
        )
    for name in models.tensor_files(str(folder)):
        if ".lora_A." not in name and ".lora_B." not in name:
            raise UserError(
                f"the adapter holds {models.plain_name(name)}, which {server} does not take; "
                "export it merged (--part merged)."
            )
    opened.base  # noqa: B018 (loaded, it is the one that was tuned, or refused)
    place = new / "adapters" / opened.name
    shutil.copytree(folder, place, ignore=shutil.ignore_patterns("README.md", ".*"))
    return max([stated["r"], *(stated.get("rank_pattern") or {}).values()])


def end_notes(opened: Opened) -> list[str]:
    """What a request has to state, where the base's own files do not end a reply."""
    known = models.ReplyReader(opened.base, opened.tokenizer).ends
    own = opened.base.generation_config
    stated = own.eos_token_id if own else None
    said = [*(stated if isinstance(stated, list) else [stated]), opened.tokenizer.eos_token_id]
    missing = [end for end in known if end not in said]
    if not missing:
        return []
    return [f"a request has to state where a reply ends: stop_token_ids {missing}"]
