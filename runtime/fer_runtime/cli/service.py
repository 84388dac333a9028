"""fer-service: fer-run as a systemd service, with a user of its own and nothing that it does not need."""

import os
import secrets
import shutil
import subprocess
import sys
from importlib import resources
from itertools import pairwise
from pathlib import Path

import click

from fer_runtime.cli.entry import run
from fer_runtime.errors import FerError, GateError

NAME = "fer-run.service"
UNIT = Path("/etc/systemd/system") / NAME
SECRETS = Path("/etc/fer-run.env")
HOMES = ("/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/")  # noqa: S108 - the service sees none of them
HERE_ONLY = "IPAddressDeny=any\nIPAddressAllow=localhost\nRestrictAddressFamilies=AF_UNIX AF_NETLINK AF_INET AF_INET6"
ANYWHERE = "RestrictAddressFamilies=AF_UNIX AF_NETLINK AF_INET AF_INET6"
NOWHERE = "PrivateNetwork=yes\nRestrictAddressFamilies=AF_UNIX AF_NETLINK"


@click.group(epilog="Example: fer-service install -- --source 0 --web 0.0.0.0:8080")
@click.version_option(package_name="fer-edge")
def cli() -> None:
    """Run fer-run from boot on, as a systemd service: install, remove, status. Needs sudo, but for status."""


@cli.command(
    context_settings={"ignore_unknown_options": True},
    epilog="Example: fer-service install -- --source 0 --web 0.0.0.0:8080",
)
@click.option("--print", "printed", is_flag=True, help="Print the unit and change nothing.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="-- [FER-RUN OPTION]...")
def install(printed: bool, arguments: tuple[str, ...]) -> None:
    """Install and start the service; what follows -- goes to fer-run, --headless is added.

    It restarts when it fails or gives no answer for a minute. It may open cameras, write in its current folder,
    /var/lib/fer-run, and use the network only as far as --web, --mqtt or a --source with :// ask. FER_WEB_TOKEN and
    FER_MQTT_PASSWORD are read from /etc/fer-run.env, where a token is put if there is no such file.
    """
    unit = unit_text(_program_path(), arguments)
    if printed:
        click.echo(unit, nl=False)
        return
    from fer_runtime.files import write_text

    _systemctl("--version")
    made = _make_token(SECRETS) if "--web" in arguments else False
    write_text(UNIT, unit)
    _systemctl("daemon-reload")
    _systemctl("enable", NAME)
    _systemctl("restart", "--no-block", NAME)
    click.echo(f"installed {UNIT}; see fer-service status, and journalctl -u {NAME}")
    if made:
        click.echo(f"the page's token is in {SECRETS}: open the page with ?token=...")


@cli.command(epilog="Example: fer-service remove")
def remove() -> None:
    """Stop the service and remove its unit; /var/lib/fer-run and /etc/fer-run.env stay."""
    if not UNIT.exists():
        raise FerError(f"there is no {UNIT}: the service is not installed")
    _systemctl("disable", "--now", NAME)
    UNIT.unlink()
    _systemctl("daemon-reload")
    click.echo(f"removed {UNIT}")


@cli.command(epilog="Example: fer-service status")
def status() -> None:
    """What systemd says of the service; exit code 3 when it does not run."""
    done = subprocess.run([_systemctl_path(), "status", "--no-pager", "--lines=10", NAME], check=False)  # noqa: S603 - our own
    if done.returncode:
        raise GateError("the service does not run: see above, and fer-doctor")


def unit_text(program: Path, arguments: tuple[str, ...]) -> str:
    """The unit that runs `program` (fer-run) with these arguments. Raises FerError for words that no unit can hold."""
    words = [str(program), "--headless", *(word for word in arguments if word != "--headless")]
    template = (resources.files("fer_runtime") / "assets" / NAME).read_text()
    return template.replace("@COMMAND@", " ".join(map(_quoted, words))).replace("@NETWORK@", _network(arguments))


def _program_path() -> Path:
    """The fer-run beside this command. Raises FerError where the service could not start it."""
    program = Path(sys.argv[0]).absolute().parent / "fer-run"
    if str(program).startswith(HOMES):
        raise FerError(
            f"{program} is in a folder that the service may not see: install into one such as /opt, with "
            "sudo python3 -m venv /opt/fer-edge && sudo /opt/fer-edge/bin/pip install fer-edge"
        )
    if not program.exists():
        raise FerError(f"{program} does not exist: start fer-service from the folder it was installed to")
    return program


def _network(arguments: tuple[str, ...]) -> str:
    """The unit's lines on the network: as far as the arguments need it."""
    if any("://" in word for word in arguments) or any(word.startswith("--mqtt") for word in arguments):
        return ANYWHERE
    places = [place for word, place in pairwise(arguments) if word == "--web"]
    places += [word.partition("=")[2] for word in arguments if word.startswith("--web=")]
    if not places:
        return NOWHERE
    here = ("", "localhost", "127.0.0.1", "[::1]")
    return HERE_ONLY if all(place.rpartition(":")[0] in here for place in places) else ANYWHERE


def _quoted(word: str) -> str:
    """A word of ExecStart=, with what systemd would replace in it (systemd.service(5))."""
    if any(ord(sign) < 32 for sign in word):
        raise FerError(f"{word!r} cannot stand in a unit: it holds a line's end or another control character")
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if set(escaped) & set(" '\"\\;") or not escaped else escaped


def _make_token(file: Path) -> bool:
    """Write a token to `file`, readable by root alone, unless it is there. Raises FerError."""
    try:
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            opened.write(f"FER_WEB_TOKEN={secrets.token_urlsafe(16)}\n")
    except FileExistsError:
        return False
    except OSError as error:
        raise FerError(f"cannot write {file}: {error.strerror}; use sudo") from error
    return True


def _systemctl(*words: str) -> None:
    done = subprocess.run([_systemctl_path(), *words], capture_output=True, text=True, check=False)  # noqa: S603 - our own
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[0]
        raise FerError(f"systemctl {words[0]}: {said}; use sudo, on a system that was booted with systemd")


def _systemctl_path() -> str:
    found = shutil.which("systemctl")
    if found is None:
        raise FerError("there is no systemctl: expected a system with systemd; else start fer-run by other means")
    return found


def main() -> None:
    """Entry point of fer-service."""
    run(cli)
