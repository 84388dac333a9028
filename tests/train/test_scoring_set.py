"""The data that a model is scored on reaches it as it takes it: in its colour and size, in its order of labels."""

import json
from pathlib import Path

import cv2
import numpy as np
import torch

from conftest import Run

NET = """
import torch

def make():
    return torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
"""


def write_red_or_blue(root: Path, count: int = 4) -> None:
    """Pictures that are the same in grey (a BT.601 luma of about 70): only their colour tells the classes apart."""
    for label, bgr in (("blushing", (20, 30, 168)), ("pale", (168, 68, 38))):
        folder = root / "valid" / label
        folder.mkdir(parents=True)
        for index in range(count):
            face = np.full((48, 48, 3), bgr, np.uint8)
            face[index] = 0
            cv2.imwrite(str(folder / f"{index}.png"), face)


def test_every_command_scores_an_rgb_model_on_rgb_faces(command: Run, tmp_path: Path) -> None:
    write_red_or_blue(tmp_path / "data")
    (tmp_path / "net.py").write_text(NET)
    weight = torch.tensor([[5.0, 0, 0], [0, 0, 5]])[:, :, None, None]  # red is the first output, blue the second
    torch.save({"0.weight": weight, "0.bias": torch.zeros(2)}, tmp_path / "weights.pt")
    done = command(
        "fer-export", "weights.pt", "--arch", "net:make", "--colour", "rgb", "--data", "data", "--json", "export.json",
        "--out", "model.onnx", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    done = command("fer-train", "evaluate", "model.onnx", "data", "--json", "report.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "report.json").read_text())["splits"]["valid"]
    assert (found["n"], found["accuracy"]) == (8, 1.0)
    done = command("fer-verify", "model.onnx", "--data", "data", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "100.00% +-" in done.stdout
