"""fer-bench as a user runs it, on small data: every figure, and every output that holds it."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import onnx
import pytest
from onnx import numpy_helper

from conftest import ROOT, Run
from fer_benchmarks import results
from fer_benchmarks.results import JoinedReport, ModelResult, Report
from fer_runtime.files import sha256
from fer_runtime.model.session import default_model
from helpers.plain_onnx import without_manifest

LABELS = "happy,neutral,sad"
PEER = """
import sys
import numpy as np
from fer_benchmarks.protocol import serve
from fer_runtime.model.manifest import golden_faces

if sys.argv[1] == "broken":
    sys.exit("no such engine here")

def load():
    print("what a library prints must not disturb")
    return lambda crops: np.tile([0.2, 0.5, 0.3], (len(crops), 1))

serve(load, golden_faces(0, 48, 8)[:, 0])
"""


def peer(folder: Path, name: str, word: str) -> Path:
    """A peer that always answers neutral."""
    (folder / "peer.py").write_text(PEER)
    (folder / "weights.bin").write_bytes(b"0" * 1000)
    command = [sys.executable, str(folder / "peer.py"), word, "{threads}"]
    plain = {
        "name": name, "engine": "always neutral", "labels": LABELS.split(","), "size": 48, "colour": "grey",
        "files": ["weights.bin"], "precision": "none", "parameters": 0, "macs": None, "command": command,
    }  # fmt: skip
    path = folder / f"{name}.json"
    path.write_text(json.dumps(plain))
    return path


def with_its_head_turned_round(file: Path, out: Path) -> Path:
    model = onnx.load(file)
    head = next(node for node in model.graph.node if node.op_type in ("Gemm", "MatMul"))
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == head.input[1])
    weight.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(weight), weight.name))
    onnx.save(model, out)
    return out


@pytest.fixture(scope="module")
def everything(
    command: Run, exported: dict[str, Path], faces_zip: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Report, Path, str]:
    """The report of one run with nearly all options, the folder of its outputs, and what the terminal showed."""
    folder = tmp_path_factory.mktemp("everything")
    plain = without_manifest(exported["fp32"], folder / "plain.onnx")
    done = command(
        "fer-bench", exported["fp32"], exported["int8"], plain, "--labels", LABELS, "--against", "cv2",
        "--peer", peer(folder, "steady", "fine"), "--peer", peer(folder, "absent", "broken"),
        "--data", faces_zip, "--robust", "--threads", "1", "--batch", "1,3", "--pace", "300", "--duration", "0.2",
        "--max-ms", "10000", "--min-accuracy", "50", "--json", folder / "out.json", "--markdown", folder / "out.md",
        "--html", folder / "out.html", "--png", folder / "out.png", COLUMNS="100",
    )  # fmt: skip
    assert done.returncode in (0, 3), done.stderr  # 3: the tests' machine may well be too noisy
    report = results.read(folder / "out.json")
    assert (done.returncode == 3) == any(not check.ok for check in report.self_check)
    return report, folder, done.stdout


def by_name(report: Report) -> dict[str, ModelResult]:
    return {model.name: model for model in report.models}


def test_every_model_has_its_figures(everything: tuple[Report, Path, str], exported: dict[str, Path]) -> None:
    report, _, _ = everything
    names = ["model.onnx", "model.int8.onnx", "plain.onnx"]
    assert [model.name for model in report.models] == [
        *(f"{name}{engine}" for name in names for engine in ("", " (cv2)")), "steady", "absent"
    ]  # fmt: skip
    models = by_name(report)
    assert "no such engine here" in (models.pop("absent").error or "")
    for model in models.values():
        assert model.error is None
        assert [(run.threads, run.batch) for run in model.runs] == [(1, 1), (1, 3)]
        for run in model.runs:
            latency = run.back_to_back
            known = [ms for ms in (latency.p50, latency.p90, latency.p95, latency.p99) if ms is not None]
            assert 0 < known[0] <= known[-1] <= latency.percentiles[-1]  # p99 is None on a slow machine: few calls
            assert known == sorted(known)
            assert latency.intervals["p50"][0] <= latency.p50 <= latency.intervals["p50"][1]
            assert latency.calls >= 10
            assert len(run.block_medians_ms) == 10
            assert run.paced
            assert run.paced.calls == 60
            assert (run.cpu_ms or 0) > 0
            assert (run.start_ms or 0) > run.load_ms > 0
            assert 20 * 2**20 < (run.peak_memory_bytes or 0) < 2**30
    first, int8 = models["model.onnx"], models["model.int8.onnx"]
    assert first.runs[0].ratio == (1, 1, 1)
    assert first.macs == int8.macs == models["plain.onnx"].macs
    assert first.sha256 == sha256(exported["fp32"])
    assert int8.file_bytes == exported["int8"].stat().st_size
    assert all((run.peak_share or 0) > 0 for run in first.runs)
    assert all(peak.fp32_gmacs_per_s > 1 and peak.int8_gmacs_per_s > 1 for peak in report.peak)


def test_accuracy_is_that_of_the_same_bytes(everything: tuple[Report, Path, str], trained: Path) -> None:
    models = by_name(everything[0])
    expected = json.loads((trained / "metrics.json").read_text())["valid"]
    scores, plain, steady = (models[name].scores for name in ("model.onnx", "plain.onnx", "steady"))
    assert scores
    assert plain
    assert steady
    assert {key: getattr(scores, key) for key in expected} == expected
    for key in ("accuracy", "macro_f1", "ece", "correct"):
        assert getattr(plain, key) == getattr(scores, key)
    in_opencv = models["model.onnx (cv2)"].scores
    assert in_opencv
    if cv2.__version__.startswith("5"):  # OpenCV 4 computes something else, which the table then shows
        assert in_opencv.correct == scores.correct
    assert steady.accuracy == pytest.approx(1 / 3, abs=1e-5)
    assert steady.recall == {"happy": 0, "neutral": 1, "sad": 0}
    pair = next(pair for pair in everything[0].paired_tests if (pair.a, pair.b) == ("model.onnx", "steady"))
    assert pair.difference == pytest.approx(scores.accuracy - 1 / 3, abs=1e-4)
    assert pair.p_value < 1e-6


def test_accuracy_under_corruption(everything: tuple[Report, Path, str]) -> None:
    model = by_name(everything[0])["model.onnx"]
    found, scores = model.robustness, model.scores
    assert found
    assert scores
    assert list(found.accuracy) == ["defocus", "motion", "dark", "bright", "JPEG", "occluded", "crop", "small"]
    assert (found.n, found.clean_accuracy) == (60, scores.accuracy)
    assert all(len(severities) == 5 for severities in found.accuracy.values())
    assert found.mean_accuracy == pytest.approx(sum(map(sum, found.accuracy.values())) / 40, abs=1e-4)
    assert found.mean_accuracy < scores.accuracy


def test_the_report_says_how_it_came_about(everything: tuple[Report, Path, str]) -> None:
    report, folder, _ = everything
    assert report.environment.cpu
    assert report.environment.onnxruntime
    assert str(folder) not in (folder / "out.json").read_text()
    assert report.command.startswith("fer-bench model.onnx model.int8.onnx plain.onnx --data faces.zip --robust")
    assert " --against cv2 --peer steady.json --peer absent.json --labels happy,neutral,sad --max-ms" in report.command
    assert report.data
    assert (report.data.name, report.data.split, report.data.n) == ("faces.zip", "valid", 60)
    assert len(report.self_check) == len(report.peak) == 2
    assert report.ranking.recommended


def test_the_terminal_shows_tables_of_100_columns(everything: tuple[Report, Path, str]) -> None:
    report, _, shown = everything
    assert max(map(len, shown.splitlines())) <= 100
    first = report.models[0]
    assert first.scores
    assert f"{first.runs[0].back_to_back.p50:.3f}" in shown
    assert f"{first.scores.accuracy:.2%}" in shown
    for text in (
        "front: ",
        "recommended for p95 at most 10000 ms and accuracy at least 50 %:",
        "command:",
    ):
        assert text in " ".join(shown.split())
    assert shown.count("absent failed: no such engine here") == 1


def test_every_output_holds_the_same_figures(everything: tuple[Report, Path, str]) -> None:
    report, folder, _ = everything
    markdown, page = (folder / "out.md").read_text(), (folder / "out.html").read_text()
    for model in report.models[:-1]:
        p50 = f"{model.runs[0].back_to_back.p50:.3f}"
        assert f"| {model.name} | {p50} |" in markdown
        assert f"<th scope=row>{model.name}<td>{p50}" in page
    assert not re.search(r"(?:src|href)=|https?://(?!www\.w3\.org/2000/svg)", page)
    inside = re.search(r"<script type=application/json id=report>(.*?)</script>", page)
    assert inside
    assert json.loads(inside[1]) == json.loads((folder / "out.json").read_text())
    picture = cv2.imread(str(folder / "out.png"))
    assert picture is not None
    assert picture.shape[1] > 800


def test_the_page_reads_fields_that_the_report_has(everything: tuple[Report, Path, str]) -> None:
    """What the page's script takes from a model, a run, a latency, scores or robustness under a name."""
    report, _, _ = everything
    script = (ROOT / "benchmarks" / "fer_benchmarks" / "report" / "page.js").read_text()
    model = report.models[0]
    holders = {
        "report": report, "row": model, "run": model.runs[0], "back_to_back": model.runs[0].back_to_back,
        "paced": model.runs[0].paced, "figures": model.runs[0].paced, "scores": model.scores,
        "robustness": model.robustness,
    }  # fmt: skip
    for holder, record in holders.items():
        names = set(re.findall(rf"(?<!\w){holder}\.(\w+)", script))
        assert names
        assert all(hasattr(record, name) for name in names), (holder, names)


