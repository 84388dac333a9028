"""What the loop leaves out: work on what did not change, searches where nobody is, full pace while it is hot."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_benchmarks.demo_clip import FPS, render
from fer_runtime.faces.detection import Detection, RetinaFace
from fer_runtime.faces.searching import DEFAULT_INTERVAL_S
from fer_runtime.faces.similarity import difference, thumbnail
from fer_runtime.model.session import Classifier
from fer_runtime.pipeline.loop import MAX_AGE_S, Loop
from fer_runtime.pipeline.pacing import HEAT_STEPS, Heat, Pace
from fer_runtime.sources.base import OnIdle, ShouldDecode, always
from fer_runtime.types import Frame


class Counted:
    """A real detector that counts its calls."""

    def __init__(self, detector: RetinaFace) -> None:
        self.detector, self.calls = detector, 0

    def __call__(self, frame: NDArray[np.uint8]) -> list[Detection]:
        self.calls += 1
        return self.detector(frame)


class CountedClassifier(Classifier):
    """The real classifier, with the number of faces it was given."""

    faces = 0

    def __call__(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.faces += len(faces)
        return super().__call__(faces)


class Frames:
    """A source of given frames, on the clip's clock."""

    def __init__(self, images: list[NDArray[np.uint8]]) -> None:
        self.images, self.notes = images, list[str]()
        self.fps, self.live = float(FPS), True

    def frames(
        self,
        should_decode: ShouldDecode = always,
        on_idle: OnIdle = always,  # noqa: ARG002 - never waits
    ) -> Iterator[Frame]:
        for index, image in enumerate(self.images):
            if should_decode(index / FPS):
                yield Frame(image, index, index / FPS)


