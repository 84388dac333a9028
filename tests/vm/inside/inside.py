"""What the service's own process may do, tried from inside its unit: a JSON object in its current folder."""

import json
import os
import socket
import sys
from pathlib import Path


def opens(path: str) -> bool:
    """Whether a file or device can be opened for reading."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def writes(folder: str) -> bool:
    """Whether a file can be made in a folder."""
    try:
        Path(folder, "tried").write_text("")
        Path(folder, "tried").unlink()
    except OSError:
        return False
    return True


def connects(port: int) -> bool:
    """Whether the machine's own network can be reached."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


Path("inside.json").write_text(
    json.dumps(
        {
            "opens": [path for path in sys.argv[2:] if opens(path)],
            "writes": [folder for folder in (".", "/", "/etc", "/usr", "/opt", "/data", "/var/lib") if writes(folder)],
            "connects": connects(int(sys.argv[1])),
            "processes of others": [entry for entry in os.listdir("/proc") if entry == "1"],
            "root": os.geteuid() == 0,
        }
    )
)
