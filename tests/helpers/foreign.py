"""Networks that are not ours, as users bring them to fer-export."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fer_export.cli import cli
from fer_runtime.errors import FerError

OLD = "what stood here"
CODE = """
import torch
from torch import nn

class Grey(nn.Module):  # a beginner's network
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(8)
        self.pool = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(8 * 12 * 12, 16)
        self.dropout = nn.Dropout(0.5)
        self.fc2 = nn.Linear(16, 3)
    def forward(self, x):
        x = self.pool(self.pool(torch.relu(self.bn1(self.conv1(x)))))
        return self.fc2(self.dropout(torch.relu(self.fc1(x.flatten(1)))))

class Colour(nn.Module):  # depthwise, other activations
    def __init__(self):
        super().__init__()
        layers = [nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6()]
        layers += [nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8), nn.Hardswish()]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(8, 3)
    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))

class Softmaxed(Grey):
    def forward(self, x):
        return super().forward(x).softmax(1)

class Squeezed(Grey):
    def forward(self, x):
        return super().forward(x).squeeze()

class Bare(Grey):
    def __init__(self, classes):
        super().__init__()

class Named(Grey):  # as the graph's own tensors
    def __init__(self):
        super().__init__()
        self.normalized, self.faces, self.logits = nn.BatchNorm2d(1), nn.Conv2d(1, 1, 1), nn.Linear(3, 3)
        self.temperature = nn.Parameter(torch.ones(3))
        self.faces_scale = nn.Parameter(torch.ones(3))
    def forward(self, x):
        x = self.logits(super().forward(self.faces(self.normalized(x))))
        return x * self.temperature * self.faces_scale

class Branching(Grey):
    def forward(self, x):
        return super().forward(x + 1 if x.sum() > 0 else x)

class Two(Grey):
    def forward(self, x):
        return super().forward(x), x

class LogSoftmaxed(Grey):
    def forward(self, x):
        return torch.nn.functional.log_softmax(super().forward(x), dim=1)

class ClippedSoftmax(Grey):
    def forward(self, x):
        return super().forward(x).softmax(-1).clamp(1e-7, 1)

class Averaged(Grey):  # of two views
    def forward(self, x):
        return (super().forward(x).softmax(1) + super().forward(x.flip(3)).softmax(1)) / 2

class Percent(Grey):
    def forward(self, x):
        return super().forward(x).softmax(1) * 100

class Named2(Grey):
    def forward(self, x):
        return {"features": x.flatten(1), "logits": super().forward(x)}

class WithProbabilities(Grey):
    def forward(self, x):
        logits = super().forward(x)
        return logits.softmax(1), logits

class Auxiliary(Grey):
    def forward(self, x):
        return super().forward(x), super().forward(x.flip(3))

class InDouble(Grey):
    def forward(self, x):
        return super().forward(x).double()

class InHalf(Grey):
    def forward(self, x):
        return super().forward(x).half()

class Argmax(Grey):
    def forward(self, x):
        return super().forward(x).argmax(1)

class Sigmoid(Grey):
    def forward(self, x):
        return super().forward(x).sigmoid()

class Tanh(Grey):
    def forward(self, x):
        return torch.tanh(super().forward(x))

class Clipped(Grey):
    def forward(self, x):
        return super().forward(x).clamp(0, 1)

class Rectified(Grey):
    def forward(self, x):
        return super().forward(x).relu()

class Headless(Grey):
    def __init__(self):
        super().__init__()
        self.fc2 = nn.Identity()

class Maps(Grey):
    def forward(self, x):
        return self.bn1(self.conv1(x))

class Dropping(Grey):
    def forward(self, x):
        return nn.functional.dropout(super().forward(x), 0.5)

class Noisy(Grey):
    def forward(self, x):
        return super().forward(x + 0.1 * torch.randn_like(x))

class BatchNormed(Grey):
    def __init__(self):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(8, track_running_stats=False)

class OverBatch(Grey):
    def forward(self, x):
        return super().forward(x).softmax(0)

class FixedView(Grey):
    def forward(self, x):
        return super().forward(x).view(1, -1)[:, :3] + self.fc1(self.pool(self.pool(self.conv1(x))).view(1, -1))[:, :3]

class FixedBatch(Grey):
    def forward(self, x):
        return super().forward(x.view(32, 1, 48, 48))

class Choosing(Grey):
    def forward(self, x):
        if x.abs().max() > 1000:
            x = x / 1000
        return super().forward(x)

class Looping(Grey):
    def forward(self, x):
        for _ in range(int(x.abs().mean().item() * 2)):
            x = x / 2
        return super().forward(x)

