"""From what the user asked for to the outputs of a run."""

import logging
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_runtime.model.manifest import Manifest
from fer_runtime.outputs import window
from fer_runtime.outputs.base import Output
from fer_runtime.outputs.jsonl import JsonLines
from fer_runtime.outputs.recording import open_recording
from fer_runtime.outputs.systemd import Systemd
from fer_runtime.sources.base import OnIdle, Source, always
from fer_runtime.types import Result

log = logging.getLogger(__name__)

DEFAULT_FPS = 15.0  # of a recording whose source does not declare its own


@dataclass(frozen=True)
class OutputOptions:
    """fer-run's options about outputs."""

    headless: bool
    """No window."""
    mirror: bool
    """The window shows a mirror image."""
    jsonl: str | None
    """File for JSON lines; - is standard output."""
    record: Path | None
    """Video or picture file."""
    web: str | None
    """[HOST:]PORT of the page."""
    web_demo: Path | None
    """Folder of the page that runs in a browser, served too."""
    mqtt: str | None
    """URL of the broker."""
    mqtt_discovery: bool = False
    """Announce the box to Home Assistant through it."""


@dataclass
class Outputs:
    """The outputs of a run, as one."""

    every: list[Output] = field(default_factory=list)
    """In the order in which they are written to."""
    on_idle: OnIdle = always
    """To be called while the source gives nothing: the window's."""

    def write(self, image: NDArray[np.uint8], result: Result) -> bool:
        """Write to every output; False when one of them asks the loop to end."""
        going = [output.write(image, result) for output in self.every]
        return all(going)


def open_outputs(
    options: OutputOptions, source: Source, manifest: Manifest, worker: Sequence[str], closing: ExitStack
) -> Outputs:
    """The outputs asked for; each is closed when `closing` is. Raises FerError for what cannot be opened.

    manifest: of the model. worker: the command that looks at pictures for the web API.
    """
    outputs = Outputs()

    def add(output: Output) -> None:
        outputs.every.append(output)
        closing.callback(output.close)

    shown = not options.headless
    if shown and not window.can_open():
        log.warning("no window can be opened here, going on as with --headless")
        shown = False
    if options.record:
        add(open_recording(options.record, source.fps or DEFAULT_FPS))
    if options.jsonl:
        add(JsonLines(options.jsonl))
    if options.web is not None:
        from fer_runtime.outputs.web.server import WebPage

        page = WebPage(options.web, manifest.labels, manifest.facts(), worker, site=options.web_demo)
        add(page)
        log.warning("the page is at %s", page.address)
        if options.web_demo:
            log.warning("the page for a visitor's own camera is at %s", page.demo_address)
    if options.mqtt is not None:
        from fer_runtime.outputs.mqtt import Mqtt

        add(Mqtt(options.mqtt, options.mqtt_discovery))
    if not outputs.every and not shown:
        add(JsonLines("-"))
    if "NOTIFY_SOCKET" in os.environ:  # started by systemd
        add(Systemd())
    if shown:
        screen = window.Window(options.mirror)
        add(screen)
        outputs.on_idle = screen.on_idle
    return outputs
