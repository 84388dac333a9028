"""fer-export: the file answers as PyTorch does, or is not written."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from conftest import Run
from fer_runtime.data.dataset import load
from fer_runtime.model.manifest import golden_faces, parse
from fer_runtime.model.session import Classifier
from fer_train import checkpoint


def test_fp32_answers_as_pytorch(trained: Path, exported: dict[str, Path], faces_folder: Path) -> None:
    faces = load(faces_folder).split("valid").pixels
    network = checkpoint.load(trained / "model.pt").network
    with torch.no_grad():
        expected = network((torch.from_numpy(faces).float() - 129) / 65).numpy()
    classifier = Classifier(exported["fp32"])
    assert np.abs(classifier.logits(faces) - expected).max() < 1e-4
    tempered = torch.from_numpy(expected / classifier.manifest.temperature).softmax(1).numpy()
    assert np.abs(classifier(faces) - tempered).max() < 1e-5


def test_int8_agrees_and_runs_in_integers(exported: dict[str, Path], faces_folder: Path, tmp_path: Path) -> None:
    faces = load(faces_folder).split("valid").pixels
    fp32, int8 = Classifier(exported["fp32"]), Classifier(exported["int8"])
    assert (fp32.logits(faces).argmax(1) == int8.logits(faces).argmax(1)).mean() > 0.9
    assert exported["int8"].stat().st_size < 0.4 * exported["fp32"].stat().st_size
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    ort.InferenceSession(str(exported["int8"]), options, providers=["CPUExecutionProvider"])
    operators = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert operators[0] == "QLinearConv"  # camera bytes go straight into the first convolution
    assert not {"Conv", "QuantizeLinear", "Relu", "Add"} & set(operators)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_file_describes_itself(exported: dict[str, Path], trained: Path, precision: str) -> None:
    model = onnx.load(exported[precision])
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version == 9
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 18)]
    manifest = parse(model.metadata_props[0].value, "the file")
    assert manifest.precision == precision
    assert manifest.labels == ("happy", "neutral", "sad")
    data = exported[precision].read_bytes()
    for leak in (b"stack_trace", b"site-packages", str(trained).encode(), b".py"):
        assert leak not in data


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_golden_answers_hold(exported: dict[str, Path], precision: str) -> None:
    classifier = Classifier(exported[precision])
    golden = classifier.manifest.golden
    assert golden is not None
    found = classifier.logits(golden_faces(golden.seed, classifier.size))
    assert np.abs(found - np.array(golden.logits)).max() <= golden.tolerance


def test_the_same_command_gives_the_same_bytes(
    command: Run, exported: dict[str, Path], trained: Path, tmp_path: Path
) -> None:
    for precision, file in exported.items():
        out = tmp_path / "again.onnx"
        assert command("fer-export", trained / "model.pt", "--precision", precision, "--out", out).returncode == 0
        assert out.read_bytes() == file.read_bytes()


def test_data_and_calibration_are_used(command: Run, trained: Path, faces_zip: Path, tmp_path: Path) -> None:
    arguments = ["--precision", "int8", "--data", faces_zip, "--calibration", faces_zip, "--json", "report.json"]
    done = command("fer-export", trained / "model.pt", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    metrics = json.loads((trained / "metrics.json").read_text())
    assert report["faces"] == 60
    assert report["pytorch"] == metrics["valid"]
    assert report["files"]["int8"]["scores"]["n"] == 60
    assert report["files"]["int8"]["quantization"]["rounding"] == "compensated"
    assert report["int8_search"]["trials"][-1]["agreement"] >= 0.98
    assert report["files"]["int8"]["timing"]["p50_ms"] > 0
    assert "60 faces of faces.zip" in done.stdout
    assert (tmp_path / "model.int8.onnx").stat().st_size == report["files"]["int8"]["bytes"]


def test_int8_without_ranges_asks_for_calibration(command: Run, trained: Path, faces_zip: Path, tmp_path: Path) -> None:
    bare = replace(checkpoint.load(trained / "model.pt"), ranges={})
    checkpoint.save(bare, tmp_path / "bare.pt")
    done = command("fer-export", "bare.pt", "--precision", "int8", cwd=tmp_path)
    assert done.returncode == 1
    assert "give --calibration DATA" in done.stderr
    assert not (tmp_path / "bare.int8.onnx").exists()
    fine = command("fer-export", "bare.pt", "--precision", "int8", "--calibration", faces_zip, cwd=tmp_path)
    assert fine.returncode == 0, fine.stderr


def test_bad_models_leave_the_output_alone(command: Run, tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"PK\x03\x04 cut")
    (tmp_path / "model.onnx").write_text("what stood here")
    done = command("fer-export", "model.pt", cwd=tmp_path)
    assert done.returncode == 1
    assert "is not a checkpoint of ours" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "model.onnx").read_text() == "what stood here"


def test_out_must_be_writable_before_anything_is_read(command: Run, tmp_path: Path) -> None:
    """The checkpoint and the data are not even looked for."""
    for name in ("no/model.onnx", "."):
        arguments = ["--out", tmp_path / name, "--json", tmp_path / "no" / "report.json", "--data", "missing.zip"]
        done = command("fer-export", "missing.pt", *arguments)
        assert done.returncode == 1
        assert "cannot write" in done.stderr
        assert "missing" not in done.stderr
