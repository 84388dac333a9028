"""A run that is cut short before any of its writes and removals, and begun again, ends as one that was not."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from fer_benchmarks.demo_clip import render
from fer_runtime.archive import cuts, inputs, ledger, run, units
from fer_runtime.archive.pool import Event, Limits, Pieces, Scored
from fer_runtime.archive.scoring import Scorer, ScoringOptions
from fer_runtime.archive.store import FolderStore
from fer_runtime.archive.units import Unit
from fer_runtime.archive.work import score_unit
from helpers.archives import tables, write_video

PHOTOS = 5


class PowerCutError(Exception):
    """The machine is off."""


class Failing(FolderStore):
    """A folder on a machine whose power is cut before its n-th change."""

    def __init__(self, folder: Path, n: int) -> None:
        super().__init__(folder)
        self._left = n

    def _change(self) -> None:
        if self._left == 0:
            raise PowerCutError
        self._left -= 1

    def write(self, name: str, data: bytes) -> None:
        self._change()
        super().write(name, data)

    def remove(self, name: str) -> None:
        self._change()
        super().remove(name)


class Inline:
    """Scores in the caller's process."""

    slots = 1

    def __init__(self, scorer: Scorer, store: FolderStore) -> None:
        self._scorer, self._store = scorer, store
        self._units: list[Unit] = []

    def submit(self, unit: Unit) -> None:
        self._units.append(unit)

    def wait(self) -> list[Event]:
        unit = self._units.pop()
        found = score_unit(self._scorer, self._store, unit, {}, lambda *_: None)
        return [Pieces(unit, found) if isinstance(found, list) else Scored(unit, found)]

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer(ScoringOptions())


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of up to four files, in units of up to two."""
    monkeypatch.setattr(units, "UNIT_FILES", 2)
    monkeypatch.setattr(units, "PART_FILES", 4)
    monkeypatch.setattr(units, "ALONE_BYTES", 60_000)


def score(folder: Path, store: FolderStore, scorer: Scorer) -> None:
    settings = ledger.Settings("0.1", "model", scorer.labels, None, None, None)
    files = inputs.find([str(folder)], store.place).files
    run.score_all(ledger.open_ledger(store, settings), files, Inline(scorer, store), lambda _: None, Limits())


def photos(folder: Path, count: int = PHOTOS) -> Path:
    folder.mkdir()
    for number in range(count):
        cv2.imwrite(str(folder / f"{number}.jpg"), render(number * 10))
    return folder


def cut_everywhere(folder: Path, start: Path | None, out: Path, scorer: Scorer) -> Iterator[Path]:
    """The results of runs that were cut before their first change, their second and so on, and then begun again."""
    n = 0
    while True:
        here = out / str(n)
        if start:
            shutil.copytree(start, here)
        try:
            score(folder, Failing(here, n), scorer)
        except PowerCutError:
            score(folder, FolderStore(here), scorer)
            yield here
            n += 1
        else:
            assert n > 5
            return


def contents(out: Path) -> dict[str, bytes]:
    """The dataset's files; of `sources`, which tell the seconds spent, the names alone."""
    return {
        str(path.relative_to(out)): b"" if path.parent.name == "sources" else path.read_bytes()
        for path in out.rglob("*")
        if path.is_file()
    }


def test_a_first_run(tmp_path: Path, scorer: Scorer) -> None:
    folder = photos(tmp_path / "photos")
    score(folder, FolderStore(tmp_path / "whole"), scorer)
    whole = contents(tmp_path / "whole")
    assert "faces/part-000001.parquet" in whole
    assert not any("unfinished" in name for name in whole)
    for here in cut_everywhere(folder, None, tmp_path / "cut", scorer):
        assert contents(here) == whole


def test_files_that_changed(tmp_path: Path, scorer: Scorer) -> None:
    """Rows of before are removed and new ones come, whenever that is cut short."""
    folder, start = photos(tmp_path / "photos"), tmp_path / "start"
    score(folder, FolderStore(start), scorer)
    for number in (1, 4):
        cv2.imwrite(str(folder / f"{number}.jpg"), render(99 - number))
    shutil.copytree(start, tmp_path / "whole")
    score(folder, FolderStore(tmp_path / "whole"), scorer)
    score(folder, FolderStore(tmp_path / "fresh"), scorer)
    expected = tables(tmp_path / "fresh")
    assert tables(tmp_path / "whole") == expected
    for here in cut_everywhere(folder, start, tmp_path / "cut", scorer):
        assert tables(here) == expected


def test_a_video_in_pieces(tmp_path: Path, scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is scored of it counts, and the pieces are joined once."""
    monkeypatch.setattr(cuts, "PIECE_S", 0.4)
    monkeypatch.setattr(cuts, "MIN_LAST_S", 0.2)
    monkeypatch.setattr(cuts, "OVERLAP_S", 0.2)
    folder = photos(tmp_path / "archive", 2)
    write_video(folder / "1.avi", range(25), size=(160, 120))
    video = inputs.find([str(folder / "1.avi")], "nowhere").files[0]
    assert video.size >= units.ALONE_BYTES
    assert len(scorer.pieces(video, lambda *_: None)) == 2
    score(folder, FolderStore(tmp_path / "whole"), scorer)
    whole = contents(tmp_path / "whole")
    for here in cut_everywhere(folder, None, tmp_path / "cut", scorer):
        assert contents(here) == whole


@pytest.mark.parametrize("n", [4, 7, 10, 14])
def test_files_that_came_and_went_after_the_cut(tmp_path: Path, scorer: Scorer, n: int) -> None:
    """Units are cut otherwise then; what was scored is not lost, and nothing stands there twice."""
    folder = photos(tmp_path / "photos")
    with pytest.raises(PowerCutError):
        score(folder, Failing(tmp_path / "out", n), scorer)
    (folder / "0.jpg").rename(folder / "00.jpg")
    cv2.imwrite(str(folder / "33.jpg"), render(33))
    score(folder, FolderStore(tmp_path / "out"), scorer)
    score(folder, FolderStore(tmp_path / "fresh"), scorer)
    found, expected = tables(tmp_path / "out"), tables(tmp_path / "fresh")
    for table in found:
        gone = [row for row in found[table] if row["source"].endswith("/0.jpg")]
        assert [row for row in found[table] if row not in gone] == expected[table]
    assert len([row for row in found["sources"] if row["source"].endswith("/0.jpg")]) <= 1
