"""Rows D1 to D13 and W1 to W6 of the ledger: data, and whether to tune at all.

    CLAIMS               the claims, in order
    runs(), stated(row)  the grids, and what `studies.ledger` states of a row, as figures
    within(said, values) figures by seed that are held against the same bounds

Scores are those of the grids "data" and "deciding", three seeds each; what is counted is counted on
the kit's own rows. Scores are shares from 0 to 1, and two within five points count as equal.
Notebooks 05 and 06 show where the figures come from.
"""

import json
import math
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from .. import audit, cost, data, decide, lab, models
from ..core.statistics import Rate, rows_needed
from ..studies import ledger
from .claim import DEPENDS, FAILS, HOLDS, Claim, Figure, exact, of_rate, of_seeds, query
from .judges import all_within, each, each_clear

ALL = ("G1", "G2", "G3", "G4", "G5")
POINTS = 0.05  # two scores within five points count as equal
ABOVE = (0.0, math.inf)
BETTER = (POINTS, math.inf)  # by more than five points
NO_WORSE = (-POINTS, math.inf)
SPENT, A_DAY = 4.0, (0.0, 1e7)  # dollars: G1's upper end for a tuning; calls: G4's day
minus, over = ledger.minus, ledger.over  # seed by seed
WEIGHED = (
    "from ftkit import lab, studies\n"
    'found = studies.weigh(*map(lab.grids.read, ("data", "deciding"))).weighed\n'
    "[(one.statement.sentence, one.measured) for one in found if one.statement.row == {!r}]"
)
TEST = 'lambda row: row.scores["test"]'


@cache
def runs() -> ledger.Grids:
    """The finished rows of the grids that the ledger's statements read."""
    return ledger.Grids(*map(lab.grids.read, ("data", "deciding", "preferences")))


def stated(row: str) -> list[Figure]:
    """The statements that `studies.ledger` makes of a row, each with its interval and bounds."""
    statements = (*ledger.STATEMENTS, *ledger.OF_PREFERENCES)
    chosen = [one for one in statements if one.row == row]
    units = [one.unit if one.unit not in ledger.BOUNDS else "" for one in chosen]
    return [
        of_seeds(one.sentence, one.measure(runs()), unit, (one.low, one.high))
        for one, unit in zip(chosen, units, strict=True)
    ]


def within(said: tuple[float, float] | None, values: Mapping[str, ledger.BySeed]) -> list[Figure]:
    """A figure for each value by seed, all of them held against the same bounds."""
    return [of_seeds(what, by_seed, said=said) for what, by_seed in values.items()]


# What each row of D measures.


def formats_that_load() -> Sequence[Figure]:
    """D1: a row of each format, as the guides write it; and a file of bad ones."""
    ask, say = {"role": "user", "content": "Late?"}, {"role": "assistant", "content": "Yes."}
    rows = {
        "instruction": {"instruction": "Late?", "input": "It is noon.", "output": "Yes."},
        "chat": {"messages": [ask, say]},
        "preference": {"prompt": "Late?", "chosen": "Yes.", "rejected": "No."},
        "completion, in two fields": {"prompt": "Late?", "completion": " Yes."},
        "completion, as one raw text": {"text": "Late? Yes."},
    }
    bad = [{"messages": [ask]}, {"messages": [ask, {**say, "content": " "}]}, {"prompt": "Late?"}]
    figures = [
        exact(f"{name}: rows of 1 that are taken", check_rows([row])[0], said=(1, 1))
        for name, row in rows.items()
    ]
    named = check_rows(bad)[1]
    return [*figures, exact("of 3 bad rows, named by line and reason", named, said=(3, 3))]


