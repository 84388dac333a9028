"""docs/colab.ipynb: clean as committed, and executed whole, away from Colab."""

import json
import os
import re
from pathlib import Path
from typing import Any

import cv2
import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from conftest import ROOT
from fer_benchmarks.demo_clip import render

NOTEBOOK = ROOT / "docs" / "colab.ipynb"
MADE = {
    "model.pt", "last.pt", "metrics.json", "curves.png", "confusion.png", "augmented.png",
    "fer-nano.onnx", "fer-nano.int8.onnx", "picture.png",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _nothing_at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Connection files and IPython's profile go to the test's folder."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))


def execute(folder: Path, settings: dict[str, object], last: str | None = None) -> dict[str, str]:
    """Run the notebook in `folder`, up to the cell `last`; what each cell printed, by its id.

    Its kernel is the interpreter of this test: kernels that are installed on this machine are not looked at.
    """
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]  # nbformat has no types
    ids = [cell.id for cell in notebook.cells]
    notebook.cells = notebook.cells[: ids.index(last) + 1 if last else None]
    kernel = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
    client = NotebookClient(notebook, timeout=600, km=kernel, resources={"metadata": {"path": str(folder)}})
    client.execute(env=os.environ | {f"FER_COLAB_{name}": str(value) for name, value in settings.items()})
    return {cell.id: printed(cell) for cell in notebook.cells if cell.cell_type == "code"}


def printed(cell: Any) -> str:
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def test_it_is_committed_clean() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    notebook = json.loads(text)
    nbformat.validate(notebook)
    for cell in notebook["cells"]:
        assert not cell["metadata"]
        if cell["cell_type"] == "code":
            assert not cell["outputs"]
            assert cell["execution_count"] is None
    assert set(notebook["metadata"]) == {"accelerator", "colab", "kernelspec", "language_info"}
    assert notebook["metadata"]["accelerator"] == "GPU"
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    roots = "|".join(path.name for path in Path("/").iterdir() if path.name != "content")  # /content is Colab's
    assert not re.findall(rf"""(?<![\w.>/])/(?:{roots}|Users|home)/""", text)


def test_it_runs_whole_and_the_second_time_resumes(faces_zip: Path, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), render(50))
    settings = {"DATA": faces_zip, "RUNS": tmp_path / "drive", "MODEL": "nano", "EPOCHS": 2, "PICTURE": photo}
    first = execute(tmp_path, settings)
    run = tmp_path / "drive" / "nano"
    assert {path.name for path in run.iterdir()} == MADE
    assert "\x1b" not in "".join(first.values())  # no bars that are drawn over and over
    assert "not Colab" in first["drive"]
    assert "installed already" in first["install"]
    assert "477 files" in first["unpack"]
    assert "also occur in another split" in first["audit"]  # and it goes on
    assert "no run to resume" in first["train"]
    assert first["evaluate"].count("\nvalid: accuracy") == 2
    assert "labelled" in first["try-face"]
    assert "fer-run --model fer-nano.int8.onnx" in first["take"]

    second = execute(tmp_path, settings, last="train")
    assert "there already" in second["unpack"]
    assert "resuming after epoch 2 of 2" in second["train"]
    assert len(json.loads((run / "metrics.json").read_text())["history"]) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, r"there is no file .*faces\.zip; zips in .*: other\.zip"), (b"half a z", "is not a complete zip")],
)
def test_a_wrong_zip_is_named_and_nothing_is_unpacked(tmp_path: Path, content: bytes | None, message: str) -> None:
    (tmp_path / "other.zip").touch()
    if content is not None:
        (tmp_path / "faces.zip").write_bytes(content)
    with pytest.raises(CellExecutionError, match=message):
        execute(tmp_path, {"DATA": tmp_path / "faces.zip"}, last="unpack")
    assert not (tmp_path / "faces").exists()


def test_a_command_that_fails_stops_it(tmp_path: Path) -> None:
    (tmp_path / "empty.zip").write_bytes(b"PK\5\6" + bytes(18))  # a whole zip with nothing in it
    with pytest.raises(CellExecutionError, match=r"fer-train failed \(exit code 1\)"):
        execute(tmp_path, {"DATA": tmp_path / "empty.zip"}, last="audit")
