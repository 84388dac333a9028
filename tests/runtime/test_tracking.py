"""Faces over time: one number a face, boxes that stay on it, and few looks at the whole frame."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_benchmarks.demo_clip import FPS, FRAMES, placements, render
from fer_runtime.faces.detection import Detection, RetinaFace
from fer_runtime.faces.locating import Locator
from fer_runtime.faces.searching import DEFAULT_INTERVAL_S
from fer_runtime.faces.similarity import overlap
from fer_runtime.faces.smoothing import Smoother
from fer_runtime.faces.tracking import LOOKS, MAX_UNSEEN_S, Tracker
from fer_runtime.system.profiler import Profile
from fer_runtime.types import Frame


class Counted:
    """A real detector that counts its calls."""

    def __init__(self, detector: RetinaFace) -> None:
        self.detector, self.calls = detector, 0

    def __call__(self, frame: NDArray[np.uint8]) -> list[Detection]:
        self.calls += 1
        return self.detector(frame)


class Doubtful:
    """The detector of frames, which is never sure, and proposes faces along the picture's top as well."""

    def __init__(self, others: int) -> None:
        self.detector, self.others = RetinaFace(), others

    def __call__(self, frame: NDArray[np.uint8]) -> list[Detection]:
        faces = [replace(face, score=0.2) for face in self.detector(frame)]
        if not faces:
            return []
        return [replace(faces[0], box=(60.0 * i, 5.0, 40.0, 50.0), score=0.5) for i in range(self.others)] + faces


def tracker() -> tuple[Tracker, Counted]:
    whole = Counted(RetinaFace())
    return Tracker(whole, RetinaFace.nearby(), Profile()), whole


def frames(count: int = FRAMES, image: Callable[[int], NDArray[np.uint8]] = render) -> list[Frame]:
    return [Frame(image(index), index, index / FPS) for index in range(count)]


def test_two_faces_keep_their_numbers_and_boxes() -> None:
    follow, whole = tracker()
    for frame in frames():
        tracks = sorted(follow(frame), key=lambda track: track.detection.box[0])
        assert len(tracks) == 2
        assert [track.number for track in tracks] == sorted(track.number for track in tracks)
        assert {track.number for track in tracks} == {1, 2}
        assert all(track.seen == frame.at for track in tracks)
        for track, placed in zip(tracks, placements(frame.index), strict=True):
            assert overlap(track.detection.box, placed.face) > 0.6
    assert whole.calls <= 1 + FRAMES / FPS / DEFAULT_INTERVAL_S + 2


def test_where_faces_are_known_a_live_frame_is_searched_when_its_result_is_out() -> None:
    whole = Counted(RetinaFace())
    follow = Tracker(whole, RetinaFace.nearby(), Profile(), live=True)
    searched_before, searched_after = [], []
    for frame in frames():
        calls = whole.calls
        assert len(follow(frame)) == 2
        searched_before += [frame.index] if whole.calls > calls else []
        calls = whole.calls
        follow.look_around(frame)
        searched_after += [frame.index] if whole.calls > calls else []
    assert searched_before == [0]
    assert len(searched_after) >= int((FRAMES - 1) / FPS / DEFAULT_INTERVAL_S)


