"""How folders are read: which is a split, which a class; what can be read in two ways is refused with what to do."""

import csv
import io
import os
import tarfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from torchvision.datasets import ImageFolder

from fer_runtime.data.dataset import load
from fer_runtime.data.index import opened
from fer_runtime.errors import FerError
from helpers.drawn import draw_face

FACE = draw_face("sad", np.random.RandomState(0))
PNG = cv2.imencode(".png", FACE)[1].tobytes()
PIXELS = " ".join(map(str, FACE.ravel()))


def write(root: Path, names: str) -> Path:
    """Files by their paths, separated by blanks: x/{a,b}/1.png is one in each of two folders, and a/ an empty one."""
    for name in (name for pattern in names.split() for name in braced(pattern)):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(exist_ok=True)
        else:
            path.write_bytes(PNG)
    return root


def braced(pattern: str) -> list[str]:
    head, brace, rest = pattern.partition("{")
    if not brace:
        return [pattern]
    choices, _, tail = rest.partition("}")
    return [head + choice + end for choice in choices.split(",") for end in braced(tail)]


@pytest.mark.parametrize(
    ("names", "counts", "classes"),
    [
        # The class is ImageFolder's: the first folder, and what is below belongs to it.
        ("{happy,neutral,sad}/{S010,S011,S022}/{0,1}.png", {"train": 18}, "happy neutral sad"),
        ("{train,test}/{happy,sad}/{a/b,c}/1.png", {"train": 4, "test": 4}, "happy sad"),
        ("happy/S010/1.png happy/S011/1.png", {"train": 2}, "happy"),
        (
            "train/fr\u00f6hlich/1.png test/fro\u0308hlich/1.png",
            {"train": 1, "test": 1},
            "fr\u00f6hlich",
        ),  # as macOS has it
        ("{focused,tired}/{P01,P02}/1.png", {"train": 4}, "focused tired"),
        # One folder around everything is passed through, also several.
        ("archive/fer2013/{train,test}/{happy,sad}/1.png", {"train": 2, "test": 2}, "happy sad"),
        ("archive/{happy,sad}/1.png archive/readme.png", {"train": 2}, "happy sad"),
        ("CK+48/{anger,contempt,happy}/1.png", {"train": 3}, "anger contempt happy"),
        ("happy-and-sad-faces/{happy,sad}/1.png", {"train": 2}, "happy sad"),
        # The split is the word directly above the classes.
        ("training/{train,test}/{happy,sad}/1.png", {"train": 2, "test": 2}, "happy sad"),
        ("train/train/{happy,sad}/1.png test/test/{happy,sad}/1.png", {"train": 2, "test": 2}, "happy sad"),
        ("test/{train,valid,test}/{happy,sad}/1.png", {"train": 2, "valid": 2, "test": 2}, "happy sad"),
        # Every spelling of FER2013's own names, and of other sets'.
        ("{Training,PublicTest,PrivateTest}/{happy,sad}/1.png", {"train": 2, "valid": 2, "test": 2}, "happy sad"),
        ("{TRAINING,PUBLICTEST,private_test}/{happy,sad}/1.png", {"train": 2, "valid": 2, "test": 2}, "happy sad"),
        ("{FER2013Train,FER2013Valid,FER2013Test}/{happy,sad}/1.png", {"train": 2, "valid": 2, "test": 2}, "happy sad"),
        ("{01_train,02_test}/{happy,sad}/1.png", {"train": 2, "test": 2}, "happy sad"),
        ("{train_set,test_set}/{happy,sad}/1.png", {"train": 2, "test": 2}, "happy sad"),
        ("{Train,dev,Test-Data}/{happy,sad}/1.png", {"train": 2, "valid": 2, "test": 2}, "happy sad"),
        ("{affectnet_train,affectnet_val}/{0,1,10}/1.png", {"train": 3, "valid": 3}, "0 1 10"),
        ("train/{1,2,3}/train_0.png test/{1,2,3}/test_0.png", {"train": 3, "test": 3}, "1 2 3"),
        ("{Train,Val}/{Angry,Happy}/1.png Test/{1,2,3}.png", {"train": 2, "valid": 2}, "Angry Happy"),
        ("test/{happy,sad}/PublicTest_1.png test/{happy,sad}/PrivateTest_1.png", {"valid": 2, "test": 2}, "happy sad"),
    ],
)
def test_folders_are_read_as_people_mean_them(tmp_path: Path, names: str, counts: dict[str, int], classes: str) -> None:
    data = load(write(tmp_path / "data", names))
    assert {split: len(faces) for split, faces in data.splits.items()} == counts
    assert " ".join(data.classes) == classes
    for faces in data.splits.values():
        assert len(set(faces.names)) == len(faces)
        assert [name.split("/")[1] for name in faces.names] == [data.classes[label] for label in faces.labels]


