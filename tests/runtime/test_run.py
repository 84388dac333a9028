"""fer-run on real videos and pictures: who is where, what is written, how it ends."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pytest

from conftest import ROOT, Run, start
from fer_benchmarks.demo_clip import FRAMES, placements, render
from fer_runtime.faces.detection import RetinaFace
from helpers.jsonl import Line, read_lines

Box = tuple[float, float, float, float]


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes x, y, width, height."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    inside = max(0.0, width) * max(0.0, height)
    return inside / (a[2] * a[3] + b[2] * b[3] - inside)


@pytest.fixture(scope="module")
def recorded(command: Run, clip: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Line]]:
    """The default model's run on the clip: the folder with its outputs, and its JSON lines."""
    out = tmp_path_factory.mktemp("run")
    outputs = ["--record", out / "annotated.mkv", "--jsonl", out / "faces.jsonl"]
    done = command("fer-run", "--source", clip, "--headless", *outputs)
    assert done.returncode == 0, done.stderr
    assert f"{FRAMES} frames, {2 * FRAMES} faces" in done.stderr
    return out, read_lines(out / "faces.jsonl")


def test_both_faces_are_found_where_they_are(recorded: tuple[Path, list[Line]]) -> None:
    _, lines = recorded
    assert [line.frame for line in lines] == list(range(FRAMES))
    for index, line in enumerate(lines):
        for placed in placements(index):
            assert max(overlap(face.box, placed.face) for face in line.faces) > 0.6


def test_the_astronaut_smiles(recorded: tuple[Path, list[Line]]) -> None:
    _, lines = recorded
    labels = [face.label for line in lines for face in line.faces]
    assert labels.count("happy") > 0.95 * len(labels)


def test_json_lines_keep_their_schema(recorded: tuple[Path, list[Line]]) -> None:
    folder, lines = recorded
    for text, line in zip((folder / "faces.jsonl").read_text().splitlines(), lines, strict=True):
        typed = {key: value for key, value in asdict(line).items() if value is not None}  # no name: a video
        assert json.loads(text) == json.loads(json.dumps(typed))
        assert line.schema == 3
        assert line.age_ms > 0
        assert line.time.endswith("+00:00")
        for face in line.faces:
            for probabilities in (face.probabilities, face.raw.probabilities):
                assert sum(probabilities.values()) == pytest.approx(1, abs=1e-3)
            assert face.label in {*face.probabilities, "uncertain"}
            assert face.raw.label == max(face.raw.probabilities, key=lambda label: face.raw.probabilities[label])
    assert {face.track for line in lines for face in line.faces} == {1, 2}


def test_the_recording_has_every_frame_annotated(recorded: tuple[Path, list[Line]]) -> None:
    folder, lines = recorded
    capture = cv2.VideoCapture(str(folder / "annotated.mkv"))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(25)
    for index in range(FRAMES):
        fine, image = capture.read()
        assert fine
        x, y, width, height = lines[index].faces[0].box
        edge = image[y + height - 3 : y + height + 4, x + width // 2].astype(int)  # the box's lower edge is green
        assert (2 * edge[:, 1] - edge[:, 0] - edge[:, 2]).max() > 60
    assert not capture.read()[0]


def test_detector_keeps_fractions_and_scale() -> None:
    frame = render(10)
    small = RetinaFace()(frame)
    doubled = RetinaFace()(frame.repeat(2, 0).repeat(2, 1))
    assert len(small) == len(doubled) == 2
    for detection in small:
        x, y, width, height = detection.box
        assert max(overlap((2 * x, 2 * y, 2 * width, 2 * height), other.box) for other in doubled) > 0.8
        eyes = detection.landmarks[:2]
        assert ((eyes > (x, y)) & (eyes < (x + width, y + height))).all()
    assert RetinaFace()(np.zeros((48, 64, 3), np.uint8)) == []


def test_json_lines_go_to_standard_output_when_nothing_else_is_asked(command: Run, clip: Path) -> None:
    for extra in (["--headless"], []):  # without a display it goes on headless, and says so
        done = command("fer-run", "--source", clip, "--max-frames", 3, *extra)
        assert done.returncode == 0, done.stderr
        assert len([json.loads(line) for line in done.stdout.splitlines()]) == 3
        assert ("no window" in done.stderr) == (not extra)


def test_pictures_and_folders(command: Run, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "b.png"), render(0))
    cv2.imwrite(str(tmp_path / "in" / "a.jpg"), render(50)[:400])
    (tmp_path / "in" / "broken.png").write_bytes(b"\x89PNG")
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    done = command("fer-run", "--source", tmp_path / "in", "--headless", "--jsonl", "-")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["name"], len(line["faces"])) for line in lines] == [("a.jpg", 2), ("b.png", 2)]
    picture = tmp_path / "annotated.png"
    done = command("fer-run", "--source", tmp_path / "in" / "b.png", "--headless", "--record", picture)
    assert done.returncode == 0, done.stderr
    annotated = np.asarray(cv2.imread(str(picture)))
    assert annotated.shape == (480, 640, 3)
    assert (annotated != render(0)).any(axis=2).mean() > 0.005


