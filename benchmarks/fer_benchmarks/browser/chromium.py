"""The page in a headless Chromium, driven by playwright."""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fer_runtime.errors import FerError

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, BrowserType, Page, Playwright

Started = TypeVar("Started", "Browser", "BrowserContext")

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
INSTALL = "sudo apt-get install chromium"
# No sandbox: it fails for root and in containers, and the page is our own. Nothing is asked of other hosts.
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
START_TIMEOUT_S = 120.0  # a Raspberry Pi compiles the 14 MB of WebAssembly
ANSWER_TIMEOUT_S = 600.0  # of one call: on a Raspberry Pi a run of a benchmark takes minutes
ASK = """([method, given, seconds]) => Promise.race([
    window.fer[method](...given),
    new Promise((_, reject) => setTimeout(
        () => reject(new Error(`the page has not answered '${method}' after ${seconds} seconds`)), 1000 * seconds)),
])"""


def camera_flags(video: Path) -> tuple[str, ...]:
    """What makes a .y4m or .mjpeg file Chromium's only camera, in a loop, and lets the page have it."""
    return (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={video}",
    )


_drivers: list["Playwright"] = []  # the one that is open


@contextmanager
def _driver() -> Iterator["Playwright"]:
    """Playwright; a browser that is opened while another one is open shares its: two do not run in one thread."""
    from playwright.sync_api import sync_playwright

    if _drivers:
        yield _drivers[-1]
        return
    with sync_playwright() as playwright:
        _drivers.append(playwright)
        try:
            yield playwright
        finally:
            _drivers.pop()


@contextmanager
def running(flags: Sequence[str] = ()) -> Iterator["Browser"]:
    """A Chromium until the end of the block. Raises FerError where there is none, or no playwright."""
    with _started(lambda chromium, options: chromium.launch(**options), flags) as browser:
        yield browser


@contextmanager
def visiting(profile: Path, flags: Sequence[str] = ()) -> Iterator["BrowserContext"]:
    """A Chromium that keeps what a visitor's keeps (files, compiled code) in the folder `profile`. Raises FerError."""
    with _started(
        lambda chromium, options: chromium.launch_persistent_context(profile, permissions=["camera"], **options), flags
    ) as context:
        yield context


@contextmanager
def _started(start: Callable[["BrowserType", dict[str, Any]], Started], flags: Sequence[str]) -> Iterator[Started]:
    try:
        from playwright.sync_api import Error
    except ImportError as error:
        raise FerError("playwright, which drives the browser, is missing: pip install playwright") from error
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    with _driver() as playwright:
        try:
            started = start(playwright.chromium, {"executable_path": executable, "args": [*FLAGS, *flags]})
        except Error as error:
            reason = str(error).strip().splitlines()[0]
            raise FerError(f"no Chromium starts here ({reason}): {INSTALL}") from error
        try:
            yield started
        finally:
            started.close()


def open_harness(browser: "Browser | BrowserContext", address: str) -> "Page":
    """The page at `address` with its functions for tests and benchmarks, window.fer. Raises FerError without them."""
    page = browser.new_page()
    page.set_default_timeout(START_TIMEOUT_S * 1e3)
    page.goto(f"{address}?harness", wait_until="domcontentloaded")
    deadline = time.monotonic() + START_TIMEOUT_S
    while not page.evaluate("window.fer !== undefined"):  # wait_for_function needs eval, which the policy refuses
        if time.monotonic() > deadline:
            raise FerError(f"the page has no harness after {START_TIMEOUT_S:.0f} seconds: build it again")
        page.wait_for_timeout(50)
    return page


def ask(page: "Page", method: str, *arguments: object, timeout_s: float = ANSWER_TIMEOUT_S) -> Any:
    """The result of a function of window.fer. Raises FerError with the sentence that the page would show, and where
    there is no result after `timeout_s` seconds.
    """
    from playwright.sync_api import Error

    try:
        return page.evaluate(ASK, [method, list(arguments), timeout_s])
    except Error as error:
        sentence = str(error).removeprefix("Page.evaluate: ").removeprefix("Error: ").splitlines()[0]
        raise FerError(sentence) from error


def cpu_seconds(browser: "Browser") -> float:
    """Processor time that all processes of the browser have used so far."""
    return float(sum(process["cpuTime"] for process in _processes(browser)))


def memory_bytes(browser: "Browser", peak: bool = False) -> int | None:
    """Resident memory of the process that runs the page, now or at its largest; None where the system tells none."""
    name = "VmHWM:" if peak else "VmRSS:"
    statuses = [Path(f"/proc/{each['id']}/status") for each in _processes(browser) if each["type"] == "renderer"]
    lines = [line for status in statuses if status.exists() for line in status.read_text().splitlines()]
    return max((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), default=None)


def _processes(browser: "Browser") -> list[dict[str, Any]]:
    session = browser.new_browser_cdp_session()
    processes: list[dict[str, Any]] = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    return processes
