"""What the tracker shows to the locator: the region around a face's last place, in batches, varied anew each epoch."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from fer_runtime.faces.locating import REGION, SIZE
from fer_train.locator.samples import CANVAS, FACE

SWAPPED = [1, 0, 2, 4, 3]  # landmarks of a mirrored face
FAR_SHARE = 0.06  # of the faces: so far from the region's middle that they count as lost
COVERED_SHARE = 0.06  # of the faces: hidden by something else, so that they count as lost
PATCHED_SHARE = 0.25  # of the faces: something before a part of them


@dataclass(frozen=True)
class Views:
    """A batch as the network takes it, and what it should say."""

    pixels: Tensor
    """Float [n, 1, SIZE, SIZE], 0 to 255."""
    faces: Tensor
    """Float [n], 1 for a face, 0 for none."""
    places: Tensor
    """Float [n, 14]: box and landmarks as the network gives them, without meaning where there is no face."""


def plain(scenes: Tensor, places: Tensor, faces: Tensor) -> Views:
    """Each face where it was in the last frame, or the scene's middle: for scores and ranges."""
    boxes = places[:, :4]
    centres = torch.where(faces[:, None], boxes[:, :2] + boxes[:, 2:] / 2, torch.full_like(boxes[:, :2], CANVAS / 2))
    sides = torch.where(faces, boxes[:, 2:].amax(1), torch.full_like(boxes[:, 2], FACE)) * REGION
    return Views(_cut(scenes.float()[:, None], centres, sides), faces.float(), _relative(places, centres, sides))


def varied(scenes: Tensor, places: Tensor, faces: Tensor) -> Views:
    """Faces that moved, grew, are lit, blurred and covered by chance (torch's generator)."""
    n = len(scenes)
    boxes = places[:, :4]
    longer = torch.where(faces, boxes[:, 2:].amax(1), torch.full_like(boxes[:, 2], FACE))
    middle = torch.where(faces[:, None], boxes[:, :2] + boxes[:, 2:] / 2, torch.full_like(boxes[:, :2], CANVAS / 2))
    large = torch.rand(n, 1) < 0.4
    shift = torch.where(large, torch.empty(n, 2).uniform_(-0.3, 0.3), torch.randn(n, 2) * 0.06)
    scale = torch.exp(torch.where(large[:, 0], torch.empty(n).uniform_(-0.3, 0.3), torch.randn(n) * 0.06))
    far = torch.rand(n) < FAR_SHARE
    away = torch.nn.functional.normalize(torch.randn(n, 2), dim=1) * torch.empty(n, 1).uniform_(0.6, 1.0)
    shift = torch.where(far[:, None], away, shift)
    covered = torch.rand(n) < COVERED_SHARE
    centres, sides = middle + shift * longer[:, None], REGION * scale * longer
    pixels, out = _cut(scenes.float()[:, None], centres, sides), _relative(places, centres, sides)
    pixels = _patched(_neighboured(pixels, out, faces), out, faces, covered)
    known = faces & ~far & ~covered
    mirrored = torch.rand(n) < 0.5
    pixels = torch.where(mirrored[:, None, None, None], pixels.flip(3), pixels)
    return Views(_lit(pixels), known.float(), torch.where(mirrored[:, None], _mirror(out), out))


def _relative(places: Tensor, centres: Tensor, sides: Tensor) -> Tensor:
    """Places in pixels of the scene -> as the network gives them."""
    boxes, marks = places[:, :4], places[:, 4:].reshape(-1, 5, 2)
    box = (boxes[:, :2] + boxes[:, 2:] / 2 - centres) / sides[:, None]
    size = torch.log(boxes[:, 2:].clamp(min=1) / sides[:, None])
    return torch.cat([box, size, ((marks - centres[:, None]) / sides[:, None, None]).flatten(1)], 1)


def _mirror(places: Tensor) -> Tensor:
    marks = places[:, 4:].reshape(-1, 5, 2)[:, SWAPPED] * torch.tensor([-1.0, 1.0])
    return torch.cat([-places[:, :1], places[:, 1:4], marks.flatten(1)], 1)


