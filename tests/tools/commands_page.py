"""docs/reference/commands.md out of the commands' own help: `make docs` writes it, and a test holds it to them."""

import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click

from fer_runtime.files import write_text

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "commands.md"
COMMANDS = {
    "fer-run": "fer_runtime.cli.run",
    "fer-score": "fer_runtime.cli.score",
    "fer-train": "fer_train.cli.main",
    "fer-export": "fer_export.cli",
    "fer-verify": "fer_export.verify.cli",
    "fer-bench": "fer_benchmarks.cli",
    "fer-doctor": "fer_runtime.cli.doctor",
    "fer-service": "fer_runtime.cli.service",
}
HEAD = """# Commands and options
This page is made from the commands' own help by `make docs`; `COMMAND --help` shows the same.

## Exit codes
| code | meaning |
|---|---|
| 0 | done |
| 1 | it could not be done: bad input, a missing part |
| 2 | the command line is wrong |
| 3 | it was done, and the result is negative, see below |
| 129, 130, 143 | ended by a terminal that closes (SIGHUP), by Ctrl-C, by SIGTERM |

Exit code 3: `fer-export` exceeded a limit, a check of `fer-verify` failed, `fer-doctor` found what prevents `fer-run`
from working, `fer-train audit` found a leak, `fer-bench` a regression or a machine that is too noisy, `fer-score
--strict` a file that cannot be scored, or `fer-service status` a service that does not run.

A command that fails leaves its output path exactly as it was. JSON lines and recordings are streams: they hold whole
records up to the end. A recording ends, with exit code 1, when 16 MiB are left on its disk.
"""


def contexts(name: str, command: click.Command, parent: click.Context | None = None) -> Iterator[click.Context]:
    """The command and those below it, each in a context of its own, in the order of its help."""
    context = click.Context(command, info_name=name, parent=parent)
    yield context
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            yield from contexts(below, command.commands[below], context)


def section(context: click.Context) -> str:
    """One command in Markdown: usage, what it does, its options, its example."""
    command = context.command
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    text = inspect.cleandoc(command.help or "").replace("\b\n", "")
    lines = [f"## {context.command_path}", f"`{usage}`", "", text, ""]
    for parameter in command.get_params(context):
        if isinstance(parameter, click.Option) and not {"--help", "--version"} & set(parameter.opts):
            left, right = parameter.get_help_record(context) or ("", "")
            lines.append(f"- `{left}`: {right}")
    if command.epilog and not isinstance(command, click.Group):
        lines += ["", "```sh", command.epilog.removeprefix("Example: "), "```"]
    return "\n".join(lines).rstrip() + "\n"


def page() -> str:
    """The whole page."""
    commands = [(name, import_module(module).cli) for name, module in COMMANDS.items()]
    sections = [section(context) for name, command in commands for context in contexts(name, command)]
    return HEAD + "\n" + "\n".join(sections).rstrip() + "\n"


if __name__ == "__main__":
    write_text(PAGE, page())
