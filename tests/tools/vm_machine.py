"""A virtual machine under QEMU without KVM, in which commands are run over a virtual serial port."""

import base64
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tools.vm_image import Image, ImageError

BOOT_S = 600  # 20 on an idle machine
MARGIN_S = 120  # for the machine to end a command at its time-out, and to say so
POLL_S = 0.2
MEMORY_MB = 1536
PROCESSORS = {"amd64 bookworm": "max", "amd64 trixie": "max"}  # as QEMU calls them
PROCESSORS |= {"arm64 bookworm": "cortex-a72", "arm64 trixie": "cortex-a76"}  # a Pi 4's and a Pi 5's
BOARDS = {"amd64": "pc", "arm64": "virt"}
CONSOLES = {"amd64": "ttyS0", "arm64": "ttyAMA0"}


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
        self.console, self._socket = folder / "console.log", folder / "control.sock"
        self.shared = folder / "shared"
        self.shared.mkdir(exist_ok=True)
        self._qemu: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._unread = b""

    def boot(self) -> None:
        """Start it, and wait until it runs commands. Raises ImageError."""
        if not self._image.disk.exists():
            raise ImageError(f"{self._image.disk} is missing: make test-vm makes it")
        self._socket.unlink(missing_ok=True)
        # setpriv: it ends with the tests, also where those are killed.
        self._qemu = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", self._image.architecture.qemu, *self._options()],
            stdin=subprocess.DEVNULL,
        )
        self._await_ready()

    def reboot(self) -> None:
        """Let it boot again by its own means, with its disks as they are. Raises ImageError."""
        self._send("systemctl --no-block reboot", 60)  # it may be gone before it has said how that ended
        self._await_ready()

    def _await_ready(self) -> None:
        """Wait until it runs commands. Raises ImageError."""
        try:
            self._connect()
            while self._line(BOOT_S) != b"ready":
                pass
        except OSError as error:
            ended = self._qemu is None or self._qemu.poll() is not None
            self.cut_power()
            how = "ended at its boot" if ended else f"did not boot within {BOOT_S} s"
            raise ImageError(f"the virtual machine {how}: {self._last_words()}") from error

    def run(self, command: str, timeout: float = 300) -> Done:
        """Run a shell's command as root. Raises TimeoutError where it was ended for its time, or the machine hangs."""
        self._send(command, timeout)
        code, out, err = self._line(timeout + MARGIN_S).split(b" ")
        if int(code) in (124, 137):
            raise TimeoutError(f"no end after {timeout:g} s: {command}")
        return Done(int(code), *(base64.b64decode(text).decode(errors="replace") for text in (out, err)))

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
        if self._control:
            self._control.close()
            self._control = None
        if self._qemu:
            self._qemu.kill()
            self._qemu.wait()
            self._qemu = None

    def _options(self) -> list[str]:
        disks = [f"file={self._image.disk},format=raw,if=virtio,snapshot=on"]
        disks += [f"file={self._data},format=raw,if=virtio,cache=writeback"] if self._data else []
        name = self._image.name
        return [
            "-accel", "tcg,tb-size=512", "-M", BOARDS[name], "-cpu", PROCESSORS[f"{name} {self._image.suite}"],
            "-smp", "1", "-m", str(MEMORY_MB),
            "-nodefaults", "-display", "none", "-serial", f"file:{self.console}",
            "-kernel", str(self._image.kernel), "-initrd", str(self._image.initrd),
            "-append", f"console={CONSOLES[name]} quiet panic=-1 mitigations=off",
            *[word for disk in disks for word in ("-drive", disk)],
            "-virtfs", f"local,path={self.shared},mount_tag=shared,security_model=none",
            "-device", "virtio-serial", "-device", "virtserialport,chardev=control,name=control",
            "-chardev", f"socket,id=control,path={self._socket},server=on,wait=off",
        ]  # fmt: skip

    def _connect(self) -> None:
        """Open the serial port, once. Raises OSError where the machine ended before."""
        if self._control:
            return
        self._control, self._unread = socket.socket(socket.AF_UNIX), b""
        while True:
            try:
                self._control.connect(str(self._socket))
                return
            except (FileNotFoundError, ConnectionRefusedError):
                if not self._qemu or self._qemu.poll() is not None:
                    raise
                time.sleep(POLL_S)

    def _send(self, command: str, timeout: float) -> None:
        """Have a command begin that is to end within so many seconds."""
        assert self._control
        coded = base64.b64encode(command.encode()).decode()
        self._control.sendall(f"{timeout:g} {coded}\n".encode())

    def _line(self, timeout: float) -> bytes:
        """What the machine says next. Raises OSError, which TimeoutError is one of."""
        assert self._control
        self._control.settimeout(timeout)
        while b"\n" not in self._unread:
            more = self._control.recv(65536)
            if not more:
                raise ConnectionError("the machine is gone")
            self._unread += more
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _last_words(self) -> str:
        lines = self.console.read_text(errors="replace").split("\n") if self.console.exists() else []
        return next((line.strip() for line in reversed(lines) if line.strip()), "its console is empty")
