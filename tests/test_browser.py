"""A reader's browser: JupyterLab opens the notebook, runs it, and its rank slider redraws the picture."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
LESSON = ROOT / "notebooks" / "01_low_rank.ipynb"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MINUTE = 60_000  # milliseconds
MISSING = [
    *([] if CHROMIUM else ["no Chromium on PATH (chromium, chromium-browser or google-chrome)"]),
    *(f"{name} is not installed" for name in ("playwright", "jupyterlab") if importlib.util.find_spec(name) is None),
]

pytestmark = [pytest.mark.browser, pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING))]


def tiny(folder):
    """A notebook with the lesson's explorer on two small matrices, one of them of lower rank."""
    source = (
        "import torch\nfrom ftkit import explore, spectrum\n\n"
        "W = {f'model.layers.0.self_attn.{n}': spectrum.svd(torch.rand(d, 16)) for n, d in (('q_proj', 16), ('k_proj', 8))}\n"
        "panel = explore.ranks({'W': W})\npanel"
    )
    path = folder / "tiny.ipynb"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}  # without it JupyterLab asks which one
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)], metadata={"kernelspec": kernel}), path)
    return path


@contextmanager
def jupyterlab(folder):
    """JupyterLab on loopback with `folder` as its root; its address. The server and its kernels end with the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {
        "ServerApp.root_dir": folder,
        "IdentityProvider.token": "",
        "LabApp.expose_app_in_browser": True,
        "LabApp.news_url": None,
        "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
    }
    clean = os.environ | {"JUPYTER_CONFIG_DIR": str(folder / ".jupyter")}  # nobody's own settings, layouts and passwords
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}", "--allow-root"]
    log = folder / "server.log"
    with log.open("w") as stream:
        command += [f"--{name}={value}" for name, value in options.items()]
        server = subprocess.Popen(command, cwd=folder, env=clean, stdout=stream, stderr=stream, start_new_session=True)
    try:
        wait_for(f"http://127.0.0.1:{port}/api", server, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(server.pid, number)
                server.wait(timeout=20)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


def wait_for(address, server, log, seconds=120):
    """Return when the server answers; fail with its log when it ends or stays silent."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")


@contextmanager
def page(screenshot):
    """A browser's page; what it shows at the end of the block, well or not, is kept as a screenshot."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        lab = browser.new_page(viewport={"width": 1280, "height": 1000})
        try:
            yield lab
        finally:
            lab.screenshot(path=screenshot)
            browser.close()


def open_and_run(lab, address, name):
    """Open a notebook, run all of its cells, and wait until the kernel has nothing left to do."""
    lab.goto(f"{address}/lab/tree/{name}?reset", timeout=2 * MINUTE)
    lab.locator(".jp-Notebook").wait_for(timeout=2 * MINUTE)
    kernel = "jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel"
    lab.wait_for_function(f"() => {kernel}?.status === 'idle'", timeout=2 * MINUTE)
    lab.evaluate("() => { jupyterapp.commands.execute('notebook:run-all-cells').then(() => { window.ran = true }) }")
    lab.wait_for_function("() => window.ran", timeout=15 * MINUTE)


def errors(lab):
    """The Python errors among the outputs of the notebook that is open."""
    cells = lab.evaluate("() => jupyterapp.shell.currentWidget.content.model.toJSON().cells")
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return [f"{output['ename']}: {output['evalue']}" for output in outputs if output["output_type"] == "error"]


@pytest.mark.parametrize("lesson", [LESSON.stem if LESSON.exists() else "tiny"])
def test_the_rank_slider_redraws_in_jupyterlab(lesson, tmp_path):
    path = tiny(tmp_path) if lesson == "tiny" else Path(shutil.copy(LESSON, tmp_path))
    with jupyterlab(tmp_path) as address, page(tmp_path / "explorer.png") as lab:
        open_and_run(lab, address, path.name)
        assert errors(lab) == []
        handle, picture = lab.locator(".ft-r .noUi-handle").first, lab.locator(".ft-view svg").first
        handle.scroll_into_view_if_needed()
        picture.wait_for()
        before = picture.get_attribute("aria-label")
        handle.focus()
        handle.press("ArrowRight")
        moved = "before => document.querySelector('.ft-view svg').getAttribute('aria-label') !== before"
        lab.wait_for_function(moved, arg=before, timeout=MINUTE)
        after = picture.get_attribute("aria-label")
        assert errors(lab) == []
    assert before.split(" at r = ")[0] == after.split(" at r = ")[0]
    assert rank(after) > rank(before)
    assert (tmp_path / "explorer.png").stat().st_size > 10_000


def rank(line):
    """The r in a picture's line: "q_proj (16 × 16) at r = 8: error …" is 8."""
    return int(line.split(" at r = ")[1].split(":")[0])
