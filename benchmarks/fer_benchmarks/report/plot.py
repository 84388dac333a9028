"""The Pareto front as a picture."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_benchmarks.results import REPEATED, Report
from fer_runtime.errors import FerError
from fer_runtime.files import written_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Where a name may stand beside its dot: right or left of it, then higher and lower; in points.
PLACES = [(side, rise) for rise in (4, -11, 15, -22, 26, -33) for side in (7, -7)]


def write(path: Path, report: Report) -> None:
    """Accuracy over latency as PNG: one dot per file with its intervals, the fronts as lines. Raises FerError."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    ranking = report.ranking
    points = {}
    for model in report.models:
        run = model.run(ranking.threads, ranking.batch)
        if run and model.scores and model.engine not in REPEATED:  # the same network again would hide what matters
            points[model.title] = (run.back_to_back, model.scores)
    if not points:
        raise FerError("there is no accuracy to draw over the latency: give --data")
    figure, axes = plt.subplots(figsize=(8, 4.5), dpi=150, layout="constrained")
    front = [name for part in ranking.fronts for name in part.front]
    for name, (times, scores) in points.items():
        x, y = times.p50, 100 * scores.accuracy
        low, high = times.intervals["p50"]
        colour = "#1f5fc4" if name in front else "#8a94a0"
        half = 100 * scores.interval
        spread = [[max(0.0, x - low)], [max(0.0, high - x)]]
        axes.errorbar(x, y, yerr=half, xerr=spread, fmt="o", color=colour, ms=6, lw=1, alpha=0.9)
    for part in ranking.fronts:
        line = [points[name] for name in part.front if name in points]
        xs, ys = [times.p50 for times, _ in line], [100 * scores.accuracy for _, scores in line]
        axes.step(xs, ys, where="post", color="#1f5fc4", lw=1, alpha=0.5)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    left, right = axes.get_xlim()
    axes.set_xlim(left, right * (right / left) ** 0.25)  # room for the last name
    axes.set_xlabel(f"ms per call, p50, {ranking.threads} thread(s), batch {ranking.batch}")
    n = report.data.n if report.data else next(iter(points.values()))[1].n
    axes.set_ylabel(f"accuracy in % of {n:,} faces")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(f"{report.environment.cpu}, onnxruntime {report.environment.onnxruntime}", fontsize=9)
    figure.draw_without_rendering()  # lays out, so that the sizes of texts are known
    _write_names(axes, {name: (times.p50, 100 * scores.accuracy) for name, (times, scores) in points.items()}, front)
    with written_whole(path) as beside:
        figure.savefig(beside, format="png")
    plt.close(figure)


def _write_names(axes: "Axes", points: dict[str, tuple[float, float]], front: list[str]) -> None:
    """Each name at the first place that covers no other name, the front's first."""
    taken: list[Any] = []
    for name in sorted(points, key=lambda name: name not in front):
        for side, rise in PLACES:
            text = axes.annotate(
                name, points[name], xytext=(side, rise), textcoords="offset points", fontsize=8,
                ha="left" if side > 0 else "right", color="#1f5fc4" if name in front else "#5b6570",
            )  # fmt: skip
            box = text.get_window_extent()
            inside = axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1
            if inside and not any(box.overlaps(other) for other in taken):
                break
            if (side, rise) != PLACES[-1]:
                text.remove()
        taken.append(box)
