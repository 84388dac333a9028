"""The page that runs in a browser, for people: cameras, files, keyboard, screen readers, and what can be in the way."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
from playwright.sync_api import Browser, Page, expect

from conftest import ROOT
from fer_benchmarks.demo_clip import render
from helpers import browser_page as tested
from helpers.browser_page import built, chromium, opened
from helpers.served import serving_alone

pytestmark = tested.needs_browser
SIZES = {"desktop": {"width": 1280, "height": 860}, "phone": {"width": 390, "height": 844}}
AXE = ROOT / "runtime" / "browser" / "node_modules" / "axe-core" / "axe.min.js"
VIOLATIONS = "async () => (await axe.run()).violations.map(each => each.id + ': ' + each.nodes[0].html)"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving_alone("0", "--web-demo", built()) as served:
        yield f"http://127.0.0.1:{served.port}/demo/"


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser whose camera shows the demo clip."""
    clip = tested.write_y4m(tmp_path_factory.mktemp("camera") / "clip.y4m", [render(index) for index in range(50)])
    with chromium(*tested.CAMERA, f"--use-file-for-fake-video-capture={clip}") as browser:
        yield browser


@pytest.fixture(scope="module")
def plain() -> Iterator[Browser]:
    """A browser of a machine without a camera."""
    with chromium() as browser:
        yield browser


def ready(browser: Browser, address: str, size: str = "desktop", scheme: str = "dark") -> tuple[Page, list[str]]:
    page, complaints = opened(browser, address, viewport=SIZES[size], color_scheme=scheme)
    page.set_default_timeout(60_000)
    expect(page.locator("#state")).to_have_text("ready", timeout=60_000)
    return page, complaints


@pytest.mark.parametrize(("size", "scheme"), [("desktop", "dark"), ("phone", "light")])
def test_the_camera_by_keyboard_and_without_fault_for_axe(
    filmed: Browser, address: str, size: str, scheme: str
) -> None:
    page, complaints = ready(filmed, address, size, scheme)
    page.evaluate(AXE.read_text())
    assert page.evaluate(VIOLATIONS) == []
    page.keyboard.press("Tab")
    expect(page.locator("#camera")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_have_text("live", timeout=60_000)
    expect(page.locator(".face h3 span")).to_have_text(["happy", "happy"], timeout=60_000)
    expect(page.locator("#spoken")).to_contain_text("happy", timeout=60_000)
    expect(page.locator(".lane")).not_to_have_count(0, timeout=60_000)
    page.keyboard.press("Tab")
    expect(page.locator("#stop")).to_be_focused()
    page.click("#about summary")
    expect(page.locator("#facts")).to_contain_text("SIMD")
    assert page.evaluate(VIOLATIONS) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.focus("#stop")
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_have_text("ready")
    assert page.evaluate("document.getElementById('video').srcObject === null")
    assert complaints == []


def test_figures_can_be_copied(filmed: Browser, address: str) -> None:
    page, _ = ready(filmed, address)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click("#about summary")
    page.click("#copy")
    expect(page.locator("#copied")).to_have_text("Copied.", timeout=60_000)
    figures = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert len(figures["times_ms"]) > 10
    assert figures["simd"] is True
    assert figures["transferred_bytes"] > 2e6
    expect(page.locator("#facts")).to_contain_text("p95")


def test_a_picture_and_a_file_that_is_none(plain: Browser, address: str, tmp_path: Path) -> None:
    page, complaints = ready(plain, address)
    cv2.imwrite(str(tmp_path / "faces.png"), render(0))
    page.set_input_files("#file", tmp_path / "faces.png")
    expect(page.locator("#state")).to_have_text("a picture", timeout=60_000)
    expect(page.locator(".face h3 span")).to_have_text(["happy", "happy"])
    (tmp_path / "text.png").write_text("no picture")
    page.set_input_files("#file", tmp_path / "text.png")
    expect(page.locator("#problem")).to_contain_text("text.png cannot be shown by this browser: expected a picture")
    expect(page.locator("#state")).to_have_text("stopped")
    assert complaints == []


def test_each_camera_that_is_not_there_is_a_sentence(plain: Browser, filmed: Browser, address: str) -> None:
    page, _ = ready(plain, address)
    page.context.grant_permissions(["camera"])
    page.click("#camera")
    expect(page.locator("#problem")).to_contain_text("No camera was found: connect one")
    page, _ = ready(filmed, address)
    page.click("#camera")
    expect(page.locator("#state")).to_have_text("live", timeout=60_000)
    page.evaluate("document.getElementById('video').srcObject.getVideoTracks()[0].dispatchEvent(new Event('ended'))")
    expect(page.locator("#problem")).to_contain_text("The camera is gone (unplugged, or taken back)")
    for name, words in (("NotAllowedError", "was refused"), ("NotReadableError", "taken by another program")):
        page.evaluate(
            "name => navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', name))", name
        )
        page.click("#camera")
        expect(page.locator("#problem")).to_contain_text(words)
        expect(page.locator("#camera")).to_be_enabled()


def test_it_works_without_a_network_once_loaded(plain: Browser) -> None:
    with serving_alone("0", "--web-demo", built()) as served:
        page, _ = ready(plain, f"http://127.0.0.1:{served.port}/demo/")
        page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    page.reload()  # the server is gone
    expect(page.locator("#state")).to_have_text("ready", timeout=60_000)


def broken(folder: Path, change: str) -> Path:
    """A copy of the page with a fault in its model folder."""
    shutil.copytree(built(), folder)
    classifier, facts = folder / "model" / "classifier.onnx", folder / "model" / "site.json"
    plain = json.loads(facts.read_text())
    if change == "cut":
        classifier.write_bytes(classifier.read_bytes()[:-1000])
    elif change == "other":
        classifier.write_bytes(bytes(classifier.stat().st_size))
    elif change == "bare":
        del plain["classifier"]["manifest"]
    elif change == "newer":
        plain["classifier"]["manifest"]["schema"] = 9
    elif change == "foreign":
        plain["classifier"] |= {name: plain["detector"][name] for name in ("file", "bytes", "sha256")}
    facts.write_text(json.dumps(plain))
    return folder


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("cut", "model/classifier.onnx is damaged: expected 325037 bytes, found 324037"),
        ("other", "model/classifier.onnx is not the file that model/site.json describes"),
        ("bare", "model/classifier.onnx carries no fer-edge manifest"),
        ("newer", "has schema 9, expected 1"),
        ("foreign", "The classifier has no faces"),
    ],
)
def test_a_model_that_is_not_ours_is_a_sentence(plain: Browser, tmp_path: Path, change: str, words: str) -> None:
    with serving_alone("0", "--web-demo", broken(tmp_path / "site", change)) as served:
        page, _ = opened(plain, f"http://127.0.0.1:{served.port}/demo/")
        expect(page.locator("#problem")).to_contain_text(words, timeout=60_000)
        expect(page.locator("#state")).to_have_text("cannot start")
        expect(page.locator("#camera")).to_be_disabled()


def test_a_browser_without_simd_is_a_sentence(address: str) -> None:
    with chromium("--js-flags=--no-enable-sse4-1 --no-enable-ssse3") as old:
        page, _ = opened(old, address)
        expect(page.locator("#problem")).to_contain_text("This browser has no WebAssembly SIMD", timeout=60_000)
