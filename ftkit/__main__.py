"""`python -m ftkit …`: the verbs of `ftkit.cli`, in the order in which help lists them."""

import os
import sys

from .cli import making, runs, sizes, upkeep  # noqa: F401  each adds its verbs to the app
from .cli.app import app

if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.exit(app(prog_name="ftkit"))
