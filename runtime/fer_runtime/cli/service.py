"""fer-service: fer-run as a systemd service, with a user of its own and nothing that it does not need."""

import os
import secrets
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from click.core import ParameterSource

from fer_runtime.cli import options
from fer_runtime.cli.entry import run
from fer_runtime.errors import FerError, GateError
from fer_runtime.system.redact import redact_url

NAME = "fer-run.service"
UNIT = Path("/etc/systemd/system") / NAME
BOOTED = Path("/run/systemd/system")  # is there on systems that systemd runs (sd_booted(3))
ENVIRONMENT = Path("/etc/fer-run.env")
STATE = Path("/var/lib/fer-run")  # the service's current folder, and the only one it may write in
HOMES = ("/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/")  # noqa: S108 - the service sees none of them
TOKEN = "FER_WEB_TOKEN"  # noqa: S105 - the variable's name
LOCAL_HOSTS = ("", "localhost", "127.0.0.1", "::1")
HERE_ONLY = "IPAddressDeny=any\nIPAddressAllow=localhost\nRestrictAddressFamilies=AF_UNIX AF_NETLINK AF_INET AF_INET6"
ANYWHERE = "RestrictAddressFamilies=AF_UNIX AF_NETLINK AF_INET AF_INET6"
NOWHERE = "PrivateNetwork=yes\nRestrictAddressFamilies=AF_UNIX AF_NETLINK"


@dataclass(frozen=True)
class RunOptions:
    """The options that fer-run's own parser finds in a command line."""

    values: dict[str, Any]
    """By parameter name, those that were given."""
    words: tuple[str, ...]
    """The same as one spelling of the command line, without --headless and without what goes to the environment."""
    environment: dict[str, str] = field(default_factory=dict)
    """Variables to set in place of options whose URL holds a password."""


@click.group(epilog="Example: fer-service install -- --source 0 --web 0.0.0.0:8080")
@options.version
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

    It restarts when it fails or gives no result for a minute. It may open cameras, write in its current folder,
    /var/lib/fer-run, and use the network only as far as --web, --mqtt or a --source with :// ask. Passwords do not
    stand in the unit: a --source or --mqtt that holds one goes to /etc/fer-run.env, which root alone may read, as
    FER_SOURCE or FER_MQTT; so does the page's token, FER_WEB_TOKEN, unless there is one or the page is for this
    machine alone, where none is asked for.
    """
    asked = parse_run_options(arguments)
    program = _program_path()
    present = _read_environment(ENVIRONMENT)
    unit = unit_text(program, asked, present)
    if printed:
        click.echo(unit, nl=False)
        for name in asked.environment:
            click.echo(f"# install puts {name} into {ENVIRONMENT}", err=True)
        return
    from fer_runtime.files import write_text

    _check_systemd()
    added = dict(asked.environment)
    if "web" in asked.values and _page_host(asked.values) not in LOCAL_HOSTS and TOKEN not in present:
        added[TOKEN] = secrets.token_urlsafe(16)
    if added:
        _set_environment(ENVIRONMENT, added)
    write_text(UNIT, unit)
    _systemctl("daemon-reload")
    _systemctl("enable", NAME)
    _systemctl("restart", "--no-block", NAME)
    click.echo(f"installed {UNIT}; see fer-service status, and journalctl -u {NAME}")
    if TOKEN in added:
        click.echo(f"the page's token is in {ENVIRONMENT}: open the page with ?token=...")


@cli.command(epilog="Example: fer-service remove")
def remove() -> None:
    """Stop the service and remove its unit, and what --mqtt-discovery announced to Home Assistant.

    /var/lib/fer-run and /etc/fer-run.env stay.
    """
    if not UNIT.exists():
        raise FerError(f"there is no {UNIT}: the service is not installed")
    withdrawal = discovery_removal(UNIT.read_text(encoding="utf-8"))
    _systemctl("disable", "--now", NAME)
    UNIT.unlink()
    _systemctl("daemon-reload")
    click.echo(f"removed {UNIT}")
    if withdrawal:
        environment = os.environ | _read_environment(ENVIRONMENT)
        if subprocess.run(withdrawal, env=environment, check=False).returncode:  # noqa: S603 - the unit's own program
            raise FerError(
                "the service is removed, and Home Assistant still has its sensors: when the broker answers, run "
                f"{shlex.join(withdrawal)}, with FER_MQTT and FER_MQTT_PASSWORD as in {ENVIRONMENT} if they stand there"
            )


@cli.command(epilog="Example: fer-service status")
def status() -> None:
    """Show systemd's status of the service; exit code 3 when it does not run."""
    done = subprocess.run([_systemctl_path(), "status", "--no-pager", "--lines=10", NAME], check=False)  # noqa: S603 - our own
    if done.returncode:
        raise GateError("the service does not run: see above, and fer-doctor")


