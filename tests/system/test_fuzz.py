"""A short run of what `make fuzz` does for minutes."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from conftest import ROOT
from tools import fuzz


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_spoiled_inputs_end_in_our_error_or_a_right_answer(name: str) -> None:
    cases = 40 if name == "models" else 400
    words = [sys.executable, "-m", "tools.fuzz", "--only", name, "--cases", str(cases), "--minutes", "5"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "tests")}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{cases:,} cases" in done.stdout


def test_a_small_picture_cannot_ask_for_gigabytes(tmp_path: Path) -> None:
    """Found by the images: a part of a PNG that claims 2 GB, which OpenCV would allocate."""
    face = np.full((48, 48, 3), 99, np.uint8)
    data = bytearray(cv2.imencode(".png", face)[1].tobytes())
    place = data.index(b"IDAT") - 4
    data[place : place + 4] = (2**31 - 1).to_bytes(4, "big")
    (tmp_path / "bomb.png").write_bytes(data)
    program = (
        "import resource, sys; from pathlib import Path; from fer_runtime.data.decode import decode\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))\n"
        "print(decode(Path(sys.argv[1]).read_bytes()) is None, decode(Path(sys.argv[2]).read_bytes()).shape)"
    )
    cv2.imwrite(str(tmp_path / "fine.png"), face)
    words = [sys.executable, "-c", program, str(tmp_path / "bomb.png"), str(tmp_path / "fine.png")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "True (48, 48, 3)", done.stderr
