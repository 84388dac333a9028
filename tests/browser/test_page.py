"""The page that runs in a browser, for people: cameras, files, keyboard, screen readers, and what can be in the way."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from conftest import ROOT, Run
from fer_benchmarks import results
from fer_benchmarks.browser import chromium, host
from fer_benchmarks.browser.host import Host
from fer_benchmarks.demo_clip import render
from fer_runtime.errors import FerError
from fer_runtime.files import sha256
from fer_runtime.model.session import default_model
from fer_runtime.outputs.web import site as pages
from helpers.browser_page import opened

SIZES = {"desktop": {"width": 1280, "height": 860}, "phone": {"width": 390, "height": 844}}
AXE = ROOT / "runtime" / "browser" / "node_modules" / "axe-core" / "axe.min.js"
BYTES = default_model().stat().st_size
TRACK = "document.getElementById('video').srcObject.getVideoTracks()[0]"
HIDE = """hidden => {
    Object.defineProperty(document, "hidden", {get: () => hidden, configurable: true});
    document.dispatchEvent(new Event("visibilitychange"));
}"""
TURNING_CAMERA = """async () => {
    const video = document.createElement("video"), canvas = document.createElement("canvas");
    video.srcObject = await navigator.mediaDevices.getUserMedia({video: true});
    await video.play();
    window.turnCamera = () => Object.assign(canvas, {width: 480, height: 640});
    Object.assign(canvas, {width: 640, height: 480});
    setInterval(() => canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, 0.75 * canvas.width), 40);
    navigator.mediaDevices.getUserMedia = async () => canvas.captureStream(25);
}"""
VIOLATIONS = "async () => (await axe.run()).violations.map(each => each.id + ': ' + each.nodes[0].html)"


@pytest.fixture(scope="module")
def address(hosted: Host) -> str:
    return hosted.address


def ready(browser: Browser, address: str, size: str = "desktop", scheme: str = "dark") -> tuple[Page, list[str]]:
    page, complaints = opened(browser, address, viewport=SIZES[size], color_scheme=scheme)
    expect(page.locator("#state")).to_have_text("ready", timeout=60_000)
    return page, complaints


@pytest.mark.parametrize(("size", "scheme"), [("desktop", "dark"), ("phone", "light")])
def test_the_camera_by_keyboard_and_without_fault_for_axe(
    camera_browser: Browser, address: str, size: str, scheme: str
) -> None:
    page, complaints = ready(camera_browser, address, size, scheme)
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


def test_figures_can_be_copied_and_fer_bench_reads_them(
    camera_browser: Browser, address: str, command: Run, tmp_path: Path
) -> None:
    page, _ = ready(camera_browser, address)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click("#about summary")
    page.click("#copy")
    expect(page.locator("#copied")).to_have_text("Copied.", timeout=60_000)
    figures = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert len(figures["times_ms"]) > 10
    assert figures["simd"] is True
    assert figures["transferred_bytes"] > 2e6
    expect(page.locator("#facts")).to_contain_text("p95")
    (tmp_path / "device.json").write_text(json.dumps(figures))
    done = command("fer-bench", tmp_path / "device.json", "--json", tmp_path / "report.json")
    assert done.returncode == 0, done.stderr
    (model,) = results.read(tmp_path / "report.json").models
    assert (model.name, model.engine, model.sha256) == ("classifier.onnx (web)", "web", sha256(default_model()))
    assert model.runs[0].back_to_back.p50 == pytest.approx(np.median(figures["times_ms"]), rel=0.05)


def test_a_picture_and_a_file_that_is_none(browser: Browser, address: str, tmp_path: Path) -> None:
    page, complaints = ready(browser, address)
    cv2.imwrite(str(tmp_path / "faces.png"), render(0))
    page.set_input_files("#file", tmp_path / "faces.png")
    expect(page.locator("#state")).to_have_text("a picture", timeout=60_000)
    expect(page.locator(".face h3 span")).to_have_text(["happy", "happy"])
    (tmp_path / "text.png").write_text("no picture")
    page.set_input_files("#file", tmp_path / "text.png")
    expect(page.locator("#problem")).to_contain_text("text.png cannot be shown by this browser: expected a picture")
    expect(page.locator("#state")).to_have_text("stopped")
    assert complaints == []


def test_each_camera_that_is_not_there_is_a_sentence(browser: Browser, camera_browser: Browser, address: str) -> None:
    page, _ = ready(browser, address)
    page.context.grant_permissions(["camera"])
    page.click("#camera")
    expect(page.locator("#problem")).to_contain_text("No camera was found: connect one", timeout=60_000)
    page, _ = ready(camera_browser, address)
    page.click("#camera")
    expect(page.locator("#state")).to_have_text("live", timeout=60_000)
    page.evaluate("document.getElementById('video').srcObject.getVideoTracks()[0].dispatchEvent(new Event('ended'))")
    expect(page.locator("#problem")).to_contain_text("The camera is gone (unplugged, or taken back)")
    for name, words in (("NotAllowedError", "was refused"), ("NotReadableError", "taken by another program")):
        page.evaluate(
            "name => navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', name))", name
        )
        page.click("#camera")
        expect(page.locator("#problem")).to_contain_text(words, timeout=60_000)
        expect(page.locator("#camera")).to_be_enabled()


@pytest.mark.parametrize(("then", "state"), [("continue_", "live"), ("abort", "cannot start")])
def test_the_camera_can_be_asked_for_while_the_networks_load(
    camera_browser: Browser, address: str, then: str, state: str
) -> None:
    held: list[Route] = []
    page = camera_browser.new_page()
    page.route("**/model/detector.onnx*", lambda route: held.append(route))
    page.goto(address)
    page.click("#camera")
    expect(page.locator("#state")).to_have_text("waiting for the camera and the networks")
    while not held:
        page.wait_for_timeout(50)
    assert page.evaluate("document.getElementById('video').srcObject === null")
    getattr(held[0], then)()
    expect(page.locator("#state")).to_have_text(state, timeout=60_000)
    assert page.evaluate("document.getElementById('video').srcObject === null") is (state != "live")
    page.close()


def test_a_camera_that_is_muted_hidden_and_turned(camera_browser: Browser, address: str) -> None:
    page = chromium.open_harness(camera_browser, address)
    page.evaluate(TURNING_CAMERA)
    page.click("#camera")
    state = page.locator("#state")
    expect(state).to_have_text("live", timeout=60_000)
    page.evaluate(f"{TRACK}.dispatchEvent(new Event('mute'))")
    assert len(answers(page, 2)) == 2
    expect(state).to_contain_text("The camera gives no picture at the moment")
    page.evaluate(f"{TRACK}.dispatchEvent(new Event('unmute'))")
    expect(state).to_have_text("live")
    page.evaluate(HIDE, True)
    page.wait_for_timeout(300)  # the frame that was on its way
    assert state.text_content() == "paused while the page is hidden"
    chromium.ask(page, "record")
    page.wait_for_timeout(500)
    assert chromium.ask(page, "recorded") == []
    page.evaluate(f"{TRACK}.dispatchEvent(new Event('mute'))")
    assert state.text_content() == "paused while the page is hidden"
    page.evaluate(HIDE, False)
    expect(state).to_contain_text("The camera gives no picture at the moment")
    page.evaluate(f"{TRACK}.dispatchEvent(new Event('unmute'))")
    assert {(each["width"], each["height"]) for each in answers(page, 2)} == {(640, 480)}
    page.evaluate("turnCamera()")
    last = answers(page, 20)[-1]
    assert (last["width"], last["height"], len(last["faces"])) == (480, 640, 2)
    assert page.evaluate("(({width, height}) => [width, height])(document.getElementById('boxes'))") == [480, 640]
    page.close()


def answers(page: Page, count: int) -> list[dict[str, Any]]:
    """The page's next answers."""
    chromium.ask(page, "record")
    chromium.ask(page, "answered", count, timeout_s=120)
    found: list[dict[str, Any]] = chromium.ask(page, "recorded")
    return found[:count]


