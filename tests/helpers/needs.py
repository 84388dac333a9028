"""What the tests marked `system` need beside Python, and how it is installed."""

import functools
import shutil
import subprocess

GSTREAMER = """
import gi
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer
Gst.init(None)
assert Gst.ElementFactory.find("rtpjpegpay") and Gst.ElementFactory.find("multifilesrc")
"""
PACKAGES = {
    "rtsp": "python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good",
    "ffprobe": "ffmpeg",
    "strace": "strace",
    "unshare": "util-linux mount",
    "node": "nodejs npm",
    "chromium": "chromium",
}
COMMANDS = {
    "rtsp": ["/usr/bin/python3", "-c", GSTREAMER],
    "ffprobe": ["ffprobe", "-version"],
    "strace": ["strace", "-o", "/dev/null", "true"],
    "node": ["node", "-e", "process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)"],
    "chromium": ["chromium", "--version"],
    "unshare": ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
}


def missing(names: tuple[str, ...]) -> str:
    """One sentence on what does not work here of these; empty when all does."""
    absent = [name for name in names if not _works(name)]
    if not absent:
        return ""
    packages = " ".join(PACKAGES[name] for name in absent)
    return f"{', '.join(absent)} missing or not allowed here: sudo apt-get install --no-install-recommends {packages}"


@functools.cache
def _works(name: str) -> bool:
    command = COMMANDS[name]
    return (
        shutil.which(command[0]) is not None
        and not subprocess.run(command, capture_output=True, check=False).returncode
    )
