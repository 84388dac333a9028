"""fer-service on the virtual machine: installed with its words, and as systemd sees it."""

from helpers.board import BIN, Board

NAME = "fer-run.service"
STATE = "/var/lib/fer-run"
ENVIRONMENT = "/etc/fer-run.env"
PORT = 8123  # of a server on the machine
DROP_IN = f"/run/systemd/system/{NAME}.d/tried.conf"
DISK = "/dev/disk-for-all"  # every user may open it: what keeps the service from it is its list of devices
# What the service must not open; the machine has all of them.
FORBIDDEN = (DISK, "/dev/vda", "/dev/kmsg", "/dev/mem", ENVIRONMENT, "/home/visitor", "/root")
CAMERA = "--source 0 --size 320x180 --fps 5"


def install(board: Board, words: str) -> None:
    """Install it, with a program beside it that tries what it may do (inside/inside.py); return when it is ready."""
    tried = f"ExecStartPost=/usr/bin/python3 /shared/inside.py {PORT} /dev/video0 {' '.join(FORBIDDEN)}"
    board.ok(f"mkdir -p $(dirname {DROP_IN}) && printf '[Service]\\n{tried}\\n' > {DROP_IN}")
    board.ok(f"[ -e {DISK} ] || mknod -m 666 {DISK} b $(stat -c '0x%t 0x%T' /dev/vda)")
    board.run(f"systemd-run --quiet --unit=server python3 -m http.server {PORT}")
    board.ok(f"{BIN}/fer-service install -- {words}")
    ready(board)


def ready(board: Board, restarts: int = 0) -> None:
    """Wait until systemd holds the service for started, with at least so many restarts before."""
    condition = (
        f"systemctl is-active --quiet {NAME} && [ $(systemctl show --value -p NRestarts {NAME}) -ge {restarts} ]"
    )
    board.until(condition)


def shown(board: Board, name: str) -> str:
    """A property of the service as systemd knows it."""
    return board.ok(f"systemctl show --value -p {name} {NAME}").strip()


def journal(board: Board, since: str = "") -> str:
    """What the service and systemd wrote of it since the boot, or since an uptime in seconds."""
    lines = board.ok(f"journalctl -b --no-pager --quiet -o short-monotonic -u {NAME}")
    after = float(since or 0)
    return "\n".join(line for line in lines.splitlines() if float(line[1:].split("]")[0]) > after)
