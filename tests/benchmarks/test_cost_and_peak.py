"""Multiply-adds counted in a graph, and a file's share of the CPU's peak."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fer_benchmarks.measure.latency import TimingConfig, Timings
from fer_benchmarks.measure.runner import add_run, fastest_ms
from fer_benchmarks.results import ModelResult
from fer_export.validation import speedup
from fer_export.validation.speedup import Timing
from fer_runtime.model import cost, onnx_writer, peak
from fer_runtime.model.manifest import golden_faces
from fer_runtime.model.session import Classifier, default_model, open_session


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
