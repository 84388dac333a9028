"""fer-doctor: whether fer-run will work on this machine, and what to do where it won't."""

import json
import shutil
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import click

from fer_runtime.cli import options
from fer_runtime.cli.entry import run
from fer_runtime.cli.probes import PROBES, CheckResult

PROBE_TIMEOUT_S = 300
SCHEMA = 2  # of the JSON report
MARKS = {"ok": "ok", "note": "note", "fail": "FAIL"}
ILLEGAL = (
    "this processor lacks an instruction that a wheel uses: install the newest wheels, on a 64-bit system; "
    "if they are the newest, please report it with this output"
)


@click.command(epilog="Example: fer-doctor --json doctor.json")
@options.model
@options.json_file
@options.version
def cli(model: Path | None, json_file: Path | None) -> int:
    """Check whether this machine can run fer-run: wheels, processor, model, cameras, temperature, and speed.

    Each check runs in a process of its own, so that a crash is a result too. Exit code 3 when a check fails; a note is
    no failure.
    """
    from fer_runtime.files import refuse_same, written_whole

    refuse_same([json_file], [model])
    with written_whole(json_file) if json_file else nullcontext() as temp_path:
        results = []
        for name in PROBES:
            results.append(_check(name, model))
            _print(results[-1])
        failed = [result.name for result in results if result.status == "fail"]
        if temp_path:
            plain = {"schema": SCHEMA, "ok": not failed, "checks": [vars(result) for result in results]}
            temp_path.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
    click.echo(f"fer-run will not work: see {', '.join(failed)}" if failed else "fer-run works here")
    return 3 if failed else 0


def _check(name: str, model: Path | None) -> CheckResult:
    """The result of one check, or how its process ended."""
    command = [sys.executable, "-P", "-m", "fer_runtime.cli.probes", name, *([str(model)] if model else [])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_TIMEOUT_S, check=False)  # noqa: S603 - our own
    except subprocess.TimeoutExpired:
        return CheckResult(
            name, "fail", f"no result after {PROBE_TIMEOUT_S} seconds", "is the machine very busy? Please report it"
        )
    if done.returncode < 0:
        number = -done.returncode
        reason = signal.strsignal(number) or f"signal {number}"
        advice = ILLEGAL if number == signal.SIGILL else "install fer-edge again; if it stays so, please report it"
        return CheckResult(name, "fail", f"its process was ended: {reason.lower()}", advice)
    try:
        return CheckResult(**json.loads(done.stdout.splitlines()[-1]))
    except (IndexError, TypeError, ValueError):
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return CheckResult(name, "fail", last, "install what is missing, or fer-edge again: pip install fer-edge")


def _print(result: CheckResult) -> None:
    width = shutil.get_terminal_size((100, 24)).columns
    head = f"{MARKS[result.status]:5}{result.name:12}"
    text = click.wrap_text(result.detail, width, head, " " * len(head))
    click.echo(text)
    if result.advice:
        arrow = " " * len(head) + "-> "
        click.echo(click.wrap_text(result.advice, width, arrow, " " * len(arrow)))


def main() -> None:
    """Entry point of fer-doctor."""
    run(cli)