def check_rows(rows: Sequence[dict]) -> tuple[int, int]:
    """(rows that are good, bad ones that are named by line and reason) of a file of them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.jsonl")
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        checked = data.check(path)
    return checked.valid, sum(bool(e["where"] and e["reason"]) for e in checked.errors)


def rows_that_are_enough() -> Sequence[Figure]:
    """D2: what eight rows lack of 200, in as many steps; and the scores on the sizes between."""
    tasks = ("tickets", "trays", "greeted", "shipments")
    by_size = {(t, n): runs().of(task=t, rows=n) for t in tasks for n in (8, 24, 48, 96, 200)}
    eight = {f"{t}: 8 rows less 200": minus(by_size[t, 8], by_size[t, 200]) for t in tasks}
    shown = {f"{t}: right with {n} rows": found for (t, n), found in by_size.items() if found}
    return [*within((-0.1, math.inf), eight), *within(None, shown)]


def clean_against_noisy() -> Sequence[Figure]:
    """D3: the statements, where "beats" is by more than five points."""
    return [one._replace(said=BETTER) for one in stated("D3")]


def copies_found() -> Sequence[Figure]:
    """D4: planted copies by kind and tool; and what a repeated wrong row does."""
    tools = audit.detection(audit.plant(data.load("tickets")["train"], 40))
    minhash = "MinHash, verified ≥ 0.5"
    same, near = (sum(tools.found[tool].values()) for tool in ("the same text", minhash))
    reworded = tools.found[minhash]["all reworded"]
    return [
        of_rate("copies of six kinds that exact matching finds", Rate(same, 240), (0.0, 0.5)),
        of_rate("that MinHash of word pairs finds", Rate(near, 240), (0.5, 1.0)),
        of_rate("full rewordings that MinHash finds", Rate(reworded, 40), (0.5, 1.0)),
        *stated("D4"),
    ]


def rows_held_out() -> Sequence[Figure]:
    """D6: test rows that each share leaves, against those that show five points."""
    needed = rows_needed(0.05, 0.1)
    figures = [
        exact(f"{share:.0%} of {rows:,} rows", share * rows, "test rows", (needed, math.inf))
        for rows in (200, 1_000, 10_000)
        for share in (0.05, 0.1)
    ]
    what = "test rows that show a change of five points where a tenth of the answers differ"
    return [*figures, exact(what, needed, "rows"), of_rate("18 right of 20", Rate(18, 20))]


def harder_tests() -> Sequence[Figure]:
    """D7: how much harder two hard tests are, and whether they part what the usual one does not."""
    usual, behind, front = "the first wording", ledger.SHORT, ledger.FRONT

    def score(asked: str, wordings: int) -> Mapping[int, float]:
        return runs().of(asked, **ledger.TICKETS, change="wordings", amount=wordings)

    one, eight = ({ask: score(ask, n) for ask in (usual, behind, front)} for n in (1, 8))
    tests = {
        "usual wording less an unseen one behind": minus(one[usual], one[behind]),
        "usual wording less one in front": minus(one[usual], one[front]),
    }
    parted = {
        "two models that differ: on the usual wording": minus(eight[usual], one[usual]),
        "the same two on the one in front": minus(eight[front], one[front]),
    }
    stored = stated("D7")[0]._replace(said=BETTER)
    return [stored, *within(BETTER, tests), *within(None, parted)]


def rare_class() -> Sequence[Figure]:
    """D8: recall of a class of 5 %, against the same rows oversampled, and a class of 20 %."""

    def recall(steps: int, change: str = "rare", amount: float = 0.05) -> Mapping[int, float]:
        return runs().of("black", rows=ledger.FEW, steps=steps, change=change, amount=amount)

    added = {
        f"recall that oversampling adds after {n} steps": minus(recall(n, "oversampled"), recall(n))
        for n in (40, 160)
    }
    shown = {
        "recall of the 5 % after 40 steps": recall(40),
        "recall of a class of 20 % after 40 steps": recall(40, amount=0.2),
    }
    never = {"“never”: recall of the 5 % after 160 steps": recall(160)}
    return [*within(ABOVE, added), *within((0.0, 0.0), never), *within(None, shown)]


def loss_on_prompts() -> Sequence[Figure]:
    """D10: answers alone less the prompt, too: each of five settings, and their mean by seed."""
    tickets = [{**ledger.TICKETS, "steps": n} for n in (25, 50)]
    settings = [*tickets, *({"task": "trays", "steps": n} for n in (40, 80, 160))]
    gains = {
        f"{where['task']}, {where['steps']} steps": minus(
            runs().of(**where), runs().of(**where, change="prompt learned")
        )
        for where in settings
    }
    seeds = set.intersection(*(set(gain) for gain in gains.values()))
    mean = {seed: statistics.fmean(gain[seed] for gain in gains.values()) for seed in seeds}
    gain = {"loss on answers alone gains, on the mean of five settings": mean}
    return [*within(ABOVE, gain), *within(None, gains)]


def short_answers() -> Sequence[Figure]:
    """D11: of rows that are all right, the share that a filter of 20 tokens drops."""
    tokenizer = models.load_tokenizer("pocket")
    figures = []
    for name in ("tickets", "facts", "general"):
        counted = audit.lengths(data.as_rows(data.load(name)["train"]), tokenizer)
        dropped = Rate(len(counted.shorter(20)), len(counted.tokens))
        figures.append(of_rate(f"right rows dropped: {name}", dropped, (0.0, POINTS)))
    return figures


# What each row of W measures.


def facts_by_tuning() -> Sequence[Figure]:
    """W1: the statements, and 240 facts that were taught in one wording and in three."""
    told, reliable = "closed-book before", (-math.inf, 0.9)
    taught = {
        "one wording": "tuned",
        "one wording, three times as long": "tuned three times as long",
        "three wordings": "tuned in three wordings",
    }
    known = {way: runs().arm("facts", arm, told, amount=4) for way, arm in taught.items()}
    taught_in = {f"240 facts taught in {way}: right in others": v for way, v in known.items()}
    left = runs().arm("facts", "tuned in three wordings", "skill known", amount=4)
    kept = {"three wordings: what is left of facts known before": left}
    return [*stated("W1"), *within(reliable, taught_in), *within(None, kept)]


def cheaper_ways_first() -> Sequence[Figure]:
    """W3: the cheapest way against the dearer one, task by task; and both together."""
    listed, tuned = runs().arm("tickets", "list"), runs().arm("tickets", "tuned", amount=200)
    shots, rows = (runs().arm("trays", arm, amount=n) for arm, n in (("shots", 4), ("tuned", 200)))
    found = runs().arm("facts", "retrieval", "retrieval before", amount=4)
    stored = runs().arm("facts", "tuned", "closed-book before")
    cheap = {
        "tickets: the best prompt less tuned": minus(listed, tuned),
        "new facts: passages less tuned": minus(found, stored),
    }
    hopeless = {"trays: the best prompt less tuned": minus(shots, rows)}
    both = [one._replace(what=f"combined is better: {one.what}") for one in stated("W3")]
    return [*within(NO_WORSE, cheap), *within(None, hopeless), *both]


def shots_against_rows() -> Sequence[Figure]:
    """W4: the statements, and four shots against 200 rows on the other tasks."""
    others = {
        f"four examples, of 200 trained rows: {task}": over(
            runs().arm(task, "shots", amount=4), runs().arm(task, "tuned", amount=200)
        )
        for task in ("trays", "shipments", "calls", "greeted")
    }
    return [*stated("W4"), *within(None, others)]


def calls_until_paid() -> Sequence[Figure]:
    """W5: what a tuned call saves against three prompts, at dated prices."""
    prices = cost.read_prices()
    pair = prices.of("prompt tokens", "GPT-4o").low, prices.of("reply tokens", "GPT-4o").low
    json_reply, list_reply = reply_tokens()
    tuned = cost.cost_of_call(prompt_length("tuned", 200), json_reply, pair)
    arms = {
        "a list that is parsed": (prompt_length("list"), list_reply),
        "the schema in words": (prompt_length("schema"), json_reply),
        "four solved examples": (prompt_length("shots", 4), json_reply),
    }
    figures = [exact("prompt tokens of the tuned model", prompt_length("tuned", 200))]
    for name, (prompt, reply) in arms.items():
        paid = cost.break_even(cost.cost_of_call(prompt, reply, pair), tuned, SPENT).calls
        what = f"calls until ${SPENT:g} are paid back, against {name}"
        figures.append(exact(what, math.inf if paid is None else paid, "calls", A_DAY))
        figures.append(exact(f"prompt tokens of {name}", prompt))
    return figures


def prompt_length(arm: str, amount: float = 0.0) -> float:
    """The mean prompt tokens of an arm on the tickets."""
    where = {"task": "tickets", "arm": arm, "amount": amount, "model": "pocket", "seed": 0}
    (row,) = lab.grids.select(runs().deciding, **where)
    return row.prompt_tokens or 0.0


def reply_tokens() -> tuple[float, float]:
    """The mean tokens of a right reply, end mark and all: as JSON, and as a list."""
    tokenizer = models.load_tokenizer("pocket")
    golds = [chat[-1]["content"] for chat in data.load("tickets")["test"]["messages"]]
    lists = [
        "\n".join(f"{key}: {value}" for key, value in json.loads(gold).items()) for gold in golds
    ]
    both = (tokenizer(texts, add_special_tokens=False)["input_ids"] for texts in (golds, lists))
    as_json, as_list = (statistics.fmean(len(ids) + 1 for ids in texts) for texts in both)
    return as_json, as_list


def cards_decided() -> Sequence[Figure]:
    """W6: the guides' own examples, put to one decision."""
    cards = decide.cards()
    other = [card for card in cards if decide.choose(card.situation).what != card.expected]
    named = sum(bool(card.disputed) for card in other)
    agreed, all_of, rest = len(cards) - len(other), len(cards), len(other)
    what = "of the others, where it names the guide that says otherwise"
    return [
        exact(
            "examples that one decision settles as their guides do", agreed, "", (all_of, all_of)
        ),
        exact(what, named, "", (rest, rest)),
        exact("examples", all_of),
    ]


