"""Whole systems side by side: a real peer of a few lines beside ours, and peers that fail."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_benchmarks.pipeline.faces_by_eye import EVERY, KINDS, drawn
from fer_benchmarks.pipeline.peers.figures import label_changes, seen
from fer_benchmarks.pipeline.peers.systems import System, human, run
from fer_runtime.errors import FerError

FRONT, SIDE = KINDS.values()
TINY = """import json, sys, cv2
print(json.dumps({"versions": {"tiny": "1.0"}}))
video = cv2.VideoCapture(sys.argv[1])
for index in range(int(sys.argv[2])):
    read, frame = video.read()
    if not read:
        break
    faces = [{"box": [10 + index, 20, 50, 50], "label": ["happy", "sad"][index // 2 % 2]}]
    print(json.dumps({"frame": index, "faces": faces}), flush=True)
"""
HUMAN = """exports.Human = class {
  constructor(config) { this.version = "stub"; this.tf = {
    version_core: config.face.emotion.enabled ? "with emotion" : "without",
    tensor3d: (bytes, shape) => ({ bytes: bytes.slice(), shape }), dispose() {} }; }
  async load() {}
  async detect({ bytes, shape }) {
    const sum = bytes.reduce((a, b) => a + b, 0);
    return { face: [{ box: [sum, bytes[0], shape[1], shape[0]], emotion: [{ emotion: "happy" }] }] };
  }
};"""


def command(*words: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "fer_benchmarks.pipeline.peers", *map(str, words)]
    return subprocess.run(line, capture_output=True, text=True, timeout=300, check=False)


def program(path: Path, text: str) -> System:
    path.write_text(text)
    return System("tiny", [sys.executable, str(path), "{video}", "{frames}"])


def test_ours_and_a_peer_in_turns_and_two_reports_joined(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.py").write_text(TINY)
    report, both = tmp_path / "one.json", tmp_path / "both.json"
    peer = f"tiny={sys.executable} {tmp_path}/tiny.py {{video}} {{frames}}"
    done = command(clip, "--frames", 9, "--rounds", 2, "--peer", peer, "--json", report)
    assert done.returncode == 0, done.stderr
    assert "fer is left out" in done.stderr
    assert "Human is left out" in done.stderr
    found = json.loads(report.read_text())
    assert found["conditions"][0]["versions"]["tiny"] == {"tiny": "1.0"}
    systems = found["videos"]["clip.mp4"]
    assert list(systems) == ["ours, following", "ours, searching every frame", "tiny"]
    fps = cv2.VideoCapture(str(clip)).get(cv2.CAP_PROP_FPS)
    for name, rounds in systems.items():
        assert [each["frames"] for each in rounds] == [9, 9]
        for each in rounds:
            assert each["seen"] is None  # nobody drew this clip's faces
            assert each["cpu_s"] > 0 < each["start_cpu_s"]
            assert each["face_s"] == pytest.approx((1 if name == "tiny" else 2) * 8 / fps)
            assert each["label_changes"] == 4 or name != "tiny"
    joined = command(report, report, "--json", both)
    assert joined.returncode == 0, joined.stderr
    assert [len(rounds) for rounds in json.loads(both.read_text())["videos"]["clip.mp4"].values()] == [4, 4, 4]


def test_faces_by_eye_are_counted_and_the_rest_is_further() -> None:
    faces = drawn("people.mp4")
    answers = [[{"box": box, "label": "sad"} for box, _ in faces.get(frame, [])] for frame in range(EVERY + 1)]
    answers[0].append({"box": (1800.0, 10.0, 40.0, 40.0), "label": "sad"})
    answers[EVERY].pop()
    counted = seen(answers, "people.mp4")
    assert counted is not None
    assert sum(counted.found.values()) == sum(counted.faces.values()) - 1 == len(faces[0]) + len(faces[EVERY]) - 1
    assert counted.further == 1
    assert seen(answers, "other.mp4") is None


def test_a_label_belongs_to_the_box_that_overlaps_most() -> None:
    left, right, near = (0.0, 0.0, 50.0, 50.0), (200.0, 0.0, 50.0, 50.0), (10.0, 0.0, 50.0, 50.0)
    one = [{"box": left, "label": "sad"}, {"box": right, "label": "happy"}]
    two = [{"box": left, "label": "sad"}, {"box": right, "label": "happy"}, {"box": near, "label": "angry"}]
    assert label_changes([one, two]) == (0, 2)
    assert label_changes([one, [], two]) == (0, 0)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("raise ValueError('no weights')", "failed on clip.mp4: ValueError: no weights"),
        ("print('hello')", "tiny wrote 'hello': expected"),
        ("print('[1]')", "tiny wrote '[1]': expected"),
        ("""print('{"frame": 1, "faces": []}')""", "expected a frame's number"),
        ("""print('{"frame": 0, "faces": [{"box": [1, 2], "label": "sad"}]}')""", "expected a frame's number"),
        ("", "tiny answered no frame"),
    ],
)
def test_a_peer_that_fails_is_named(clip: Path, tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(FerError, match="tiny") as caught:
        run(program(tmp_path / "tiny.py", text), clip, 3)
    assert sentence in str(caught.value)


def test_a_program_that_is_not_there_is_named(clip: Path) -> None:
    with pytest.raises(FerError, match="nowhere does not start"):
        run(System("tiny", ["/nowhere", "{video}"]), clip, 1)


def test_bad_input_is_one_sentence(clip: Path, tmp_path: Path) -> None:
    text, report = tmp_path / "text.mp4", tmp_path / "other.json"
    text.write_text("no video")
    report.write_text('{"conditions": []}')
    shorter = program(tmp_path / "shorter.py", TINY.replace("int(sys.argv[2])", "1")).command
    told: dict[int, list[tuple[list[object], str]]] = {
        1: [
            ([text], "ours, following failed on text.mp4"),
            ([report], "is no report of this command (videos is missing)"),
            ([clip, "--fer", tmp_path / "python"], "python does not start"),
            ([clip, "--frames", 3, "--peer", f"tiny={' '.join(shorter)}"], "tiny answered 1 frames of clip.mp4"),
            ([clip, "--json", tmp_path / "no" / "out.json"], "cannot write"),
        ],
        2: [
            ([clip, report], "give either videos, or reports"),
            ([clip, "--peer", "tiny"], "expected NAME=COMMAND"),
            ([clip, clip], "the same name"),
        ],
    }
    for code, cases in told.items():
        for words, sentence in cases:
            done = command(*words, "--rounds", 1)
            assert (done.returncode, sentence in done.stderr) == (code, True), done.stderr
            assert "Traceback" not in done.stderr


@pytest.mark.system("node")
def test_every_frame_reaches_human_whole(clip: Path, tmp_path: Path) -> None:
    dist = tmp_path / "node_modules" / "@vladmandic" / "human" / "dist"
    dist.mkdir(parents=True)
    (dist / "human.node-wasm.js").write_text(HUMAN)
    found = run(human(tmp_path), clip, 3)
    assert found.versions["tfjs"] == "with emotion"
    video = cv2.VideoCapture(str(clip))
    for (face,) in found.answers:
        frame = video.read()[1]
        assert face["box"] == (np.sum(frame, dtype=np.int64), frame[0, 0, 2], frame.shape[1], frame.shape[0])
