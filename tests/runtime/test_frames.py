"""What cameras and videos give that is odd: broken frames, grey ones, pixels that are not square, lying names."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from conftest import Run
from fer_benchmarks.demo_clip import FRAMES, render
from fer_runtime import Classifier, Loop
from fer_runtime.sources.factory import open_source
from fer_runtime.sources.files import Video
from fer_runtime.sources.live import MAX_BROKEN, Live
from helpers.videos import encode


class OddCamera:
    """What a camera's capture gives, frame by frame; None for a frame that cannot be decoded."""

    opened = 0

    def __init__(self, frames: Iterator[Any]) -> None:
        self._frames = frames
        type(self).opened += 1

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return True

    def grab(self) -> bool:
        self._frame = next(self._frames, StopIteration)
        return self._frame is not StopIteration

    def retrieve(self) -> tuple[bool, Any]:
        if isinstance(self._frame, Exception):
            raise self._frame
        return self._frame is not None, self._frame

    def get(self, what: int) -> float:  # noqa: ARG002 - it tells nothing
        return 0.0

    def release(self) -> None:
        pass


def camera(*frames: Any) -> Live:
    """A camera that gives these frames over and over, each time that it is opened from the first one on."""
    OddCamera.opened = 0

    def repeated() -> Iterator[Any]:
        while True:
            yield from frames

    return Live("odd", open_capture=lambda: OddCamera(repeated()))


def test_single_broken_frames_do_not_end_a_camera() -> None:
    """A webcam's motion JPEG has one now and then; opening a camera again takes a second."""
    good = render(0)
    source = camera(good, None, good, cv2.error("broken"), *[None] * (MAX_BROKEN - 2))
    assert len(list(islice(source.frames(), 200))) == 200
    assert OddCamera.opened == 1


def test_a_camera_that_gives_nothing_but_broken_frames_is_opened_again() -> None:
    source = camera(render(0), *[None] * MAX_BROKEN)
    assert len(list(islice(source.frames(), 3))) == 3
    assert OddCamera.opened >= 3


def test_a_grey_camera_has_faces_too() -> None:
    source = camera(cv2.cvtColor(render(0), cv2.COLOR_BGR2GRAY))
    frame, result = next(iter(Loop(source, Classifier())))
    assert frame.image.shape == (480, 640, 3)
    assert len(result.faces) == 2


def test_frames_can_be_asked_for_again(clip: Path) -> None:
    """As in a notebook, where a cell is run twice."""
    video = open_source(str(clip))
    first, second = ([frame.media_time for frame in video.frames()] for _ in range(2))
    assert first == second
    assert len(first) == FRAMES
    source = camera(render(0))
    for _ in range(2):
        assert [frame.image.shape for frame in islice(source.frames(), 3)] == [(480, 640, 3)] * 3


def test_a_videos_decoder_can_be_held_to_one_thread(clip: Path) -> None:
    """For programs with a process per core; the frames are the same."""
    one, usual = (open_source(str(clip), decoder_threads=threads) for threads in (1, None))
    assert isinstance(one, Video)
    assert one._capture.get(cv2.CAP_PROP_N_THREADS) == 1
    pairs = zip(one.frames(), usual.frames(), strict=True)
    assert all(np.array_equal(a.image, b.image) for a, b in islice(pairs, 30))


def test_a_fault_in_the_reading_thread_reaches_the_caller() -> None:
    def fails(at: float) -> bool:  # noqa: ARG001 - the type's signature
        raise RuntimeError("asked too much")

    with pytest.raises(RuntimeError, match="asked too much"):
        next(camera(render(0)).frames(fails))


@pytest.mark.system("ffprobe")
@pytest.mark.parametrize(("squeezed", "pixel"), [("360:480", "16/9"), ("640:240", "1/2")])
def test_pixels_that_are_not_square_are_made_so(clip: Path, tmp_path: Path, squeezed: str, pixel: str) -> None:
    video = encode(clip, tmp_path / "dvd.mp4", "-vf", f"scale={squeezed},setsar={pixel}", "-frames:v", "3")
    frame, result = next(iter(Loop(open_source(str(video)), Classifier())))
    assert frame.image.shape == (480, 640, 3)
    _, expected = next(iter(Loop(open_source(str(clip)), Classifier())))
    for face, as_filmed in zip(result.faces, expected.faces, strict=True):
        assert np.abs(np.subtract(face.box, as_filmed.box)).max() <= 4


def test_files_are_what_their_bytes_are(command: Run, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "clip.jpg").write_bytes(clip.read_bytes())
    done = command("fer-run", "--source", tmp_path / "clip.jpg", "--headless", "--max-frames", 3)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"media_time_s"') == 3
    (tmp_path / "photo").write_bytes(bytes(cv2.imencode(".png", render(0))[1]))
    done = command("fer-run", "--source", tmp_path / "photo", "--headless")
    assert done.stdout.count('"name": "photo"') == 1
