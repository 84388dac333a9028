"""The page's code outside Chromium: its own tests in Node, and the same logits in Firefox."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from conftest import ROOT
from fer_benchmarks.browser.host import Host
from fer_runtime.model.manifest import golden_faces
from fer_runtime.model.session import Classifier
from helpers.browser_page import packed

SOURCE = ROOT / "runtime" / "browser"
FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")


def test_its_own_tests_in_node(site: Path) -> None:
    assert site.is_dir()  # and so the packages are installed
    done = subprocess.run(["npm", "test"], cwd=SOURCE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(not FIREFOX, reason="needs Firefox: Debian's package firefox-esr")
def test_the_same_logits_in_firefox(hosted: Host) -> None:
    assert FIREFOX
    native = Classifier()
    faces = golden_faces(1, native.size, 64)
    done = subprocess.run(
        ["node", "tests/firefox.mjs", FIREFOX, hosted.address, str(len(faces))],
        input=packed(faces), cwd=SOURCE, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert np.abs(np.array(json.loads(done.stdout)) - native.logits(faces)).max() <= 1e-4
