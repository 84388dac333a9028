"""How soon after a stream's server is back there is a fresh answer: `python tests/outages.py [SECONDS]...`.

GStreamer's RTSP server is killed, stays away for each of these times, and is started again, while one fer-run reads it.
"""

import tempfile
import time
from pathlib import Path

import click

from conftest import start
from following import captured, first_after
from servers import Server, rtsp


def outage(server: Server, path: Path, seconds: float) -> tuple[float, float, float]:
    """Kill the server for so long: when it was gone and when it listened again, and how long until an answer, seconds.

    The moments are seconds since 1970; the answer is one to a frame captured after the second.
    """
    first_after(path, time.time(), count=25)  # none of the frames that waited while the run began
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
