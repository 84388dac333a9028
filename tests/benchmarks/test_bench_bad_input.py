"""What fer-bench says of bad input, before the timing; and Ctrl-C."""

import signal
import time
from pathlib import Path

import pytest

from conftest import ROOT, Run, start
from fer_runtime.model.session import default_model
from helpers.drawn import write_faces
from helpers.plain_onnx import without_manifest


def test_needs_a_model_and_says_so(command: Run) -> None:
    assert command("fer-bench").returncode == 2


def test_bad_data_is_told_before_the_timing(command: Run, tmp_path: Path) -> None:
    done = command("fer-bench", default_model(), "--data", tmp_path / "missing.zip")
    assert done.returncode == 1
    assert "does not exist" in done.stderr
    write_faces(tmp_path, "a", "train", 1, 0)
    (tmp_path / "train" / "sad").rename(tmp_path / "train" / "bored")
    done = command("fer-bench", default_model(), "--data", tmp_path)
    assert done.returncode == 1
    assert "a class 'bored' that the model does not know" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--threads", "0"], 2, "expected numbers from 1 to 64"),
        (["--batch", "1,x"], 2, "expected numbers from 1 to 512"),
        (["--robust"], 2, "give --data"),
        (["--max-ms", "1"], 2, "give --data"),
        (["--png", "front.png"], 2, "--png weighs accuracy against time: give --data"),
        (["--mean", "half"], 2, "expected a number"),
        (["--baseline", "nothing.json"], 1, "cannot read nothing.json"),
        (["--peer", "nothing.json"], 1, "does not describe a peer"),
        (["--png", "no/such/folder.png"], 1, "no/such/folder.png: No such file or directory"),
        (["README.md"], 1, "is not an ONNX model"),
        (["docs/ablation.json"], 1, "no result of fer-bench"),
    ],
)
def test_bad_words_end_before_the_timing(command: Run, words: list[str], code: int, said: str) -> None:
    done = command("fer-bench", default_model(), *words, cwd=ROOT)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_plain_file_needs_its_labels(command: Run, tmp_path: Path) -> None:
    plain = without_manifest(default_model(), tmp_path / "plain.onnx")
    for words, said in (
        ([], "or --labels"),
        (["--labels", "a,b"], "no output of 2 classes"),
        (["--labels", "a,b,c,d,e,f,g", "--size", "64"], "--size does not fit"),
        (["--labels", "a,b,c,d,e,f,g", "--colour", "rgb"], "--colour does not fit"),
    ):
        done = command("fer-bench", plain, *words)
        assert done.returncode == 1
        assert said in done.stderr


def test_ctrl_c_ends_it_and_leaves_no_file(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    process = start("fer-bench", default_model(), "--duration", "600", "--json", out)
    time.sleep(4)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors.strip().endswith("fer-bench: stopped")
    assert not list(tmp_path.iterdir())
