"""One virtual machine for the checks of a process, in which they run the installed commands. See docs/proof.md."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.board import Board
from tools.vm_image import Image, ImageError
from tools.vm_machine import Machine

INSIDE = Path(__file__).parent / "inside"  # programs for the machine
LOGS = Path(__file__).parents[2] / "build" / "vm" / "logs"
DATA_MB = 300


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--whole", action="store_true", help="also what takes long: make test-vm WHOLE=1")
    parser.addoption("--image", default="bookworm amd64", help="Debian's suite and architecture")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "whole: takes long, run with --whole")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--whole"):
        items[:] = [item for item in items if not item.get_closest_marker("whole")]


@pytest.fixture(scope="session")
def board(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    folder = tmp_path_factory.mktemp("vm", numbered=False)
    data = folder / "data.ext4"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", data, f"{DATA_MB}m"], check=True)
    machine = Machine(Image(*request.config.getoption("--image").split()), folder, data)
    for program in INSIDE.iterdir():
        (machine.shared / program.name).write_bytes(program.read_bytes())
    try:
        machine.boot()
        yield Board(machine, data, request.config.getoption("--whole"))
    except ImageError as error:
        pytest.fail(str(error), pytrace=False)
    finally:
        machine.cut_power()