def test_a_recording_fits_frames_of_other_sizes(command: Run, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "a.png"), render(0))
    cv2.imwrite(str(tmp_path / "in" / "b.png"), render(0)[:, 100:200])
    cv2.imwrite(str(tmp_path / "in" / "c.png"), np.full((1, 1, 3), 9, np.uint8))
    done = command("fer-run", "--source", tmp_path / "in", "--headless", "--record", tmp_path / "out.avi")
    assert done.returncode == 0, done.stderr
    capture = cv2.VideoCapture(str(tmp_path / "out.avi"))
    assert [capture.read()[0] for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("missing.mp4", "does not exist"),
        ("text.mp4", "is neither a video nor a picture that OpenCV can read"),
        ("empty.mp4", "is neither a video nor a picture that OpenCV can read"),
        ("empty.png", "is neither a video nor a picture that OpenCV can read"),
        ("hollow", "holds no pictures"),
        ("97", "cannot open camera 97"),
        ("/dev/video97", "cannot open camera /dev/video97"),
        ("rtsp://127.0.0.1:9/stream", "cannot open stream"),
    ],
)
def test_bad_sources(command: Run, tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "text.mp4").write_text("not a video")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "empty.png").touch()
    (tmp_path / "hollow").mkdir()
    done = command("fer-run", "--source", source, "--headless", cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert len([line for line in done.stderr.splitlines() if "apparent expressions" not in line]) == 1
    assert done.stdout == ""


def test_a_video_cut_short_gives_the_frames_it_has(command: Run, recorded: tuple[Path, object], tmp_path: Path) -> None:
    whole = (recorded[0] / "annotated.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    done = command("fer-run", "--source", tmp_path / "cut.mkv", "--headless")
    assert done.returncode == 0, done.stderr
    assert 20 < len(done.stdout.splitlines()) < 80


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--record", "no/video.mkv", "expected the name of a file in a folder that exists"),
        ("--record", "video.xyz", "expected a name that ends in .mkv"),
        ("--jsonl", "no/faces.jsonl", "cannot write no/faces.jsonl"),
        ("--jsonl", "/dev/full", "--jsonl /dev/full stopped at frame 0"),
    ],
)
def test_bad_outputs(command: Run, clip: Path, tmp_path: Path, option: str, value: str, message: str) -> None:
    done = command("fer-run", "--source", clip, "--headless", option, value, cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_usage_errors(command: Run) -> None:
    assert command("fer-run", "--max-frames", "none").returncode == 2
    assert command("fer-run", "--no-such-option").returncode == 2


def test_ctrl_c_ends_cleanly(clip: Path, tmp_path: Path) -> None:
    outputs = ["--jsonl", str(tmp_path / "faces.jsonl"), "--record", str(tmp_path / "out.mkv")]
    process = start("fer-run", "--source", clip, "--headless", *outputs)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (tmp_path / "faces.jsonl").exists() and (tmp_path / "faces.jsonl").read_text().count("\n") > 4:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    lines = (tmp_path / "faces.jsonl").read_text().splitlines()
    assert all(json.loads(line) for line in lines)
    capture = cv2.VideoCapture(str(tmp_path / "out.mkv"))
    frames = 0
    while capture.read()[0]:
        frames += 1
    assert abs(frames - len(lines)) <= 1


def test_a_reader_that_goes_away_is_no_error(clip: Path) -> None:
    run = start("fer-run", "--source", clip, "--headless")
    assert run.stdout is not None
    assert run.stderr is not None
    assert json.loads(run.stdout.readline())["frame"] == 0
    run.stdout.close()
    errors = run.stderr.read()
    assert run.wait(30) == 0
    assert "Traceback" not in errors


def test_max_fps_passes_over_frames_evenly(command: Run, clip: Path) -> None:
    done = command("fer-run", "--source", clip, "--headless", "--max-fps", 10)
    assert done.returncode == 0, done.stderr
    answered = [json.loads(line)["frame"] for line in done.stdout.splitlines()]
    assert len(answered) == pytest.approx(FRAMES / 25 * 10, abs=1)
    assert {later - earlier for earlier, later in itertools.pairwise(answered)} == {2, 3}  # 25 frames a second


def test_the_profile_names_every_stage(command: Run, clip: Path, tmp_path: Path) -> None:
    outputs = ["--jsonl", tmp_path / "faces.jsonl", "--profile", tmp_path / "profile.json"]
    done = command("fer-run", "--source", clip, "--headless", *outputs)
    assert done.returncode == 0, done.stderr
    plain = json.loads((tmp_path / "profile.json").read_text())
    stages = plain["stages"]
    assert set(stages) == {"capture", "decode", "detect", "follow", "crop", "classify", "smooth", "output"}
    assert plain["frames"] == stages["crop"]["n"] == stages["output"]["n"] == stages["follow"]["n"] == FRAMES
    assert 0 < stages["classify"]["n"] <= FRAMES  # not where nothing changed
    assert FRAMES / 25 * 2 <= stages["detect"]["n"] < FRAMES / 5
    assert stages["smooth"]["n"] == FRAMES
    assert sum(stage["share"] for stage in stages.values()) == pytest.approx(1, abs=1e-3)
    assert all(0 <= row["p50"] <= row["p95"] <= row["p99"] for row in (*stages.values(), plain["frame_age_ms"]))
    assert 0 < plain["loop_cpu_seconds"] <= plain["cpu_seconds"]
    assert 0 < plain["capture_cpu_seconds"] <= plain["cpu_seconds"] - plain["loop_cpu_seconds"] + 0.1
    assert plain["peak_memory_bytes"] > 2**25
    table = done.stderr.splitlines()
    assert all(any(line.startswith(name) for line in table) for name in (*stages, "age"))
    refused = command("fer-run", "--source", clip, "--headless", "--profile", tmp_path / "no" / "profile.json")
    assert refused.returncode == 1
    assert "cannot write" in refused.stderr


def test_no_library_keeps_threads_that_nothing_uses(clip: Path) -> None:
    """OpenBLAS, of numpy and of OpenCV, would start one for each core; they spin before they sleep."""
    program = (
        "import os\nfrom fer_runtime.cli.run import main\ntry:\n    main()\n"
        "finally:\n    print(len(os.listdir('/proc/self/task')))"
    )
    arguments = ["--source", str(clip), "--headless", "--jsonl", os.devnull, "--max-frames", "2"]
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, *arguments], env=environment, capture_output=True, text=True
    )
    assert done.stdout.split() == ["1"], done.stderr


