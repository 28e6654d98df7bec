"""Where a run can go, and how far that was checked: one list, which README and lessons read.

    targets()              a table: what each writes, how it was checked, by which tool and when
    TARGETS                {name: `Target`}
    find_target(name)      one of them; a misspelt name is refused with the nearest one

"run" means that the tool itself ran on the exported files and gave the same; "parsed", that it read
them and found nothing wrong; "exported", that nothing here could ask it. A date of "every export"
stands for what is shown anew each time, in the export's own record. Notebook 13.
"""

from dataclasses import dataclass

from ..core.errors import UserError, nearest
from ..core.results import Table
from ..core.versions import version_of

PROMPTS = 40  # that an exported model answers beside the tuned one
ALWAYS = "every export"
CHECKS = ("run", "parsed", "exported")


@dataclass(frozen=True)
class Target:
    """A program that an export is for."""

    writes: str
    kind: str  # "model", "server", "trainer" or "rows"
    checked: str  # one of CHECKS
    tool: str  # what checked it, "-" where nothing did
    version: str = ""  # of that tool; "" for what is installed here
    date: str = ALWAYS
    parts: tuple[str, ...] = ("merged",)  # of a run, the usual one first
    kinds: tuple[str, ...] = ()  # the parts of which a kind can be asked for


TARGETS: dict[str, Target] = {
    "gguf": Target(
        "one GGUF for llama.cpp: the merged model, the base, or the LoRA alone",
        "model", "run", "transformers", parts=("merged", "base", "adapter"),
        kinds=("merged", "base", "adapter"),
    ),
    "transformers": Target(
        "the merged model's folder, and serve.sh for `transformers serve`",
        "server", "run", "transformers", kinds=("merged",),
    ),
    "torchao": Target(
        "the merged model with int8 weights, for transformers and vLLM", "model", "run", "torchao",
        "0.18.0", "2026-11-27",
    ),
    "ollama": Target(
        "a Modelfile (template, ends, adapter) beside the GGUF", "server", "exported", "-",
        date="-", parts=("merged", "adapter"), kinds=("merged", "adapter"),
    ),
    "vllm": Target(
        "adapters/ and serve.sh: one base, several LoRAs", "server", "exported", "-", date="-",
        parts=("adapter", "merged"), kinds=("merged",),
    ),
    "tgi": Target(
        "adapters/ and serve.sh, by Docker", "server", "exported", "-", date="-",
        parts=("adapter", "merged"), kinds=("merged",),
    ),
    "awq": Target(
        "the merged model, rows to calibrate on, and llm-compressor's recipe", "model",
        "parsed", "llmcompressor", "0.14.0", "2026-11-27", kinds=("merged",),
    ),
    "gptq": Target(
        "the same for GPTQ", "model", "parsed", "llmcompressor", "0.14.0", "2026-11-27",
        kinds=("merged",),
    ),
    "trl": Target(
        "trl.yaml for `trl sft`, and the rows", "trainer", "run", "trl", "1.16.0", "2026-11-27",
    ),
    "unsloth": Target("train.py, and the rows", "trainer", "parsed", "trl"),
    "axolotl": Target(
        "axolotl.yaml, and the rows", "trainer", "parsed", "axolotl", "0.19.0", "2026-11-27",
    ),
    "llama-factory": Target(
        "llama-factory.yaml, dataset_info.json and the rows", "trainer", "parsed",
        "llamafactory", "0.9.5", "2026-11-27",
    ),
    "torchtune": Target(
        "torchtune.yaml, and the rows as tokens", "trainer", "run", "torchtune", "0.6.1",
        "2026-11-27",
    ),
    "openai": Target("rows as OpenAI's fine-tuning takes them", "rows", "exported", "-", date="-"),
    "together": Target(
        "rows as Together's takes them", "rows", "parsed", "together", "3.1.1", "2026-11-27",
    ),
    "bedrock": Target(
        "rows as Amazon Bedrock's takes them (Converse)", "rows", "exported", "-", date="-",
    ),
    "vertex": Target(
        "rows as Vertex AI's takes them (Gemini)", "rows", "exported", "-", date="-",
    ),
}  # fmt: skip


def find_target(name: str) -> Target:
    """The target of that name; `UserError` for another, with the nearest."""
    if name not in TARGETS:
        raise UserError(
            f"there is no target {name!r}; give one of {', '.join(TARGETS)}."
            f"{nearest(name.lower(), TARGETS)}"
        )
    return TARGETS[name]


def targets() -> Table:
    """Every target: what it writes, how that was checked, by which tool, and when."""
    rows = []
    for name, target in TARGETS.items():
        # what is installed here is another one elsewhere
        version = target.version or f"≈{version_of(target.tool)}"
        tool = target.tool if target.tool == "-" else f"{target.tool} {version}"
        rows.append((name, target.writes, target.checked, tool, target.date))
    heads = ("--to", "what it writes", "checked", "by", "when")
    return Table("Where a run can go", heads, rows)
