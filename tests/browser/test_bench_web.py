"""fer-bench --against web: the same file in the page, timed and scored beside the native one."""

from pathlib import Path

from conftest import Run
from fer_benchmarks import results


def test_the_same_file_in_the_page(command: Run, site: Path, exported: dict[str, Path], faces_zip: Path,
                                   tmp_path: Path) -> None:  # fmt: skip
    done = command(
        "fer-bench", exported["int8"], "--against", "web", "--page", site, "--data", faces_zip, "--duration", 0.3,
        "--pace", 100, "--json", tmp_path / "bench.json", "--html", tmp_path / "bench.html",
    )  # fmt: skip
    assert done.returncode in (0, 3), done.stderr  # 3: too noisy here
    native, web = results.read(tmp_path / "bench.json").models
    assert (web.name, web.engine, web.error) == ("model.int8.onnx (web)", "web", None)
    assert (web.sha256, web.labels) == (native.sha256, native.labels)
    assert native.scores is not None
    assert web.scores is not None
    assert abs(web.scores.accuracy - native.scores.accuracy) <= 1 / 60  # of 60 faces one
    (run,) = web.runs
    assert 0.005 < run.back_to_back.p50 < 1000
    assert run.paced is not None
    assert (run.cpu_ms or 0) > 0
    assert run.ratio is not None
    assert run.peak_memory_bytes is not None
    assert run.peak_memory_bytes > 50e6
    assert "model.int8.onnx (web)" in (tmp_path / "bench.html").read_text()


def test_what_the_page_cannot_do_is_said_in_its_row(command: Run, site: Path, exported: dict[str, Path],
                                                    tmp_path: Path) -> None:  # fmt: skip
    report = tmp_path / "bench.json"
    words = ["--against", "web", "--page", site, "--duration", 0.2, "--batch", 2, "--json", report]
    done = command("fer-bench", exported["int8"], *words)
    assert done.returncode in (0, 3), done.stderr
    assert (
        results.read(report).models[1].error == "model.int8.onnx (web) failed: the page takes one face per call, not 2"
    )


def test_a_page_that_is_none_and_a_page_without_its_use(
    command: Run, exported: dict[str, Path], tmp_path: Path
) -> None:
    done = command("fer-bench", exported["int8"], "--against", "web", cwd=tmp_path)
    assert done.returncode == 1
    assert "build/site is no page of ours" in done.stderr
    assert "`make web-demo`" in done.stderr
    done = command("fer-bench", exported["int8"], "--page", tmp_path)
    assert done.returncode == 2
    assert "--against web" in done.stderr
