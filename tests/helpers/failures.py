"""How a command ends on bad input."""

import subprocess


def fails(done: subprocess.CompletedProcess[str], message: str, code: int = 1) -> None:
    """`done` ended with `code` and one sentence that holds `message`."""
    assert done.returncode == code, (done.returncode, done.stderr)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "unexpected" not in done.stderr  # the safety net is for faults of ours, not for input we know of
