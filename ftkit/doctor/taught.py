"""What a run was taught: its rows as the model saw them, token by token, and row by row.

    Seen.of_run(folder, experiment, …)  the first rows: seen.json, or as the kit would make them
    Seen.of_batch(batch, tokenizer)     a batch of a trainer: input_ids and labels
    check_tokens(seen, embeddings)      prompt, start and end marks, cut answers, template, tokens
    check_copies(…), check_leak(…)      one row many times; test rows among the training rows

The first thing to look at in a sick run, and the last that people look at. Thresholds stand beside
the names below; how often they raise a false alarm is measured in `ward` (data/grids/healthy.json).
Which tokens of a chat should carry loss `data.render` says. Notebook 11.
"""

import collections
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import data, models, train
from ..core.errors import UserError
from ..core.parsing import parse_json, read_text
from ..train import NO_LOSS
from .finding import Finding

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

    from ..train import Experiment

SEEN = "seen.json"  # in a run folder: [{"input_ids", "labels"}, …] of the first rows
LOOKED_AT, RENDERED = 64, 1000  # rows; and chats among which those of a seen.json are looked for
# Of the rows, how many may be so before it is no accident: a healthy run has none at all.
MOST, FEW = 0.5, 0.05
# A row that makes up more than this of the training rows, and is there so often, is a copy by
# mistake: of the kit's own data sets none has a row twice in a hundred.
COPIES, OFTEN = 0.02, 5
CLOSING = 3  # tokens at the end of a row among which its end mark is
LEAKED = 0.05  # of the test rows: a few may be alike by chance where questions are short
DEAD = 0.1  # of the usual distance from the mean embedding; a trained token has 0.58 at least

Row = tuple[Sequence[int], Sequence[int]]  # ids, labels


@dataclass(frozen=True)
class Seen:
    """Rows as a model saw them in training, and the tokenizer that is saved beside it."""

    rows: Sequence[Row]
    tokenizer: "PreTrainedTokenizerBase"
    rendered: Collection[tuple[int, ...]] = ()  # the same chats by the tokenizer's template
    packed: bool = False  # several chats in a row, so that not every row ends in an end mark

    @classmethod
    def of_run(cls, folder: Path, experiment: "Experiment", chats: "Dataset") -> "Seen":
        """The first rows of a run folder, whose training rows are `chats`.

        Raises UserError where they can't be had.
        """
        file = folder / SEEN
        tokenizer = models.saved_tokenizer(weights_folder(folder))
        some = min(len(chats), RENDERED if file.is_file() else LOOKED_AT)
        made = train.as_trl(data.first(chats, some), tokenizer)
        rendered = {tuple(ids) for ids in made["input_ids"]}
        if file.is_file():
            return cls(read_rows(file), tokenizer, rendered)
        # as they were trained on: cut, and without those of whose answers nothing was left
        longest = experiment.recipe.max_length
        taught = train.cut(made, longest, "train").left_of(made)
        pairs = zip(taught["input_ids"], taught["labels"], strict=True)
        rows = [(ids[:longest], labels[:longest]) for ids, labels in pairs]
        return cls(rows, tokenizer, rendered)

    @classmethod
    def of_batch(
        cls, batch: "Mapping[str, torch.Tensor]", tokenizer: "PreTrainedTokenizerBase"
    ) -> "Seen":
        """A batch that a trainer's collator made; padding is taken off."""
        rows, mask = [], batch.get("attention_mask")
        for place, (ids, labels) in enumerate(
            zip(batch["input_ids"], batch["labels"], strict=True)
        ):
            on = mask[place].bool() if mask is not None else labels == labels
            rows.append((ids[on].tolist(), labels[on].tolist()))
        packed = mask is None or "position_ids" in batch
        return cls(rows, tokenizer, packed=packed)

    @property
    def ends(self) -> set[int]:
        """The tokens that end an answer."""
        ids: list[object] = [self.tokenizer.eos_token_id]
        for mark in data.end_marks(self.tokenizer):
            marked = self.tokenizer(mark.strip(), add_special_tokens=False)
            ids += list(marked["input_ids"])[:1]
        return {end for end in ids if isinstance(end, int)}


def weights_folder(folder: Path) -> Path:
    """Where a run's weights and its tokenizer lie."""
    return folder / ("adapter" if (folder / "adapter").is_dir() else "model")


def read_rows(file: Path) -> list[Row]:
    """The rows of a seen.json; raises UserError for a file that holds none."""
    stated = parse_json(read_text(file), file)
    rows = stated if isinstance(stated, list) else []
    pairs = [(r.get("input_ids"), r.get("labels")) for r in rows if isinstance(r, Mapping)]
    whole: list[Row] = [
        (ids, labels)
        for ids, labels in pairs
        if isinstance(ids, list) and isinstance(labels, list) and len(ids) == len(labels) > 0
    ]
    if not whole or len(whole) < len(rows):
        raise UserError(f"{file} is no list of rows with input_ids and labels; train again.")
    return whole