class Attention(Grey):  # spatial attention by a function called softmax
    def __init__(self):
        super().__init__()
        self.attention = nn.Conv2d(1, 1, 1)
    def forward(self, x):
        weights = torch.softmax(self.attention(x).flatten(2), -1).view_as(x)
        return super().forward(x * weights * 1000)

class OwnNames(Grey):
    def __init__(self):
        super().__init__()
        self.normalize, self.cast, self.centre = (nn.Conv2d(1, 1, 1) for _ in range(3))
        self.temper, self.softmax, self.probabilities = (nn.Linear(3, 3) for _ in range(3))
    def forward(self, x):
        x = super().forward(self.centre(self.cast(self.normalize(x))))
        return self.probabilities(self.softmax(self.temper(x)))

class Suffixed(Grey):  # as the quantizer calls what it adds
    def __init__(self):
        super().__init__()
        self.a, self.a_scale, self.a_zero_point = (nn.Conv2d(1, 1, 1) for _ in range(3))
        self.a_QuantizeLinear, self.a_DequantizeLinear_Output, self.a_quantized = (nn.Conv2d(1, 1, 1) for _ in range(3))
    def forward(self, x):
        x = self.a_zero_point(torch.relu(self.a_scale(torch.relu(self.a(x)))))
        return super().forward(self.a_quantized(self.a_DequantizeLinear_Output(self.a_QuantizeLinear(x))))

class Dotted(Grey):  # functions and layers of one name
    def __init__(self):
        super().__init__()
        self.relu, self.add, self.linear = nn.ReLU(), nn.Conv2d(1, 1, 1), nn.Linear(3, 3)
        self.network = nn.Sequential()
        self.network.add_module("softmax", nn.Conv2d(1, 1, 1))
    def forward(self, x):
        x = self.relu(torch.relu(self.add(x) + self.network.softmax(x)) + x)
        return self.linear(super().forward(x))

class Normalized(nn.Sequential):
    def __init__(self):
        layers = [nn.Conv2d(1, 8, 3), nn.InstanceNorm2d(8, affine=True), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
        super().__init__(*layers, nn.Linear(8 * 23 * 23, 16), nn.BatchNorm1d(16), nn.LayerNorm(16), nn.Linear(16, 3))

class NormalizedWide(nn.Sequential):
    def __init__(self):
        layers = [nn.Conv2d(1, 16, 5), nn.InstanceNorm2d(16), nn.ReLU(), nn.AvgPool2d(4), nn.Flatten()]
        super().__init__(*layers, nn.Linear(16 * 11 * 11, 3))
        self[-1].weight.data *= 20

class Lazy(nn.Sequential):
    def __init__(self):
        layers = [nn.LazyConv2d(4, 3, 2), nn.LazyBatchNorm2d(), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten()]
        super().__init__(*layers, nn.LazyLinear(3))

broken = 1 / 1
def fails():
    raise OSError("no such disk")
"""
LABELS = ["--labels", "happy,neutral,sad"]


def faces(channels: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    """Noise, uint8 [9, channels, 48, 48]."""
    return np.random.RandomState(0).randint(0, 256, (9, channels, 48, 48)).astype(np.uint8)


def saved_weights(name: str, channels: int = 1) -> nn.Module:
    """`made`, with its state_dict in weights.pt."""
    network = made(name, channels)
    torch.save(network.state_dict(), "weights.pt")
    return network


def made(name: str, channels: int = 1, batch: int = 16) -> nn.Module:
    """One of CODE's networks with batch norms that have seen something, in eval mode."""
    import nets  # type: ignore[import-not-found]  # written by the fixture

    torch.manual_seed(0)
    network: nn.Module = getattr(nets, name)()
    for _ in range(3):
        with contextlib.suppress(RuntimeError):  # those that fix their batch have nothing to see
            network(torch.randn(batch, channels, 48, 48) + 0.5)
    return network.eval()


def saved_program(network: nn.Module, path: Path, channels: int = 1, batch: bool = True) -> Path:
    shapes = ({0: torch.export.Dim("batch")},) if batch else None
    torch.export.save(torch.export.export(network, (torch.randn(2, channels, 48, 48),), dynamic_shapes=shapes), path)
    return path


def export(*arguments: object) -> None:
    cli.main([str(argument) for argument in arguments], standalone_mode=False)


def refused(*arguments: object) -> str:
    """The error's text; the output path stays as it was."""
    Path("out.onnx").write_text(OLD)
    with pytest.raises(FerError) as raised:
        export(*arguments, "--out", "out.onnx")
    assert Path("out.onnx").read_text() == OLD
    assert raised.value.exit_code == 1
    return str(raised.value)
