"""The data that a model is scored on reaches it as it takes it: in its colour and size, in its order of labels."""

import base64
import csv
import json
import re
from pathlib import Path

import cv2
import numpy as np
import torch

from conftest import Run
from fer_runtime.data.decode import decode_bgr

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


SEVEN = """
import torch

def make():
    return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(12), torch.nn.Flatten(), torch.nn.Linear(144, 7))
"""
CSV_ORDER = "angry, disgust, fear, happy, sad, surprise, neutral"


def write_csv_and_its_network(folder: Path) -> None:
    """fer2013.csv of seven patterns, and a network whose outputs stand in the order of its numbers."""
    rng = np.random.RandomState(0)
    patterns = rng.randint(0, 256, (7, 12, 12))
    with (folder / "fer2013.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(("emotion", "pixels", "Usage"))
        for emotion in np.tile(np.arange(7), 20):
            pixels = np.clip(patterns[emotion] + rng.randint(-20, 21, (12, 12)), 0, 255)
            out.writerow((emotion, " ".join(map(str, pixels.ravel())), "PublicTest"))
    seen = torch.from_numpy(patterns.reshape(7, -1)).float() / 255
    weight = (seen - seen.mean(1, keepdim=True)) * 2
    torch.save({"2.weight": weight, "2.bias": -(weight * seen).sum(1) / 2}, folder / "weights.pt")
    (folder / "net.py").write_text(SEVEN)


def test_a_csv_gives_its_labels_in_its_own_order(command: Run, tmp_path: Path) -> None:
    write_csv_and_its_network(tmp_path)
    words = ["weights.pt", "--arch", "net:make", "--data", "fer2013.csv", "--out"]
    done = command("fer-export", *words, "m.onnx", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"labels: {CSV_ORDER}, the classes of fer2013.csv in the order of the csv's numbers" in done.stderr
    assert "in another order" not in done.stderr
    done = command("fer-train", "evaluate", "m.onnx", "fer2013.csv", "--json", "r.json", cwd=tmp_path)
    found = json.loads((tmp_path / "r.json").read_text())["splits"]["valid"]
    assert found["accuracy"] == 1.0
    assert found["better_label_order"] is None
    assert "in another order" not in done.stderr


def test_labels_in_the_wrong_order_are_noticed_on_data(command: Run, tmp_path: Path) -> None:
    write_csv_and_its_network(tmp_path)
    labels = "angry,disgust,fear,happy,neutral,sad,surprise"  # as folders sort them
    words = ["weights.pt", "--arch", "net:make", "--labels", labels, "--data", "fer2013.csv", "--out"]
    told = f"far better in another order: 100.0% right instead of 57.1% as {CSV_ORDER}"
    done = command("fer-export", *words, "m.onnx", cwd=tmp_path)
    assert told in done.stderr
    done = command("fer-train", "evaluate", "m.onnx", "fer2013.csv", "--json", "r.json", cwd=tmp_path)
    assert told in done.stderr
    found = json.loads((tmp_path / "r.json").read_text())["splits"]["valid"]
    assert ", ".join(found["better_label_order"]) == CSV_ORDER
    done = command("fer-bench", "m.onnx", "--data", "fer2013.csv", "--duration", 0.1, cwd=tmp_path)
    assert f"m.onnx: the labels fit these faces {told}" in done.stderr


def test_the_page_shows_an_rgb_model_its_faces_in_colour(command: Run, tmp_path: Path) -> None:
    write_red_or_blue(tmp_path / "data")
    (tmp_path / "net.py").write_text(NET)
    weight = torch.tensor([[5.0, 0, 0], [0, 0, 5]])[:, :, None, None]
    torch.save({"0.weight": weight, "0.bias": torch.zeros(2)}, tmp_path / "weights.pt")
    words = ["weights.pt", "--arch", "net:make", "--colour", "rgb", "--labels", "blushing,pale", "--out", "m.onnx"]
    assert command("fer-export", *words, cwd=tmp_path).returncode == 0
    done = command("fer-train", "evaluate", "m.onnx", "data", "--html", "page.html", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    faces = re.findall(r'base64,([^"]+)" alt="valid/(\w+)/', (tmp_path / "page.html").read_text())
    assert len(faces) == 8
    for png, label in faces:
        shown = decode_bgr(base64.b64decode(png))
        assert shown is not None
        assert shown[-1, -1].tolist() == {"blushing": [20, 30, 168], "pale": [168, 68, 38]}[label]
