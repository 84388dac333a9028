"""Batched augmentation on the device: every face of a batch is varied differently, in a handful of kernels."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from fer_train.recipe import Augmentation


def augment(pixels: Tensor, how: Augmentation, side: int) -> Tensor:
    """uint8 [n, 1, h, w] -> float of 0..255, [n, 1, side, side], same device; draws from torch's global generator."""
    n, device = len(pixels), pixels.device
    faces = _warp(pixels.float(), how, side)
    faces = _expose(faces, how)
    mask = _erased(n, side, how, device)
    return torch.where(mask, torch.full_like(faces, 128.0), faces)


def _signed(n: int, bound: float, device: torch.device) -> Tensor:
    """n values, uniform in [-bound, bound]."""
    return (torch.rand(n, device=device) * 2 - 1) * bound


def _warp(faces: Tensor, how: Augmentation, side: int) -> Tensor:
    """Flip, rotation, zoom, shear, shift and size in one bilinear resampling; the outside mirrors the image."""
    n, device = len(faces), faces.device
    angle = _signed(n, math.radians(how.rotation), device)
    zoom = _signed(n, how.zoom, device).exp()
    flip = torch.where(torch.rand(n, device=device) < 0.5, -1.0, 1.0)
    shear = _signed(n, how.shear, device)
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    # affine_grid's unit is half the image's side, hence the 2.
    x_row = torch.stack([flip * cos, flip * (shear * cos - sin), _signed(n, 2 * how.shift, device)], 1)
    y_row = torch.stack([sin, shear * sin + cos, _signed(n, 2 * how.shift, device)], 1)
    grid = F.affine_grid(torch.stack([x_row, y_row], 1), [n, 1, side, side], align_corners=False)
    return F.grid_sample(faces, grid, padding_mode="reflection", align_corners=False)


def _expose(faces: Tensor, how: Augmentation) -> Tensor:
    """Gamma, contrast about the face's own mean, and brightness; clamped to the pixel range."""
    n, device = len(faces), faces.device
    shape = (n, 1, 1, 1)
    gamma = _signed(n, how.gamma, device).exp().view(shape)
    gain = _signed(n, how.gain, device).exp().view(shape)
    offset = _signed(n, 255 * how.offset, device).view(shape)
    faces = 255 * (faces / 255).clamp_(1e-4, 1).pow(gamma)
    mean = faces.mean((1, 2, 3), keepdim=True)
    return ((faces - mean) * gain + mean + offset).clamp_(0, 255)


def _erased(n: int, side: int, how: Augmentation, device: torch.device) -> Tensor:
    """bool [n, 1, side, side]: one rectangle in a share of the faces (Zhong et al. 2017, arXiv:1708.04896)."""
    low, high = how.erase_side
    size = low + (high - low) * torch.rand(n, 2, device=device)
    start = torch.rand(n, 2, device=device) * (1 - size)
    at = (torch.arange(side, device=device) + 0.5) / side
    inside = (at >= start[..., None]) & (at < (start + size)[..., None])  # [n, 2, side]
    chosen = torch.rand(n, 1, 1, device=device) < how.erase
    return (inside[:, 0, :, None] & inside[:, 1, None, :] & chosen)[:, None]
