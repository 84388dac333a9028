"""docs/reference/json.md names every key that the commands write."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT, Run

PAGE = ROOT / "docs" / "reference" / "json.md"
# Objects by label, split, corruption or part of the network: how many levels of their keys are data.
DATA_LEVELS = {
    "probabilities": 1, "precision": 1, "recall": 1, "class_counts": 2, "class_imbalance": 1, "splits": 1,
    "voted_splits": 1, "versions": 1, "duplicates_between": 1, "near_duplicates_between": 1, "left_out": 1,
    "environment": 1, "quantization": 1, "dominated": 1, "files": 1, "accuracy": 1, "intervals": 1,
}  # fmt: skip


def keys(value: Any, levels: int = 0) -> Iterator[str]:
    """All keys of a report, but for those that are data: of objects in the first `levels`."""
    if isinstance(value, list):
        for each in value:
            yield from keys(each, levels)
    elif isinstance(value, dict):
        for key, below in value.items():
            if not levels:
                yield key
            yield from keys(below, levels - 1 if levels else DATA_LEVELS.get(key, 0))


@pytest.fixture(scope="module")
def reports(command: Run, trained: Path, exported: dict[str, Path], faces_zip: Path, clip: Path,
            tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:  # fmt: skip
    folder = tmp_path_factory.mktemp("reports")
    checkpoint = trained / "model.pt"
    lines: dict[str, list[object]] = {
        "fer-run": ["--source", clip, "--headless", "--max-frames", 2, "--jsonl"],
        "fer-verify": [exported["fp32"], "--json"],
        "fer-doctor": ["--json"],
        "fer-export": [
            checkpoint,
            "--precision",
            "int8",
            "--data",
            faces_zip,
            "--max-drop",
            100,
            "--out",
            folder,
            "--json",
        ],
        "fer-train audit": [faces_zip, "--json"],
        "fer-train evaluate": [checkpoint, faces_zip, "--json"],
        "fer-bench": [*exported.values(), "--data", faces_zip, "--duration", 0.2, "--pace", 100, "--robust", "--json"],
    }
    found = {}
    for name, arguments in lines.items():
        file = folder / f"{name}.json"
        program, *words = name.split()
        done = command(program, *words, *arguments, file)
        assert file.exists(), f"{name}: {done.stderr}"
        found[name] = json.loads(file.read_text().splitlines()[0] if name == "fer-run" else file.read_text())
    return found


@pytest.mark.parametrize(
    "name", ["fer-run", "fer-verify", "fer-doctor", "fer-export", "fer-train audit", "fer-train evaluate", "fer-bench"]
)
def test_every_key_is_in_its_section(name: str, reports: dict[str, dict[str, object]]) -> None:
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL))
    text = sections[name]
    linked = sections["Scores"] if "(#scores)" in text else ""
    named = set(re.findall(r"[`\"]([a-z0-9_]+)[`\"]", text + linked))
    assert sorted(set(keys(reports[name])) - named - {"schema"}) == []
    assert next(iter(reports[name])) == "schema"
    assert f"schema {reports[name]['schema']}" in text.split("**Upgrade")[0]