def agreed_or_named(figures: Sequence[Figure]) -> str:
    """All examples agree: holds. Every other one is named: depends on the guide. Else fails."""
    if figures[0].answer:
        return HOLDS
    return DEPENDS if figures[1].answer else FAILS


CLAIMS = (
    Claim(
        "D1",
        "Instruction, chat, completion and preference rows load as the guides write them",
        "M",
        ALL,
        "import json\nfrom pathlib import Path\nfrom ftkit import data\n"
        'Path("one.jsonl").write_text(json.dumps({"text": "Late? Yes."}))\ndata.check("one.jsonl")',
        "It depends where one is taken and another not: here all but a raw text, in which nothing "
        "says where the answer begins.",
        formats_that_load,
        each,
        "05",
        {"G2": "Three dataset formats you will encounter"},
    ),
    Claim(
        "D2",
        "A tuning is worth it from 50, 100, 200, 500 or 1,000 rows on",
        "X",
        ALL,
        query("data", 'task="trays", change="none", steps=200, lr=4e-3, r=8', TEST, "rows"),
        "It depends where eight rows come within ten points of 200 on one task and not on another, "
        "in as many steps; 200 is the most that every task has.",
        rows_that_are_enough,
        each,
        "05",
        {
            "G1": "You have fewer than 50 high-quality training examples",
            "G2": "Below 200 examples, overfitting is a serious risk.",
            "G3": "Minimum: ~100 high-quality examples",
            "G4": "Do you have < 1000 examples?",
            "G5": "you have fewer than ~200 good examples (use few-shot prompting)",
        },
    ),
    Claim(
        "D3",
        "A few clean rows beat many noisy ones",
        "M",
        ALL,
        WEIGHED.format("D3"),
        "Clean ones win by more than five points; it depends where they do against one kind of "
        "noise and not against another. Ten to twelve times as many were tried, not a hundred.",
        clean_against_noisy,
        each,
        "05",
        {
            "G1": "100 carefully curated, expert-written examples consistently outperform 10,000 "
            "noisy, auto-generated examples",
            "G3": "100 perfect examples beat 10,000 noisy ones",
            "G4": "1,000 high-quality examples will outperform 100,000 noisy ones.",
        },
    ),
    Claim(
        "D4",
        "Near-copies have to go: exact matching misses them, and a repeated error is learned",
        "M",
        ("G1", "G2", "G4", "G5"),
        "from ftkit import audit, data\n"
        'audit.detection(audit.plant(data.load("tickets")["train"], 40))',
        "Exact matching must find less than half of planted copies, MinHash more, of each kind; a "
        "repeated wrong row must be learned, and harm its like. It depends where part is so. "
        "Embeddings were not tried.",
        copies_found,
        each,
        "05",
        {
            "G2": "Use near-deduplication tools (MinHash, SimHash) before training.",
            "G4": "Remove duplicates (exact and near-duplicate via embedding similarity)",
            "G5": "One mislabeled row repeated 500 times is a feature, not noise.",
        },
    ),
    Claim(
        "D5",
        "Test rows that leak into training make the reported score too high",
        "M",
        ("G2", "G3", "G5"),
        WEIGHED.format("D5"),
        "It holds where the reported score is above the true one in some setting and in none not; "
        "where a rule is learned, three seeds cannot tell.",
        lambda: stated("D5"),
        each_clear,
        "05",
        {
            "G3": "Inflated eval metrics don't reflect real performance",
            "G5": "leaking eval examples into train destroys your metrics",
        },
    ),
    Claim(
        "D6",
        "Hold out a tenth, two tenths, or 5 to 10 % of the rows",
        "X",
        ("G1", "G2", "G4"),
        "from ftkit.core import Rate, rows_needed\nrows_needed(0.05, 0.1), Rate(18, 20).interval",
        "A share is enough where it leaves the test rows that show five points; it depends on how "
        "many rows there are: the number decides, and no share. Holding out before cleaning was "
        "not compared.",
        rows_held_out,
        each,
        "05",
        {
            "G1": "Split 90/10 train/validation",
            "G2": "80% train, 10% validation, 10% held-out test",
            "G4": "as eval set before any cleaning decisions",
        },
    ),
    Claim(
        "D7",
        "The test should be harder than the average row",
        "M",
        ("G2",),
        query("data", 'change="wordings"', 'lambda row: row.scores["the first wording"]', "amount"),
        "A test is harder where it costs five points; it depends where one that people would call "
        "hard is so, and parts models that the usual one does not, and another is not.",
        harder_tests,
        each,
        "05",
        {"G2": "make the test set harder than average"},
    ),
    Claim(
        "D8",
        "Rows of which 95 % have one label teach the model to say it always",
        "M",
        ("G5",),
        query("data", 'change="rare", amount=0.05', 'lambda row: row.scores["black"]', "steps"),
        "Oversampling must raise the rare class's recall, and without it the recall must stay zero "
        "however long one trains; it depends where the first is so and the second not.",
        rare_class,
        each,
        "05",
        {"G5": 'A 95% "no escalation" label set teaches a model that never escalates.'},
    ),
    Claim(
        "D9",
        "A model that is trained in one chat template and asked in another breaks silently",
        "M",
        ("G5",),
        WEIGHED.format("D9"),
        "It breaks where more than half of the answers are lost; it depends where one pair of "
        "templates breaks and another does not.",
        lambda: stated("D9"),
        each,
        "05",
        {"G5": "inferring with a different special-token layout breaks silently"},
    ),
    Claim(
        "D10",
        "Only the answer should carry loss",
        "M",
        ("TRL",),
        query("data", 'task="trays", change="prompt learned"', TEST, "steps"),
        "It holds where loss on answers alone scores higher than loss on the prompt too, seed by "
        "seed, on the mean of five settings.",
        loss_on_prompts,
        all_within,
        "05",
    ),
    Claim(
        "D11",
        "Answers of fewer than 20 tokens are likely garbage and should be dropped",
        "M",
        ("G4",),
        "from ftkit import audit, data, models\n"
        'rows = data.as_rows(data.load("facts")["train"])\n'
        'len(audit.lengths(rows, models.load_tokenizer("pocket")).shorter(20))',
        "The filter does no harm where it drops at most 5 % of rows that are all right; it depends "
        "where it does none to one task and harms another.",
        short_answers,
        each,
        "05",
        {"G4": "Filter outputs shorter than 20 tokens (likely truncated or garbage)"},
    ),
    Claim(
        "D12",
        "Several wordings in training keep a model from over-fitting to one",
        "M",
        ("G3",),
        WEIGHED.format("D12"),
        "Eight must beat one by ten points on an unseen one; it depends where they do on one in "
        "another place of the prompt, and not on one in the usual place.",
        lambda: stated("D12"),
        each,
        "05",
        {"G3": "Insufficient format diversity in training data"},
    ),
    Claim(
        "D13",
        "Rows made by a teacher have to be audited, and their share capped",
        "M",
        ("G5",),
        WEIGHED.format("D13"),
        "Unaudited rows must cost ten points and a filter win them back; it depends where asking "
        "the teacher better leaves it nothing to do. No cap on the share was tried.",
        lambda: stated("D13"),
        each,
        "05",
        {"G5": "audit it — teachers hallucinate confidently"},
    ),
    Claim(
        "W1",
        "Tuning changes behaviour, and does not reliably add knowledge",
        "M",
        ALL,
        query(
            "deciding",
            'arm="tuned in three wordings", unsure=0',
            'lambda row: row.scores["closed-book before"]',
            "amount",
        ),
        "Behaviour must transfer, and facts must be right in less than nine of ten other wordings, "
        "backwards never, and strangers made up. It depends where one way of teaching stores them.",
        facts_by_tuning,
        each,
        "06",
        {
            "G1": "It does not reliably add new factual knowledge.",
            "G3": "Fine-tuning is for behavior, not knowledge.",
            "G5": "weights are a bad database",
        },
    ),
    Claim(
        "W2",
        "Retrieval adds knowledge, and nothing has to be trained for it",
        "M",
        ALL,
        WEIGHED.format("W2"),
        "It holds where more than nine of ten new facts are right, before and after they change.",
        lambda: stated("W2"),
        all_within,
        "06",
        {"G1": "RAG provides knowledge", "G5": "RAG supplies facts"},
    ),
    Claim(
        "W3",
        "Prompt first, then retrieve, then tune; the best systems do several at once",
        "M",
        ALL,
        WEIGHED.format("W3"),
        "The cheaper way must come within five points where it can do the task at all, and both "
        "together must beat the better one; it depends where the first is so and the second not.",
        cheaper_ways_first,
        each,
        "06",
        {
            "G1": "Most production systems combine both.",
            "G3": "Try prompting and RAG first.",
            "G5": "try prompting first, add RAG when facts are missing or stale",
        },
    ),
    Claim(
        "W4",
        "Examples in the prompt reach 80 % of what tuning does",
        "M",
        ("G1",),
        WEIGHED.format("W4"),
        "The score with examples over that of a tuned model must lie above 0.8; it depends where "
        "one task lies above and another below.",
        shots_against_rows,
        each,
        "06",
        {"G1": "Few-shot examples in the system prompt often achieve 80% of fine-tuning quality"},
    ),
    Claim(
        "W5",
        "A tuned model needs a shorter prompt, and that pays at volume",
        "C",
        ("G2", "G4", "G5"),
        "from ftkit import cost\nprices = (2.5, 10)  # dollars per million tokens\n"
        "cost.break_even(cost.cost_of_call(521, 50, prices), cost.cost_of_call(67, 50, prices), 4)",
        "Four dollars must be paid back within ten million calls, at dated prices; it depends "
        "where they are against one prompt and never against another.",
        calls_until_paid,
        each,
        "06",
        {"G4": "at 10M+ calls/day", "G5": "a shorter prompt plus a smaller adapter beats a giant"},
    ),
    Claim(
        "W6",
        "Five tables and trees say when to prompt, to retrieve and to tune",
        "C",
        ALL,
        "from ftkit import decide\n"
        "[decide.choose(card.situation).what == card.expected for card in decide.cards()]",
        "All examples come out of one decision as their guides say: holds. It depends on the guide "
        "where some do not, and each of those is named as one on which guides differ.",
        cards_decided,
        agreed_or_named,
        "06",
        {
            "G2": "You need strict JSON/structured output, consistently | Fine-tuning",
            "G4": "Come back when you have more data.",
            "G5": "you have fewer than ~200 good examples (use few-shot prompting)",
        },
    ),
)
