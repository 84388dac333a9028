"""Broken model files, opened one after another in one process: a crash, a hang or a memory blow-up ends it.

Run as `python broken_models.py FIRST COUNT FILE...`; the last number it prints is the seed that it ended at.
"""

import resource
import signal
import sys
import tempfile
from pathlib import Path

import numpy as np

from fer_runtime.errors import FerError
from fer_runtime.model.session import Classifier

SECONDS, BYTES = 10, 4 * 2**30  # a file may take so long to be refused, and so much address space


def limited() -> None:
    """Let the process be killed rather than take all memory."""
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))


def tried(file: Path) -> str:
    """What became of a file: "answered", or the error of ours. Anything else is raised, or kills the process."""
    signal.alarm(SECONDS)
    try:
        classifier = Classifier(file)
        classifier(np.zeros((2, 1, classifier.size, classifier.size), np.uint8))
    except FerError as error:
        return str(error)
    finally:
        signal.alarm(0)
    return "answered"


def broken(files: list[bytes], seed: int) -> bytes:
    """One of `files` with some harm done to it, the same for the same seed."""
    rng = np.random.RandomState(seed)
    data = bytearray(files[rng.randint(len(files))])
    harm = (cut, flipped, flipped, swapped, filled, repeated)[rng.randint(6)]
    harm(data, rng)
    return bytes(data)


def somewhere(data: bytearray, rng: np.random.RandomState) -> int:
    """A place in the file: often among the nodes in its first tenth, or in the manifest at its end."""
    tenth = len(data) // 10
    low, high = [(0, len(data)), (0, tenth), (len(data) - tenth, len(data))][rng.randint(3)]
    return int(rng.randint(low, high))


def cut(data: bytearray, rng: np.random.RandomState) -> None:
    del data[somewhere(data, rng) :]


def flipped(data: bytearray, rng: np.random.RandomState) -> None:
    for _ in range(rng.randint(1, 9)):
        data[somewhere(data, rng)] ^= 1 << rng.randint(8)


def swapped(data: bytearray, rng: np.random.RandomState) -> None:
    a, b, size = somewhere(data, rng), somewhere(data, rng), rng.randint(1, 2000)
    data[a : a + size], data[b : b + size] = data[b : b + size], data[a : a + size]


def filled(data: bytearray, rng: np.random.RandomState) -> None:
    start, size = somewhere(data, rng), rng.randint(1, 64)
    data[start : start + size] = bytes([rng.choice([0, 1, 0x7F, 0x80, 0xFF])]) * size


def repeated(data: bytearray, rng: np.random.RandomState) -> None:
    start, size = somewhere(data, rng), rng.randint(1, 5000)
    data[start:start] = data[start : start + size]


def main() -> None:
    first, count, *names = sys.argv[1:]
    limited()
    files = [Path(name).read_bytes() for name in names]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "broken.onnx"
        for seed in range(int(first), int(first) + int(count)):
            print(seed, flush=True)
            file.write_bytes(broken(files, seed))
            print(tried(file).replace("\n", " "))


if __name__ == "__main__":
    main()
