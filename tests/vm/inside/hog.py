"""Takes 700 MB as soon as it was put into the service's control group, and keeps it."""

import time
from pathlib import Path

while "fer-run.service" not in Path("/proc/self/cgroup").read_text():
    time.sleep(0.1)
memory = b"x" * (700 << 20)
time.sleep(600)
