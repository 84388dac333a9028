"""Faces as a camera has them, with the place that the detector names: what the locator learns from.

Photos of faces from the web and FER2013's are framed tightly: the face fills them. So each is set into a scene, which
continues it by its mirror image or hides its edge under an oval, and the detector says where the face is in that.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_runtime.data import index
from fer_runtime.data.decode import decode_bgr, read_picture
from fer_runtime.faces.detection import Detection, RetinaFace
from fer_runtime.faces.following import REGION
from fer_runtime.faces.similarity import overlap
from fer_runtime.files import written_whole

CANVAS = 96  # pixels of a side; the detector's nearby search shrinks a region to as many
FACE = CANVAS / REGION  # the longer side of a face in it, pixels: as the nearby search sees it
VIEWS = 4  # of each photo
JITTERS = ((1.0, 0.0, 0.0), (0.94, 1.5, -1.0), (1.06, -1.0, 1.5))  # scale and shift of the detector's views of one face
MAX_JITTER = 0.04  # of the face's size, between the boxes of those: beyond, the detector does not know itself
MIN_SIDE, MAX_SIDE = 32, 72  # pixels of a photo: smaller ones are left out, larger ones shrunk, as scenes are small
LEAST_SCORE = 0.3  # of the detector: without hair, ears and a neck it is less sure of these faces
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Samples:
    """Scenes of one face each, or of none."""

    scenes: NDArray[np.uint8]
    """Grey [n, CANVAS, CANVAS]."""
    places: NDArray[np.float32]
    """[n, 14]: box as x, y, width, height, then five landmarks x, y; pixels of the scene. Zeros without a face."""
    faces: NDArray[np.bool_]
    """[n], whether the detector finds a face in the middle."""


def photos(path: Path, limit: int | None, rng: np.random.RandomState) -> Iterator[Image]:
    """Pictures of a folder or zip, uint8 BGR [h, w, 3], all or `limit` drawn at random; broken ones are left out."""
    with index.images(path) as listing:
        chosen = rng.permutation(len(listing.images))[:limit]
        for i in chosen:
            image = read_picture(listing.images[i][1], decode_bgr)
            if image is not None and min(image.shape[:2]) >= MIN_SIDE:
                yield _within(image, MAX_SIDE)


class Scenes:
    """Sets faces into scenes and asks the detector where they are."""

    def __init__(self, seed: int) -> None:
        """seed: of everything that is drawn."""
        self._rng = np.random.RandomState(seed)
        self._detector = RetinaFace(side=CANVAS, threshold=LEAST_SCORE)
        self._others = [np.zeros((64, 64, 3), np.uint8)]  # the latest photos, for the scenes of the next ones

    def of(self, pictures: Iterable[Image], views: int = VIEWS) -> Iterator[tuple[Image, NDArray[np.float32], bool]]:
        """For each picture `views` scenes with its face, and one of something else."""
        for picture in pictures:
            for _ in range(views):
                if (sample := self._view(picture)) is not None:
                    yield sample
            yield self._faceless(picture)
            self._others = [*self._others[-63:], picture]

    def _view(self, picture: Image) -> tuple[Image, NDArray[np.float32], bool] | None:
        """One scene; None where the detector finds no face in it, or not twice at the same place."""
        rng = self._rng
        wide, (left, top) = self._continued(picture)
        height, width = picture.shape[:2]
        # About the face, which fills the photo: it is brought to the size that the detector's region would have.
        middle = (left + width / 2, top + height / 2)
        angle = rng.normal(0, 10) if rng.rand() < 0.7 else rng.uniform(-45, 45)
        turn = _rotation(middle, angle, FACE / max(height, width))
        turn[:, 2] += CANVAS / 2 - np.array(middle)
        first = self._nearest(_warp(wide, turn), (CANVAS / 4, CANVAS / 4, CANVAS / 2, CANVAS / 2), 0.2)
        if first is None:
            return None
        x, y, w, h = first.box
        again = _scaled(FACE / max(w, h), x + w / 2, y + h / 2) @ np.vstack([turn, [0, 0, 1]])
        again[:, 2] += rng.uniform(-3, 3, 2)
        return self._labelled(wide, again)

    def _labelled(self, wide: Image, turn: NDArray[np.float64]) -> tuple[Image, NDArray[np.float32], bool] | None:
        """The scene under this transformation, with the median of what the detector says of it shifted and scaled."""
        scene = _warp(wide, turn)
        seen = []
        for scale, right, down in JITTERS:
            jitter = _scaled(scale, CANVAS / 2 - right, CANVAS / 2 - down)
            view = scene if scale == 1 else _warp(wide, jitter @ np.vstack([turn, [0, 0, 1]]))
            found = self._nearest(view, (CANVAS / 2 - FACE / 2, CANVAS / 2 - FACE / 2, FACE, FACE), 0.3)
            if found is None:
                return None
            offset = np.tile(jitter[:, 2], 7)
            place = np.concatenate([found.box, found.landmarks.ravel()])
            offset[2:4] = 0
            seen.append((place - offset) / scale)
        if np.abs(np.ptp(seen, axis=0)[2:4]).max() > 2 * MAX_JITTER * FACE:
            return None
        return _grey(scene), np.median(seen, axis=0).astype(np.float32), True

    def _faceless(self, picture: Image) -> tuple[Image, NDArray[np.float32], bool]:
        """A part of a photo, enlarged, or one beside the face, in which the detector finds no face in the middle."""
        rng = self._rng
        height, width = picture.shape[:2]
        for _ in range(4):
            scale = rng.uniform(1.5, 5) * CANVAS / max(height, width)
            turn = _rotation((rng.uniform(0, width), rng.uniform(0, height)), rng.uniform(0, 360), scale)
            turn[:, 2] += CANVAS / 2 - turn[:, :2] @ [rng.uniform(0, width), rng.uniform(0, height)] - turn[:, 2]
            scene = _warp(picture, turn)
            if self._nearest(scene, (CANVAS / 4, CANVAS / 4, CANVAS / 2, CANVAS / 2), 0.05) is None:
                break
        else:
            scene = rng.randint(0, 256, (CANVAS, CANVAS, 3)).astype(np.uint8)
        return _grey(scene), np.zeros(14, np.float32), False

    def _nearest(self, scene: Image, box: tuple[float, float, float, float], least: float) -> Detection | None:
        found = [each for each in self._detector(scene) if overlap(each.box, box) >= least]
        return max(found, key=lambda each: overlap(each.box, box), default=None)

    def _continued(self, picture: Image) -> tuple[Image, tuple[int, int]]:
        """The photo in a larger scene, and where it is in that (left, top)."""
        rng = self._rng
        height, width = picture.shape[:2]
        beyond = round(0.9 * max(height, width))
        mode = (cv2.BORDER_REFLECT_101, cv2.BORDER_REPLICATE)[int(rng.rand() < 0.2)]
        wide = np.asarray(cv2.copyMakeBorder(picture, beyond, beyond, beyond, beyond, mode), np.uint8)
        if rng.rand() < 0.75:
            other = self._backdrop(wide.shape[1], wide.shape[0])
            rows, columns = np.mgrid[: wide.shape[0], : wide.shape[1]]
            across, down = rng.uniform(0.55, 0.9) * width, rng.uniform(0.6, 1.0) * height
            away = np.hypot((columns - beyond - width / 2) / across, (rows - beyond - height / 2) / down)
            # The body goes on below some faces.
            away = np.where((rows > beyond + height / 2) & (rng.rand() < 0.5), np.abs(away) * 0.8, away)
            alpha = np.clip((1 - away) / rng.uniform(0.03, 0.3), 0, 1)[:, :, None]
            wide = (wide * alpha + other * (1 - alpha)).astype(np.uint8)
        return wide, (beyond, beyond)

    def _backdrop(self, width: int, height: int) -> Image:
        """A part of one of the latest photos, enlarged so that no face shows in it; or one colour, or noise."""
        rng = self._rng
        if rng.rand() < 0.2:
            return np.full((height, width, 3), rng.randint(0, 256, 3), np.uint8)
        other = self._others[rng.randint(len(self._others))]
        side = max(8, round(min(other.shape[:2]) * rng.uniform(0.2, 1.0)))
        top, left = (rng.randint(0, length - side + 1) for length in other.shape[:2])
        part = np.rot90(other[top : top + side, left : left + side], rng.randint(4))
        return cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)


def _within(image: Image, side: int) -> Image:
    """The picture with its longer side shrunk to `side`."""
    scale = side / max(image.shape[:2])
    if scale >= 1:
        return image
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _scaled(scale: float, x: float, y: float) -> NDArray[np.float64]:
    """The transformation that brings (x, y) to the scene's middle, enlarged by `scale`."""
    return np.array([[scale, 0, CANVAS / 2 - scale * x], [0, scale, CANVAS / 2 - scale * y]])


