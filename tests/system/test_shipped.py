"""The models we ship are what their cards say."""

import json
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from conftest import ROOT, Run
from fer_runtime.faces import locating
from fer_runtime.files import sha256
from fer_runtime.model.manifest import METADATA_KEY, golden_faces
from fer_runtime.model.session import DEFAULT_MODEL, Classifier, default_model, open_session, shipped_models
from fer_train import checkpoint

# At least, on PublicTest: of the labels, or for networks that learned votes of the class with most of them.
ACCURACY = {"fer-nano": 0.65, "fer-small": 0.68, "fer-base": 0.69}
ACCURACY |= {"fer-nano-votes": 0.73, "fer-small-votes": 0.76, "fer-base-votes": 0.77}
MODELS = sorted((ROOT / "models").glob("*.pt"))


def test_every_size_is_there() -> None:
    assert {path.stem for path in MODELS} == set(ACCURACY)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_the_card_says_what_the_checkpoint_holds(path: Path) -> None:
    assert path.stat().st_size < 4 * 10**6
    loaded = checkpoint.load(path)
    card = path.with_suffix(".md").read_text()
    metrics = loaded.metrics["valid"]
    assert f"{100 * metrics['accuracy']:.2f} %" in card
    assert f"{metrics['macro_f1']:.3f}" in card
    assert f"seed {loaded.recipe['seed']}" in card
    assert f"{loaded.manifest.parameters:,}" in card
    assert sha256(path) in card
    assert loaded.metrics["train_copies_dropped"] == 351
    assert metrics["accuracy"] >= ACCURACY[path.stem]
    assert loaded.metrics.get("valid_labels", "data") == ("votes" if "votes" in path.stem else "data")


def test_the_default_model_is_our_small_one_in_int8() -> None:
    classifier = Classifier()
    manifest = classifier.manifest
    assert manifest.precision == "int8"
    assert manifest.checkpoint == sha256(ROOT / "models" / f"{DEFAULT_MODEL}.pt")
    assert manifest.labels == ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
    golden = manifest.golden
    assert golden is not None
    found = classifier.logits(golden_faces(golden.seed, classifier.size))
    assert np.abs(found - np.array(golden.logits)).max() <= golden.tolerance


def test_the_default_model_answers_as_its_checkpoint(command: Run) -> None:
    """Its weights are rounded on faces that are not here, but it must be this checkpoint's, and agree with it."""
    done = command("fer-verify", default_model(), "--against", ROOT / "models" / f"{DEFAULT_MODEL}.pt")
    assert done.returncode == 0, done.stdout + done.stderr
    recipe = Classifier(default_model()).manifest.quantization
    assert (recipe["rounding"], recipe["ranges"], recipe["fp32"]) == ("compensated", "mse", [])


def test_the_benchmarked_accuracy_is_the_checkpoint() -> None:
    rows = {row["name"]: row for row in json.loads((ROOT / "docs" / "bench.json").read_text())["models"]}
    for path in (path for path in MODELS if "votes" not in path.stem):  # the benchmark scores on labels
        scores, expected = rows[f"{path.stem}.onnx"]["scores"], checkpoint.load(path).metrics["valid"]
        assert {key: scores[key] for key in expected} == expected


def test_a_shipped_model_is_found_by_its_name(command: Run, tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes((ROOT / "docs" / "demo.png").read_bytes())
    run = ["fer-run", "--source", picture, "--headless", "--jsonl", "-", "--model"]
    wanted = ("fer-small", shipped_models()["fer-small"], "fer-huge")
    named, default, unknown = (command(*run, name, cwd=tmp_path) for name in wanted)
    assert named.returncode == default.returncode == 0, named.stderr
    assert json.loads(named.stdout.splitlines()[-1])["faces"] == json.loads(default.stdout.splitlines()[-1])["faces"]
    assert unknown.returncode == 1
    assert "fer-huge" in unknown.stderr
    exported = command("fer-export", "fer-nano", cwd=tmp_path)
    assert exported.returncode == 0, exported.stderr
    assert Classifier(tmp_path / "fer-nano.onnx").manifest.checkpoint == sha256(ROOT / "models" / "fer-nano.pt")


def test_the_locator_is_that_of_its_checkpoint() -> None:
    """And its card names that, too."""
    digest = sha256(ROOT / "models" / "locator" / "face-locator.pt")
    session = open_session((resources.files("fer_runtime") / "assets" / locating.MODEL).read_bytes())
    facts = json.loads(session.get_modelmeta().custom_metadata_map[METADATA_KEY])
    assert facts["checkpoint"] == digest
    assert facts["region"] == locating.REGION
    assert digest in (ROOT / "models" / "locator" / "face-locator.md").read_text()
