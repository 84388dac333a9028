"""The models we ship are what their cards say."""

import json
from pathlib import Path

import numpy as np
import pytest

from conftest import ROOT, Run
from fer_runtime import contract
from fer_runtime.files import sha256
from fer_runtime.session import Classifier, default_model
from fer_train import checkpoint

MODELS = sorted((ROOT / "models").glob("*.pt"))


def test_every_size_is_there() -> None:
    assert {"fer-nano", "fer-small", "fer-base"} == {path.stem for path in MODELS}


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_the_card_says_what_the_checkpoint_holds(path: Path) -> None:
    assert path.stat().st_size < 4 * 10**6
    loaded = checkpoint.load(path)
    card = path.with_suffix(".md").read_text()
    metrics = loaded.metrics["valid"]
    assert f"{100 * metrics['accuracy']:.2f} %" in card
    assert f"{metrics['macro_f1']:.3f}" in card
    assert f"seed {loaded.recipe['seed']}" in card
    assert f"{loaded.manifest.parameters:,}" in card
    assert sha256(path) in card
    assert loaded.metrics["train_copies_dropped"] == 351
    assert metrics["accuracy"] >= {"fer-nano": 0.63, "fer-small": 0.66, "fer-base": 0.67}[path.stem]


def test_the_default_model_is_our_base_one_in_int8() -> None:
    classifier = Classifier()
    manifest = classifier.manifest
    assert manifest.precision == "int8"
    assert manifest.checkpoint == sha256(ROOT / "models" / "fer-base.pt")
    assert manifest.labels == ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
    golden = manifest.golden
    assert golden is not None
    found = classifier.logits(contract.golden_faces(golden.seed, classifier.size))
    assert np.abs(found - np.array(golden.logits)).max() <= golden.tolerance


def test_exporting_base_again_gives_the_default_model(command: Run, tmp_path: Path) -> None:
    done = command("fer-export", ROOT / "models" / "fer-base.pt", "--precision", "int8", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    again, shipped = Classifier(tmp_path / "fer-base.int8.onnx"), Classifier(default_model())
    faces = contract.golden_faces(1, 48, 16)
    assert np.abs(again.logits(faces) - shipped.logits(faces)).max() <= 1e-4


def test_readme_table_is_the_recorded_benchmark() -> None:
    readme = (ROOT / "README.md").read_text()
    report = json.loads((ROOT / "docs" / "bench.json").read_text())
    assert report["conditions"]["onnxruntime"] in readme
    assert report["conditions"]["cpu"] in readme
    for row in report["models"]:
        stem = row["file"].split(".")[0]
        scores, size = row["scores"], f"{row['bytes'] / 1e6:.2f} MB"
        figures = [
            f"{100 * scores['accuracy']:.2f} %",
            f"{scores['macro_f1']:.3f}",
            f"{row['latency']['p50']:.3f}",
            size,
        ]
        cells = [stem, f"{row['macs'] / 1e6:.1f}", f"{row['parameters']:,}", row["precision"], *figures]
        assert f"| {' | '.join(cells)} |" in readme


def test_the_benchmarked_accuracy_is_the_checkpoint() -> None:
    rows = {row["file"]: row for row in json.loads((ROOT / "docs" / "bench.json").read_text())["models"]}
    for path in MODELS:
        assert rows[f"{path.stem}.onnx"]["scores"] == checkpoint.load(path).metrics["valid"]
