"""README.md, docs/ and the models' cards: links lead somewhere, and a page that a text names is there."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from conftest import ROOT
from tools import commands_page

TRACKED = [
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
]
PAGES = [path for path in TRACKED if path.suffix == ".md" and path.exists()]


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(#[^)\s]*)?\)", page.read_text()):
        if "://" in target:
            continue
        place = (page.parent / target).resolve() if target else page
        assert place.exists(), f"{page.name} links to {target}, which is not there"
        if anchor:
            assert anchor[1:] in headings(place), f"{page.name} links to {target}{anchor}: no such heading"


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/**/*.md")), ids=lambda page: page.stem)
def test_tables_and_lists_begin_after_an_empty_line(page: Path) -> None:
    """Python-Markdown, which makes the site, else takes them for text; GitHub does not need it."""
    text = re.sub(r"^( *)```.*?^\1```$", "code", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"^(?!\||#| |[-*] |\d+\. ).+\n(?:\||[-*] |\d+\. ).*", text, re.MULTILINE)
    assert not found


def test_pages_and_tests_that_texts_name_exist() -> None:
    """A page that a comment names, or a test that a page names."""
    for path in TRACKED:
        if path.suffix not in (".py", ".md", ".toml", ".sh", "") or not path.is_file():
            continue
        for name in re.findall(r"(?<![\w/])(?:docs|tests)/[\w./-]*\w\.(?:md|py|ipynb|json|png)\b", path.read_text()):
            assert (ROOT / name).exists(), f"{path.relative_to(ROOT)} names {name}"


def test_the_commands_page_holds_every_command_and_option() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert set(commands_page.COMMANDS) == set(scripts)
    assert commands_page.PAGE.read_text() == commands_page.page(), "a command's help changed: run `make docs`"


def test_the_version_and_the_address_stand_in_one_place() -> None:
    """CITATION.cff repeats the version of pyproject.toml; the placeholder of the repository's owner is there alone."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == project["version"]
    assert citation["authors"] == project["authors"]
    assert project["version"] in (ROOT / "CHANGELOG.md").read_text()
    placeholder = "github.com/" + "OWNER"
    assert [path.name for path in TRACKED if path.is_file() and placeholder.encode() in path.read_bytes()] == [
        "pyproject.toml"
    ]


def test_the_readme_is_read_in_one_go() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