def _rotation(middle: tuple[float, float], degrees: float, scale: float) -> NDArray[np.float64]:
    return np.asarray(cv2.getRotationMatrix2D(middle, degrees, scale), np.float64)


def _warp(image: Image, turn: NDArray[np.float64]) -> Image:
    return np.asarray(cv2.warpAffine(image, turn, (CANVAS, CANVAS), borderMode=cv2.BORDER_REFLECT_101), np.uint8)


def _grey(scene: Image) -> Image:
    return np.asarray(cv2.cvtColor(scene, cv2.COLOR_BGR2GRAY), np.uint8)


def prepared(photos_at: Path, kept: Path, limit: int | None, seed: int) -> Samples:
    """Samples of a folder or zip of photos; from the file `kept`, if they were made before."""
    if not kept.exists():
        pictures = photos(photos_at, limit, np.random.RandomState(seed))
        made = _collected(Scenes(seed).of(pictures))
        with written_whole(kept) as beside, beside.open("wb") as file:
            np.savez(file, **{field.name: getattr(made, field.name) for field in fields(made)})
    return read(kept)


def read(kept: Path) -> Samples:
    """What `prepared` kept."""
    with np.load(kept) as arrays:
        return Samples(**{field.name: arrays[field.name] for field in fields(Samples)})


def joined(parts: Iterable[Samples]) -> Samples:
    """All of them as one."""
    parts = list(parts)
    return Samples(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Samples)))


def _collected(samples: Iterable[tuple[Image, NDArray[np.float32], bool]]) -> Samples:
    """All of them in arrays."""
    scenes, places, faces = zip(*samples, strict=True)
    return Samples(np.stack(scenes), np.stack(places), np.array(faces))
