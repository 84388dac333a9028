"""One worker's part: the networks, opened once, and fer-run's own loop over one file after the other."""

import hashlib
import os
import platform
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from fer_runtime.archive import cuts, remote
from fer_runtime.archive.cuts import Span
from fer_runtime.archive.inputs import SourceFile, readable
from fer_runtime.archive.rows import FaceRows, of_piece
from fer_runtime.archive.schema import schemas
from fer_runtime.data.decode import IMAGE_SUFFIXES
from fer_runtime.errors import FerError
from fer_runtime.files import sha256

if TYPE_CHECKING:
    from fer_runtime.faces.detection import Detector

CHUNK = 2**20  # bytes
Report = Callable[[int, float, int], None]  # takes frames, seconds of video and faces of the file so far


@dataclass(frozen=True)
class ScoringOptions:
    """What the rows depend on, beside the files."""

    model: str | None = None
    """Path of the ONNX file; None: the package's default."""
    model_sha256: str = ""
    """Of that file: another machine may have another one."""
    detector: str | None = None
    """Path of a YuNet file; None: the built-in detector."""
    max_fps: float | None = None
    """Frames per second of media time at most."""
    max_frames: int | None = None
    """Of each file at most."""


@dataclass(frozen=True)
class Scored:
    """One file's rows in each table, and what progress is counted in."""

    faces: pa.Table
    tracks: pa.Table
    sources: pa.Table