def parse_run_options(arguments: tuple[str, ...]) -> RunOptions:
    """What fer-run would make of these arguments. Raises click.UsageError, and FerError for paths out of its reach."""
    from fer_runtime.cli.run import cli as fer_run

    values: dict[str, Any] = {}
    words: list[str] = []
    environment: dict[str, str] = {}
    with fer_run.make_context("fer-run", list(arguments)) as context:
        for option in fer_run.params:
            name = option.name or ""
            if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE or name == "headless":
                continue
            value = values[name] = _within_reach(name, context.params.get(name, True))
            if option.envvar and redact_url(value) != value:
                environment[str(option.envvar)] = value
                continue
            words.append(max(option.opts, key=len))
            if value is not True:
                words.append("x".join(map(str, value)) if isinstance(value, tuple) else str(value))
    return RunOptions(values, tuple(words), environment)


def unit_text(program: Path, asked: RunOptions, environment: dict[str, str]) -> str:
    """The unit that runs `program` (fer-run). Raises FerError for words that no unit can hold.

    environment: variables of /etc/fer-run.env, which may name a source and a broker too.
    """
    from fer_runtime.cli.run import refuse_combinations

    if "forgotten" in asked.values:
        raise click.UsageError("--mqtt-discovery-remove ends at once: give it to fer-run, not to a service")
    refuse_combinations(asked.values, asked.values.get("mqtt", environment.get("FER_MQTT")))
    addresses = {"source": environment.get("FER_SOURCE"), "mqtt": environment.get("FER_MQTT")} | asked.values
    template = (resources.files("fer_runtime") / "assets" / NAME).read_text()
    command = " ".join(map(_quoted, (str(program), "--headless", *asked.words)))
    return template.replace("@COMMAND@", command).replace("@NETWORK@", _network(addresses))


def discovery_removal(unit: str) -> list[str]:
    """The command that takes back what a unit's fer-run announced to Home Assistant; empty where that is nothing."""
    lines = [line.removeprefix("ExecStart=") for line in unit.splitlines() if line.startswith("ExecStart=")]
    words = [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(lines[0])] if lines else []
    if "--mqtt-discovery" not in words:
        return []
    broker = words[words.index("--mqtt") :][:2] if "--mqtt" in words else []  # else it stands in the environment
    return [words[0], "--mqtt-discovery-remove", *broker]


def _within_reach(name: str, value: Any) -> Any:
    """The option's value as the service understands it: absolute paths of inputs. Raises FerError for hidden paths."""
    if name in ("jsonl", "record", "profiled") and str(value) != "-":
        path = os.path.normpath(STATE / value)
        if not path.startswith((f"{STATE}/", "/dev/")):
            raise FerError(f"{value}: the service may write in {STATE} alone, its current folder: give a name in it")
    if name in ("model", "detector") or (name == "source" and _is_path(value)):
        path = str(value if (STATE / value).exists() else Path(value).absolute())
        if path.startswith(HOMES):
            raise FerError(
                f"{path}: the service sees no homes and no /tmp: copy it to {STATE} or a folder such as /opt"
            )
        return type(value)(path)
    return value