def _cut(scenes: Tensor, centres: Tensor, sides: Tensor) -> Tensor:
    """The squares of these centres and sides, in pixels of the scenes, as [n, 1, SIZE, SIZE]."""
    theta = torch.zeros(len(scenes), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = sides / CANVAS
    theta[:, :, 2] = 2 * centres / CANVAS - 1
    grid = F.affine_grid(theta, [len(scenes), 1, SIZE, SIZE], align_corners=False)
    return F.grid_sample(scenes, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _lines() -> tuple[Tensor, Tensor]:
    """Across and down, the places of the pixels' middles from the region's, in its sides."""
    line = (torch.arange(SIZE) + 0.5) / SIZE - 0.5
    return line[None, None, None, :], line[None, None, :, None]


def _neighboured(pixels: Tensor, places: Tensor, faces: Tensor) -> Tensor:
    """Some regions with another one's picture beyond one side of the face: a neighbour, or a wall."""
    other = torch.roll(pixels.roll(1, 0), int(torch.randint(SIZE // 4, 3 * SIZE // 4, ())), 3)
    width, height = torch.exp(places[:, 2:4]).T
    margin = torch.empty(len(pixels)).uniform_(0.02, 0.3) * width
    across, down = _lines()
    left, right, top, pick = (
        each[:, None, None, None]
        for each in (
            places[:, 0] - width / 2 - margin,
            places[:, 0] + width / 2 + margin,
            places[:, 1] - height / 2 - margin,
            torch.randint(0, 6, (len(pixels),)),
        )
    )
    hidden = ((pick == 0) & (across < left)) | ((pick == 1) & (across > right)) | ((pick == 2) & (down < top))
    return torch.where(hidden & faces[:, None, None, None], other, pixels)


def _patched(pixels: Tensor, places: Tensor, faces: Tensor, covered: Tensor) -> Tensor:
    """Something before a part of some faces (a hand, a mask, hair), and before all of the covered ones."""
    n = len(pixels)

    def drawn(low: float, high: float) -> Tensor:
        return torch.empty(n).uniform_(low, high)

    other = torch.where(torch.rand(n, 1, 1, 1) < 0.4, drawn(0, 255)[:, None, None, None], pixels.flip(0).flip(2))
    width, height = torch.exp(places[:, 2:4]).T
    half = torch.where(covered, drawn(0.5, 0.8), drawn(0.08, 0.3)) * width
    tall = torch.where(covered, drawn(0.45, 0.75), drawn(0.05, 0.2)) * height
    x = places[:, 0] + torch.where(covered, torch.zeros(n), drawn(-0.5, 0.5)) * width
    y = places[:, 1] + torch.where(covered, torch.zeros(n), drawn(-0.5, 0.5)) * height
    across, down = _lines()
    x, y, half, tall = (each[:, None, None, None] for each in (x, y, half, tall))
    chosen = faces & (covered | (torch.rand(n) < PATCHED_SHARE))
    inside = ((across - x).abs() < half) & ((down - y).abs() < tall) & chosen[:, None, None, None]
    return torch.where(inside, other, pixels)


def _lit(pixels: Tensor) -> Tensor:
    """Other light: gain down to a tenth, offset, gamma, a slope from side to side; blur and noise."""
    n = len(pixels)

    def drawn(low: float, high: float) -> Tensor:
        return torch.empty(n, 1, 1, 1).uniform_(low, high)

    soft = F.avg_pool2d(F.pad(pixels, (1, 1, 1, 1), mode="replicate"), 3, 1)
    share = drawn(-0.6, 1.0) * (torch.rand(n, 1, 1, 1) < 0.6)
    pixels = (pixels + share * (soft - pixels)).clamp(0, 255)  # blurred, or sharpened where negative
    coarse = F.interpolate(F.avg_pool2d(pixels, 2), size=(SIZE, SIZE), mode="bilinear", align_corners=False)
    pixels = torch.where(torch.rand(n, 1, 1, 1) < 0.2, coarse, pixels)
    pixels = 255 * (pixels / 255).clamp(1e-4, 1) ** torch.exp(drawn(-0.7, 0.7))
    slope = torch.linspace(-1, 1, SIZE)[None, None, None, :] * drawn(-0.6, 0.6) * (torch.rand(n, 1, 1, 1) < 0.3)
    gain = torch.where(torch.rand(n, 1, 1, 1) < 0.2, drawn(0.1, 0.5), torch.exp(drawn(-0.5, 0.4)))
    pixels = pixels * (1 + slope) * gain + drawn(-30, 30)
    noise = torch.randn_like(pixels) * drawn(0, 6)
    return (pixels + noise).clamp(0, 255).round()
