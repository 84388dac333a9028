"""fer-verify: good files pass, and every kind of lie is told in its line."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from conftest import Run
from fer_runtime.model import manifest

Model = onnx.ModelProto
Facts = dict[str, Any]


def lying(
    file: Path,
    out: Path,
    model_lie: Callable[[Model], object] | None = None,
    manifest_lie: Callable[[Facts], object] | None = None,
) -> Path:
    """`file` with its model, its manifest or both changed."""
    model = onnx.load(file)
    if model_lie:
        model_lie(model)
    if manifest_lie:
        facts = json.loads(model.metadata_props[0].value)
        manifest_lie(facts)
        model.metadata_props[0].value = json.dumps(facts)
    onnx.save(model, out)
    return out


def lines(done: subprocess.CompletedProcess[str], verdict: str) -> list[str]:
    """The lines of the report that end so."""
    return [line for line in done.stdout.splitlines()[1:-1] if line.endswith(verdict)]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_good_files_pass(
    command: Run, exported: dict[str, Path], trained: Path, faces_zip: Path, precision: str
) -> None:
    file = exported[precision]
    done = command("fer-verify", file, "--against", trained / "model.pt", "--data", faces_zip)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not lines(done, "FAILED")
    report = "\n".join(lines(done, "ok"))
    for name in ("IR version", "operator set", "manifest", "2 threads, as it is", "accuracy on valid", "PyTorch's"):
        assert name in report
    assert "(n = 60)" in report


def test_labels_in_another_order_are_told(
    command: Run, exported: dict[str, Path], faces_zip: Path, tmp_path: Path
) -> None:
    file = lying(exported["fp32"], tmp_path / "a.onnx", manifest_lie=lambda facts: facts["labels"].reverse())
    done = command("fer-verify", file, "--data", faces_zip)
    assert "the labels fit these faces far better in another order" in done.stderr


def test_the_package_s_own_model_passes(command: Run) -> None:
    from fer_runtime.model.session import default_model

    assert command("fer-verify", default_model()).returncode == 0


def add_domain(model: Model) -> None:
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def add_function(model: Model) -> None:
    model.functions.append(helper.make_function("", "F", [], [], [], []))


def other_weight(model: Model) -> None:
    head = next(tensor for tensor in model.graph.initializer if tensor.name == "head.bias")
    head.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(head) + np.array([0, 0, 0.3], np.float32), head.name))


def no_number(model: Model) -> None:
    head = next(tensor for tensor in model.graph.initializer if tensor.name == "head.bias")
    head.CopyFrom(numpy_helper.from_array(np.full(3, np.nan, np.float32), head.name))


def golden(**facts: object) -> Callable[[Facts], object]:
    return lambda plain: plain["golden"].update(facts)


def facts(**changed: object) -> Callable[[Facts], object]:
    return lambda plain: plain.update(changed)


@pytest.mark.parametrize(
    ("model_lie", "manifest_lie", "failed"),
    [
        (lambda model: setattr(model, "ir_version", 10), None, ["IR version"]),
        (lambda model: setattr(model.opset_import[0], "version", 19), None, ["operator set"]),
        (add_domain, None, ["operator set"]),
        (add_function, None, ["self-contained"]),
        (other_weight, None, ["golden logits"]),
        (no_number, None, ["golden logits"]),
        (None, facts(labels=["a", "b"]), ["manifest"]),
        (None, facts(size=64), ["manifest"]),
        (None, facts(std=-1), ["manifest"]),
        (None, facts(temperature=7.0), ["probabilities"]),
        (None, facts(golden=None), ["golden answers"]),
        (None, golden(logits=[]), ["golden answers"]),
        (None, golden(logits=[[1.0]]), ["golden answers"]),
        (None, golden(logits=[["a", "b", "c"]]), ["golden answers"]),
        (None, golden(logits=[[0.0, 0.0, 9.0]], tolerance=1e6), ["golden logits"]),
        (None, golden(tolerance=-1), ["golden logits"]),
        (None, golden(seed=3), ["golden logits"]),
    ],
)
def test_each_lie_fails_in_its_line(
    command: Run,
    exported: dict[str, Path],
    tmp_path: Path,
    model_lie: Callable[[Model], object] | None,
    manifest_lie: Callable[[Facts], object] | None,
    failed: list[str],
) -> None:
    file = lying(exported["fp32"], tmp_path / "model.onnx", model_lie, manifest_lie)
    done = command("fer-verify", file)
    assert done.returncode == 3, done.stdout + done.stderr
    found = lines(done, "FAILED")
    assert {name for name in failed if any(line.startswith(name) for line in found)} == set(failed)
    assert all(line.startswith(tuple(failed)) for line in found), found
    assert lines(done, "ok")


def test_an_accuracy_that_was_never_measured(
    command: Run, exported: dict[str, Path], faces_zip: Path, tmp_path: Path
) -> None:
    claim = {"split": "valid", "n": 60, "accuracy": 0.2, "precision": "fp32"}
    file = lying(exported["fp32"], tmp_path / "model.onnx", None, facts(measured=[claim]))
    done = command("fer-verify", file, "--data", faces_zip)
    assert done.returncode == 3
    assert [line.split("  ")[0] for line in lines(done, "FAILED")] == ["accuracy on valid"]


def test_another_checkpoint_is_told(command: Run, exported: dict[str, Path], trained: Path, tmp_path: Path) -> None:
    plain = torch.load(trained / "model.pt", weights_only=True)
    plain["weights"]["head.bias"] += torch.tensor([0.0, 0.0, 0.01])
    plain["manifest"]["std"] = 64.0
    torch.save(plain, tmp_path / "model.pt")
    done = command("fer-verify", exported["fp32"], "--against", tmp_path / "model.pt")
    assert done.returncode == 3
    names = [line.split("  ")[0] for line in lines(done, "FAILED")]
    assert names == ["checkpoint", "size, mean, std", "PyTorch's logits, on generated faces"]


def test_files_that_cannot_be_read(command: Run, exported: dict[str, Path], tmp_path: Path) -> None:
    text, cut = tmp_path / "text.onnx", tmp_path / "cut.onnx"
    text.write_text("no model")
    cut.write_bytes(exported["fp32"].read_bytes()[:-50])
    report = tmp_path / "report.json"
    report.write_text("old")
    cases: list[tuple[list[object], str]] = [
        ([text], "is not an ONNX model"),
        ([cut], "is not an ONNX model"),
        ([tmp_path / "missing.onnx"], "is not a file"),
        ([exported["fp32"], "--against", text], "is not a checkpoint of ours"),
        ([exported["fp32"], "--data", text], "neither a folder nor a complete zip"),
    ]
    for arguments, message in cases:
        done = command("fer-verify", *arguments, "--json", report)
        assert done.returncode == 1, done.stdout + done.stderr
        assert message in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
        assert report.read_text() == "old"
    done = command("fer-verify", exported["fp32"], "--json", exported["fp32"])
    assert "give the output another name" in done.stderr


def test_json_holds_what_the_table_shows(command: Run, exported: dict[str, Path], tmp_path: Path) -> None:
    file = lying(exported["int8"], tmp_path / "model.onnx", None, facts(temperature=7.0))
    done = command("fer-verify", file, "--json", tmp_path / "report.json")
    assert done.returncode == 3
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["ok"] is False
    assert report["file"] == "model.onnx"
    assert len(report["checks"]) == len(done.stdout.splitlines()) - 2
    for check, line in zip(report["checks"], done.stdout.splitlines()[1:-1], strict=True):
        assert line.startswith(check["name"])
        assert line.endswith("ok" if check["ok"] else "FAILED")


def test_it_runs_without_torch_and_onnx(exported: dict[str, Path], trained: Path, faces_zip: Path) -> None:
    """As on a Raspberry Pi, where --against says what it needs."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        program = f"""
