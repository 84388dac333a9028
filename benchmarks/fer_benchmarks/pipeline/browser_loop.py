"""`python -m fer_benchmarks.pipeline.browser_loop build/site`: the page at work in Chromium, held to one core.

Its camera shows the demo clip, two faces, 30 frames per second: bytes and time to the first answer, frames per second,
share of the core, the longest that the main thread was blocked, and memory.
"""

import json
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from fer_benchmarks.browser import camera, chromium, host
from fer_benchmarks.browser.host import Host
from fer_benchmarks.demo_clip import FRAMES, render
from fer_runtime.cli.entry import run
from fer_runtime.cli.options import FILE
from fer_runtime.files import check_place, write_text
from fer_runtime.outputs.web import site

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

SCHEMA = 1
CAMERA_FPS = 30
STAY_S = 3.0  # after a visit's first answer: the browser keeps what it compiled
SETTLE_S = 15.0  # before frames are counted: until then it compiles
ENGINE = ("ort-", "model/")  # what is not our code, in a file's path
LONG_TASKS = """
window.longTasks = [];
new PerformanceObserver(list => longTasks.push(...list.getEntries().map(each => each.duration)))
    .observe({type: "longtask", buffered: true});
"""
# The button is pressed as soon as it can be.
PRESS = """
addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("camera"), press = () => button.disabled || button.click();
    new MutationObserver((_, observer) => button.disabled || (observer.disconnect(), press()))
        .observe(button, {attributes: true});
    press();
});
"""
FIRST_ANSWER = "performance.getEntriesByName('first answer')[0].startTime"
MEASURE_NOW = "--enable-blink-features=ForceEagerMeasureMemory"  # collect the garbage when memory is asked for
MEMORY = "performance.measureUserAgentSpecificMemory().then(found => found.bytes)"
BROTLI = """
const zlib = require("zlib"), data = require("fs").readFileSync(0), {BROTLI_PARAM_QUALITY: quality} = zlib.constants;
console.log(zlib.brotliCompressSync(data, {params: {[quality]: 5}}).length);
"""


@dataclass(frozen=True)
class Transfer:
    """Bytes of the bodies until the first answer."""

    gzip: int
    """At level 6, every file."""
    code: int
    """Of that, the page's own HTML, CSS and JavaScript; onnxruntime-web's is in it where it is part of these files."""
    brotli: int | None
    """At quality 5, as hosts compress on the fly; None without Node."""


@dataclass(frozen=True)
class Visit:
    """One visit of the page, the camera's button pressed as soon as it can be."""

    first_answer_ms: float
    """From the navigation."""
    longest_task_ms: float
    """Longest time that the main thread was blocked until then and a little later; 0 where never for 50 ms."""


@dataclass(frozen=True)
class Memory:
    """After one more minute with the camera."""

    answers: int
    """In that minute."""
    page_bytes: int
    """Of the page and its worker after their garbage was collected: JavaScript, WebAssembly, canvases, elements."""
    process_bytes: int | None
    """Resident, of the process that runs them; None where the system tells none."""


@dataclass(frozen=True)
class BrowserLoop:
    """What was measured."""

    browser: str
    cores: int
    """That the browser had."""
    visits: list[Visit]
    """The first with nothing kept, the others with what the browser kept of those before."""
    transfer: Transfer
    """Of the first visit."""
    seconds: float
    """For which frames were counted."""
    fps: float
    work_ms: dict[str, float]
    """Of a frame in the worker: p50 and p95."""
    age_ms: dict[str, float]
    """From a frame's capture to its answer: p50 and p95."""
    core_share: float
    """Of one core, all processes of the browser."""
    longest_task_ms: float
    """Longest time that the main thread was blocked while frames were counted; 0 where never for 50 ms."""
    memory: list[Memory]
    """After each minute."""


def measured(folder: Path, cores: int, visits: int, seconds: float, minutes: int) -> BrowserLoop:
    """Visit the page, and stay. cores: of this machine, for the browser; minutes: for which memory is watched.

    Raises FerError.
    """
    site.check(folder)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    with tempfile.TemporaryDirectory() as scratch:
        clip = Path(scratch) / "clip.y4m"
        there_and_back = [*range(FRAMES), *range(FRAMES - 2, 0, -1)]
        camera.write_y4m(clip, (render(index) for index in there_and_back), CAMERA_FPS)
        flags = chromium.camera_flags(clip)
        seen, transfer = _visits(folder, Path(scratch) / "profile", flags, visits)
        with host.serving(folder) as served, chromium.running([*flags, MEASURE_NOW]) as browser:
            rest = _watched(browser, served, seconds, minutes)
            return BrowserLoop(f"Chromium {browser.version}", cores, seen, transfer, seconds, **rest)


