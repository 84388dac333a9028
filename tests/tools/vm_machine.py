"""A virtual machine under QEMU without KVM, in which commands are run by Debian's qemu-guest-agent."""

import base64
import json
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.vm_image import QEMU, Image, ImageError

BOOT_S = 400  # 20 on an idle machine
POLL_S = 0.2


@dataclass(frozen=True)
class Done:
    """How a command in the machine ended."""

    code: int
    out: str
    err: str


class Machine:
    """One board: a fresh copy of the image at each boot, and a folder of this machine at /shared.

    data: a disk that keeps what is written to it over boots, at /dev/vdb.
    """

    def __init__(self, image: Image, folder: Path, data: Path | None = None) -> None:
        self._image, self._data = image, data
        self._console, self._socket = folder / "console.log", folder / "agent.sock"
        self.shared = folder / "shared"
        self.shared.mkdir(exist_ok=True)
        self._qemu: subprocess.Popen[bytes] | None = None
        self._agent: socket.socket | None = None
        self._unread = b""

    def boot(self) -> None:
        """Start it, and wait until it runs commands. Raises ImageError."""
        if not self._image.disk.exists():
            raise ImageError(f"{self._image.disk} is missing: PYTHONPATH=tests python -m tools.vm_image makes it")
        self._socket.unlink(missing_ok=True)
        # setpriv: it ends with the tests, also where those are killed.
        self._qemu = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", QEMU, *self._options()], stdin=subprocess.DEVNULL
        )
        self._wait()

    def _wait(self) -> None:
        """Wait until it runs commands. Raises ImageError."""
        until = time.monotonic() + BOOT_S
        while time.monotonic() < until:
            if self._qemu and self._qemu.poll() is not None:
                raise ImageError(f"the virtual machine ended at its boot: {self._last_words()}")
            if self._answers():
                self.run("until mountpoint -q /shared; do sleep 0.5; done")
                return
        self.cut_power()
        raise ImageError(f"the virtual machine did not boot within {BOOT_S} s: {self._last_words()}")

    def run(self, command: str, timeout: float = 300, given: bytes = b"") -> Done:
        """Run a shell's command as root. Raises TimeoutError, after which it may still run."""
        words = {"path": "/bin/bash", "arg": ["-c", command], "capture-output": True}
        words |= {"input-data": base64.b64encode(given).decode()}
        pid = self._ask("guest-exec", **words)["pid"]
        until = time.monotonic() + timeout
        while not (status := self._ask("guest-exec-status", pid=pid))["exited"]:
            if time.monotonic() > until:
                raise TimeoutError(f"no end after {timeout:g} s: {command}")
            time.sleep(POLL_S)
        out, err = (
            base64.b64decode(status.get(name, "")).decode(errors="replace") for name in ("out-data", "err-data")
        )
        return Done(status.get("exitcode", 128 + status.get("signal", 0)), out, err)

    def copy_data(self, copy: Path) -> None:
        """The data disk as a cut of the power would leave it at this moment; the machine goes on afterwards."""
        assert self._qemu
        assert self._data
        self._qemu.send_signal(signal.SIGSTOP)
        try:
            subprocess.run(["cp", "--sparse=always", self._data, copy], check=True)
        finally:
            self._qemu.send_signal(signal.SIGCONT)

    def cut_power(self) -> None:
        """End it at once, as a pulled plug does."""
        if self._agent:
            self._agent.close()
            self._agent = None
        if self._qemu:
            self._qemu.kill()
            self._qemu.wait()
            self._qemu = None

    def _options(self) -> list[str]:
        disks = [f"file={self._image.disk},format=raw,if=virtio,snapshot=on"]
        disks += [f"file={self._data},format=raw,if=virtio,cache=writeback"] if self._data else []
        return [
            "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "2048", "-nodefaults", "-display", "none",
            "-kernel", str(self._image.kernel), "-initrd", str(self._image.initrd),
            "-append", "console=ttyS0 quiet panic=-1 mitigations=off", "-serial",
            f"file:{self._console}",
            *[word for disk in disks for word in ("-drive", disk)],
            "-virtfs", f"local,path={self.shared},mount_tag=shared,security_model=none",
            "-device", "virtio-serial", "-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0",
            "-chardev", f"socket,id=agent,path={self._socket},server=on,wait=off",
        ]  # fmt: skip

    def _answers(self) -> bool:
        """Whether the agent takes commands: tried for ten seconds, on a new connection."""
        if self._agent:
            self._agent.close()
        self._agent, self._unread = socket.socket(socket.AF_UNIX), b""
        self._agent.settimeout(10)
        try:
            self._agent.connect(str(self._socket))
            number = time.monotonic_ns() % 2**31
            return bool(self._ask("guest-sync", id=number) == number)
        except (OSError, ValueError):
            time.sleep(POLL_S)
            return False
        finally:
            self._agent.settimeout(300)

    def _ask(self, name: str, **words: object) -> Any:
        assert self._agent
        self._agent.sendall(json.dumps({"execute": name, "arguments": words}).encode() + b"\n")
        while b"\n" not in self._unread:
            more = self._agent.recv(65536)
            if not more:
                raise OSError("the machine is gone")
            self._unread += more
        line, _, self._unread = self._unread.partition(b"\n")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{name}: {answer['error']['desc']}")
        return answer["return"]

    def _last_words(self) -> str:
        lines = self._console.read_text(errors="replace").split("\n") if self._console.exists() else []
        return next((line.strip() for line in reversed(lines) if line.strip()), "its console is empty")
