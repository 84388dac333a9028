"""How soon a stream is answered after its server is back: `PYTHONPATH=tests python -m tools.outages [SECONDS]...`.

GStreamer's RTSP server is killed, stays away for each of these times, and is started again, while one fer-run reads it.
"""

import tempfile
import time
from pathlib import Path

import click

from conftest import start
from helpers.following import captured, first_after
from helpers.servers import Server, rtsp


def outage(server: Server, path: Path, seconds: float) -> float:
    """Kill the server for so long: seconds from when it listens again to an answer to a frame captured after that."""
    server.kill()
    time.sleep(seconds)
    return recovery(server, path)


def recovery(server: Server, path: Path) -> float:
    """Start a server that is down: seconds from when it listens to an answer to a frame captured after that.

    A frame that waited in a socket, while the machine is busy, could pass for one: let there be `quiet` before.
    """
    server.start()
    back = time.time()
    fresh = first_after(path, back)
    took = captured(fresh) + fresh.age_ms / 1e3 - back
    first_after(path, time.time(), count=25)  # a steady stream, before it is broken again
    return took


@click.command(epilog="Example: PYTHONPATH=tests python -m tools.outages 1 5 20 60")
@click.argument("seconds", nargs=-1, type=float, default=(1, 2, 5, 10, 20, 40))
def main(seconds: tuple[float, ...]) -> None:
    """Outages of so many seconds, one after the other."""
    took = []
    with tempfile.TemporaryDirectory() as folder, rtsp(Path(folder)) as server:
        lines = Path(folder) / "faces.jsonl"
        run = start("fer-run", "--source", server.address, "--headless", "--jsonl", lines)
        try:
            first_after(lines, 0, count=25)
            for away in seconds:
                took.append(outage(server, lines, away))
                click.echo(f"away for {away:g} s: first fresh answer {took[-1]:.2f} s after it listens again")
        finally:
            run.terminate()
            run.communicate()
    click.echo(f"longest of {len(took)}: {max(took):.2f} s")


if __name__ == "__main__":
    main()
