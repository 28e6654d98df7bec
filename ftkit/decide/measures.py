"""How good is what was found, and does the answer keep to it? The measures that RAGAS names.

    context_recall(found, wanted)        how much of what is needed was found
    context_precision(found, wanted)     is it at the top? mean precision@k at the relevant ranks
    faithfulness(answer, passages)       how much of the answer the passages say
    write_ragas(path, samples)           rows for RAGAS: user_input, retrieved_contexts, …
    read_ragas(path)                     the same read back, as `Sample`s

RAGAS asks a language model which passages are relevant and what an answer claims; here an answer
key says so, so the measures are exact. Where there is none, export the rows and let RAGAS judge.
Notebook 06.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from .. import evaluate
from ..core.errors import UserError, nearest
from ..core.files import write_whole
from ..core.parsing import JsonReader


@dataclass(frozen=True)
class Sample:
    """One question with what was found for it and what was answered, in RAGAS's own names.

    reference: the right answer.
    """

    user_input: str
    retrieved_contexts: list[str]
    response: str
    reference: str


def context_recall(found: Sequence[str], wanted: Collection[str]) -> float:
    """|found ∩ wanted| / |wanted|: the share of the passages that are needed which were found.

    RAGAS takes the claims of the reference for what is needed; here it is a set of passages. Raises
    UserError where nothing is wanted.
    """
    needed = set(wanted)
    if not needed:
        raise UserError("no passage is wanted; give one at least that the answer stands in.")
    return len(needed & set(found)) / len(needed)


def context_precision(found: Sequence[str], wanted: Collection[str]) -> float:
    """Σ precision@k · vₖ / Σ vₖ over the ranks k, vₖ = 1 where the k-th passage is a wanted one.

    1 where all wanted ones that were found stand at the top, 0 where none was found. It is average
    precision over what was found: a wanted passage that was missed costs nothing here.
    """
    hits, total = 0, 0.0
    for rank, passage in enumerate(found, 1):
        if passage in wanted:
            hits += 1
            total += hits / rank
    return total / hits if hits else 0.0


def faithfulness(answer: str, passages: Sequence[str]) -> float:
    """The share of an answer's claims that the passages say, as whole words or numbers.

    The claims of a JSON answer are its strings and numbers, a short answer is one claim. A sentence
    of its own words is found only where it stands so in a passage: for free text, use RAGAS. Raises
    UserError for an answer that claims nothing.
    """
    value = evaluate.read_value(answer)
    claims = evaluate.list_claims(value) if value is not None else [answer.strip().rstrip(".")]
    claims = [claim for claim in claims if claim != ""]
    if not claims:
        raise UserError(f"the answer is {answer!r} and claims nothing; leave it out.")
    # a passage may begin with the value, in a capital
    source = evaluate.Source([{"role": "user", "content": "\n".join(passages).lower()}])
    said = [claim.lower() if isinstance(claim, str) else claim for claim in claims]
    return sum(map(source.holds, said)) / len(said)


NAMES = tuple(column.name for column in fields(Sample))


def write_ragas(path: str | Path, samples: Sequence[Sample]) -> Path:
    """Write samples as JSON Lines, one `SingleTurnSample` of RAGAS a line; the path.

    `EvaluationDataset.from_jsonl(path)` reads them there. Raises UserError for no samples, and for
    a file that can't be written.
    """
    if not samples:
        raise UserError("there are no samples; give one at least.")
    path = Path(path)
    text = "".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in samples)
    try:
        write_whole(path, text)
    except OSError as error:
        raise UserError(f"could not write {path} ({error.strerror or error}).") from error
    return path


def read_ragas(path: str | Path) -> list[Sample]:
    """The samples of such a file; columns that RAGAS has besides are left out.

    Raises UserError for a file that can't be read, and for a line without one of the four columns,
    or with another type in it.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8"
        raise UserError(f"could not read {path} ({reason}).") from error
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    return [read_sample(line, f"{path} line {number}") for number, line in numbered]


def read_sample(line: str, where: str) -> Sample:
    """One line of such a file."""
    row, fault = JsonReader().read(line)
    if fault or not isinstance(row, dict):
        raise UserError(f"{where} is no JSON object{f': {fault}' if fault else ''}.")
    for name in NAMES:
        if name not in row:
            raise UserError(
                f"{where} has no {name}; give {', '.join(NAMES)}.{nearest(name, map(str, row))}"
            )
    contexts = row["retrieved_contexts"]
    if not isinstance(contexts, list) or not all(isinstance(text, str) for text in contexts):
        raise UserError(f"{where}: retrieved_contexts is {contexts!r}; give a list of texts.")
    texts = {name: row[name] for name in NAMES if name != "retrieved_contexts"}
    for name, value in texts.items():
        if not isinstance(value, str):
            raise UserError(f"{where}: {name} is {value!r}; give a text.")
    return Sample(retrieved_contexts=contexts, **texts)
