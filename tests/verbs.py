"""The verbs as a user calls them: in a process of their own, or quicker inside this one."""

import os
import subprocess
import sys

from typer.testing import CliRunner


def run_verb(*words, **env):
    """`python -m ftkit words…` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "ftkit", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=400,
        env={**os.environ, **env},
    )


def invoke(*words):
    """The same in this process, where what a verb calls can be replaced."""
    from ftkit.__main__ import app

    return CliRunner().invoke(app, list(map(str, words)))


def modules_after(*words):
    """The top-level modules that a verb has imported when it is done."""
    code = (
        "import sys\n"
        "from ftkit.__main__ import app\n"
        f"app({list(map(str, words))!r}, standalone_mode=False)\n"
        "print(*sorted(name for name in sys.modules if '.' not in name), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())
