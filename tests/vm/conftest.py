"""One virtual machine for all checks, in which they run the installed commands. See docs/proof.md."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.board import Board
from tools.vm_image import ImageError, image_of
from tools.vm_machine import Machine

INSIDE = Path(__file__).parent / "inside"  # programs for the machine
DATA_MB = 300


@pytest.fixture(scope="session")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    folder = tmp_path_factory.mktemp("vm", numbered=False)
    data = folder / "data.ext4"
    machine: Machine | None = None
    try:
        subprocess.run(["mke2fs", "-q", "-t", "ext4", data, f"{DATA_MB}m"], check=True)
        machine = Machine(image_of(), folder, data)
        for program in INSIDE.iterdir():
            (machine.shared / program.name).write_bytes(program.read_bytes())
        machine.boot()
        yield Board(machine, data)
    except (ImageError, OSError) as error:
        pytest.fail(str(error), pytrace=False)
    finally:
        if machine:
            machine.cut_power()
