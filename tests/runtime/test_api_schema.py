"""The API held against its own OpenAPI description, by schemathesis; and hostile pictures by the hundred."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import BIN, ROOT
from helpers.served import Served, serving, serving_alone, write_long
from tools.hostile_api import MAX_GROWTH, attack

DESCRIPTION = "/api/v1/openapi.json"


@pytest.fixture(scope="module")
def alone() -> Iterator[Served]:
    with serving_alone() as served:
        yield served


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(write_long(tmp_path_factory.mktemp("clip") / "long.mp4", 40)) as served:
        yield served


@pytest.mark.parametrize("name", ["alone", "page"])
def test_every_answer_is_as_described(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """At the limits and beyond, by other methods, with wrong tokens, in sequences; the bodies are real pictures."""
    served: Served = request.getfixturevalue(name)
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "helpers.schemathesis_hooks", "PYTHONPATH": str(ROOT / "tests")}
    words = ["run", f"http://127.0.0.1:{served.port}{DESCRIPTION}", "--max-examples", "20", "--seed", "1", "--no-color"]
    done = subprocess.run(
        [BIN / "schemathesis", *words, "--wait-for-schema", "10"],
        capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 selected / 3 total" in done.stdout  # it leaves the description itself out


def test_the_description_names_every_address(alone: Served) -> None:
    status, text, headers = alone.whole(DESCRIPTION)
    assert (status, headers["content-type"]) == (200, "application/json")
    named = {f"{method} {path}" for path, methods in json.loads(text)["paths"].items() for method in methods}
    assert named == {"get /api/v1/faces", "post /api/v1/faces", "get /api/v1/model", f"get {DESCRIPTION}"}


def test_hundreds_of_hostile_pictures_take_no_memory(alone: Served) -> None:
    """`python -m tools.hostile_api` sends 10,000."""
    grown = attack(alone, 300)
    assert grown.keys() == {"server", "pictures"}
    assert max(grown.values()) < MAX_GROWTH