def check_tokens(seen: Seen, embeddings: "torch.Tensor | None" = None) -> list[Finding]:
    """Every check of the rows' tokens. embeddings: (tokens, width) of the base, if it is here."""
    return [
        check_prompt(seen),
        check_end_mark(seen),
        check_cut(seen),
        check_start_mark(seen),
        check_template(seen),
        check_embeddings(seen, embeddings),
    ]


def share(rows: Sequence[object], hits: int) -> float:
    """hits among the rows; 0 of none."""
    return hits / len(rows) if rows else 0.0


def check_prompt(seen: Seen) -> Finding:
    """Do the answers alone carry loss? A row begins with a question."""
    learned = [loss_begins(ids, labels, seen.tokenizer) for ids, labels in seen.rows]
    silent = sum(all(label == NO_LOSS for label in labels) for _, labels in seen.rows)
    if silent > MOST * len(seen.rows):
        return Finding.wrong(
            "prompt",
            f"{silent} of {len(seen.rows)} rows have no token that carries loss, so they teach "
            "nothing",
            "mark the answers in the chat template by {% generation %}, or give the labels "
            "yourself (train.as_trl does)",
        )
    if sum(learned) > MOST * len(seen.rows):
        return Finding.wrong(
            "prompt",
            f"{sum(learned)} of {len(seen.rows)} rows carry loss from their first word on, so the "
            "model learns to write questions, too",
            "loss on the answers alone: assistant_only_loss=True in TRL, or train.as_trl(rows)",
        )
    return Finding.fine("prompt", "the questions carry no loss")


def loss_begins(
    ids: Sequence[int], labels: Sequence[int], tokenizer: "PreTrainedTokenizerBase"
) -> bool:
    """Whether a row carries loss from the first token on that is no special one."""
    special = set(tokenizer.all_special_ids)
    words = (label for token, label in zip(ids, labels, strict=True) if token not in special)
    return next(words, NO_LOSS) != NO_LOSS


def check_end_mark(seen: Seen) -> Finding:
    """Does the end mark behind an answer carry loss?"""
    ends, forgotten = seen.ends, 0
    whole = [row for row in seen.rows if seen.packed or not is_cut(*row, seen)]
    for ids, labels in whole:
        _, behind = last_stretch(labels)
        behind = behind or len(ids)
        forgotten += behind < len(ids) and ids[behind] in ends and ids[behind - 1] not in ends
    if forgotten > FEW * len(whole):
        return Finding.wrong(
            "end mark",
            f"in {forgotten} of {len(whole)} rows the end mark behind the answer carries no "
            "loss, so the model never learns to stop",
            "give it a label; where the padding token is the end mark, the collator takes it away: "
            "set another pad_token",
        )
    if not whole:
        return Finding.fine("end mark", "not looked at: every row is cut off before its end")
    of = "" if len(whole) == len(seen.rows) else f", in the {len(whole)} rows that are whole"
    return Finding.fine("end mark", f"the end of each answer is learned{of}")


def check_cut(seen: Seen) -> Finding:
    """Does each row end where its answer ends?"""
    if seen.packed:
        return Finding.fine("cut answers", "not looked at: the rows are packed")
    cut = sum(is_cut(*row, seen) for row in seen.rows)
    if cut <= FEW * len(seen.rows):
        return Finding.fine("cut answers", "each row ends in an end mark")
    longest = max(len(ids) for ids, _ in seen.rows)
    return Finding.wrong(
        "cut answers",
        f"{cut} of {len(seen.rows)} rows end without an end mark, the longest after {longest} "
        "tokens: their answers were cut off",
        "raise max_length above the longest row, or shorten the rows",
    )


def is_cut(ids: Sequence[int], labels: Sequence[int], seen: Seen) -> bool:
    """Whether a row's last answer is not there to its end mark; that of the question is none."""
    begin, behind = last_stretch(labels)
    if not seen.ends:
        return False
    # what a template writes behind the last end mark is at most a line break
    if behind and len(ids) - behind < CLOSING:
        return seen.ends.isdisjoint(ids[max(begin, len(ids) - CLOSING) :])
    # the row goes on behind all that is learned: in an answer of weight 0, or one that is gone
    row = tuple(ids)
    begun = any(len(chat) > len(row) and chat[: len(row)] == row for chat in seen.rendered)
    return begun or seen.ends.isdisjoint(ids[-CLOSING:])


def last_stretch(labels: Sequence[int]) -> tuple[int, int]:
    """Where the last tokens in a row that carry loss begin, and where they end; (0, 0) of none."""
    behind = next((n for n in range(len(labels), 0, -1) if labels[n - 1] != NO_LOSS), 0)
    begin = next((n for n in range(behind, 0, -1) if labels[n - 1] == NO_LOSS), 0)
    return begin, behind


