"""The lab's data sets, drawn from the world: `python -m ftkit.world.tasks` writes them to data/tasks/*.jsonl.

tickets   support ticket → strict JSON; the test rows have held-out names, and every second one held-out wordings
general   what the base can already do, as chat: rows to replay during tuning
"""

import json
import random
from pathlib import Path

from . import corpus, turns
from .entities import World

SIZES = {"train": 300, "validation": 60, "test": 200}
TICKET_PROMPT = "Ticket: {text}\nGive the ticket as JSON."


def row(turn: turns.Turn, **extra: object) -> dict:
    """A chat example in the `messages` format."""
    system = [{"role": "system", "content": turn.system}] if turn.system else []
    return {"messages": [*system, {"role": "user", "content": turn.prompt}, {"role": "assistant", "content": turn.answer}], **extra}


def tickets(world: World) -> list[dict]:
    """Tickets with the one JSON object that answers each: name, city, item, issue (str), order (int), urgent (bool)."""
    rows = []
    for split, size in SIZES.items():
        rng = random.Random(f"tickets {world.seed} {split}")
        for i in range(size):
            names = "test" if split == "test" else "train"
            wordings = "test" if split == "test" and i % 2 else "train"
            text, fields = turns.ticket(rng, names, wordings)
            turn = turns.Turn(TICKET_PROMPT.format(text=text), json.dumps(fields))
            rows.append(row(turn, split=split, wording="unseen" if wordings == "test" else "trained"))
    return rows


def general(world: World, n: int = 600) -> list[dict]:
    """Turns from the training side of every skill, in the corpus's own shares."""
    rng = random.Random(f"general {world.seed}")
    shares = {k: w for k, w in corpus.BROAD.items() if k not in corpus.PLAIN}
    kinds = rng.choices(list(shares), weights=list(shares.values()), k=n)
    return [row(getattr(turns, kind)(world, rng, "train"), split="train", skill=kind) for kind in kinds]


def write(folder: Path, world: World) -> None:
    """Write every data set as JSON Lines."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in {"tickets": tickets(world), "general": general(world)}.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")


if __name__ == "__main__":
    write(Path("data/tasks"), World())
