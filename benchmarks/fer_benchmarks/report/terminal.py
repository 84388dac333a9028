"""The report in the terminal."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fer_benchmarks.report import ranking, tables
from fer_benchmarks.results import Report

MIN_COLUMNS = 100


def show(report: Report) -> None:
    """Print tables, ranking, changes against the baseline, conditions and warnings."""
    console = Console()
    console.width = max(MIN_COLUMNS, console.width)  # below that rich leaves columns out; a wrapped line keeps them
    for table in tables.tables(report):
        console.print(_rich(table))
    for line in ranking.lines(report):
        console.print(escape(line), highlight=False)
    for change in report.baseline:
        console.print(escape(f"baseline: {change.text}"), style="red" if change.regressed else "", highlight=False)
    for line in tables.conditions(report):
        console.print(escape(line), style="dim", highlight=False)
    for warning in report.warnings:
        console.print(escape(f"warning: {warning}"), style="yellow", highlight=False)


def _rich(table: tables.Table) -> Table:
    shown = Table(title=table.title, title_justify="left", pad_edge=False, box=None, header_style="bold")
    for at, name in enumerate(table.header):
        left = at == 1
        shown.add_column(
            escape(name), justify="left" if left else "right", overflow="fold", min_width=18 if left else None
        )
    for row in table.rows:
        shown.add_row(*(escape(cell) for cell in row))
    return shown
