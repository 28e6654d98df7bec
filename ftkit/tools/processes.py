"""What a piece of Python costs in a process of its own: processor time and peak memory.

    run_fresh(code)   (seconds, peak bytes) of a new process, its imports included
    cost_so_far(pid)  the same of one that runs, and of those that it waited for
    peak_bytes()      the most memory that this process held at once

It imports nothing of the kit, so that what it measures is the code alone. `bench` compares such
costs; the memory of a training step is `memory`'s business.
"""

import json
import subprocess
import sys
from typing import NamedTuple


class Cost(NamedTuple):
    """What a process took."""

    seconds: float  # of processor time
    peak: int  # bytes


def peak_bytes() -> int:
    """The most memory that this process held at once.

    Linux's own high-water mark where there is one: the usual ru_maxrss also counts the process that
    started this one.
    """
    try:
        return high_water("self")
    except (OSError, StopIteration):
        import resource

        # bytes on macOS, kibibytes elsewhere
        unit = 1 if sys.platform == "darwin" else 1024
        return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def high_water(process: str | int) -> int:
    """Linux's mark of the most bytes that a process held; OSError where there is none."""
    with open(f"/proc/{process}/status", encoding="ascii") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def cost_so_far(pid: int) -> Cost:
    """What a running process has taken, and of processor time those, too, that it waited for.

    peak: where the system keeps no mark of it, what the process holds now.
    """
    import psutil

    process = psutil.Process(pid)
    times = process.cpu_times()
    seconds = times.user + times.system + times.children_user + times.children_system
    try:
        return Cost(seconds, high_water(pid))
    except (OSError, StopIteration):
        return Cost(seconds, process.memory_info().rss)


def run_fresh(code: str) -> Cost:
    """The cost of a piece of Python in a process of its own, without the interpreter's start."""
    program = [
        "import time",
        "start = time.process_time()",
        code,
        "seconds = time.process_time() - start",
        "import json",
        f"from {__name__} import peak_bytes",
        "print(json.dumps([seconds, peak_bytes()]))",
    ]
    # the last line printed is the cost, whatever the code itself prints
    command = [sys.executable, "-c", "\n".join(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Cost(*json.loads(done.stdout.splitlines()[-1]))
