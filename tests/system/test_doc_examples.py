"""The examples in README and docs/: Python is run, and each shell line is held against the commands' own options."""

import re
import shlex
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import click
import pytest
import yaml

from conftest import ROOT
from tools.commands_page import COMMANDS

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")])
PYTHON = [
    pytest.param(code, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, code in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL))
]
# Programs of others, which are not checked.
OTHERS = {"cat", "cd", "curl", "git", "journalctl", "systemctl", "apt", "apt-get", "npm", "pre-commit", "ray"}


def shell_lines(page: Path) -> list[str]:
    """Each command of the page's shell blocks; a line that ends in a backslash goes on in the next."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", page.read_text(), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.strip()]


def inline_commands(page: Path) -> list[str]:
    """Our commands that stand in a sentence, between backticks."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    return re.findall(r"`((?:fer-[a-z]+|make|python -m fer_\w+) [^`]+)`", text.replace("\n", " "))


def split_line(line: str) -> list[list[str]]:
    """The line's commands, as words, without what stands before each: sudo, variables, a folder."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;<>")
    lexer.whitespace_split = True
    parts: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set("&|;"):
            parts.append([])
        else:
            parts[-1].append(word)
    found = []
    for words in parts:
        while words and (words[0] == "sudo" or re.match(r"[A-Z_]+=", words[0])):
            words.pop(0)
        if words:
            found.append([words[0].rsplit("/", 1)[-1], *words[1:]])
    return found


def check_options(command: click.Command, name: str, words: list[str], whole: bool) -> None:
    """Raises click.UsageError for an option or a value that the command does not take, or a missing argument.

    whole: the words are a complete command; else a sentence quotes a part of one, and only names are looked at.
    """
    context = click.Context(command, info_name=name)
    while isinstance(command, click.Group):
        below = command.get_command(context, words[0])
        if below is None:
            raise click.UsageError(f"{name} has no command {words[0]!r}")
        command, name, words = below, f"{name} {words[0]}", words[1:]
        context = click.Context(command, info_name=name)
    try:
        values, _, _ = command.make_parser(context).parse_args(list(words))
    except click.BadOptionUsage:  # an option without its value
        if whole:
            raise
        return
    for parameter in command.get_params(context) if whole else ():
        value = values.get(parameter.name or "")
        given = isinstance(value, str | tuple | list) and bool(value)
        if isinstance(parameter, click.Argument) and parameter.required and not given:
            raise click.UsageError(f"{name} lacks {parameter.human_readable_name}")
        if given and isinstance(parameter, click.Option) and not isinstance(parameter.type, click.Path):
            parameter.type_cast_value(context, value)


def check_make(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for word in words:
        name, _, value = word.partition("=")
        known = rf"\$\({name}\)|\$\(or \$\({name}\)|^{name} \?=" if value else rf"^{name}:"
        assert re.search(known, makefile, re.MULTILINE), f"the Makefile has no {word}"


def check_python(words: list[str], whole: bool) -> None:
    """`python -m MODULE ...`, or a script of this repository."""
    if words[0] != "-m":
        assert (ROOT / words[0]).exists(), f"there is no {words[0]}"
    elif words[1].startswith(("fer_", "tools.")):
        module = import_module(f"{words[1]}.__main__" if words[1] == "fer_train" else words[1])
        if hasattr(module, "cli"):
            check_options(module.cli, words[1], words[2:], whole)
    else:
        assert words[1] in {"build", "pytest", "venv"}, f"python -m {words[1]}"


def check_pip(words: list[str]) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for word in words:
        for name in re.findall(r"\.\[([\w,]+)\]", word):
            assert set(name.split(",")) <= set(extras), f"there is no extra {name}"


def check(words: list[str], whole: bool = True) -> None:
    """One command of a page."""
    program, *rest = words
    if program in COMMANDS:
        check_options(import_module(COMMANDS[program]).cli, program, rest, whole)
    elif program == "make":
        check_make(rest)
    elif program in ("python", "python3"):
        check_python(rest, whole)
    elif program == "pip":
        check_pip(rest)
    elif program == "torchrun":
        check_options(import_module("fer_train.cli.main").cli, "fer_train", rest[rest.index("fer_train") + 1 :], whole)
    elif program in ("sh", "gpu_recipe.sh"):
        assert program != "sh" or (ROOT / rest[0]).exists(), f"there is no {rest[0]}"
    else:
        assert program in OTHERS, f"{program} is not known: name it in OTHERS, or check it"


def check_line(line: str, whole: bool = True) -> None:
    """Every command of a line. Fails with the line and what is wrong with it."""
    for words in split_line(line):
        try:
            check(words, whole)
        except (click.ClickException, AssertionError) as error:
            text = error.format_message() if isinstance(error, click.ClickException) else str(error)
            pytest.fail(f"{line}: {text}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_shell_example_fits_the_commands(page: Path) -> None:
    for line in shell_lines(page):
        check_line(line)
    for line in (line for line in inline_commands(page) if "[OPTIONS]" not in line):  # a usage line
        check_line(line, whole=False)


@pytest.mark.parametrize(
    "line",
    [
        "fer-run --sauce 0",
        "fer-run --threads many",
        "fer-train fitt fer2013.zip",
        "fer-train fit",
        "fer-export model.pt --precision int4",
        "sudo /opt/fer-edge/bin/fer-service instal",
        "FER_MQTT_PASSWORD=x fer-run --mqttt mqtt://broker",
        "make cake",
        "make bench DATEN=fer2013.zip",
        "pip install '.[trian]'",
        "python -m fer_benchmarks.pipeline.tilt_and_lag --face 3 fer2013.zip",
        "python examples/nowhere.py",
        "fer-verify model.onnx && fer-run --modell model.onnx",
        "fer-ruhn",
    ],
)
def test_a_wrong_example_is_found(line: str) -> None:
    with pytest.raises(pytest.fail.Exception):
        check_line(line)


@pytest.mark.parametrize("code", PYTHON)
def test_every_python_example_runs(code: str, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "people.mp4").symlink_to(clip)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_every_workflow_step_is_a_make_target_that_can_be_tried_here() -> None:
    """But for Debian's packages, which only CI installs. Issue forms and the other settings of GitHub are YAML, too."""
    for path in [*(ROOT / ".github").rglob("*.yml"), ROOT / ".pre-commit-config.yaml"]:
        assert yaml.safe_load(path.read_text()), path
    workflows = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    assert workflows
    for path in workflows:
        jobs = yaml.safe_load(path.read_text())["jobs"].values()  # of which one may do no more than publish
        lines = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
        assert lines
        for line in lines:
            if not line.startswith("sudo apt-get "):
                target = line.removeprefix('sudo -E env "PATH=$PATH" ')
                assert target.startswith("make ")
                check_line(re.sub(r"\$\{\{.*?\}\}", "1", target))  # a value of the job's matrix
