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

CAMERA_FPS = 30
SETTLE_S = 3.0  # before frames are counted
ENGINE = ("ort-", "model/")  # what is not our code, in a file's path
LONG_TASKS = """
window.longTasks = [];
new PerformanceObserver(list => longTasks.push(...list.getEntries().map(each => each.duration)))
    .observe({type: "longtask", buffered: true});
"""
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
class BrowserLoop:
    """What was measured."""

    browser: str
    cold_first_answer_ms: float
    """From the navigation with an empty cache, the button pressed as soon as it can be."""
    warm_first_answer_ms: float
    """The same with what the browser kept of the first visit."""
    transfer: Transfer
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
    longest_task_before_ms: float
    """The same from the navigation until then."""
    memory_bytes: list[int | None]
    """Of the page's process, after each minute."""


def measured(folder: Path, seconds: float, minutes: int) -> BrowserLoop:
    """Visit the page twice, and stay. minutes: for which memory is sampled, 0 for not at all. Raises FerError."""
    site.check(folder)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as scratch, host.serving(folder) as served:
        clip = Path(scratch) / "clip.y4m"
        there_and_back = [*range(FRAMES), *range(FRAMES - 2, 0, -1)]
        camera.write_y4m(clip, (render(index) for index in there_and_back), CAMERA_FPS)
        with chromium.running(chromium.camera_flags(clip)) as browser:
            context = browser.new_context(permissions=["camera"])
            context.add_init_script(LONG_TASKS)
            first = _visit(context, served)
            cold = chromium.ask(first, "about")["first_answer_ms"]
            transfer = transferred(folder, served)
            first.close()
            page = _visit(context, served)
            warm = chromium.ask(page, "about")["first_answer_ms"]
            rest = _watched(browser, page, seconds, minutes)
            return BrowserLoop(f"Chromium {browser.version}", cold, warm, transfer, seconds, **rest)


def _visit(context: "BrowserContext", served: Host) -> "Page":
    """The page with its camera running and a first answer."""
    page = chromium.open_harness(context, served.address)
    chromium.ask(page, "record")
    page.click("#camera")
    chromium.ask(page, "answered", 1)
    return page


def _watched(browser: "Browser", page: "Page", seconds: float, minutes: int) -> dict[str, Any]:
    page.wait_for_timeout(SETTLE_S * 1e3)
    before = max(page.evaluate("longTasks.splice(0)"), default=0.0)
    begun, cpu_s = time.perf_counter(), chromium.cpu_seconds(browser)
    chromium.ask(page, "record")
    page.wait_for_timeout(seconds * 1e3)
    answers = len(chromium.ask(page, "recorded"))
    took, cpu_s = time.perf_counter() - begun, chromium.cpu_seconds(browser) - cpu_s
    blocked = max(page.evaluate("longTasks"), default=0.0)
    loop = chromium.ask(page, "about")["loop"]
    memory = []
    for _ in range(minutes):
        chromium.ask(page, "record")  # what is kept for us would grow
        page.wait_for_timeout(60e3)
        memory.append(chromium.memory_bytes(browser))
    return {
        "fps": round(answers / took, 2),
        "work_ms": loop["work_ms"],
        "age_ms": loop["age_ms"],
        "core_share": round(cpu_s / took, 3),
        "longest_task_ms": blocked,
        "longest_task_before_ms": before,
        "memory_bytes": memory,
    }


def transferred(folder: Path, served: Host) -> Transfer:
    """Of the files that were asked for so far, each once."""
    below = urlsplit(served.address).path
    got = [(urlsplit(each.path).path.removeprefix(below) or "index.html", each) for each in served.seen]
    paths = {path: each.body_bytes for path, each in got if each.status == 200}
    code = sum(size for path, size in paths.items() if not any(part in path for part in ENGINE))
    node, brotli = shutil.which("node"), None
    if node:
        files = [folder / path for path in paths if (folder / path).is_file()]
        brotli = sum(_brotli_bytes(node, file) for file in files)
    return Transfer(sum(paths.values()), code, brotli)


def _brotli_bytes(node: str, file: Path) -> int:
    done = subprocess.run([node, "-e", BROTLI], input=file.read_bytes(), capture_output=True, check=True)  # noqa: S603 - Node, on a file of the page
    return int(done.stdout)


@click.command(epilog="Example: python -m fer_benchmarks.pipeline.browser_loop build/site --minutes 10")
@click.argument("folder", type=FILE)
@click.option("--seconds", type=click.FloatRange(1, 600), default=20, show_default=True, help="Count frames so long.")
@click.option("--minutes", type=click.IntRange(0, 120), default=0, show_default=True, help="Then watch memory so long.")
@click.option("--json", "json_file", type=FILE, metavar="FILE", help="Also write the figures.")
def cli(folder: Path, seconds: float, minutes: int, json_file: Path | None) -> None:
    """Measure the page in FOLDER in Chromium."""
    if json_file:
        check_place(json_file)
    found = asdict(measured(folder, seconds, minutes))
    if json_file:
        write_text(json_file, json.dumps(found, indent=1) + "\n")
    click.echo("\n".join(f"{name}: {value}" for name, value in found.items()))


if __name__ == "__main__":
    run(cli, "bench")
