"""fer-bench: latency against accuracy, for any number of models."""

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fer_runtime.cli import options as shared
from fer_runtime.cli.entry import run
from fer_runtime.cli.options import FILE

if TYPE_CHECKING:
    from fer_benchmarks.classifiers.specs import ModelSpec
    from fer_benchmarks.measure.scoring import Progress
    from fer_benchmarks.results import Report


@click.command(epilog="Example: fer-bench small.onnx small.int8.onnx --data fer2013.zip --html bench.html")
@click.argument("models", nargs=-1, required=True, type=FILE)
@click.option(
    "--data", type=FILE, metavar="DATA",
    help="Labelled faces to score each file on: validation split, else test, else all.",
)  # fmt: skip
@shared.photos
@click.option("--robust", is_flag=True, help="Also score under eight corruptions in five severities.")
@click.option("--threads", default="1", show_default=True, metavar="N[,N...]", help="Threads per model.")
@click.option("--batch", default="1", show_default=True, metavar="N[,N...]", help="Faces per call.")
@click.option(
    "--pace", type=click.FloatRange(0.1, 1000), metavar="HZ", help="Also time at a camera's pace, such as 30."
)
@click.option(
    "--duration", type=click.FloatRange(0.1, 3600), default=10, show_default=True, metavar="S",
    help="Seconds of calls per file, threads and batch; MLPerf uses 600.",
)  # fmt: skip
@click.option(
    "--against", type=click.Choice(["cv2", "web"]), multiple=True,
    help="Also time each file in OpenCV's own engine, or in the page that runs in a browser, in Chromium.",
)  # fmt: skip
@click.option(
    "--page", type=FILE, metavar="FOLDER", help="The page of --against web, of make web-demo.  [default: build/site]"
)
@click.option(
    "--peer", "peers", type=FILE, multiple=True, metavar="FILE.json", help="Another classifier, run by its own command."
)
@shared.foreign_network
@click.option(
    "--max-ms", type=click.FloatRange(0), metavar="MS", help="Recommend the most accurate file with p95 up to this."
)
@click.option(
    "--min-accuracy", type=click.FloatRange(0, 100), metavar="%", help="Recommend the fastest file with at least this."
)
@click.option(
    "--baseline", type=FILE, metavar="FILE.json", help="Compare with an earlier run; exit code 3 for a regression."
)
@shared.json_file
@click.option("--markdown", type=FILE, metavar="FILE", help="Also write the tables as Markdown.")
@click.option(
    "--html", type=FILE, metavar="FILE", help="Also write a page to explore, with plots; it needs no network."
)
@click.option("--png", type=FILE, metavar="FILE", help="Also plot accuracy over latency.")
@shared.version
@click.pass_context
def cli(context: click.Context, /, models: tuple[Path, ...], json_file: Path | None, **options: Any) -> int:
    """Compare MODELS in time and accuracy.

    MODELS are files of fer-export, plain ONNX classifiers (with --labels), and --json reports of earlier runs or other
    machines, which are added to the tables, as is the JSON that the page in a browser copies from its panel "About this
    device". Each model runs in a process of its own; blocks of calls are interleaved
    in random order, so that a slow spell of the machine affects all alike. The first file runs twice: unless both
    results are equal, the machine is too noisy, and the exit code is 3. Ratios are to the first file.
    """
    from fer_benchmarks import results
    from fer_benchmarks.classifiers import specs
    from fer_benchmarks.report import html_page, plot, ranking, tables, terminal
    from fer_benchmarks.report.baseline import compare, join, read_earlier, read_joined
    from fer_runtime.files import check_place, refuse_same, write_text
    from fer_runtime.model.normalization import ForeignOptions

    outputs = [json_file, options["markdown"], options["html"], options["png"]]
    refuse_same(outputs, [*models, options["data"], options["baseline"], *options["peers"]])
    for place in filter(None, outputs):
        check_place(place)
    baseline = results.read(options["baseline"]) if options["baseline"] else None
    joined = [read_joined(path) for path in models if path.suffix == ".json"]
    files = [path for path in models if path.suffix != ".json"]
    weighs = [name for name in ("max_ms", "min_accuracy", "png") if options[name] is not None]
    if weighs and not options["data"] and not any(model.scores for other in joined for model in other.models):
        raise click.UsageError(f"--{weighs[0].replace('_', '-')} weighs accuracy against time: give --data too")
    foreign = ForeignOptions(*(options[name] for name in ("labels", "size", "colour", "mean", "std")))
    page = _page(options) if files else None
    under_test = specs.of_files(files, foreign, options["against"], page) + [
        specs.of_peer(path) for path in options["peers"]
    ]
    if under_test:
        report = _measured(under_test, options)
        report.command = _command(context)
    else:
        report, joined = read_earlier(models[0]), joined[1:]
    join(report, joined)
    min_accuracy = options["min_accuracy"]
    report.ranking = ranking.rank(report, options["max_ms"], None if min_accuracy is None else min_accuracy / 100)
    report.baseline = compare(report, baseline) if baseline else []
    if json_file:
        results.write(json_file, report)
    if options["markdown"]:
        write_text(options["markdown"], tables.markdown(report))
    if options["html"]:
        html_page.write(options["html"], report)
    if options["png"]:
        plot.write(options["png"], report)
    terminal.show(report)
    return _exit_code(report)


