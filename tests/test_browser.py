"""A reader's browser: in JupyterLab and in Voila a slider redraws its picture, and the playground
trains, pins and stops.
"""

import dataclasses
import importlib.util
import json
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

import nbformat
import pytest

from ftkit import lora, models, show
from ftkit.lab import points
from ftkit.show.controls import Ticks
from ftkit.tools import explorers

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
MINUTE = 60_000  # milliseconds
MISSING = [
    *([] if CHROMIUM else ["no Chromium on PATH (chromium, chromium-browser or google-chrome)"]),
    *(
        f"{name} is not installed"
        for name in ("playwright", "jupyterlab", "voila")
        if importlib.util.find_spec(name) is None
    ),
]

pytestmark = [pytest.mark.browser, pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING))]


def explorer(folder):
    """A notebook with the rank explorer on the pocket model's own matrices, as notebook 01 has it.

    Notebook 01 itself is run cell by cell by nbval; here nothing is trained, so that what takes
    time is the browser.
    """
    source = (
        "from ftkit import lora, models\nfrom ftkit.lora import spectrum\n\n"
        "layers = models.linears(models.load('pocket')[0])\n"
        "W = {name: spectrum.svd(layer.weight, name) for name, layer in layers.items()}\n"
        "panel = lora.explore_ranks({'W': W})\npanel"
    )
    return notebook(folder / "explorer.ipynb", source)


def notebook(path, source):
    """A notebook of one cell."""
    kernel = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }  # without it JupyterLab asks which one
    nbformat.write(
        nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source)], metadata={"kernelspec": kernel}
        ),
        path,
    )
    return path


def playground(folder):
    """A notebook with the playground over a made-up grid of short runs; those of two epochs are
    long enough to be stopped.
    """
    made = [
        points.Point(r=r, rows=16 if e == 1 else 160, batch_size=4, epochs=e, seed=s)
        for r in (4, 16)
        for e in (1, 2)
        for s in (0, 1, 2)
    ]
    made_up = {
        "trainable": 1000,
        "loss": 0.1,
        "task": 0.5,
        "skills": {"copy": 0.9},
        "size": 0.1,
        "curve": [[1, 0.9], [9, 0.1]],
        "validation": [],
        "kl_task": 0.1,
        "kl_general": 0.1,
        "seconds": 1.0,
    }
    (folder / "grid.json").write_text(
        json.dumps([dataclasses.asdict(point) | made_up for point in made])
    )
    source = (
        "import json\nfrom pathlib import Path\nfrom ftkit import lab\n\n"
        f"rows = json.loads(Path({str(folder / 'grid.json')!r}).read_text())\n"
        "rows = [lab.PlaygroundRow(**row) for row in rows]\n"
        f"panel = lab.open_playground(rows, {str(folder / 'runs')!r})\npanel"
    )
    return notebook(folder / "playground.ipynb", source)


@contextmanager
def jupyterlab(folder):
    """JupyterLab on loopback with `folder` as its root; its address."""
    settings = (
        folder / ".settings" / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings"
    )
    settings.parent.mkdir(parents=True)
    settings.write_text(
        '{"windowingMode": "none"}'
    )  # else cells outside the window are hidden, in some versions
    options = {
        "LabApp.user_settings_dir": folder / ".settings",
        "ServerApp.root_dir": folder,
        "IdentityProvider.token": "",
        "LabApp.expose_app_in_browser": True,
        "LabApp.news_url": None,
        "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
    }
    given = [f"--{name}={value}" for name, value in options.items()]
    with serving(
        ["jupyterlab", "--no-browser", "--ip=127.0.0.1", "--allow-root", *given], folder, "/api"
    ) as address:
        yield address