def test_the_classes_are_those_of_torchvision(tmp_path: Path) -> None:
    root = write(tmp_path, "data/{happy,Neutral,10,9}/{S010,S011}/1.png data/sad/1.png")
    assert load(root / "data").classes == tuple(ImageFolder(str(root / "data")).classes)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("{fold_0,fold_1}/{happy,sad}/1.png", "fold_0 is a part that may be trained or tested on"),
        ("train/{fold1,fold2}/{happy,sad}/1.png", "fold1 is a part"),
        ("{split1,split2}/{1,2}.png", "split1 is a part"),
        ("{train,eval}/{happy,sad}/1.png", "eval may be validation or test: name it valid or test"),
        ("{trainval,test}/{happy,sad}/1.png", "trainval names two splits"),
        ("{train_test,test}/{happy,sad}/1.png", "train_test names two splits"),
        ("{train_happy,train_sad,test_happy}/1.png", "names a split and a class"),
        ("{train1,train2,test}/{happy,sad}/1.png", "train1 is one of several parts of a split"),
        ("{train,val,dev}/{happy,sad}/1.png", "dev and val are all read as valid"),
        ("{train,Training}/{happy,sad}/1.png", "are all read as train"),
        ("train/{happy,sad}/1.png test/{PublicTest,PrivateTest}/{happy,sad}/1.png", "names two splits: expected one"),
        ("train/{train,val}/{happy,sad}/1.png test/{happy,sad}/1.png", "train/val/happy names two splits"),
        (
            "{happy,sad}/{train,test}/1.png",
            "the class happy holds a folder test, which names a split: expected the split",
        ),
        ("train/{happy,sad}/1.png train/sad/PublicTest/2.png", "above the class, as PublicTest/sad"),
        (
            "{ours,theirs}/{happy,sad}/1.png",
            "ours and theirs would be classes, but hold happy and sad: name them",
        ),
        ("{S005,S010,S011}/{happy,sad}/1.png", "S005, S010 and S011 would be classes, but hold happy and sad"),
        ("{Strong,Weak}/{P001,P002}/{happy,sad}/1.png", "Strong and Weak would be classes, but hold happy and sad"),
        ("{fer2013,rafdb}/{train,test}/{happy,sad}/1.png", "fer2013 and rafdb seem to be datasets of their own"),
        ("{fer2013,rafdb}/{train,test}/{1,2}/1.png", "fer2013 and rafdb seem to be datasets of their own"),
        ("{S005,S010,S011}/{001,006}/1.png", "all hold 001 and 006, so that either may be the classes"),
        ("{hap\x01py,sad}/1.png", "the class folder 'hap\\x01py' cannot be a label: rename it"),
        ("train/{hap\udcffpy,sad}/1.png", "the class folder 'hap\\udcffpy' cannot be a label: rename it"),
        ("{AF01,AF02,AM01}/{1,2}.png", "numbered as people or videos are"),
        ("cropped/{1-30-1280x720,video2_left}/{1,2}.png", "numbered as people or videos are"),
        ("{ours,theirs}/{feliz,triste}/1.png", "ours and theirs all hold feliz and triste"),
        ("{train,val}/images/{1,2}.png", "images would be the classes: expected a folder for each expression"),
        ("train_set/images/{happy,sad}/1.png", "images would be classes, but hold happy and sad"),
        ("{images,masks}/{1,2}.png", "images and masks would be the classes"),
        ("{train,test,extra}/{happy,sad}/1.png", "train is train, test is test, but no rule names extra"),
        ("{happy,sad,more}/1.png more/{happy,sad}/1.png", "more would be classes, but hold happy and sad"),
        ("examples/happy/1.png {1,2,3,4}.png", "outside class folders"),
        ("FER2013Train/{1,2}.png FER2013Test/{1,2}.png", "outside class folders"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(tmp_path: Path, names: str, message: str) -> None:
    with pytest.raises(FerError) as raised:
        load(write(tmp_path / "data", names))
    assert message in str(raised.value)
    assert str(raised.value).count("\n") == 0


def test_people_are_no_classes_however_many(tmp_path: Path) -> None:
    names = ",".join(f"{first}{second}" for first in "abcdefghi" for second in "klmnopqrs")
    with pytest.raises(FerError, match=r"ak, al, am, an and 77 more would be the classes: expected at most 64"):
        load(write(tmp_path, f"{{{names}}}/1.png"))


def test_what_is_passed_over_is_told(tmp_path: Path) -> None:
    root = write(tmp_path / "data", "train/{happy,sad}/{0,1}.png test/happy/1.png test/sad/ sample.png")
    (root / "test" / "sad" / ".gitkeep").touch()
    (root / "README.md").touch()
    for name in ("a.heic", "b.HEIC", "c.txt", "none", "Thumbs.db", ".hidden.png"):
        (root / "train" / "happy" / name).write_bytes(PNG)
    for name in ("2.jfif", "3.jpe", "4.gif", "5.JPG"):
        picture = cv2.imencode(".gif" if name.endswith("gif") else ".jpg", cv2.merge([FACE] * 3))[1]
        (root / "train" / "sad" / name).write_bytes(picture.tobytes())
    data = load(root)
    assert np.bincount(data.split("train").labels).tolist() == [2, 6]
    assert data.notes[:3] == (
        "1 images outside class folders were passed over (first: sample.png)",
        "4 files of other kinds were passed over; found 2 .heic, 1 .txt, 1 without suffix (first: train/happy/a.heic)",
        "1 folders without images were passed over (first: test/sad)",
    )
    (root / "train" / "sad").rename(root / "hidden")
    with pytest.raises(FerError, match="no rule names hidden"):
        load(root)


def test_a_folder_of_unknown_kinds_alone_names_them(tmp_path: Path) -> None:
    for name in ("happy/1.heic", "happy/2.heic", "sad/1.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(PNG)
    with pytest.raises(FerError, match=r"holds no images.*; found 2 \.heic, 1 \.mp4"):
        load(tmp_path)


def test_links_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    real = write(tmp_path / "disk", "{happy,sad}/{0,1}.png")
    root = write(tmp_path / "data", "train/neutral/0.png")
    for name in ("happy", "sad"):
        (root / "train" / name).symlink_to(real / name)
    (root / "train" / "neutral" / "1.png").symlink_to(real / "happy" / "0.png")
    (root / "train" / "neutral" / "2.png").symlink_to("nowhere.png")
    (root / "train" / "neutral" / "again").symlink_to(root)
    (root / "train" / "neutral" / "itself").symlink_to("itself")
    data = load(root)
    assert np.bincount(data.split("train").labels).tolist() == [2, 2, 2]
    assert "1 links to a folder around them were not followed (first: train/neutral/again)" in data.notes
    assert any("1 images cannot be decoded" in note and "2.png" in note for note in data.notes)


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    root = write(tmp_path, "train/{happy,sad}/0.png")
    (root / "train" / "sad").chmod(0)
    with pytest.raises(FerError, match=r"cannot read .*sad: Permission denied"):
        load(root)


def table(usage: str = "Usage", rows: list[tuple[object, ...]] | None = None, **options: str) -> bytes:
    rows = rows or [(4, PIXELS, "Training"), (3, PIXELS, "Training"), (4, PIXELS, "PublicTest")]
    text = io.StringIO()
    out = csv.writer(text, **options)  # type: ignore[arg-type]
    out.writerow(["emotion", "pixels", usage])
    out.writerows(rows)
    return text.getvalue().encode()


@pytest.mark.parametrize(
    "content",
    [
        table(lineterminator="\r\n"),
        table(lineterminator="\n") + b"\n\n",
        table(lineterminator="\r\n").replace(b"\r\n", b"\r\n\r\n") + b",,\r\n",
        b"\xef\xbb\xbf" + table(),
        table().decode().encode("utf-16"),
        table(delimiter=";"),
        table("usage"),
        table(" USAGE "),
        table("split", [(4, PIXELS, "train"), (3, PIXELS, "train"), (4, PIXELS, "val")]),
        table("which", [(4, PIXELS, "train"), (3, PIXELS, "train"), (4, PIXELS, "dev")]),
        table().replace(b"emotion", b"Emotion").replace(b"pixels", b" pixels"),
    ],
)
def test_a_csv_is_read_whatever_wrote_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "faces.csv").write_bytes(content)
    data = load(tmp_path / "faces.csv")
    assert data.classes == ("happy", "sad")  # 3 and 4
    assert {split: faces.labels.tolist() for split, faces in data.splits.items()} == {"train": [1, 0], "valid": [1]}
    assert np.array_equal(data.split("valid").pixels[0, 0], FACE)


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz", ".tgz", "/"])
def test_a_csv_is_found_in_what_was_downloaded(tmp_path: Path, suffix: str) -> None:
    inside = tmp_path / "in" / "fer2013"
    inside.mkdir(parents=True)
    (inside / "fer2013.csv").write_bytes(table())
    (inside / "fer2013new.csv").write_text("Usage,Image name,neutral\nTraining,fer0000000.png,4\n")
    (inside / "train.csv").write_bytes(b"emotion,pixels\n")  # the challenge's, without a usage
    (inside / "README").write_text("about\n")
    path = tmp_path / f"archive{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in inside.iterdir():
                archive.write(file, f"fer2013/{file.name}")
    elif suffix == "/":
        path = tmp_path / "in"
    else:
        with tarfile.open(path, "w:gz") as tar:
            tar.add(inside, "fer2013")
    data = load(path)
    assert data.splits["train"].labels.tolist() == [1, 0]
    assert data.notes == ("fer2013/train.csv was passed over: it does not say which rows are for training",)
    assert "fer2013/fer2013.csv: 2 train, 1 valid; 2 classes in the order of the csv's numbers" in data.understood


def test_two_tables_are_asked_for_and_a_table_beside_images_is_told(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_bytes(table())
    with pytest.raises(FerError, match=r"2 tables of faces \(a.csv, b.csv\): give one of them"):
        load(tmp_path)
    (tmp_path / "b.csv").unlink()
    write(tmp_path, "train/{happy,sad}/0.png")
    data = load(tmp_path)
    assert data.classes == ("happy", "sad")
    assert "a.csv was passed over, as there are images: to read it, give it by itself" in data.notes


def test_images_in_a_tar_are_refused_with_what_to_do(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "faces.tar.gz", "w:gz") as tar:
        tar.add(write(tmp_path / "data", "{happy,sad}/1.png"), "data")
    with pytest.raises(FerError, match=r"unpack it \(tar -xf faces.tar.gz\)"):
        load(tmp_path / "faces.tar.gz")
    (tmp_path / "cut.tar.gz").write_bytes((tmp_path / "faces.tar.gz").read_bytes()[:100])
    with pytest.raises(FerError, match=r"cut\.tar\.gz"):
        load(tmp_path / "cut.tar.gz")


def test_what_was_understood_is_one_sentence(tmp_path: Path) -> None:
    root = write(tmp_path, "archive/{Training,PublicTest}/{happy,sad}/1.png archive/PrivateTest/sad/1.png")
    with opened(root / "archive") as index:
        assert index.understood == (
            "archive: 2 train, 2 valid, 1 test (Training is train, PublicTest is valid, PrivateTest is test); "
            "2 classes in ImageFolder's order: happy, sad"
        )


def test_people_that_may_stand_on_both_sides_of_a_carved_split_are_told(tmp_path: Path) -> None:
    root = write(tmp_path, "data/{happy,sad}/{S010,S011}/{0,1,2,3,4}.png")
    notes = load(root / "data", carve=True).notes
    assert any("happy/S010/0.png" in note and "some stand in both training and validation" in note for note in notes)
    assert not any("both training" in note for note in load(root / "data").notes)
