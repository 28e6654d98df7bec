"""No network in the tests: anything but loopback raises `OfflineError`.

Python imports a module of this name at start, so its folder on PYTHONPATH reaches every child:
notebook kernels, `python -m ftkit`, torchrun's workers. Only Python's own sockets are seen;
HF_HUB_OFFLINE stops the hub's compiled client.
"""

import importlib.machinery
import importlib.util
import ipaddress
import os
import socket
import sys


class OfflineError(OSError):
    """Something in a test asked for the network."""


def is_local(host: object) -> bool:
    """True for loopback, for "any address" and for this machine's own name, which torchrun looks
    up.
    """
    host = host.decode() if isinstance(host, bytes) else host
    if host in (None, "", "localhost", socket.gethostname()):
        return True
    try:
        address = ipaddress.ip_address(str(host).split("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def check(what: str, host: object) -> None:
    """Raise `OfflineError` unless `host` is local."""
    if not is_local(host):
        raise OfflineError(
            f"the tests run without a network: {what} {host!r} was refused; "
            "use data that the kit ships or makes"
        )


def guard(name: str) -> None:
    """Let socket.socket's method `name` check the address, its last argument, first; other families
    (AF_UNIX) pass.
    """
    original = getattr(socket.socket, name)

    def guarded(self, *args):
        if self.family in (socket.AF_INET, socket.AF_INET6) and isinstance(args[-1], tuple):
            check(name, args[-1][0])
        return original(self, *args)

    setattr(socket.socket, name, guarded)


def install() -> None:
    """Put the block in place, once a process; `socket.create_connection` is caught by the look-up
    that it begins with.
    """
    if getattr(socket, "offline", False):
        return
    socket.offline = True
    for name in ("connect", "connect_ex", "sendto"):
        guard(name)
    look_up = socket.getaddrinfo

    def getaddrinfo(host, *args, **kwargs):
        check("the look-up of", host)
        return look_up(host, *args, **kwargs)

    socket.getaddrinfo = getaddrinfo


def chain() -> None:
    """Run the sitecustomize that this one hides, if the environment has one."""
    here = os.path.dirname(os.path.abspath(__file__))
    others = [p for p in sys.path if os.path.abspath(p) != here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", others)
    if spec and spec.loader:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


if __name__ == "sitecustomize":
    chain()
    install()
