"""Model files that mean harm: an error of ours at load or at the first call, never a crash, a hang or a full memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from fer_runtime.model import manifest, onnx_format
from fer_runtime.model.session import Classifier, default_model
from helpers import broken_models
from helpers.hostile_models import HOSTILE

BROKEN = 600
OPEN_ALL = """
import sys
from pathlib import Path
from helpers import broken_models
broken_models.limited()
for name in sys.argv[1:]:
    print(Path(name).name, flush=True)
    print(broken_models.tried(Path(name)))
"""


def outcome(program: list[str], *arguments: object) -> list[str]:
    """The lines that a Python process prints; it must not die."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent.parent), *sys.path])}
    done = subprocess.run(
        [sys.executable, *program, *map(str, arguments)],
        capture_output=True, text=True, env=environment, timeout=300, check=False,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert done.returncode == 0, f"ended with {done.returncode} at {lines[-1:]}: {done.stderr[-600:]}"
    assert not done.stderr
    return lines


def test_broken_bytes_end_in_an_error_or_an_answer(exported: dict[str, Path]) -> None:
    """Cut, flipped, swapped, overwritten, repeated: the process lives through all of them, and says why."""
    lines = outcome([broken_models.__file__], 0, BROKEN, *exported.values(), default_model())
    assert lines[::2] == [str(seed) for seed in range(BROKEN)]
    refused = [line for line in lines[1::2] if line != "answered"]
    assert len(refused) > BROKEN / 3
    assert all("broken.onnx" in line for line in refused)


def test_hostile_models_end_in_an_error(exported: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(64))
    (tmp_path / "link.bin").symlink_to(tmp_path / "weights.bin")
    for name, (change, _) in HOSTILE.items():
        model = onnx.load(exported["fp32"])
        change(model)
        (tmp_path / f"{name}.onnx").write_bytes(model.SerializeToString())
    lines = outcome(["-c", OPEN_ALL], *(tmp_path / f"{name}.onnx" for name in HOSTILE))
    for (name, (_, message)), said in zip(HOSTILE.items(), lines[1::2], strict=True):
        assert said != "answered", name
        assert f"{name}.onnx" in said
        assert message in said, (name, said)


LIES: list[dict[str, object]] = [
    {"labels": ["a", "b"]}, {"labels": [f"{i}" for i in range(10**5)]}, {"size": 96}, {"size": True},
    {"temperature": float("nan")}, {"temperature": float("inf")}, {"mean": 256}, {"mean": -1}, {"mean": "129"},
    {"std": 0}, {"golden": [1]}, {"colour": "infrared"}, {"framing": None}, {"measured": 3},
]  # fmt: skip


def test_manifests_that_lie(exported: dict[str, Path], tmp_path: Path) -> None:
    model = onnx.load(exported["fp32"])
    told = model.metadata_props[0].value
    lies = [json.dumps(json.loads(told) | lie) for lie in LIES]
    lies += [told.replace('"size": 48', f'"size": 1{"0" * 5000}'), '{"schema": 1, "labels": ' + "[" * 10**5]
    lies += ['{"a": ' * 10**5, "\0", "48"]
    files = []
    for index, lie in enumerate(lies):
        model.metadata_props[0].value = lie
        files.append(tmp_path / f"{index}.onnx")
        onnx.save(model, files[-1])
    for file, said in zip(files, outcome(["-c", OPEN_ALL], *files)[1::2], strict=True):
        assert "the manifest" in said or "its manifest" in said, (file, lies[int(file.stem)][:200], said)


def test_names_that_are_no_text(exported: dict[str, Path], tmp_path: Path) -> None:
    whole = exported["fp32"].read_bytes()
    files = [tmp_path / "manifest.onnx", tmp_path / "batch.onnx", tmp_path / "input.onnx"]
    for file, text in zip(files, (b'"labels"', b"batch", manifest.INPUT.encode()), strict=True):
        file.write_bytes(whole.replace(text, b"\xff" * len(text)))
    assert all("onnx" in said for said in outcome(["-c", OPEN_ALL], *files)[1::2])


def test_paths_that_are_no_plain_file(exported: dict[str, Path], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    (tmp_path / "device.onnx").symlink_to("/dev/zero")
    (tmp_path / "nowhere.onnx").symlink_to(tmp_path / "missing")
    (tmp_path / "round.onnx").symlink_to(tmp_path / "round.onnx")
    (tmp_path / "large.onnx").touch()
    os.truncate(tmp_path / "large.onnx", 2**40)
    names = ["pipe.onnx", "device.onnx", "nowhere.onnx", "round.onnx", "large.onnx", "."]
    for name, said in zip(names, outcome(["-c", OPEN_ALL], *(tmp_path / name for name in names))[1::2], strict=True):
        assert "is not a file" in said or "is larger than" in said or "cannot read" in said, (name, said)
    (tmp_path / "link.onnx").symlink_to(exported["fp32"])
    Classifier(tmp_path / "link.onnx")


def test_onnxruntime_s_own_format_is_not_read(exported: dict[str, Path], tmp_path: Path) -> None:
    """It would pass by what is checked of ONNX files."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "model.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(str(exported["fp32"]), options, providers=["CPUExecutionProvider"])
    assert (tmp_path / "model.ort").stat().st_size
    assert "is not an ONNX model" in broken_models.tried(tmp_path / "model.ort")


@pytest.mark.parametrize(
    "data", [b"", b"\x08", b"\x3a\x05", b"\x08" + b"\xff" * 11, b"\x0b", b"\x00\x00", b"\x3a\xff\xff\xff\xff\x0f"]
)
def test_bytes_that_are_no_message(data: bytes) -> None:
    if data:
        with pytest.raises(ValueError, match=r"cut short|kind"):
            onnx_format.read(data)
    else:
        assert onnx_format.read(data) == onnx_format.Format(0, (), ())


def test_a_file_of_nothing_but_fields_is_given_up_on() -> None:
    with pytest.raises(ValueError, match="more than"):
        onnx_format.read(b"\x08\x01" * (onnx_format.MAX_FIELDS + 1))
