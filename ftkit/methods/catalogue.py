"""Every method of the kit in one table: what it trains, at which rates, and whether it merges.

    METHODS                  {name: `Method`}, in the order of the papers' ideas
    find_method(name)        one of them; a misspelt name is refused with the nearest one
    method_of(kind)          the method of a peft type, such as "IA3"
    check_options(name, …)   refuses an option that a method has not, or a value that can't be
    dials_of(name)           which of rank and targets a method has, as `attach` calls them
    read_dials(name, given)  its options for those that were given; refused where it has none

Numbers and names alone, without torch. `attach` puts a method on a model, by peft (`by_peft`);
what each learned and forgot at which rate is measured in the grid "methods". Notebook 08.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core.errors import UserError, is_number, is_whole, nearest
from ..core.parsing import shown

# What models call the layers that make keys and values, and those that end an MLP or attention.
KEYS_AND_VALUES = ("k_proj", "v_proj", "qkv_proj", "query_key_value", "c_attn")
MLP_ENDS = ("down_proj", "fc2", "dense_4h_to_h", "mlp.c_proj")
LAYER_ENDS = (*MLP_ENDS, "o_proj", "out_proj", "attention.dense", "attn.c_proj")
WIDE = (1e-2, 10.0)  # how far beyond its usual rates a method may still be right


@dataclass(frozen=True)
class Method:
    """What a method is. Rates are the highest ones of a schedule, for Adam."""

    title: str
    kind: str  # peft's name of its type; "" where nothing is attached
    config: str  # peft's class of its configuration; the kit's own of a bottleneck
    usual: tuple[float, float]  # learning rates, from models of billions to those of millions
    trains: str
    merges: bool
    why: str  # why it can or cannot be merged
    paper: str
    # {option: its usual value}; what peft calls them, but for r, alpha, tokens and text
    options: Mapping[str, Any] = field(default_factory=dict)
    slack: tuple[float, float] = (1.0, 1.0)  # a rate is warned of beyond `usual` times these

    @property
    def virtual(self) -> int:
        """The virtual tokens that it usually puts before a text; 0 for most methods."""
        return self.options.get("tokens", 0)


LOW_RANK = {"r": 8, "alpha": 16, "targets": "all-linear", "dropout": 0.0}
NO_WEIGHT = "it puts vectors before the text and changes no weight"

METHODS: dict[str, Method] = {
    "full": Method(
        "full fine-tuning", "", "", (1e-6, 1e-3), "every weight", True,
        "it is the model already", "-", slack=WIDE,
    ),
    "lora": Method(
        "LoRA", "LORA", "LoraConfig", (1e-5, 1e-2), "A and B beside every W", True,
        "W + (alpha/r) · B A is one matrix", "Hu et al. 2021, arXiv 2106.09685",
        LOW_RANK, WIDE,
    ),
    "dora": Method(
        "DoRA", "LORA", "LoraConfig", (1e-5, 1e-2), "A, B and a length for every row of W", True,
        "rows that were turned and stretched are one matrix", "Liu et al. 2024, arXiv 2402.09353",
        LOW_RANK, WIDE,
    ),
    "adalora": Method(
        "AdaLoRA", "ADALORA", "AdaLoraConfig", (5e-4, 1e-1),
        "a thin SVD beside every W, of which the least useful parts are cut", True,
        "W + P Λ Q is one matrix", "Zhang et al. 2023, arXiv 2303.10512",
        {"r": 8, "first_r": 12, "alpha": 16, "targets": "all-linear", "dropout": 0.0},
    ),
    "vera": Method(
        "VeRA", "VERA", "VeraConfig", (1e-3, 2e-1),
        "two vectors per W; A and B are random, shared and frozen", True,
        "W + diag(b) B diag(d) A is one matrix", "Kopiczko et al. 2023, arXiv 2310.11454",
        {"r": 64, "targets": "all-linear"},
    ),
    "oft": Method(
        "OFT", "OFT", "OFTConfig", (1e-5, 1e-2), "a rotation in blocks before every W", True,
        "W times a rotation is one matrix", "Qiu et al. 2023, arXiv 2306.07280",
        {"block": 32, "targets": "all-linear"},
    ),
    "ia3": Method(
        "IA³", "IA3", "IA3Config", (3e-3, 3e-1),
        "a factor per key, per value and per hidden unit", True,
        "a row or a column of W takes the factor", "Liu et al. 2022, arXiv 2205.05638",
    ),
    "ln_tuning": Method(
        "LN tuning", "LN_TUNING", "LNTuningConfig", (1e-4, 1e-1), "the gains of the norms", True,
        "a norm takes the other's place", "Zhao et al. 2023, arXiv 2312.11420",
    ),
    "prompt": Method(
        "prompt tuning", "PROMPT_TUNING", "PromptTuningConfig", (3e-3, 1.0),
        "the embeddings of virtual tokens before the text", False, NO_WEIGHT,
        "Lester et al. 2021, arXiv 2104.08691", {"tokens": 20, "text": None},
    ),
    "prefix": Method(
        "prefix tuning", "PREFIX_TUNING", "PrefixTuningConfig", (1e-3, 3e-1),
        "keys and values of virtual tokens, in every layer", False,
        "it puts keys and values before the text and changes no weight",
        "Li & Liang 2021, arXiv 2101.00190", {"tokens": 20},
    ),
    "p_tuning": Method(
        "P-tuning", "P_TUNING", "PromptEncoderConfig", (1e-4, 3e-2),
        "a small network that makes the embeddings of virtual tokens", False, NO_WEIGHT,
        "Liu et al. 2021, arXiv 2103.10385", {"tokens": 20, "hidden": 128},
    ),
    "bottleneck": Method(
        "bottleneck adapter", "BOTTLENECK", "BottleneckConfig", (1e-4, 1e-2),
        "two thin layers with a bend behind attention and MLP", False,
        "the bend between its two matrices makes it no matrix",
        "Houlsby et al. 2019, arXiv 1902.00751", {"width": 32},
    ),
}  # fmt: skip
FEWEST = {"r", "first_r", "tokens", "hidden", "block", "width"}  # options that are whole numbers


def find_method(name: object) -> Method:
    """The method of this name; `UserError`, with the nearest one, for any other."""
    if not isinstance(name, str) or name not in METHODS:
        close = nearest(name, METHODS) if isinstance(name, str) else ""
        raise UserError(f"method is {shown(name)}; give one of {', '.join(METHODS)}.{close}")
    return METHODS[name]


def method_of(kind: str, *, dora: bool = False) -> str:
    """The name of the method of a peft type, which may be of the kit's own; "" for others.

    dora: the configuration says use_dora, which DoRA has and LoRA has not.
    """
    if kind == "LORA":
        return "dora" if dora else "lora"
    return next((name for name, method in METHODS.items() if kind and method.kind == kind), "")


def dials_of(name: str) -> dict[str, str]:
    """{"rank": "r", "targets": "targets"}: those that decide what a method trains, and its words.

    AdaLoRA's rank is none of them: it begins with first_r, whatever it is cut to.
    """
    options = find_method(name).options
    words = {"rank": "r", "targets": "targets"}
    if "first_r" in options:
        del words["rank"]
    return {dial: option for dial, option in words.items() if option in options}


def read_dials(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """`attach`'s options for the rank and the targets that were given.

    Raises UserError for one that says nothing of what the method trains.
    """
    method, words = find_method(name), dials_of(name)
    for dial, value in given.items():
        if dial not in words:
            why = f"which trains {method.trains}"
            if first := method.options.get("first_r"):
                why = f"which begins with first_r, usually {first}, and cuts it"
            raise UserError(
                f"{dial} is {shown(value)}, and the method is {method.title}, {why}: {dial} would "
                f"change nothing; leave it out, or take a method that has it, such as lora."
            )
    return {words[dial]: value for dial, value in given.items()}


def find_endings(names: Iterable[str], endings: Sequence[str]) -> list[str]:
    """Those of some endings that any of the names has, in their order."""
    dotted = [f".{name}" for name in names]
    return [end for end in endings if any(name.endswith(f".{end}") for name in dotted)]


def check_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a method, what is not stated as usual; a `UserError` for one that can't be."""
    method = find_method(name)
    for option, value in options.items():
        if option not in method.options:
            known = ", ".join(method.options) or "none"
            close = nearest(option, method.options)
            raise UserError(
                f"{method.title} has no option {shown(option)}; its options are {known}.{close}"
            )
        if option in FEWEST and (not is_whole(value) or value < 1):
            raise UserError(
                f"{option} is {shown(value)}; give a whole number from 1 on, "
                f"usually {method.options[option]}."
            )
    chosen = {**method.options, **options}
    check_texts(method, chosen)
    return chosen


def check_texts(method: Method, chosen: Mapping[str, Any]) -> None:
    """Refuse options of a method that hold no number or text of their kind."""
    if "alpha" in chosen and (not is_number(chosen["alpha"]) or chosen["alpha"] <= 0):
        raise UserError(f"alpha is {shown(chosen['alpha'])}; give a number above 0, such as 16.")
    text = chosen.get("text")
    if text is not None and (not isinstance(text, str) or not text.strip()):
        raise UserError(
            f"text is {shown(text)}; give the words that {method.title} begins with, or leave it "
            "out for random vectors."
        )
    if "first_r" in chosen and chosen["first_r"] < chosen["r"]:
        raise UserError(
            f"first_r is {chosen['first_r']} and r is {chosen['r']}: {method.title} begins with "
            "the larger rank and cuts it; give first_r from r on."
        )
