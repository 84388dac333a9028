"""The network: plain 3x3 convolutions, the shape that int8 kernels run fastest, and one linear layer."""

from collections.abc import Iterator

from torch import Tensor, nn

from fer_runtime.faces.locating import SIZE
from fer_train.model import Add, Block, ConvNorm, fold

OUTPUTS = 15  # a face or not (logit); box: centre x, y, log width, log height; five landmarks x, y
WIDTHS = (16, 32, 64, 128)  # after each halving


class LocatorNet(nn.Module):
    """Normalized regions -> face or not, and where: places from the region's centre, in its sides."""

    def __init__(self) -> None:
        super().__init__()
        first, second, third, fourth = WIDTHS
        self.stem = nn.Sequential(ConvNorm(1, first, 3, 2), nn.ReLU())
        self.down = nn.Sequential(ConvNorm(first, second, 3, 2), nn.ReLU())
        self.blocks = nn.Sequential(Block(second, third, 2), Block(third, fourth, 2))
        self.head = nn.Linear(fourth * (SIZE // 16) ** 2, OUTPUTS)

    def forward(self, x: Tensor) -> Tensor:
        """float [n, 1, SIZE, SIZE] -> float [n, OUTPUTS]."""
        out: Tensor = self.head(self.blocks(self.down(self.stem(x))).flatten(1))
        return out


def folded(network: LocatorNet) -> LocatorNet:
    """A copy in eval mode with its batch norms folded; `network` is left as it was."""
    copy = LocatorNet()
    copy.load_state_dict(network.state_dict())
    fold(copy.eval())  # type: ignore[arg-type]
    return copy


def sites(network: LocatorNet) -> Iterator[tuple[str, nn.Module]]:
    """The named modules whose outputs int8 inference stores."""
    return ((name, module) for name, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.ReLU | Add))
