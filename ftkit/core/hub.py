"""TODO header of core.hub."""

from .errors import UserError
from .session import progress_wanted


def call_hub(hub_id: str, function: str, *arguments: str, **options: object):
    """A function of the hub client on a hub id, its many errors as one sentence each, with the
    cure.
    """
    import huggingface_hub
    from huggingface_hub import errors

    # it prints a traceback at each of its own new tries
    huggingface_hub.utils.logging.set_verbosity_error()
    if not progress_wanted():
        huggingface_hub.utils.disable_progress_bars()
    try:
        return getattr(huggingface_hub, function)(hub_id, *arguments, **options)
    except errors.GatedRepoError as error:
        how = "log in with `hf auth login` or set HF_TOKEN (on Colab, a secret of that name)"
        raise UserError(
            f"{hub_id!r} is gated: accept its terms on its page, then {how}."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(
            f"there is no {hub_id!r} that you may see: check the spelling; if it is private, set HF_TOKEN."
        ) from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise UserError(
            f"{hub_id!r} is not in the cache and the hub can't be reached: check the network and HF_HUB_OFFLINE, or give a local directory."
        ) from error
    except (
        OSError,
        ValueError,
        errors.HTTPError,
    ) as error:  # the client's other errors, a broken connection among them
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise UserError(
            f"could not get {hub_id!r} whole ({reason}), so none of it is used; try again, or give a local directory."
        ) from error
