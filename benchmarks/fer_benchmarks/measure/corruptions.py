"""What a cheap camera does to a face, in five severities, as in Hendrycks & Dietterich 2019 (arXiv:1903.12261).

Each takes and gives uint8 [h, w] or [h, w, 3]; lengths are shares of the side, so that all sizes suffer alike. The
strengths are ours, chosen by eye for 48-pixel faces: at 1 hardly seen, at 5 a person still makes a good guess.
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
SEVERITIES = (1, 2, 3, 4, 5)


def corrupt(images: NDArray[np.uint8], name: str, severity: int) -> NDArray[np.uint8]:
    """Every image with one corruption; its chance is seeded by its place, so that all classifiers see the same."""
    strength = STRENGTHS[name][severity - 1]
    apply = CORRUPTIONS[name]
    return np.stack([apply(image, strength, np.random.RandomState(1000 + at)) for at, image in enumerate(images)])


def defocus(image: Image, radius: float, _: np.random.RandomState) -> Image:
    """A disk of this radius instead of a point."""
    pixels = radius * len(image)
    reach = int(np.ceil(pixels))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disk = np.clip(pixels + 0.5 - np.hypot(x, y), 0, 1)
    return _filtered(image, disk)


def motion_blur(image: Image, length: float, rng: np.random.RandomState) -> Image:
    """A line of this length in any direction instead of a point."""
    pixels, angle = length * len(image), rng.uniform(0, np.pi)
    reach = int(np.ceil(pixels / 2))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    along = np.abs(x * np.cos(angle) + y * np.sin(angle))
    across = np.abs(y * np.cos(angle) - x * np.sin(angle))
    return _filtered(image, np.clip(pixels / 2 + 0.5 - along, 0, 1) * np.clip(1 - across, 0, 1))


def low_light(image: Image, light: float, rng: np.random.RandomState) -> Image:
    """A share of the light, with the noise of photons (240 per pixel in full light) and of reading them out."""
    photons = rng.poisson(image * (light * 240 / 255)).astype(np.float64) + rng.normal(0, 2, image.shape)
    return _clipped(photons * (255 / 240) * light**-0.5)  # the camera's gain brings half of the darkness back


def over_exposure(image: Image, light: float, _: np.random.RandomState) -> Image:
    """So many times the light: the bright parts are lost."""
    return _clipped(image * light)


def jpeg(image: Image, quality: float, _: np.random.RandomState) -> Image:
    """Compressed with this quality of 1 to 100."""
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), np.uint8).reshape(image.shape)


def occlusion(image: Image, side: float, rng: np.random.RandomState) -> Image:
    """A square of this side, of one shade, anywhere on the face."""
    pixels = round(side * len(image))
    top, left = rng.randint(0, len(image) - pixels + 1, 2)
    covered = image.copy()
    covered[top : top + pixels, left : left + pixels] = rng.randint(0, 256)
    return covered


def misplaced_crop(image: Image, share: float, rng: np.random.RandomState) -> Image:
    """Shifted by this share of the side in any direction, and larger or smaller by it."""
    side, angle, zoom = len(image), rng.uniform(0, 2 * np.pi), 1 + share * rng.choice([-1, 1])
    middle = (side - 1) / 2
    shift_x, shift_y = share * side * np.cos(angle), share * side * np.sin(angle)
    matrix = np.array([[zoom, 0, middle * (1 - zoom) + shift_x], [0, zoom, middle * (1 - zoom) + shift_y]])
    return np.asarray(cv2.warpAffine(image, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def small_face(image: Image, share: float, _: np.random.RandomState) -> Image:
    """So far away that the face has this share of the pixels along a side."""
    side = len(image)
    pixels = max(4, round(share * side))
    small = cv2.resize(image, (pixels, pixels), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)


CORRUPTIONS: dict[str, Callable[[Image, float, np.random.RandomState], Image]] = {
    "defocus": defocus,
    "motion": motion_blur,
    "dark": low_light,
    "bright": over_exposure,
    "JPEG": jpeg,
    "occluded": occlusion,
    "crop": misplaced_crop,
    "small": small_face,
}
STRENGTHS = {
    "defocus": (0.012, 0.02, 0.03, 0.045, 0.06),
    "motion": (0.05, 0.08, 0.12, 0.17, 0.23),
    "dark": (0.5, 0.25, 0.12, 0.06, 0.03),
    "bright": (1.3, 1.7, 2.2, 2.8, 3.5),
    "JPEG": (50, 25, 15, 9, 5),
    "occluded": (0.15, 0.25, 0.33, 0.42, 0.5),
    "crop": (0.03, 0.06, 0.1, 0.14, 0.18),
    "small": (0.7, 0.5, 0.4, 0.3, 0.22),
}


def _filtered(image: Image, kernel: NDArray[np.float64]) -> Image:
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE), np.uint8)


def _clipped(values: NDArray[np.floating[Any]]) -> Image:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)
