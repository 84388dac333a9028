"""Our files on several versions of onnxruntime: `make test-compat` writes the table in docs/gates.md.

Each version gets an environment of its own in build/compat, kept between calls; there fer-verify runs on the files that
this environment exports, and all faces' logits are compared with those of the newest version.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_runtime.data import dataset
from fer_runtime.files import write_text
from helpers.drawn import draw_face

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "gates.md"
BUILD = ROOT / "build" / "compat"
# The newest first: the others are measured by it. Where a version has no wheel for this Python, the next one is taken.
VERSIONS = (("",), ("==1.23.*", "==1.25.*"), ("==1.19.*", "==1.20.*", "==1.24.*"))
NAMES, PRECISIONS = ("nano", "small", "base"), ("fp32", "fp16", "int8")
BEGIN, END = "<!-- compat: written by make test-compat -->", "<!-- end of compat -->"

# Runs in each environment: what Classifier answers, or why not.
PROBE = """
import importlib.metadata, json, sys
from pathlib import Path
import numpy as np
from fer_runtime.errors import FerError
from fer_runtime.model.session import Classifier
faces, out, *files = map(Path, sys.argv[1:])
pixels = np.load(faces)
for file in files:
    try:
        chunks = np.array_split(pixels, max(1, len(pixels) // 64))
        model = Classifier(file)
        np.save(out / f"{file.stem}.npy", np.concatenate([model.logits(chunk) for chunk in chunks]))
    except FerError as error:
        print(error, file=sys.stderr)
print(json.dumps({name: importlib.metadata.version(name) for name in ("onnxruntime", "numpy")}))
"""


@dataclass(frozen=True)
class Answers:
    """One version's. versions: of onnxruntime and numpy; logits, checks (fer-verify's report): by the file's name."""

    versions: dict[str, str]
    logits: dict[str, NDArray[np.float32]]
    checks: dict[str, list[dict[str, str]]]


def main() -> None:
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = [exported(folder, name, precision) for precision in PRECISIONS for name in NAMES]
        pixels = faces(data)
        np.save(folder / "faces.npy", pixels)
        asked = [answers(environment(each), folder, files, folder / "faces.npy") for each in VERSIONS]
    table = "\n".join(rows(asked))
    kind = "drawn faces" if data is None else f"faces of {data.name}"
    write_text(DOCS, with_table(DOCS.read_text(), f"On {len(pixels)} {kind}:\n\n{table}"))
    print(table)
    sys.exit(0 if all(not failed(each, file.stem) for each in asked for file in files) else 3)


def exported(folder: Path, name: str, precision: str) -> Path:
    out = folder / f"fer-{name}.{precision}.onnx"
    run(Path(sys.executable).with_name("fer-export"), ROOT / "models" / f"fer-{name}.pt",
        "--precision", precision, "--out", out)  # fmt: skip
    return out


def faces(data: Path | None) -> NDArray[np.uint8]:
    """uint8 [n, 1, 48, 48]: the data's validation split, else drawn ones."""
    if data is not None:
        return dataset.load(data).held_out()[1].pixels
    rng = np.random.RandomState(0)
    return np.stack([draw_face(mood, rng)[None] for mood in ("happy", "neutral", "sad") for _ in range(200)])


def environment(versions: tuple[str, ...]) -> Path:
    """The Python of an environment with the first of these onnxruntimes that pip finds, and our package as it is."""
    folder = BUILD / f"onnxruntime{versions[0].strip('=.*')}"
    python, marker = folder / "bin" / "python", folder / ".installed"
    if not marker.exists():
        run(sys.executable, "-m", "venv", "--clear", folder)
        pip = (python, "-m", "pip", "install", "--quiet", "--editable", ROOT)
        installs = (done(*pip, f"onnxruntime{version}") for version in versions)
        if not any(install.returncode == 0 for install in installs):  # stops at the first that works
            sys.exit(f"pip finds none of onnxruntime {', '.join(versions)} for Python {sys.version.split()[0]}")
        marker.touch()
    return python


def answers(python: Path, folder: Path, files: list[Path], pixels: Path) -> Answers:
    out = folder / python.parent.parent.name
    out.mkdir()
    versions = json.loads(run(python, "-c", PROBE, pixels, out, *files))
    checks = {}
    for file in files:
        report = out / f"{file.stem}.json"
        run(python.with_name("fer-verify"), file, "--json", report, codes=(0, 1, 3))
        checks[file.stem] = json.loads(report.read_text())["checks"] if report.exists() else []
    return Answers(versions, {path.stem: np.load(path) for path in out.glob("*.npy")}, checks)


def rows(asked: list[Answers]) -> list[str]:
    """The table: a row for each version and precision, the worst of its files in each column."""
    newest = asked[0]
    title = f"from {newest.versions['onnxruntime']}"
    table = [
        f"| onnxruntime | numpy | precision | files that load | fer-verify | largest logit difference {title} "
        "| other top-1 | golden logits off, and the tolerance |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in reversed(asked):
        table += [row(each, newest, precision) for precision in PRECISIONS]
    return table


def row(each: Answers, newest: Answers, precision: str) -> str:
    names = [f"fer-{name}.{precision}" for name in NAMES]
    both = [(each.logits[name], newest.logits[name]) for name in names if name in each.logits and name in newest.logits]
    off = max((float(np.abs(a - b).max()) for a, b in both), default=float("nan"))
    other = sum(int((a.argmax(1) != b.argmax(1)).sum()) for a, b in both)
    golden = [check for name in names for check in each.checks[name] if check["found"].endswith(" off")]
    golden = [check for check in golden if check["name"].startswith("golden")]
    worst = max(golden, key=lambda check: float(check["found"].split()[0]), default={"found": "-", "expected": "-"})
    wrong = sorted({check for name in names for check in failed(each, name)})
    cells = [
        each.versions["onnxruntime"], each.versions["numpy"], precision, f"{len(both)} of {len(names)}",
        ", ".join(wrong) or "ok", f"{off:.1e}", f"{other} of {sum(len(a) for a, _ in both)}",
        f"{worst['found']}, {worst['expected']}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def failed(each: Answers, name: str) -> list[str]:
    """The checks that failed of one file."""
    checks = each.checks[name]
    return [check["name"] for check in checks if not check["ok"]] if checks else ["does not load"]


def with_table(text: str, table: str) -> str:
    """`text` with what stands between the markers replaced."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}"


def run(*command: object, codes: tuple[int, ...] = (0,)) -> str:
    """The standard output of a command; ends the program where it fails."""
    ended = done(*command)
    if ended.returncode not in codes:
        sys.exit(f"{command[0]} ended with {ended.returncode}: {(ended.stderr or ended.stdout).strip()[-1000:]}")
    return ended.stdout


def done(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)


if __name__ == "__main__":
    main()
