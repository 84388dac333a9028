"""The page's own code gives what the runtime's gives: constants, logits, crops, detections, the loop, a camera."""

import csv
import json
import shutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page

from conftest import ROOT, Run
from fer_benchmarks.browser import chromium, host
from fer_benchmarks.browser.camera import write_y4m
from fer_benchmarks.browser.host import Host
from fer_benchmarks.demo_clip import FPS, FRAMES, render
from fer_runtime.faces.detection import Detection, RetinaFace
from fer_runtime.faces.similarity import overlap
from fer_runtime.model.manifest import golden_faces
from fer_runtime.model.preprocessing import crop, tilt
from fer_runtime.model.session import Classifier
from fer_runtime.outputs.web import site as pages
from fer_runtime.pipeline.loop import Loop
from fer_runtime.types import Face, Frame
from helpers import browser_page as tested
from helpers.browser_page import packed, rgba

MODULES = {
    "detection": "faces.detection", "locating": "faces.locating", "similarity": "faces.similarity",
    "searching": "faces.searching", "following": "faces.following", "tracking": "faces.tracking",
    "smoothing": "faces.smoothing", "preprocessing": "model.preprocessing", "loop": "pipeline.loop",
    "pipeline": "types",
}  # fmt: skip
SIZE = (320, 240)  # of frames that go to the page one by one
EMPTY = range(40, 50)  # frames of the clip that are made grey: the faces are lost and found again
BITS, CELL = 7, 12  # of the number in a frame's lower left corner, and pixels of each


