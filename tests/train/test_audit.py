"""fer-train audit: planted copies, conflicts, blank and broken images are found, and nothing else."""

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import Run
from fer_runtime.records import from_plain
from fer_train.audit.audit import Image, Leak
from fer_train.audit.near_duplicates import is_blank, matches
from fer_train.audit.report import AuditReport

Picture = NDArray[np.uint8]


def picture(seed: int, side: int = 48) -> Picture:
    """A picture, uint8 [side, side], that looks like no other: soft blobs, drawn anew for each seed."""
    blobs = np.random.RandomState(seed).uniform(30, 200, (8, 8)).astype(np.float32)
    return np.clip(cv2.resize(blobs, (side, side), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)


def put(root: Path, name: str, pixels: "Picture | cv2.typing.MatLike") -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(root / name), pixels)


def put_clean(root: Path) -> None:
    """24 train, 8 PublicTest and 4 PrivateTest pictures of two classes, all different."""
    plan = [("train/{}/Training_{}.png", 12), ("test/{}/PublicTest_{}.png", 4), ("test/{}/PrivateTest_{}.png", 2)]
    seed = 0
    for name, count in plan:
        for mood in ("happy", "sad"):
            for index in range(count):
                put(root, name.format(mood, index), picture(seed))
                seed += 1


def names(images: list[Image]) -> list[str]:
    return [image.name for image in images]


