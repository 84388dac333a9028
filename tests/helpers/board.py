"""A virtual machine with the installed commands and the kernel's test camera, as the tests of tests/vm drive it."""

import json
from pathlib import Path
from typing import Any

from tools.vm_machine import Done, Machine

BIN = "/opt/fer-edge/bin"
WEBCAM = "num_inputs=1 input_types=0 node_types=0x1"
PATIENCE_S = 300  # an emulated command on a busy machine; a quarter of a minute on an idle one


class Board:
    """The machine with the commands and a camera."""

    def __init__(self, machine: Machine, data: Path, whole: bool) -> None:
        """data: a disk that keeps what is written to it; whole: checks are run at length."""
        self.machine, self.data, self.whole = machine, data, whole

    def run(self, command: str, timeout: float = PATIENCE_S) -> Done:
        """A shell's command as root."""
        return self.machine.run(command, timeout)

    def ok(self, command: str, timeout: float = PATIENCE_S) -> str:
        """The same, which must succeed: its output."""
        done = self.run(command, timeout)
        assert done.code == 0, f"{command}: {done.code}: {done.err or done.out}"
        return done.out

    def until(self, condition: str) -> None:
        """Wait until a shell's condition holds in the machine."""
        self.ok(f"until {condition}; do sleep 0.5; done")

    def plug(self) -> None:
        """A new webcam of the kernel's test driver; what a test has left running is ended."""
        self.unplug()
        self.plug_back()

    def plug_loopback(self, kind: str) -> None:
        """In place of the webcam one of 640x480 pixels that shows what is written to it; kind: the pixels' format."""
        self.unplug()
        shape = f"width=640,height=480,pixelformat={kind}"
        # It is held open meanwhile: at its last close bookworm's driver forgets a format that is not to be kept yet;
        # trixie's takes none from then on.
        self.ok(
            "modprobe v4l2loopback video_nr=0 && udevadm settle && exec 3<>/dev/video0"
            f" && v4l2-ctl --set-fmt-video-out={shape} && v4l2-ctl -c keep_format=1"
        )

    def plug_back(self, *options: str) -> None:
        """Load the camera's driver, with whatever runs left alone; options: of the module."""
        self.ok(f"modprobe vivid n_devs=1 {WEBCAM} {' '.join(options)} && udevadm settle")

    def unplug(self) -> None:
        """Take the camera and its driver away."""
        self.run("systemctl stop 'tried-*'")  # what a failed test has left
        self.ok("modprobe -r vivid v4l2loopback && udevadm settle")

    def start(self, name: str, words: str) -> int:
        """Start fer-run in the background as a unit of its own; its output goes to /run/NAME.*: its process id."""
        files = f"-p StandardOutput=file:/run/{name}.out -p StandardError=file:/run/{name}.err"
        self.ok(f"systemd-run --quiet --collect --unit=tried-{name} {files} {BIN}/fer-run --headless {words}")
        return int(self.ok(f"systemctl show --value -p MainPID tried-{name}"))

    def stop(self, name: str) -> str:
        """End it: what it wrote to standard error."""
        self.run(f"systemctl stop tried-{name}")
        return self.ok(f"cat /run/{name}.err")

    def lines(self, file: str) -> list[dict[str, Any]]:
        """JSON lines of a file in the machine, each of which must be whole."""
        return [json.loads(line) for line in self.ok(f"cat {file}").splitlines()]