@contextmanager
def serving(arguments, folder, alive):
    """A server as a module with arguments, on loopback; its address. It ends with the block, and
    its kernels with it.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    clean = os.environ | {
        "JUPYTER_CONFIG_DIR": str(folder / ".jupyter")
    }  # nobody's own settings, layouts and passwords
    command = [sys.executable, "-m", *arguments, f"--port={port}"]
    log = folder / "server.log"
    with log.open("w") as stream:
        server = subprocess.Popen(
            command, cwd=folder, env=clean, stdout=stream, stderr=stream, start_new_session=True
        )
    try:
        wait_for(f"http://127.0.0.1:{port}{alive}", server, log)
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
    pytest.fail(f"the server did not start:\n{log.read_text()[-2000:]}")


@contextmanager
def page(screenshot):
    """A browser's page; what it shows at the end of the block, well or not, is kept as a
    screenshot.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
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
    lab.evaluate(
        "() => { jupyterapp.commands.execute('notebook:run-all-cells')"
        ".then(() => { window.ran = true }) }"
    )
    lab.wait_for_function("() => window.ran", timeout=15 * MINUTE)


def errors(lab):
    """The Python errors among the outputs of the notebook that is open."""
    cells = lab.evaluate("() => jupyterapp.shell.currentWidget.content.model.toJSON().cells")
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return [
        f"{output['ename']}: {output['evalue']}"
        for output in outputs
        if output["output_type"] == "error"
    ]


def test_the_rank_slider_redraws_in_jupyterlab(tmp_path):
    path = explorer(tmp_path)
    with jupyterlab(tmp_path) as address, page(tmp_path / "explorer.png") as lab:
        open_and_run(lab, address, path.name)
        assert errors(lab) == []
        handle, picture = lab.locator(".ft-r .noUi-handle").first, lab.locator(".ft-view svg").first
        handle.scroll_into_view_if_needed()
        picture.wait_for()
        before = picture.get_attribute("aria-label")
        handle.focus()
        handle.press("ArrowRight")
        moved = (
            "before => document.querySelector('.ft-view svg').getAttribute('aria-label') !== before"
        )
        lab.wait_for_function(moved, arg=before, timeout=MINUTE)
        after = picture.get_attribute("aria-label")
        assert errors(lab) == []
    assert before.split(" at r = ")[0] == after.split(" at r = ")[0]
    assert rank(after) > rank(before)
    assert (tmp_path / "explorer.png").stat().st_size > 10_000


@contextmanager
def shown_by(front, path, screenshot):
    """A page on which `front` has run a notebook."""
    if front == "jupyterlab":
        with jupyterlab(path.parent) as address, page(screenshot) as lab:
            open_and_run(lab, address, path.name)
            assert errors(lab) == []
            yield lab
    else:
        arguments = [
            "voila",
            str(path),
            "--no-browser",
            "--Voila.ip=127.0.0.1",
            "--show_tracebacks=True",
        ]
        with (
            serving(arguments, path.parent, "/voila/static/voila.js") as address,
            page(screenshot) as lab,
        ):
            lab.goto(address, timeout=2 * MINUTE)
            yield lab


def status(lab, text, minutes=10):
    """Wait until the playground's status line holds a text."""
    says = "text => document.querySelector('.ft-status')?.textContent.includes(text)"
    lab.wait_for_function(says, arg=text, timeout=minutes * MINUTE)


