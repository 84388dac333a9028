"""What `make test-vm` says where there can be no virtual machine: one sentence, and nothing left running."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tools.vm_image import ARCHITECTURES, PROGRAMS, Image, ImageError
from tools.vm_machine import Machine

NEEDED = (*PROGRAMS, ARCHITECTURES["amd64"].qemu)
ROOT = Path(__file__).parents[2]


def make_image(**environment: str) -> subprocess.CompletedProcess[str]:
    """Run the image's maker with variables of its own."""
    words = [sys.executable, "-m", "tools.vm_image"]
    return subprocess.run(
        words,
        env=os.environ | {"PYTHONPATH": str(ROOT / "tests")} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="says that it needs root")
def test_programs_that_are_missing_are_named(tmp_path: Path) -> None:
    done = make_image(PATH=str(tmp_path))
    assert done.returncode == 3
    assert done.stderr.startswith(
        "programs are missing: apt-get install --no-install-recommends cpio dpkg e2fsprogs mm"
    )
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="says that it needs root")
@pytest.mark.skipif(not all(map(shutil.which, NEEDED)), reason="says that programs are missing")
def test_a_package_list_that_cannot_be_read_is_told() -> None:
    done = make_image(http_proxy="http://127.0.0.1:9", no_proxy="")
    assert done.returncode == 3
    if "mounts of its own" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.stderr.startswith("cannot read the list of Debian's packages of bookworm: ")
    assert done.stderr.count("\n") == 1


@dataclass(frozen=True)
class Spoiled(Image):
    """An image whose kernel is none."""

    folder: Path = Path()

    @property
    def place(self) -> Path:
        return self.folder


@pytest.mark.skipif(not all(map(shutil.which, NEEDED)), reason="QEMU is missing: see .ci/packages")
def test_a_machine_that_does_not_boot_is_told_and_does_not_run_on(tmp_path: Path) -> None:
    image = Spoiled(folder=tmp_path)
    machine = Machine(image, tmp_path)
    with pytest.raises(ImageError, match="is missing: make test-vm makes it"):
        machine.boot()
    for file in (image.kernel, image.initrd, image.disk):
        file.write_bytes(bytes(512))
    with pytest.raises(ImageError, match="ended at its boot"):
        machine.boot()
    assert subprocess.run(["pgrep", "-f", f"qemu.*{tmp_path}"], check=False, capture_output=True).returncode == 1
