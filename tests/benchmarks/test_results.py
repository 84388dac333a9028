"""The report: written and read, held against a baseline, published."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import ROOT
from fer_benchmarks import results
from fer_benchmarks.report import baseline, publish, tables
from fer_benchmarks.results import Report
from fer_runtime.errors import FerError
from fer_runtime.records import from_plain


def small_report(p50: float, correct: NDArray[np.bool_]) -> Report:
    """A report of one file, out of the published one, with another time and other predictions."""
    report = results.read(ROOT / "docs" / "bench.json")
    model, check = report.models[0], report.self_check[0]
    assert model.scores
    run = model.runs[0]
    latency = replace(run.back_to_back, p50=p50, intervals={"p50": (0.99 * p50, 1.01 * p50)})
    model.scores = replace(
        model.scores, n=len(correct), accuracy=float(correct.mean()), correct=results.packed(correct)
    )  # fmt: skip
    model.runs = [replace(run, back_to_back=latency)]
    report.models, report.self_check = [model], [replace(check, noise=0.02)]
    return report


def test_the_baseline_tells_a_regression_from_noise() -> None:
    rng = np.random.RandomState(0)
    right = rng.rand(1000) < 0.65
    then = small_report(1.0, right)
    steady = baseline.compare(small_report(1.04, right), then)
    assert not any(change.regressed for change in steady)
    assert ["the same within the noise" in steady[0].text, "the same within chance" in steady[1].text] == [True, True]
    slower = baseline.compare(small_report(1.15, right), then)
    assert [change.regressed for change in slower] == [True, False]
    assert "p50 1.000 -> 1.150 ms, slower" in slower[0].text
    worse = right & (rng.rand(1000) < 0.97)
    assert [change.regressed for change in baseline.compare(small_report(1.0, worse), then)] == [False, True]
    better = baseline.compare(small_report(0.8, right), small_report(1.0, worse))
    assert ["faster" in better[0].text, "better" in better[1].text] == [True, True]
    assert not any(change.regressed for change in better)


def test_times_of_another_machine_and_other_faces_are_not_compared() -> None:
    right = np.ones(1000, bool)
    now, then = small_report(9.0, ~right), small_report(1.0, right)
    assert then.data
    then.environment = replace(then.environment, cpu="another")
    then.data = replace(then.data, fingerprint="other")
    found = baseline.compare(now, then)
    assert not any(change.regressed for change in found)
    assert ["another machine" in found[0].text, "no scores on these faces" in found[1].text] == [True, True]


def test_the_baseline_compares_with_its_own_machine_not_with_a_joined_one() -> None:
    """A report of a fast machine that a slow one's was joined to, under the same names of files."""
    right = np.random.RandomState(0).rand(1000) < 0.65
    then, slow = small_report(1.0, right), small_report(9.0, right)
    slow.models[0].origin = "pi5"
    baseline.join(then, [slow])
    found = baseline.compare(small_report(2.0, right), then)
    assert "p50 1.000 -> 2.000 ms, slower" in found[0].text


def test_correct_faces_are_kept_one_bit_each() -> None:
    correct = np.random.RandomState(0).rand(3589) < 0.7
    scores = small_report(1.0, correct).models[0].scores
    assert scores
    assert np.array_equal(scores.correct_faces(), correct)
    with pytest.raises(ValueError, match="one bit per face"):
        replace(scores, n=3000).correct_faces()


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    report = results.read(ROOT / "docs" / "bench.json")
    results.write(tmp_path / "again.json", report)
    assert results.read(tmp_path / "again.json") == report


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"p50": 0.10646,', '"p50": "fast",', "models[0].runs[0].back_to_back.p50 is 'fast', expected float"),
        ('"p50": 0.10646,', '"p50": NaN,', "models[0].runs[0].back_to_back.p50 is 'nan', expected float"),
        ('"p50": 0.10646,', "", "models[0].runs[0].back_to_back.p50 is missing"),
        ('"virtual": true,', '"virtual": 1,', "environment.virtual is '1', expected bool"),
        ("0.105116975", "0", "a time of fer-nano.onnx has no interval above 0"),
        ('"worst_class": "disgust"', '"worst_class": "boredom"', "the scores of fer-nano.onnx are incomplete"),
        ('"n": 3589,', '"n": 12,', "`correct` does not have one bit per face"),
        ('"tool": "fer-bench"', '"tool": "another"', "no report of fer-bench"),
    ],
)
def test_a_spoiled_report_is_refused_with_the_field_that_is_wrong(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    text = (ROOT / "docs" / "bench.json").read_text()
    assert old in text
    (tmp_path / "spoiled.json").write_text(text.replace(old, new))
    with pytest.raises(FerError, match=re.escape(said)):
        results.read(tmp_path / "spoiled.json")


def test_the_published_figures_are_the_recorded_run() -> None:
    """README.md and docs/benchmarks.md hold what `python -m fer_benchmarks.report.publish docs/bench.json` writes."""
    report = results.read(ROOT / "docs" / "bench.json")
    for name, content in (("README.md", publish.readme(report)), ("docs/benchmarks.md", tables.markdown(report))):
        text = (ROOT / name).read_text()
        assert publish.filled(text, content, Path(name)) == text
        for fact in (report.date, report.environment.cpu, report.environment.onnxruntime):
            assert fact in content
    assert report.command in tables.markdown(report)


def panel(path: Path, **changes: object) -> Path:
    """What the page in a browser copies, with changes; None takes a key away."""
    plain: dict[str, object] = {
        "tool": "fer-edge page", "schema": 1, "date": "2026-11-28T09:00:00.000Z", "file": "classifier.onnx",
        "sha256": "ab" * 32, "file_bytes": 325038, "precision": "int8", "parameters": 298407, "macs": 22000000,
        "labels": ["happy", "sad"], "load_ms": 700.5, "threads": 1, "hardware_concurrency": 8, "user_agent": "Firefox",
        "times_ms": [0.9, 1.0, 1.1] * 40,
    }  # fmt: skip
    path.write_text(json.dumps({key: value for key, value in (plain | changes).items() if value is not None}))
    return path


def test_what_the_page_copies_is_a_row_beside_a_report(tmp_path: Path) -> None:
    report = results.read(ROOT / "docs" / "bench.json")
    baseline.join(report, [baseline.read_joined(panel(tmp_path / "phone.json"))])
    model = report.models[-1]
    assert (model.title, model.engine) == ("classifier.onnx (web) [phone]", "web")
    assert (model.runs[0].back_to_back.p50, model.runs[0].back_to_back.calls) == (1.0, 120)
    assert report.joined[-1].cpu == "Firefox"
    assert "| classifier.onnx (web) [phone] | 1.000 |" in tables.markdown(report)
    assert from_plain(Report, json.loads(results.to_json(report))) == report


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schema": 2}, "has schema 2, expected 1"),
        ({"threads": "1"}, "threads is '1', expected int"),
        ({"sha256": None}, "sha256 is missing"),
        ({"times_ms": [1.0] * 9}, "has 9 times, expected 50"),
        ({"times_ms": [0] * 60}, "expected 50 above 0"),
    ],
)
def test_a_copy_that_cannot_be_used_is_a_sentence(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(FerError, match=words):
        baseline.read_earlier(panel(tmp_path / "phone.json", **changes))
