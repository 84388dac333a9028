"""Finds the faces of pictures that the HTTP API got, in a process of its own, started by `command`.

What a hostile picture breaks, a decoder or the memory, is then not the camera's loop. Standard input: a length (four
bytes, big-endian) and so many bytes of a JPEG or PNG. Standard output: an HTTP status, a length (four bytes each) and
so many bytes of text: JSON of the frame for 200, else a sentence.
"""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from fer_runtime.outputs.web.picture_protocol import LENGTH_BYTES, MAX_PIXELS, ORDER, STATUS_BYTES

if TYPE_CHECKING:
    from fer_runtime.model.manifest import Manifest
    from fer_runtime.pipeline.loop import Loop

NICENESS = 10  # the camera goes first


def command(model: Path | None, detector: Path | None, threads: int, manifest: "Manifest") -> tuple[str, ...]:
    """What starts it. manifest: of the model that the run has opened."""
    words = (str(model or ""), str(detector or ""), str(threads), _fingerprint(manifest))
    return (sys.executable, "-m", "fer_runtime.cli.picture_worker", *words)


def main() -> None:
    """Answer until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run, which then ends this
    _step_back()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    model, detector, threads, fingerprint = sys.argv[1:]
    loop, refusal = _opened(model, detector, int(threads), fingerprint)
    index = 0
    while (picture := _received(sys.stdin.buffer)) is not None:
        status, text = (503, refusal) if loop is None else _answer(loop, picture, index)
        content = text.encode()
        answers.write(status.to_bytes(STATUS_BYTES, ORDER) + len(content).to_bytes(LENGTH_BYTES, ORDER) + content)
        answers.flush()
        index += 1


def _step_back() -> None:
    """Leave processor and memory to the run, as far as this is allowed to say so."""
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _opened(model: str, detector: str, threads: int, fingerprint: str) -> tuple["Loop | None", str]:
    """The loop, or None and why there is none."""
    import cv2

    from fer_runtime.errors import FerError
    from fer_runtime.faces.detection import RetinaFace, YuNet
    from fer_runtime.model.session import Classifier
    from fer_runtime.pipeline.loop import Loop
    from fer_runtime.sources.files import Pictures

    cv2.setNumThreads(threads)
    try:
        classifier = Classifier(model or None, threads)
        if _fingerprint(classifier.manifest) != fingerprint:
            return None, "The model's file was replaced since fer-run was started: start it again."
        if detector:
            return Loop(Pictures([]), classifier, YuNet(Path(detector)), YuNet.nearby(Path(detector))), ""
        return Loop(Pictures([]), classifier, RetinaFace(threads=threads), RetinaFace.nearby(threads)), ""
    except FerError as error:
        return None, f"The model cannot be opened any more: {error}."


def _fingerprint(manifest: "Manifest") -> str:
    import hashlib

    return hashlib.sha256(manifest.to_json().encode()).hexdigest()


def _received(pictures: BinaryIO) -> bytes | None:
    """The next picture; None at the end."""
    length = pictures.read(LENGTH_BYTES)
    return pictures.read(int.from_bytes(length, ORDER)) if len(length) == LENGTH_BYTES else None


def _answer(loop: "Loop", picture: bytes, index: int) -> tuple[int, str]:
    """The status for one picture, and JSON or a sentence."""
    from fer_runtime.data.decode import decode_bgr
    from fer_runtime.data.picture_size import picture_size
    from fer_runtime.errors import FerError
    from fer_runtime.types import Frame

    received = time.monotonic()
    width, height = picture_size(picture) or (0, 0)
    if width * height > MAX_PIXELS:
        expected = f"at most {MAX_PIXELS // 1_000_000} megapixels"
        return 413, f"Expected {expected}, found {width} x {height} pixels: send a smaller picture."
    try:
        image = decode_bgr(picture)
        if image is None:
            return 422, "The picture cannot be decoded: is it complete?"
        return 200, loop.process(Frame(image, index, captured=received)).to_json()
    except FerError as error:
        return 500, f"{error}."
    except Exception as error:  # noqa: BLE001 - a fault of ours, or no memory: this picture's alone
        return 500, f"The picture could not be looked at ({type(error).__name__}): send another, and report this one."


if __name__ == "__main__":
    main()
