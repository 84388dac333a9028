"""What cheap cameras do to faces: blur, noise, few pixels and JPEG blocks, batched on the device."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from fer_train.recipe import Augmentation

KERNEL = 7  # pixels: side of the blurs' kernels
GRAIN = torch.randn(1 << 16, generator=torch.Generator().manual_seed(0))  # noise, of which each view takes a part
BLOCK = 8  # pixels: side of a JPEG block
# Luminance quantization at quality 50 (ITU-T T.81, table K.1), and the orthonormal DCT-II of a block's side.
TABLE = torch.tensor(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    dtype=torch.float32,
)
_AT = torch.arange(BLOCK, dtype=torch.float32)
DCT = (
    (math.pi / BLOCK * (_AT + 0.5) * _AT[:, None]).cos() * torch.where(_AT == 0, 1.0, 2.0).sqrt()[:, None] / BLOCK**0.5
)


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


def compressed(faces: Tensor, numbers: Tensor, how: Augmentation) -> Tensor:
    """A share of the faces with the pixels and JPEG blocks of a small face in a camera's picture, enlarged again.

    numbers: float [n, 3]: which faces, to how many blocks a side they shrink, and at which quality.
    """
    side = faces.shape[-1]
    blocks = (how.jpeg_blocks[0] + numbers[:, 1] * (how.jpeg_blocks[1] - how.jpeg_blocks[0] + 1)).long()
    blocks = blocks.clamp_max(how.jpeg_blocks[1])
    quality = how.jpeg_quality[0] + numbers[:, 2] * (how.jpeg_quality[1] - how.jpeg_quality[0])
    for count in range(how.jpeg_blocks[0], how.jpeg_blocks[1] + 1):
        chosen = torch.nonzero((numbers[:, 0] < how.jpeg) & (blocks == count))[:, 0]
        if len(chosen):
            small = F.interpolate(faces[chosen], [count * BLOCK] * 2, mode="bilinear", antialias=True)
            large = F.interpolate(jpeg(small, quality[chosen]), [side] * 2, mode="bilinear")
            faces = faces.index_copy(0, chosen, large)
    return faces


def jpeg(faces: Tensor, quality: Tensor) -> Tensor:
    """float [n, 1, h, w] of 0..255, sides whole blocks, and float [n] of 1..100 -> what a decoder makes of it."""
    count, _, height, width = faces.shape
    table, dct = TABLE.to(faces.device), DCT.to(faces.device)
    scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50)[:, None, None]  # as libjpeg's
    steps = (table * scale).round().clamp(1, 255)[:, None, None]
    blocks = (faces - 128).view(count, height // BLOCK, BLOCK, width // BLOCK, BLOCK).transpose(2, 3)
    kept = (dct @ blocks @ dct.T / steps).round() * steps
    decoded: Tensor = (dct.T @ kept @ dct).transpose(2, 3).reshape(faces.shape) + 128
    return decoded.clamp(0, 255)
