"""Small real inputs: drawn faces in FER2013's layout, a trained run, exported files, and the astronaut clip."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tests run in a process a core; read when torch is imported

import fer_runtime  # noqa: F401 - before any onnxruntime: it switches the telemetry off
from helpers.drawn import write_faces, zip_folder
from helpers.needs import missing

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent

Run = Callable[..., subprocess.CompletedProcess[str]]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test marked `system` is skipped where its programs are missing; `pytest -m system` asks for them."""
    marker = item.get_closest_marker("system")
    if marker and (lack := missing(marker.args)):
        if item.config.option.markexpr:
            pytest.fail(lack, pytrace=False)
        pytest.skip(lack)


def start(name: str, *arguments: object) -> subprocess.Popen[str]:
    """Start one of the installed fer-* commands, to be sent signals.

    Its SIGINT is set back to the default: a shell that runs the tests in the background has it ignored.
    """
    return subprocess.Popen(
        [str(BIN / name), *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


@pytest.fixture(scope="session")
def faces_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """384 train, 60 PublicTest and 30 PrivateTest faces; three PublicTest faces stand in train too."""
    root = tmp_path_factory.mktemp("faces")
    write_faces(root, "Training", "train", 128, 0)
    write_faces(root, "PublicTest", "test", 20, 1)
    write_faces(root, "PrivateTest", "test", 10, 2)
    for mood in ("happy", "neutral", "sad"):
        (root / "train" / mood / "Training_copy.png").write_bytes(
            (root / "test" / mood / "PublicTest_0.png").read_bytes()
        )
    return root


@pytest.fixture(scope="session")
def faces_zip(faces_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zip_folder(faces_folder, tmp_path_factory.mktemp("zip") / "faces.zip")


@pytest.fixture(scope="session")
def command() -> Run:
    """Run one of the installed fer-* commands, as a user does."""

    def run(
        name: str, *arguments: object, cwd: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")} | variables
        return subprocess.run(
            [str(BIN / name), *map(str, arguments)],
            capture_output=True, text=True, cwd=cwd, env=environment, timeout=300, check=False,
        )  # fmt: skip

    return run


@pytest.fixture(scope="session")
def trained(command: Run, faces_zip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a nano run on the drawn faces."""
    out = tmp_path_factory.mktemp("runs") / "drawn"
    done = command("fer-train", "fit", faces_zip, "--model", "nano", "--epochs", 16, "--device", "cpu", "--out", out)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="session")
def exported(command: Run, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """fp32 and int8 files of the trained run."""
    folder = tmp_path_factory.mktemp("exported")
    files = {"fp32": folder / "model.onnx", "int8": folder / "model.int8.onnx"}
    for precision in files:
        done = command("fer-export", trained / "model.pt", "--precision", precision, cwd=folder)
        assert done.returncode == 0, done.stderr
    return files


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The astronaut clip: two faces, 100 frames."""
    from fer_benchmarks.demo_clip import write

    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write(path)
    return path


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The astronaut clip to and fro, for two minutes."""
    from helpers.served import write_long

    return write_long(tmp_path_factory.mktemp("long") / "long.mp4", 120)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with the code of `foreign`'s networks in it, as nets."""
    from helpers.foreign import CODE

    (tmp_path / "nets.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("nets", None)
    yield tmp_path
    sys.modules.pop("nets", None)
