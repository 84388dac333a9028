"""The page: one HTML file that needs no network and runs no script."""

from html import escape
from importlib import resources
from math import inf
from pathlib import Path
from typing import Any

from fer_runtime.archive.report import overview
from fer_runtime.archive.report.overview import MAX_SOURCES, MAX_TRACKS, Moment, Overview, Video
from fer_runtime.archive.store import Store
from fer_runtime.files import write_text

# One colour per class, in the order of the labels; grey for "uncertain".
COLOURS = ("#d1495b", "#5b8c5a", "#8e6bbf", "#e0a030", "#7d8ea3", "#3b76c4", "#e07a3f", "#3aa6a0", "#b0578d", "#8a7a4f")
UNSURE = "#c3c9d0"
WIDTH, LANE = 1000, 22  # of a time line, in the SVG's units


def write(path: Path, store: Store, labels: tuple[str, ...]) -> None:
    """Write the page of a dataset, whole or not at all. Raises FerError."""
    found = overview.read(store, labels)
    colours = {label: COLOURS[number % len(COLOURS)] for number, label in enumerate(labels)}
    colours[found.labels[-1]] = UNSURE
    style = (resources.files("fer_runtime.archive.report") / "page.css").read_text(encoding="utf-8")
    body = "".join([_head(found), _shares(found, colours), _moments(found), _videos(found, colours), _sources(found)])
    write_text(
        path,
        '<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content="width=device-width, '
        "initial-scale=1\"><meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src "
        f"'unsafe-inline'\"><title>Expressions in an archive</title><style>{style}</style></head>"
        f"<body>{body}</body></html>\n",
    )


def _head(found: Overview) -> str:
    faces = sum(found.seconds.values())
    return (
        "<h1>Expressions in an archive</h1>"
        f"<p>{found.files:,} files, {found.failed:,} with errors; {clock(found.video_s)} of video, "
        f"{clock(faces)} of faces in it; {found.pictures.total():,} faces in pictures.</p>"
        "<p class=soft>Apparent expressions as a network names them, which are not feelings.</p>"
    )


def _shares(found: Overview, colours: dict[str, str]) -> str:
    """One bar: the share of time of each label; of faces in pictures where there is no video."""
    values: dict[str, float] = found.seconds if any(found.seconds.values()) else dict(found.pictures)
    total = sum(values.values())
    if not total:
        return "<p>No face was found.</p>"
    shares = {label: values.get(label, 0.0) / total for label in found.labels}
    bar = "".join(
        f'<i style="width:{share:.3%};background:{colours[label]}" title="{escape(label)} {share:.1%}"></i>'
        for label, share in shares.items()
        if share
    )
    legend = "".join(
        f'<li><i style="background:{colours[label]}"></i>{escape(label)} <b>{share:.1%}</b></li>'
        for label, share in shares.items()
    )
    of = "time that faces are in sight" if values is found.seconds else "faces in pictures"
    return f"<h2>Share of the {of}</h2><div class=bar>{bar}</div><ul class=legend>{legend}</ul>"


def _moments(found: Overview) -> str:
    """For each label, where it was surest."""
    rows = "".join(
        f"<tr><th scope=row>{escape(label)}<td>" + "<br>".join(_moment(found.shown(m.source), m) for m in moments)
        for label, moments in found.moments.items()
        if moments
    )
    return f"<h2>The surest moments</h2><div class=scroll><table class=moments>{rows}</table></div>" if rows else ""


def _moment(name: str, moment: Moment) -> str:
    at = "" if moment.time_s is None else f" {clock(moment.time_s)}"
    return f"<span>{escape(name)}{at}</span> <b>{moment.probability:.0%}</b>"


def _videos(found: Overview, colours: dict[str, str]) -> str:
    if not found.videos:
        return ""
    left = found.videos_with_faces - len(found.videos)
    note = f"<p class=soft>The {len(found.videos)} videos with most of faces; {left:,} others are in the tables.</p>"
    return (
        "<h2>Time lines</h2>"
        + (note if left else "")
        + "".join(_video(found.shown(video.source), video, colours) for video in found.videos)
    )


def _video(name: str, video: Video, colours: dict[str, str]) -> str:
    """A lane for each track, a rectangle for each stretch of one label."""
    scale = WIDTH / max(video.duration_s, 1e-9)
    lanes = []
    for number, lane in enumerate(video.lanes):
        for run in lane.runs:
            left, width = run.start_s * scale, max(0.5, (run.end_s - run.start_s) * scale)
            title = f"track {lane.track}: {run.label}, {clock(run.start_s)} to {clock(run.end_s)}"
            lanes.append(
                f'<rect x="{left:.1f}" y="{number * LANE}" width="{width:.1f}" height="{LANE - 4}" '
                f'fill="{colours[run.label]}"><title>{escape(title)}</title></rect>'
            )
    more = f", the {MAX_TRACKS} longest of {video.tracks} tracks" if video.tracks > MAX_TRACKS else ""
    return (
        f"<figure><figcaption>{escape(name)} <span class=soft>{clock(video.duration_s)}{more}"
        f'</span></figcaption><svg viewBox="0 0 {WIDTH} {len(video.lanes) * LANE}" preserveAspectRatio=none '
        f'style="height:{len(video.lanes) * LANE}px" role=img aria-label="labels over time">{"".join(lanes)}</svg>'
        f"<div class=axis><span>0:00</span><span>{clock(video.duration_s)}</span></div></figure>"
    )


def _sources(found: Overview) -> str:
    note = f"<p class=soft>{MAX_SOURCES} of {found.files:,} files.</p>" if found.files > MAX_SOURCES else ""
    rows = "".join(_source(found, row) for row in found.sources)
    return (
        f"<h2>Files</h2>{note}<div class=scroll><table class=files><thead><tr><th scope=col>file<th scope=col>kind"
        "<th scope=col>length<th scope=col>frames<th scope=col>faces<th scope=col>tracks<th scope=col class=text>"
        f"errors and notes</thead><tbody>{rows}</tbody></table></div>"
    )


def _source(found: Overview, row: dict[str, Any]) -> str:
    name = found.shown(row["source"])
    remark = (row["error"] or row["notes"] or "").replace(row["source"], name)
    counts = "".join(f"<td>{row[column]:,}" for column in ("frames", "faces", "tracks"))
    return (
        f"<tr{' class=bad' if row['error'] else ''}><th scope=row>{escape(name)}"
        f"<td>{row['kind'] or ''}<td>{clock(row['duration_s'])}{counts}<td class=text>{escape(remark)}"
    )


def clock(seconds: object) -> str:
    """Seconds as 1:02:03 or 2:03; empty for none."""
    if not isinstance(seconds, float | int) or not -inf < seconds < inf:
        return ""
    minutes, left = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{left:02}" if minutes >= 60 else f"{minutes}:{left:02}"
