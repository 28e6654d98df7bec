"""The hub client's many errors, as one sentence each with the cure.

    call_hub("Qwen/Qwen2.5-0.5B-Instruct", "snapshot_download", revision="main")

Gated, misspelled, private, offline and cut-off are the five ways in which a download fails, and
each has its own cure. What is downloaded, and whether it is whole, is for `models` to say.
"""

from typing import Any

from .errors import UserError
from .session import progress_wanted


def call_hub(hub_id: str, function: str, *arguments: str, **options: Any) -> Any:
    """What a function of `huggingface_hub`, given by its name, returns for a hub id.

    Raises UserError for whatever it fails with.
    """
    import huggingface_hub
    from huggingface_hub import errors

    # What its HTTP library raises has another base in each, and goes by one name here.
    broken = errors.HTTPError  # type: ignore[reportPrivateImportUsage] there is no public one

    # The client logs a traceback at each of its own new tries.
    huggingface_hub.utils.logging.set_verbosity_error()
    if not progress_wanted():
        huggingface_hub.utils.disable_progress_bars()
    try:
        return getattr(huggingface_hub, function)(hub_id, *arguments, **options)
    except errors.GatedRepoError as error:
        raise UserError(
            f"{hub_id!r} is gated: accept its terms on its page, then log in with `hf auth login` "
            "or set HF_TOKEN (on Colab, a secret of that name)."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(
            f"there is no {hub_id!r} that you may see: check the spelling; "
            "if it is private, set HF_TOKEN."
        ) from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise UserError(
            f"{hub_id!r} is not in the cache and the hub can't be reached: "
            "check the network and HF_HUB_OFFLINE, or give a local directory."
        ) from error
    except (OSError, ValueError, broken) as error:
        # The client's other errors, a broken connection among them.
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"could not get {hub_id!r} whole ({lines[0].rstrip('.')}), so none of it is used; "
            "try again, or give a local directory."
        ) from error
