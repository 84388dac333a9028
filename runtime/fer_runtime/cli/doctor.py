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
from fer_runtime.cli.probes import PROBES, Finding

PATIENCE = 300  # seconds a probe may take
MARKS = {"ok": "ok", "note": "note", "bad": "BAD"}
ILLEGAL = (
    "this processor lacks an instruction that a wheel uses: install the newest wheels, on a 64-bit system; "
    "if they are the newest, please report it with this output"
)


@click.command(epilog="Example: fer-doctor --json doctor.json")
@options.model
@options.json_file
@options.version
def cli(model: Path | None, json_file: Path | None) -> int:
    """Look whether this machine can run fer-run: wheels, processor, model, cameras, heat, and the speed to expect.

    Each look is in a process of its own, so that one that crashes is a finding. Exit code 3 when something stands in
    the way; a note does not.
    """
    from fer_runtime.files import refuse_same, written_whole

    refuse_same([json_file], [model])
    with written_whole(json_file) if json_file else nullcontext() as beside:
        findings = []
        for name in PROBES:
            findings.append(_probed(name, model))
            _print(findings[-1])
        bad = [finding.name for finding in findings if finding.state == "bad"]
        if beside:
            plain = {"ok": not bad, "findings": [vars(finding) for finding in findings]}
            beside.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
    click.echo(f"fer-run will not work: see {', '.join(bad)}" if bad else "fer-run works here")
    return 3 if bad else 0


def _probed(name: str, model: Path | None) -> Finding:
    """What one probe found, or how its process ended."""
    words = [sys.executable, "-P", "-m", "fer_runtime.cli.probes", name, *([str(model)] if model else [])]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)  # noqa: S603 - our own
    except subprocess.TimeoutExpired:
        return Finding(name, "bad", f"no answer in {PATIENCE} seconds", "is the machine very busy? Please report it")
    if done.returncode < 0:
        number = -done.returncode
        told = signal.strsignal(number) or f"signal {number}"
        advice = ILLEGAL if number == signal.SIGILL else "install fer-edge again; if it stays so, please report it"
        return Finding(name, "bad", f"its process was ended: {told.lower()}", advice)
    try:
        return Finding(**json.loads(done.stdout.splitlines()[-1]))
    except (IndexError, TypeError, ValueError):
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return Finding(name, "bad", last, "install what is missing, or fer-edge again: pip install fer-edge")


def _print(finding: Finding) -> None:
    width = shutil.get_terminal_size((100, 24)).columns
    head = f"{MARKS[finding.state]:5}{finding.name:11}"
    text = click.wrap_text(finding.found, width, head, " " * len(head))
    click.echo(text)
    if finding.advice:
        arrow = " " * len(head) + "-> "
        click.echo(click.wrap_text(finding.advice, width, arrow, " " * len(arrow)))


def main() -> None:
    """Entry point of fer-doctor."""
    run(cli)
