"""Networks that are not ours, as users bring them to fer-export."""

from pathlib import Path

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

broken = 1 / 1
def fails():
    raise OSError("no such disk")
"""
LABELS = ["--labels", "happy,neutral,sad"]


def made(name: str, channels: int = 1) -> nn.Module:
    """One of CODE's networks with batch norms that have seen something, in eval mode."""
    import nets  # type: ignore[import-not-found]  # written by the fixture

    torch.manual_seed(0)
    network: nn.Module = getattr(nets, name)()
    for _ in range(3):
        network(torch.randn(16, channels, 48, 48) + 0.5)
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
