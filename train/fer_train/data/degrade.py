"""What cheap cameras do to faces: blur and noise, batched on the device."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from fer_train.recipe import Augmentation

KERNEL = 7  # pixels: side of the blurs' kernels
GRAIN = torch.randn(1 << 16, generator=torch.Generator().manual_seed(0))  # noise, of which each view takes a part


def blurred(faces: Tensor, numbers: Tensor, how: Augmentation) -> Tensor:
    """A share of the faces blurred: a Gaussian of random width in a random direction, a third to all as wide across."""
    chosen = torch.nonzero(numbers[:, 0] < how.blur)[:, 0]
    if not len(chosen):
        return faces
    share, angle = numbers[chosen, 0] / how.blur, numbers[chosen, 1] * math.pi
    along = (0.2 + 0.8 * share) * how.blur_sigma * faces.shape[-1]
    across = along * (1 + 2 * numbers[chosen, 2]) / 3
    at = torch.arange(KERNEL, device=faces.device) - KERNEL // 2
    down, right = at[None, :, None], at[None, None, :]
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    u, v = right * cos + down * sin, down * cos - right * sin
    kernels = (-((u / along[:, None, None]) ** 2 + (v / across[:, None, None]) ** 2) / 2).exp()
    kernels = kernels / kernels.sum((1, 2), keepdim=True)
    padded = F.pad(faces[chosen], [KERNEL // 2] * 4, mode="reflect").transpose(0, 1)
    return faces.index_copy(0, chosen, F.conv2d(padded, kernels[:, None], groups=len(chosen)).transpose(0, 1))


def noisy(faces: Tensor, numbers: Tensor, how: Augmentation) -> Tensor:
    """A share of the faces with white noise of random strength, as a sensor's in low light."""
    chosen, side = torch.nonzero(numbers[:, 0] < how.noise)[:, 0], faces.shape[-1]
    if not len(chosen):
        return faces
    deviation = 255 * how.noise_sigma * numbers[chosen, 0] / how.noise
    start = (numbers[chosen, 1] * (len(GRAIN) - side * side)).long()
    grain = GRAIN.to(faces.device).unfold(0, side * side, 1)[start].view(-1, 1, side, side)
    noisy = (faces[chosen] + deviation[:, None, None, None] * grain).clamp_(0, 255)
    return faces.index_copy(0, chosen, noisy)