import sys
for name in ("torch", "torchvision", "onnx", "onnxscript", "rich", "matplotlib"):
    sys.modules[name] = None
sys.argv = ["fer-verify", *{list(map(str, arguments))!r}]
from fer_export.verify.cli import main
main()
"""
        return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    done = run(exported["int8"], "--data", faces_zip)
    assert done.returncode == 0, done.stderr
    assert not lines(done, "FAILED")
    done = run(exported["int8"], "--against", trained / "model.pt")
    assert done.returncode == 1
    assert "pip install 'fer-edge[export]'" in done.stderr
    assert not done.stdout


def weights(file: Path) -> list[range]:
    """Where in the file the weights' bytes stand."""
    data = file.read_bytes()
    raw = [t.raw_data for t in onnx.load(file).graph.initializer if len(t.raw_data) >= 64]
    starts = [data.index(each) for each in raw]
    return [range(start, start + len(each)) for start, each in zip(starts, raw, strict=True)]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_flipped_bits_that_matter_are_caught(exported: dict[str, Path], tmp_path: Path, precision: str) -> None:
    """Of 100 flips in weights, every one that moves a golden logit by more than the tolerance ends in 3 or 1."""
    from fer_export.verify.cli import cli
    from fer_runtime.model.session import open_session

    whole, file = exported[precision].read_bytes(), tmp_path / "model.onnx"
    told = manifest.parse(onnx.load(exported[precision]).metadata_props[0].value, "model").golden
    assert told
    faces = manifest.golden_faces(told.seed, 48)
    places, rng, matter = weights(exported[precision]), np.random.RandomState(0), 0
    for _ in range(100):
        place = places[rng.randint(len(places))]
        data = bytearray(whole)
        at = rng.choice(place)
        at += (3 - (at - place.start)) % 4 if precision == "fp32" else 0  # the byte of sign and exponent
        data[at] ^= 1 << rng.randint(6, 8)
        logits = open_session(bytes(data)).run(["logits"], {"faces": faces})[0]
        if not np.abs(logits - np.array(told.logits)).max() <= told.tolerance:
            matter += 1
            file.write_bytes(data)
            assert cli.main([str(file)], standalone_mode=False) == 3, (at, data[at])
    assert matter > 20
