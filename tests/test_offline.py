"""The network block holds in this process, in a subprocess and in a notebook's kernel, and leaves
loopback alone.
"""

import os
import socket
import subprocess
import sys
import threading

import nbclient
import nbformat
import pytest

OUTSIDE = (
    "192.0.2.1",
    80,
)  # an address reserved for documentation (RFC 5737): nobody answers there
ASK = f"import socket; socket.create_connection({OUTSIDE}, timeout=1)"


def python(code, **env):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | env,
        timeout=60,
    )


@pytest.mark.parametrize(
    "ask",
    [
        lambda s: s.connect(OUTSIDE),
        lambda s: s.connect_ex(OUTSIDE),
        lambda s: s.sendto(b"x", OUTSIDE),
        lambda s: s.sendto(b"x", 0, OUTSIDE),
        lambda s: socket.getaddrinfo("example.com", 443),
        lambda s: socket.getaddrinfo(b"example.com", 443),
        lambda s: socket.create_connection(("example.com", 443)),
    ],
)
def test_in_process(ask):
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s,
        pytest.raises(OSError, match="run without a network") as error,
    ):
        ask(s)
    assert type(error.value).__name__ == "OfflineError"


def test_in_a_subprocess():
    assert "OfflineError: the tests run without a network" in python(ASK).stderr


def test_in_a_kernel():
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(ASK)])
    with pytest.raises(nbclient.exceptions.CellExecutionError) as error:
        nbclient.NotebookClient(nb, kernel_name="python3", timeout=60).execute()
    assert error.value.ename == "OfflineError"


def test_another_sitecustomize_still_runs(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import os; os.environ['CHAINED'] = 'yes'")
    path = os.pathsep.join([os.environ["PYTHONPATH"], str(tmp_path)])
    done = python(f"import os; print(os.environ['CHAINED'], flush=True); {ASK}", PYTHONPATH=path)
    assert done.stdout == "yes\n"
    assert "OfflineError" in done.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_works(host):
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=lambda: server.accept()[0].sendall(b"here"), daemon=True)
        thread.start()
        with socket.create_connection((host, server.getsockname()[1]), timeout=5) as s:
            assert s.recv(4) == b"here"


def test_unix_sockets_work(tmp_path):
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as s:
        server.bind(str(tmp_path / "s"))
        server.listen()
        s.connect(str(tmp_path / "s"))


def test_the_children_of_the_session_get_its_environment():
    seen = python(
        "import os; e = os.environ; "
        "print(e['HF_HUB_OFFLINE'], e['FTKIT_PROGRESS'], 'MPLBACKEND' in e)"
    ).stdout
    assert seen == "1 0 False\n"
