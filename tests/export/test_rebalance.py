"""fer-export --balance: the same network for another mix of classes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import Run
from fer_runtime.data.dataset import load
from fer_runtime.model.session import Classifier


@pytest.fixture(scope="module")
def rebalanced(command: Run, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawn run's network, for faces of which four in five are sad."""
    folder = tmp_path_factory.mktemp("rebalanced")
    (folder / "mix.json").write_text('{"happy": 1, "sad": 8, "neutral": 1}')
    done = command("fer-export", trained / "model.pt", "--balance", "mix.json", "--out", "sad.onnx", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "sad.onnx"


def test_a_mix_of_one_s_own_moves_the_logits(
    command: Run, trained: Path, exported: dict[str, Path], rebalanced: Path, faces_folder: Path
) -> None:
    """By what the manifest tells, so that the training faces' views are predicted as often as the file says."""
    file, faces = Classifier(rebalanced), load(faces_folder).split("train").pixels
    balance = file.manifest.balance
    assert balance["mix"] == "mix.json"
    assert balance["shares"] == pytest.approx([0.1, 0.1, 0.8])
    assert balance["added"][2] == max(balance["added"])
    shift = file.logits(faces) - Classifier(exported["fp32"]).logits(faces)
    assert np.allclose(shift, balance["added"], atol=1e-3)
    kept = torch.load(trained / "model.pt", weights_only=True)["balance"]["logits"].float()
    predicted = torch.bincount((kept + torch.tensor(balance["added"])).argmax(1), minlength=3) / len(kept)
    assert predicted.tolist() == pytest.approx([0.1, 0.1, 0.8], abs=0.05)
    assert not file.manifest.measured  # it was of the other balance
    done = command("fer-verify", rebalanced, "--against", trained / "model.pt")
    assert done.returncode == 0, done.stdout
    assert "mix.json" in done.stdout


def test_none_is_the_network_as_trained_and_a_named_mix_is_recorded(
    command: Run, trained: Path, exported: dict[str, Path], rebalanced: Path, faces_folder: Path
) -> None:
    faces, folder = load(faces_folder).split("valid").pixels, rebalanced.parent
    for wanted, mix in (("none", None), ("uniform", "uniform")):
        done = command("fer-export", trained / "model.pt", "--balance", wanted, "--out", "other.onnx", cwd=folder)
        assert done.returncode == 0, done.stderr
        assert ("(an older file was replaced)" in done.stdout) == (wanted == "uniform")
        file = Classifier(folder / "other.onnx")
        assert file.manifest.balance.get("mix") == mix
        if wanted == "none":
            assert np.allclose(file.logits(faces), Classifier(exported["fp32"]).logits(faces), atol=1e-4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "expected none, labels, votes, between, uniform, or a JSON file"),
        ("{", "is not JSON"),
        ('{"happy": 1, "sad": 2}', "holds happy, sad: expected a share for each of happy, neutral, sad"),
        ('{"happy": 1, "sad": -2, "neutral": 1}', "the share of sad is none"),
        ('{"happy": 0, "sad": 0, "neutral": 0}', "the share of every class is none"),
        ("[1]", "holds list"),
    ],
)
def test_a_mix_that_is_none(command: Run, trained: Path, tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "mix.json").write_text(content)
    done = command("fer-export", trained / "model.pt", "--balance", "mix.json", cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert not list(tmp_path.glob("*.onnx"))


def test_who_cannot_be_balanced_is_told_why(command: Run, trained: Path, tmp_path: Path) -> None:
    done = command("fer-export", trained / "model.pt", "--balance", "between", cwd=tmp_path)
    assert done.returncode == 1
    assert "learned from labels alone" in done.stderr
    plain = torch.load(trained / "model.pt", weights_only=True)
    logits = plain.pop("balance")["logits"]
    torch.save(plain, tmp_path / "old.pt")
    done = command("fer-export", "old.pt", "--balance", "uniform", cwd=tmp_path)
    assert done.returncode == 1
    assert "write it again with fer-train finish" in done.stderr
    assert command("fer-export", "old.pt", "--balance", "none", cwd=tmp_path).returncode == 0
    torch.save(plain | {"balance": {"logits": logits[:, :2], "labels": [1, 1], "votes": [1, 1]}}, tmp_path / "bad.pt")
    done = command("fer-export", "bad.pt", cwd=tmp_path)
    assert done.returncode == 1
    assert "does not fit its classes" in done.stderr
    torch.save({"weight": torch.zeros(2, 2)}, tmp_path / "weights.pt")
    done = command("fer-export", "weights.pt", "--balance", "uniform", cwd=tmp_path)
    assert done.returncode == 1
    assert "leave out --balance" in done.stderr
