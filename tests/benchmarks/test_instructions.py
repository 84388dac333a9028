"""Counted instructions: what is left of two counts, and what is said where nothing can be counted."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fer_benchmarks.pipeline.instructions import NETWORKS, of_loop, of_network
from tools import pi_instructions


def test_the_start_is_left_out_of_a_frame_and_of_a_call() -> None:
    def counter(program: str, arguments: list[str]) -> int:
        per_turn = 7_000_000 if "cli.run" in program else 2_500_000
        return 900_000_000 + per_turn * int(arguments[-1])

    assert of_loop(Path("video.mp4"), 5, 35, counter) == (7.0, 900.0)
    assert of_network("network", counter) == 2.5


def test_networks_are_called_as_often_as_asked() -> None:
    """The programs that are counted run, here without a counter."""

    def counter(program: str, arguments: list[str]) -> int:
        subprocess.run([sys.executable, "-P", "-c", program, *arguments], check=True, timeout=100)
        return int(arguments[0]) * 10**6

    assert of_network(NETWORKS["classifier, one face"], counter) == 1.0


def test_without_valgrind_it_is_said_how_to_get_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fer_benchmarks.pipeline.instructions"],
        env=os.environ | {"PATH": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "valgrind is missing" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not shutil.which("cc"), reason="cc is missing, which compiles the plugin of QEMU")
def test_the_plugin_of_qemu_compiles_and_has_what_qemu_looks_for(tmp_path: Path) -> None:
    library = tmp_path / "plugin.so"
    pi_instructions.compile_plugin(library)
    names = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    assert {line.split()[-1] for line in names.splitlines()} == {"qemu_plugin_install", "qemu_plugin_version"}
