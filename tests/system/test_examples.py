"""examples/: each program is run as its first lines say."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from conftest import BIN, ROOT, Run
from fer_benchmarks.demo_clip import render
from fer_runtime import Classifier, Loop, open_source
from helpers.served import serving_alone

EXAMPLES = ROOT / "examples"


def example(name: str, *arguments: object) -> str:
    """What a program prints."""
    program = ["sh" if name.endswith(".sh") else sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    environment = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(program, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_all_examples_are_listed_and_tested() -> None:
    files = {path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".sh")}
    listed = set(re.findall(r"\[(\w+\.\w+)\]", (EXAMPLES / "README.md").read_text()))
    assert files == listed
    assert all(f'example("{name}"' in Path(__file__).read_text() for name in files)


def test_own_detector(tmp_path: Path) -> None:
    """On frames at a fiftieth of the light it finds both faces, which fer-run's own detector does not."""
    dark = tmp_path / "dark"
    dark.mkdir()
    for index in range(3):
        cv2.imwrite(str(dark / f"{index}.png"), (render(10 * index) * 0.02).astype(np.uint8))
    assert [line.split()[0] for line in example("own_detector.py", dark).splitlines()] == list("001122")
    plain = Loop(open_source(str(dark)), Classifier())
    assert not any(result.faces for _, result in plain)


def test_own_output(clip: Path, tmp_path: Path) -> None:
    example("own_output.py", clip, tmp_path / "seconds.csv")
    rows = list(csv.DictReader((tmp_path / "seconds.csv").open()))
    assert rows[0]["label"] == "happy"
    assert sum(float(row["seconds"]) for row in rows) > 3  # two faces over 100 frames


def test_score_folder(command: Run, faces_folder: Path, exported: dict[str, Path], tmp_path: Path) -> None:
    """The figures are those of fer-train evaluate."""
    report = tmp_path / "scores.json"
    assert command("fer-train", "evaluate", exported["fp32"], faces_folder, "--json", report).returncode == 0
    printed = example("score_folder.py", faces_folder, exported["fp32"])
    evaluated = report.read_text()
    accuracy = re.search(r"accuracy ([\d.]+)%", printed)
    assert accuracy
    assert f'"accuracy": {float(accuracy[1]) / 100:.4g}' in evaluated
    assert "happy" in printed


def test_score_folder_without_a_folder() -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "score_folder.py", "nowhere"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_http_clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both get the two faces of a picture, with a token and without."""
    picture = tmp_path / "picture.jpg"
    cv2.imwrite(str(picture), render(0))
    with serving_alone() as served:
        address = f"http://127.0.0.1:{served.port}"
        lines = example("http_client.py", picture, address).splitlines()
        assert [line.split()[4] for line in lines] == ["happy", "happy"]
        found = json.loads(example("http_client.sh", picture, address))
        assert [face["label"] for face in found["faces"]] == ["happy", "happy"]
    with serving_alone("0.0.0.0:0") as served:
        address = f"http://127.0.0.1:{served.port}"
        words = ["sh", str(EXAMPLES / "http_client.sh"), str(picture), address]
        refused = subprocess.run(words, capture_output=True, text=True, check=False)
        assert refused.returncode != 0
        assert json.loads(refused.stdout)["status"] == 401
        monkeypatch.setenv("FER_WEB_TOKEN", served.token)
        assert example("http_client.py", picture, address).splitlines() == lines
        assert len(json.loads(example("http_client.sh", picture, address))["faces"]) == 2


def test_train_own_classes(command: Run, faces_folder: Path, tmp_path: Path) -> None:
    """Classes of other names than FER2013's: the training faces of the drawn set, renamed."""
    for mood, name in (("happy", "laughing"), ("sad", "bored")):
        (tmp_path / "data" / name).mkdir(parents=True)
        for picture in sorted((faces_folder / "train" / mood).iterdir())[:60]:
            (tmp_path / "data" / name / picture.name).write_bytes(picture.read_bytes())
    example("train_own_classes.sh", tmp_path / "data", tmp_path / "out", 2)
    (model,) = (tmp_path / "out").glob("*.onnx")
    done = command("fer-verify", model)
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def archive(command: Run, clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset that fer-score makes of the clip and a photo."""
    folder = tmp_path_factory.mktemp("archive")
    cv2.imwrite(str(folder / "photo.png"), render(0))
    out = folder / "results"
    assert command("fer-score", clip, folder / "photo.png", "--out", out).returncode == 0
    return out


def test_archive_pandas(archive: Path, clip: Path, tmp_path: Path) -> None:
    head, _, row = example("archive_pandas.py", archive, tmp_path / "plot.png").rstrip().splitlines()
    seconds = dict(zip(head.split(), map(float, row.split()[1:]), strict=True))
    assert row.startswith(str(clip))
    assert seconds["happy"] > 7  # two faces for four seconds
    assert cv2.imread(str(tmp_path / "plot.png")) is not None


def test_archive_polars_and_duckdb(archive: Path, clip: Path) -> None:
    """Both print the same, of the one video."""
    by_polars = list(csv.DictReader(example("archive_polars.py", archive).splitlines()))
    by_duckdb = list(csv.DictReader(example("archive_duckdb.py", archive).splitlines()))
    assert by_polars == by_duckdb
    assert [row["source"] for row in by_polars] == [str(clip)]
    assert float(by_polars[0]["seconds_happy"]) > 7
