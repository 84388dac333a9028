"""fer-run: expressions of the faces in a camera, stream, video or folder of pictures."""

import logging
import os
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from fer_runtime.cli import options
from fer_runtime.cli.entry import run
from fer_runtime.cli.options import FILE, TEXT

if TYPE_CHECKING:
    from fer_runtime.outputs.factory import Outputs
    from fer_runtime.pipeline.loop import Loop
    from fer_runtime.system.profiler import Profile

log = logging.getLogger(__name__)

GO_WITHOUT_SOURCE = {"sourceless", "web", "web_demo", "model", "detector", "threads", "headless"}

PRIVACY = (
    "it names apparent expressions, which are not feelings; frames stay in memory unless you record; "
    "where it may be used: docs/privacy.md"
)


def _size(context: click.Context, option: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """Width and height of 640x480. Raises a usage error for anything else."""
    if value is None:
        return None
    width, cross, height = value.lower().partition("x")
    if not (cross and width.isdecimal() and height.isdecimal() and 16 <= min(int(width), int(height)) < 10_000):
        raise click.BadParameter(f"{value!r} is not width and height in pixels, such as 640x480", context, option)
    return int(width), int(height)


@click.command(epilog="Example: fer-run --source holiday.mp4 --headless --record faces.mkv --jsonl faces.jsonl")
@click.option(
    "--source",
    type=TEXT,
    default="0",
    show_default=True,
    envvar="FER_SOURCE",
    show_envvar=True,
    metavar="0|FILE|URL|FOLDER",
    help="Camera number, `picamera`, video or picture, rtsp/http address, or folder of pictures.",
)
@click.option("--no-source", "sourceless", is_flag=True, help="No camera: serve the HTTP API of --web alone.")
@click.option("--size", callback=_size, metavar="WxH", help="Frames to ask a camera for, such as 1280x720.")
@click.option("--fps", type=click.FloatRange(1, 1000), metavar="N", help="Frame rate to ask a camera for.")
@options.model
@click.option("--detector", type=FILE, metavar="FILE", help="A YuNet file, in place of the built-in detector.")
@click.option("--headless", is_flag=True, help="No window. Without another output, JSON lines go to standard output.")
@click.option("--jsonl", type=TEXT, metavar="FILE|-", help="Append one JSON object per frame; - is standard output.")
@click.option(
    "--record",
    type=FILE,
    metavar="FILE",
    help="Write annotated video (.mkv, .mp4, .avi), or the last frame as a picture (.png, .jpg); never over a file.",
)
@click.option("--blur-faces", "blur", is_flag=True, help="Make faces unrecognisable wherever pictures are shown.")
@click.option(
    "--web", type=TEXT, metavar="[HOST:]PORT", help="Serve a page with the live picture, faces, health and metrics."
)
@click.option(
    "--web-demo",
    type=FILE,
    metavar="FOLDER",
    help="With --web: also serve the page that runs in a visitor's browser, which make web-demo built, at /demo/.",
)
@click.option(
    "--mqtt",
    type=TEXT,
    envvar="FER_MQTT",
    show_envvar=True,
    metavar="URL",
    help="Send results to a broker: mqtt[s]://[USER[:PASSWORD]@]HOST[:PORT][/TOPIC].",
)
@click.option(
    "--mqtt-discovery",
    "discovery",
    is_flag=True,
    help="Announce the box to Home Assistant through the broker of --mqtt.",
)
@click.option(
    "--mqtt-discovery-remove",
    "forgotten",
    is_flag=True,
    help="Take the box back out of Home Assistant, and end; with the --mqtt that it had.",
)
@click.option("--max-frames", type=click.IntRange(min=1), metavar="N", help="End after N frames.")
@click.option(
    "--max-fps",
    type=click.FloatRange(0.1, 1000),
    metavar="N",
    help="Process at most N frames per second; pass over others.",
)
@click.option("--realtime", is_flag=True, help="Play a video file at its own pace; pass over frames that are late.")
@click.option(
    "--profile", "profiled", type=FILE, metavar="FILE",
    help="At the end, print how long each stage took, and write it to FILE as JSON.",
)  # fmt: skip
@options.threads
@options.verbosity
@options.version
def cli(
    source: str,
    sourceless: bool,
    size: tuple[int, int] | None,
    fps: float | None,
    model: Path | None,
    detector: Path | None,
    headless: bool,
    jsonl: str | None,
    record: Path | None,
    blur: bool,
    web: str | None,
    web_demo: Path | None,
    mqtt: str | None,
    discovery: bool,
    forgotten: bool,
    max_frames: int | None,
    max_fps: float | None,
    realtime: bool,
    profiled: Path | None,
    threads: int,
) -> None:
    """Name the expressions of faces in live video.

    Boxes, labels and probabilities go to a window, to JSON lines and to an annotated video, as asked. With a camera or
    stream only the newest frame is processed, so results never lag behind. Frames are stored only by --record.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's, unused here: a thread for each core, which spins
    context = click.get_current_context()
    given = {name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    refuse_combinations(given, mqtt)
    if forgotten:
        _forget(str(mqtt))
        return
    if sourceless:
        from fer_runtime.cli.serve import serve_alone

        serve_alone(str(web), model, detector, threads, web_demo)
        return
    import cv2

    from fer_runtime.cli import picture_worker
    from fer_runtime.cli.waiting import open_when_there
    from fer_runtime.faces.anonymize import Blur
    from fer_runtime.faces.detection import RetinaFace, YuNet
    from fer_runtime.files import check_place, refuse_same, write_text
    from fer_runtime.model.session import Classifier
    from fer_runtime.outputs.factory import OutputOptions, open_outputs
    from fer_runtime.pipeline.loop import Loop
    from fer_runtime.sources.factory import is_camera, open_source
    from fer_runtime.system.profiler import Profile

    refuse_same([jsonl if jsonl != "-" else None, record, profiled], [source, model, detector])
    if profiled:
        check_place(profiled)
    cv2.setNumThreads(threads)  # else it shrinks large frames on all cores, and its threads spin in between
    profile = Profile()
    classifier = Classifier(model, threads)
    whole, nearby = (
        (YuNet(detector), YuNet.nearby(detector))
        if detector
        else (RetinaFace(threads=threads), RetinaFace.nearby(threads))
    )
    frames = open_when_there(source, lambda: open_source(source, realtime, profile, size, fps))
    facts = classifier.manifest
    log.debug("model: %s, %d pixels, %d classes", facts.precision, facts.size, len(facts.labels))
    log.debug("source: %s, %g fps", "live" if frames.live else "a file", frames.fps)
    log.info(PRIVACY)
    with ExitStack() as closing:
        asked = OutputOptions(headless, is_camera(source), jsonl, record, web, web_demo, mqtt, discovery)
        worker = picture_worker.command(model, detector, threads, facts) if web is not None else ()
        outputs = open_outputs(asked, frames, facts, worker, closing)
        loop = Loop(
            frames,
            classifier,
            whole,
            nearby,
            max_fps,
            profile,
            Blur(threads) if blur else None,
            on_idle=outputs.on_idle,
        )
        try:
            _drive(loop, outputs, max_frames, profile)
        finally:
            if profiled:
                try:
                    write_text(profiled, profile.to_json())
                finally:  # the table is all that is left where the disk is full
                    click.echo(profile.table(), err=True)
    for note in frames.notes:
        log.warning(note)


def refuse_combinations(given: Collection[str], mqtt: str | None) -> None:
    """Raise click.UsageError for options that do not go together.

    given: names of the parameters that stand in the command line. mqtt: the broker, there or in the environment.
    """
    if ("discovery" in given or "forgotten" in given) and mqtt is None:
        raise click.UsageError("--mqtt-discovery and --mqtt-discovery-remove need --mqtt URL: the broker")
    if "discovery" in given and "forgotten" in given:
        raise click.UsageError("--mqtt-discovery announces the box, --mqtt-discovery-remove takes it back: give one")
    if "web_demo" in given and "web" not in given:
        raise click.UsageError("--web-demo FOLDER is served by --web: give --web [HOST:]PORT too")
    if "sourceless" in given and "web" not in given:
        raise click.UsageError("--no-source serves the HTTP API alone: give --web [HOST:]PORT")
    if "sourceless" in given and (others := set(given) - GO_WITHOUT_SOURCE):
        flags = {option.name: max(option.opts, key=len) for option in cli.params}
        raise click.UsageError(f"--no-source has no frames for {', '.join(sorted(flags[name] for name in others))}")


def _forget(broker: str) -> None:
    """Take the box out of Home Assistant. Raises FerError where the broker does not confirm it."""
    from fer_runtime.outputs.mqtt import remove_discovery

    remove_discovery(broker)
    log.info("Home Assistant is told to forget the box")


def _drive(loop: "Loop", outputs: "Outputs", max_frames: int | None, profile: "Profile") -> None:
    """Feed every output until the source ends, an output asks to stop, or `max_frames` are done; then sum up."""
    processed = found = 0
    for frame, result in loop:
        with profile.stage("output"):
            goes_on = outputs.write(frame.image, result)
        processed += 1
        found += len(result.faces)
        if not goes_on or processed == max_frames:
            break
    log.info("%d frames, %d faces", processed, found)


def main() -> None:
    """Entry point of fer-run."""
    run(cli, "web,mqtt")
