"""A short run of what `make fuzz` does for minutes."""

import subprocess
import sys

import pytest

import fuzz
from conftest import ROOT


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_spoiled_inputs_end_in_our_error_or_a_right_answer(name: str) -> None:
    cases = 40 if name == "models" else 400
    words = [sys.executable, str(ROOT / "tests" / "fuzz.py"), "--only", name, "--cases", str(cases), "--minutes", "5"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{cases:,} cases" in done.stdout
