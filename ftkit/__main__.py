"""`python -m ftkit …`: the verbs of `ftkit.cli`, in the order in which help lists them."""

import os
import sys

# isort: off
from .cli import runs, checking, deciding, fetching, sizes, shipping, operating, upkeep, making  # noqa: F401  each adds its verbs

# isort: on
from .cli.app import app

if __name__ == "__main__":
    # set before tokenizers is imported: its threads and a fork do not go together
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.exit(app(prog_name="python -m ftkit"))