@pytest.mark.parametrize("front", ["jupyterlab", pytest.param("voila", marks=pytest.mark.weekly)])
def test_the_playground_redraws_trains_pins_and_stops(front, tmp_path):
    with shown_by(front, playground(tmp_path), tmp_path / f"{front}.png") as lab:
        picture = lab.locator(".ft-view svg").first
        picture.wait_for(timeout=2 * MINUTE)
        assert picture.get_attribute("aria-label").startswith("LoRA r = 16, lr 0.002, 2 epochs")
        lab.locator(".ft-epochs .noUi-handle").press("ArrowLeft")
        lab.locator(".ft-view svg[aria-label*=', 1 epoch:']").wait_for(timeout=MINUTE)
        lab.locator(".ft-train").click()
        status(lab, "run 1 (seed 3)")
        lab.locator(".ft-view svg[aria-label*='run 1 (seed 3): task']").wait_for(
            timeout=MINUTE
        )  # the page draws when it has time
        lab.locator(".ft-made", has_text="Runs made here").wait_for(timeout=MINUTE)
        lab.screenshot(path=tmp_path / f"{front}-pinned.png")
        lab.locator(".ft-epochs .noUi-handle").press("ArrowRight")
        lab.locator(".ft-train").click()
        status(lab, "step 2 of 80")
        lab.locator(".ft-r .noUi-handle").press("ArrowLeft")  # the kernel is free meanwhile
        lab.locator(".ft-view svg[aria-label*='r = 4,']").wait_for(timeout=MINUTE)
        lab.locator(".ft-stop").click()
        status(lab, "run 2: ")
        assert "stopped before it was measured" in lab.locator(".ft-status").inner_text()
    for number in (1, 2):
        model, _ = models.load("pocket")
        assert lora.is_attached(lora.load(model, tmp_path / "runs" / f"run-{number}" / "adapter"))


STILLS = "() => [...document.querySelectorAll('.ft-still')].map(one => one.offsetHeight)"
PANEL = """from ftkit.show import Panel, svg

def view(r):
    return svg.drawing("A rank", [svg.words(20, 60, str(r))], f"r = {r}")

Panel(view, r=[1, 2])"""


def test_a_panel_is_seen_once_alive_saved_and_reopened(tmp_path):
    """Alone it is the widget, without a kernel the still, and no line of an error below it."""
    path = notebook(tmp_path / "panel.ipynb", PANEL)
    with jupyterlab(tmp_path) as address, page(tmp_path / "panel.png") as lab:
        open_and_run(lab, address, path.name)
        lab.locator(".ft-view svg").wait_for(timeout=MINUTE)
        lab.wait_for_function(f"({STILLS})().join() === '0'", timeout=MINUTE)
        lab.evaluate("() => jupyterapp.commands.execute('docmanager:save')")
        lab.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        lab.goto(f"{address}/lab/tree/{path.name}?reset", timeout=2 * MINUTE)
        lab.locator(".ft-still img").wait_for(timeout=2 * MINUTE)
        gone = (
            "() => [...document.querySelectorAll('.jupyter-widgets')].every(w => !w.offsetHeight)"
        )
        lab.wait_for_function(gone, timeout=MINUTE)
        assert lab.evaluate(STILLS)[0] > 200
        assert lab.locator(".ft-view").count() == 0


def matrices():
    """A panel whose controls are of every kind, and narrow each other."""
    boxes = Ticks({"q": True, "v": False}, {"all": ["q", "v"]})
    ranks = {"wide": [1, 2, 4, 8], "thin": [1, 2, 4]}

    def view(targets, side, r):
        return f"<table><tr><td>{targets} &amp; {side}</td><td>{r}</td></tr></table>"

    return show.Panel(view, targets=boxes, side=list(ranks), r=lambda targets, side: ranks[side])


MADE = {"matrices": (matrices, {}), **{n: (e.make, e.only) for n, e in explorers.EXPLORERS.items()}}

# All of them once a week; here one for each kind of control, and the slowest page.
ALWAYS = {"matrices", "ranks", "fits", "levels"}
PAGES = [n if n in ALWAYS else pytest.param(n, marks=pytest.mark.weekly) for n in MADE]


def move(lab, name, index):
    """Put one control of a saved page at a position, as a reader does; whether it is there."""
    return lab.evaluate(
        """([name, index]) => {
            const labels = [...document.querySelectorAll(".row label")]
            const label = labels.find(one => one.textContent === name)
            if (!label) return false
            const control = document.getElementById(label.htmlFor)
            if (control.type === "checkbox") { if (control.checked != index) control.click() }
            else if (control.tagName === "SELECT") {
                control.selectedIndex = index
                control.dispatchEvent(new Event("change"))
            } else {
                control.value = index
                control.dispatchEvent(new Event("input"))
            }
            return true
        }""",
        [name, index],
    )


