"""fer-export --site, opened: the page with a user's own model, of other labels, size and colour."""

from pathlib import Path

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, expect

from conftest import Run
from fer_benchmarks.browser import chromium, host
from fer_runtime.model.manifest import golden_faces
from fer_runtime.model.session import Classifier
from helpers.browser_page import opened, packed

CODE = """
import torch
from torch import nn

class Own(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.conv = nn.Conv2d(channels, 8, 3, 2, 1)
        self.head = nn.Linear(8, classes)
    def forward(self, x):
        return self.head(torch.relu(self.conv(x)).mean((2, 3)))

class Two(Own):
    def __init__(self):
        super().__init__(3, 2)

class Five(Own):
    def __init__(self):
        super().__init__(1, 5)
"""
KINDS = {
    "Two": (["awake", "asleep"], 64, "rgb"),
    "Five": (["alpha", "beta", "gamma", "delta", "<b>epsilon</b>"], 32, "grey"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_answers_with_its_labels(
    command: Run, camera_browser: Browser, site: Path, tmp_path: Path, kind: str
) -> None:
    labels, size, colour = KINDS[kind]
    (tmp_path / "own.py").write_text(CODE)
    names: dict[str, type[torch.nn.Module]] = {}
    exec(CODE, names)
    torch.manual_seed(0)
    torch.save(names[kind]().state_dict(), tmp_path / "own.pt")
    done = command(
        "fer-export", "own.pt", "--arch", f"own:{kind}", "--labels", ",".join(labels), "--size", size,
        "--colour", colour, "--site", "mine", "--page", site, cwd=tmp_path, PYTHONPATH=str(tmp_path),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("mine: the page with own.onnx\n")
    classifier = Classifier(tmp_path / "own.onnx")
    faces = golden_faces(1, size, 6, classifier.manifest.channels)
    with host.serving(tmp_path / "mine") as served:
        page = chromium.open_harness(camera_browser, served.address)
        assert chromium.ask(page, "facts")["manifest"]["labels"] == labels
        found = np.array(chromium.ask(page, "logits", packed(faces), len(faces)))
        assert np.abs(found - classifier.logits(faces)).max() < 1e-4
        page.close()
        page, complaints = opened(camera_browser, served.address)
        page.click("#camera", timeout=60_000)
        rows = page.locator(".face").first.locator(".row")
        expect(rows).to_have_count(len(labels), timeout=60_000)
        for row, label in zip(rows.all(), labels, strict=True):
            expect(row).to_contain_text(label)
        assert complaints == []
        page.context.close()
