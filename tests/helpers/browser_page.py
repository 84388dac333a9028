"""The page that runs in a browser, as `make web-demo` builds it, in Debian's Chromium."""

import base64
import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from conftest import ROOT

CHROMIUM = Path("/usr/bin/chromium")  # Debian's
SOURCE = ROOT / "runtime" / "browser"
SHARED = ROOT / "runtime" / "fer_runtime" / "outputs" / "web"  # whose style and script it uses
SITE = ROOT / "build" / "site-tested"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
]  # fmt: skip
CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
DATA = Path(os.environ.get("FER_TEST_DATA", "/nonexistent"))  # fer2013.zip, and faces/ with boxes.csv: never in CI


def lack() -> str:
    """What is missing for these tests, in a sentence; empty when nothing is."""
    if not CHROMIUM.exists():
        return "needs Debian's package chromium"
    return "" if shutil.which("npm") else "needs Node 20.19 or newer with npm"


def built() -> Path:
    """The page's folder with the package's models, built anew where a source has changed; processes take turns."""
    SITE.parent.mkdir(exist_ok=True)
    with (SITE.parent / "site-tested.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        sources = [p for folder in (SOURCE, SHARED) for p in folder.rglob("*") if "node_modules" not in p.parts]
        newest = max(path.stat().st_mtime for path in sources if path.is_file())
        if not (SITE / "model" / "site.json").exists() or (SITE / "index.html").stat().st_mtime < newest:
            _build()
    return SITE


def _build() -> None:
    from fer_runtime.outputs.web import site

    environment = os.environ | {"FER_SITE_OUT": str(SITE)}
    shutil.rmtree(SITE, ignore_errors=True)
    for command in (["npm", "ci", "--silent"], ["npm", "run", "build"]):
        done = subprocess.run(command, cwd=SOURCE, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    site.fill(SITE)


@contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    """A browser with these flags beside the usual ones."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
        yield browser
        browser.close()


def opened(browser: Browser, address: str, **context: Any) -> tuple[Page, list[str]]:
    """The page at an address, and what it complains of or asks of other hosts from now on."""
    page = browser.new_context(**context).new_page()
    complaints: list[str] = []
    host = address.split("/")[2]

    def heard(said: ConsoleMessage) -> None:
        if said.type in ("error", "warning"):
            complaints.append(said.text)

    def asked(request: Request) -> None:
        if not request.url.startswith("blob:") and request.url.split("/")[2] != host:
            complaints.append(request.url)

    page.on("console", heard)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.context.on("request", asked)  # the workers' too
    page.goto(address)
    return page, complaints


def harness(browser: Browser, address: str) -> Page:
    """The page with window.fer."""
    page, _ = opened(browser, f"{address}?harness")
    page.set_default_timeout(120_000)
    page.wait_for_function("window.fer")
    return page


def packed(array: NDArray[np.uint8]) -> str:
    """Its bytes as the harness takes them."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def unpacked(text: str) -> NDArray[np.uint8]:
    """The bytes that the harness gave."""
    return np.frombuffer(base64.b64decode(text), np.uint8)


def rgba(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A BGR image [h, w, 3] as a browser's pixels [h, w, 4]."""
    return np.dstack([image[:, :, ::-1], np.full(image.shape[:2], 255, np.uint8)])


def write_y4m(path: Path, frames: Sequence[NDArray[np.uint8]]) -> Path:
    """A clip of BGR frames [h, w, 3] that Chromium's fake camera plays again and again, 25 frames per second."""
    height, width = frames[0].shape[:2]
    with path.open("wb") as clip:
        clip.write(f"YUV4MPEG2 W{width} H{height} F25:1 Ip A1:1 C420mpeg2\n".encode())
        for frame in frames:
            clip.write(b"FRAME\n" + cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420).tobytes())
    return path


needs_browser = pytest.mark.skipif(bool(lack()), reason=lack())
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="needs FER_TEST_DATA, a folder with fer2013.zip and faces/")