def noisy(image: NDArray[np.uint8], seed: int, sigma: float = 3.0) -> NDArray[np.uint8]:
    noise = np.random.RandomState(seed).normal(0, sigma, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def test_faces_that_do_not_change_cost_next_to_nothing() -> None:
    count = 50
    source = Frames([noisy(render(10), seed) for seed in range(count)])
    whole, nearby, classifier = Counted(RetinaFace()), Counted(RetinaFace.nearby()), CountedClassifier()
    results = [result for _, result in Loop(source, classifier, whole, nearby)]
    assert all(len(result.faces) == 2 for result in results)
    looks = 1 + int(count / FPS / DEFAULT_INTERVAL_S)
    assert whole.calls <= looks
    assert nearby.calls <= 2 * looks  # of 2 * 50
    assert classifier.faces <= 2 * (looks + count / FPS / MAX_AGE_S)
    assert len({face.box for result in results for face in result.faces}) <= 2 * looks  # they lie still
    assert all(face.raw_label == "happy" for result in results for face in result.faces)


def test_a_face_that_changes_is_classified_at_once() -> None:
    """The mouth is painted over from one frame to the next; the box may stay where it is, the answer may not."""
    before = render(10)
    first = RetinaFace()(before)[0]
    x, y, width, height = (round(value) for value in first.box)
    after = before.copy()
    after[y + round(0.62 * height) : y + height, x : x + width] = before[y + height // 3, x + width // 2]
    classifier = CountedClassifier()
    changes = 18  # frame 25 would be the one that is classified anew in any case, a second after the first
    results = [result for _, result in Loop(Frames([before] * changes + [after] * 3), classifier)]
    ((then, now),) = [
        (before.raw, after.raw)
        for before, after in zip(results[changes - 1].faces, results[changes].faces, strict=True)
        if before.raw != after.raw
    ]
    assert max(abs(then[label] - now[label]) for label in now) > 0.05
    assert [face.raw for face in results[changes - 2].faces] == [face.raw for face in results[changes - 1].faces]


def test_thumbnails_tell_movement_from_noise() -> None:
    image = render(10)
    box = RetinaFace()(image)[0].box
    seen = thumbnail(image, box)
    assert difference(seen, thumbnail(noisy(image, 1, 5), box)) < 1
    assert difference(seen, thumbnail(image, (box[0] + 6, *box[1:]))) > 1
    assert difference(seen, thumbnail(image, (-900.0, 0.0, 50.0, 50.0))) > 1  # outside: black


@pytest.mark.parametrize("fps", [1, 7, 10, 29])
def test_the_pace_is_kept_on_average(fps: int) -> None:
    pace = Pace(fps, Heat(system=Path("/nonexistent")))
    rng = np.random.RandomState(0)
    times = np.arange(600) / 30 + rng.normal(0, 0.003, 600)
    assert sum(pace.is_due(at) for at in times) == pytest.approx(20 * fps, abs=1 + 0.02 * 20 * fps)


class Board:
    """The files in which a Raspberry Pi's system tells its temperature and the firmware's flags."""

    def __init__(self, system: Path) -> None:
        for index, kind in enumerate(["gpu-thermal", "cpu-thermal"]):
            zone = system / "class" / "thermal" / f"thermal_zone{index}"
            zone.mkdir(parents=True)
            (zone / "type").write_text(f"{kind}\n")
            (zone / "temp").write_text("99000\n")
        self.temp = zone / "temp"
        self.flags = system / "devices" / "platform" / "soc" / "soc:firmware" / "get_throttled"
        self.flags.parent.mkdir(parents=True)
        self.flags.write_text("0\n")


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path)


def test_the_loop_slows_down_step_by_step_and_says_so_once(
    board: Board, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    heat = Heat(tmp_path, 0)
    paces = []
    for degrees in (60, 74.9, 75, 78, 81, 78, 76.5, 74, 72.5, 71):
        board.temp.write_text(f"{degrees * 1000:.0f}\n")
        paces.append(heat.pause())
    slow, slower, slowest = (1 / fps for _, fps in HEAT_STEPS)
    assert paces == [0, 0, slow, slower, slowest, slowest, slowest, slower, slow, 0]  # later down than up
    assert len(caplog.messages) == 2
    assert "it is hot (75 degrees)" in caplog.messages[0]
    assert "cool again (71 degrees)" in caplog.messages[1]


def test_the_firmwares_flags_count_too(board: Board, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    heat = Heat(tmp_path, 0)
    board.temp.write_text("50000\n")
    assert heat.pause() == 0
    board.flags.write_text("4\n")  # throttled now
    assert heat.pause() > 0
    board.flags.write_text("60000\n")  # has been, at some time
    assert heat.pause() == 0
    board.flags.write_text("1\n")
    assert [heat.pause(), heat.pause()] == [0, 0]
    assert len(caplog.messages) == 3
    assert "the firmware slows the processor" in caplog.messages[0]
    assert "power supply is too weak" in caplog.messages[2]


def test_a_board_that_tells_nothing_is_never_hot(board: Board, tmp_path: Path) -> None:
    heat = Heat(tmp_path, 0)
    board.temp.unlink()
    board.flags.write_text("no number")
    assert heat.pause() == 0
    assert Heat(system=tmp_path / "nowhere").pause() == 0


def test_a_hot_board_answers_fewer_frames(board: Board, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    board.temp.write_text("76000\n")
    pace = Pace(None, Heat(tmp_path, 0))
    source = Frames([render(0)] * 50)
    answered = [result.frame for _, result in Loop(source, Classifier(), pace=pace)]
    assert len(answered) == pytest.approx(50 / FPS * HEAT_STEPS[0][1], abs=1)
    assert len(caplog.messages) == 1


def test_of_a_file_every_frame_counts_on_a_hot_board_too(board: Board, tmp_path: Path) -> None:
    board.temp.write_text("76000\n")
    pace = Pace(None, Heat(tmp_path, 0), live=False)
    assert all(pace.is_due(index / FPS) for index in range(50))
    assert pace.rest() == 1 / HEAT_STEPS[0][1]
    board.temp.write_text("60000\n")
    assert pace.rest() == 0
