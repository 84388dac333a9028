"""--blur-faces: no output ever sees a face."""

import json
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from conftest import Run
from fer_benchmarks.demo_clip import FRAMES, placements, render
from fer_runtime.faces.anonymize import MEMORY_S, Blur
from fer_runtime.faces.detection import RetinaFace


def inner(image: NDArray[np.uint8], box: tuple[float, ...]) -> NDArray[np.uint8]:
    x, y, width, height = (round(value) for value in box)
    return image[y : y + height, x : x + width]


def detail(image: NDArray[np.uint8]) -> float:
    """Mean absolute Laplacian: how much fine structure there is."""
    return float(np.abs(cv2.Laplacian(image, cv2.CV_32F)).mean())


def test_a_recording_holds_no_face(command: Run, clip: Path, tmp_path: Path) -> None:
    outputs = ["--record", tmp_path / "blurred.avi", "--jsonl", tmp_path / "faces.jsonl"]
    done = command("fer-run", "--source", clip, "--headless", "--blur-faces", *outputs)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "faces.jsonl").read_text().splitlines()]
    assert all(len(line["faces"]) == 2 for line in lines)  # found and named all the same
    assert {face["label"] for line in lines for face in line["faces"]} == {"happy"}
    capture, detector = cv2.VideoCapture(str(tmp_path / "blurred.avi")), RetinaFace(side=640, threshold=0.5)
    for index in range(FRAMES):
        fine, image = capture.read()
        assert fine
        if index % 5 == 0:
            assert detector(image.astype(np.uint8)) == []


def test_a_place_stays_covered_after_the_face_is_lost() -> None:
    blur = Blur()
    image = render(0)
    boxes = [placed.face for placed in placements(0)]
    empty = np.full_like(image, 90)
    blur(image, [], 0.0)
    texture = np.random.RandomState(0).randint(0, 255, image.shape).astype(np.uint8)
    for at, covered in ((MEMORY_S / 2, True), (MEMORY_S * 0.9, True), (MEMORY_S * 1.1, False)):
        picture = blur(texture, [], at)
        for box in boxes:
            before, after = inner(texture, box), inner(picture, box)
            assert (detail(after) < 0.2 * detail(before)) == covered, at
    assert np.array_equal(blur(empty, [], 9.0), empty)


def test_what_the_tracker_knows_is_covered_though_the_blurs_own_detector_sees_nothing() -> None:
    texture = np.random.RandomState(0).randint(0, 255, (240, 320, 3)).astype(np.uint8)
    before = texture.copy()
    picture = Blur()(texture, [(100.0, 80.0, 60.0, 80.0), (-30.0, -30.0, 60.0, 60.0), (900.0, 900.0, 9.0, 9.0)], None)
    assert np.array_equal(texture, before)  # a copy: the loop's own picture stays whole
    assert detail(picture[80:160, 100:160]) < 0.2 * detail(texture[80:160, 100:160])
    assert detail(picture[:25, :25]) < 0.2 * detail(texture[:25, :25])
    assert np.array_equal(picture[200:, 200:], texture[200:, 200:])


def test_tiles_leave_nothing_to_recognise() -> None:
    """At most 5 tiles across a face, and 7 down it, each of one colour."""
    image = render(0)
    box = placements(0)[0].face
    covered = inner(Blur()(image, [box], None), box)
    colours = {tuple(pixel) for pixel in covered.reshape(-1, 3).tolist()}
    assert len(colours) <= 3 * 5 * 7  # the detector's own box and the given one, and where they cross


def test_pictures_are_covered_too(command: Run, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "in.png"), render(40))
    outputs = ["--record", tmp_path / "out.png"]
    done = command("fer-run", "--source", tmp_path / "in.png", "--headless", "--blur-faces", *outputs)
    assert done.returncode == 0, done.stderr
    picture = np.asarray(cv2.imread(str(tmp_path / "out.png")), np.uint8)
    assert RetinaFace(side=640, threshold=0.5)(picture) == []
