"""Hostile, cut, slow and good pictures to the API in turns, and its memory: `python -m tools.hostile_api`.

With PYTHONPATH=tests. Every one gets a status and a sentence, or nothing where the client hung up; exit code 3 where
the memory of the two processes has grown since each body had been sent twice.
"""

import json
import random
import socket
import subprocess
import sys
import time
from pathlib import Path

import click

from helpers.hostile_bodies import hostile, jpeg
from helpers.served import Served, serving_alone

MAX_GROWTH = 16 * 2**20  # bytes; a leak of one small picture's body in a hundred would be more
LARGE = "39 megapixels"  # takes a second or two
HEAD = "POST /api/v1/faces HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"


def memory(served: Served) -> dict[str, int]:
    """Bytes that the server and the process that looks at pictures hold."""
    words = ["ps", "-o", "pid=", "--ppid", str(served.process.pid)]
    child = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    return {"server": _resident(served.process.pid), "pictures": _resident(int(child[0]))}


def _resident(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def send(served: Served, body: bytes, rng: random.Random) -> tuple[int, str]:
    """One body, whole, in pieces or cut: status and sentence, 0 for one that was cut."""
    kind = "image/png" if body.startswith(b"\x89PNG") else "image/jpeg"
    cut = len(body) // 2 if body and rng.random() < 0.1 else None
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as client:
        client.sendall(HEAD.format(kind=kind, length=len(body)).encode())
        for start in range(0, len(body[:cut]), step := rng.choice([500, 100_000, 10**8])):
            client.sendall(body[start : min(start + step, cut or len(body))])
        if cut is not None:
            return 0, ""
        answer = b""
        while not _is_whole(answer) and (data := client.recv(65536)):
            answer += data
    return int(answer.split()[1]), answer.partition(b"\r\n\r\n")[2].decode()


def _is_whole(answer: bytes) -> bool:
    head, end, content = answer.partition(b"\r\n\r\n")
    lengths = [line.partition(b":")[2] for line in head.splitlines() if line.lower().startswith(b"content-length:")]
    return bool(end) and len(content) >= int(lengths[0])


def attack(served: Served, count: int, seed: int = 0) -> dict[str, int]:
    """Send so many bodies: growth of memory since each was sent twice, bytes by process. Raises AssertionError."""
    rng = random.Random(seed)
    bodies = {**hostile(), "a good one": (jpeg(), {200})}
    names = list(bodies)
    weights = [0.02 if LARGE in name else 1.0 for name in names]
    before: dict[str, int] = {}
    for number in range(-2 * len(names), count):
        name = names[number % len(names)] if number < 0 else rng.choices(names, weights)[0]
        body, statuses = bodies[name]
        status, text = send(served, body, rng)
        assert status in statuses | {0, 429}, (name, status, text)
        assert not status or json.loads(text).get("detail" if status != 200 else "schema"), (name, text)
        if number == -1:
            before = _settled(served)
    return {name: after - before[name] for name, after in _settled(served).items()}


def _settled(served: Served) -> dict[str, int]:
    """The memory once the last body is done with, and a good one is answered."""
    while send(served, jpeg(), random.Random(1))[0] != 200:
        time.sleep(0.1)
    return memory(served)


@click.command()
@click.option("--count", default=10_000, show_default=True)
def cli(count: int) -> None:
    """Print what the memory has grown by."""
    with serving_alone() as served:
        grown = attack(served, count)
        now = memory(served)
    print(
        f"{count} pictures: " + ", ".join(f"{name} {now[name] >> 20} MB ({grown[name] / 2**20:+.1f})" for name in grown)
    )
    if max(grown.values()) > MAX_GROWTH:
        sys.exit(3)


if __name__ == "__main__":
    cli()