def test_earlier_results_join_and_render_anew(
    command: Run, everything: tuple[Report, Path, str], tmp_path: Path
) -> None:
    report, folder, _ = everything
    other = results.read(folder / "out.json")
    other.environment = replace(other.environment, cpu="Cortex-A76")
    results.write(tmp_path / "pi5.json", other)
    out = tmp_path / "both.json"
    done = command(
        "fer-bench", folder / "out.json", tmp_path / "pi5.json", "--json", out, "--markdown", tmp_path / "both.md"
    )
    assert done.returncode in (0, 3), done.stderr
    both = results.read(out)
    assert len(both.models) == 2 * len(report.models)
    assert both.joined == [JoinedReport("pi5", "Cortex-A76", report.date)]
    markdown = (tmp_path / "both.md").read_text()
    assert "model.onnx [pi5]" in markdown
    assert "[pi5]: Cortex-A76" in markdown
    assert [part.origin for part in both.ranking.fronts] == [None, "pi5"]


@pytest.mark.parametrize("schema", [2, None, "3"])
def test_a_report_of_another_schema_is_refused_in_one_sentence(
    command: Run, everything: tuple[Report, Path, str], tmp_path: Path, schema: object
) -> None:
    plain = json.loads((everything[1] / "out.json").read_text())
    (tmp_path / "old.json").write_text(json.dumps(plain | {"schema": schema}))
    for words in ([default_model(), "--baseline", tmp_path / "old.json"], [tmp_path / "old.json"]):
        done = command("fer-bench", *words)
        assert done.returncode == 1
        assert done.stderr.startswith("fer-bench: ")
        assert done.stderr.count("\n") == 1
        assert f"old.json has schema {schema!r} and this fer-bench reads schema 3: measure again" in done.stderr


def test_a_broken_file_is_less_accurate_and_a_regression(
    command: Run, exported: dict[str, Path], faces_zip: Path, tmp_path: Path
) -> None:
    (tmp_path / "now").mkdir()
    broken = with_its_head_turned_round(exported["fp32"], tmp_path / "now" / "model.onnx")
    few = ["--data", faces_zip, "--duration", "0.1", "--json"]
    done = command("fer-bench", exported["fp32"], broken, "--threads", "2,1", *few, tmp_path / "both.json")
    good, bad = results.read(tmp_path / "both.json").models
    assert [run.threads for run in bad.runs] == [2, 1], done.stderr
    assert bad.scores
    assert good.scores
    assert bad.scores.accuracy < good.scores.accuracy - 0.3
    command("fer-bench", exported["fp32"], *few, tmp_path / "then.json")
    done = command("fer-bench", broken, *few, tmp_path / "now.json", "--baseline", tmp_path / "then.json")
    assert done.returncode == 3
    assert "worse" in done.stdout
    (change,) = [c for c in results.read(tmp_path / "now.json").baseline if "accuracy" in c.text]
    assert change.regressed