def _is_path(source: str) -> bool:
    from fer_runtime.sources.factory import is_camera

    return not is_camera(source) and "://" not in source


def _program_path() -> Path:
    """The fer-run in the folder of this command. Raises FerError where the service could not start it."""
    program = Path(sys.argv[0]).absolute().parent / "fer-run"
    if str(program).startswith(HOMES):
        raise FerError(
            f"{program} is in a folder that the service may not see: install into one such as /opt, with "
            "sudo python3 -m venv /opt/fer-edge && sudo /opt/fer-edge/bin/pip install fer-edge"
        )
    if not program.exists():
        raise FerError(f"{program} does not exist: start fer-service from the folder it was installed to")
    return program


def _page_host(values: dict[str, Any]) -> str:
    """The host of --web [HOST:]PORT; empty where none is named."""
    host: str = values["web"].rpartition(":")[0]
    return host.strip("[]")


def _network(values: dict[str, Any]) -> str:
    """The unit's lines on the network: as far as the page, the broker and the source need it."""
    hosts = [_host(values[name]) for name in ("source", "mqtt") if "://" in (values.get(name) or "")]
    if "web" in values:
        hosts.append(_page_host(values))
    if not hosts:
        return NOWHERE
    return HERE_ONLY if all(host in LOCAL_HOSTS for host in hosts) else ANYWHERE


def _host(url: str) -> str:
    try:
        return urlsplit(redact_url(url)).hostname or url  # a password may hold signs that end a host
    except ValueError:
        return url


def _quoted(word: str) -> str:
    """A word of ExecStart=, with what systemd would replace in it (systemd.service(5))."""
    if any(ord(sign) < 32 for sign in word):
        raise FerError(f"{word!r} cannot stand in a unit: it holds a line's end or another control character")
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if set(escaped) & set(" '\"\\;") or not escaped else escaped


def _read_environment(file: Path) -> dict[str, str]:
    """The variables of an EnvironmentFile= (systemd.exec(5)); none where it is not there or only root may read it."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith(("#", ";")):
            try:
                found[name.strip()] = " ".join(shlex.split(value))
            except ValueError:  # a quote that is not closed
                found[name.strip()] = value
    return found


def _set_environment(file: Path, variables: dict[str, str]) -> None:
    """Set variables in an EnvironmentFile= that root alone may read; its other lines stay. Raises FerError."""
    from fer_runtime.files import written_whole

    try:
        old = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    except (OSError, UnicodeDecodeError) as error:
        raise FerError(f"cannot read {file}: {error}; use sudo, and keep the file in UTF-8") from error
    kept = [line for line in old if line.strip().partition("=")[0].strip() not in variables]
    for name, value in variables.items():
        if any(ord(sign) < 32 for sign in value):
            raise FerError(f"{name} cannot hold a line's end or another control character")
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')  # between quotes systemd replaces nothing else
        kept.append(f'{name}="{escaped}"')
    with written_whole(file, mode=0o600) as temp_path:
        temp_path.write_text("\n".join(kept) + "\n", encoding="utf-8")


def _check_systemd() -> None:
    """Raise FerError now, instead of after files were written, where no service can be installed."""
    _systemctl_path()
    if not BOOTED.is_dir():
        raise FerError("this system was not booted with systemd (a container?): start fer-run by other means")
    if not os.access(UNIT.parent, os.W_OK):
        raise FerError(f"{UNIT.parent} can be written by root alone: use sudo")


def _systemctl(*words: str) -> None:
    done = subprocess.run([_systemctl_path(), *words], capture_output=True, text=True, check=False)  # noqa: S603 - our own
    if done.returncode:
        message = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[0]
        raise FerError(f"systemctl {words[0]}: {message}; use sudo, on a system that was booted with systemd")


def _systemctl_path() -> str:
    found = shutil.which("systemctl")
    if found is None:
        raise FerError("there is no systemctl: expected a system with systemd; else start fer-run by other means")
    return found


def main() -> None:
    """Entry point of fer-service."""
    run(cli)
