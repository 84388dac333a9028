"""The one reader of labelled faces: layouts, splits, conversions, and input that means harm."""

import csv
import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from torchvision.datasets import ImageFolder

from fer_runtime.data.dataset import drop_copies, load, stratified
from fer_runtime.errors import FerError
from helpers.drawn import draw_face, write_faces, zip_folder


def test_file_names_split_the_test_folder(faces_folder: Path) -> None:
    data = load(faces_folder)
    assert data.classes == ("happy", "neutral", "sad")
    assert {name: len(faces) for name, faces in data.splits.items()} == {"train": 387, "valid": 60, "test": 30}
    assert all("PublicTest" in name for name in data.split("valid").names)
    assert data.split("train").pixels.shape == (387, 1, 48, 48)


def test_a_zip_reads_like_its_folder(faces_folder: Path, faces_zip: Path) -> None:
    assert load(faces_folder).fingerprint == load(faces_zip).fingerprint


def test_files_of_a_zip_come_in_the_folder_s_order(faces_folder: Path, tmp_path: Path) -> None:
    """Also where a name begins like another one: `a/` comes before `a-b/`, though "-" sorts before "/"."""
    folder = tmp_path / "faces"
    shutil.copytree(faces_folder, folder)
    first, second, third = sorted((folder / "train/happy").iterdir())[:3]
    for file, name in ((first, "a/1.png"), (second, "a-b/2.png"), (third, "a.png")):
        (folder / "train/happy" / name).parent.mkdir(exist_ok=True)
        file.rename(folder / "train/happy" / name)
    assert load(zip_folder(folder, tmp_path / "a.zip")).split("train").names == load(folder).split("train").names


def test_a_zip_with_a_folder_around_reads_the_same(faces_folder: Path, tmp_path: Path) -> None:
    inner = tmp_path / "out" / "fer2013"
    shutil.copytree(faces_folder, inner)
    assert load(zip_folder(inner.parent, tmp_path / "a.zip")).fingerprint == load(faces_folder).fingerprint


def test_agrees_with_torchvision(faces_folder: Path) -> None:
    theirs = ImageFolder(str(faces_folder / "train"))
    ours = load(faces_folder / "train").split("train")
    assert theirs.classes == list(load(faces_folder).classes)
    assert len(theirs) == len(ours)
    by_name = dict(zip(ours.names, range(len(ours)), strict=True))
    for path, label in theirs.samples[::50]:
        index = by_name["/".join(["train", *Path(path).parts[-2:]])]
        assert ours.labels[index] == label
        assert np.array_equal(ours.pixels[index, 0], np.array(theirs.loader(path))[:, :, 0])


def test_folders_inside_a_class_belong_to_it(tmp_path: Path) -> None:
    """As torchvision's ImageFolder has it; and a test image is never taken for a training one."""
    write_faces(tmp_path, "a", "train", 2, 0)
    write_faces(tmp_path, "b", "test", 2, 1)
    (tmp_path / "test" / "sad" / "more").mkdir()
    shutil.move(tmp_path / "test" / "sad" / "b_0.png", tmp_path / "test" / "sad" / "more" / "b_0.png")
    data = load(tmp_path)
    assert data.classes == tuple(ImageFolder(str(tmp_path / "test")).classes)
    assert (len(data.split("train")), len(data.split("test"))) == (6, 6)
    assert np.bincount(data.split("test").labels).tolist() == [2, 2, 2]


