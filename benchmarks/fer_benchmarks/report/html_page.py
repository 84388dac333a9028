"""The report as one HTML file with plots to explore; it needs no network."""

from html import escape
from importlib import resources
from pathlib import Path

from fer_benchmarks.report import ranking, tables
from fer_benchmarks.results import Report, to_json
from fer_runtime.files import write_text


def write(path: Path, report: Report) -> None:
    """Write the page, whole or not at all. Raises FerError."""
    folder = resources.files("fer_benchmarks.report")
    style, script = ((folder / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    data = to_json(report).replace("<", "\\u003c")  # no name can end the script
    body = [
        "<h1>Latency against accuracy</h1>",
        "".join(f"<p>{escape(line)}</p>" for line in ranking.lines(report)),
        "".join(f"<p class=warning>warning: {escape(text)}</p>" for text in report.warnings),
        "<div id=plots></div>",
        "".join(_table(table) for table in tables.tables(report)),
        "<h2>Conditions</h2><ul>",
        "".join(f"<li>{escape(line)}</li>" for line in tables.conditions(report)),
        "</ul><noscript><p>The plots need JavaScript; the tables above hold the same figures.</p></noscript>",
    ]
    write_text(
        path,
        '<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content="width=device-width, '
        "initial-scale=1\"><meta http-equiv=Content-Security-Policy content=\"default-src 'none'; script-src "
        f"'unsafe-inline'; style-src 'unsafe-inline'\"><title>Latency against accuracy</title><style>{style}</style>"
        f"</head><body>{''.join(body)}<script type=application/json id=report>{data}</script>"
        f"<script>{script}</script></body></html>\n",
    )


def _table(table: tables.Table) -> str:
    head = "".join(f"<th scope=col>{escape(name)}" for name in table.header)
    rows = "".join(
        f"<tr><td>{row[0]}<th scope=row>{escape(row[1])}{''.join(f'<td>{escape(cell)}' for cell in row[2:])}</tr>"
        for row in table.rows
    )
    return (
        f"<h2>{escape(table.title)}</h2><div class=scroll><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )
