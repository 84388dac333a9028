"""Hooks of mkdocs.yml: the repository's address out of pyproject.toml, and links from pages to files outside docs/."""

import os
import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def on_config(config: Any) -> Any:
    """Fill in what pyproject.toml says."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    config.repo_url = project["urls"]["Repository"]
    config.site_description = project["description"]
    return config


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Links that lead out of docs/, to code, models and examples, go to the repository."""
    folder = Path(config.docs_dir, page.file.src_uri).parent

    def leads(match: re.Match[str]) -> str:
        target, anchor = match[1], match[2] or ""
        place = Path(os.path.normpath(folder / target))
        if "://" in target or not target or place.is_relative_to(config.docs_dir):
            return match[0]
        kind = "tree" if place.is_dir() else "blob"
        return f"]({config.repo_url}/{kind}/main/{place.relative_to(ROOT)}{anchor})"

    return re.sub(r"\]\(([^)#\s]*)(#[^)\s]*)?\)", leads, markdown)
