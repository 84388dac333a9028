"""fer-export --site: a copy of the page with a user's own model; tests/browser opens such a copy."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Run
from fer_runtime.files import sha256
from fer_runtime.model.session import Classifier, default_model, shipped_models

OURS = shipped_models()["fer-small"]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page's folder as `make web-demo` leaves it, without a page worth looking at."""
    folder = tmp_path_factory.mktemp("page") / "site"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>page</title>")
    (folder / "sw.js").write_text("self.oninstall = null;")
    (folder / "assets" / "page.js").write_text("export {};")
    subprocess.run([sys.executable, "-m", "fer_runtime.cli.site", str(folder)], check=True)
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_the_package_s_models_are_in_the_page_that_is_built(page: Path) -> None:
    facts = json.loads((page / "model" / "site.json").read_text())
    assert facts["version"] == "0.1.0"
    for name in ("classifier", "detector", "locator"):
        file = page / "model" / facts[name]["file"]
        assert (facts[name]["bytes"], facts[name]["sha256"]) == (file.stat().st_size, sha256(file))
    assert (page / "model" / "classifier.onnx").read_bytes() == default_model().read_bytes()
    manifest = Classifier(default_model()).manifest
    assert facts["classifier"]["manifest"] == json.loads(manifest.to_json())


def test_an_exported_file_goes_into_a_copy_and_the_page_stays(command: Run, page: Path, tmp_path: Path) -> None:
    before = tree(page)
    site = tmp_path / "mine"
    done = command("fer-export", OURS, "--site", site, "--page", page)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{site}: the page with {OURS.name}\n"
    copied = tree(site)
    assert tree(page) == before
    assert copied.keys() == before.keys()
    changed = {name for name in copied if copied[name] != before[name]}
    assert changed == {"model/classifier.onnx", "model/site.json"}
    assert copied["model/classifier.onnx"] == OURS.read_bytes()
    assert json.loads(copied["model/site.json"])["classifier"]["sha256"] == sha256(OURS)
    again = command("fer-export", default_model(), "--site", site, "--page", page)
    assert again.returncode == 0, again.stderr
    assert again.stdout.endswith("(an older page was replaced)\n")
    assert tree(site) == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine"]


def test_a_checkpoint_is_exported_first(command: Run, trained: Path, page: Path, tmp_path: Path) -> None:
    words = [trained / "model.pt", "--out", "model.onnx", "--site", "mine", "--page", page]
    done = command("fer-export", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("mine: the page with model.onnx\n")
    assert (tmp_path / "mine" / "model" / "classifier.onnx").read_bytes() == (tmp_path / "model.onnx").read_bytes()
    labels = json.loads((tmp_path / "mine" / "model" / "site.json").read_text())["classifier"]["manifest"]["labels"]
    assert labels == list(Classifier(tmp_path / "model.onnx").labels)


def test_a_page_or_model_that_is_none_changes_nothing(command: Run, page: Path, tmp_path: Path) -> None:
    site = tmp_path / "mine"
    assert command("fer-export", OURS, "--site", site, "--page", page).returncode == 0
    before = tree(tmp_path)
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(OURS.read_bytes()[:9000])
    for words, said in (
        ([page / "model" / "detector.onnx", "--site", site, "--page", page], "carries no fer-edge manifest"),
        ([cut, "--site", site, "--page", page], "is not an ONNX model"),
        ([OURS, "--site", site, "--page", tmp_path / "none"], "`make web-demo`"),
        ([OURS, "--site", site], "no page at build/site: `make web-demo` in a checkout builds it"),
        ([OURS, "--site", page, "--page", page], "lie in one another"),
        ([OURS, "--site", page / "mine", "--page", page], "lie in one another"),
        ([OURS, "--site", cut, "--page", page], "is a file"),
        ([OURS, "--site", tmp_path / "no" / "folder", "--page", page], "choose another place"),
        ([tmp_path / "gone.onnx", "--site", site, "--page", page], "No such file"),
    ):
        done = command("fer-export", *words, cwd=tmp_path)
        assert done.returncode == 1, words
        assert said in done.stderr, words
        assert done.stderr.count("\n") == 1, words
    cut.unlink()
    assert tree(tmp_path) == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine"]


def test_a_folder_with_anything_else_in_it_is_not_replaced(command: Run, page: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    done = command("fer-export", OURS, "--site", tmp_path, "--page", page)
    assert done.returncode == 1
    assert "holds other files (notes.txt): expected a new name, or a page to replace" in done.stderr
    site = tmp_path / "site"
    assert command("fer-export", OURS, "--site", site, "--page", page).returncode == 0
    (site / "CNAME").write_text("faces.example")
    assert "holds other files (CNAME)" in command("fer-export", OURS, "--site", site, "--page", page).stderr
    assert (site / "CNAME").exists()


def test_options_that_do_not_go_together(command: Run, page: Path, tmp_path: Path) -> None:
    for words, said in (
        ([OURS, "--page", page], "give --site DIR too"),
        ([OURS, "--site", tmp_path / "mine", "--page", page, "--precision", "int8"], "leave out --precision"),
        ([OURS, "--site", tmp_path / "mine", "--page", page, "--labels", "a,b"], "leave out --labels"),
    ):
        done = command("fer-export", *words)
        assert done.returncode == 2
        assert said in done.stderr
    assert not (tmp_path / "mine").exists()


def test_a_copy_that_fails_half_way_leaves_the_old_one(page: Path, tmp_path: Path) -> None:
    """No space on a small disk: what stood there stands, and nothing lies beside it."""
    program = f"""
from pathlib import Path
import resource
from fer_runtime.errors import FerError
from fer_runtime.outputs.web import site
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
page, mine = Path({str(page)!r}), Path({str(tmp_path / "mine")!r})
site.copy(page, mine, Path({str(OURS)!r}))
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))  # the detector is larger
try:
    site.copy(page, mine, Path({str(default_model())!r}))
except FerError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "nothing was changed" in done.stdout
    assert (tmp_path / "mine" / "model" / "classifier.onnx").read_bytes() == OURS.read_bytes()
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine"]
