"""Ages with and without 20 clients of the page, one frozen, in turns: `PYTHONPATH=tests python -m tools.web_ages`."""

import json
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from helpers.served import serving, stream, write_long

TURNS, SECONDS = 8, 8
CLIENTS = 19  # that read; another one does not


def main() -> None:
    """Print the number of answers and the percentiles of their ages, without and with clients."""
    with tempfile.TemporaryDirectory() as folder:
        clip, lines = write_long(Path(folder) / "long.mp4", 150), Path(folder) / "faces.jsonl"
        ages: dict[bool, list[float]] = {False: [], True: []}
        with serving(clip, "0", "--jsonl", lines) as served:
            time.sleep(4)
            for turn in range(TURNS):
                watched = bool(turn % 2)
                ages[watched] += one_turn(served.port, lines, watched)
    for watched, found in ages.items():
        p50, p95, p99 = np.percentile(found, [50, 95, 99])
        who = f"{CLIENTS + 1} clients" if watched else "no client"
        print(f"{who:11} {len(found):5} answers, age p50 {p50:.1f}, p95 {p95:.1f}, p99 {p99:.1f} ms")


def one_turn(port: int, lines: Path, watched: bool) -> list[float]:
    """The ages of some seconds, milliseconds."""
    over = threading.Event()

    def read() -> None:
        with stream(port, "/video") as video, stream(port, "/events") as events:
            while not over.is_set():
                video.recv(2**20)
                events.recv(2**16)

    frozen = [stream(port, path) for path in ("/video", "/events")] if watched else []
    readers = [threading.Thread(target=read) for _ in range(CLIENTS if watched else 0)]
    for reader in readers:
        reader.start()
    time.sleep(1)
    before = lines.read_text().count("\n")
    time.sleep(SECONDS)
    found = [json.loads(line)["age_ms"] for line in lines.read_text().splitlines()[before:]]
    over.set()
    for reader in readers:
        reader.join()
    for client in frozen:
        client.close()
    return found


if __name__ == "__main__":
    main()
