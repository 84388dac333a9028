"""The page that runs in a browser: built once for all tests, served by a static host, and open in Chromium."""

import fcntl
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from conftest import BIN, ROOT
from fer_benchmarks.browser import chromium, host
from fer_benchmarks.browser.camera import write_y4m
from fer_benchmarks.browser.host import Host
from fer_benchmarks.demo_clip import FPS, FRAMES, render


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of this folder needs Node, which builds the page, and Chromium."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.system("node", "chromium"))


def make_web_demo(site: Path, scratch: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """`make web-demo` into `site`, in this installation's own environment."""
    (scratch / "venv").mkdir(exist_ok=True)
    (scratch / "venv" / ".installed").touch()  # newer than pyproject.toml: nothing is installed
    words = [f"RUN_VENV={scratch / 'venv'}", f"RUN_BIN={BIN}", f"SITE={site}"]
    return subprocess.run(
        ["make", "web-demo", *words], capture_output=True, text=True, cwd=ROOT, env=os.environ | variables, check=False
    )


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `make web-demo` builds; the test processes share one."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "site"
    with (shared / "site.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            done = make_web_demo(folder, shared)
            assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a camera; for one file: its driver runs an event loop, beside which others' would fail."""
    with chromium.running() as browser:
        yield browser


@pytest.fixture(scope="session")
def hosted(site: Path) -> Iterator[Host]:
    """The page as fer-run and a host of one's own serve it: isolated, with its Content-Security-Policy."""
    with host.serving(site) as served:
        yield served


@pytest.fixture(scope="module")
def harness(browser: Browser, hosted: Host) -> Iterator[Page]:
    """The page with window.fer; see runtime/browser/README.md."""
    page = chromium.open_harness(browser, hosted.address)
    yield page
    page.close()


@pytest.fixture(scope="session")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The astronaut clip, 25 frames per second, as a file that Chromium takes for a camera."""
    path = tmp_path_factory.mktemp("camera") / "clip.y4m"
    write_y4m(path, (render(index) for index in range(FRAMES)), FPS)
    return path


@pytest.fixture(scope="module")
def camera_browser(camera: Path) -> Iterator[Browser]:
    """Chromium with that camera, for which plain.test is a host that is not this device."""
    with chromium.running(
        [*chromium.camera_flags(camera), "--host-resolver-rules=MAP plain.test 127.0.0.1"]
    ) as browser:
        yield browser
