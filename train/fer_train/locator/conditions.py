"""The locator under conditions that its photos seldom show: dark, dim from one side, masked, in sunglasses, tilted."""

from collections.abc import Callable
from dataclasses import dataclass
from math import radians

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fer_runtime.faces.following import MIN_LOCATED
from fer_runtime.faces.locating import SIZE
from fer_train.locator.samples import Samples
from fer_train.locator.views import plain

Network = Callable[[Tensor], Tensor]  # pixels [n, 1, SIZE, SIZE], 0 to 255 -> outputs [n, 15]


@dataclass(frozen=True)
class ConditionScore:
    """Faces under one condition, against where the detector sees them without it."""

    faces: int
    recall: float
    """Called faces, as surely as the runtime wants it."""
    landmark_error: float
    """95th percentile over the faces of the landmarks' mean distance, in the face's longer sides."""


def by_condition(network: Network, samples: Samples) -> dict[str, ConditionScore]:
    """The score of each condition, by its name."""
    chosen = samples.faces
    arrays = (torch.from_numpy(each[chosen]) for each in (samples.scenes, samples.places, samples.faces))
    views = plain(*arrays)
    pixels, places = views.pixels, views.places
    dark = pixels.mean((1, 2, 3)).argsort() < len(pixels) // 4
    lit = torch.linspace(0.1, 1.0, SIZE)[None, None, None, :]
    shown = {
        "as they are": (pixels, places),
        "the darkest quarter of the faces": (pixels[dark], places[dark]),
        "a fifth of the light": (pixels * 0.2, places),
        "a tenth of the light, noise": (pixels * 0.1 + _noise(pixels) * 2, places),
        "light from one side": (pixels * lit, places),
        "mouth and chin covered": (_covered(pixels, places, 0.55, 1.1, 200.0), places),
        "eyes covered": (_covered(pixels, places, 0.2, 0.45, 20.0), places),
        "left half covered": (_covered(pixels, places, -0.2, 1.2, 120.0, right=0.5), places),
    }
    for degrees in (-45, -30, 30, 45):
        shown[f"tilted by {degrees} degrees"] = _turned(pixels, places, radians(degrees))
    return {name: _score(network, *each) for name, each in shown.items()}


def _score(network: Network, pixels: Tensor, places: Tensor) -> ConditionScore:
    with torch.inference_mode():
        outputs = network(pixels.round().clamp(0, 255))
    longer = torch.exp(places[:, 2:4]).amax(1)
    off = (outputs[:, 5:] - places[:, 4:]).reshape(-1, 5, 2).norm(dim=2).mean(1) / longer
    recall = float((outputs[:, 0].sigmoid() >= MIN_LOCATED).float().mean())
    return ConditionScore(len(places), recall, float(np.percentile(off.numpy(), 95)))


def _noise(pixels: Tensor) -> Tensor:
    torch.manual_seed(0)
    return torch.randn_like(pixels)


def _covered(pixels: Tensor, places: Tensor, low: float, high: float, shade: float, right: float = 1.2) -> Tensor:
    """One shade over the face's box from `low` to `high` of its height, and from its left side to `right`."""
    centres, sizes = places[:, :2], torch.exp(places[:, 2:4])
    left, top = ((centres - sizes / 2)[:, i, None, None, None] for i in (0, 1))
    width, height = (sizes[:, i, None, None, None] for i in (0, 1))
    line = (torch.arange(SIZE) + 0.5) / SIZE - 0.5
    across, down = (line[None, None, None, :] - left) / width, (line[None, None, :, None] - top) / height
    inside = (across > -0.2) & (across < right) & (down > low) & (down < high)
    return torch.where(inside, torch.full_like(pixels, shade), pixels)


def _turned(pixels: Tensor, places: Tensor, angle: float) -> tuple[Tensor, Tensor]:
    """Clockwise by this angle about the region's middle; the box's size stays that of the upright face."""
    turn = torch.tensor([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], dtype=torch.float32)
    theta = torch.cat([turn.T, torch.zeros(2, 1)], 1).expand(len(pixels), 2, 3)
    grid = F.affine_grid(theta, list(pixels.shape), align_corners=False)
    turned = F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    marks = places[:, 4:].reshape(-1, 5, 2) @ turn.T
    return turned, torch.cat([places[:, :2] @ turn.T, places[:, 2:4], marks.flatten(1)], 1)