def test_a_benchmark_does_not_wait_for_a_page_without_end(camera_browser: Browser, address: str) -> None:
    page = chromium.open_harness(camera_browser, address)
    with pytest.raises(FerError, match=r"^the page has not answered 'answered' after 0.5 seconds$"):
        chromium.ask(page, "answered", 1, timeout_s=0.5)  # there is no source
    page.close()


def test_a_plain_address_has_no_camera_and_takes_pictures(
    camera_browser: Browser, address: str, tmp_path: Path
) -> None:
    page, _ = ready(camera_browser, address.replace("127.0.0.1", "plain.test"))
    page.click("#camera")
    expect(page.locator("#problem")).to_contain_text(
        "Browsers give a camera only to pages of https or of this very device"
    )
    cv2.imwrite(str(tmp_path / "faces.png"), render(0))
    page.set_input_files("#file", tmp_path / "faces.png")
    expect(page.locator(".face h3 span")).to_have_text(["happy", "happy"], timeout=60_000)


@pytest.mark.parametrize("headers", [pages.HEADERS, host.BARE])
def test_it_works_without_a_network_once_loaded(browser: Browser, site: Path, headers: Mapping[str, str]) -> None:
    with host.serving(site, headers, "/some/path/") as served:
        page, complaints = ready(browser, served.address)
        page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    assert complaints == []
    page.reload()  # the server is gone
    expect(page.locator("#state")).to_have_text("ready", timeout=60_000)


def broken(site: Path, folder: Path, change: str) -> Path:
    """A copy of the page with a fault in its model folder."""
    shutil.copytree(site, folder)
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
        ("cut", f"model/classifier.onnx is damaged: expected {BYTES} bytes, found {BYTES - 1000}"),
        ("other", "model/classifier.onnx is not the file that model/site.json describes"),
        ("bare", "model/classifier.onnx carries no fer-edge manifest"),
        ("newer", "has schema 9, expected 1"),
        ("foreign", "The classifier has no faces"),
    ],
)
def test_a_model_that_is_not_ours_is_a_sentence(
    browser: Browser, site: Path, tmp_path: Path, change: str, words: str
) -> None:
    with host.serving(broken(site, tmp_path / "site", change)) as served:
        page, _ = opened(browser, served.address)
        expect(page.locator("#problem")).to_contain_text(words, timeout=60_000)
        expect(page.locator("#state")).to_have_text("cannot start")
        expect(page.locator("#camera")).to_be_disabled()


def test_a_browser_without_simd_is_a_sentence(address: str) -> None:
    with chromium.running(["--js-flags=--no-enable-sse4-1 --no-enable-ssse3"]) as old:
        page, _ = opened(old, address)
        expect(page.locator("#problem")).to_contain_text("This browser has no WebAssembly SIMD", timeout=60_000)
