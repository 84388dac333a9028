"""Ages of results with and without a client that sends picture after picture, in turns: `python -m tools.api_ages`.

With PYTHONPATH=tests; two cores, as a camera box has, or more.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import cv2
import numpy as np

from fer_benchmarks.demo_clip import render
from helpers.served import serving, write_long

CLIENT = """
import http.client, sys
connection, picture = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1])), open(sys.argv[2], "rb").read()
print("ready", flush=True)
while True:
    connection.request("POST", "/api/v1/faces", picture, {"Content-Type": "image/jpeg"})
    response = connection.getresponse()
    response.read()
    print(response.status, flush=True)
"""


@click.command()
@click.option("--turns", default=10, show_default=True)
@click.option("--seconds", default=7.0, show_default=True, help="Of a turn.")
@click.option("--size", default="640x480", show_default=True, help="Of the pictures that are sent.")
def cli(turns: int, seconds: float, size: str) -> None:
    """Print the number of results and the percentiles of their ages, without and with the client."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        width, height = map(int, size.split("x"))
        picture = folder / "picture.jpg"
        cv2.imwrite(str(picture), cv2.resize(render(0), (width, height)))
        clip, lines = write_long(folder / "long.mp4", round(turns * (seconds + 2)) + 30), folder / "faces.jsonl"
        ages: dict[bool, list[float]] = {False: [], True: []}
        answered = 0
        with serving(clip, "0", "--jsonl", lines) as served:
            served.get("/api/v1/faces", "POST", picture.read_bytes(), Content_Type="image/jpeg")  # starts its process
            time.sleep(3)
            for turn in range(turns):
                found, count = one_turn(served.port, lines, picture if turn % 2 else None, seconds)
                ages[bool(turn % 2)] += found
                answered += count
    for asked, found in ages.items():
        p50, p95, p99 = np.percentile(found, [50, 95, 99])
        who = f"a client ({answered} pictures of {size})" if asked else "no client"
        print(f"{who}: {len(found)} results, age p50 {p50:.1f}, p95 {p95:.1f}, p99 {p99:.1f} ms")


def one_turn(port: int, lines: Path, picture: Path | None, seconds: float) -> tuple[list[float], int]:
    """The ages of some seconds, milliseconds, and how many pictures were answered meanwhile."""
    client = None
    if picture:
        words = [sys.executable, "-c", CLIENT, str(port), str(picture)]
        client = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert client.stdout
        client.stdout.readline()
    time.sleep(1)
    before = lines.read_text().count("\n")
    time.sleep(seconds)
    found = [json.loads(line)["age_ms"] for line in lines.read_text().splitlines()[before:]]
    count = 0
    if client:
        client.terminate()
        count = client.communicate()[0].split().count("200")
    return found, count


if __name__ == "__main__":
    cli()