def seen(lab, html):
    """Whether a saved page shows this very picture; both as the browser writes it."""
    same = (
        "html => { const t = document.createElement('div'); t.innerHTML = html;"
        " return document.querySelector('.view').innerHTML === t.innerHTML }"
    )
    return lab.evaluate(same, html)


@pytest.mark.parametrize("name", PAGES)
def test_a_saved_page_moves_as_the_kernel_does(name, tmp_path):
    make, only = MADE[name]
    panel = make()
    path = panel.save(tmp_path / f"{name}.html", **only)
    kept = {n: list(v) if isinstance(v, list) else [v] for n, v in only.items()}
    with page(tmp_path / f"{name}.png") as lab:
        said = []
        lab.on("console", lambda message: said.append(message.text))
        lab.on("pageerror", lambda error: said.append(str(error)))
        lab.on(
            "request", lambda request: said.append(request.url) if "file:" not in request.url else 0
        )
        lab.goto(path.as_uri())
        lab.locator("html[data-ready]").wait_for(timeout=MINUTE)
        panel.choose(**{n: v[0] for n, v in kept.items() if panel.values()[n] not in v})
        moved = 0
        for control in panel.controls:
            for at in range(200):
                offered = panel.controls[control]
                values = [v for _, v in getattr(offered, "options", ())] or [False, True]
                values = [v for v in values if v in kept.get(control, [v])]
                if at >= len(values) or not move(lab, control, at):
                    break
                offered.value = values[at]
                assert seen(lab, panel.html), (control, values[at])
                moved += 1
        assert moved > 3
        for size in ((390, 844), (1280, 900)):
            lab.set_viewport_size({"width": size[0], "height": size[1]})
            wide = (
                "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert lab.evaluate(wide) <= 0, "the page itself never scrolls sideways"
            lab.screenshot(path=tmp_path / f"{name}-{size[0]}.png", full_page=True)
        assert [text for text in said if not text.startswith("blob:")] == []


def test_boxes_and_keys_move_a_saved_page(tmp_path):
    panel = matrices()
    path = panel.save(tmp_path / "matrices.html")
    with page(tmp_path / "matrices.png") as lab:
        lab.goto(path.as_uri())
        lab.locator("html[data-ready]").wait_for(timeout=MINUTE)
        lab.get_by_label("v", exact=True).check()
        panel.choose(targets=["q", "v"])
        assert seen(lab, panel.html)
        lab.get_by_label("q", exact=True).uncheck()
        panel.choose(targets=["v"])
        assert seen(lab, panel.html)
        lab.get_by_role("button", name="all").click()
        panel.choose(targets=["q", "v"])
        assert seen(lab, panel.html)
        for _ in range(3):
            lab.get_by_label("r", exact=True).press("ArrowRight")
        panel.choose(r=8)
        assert seen(lab, panel.html)
        lab.get_by_label("side").select_option("thin")
        panel.controls["side"].value = "thin"
        assert seen(lab, panel.html)
        assert (
            lab.locator(".note").inner_text() == panel.note == "r = 8 is not offered here; now 4."
        )


def test_a_saved_page_without_javascript_shows_its_first_picture(tmp_path):
    path = matrices().save(tmp_path / "matrices.html")
    with page(tmp_path / "plain.png") as lab:
        plain = lab.context.browser.new_page(java_script_enabled=False)
        plain.goto(path.as_uri())
        assert plain.locator(".view td").first.inner_text() == "['q'] & wide"
        assert not plain.locator("form").is_visible()
        assert "the first of 28 pictures" in plain.locator("main").inner_text()


def rank(line):
    """The r in a picture's line: "q_proj (16 × 16) at r = 8: error …" is 8."""
    return int(line.split(" at r = ")[1].split(":")[0])