@pytest.fixture(scope="module")
def fp32(command: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("fp32") / "nano.onnx"
    done = command("fer-export", ROOT / "models" / "fer-nano-votes.pt", "--out", file)
    assert done.returncode == 0, done.stderr
    return file


@pytest.fixture(scope="module")
def page(harness: Page) -> Page:
    return harness


@pytest.fixture(scope="module")
def fp32_page(browser: Browser, site: Path, fp32: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("site") / "fp32"
    pages.copy(site, folder, fp32)
    with host.serving(folder) as served:
        yield chromium.open_harness(browser, served.address)


def logits(page: Page, faces: NDArray[np.uint8]) -> NDArray[np.float64]:
    rows: list[list[float]] = page.evaluate("([faces, n]) => fer.logits(faces, n)", [packed(faces), len(faces)])
    return np.array(rows)


def found(page: Page, image: NDArray[np.uint8]) -> list[dict[str, Any]]:
    height, width = image.shape[:2]
    boxes: list[dict[str, Any]] = page.evaluate("given => fer.detect(...given)", [packed(rgba(image)), width, height])
    return boxes


def small(index: int) -> NDArray[np.uint8]:
    return cv2.resize(render(index), SIZE, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def native_loop(classifier: Classifier) -> Loop:
    return Loop(SimpleNamespace(live=False), classifier)  # it is given its frames one by one


def test_the_numbers_are_the_runtimes(page: Page) -> None:
    constants = page.evaluate("fer.constants()")
    assert set(constants) == set(MODULES)
    for file, numbers in constants.items():
        module = import_module(f"fer_runtime.{MODULES[file]}")
        native = {name: getattr(module, name) for name in numbers}
        assert json.loads(json.dumps(native)) == numbers, file


def test_logits_of_generated_faces(page: Page, fp32_page: Page, fp32: Path) -> None:
    for shown, native in ((page, Classifier()), (fp32_page, Classifier(fp32))):
        golden = native.manifest.golden
        assert golden
        faces = np.concatenate([golden_faces(golden.seed, native.size), golden_faces(1, native.size, 60)])
        answers = logits(shown, faces)
        assert np.abs(answers - native.logits(faces)).max() <= 1e-4
        assert np.abs(answers[:4] - golden.logits).max() <= golden.tolerance


@tested.needs_data
def test_logits_of_validation_faces(page: Page, fp32_page: Page, fp32: Path) -> None:
    from fer_runtime.data.dataset import load

    faces = load(tested.DATA / "fer2013.zip").split("valid").pixels[::3][:1000]
    native, answers = Classifier(), logits(page, faces)
    assert (answers.argmax(1) == native.predict(faces)).mean() >= 0.999
    print(f"int8: largest difference {np.abs(answers - native.logits(faces)).max():.2g} of {len(faces)} faces")
    difference = np.abs(logits(fp32_page, faces) - Classifier(fp32).logits(faces)).max()
    print(f"fp32: largest difference {difference:.2g}")
    assert difference <= 1e-4


def places(count: int) -> list[tuple[tuple[float, float, float, float], NDArray[np.float32]]]:
    """Boxes in and about a frame of SIZE, small and large, and landmarks of upright and tilted faces."""
    rng = np.random.RandomState(5)
    corners, sides = rng.uniform(-40, SIZE, (count, 2)), rng.uniform(15, 200, (count, 2))
    angles = np.deg2rad(np.where(np.arange(count) % 2, rng.uniform(-50, 50, count), 0))
    eyes = np.stack([np.zeros((count, 2)), 30 * np.stack([np.cos(angles), np.sin(angles)], 1)], 1)
    marks = np.pad(eyes, ((0, 0), (0, 3), (0, 0))).astype(np.float32)
    return [(tuple(box.tolist()), five) for box, five in zip(np.hstack([corners, sides]), marks, strict=True)]


@pytest.mark.parametrize(("colour", "size"), [("grey", 48), ("rgb", 64)])
def test_crops_are_the_same_pixels(browser: Browser, site: Path, tmp_path: Path, colour: str, size: int) -> None:
    folder = tmp_path / "site"
    shutil.copytree(site, folder)
    facts = json.loads((folder / "model" / "site.json").read_text())
    facts["classifier"]["manifest"] |= {"colour": colour, "size": size}
    (folder / "model" / "site.json").write_text(json.dumps(facts))
    noise = np.random.RandomState(0).randint(0, 60, (SIZE[1], SIZE[0], 3)).astype(np.uint8)
    image = cv2.add(small(30), noise).astype(np.uint8)
    wanted = places(60)
    with host.serving(folder) as served:
        page = chromium.open_harness(browser, served.address)
        asked = [{"box": box, "landmarks": landmarks.tolist()} for box, landmarks in wanted]
        crops = page.evaluate("given => fer.crops(...given)", [packed(rgba(image)), *SIZE, asked])
    framing = Classifier().manifest.framing
    native = np.stack([crop(image, box, framing, size, colour, tilt(landmarks)) for box, landmarks in wanted])
    difference = np.abs(np.stack([tested.unpacked(text) for text in crops]).reshape(native.shape).astype(int) - native)
    assert len({tilt(landmarks) for _, landmarks in wanted}) > 10
    assert native.std() > 30
    assert (difference <= 1).mean() >= 0.99
    assert difference.max() <= 2


def same(native: list[Detection], answers: list[dict[str, Any]]) -> None:
    assert len(answers) == len(native)
    for one in native:
        other = max(answers, key=lambda answer: overlap(one.box, answer["box"]))
        assert np.abs(np.subtract(one.box, other["box"])).max() <= 0.01 * max(one.box[2:])
        assert abs(one.score - other["score"]) <= 0.01


def test_detections_in_the_clip(page: Page) -> None:
    for index in (0, 70):
        native = RetinaFace()(render(index))
        assert len(native) == 2
        same(native, found(page, render(index)))


@tested.needs_data
def test_detections_on_labelled_photos(page: Page) -> None:
    with (tested.DATA / "faces" / "boxes.csv").open() as lines:
        names = sorted({row["image"] for row in csv.DictReader(lines)})
    count = 0
    for name in names:
        photo = cv2.imread(str(tested.DATA / "faces" / name))
        assert photo is not None
        image = photo.astype(np.uint8)
        native = RetinaFace()(image)
        same(native, found(page, image))
        count += len(native)
    assert count >= 40


def pairs(native: tuple[Face, ...], answers: list[dict[str, Any]]) -> Iterator[tuple[Face, dict[str, Any]]]:
    """Each native face with the answer that overlaps it most."""
    for face in native:
        yield face, max(answers, key=lambda answer: overlap(face.box, answer["box"]))


def test_the_loop_gives_the_same_faces_frame_by_frame(page: Page) -> None:
    classifier = Classifier()
    loop = native_loop(classifier)
    page.evaluate("fer.reset()")
    for index in range(0, FRAMES, 3):
        image, at = small(index), index / FPS
        if index in EMPTY:
            image = np.full_like(image, 90)
        answers = page.evaluate("given => fer.process(...given)", [packed(rgba(image)), *SIZE, at])
        native = loop.process(Frame(image, index, at)).faces
        assert [(face.track, face.label) for face in native] == [(a["track"], a["label"]) for a in answers], index
        for face, answer in zip(native, answers, strict=True):
            assert np.abs(np.subtract(face.box, answer["box"])).max() <= 1
            assert np.abs(np.subtract(list(face.probabilities.values()), answer["probabilities"])).max() <= 0.02
    assert native  # the last frame had faces


def numbered(index: int) -> NDArray[np.uint8]:
    """A frame of the clip with its number as dark and bright squares in the lower left corner."""
    image = render(index)
    for bit in range(BITS):
        image[-CELL:, bit * CELL : (bit + 1) * CELL] = 255 * (index >> bit & 1)
    return image


def as_seen(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """With the colours that are left in the clip."""
    return cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420), cv2.COLOR_YUV2BGR_I420).astype(
        np.uint8, copy=False
    )


def test_a_camera_gives_the_labels_of_fer_run(hosted: Host, tmp_path: Path) -> None:
    frames = [numbered(index) for index in range(FRAMES)]
    clip = tmp_path / "clip.y4m"
    write_y4m(clip, frames, FPS)
    loop = native_loop(Classifier())
    native = [loop.process(Frame(as_seen(frame), index, index / FPS)).faces for index, frame in enumerate(frames)]
    answers = recorded(hosted, clip)
    equal = []
    for answer in answers:
        number = sum((grey > 128) << bit for bit, grey in enumerate(answer["greys"]))
        equal.append(
            len(answer["faces"]) == len(native[number])
            and all(
                face.label == other["label"] and overlap(face.box, other["box"]) > 0.6
                for face, other in pairs(native[number], answer["faces"])
            )
        )
    assert len(equal) >= 60
    assert np.mean(equal) >= 0.97


def recorded(hosted: Host, clip: Path) -> list[dict[str, Any]]:
    """What the page answers to at least 70 frames of a camera that shows this clip, less the first ten."""
    points = [[bit * CELL + CELL // 2, 480 - CELL // 2] for bit in range(BITS)]
    with chromium.running(chromium.camera_flags(clip)) as browser:
        page = chromium.open_harness(browser, hosted.address)
        chromium.ask(page, "record", points)
        page.click("#camera")
        chromium.ask(page, "answered", 70)
        answers: list[dict[str, Any]] = chromium.ask(page, "recorded")
    return answers[10:]
