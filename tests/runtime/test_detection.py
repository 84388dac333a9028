"""A user's YuNet file: driven through OpenCV's own class, and refused in one sentence where it is none.

No package that was looked at brings YuNet's weights, so a tiny graph with YuNet's input and outputs stands in for
them: a white tile of 32 pixels is a face to it.
"""

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from conftest import Run
from fer_benchmarks.demo_clip import render
from fer_runtime.errors import FerError
from fer_runtime.faces.detection import MIN_SCORE, PROPOSAL_SHARE, RetinaFace, YuNet, shrunk, shrunk_side
from fer_runtime.model.session import default_model

WIDTHS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
# Of a cell, in strides: centre and logarithm of the size; then the five landmarks.
FACE = [0.5, 0.5, 0.0, 0.0]
MARKS = [0.3, 0.3, 0.7, 0.3, 0.5, 0.5, 0.3, 0.8, 0.7, 0.8]


def tiny_yunet(path: Path) -> Path:
    """Brightness of each cell, as the scores; the same box and landmarks in every cell."""
    nodes, outputs = [helper.make_node("ReduceMean", ["input"], ["grey"], axes=[1], keepdims=1)], []
    weights = {"shape": np.array([1, -1, 1]), "bright": np.array(250, np.float32), "none": np.array(1e6, np.float32)}
    for name, values in (("bbox", FACE), ("kps", MARKS)):
        weights[name] = np.array(values, np.float32).reshape(1, 1, -1)
    weights["zero"] = np.array(0, np.float32)
    for stride in (8, 16, 32):
        limit = "bright" if stride == 32 else "none"  # faces are found at the coarsest stride alone
        nodes += [
            helper.make_node("AveragePool", ["grey"], [f"p{stride}"], kernel_shape=[stride] * 2, strides=[stride] * 2),
            helper.make_node("Reshape", [f"p{stride}", "shape"], [f"r{stride}"]),
            helper.make_node("Sub", [f"r{stride}", limit], [f"s{stride}"]),
            helper.make_node("Sigmoid", [f"s{stride}"], [f"cls_{stride}"]),
            helper.make_node("Sigmoid", [f"s{stride}"], [f"obj_{stride}"]),
            helper.make_node("Mul", [f"r{stride}", "zero"], [f"z{stride}"]),
            helper.make_node("Add", [f"z{stride}", "bbox"], [f"bbox_{stride}"]),
            helper.make_node("Add", [f"z{stride}", "kps"], [f"kps_{stride}"]),
        ]
        outputs += [
            helper.make_tensor_value_info(f"{name}_{stride}", TensorProto.FLOAT, [1, None, width])
            for name, width in WIDTHS.items()
        ]
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, "height", "width"])]
    initializers = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "yunet", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def yunet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_yunet(tmp_path_factory.mktemp("yunet") / "yunet.onnx")


def test_boxes_and_landmarks_are_the_frames(yunet: Path) -> None:
    frame = np.zeros((240, 320, 3), np.uint8)
    frame[64:96, 128:160] = 255
    (found,) = YuNet(yunet)(frame)
    assert found.box == pytest.approx((128, 64, 32, 32))
    assert found.landmarks == pytest.approx(np.array([128, 64]) + 32 * np.array(MARKS).reshape(5, 2), abs=0.01)
    assert 0.9 < found.score <= 1
    doubled = frame.repeat(2, 0).repeat(2, 1)  # 640 pixels: shrunk by two, and the box enlarged again
    (large,) = YuNet(yunet)(doubled)
    assert large.box == pytest.approx((256, 128, 64, 64))
    assert YuNet(yunet)(np.zeros((33, 47, 3), np.uint8)) == []


def test_the_command_runs_with_it(command: Run, yunet: Path, tmp_path: Path) -> None:
    frame = np.zeros((240, 320, 3), np.uint8)
    frame[64:96, 128:160] = 255
    cv2.imwrite(str(tmp_path / "frame.png"), frame)
    done = command("fer-run", "--source", tmp_path / "frame.png", "--headless", "--detector", yunet)
    assert done.returncode == 0, done.stderr
    (face,) = json.loads(done.stdout)["faces"]
    assert face["box"][2:] == pytest.approx([32, 32], abs=16)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "is not a file: expected an ONNX model of OpenCV's model zoo"),
        ("text", "is not an ONNX model"),
        ("cut", "is not an ONNX model"),
        ("other", "does not work as a YuNet face detector"),
    ],
)
def test_wrong_files_are_refused(command: Run, yunet: Path, tmp_path: Path, kind: str, message: str) -> None:
    path = tmp_path / "detector.onnx"
    if kind == "text":
        path.write_text("not a model at all")
    if kind == "cut":
        path.write_bytes(yunet.read_bytes()[:-40])
    if kind == "other":
        path.write_bytes(default_model().read_bytes())
    done = command("fer-run", "--source", tmp_path, "--headless", "--detector", path)
    assert done.returncode == 1
    assert message in done.stderr
    assert "YuNet" in done.stderr or "model zoo" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_wrong_file_is_an_error_in_python_too(tmp_path: Path) -> None:
    with pytest.raises(FerError, match="is not a file"):
        YuNet(tmp_path / "none.onnx")


def test_detectors_share_one_session() -> None:
    assert RetinaFace()._session is RetinaFace.nearby()._session


@pytest.mark.parametrize(("width", "side", "proposing"), [
    (1920, 640, 384), (1000, 500, 300), (640, 320, 192), (320, 320, 192), (200, 200, 192), (160, 160, 160),
])  # fmt: skip
def test_frames_are_shrunk_to_what_the_detector_wants_and_small_ones_not_at_all(
    width: int, side: int, proposing: int
) -> None:
    assert shrunk_side(width, width // 2) == shrunk_side(width // 2, width) == side
    assert shrunk_side(width, width // 2, PROPOSAL_SHARE) == proposing


@pytest.mark.parametrize(("height", "width"), [(310, 320), (307, 311), (551, 553)])
def test_a_shrunk_picture_is_nearly_the_mean_of_its_pixels_where_sides_are_odd_too(height: int, width: int) -> None:
    picture = cv2.resize(render(0), (width, height)).astype(np.uint8)
    small = shrunk(picture, 0.25)
    mean = cv2.resize(picture, (small.shape[1], small.shape[0]), interpolation=cv2.INTER_AREA)
    assert float(np.abs(small.astype(float) - mean).mean()) < 2


def test_proposals_of_a_small_frame_are_its_faces() -> None:
    """Where nothing is shrunk, the scale is the detector's own, and so are its scores."""
    small = cv2.resize(render(0), (160, 120), interpolation=cv2.INTER_AREA).astype(np.uint8)
    sure = [face for face in RetinaFace.proposing()(small) if face.score >= MIN_SCORE]
    assert [face.box for face in sure] == [face.box for face in RetinaFace()(small)]
    assert sure
