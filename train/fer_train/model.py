"""The network: a small residual CNN of plain 3x3 convolutions, the shape that int8 kernels run fastest."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

# One integer mean, so that a uint8 image is a quantized tensor with this zero point and scale 1/STD.
MEAN = 129
STD = 65


@dataclass(frozen=True)
class Stage:
    """Residual blocks of one width."""

    width: int
    """Channels."""
    blocks: int
    """How many."""
    stride: int
    """Of the first one; the others have 1."""


@dataclass(frozen=True)
class Architecture:
    """What rebuilds a network."""

    stem: int
    """Width of the first convolution, of stride 2."""
    plain: int
    """How many further convolutions of that width follow."""
    stages: tuple[Stage, ...]
    """Of residual blocks."""
    classes: int
    """Number of outputs."""
    size: int = 48
    """Input side in pixels."""


# Widths are multiples of 32: the vector width that int8 kernels fill.
SIZES: dict[str, tuple[int, int, tuple[Stage, ...]]] = {
    "nano": (32, 0, (Stage(32, 1, 2), Stage(56, 1, 2))),
    "small": (32, 1, (Stage(64, 1, 2), Stage(128, 1, 2))),
    "base": (32, 0, (Stage(32, 1, 1), Stage(64, 1, 2), Stage(128, 2, 2))),
    # Too slow for a camera: these teach the others.
    "teacher": (32, 0, (Stage(64, 1, 1), Stage(128, 2, 2), Stage(256, 1, 2))),
    "large": (64, 0, (Stage(128, 2, 1), Stage(256, 2, 2), Stage(512, 1, 2))),
}


class Add(nn.Module):
    """A residual sum with a name, so that its range can be observed and mapped to an ONNX tensor."""

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """left + right, same shapes."""
        return left + right


class ConvNorm(nn.Sequential):
    """Convolution and batch norm; `fold` makes one convolution of the two."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False), nn.BatchNorm2d(outputs)
        )


class Block(nn.Module):
    """Residual block: relu(norm(conv(relu(norm(conv(x))))) + shortcut(x)). He et al. 2015, arXiv:1512.03385."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(inputs, outputs, 3, stride)
        self.relu1 = nn.ReLU()
        self.conv2 = ConvNorm(outputs, outputs, 3, 1)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else ConvNorm(inputs, outputs, 1, stride)
        self.add = Add()
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """[n, inputs, h, w] -> [n, outputs, h / stride, w / stride]."""
        inner = self.conv2(self.relu1(self.conv1(x)))
        out: Tensor = self.relu2(self.add(inner, self.shortcut(x)))
        return out


class FerNet(nn.Module):
    """Normalized faces [n, 1, size, size] -> logits [n, classes]."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.stem = ConvNorm(1, architecture.stem, 3, 2)
        self.relu = nn.ReLU()
        width = architecture.stem
        plain = [nn.Sequential(ConvNorm(width, width, 3, 1), nn.ReLU()) for _ in range(architecture.plain)]
        self.plain = nn.Sequential(*plain)
        blocks: list[Block] = []
        for stage in architecture.stages:
            for index in range(stage.blocks):
                blocks.append(Block(width, stage.width, stage.stride if index == 0 else 1))
                width = stage.width
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(width, architecture.classes)

    def forward(self, x: Tensor) -> Tensor:
        """float [n, 1, size, size] -> float [n, classes]."""
        x = self.pool(self.blocks(self.plain(self.relu(self.stem(x)))))
        logits: Tensor = self.head(x.flatten(1))
        return logits


def build(size: str, classes: int) -> FerNet:
    """A fresh network of SIZES with `classes` outputs."""
    return FerNet(Architecture(*SIZES[size], classes))


def normalize(pixels: Tensor) -> Tensor:
    """uint8 or float pixels of 0..255 -> what the network takes."""
    return (pixels.float() - MEAN) / STD


def fold(network: FerNet) -> FerNet:
    """Batch norms folded into their convolutions, in place; the network must be in eval mode. Same outputs."""
    assert not network.training
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, ConvNorm):
                conv, norm = child
                assert isinstance(conv, nn.Conv2d)
                assert isinstance(norm, nn.BatchNorm2d)
                setattr(module, name, fuse_conv_bn_eval(conv, norm))
    return network


def folded(network: FerNet) -> FerNet:
    """A copy of `network` in eval mode with its batch norms folded; `network` is left as it was."""
    copy = FerNet(network.architecture)
    copy.load_state_dict(network.state_dict())
    return fold(copy.eval())


def sites(network: FerNet) -> Iterator[tuple[str, nn.Module]]:
    """The named modules whose outputs int8 inference stores: folded convolutions, sums and ReLUs."""
    return ((name, module) for name, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.ReLU | Add))


def parameters(network: nn.Module) -> int:
    """Number of trained values."""
    return sum(p.numel() for p in network.parameters())


def macs(network: FerNet) -> int:
    """Multiply-adds of one face, counted by running one."""
    total = 0

    def count(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        weight = module.weight
        assert isinstance(weight, Tensor)
        total += output[0].numel() * weight[0].numel()

    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    handles = [layer.register_forward_hook(count) for layer in layers]
    training = network.training
    side = network.architecture.size
    with torch.no_grad():
        device = next(network.parameters()).device
        network.eval()(torch.zeros(1, 1, side, side, device=device))
    network.train(training)
    for handle in handles:
        handle.remove()
    return total
