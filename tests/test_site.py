"""The built site in a reader's browser: every page, every explorer, on a telephone, in the dark.

It is built once, unless FTKIT_SITE names a folder that `python -m ftkit site` has written. Links
are followed while it is built (`tools.site.check_links`).
"""

import functools
import http.server
import importlib
import importlib.util
import os
import re
import threading
from pathlib import Path

import pytest
import typer
from test_browser import CHROMIUM, MINUTE

import ftkit
import ftkit.__main__ as every_verb
from ftkit.tools import site, site_pages
from ftkit.tools.explorers import EXPLORERS

MISSING = [
    *([] if CHROMIUM else ["no Chromium on PATH (chromium, chromium-browser or google-chrome)"]),
    *(
        f"{name} is not installed (the extra `site`, and playwright)"
        for name in (*site.NEEDED, "playwright")
        if importlib.util.find_spec(name) is None
    ),
]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.weekly,
    pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING)),
]
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1366, "height": 900}
SAMPLES = (
    "index",
    "map",
    "handbook",
    "notebooks/00_start_here",
    "notebooks/14_what_it_costs",
    "explorers/index",
    "reference/lora",
    "reference/verbs",
    "ledger",
    "interview",
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of the site."""
    if given := os.environ.get("FTKIT_SITE"):
        return Path(given)
    out = tmp_path_factory.mktemp("site")
    site.build_site(out, typer.main.get_command(every_verb.app).commands)
    return out


@pytest.fixture(scope="module")
def address(built):
    """Where it is served, on loopback."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Quiet, directory=str(built))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def phone(browser):
    return browser.new_page(viewport=PHONE)


@pytest.fixture(scope="module")
def desk(browser):
    return browser.new_page(viewport=DESK)


NO_WORDS = """() => [...document.querySelectorAll("img, svg[role=img], iframe")]
    .filter(one => one.checkVisibility() || one.closest("details"))
    .filter(one => !(one.alt || one.title || one.getAttribute("aria-label") || one.ariaHidden))
    .map(one => one.outerHTML.slice(0, 120))"""
TOO_WIDE = """() => document.documentElement.scrollWidth - document.documentElement.clientWidth"""


def test_every_page_fits_a_telephone_has_words_for_its_pictures_and_no_error(built, address, phone):
    said = []
    phone.on("console", lambda m: said.append(m.text) if m.type in ("error", "warning") else None)
    phone.on("pageerror", lambda error: said.append(str(error)))
    aborted = "net::ERR_ABORTED"  # the next page was asked for first
    phone.on("requestfailed", lambda r: None if r.failure == aborted else said.append(r.url))
    phone.on(
        "request", lambda r: None if r.url.startswith((address, "data:")) else said.append(r.url)
    )
    pages = sorted(path.relative_to(built).as_posix() for path in built.rglob("*.html"))
    found = []
    for name in pages:
        phone.goto(f"{address}/{name}", timeout=MINUTE)
        found += (
            [(name, "is too wide", phone.evaluate(TOO_WIDE))] if phone.evaluate(TOO_WIDE) else []
        )
        found += [(name, "has no words for", picture) for picture in phone.evaluate(NO_WORDS)]
    assert found == []
    assert said == []
    assert len(pages) > 70


MOVE = """async () => {
    const view = () => document.querySelector(".view").innerHTML
    const before = view()
    for (const control of document.querySelectorAll("form input, form select")) {
        if (control.disabled) continue
        if (control.type === "checkbox") control.click()
        else if (control.tagName === "SELECT") {
            control.selectedIndex = control.selectedIndex ? 0 : 1
            control.dispatchEvent(new Event("change"))
        } else {
            control.value = control.value === control.max ? 0 : control.max
            control.dispatchEvent(new Event("input"))
        }
        if (view() !== before) return true
    }
    return false
}"""


@pytest.mark.parametrize("name", EXPLORERS)
def test_every_explorer_moves_within_its_page(name, address, desk):
    desk.goto(f"{address}/explorers/{name}.html", timeout=MINUTE)
    desk.locator("iframe.ft-live").scroll_into_view_if_needed()
    desk.frame_locator("iframe.ft-live").locator("html[data-ready]").wait_for(timeout=MINUTE)
    frame = next(one for one in desk.frames if one.url.endswith(f"live/{name}.html"))
    assert frame.evaluate(MOVE)
    # the frame is as tall as what it shows: nothing of it scrolls
    inside = "() => document.documentElement.scrollHeight - innerHeight"
    assert frame.evaluate(inside) <= 0


def test_notebooks_show_explorers_alive(built, address, desk):
    alive = [
        path for path in built.glob("notebooks/*.html") if 'class="ft-live"' in path.read_text()
    ]
    assert len(alive) >= 6
    desk.goto(f"{address}/notebooks/{alive[0].name}", timeout=MINUTE)
    live = desk.locator("iframe.ft-live").first
    live.scroll_into_view_if_needed()
    desk.frame_locator("iframe.ft-live").first.locator("html[data-ready]").wait_for(timeout=MINUTE)


CONTRAST = r"""() => {
    const numbers = colour => (colour.match(/[\d.]+/g) || []).map(Number)
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true })
    const rgba = colour => {
        canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1)
        const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data
        return [r, g, b, a / 255]
    }
    const over = (top, below) => top.slice(0, 3).map((c, i) => c * top[3] + below[i] * (1 - top[3]))
    const ground = one => {
        const chain = []
        for (let at = one; at; at = at.parentElement)
            chain.push(rgba(getComputedStyle(at).backgroundColor))
        return chain.reverse().reduce((below, top) => over(top, below), [255, 255, 255])
    }
    const light = rgb => rgb.map(c => c / 255)
        .map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0)
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
    const faint = new Map()
    while (walker.nextNode()) {
        const one = walker.currentNode.parentElement
        if (!walker.currentNode.data.trim() || one.closest("svg")) continue
        if (!one.checkVisibility()) continue
        let see = 1
        for (let at = one; at; at = at.parentElement) see *= Number(getComputedStyle(at).opacity)
        if (see < 0.1) continue
        const below = ground(one), ink = rgba(getComputedStyle(one).color)
        const [a, b] = [light(over([...ink.slice(0, 3), ink[3] * see], below)), light(below)]
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
        const name = `${one.tagName}.${one.className}`
        if (ratio < 4.5 && !(faint.get(name)?.[0] < ratio))
            faint.set(name, [ratio, walker.currentNode.data.trim().slice(0, 30)])
    }
    return [...faint].map(([name, [ratio, words]]) => `${name} ${ratio.toFixed(2)} "${words}"`)
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", SAMPLES)
def test_words_stand_out_in_light_and_dark(name, scheme, address, desk):
    desk.emulate_media(color_scheme=scheme)
    desk.goto(f"{address}/{name}.html", timeout=MINUTE)
    assert desk.evaluate("() => getComputedStyle(document.body).backgroundColor") == (
        "rgb(255, 255, 255)" if scheme == "light" else "rgb(19, 20, 22)"
    )
    assert desk.evaluate(CONTRAST) == []


def test_an_explorer_is_as_dark_as_its_page(address, desk):
    desk.emulate_media(color_scheme="light")
    desk.goto(f"{address}/explorers/alphas.html", timeout=MINUTE)
    desk.evaluate("() => { document.body.dataset.theme = 'dark' }")
    desk.frame_locator("iframe.ft-live").locator("html[data-ready]").wait_for(timeout=MINUTE)
    frame = next(one for one in desk.frames if "live/" in one.url)
    ground = "() => getComputedStyle(document.body).backgroundColor"
    assert frame.evaluate(ground) == "rgb(20, 24, 28)"


FOCUSED = """() => {
    const one = document.activeElement
    const style = getComputedStyle(one), box = one.getBoundingClientRect()
    return [one.textContent.trim(), box.height > 0 && box.bottom > 0,
            style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0]
}"""


def test_the_keyboard_reaches_the_content_first_and_its_place_is_seen(address, desk):
    desk.goto(f"{address}/map.html", timeout=MINUTE)
    desk.keyboard.press("Tab")
    assert desk.evaluate(FOCUSED)[0] == "Skip to content"
    desk.wait_for_function(f"() => ({FOCUSED})()[1]", timeout=MINUTE)
    desk.keyboard.press("Enter")
    assert desk.url.endswith("#furo-main-content")
    for _ in range(8):
        desk.keyboard.press("Tab")
        words, in_sight, outlined = desk.evaluate(FOCUSED)
        assert in_sight and outlined, words


def test_the_search_finds_a_notebook_and_a_function(address, desk):
    desk.goto(f"{address}/search.html?q=intruder", timeout=MINUTE)
    desk.locator("#search-results li a[href*='notebooks/01b_directions']").first.wait_for(
        timeout=MINUTE
    )
    desk.goto(f"{address}/search.html?q=attach", timeout=MINUTE)
    desk.locator("#search-results li a[href*='reference/lora']").first.wait_for(timeout=MINUTE)


def test_every_public_name_has_its_place_in_the_reference(built):
    for wing in site_pages.wings():
        text = (built / "reference" / f"{wing}.html").read_text(encoding="utf-8")
        places = set(re.findall(r'id="([\w.-]+)"', text))
        names = importlib.import_module(f"ftkit.{wing}").__all__
        assert [
            n for n in names if not {f"ftkit.{wing}.{n}", f"module-ftkit.{wing}.{n}"} & places
        ] == []
    assert ftkit.WINGS[-1] == "cli" and (built / "reference" / "verbs.html").is_file()
