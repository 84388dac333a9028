"""fer-train evaluate: intervals, calibration, votes, and the page, on drawn faces."""

import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from conftest import BIN, Run
from fer_runtime.data.metrics import Scores, at_mix, bootstrap, ece, one_hot, reliability, score
from fer_runtime.errors import FerError
from fer_train.data.ferplus import left_out, read

HEADER = "path,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"
MOODS = ("happy", "neutral", "sad")


def scores_of(right: int, wrong: int) -> Scores:
    labels = np.arange(right + wrong) % 2
    predicted = np.where(np.arange(right + wrong) < right, labels, 1 - labels)
    return score(predicted, labels, ("a", "b"))


def test_the_bootstrap_is_that_of_faces_drawn_again() -> None:
    """The multinomial draws of the confusion matrix agree with drawing the faces one by one."""
    rng = np.random.RandomState(1)
    labels = rng.choice(4, 300, p=(0.5, 0.3, 0.15, 0.05))
    predicted = np.where(rng.rand(300) < 0.7, labels, rng.randint(0, 4, 300))
    classes = ("a", "b", "c", "d")
    ranges = bootstrap(score(predicted, labels, classes))
    drawn = [score(predicted[i], labels[i], classes) for i in rng.randint(0, 300, (2000, 300))]
    for name, (low, high) in ranges.items():
        again = np.percentile([getattr(scores, name) for scores in drawn], [2.5, 97.5])
        assert (low, high) == pytest.approx(again, abs=0.01)
        assert low < getattr(score(predicted, labels, classes), name) < high
    assert ranges == bootstrap(score(predicted, labels, classes))  # always the same draws


def test_the_bootstrap_of_one_face_and_of_no_mistake() -> None:
    assert bootstrap(scores_of(1, 0)) == dict.fromkeys(("accuracy", "macro_f1", "macro_recall"), (1, 1))
    assert bootstrap(scores_of(0, 1)) == dict.fromkeys(("accuracy", "macro_f1", "macro_recall"), (0, 0))
    assert bootstrap(scores_of(50, 0))["accuracy"] == (1, 1)


def test_the_worst_class_is_one_that_the_data_has() -> None:
    scores = score(np.array([0, 0, 1]), np.array([0, 1, 1]), ("a", "b", "absent"))
    assert scores.worst == "b"
    assert scores.faces == {"a": 1, "b": 2}


def test_ece_by_hand() -> None:
    """Ten answers of 0.8 of which six are right, and ten of 0.6 of which six are: off by 0.2 and by 0."""
    confidence = np.repeat([0.8, 0.6], 10)
    probabilities = np.stack([confidence, 1 - confidence], 1)
    labels = np.tile([0] * 6 + [1] * 4, 2)
    assert ece(probabilities, labels) == pytest.approx(0.1)
    bins = reliability(probabilities, labels)
    assert bins[11] == pytest.approx([10, 0.8, 0.6])  # 0.8 is the upper end of its bin, as in Guo et al.
    assert bins[8] == pytest.approx([10, 0.6, 0.6])
    assert bins[:, 0].sum() == 20
    assert ece(np.array([[1.0, 0.0]]), np.array([0])) == 0


def test_ece_counts_every_vote() -> None:
    """Predictions of 0.8 for which eight of ten vote: no error, where the majority would be right every time."""
    probabilities = np.tile([0.8, 0.2], (5, 1))
    votes = np.tile([0.8, 0.2], (5, 1))
    assert ece(probabilities, votes) == pytest.approx(0, abs=1e-9)
    assert ece(probabilities, votes.argmax(1)) == pytest.approx(0.2)
    votes[0] = 0  # a face for which nobody voted
    assert ece(probabilities, votes) == pytest.approx(0, abs=1e-9)
    votes[1] = (0, 0.5)  # half the weight of a whole face
    assert ece(probabilities, votes) == pytest.approx(0.8 - 0.8 * 3 / 3.5)


def test_a_network_for_another_mix_is_calibrated_there() -> None:
    """Right where four in five are the second class, asked of faces where one in ten is: wrong until weighted."""
    rng = np.random.RandomState(0)
    labels = (rng.rand(40_000) > 0.9).astype(np.int64)
    evidence = rng.normal(2 * labels - 1, 1.5)
    second = 1 / (1 + np.exp(-2 * evidence / 1.5**2) / 4)  # Bayes, for that mix
    probabilities = np.stack([1 - second, second], 1)
    assert ece(probabilities, labels) > 0.05
    assert ece(probabilities, at_mix(one_hot(labels, 2), (0.2, 0.8))) < 0.015
    absent = at_mix(np.array([[2.0, 0.0, 0.0], [0.0, 6.0, 0.0]]), (0.4, 0.4, 0.2))
    assert absent.tolist() == [pytest.approx([3.2, 0, 0]), pytest.approx([0, 3.2, 0])]