@dataclass(frozen=True)
class Audited:
    report: AuditReport
    stdout: str
    stderr: str


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clean pictures with every flaw that the audit looks for."""
    root = tmp_path_factory.mktemp("planted")
    put_clean(root)
    put(root, "test/happy/PublicTest_same.png", picture(0))
    put(root, "train/sad/Training_conflict.png", picture(1))
    put(root, "test/happy/PublicTest_mirrored.png", picture(2)[:, ::-1].copy())
    put(root, "test/happy/PrivateTest_brighter.png", cv2.convertScaleAbs(picture(3), alpha=0.8, beta=50))
    put(root, "train/happy/Training_again.jpg", picture(4))
    put(root, "train/sad/Training_shifted.png", np.roll(picture(5), 1, axis=1))
    put(root, "train/happy/Training_blank.png", np.full((48, 48), 9, np.uint8))
    put(root, "test/sad/PublicTest_blank.png", np.full((48, 48), 90, np.uint8))
    (root / "train/sad/Training_broken.png").write_bytes(b"\x89PNG no more")
    return root


@pytest.fixture(scope="module")
def audited(planted: Path, command: Run, tmp_path_factory: pytest.TempPathFactory) -> Audited:
    file = tmp_path_factory.mktemp("report") / "audit.json"
    done = command("fer-train", "audit", planted, "--json", file)
    assert done.returncode == 3, done.stderr
    return Audited(from_plain(AuditReport, json.loads(file.read_text())), done.stdout, done.stderr)


def test_identical_images_and_conflicting_labels(audited: Audited) -> None:
    same, clash = audited.report.duplicates
    assert names(same.images) == ["train/happy/Training_0.png", "test/happy/PublicTest_same.png"]
    assert not same.labels_conflict
    assert names(clash.images) == ["train/happy/Training_1.png", "train/sad/Training_conflict.png"]
    assert clash.labels_conflict
    assert audited.report.duplicates_between == {"train-train": 1, "train-valid": 1}
    assert "exact duplicates: 2 pictures in 4 images" in audited.stdout
    assert "exact duplicates with different labels: 1 pictures" in audited.stdout
    assert "train/happy/Training_1.png = train/sad/Training_conflict.png" in audited.stdout


def test_near_copies_are_found_and_nothing_else(audited: Audited) -> None:
    near = audited.report.near_duplicates
    pairs = {frozenset(names(pair.first) + names(pair.second)): pair for pair in near}
    copies = {
        2: "test/happy/PublicTest_mirrored.png",
        3: "test/happy/PrivateTest_brighter.png",
        4: "train/happy/Training_again.jpg",
        5: "train/sad/Training_shifted.png",
    }
    assert set(pairs) == {frozenset({f"train/happy/Training_{seed}.png", copy}) for seed, copy in copies.items()}
    assert [pair.mirrored for pair in near].count(True) == 1
    assert pairs[frozenset({"train/happy/Training_2.png", copies[2]})].mirrored
    assert [pair.labels_conflict for pair in near].count(True) == 1
    assert pairs[frozenset({"train/happy/Training_5.png", copies[5]})].labels_conflict
    assert all(0.94 < pair.correlation <= 1.0001 for pair in near)
    assert audited.report.near_duplicates_between == {"train-test": 1, "train-train": 2, "train-valid": 1}


def test_leaks_are_counted_and_end_with_3(audited: Audited) -> None:
    assert audited.report.leaks == [
        Leak("valid", "train", duplicates=1, near_duplicates=1),
        Leak("test", "train", duplicates=0, near_duplicates=1),
        Leak("test", "valid", duplicates=0, near_duplicates=0),
    ]
    assert (audited.report.leaked_images, audited.report.evaluation_images) == (3, 16)
    assert "3 of 16 validation and test images also occur in another split" in audited.stderr
    assert "Traceback" not in audited.stderr


def test_blank_and_broken_images_and_the_balance(audited: Audited) -> None:
    report = audited.report
    assert names(report.blank) == ["train/happy/Training_blank.png", "test/sad/PublicTest_blank.png"]
    assert report.undecodable == ["train/sad/Training_broken.png"]
    assert report.class_counts == {
        "train": {"happy": 14, "sad": 14}, "valid": {"happy": 6, "sad": 5}, "test": {"happy": 3, "sad": 2},
    }  # fmt: skip
    assert report.class_imbalance == {"train": 1.0, "valid": 1.2, "test": 1.5}
    assert report.schema == 2


def test_a_clean_dataset_ends_with_0(command: Run, tmp_path: Path) -> None:
    put_clean(tmp_path / "clean")
    done = command("fer-train", "audit", tmp_path / "clean", "--json", tmp_path / "audit.json")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "audit.json").read_text())
    assert not any(
        report[finding] for finding in ("duplicates", "near_duplicates", "blank", "undecodable", "leaked_images")
    )
    assert "valid images that also occur in train: 0 exact duplicates, 0 near-duplicates" in done.stdout


def test_a_folder_of_classes_has_copies_but_no_leaks(command: Run, tmp_path: Path) -> None:
    for seed, name in enumerate(("a/1.png", "b/1.png", "b/2.png")):
        put(tmp_path, name, picture(seed, 96))
    put(tmp_path, "a/copy.png", picture(0, 96))
    done = command("fer-train", "audit", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "train/a/1.png = train/a/copy.png" in done.stdout
    assert "leaks: none possible with one split" in done.stdout
    assert "4 images were not 48x48" in done.stderr


def test_a_csv_is_audited(command: Run, tmp_path: Path) -> None:
    table = tmp_path / "fer2013.csv"
    rows = [(0, picture(0), "Training"), (1, picture(1), "Training"), (0, picture(1), "PrivateTest")]
    lines = [f"{emotion},{' '.join(map(str, pixels.ravel()))},{usage}" for emotion, pixels, usage in rows]
    table.write_text("\n".join(["emotion,pixels,Usage", *lines]))
    done = command("fer-train", "audit", table)
    assert done.returncode == 3, done.stderr
    assert "train/disgust/Training_3.pgm = test/angry/PrivateTest_4.pgm" in done.stdout
    assert "test images that also occur in train: 1 exact duplicates" in done.stdout


def test_bad_input_is_one_sentence_and_nothing_is_written(command: Run, planted: Path, tmp_path: Path) -> None:
    for data in (tmp_path / "missing", tmp_path):
        done = command("fer-train", "audit", data, "--json", tmp_path / "audit.json")
        assert done.returncode == 1
        assert len(done.stderr.strip().splitlines()) == 1
        assert not (tmp_path / "audit.json").exists()
    inside = planted / "train/happy/Training_0.png"
    before = inside.read_bytes()
    assert command("fer-train", "audit", planted, "--json", inside).returncode == 1
    assert inside.read_bytes() == before


def test_a_symmetric_pair_is_reported_once() -> None:
    half = picture(7)[:, :24]
    face = np.concatenate([half, half[:, ::-1]], 1)
    pair = np.stack([face, (face * 0.7).astype(np.uint8)])
    (match,) = matches(pair, lambda steps: steps)
    assert (match.first, match.second, match.mirrored) == (0, 1, False)


def test_blank_means_no_contrast_inside_the_edge() -> None:
    framed = np.full((48, 48), 100, np.uint8)
    framed[:2] = 0
    assert is_blank(framed)
    assert not is_blank((picture(0) // 8).astype(np.uint8))
