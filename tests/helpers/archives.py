"""Small archives for fer-score, and its tables as plain rows."""

from pathlib import Path
from typing import Any

import cv2

from fer_benchmarks.demo_clip import FPS, HEIGHT, WIDTH, render

TABLES = ("faces", "tracks", "sources")
VOLATILE = ("cpu_s", "modified_ns")  # columns in which two runs may differ


def make_archive(clip: Path, folder: Path) -> Path:
    """A clip, a shorter one in a folder below, a photo, a text file, and two broken files."""
    (folder / "below").mkdir(parents=True)
    (folder / "long.mp4").write_bytes(clip.read_bytes())
    write_video(folder / "below" / "short.avi", range(20, 50))
    cv2.imwrite(str(folder / "photo.jpg"), render(10))
    (folder / "notes.txt").write_text("nothing\n")
    (folder / "broken.mp4").write_bytes(clip.read_bytes()[:3000])
    (folder / "empty.png").touch()
    return folder


def write_video(path: Path, frames: range, size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
    """These frames of the clip, as motion JPEG of that width and height."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, size)
    for frame in frames:
        writer.write(cv2.resize(render(frame), size))
    writer.release()


def children(pid: int) -> list[int]:
    """The processes that a process has started; of fer-score, its workers."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def tables(out: Path) -> dict[str, list[dict[str, Any]]]:
    """Every table's rows, sorted, without what differs between two runs."""
    import pyarrow.parquet as pq

    found = {}
    for table in TABLES:
        rows = pq.read_table(out / table).to_pylist()
        found[table] = sorted(
            ({name: value for name, value in row.items() if name not in VOLATILE} for row in rows), key=_key
        )
    return found


def _key(row: dict[str, Any]) -> tuple[str, int, int]:
    return row["source"], row.get("frame") or 0, row.get("track") or 0
