"""Augmentation, batched on the device: a face and a few random numbers make a view of it."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from fer_train.data import degrade
from fer_train.recipe import Augmentation

NUMBERS = (14, 5, 3)  # what a view is made of, in the order of `augment`; the last ones came later


def drawn(faces: int, seed: int) -> Tensor:
    """What makes one view of each of `faces`: float32 [faces, 22], uniform in 0..1, on the CPU.

    A view is these numbers, so that a teacher and its student see the very same one, at any time and size.
    """
    generator = torch.Generator().manual_seed(seed)
    # One after the other, so that a run that was begun with the first ones alone goes on with the same views.
    return torch.cat([torch.rand(faces, count, generator=generator) for count in NUMBERS], 1)


def augment(pixels: Tensor, numbers: Tensor, how: Augmentation, side: int) -> Tensor:
    """uint8 [n, 1, h, w] and float [n, 22] -> float of 0..255, [n, 1, side, side], same device."""
    warp, exposure, erasing, blur, noise, jpeg = numbers.split([6, 3, 5, 3, 2, 3], 1)
    faces = _expose(degrade.blurred(_warp(pixels.float(), warp, how, side), blur, how), exposure, how)
    faces = degrade.compressed(degrade.noisy(faces, noise, how), jpeg, how)
    return torch.where(_erased(erasing, how, side), torch.full_like(faces, 128.0), faces)


def _signed(numbers: Tensor, bound: float) -> Tensor:
    """0..1 -> -bound..bound."""
    return (numbers * 2 - 1) * bound


def _warp(faces: Tensor, numbers: Tensor, how: Augmentation, side: int) -> Tensor:
    """Flip, rotation, zoom, shear, shift and size in one bilinear resampling; the outside mirrors the image."""
    turned, zoomed, flipped, sheared, right, down = numbers.unbind(1)
    angle, zoom = _signed(turned, math.radians(how.rotation)), _signed(zoomed, how.zoom).exp()
    flip, shear = (flipped - 0.5).sign(), _signed(sheared, how.shear)
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    # affine_grid's unit is half the image's side, hence the 2.
    x_row = torch.stack([flip * cos, flip * (shear * cos - sin), _signed(right, 2 * how.shift)], 1)
    y_row = torch.stack([sin, shear * sin + cos, _signed(down, 2 * how.shift)], 1)
    grid = F.affine_grid(torch.stack([x_row, y_row], 1), [len(faces), 1, side, side], align_corners=False)
    return F.grid_sample(faces, grid, padding_mode="reflection", align_corners=False)


def _expose(faces: Tensor, numbers: Tensor, how: Augmentation) -> Tensor:
    """Gamma, contrast about the face's own mean, and brightness; clamped to the pixel range."""
    gamma, gain, offset = numbers.T.reshape(3, -1, 1, 1, 1)
    faces = 255 * (faces / 255).clamp_(1e-4, 1).pow(_signed(gamma, how.gamma).exp())
    mean = faces.mean((1, 2, 3), keepdim=True)
    faces = (faces - mean) * _signed(gain, how.gain).exp() + mean + _signed(offset, 255 * how.offset)
    return faces.clamp_(0, 255)


def _erased(numbers: Tensor, how: Augmentation, side: int) -> Tensor:
    """bool [n, 1, side, side]: one rectangle in a share of the faces (Zhong et al. 2017, arXiv:1708.04896)."""
    low, high = how.erase_side
    size = low + (high - low) * numbers[:, :2]
    start = numbers[:, 2:4] * (1 - size)
    at = (torch.arange(side, device=numbers.device) + 0.5) / side
    inside = (at >= start[..., None]) & (at < (start + size)[..., None])  # [n, 2, side]
    chosen = numbers[:, 4, None, None] < how.erase
    return (inside[:, 0, :, None] & inside[:, 1, None, :] & chosen)[:, None]