def test_carving_is_stratified_and_repeatable(faces_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(faces_folder / "train", tmp_path / "plain")
    first, second = load(tmp_path / "plain", carve=True), load(tmp_path / "plain", carve=True)
    assert first.split("valid").names == second.split("valid").names
    assert np.bincount(first.split("valid").labels).tolist() == [13, 13, 13]
    assert not set(first.split("valid").names) & set(first.split("train").names)
    assert "set aside" in first.notes[0]
    whole = load(tmp_path / "plain")
    assert list(whole.splits) == ["train"]
    assert "all images count as one set" in whole.notes[0]


def test_copies_of_evaluation_faces_are_dropped(faces_folder: Path) -> None:
    data = load(faces_folder)
    kept = drop_copies(data.split("train"), [data.split("valid")])
    assert len(kept) == 384
    assert not any("copy" in name for name in kept.names)


def test_stratified_takes_each_class_in_proportion(faces_folder: Path) -> None:
    sample = stratified(load(faces_folder).split("train"), 60)
    assert np.bincount(sample.labels).tolist() == [20, 20, 20]


def test_other_sizes_modes_and_broken_images(tmp_path: Path) -> None:
    write_faces(tmp_path, "a", "train", 2, 0)
    face = draw_face("sad", np.random.RandomState(3))
    big = cv2.resize(face, (96, 96))
    cv2.imwrite(str(tmp_path / "train/sad/colour.png"), cv2.cvtColor(big, cv2.COLOR_GRAY2BGR))
    cv2.imwrite(str(tmp_path / "train/sad/alpha.png"), cv2.cvtColor(face, cv2.COLOR_GRAY2BGRA))
    cv2.imwrite(str(tmp_path / "train/sad/deep.png"), face.astype(np.uint16) * 257)
    cv2.imwrite(str(tmp_path / "train/sad/oblong.png"), cv2.resize(face, (60, 40)))
    (tmp_path / "train/sad/broken.png").write_bytes(b"\x89PNG no more")
    (tmp_path / "train/sad/empty.jpg").write_bytes(b"")
    data = load(tmp_path)
    assert len(data.split("train")) == 10
    assert "2 images cannot be decoded" in data.notes[0]
    assert "3 images were not 48x48 grey" in data.notes[1]
    assert "1 images are oblong, and only their centre square counts" in data.notes[2]
    deep = data.split("train").names.index("train/sad/deep.png")
    assert np.array_equal(data.split("train").pixels[deep, 0], face)


def test_classes_are_matched_by_name(faces_folder: Path) -> None:
    data = load(faces_folder).aligned(("sad", "angry", "neutral", "happy"))
    valid = data.split("valid")
    assert [data.classes[label] for label in valid.labels] == [name.split("/")[1] for name in valid.names]
    with pytest.raises(FerError, match="class 'happy' that the model does not know"):
        load(faces_folder).aligned(("sad", "neutral"))


def make_zip(path: Path, names: list[str]) -> Path:
    face = cv2.imencode(".png", draw_face("sad", np.random.RandomState(0)))[1].tobytes()
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"" if name.endswith("/") else face)
    return path


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train/sad/1.png", "../../escape.png"], "leaves its folder"),
        (["train/sad/1.png", "/etc/escape.png"], "leaves its folder"),
        (["train\\sad\\..\\..\\..\\1.png"], "leaves its folder"),
        (["readme.txt"], "holds no images"),
        (["1.png"], "outside class folders"),
        (["happy/1.png", "more/sad/1.png"], "more would be classes, but hold sad"),
        (["train/sad/1.png", "happy/1.png"], "train is train, but no rule names happy"),
        (["train/sad/1.png", "test/happy/1.png"], "'happy' .* stands in test but not in train"),
    ],
)
def test_bad_zips_are_refused(tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(FerError, match=message):
        load(make_zip(tmp_path / "bad.zip", names))
    assert not list(tmp_path.parent.rglob("escape.png"))


def test_cut_short_and_foreign_files_are_refused(faces_zip: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.zip"
    cut.write_bytes(faces_zip.read_bytes()[:5000])
    for path in (cut, Path(__file__)):
        with pytest.raises(FerError, match="neither a folder nor a complete zip"):
            load(path)
    with pytest.raises(FerError, match="does not exist"):
        load(tmp_path / "missing")
    (tmp_path / "hollow").mkdir()
    with pytest.raises(FerError, match="holds no images"):
        load(tmp_path / "hollow")


def test_a_damaged_member_is_left_out_and_said(faces_zip: Path, tmp_path: Path) -> None:
    data = bytearray(faces_zip.read_bytes())
    with zipfile.ZipFile(faces_zip) as archive:
        member = archive.getinfo("train/sad/Training_5.png")
    data[member.header_offset + 200] ^= 0xFF
    damaged = tmp_path / "damaged.zip"
    damaged.write_bytes(data)
    loaded = load(damaged)
    assert len(loaded.split("train")) == 386
    assert "Training_5.png" in loaded.notes[0]


def write_csv(path: Path, folder: Path) -> Path:
    """The images of `folder` as Kaggle's fer2013.csv."""
    numbers = {"happy": 3, "sad": 4, "neutral": 6}
    usages = {"train": "Training", "valid": "PublicTest", "test": "PrivateTest"}
    data = load(folder)
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["emotion", "pixels", "Usage"])
        for split, faces in data.splits.items():
            for pixels, label in zip(faces.pixels, faces.labels, strict=True):
                out.writerow([numbers[data.classes[label]], " ".join(map(str, pixels.ravel())), usages[split]])
    return path


def test_a_csv_reads_like_its_folder(faces_folder: Path, tmp_path: Path) -> None:
    folder, table = load(faces_folder), load(write_csv(tmp_path / "fer2013.csv", faces_folder))
    assert table.classes == ("happy", "sad", "neutral")  # as the numbers 3, 4 and 6 have it
    table = table.aligned(folder.classes)
    assert table.notes == folder.notes
    assert list(table.splits) == list(folder.splits)
    for split, faces in folder.splits.items():
        assert np.array_equal(table.split(split).pixels, faces.pixels)
        assert np.array_equal(table.split(split).labels, faces.labels)
    assert table.split("train").names[0] == "train/happy/Training_2.pgm"
    assert table.split("valid").names[0].startswith("test/happy/PublicTest_")


def test_a_csv_without_usage_is_all_train_and_any_square_is_a_face(tmp_path: Path) -> None:
    table = tmp_path / "train.csv"
    wide = " ".join(["200"] * 250 * 250)  # a longer field than the csv module takes by itself
    table.write_text(f'\ufeffemotion, pixels\n3,"{wide}"\n0,{" ".join(["7"] * 2304)}\n', encoding="utf-8")
    data = load(table)
    assert data.classes == ("angry", "happy")
    assert list(data.splits) == ["train"]
    assert data.split("train").pixels.mean((1, 2, 3)).tolist() == [200, 7]
    assert "1 images were not 48x48 grey" in data.notes[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no column 'emotion'.* found an empty file"),
        ("pixels\n0 0 0 0\n", "no column 'emotion': expected emotion, pixels and Usage.* found pixels"),
        ("path,neutral\na.png,3\n", "no column 'emotion'"),
        ("emotion,Usage\n0,Training\n", "no column 'pixels'"),
        ("emotion,pixels,Usage\n", "has no rows"),
        ("emotion,pixels,Usage\n\n,,\n", "has no rows"),
        ("emotion,pixels,emotion\n0,0 0 0 0,1\n", "has two columns 'emotion'"),
        ("emotion,pixels,fold\n0,0 0 0 0,1\n", "has a column 'fold': put train, valid or test"),
        ("emotion,pixels,Usage\n0,0 0 0 0,eval\n", "row 2 of .*: expected a Usage .* found 'eval'"),
        ("emotion,pixels\n0,0 0 0 0\n0,1 2 3\n", "row 3 of .*: expected the pixels of a square face.*, found 3"),
        ("emotion,pixels\n0,\n", "row 2 of .*: expected the pixels of a square face.*, found 0"),
        ("emotion,pixels\n0,0 0 256 0\n", "row 2 of .*: expected pixels from 0 to 255, found '256'"),
        ("emotion,pixels\n0,0 0 -1 0\n", "row 2 of .*: expected pixels from 0 to 255, found '-1'"),
        ("emotion,pixels\n0,0 0 x 0\n", "row 2 of .*: expected pixels from 0 to 255, found 'x'"),
        ("emotion,pixels\n7,0 0 0 0\n", "row 2 of .*: expected an emotion from 0 to 6, found '7'"),
        ("emotion,pixels\nhappy,0 0 0 0\n", "row 2 of .*: expected an emotion from 0 to 6, found 'happy'"),
        ("emotion,pixels,Usage\n0,0 0 0 0,Private\n", "row 2 of .*: expected a Usage of Training, .* found 'Private'"),
        ("emotion,pixels,Usage\n0,0 0 0 0\n", "row 2 of .*: expected 3 columns .*, found 2"),
        ("emotion,pixels,Usage\n0,0 0 0 0,Training\n1,0 0 0 0,PublicTest\n", "'disgust' .* in test but not in train"),
    ],
)
def test_bad_csvs_are_refused(tmp_path: Path, content: str, message: str) -> None:
    table = tmp_path / "bad.csv"
    table.write_text(content)
    with pytest.raises(FerError, match=message):
        load(table)


def test_a_csv_that_is_no_text_is_refused(tmp_path: Path, faces_zip: Path) -> None:
    table = tmp_path / "bad.csv"
    for content in (b"emotion,pixels\n\xff\xfe", faces_zip.read_bytes()[:5000]):
        table.write_bytes(content)
        with pytest.raises(FerError, match="not UTF-8 text"):
            load(table)