def test_a_face_that_comes_to_a_live_source_is_found_within_half_a_second() -> None:
    """One face is known; where the clip shows it alone, the other's half is grey. It comes right after a search."""
    follow = Tracker(RetinaFace(), RetinaFace.nearby(), Profile(), locator=Locator(), live=True)
    both, comes, found = render(0), round(DEFAULT_INTERVAL_S * FPS) + 1, []
    one = both.copy()
    x, _, width, _ = placements(0)[1].face
    one[:, max(0, round(x - width / 2)) : round(x + 1.5 * width)] = 130
    for index in range(comes + FPS // 2):
        frame = Frame(one if index < comes else both, index, index / FPS)
        found.append(len(follow(frame)))
        follow.look_around(frame)
    assert found[:comes] == [1] * comes
    assert found[-1] == 2


def looks_and_faces(fps: float, times: int) -> tuple[list[int], list[int]]:
    """Looks at what a search proposes, and faces, in each frame; the first shows nobody, four proposals are nothing."""
    nearby = Counted(RetinaFace.nearby())
    follow = Tracker(RetinaFace(), nearby, Profile(), locator=Locator(), proposer=Doubtful(others=4))
    looks, found = [], []
    for index in range(times):
        before = nearby.calls
        found.append(len(follow(Frame(render(0) if index else np.full_like(render(0), 130), index, index / fps))))
        looks.append(nearby.calls - before)
    return looks, found


def test_what_a_search_proposes_is_looked_at_closely_a_little_in_each_of_the_next_frames() -> None:
    search = round(DEFAULT_INTERVAL_S * FPS)
    looks, found = looks_and_faces(FPS, search + 4)
    assert looks == [0] * (search + 1) + [LOOKS] * 3
    assert found == [0] * (search + 3) + [2]


def test_of_a_camera_of_few_frames_all_proposals_are_looked_at_at_once() -> None:
    looks, found = looks_and_faces(10.0, 5)
    assert found == [0, 0, 0, 0, 2]
    assert looks == [0, 0, 0, 0, 4 + 2]


def test_a_proposal_that_the_detector_is_not_sure_of_from_close_by_is_no_face() -> None:
    nearby = RetinaFace.nearby()
    follow = Tracker(
        RetinaFace(),
        lambda image: [replace(face, score=0.79) for face in nearby(image)],
        Profile(),
        proposer=Doubtful(0),
    )
    shown = frames(
        round(DEFAULT_INTERVAL_S * FPS) + 5, lambda index: render(0) if index else np.full_like(render(0), 130)
    )
    assert all(follow(frame) == [] for frame in shown)  # the first is searched finely, and shows nobody


def test_a_proposal_where_a_known_face_was_finds_it_again_and_is_no_sight_of_it() -> None:
    """Where nothing nearby confirms them, proposals do not keep a face alive."""
    nearby = RetinaFace.nearby()
    blind = False
    follow = Tracker(RetinaFace(), lambda image: [] if blind else nearby(image), Profile(), proposer=Doubtful(0))
    for frame in frames(5, lambda _: render(0)):
        known = follow(frame)
    assert len(known) == 2
    blind = True
    later = [
        follow(Frame(noisy(render(0), index), index, index / FPS))
        for index in range(5, 5 + round(MAX_UNSEEN_S * FPS) + 2)
    ]
    assert all(face.seen < 5 / FPS for each in later for face in each)
    assert later[-1] == []


def noisy(image: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    noise = np.random.RandomState(seed).normal(0, 20, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def test_landmarks_lie_in_the_frame_and_not_in_the_region() -> None:
    follow, whole = tracker()
    first, second = frames(2)
    follow(first)
    found = follow(second)
    assert whole.calls == 1
    for track, direct in zip(found, RetinaFace()(second.image), strict=True):
        assert np.abs(track.detection.landmarks - direct.landmarks).max() < 6


def test_a_face_that_goes_is_forgotten_and_gets_a_new_number() -> None:
    empty = np.full_like(render(0), 255)

    def image(index: int) -> NDArray[np.uint8]:
        hidden = render(0).copy()
        hidden[:] = np.where(np.arange(hidden.shape[1])[None, :, None] < 320, 110, hidden) if index >= 5 else hidden
        return hidden

    follow, _ = tracker()
    counts = []
    for frame in frames(40, image):
        tracks = follow(frame)
        counts.append((len(tracks), sum(track.seen == frame.at for track in tracks)))
    assert counts[4] == (2, 2)
    assert counts[6] == (2, 1)  # kept for a while, and known not to be seen
    assert counts[5 + round(MAX_UNSEEN_S * FPS) + 1] == (1, 1)
    assert follow(Frame(empty, 40, 40 / FPS)) == []  # another scene
    again = follow(Frame(render(0), 41, 41 / FPS))
    assert again == []  # with no face in sight the whole frame is looked at twice a second
    again = follow(Frame(render(0), 42, 40 / FPS + DEFAULT_INTERVAL_S))
    assert {track.number for track in again} == {3, 4}


@pytest.mark.parametrize("fps", [1.0, 2.0, 5.0])
def test_faces_keep_their_numbers_at_few_frames_per_second(fps: float) -> None:
    """A slow camera, or --max-fps 1: each frame would have new faces if they were forgotten in between."""
    follow, _ = tracker()
    numbers = [{face.number for face in follow(Frame(render(0), index, index / fps))} for index in range(4)]
    assert numbers == [{1, 2}] * 4


def test_a_frame_without_a_time_stands_alone() -> None:
    follow, whole = tracker()
    numbers = [track.number for _ in range(2) for track in follow(Frame(render(0), 0))]
    assert numbers == [1, 2, 3, 4]
    assert whole.calls == 2


def test_a_clock_that_goes_back_begins_anew() -> None:
    follow, whole = tracker()
    first = frames(1)[0]
    follow(replace(first, at=100.0))
    assert {track.number for track in follow(replace(first, at=0.0))} == {3, 4}
    assert whole.calls == 2


@pytest.mark.parametrize("fps", [5, 10, 30])
def test_a_clear_change_is_answered_within_a_quarter_second(fps: int) -> None:
    smooth = Smoother()
    before, after = np.array([0.8, 0.1, 0.1], np.float32), np.array([0.1, 0.8, 0.1], np.float32)
    for index in range(2 * fps):
        assert smooth(before, index / fps)[1] == 0
    lag = next(index for index in range(fps) if smooth(after, 2 + index / fps)[1] == 1) / fps
    assert lag <= max(0.25, 1 / fps)


@pytest.mark.parametrize("fps", [5, 10, 30])
def test_flicker_is_smoothed_away(fps: int) -> None:
    """A face between two expressions, with noise: the raw answers flip, the shown label hardly does."""
    rng = np.random.RandomState(0)
    smooth = Smoother()
    raw, shown = [], []
    for index in range(20 * fps):
        logits = np.array([1.0, 0.9, 0.0]) + rng.normal(0, 0.4, 3)
        probabilities = (np.exp(logits) / np.exp(logits).sum()).astype(np.float32)
        average, label = smooth(probabilities, index / fps)
        assert float(average.sum()) == pytest.approx(1, abs=1e-5)
        raw.append(int(probabilities.argmax()))
        shown.append(label)
    flips, raw_flips = (sum(a != b for a, b in pairwise(each)) for each in (shown, raw))
    assert raw_flips > fps * 4
    assert flips <= 0.2 * raw_flips


def test_no_label_while_none_is_likely_enough() -> None:
    smooth = Smoother()
    even = np.full(6, 1 / 6, np.float32)
    fresh = np.array([0.7, 0.2, 0.04, 0.03, 0.02, 0.01], np.float32)
    assert smooth(even, 0.0)[1] is None
    assert smooth(fresh, 0.1)[1] is None  # not at once: 0.1 s of it is not evidence enough
    assert smooth(fresh, 0.5)[1] == 0
    assert smooth(even, 0.6)[1] == 0  # shown, it stays for a while
    assert [smooth(even, 1 + second)[1] for second in range(4)][-1] is None


def test_a_single_odd_answer_changes_nothing() -> None:
    smooth = Smoother()
    usual, odd = np.array([0.6, 0.3, 0.1], np.float32), np.array([0.0, 0.0, 1.0], np.float32)
    shown = [smooth(odd if index == 15 else usual, index / 30)[1] for index in range(30)]
    assert set(shown) == {0}
