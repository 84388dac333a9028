"""A peer's classifier in its own engine, for fer-bench: `worker.py ENGINE FILE THREADS`, in the peers' environment.

What stands between a face crop and the network is done as each peer does it: `fer` resizes to 64x64 with OpenCV and
scales to -1..1 (fer.py, detect_emotions); Human does the same with TensorFlow.js' bilinear resize (emotion.ts).
"""

import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
ENGINE, FILE, THREADS = sys.argv[1], sys.argv[2], int(sys.argv[3])
os.environ["OMP_NUM_THREADS"] = str(THREADS)

REPOSITORY = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(REPOSITORY / "runtime"), str(REPOSITORY / "benchmarks")]

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_benchmarks.protocol import Predict, serve
from fer_runtime.model.manifest import golden_faces

SIDE = 64


def prepare(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8 [n, h, w] -> float32 [n, 64, 64, 1] of -1..1."""
    resized = np.array([cv2.resize(crop, (SIDE, SIDE)) for crop in crops], np.float32)
    scaled: NDArray[np.float32] = (resized / 255.0 - 0.5) * 2.0
    return scaled[..., None]


def keras() -> Predict:
    """`fer` with use_tflite=False: TensorFlow, called as the package calls it."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    model = tf.keras.models.load_model(FILE, compile=False)
    return lambda crops: model(prepare(crops)).numpy()


def tflite() -> Predict:
    """`fer` as it comes: its quantized file in TensorFlow Lite, one face at a time."""
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(model_path=FILE, num_threads=THREADS)
    interpreter.allocate_tensors()
    input_at, output_at = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def predict(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        rows = []
        for face in prepare(crops):
            interpreter.set_tensor(input_at, face[None])
            interpreter.invoke()
            rows.append(interpreter.get_tensor(output_at)[0])
        return np.array(rows)

    return predict


def onnxruntime() -> Predict:
    """The same weights in onnxruntime, set up as our own session is."""
    from fer_runtime.model.session import open_session

    session = open_session(Path(FILE).read_bytes(), THREADS)
    name = session.get_inputs()[0].name
    return lambda crops: session.run(None, {name: prepare(crops)})[0]


if __name__ == "__main__":
    serve({"keras": keras, "tflite": tflite, "onnxruntime": onnxruntime}[ENGINE], golden_faces(0, 48, 64)[:, 0])
