"""How soon after a stream's server is back there is a fresh answer: `python tests/outages.py [SECONDS]...`.

GStreamer's RTSP server is killed, stays away for each of these times, and is started again, while one fer-run reads it.
"""

import json
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from conftest import start
from servers import Server, rtsp

PATIENCE = 60  # seconds


def answers(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file that is being written."""
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def captured(answer: dict[str, Any]) -> float:
    """When its frame was, seconds since 1970."""
    return datetime.fromisoformat(answer["time"]).timestamp()


def first_after(path: Path, moment: float) -> dict[str, Any]:
    """The first answer to a frame captured after `moment`, waited for."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        fresh = [answer for answer in answers(path)[-200:] if captured(answer) > moment]
        if fresh:
            return fresh[0]
        time.sleep(0.05)
    raise AssertionError(f"no fresh answer in {PATIENCE} s")


def outage(server: Server, path: Path, seconds: float) -> tuple[float, float, float]:
    """Kill the server for so long: when it was gone, when it listened again (s since 1970), s from then to an answer."""
    server.kill()
    gone = time.time()
    time.sleep(seconds)
    server.start()
    back = time.time()
    fresh = first_after(path, back)
    return gone, back, captured(fresh) + fresh["age_ms"] / 1e3 - back


@click.command(epilog="Example: python tests/outages.py 1 5 20 60")
@click.argument("seconds", nargs=-1, type=float, default=(1, 2, 5, 10, 20, 40))
def main(seconds: tuple[float, ...]) -> None:
    """Outages of so many seconds, one after the other."""
    took = []
    with tempfile.TemporaryDirectory() as folder, rtsp(Path(folder)) as server:
        lines = Path(folder) / "faces.jsonl"
        run = start("fer-run", "--source", server.address, "--headless", "--jsonl", lines)
        try:
            first_after(lines, 0)
            for away in seconds:
                took.append(outage(server, lines, away)[2])
                click.echo(f"away for {away:g} s: first fresh answer {took[-1]:.2f} s after it listens again")
        finally:
            run.terminate()
            run.communicate()
    click.echo(f"longest of {len(took)}: {max(took):.2f} s")


if __name__ == "__main__":
    main()
