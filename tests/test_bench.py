"""fer-bench: every figure it prints comes from the files it was given."""

import json
from pathlib import Path

import pytest

from conftest import Run
from drawn import write_faces
from fer_runtime.metrics import score


def test_two_files_side_by_side(
    command: Run, exported: dict[str, Path], faces_zip: Path, trained: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bench.json"
    done = command("fer-bench", exported["fp32"], exported["int8"], "--data", faces_zip, "--json", out)
    assert done.returncode == 0, done.stderr
    report = json.loads(out.read_text())
    first, second = report["models"]
    assert report["split"] == "valid"
    assert first["scores"] == json.loads((trained / "metrics.json").read_text())["valid"]
    assert second["scores"]["n"] == 60
    assert first["ratio"] == 1
    assert second["ratio"] == pytest.approx(second["latency"]["p50"] / first["latency"]["p50"])
    for row, file in zip(report["models"], exported.values(), strict=True):
        timing = row["latency"]
        assert row["bytes"] == file.stat().st_size
        assert timing["n"] == 2000
        assert 0 < timing["p50"] <= timing["p95"] <= timing["p99"]
        assert timing["spread"][0] <= timing["p50"] <= timing["spread"][1]
        assert 20 * 2**20 < timing["peak_bytes"] < 2**30
        assert f"{timing['p50']:.3f}" in done.stdout
        assert row["file"] in done.stdout
    assert report["conditions"]["threads"] == 1
    assert report["conditions"]["onnxruntime"]


def test_needs_a_model_and_says_so(command: Run) -> None:
    assert command("fer-bench").returncode == 2


def test_bad_data_is_told_before_the_timing(command: Run, exported: dict[str, Path], tmp_path: Path) -> None:
    done = command("fer-bench", exported["fp32"], "--data", tmp_path / "missing.zip")
    assert done.returncode == 1
    assert "does not exist" in done.stderr
    write_faces(tmp_path, "a", "train", 1, 0)
    (tmp_path / "train" / "sad").rename(tmp_path / "train" / "bored")
    done = command("fer-bench", exported["fp32"], "--data", tmp_path)
    assert done.returncode == 1
    assert "a class 'bored' that the model does not know" in done.stderr


def test_scores_by_hand() -> None:
    import numpy as np

    labels = np.array([0, 0, 0, 1, 1, 2])
    predicted = np.array([0, 0, 1, 1, 0, 1])
    scores = score(predicted, labels, ("a", "b", "c", "unused"))
    assert scores.accuracy == 0.5
    assert scores.precision == pytest.approx({"a": 2 / 3, "b": 1 / 3, "c": 0, "unused": 0})
    assert scores.recall == pytest.approx({"a": 2 / 3, "b": 1 / 2, "c": 0, "unused": 0})
    assert scores.macro_f1 == pytest.approx((2 / 3 + 2 / 5 + 0) / 3)
    assert scores.confusion == [[2, 1, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert scores.interval == pytest.approx(0.3124, abs=1e-3)  # Wilson: 0.188 to 0.812
