"""Long videos are scored in pieces; the rows are those of the whole, and tracks go on across the cuts."""

from pathlib import Path

import pytest

from fer_benchmarks.demo_clip import FPS
from fer_runtime.archive import cuts, inputs, joining
from fer_runtime.archive.inputs import SourceFile
from fer_runtime.archive.scoring import Scored, Scorer, ScoringOptions
from helpers.archives import write_video
from helpers.videos import encode, variable_rate


def nothing(*_: object) -> None:
    pass


@pytest.fixture(autouse=True)
def _short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuts, "PIECE_S", 1.2)
    monkeypatch.setattr(cuts, "MIN_LAST_S", 0.6)
    monkeypatch.setattr(cuts, "OVERLAP_S", 0.6)


def listed(path: Path) -> SourceFile:
    (file,) = inputs.find([str(path)], "nowhere").files
    return file


def both(path: Path, options: ScoringOptions) -> tuple[Scored, Scored]:
    """A video's rows out of its pieces, and as a whole."""
    scorer, file = Scorer(options), listed(path)
    spans = scorer.pieces(file, nothing)
    assert len(spans) >= 2
    return joining.join([scorer(file, nothing, span) for span in spans]), scorer(file, nothing)


@pytest.mark.parametrize("max_fps", [None, 7])
@pytest.mark.system("ffprobe")
@pytest.mark.parametrize("kind", ["intra", "predicted", "reordered", "variable"])
def test_rows_are_those_of_the_whole(clip: Path, tmp_path: Path, kind: str, max_fps: float | None) -> None:
    path = tmp_path / "video.mkv"
    if kind == "intra":
        write_video(path, range(100))
    elif kind == "predicted":
        encode(clip, path, "-c:v", "libx264", "-preset", "ultrafast", "-g", "12", "-bf", "0")
    elif kind == "reordered":
        encode(clip, path, "-c:v", "libx264", "-preset", "fast", "-g", "20", "-bf", "3")
    else:
        variable_rate(clip, path, "-c:v", "libx264", "-preset", "ultrafast", "-g", "8")
    pieces, whole = both(path, ScoringOptions(max_fps=max_fps))
    found, expected = pieces.faces.to_pylist(), whole.faces.to_pylist()
    assert [(row["frame"], row["time_s"], row["track"]) for row in found] == [
        (row["frame"], row["time_s"], row["track"]) for row in expected
    ]
    same = sum(a["label"] == b["label"] for a, b in zip(found, expected, strict=True))
    assert same >= 0.99 * len(expected) > 0
    for name in ("frames", "faces", "tracks", "width", "height", "duration_s", "sha256", "error"):
        assert pieces.sources[name] == whole.sources[name], name
    for name in ("track", "first_s", "last_s", "frames"):
        assert pieces.tracks[name] == whole.tracks[name], name
    for one, other in zip(pieces.tracks.to_pylist(), whole.tracks.to_pylist(), strict=True):
        assert one["seconds_happy"] == pytest.approx(other["seconds_happy"], rel=0.02)
        assert one["mean_happy"] == pytest.approx(other["mean_happy"], abs=0.02)


@pytest.mark.system("ffprobe")
def test_pieces_begin_at_key_frames(clip: Path, tmp_path: Path) -> None:
    path = encode(
        clip, tmp_path / "video.mp4", "-c:v", "libx264", "-g", "10", "-keyint_min", "10", "-sc_threshold", "0"
    )
    spans = cuts.find(path, None, nothing)
    assert [round(span.begin_s * FPS) for span in spans] == [0, 30, 60]
    assert [round(span.start_s * FPS) for span in spans] == [0, 10, 40]
    assert [span.start_frame for span in spans] == [0, 10, 40]
    assert [span.end_s for span in spans] == [spans[1].begin_s, spans[2].begin_s, None]


def test_short_videos_photos_and_broken_files_are_not_cut(tmp_path: Path) -> None:
    write_video(tmp_path / "short.avi", range(30))
    (tmp_path / "broken.mp4").write_text("no video")
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    scorer = Scorer(ScoringOptions())
    for name in ("short.avi", "broken.mp4", "photo.jpg", "missing.mp4"):
        assert scorer.pieces(listed(tmp_path / name) if name != "missing.mp4" else SourceFile(name), nothing) == []


def test_an_error_in_one_piece_is_the_files(tmp_path: Path) -> None:
    path = tmp_path / "video.avi"
    write_video(path, range(100))
    scorer, file = Scorer(ScoringOptions()), listed(path)
    first, second, *_ = scorer.pieces(file, nothing)
    joined = joining.join([scorer(file, nothing, first), scorer.refuse(file, "gave no frame", True, nothing, second)])
    (row,) = joined.sources.to_pylist()
    assert row["error"] == f"{path} gave no frame"
    assert (row["frames"], row["faces"], joined.faces.num_rows, joined.tracks.num_rows) == (0, 0, 0, 0)
