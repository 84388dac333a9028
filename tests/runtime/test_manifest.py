"""What the runtime accepts as a model, and what it says of everything else."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from conftest import Run
from fer_runtime.errors import FerError
from fer_runtime.model.manifest import METADATA_KEY, golden_faces, parse
from fer_runtime.model.session import Classifier


def changed(file: Path, out: Path, manifest: str | None) -> Path:
    """`file` with another manifest, or none."""
    model = onnx.load(file)
    del model.metadata_props[:]
    if manifest is not None:
        model.metadata_props.add(key=METADATA_KEY, value=manifest)
    onnx.save(model, out)
    return out


def test_manifest_survives_the_file(exported: dict[str, Path]) -> None:
    manifest = Classifier(exported["int8"]).manifest
    assert parse(manifest.to_json(), "text") == manifest


def test_golden_faces_never_change() -> None:
    faces = golden_faces(48, 48)
    assert faces.shape == (4, 1, 48, 48)
    assert faces.dtype == np.uint8
    assert faces[0, 0, 10, 10:16].tolist() == GOLDEN_PIXELS
    assert faces.std() > 20


GOLDEN_PIXELS = [29, 37, 44, 52, 60, 67]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ["one"]}, "wrong in 'labels'"),
        ({"labels": ["sad", "sad", "happy"]}, "wrong in 'labels'"),
        ({"labels": 7}, "incomplete"),
        ({"size": 100000}, "wrong in 'size'"),
        ({"temperature": 0}, "wrong in 'temperature'"),
        ({"temperature": "warm"}, "wrong in 'temperature'"),
        ({"std": None}, "wrong in 'std'"),
        ({"framing": {"centre_x": 0.5}}, "incomplete"),
        ({"framing": {"centre_x": 0.5, "centre_y": 0.5, "height": 0}}, "wrong in 'framing'"),
        ({"schema": 99}, "schema 99, expected 1"),
        ({"golden": {"seed": 1}}, "incomplete"),
    ],
)
def test_wrong_manifests_are_named(
    exported: dict[str, Path], tmp_path: Path, change: dict[str, object], message: str
) -> None:
    plain = json.loads(Classifier(exported["fp32"]).manifest.to_json()) | change
    file = changed(exported["fp32"], tmp_path / "model.onnx", json.dumps(plain))
    with pytest.raises(FerError, match=message):
        Classifier(file)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000])
def test_manifests_that_are_no_object(exported: dict[str, Path], tmp_path: Path, text: str) -> None:
    with pytest.raises(FerError, match=r"model\.onnx"):
        Classifier(changed(exported["fp32"], tmp_path / "model.onnx", text))


def test_a_promise_not_kept(exported: dict[str, Path], tmp_path: Path) -> None:
    plain = json.loads(Classifier(exported["fp32"]).manifest.to_json()) | {"size": 64}
    with pytest.raises(FerError, match="does not keep its manifest's promise"):
        Classifier(changed(exported["fp32"], tmp_path / "model.onnx", json.dumps(plain)))


def foreign_model(path: Path) -> Path:
    """A valid ONNX file that is not ours."""
    value = helper.make_tensor_value_info
    node = helper.make_node("Relu", ["x"], ["y"])
    inputs, outputs = [value("x", TensorProto.FLOAT, [1])], [value("y", TensorProto.FLOAT, [1])]
    model = helper.make_model(
        helper.make_graph([node], "g", inputs, outputs), opset_imports=[helper.make_opsetid("", 18)]
    )
    model.ir_version = 9
    onnx.save(model, path)
    return path


def test_commands_refuse_foreign_models_in_one_sentence(
    command: Run, exported: dict[str, Path], tmp_path: Path
) -> None:
    text = tmp_path / "text.onnx"
    text.write_text("I am not a model")
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(exported["fp32"].read_bytes()[:1000])
    empty = tmp_path / "empty.onnx"
    empty.touch()
    cases = {
        foreign_model(tmp_path / "foreign.onnx"): "carries no fer-edge manifest",
        text: "is not an ONNX model",
        cut: "is not an ONNX model",
        empty: "is not an ONNX model",
        tmp_path: "is not a file",
        tmp_path / "missing.onnx": "is not a file",
    }
    for file, message in cases.items():
        for done in (
            command("fer-run", "--model", file, "--source", tmp_path, "--headless"),
            command("fer-bench", file),
        ):
            assert done.returncode == 1, (file, done)
            assert message in done.stderr
            assert "Traceback" not in done.stderr
            assert len(done.stderr.strip().splitlines()) == 1
