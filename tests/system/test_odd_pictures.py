"""The same faces in odd kinds of picture files, through every command that reads a dataset: the same figures."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from conftest import Run
from helpers.drawn import draw_face
from helpers.odd_pictures import odd_pictures

MOODS = ("happy", "neutral", "sad")


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`plain` holds one face a mood, as .png; `odd` holds it in 26 kinds of files."""
    root = tmp_path_factory.mktemp("odd")
    for mood in MOODS:
        face = draw_face(mood, np.random.RandomState(5))
        files = {"plain": {"face.png": cv2.imencode(".png", face)[1].tobytes()}, "odd": odd_pictures(face)}
        for kind, contents in files.items():
            (root / kind / "valid" / mood).mkdir(parents=True)
            for name, data in contents.items():
                (root / kind / "valid" / mood / name).write_bytes(data)
    return root


def accuracy_of_evaluate(command: Run, model: Path, data: Path, out: Path) -> float:
    done = command("fer-train", "evaluate", model, data, "--json", out)
    assert done.returncode == 0, done.stderr
    (split,) = json.loads(out.read_text())["splits"].values()
    found: float = split["accuracy"]
    return found


def test_every_command_scores_them_as_it_scores_the_plain_ones(
    command: Run, trained: Path, exported: dict[str, Path], odd: Path, tmp_path: Path
) -> None:
    model, count = trained / "model.pt", 26 * len(MOODS)
    plain = accuracy_of_evaluate(command, model, odd / "plain", tmp_path / "plain.json")
    assert plain == 1  # else a network that does not look at the face would pass
    assert accuracy_of_evaluate(command, model, odd / "odd", tmp_path / "odd.json") == plain
    done = command("fer-export", model, "--data", odd / "odd", "--out", "m.onnx", "--json", "e.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"on {count} faces of odd" in done.stdout
    assert '"accuracy": 1.0,' in (tmp_path / "e.json").read_text()
    done = command("fer-verify", exported["fp32"], "--data", odd / "odd")
    assert re.search(rf"100\.00% \+- \S+ \(n = {count}\)", done.stdout), done.stdout
    done = command(
        "fer-bench", exported["fp32"], "--data", odd / "odd", "--duration", 0.1, "--json", tmp_path / "b.json"
    )
    assert (tmp_path / "b.json").exists(), done.stderr
    assert f'"n": {count},\n' in (tmp_path / "b.json").read_text()
    assert '"accuracy": 1.0,\n' in (tmp_path / "b.json").read_text()


def test_audit_knows_them_for_the_same_face(command: Run, odd: Path, tmp_path: Path) -> None:
    done = command("fer-train", "audit", odd / "odd", "--json", tmp_path / "audit.json")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "audit.json").read_text())
    assert found["undecodable"] == []
    images = [[image["name"].split("/")[1] for image in group["images"]] for group in found["duplicates"]]
    largest = sorted((moods for moods in images), key=len)[-3:]
    assert sorted(moods[0] for moods in largest) == list(MOODS)  # all lossless files of a mood are one picture
    for moods in largest:
        assert len(moods) >= 16
        assert len(set(moods)) == 1
