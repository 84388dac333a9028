"""fer-run: expressions of the faces in a camera, stream, video or folder of pictures."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fer_runtime.console import run

if TYPE_CHECKING:
    from fer_runtime.loop import Loop
    from fer_runtime.outputs import Output
    from fer_runtime.profile import Profile
    from fer_runtime.sources import Source

PRIVACY = (
    "fer-run: it names apparent expressions, which are not feelings; frames stay in memory unless you record; "
    "where it may be used: docs/privacy.md"
)
DEFAULT_FPS = 15.0  # of a recording whose source does not tell its own


@click.command(epilog="Example: fer-run --source holiday.mp4 --headless --record faces.mkv --jsonl faces.jsonl")
@click.option(
    "--source",
    default="0",
    show_default=True,
    metavar="0|FILE|URL|FOLDER",
    help="Camera number, video or picture, rtsp/http address, or folder of pictures.",
)
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="ONNX file that fer-export wrote.  [default: the package's own, fer-small in int8]",
)
@click.option("--headless", is_flag=True, help="No window. Without another output, JSON lines go to standard output.")
@click.option("--jsonl", metavar="FILE|-", help="Write one JSON object a frame; - is standard output.")
@click.option(
    "--record",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write annotated video (.mkv, .mp4, .avi), or the last frame as a picture (.png, .jpg).",
)
@click.option("--web", metavar="[HOST:]PORT", help="Serve a page with the live picture, faces, health and metrics.")
@click.option(
    "--mqtt", metavar="URL", help="Send results to a broker: mqtt[s]://[USER[:PASSWORD]@]HOST[:PORT][/TOPIC]."
)
@click.option("--max-frames", type=click.IntRange(min=1), metavar="N", help="End after N frames.")
@click.option(
    "--max-fps",
    type=click.FloatRange(0.1, 1000),
    metavar="N",
    help="Answer at most N frames a second; pass over others.",
)
@click.option("--realtime", is_flag=True, help="Play a video file at its own pace; pass over frames that are late.")
@click.option(
    "--profile", "profiled", type=click.Path(path_type=Path), metavar="FILE",
    help="At the end, tell how long each stage took; the same as JSON in FILE.",
)  # fmt: skip
@click.option("--threads", type=click.IntRange(1, 64), default=1, show_default=True, help="Threads of each network.")
@click.version_option(package_name="fer-edge")
def cli(
    source: str,
    model: Path | None,
    headless: bool,
    jsonl: str | None,
    record: Path | None,
    web: str | None,
    mqtt: str | None,
    max_frames: int | None,
    max_fps: float | None,
    realtime: bool,
    profiled: Path | None,
    threads: int,
) -> None:
    """Name the expressions of faces in live video.

    Boxes, labels and probabilities go to a window, to JSON lines and to an annotated video, as asked. With a camera or
    stream only the newest frame is looked at, so answers are never behind. Frames are stored only by --record.
    """
    from fer_runtime.detectors import RetinaFace
    from fer_runtime.files import check_place, refuse_same, write_text
    from fer_runtime.loop import Loop
    from fer_runtime.profile import Profile
    from fer_runtime.session import Classifier
    from fer_runtime.sources import open_source

    refuse_same([jsonl if jsonl != "-" else None, record, profiled], [source, model])
    if profiled:
        check_place(profiled)
    profile = Profile()
    classifier = Classifier(model, threads)
    frames = open_source(source, realtime, profile)
    loop = Loop(frames, classifier, RetinaFace(threads=threads), RetinaFace.nearby(threads), max_fps, profile)
    click.echo(PRIVACY, err=True)
    with ExitStack() as closing:
        outputs = _outputs(frames, headless, jsonl, record, web, mqtt, classifier.labels, closing)
        try:
            _drive(loop, outputs, max_frames, profile)
        finally:
            if profiled:
                click.echo(profile.table(), err=True)
                write_text(profiled, profile.to_json())
    for note in frames.notes:
        click.echo(f"fer-run: {note}", err=True)


def _outputs(
    source: "Source",
    headless: bool,
    jsonl: str | None,
    record: Path | None,
    web: str | None,
    mqtt: str | None,
    labels: tuple[str, ...],
    closing: ExitStack,
) -> list["Output"]:
    """The outputs asked for; each is closed when `closing` is."""
    from fer_runtime import window
    from fer_runtime.notify import Systemd
    from fer_runtime.outputs import JsonLines
    from fer_runtime.recording import open_recording

    outputs: list[Output] = []
    if not headless and not window.can_open():
        click.echo("fer-run: no window can be opened here, going on as with --headless", err=True)
        headless = True
    if headless and not record and not jsonl and web is None and mqtt is None:
        jsonl = "-"
    if record:
        outputs.append(open_recording(record, source.fps or DEFAULT_FPS))
    if jsonl:
        outputs.append(JsonLines(jsonl))
    if web is not None:
        from fer_runtime.web.server import WebPage

        page = WebPage(web, labels)
        outputs.append(page)
        click.echo(f"fer-run: the page is at {page.address}", err=True)
    if mqtt is not None:
        from fer_runtime.mqtt import Mqtt

        outputs.append(Mqtt(mqtt))
    if "NOTIFY_SOCKET" in os.environ:  # started by systemd
        outputs.append(Systemd())
    if not headless:
        outputs.append(window.Window())
    for output in outputs:
        closing.callback(output.close)
    return outputs


def _drive(loop: "Loop", outputs: list["Output"], max_frames: int | None, profile: "Profile") -> None:
    """Feed every output until the source ends, an output asks to stop, or `max_frames` are done; then sum up."""
    answered = found = 0
    for frame, result in loop:
        with profile.stage("output"):
            going = [output.write(frame.image, result) for output in outputs]
        answered += 1
        found += len(result.faces)
        if not all(going) or answered == max_frames:
            break
    click.echo(f"fer-run: {answered} frames, {found} faces", err=True)


def main() -> None:
    """Entry point of fer-run."""
    run(cli, "web,mqtt")
