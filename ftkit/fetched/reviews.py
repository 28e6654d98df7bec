"""Rated reviews as chat rows: the texts of Hutto & Gilbert (2014), each with people's votes.

    write(archive, out)    the source archive of vaderSentiment into `out`: a JSONL file per kind

Four kinds of text, movie and product reviews, tweets and newspaper sentences, were rated by some
twenty people each from −4 (very negative) to 4 (very positive). A row asks whether its text is
positive or negative; its right answer is the side of 0 that the mean vote is on, where that is
further than 1 from it. What is in between is left out. `data.load("reviews")` reads the files.
"""

import html
import io
import json
import random
import statistics
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..core.errors import UserError

# What each kind is called in the archive.
KINDS = {
    "movies": "movieReviewSnippets",
    "products": "amazonReviewSnippets",
    "tweets": "tweets",
    "news": "nytEditorialSnippets",
}
INNER = "additional_resources/hutto_ICWSM_2014.tar.gz"  # in the folder of the source archive
QUESTION = "Is this text positive or negative? Answer with one word."
ANSWERS = ("negative", "positive")
CLEAR = 1.0  # how far from 0 the mean vote has to be
HELD_OUT = {"test": 400, "validation": 200}  # rows, as many of either answer


def write(archive: Path, out: Path) -> None:
    """Write `out`/movies.jsonl and the other KINDS: rows in an order drawn from seed 0, with split.

    Each row has `messages`, `split`, `rating` (the mean vote) and `votes`. Raises UserError for an
    archive that holds something else.
    """
    texts = read_archive(archive)
    for kind in KINDS:
        rows = split(list(chat_rows(texts, kind)))
        lines = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
        (out / f"{kind}.jsonl").write_text(lines, encoding="utf-8", newline="\n")


def read_archive(archive: Path) -> dict[str, str]:
    """The text files of the archive inside the archive, by their names."""
    try:
        with tarfile.open(archive) as outer:
            inner = next(m for m in outer.getmembers() if m.name.endswith(INNER))
            packed = outer.extractfile(inner)
            with tarfile.open(fileobj=io.BytesIO(packed.read() if packed else b"")) as files:
                return dict(read_members(files))
    except (tarfile.TarError, StopIteration, EOFError) as error:
        raise UserError(
            f"{archive} is not the source archive of vaderSentiment: it holds no {INNER}."
        ) from error


def read_members(files: tarfile.TarFile) -> Iterator[tuple[str, str]]:
    """(name without folders, content) of the ratings and texts of every kind."""
    for member in files.getmembers():
        name = Path(member.name).name
        if name.startswith(tuple(KINDS.values())):
            stream = files.extractfile(member)
            yield name, stream.read().decode("utf-8-sig") if stream else ""


def chat_rows(texts: Mapping[str, str], kind: str) -> Iterator[dict]:
    """One kind's texts with a clear side, as rows; a text that comes twice is taken once."""
    votes = {}
    for line in texts[f"{KINDS[kind]}_anonDataRatings.txt"].splitlines():
        number, *_, ratings = line.split("\t")
        votes[number] = json.loads(ratings)
    seen = set()
    for line in texts[f"{KINDS[kind]}_GroundTruth.txt"].splitlines():
        number, _, text = line.split("\t")
        text = " ".join(html.unescape(text).split())
        # the file's own mean is of other votes in some tweets
        rating = statistics.fmean(votes[number])
        if abs(rating) <= CLEAR or text in seen:
            continue
        seen.add(text)
        messages = [
            {"role": "system", "content": QUESTION},
            {"role": "user", "content": text},
            {"role": "assistant", "content": ANSWERS[rating > 0]},
        ]
        yield {"messages": messages, "rating": round(rating, 3), "votes": votes[number]}


def split(rows: list[dict]) -> list[dict]:
    """The rows in an order drawn from seed 0, test and validation with as many of either answer.

    A kind with few rows holds out a quarter of them for each at most.
    """
    random.Random(0).shuffle(rows)
    # how many rows of either answer each part still takes; training takes all that are left
    quarter = len(rows) // 4
    room = {
        (part, answer): min(size, quarter) // 2
        for part, size in HELD_OUT.items()
        for answer in ANSWERS
    }
    parts: dict[str, list[dict]] = {part: [] for part in (*HELD_OUT, "train")}
    for row in rows:
        answer = row["messages"][-1]["content"]
        part = next((part for part in HELD_OUT if room[part, answer]), "train")
        if part in HELD_OUT:
            room[part, answer] -= 1
        parts[part].append({"split": part, **row})
    return [row for part in parts.values() for row in part]