def test_votes_become_shares_and_majorities(tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text(
        HEADER
        + "test/sad/a.png,1,3,0,0,0,0,0,0,0,0\n"  # happy
        + "test/sad/b.png,2,2,0,0,0,0,0,0,0,0\n"  # tied
        + "test/sad/c.png,1,0,0,0,0,0,0,0,0,9\n"  # not a face, say most
        + "test/sad/d.png,0,0,0,0,4,0,0,0,6,0\n"  # no vote for any of the three
        + "test/sad/e.png,0,0,0,0,0,0,0,0,0,0\n"
    )
    votes = read(tmp_path / "v.csv", MOODS)
    names = [f"test/sad/{letter}.png" for letter in "abcdef"]
    shares, voted = votes.shares(names)
    assert shares.dtype == np.float32
    wanted = [[0.75, 0.25, 0], [0.5, 0.5, 0], [0, 0.1, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert shares.tolist() == [pytest.approx(row) for row in wanted]
    assert voted.tolist() == [True, True, True, True, False, False]
    majority = votes.majority(names)
    assert majority[0] == MOODS.index("happy")
    assert (majority[1:] < 0).all()
    assert left_out(majority) == {"without votes": 2, "tied": 1, "for none of the model's classes": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: expected `path`"),
        ("file,neutral\n", "line 1: expected `path`"),
        ("path,neutral,neutral\n", "line 1: expected `path`"),
        ("path,surprise\nx,1\n", "expected columns for the model's classes (happiness, neutral, sadness)"),
        ("path,neutral\n", "holds no votes"),
        ("path,neutral\nx,1\ny,1,2\n", "line 3: expected 2 values"),
        ("path,neutral\nx,-1\n", "line 2: expected whole numbers of votes, 0 to 10000, found '-1'"),
        ("path,neutral\nx,nan\n", "found 'nan'"),
        ("path,neutral\nx,99999999999999\n", "found '99999999999999'"),
        ("path,neutral\nx,1\nx,2\n", "line 3: 'x' stands there twice"),
        ('path,neutral\n"x,1\n', "is not a CSV in UTF-8"),
        ("path,neutral\n\xff\n", "line 2: expected 2 values"),
    ],
)
def test_bad_votes_name_the_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "v.csv").write_text(text)
    with pytest.raises(FerError, match=re.escape(message)):
        read(tmp_path / "v.csv", MOODS)


def test_unreadable_votes_end_in_a_sentence(command: Run, trained: Path, faces_zip: Path, tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes(b"path,neutral\n\xff,1\n")
    (tmp_path / "other.csv").write_text("path,neutral\nelsewhere/1.png,10\n")
    expected = {tmp_path: "cannot read", tmp_path / "latin.csv": "UTF-8", tmp_path / "other.csv": "'test/happy/"}
    for file, message in expected.items():
        out = tmp_path / "out.json"
        done = command("fer-train", "evaluate", trained / "model.pt", faces_zip, "--votes", file, "--json", out)
        assert done.returncode == 1
        assert message in done.stderr
        assert "Traceback" not in done.stderr
        assert not out.exists()


@pytest.fixture
def votes_csv(tmp_path: Path) -> Path:
    """Ten of ten voters agree with each PublicTest label; but for 5 images tied, and 5 of no class of the model."""
    lines = []
    for mood in MOODS:
        for index in range(20):
            votes = {"happy": "0,10,0,0", "neutral": "10,0,0,0", "sad": "0,0,0,10"}[mood] + ",0,0,0,0,0,0"
            if mood == "sad" and index < 10:
                votes = "5,0,0,5,0,0,0,0,0,0" if index < 5 else "0,0,0,0,0,0,0,10,0,0"
            lines.append(f"test/{mood}/PublicTest_{index}.png,{votes}\n")
    path = tmp_path / "votes.csv"
    path.write_text(HEADER + "".join(lines))
    return path


def test_votes_stand_apart(command: Run, trained: Path, faces_zip: Path, votes_csv: Path, tmp_path: Path) -> None:
    report = tmp_path / "scores.json"
    done = command(
        "fer-train", "evaluate", trained / "model.pt", faces_zip, "--votes", votes_csv, "--json", report
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    own, other = done.stdout.split("\n\n")
    assert own.startswith("valid: accuracy ")
    assert "FER+" not in own
    assert other.startswith("On other labels, the votes in votes.csv")
    assert "left out: 0 without votes, 5 tied, 5 for none of the model's classes" in other
    plain = json.loads(report.read_text())
    assert set(plain["splits"]) == {"valid", "valid, not in train"}
    assert {name: section["n"] for name, section in plain["voted_splits"].items()} == {
        "valid, FER+ majority": 50, "valid, not in train, FER+ majority": 48,
    }  # fmt: skip
    metrics = json.loads((trained / "metrics.json").read_text())["valid"]
    assert metrics.items() <= plain["splits"]["valid"].items()
    for section in (*plain["splits"].values(), *plain["voted_splits"].values()):
        for name, (low, high) in section["bootstrap"].items():
            assert low <= section[name] <= high
        assert sum(faces for faces, _, _ in section["reliability"][0]) == section["n"]
        assert all(0 <= value <= 1 for value in (*section["ece"], section["flip_averaged_accuracy"]))
        assert section["worst_class"] in MOODS


class Page(HTMLParser):
    """Every address that a page names, its tags, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_whole_and_asks_no_network(
    command: Run, exported: dict[str, Path], faces_zip: Path, votes_csv: Path, tmp_path: Path
) -> None:
    out = tmp_path / "report.html"
    done = command(
        "fer-train", "evaluate", exported["int8"], faces_zip, "--votes", votes_csv, "--html", out
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    text = out.read_text()
    page = Page(text)
    assert page.addresses
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert "script" not in page.tags
    assert not re.search(r"https?:|url\(|@import", text)
    assert "nan" not in page.text.lower().split()
    headline = done.stdout.split()[2]
    own, other = page.text.split("Other labels: the votes in votes.csv")
    assert headline in own
    assert "most confident mistakes" in own
    assert "FER+ majority" not in own
    assert "FER+ majority" in other


def test_who_does_not_read_on_keeps_the_files(trained: Path, faces_zip: Path, tmp_path: Path) -> None:
    """As with `| head -1`: the reader of the output goes away before a word is said."""
    reader, writer = os.pipe()
    os.close(reader)
    words = [BIN / "fer-train", "evaluate", trained / "model.pt", faces_zip, "--json", tmp_path / "scores.json"]
    done = subprocess.run(list(map(str, words)), stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert done.stderr == ""
    assert json.loads((tmp_path / "scores.json").read_text())["splits"]


@pytest.mark.parametrize("lacking", ["one class", "one face"])
def test_small_splits(command: Run, trained: Path, faces_folder: Path, tmp_path: Path, lacking: str) -> None:
    """Data that lacks classes of the model, down to one face with a name that no page may take for a tag."""
    folder = tmp_path / "faces" / "test" / "sad"
    folder.mkdir(parents=True)
    names = ["PublicTest_1.png"] if lacking == "one face" else [f"PublicTest_{i}.png" for i in range(20)]
    for name in names:
        shutil.copy(faces_folder / "test" / "sad" / name, folder / name.replace("_", "_<script>&'\"_"))
    done = command(
        "fer-train", "evaluate", trained / "model.pt", tmp_path / "faces",
        "--json", tmp_path / "s.json", "--html", tmp_path / "s.html",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"(n = {len(names)})" in done.stdout
    assert "happy" not in done.stdout
    assert "nan" not in done.stdout.lower()
    assert "NaN" not in (tmp_path / "s.json").read_text()
    assert json.loads((tmp_path / "s.json").read_text())["splits"]["valid"]["worst_class"] == "sad"
    page = Page((tmp_path / "s.html").read_text())
    assert "script" not in page.tags


def test_reports_are_refused_over_inputs(command: Run, trained: Path, faces_zip: Path, votes_csv: Path) -> None:
    before = votes_csv.read_bytes()
    done = command(
        "fer-train", "evaluate", trained / "model.pt", faces_zip, "--votes", votes_csv, "--html", votes_csv
    )  # fmt: skip
    assert done.returncode == 1
    assert "give the output another name" in done.stderr
    assert votes_csv.read_bytes() == before
