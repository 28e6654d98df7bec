"""Which passages fit a question? BM25 by hand, and the passages put into the prompt.

    Index(passages).search(query, k)      the k passages that fit best, best first
    Index(passages).rank(query, k)        their places in the list
    recall_at(index, queries, wanted, k)  how often the right passage is among the first k
    with_passages(chats, passages)        chats whose question has its passages before it
    retrieve(chats, index, k)             both at once

Words are matched as they stand: no stems, no synonyms, no embeddings. Whether a model then answers
from them is measured by `arms`; what of its answer they hold, by `measures`. Notebook 06.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from ..core.errors import UserError, is_number, is_whole
from ..core.statistics import Rate
from ..data import UNSPACED
from ..world import lexicon

WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+")  # where no blanks are put, a character
FRAME = lexicon.CONTEXTS[0]  # "Facts: {facts} Question: {q}"
HOLE = re.compile(r"\{(facts|q)\}")


def words_of(text: str) -> list[str]:
    """The words of a text in lower case; of scripts without blanks, its characters."""
    return WORD.findall(text.lower())


class Index:
    """Passages to be searched by BM25 (Robertson & Zaragoza 2009, section 3).

    k1: how much a word's second and third time in a passage add; b: how much a long passage is
    held back, from 0 to 1. Raises UserError for no passages, an empty one, and other k1 or b.
    """

    def __init__(self, passages: Sequence[str], k1: float = 1.5, b: float = 0.75) -> None:
        check_passages(passages)
        if not is_number(k1) or k1 < 0 or not is_number(b) or not 0 <= b <= 1:
            raise UserError(
                f"k1 is {k1!r} and b {b!r}; give k1 ≥ 0 and b from 0 to 1, such as 1.5 and 0.75."
            )
        self.passages = list(passages)
        self.k1, self.b = k1, b
        self.counts = [Counter(words_of(passage)) for passage in self.passages]
        self.sizes = [counts.total() for counts in self.counts]

        # a word that is in few passages says much: ln(1 + (n − df + ½) / (df + ½))
        n, self.mean_size = len(self.passages), sum(self.sizes) / len(self.passages)
        within = Counter(word for counts in self.counts for word in counts)
        self.weights = {w: math.log(1 + (n - df + 0.5) / (df + 0.5)) for w, df in within.items()}

    def scores(self, query: str) -> list[float]:
        """The BM25 score of every passage: Σ over the query's words of weight · tf / (tf + K).

        tf: how often the passage has the word. K = k1 · (1 − b + b · its words / the mean).
        """
        asked = words_of(query)
        totals = []
        for counts, size in zip(self.counts, self.sizes, strict=True):
            limit = self.k1 * (1 - self.b + self.b * size / self.mean_size)
            totals.append(
                sum(self.weights[w] * counts[w] / (counts[w] + limit) for w in asked if counts[w])
            )
        return totals

    def rank(self, query: str, k: int) -> list[int]:
        """The places of the k best passages, best first; of equal scores, the earlier place first.

        Raises UserError unless 1 ≤ k ≤ the passages there are.
        """
        if not is_whole(k) or not 1 <= k <= len(self.passages):
            raise UserError(
                f"k is {k!r}; give a whole number from 1 to {len(self.passages)}, "
                "the passages there are."
            )
        scores = self.scores(query)
        return sorted(range(len(scores)), key=lambda place: (-scores[place], place))[:k]

    def search(self, query: str, k: int) -> list[str]:
        """The k passages that fit the query best, best first (see `rank`)."""
        return [self.passages[place] for place in self.rank(query, k)]


def check_passages(passages: Sequence[str]) -> None:
    """Refuse no passages, and one that holds no words or is no text."""
    if isinstance(passages, str) or not len(passages):
        given = "one text" if isinstance(passages, str) else "an empty list"
        raise UserError(f"the passages are {given}; give a list of one text at least.")
    for number, passage in enumerate(passages, 1):
        if not isinstance(passage, str) or not words_of(passage):
            raise UserError(
                f"passage {number} of {len(passages)} is {passage!r} and holds no word; "
                "leave it out, or give its text."
            )


def recall_at(index: Index, queries: Sequence[str], wanted: Sequence[int], k: int) -> Rate:
    """Recall@k: the share of queries whose one right passage is among the first k.

    wanted: for each query the place of that passage. Where several are right, see
    `measures.context_recall`. Raises UserError for no queries, and for places that are not there.
    """
    if len(queries) != len(wanted) or not len(queries):
        raise UserError(
            f"there are {len(queries)} queries and {len(wanted)} places; give one place for each "
            "query, and one query at least."
        )
    most = len(index.passages) - 1
    for number, place in enumerate(wanted, 1):
        if not is_whole(place) or not 0 <= place <= most:
            raise UserError(
                f"the place for query {number} is {place!r}; give one from 0 to {most}."
            )
    pairs = zip(queries, wanted, strict=True)
    return Rate(sum(place in index.rank(query, k) for query, place in pairs), len(queries))


def question_of(chat: Sequence[Mapping]) -> str:
    """What a chat's last message asks."""
    if not chat or chat[-1].get("role") != "user" or not isinstance(chat[-1].get("content"), str):
        raise UserError("the last message of a chat is no user's text; give chats that end in one.")
    return chat[-1]["content"]


def with_passages(
    chats: Sequence[Sequence[Mapping]], passages: Sequence[Sequence[str]], frame: str = FRAME
) -> list[list[dict]]:
    """The chats, each with its passages set into its last question.

    passages: for each chat its own, in the order in which they are to stand. frame: how they are
    set, with the holes {facts} and {q}. Raises UserError for a frame that lacks one of the two.
    """
    if not isinstance(frame, str) or set(HOLE.findall(frame)) != {"facts", "q"}:
        raise UserError(f"the frame is {frame!r}; give a text with {{facts}} and {{q}} in it.")
    framed = []
    for chat, own in zip(chats, passages, strict=True):
        parts = {"facts": " ".join(own), "q": question_of(chat)}
        # in one pass, so that nothing is filled into what was filled in
        content = HOLE.sub(lambda hole, parts=parts: parts[hole[1]], frame)
        framed.append([*map(dict, chat[:-1]), {**chat[-1], "content": content}])
    return framed


def retrieve(
    chats: Sequence[Sequence[Mapping]],
    index: Index,
    k: int,
    frame: str = FRAME,
    query: Callable[[str], str] = str,
) -> list[list[dict]]:
    """The chats, each with the k passages before it that fit its question.

    query: what of a question is searched for; all of it by default.
    """
    found = [index.search(query(question_of(chat)), k) for chat in chats]
    return with_passages(chats, found, frame)
