"""onnxruntime, set up for a small always-on model, and the classifier on top of it."""

import contextlib
import io
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from fer_runtime.errors import FerError
from fer_runtime.model import onnx_format
from fer_runtime.model.inference import batched
from fer_runtime.model.manifest import INPUT, LOGITS, METADATA_KEY, PROBABILITIES, Manifest, parse
from fer_runtime.model.onnx_format import OUTSIDE

DEFAULT_MODEL = "fer-small-votes"
ASSETS = Path(__file__).parent.parent / "assets"  # what importlib.resources says too, whose import takes 5 ms
NOWHERE = "/nonexistent/"
MAKER = "that fer-export wrote"
MAX_MODEL_BYTES = 256 * 2**20  # fer-export writes no larger ones

ort.set_default_logger_severity(4)  # its errors come back as exceptions; a session's own severity does not cover all


def open_session(model: bytes, threads: int = 1, optimized: bool = True) -> ort.InferenceSession:
    """A CPU session on a model's bytes; `optimized` False runs the graph node by node as the file has it.

    One thread and no spinning: at 30 inferences a second two spinning threads burn a whole core between the calls.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Bytes of onnxruntime's own format would pass by the checks that are made for ONNX.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    # Weights are inside the file; without this a file could read others from the current folder.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", NOWHERE)
    if not optimized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4  # its errors come back as exceptions
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def shipped_models() -> dict[str, Path]:
    """The models that come with the package, in int8, by name."""
    return {file.name.removesuffix(".int8.onnx"): file for file in sorted(ASSETS.glob("*.int8.onnx"))}


def default_model() -> Path:
    """The one of `shipped_models` that is used where none is named."""
    return shipped_models()[DEFAULT_MODEL]


class Classifier:
    """An exported file, opened: cropped faces in, logits and probabilities out."""

    manifest: Manifest
    """What the file says about itself."""
    labels: tuple[str, ...]
    """The classes, in the order of the outputs."""
    size: int
    """Side of the input in pixels."""

    def __init__(self, model: Path | str | None = None, threads: int = 1, optimized: bool = True) -> None:
        """Open `model`, or the package's own. Raises FerError for a file that fer-export did not write.

        threads: for one call. optimized: whether onnxruntime may rewrite the graph, as it does by default.
        """
        path = self._path = Path(model) if model else default_model()
        self._session = open_file(path, threads, optimized)
        try:
            self.manifest = _manifest(self._session, path)
            _check_signature(self._session, self.manifest, path)
        except UnicodeDecodeError as error:  # onnxruntime takes any bytes for a name
            raise FerError(f"{path} holds a name that is no UTF-8 text: copy or export it again") from error
        self.labels = self.manifest.labels
        self.size = self.manifest.size

    def __call__(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        """faces: uint8 [n, channels, size, size] -> probabilities: float32 [n, classes], rows summing to 1."""
        return self._run(PROBABILITIES, faces)

    def logits(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        """faces: uint8 [n, channels, size, size] -> logits: float32 [n, classes]."""
        return self._run(LOGITS, faces)

    def predict(self, pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
        """pixels: uint8 [n, channels, size, size], any n -> the most likely class of each, int64 [n]."""
        most_likely: NDArray[np.int64] = batched(self.logits, pixels).argmax(1)
        return most_likely

    def _run(self, output: str, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        """One output for uint8 [n, channels, size, size]. Raises FerError when the graph fails or answers no number."""
        try:
            found: NDArray[np.float32] = self._session.run([output], {INPUT: faces})[0]
        except Exception as error:  # onnxruntime has no common base class for its errors
            raise FerError(f"{self._path} cannot be run ({_first_line(error)}): export the model again") from error
        if found.shape != (len(faces), len(self.labels)):
            raise FerError(f"{self._path} outputs {found.shape} for {len(faces)} faces: export the model again")
        if not np.isfinite(found).all():
            raise FerError(f"{self._path} outputs numbers that are not finite: train and export the model again")
        return found


def read_model(path: Path, maker: str = MAKER) -> bytes:
    """The bytes of a model file. Raises FerError for what is no file, cannot be read or is too large.

    maker: where such files come from, for the errors.
    """
    try:
        if not path.is_file():
            raise FerError(f"{path} is not a file: expected an ONNX model {maker}")
        if path.stat().st_size > MAX_MODEL_BYTES:
            raise FerError(f"{path} is larger than {MAX_MODEL_BYTES >> 20} MiB: expected a small ONNX model")
        return path.read_bytes()
    except OSError as error:
        raise FerError(f"cannot read {path}: {error.strerror}") from error


def open_file(path: Path, threads: int = 1, optimized: bool = True) -> ort.InferenceSession:
    """A CPU session on a file, as `open_session` on bytes. Raises FerError for what is no model or not safe to open."""
    data = read_checked(path)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # on some errors onnxruntime prints them there, and tries again
            return open_session(data, threads, optimized)
    except Exception as error:  # onnxruntime has no common base class for its errors
        reason = _first_line(error)
        raise FerError(f"{path} is not an ONNX model that onnxruntime {ort.__version__} can open ({reason})") from error


def read_checked(path: Path, maker: str = MAKER) -> bytes:
    """`read_model`, and nothing in it that a runtime might crash or hang on. Raises FerError."""
    data = read_model(path, maker)
    try:
        foreign = onnx_format.read(data).foreign
    except ValueError as error:
        raise FerError(f"{path} is not an ONNX model ({error}): expected a whole file {maker}") from error
    if OUTSIDE in foreign:
        raise FerError(
            f"{path} holds {OUTSIDE}, expected one network on its own: in Python, onnx.save(onnx.load({str(path)!r}), "
            "'one.onnx'), or torch.onnx.export(..., external_data=False)"
        )
    if foreign:
        raise FerError(f"{path} holds {foreign[0]}, expected one network on its own {maker}")
    return data


def _manifest(session: ort.InferenceSession, path: Path) -> Manifest:
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        raise FerError(f"{path} carries no fer-edge manifest: expected a file that fer-export wrote")
    return parse(text, str(path))


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _check_signature(session: ort.InferenceSession, manifest: Manifest, path: Path) -> None:
    """Raise FerError where inputs or outputs differ from what the manifest promises."""
    inputs = {i.name: (i.type, list(i.shape[1:])) for i in session.get_inputs()}
    outputs = {o.name: (o.type, list(o.shape[1:])) for o in session.get_outputs()}
    classes = ("tensor(float)", [len(manifest.labels)])
    expected_inputs = {INPUT: ("tensor(uint8)", [manifest.channels, manifest.size, manifest.size])}
    expected_outputs = {LOGITS: classes, PROBABILITIES: classes}
    fixed = [i.shape[0] for i in session.get_inputs() if isinstance(i.shape[0], int)]
    if fixed:
        raise FerError(f"{path} takes batches of {fixed[0]} only, expected any: export the model again with fer-export")
    if inputs != expected_inputs or outputs != expected_outputs:
        raise FerError(
            f"{path} does not keep its manifest's promise: expected {expected_inputs} -> {expected_outputs}, "
            f"found {inputs} -> {outputs}; export the model again with fer-export"
        )
