"""Kill a writer of a registry at one line after the other, and say what was lost: nothing.

`python tests/registry_kills.py FOLDER` prints {what was done: how often it was killed}. It imports
no torch, so that a child is forked in a millisecond; `tests/operate/test_registry.py` runs it.
"""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

from ftkit.core import files
from ftkit.operate import bases, shelf
from ftkit.operate import registry as registry_room

WATCHED = {shelf.__file__, registry_room.__file__, bases.__file__, files.__file__}
DID = ("publish", "promote", "roll back")


def in_a_child(work):
    """Fork, do the work, and leave: the exit code, or minus the signal that ended it."""
    child = os.fork()
    if not child:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            sys.stderr.write(f"{error!r}\n")
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_at(line):
    """Have this process kill itself at the so-many-th line that it runs of the registry."""
    left = [line]

    def trace(frame, event, _):
        if frame.f_code.co_filename not in WATCHED:
            return None
        if event == "line":
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)


def write_adapter(folder, value):
    """A folder that passes for an adapter where nobody opens its weights."""
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(bytes([value]) * 1000)
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "pocket"}')
    return folder


def filled(folder, did):
    """A registry with two versions, ready for what is to be done."""
    kept = registry_room.Registry(folder / "registry")
    for value in (1, 2):
        kept.publish(write_adapter(folder / f"adapter{value}", value), "tickets")
        kept.promote("tickets", f"v{value}", "new")
    if did == "promote":
        kept.roll_back("tickets", "so that v2 may be promoted")
    return kept


def check(kept, did, log, live):
    """What was there is there and whole; the log is the one before or the one after."""
    labels = [version.label for version in kept.versions("tickets")]
    assert labels in (["v1", "v2"], ["v1", "v2", "v3"]), labels
    assert all(kept.version("tickets", label) for label in labels)
    more = len(kept.log("tickets")) - log
    assert more in (0, 1) and (kept.live_label("tickets") != live) == bool(more)
    return more


def kill_everywhere(folder, did, step):
    """How often it was killed, at every `step`-th line, before it came to its end."""
    kept = filled(folder, did)
    source = write_adapter(folder / "adapter3", 3)
    work = {
        "publish": lambda: kept.publish(source, "tickets", "third"),
        "promote": lambda: kept.promote("tickets", "v2", "why"),
        "roll back": lambda: kept.roll_back("tickets", "why"),
    }[did]
    pristine = folder / "pristine"
    shutil.copytree(kept.folder, pristine)
    log, live = len(kept.log("tickets")), kept.live_label("tickets")

    killed = 0
    while code := in_a_child(lambda line=1 + step * killed: (kill_at(line), work())):
        assert code == -signal.SIGKILL, code
        killed += 1
        # the same command, said again, does what was not done
        if not check(kept, did, log, live):
            work()
            assert check(kept, did, log, live) == (did != "publish")
        if did == "publish":
            assert len(kept.versions("tickets")) == 3
            assert not list(kept.folder.rglob(f"{files.HALF}*"))
        shutil.rmtree(kept.folder)
        shutil.copytree(pristine, kept.folder)
    return killed


def main(folder, step):
    """All three."""
    bases.hash_of_base = lambda name: ""
    bases.check_fit = lambda source, name: None
    shelf.models = type("NoModels", (), {"check_safetensors": staticmethod(lambda file: None)})
    return {did: kill_everywhere(Path(folder, did), did, step) for did in DID}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1], int(sys.argv[2]))))
