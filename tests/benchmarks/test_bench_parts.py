"""The parts of fer-bench: counted multiply-adds, foreign files, corruptions, energy, conditions, the baseline."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from conftest import ROOT
from fer_benchmarks import results
from fer_benchmarks.classifiers import backends, specs
from fer_benchmarks.measure import environment
from fer_benchmarks.measure.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from fer_benchmarks.measure.energy import find_meter
from fer_benchmarks.measure.latency import TimingConfig, Timings
from fer_benchmarks.measure.runner import add_run, fastest_ms, latency_of
from fer_benchmarks.report import baseline, publish, tables
from fer_benchmarks.results import PERCENTILES, ModelResult, Report
from fer_export.validation import speedup
from fer_export.validation.speedup import Timing
from fer_runtime.errors import FerError
from fer_runtime.model import cost, onnx_writer, peak
from fer_runtime.model.manifest import golden_faces
from fer_runtime.model.normalization import ForeignOptions
from fer_runtime.model.session import Classifier, default_model, open_session
from fer_runtime.records import from_plain
from helpers.drawn import draw_face


def channels_last_network(path: Path) -> NDArray[np.float32]:
    """A float classifier of rgb [1, 16, 16, 3], one face at a time, that gives logits; its weights [3, 2]."""
    weights = np.array([[1, -1], [0.5, 0], [0, 2]], np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["means"], keepdims=0),
        helper.make_node("MatMul", ["means", "w"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes, "means", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 16, 16, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.array([1, 2]), "axes")],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return weights


def what_it_expects(spec: specs.ModelSpec) -> backends.Plain:
    """As its worker is told."""
    plain = from_plain(backends.Task, json.loads(spec.command[-2])).plain
    assert plain
    return plain


def test_a_foreign_file_gets_what_the_options_say(tmp_path: Path) -> None:
    weights = channels_last_network(tmp_path / "net.onnx")
    given = ForeignOptions(labels=("sad", "happy"), mean=(0.5, 0.4, 0.3), std=(0.25,))
    (spec,) = specs.of_files([tmp_path / "net.onnx"], given, [])
    assert (spec.size, spec.colour, spec.labels) == (16, "rgb", ("sad", "happy"))
    assert (spec.facts.macs, spec.facts.parameters) == (6, 6)
    predict = backends.of_plain(tmp_path / "net.onnx", 1, what_it_expects(spec))
    crops = np.random.RandomState(0).randint(0, 256, (5, 16, 16, 3)).astype(np.uint8)
    logits = ((crops[..., ::-1] / 255 - (0.5, 0.4, 0.3)) / 0.25).mean((1, 2)) @ weights
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert np.allclose(predict(crops), expected, atol=1e-5)
    pixels = ForeignOptions(labels=("sad", "happy"), mean=(127.5, 102, 76.5), std=(63.75,))
    (same,) = specs.of_files([tmp_path / "net.onnx"], pixels, [])
    again = backends.of_plain(tmp_path / "net.onnx", 1, what_it_expects(same))
    assert np.allclose(again(crops), expected, atol=1e-5)
    with pytest.raises(FerError, match="expected one, or one for each of 3 channels"):
        specs.of_files([tmp_path / "net.onnx"], ForeignOptions(labels=("sad", "happy"), mean=(0.5, 0.5)), [])


@pytest.mark.parametrize("mean", [(0.5,), (0.5, 0.4, 0.3)])
def test_grey_faces_go_into_all_three_channels(tmp_path: Path, mean: tuple[float, ...]) -> None:
    weights = channels_last_network(tmp_path / "net.onnx")
    options = ForeignOptions(labels=("sad", "happy"), colour="grey", mean=mean, std=(0.25,))
    (spec,) = specs.of_files([tmp_path / "net.onnx"], options, [])
    assert (spec.colour, spec.facts.macs, spec.notes) == ("grey", 6, ())
    crops = np.random.RandomState(0).randint(0, 256, (5, 16, 16)).astype(np.uint8)
    pixels = np.repeat(crops[..., None] / 255, 3, 3)
    logits = ((pixels - mean) / 0.25).mean((1, 2)) @ weights
    found = backends.of_plain(tmp_path / "net.onnx", 1, what_it_expects(spec))(crops)
    assert np.allclose(found, np.exp(logits) / np.exp(logits).sum(1, keepdims=True), atol=1e-5)
    (assumed,) = specs.of_files([tmp_path / "net.onnx"], ForeignOptions(labels=("sad", "happy")), [])
    assert "rgb is assumed" in assumed.notes[0]


def test_multiply_adds_are_counted_by_hand() -> None:
    file = default_model()
    found = cost.count(file.read_bytes(), (1, 1, 48, 48))
    assert found
    assert found.macs == Classifier(file).manifest.macs
    for precision in ("fp32", "int8"):
        large = cost.count(peak.large_convolution(precision), peak.SHAPE)
        assert large
        assert large.macs == peak.MACS
        onnx.checker.check_model(onnx.load_from_string(peak.large_convolution(precision)), full_check=True)


def test_export_and_bench_give_one_file_one_share_of_the_peak() -> None:
    """The same times: a file of 22 MMAC in 0.2 ms, beside a large convolution whose calls take 0.5 to 0.9 ms."""
    macs, peak_calls = 22_000_000, np.linspace(0.5, 0.9, 40).reshape(4, 10)
    model = ModelResult("a", "onnxruntime", None, None, [], 1, "", "int8", None, macs)
    timings = Timings(back_to_back=np.full((4, 10), 0.2))
    peak_ms = fastest_ms([Timings(back_to_back=2 * peak_calls), Timings(back_to_back=peak_calls)])
    add_run(model, TimingConfig(1, 1, 1, None), timings, timings, peak_ms)
    exported = {
        "int8": Timing(0.2, 1, (1, 1), 0.19), speedup.PEAK: Timing(0.7, 1, (1, 1), float(peak_calls.min()))
    }  # fmt: skip
    share = speedup.peak_share(exported, macs)
    assert share == pytest.approx((macs / 0.2) / (128 * 128 * 9 * 24 * 24 / 0.5))
    assert model.runs[0].peak_share == pytest.approx(share)


def test_an_export_times_the_same_large_convolution() -> None:
    file = default_model().read_bytes()
    timings = speedup.race({"fp32": file, "int8": file}, golden_faces(0, 48, 1, 1), 1)
    assert 0 < timings[speedup.PEAK].fastest < timings[speedup.PEAK].p50
    direct = open_session(peak.large_convolution("int8"))
    assert direct.run(["y"], {"x": peak.pixels("int8")})[0].shape == peak.SHAPE


def test_multiply_adds_of_groups_strides_and_products() -> None:
    """8x8 pixels: a depthwise 3x3 of stride 2 gives 4x4 of 6 channels; a transposed product of 96 to 5."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["y"], group=6, strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Flatten", ["y"], ["flat"]),
        helper.make_node("Gemm", ["flat", "head"], ["z"], transB=1),
    ]
    graph = helper.make_graph(
        nodes, "groups", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 6, 8, 8])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 5])],
        [numpy_helper.from_array(np.ones((6, 1, 3, 3), np.float32), "w"),
         numpy_helper.from_array(np.ones((5, 96), np.float32), "head")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()
    assert cost.count(model, (1, 6, 8, 8)) == cost.Cost(4 * 4 * 6 * 9 + 96 * 5, 6 * 9 + 96 * 5)
    assert cost.count(model, (1, 6, 9, 9)) is None
    session = open_session(onnx_writer.with_outputs(model, ["y"]))
    assert [output.name for output in session.get_outputs()] == ["z", "y"]


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_grows_and_repeats(name: str) -> None:
    rng = np.random.RandomState(0)
    faces = np.stack([draw_face("happy", rng) for _ in range(20)])
    before = faces.copy()
    harm = []
    for severity in SEVERITIES:
        found = corrupt(faces, name, severity)
        assert found.dtype == np.uint8
        assert found.shape == faces.shape
        assert np.array_equal(found, corrupt(faces, name, severity))
        harm.append(float(np.abs(found.astype(float) - faces).mean()))
    assert np.array_equal(faces, before)
    assert 0.3 < harm[0] < harm[2] < harm[4]
    coloured = np.repeat(faces[:2, :, :, None], 3, 3)
    assert corrupt(coloured, name, 5).shape == coloured.shape


def test_rapl_is_read_over_its_end(tmp_path: Path) -> None:
    package = tmp_path / "intel-rapl:0"
    (tmp_path / "intel-rapl:0:0").mkdir()  # a part of the package, which must not count twice
    package.mkdir()
    (package / "max_energy_range_uj").write_text("1000000000")
    (package / "energy_uj").write_text("999000000")
    meter = find_meter(tmp_path)
    assert meter
    assert meter.source.startswith("RAPL")
    meter.start()
    (package / "energy_uj").write_text("2500000")
    assert meter.stop() == pytest.approx(3.5)
    (package / "energy_uj").unlink()
    assert meter.stop() is None


def test_a_raspberry_pis_power_chip_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "vcgencmd"
    tool.write_text(
        "#!/bin/sh\necho '     VDD_CORE_A current(7)=2.50000000A'\necho ' 3V3_SYS_A current(1)=0.20000000A'\n"
        "echo '     VDD_CORE_V volt(15)=0.80000000V'\necho ' 3V3_SYS_V volt(9)=3.00000000V'\n"
        "echo '     BATT_V volt(25)=3.00000000V'\n"
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    meter = find_meter(tmp_path / "none")
    assert meter
    assert meter.source.startswith("PMIC")
    meter.start()
    import time

    begun = time.monotonic()
    time.sleep(0.5)
    joules = meter.stop()
    assert joules
    assert joules / (time.monotonic() - begun) == pytest.approx(2.6, rel=0.2)


def test_without_a_meter_there_is_no_energy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_meter(tmp_path) is None


def fake_machine(root: Path, mhz: int, throttled: int, stolen: int, governor: str) -> environment.Moment:
    cpu = root / "sys/devices/system/cpu/cpu0"
    for file, text in {
        cpu / "cpufreq/scaling_governor": governor,
        cpu / "cpufreq/scaling_cur_freq": str(mhz * 1000),
        cpu / "thermal_throttle/core_throttle_count": str(throttled),
        root / "sys/class/thermal/thermal_zone0/temp": "61500",
        root / "proc/stat": f"cpu  {1000 + 10 * throttled} 0 0 8000 0 0 0 {stolen} 0 0\n",
        root / "proc/cpuinfo": "flags : fpu hypervisor avx2\n",
    }.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return environment.now(root)


def test_a_percentile_of_quick_calls_lies_in_its_interval() -> None:
    """Calls of 3 microseconds: where an end is rounded to ten nanoseconds, the median leaves the interval."""
    figures = latency_of(np.full((5, 200), 0.003054))
    assert list(figures.intervals) == list(PERCENTILES)
    for name, (low, high) in figures.intervals.items():
        assert low <= getattr(figures, name) <= high <= figures.percentiles[-1]


def test_what_spoils_the_figures_is_warned_of(tmp_path: Path) -> None:
    before = fake_machine(tmp_path, 2400, 3, 0, "ondemand")
    after = fake_machine(tmp_path, 1500, 9, 900, "ondemand")
    found = environment.describe(before, after, None, tmp_path)
    assert (found.clock_mhz, found.temperature_c, found.throttled) == ((2400, 1500), (61.5, 61.5), True)
    assert found.virtual is True
    warnings = environment.warnings(found)
    for text in ("governor ondemand", "slowed itself down", "2400 MHz before the run and 1500 after", "other machines"):
        assert any(text in warning for warning in warnings)
    quiet = replace(fake_machine(tmp_path, 2400, 3, 0, "performance"), load=0.1)
    calm = environment.describe(quiet, quiet, None, tmp_path)
    assert calm.throttled is False
    assert environment.warnings(calm) == []
    firmware = tmp_path / "sys/devices/platform/soc/soc:firmware/get_throttled"
    firmware.parent.mkdir(parents=True)
    firmware.write_text("4")  # a Raspberry Pi's: throttled now
    held_back = environment.describe(quiet, environment.now(tmp_path), None, tmp_path)
    assert any("slowed itself down" in warning for warning in environment.warnings(held_back))
    busy = environment.describe(replace(quiet, load=2.5), quiet, None, tmp_path)
    assert any("load 2.5" in warning for warning in environment.warnings(busy))


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