def test_each_run_says_what_its_answers_are(command: Run, clip: Path) -> None:
    done = command("fer-run", "--source", clip, "--headless", "--max-frames", 1)
    assert "apparent expressions, which are not feelings" in done.stderr
    assert (ROOT / "docs" / "privacy.md").exists()


def test_torch_is_not_needed_and_nothing_is_left_behind(clip: Path, tmp_path: Path) -> None:
    """The runtime with torch, onnx and our other packages made unimportable, in an empty home."""
    blocked = ("torch", "torchvision", "onnx", "onnxscript", "matplotlib", "rich", "fer_train", "fer_export")
    program = f"""
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Block())
sys.argv = ["fer-run", "--source", {str(clip)!r}, "--headless", "--max-frames", "5"]
from fer_runtime.cli.run import main
main()
"""
    home = tmp_path / "home"
    home.mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("XDG", "ORT"))} | {"HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 5
    assert list(home.rglob("*")) == []  # onnxruntime's telemetry would have left a device id here


def test_importing_onnxruntime_first_is_warned_of() -> None:
    # An empty module stands for onnxruntime: the real one would send its telemetry, which is the point.
    program = "import sys, types; sys.modules['onnxruntime'] = types.ModuleType('onnxruntime'); import fer_runtime"
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert "before fer_runtime could switch its telemetry off" in done.stderr
    quiet = environment | {"ORT_DISABLE_TELEMETRY": "1"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=quiet, check=False)
    assert done.stderr == ""


@pytest.mark.parametrize("package", ["fer_export.convert", "fer_benchmarks.classifiers.worker"])
def test_telemetry_is_off_before_the_others_import_onnxruntime(package: str) -> None:
    program = f"import {package}, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout.strip() == "1"
    assert "telemetry" not in done.stderr
