"""Show pictures through a loopback camera, each until fer-run has written a result of it: print that result's time.

play.py CAMERA RESULTS.jsonl PICTURE...: each a file with what the camera gives, in the format that it was set to.
"""

import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

SETTLING = 3  # copies of a picture, after which the camera's buffers hold no other
PACE_S = 0.1


def main() -> None:
    """Show all, and end."""
    camera, results, *pictures = sys.argv[1:]
    device = os.open(camera, os.O_WRONLY)
    for picture in pictures:
        shown, settled = Path(picture).read_bytes(), None
        while not (found := time_after(results, settled)):
            for _ in range(SETTLING):
                os.write(device, shown)
                time.sleep(PACE_S)
            settled = settled or datetime.now(UTC)
        print(found, flush=True)
    os.close(device)


def time_after(results: str, moment: datetime | None) -> str:
    """Of the first result whose picture the camera gave after a moment; empty while there is none."""
    if moment is None or not Path(results).exists():
        return ""
    times = [json.loads(line)["time"] for line in Path(results).read_text().split("\n")[-9:-1]]
    return next((time for time in times if datetime.fromisoformat(time) > moment), "")


main()
