"""The page of fer-run --web in a real browser, on a desk and on a phone."""

import functools
import http.server
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from helpers.served import Served, serving

CHROMIUM = Path("/usr/bin/chromium")  # Debian's
SIZES = {"desktop": (1280, 860), "phone": (390, 844)}
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PAINTED = """canvas => {
    const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    return data.some(value => value > 0);
}"""
WIDTHS = "rows => rows.map(row => row.querySelector('b').clientWidth / row.querySelector('i').clientWidth)"

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's package chromium")


@pytest.fixture(scope="module")
def served(long_clip: Path) -> Iterator[Served]:
    with serving(long_clip) as served:
        yield served


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def opened(browser: Browser, address: str, size: str = "desktop") -> tuple[Page, list[str]]:
    """The page, and what the browser complains of or asks of other hosts from now on."""
    width, height = SIZES[size]
    page = browser.new_page(viewport={"width": width, "height": height})
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    host = address.split("/")[2]
    page.on("request", lambda asked: complaints.append(asked.url) if asked.url.split("/")[2] != host else None)
    page.goto(address, wait_until="domcontentloaded")
    return page, complaints


@pytest.mark.parametrize("size", SIZES)
def test_the_page_shows_picture_faces_and_time_line(browser: Browser, served: Served, size: str) -> None:
    page, complaints = opened(browser, served.address, size)
    expect(page.locator("#state")).to_have_text("live", timeout=20_000)
    expect(page.locator(".face h3 span")).to_have_text(["happy", "happy"], timeout=20_000)
    expect(page.locator("#nobody")).to_be_hidden()
    rows = page.locator(".face").first.locator(".row")
    expect(rows).to_have_count(7)
    page.wait_for_timeout(500)  # the bars move there
    widths = rows.evaluate_all(WIDTHS)
    assert widths[3] > 0.8  # happy
    assert max(widths[:3] + widths[4:]) < 0.2
    expect(page.locator(".lane")).to_have_count(2)
    assert page.locator(".lane canvas").evaluate_all(f"all => all.every({PAINTED})")
    video = page.locator("#video")
    expect(page.locator("#video")).to_have_js_property("naturalWidth", 640)
    assert video.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [640, 480]
    first = video.screenshot()
    page.wait_for_timeout(1000)
    assert video.screenshot() != first  # it moves
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert float(page.locator("#rate").inner_text()) > 0
    assert complaints == []
    page.close()


def test_the_page_says_when_the_run_is_gone_and_finds_it_again(browser: Browser, long_clip: Path) -> None:
    with serving(long_clip) as first:
        page, _ = opened(browser, first.address)
        expect(page.locator("#state")).to_have_text("live", timeout=20_000)
        first.process.send_signal(signal.SIGKILL)
        expect(page.locator("#state")).to_have_text("connection lost, trying again", timeout=20_000)
        port = first.port
    with serving(long_clip, str(port)):
        expect(page.locator("#state")).to_have_text("live", timeout=60_000)
        expect(page.locator(".face h3 span")).to_have_text(["happy", "happy"], timeout=20_000)
    page.close()


def test_a_token_signs_the_browser_in_and_leaves_the_address(browser: Browser, long_clip: Path) -> None:
    with serving(long_clip, "0.0.0.0:0") as guarded:
        token = guarded.address.partition("?token=")[2]
        there = f"http://127.0.0.1:{guarded.port}/"
        page, _ = opened(browser, there)
        assert "needs the token" in page.inner_text("body")
        page.goto(f"{there}?token={token}", wait_until="domcontentloaded")
        assert page.url == there
        expect(page.locator("#state")).to_have_text("live", timeout=20_000)
        expect(page.locator("#video")).to_have_js_property("naturalWidth", 640)
        page.close()


def test_another_site_sees_nothing(browser: Browser, served: Served, tmp_path: Path) -> None:
    """A real page of another origin: its pictures, frames and scripts of ours stay empty."""
    (tmp_path / "index.html").write_text("<h1>another site</h1>")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    other = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=other.serve_forever, daemon=True).start()
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{other.server_address[1]}/")
    fetched = page.evaluate("address => fetch(address + 'health').then(() => 'read', () => 'refused')", served.address)
    assert fetched == "refused"
    for address in (f"http://localhost:{served.port}/", served.address):
        shown = page.evaluate(
            "address => new Promise(done => { const image = new Image(); image.onload = () => done('shown');"
            "image.onerror = () => done('refused'); image.src = address + 'video'; })",
            address,
        )
        assert shown == "refused"
    status = page.evaluate(
        "address => new Promise(done => { const events = new EventSource(address + 'events');"
        "events.onopen = () => done('open'); events.onerror = () => done('refused'); })",
        served.address,
    )
    assert status == "refused"
    page.evaluate(
        "a => document.body.append(Object.assign(document.createElement('iframe'), {src: a}))", served.address
    )
    page.wait_for_timeout(1000)
    assert "fer-edge" not in page.frames[1].content()
    page.close()
    other.shutdown()