class Scorer:
    """The networks of one process, and the loop over the files that it is given."""

    def __init__(self, options: ScoringOptions) -> None:
        """Open the networks as fer-run does, on one thread each. Raises FerError."""
        import cv2

        from fer_runtime.faces.detection import RetinaFace, YuNet
        from fer_runtime.model.session import Classifier, default_model

        cv2.setNumThreads(1)
        self._options = options
        path = Path(options.model) if options.model else default_model()
        if options.model_sha256 not in ("", sha256(path)):
            raise FerError(f"{path} on {platform.node()} is another model than the command's: install the same version")
        self._classifier = Classifier(path)
        self._whole: Detector
        self._nearby: Detector
        self._whole, self._nearby = (
            (YuNet(Path(options.detector)), YuNet.nearby(Path(options.detector)))
            if options.detector
            else (RetinaFace(), RetinaFace.nearby())
        )
        self.labels = self._classifier.labels

    def pieces(self, file: SourceFile, report: Report) -> list[Span]:
        """The pieces of a long video; none where the file is scored as a whole."""
        if remote.is_url(file.name) or self._options.max_frames:
            return []
        try:
            _refuse_changed(file)
            if Path(file.name).suffix.lower() in IMAGE_SUFFIXES:
                return []
            spans = cuts.find(Path(file.name), self._options.max_fps, lambda: report(0, 0.0, 0))
            sha256 = _sha256(file.name, lambda: report(0, 0.0, 0)) if spans else ""
        except OSError:  # scoring it as a whole tells what is wrong
            return []
        return [replace(span, sha256=sha256) for span in spans]

    def __call__(self, file: SourceFile, report: Report, span: Span | None = None) -> Scored:
        """Score one file, or a piece of it; whatever is wrong with it becomes its row in `sources`."""
        began = time.process_time()
        row: dict[str, object] = {"source": file.shown, "bytes": file.size, "modified_ns": file.modified_ns}
        rows = FaceRows(self.labels)
        try:
            with _on_disk(file, report) as path:
                self._score(path, file, span, rows, row, report)
        except FerError as error:
            row["error"] = readable(str(error))
        except OSError as error:
            row["error"] = readable(f"cannot read {file.name}: {error.strerror or error}")
            row.pop("sha256", None)
        except Exception as error:  # noqa: BLE001 - of a decoder: the file is at fault, and the others go on
            row["error"] = readable(f"{file.name} cannot be scored ({type(error).__name__}: {error})")
        if "error" in row:
            rows = FaceRows(self.labels)
        columns = rows.columns()
        row |= {"faces": len(rows), "tracks": len(np.unique(columns.track)), "cpu_s": time.process_time() - began}
        faces = columns.faces(file.shown)
        if span:
            faces = of_piece(faces, columns, span.begin_s)
        return Scored(faces, columns.tracks(file.shown), source_row(row, self.labels))

    def refuse(self, file: SourceFile, reason: str, hashed: bool, report: Report, span: Span | None = None) -> Scored:
        """The row of a file that is not opened again. hashed: whether it may be read for its hash."""
        row: dict[str, object] = {"source": file.shown, "bytes": file.size, "modified_ns": file.modified_ns}
        row["error"] = readable(f"{file.name} {reason}")
        if hashed:
            with suppress(OSError), _on_disk(file, report) as path:
                row["sha256"] = _sha256(path, lambda: report(0, 0.0, 0))
        columns = FaceRows(self.labels).columns()
        faces = columns.faces(file.shown)
        if span:
            faces = of_piece(faces, columns, span.begin_s)
        return Scored(faces, columns.tracks(file.shown), source_row(row, self.labels))

    def _score(
        self, path: str, file: SourceFile, span: Span | None, rows: FaceRows, row: dict[str, object], report: Report
    ) -> None:
        """Fill `rows` and `row`. Raises FerError, OSError and whatever decoders raise."""
        from fer_runtime.pipeline.loop import Loop
        from fer_runtime.pipeline.pacing import Pace
        from fer_runtime.sources.conversion import refuse_unconverted
        from fer_runtime.sources.factory import open_source

        if path == file.name:  # else a copy of an object, which cannot change under us
            _refuse_changed(file)
        row["sha256"] = span.sha256 if span else _sha256(path, lambda: report(0, 0.0, 0))
        source = cuts.Piece(Path(path), span) if span else open_source(path, decoder_threads=1)
        if source.fps:
            refuse_unconverted(Path(path))  # before its first frame, which may show another video's faces
        pace = Pace(self._options.max_fps, live=False)
        if span and span.next_due_s is not None and self._options.max_fps:
            pace.is_due(span.next_due_s - 1 / self._options.max_fps)  # the same frames are due as in the whole video
        loop = Loop(source, self._classifier, self._whole, self._nearby, pace=pace)
        row |= {"kind": "video" if source.fps else "picture", "fps": source.fps or None}
        duration = 0.0
        for frame, result in loop:
            rows.add(result)
            if len(rows.times) == 1:
                row["kind"] = "picture" if result.media_time is None else "video"
                row["height"], row["width"] = frame.image.shape[:2]
            duration = result.media_time or 0.0
            report(len(rows.times), duration, len(rows))
            if len(rows.times) == self._options.max_frames:
                break
        frames = sum(at >= span.begin_s for at in rows.times) if span else len(rows.times)
        row |= {"frames": frames, "notes": readable("; ".join(source.notes)) or None}
        if row["kind"] == "video":
            row["duration_s"] = round(duration + (1 / source.fps if source.fps else 0.0), 4)
        if path == file.name:
            _refuse_changed(file)


def _on_disk(file: SourceFile, report: Report) -> AbstractContextManager[str]:
    """The path of a file, or of a copy of one at a URL."""
    if remote.is_url(file.name):
        return remote.local_copy(file.name, lambda: report(0, 0.0, 0))
    return nullcontext(file.name)


def _sha256(path: str, on_chunk: Callable[[], None]) -> str:
    """Hex SHA-256 of a file's bytes. on_chunk: called again and again meanwhile, as slow disks take minutes."""
    digest = hashlib.sha256()
    with open(path, "rb") as opened:
        while chunk := opened.read(CHUNK):
            digest.update(chunk)
            on_chunk()
    return digest.hexdigest()


def source_row(row: dict[str, object], labels: tuple[str, ...]) -> pa.Table:
    """One row of `sources`; columns that `row` lacks are null, counts 0."""
    schema = schemas(labels)["sources"]
    counts = {"frames": 0, "faces": 0, "tracks": 0}
    return pa.Table.from_pylist([counts | row], schema=schema)


def _refuse_changed(file: SourceFile) -> None:
    """Raise OSError where the file is not as it was listed: it would be taken for finished in another state."""
    status = os.stat(file.name)
    if (status.st_size, status.st_mtime_ns) != (file.size, file.modified_ns):
        raise OSError("it changed while it was read; run the same command again")