def _page(options: Mapping[str, Any]) -> Path | None:
    """The page in which "web" runs, if that is asked for. Raises FerError for a folder that is none."""
    from fer_runtime.outputs.web import site

    if "web" not in options["against"]:
        if options["page"]:
            raise click.UsageError("--page is the page of --against web: give that too")
        return None
    page = Path(options["page"] or site.BUILT)
    site.check(page)
    return page


def _measured(under_test: "list[ModelSpec]", options: Mapping[str, Any]) -> "Report":
    """The report of what is measured now."""
    from fer_benchmarks.measure import accuracy, runner
    from fer_benchmarks.measure.latency import TimingConfig
    from fer_runtime.data import label_order

    configs = [
        TimingConfig(threads, batch, options["duration"], options["pace"])
        for threads in _counts("--threads", options["threads"], 64)
        for batch in _counts("--batch", options["batch"], 512)
    ]
    for name in ("robust", "photos"):
        if options[name] and not options["data"]:
            raise click.UsageError(f"--{name} is about labelled faces: give --data too")
    data = accuracy.read(options["data"], under_test, options["photos"]) if options["data"] else None
    for note in [note for spec in under_test for note in spec.notes] + list(data.notes if data else ()):
        click.echo(f"note: {note}", err=True)
    with _progress() as progress:
        report = runner.measure(runner.BenchmarkOptions(under_test, configs, data, options["robust"]), progress)
    for model in report.models:
        if model.scores and (hint := label_order.note(model.scores)):
            click.echo(f"note: {model.name}: {hint}", err=True)
    return report


def _exit_code(report: "Report") -> int:
    """3 where the answer is no: too noisy, a regression, nothing to recommend."""
    noisy = not all(check.ok for check in report.self_check)
    regressed = any(change.regressed for change in report.baseline)
    asked = report.ranking.max_ms is not None or report.ranking.min_accuracy is not None
    return 3 if noisy or regressed or (asked and report.ranking.recommended is None) else 0


def _command(context: click.Context) -> str:
    """What was typed, with the names of files alone: paths are the user's own affair."""
    words = ["fer-bench"]
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if value in (None, False, ()) or value == parameter.default:
            continue
        repeated = isinstance(parameter, click.Argument) or (isinstance(parameter, click.Option) and parameter.multiple)
        for one in value if repeated else (value,):
            words += [parameter.opts[0]] if isinstance(parameter, click.Option) else []
            words += [] if one is True else [_word(one)]
    return shlex.join(words)


def _word(value: object) -> str:
    if isinstance(value, Path):
        return value.name
    if isinstance(value, tuple):
        return ",".join(map(_word, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _counts(option: str, text: str, most: int) -> list[int]:
    """Whole numbers from 1 to `most`, each once, in the order given."""
    words = text.split(",")
    if not all(word.strip().isdecimal() and 1 <= int(word) <= most for word in words):
        raise click.UsageError(f"{option} is {text!r}: expected numbers from 1 to {most} with commas, as 1,2")
    return list(dict.fromkeys(int(word) for word in words))


@contextmanager
def _progress() -> "Iterator[Progress]":
    """A bar per stage in the terminal; nothing where stderr is none."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:

        class Stages:
            def stage(self, text: str, steps: int) -> None:
                self.task = bars.add_task(text, total=steps)

            def advance(self) -> None:
                bars.advance(self.task)

        yield Stages()


def main() -> None:
    """Entry point of fer-bench."""
    run(cli, "bench")
