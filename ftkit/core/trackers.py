"""Where a training may be reported to beside its own curves: four trackers, all kept on this disk.

    check_tracker(name)            refuses one that is unknown, or is not installed
    tracked(name, folder)          in a `with`: the tracker writes into that folder
    TRACKERS                       {name: what to install, what it is told by the environment}

transformers brings a callback for each; here is only which of them there are and where they write.
None needs an account or a network: W&B is kept offline, MLflow on SQLite. A setting of your own in
the environment (WANDB_MODE, say) is left as it is. Notebook 14; a recipe says `report_to`.
"""

import importlib.util
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from .errors import UserError, nearest
from .parsing import shown

# What each one is told; {folder} stands for where it is to write.
TRACKERS: Mapping[str, Mapping[str, str]] = {
    "trackio": {"TRACKIO_DIR": "{folder}"},
    "wandb": {"WANDB_DIR": "{folder}", "WANDB_MODE": "offline", "WANDB_SILENT": "true"},
    "mlflow": {"MLFLOW_TRACKING_URI": "sqlite:///{folder}/mlflow.db"},
    "tensorboard": {"TENSORBOARD_LOGGING_DIR": "{folder}"},
}


def known_tracker(value: object) -> str:
    """What to give instead of `value`; "" where it is a tracker's name, or None for none."""
    if value is None or (isinstance(value, str) and value in TRACKERS):
        return ""
    return f"give null, or one of {', '.join(TRACKERS)}.{nearest(value, TRACKERS)}"


def check_tracker(name: str | None) -> None:
    """Raise UserError for a tracker that there is not, and for one that is not installed."""
    if instead := known_tracker(name):
        raise UserError(f"report_to is {shown(name)}; {instead}")
    if name is not None and not is_installed(name):
        raise UserError(
            f"report_to is {name!r}, which is not installed; pip install {name}, or leave it out: "
            "the run folder holds every step in steps.jsonl all the same."
        )


def is_installed(name: str) -> bool:
    """Whether a package is there; a folder of its name, as wandb leaves one, is none."""
    found = importlib.util.find_spec(name)
    return found is not None and found.origin is not None


@contextmanager
def tracked(name: str | None, folder: Path) -> Iterator[None]:
    """Let a tracker write into `folder` while the block lasts; nothing for None.

    The environment is as it was afterwards. Raises UserError as `check_tracker` does.
    """
    check_tracker(name)
    if name is None:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    told = {key: text.format(folder=folder.absolute()) for key, text in TRACKERS[name].items()}
    new = {key: value for key, value in told.items() if key not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for key in new:
            os.environ.pop(key, None)
