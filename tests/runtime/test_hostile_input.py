"""Input that means harm, or just bad luck: one sentence, the right exit code, and nothing lost."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch

from conftest import BIN, Run, start
from fer_benchmarks.demo_clip import render
from fer_runtime.model.session import Classifier
from helpers.drawn import draw_face


def fails(done: subprocess.CompletedProcess[str], message: str, code: int = 1) -> None:
    """`done` ended with `code` and one sentence that holds `message`."""
    assert done.returncode == code, (done.returncode, done.stderr)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "unexpected" not in done.stderr  # the safety net is for faults of ours, not for input we know of


def test_an_output_that_is_an_input_is_refused(
    command: Run, exported: dict[str, Path], trained: Path, clip: Path, tmp_path: Path
) -> None:
    video, model = shutil.copy(clip, tmp_path / "in.mp4"), shutil.copy(exported["fp32"], tmp_path / "m.onnx")
    weights = shutil.copy(trained / "model.pt", tmp_path / "m.pt")
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "a.png"), render(0))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    run = ["--source", video, "--model", model, "--headless"]
    cases: list[tuple[str, list[Any]]] = [
        ("fer-run", [*run, "--jsonl", video]),
        ("fer-run", [*run, "--record", video]),
        ("fer-run", [*run, "--jsonl", model]),
        ("fer-run", [*run, "--record", tmp_path / "a.mkv", "--jsonl", tmp_path / "a.mkv"]),
        ("fer-export", [weights, "--out", weights]),
        ("fer-export", [weights, "--out", tmp_path / "b.onnx", "--json", weights]),
        ("fer-run", ["--source", tmp_path / "photos", "--headless", "--record", tmp_path / "photos" / "a.png"]),
        ("fer-export", [weights, "--json", tmp_path / "m.onnx", "--out", tmp_path / "m.onnx"]),
        ("fer-bench", [model, "--json", model]),
        ("fer-train", ["evaluate", weights, tmp_path, "--json", weights]),
    ]
    for name, arguments in cases:
        fails(command(name, *arguments), "give the output another name")
    done = command("fer-export", shutil.copy(weights, tmp_path / "model.onnx"), cwd=tmp_path)  # its default output
    fails(done, "give the output another name")
    (tmp_path / "model.onnx").unlink()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before


def test_links_stay_links_and_devices_devices(command: Run, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "link.onnx").symlink_to(tmp_path / "target.onnx")
    os.mkfifo(tmp_path / "pipe.onnx")
    assert command("fer-export", trained / "model.pt", "--out", tmp_path / "link.onnx").returncode == 0
    assert (tmp_path / "link.onnx").is_symlink()
    Classifier(tmp_path / "target.onnx")
    fails(command("fer-export", trained / "model.pt", "--out", tmp_path / "pipe.onnx"), "is a folder or a device")
    assert (tmp_path / "pipe.onnx").is_fifo()


def test_a_run_without_a_frame_leaves_old_lines_alone(command: Run, tmp_path: Path) -> None:
    (tmp_path / "old.jsonl").write_text("old\n")
    (tmp_path / "broken.png").write_text("no picture")
    done = command("fer-run", "--source", "broken.png", "--headless", "--jsonl", "old.jsonl", cwd=tmp_path)
    fails(done, "cannot be decoded")
    assert (tmp_path / "old.jsonl").read_text() == "old\n"


def test_a_report_that_cannot_be_written_stops_the_export(command: Run, trained: Path, tmp_path: Path) -> None:
    fails(command("fer-export", trained / "model.pt", "--json", "no/report.json", cwd=tmp_path), "cannot write")
    assert list(tmp_path.iterdir()) == []


Harm = Callable[[dict[str, Any]], object]  # what spoils a checkpoint or a state, as torch.load gives it


def ranges(low: float, high: float) -> Harm:
    return lambda plain: plain["ranges"].update(relu=(low, high))


def stage(**facts: object) -> Harm:
    return lambda plain: plain["manifest"]["architecture"]["stages"][0].update(facts)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (ranges(float("-inf"), float("inf")), "activation range of relu"),
        (ranges(5.0, -5.0), "activation range of relu"),
        (ranges(float("nan"), 1.0), "activation range of relu"),
        (ranges(0.0, 10**400), "is damaged"),
        (stage(stride=0), "stride is 0"),
        (stage(width=60_000), "width is 60000"),
        (stage(blocks=10**9), "blocks is 1000000000"),
        (stage(width="wide"), "width is 'wide'"),
        (lambda plain: plain["weights"]["head.bias"].fill_(float("nan")), "not finite"),
        (lambda plain: plain["weights"].pop("head.bias"), 'Missing key(s) in state_dict: "head.bias"'),
        (lambda plain: plain["manifest"].update(versions=None), "wrong in 'versions'"),
        (lambda plain: plain["manifest"].update(mean=10**400), "wrong in 'mean'"),
        (lambda plain: plain["manifest"].update(measured=[{"accuracy": float("nan")}]), "is damaged"),
        (lambda plain: plain.pop("manifest"), "is damaged"),
    ],
)
def test_tampered_checkpoints(command: Run, trained: Path, tmp_path: Path, harm: Harm, message: str) -> None:
    plain = torch.load(trained / "model.pt", weights_only=True)
    harm(plain)
    torch.save(plain, tmp_path / "model.pt")
    fails(command("fer-export", "model.pt", "--precision", "int8", cwd=tmp_path), message)
    assert not (tmp_path / "model.int8.onnx").exists()


def changed(file: Path, out: Path, change: Callable[[onnx.ModelProto], object]) -> Path:
    model = onnx.load(file)
    change(model)
    onnx.save(model, out)
    return out


def not_a_number(model: onnx.ModelProto) -> None:
    bias = next(i for i in model.graph.initializer if i.name == "head.bias")
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(3, np.nan, np.float32), bias.name))


def fixed_batch(model: onnx.ModelProto) -> None:
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1


def outside_weights(model: onnx.ModelProto) -> None:
    bias = next(i for i in model.graph.initializer if i.name == "head.bias")
    bias.ClearField("raw_data")
    bias.data_location = onnx.TensorProto.EXTERNAL
    bias.external_data.add(key="location", value="weights.bin")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (not_a_number, "not finite"),
        (fixed_batch, "takes batches of 1 only"),
        (outside_weights, "holds weights outside the file"),
    ],
)
def test_tampered_models(
    command: Run, exported: dict[str, Path], tmp_path: Path, change: Callable[[onnx.ModelProto], object], message: str
) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(64))
    file = tmp_path / "model.onnx"
    model = onnx.load(exported["fp32"])
    change(model)
    file.write_bytes(model.SerializeToString())
    cv2.imwrite(str(tmp_path / "two.png"), render(0))
    fails(command("fer-run", "--model", file, "--source", "two.png", "--headless", cwd=tmp_path), message)
    fails(command("fer-bench", file, cwd=tmp_path), message)


def test_a_dead_display_is_no_reason_to_die(command: Run, clip: Path) -> None:
    done = command("fer-run", "--source", clip, "--max-frames", 2, DISPLAY=":99")
    assert done.returncode == 0, done.stderr
    assert "no window can be opened here" in done.stderr
    assert len(done.stdout.splitlines()) == 2


def test_strange_pictures(command: Run, tmp_path: Path) -> None:
    """One pixel, a line, odd sides, sixteen bits, gigapixels, a pipe, a dead link: what can be decoded is answered."""
    shapes = {"a": (1, 1), "b": (1, 5000), "c": (5000, 1), "d": (2, 20_000), "e": (243, 321)}
    for name, (height, width) in shapes.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((height, width, 3), 99, np.uint8))
    cv2.imwrite(str(tmp_path / "f.png"), render(0).astype(np.uint16) * 256)
    huge = bytearray(cv2.imencode(".bmp", np.zeros((2, 2, 3), np.uint8))[1].tobytes())
    huge[18:26] = (60_000).to_bytes(4, "little") * 2
    (tmp_path / "g.bmp").write_bytes(huge)
    os.mkfifo(tmp_path / "h.jpg")
    (tmp_path / "i.jpg").symlink_to(tmp_path / "gone.jpg")
    video = tmp_path / "out.mkv"
    done = command("fer-run", "--source", tmp_path, "--headless", "--record", video, "--jsonl", "-")
    assert done.returncode == 0, done.stderr
    found = {row["name"]: len(row["faces"]) for row in map(json.loads, done.stdout.splitlines())}
    assert found == {"a.png": 0, "b.png": 0, "c.png": 0, "d.png": 0, "e.png": 0, "f.png": 2}
    assert "1 pictures cannot be decoded" in done.stderr
    capture = cv2.VideoCapture(str(video))
    assert [capture.read()[0] for _ in range(7)] == [True] * 6 + [False]


@pytest.mark.parametrize("source", ["²", "99999999999999999999", "-1", ""])
def test_strange_cameras(command: Run, source: str, tmp_path: Path) -> None:
    done = command("fer-run", "--source", source, "--headless", cwd=tmp_path)
    fails(done, "holds no pictures" if source == "" else "does not exist")


def strange_zip(path: Path, harm: Callable[[bytearray], object], method: int = zipfile.ZIP_STORED) -> Path:
    face = cv2.imencode(".png", draw_face("sad", np.random.RandomState(0)))[1].tobytes()
    with zipfile.ZipFile(path, "w", method) as archive:
        for mood in ("happy", "sad"):
            archive.writestr(f"train/{mood}/1.png", face)
    data = bytearray(path.read_bytes())
    harm(data)
    path.write_bytes(data)
    return path


def test_strange_zips(command: Run, trained: Path, tmp_path: Path) -> None:
    def version_99(data: bytearray) -> None:
        start = data.index(b"PK\x01\x02")
        data[start + 6 : start + 8] = (99).to_bytes(2, "little")

    def broken_lzma(data: bytearray) -> None:
        data[60:80] = bytes(20)

    model = trained / "model.pt"
    fails(command("fer-train", "evaluate", model, strange_zip(tmp_path / "v.zip", version_99)), "cannot read")
    done = command("fer-train", "evaluate", model, strange_zip(tmp_path / "l.zip", broken_lzma, zipfile.ZIP_LZMA))
    assert done.returncode == 0, done.stderr
    assert "1 images cannot be decoded" in done.stderr
    fails(command("fer-train", "evaluate", model, "/dev/zero"), "neither a folder nor a complete zip")


def test_one_image_a_class_is_too_few(command: Run, tmp_path: Path) -> None:
    strange_zip(tmp_path / "ones.zip", lambda data: data)
    fails(command("fer-train", "fit", tmp_path / "ones.zip", "--out", tmp_path / "out"), "one image a class")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "harm",
    [
        lambda state: state.update(job=5),
        lambda state: state.update(network={}),
        lambda state: state.update(history=5),
        lambda state: state.update(best={}),
        lambda state: [state.pop(key) for key in list(state) if key != "job"],
    ],
)
def test_damaged_states_are_not_resumed(
    command: Run, trained: Path, faces_zip: Path, tmp_path: Path, harm: Harm
) -> None:
    state = torch.load(trained / "last.pt", weights_only=True)
    harm(state)
    torch.save(state, tmp_path / "last.pt")
    arguments = ["--model", "nano", "--epochs", 16, "--device", "cpu", "--out", tmp_path, "--resume"]
    fails(command("fer-train", "fit", faces_zip, *arguments), "is not a whole checkpoint of fer-train fit")


def test_other_epochs_are_named_alone(command: Run, trained: Path, faces_zip: Path) -> None:
    arguments = ["--model", "nano", "--epochs", 17, "--device", "cpu", "--out", trained, "--resume"]
    fails(command("fer-train", "fit", faces_zip, *arguments), "its epochs is 16, now 17;")


def test_closed_and_full_standard_output(clip: Path, exported: dict[str, Path]) -> None:
    run, bench = BIN / "fer-run", BIN / "fer-bench"
    for script, message in [
        (f"{run} --source {clip} --headless >&-", "standard output is closed"),
        (f"{run} --source {clip} --headless >/dev/full", "stopped at frame 0"),
        (f"{bench} {exported['int8']} --duration 0.1 >/dev/full", "No space left on device"),
    ]:
        fails(subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False), message)


def test_lines_appended_to_a_log_take_nothing_from_it(clip: Path, tmp_path: Path) -> None:
    """On a full disk (here: a limit on the file's size) only this run's cut line is taken back."""
    log = tmp_path / "log"
    log.write_text("x" * 5000 + "\n")
    script = f"ulimit -f 6; {BIN / 'fer-run'} --source {clip} --headless >> {log}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    fails(done, "stopped at frame")
    lines = log.read_text().splitlines()
    assert lines[0] == "x" * 5000
    assert [json.loads(line)["frame"] for line in lines[1:]] == list(range(len(lines) - 1))


def test_a_worker_that_dies_fails_the_benchmark(exported: dict[str, Path], tmp_path: Path) -> None:
    process = start("fer-bench", *[exported["fp32"]] * 8, "--json", tmp_path / "bench.json")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(children.read_text().split()) < 8:
        time.sleep(0.02)
    os.kill(int(children.read_text().split()[0]), signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "failed: exit code -9" in errors
    assert list(tmp_path.iterdir()) == []


def test_files_in_the_current_folder_are_not_imported(command: Run, exported: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "random.py").write_text("raise SystemExit('shadowed')")
    done = command("fer-bench", exported["int8"], "--duration", 0.1, cwd=tmp_path)
    assert done.returncode in (0, 3), done.stderr  # 3: the tests' machine may be too noisy


def test_thread_counts_are_bounded(command: Run, exported: dict[str, Path]) -> None:
    assert command("fer-bench", exported["int8"], "--threads", 100_000).returncode == 2
    assert command("fer-run", "--threads", 0).returncode == 2


def test_sigterm_finishes_recordings(clip: Path, tmp_path: Path) -> None:
    lines, video = tmp_path / "faces.jsonl", tmp_path / "out.mp4"
    outputs = ["--headless", "--jsonl", str(lines), "--record", str(video)]
    process = start("fer-run", "--source", clip, *outputs)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (lines.exists() and lines.read_text().count("\n") > 4):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143
    capture = cv2.VideoCapture(str(video))
    assert all(capture.read()[0] for _ in range(5))


def test_faults_of_ours_are_one_sentence_too(exported: dict[str, Path], tmp_path: Path) -> None:
    program = f"""
import sys
sys.argv = ["fer-run", "--model", {str(exported["fp32"])!r}, "--source", ".", "--headless"]
from fer_runtime.cli import run
from fer_runtime.model import session
def broken(*_):
    raise ZeroDivisionError("a fault")
session.Classifier.__init__ = broken
run.main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert "unexpected ZeroDivisionError: a fault" in done.stderr
    assert "Traceback" not in done.stderr
