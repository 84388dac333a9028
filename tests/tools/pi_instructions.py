"""Executed instructions of the loop and of its networks on an emulated Raspberry Pi: `python -m tools.pi_instructions`.

What fer_benchmarks.pipeline.instructions counts on x86, as a Pi's processor has it: a plugin of QEMU counts what the
arm64 Python and the aarch64 wheels execute, which choose their kernels by the processor's features. Counts, not
milliseconds: good for ratios on one processor. Needs an x86-64 Debian 12 (QEMU 7 with plugins), a C compiler and root.
"""

import argparse
import fcntl
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from fer_benchmarks.pipeline.instructions import NETWORKS, of_loop, of_network
from tools.pi import BOARDS, PLACE, PYTHONS, ROOT, call, environment_of, install_emulator, make_root, show_board

PLUGIN = PLACE / "instructions.so"
COUNTED = re.compile(r"^instructions (\d+)$", re.MULTILINE)
CLASSIFIER = "from fer_runtime.model.session import Classifier\n" \
    "network, inputs = Classifier({!r}), (np.full((1, 1, 48, 48), 99, np.uint8),)"  # fmt: skip


def main() -> None:
    """Print a line per figure, in millions, and write all as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "files", nargs="*", type=Path, help="videos: the loop per frame; .onnx: the classifier per face"
    )
    parser.add_argument("--board", choices=BOARDS, nargs="*", default=list(BOARDS))
    parser.add_argument("--suite", choices=PYTHONS, default="trixie")
    parser.add_argument("--networks", action="store_true", help="those of the package too")
    parser.add_argument("--runtime", type=Path, default=ROOT / "runtime", help="of another commit, to compare")
    parser.add_argument("--from", dest="first", type=int, default=5, help="frames that are left out")
    parser.add_argument("--to", dest="last", type=int, default=35, help="frames of the longer run")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not 0 < options.first < options.last:
        parser.error("--to has to be more than --from, which is 1 at least")
    if lacking := [str(path) for path in [*options.files, options.runtime] if not path.exists()]:
        parser.error(f"{lacking[0]} does not exist")
    prepare(options.suite)
    lock = (PLACE / options.suite / ".counting").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)  # a second run would show the first one another board in the middle
    found = {board: figures(board, options) for board in options.board}
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


def figures(board: str, options: argparse.Namespace) -> dict[str, float]:
    """Millions of instructions by what was counted, each printed."""
    counter = Emulated(PLACE / options.suite, board, options.runtime.resolve())
    found: dict[str, float] = {}

    def note(name: str, millions: float) -> None:
        found[name] = millions
        print(f"Pi {board}, {BOARDS[board][0]}: {name}: {millions:.2f} million", flush=True)

    files = [path.resolve() for path in options.files]
    for video in (path for path in files if path.suffix != ".onnx"):
        per_frame, start = of_loop(video, options.first, options.last, counter)
        note(f"{video.name}, per frame", per_frame)
        note(f"{video.name}, start", start)
    setups = {path.name: CLASSIFIER.format(str(path)) for path in files if path.suffix == ".onnx"}
    for name, setup in ((NETWORKS if options.networks else {}) | setups).items():
        note(name, of_network(setup, counter))
    return found


def prepare(suite: str) -> None:
    """The root, QEMU and its plugin."""
    install_emulator()
    make_root(PLACE / suite, suite)
    if not shutil.which("qemu-aarch64"):  # the static one takes no plugins
        call(
            "apt-get", "-qq", "install", "-y", "--no-install-recommends", "qemu-user", DEBIAN_FRONTEND="noninteractive"
        )
    compile_plugin(PLUGIN)


def compile_plugin(library: Path) -> None:
    """The plugin beside this file as a shared library."""
    flags = ["-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-fvisibility=hidden"]
    call("cc", *flags, Path(__file__).with_suffix(".c"), "-o", library)


class Emulated:
    """Counts what a program executes on a board."""

    def __init__(self, root: Path, board: str, runtime: Path) -> None:
        show_board(root, board)
        self._python = ["qemu-aarch64", "-plugin", str(PLUGIN), str(root / "usr" / "bin" / "python3"), "-P", "-c"]
        self._environment = environment_of(root, board, runtime) | {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"}

    def __call__(self, program: str, arguments: list[str]) -> int:
        """Instructions from start to end; a program that fails ends this one."""
        done = subprocess.run(
            [*self._python, program, *arguments], env=self._environment, capture_output=True, text=True, check=False
        )
        counted = COUNTED.search(done.stderr)
        if done.returncode or not counted:
            sys.exit(f"QEMU could not count a run: {done.stderr[-2000:]}")
        return int(counted[1])


if __name__ == "__main__":
    main()
