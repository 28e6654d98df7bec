"""What every notebook took when it was last written, and whether it takes more by now.

    record(path, cost)        keep what a notebook took, where it is another figure than is kept
    limits(times)             {notebook: the most that it may take here}
    over(name, cost, limits)  why a notebook takes too much, or None

Kept are the kernel's processor time and its most memory, in data/measurements/notebooks.json. On
a slower machine, or a busy one, the seconds are scaled by a yardstick, a small piece of the kit's
usual work. The heads of the notebooks state both (`tests/tools/test_budgets.py`).
"""

import json
from collections.abc import Mapping
from pathlib import Path

from ..core.errors import UserError, is_number
from ..core.files import data_path, write_whole
from ..core.results import decimal_bytes
from .processes import Cost, run_fresh

FILE = "measurements/notebooks.json"
SAME = 0.25  # what a second measurement may differ by, and is kept as it was
SPARE = 10.0  # seconds that a budget leaves at least, for a short notebook's start varies
WORK = """
from ftkit import forgetting, models
forgetting.skills(*models.load("pocket"), n=20)
"""


def read() -> dict[str, Cost]:
    """{notebook: what it took}, and the yardstick's own cost as "yardstick"."""
    file = data_path(FILE)
    if not file.is_file():
        return {}
    return {name: Cost(*cost) for name, cost in json.loads(file.read_text())["costs"].items()}


def record(path: Path, cost: Cost) -> None:
    """Keep what a notebook of the repository took, unless what is kept is about the same."""
    file = data_path(FILE)
    if path.parent != file.parents[2] / "notebooks":
        return
    costs = read()
    if is_same(costs.get(path.stem), cost):
        return
    # a slower machine, or a busy one, is no longer notebook
    if "yardstick" in costs:
        cost = Cost(cost.seconds / slower_here(costs["yardstick"]), cost.peak)
    else:
        costs["yardstick"] = run_fresh(WORK)
    if is_same(costs.get(path.stem), cost):
        return
    costs[path.stem] = cost
    lines = [
        f"{json.dumps(name)}: [{one.seconds:.0f}, {round(one.peak, -7)}]"
        for name, one in sorted(costs.items())
    ]
    about = "processor seconds and bytes of each notebook's kernel; the yardstick is tools/budgets"
    body = ",\n".join(lines)
    write_whole(file, f'{{"about": "{about}", "costs": {{\n{body}\n}}}}\n')


def is_same(kept: Cost | None, cost: Cost) -> bool:
    """Whether what is kept is about what was measured."""
    return kept is not None and all(
        abs(new - old) <= SAME * old for new, old in zip(cost, kept, strict=True)
    )


def slower_here(kept: Cost) -> float:
    """How many times as long as was kept the yardstick takes now, and at least 1."""
    return max(1.0, run_fresh(WORK).seconds / kept.seconds)


def limits(times: float) -> dict[str, Cost]:
    """{notebook: the most that it may take here}: so many times what was recorded.

    The seconds are scaled where the yardstick takes longer here. Raises UserError for a number
    below 1.
    """
    if not is_number(times) or times < 1:
        raise UserError(f"budget is {times!r}; give a number from 1 on, such as 1.5.")
    costs = read()
    kept = costs.pop("yardstick", None)
    slower = slower_here(kept) if kept else 1.0
    return {
        name: Cost(max(times * cost.seconds, cost.seconds + SPARE) * slower, int(times * cost.peak))
        for name, cost in costs.items()
    }


def over(name: str, cost: Cost, limits: Mapping[str, Cost]) -> str | None:
    """Why a notebook takes more than it may, or None."""
    if name not in limits:
        return None
    most = limits[name]
    if cost.seconds > most.seconds:
        return f"it took {cost.seconds:.0f} s of processor, and its budget is {most.seconds:.0f} s"
    if cost.peak > most.peak:
        return f"it took {decimal_bytes(cost.peak)}, and its budget is {decimal_bytes(most.peak)}"
    return None
