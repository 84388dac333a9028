"""What turns face crops into probabilities: a file of our contract, any plain ONNX classifier, or either in OpenCV."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from fer_benchmarks.protocol import Predict
from fer_runtime.errors import FerError
from fer_runtime.model import peak
from fer_runtime.model.inference import softmax
from fer_runtime.model.manifest import PROBABILITIES
from fer_runtime.model.preprocessing import to_face
from fer_runtime.model.session import Classifier, open_file

Tensor = NDArray[np.uint8] | NDArray[np.float32]


@dataclass(frozen=True)
class Plain:
    """What a foreign ONNX classifier expects."""

    labels: tuple[str, ...]
    """In the order of its outputs."""
    size: int
    """Of its input's side, pixels."""
    colour: str
    """Of the faces that it is fed: "grey" or "rgb"."""
    channels: int
    """Of its input; grey faces may go into all three."""
    mean: tuple[float, ...]
    """Of pixels 0..255, one value or one per channel."""
    std: tuple[float, ...]
    """Of the same pixels, one value or one per channel."""
    channels_last: bool
    """Whether it takes [n, h, w, c]."""
    uint8: bool
    """Whether it takes raw bytes, not normalized floats."""

    def tensor(self, faces: NDArray[np.uint8]) -> Tensor:
        """faces: uint8 [n, channels, size, size] -> what the file takes."""
        if faces.shape[1] < self.channels:
            faces = faces.repeat(self.channels, axis=1)
        ordered = faces.transpose(0, 2, 3, 1) if self.channels_last else faces
        if self.uint8:
            return np.ascontiguousarray(ordered)
        shape = (-1,) if self.channels_last else (-1, 1, 1)
        mean, std = (np.array(values, np.float32).reshape(shape) for values in (self.mean, self.std))
        normalized: NDArray[np.float32] = (ordered.astype(np.float32) - mean) / std
        return normalized


@dataclass(frozen=True)
class Task:
    """What a worker of ours is to serve."""

    engine: str
    """"onnxruntime", "cv2" or "peak"."""
    file: str
    plain: Plain | None = None
    """What a foreign file expects; None for one with our manifest."""


def of_contract(file: Path, threads: int) -> Predict:
    """The runtime's own classifier. Raises FerError."""
    classifier = Classifier(file, threads)
    prepare = _preparing(classifier.size, classifier.manifest.colour)
    return lambda crops: classifier(prepare(crops))


def of_plain(file: Path, threads: int, plain: Plain) -> Predict:
    """Any ONNX classifier in onnxruntime, set up as ours are. Raises FerError."""
    session = open_file(file, threads)
    given = session.get_inputs()[0]
    prepare = _preparing(plain.size, plain.colour)
    name = _output(session, plain, file)

    def run(tensor: Tensor) -> NDArray[np.float32]:
        found: NDArray[np.float32] = session.run([name], {given.name: tensor})[0]
        return found

    batched = run if not isinstance(given.shape[0], int) else _one_by_one(run)
    predict = _as_probabilities(batched, plain.tensor(prepare(_grey())))
    return lambda crops: predict(plain.tensor(prepare(crops)))


def of_cv2(file: Path, threads: int, plain: Plain | None) -> Predict:
    """The same file in OpenCV's own engine. plain: None for a file of our contract. Raises FerError where it fails."""
    cv2.setNumThreads(threads)
    if plain is None:
        manifest = Classifier(file).manifest
        size, colour, output = manifest.size, manifest.colour, PROBABILITIES
    else:
        size, colour, output = plain.size, plain.colour, ""
    prepare = _preparing(size, colour)
    try:
        net = cv2.dnn.readNetFromONNX(str(file))

        def run(tensor: Tensor) -> NDArray[np.float32]:
            net.setInput(tensor)
            return np.asarray(net.forward(output) if output else net.forward(), np.float32)

        if plain is None:
            run(prepare(_grey()))
            return lambda crops: run(prepare(crops))
        predict = _as_probabilities(run, plain.tensor(prepare(_grey())))
    except cv2.error as error:
        reason = str(error).replace("\n", " ").split("error: ")[-1]
        raise FerError(f"OpenCV {cv2.__version__} cannot run {file.name}: {reason[:160]}") from error
    return lambda crops: predict(plain.tensor(prepare(crops)))


def of_peak(file: Path, threads: int) -> Predict:
    """The one large convolution: what this machine does at its best; the crops are ignored."""
    session = open_file(file, threads)
    feed = {"x": peak.pixels("int8" if session.get_inputs()[0].type == "tensor(uint8)" else "fp32")}
    return lambda _: session.run(["y"], feed)[0]


def _preparing(size: int, colour: str) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    """The runtime's preprocessing of crops: uint8 [n, h, w] or [n, h, w, 3] BGR -> [n, channels, size, size]."""

    def prepare(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if len(crops) == 1:
            return to_face(crops[0], size, colour)[None]
        return np.stack([to_face(crop, size, colour) for crop in crops])

    return prepare


def _grey() -> NDArray[np.uint8]:
    return np.full((1, 48, 48), 128, np.uint8)


def _output(session: ort.InferenceSession, plain: Plain, file: Path) -> str:
    """The output with one number per label; of several the last, which is softmax if any is. Raises FerError."""
    classes = [output.name for output in session.get_outputs() if _classes(output.shape) in (len(plain.labels), None)]
    if not classes:
        found = ", ".join(f"{output.name} {output.shape}" for output in session.get_outputs())
        raise FerError(f"{file} has no output of {len(plain.labels)} classes ({found}): give --labels to match")
    return str(classes[-1])


def _classes(shape: Sequence[int | str | None]) -> int | None:
    return shape[-1] if shape and isinstance(shape[-1], int) else None


def _one_by_one(run: Callable[[Tensor], NDArray[np.float32]]) -> Callable[[Tensor], NDArray[np.float32]]:
    """For a file that takes one face at a time."""
    return lambda tensor: run(tensor) if len(tensor) == 1 else np.concatenate([run(one[None]) for one in tensor])


def _as_probabilities(
    run: Callable[[Tensor], NDArray[np.float32]], sample: Tensor
) -> Callable[[Tensor], NDArray[np.floating[Any]]]:
    """`run` itself where it returns probabilities already, else their softmax."""
    found = run(sample)
    if found.min() >= 0 and np.allclose(found.sum(-1), 1, atol=1e-3):
        return run

    return lambda tensor: softmax(run(tensor))