def check_start_mark(seen: Seen) -> Finding:
    """Does a row begin with one start mark?"""
    start = seen.tokenizer.bos_token_id
    twice = sum(list(ids[:2]) == [start, start] for ids, _ in seen.rows)
    if start is not None and twice > FEW * len(seen.rows):
        return Finding.wrong(
            "start mark",
            f"{twice} of {len(seen.rows)} rows begin with two start marks: the template writes "
            "one, and the tokenizer adds another",
            "tokenize the chat's text with add_special_tokens=False",
        )
    return Finding.fine("start mark", "no row has two")


def check_template(seen: Seen) -> Finding:
    """Are these the tokens that the saved template makes of the same rows?"""
    if not seen.rendered:
        return Finding.fine("template", "not looked at: the chats themselves are not here")
    known = sum(is_rendered(ids, seen) for ids, _ in seen.rows)
    if known >= MOST * len(seen.rows):
        return Finding.fine("template", "the saved chat template makes the tokens of training")
    first = seen.tokenizer.decode(list(seen.rows[0][0])[:12])
    return Finding.wrong(
        "template",
        f"the saved chat template makes other tokens of the training rows than the model saw "
        f"({first!r} …), so it is asked in another form than it was trained in",
        "save the tokenizer that trained beside the adapter, and ask by its template",
    )


def is_rendered(ids: Sequence[int], seen: Seen) -> bool:
    """Whether the template makes these tokens of a chat, one start mark or two, cut or whole."""
    start = seen.tokenizer.bos_token_id
    row = tuple(ids[1:] if list(ids[:2]) == [start, start] else ids)
    return any(chat[: len(row)] == row for chat in seen.rendered)


def check_embeddings(seen: Seen, embeddings: "torch.Tensor | None") -> Finding:
    """Has every token that is taught a row of its own, one that was trained?"""
    if embeddings is None:
        return Finding.fine("tokens", "not looked at: the base's embeddings are not here")
    taught = {token for _, labels in seen.rows for token in labels if token != NO_LOSS}
    beyond = sorted(token for token in taught if token >= len(embeddings))
    dead = sorted((taught - set(beyond)) & find_dead(embeddings))
    if not beyond and not dead:
        return Finding.fine("tokens", f"all {len(taught)} tokens that are taught are trained ones")
    token = (beyond or dead)[0]
    why = "the base has no embedding for it" if beyond else "its embedding was never trained"
    return Finding.wrong(
        "tokens",
        f"the rows teach {seen.tokenizer.convert_ids_to_tokens(token)!r} (id {token}), and {why}; "
        "the adapter does not train it, so it can never become the likeliest",
        f"train it: LoraConfig(trainable_token_indices=[{token}]), or use a mark that the base "
        "knows",
    )


def find_dead(embeddings: "torch.Tensor") -> set[int]:
    """Tokens whose row is next to the mean of all rows, or is nothing: never trained."""
    rows = embeddings.float()
    apart = (rows - rows.mean(0)).norm(dim=1)
    small = (apart < DEAD * apart.median()) | (rows.norm(dim=1) == 0)
    return set(small.nonzero()[:, 0].tolist())


def check_copies(hashes: Sequence[str]) -> Finding:
    """Is one training row there many times? hashes: of the rows, by `data.row_hash`."""
    if not hashes:
        return Finding.fine("copies", "not looked at: the run lists no rows")
    (_, often), *_ = collections.Counter(hashes).most_common(1)
    if often < OFTEN or often <= COPIES * len(hashes):
        return Finding.fine("copies", f"no row makes up more than {COPIES:.0%} of them")
    return Finding.wrong(
        "copies",
        f"one of the {len(hashes):,} training rows is there {often} times, so whatever is wrong in "
        "it is learned as often",
        "keep one copy of each row: data.copies(rows) names them",
    )


def check_leak(hashes: Sequence[str], tested: Sequence[str]) -> Finding:
    """Are test rows among the training rows? Both by `data.row_hash`."""
    known = set(hashes)
    leaked = sum(row in known for row in tested)
    if not known or not tested:
        return Finding.fine("leak", "not looked at: the run lists no test rows")
    if leaked <= LEAKED * len(tested):
        return Finding.fine("leak", f"{leaked} of {len(tested)} test rows were trained on")
    return Finding.wrong(
        "leak",
        f"{leaked} of {len(tested)} test rows were trained on, so the score says how well rows are "
        "learned by heart",
        "take them out of the training rows (data.check FILE --against TEST names them), and score "
        "again",
    )


def rows_in(folder: Path) -> dict[str, list[str]]:
    """{split: the hashes of its rows} of a run folder's rows.json, copies counted; {} without."""
    file = folder / "rows.json"
    if not file.is_file():
        return {}
    try:
        stated: Any = json.loads(read_text(file))
    except (UserError, ValueError):
        return {}
    return stated if isinstance(stated, dict) else {}