def _visits(folder: Path, profile: Path, flags: tuple[str, ...], count: int) -> tuple[list[Visit], Transfer]:
    """As a visitor's browser, which keeps the page."""
    seen = []
    with host.serving(folder) as served, chromium.visiting(profile, flags) as context:
        for script in (LONG_TASKS, PRESS):
            context.add_init_script(script)
        for visit in range(count):
            seen.append(_visit(context, served))
            if not visit:
                transfer = transferred(folder, served)
    return seen, transfer


def _visit(context: "BrowserContext", served: Host) -> Visit:
    page = context.new_page()
    page.goto(served.address, wait_until="commit")
    page.wait_for_selector(".face h3 span", timeout=chromium.START_TIMEOUT_S * 1e3)
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    page.wait_for_timeout(STAY_S * 1e3)
    found = Visit(page.evaluate(FIRST_ANSWER), max(page.evaluate("longTasks"), default=0.0))
    page.close()
    return found


def _watched(browser: "Browser", served: Host, seconds: float, minutes: int) -> dict[str, Any]:
    context = browser.new_context(permissions=["camera"])
    context.add_init_script(LONG_TASKS)
    page = chromium.open_harness(context, served.address)
    chromium.ask(page, "record")
    page.click("#camera")
    chromium.ask(page, "answered", 1)
    page.wait_for_timeout(SETTLE_S * 1e3)
    page.evaluate("longTasks.length = 0")
    begun, cpu_s = time.perf_counter(), chromium.cpu_seconds(browser)
    chromium.ask(page, "record")
    page.wait_for_timeout(seconds * 1e3)
    answers = len(chromium.ask(page, "recorded"))
    took, cpu_s = time.perf_counter() - begun, chromium.cpu_seconds(browser) - cpu_s
    blocked = max(page.evaluate("longTasks"), default=0.0)
    loop = chromium.ask(page, "about")["loop"]
    return {
        "fps": round(answers / took, 2),
        "work_ms": loop["work_ms"],
        "age_ms": loop["age_ms"],
        "core_share": round(cpu_s / took, 3),
        "longest_task_ms": blocked,
        "memory": [_memory(browser, page) for _ in range(minutes)],
    }


def _memory(browser: "Browser", page: "Page") -> Memory:
    chromium.ask(page, "record")
    page.wait_for_timeout(60e3)
    answers = len(chromium.ask(page, "recorded"))
    chromium.ask(page, "record")  # what is kept for us is no memory of the page's
    return Memory(answers, page.evaluate(MEMORY), chromium.memory_bytes(browser))


def transferred(folder: Path, served: Host) -> Transfer:
    """Of all that was sent so far; what was sent twice counts twice."""
    below = urlsplit(served.address).path
    got = [(urlsplit(each.path).path.removeprefix(below) or "index.html", each) for each in served.seen]
    sent = [(path, each.body_bytes) for path, each in got if each.status == 200]
    code = sum(size for path, size in sent if not any(part in path for part in ENGINE))
    node, brotli = shutil.which("node"), None
    if node:
        files = [folder / path for path, _ in sent if (folder / path).is_file()]
        brotli = sum(_brotli_bytes(node, file) for file in files)
    return Transfer(sum(size for _, size in sent), code, brotli)


def _brotli_bytes(node: str, file: Path) -> int:
    done = subprocess.run([node, "-e", BROTLI], input=file.read_bytes(), capture_output=True, check=True)  # noqa: S603 - Node, on a file of the page
    return int(done.stdout)


@click.command(epilog="Example: python -m fer_benchmarks.pipeline.browser_loop build/site --minutes 10")
@click.argument("folder", type=FILE)
@click.option("--cores", type=click.IntRange(1), default=1, show_default=True, help="Hold the browser to so many.")
@click.option("--visits", type=click.IntRange(1, 50), default=3, show_default=True, help="Open the page so often.")
@click.option("--seconds", type=click.FloatRange(1, 600), default=20, show_default=True, help="Count frames so long.")
@click.option("--minutes", type=click.IntRange(0, 120), default=0, show_default=True, help="Then watch memory so long.")
@click.option("--json", "json_file", type=FILE, metavar="FILE", help="Also write the figures.")
def cli(folder: Path, cores: int, visits: int, seconds: float, minutes: int, json_file: Path | None) -> None:
    """Measure the page in FOLDER in Chromium."""
    if json_file:
        check_place(json_file)
    found = {"schema": SCHEMA} | asdict(measured(folder, cores, visits, seconds, minutes))
    if json_file:
        write_text(json_file, json.dumps(found, indent=1) + "\n")
    click.echo("\n".join(f"{name}: {value}" for name, value in found.items()))


if __name__ == "__main__":
    run(cli, "bench")
