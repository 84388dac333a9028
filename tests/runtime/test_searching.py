"""When frames are searched for new faces, and how much of them."""

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_benchmarks.demo_clip import placements, render
from fer_runtime.faces.detection import Detection, RetinaFace
from fer_runtime.faces.searching import DEFAULT_INTERVAL_S, MAX_QUIET_S, Search
from fer_runtime.faces.similarity import overlap
from fer_runtime.types import Box

FPS = 25
Image = NDArray[np.uint8]


class Watched:
    """A real detector that notes the sizes (width, height) of what it is given."""

    def __init__(self) -> None:
        self.detector, self.sizes = RetinaFace(), list[tuple[int, int]]()

    def __call__(self, frame: Image) -> list[Detection]:
        self.sizes.append((frame.shape[1], frame.shape[0]))
        return self.detector(frame)


def noisy(image: Image, seed: int) -> Image:
    noise = np.random.RandomState(seed).normal(0, 5, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def background() -> Image:
    """A scene without faces: a slope of brown."""
    height, width = render(0).shape[:2]
    return np.tile(np.linspace(90, 160, width)[None, :, None] * (0.9, 1.0, 1.1), (height, 1, 1)).astype(np.uint8)


def with_face(image: Image, index: int) -> Image:
    """The scene with the first of the demo's two faces, as in its frame of this index."""
    x, y, w, h = (round(value) for value in placements(index)[0].face)
    part = slice(max(0, y - h // 2), y + h + h // 2), slice(max(0, x - w // 2), x + w + w // 2)
    shown = image.copy()
    shown[part] = render(index)[part]
    return shown


def searched(
    search: Search, images: list[Image], known: tuple[Box, ...] = (), start: float = 0.0
) -> list[list[Detection] | None]:
    """What the search finds in these frames of 25 per second; None where none was due or nothing changed."""
    times = [start + index / FPS for index in range(len(images))]
    return [search(image, at, known) if search.is_due(at) else None for image, at in zip(images, times, strict=True)]


def test_a_scene_without_a_change_but_noise_is_searched_every_two_seconds() -> None:
    detector = Watched()
    searched(Search(detector), [noisy(background(), seed) for seed in range(6 * FPS)])
    assert detector.sizes == [(background().shape[1], background().shape[0])] * round(6 / MAX_QUIET_S)


@pytest.mark.parametrize("arrives", [3, 14, 26, 40])
def test_a_new_face_is_found_within_half_a_second_where_it_came(arrives: int) -> None:
    detector = Watched()
    images = [background()] * arrives + [with_face(background(), index) for index in range(FPS)]
    found = searched(Search(detector), images)
    first = next(index for index, each in enumerate(found) if each)
    assert arrives <= first <= arrives + DEFAULT_INTERVAL_S * FPS
    detections = found[first]
    assert detections is not None
    assert overlap(detections[0].box, placements(first - arrives)[0].face) > 0.5


def test_changes_on_a_known_face_are_its_own() -> None:
    detector = Watched()
    scene = with_face(background(), 0)
    x, y, w, h = (round(value) for value in RetinaFace()(scene)[0].box)
    moving = []
    for seed in range(FPS):
        frame = scene.copy()
        frame[y : y + h, x : x + w] = np.random.RandomState(seed).randint(0, 256, (h, w, 3))
        moving.append(frame)
    searched(Search(detector), moving, ((x, y, w, h),))
    assert len(detector.sizes) == 1
    searched(Search(detector), moving)
    assert len(detector.sizes) == 1 + int(1 / DEFAULT_INTERVAL_S) + 1


def test_another_scene_and_a_clock_that_goes_back_are_searched_at_once() -> None:
    detector = Watched()
    search = Search(detector)
    searched(search, [background()] * 5)
    assert len(detector.sizes) == 1
    search.hasten(5 / FPS)
    searched(search, [background()], start=5 / FPS)
    assert len(detector.sizes) == 2
    searched(search, [background()], start=-100.0)
    assert len(detector.sizes) == 3


def test_the_first_frame_a_new_scene_and_one_in_four_seconds_are_searched_finely() -> None:
    coarse, fine = Watched(), Watched()
    search = Search(coarse, fine=fine)
    searched(search, [background()] * (6 * FPS))
    assert len(fine.sizes) == 2  # at 0 and 4 seconds
    assert len(coarse.sizes) == 1  # at 2
    search.hasten(6.0, pause=0.2)  # a face was lost
    searched(search, [background()], start=6.0)
    assert (len(fine.sizes), len(coarse.sizes)) == (2, 2)
    search.hasten(6.1)
    searched(search, [background()], start=6.1)
    assert (len(fine.sizes), len(coarse.sizes)) == (3, 2)


def test_what_has_no_colour_is_always_searched_finely_also_in_part() -> None:
    coarse, fine = Watched(), Watched()
    grey = np.repeat(background()[:, :, 1:2], 3, axis=2)
    shown = grey.copy()
    shown[:40, :40] += 30
    searched(Search(coarse, fine=fine), [grey] * 5 + [shown] * 20)
    assert (len(fine.sizes), len(coarse.sizes)) == (2, 0)
    assert fine.sizes[1] < fine.sizes[0] == (grey.shape[1], grey.shape[0])


def test_what_is_asked_for_as_a_whole_is_searched_finely_and_is_the_last_fine_search() -> None:
    coarse, fine = Watched(), Watched()
    search = Search(coarse, fine=fine)
    for index in range(4):
        assert search(background(), 1.0 * index, (), whole=True) == []
    assert (len(fine.sizes), len(coarse.sizes)) == (4, 0)
    searched(search, [background()] * FPS, start=3.04)
    assert (len(fine.sizes), len(coarse.sizes)) == (4, 0)  # nothing changed
